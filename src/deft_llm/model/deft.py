"""DeftModel: experts, projectors and heads around a language model that answers (C, E, R)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from deft_llm.errors import DeftError
from deft_llm.model.answer_loss import answer_loss, left_padded
from deft_llm.model.experts import MotionExpert, MotionExpertConfig, MotionOutput
from deft_llm.model.face_experts import FaceExpertConfig, StructureExpert, TextureExpert
from deft_llm.model.fusion import Fusion
from deft_llm.model.inputs import MotionInput, collate
from deft_llm.model.language import EMBEDDED, add_lora, load_backbone
from deft_llm.model.projector import MotionProjector, Projector
from deft_llm.model.prompt import EXPERTS, PROMPT_VERSION, prompt_parts


@dataclass
class DeftConfig:
    """What a DeftModel is made of; saved with every checkpoint.

    ``speaks``: experts that the language part was trained to hear; the others feed the heads alone.
    """

    backbone: str = EMBEDDED
    lora_rank: int = 8
    lora_alpha: int = 16
    motion: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    faces: dict[str, Any] = field(default_factory=dict)
    experts: list[str] = field(default_factory=lambda: list(EXPERTS))
    speaks: list[str] = field(default_factory=lambda: list(EXPERTS))
    prompt_version: int = PROMPT_VERSION


@dataclass
class DeftBatch:
    """Inputs of B clips: the motion expert's (maps, phases, table), faces or None, and which experts see."""

    maps: Tensor
    phases: Tensor
    table: Tensor
    landmarks: Tensor | None = None
    appearance: Tensor | None = None
    change: Tensor | None = None
    has_faces: Tensor | None = None
    space: Tensor | None = None

    def __len__(self) -> int:
        return len(self.maps)


@dataclass
class DeftOutput:
    """loss of the answers (None without), motion output (mean of members), fused au, coarse, fine logits."""

    loss: Tensor | None
    motion: MotionOutput
    au: Tensor
    coarse: Tensor
    fine: Tensor
    structure: Tensor | None = None
    texture: Tensor | None = None


class DeftModel(nn.Module):
    """Experts -> delimited soft tokens -> structured prompt -> LM with LoRA -> (C, E, R); heads beside it.

    The first motion expert speaks to the language model (its tokens); all of them vote on AUs and classes.

    Parts are injected: ``llm`` and ``tokenizer`` (see ``backbone.load_backbone``); with ``llm=None`` the
    model
    is discriminative only.
    """

    def __init__(self, config: DeftConfig, llm: Any = None, tokenizer: Any = None, lora: bool = True) -> None:
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.motion = nn.ModuleList([MotionExpert(MotionExpertConfig(**sizes)) for sizes in config.motion])
        face = FaceExpertConfig(**config.faces)
        self.structure = StructureExpert(face) if "structure" in config.experts else None
        self.texture = TextureExpert(face) if "texture" in config.experts else None
        width = self.speaker.width
        self.fusion = Fusion(width, face.width, self.speaker.fine_classes)
        self.llm: Any = None
        if llm is not None:
            table = llm.get_input_embeddings().weight
            size, spread = table.shape[1], float(table.detach().float().std())
            self.projectors = nn.ModuleDict({
                "motion": MotionProjector(width, size, self._au_words(table), spread),
                "structure": Projector(face.width, size, spread),
                "texture": Projector(face.width, size, spread),
            })  # fmt: skip
            self.delimiters = nn.Parameter(torch.randn(len(EXPERTS), 2, size) * spread)
            self.absent = nn.Parameter(torch.randn(len(EXPERTS), size) * spread)
            self.llm = add_lora(llm, config.lora_rank, config.lora_alpha) if lora else llm

    @property
    def speaker(self) -> MotionExpertConfig:
        """Sizes of the motion expert whose tokens the language model reads: the first one."""
        return cast(MotionExpert, self.motion[0]).config

    def _au_words(self, table: Tensor) -> Tensor | None:
        from deft_llm.model.units import EXPERT_AUS, au_text

        if self.tokenizer is None:
            return None
        rows = [self.tokenizer(au_text(number), add_special_tokens=False).input_ids for number in EXPERT_AUS]
        return torch.stack([table[torch.tensor(row)].detach().float().mean(0) for row in rows])

    # -- experts ------------------------------------------------------------------------------------

    def read(self, batch: DeftBatch) -> DeftOutput:
        """Run the experts and the heads, no language model."""
        outs = [member(batch.maps, batch.phases, batch.table) for member in self.motion]
        mean = lambda name: torch.stack([getattr(o, name) for o in outs]).mean(0)  # noqa: E731
        motion = MotionOutput(
            tokens=torch.cat([o.tokens for o in outs], -1), au=mean("au"), coarse=mean("coarse"),
            fine=mean("fine"), clean=mean("clean"), pooled=torch.cat([o.pooled for o in outs], -1),
        )  # fmt: skip
        structure = texture = None
        if batch.change is not None and batch.landmarks is not None:
            if self.structure is not None:
                structure = self.structure(batch.landmarks, batch.appearance, batch.space)
            if self.texture is not None:
                texture = self.texture(batch.change)
        au, coarse, fine = self.fusion(motion, structure, texture, batch.has_faces)
        return DeftOutput(
            None, motion, au, coarse, fine, structure and structure.tokens, texture and texture.tokens
        )

    def soft_tokens(self, out: DeftOutput, has_faces: Tensor | None, drop: Sequence[str] = ()) -> Tensor:
        """(B, S, D) soft tokens of all experts between their delimiters; ``drop`` names experts to leave
        out."""
        count = len(out.au)
        parts = []
        for index, name in enumerate(EXPERTS):
            tokens = self._expert_words(name, out, drop)
            absent = self.absent[index].expand(count, 1, -1)
            if tokens is None:
                tokens = absent
            elif name != "motion" and has_faces is not None:
                tokens = torch.where(has_faces[:, None, None], tokens, absent)
            left, right = (self.delimiters[index, side].expand(count, 1, -1) for side in (0, 1))
            parts += [left, tokens, right]
        return torch.cat(parts, 1)

    def _expert_words(self, name: str, out: DeftOutput, drop: Sequence[str]) -> Tensor | None:
        if name in drop or name not in self.config.speaks:
            return None
        if name == "motion":
            return self.projectors["motion"](out.motion.tokens[..., : self.speaker.width], out.au)
        tokens = out.structure if name == "structure" else out.texture
        return None if tokens is None else self.projectors[name](tokens)

    # -- language -----------------------------------------------------------------------------------

    def prompt(self, soft: Tensor, questions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Embeddings (B, L, D) and mask (B, L) of the prompts, padded on the left."""
        embed = self.llm.get_input_embeddings()
        rows = []
        for tokens, question in zip(soft, questions, strict=True):
            before, after = prompt_parts(self.tokenizer, question)
            ids = lambda part: embed(torch.tensor(part, dtype=torch.long, device=soft.device)).to(soft.dtype)  # noqa: E731
            rows.append(torch.cat([ids(before), tokens, ids(after)]))
        return left_padded(rows)

    def forward(
        self, batch: DeftBatch, questions: Sequence[str] | None = None, answers: Sequence[str] | None = None,
        drop: Sequence[str] = (), cut: bool = False, share_prefix: bool = False,
    ) -> DeftOutput:  # fmt: skip
        """Experts and heads; with questions and answers also the next-token loss on the answers alone.

        ``cut``: the answers stop before their end, so none is taught there. ``share_prefix``: the words that
        all rows begin with are read once and carry no gradient, where the batch has such words.
        """
        out = self.read(batch)
        if questions is None or answers is None:
            return out
        if self.llm is None:
            raise DeftError("this model has no language model; build it with one to train on text.")
        embeds, mask = self.prompt(self.soft_tokens(out, batch.has_faces, drop), questions)
        shared = self._constant(batch, drop) if share_prefix else 0
        out.loss = answer_loss(self.llm, self.tokenizer, embeds, mask, answers, cut=cut, shared=shared)
        return out

    def _constant(self, batch: DeftBatch, drop: Sequence[str]) -> int:
        """Tokens at the start of every prompt that no clip changes: up to the motion tokens."""
        heard = set(self.config.speaks) - {"motion"}
        if (batch.change is not None and heard) or "motion" in drop:
            return 0
        before, _ = prompt_parts(self.tokenizer, "")
        return len(before) + 3 * EXPERTS.index("motion") + 1

    @torch.inference_mode()
    def answer(
        self, batch: DeftBatch, questions: Sequence[str], grammar: str | Sequence[str] | None = None,
        max_new_tokens: int = 128, drop: Sequence[str] = (), out: DeftOutput | None = None,
    ) -> list[str]:  # fmt: skip
        """Texts that follow ``grammar`` (default: the (C, E, R) grammar), one a clip, in one batch."""
        from deft_llm.model.decoding import generate_constrained

        if self.llm is None:
            raise DeftError("this checkpoint has no language model part; train stage 2 first.")
        out = out or self.read(batch)
        embeds, mask = self.prompt(self.soft_tokens(out, batch.has_faces, drop), questions)
        embeds = embeds.to(self.llm.get_input_embeddings().weight.dtype)
        return generate_constrained(
            self.llm, self.tokenizer, answer_grammar() if grammar is None else grammar, inputs_embeds=embeds,
            attention_mask=mask, max_new_tokens=max_new_tokens,
        )  # fmt: skip

    # -- files --------------------------------------------------------------------------------------

    def own_tensors(self) -> dict[str, Tensor]:
        """All that is ours: experts, projectors, delimiters, heads, adapter; not the base."""
        return {
            name: value for name, value in self.state_dict().items()
            if not name.startswith("llm.") or "lora_" in name
        }  # fmt: skip

    def save_pretrained(self, folder: Path, extra: dict[str, Any] | None = None, half: bool = True) -> None:
        """Write ``model.safetensors``, ``config.json`` and the model card."""
        from deft_llm.model.card import write_card
        from deft_llm.model.checkpoint import save_checkpoint

        sizes = [cast(MotionExpert, member).config._asdict() for member in self.motion]
        config = {**asdict(self.config), "motion": sizes,
                  "language": self.llm is not None, **(extra or {})}  # fmt: skip
        save_checkpoint(folder, self.own_tensors(), config, half=half)
        write_card(Path(folder), config)

    @classmethod
    def from_pretrained(cls, folder: Path, *, language: bool = True, backbone: str | None = None,
                        dtype: str = "float32") -> DeftModel:  # fmt: skip
        """Load a checkpoint strictly; ``language=False`` leaves the language model out (no `deft setup`
        needed).

        Raises: DeftError for missing, extra or wrong-shaped keys, both sides printed.
        """
        from deft_llm.model.checkpoint import load_strict, read_checkpoint

        saved, tensors = read_checkpoint(folder)
        names = set(DeftConfig.__dataclass_fields__)
        config = DeftConfig(**{name: value for name, value in saved.items() if name in names})
        llm = tokenizer = None
        if language and saved.get("language"):
            llm, tokenizer = load_backbone(backbone or config.backbone, dtype=dtype)
        model = cls(config, llm, tokenizer)
        if llm is None:
            tensors = {n: t for n, t in tensors.items()
                       if n.split(".")[0] not in ("llm", "projectors", "delimiters", "absent")}  # fmt: skip
        holder = _Own(model)
        load_strict(cast(nn.Module, holder), tensors, str(folder))
        return model.eval()


class _Own:
    """The checkpointed part of a model, as ``load_strict`` wants a module: state_dict and load_state_dict."""

    def __init__(self, model: DeftModel) -> None:
        self.model = model

    def state_dict(self) -> dict[str, Tensor]:
        return self.model.own_tensors()

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        self.model.load_state_dict(tensors, strict=False)


def batch_of(inputs: Sequence[MotionInput], faces: Sequence[Any] | None = None) -> DeftBatch:
    """Stack inputs of B clips; ``faces`` holds a FaceInput or None for each."""
    maps, phases, table = collate(inputs)
    if not faces or all(face is None for face in faces):
        return DeftBatch(maps, phases, table)
    first = next(face for face in faces if face is not None)
    fill = lambda name: torch.stack([torch.from_numpy(getattr(face or first, name)) for face in faces])  # noqa: E731
    there = torch.tensor([face is not None for face in faces])
    faces_of = {name: fill(name) for name in ("landmarks", "appearance", "change", "space")}
    return DeftBatch(maps, phases, table, has_faces=there, **faces_of)


def answer_grammar(**options: Any) -> str:
    """The (C, E, R) grammar of ``answer.lark_grammar``, without figures: those are measured, not written."""
    from deft_llm.answer import lark_grammar
    from deft_llm.model.units import EXPERT_AUS

    return lark_grammar(**{"aus": EXPERT_AUS, "figures": False, **options})
