"""DeftModel: experts, projectors and heads around a language model that answers (C, E, R); and what the
experts say of clips (``Readout``), which heads, language model, refit and attribution take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deft_llm.errors import DeftError, UsageError
from deft_llm.model.beliefs import (
    ALONE_WORDS,
    BELIEFS,
    Beliefs,
    BeliefWords,
    FoldWords,
    RegionWords,
    UnitWords,
)
from deft_llm.model.checkpoint import load_strict, read_checkpoint, save_checkpoint, write_card
from deft_llm.model.decoding import ANSWER_TOKENS, answer_grammar, generate_constrained
from deft_llm.model.experts import (
    COURSE_FEATURES,
    STRUCTURE_TOKENS,
    TEXTURE_TOKENS,
    FaceExpertConfig,
    MotionExpert,
    MotionExpertConfig,
    MotionOutput,
    StructureExpert,
    TextureExpert,
)
from deft_llm.model.heads import Calibration
from deft_llm.model.inputs import DeftBatch, measured_regions, region_pool
from deft_llm.model.language import (
    EMBEDDED,
    EXPERTS,
    FACE_EXPERTS,
    PROMPT_VERSION,
    add_lora,
    load_backbone,
    prompt_parts,
)
from deft_llm.model.losses import left_padded
from deft_llm.model.packing import refuse_unpackable
from deft_llm.model.readout import PHASES, Readout
from deft_llm.model.units import EXPERT_AUS, MOTION_TOKENS, au_text

PROJECTORS = ("projectors", "delimiters", "absent", "beliefs", "alone", "folds")
LANGUAGE = ("llm", *PROJECTORS)
"""First words of the names of all tensors of a checkpoint's language part."""
FUSED_SHARE = 0.25
"""Share of the fusion's corrections that counts when clips are read: in training they come to know the people
trained on. Of 0 to 1 that which is best on films of 88 others (docs/results/model.md)."""
SQUEEZED = 16
"""Numbers that the fusion keeps of a face expert's token."""


@dataclass
class DeftConfig:
    """What a DeftModel is made of; saved with every checkpoint.

    ``motion``, ``faces``: sizes of the experts. ``experts``: those that it has. ``conditioned_on``: those
    whose tokens the language model is given (the others feed the heads alone); BELIEFS: what they believe.
    """

    backbone: str = EMBEDDED
    lora_rank: int = 8
    lora_alpha: int = 16
    motion: dict[str, Any] = field(default_factory=dict)
    faces: dict[str, Any] = field(default_factory=dict)
    experts: list[str] = field(default_factory=lambda: list(EXPERTS))
    conditioned_on: list[str] = field(default_factory=lambda: [*EXPERTS, BELIEFS])
    prompt_version: int = PROMPT_VERSION

    @classmethod
    def of(cls, saved: dict[str, Any]) -> DeftConfig:
        """From the config of a checkpoint."""
        names = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in saved.items() if name in names})


class Projector(nn.Module):
    """Two-layer MLP (B, T, width) to (B, T, llm_width), output scaled like the LM's own word vectors."""

    def __init__(self, width: int, llm_width: int, scale: float = 1.0) -> None:
        super().__init__()
        last = nn.Linear(llm_width, llm_width)
        self.net = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, llm_width), nn.GELU(), last)
        self.gain = nn.Parameter(torch.tensor(float(scale)))
        with torch.no_grad():
            last.weight.mul_(0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.gain * self.net(tokens)


class MotionProjector(nn.Module):
    """Motion tokens to soft words: a learned projection plus the AUs' own word vectors, by the AU beliefs.

    Token k adds sum over its AUs and sides of p(AU, side) * word(AU, side); ``words`` starts from the LM's
    embeddings of the AUs' texts (the motion-text alignment carried into the LM) and is trained on.
    """

    home: Tensor

    def __init__(self, width: int, llm_width: int, words: Tensor | None = None, scale: float = 1.0) -> None:
        super().__init__()
        self.free = Projector(width, llm_width, scale)
        start = torch.zeros(len(EXPERT_AUS), llm_width) if words is None else words.float()
        self.words = nn.Parameter(torch.stack([start, start], 1))
        home = torch.zeros(len(MOTION_TOKENS), len(EXPERT_AUS))
        for token, group in enumerate(MOTION_TOKENS):
            for number in group:
                home[token, EXPERT_AUS.index(number)] = 1.0
        self.register_buffer("home", home, persistent=False)

    def forward(self, tokens: Tensor, au_logits: Tensor | None) -> Tensor:
        """tokens (B, 16, width), au_logits (B, A, 2) left and right; None: the tokens alone."""
        if au_logits is None:
            return self.free(tokens)  # type: ignore[no-any-return]
        belief = torch.sigmoid(au_logits.float()).to(tokens.dtype)
        words = torch.einsum("bas,asd,ka->bkd", belief, self.words, self.home)
        return self.free(tokens) + words


class PhaseHead(nn.Module):
    """Logits (B, 3) of rise, release and transition (``readout.PHASES``) from what the face holds and how it
    moves: the same motion is the rise of one expression and the release of another.

    Reads the logits ``alone`` (B, 3, A, 2) that each expert's tokens tell, and ``pooled`` (B, width) of the
    motion expert. With ``course`` hidden numbers ``of_course`` reads the time course of the shape over the
    person's neutral beside it.
    """

    def __init__(self, width: int, hidden: int, course: int = 0) -> None:
        super().__init__()
        self.course = None
        if course:
            last = nn.Linear(course, len(PHASES))
            nn.init.zeros_(last.weight)  # at first as if nothing were known
            nn.init.zeros_(last.bias)
            self.course = nn.Sequential(nn.Linear(COURSE_FEATURES, course), nn.GELU(), nn.Dropout(0.1), last)
        inputs = len(EXPERTS) * len(EXPERT_AUS) * 2 + width
        self.net = nn.Sequential(
            nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(0.1), nn.Linear(hidden, len(PHASES))
        )

    def forward(self, alone: Tensor, pooled: Tensor) -> Tensor:
        found: Tensor = self.net(torch.cat([alone.flatten(1), pooled.float()], 1))
        return found

    def of_course(self, course: Tensor | None) -> Tensor | None:
        """Logits (B, 3) by ``inputs.course_input`` (B, K) alone, to be added to the others; 0 where it is not
        known (NaN), None without what reads it."""
        if self.course is None or course is None:
            return None
        known = course.isfinite().all(1)[:, None]
        found: Tensor = self.course(torch.where(known, course, 0.0)) * known
        return found


class Fusion(nn.Module):
    """AU (B, A, 2), coarse (B, 3) and fine (B, F) logits: the motion expert's plus learned corrections
    (``FUSED_SHARE`` of them out of training).

    Corrections start at zero, so a model without face experts, or a clip without faces, keeps the motion
    expert's own logits.
    """

    def __init__(
        self, face_width: int, fine_classes: int, hidden: int = 64, phase: PhaseHead | None = None
    ) -> None:  # fmt: skip
        super().__init__()
        self.phase = phase
        self.sizes = (len(EXPERT_AUS) * 2, 3, fine_classes)
        self.counts = (len(STRUCTURE_TOKENS), len(TEXTURE_TOKENS))
        self.face_width = face_width
        self.squeeze = nn.Linear(face_width, SQUEEZED)
        inputs = sum(self.counts) * SQUEEZED + sum(self.sizes)
        self.mix = nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(0.1))
        self.out = nn.Linear(hidden, sum(self.sizes))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, motion: MotionOutput, structure: Tensor | None, texture: Tensor | None,
        has_faces: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Fused logits of the motion expert's and the tokens of the others (None: left out); rows where
        ``has_faces`` (B,) is False keep the motion expert's."""
        if structure is None and texture is None:
            return motion.au, motion.coarse, motion.fine
        count = len(motion.au)
        blocks = []
        for tokens, length in zip((structure, texture), self.counts):
            given = motion.au.new_zeros(count, length, self.face_width) if tokens is None else tokens
            blocks.append(self.squeeze(given).flatten(1))
        own = torch.cat([motion.au.flatten(1), motion.coarse, motion.fine], 1)
        logits = [motion.au.flatten(1), motion.coarse.log_softmax(-1), motion.fine.log_softmax(-1)]
        change = self.out(self.mix(torch.cat([*blocks, *logits], 1)))
        if not self.training:
            change = FUSED_SHARE * change
        if has_faces is not None:
            change = change * has_faces[:, None].to(change.dtype)
        au, coarse, fine = (own + change).split(self.sizes, 1)
        return au.view_as(motion.au), coarse, fine


class DeftModel(nn.Module):
    """Experts -> delimited soft tokens -> structured prompt -> LM with LoRA -> (C, E, R); heads beside it.

    ``llm`` and ``tokenizer`` are injected (see ``language.load_backbone``) or come later by
    ``add_language``; without them the model is discriminative only.
    """

    def __init__(self, config: DeftConfig, llm: Any = None, tokenizer: Any = None, lora: bool = True) -> None:
        super().__init__()
        self.config = config
        self.motion = MotionExpert(MotionExpertConfig(**config.motion))
        face = FaceExpertConfig(**config.faces)
        self.structure = StructureExpert(face) if "structure" in config.experts else None
        self.texture = TextureExpert(face) if "texture" in config.experts else None
        tells = face.phase and self.structure is not None
        phase = PhaseHead(self.motion.config.width, face.phase, face.course) if tells else None
        self.fusion = Fusion(face.width, self.motion.config.fine_classes, phase=phase)
        self.llm: Any = None
        self.tokenizer: Any = None
        self.beliefs: BeliefWords | None = None
        self.moving: RegionWords | None = None
        self.folds: FoldWords | None = None
        self.calibration: Calibration | None = None
        if llm is not None:
            self.add_language(llm, tokenizer, lora)

    def add_language(self, llm: Any, tokenizer: Any, lora: bool = True) -> None:
        """Put the language model in, with new projectors, delimiters and (``lora``) adapter."""
        table = llm.get_input_embeddings().weight
        size, spread = table.shape[1], float(table.detach().float().std())
        width, face = self.motion.config.width, self.fusion.face_width
        self.tokenizer = tokenizer
        self.projectors = nn.ModuleDict({
            "motion": MotionProjector(width, size, self._au_words(table), spread),
            "structure": Projector(face, size, spread),
            "texture": Projector(face, size, spread),
        })  # fmt: skip
        self.delimiters = nn.Parameter(torch.randn(len(EXPERTS), 2, size) * spread)
        self.absent = nn.Parameter(torch.randn(len(EXPERTS), size) * spread)
        self.alone = nn.ModuleDict({
            name: UnitWords(tokenizer, table, *ALONE_WORDS[name]) for name in EXPERTS
        })  # fmt: skip
        if self.config.prompt_version > 2:
            self.moving = RegionWords(tokenizer)
        sees_folds = self.texture is not None and self.texture.config.folds
        if self.config.prompt_version > 3 and sees_folds and "texture" in self.config.conditioned_on:
            self.folds = FoldWords(tokenizer, table)
        if BELIEFS in self.config.conditioned_on:
            self.beliefs = BeliefWords(tokenizer, table, self.config.prompt_version > 1)
        self.llm = add_lora(llm, self.config.lora_rank, self.config.lora_alpha) if lora else llm

    def _au_words(self, table: Tensor) -> Tensor | None:
        """(A, D) mean word vectors of the AUs' texts."""
        if self.tokenizer is None:
            return None
        rows = [self.tokenizer(au_text(number), add_special_tokens=False).input_ids for number in EXPERT_AUS]
        return torch.stack([table[torch.tensor(row)].detach().float().mean(0) for row in rows])

    # -- experts ------------------------------------------------------------------------------------

    def read(
        self, batch: DeftBatch, *, drop: Sequence[str] = (), motion: MotionOutput | None = None,
        faces: Readout | None = None,
    ) -> Readout:  # fmt: skip
        """Run experts and heads, no language model: the only forward pass there is; differentiable.

        ``drop`` names face experts to leave out. What was run before is not run again: ``motion``,
        what a frozen motion expert said of this batch; ``faces``, a readout of the same faces, whose
        tokens are taken.
        """
        pooled = region_pool(batch.maps)
        if motion is None:
            motion = self.motion(batch.maps, batch.phases, pooled if batch.with_table else None)
        there = torch.zeros(len(motion.au), dtype=torch.bool, device=motion.au.device)
        if batch.change is not None:
            there = ~there if batch.has_faces is None else batch.has_faces
        tokens: dict[str, Tensor | None] = {}
        if faces is None:
            tokens["structure"], _ = self._of_faces("structure", batch, there)
            tokens["texture"], folds = self._of_faces("texture", batch, there)
        else:
            tokens, folds = {name: getattr(faces, name) for name in FACE_EXPERTS}, faces.folds
        tokens |= dict.fromkeys(name for name in drop if name in tokens)
        folds = None if "texture" in drop else folds
        seen = {name: there if tokens[name] is not None else torch.zeros_like(there) for name in tokens}
        seen["motion"] = torch.ones_like(there)
        given = tokens if bool(there.any()) else dict.fromkeys(tokens)
        au, coarse, fine = self.fusion(motion, given["structure"], given["texture"], there)
        saw = torch.stack([seen[name] for name in EXPERTS], 1)
        alone = self._alone(tokens, motion.au, saw)
        phase = course = None
        if self.fusion.phase is not None:
            held = saw[:, EXPERTS.index("structure"), None]
            phase = torch.where(held, self.fusion.phase(alone, motion.pooled), 0.0)
            course = self.fusion.phase.of_course(batch.course)
            if course is not None:
                course = torch.where(held, course, 0.0)
                phase = phase + course
        return Readout(
            motion.tokens, au, coarse, fine, motion.clean, motion.pooled, saw, alone, **tokens, phase=phase,
            course=course, folds=folds, regions=measured_regions(batch, pooled), support=batch.support,
        )  # fmt: skip

    def _alone(self, tokens: dict[str, Tensor | None], motion: Tensor, saw: Tensor) -> Tensor:
        """(B, 3, A, 2) AU logits that the tokens of each expert by itself tell, 0 where it saw nothing;
        ``motion``: those of the motion expert, which it reads from its tokens anyway."""
        found = {"motion": motion.float()}
        for name, own in tokens.items():
            found[name] = (
                torch.zeros_like(found["motion"])
                if own is None
                else getattr(self, name).au_logits(own).float()
            )
        return torch.where(saw[:, :, None, None], torch.stack([found[name] for name in EXPERTS], 1), 0.0)

    def _of_faces(self, name: str, batch: DeftBatch, there: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """(tokens (B, T, V), logits (B, F) of folds) of a face expert, zeros where there is no face; None
        without the expert, or what it does not tell."""
        expert = getattr(self, name)
        if expert is None:
            return None, None
        if not bool(there.any()):
            length, zeros = len(STRUCTURE_TOKENS), self.fusion.out.weight.new_zeros
            folds = None
            if name == "texture":
                length, count = len(TEXTURE_TOKENS), expert.config.folds
                folds = zeros(len(there), count) if count else None
            return zeros(len(there), length, self.fusion.face_width), folds
        still = (batch.landmarks, batch.appearance, batch.space, batch.over)
        found = expert(*still) if name == "structure" else expert(batch.change, batch.lines)
        folds = None if found.folds is None else torch.where(there[:, None], found.folds, 0.0)
        return torch.where(there[:, None, None], found.tokens, 0.0), folds

    # -- language -----------------------------------------------------------------------------------

    def soft_tokens(self, readout: Readout, drop: Sequence[str] = ()) -> list[Tensor]:
        """Per clip (S, D) soft tokens of all experts between their delimiters; ``drop`` names
        experts to leave out. An expert that saw nothing, is dropped or not conditioned on leaves one
        learned "absent" vector.

        AU beliefs in the motion tokens are those of ``readout.au``, so adapted beliefs condition on these;
        with BELIEFS dropped they carry none.
        """
        words = [self._expert_words(name, readout, drop) for name in EXPERTS]
        saw = readout.saw.tolist()
        rows = []
        for row in range(len(readout)):
            parts = []
            for index, tokens in enumerate(words):
                there = tokens is not None and saw[row][index]
                own = tokens[row] if tokens is not None and there else self.absent[index : index + 1]
                parts += [self.delimiters[index, :1], own, self.delimiters[index, 1:]]
            rows.append(torch.cat(parts))
        return rows

    def _expert_words(self, name: str, readout: Readout, drop: Sequence[str]) -> Tensor | None:
        tokens = getattr(readout, name)
        if tokens is None or name in drop or name not in self.config.conditioned_on:
            return None
        if name != "motion":
            return self.projectors[name](tokens)  # type: ignore[no-any-return]
        au = None if BELIEFS in drop else readout.au
        return self.projectors[name](tokens, au)  # type: ignore[no-any-return]

    def prompts(
        self, readout: Readout, drop: Sequence[str] = (), beliefs: Beliefs | None = None
    ) -> list[Tensor]:  # fmt: skip
        """Per clip (L, D) embeddings of all that comes before the question: system words, the experts' soft
        tokens, what each of the face experts by itself tells, the folds that deepen, the regions that move,
        and what all experts believe, in words; without beliefs what the motion expert by itself tells.
        ``drop`` names experts, or BELIEFS, to leave out; ``beliefs``: those of the readout, where they are
        known already.

        Raises: DeftError for a model without a language part.
        """
        if self.llm is None:
            raise DeftError("this checkpoint has no language part; train one with `deft train`.")
        before = self._embedded(prompt_parts(self.tokenizer, "")[0])
        rows = [[before, tokens] for tokens in self.soft_tokens(readout, drop)]
        believes = BELIEFS in self.config.conditioned_on and BELIEFS not in drop
        for index, name in enumerate(EXPERTS):
            if name in drop or name not in self.config.conditioned_on or (name == "motion" and believes):
                continue
            seen = torch.nonzero(readout.saw[:, index])[:, 0]
            told = self.alone[name](readout.alone[seen, index].float().sigmoid(), self._embedded)
            for row, words in zip(seen.tolist(), told, strict=True):
                rows[row].append(words)
        if self.folds is not None and "texture" not in drop and readout.folds is not None:
            seen = torch.nonzero(readout.saw[:, EXPERTS.index("texture")])[:, 0]
            told = self.folds(readout.folds[seen].float().sigmoid(), self._embedded)
            for row, words in zip(seen.tolist(), told, strict=True):
                rows[row].append(words)
        sees_motion = "motion" in self.config.conditioned_on and "motion" not in drop
        if self.moving is not None and sees_motion and readout.regions is not None:
            for row, ids in enumerate(self.moving.told(readout.regions)):
                rows[row].append(self._embedded(ids))
        if self.beliefs is not None and believes:
            told = self.beliefs.told(beliefs or Beliefs.of(readout, self.calibration), self._embedded)
            for row, words in enumerate(told):
                rows[row].append(words)
        return [torch.cat(parts) for parts in rows]

    def _embedded(self, ids: Sequence[int]) -> Tensor:
        """(L, D) word vectors of token ids, in the type of the soft tokens."""
        numbers = torch.tensor(ids, dtype=torch.long, device=self.delimiters.device)
        vectors: Tensor = self.llm.get_input_embeddings()(numbers)
        return vectors.to(self.delimiters.dtype)

    def with_questions(self, prompts: Sequence[Tensor], questions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Embeddings (B, L, D) and mask (B, L) of prompts with a question each, padded on the left, in the
        language model's own type."""
        after = [self._embedded(prompt_parts(self.tokenizer, question)[1]) for question in questions]
        embeds, mask = left_padded([torch.cat(parts) for parts in zip(prompts, after, strict=True)])
        return embeds.to(self.llm.get_input_embeddings().weight.dtype), mask

    @property
    def packs(self) -> bool:
        """Whether the language model reads packed rows (``packing.refuse_unpackable``)."""
        try:
            refuse_unpackable(self.llm)
        except UsageError:
            return False
        return True

    @torch.inference_mode()
    def answer(
        self, readout: Readout, questions: Sequence[str], grammar: str | Sequence[str] | None = None,
        max_new_tokens: int = ANSWER_TOKENS, drop: Sequence[str] = (),
    ) -> list[str]:  # fmt: skip
        """Texts that follow ``grammar`` (one for all or one per clip; default: the (C, E, R) grammar), one
        per clip, in one batch.

        Raises: DeftError for a model without a language part.
        """
        embeds, mask = self.with_questions(self.prompts(readout, drop), questions)
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
        config = {**asdict(self.config), "motion": self.motion.config._asdict(),
                  "language": self.llm is not None, **(extra or {})}  # fmt: skip
        save_checkpoint(folder, self.own_tensors(), config, half=half)
        write_card(Path(folder), config)

    @classmethod
    def from_pretrained(cls, folder: Path, *, language: bool = True, backbone: str | None = None,
                        dtype: str = "float32") -> DeftModel:  # fmt: skip
        """Load a checkpoint strictly; ``language=False`` leaves the language model out, and so
        does without `deft setup`.

        Raises: DeftError for missing, extra or wrong-shaped keys, both sides printed.
        """
        saved, tensors = read_checkpoint(folder)
        model = cls(DeftConfig.of(saved))
        model.calibration = saved.get("calibration")
        experts = {name: value for name, value in tensors.items() if not is_language(name)}
        load_strict(model, experts, str(folder))
        if language and saved.get("language"):
            model.load_language(folder, backbone, dtype)
        return model.eval()

    def load_language(self, folder: Path, backbone: str | None = None, dtype: str = "float32") -> None:
        """Add the language part of a checkpoint to the experts that were loaded from it.

        Raises: DeftError for a checkpoint without one, or one whose keys do not fit.
        """
        saved, tensors = read_checkpoint(folder)
        if not saved.get("language"):
            raise DeftError(f"{folder}: no language part; train one with `deft train`, or leave out answers.")
        self.add_language(*load_backbone(backbone or self.config.backbone, dtype=dtype))
        own = {name: value for name, value in self.own_tensors().items() if is_language(name)}
        load_strict(self, {n: v for n, v in tensors.items() if is_language(n)}, str(folder), own)
        self.train(self.training)


def is_language(name: str) -> bool:
    """Whether a tensor of this name belongs to the language part of a model."""
    return name.split(".")[0] in LANGUAGE
