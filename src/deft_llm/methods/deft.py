"""DEFT as a method of the benchmark and the Analyzer: the shipped experts as they are, or refitted on a
fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.errors import DeftError, UsageError
from deft_llm.files import digest
from deft_llm.methods.protocol import Sample, Task
from deft_llm.records import AUSide, Prediction

EMOTION_VIEWS = ("pixels", "tokens", "clean", "judgement")
AU_VIEWS = ("pixels", "tokens", "clean", "judgement")


def build(task: Task, **options: Any) -> DeftMethod:
    """``deft`` for a task. Options: checkpoint (folder), zero_shot, answers, views, rules, refit={ridge:
    ..}."""
    return DeftMethod(task, **options)


@dataclass
class DeftMethod:
    """``fit`` refits small machines on frozen expert features; without ``fit`` the checkpoint speaks as it
    is."""

    task: Task
    checkpoint: str | None = None
    zero_shot: bool = False
    answers: bool = False
    views: Sequence[str] | str | None = None
    rules: float | None = None
    refit: dict[str, Any] = field(default_factory=dict)
    name: str = "deft"
    needs: frozenset[str] = frozenset({"flow"})
    selection_only: bool = False

    def __post_init__(self) -> None:
        from deft_llm.model.checkpoint import SHIPPED
        from deft_llm.model.predictor import MotionReader

        self.folder = Path(self.checkpoint) if self.checkpoint else SHIPPED
        self._reader: MotionReader | None = None
        self._cache: dict[str, int] = {}
        self._reading: Any = None
        self._fitted: Any = None
        self._aus: Any = None
        self._speaker: Any = None
        if isinstance(self.views, str):
            self.views = tuple(part for part in self.views.split(",") if part)

    # -- reading ------------------------------------------------------------------------------------

    @property
    def reader(self):
        """The frozen experts, loaded at first use."""
        if self._reader is None:
            from deft_llm.model.predictor import MotionReader

            self._reader = MotionReader.from_checkpoint(self.folder)
        return self._reader

    @property
    def calibration(self) -> dict[str, Any] | None:
        """AU calibration that the checkpoint carries."""
        return self.reader.config.get("calibration")

    def prepare(self, samples: Sequence[Sample], workdir: Path) -> None:
        """Read all clips once (no labels are there to see) and keep the reading in ``workdir``."""
        from deft_llm.files import sha256_of
        from deft_llm.model.checkpoint import WEIGHTS
        from deft_llm.model.crops import CROPS
        from deft_llm.model.predictor import Reading

        ids = _unique(samples)
        key = (
            digest([list(ids), sha256_of(self.folder / WEIGHTS), list(CROPS)])
            if (self.folder / WEIGHTS).is_file()
            else ""
        )
        path = Path(workdir) / f"reading-{key}.npz"
        if key and path.is_file():
            reading = Reading.load(path)
        else:
            reading = self._read(list(ids.values()))
            if key:
                reading.save(path)
                reading = Reading.load(path)
        self._reading, self._cache = reading, {clip: row for row, clip in enumerate(ids)}

    def _read(self, samples: Sequence[Sample], both_phases: bool | None = None):
        from deft_llm.model.face_inputs import face_input
        from deft_llm.model.inputs import motion_input

        inputs, faces = [], []
        for sample in samples:
            motion = sample.motion
            inputs.append(motion_input(motion))
            faces.append(face_input(motion) if self.reader.faces is not None else None)
        return self.reader.read(inputs, both_phases=both_phases, faces=faces)

    def _rows(self, samples: Sequence[Sample]) -> np.ndarray:
        if any(sample.clip_id not in self._cache for sample in samples):
            raise DeftError(
                "deft: clips were not read before the folds; call prepare() with all of them first."
            )
        return np.array([self._cache[sample.clip_id] for sample in samples], dtype=int)

    def features(self, samples: Sequence[Sample]) -> dict[str, np.ndarray]:
        """What each frozen expert says of each clip, one (N, D) array an expert, for probes.

        Face experts are there where the checkpoint has them and every clip has faces.
        """
        import torch

        from deft_llm.model.face_inputs import face_input

        self._extend({sample.clip_id: sample for sample in samples if sample.clip_id not in self._cache})
        found = {"motion": self._reading.tokens[self._rows(samples), 0]}
        faces = self.reader.faces
        seen = [face_input(sample.motion) for sample in samples] if faces is not None else []
        if faces is None or any(one is None for one in seen):
            return found
        stack = lambda name: torch.from_numpy(np.stack([getattr(one, name) for one in seen]))  # noqa: E731
        with torch.inference_mode():
            if faces.structure is not None:
                read = faces.structure(stack("landmarks"), stack("appearance"), stack("space"))
                found["structure"] = read.tokens.flatten(1).numpy()
            if faces.texture is not None:
                found["texture"] = faces.texture(stack("change")).tokens.flatten(1).numpy()
        return found

    # -- fit ----------------------------------------------------------------------------------------

    def fit(self, train: Sequence[Sample], val: Sequence[Sample], *, seed: int, workdir: Path) -> None:
        """Refit on train and validation subjects together (on train alone where ``selection_only``).

        Held-out scores inside these subjects choose weights and thresholds; nothing is random, so ``seed`` is
        not used. Raises: UsageError in zero-shot mode or without labels.
        """
        del seed
        if self.zero_shot:
            raise UsageError(
                "deft --zero-shot: the checkpoint is used as it is; leave out --zero-shot to fit."
            )
        if not self._cache:
            self.prepare([*train, *val], workdir)
        known = self._labelled(train if self.selection_only else [*train, *val])
        select = self._labelled(val) if self.selection_only else []
        if self.task.name == "au":
            self._aus = self._fit_aus(known, select)
            return
        self._fitted = self._fit_emotion(known, select)
        coded = [sample for sample in known if sample.aus is not None]
        if len({sample.subject for sample in coded}) >= 5:
            # Where coders marked AUs as well, the AUs of an emotion run are refitted too.
            self._aus = self._fit_aus(coded, [sample for sample in select if sample.aus is not None])

    def _labelled(self, samples: Sequence[Sample]) -> list[Sample]:
        if self.task.name == "au":
            return [sample for sample in samples if sample.aus is not None]
        return list(_unique(sample for sample in samples if sample.label is not None).values())

    def _settings(self):
        from deft_llm.methods.refit import RefitSettings

        try:
            return RefitSettings(**{name: float(value) for name, value in self.refit.items()})
        except TypeError as error:
            raise UsageError(f"refit options: {error}; known: ridge, stack_ridge.") from error

    def _fit_emotion(self, known: Sequence[Sample], select: Sequence[Sample]):
        from deft_llm.methods.fold_fit import EmotionRefit, views_of

        index = {name: number for number, name in enumerate(self.task.classes)}
        rows, labels = self._rows(known), _numbers(known, index)
        if len(rows) == 0:
            raise UsageError("deft: no labelled clip to fit on; give training subjects or use --zero-shot.")
        chosen = None
        if select:
            chosen = self._rows(select), _numbers(select, index)
        views = views_of(self._reading, self.views or EMOTION_VIEWS)
        model = EmotionRefit(len(index), self._settings())
        return model.fit(views, self._emotion_opinion(), rows, labels, _groups(known), chosen)

    def _fit_aus(self, known: Sequence[Sample], select: Sequence[Sample]):
        from deft_llm.methods.fold_fit import AURefit, au_opinion, views_of

        if not known:
            raise UsageError("deft: no clip with coded AUs to fit on; join them with --annotations.")
        table = lambda samples: np.array([[a in s.aus for a in self.task.aus] for s in samples], float)  # noqa: E731
        views = views_of(self._reading, self.views or AU_VIEWS)
        opinion = au_opinion(self._reading, self.task.aus, self.calibration)
        chosen = (self._rows(select), table(select)) if select else None
        model = AURefit(tuple(self.task.aus), self._settings())
        return model.fit(views, opinion, self._rows(known), table(known), _groups(known), chosen)

    # -- predict ------------------------------------------------------------------------------------

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Class probabilities and AU probabilities of each sample; AUs carry sides."""
        if not samples:
            return []
        self._refuse_known_subjects(samples)
        if any(sample.clip_id not in self._cache for sample in samples):
            # Clips that prepare() did not see: read them; what was fitted stays.
            ids = _unique(samples)
            fresh = {clip: sample for clip, sample in ids.items() if clip not in self._cache}
            self._extend(fresh)
        rows = self._rows(samples)
        classes, aus = self._class_probabilities(rows), self._au_probabilities(rows)
        sides = self._sides(rows)
        found = [
            self._prediction(sample, classes[i] if classes is not None else None, aus[i], sides[i])
            for i, sample in enumerate(samples)
        ]
        if self.answers:
            self._speak(samples, found)
        return found

    def _speak(self, samples: Sequence[Sample], rows: list[Prediction]) -> None:
        """Add the language model's own answer to each row; its class is kept beside the head's."""
        from deft_llm.facs.emotions import FINE
        from deft_llm.model.prompt import ANSWER_QUESTION
        from deft_llm.model.speaker import shared_speaker

        if self._speaker is None:
            self._speaker = shared_speaker(self.folder)
        fines = [name for name in self.task.classes if name in FINE] or None
        asked = [sample.question.text if sample.question else ANSWER_QUESTION for sample in samples]
        spoken = self._speaker.say([sample.motion for sample in samples], asked, fines=fines)
        for row, said in zip(rows, spoken, strict=True):
            row.answer, row.parsed = said.text, said.answer is not None
            if said.answer is None:
                continue
            row.evidence = said.evidence
            words = (said.answer.fine, said.answer.coarse)
            row.text_label = next((word for word in words if word in self.task.classes), None)

    def _refuse_known_subjects(self, samples: Sequence[Sample]) -> None:
        """A checkpoint never scores a subject that it was trained on."""
        trained = set((self.reader.config.get("trained_on") or {}).get("subjects", ()))
        known = sorted({sample.subject for sample in samples} & trained)
        if known and not self.selection_only:
            raise DeftError(
                f"{self.folder}: was trained on {known[0]} ({len(known)} of these subjects); "
                "score it on subjects that it has not seen."
            )

    def _extend(self, fresh: dict[str, Sample]) -> None:
        from dataclasses import fields

        from deft_llm.model.experts import GRID
        from deft_llm.model.predictor import Reading

        if not fresh:
            return
        both = None
        if self._reading is not None:  # clips with and without a second phase must lie in one table
            both = self._reading.pixels.shape[-1] == 2 * 3 * GRID * GRID
        added = self._read(list(fresh.values()), both)
        start = len(self._cache)
        if self._reading is None:
            self._reading = added
        else:
            self._reading = Reading(**{
                f.name: np.concatenate([getattr(self._reading, f.name), getattr(added, f.name)])
                for f in fields(Reading)
            })  # fmt: skip
        self._cache.update({clip: start + number for number, clip in enumerate(fresh)})

    def _rules_weight(self) -> float:
        if self.rules is not None:
            return float(self.rules)
        return float(self.reader.config.get("rules_weight", 0.0))

    def _emotion_opinion(self) -> np.ndarray | None:
        from deft_llm.model.heads import class_log_probabilities

        # The refit finds class biases of its own: the head speaks as it was trained.
        calibration = self.calibration and {**self.calibration, "class_shares": None}
        try:
            return class_log_probabilities(
                self._reading, list(self.task.classes), calibration, self._rules_weight()
            )
        except UsageError:
            return None

    def _class_probabilities(self, rows: np.ndarray) -> np.ndarray | None:
        from deft_llm.methods.fold_fit import EmotionRefit, views_of
        from deft_llm.model.heads import class_log_probabilities

        if isinstance(self._fitted, EmotionRefit):
            reading = self._reading
            return self._fitted.probabilities(
                views_of(reading, self.views or EMOTION_VIEWS), self._emotion_opinion(), rows
            )
        if self.task.name == "au":
            return None
        classes = list(self.task.classes)
        found = class_log_probabilities(
            self._reading.take(rows), classes, self.calibration, self._rules_weight()
        )
        return np.exp(found)

    def _au_probabilities(self, rows: np.ndarray) -> np.ndarray:
        from deft_llm.methods.fold_fit import AURefit, au_opinion, views_of
        from deft_llm.model.heads import sigmoid

        opinion = au_opinion(self._reading, self.task.aus, self.calibration)
        if isinstance(self._aus, AURefit):
            return self._aus.probabilities(views_of(self._reading, self.views or AU_VIEWS), opinion, rows)
        return sigmoid(opinion[rows])

    def _sides(self, rows: np.ndarray) -> list[dict[str, AUSide]]:
        from deft_llm.facs.units import entry
        from deft_llm.model.heads import au_probabilities
        from deft_llm.model.units import AU_INDEX

        both = au_probabilities(self._reading.take(rows), self.calibration)
        known = [number for number in self.task.aus if number in AU_INDEX]
        table: list[dict[str, AUSide]] = []
        for row in both:
            found: dict[str, AUSide] = {}
            for number in known:
                left, right = row[AU_INDEX[number]]
                if entry(number).scoring != "sides" or abs(left - right) < 0.35:
                    found[str(number)] = "both"
                else:
                    found[str(number)] = "left" if left > right else "right"
            table.append(found)
        return table

    def _prediction(
        self, sample: Sample, classes: np.ndarray | None, aus: np.ndarray, sides: dict[str, AUSide]
    ) -> Prediction:
        from deft_llm.facs.emotions import FINE, coarse_of

        probabilities = {}
        label = None
        if classes is not None:
            clipped = np.clip(classes, 0.0, 1.0)
            probabilities = {name: float(p) for name, p in zip(self.task.classes, clipped, strict=True)}
            label = self.task.classes[int(classes.argmax())]
        fine = label if label in FINE else None
        coarse = label if label in ("negative", "positive", "surprise") else coarse_of(fine)
        return Prediction(
            method=self.name, task="au" if self.task.name == "au" else "emotion", clip_id=sample.clip_id,
            question_id=sample.question.question_id if sample.question else None, corpus=sample.corpus,
            subject=sample.subject, label_space=self.task.label_space, probabilities=probabilities,
            label=label, fine=fine, coarse=coarse, sides=sides,
            aus={str(a): float(np.clip(p, 0.0, 1.0)) for a, p in zip(self.task.aus, aus, strict=True)},
        )  # fmt: skip


def _numbers(samples: Sequence[Sample], index: dict[str, int]) -> np.ndarray:
    """Class numbers (N,) of labelled samples."""
    return np.array([index[str(sample.label)] for sample in samples])


def _unique(samples: Any) -> dict[str, Sample]:
    found: dict[str, Sample] = {}
    for sample in samples:
        found.setdefault(sample.clip_id, sample)
    return found


def _groups(samples: Sequence[Sample]) -> np.ndarray:
    return np.unique([sample.subject for sample in samples], return_inverse=True)[1]


__all__ = ["DeftMethod", "build"]
