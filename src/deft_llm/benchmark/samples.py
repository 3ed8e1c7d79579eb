"""Samples from stores: what a method is trained on and asked, with labels of a named setting."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from deft_llm.benchmark.questions import ClipQuestions, units_answered
from deft_llm.corpora.labels import label, sort_out
from deft_llm.errors import DeftError
from deft_llm.evaluation.folds import FoldClip
from deft_llm.facs.emotions import fine_word
from deft_llm.facs.notation import shown_and_open
from deft_llm.methods.protocol import Sample, Task
from deft_llm.prepare.run import lost_clips
from deft_llm.records import ActionUnit, Clip, PredictionTruth
from deft_llm.store import Store

Key = tuple[str, str | None]


@dataclass
class SampleSet:
    """All samples of a run by clip, the truth that each is scored on, and what was left out and why."""

    samples: dict[str, list[Sample]]
    truths: dict[Key, PredictionTruth]
    classes: tuple[str, ...]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def all(self) -> list[Sample]:
        """Every sample in order of clip id."""
        return [sample for clip in sorted(self.samples) for sample in self.samples[clip]]

    def of(self, clips: Iterable[str]) -> list[Sample]:
        """Samples of some clips, labels included."""
        return [sample for clip in clips for sample in self.samples[clip]]

    @property
    def fold_clips(self) -> list[FoldClip]:
        """What folds are made from."""
        return [FoldClip(c, s[0].corpus, s[0].subject, s[0].label) for c, s in sorted(self.samples.items())]

    @property
    def questions(self) -> dict[str, list[str]] | None:
        """Question ids by clip; None where nothing is asked."""
        if not any(s.question for group in self.samples.values() for s in group):
            return None
        return {c: [s.question.question_id for s in g if s.question] for c, g in sorted(self.samples.items())}


def blind(sample: Sample) -> Sample:
    """The sample as predict sees it: without labels, AUs and answers."""
    question = replace(sample.question, answer=None) if sample.question else None
    return replace(sample, label=None, fine=None, aus=None, open_aus=frozenset(), question=question)


def collect(
    stores: Sequence[Store], task: str, setting: str, questions: Mapping[str, ClipQuestions] | None = None
) -> SampleSet:
    """Samples of all clips that the task can use; the others are listed with their reason.

    Raises: DeftError where a clip id is in two stores, or nothing is left.
    """
    found = SampleSet({}, {}, ())
    for store in stores:
        found.left_out |= lost_clips(store)
        found.left_out |= {failure.clip_id: f"not prepared: {failure.reason}" for failure in store.failures}
        for row in store.rows.values():
            clip = row.clip
            if clip.clip_id in found.samples:
                raise DeftError(
                    f"{store.root}: clip {clip.clip_id} is in two of the given corpora; give it once."
                )
            asked = questions.get(clip.clip_id) if questions is not None else None
            reason = _unusable(clip, task, setting, asked)
            if reason is not None:
                found.left_out[clip.clip_id] = reason
                continue
            load = partial(store.motion, clip.clip_id)
            _add(
                found,
                clip,
                Sample(clip.clip_id, clip.corpus, clip.subject, load, frozenset(row.has)),
                setting,
                asked,
            )
    if not found.samples:
        reasons = sorted(set(found.left_out.values()))[:2]
        raise DeftError(
            f"no clip can be used for --task {task} --labels {setting} ({'; '.join(reasons) or 'empty'})."
        )
    found.classes = _classes(found, setting)
    return found


def _unusable(clip: Clip, task: str, setting: str, asked: ClipQuestions | None) -> str | None:
    if task == "au":
        return None if clip.has_aus else "no AUs were coded"
    if task == "vqa":
        return None if asked else "no question is about it"
    left_out = sort_out([clip], setting).left_out.get(clip.clip_id)
    if left_out is None and _truth(clip, setting).label is None:
        return f"cannot be scored: the coder's class is in --labels {setting}, the true one is not"
    return left_out


def _add(found: SampleSet, clip: Clip, sample: Sample, setting: str, asked: ClipQuestions | None) -> None:
    shown, left_open = shown_and_open(clip.aus or ())
    aus = shown if clip.has_aus else None
    fine = fine_word(clip.emotion) if clip.emotion else None
    name = label(clip, setting)
    if asked:
        name, fine = name or asked.coarse, fine or asked.fine
        aus = units_answered(asked) if aus is None else aus
    sample = replace(sample, label=name, fine=fine, aus=aus, open_aus=left_open)
    truth = _truth(clip, setting)
    if not asked:
        found.samples[clip.clip_id] = [sample]
        found.truths[clip.clip_id, None] = truth
        return
    found.samples[clip.clip_id] = [replace(sample, question=question) for question in asked.questions]
    for question in asked.questions:
        found.truths[clip.clip_id, question.question_id] = truth.model_copy(
            update={"answer": question.answer}
        )


def _truth(clip: Clip, setting: str) -> PredictionTruth:
    """What a prediction is scored on: the annotation, or how a synthetic clip really is."""
    if clip.truth is not None:
        real = clip.truth
        known = {"aus": real.aus, "emotion": real.emotion, "coarse": real.coarse, "objective": None}
        clip = clip.model_copy(update=known)
    fine = fine_word(clip.emotion) if clip.emotion else None
    return PredictionTruth(fine=fine, coarse=clip.coarse, label=label(clip, setting), aus=_detected(clip))


def _detected(clip: Clip) -> list[ActionUnit] | None:
    """The coded AUs that a method should find: not those that are only referred to (``ref(6)``)."""
    return None if clip.aus is None else [unit for unit in clip.aus if not unit.referred]


def _classes(found: SampleSet, setting: str) -> tuple[str, ...]:
    if setting == "megc3":
        return Task().classes
    names = {s.label for group in found.samples.values() for s in group if s.label is not None}
    return tuple(sorted(names | {t.label for t in found.truths.values() if t.label is not None}))


def keep_what_method_needs(found: SampleSet, needs: frozenset[str], method: str) -> None:
    """Move clips that lack what ``method`` needs to ``left_out``. Raises: DeftError where none remains."""
    lacking: dict[str, list[str]] = defaultdict(list)
    for clip, group in found.samples.items():
        missing = needs - group[0].has
        if missing:
            lacking[", ".join(sorted(missing))].append(clip)
    for words, clips in lacking.items():
        for clip in clips:
            questions = [s.question.question_id if s.question else None for s in found.samples.pop(clip)]
            for question in questions:
                found.truths.pop((clip, question))
            found.left_out[clip] = f"{method} needs {words}, which the clip lacks"
    if not found.samples:
        raise DeftError(
            f"--method {method} needs {next(iter(lacking))}, which these clips lack (flow maps "
            f"have no "
            "faces); choose a method that reads flow: svm, ststnet, mdmo_svm, deft."
        )
