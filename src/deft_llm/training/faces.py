"""The face experts: structure and dynamic texture learn beside a frozen motion expert, from short films.

Each loss has a weight, 0 switches it off. The motion expert's logits of every film are computed once, so a
step costs two small networks and the heads that fuse them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from deft_llm.model import losses
from deft_llm.model.experts import STRUCTURE_TOKENS, TEXTURE_TOKENS, MotionOutput
from deft_llm.training.face_tensors import Films, FilmTensors, mirrored_space
from deft_llm.training.loop import Part, PartSettings, fit
from deft_llm.training.state import STATE, read_state


class FaceWeights(BaseModel):
    """Weights of the parts of the loss; 0 switches a part off (each has an ablation).

    ``au``, ``coarse``, ``fine``: the fused heads; ``texture``: AUs from the texture tokens alone;
    ``geometry``: exact landmarks, the mesh's pose and held strengths from the structure tokens; ``pose``: how
    the face is turned, from the geometry tokens alone; ``shape``: the onset's own landmarks, bent at random;
    ``independence``: structure against motion and texture; ``adversary``: subjects from the texture tokens
    given the AUs.
    """

    model_config = ConfigDict(extra="forbid")
    au: float = 20.0
    coarse: float = 1.0
    fine: float = 0.5
    texture: float = 20.0
    geometry: float = 1.0
    pose: float = 4.0
    shape: float = 2.0
    independence: float = 1.0
    adversary: float = 0.1


class FaceConfig(PartSettings):
    """Settings of the face experts."""

    steps: int = Field(700, ge=0, description="Steps of the optimiser.")
    batch: int = Field(48, ge=1, description="Films per step, all processes together.")
    learning_rate: float = Field(2e-3, gt=0, description="Rate between warm-up and cool-down.")
    weight_decay: float = Field(0.05, ge=0, description="Weight decay of AdamW.")
    cooldown_steps: int = Field(250, ge=0, description="Last steps, over which the rate falls.")
    validate_every: int = Field(100, ge=0, description="Steps between validations; 0: none.")
    experts: list[str] = Field(
        default_factory=lambda: ["structure", "texture"], description="What is trained."
    )
    faces: dict[str, Any] = Field(default_factory=lambda: {"space": 40}, description="Sizes of the experts.")
    swap: float = Field(0.5, ge=0, le=1, description="Share of steps with another clip's structure.")
    expert_dropout: float = Field(
        0.15, ge=0, le=1, description="Chance that an expert is left out of a step."
    )
    augment_on: bool = Field(True, description="Whether films are augmented.")
    independence: str = Field("cross_covariance", description="Its measure: cross_covariance or hsic.")
    gamma_negative: float = Field(2.0, ge=0, description="Focus of the AU loss on negatives that are hard.")
    losses: FaceWeights = Field(default_factory=FaceWeights, description="Weights of the loss.")


class FaceModule(nn.Module):
    """Experts, fusion and what only training needs; ``forward(batch)`` gives (total loss, its parts)."""

    def __init__(self, config: FaceConfig, fine_classes: int, subjects: int, truth: int) -> None:
        super().__init__()
        from deft_llm.model.deft import Fusion
        from deft_llm.model.experts import FaceExpertConfig, StructureExpert, TextureExpert
        from deft_llm.model.units import EXPERT_AUS

        self.config, aus = config, len(EXPERT_AUS)
        face = FaceExpertConfig(**config.faces)
        self.structure = StructureExpert(face) if "structure" in config.experts else None
        self.texture = TextureExpert(face) if "texture" in config.experts else None
        self.fusion = Fusion(face.width, fine_classes)
        self.geometry = nn.Linear(len(STRUCTURE_TOKENS) * face.width, truth)
        self.pose = nn.Linear((len(STRUCTURE_TOKENS) - 1) * face.width, 2)
        self.shape = nn.Linear(len(STRUCTURE_TOKENS) * face.width, face.landmarks * 2)
        self.texture_au = nn.Linear(len(TEXTURE_TOKENS) * face.width, aus * 2)
        self.adversary = losses.SubjectAdversary(face.width, aus, subjects)

    def see(self, batch: dict[str, Tensor], drop: list[str] | None = None) -> tuple[Any, Any]:
        """Outputs of the structure and the texture expert, None where left out."""
        left_out = drop or []
        structure = texture = None
        if self.structure is not None and "structure" not in left_out:
            structure = self.structure(batch["landmarks"], batch["look"], batch["space"])
        if self.texture is not None and "texture" not in left_out:
            texture = self.texture(batch["change"])
        return structure, texture

    def forward(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """batch as ``FilmTensors.batch`` makes it, with ``drop`` and ``swap``."""
        weights, side = self.config.losses, batch["side"]
        structure, texture = self.see(batch, batch["drop"])
        other = structure
        if structure is not None and batch["swap"]:
            other = type(structure)(structure.tokens.roll(1, 0), structure.pooled.roll(1, 0))
        au, coarse, fine = self.fusion(batch["motion"], other and other.tokens, texture and texture.tokens)
        known = batch["known"][..., None].expand_as(side)
        parts = {
            "au": losses.asymmetric_loss(au, side, self.config.gamma_negative, known=known),
            "coarse": losses.masked_cross_entropy(coarse, batch["coarse"]),
            "fine": losses.masked_cross_entropy(fine, batch["fine"]),
        }
        if texture is not None:
            alone = self.texture_au(texture.tokens.flatten(1)).view_as(side)
            parts["texture"] = losses.asymmetric_loss(alone, side, self.config.gamma_negative, known=known)
            parts["adversary"] = self.adversary(texture.pooled, side.amax(-1), batch["subject"])
        if structure is not None:
            own, distance = structure.tokens.flatten(1), nn.functional.smooth_l1_loss
            parts["geometry"] = distance(self.geometry(own), batch["truth"])
            parts["shape"] = distance(self.shape(own), batch["shape"].flatten(1))
            known = batch["turn"].isfinite()  # older films do not say it
            shape_alone = structure.tokens[:, :-1].flatten(1)  # the appearance would tell who it is instead
            parts["pose"] = distance(self.pose(shape_alone) * known, torch.where(known, batch["turn"], 0.0))
            parts["independence"] = self._dependence(structure, texture, batch["motion"])
        parts = {name: value for name, value in parts.items() if getattr(weights, name)}
        total = sum(getattr(weights, name) * value for name, value in parts.items())
        return total, {name: value.detach() for name, value in parts.items()}

    def _dependence(self, structure: Any, texture: Any, motion: MotionOutput) -> Tensor:
        """Structure against motion and texture (these two see the same movement, and may agree)."""
        measure = losses.hsic if self.config.independence == "hsic" else losses.cross_covariance
        own = structure.tokens.flatten(1)
        found = measure(own, motion.pooled)
        return found if texture is None else 0.5 * (found + measure(own, texture.pooled))


class FaceStage(Part):
    """The face experts as a part of the training."""

    model: FaceModule

    def __init__(self, config: FaceConfig, films: FilmTensors) -> None:
        torch.manual_seed(config.seed)
        self.config, self.films = config, films
        module = FaceModule(config, films.fine.shape[-1], films.subjects, films.truth.shape[1])
        super().__init__(module, config)
        if self.model.structure is not None and self.model.structure.config.space:
            self.model.structure.choose_axes(torch.cat([films.space, mirrored_space(films.space)]))

    def batch_of(self, step: int, rank: int = 0, world: int = 1) -> dict[str, Any]:
        """The films of a step, augmented; which experts are left out and whether structure is swapped."""
        config = self.config
        rng = np.random.default_rng([config.seed, step, 31])
        rows = rng.integers(0, len(self.films), config.batch)[rank::world]
        drop = [name for name in config.experts if rng.random() < config.expert_dropout]
        batch = self.films.batch(rows, rng if config.augment_on else None)
        kept = [] if len(drop) == len(config.experts) else drop
        return batch | {"drop": kept, "swap": bool(rng.random() < config.swap)}


@torch.inference_mode()
def judge(module: FaceModule, films: FilmTensors, drop: list[str] | None = None,
          faces_of: np.ndarray | None = None) -> dict[str, np.ndarray]:  # fmt: skip
    """Fused logits of all films; ``faces_of``: rows whose structure is put in instead of the film's own."""
    module.eval()
    found: dict[str, list[np.ndarray]] = {"au": [], "coarse": [], "fine": []}
    for start in range(0, len(films), 128):
        rows = np.arange(start, min(start + 128, len(films)))
        batch = films.batch(rows)
        structure, texture = module.see(batch, drop)
        if faces_of is not None:
            structure, _ = module.see(films.batch(faces_of[rows]), ["texture", *(drop or [])])
        fused = module.fusion(batch["motion"], structure and structure.tokens, texture and texture.tokens)
        for name, value in zip(found, fused, strict=True):
            found[name].append(value.numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def scores(au: np.ndarray, coarse: np.ndarray, films: FilmTensors) -> dict[str, float]:
    """UF1 on the three classes and mean AUROC over AUs with at least five clips each way."""
    from sklearn.metrics import f1_score, roc_auc_score

    keep = films.coarse_class.numpy() >= 0
    truth, present = films.coarse_class.numpy()[keep], films.side.amax(-1).numpy()
    known, score, areas = films.known.numpy() > 0, au.max(-1), []
    for k in range(present.shape[1]):
        y, x = present[known[:, k], k], score[known[:, k], k]
        if 5 <= y.sum() <= len(y) - 5:
            areas.append(roc_auc_score(y, x))
    return {"uf1": float(f1_score(truth, coarse.argmax(-1)[keep], average="macro")),
            "au_auroc": float(np.mean(areas)) if areas else float("nan")}  # fmt: skip


def train(
    config: FaceConfig, base: Path, films: Films, out: Path, share: float = 0.15, **options: Any
) -> FaceStage:
    """Train face experts beside the motion experts of ``base`` into ``out``; validates on ``share`` of the
    subjects, or learns from all where ``validate_every`` is 0; resumes by itself."""
    last = max(int(round(share * (films.subject.max() + 1))), 1) if config.validate_every else 0
    held = films.subject > films.subject.max() - last
    stage = FaceStage(config, FilmTensors(films.take(np.flatnonzero(~held)), base))
    check = FilmTensors(films.take(np.flatnonzero(held)), base) if last else None

    def validate() -> dict[str, float]:
        assert check is not None
        seen = judge(stage.model, check)
        return scores(seen["au"], seen["coarse"], check)

    fit(stage, out, validate=validate if check is not None else None, **options)
    return stage


def add_faces(base: Path, run: Path, out: Path, note: str = "") -> None:
    """Write ``base`` with the face experts of ``run`` to ``out``; all else of it stays as it is.

    The language part was not trained with the new experts: ``conditioned_on`` names those that it was.
    """
    from deft_llm.model.checkpoint import read_checkpoint, save_checkpoint, write_card

    saved, tensors = read_checkpoint(base)
    state, meta = read_state(run / STATE)
    state = state["model"]
    parts = ("structure", "texture", "fusion")
    tensors = {n: t for n, t in tensors.items() if n.split(".")[0] not in parts}
    tensors |= {n: t for n, t in state.items() if n.split(".")[0] in parts}
    experts = [name for name in ("structure", "texture") if name in meta["settings"]["experts"]]
    config = {name: value for name, value in saved.items() if name != "schema"}
    config |= {
        "experts": [*experts, "motion"], "faces": meta["settings"]["faces"],
        "conditioned_on": [n for n in saved["conditioned_on"] if n in saved["experts"]],
        "face_experts": {"steps": meta["step"], "seed": meta["settings"]["seed"], "note": note},
    }  # fmt: skip
    save_checkpoint(out, tensors, config)
    write_card(Path(out), config)


def main() -> None:
    """Command line: films and a base checkpoint -> a checkpoint with face experts."""
    import argparse

    from deft_llm.config import load_config
    from deft_llm.model.checkpoint import SHIPPED
    from deft_llm.training.face_tensors import load_films

    parser = argparse.ArgumentParser(
        description="Train the face experts beside a checkpoint's motion expert."
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("films", type=Path, nargs="+")
    parser.add_argument("--base", type=Path, default=SHIPPED)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--out", type=Path, help="write the whole checkpoint here when done")
    parser.add_argument("--note", default="")
    parser.add_argument("--set", nargs="*", default=[], help="a.b=c ...")
    given = parser.parse_args()
    config = load_config(FaceConfig, given.config, given.set)
    train(config, given.base, load_films(*given.films), given.run)
    if given.out:
        add_faces(given.base, given.run, given.out, given.note)


if __name__ == "__main__":
    main()
