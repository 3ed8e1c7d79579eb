"""DEFT as a method of the benchmark and the Analyzer: the checkpoint as it is, or refitted on a fold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from deft_llm.errors import DeftError, UsageError
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.files import digest, is_whole, seal, sha256_of
from deft_llm.methods.decisions import unit_targets
from deft_llm.methods.protocol import Sample, Task
from deft_llm.methods.refit import AURefit, EmotionRefit, RefitSettings
from deft_llm.model.checkpoint import CONFIG, SHIPPED, WEIGHTS, existing_checkpoint
from deft_llm.model.heads import (
    Calibration,
    au_probabilities,
    class_log_probabilities,
    presence_logits,
    seen_sides,
    with_beliefs,
    with_stated,
)
from deft_llm.model.language import ANSWER_QUESTION, EXPERTS
from deft_llm.model.predictor import (
    CROPS,
    READ_BATCH,
    FeatureSets,
    Predictor,
    load_predictor,
    load_readout,
    save_readout,
)
from deft_llm.model.questions import Reply
from deft_llm.model.readout import Readout
from deft_llm.model.units import AU_INDEX
from deft_llm.records import COARSE, AUSide, Prediction, person

FEATURES = ("pixels", "tokens", "clean", "logits")
"""Feature sets that a refit learns from (``predictor.FeatureSets``)."""
LEAST_AU_SUBJECTS = 5
"""Subjects with coded AUs from which on an emotion run refits the AUs too."""


OPTIONS = ("checkpoint", "zero_shot", "answers", "feature_sets", "refit")


def build(task: Task, **options: Any) -> DeftMethod:
    """``deft`` for a task. Options: checkpoint (folder), zero_shot, answers, feature_sets, refit={ridge: ..}.

    Raises: UsageError for another option.
    """
    if unknown := [name for name in options if name not in OPTIONS]:
        raise UsageError(f"method deft: unknown option {unknown[0]}; known: {', '.join(OPTIONS)}.")
    return DeftMethod(task, **options)


class Seen(NamedTuple):
    """What was read of clips, and rows (n,): the clip of each sample."""

    readout: Readout
    features: FeatureSets
    rows: np.ndarray


@dataclass
class DeftMethod:
    """``fit`` refits kernel machines on frozen expert features; without it the checkpoint is used
    as it is."""

    task: Task
    checkpoint: str | None = None
    zero_shot: bool = False
    answers: bool = False
    feature_sets: Sequence[str] | str = FEATURES
    refit: dict[str, Any] = field(default_factory=dict)
    name: str = "deft"
    needs: frozenset[str] = frozenset({"flow"})
    selection_only: bool = False

    def __post_init__(self) -> None:
        self.folder = existing_checkpoint(Path(self.checkpoint)) if self.checkpoint else SHIPPED
        if isinstance(self.feature_sets, str):
            self.feature_sets = tuple(part for part in self.feature_sets.split(",") if part)
        if unknown := [name for name in self.feature_sets if name not in FEATURES]:
            raise UsageError(f"feature_sets: {unknown[0]} is unknown; choose from {', '.join(FEATURES)}.")
        self._rows_of: dict[str, int] = {}
        self._kept: tuple[Readout, FeatureSets] | None = None
        self._both_phases = False
        self._fitted: EmotionRefit | None = None
        self._aus: AURefit | None = None

    # -- reading ------------------------------------------------------------------------------------

    @property
    def predictor(self) -> Predictor:
        """The checkpoint, loaded at first use, shared with whatever else uses it in this process."""
        return load_predictor(self.folder)

    @property
    def calibration(self) -> Calibration | None:
        """Calibration of the heads that the checkpoint carries."""
        return self.predictor.calibration

    def digests(self) -> dict[str, str]:
        """SHA-256 of the checkpoint's weights and of its config, which holds their calibration; "" for one
        that is not there."""
        files = {"weights": self.folder / WEIGHTS, "config": self.folder / CONFIG}
        return {name: sha256_of(file) if file.is_file() else "" for name, file in files.items()}

    def prepare(self, samples: Sequence[Sample], workdir: Path) -> None:
        """Read all clips once (no labels are there to see) and keep what was read in ``workdir``."""
        clips, checkpoint = _unique(samples), self.digests()
        path = Path(workdir) / f"readout-{digest([list(clips), checkpoint, list(CROPS)])}.npz"
        if not is_whole(path):
            save_readout(path, *self._read(clips.values()))
            seal(path)
        self._kept = load_readout(path)
        self._rows_of = {clip: row for row, clip in enumerate(clips)}
        self._both_phases = bool(self._kept[1].phases.all())

    def _read(self, samples: Iterable[Sample]) -> tuple[Readout, FeatureSets]:
        predictor = self.predictor
        return predictor.read_with_features(*predictor.inputs_of(sample.motion for sample in samples))

    def _seen(self, samples: Sequence[Sample]) -> Seen:
        """What was read of the clips (one at least); those that ``prepare`` did not see are read for this
        call and not kept."""
        clips = _unique(samples)
        fresh = {clip: sample for clip, sample in clips.items() if clip not in self._rows_of}
        parts = [self._kept] if self._kept is not None and len(fresh) < len(clips) else []
        start = len(self._rows_of) if parts else 0
        rows_of = {**self._rows_of, **{clip: start + number for number, clip in enumerate(fresh)}}
        if fresh:
            parts.append(self._read(fresh.values()))
        readout, features = parts[0]
        if len(parts) > 1:
            readout = Readout.joined([part[0] for part in parts])
            features = FeatureSets.joined([part[1] for part in parts])
        return Seen(readout, features, np.array([rows_of[sample.clip_id] for sample in samples], int))

    def readout(self, samples: Sequence[Sample]) -> Readout:
        """What the checkpoint's experts say of the clips, one row per sample; nothing adapted."""
        seen = self._seen(samples)
        return seen.readout.take(seen.rows)

    def features(self, samples: Sequence[Sample]) -> dict[str, np.ndarray]:
        """The tokens of each frozen expert, one (N, T * W) array per expert, for probes.

        Face experts are there where the checkpoint has them and every clip has faces.
        """
        readout = self.readout(samples)
        found = {}
        for index, name in enumerate(EXPERTS):
            tokens = getattr(readout, name)
            if tokens is not None and bool(readout.saw[:, index].all()):
                found[name] = tokens.flatten(1).numpy()
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
        if not self._rows_of:
            self.prepare([*train, *val], workdir)
        self._fitted, self._aus = None, None  # nothing of another fold
        known = self._labelled(train if self.selection_only else [*train, *val])
        select = self._labelled(val) if self.selection_only else []
        if self.task.name == "au":
            self._aus = self._fit_aus(known, select)
            return
        coded = [sample for sample in known if sample.aus is not None]
        if len({sample.subject for sample in coded}) >= LEAST_AU_SUBJECTS:
            # Where coders marked AUs as well, the AUs of an emotion run are refitted too, and tell classes.
            self._aus = self._fit_aus(coded, [sample for sample in select if sample.aus is not None])
        self._fitted = self._fit_emotion(known, select)

    def _labelled(self, samples: Sequence[Sample]) -> list[Sample]:
        if self.task.name == "au":
            return [sample for sample in samples if sample.aus is not None]
        return list(_unique(sample for sample in samples if sample.label is not None).values())

    def _settings(self) -> RefitSettings:
        try:
            given: dict[str, Any] = {name: float(value) for name, value in self.refit.items()}
            return RefitSettings(**given)
        except TypeError as error:
            raise UsageError(f"refit options: {error}; known: ridge, stack_ridge.") from error

    def _sets(self, seen: Seen) -> list[np.ndarray]:
        return [seen.features.of(name, self._both_phases) for name in self.feature_sets]

    def _class_sets(self, sets: list[np.ndarray], seen: Seen, aus: np.ndarray) -> list[np.ndarray]:
        """Feature sets that classes are read from: where AUs were refitted, their probabilities (n, K) as
        well."""
        if self._aus is None:
            return sets
        told = np.zeros((len(seen.readout), 1, len(self.task.aus)))
        told[seen.rows, 0] = aus
        return [*sets, told]

    def _fit_emotion(self, known: Sequence[Sample], select: Sequence[Sample]) -> EmotionRefit:
        index = {name: number for number, name in enumerate(self.task.classes)}
        if not known:
            raise UsageError("deft: no labelled clip to fit on; give training subjects or use --zero-shot.")
        seen, count = self._seen([*known, *select]), len(known)
        chosen = (seen.rows[count:], _numbers(select, index)) if select else None
        rows, truth = seen.rows[:count], _numbers(known, index)
        sets = self._sets(seen)
        aus = self._au_probabilities(sets, seen)
        if self._aus is not None:
            # Of clips whose AUs were fitted on, what was told of them while their subject was held out.
            coded = [place for place, sample in enumerate(known) if sample.aus is not None]
            aus[coded] = self._aus.held
        sets = self._class_sets(sets, seen, aus)
        model = EmotionRefit(len(index), self._settings())
        return model.fit(sets, self._prior_classes(seen), rows, truth, _groups(known), chosen)

    def _fit_aus(self, known: Sequence[Sample], select: Sequence[Sample]) -> AURefit:
        if not known:
            raise UsageError("deft: no clip with coded AUs to fit on; join them with --annotations.")
        seen, count = self._seen([*known, *select]), len(known)
        chosen = (seen.rows[count:], unit_targets(select, self.task.aus)) if select else None
        rows, truth = seen.rows[:count], unit_targets(known, self.task.aus)
        model = AURefit(self._settings())
        return model.fit(self._sets(seen), self._prior_aus(seen), rows, truth, _groups(known), chosen)

    def _prior_classes(self, seen: Seen) -> np.ndarray | None:
        """(N, K) log probabilities of the task's classes before any fit; None where the heads
        know them not."""
        # The refit finds class biases of its own: the head is taken as it was trained.
        calibration = self.calibration and {**self.calibration, "class_shares": None}
        try:
            return class_log_probabilities(seen.readout, self.task.classes, calibration)
        except UsageError:
            return None

    def _prior_aus(self, seen: Seen) -> np.ndarray:
        """(N, len(task.aus)) presence logits before any fit; 0 for an AU that the experts do not know."""
        logits = presence_logits(seen.readout, self.calibration)
        columns = [AU_INDEX.get(number) for number in self.task.aus]
        return np.stack([logits[:, c] if c is not None else np.zeros(len(logits)) for c in columns], 1)

    # -- predict ------------------------------------------------------------------------------------

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Class probabilities and AU probabilities of each sample; AUs carry sides."""
        if not samples:
            return []
        self._refuse_known_subjects(samples)
        seen = self._seen(samples)
        stated = [sample.stated for sample in samples]
        readout = with_stated(seen.readout.take(seen.rows), stated, self.calibration)
        sets = self._sets(seen) if self._fitted is not None or self._aus is not None else []
        aus = self._au_probabilities(sets, seen)
        classes = self._class_probabilities(sets, seen, readout, aus)
        sides = seen_sides(au_probabilities(readout, self.calibration))
        found = [
            self._prediction(sample, classes[i] if classes is not None else None, aus[i], sides[i])
            for i, sample in enumerate(samples)
        ]
        if self.answers:
            adapted = self._adapted(readout, classes, aus)
            for start in range(0, len(samples), READ_BATCH):
                part = slice(start, start + READ_BATCH)
                self._answer(samples[part], found[part], adapted.take(part))
        return found

    def _adapted(self, readout: Readout, classes: np.ndarray | None, aus: np.ndarray) -> Readout:
        """The readout with the beliefs that a fit gave, so that what is adapted is what answers."""
        known = {a: p for a, p in zip(self.task.aus, aus.T) if a in AU_INDEX} if self._aus else {}
        labels = dict(zip(self.task.classes, classes.T)) if self._fitted and classes is not None else {}
        return with_beliefs(readout, known, labels, self.calibration)

    def _answer(self, samples: Sequence[Sample], rows: list[Prediction], readout: Readout) -> None:
        """Add the language model's answer to each row; its class is kept beside the head's."""
        # "surprise" is a coarse class too: three coarse classes narrow no fine label.
        narrow = not set(self.task.classes) <= set(COARSE)
        fines = [name for name in self.task.classes if name in FINE] if narrow else None
        asked = [sample.question.text if sample.question else ANSWER_QUESTION for sample in samples]
        clips = {clip: sample.motion for clip, sample in _unique(samples).items()}
        motions = [clips[sample.clip_id] for sample in samples]
        written = self.predictor.answer(readout, asked, motions, fines=fines)
        for row, one in zip(rows, written, strict=True):
            row.answer, row.parsed = one.text, one.complete
            row.answered_by = one.answered_by
            if one.answer is None:
                continue
            row.evidence = one.evidence
            words = (one.answer.fine, one.answer.coarse)
            row.text_label = next((word for word in words if word in self.task.classes), None)

    @property
    def has_language(self) -> bool:
        """Whether the checkpoint has a language part, which answers questions by itself."""
        return self.predictor.has_language

    def ask(
        self, samples: Sequence[Sample], beliefs: Sequence[dict[str, dict[str, float]]],
        fines: Sequence[str] | None = None,
    ) -> list[Reply]:  # fmt: skip
        """The language model's answer to each sample's question, conditioned on adapted beliefs.

        ``beliefs``: tables of clip_id to probabilities, of Action Units by number or of classes by name, as
        the predictions of refits hold them; ``fines``: the fine labels of the task.
        """
        clips = _unique(samples)
        readout = self.readout(list(clips.values()))
        for table in beliefs:
            columns = {
                name: np.array([table[clip][name] for clip in clips]) for name in table[next(iter(clips))]
            }
            units = {int(name): p for name, p in columns.items() if name.isdigit() and int(name) in AU_INDEX}
            readout = with_beliefs(readout, units, {} if units else columns, self.calibration)
        questions: dict[str, list[str]] = {clip: [] for clip in clips}
        for sample in samples:
            questions[sample.clip_id].append(sample.question.text if sample.question else ANSWER_QUESTION)
        replies = self.predictor.ask(readout, list(questions.values()), fines=fines)
        waiting = {clip: iter(row) for clip, row in zip(clips, replies, strict=True)}
        return [next(waiting[sample.clip_id]) for sample in samples]

    def _refuse_known_subjects(self, samples: Sequence[Sample]) -> None:
        """A checkpoint never scores a subject that it was trained on, or chosen by."""
        before = self.predictor.config.get("trained_on") or {}
        met = {person(name) for kind in ("subjects", "validation_subjects") for name in before.get(kind, ())}
        known = sorted({sample.subject for sample in samples if person(sample.subject) in met})
        if known and not self.selection_only:
            raise DeftError(
                f"{self.folder}: was trained or validated on {known[0]} ({len(known)} of these subjects); "
                "score it on subjects that it has not seen."
            )

    def _class_probabilities(
        self, sets: list[np.ndarray], seen: Seen, readout: Readout, aus: np.ndarray
    ) -> np.ndarray | None:
        if self._fitted is not None:
            read = self._class_sets(sets, seen, aus)
            return self._fitted.probabilities(read, self._prior_classes(seen), seen.rows)
        if self.task.name == "au":
            return None
        return np.exp(class_log_probabilities(readout, self.task.classes, self.calibration))

    def _au_probabilities(self, sets: list[np.ndarray], seen: Seen) -> np.ndarray:
        prior = self._prior_aus(seen)
        if self._aus is not None:
            return self._aus.probabilities(sets, prior, seen.rows)
        found: np.ndarray = expit(prior[seen.rows])
        return found

    def side_margins(self, samples: Sequence[Sample]) -> list[dict[int, float]]:
        """Per clip, of each AU: the probability of its left minus that of its right, the subject's own."""
        both = au_probabilities(self.readout(samples), self.calibration)
        return [{au: float(row[i, 0] - row[i, 1]) for au, i in AU_INDEX.items()} for row in both]

    def _prediction(
        self, sample: Sample, classes: np.ndarray | None, aus: np.ndarray, sides: dict[int, AUSide]
    ) -> Prediction:
        probabilities, label = {}, None
        if classes is not None:
            clipped = np.clip(classes, 0.0, 1.0)
            probabilities = {name: float(p) for name, p in zip(self.task.classes, clipped, strict=True)}
            label = self.task.classes[int(classes.argmax())]
        fine = label if label in FINE else None
        coarse = label if label in COARSE else coarse_of(fine)
        return Prediction(
            method=self.name, task="au" if self.task.name == "au" else "emotion", clip_id=sample.clip_id,
            question_id=sample.question.question_id if sample.question else None, corpus=sample.corpus,
            subject=sample.subject, label_space=self.task.label_space, probabilities=probabilities,
            label=label, fine=fine, coarse=coarse,
            sides={str(a): sides.get(a, "both") for a in self.task.aus if a in AU_INDEX},
            aus={str(a): float(np.clip(p, 0.0, 1.0)) for a, p in zip(self.task.aus, aus, strict=True)},
        )  # fmt: skip


def _numbers(samples: Sequence[Sample], index: dict[str, int]) -> np.ndarray:
    """Class numbers (N,) of labelled samples."""
    return np.array([index[str(sample.label)] for sample in samples])


def _unique(samples: Iterable[Sample]) -> dict[str, Sample]:
    """The first sample of each clip, by its id."""
    found: dict[str, Sample] = {}
    for sample in samples:
        found.setdefault(sample.clip_id, sample)
    return found


def _groups(samples: Sequence[Sample]) -> np.ndarray:
    """Subject numbers (N,)."""
    return np.unique([sample.subject for sample in samples], return_inverse=True)[1]
