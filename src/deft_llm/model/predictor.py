"""One checkpoint at work: reads clips in several crops and in a mirror, and answers questions about them.

A face detector places and scales a face a little differently from corpus to corpus; small maps come as they
were cropped. Averaging logits over small zooms, vertical shifts and the mirror image lowers the variance that
this leaves. The tokens, which language model and probes are given, are those of the clip as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from deft_llm.answer import Answer, AnswerError, fill_figures, parse, render
from deft_llm.aus.statements import evidence_for
from deft_llm.aus.support import AUSupport, measure_support
from deft_llm.errors import DeftError
from deft_llm.files import atomic_path, read_arrays, read_object, real_path
from deft_llm.model.checkpoint import CONFIG, SHIPPED, TRAIN_AGAIN, WEIGHTS
from deft_llm.model.deft import DeftModel
from deft_llm.model.heads import Calibration, with_stated
from deft_llm.model.inputs import (
    DeftBatch,
    FaceInput,
    MotionInput,
    batch_of,
    face_input,
    mirrored,
    motion_input,
)
from deft_llm.model.questions import Reply, ask, measured_reply
from deft_llm.model.readout import Readout
from deft_llm.records import AnsweredBy, Evidence
from deft_llm.store import Motion

READ_BATCH = 64
"""Clips that are read at once."""


# -- reading ----------------------------------------------------------------------------------------------


class Crop(NamedTuple):
    """Zoom of the content about the middle, and its shift right and down in px of the map."""

    zoom: float = 1.0
    right: float = 0.0
    down: float = 0.0


CROPS: tuple[Crop, ...] = (
    Crop(),
    Crop(zoom=0.93),
    Crop(zoom=1.07),
    Crop(down=1.2),
    Crop(down=-1.2),
)
"""What is averaged over; the first is the clip as it is."""


def recrop(batch: DeftBatch, crop: Crop) -> DeftBatch:
    """The clips' maps as another crop would show them, faces as they are; edges are repeated.
    Differentiable."""
    if crop == Crop():
        return batch
    count, phases = batch.maps.shape[:2]
    half = (batch.maps.shape[-1] - 1) / 2.0
    theta = batch.maps.new_tensor([
        [1 / crop.zoom, 0.0, -crop.right / (half * crop.zoom)],
        [0.0, 1 / crop.zoom, -crop.down / (half * crop.zoom)],
    ])  # fmt: skip
    flat = batch.maps.flatten(0, 1)
    grid = F.affine_grid(theta.expand(len(flat), -1, -1), list(flat.shape), align_corners=True)
    moved = F.grid_sample(flat, grid, padding_mode="border", align_corners=True)
    return replace(batch, maps=moved.unflatten(0, (count, phases)))


@dataclass
class FeatureSets:
    """What a refit on a fold learns from; axis 1: the clip as it is, its mirror image, each read by itself.

    pixels (N, 2, 2, 3 * 28 * 28) the relative maps of both phases, phases (N, 2) bool which of them are
    known; tokens (N, 2, 16 * W) of the motion expert, clean (N, 2, 2 * 14 * 14) and logits (N, 2, 2 * A + 3 +
    F) of AUs and classes: means over ``CROPS``.
    """

    pixels: np.ndarray
    phases: np.ndarray
    tokens: np.ndarray
    clean: np.ndarray
    logits: np.ndarray

    def of(self, name: str, both_phases: bool) -> np.ndarray:
        """(N, 2, D) float64 of the set ``name``; of pixels the first phase or both."""
        found = getattr(self, name)
        if name == "pixels" and not both_phases:
            found = found[:, :, :1]
        return found.reshape(*found.shape[:2], -1).astype(np.float64)  # type: ignore[no-any-return]

    @classmethod
    def joined(cls, parts: Sequence[FeatureSets]) -> FeatureSets:
        """The clips of several, one behind the other."""
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})


class Predictor:
    """The experts of one checkpoint and, from the first question on, its language part; one copy of each.

    ``config``: the checkpoint's, with the calibration of its heads. ``crops``: what is averaged over, the
    clip as it is first.
    """

    def __init__(
        self, model: DeftModel, config: dict[str, Any] | None = None, crops: Sequence[Crop] = CROPS,
        folder: Path | None = None,
    ) -> None:  # fmt: skip
        self.model, self.config, self.crops, self.folder = model.eval(), config or {}, tuple(crops), folder
        if self.crops[0] != Crop():
            raise ValueError("crops: the first must be the clip as it is, whose tokens are kept")

    @classmethod
    def from_checkpoint(cls, folder: Path) -> Predictor:
        """The experts of a checkpoint folder, loaded strictly; needs no `deft setup`.

        Raises: DeftError for one that is missing, too old or does not fit.
        """
        model = DeftModel.from_pretrained(folder, language=False)
        return cls(model, read_object(Path(folder) / CONFIG, mend=TRAIN_AGAIN), folder=Path(folder))

    @property
    def calibration(self) -> Calibration | None:
        """Calibration of the heads that the checkpoint carries."""
        return self.config.get("calibration")

    @property
    def has_language(self) -> bool:
        """Whether the checkpoint has a language part."""
        return self.model.llm is not None or bool(self.config.get("language"))

    def read(
        self, inputs: Sequence[MotionInput], faces: Sequence[FaceInput | None] | None = None,
        drop: Sequence[str] = (),
    ) -> Readout:  # fmt: skip
        """What the experts say of N clips; ``faces``: a FaceInput or None for each; ``drop`` names face
        experts to leave out."""
        return self.read_with_features(inputs, faces, drop)[0]

    def read_motions(self, motions: Iterable[Motion]) -> Readout:
        """``read`` of measured clips, beliefs held to what else is known of them (``Motion.stated``)."""
        measured = list(motions)
        readout = self.read(*self.inputs_of(measured))
        return with_stated(readout, [motion.stated for motion in measured], self.calibration)

    def inputs_of(self, motions: Iterable[Motion]) -> tuple[list[MotionInput], list[FaceInput | None]]:
        """What the experts of this checkpoint see of measured clips."""
        sees_faces = self.model.structure is not None or self.model.texture is not None
        inputs: list[MotionInput] = []
        faces: list[FaceInput | None] = []
        for motion in motions:
            inputs.append(motion_input(motion))
            faces.append(face_input(motion) if sees_faces else None)
        return inputs, faces

    def read_with_features(
        self, inputs: Sequence[MotionInput], faces: Sequence[FaceInput | None] | None = None,
        drop: Sequence[str] = (),
    ) -> tuple[Readout, FeatureSets]:  # fmt: skip
        """``read``, and what a refit on a fold learns from, from the same forward passes."""
        readouts, features = [], []
        with torch.inference_mode():
            for start in range(0, len(inputs), READ_BATCH):
                part = slice(start, start + READ_BATCH)
                batch = batch_of(inputs[part], None if faces is None else faces[part])
                views = self._views(batch, drop)
                readouts.append(_averaged(views))
                features.append(_features(views, inputs[part]))
        return Readout.joined(readouts), FeatureSets.joined(features)

    def read_batch(self, batch: DeftBatch, drop: Sequence[str] = ()) -> Readout:
        """``read`` of one batch of tensors, differentiable; ``drop`` names face experts to leave out."""
        return _averaged(self._views(batch, drop))

    def _views(self, batch: DeftBatch, drop: Sequence[str] = ()) -> list[list[Readout]]:
        """Readouts of all crops of the clips, and of all crops of their mirror images; no crop changes a
        face."""
        views = []
        for side in (batch, mirrored(batch)):
            first = self.model.read(side, drop=drop)
            others = (recrop(side, crop) for crop in self.crops[1:])
            views.append([first, *(self.model.read(crop, drop=drop, faces=first) for crop in others)])
        return views

    # -- answers ------------------------------------------------------------------------------------

    def ask(
        self, readout: Readout, questions: Sequence[Sequence[str]], *, fines: Sequence[str] | None = None,
        drop: Sequence[str] = (),
    ) -> list[list[Reply]]:  # fmt: skip
        """The language model's answers to the questions on each clip, each in its own form, conditioned on
        ``readout`` and its beliefs; see ``model.questions.ask``. Loads the language part at first use.

        Raises: DeftError for a checkpoint without one.
        """
        self._load_language()
        return ask(self.model, readout, questions, fines, drop)

    def _load_language(self) -> None:
        if self.model.llm is None:
            if self.folder is None:
                raise DeftError("this model has no language part; train one with `deft train`.")
            self.model.load_language(self.folder)

    def answer(
        self, readout: Readout, questions: Sequence[str], motions: Sequence[Motion] | None = None, *,
        fines: Sequence[str] | None = None, drop: Sequence[str] = (),
    ) -> list[WrittenAnswer]:  # fmt: skip
        """The language model's answer to one question per clip, conditioned on ``readout`` and its beliefs;
        bounded by the form of the question alone (``ask``).

        ``motions``: the measured clips; questions about figures and times are answered from them, and (C, E,
        R) gets its figures. ``fines`` narrows the classes to a task's labels. Loads the language part at
        first use. Raises: DeftError for a checkpoint without one.
        """
        self._load_language()
        seen = [None] * len(questions) if motions is None else motions
        replies = [measured_reply(*found) for found in zip(questions, seen, strict=True)]
        left = [row for row, reply in enumerate(replies) if reply is None]
        if left:
            asked = self.ask(readout.take(left), [[questions[row]] for row in left], fines=fines, drop=drop)
            for row, found in zip(left, asked, strict=True):
                replies[row] = found[0]
        return [WrittenAnswer.of_reply(*pair) for pair in zip(replies, seen, strict=True)]  # type: ignore[arg-type]


def _averaged(views: list[list[Readout]]) -> Readout:
    """The clip as it is, with the logits' mean over all views; sides of mirror images are exchanged back."""
    plain, turned = views
    au = torch.stack([one.au for one in plain] + [one.au.flip(-1) for one in turned]).mean(0)
    mean = lambda name: torch.stack(  # noqa: E731
        [getattr(one, name).log_softmax(-1) for one in (*plain, *turned)]
    ).mean(0)  # fmt: skip
    phase = None if plain[0].phase is None else mean("phase")
    folds = None
    if plain[0].folds is not None:
        folds = torch.stack([one.folds for one in (*plain, *turned) if one.folds is not None]).mean(0)
    return replace(plain[0], au=au, coarse=mean("coarse"), fine=mean("fine"), phase=phase, folds=folds)


def _features(views: list[list[Readout]], inputs: Sequence[MotionInput]) -> FeatureSets:
    def sides(numbers: Any) -> np.ndarray:
        """(B, 2, ...) of a function of a readout, its mean over crops."""
        return torch.stack([torch.stack([numbers(one) for one in side]).mean(0) for side in views], 1).numpy()

    def logits(one: Readout) -> Tensor:
        return torch.cat([one.au.flatten(1), one.coarse.log_softmax(-1), one.fine.log_softmax(-1)], 1)

    whole = DeftBatch(
        torch.from_numpy(np.stack([item.maps for item in inputs])),
        torch.from_numpy(np.stack([item.phases for item in inputs])),
    )
    pixels = torch.stack([whole.maps, mirrored(whole).maps], 1).flatten(3).numpy()
    return FeatureSets(
        pixels, whole.phases.numpy(), sides(lambda one: one.motion.flatten(1)),
        sides(lambda one: one.clean.flatten(1)), sides(logits),
    )  # fmt: skip


def load_predictor(folder: Path | None = None) -> Predictor:
    """The predictor of a checkpoint folder (None: the shipped one), loaded once per process however many ask
    for it; anew when its files changed. Raises: DeftError for a folder without a checkpoint."""
    folder = Path(folder or SHIPPED)
    files = (folder / WEIGHTS, folder / CONFIG)
    changed = tuple(file.stat().st_mtime_ns if file.is_file() else 0 for file in files)
    return _loaded(real_path(folder), changed)


@lru_cache(maxsize=1)
def _loaded(folder: Path, changed: tuple[int, ...]) -> Predictor:
    del changed
    return Predictor.from_checkpoint(folder)


def save_readout(path: Path, readout: Readout, features: FeatureSets) -> None:
    """Write both as .npz, atomically; floating-point numbers as float16."""
    found = {f"readout.{f.name}": getattr(readout, f.name) for f in fields(Readout)}
    found = {name: value.numpy() for name, value in found.items() if value is not None}
    found |= {f"features.{f.name}": getattr(features, f.name) for f in fields(FeatureSets)}
    small = {n: v.astype(np.float16) if v.dtype.kind == "f" else v for n, v in found.items()}
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, **small)  # type: ignore[arg-type]


def load_readout(path: Path) -> tuple[Readout, FeatureSets]:
    """Read what ``save_readout`` wrote, as float32."""
    data = read_arrays(path)
    found = {n: v.astype(np.float32) if v.dtype.kind == "f" else v for n, v in data.items()}
    parts = {
        kind: {n.removeprefix(kind): v for n, v in found.items() if n.startswith(kind)}
        for kind in ("readout.", "features.")
    }
    return (
        Readout(**{name: torch.from_numpy(value) for name, value in parts["readout."].items()}),
        FeatureSets(**parts["features."]),
    )


# -- what may be written, and what was measured of it -----------------------------------------------------


@dataclass
class WrittenAnswer:
    """One answer of the language model: raw as it wrote it, text with figures and marks, answer parsed (None
    where that is not possible), evidence measured for each of its statements."""

    raw: str
    text: str
    answer: Answer | None
    evidence: list[Evidence] = field(default_factory=list)
    probability: float | None = None
    kind: str = "answer"
    answered_by: AnsweredBy = "language"

    @property
    def complete(self) -> bool:
        """Whether the text has the form that its question asks for."""
        return self.answer is not None or self.kind != "answer"

    @classmethod
    def of_reply(cls, reply: Reply, motion: Motion | None) -> WrittenAnswer:
        """Of a reply of the language model; the figures of ``motion`` are added to (C, E, R)."""
        if reply.kind != "answer":
            return cls(reply.text, reply.text, None, [], reply.probability, reply.kind, reply.answered_by)
        written = cls.of(reply.text) if motion is None else with_figures(reply.text, motion)
        return replace(written, probability=reply.probability)

    @classmethod
    def of(cls, raw: str) -> WrittenAnswer:
        """Of a text alone."""
        try:
            return cls(raw, raw, parse(raw))
        except AnswerError:
            return cls(raw, raw, None)


def with_figures(text: str, motion: Motion, supports: Sequence[AUSupport] | None = None) -> WrittenAnswer:
    """Parse an answer and add what was measured for each statement, and a mark behind those that the motion
    does not support; nothing else is changed.

    ``supports``: ``aus.support.measure_support`` of the clip, measured here where None.
    """
    written = WrittenAnswer.of(text)
    if written.answer is None:
        return written
    if supports is None:
        supports = measure_support(motion) if written.answer.evidence else ()
    rows = evidence_for(written.answer, supports, motion)
    return replace(written, text=render(fill_figures(written.answer, rows)), evidence=rows)
