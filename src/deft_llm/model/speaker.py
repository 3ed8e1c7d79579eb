"""The language part of a checkpoint at work: answers (C, E, R) for clips, figures filled in from
measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deft_llm.answer import Answer, AnswerError, Held, Statement, fill_figures, parse, render
from deft_llm.errors import DeftError
from deft_llm.model.prompt import ANSWER_QUESTION
from deft_llm.records import Evidence
from deft_llm.store import Motion

if TYPE_CHECKING:
    from deft_llm.aus.support import AUSupport
    from deft_llm.model.inputs import MotionInput
    from deft_llm.model.predictor import MotionReader

SUPPORTED = 0.5
"""Support from which on the measured motion stands behind a statement."""


@dataclass
class Spoken:
    """One answer: the text as the model wrote it, with figures, parsed (None where it cannot be),
    evidence."""

    raw: str
    text: str
    answer: Answer | None
    evidence: list[Evidence] = field(default_factory=list)


class Speaker:
    """Answers for clips with a checkpoint that has a language part.

    ``reader``: the checkpoint's experts as ``--zero-shot`` reads them. With one, an answer is held to what
    they see: as evidence it names AUs that they are sure of (``zero_shot.evident_aus``), at least one where
    there are any, where and which way the motion is measured (``measured_places``) or else on the side where
    they see them (``seen_sides``), and its class is their likeliest or nearly so (``plausible_classes``),
    undetermined only where no AU is sure. Which of those, and all other words, are the language model's
    choice. Without a reader it may say anything of the grammar.
    Raises: DeftError for a checkpoint without a language part.
    """

    def __init__(self, model: Any, reader: MotionReader | None = None) -> None:
        if model.llm is None:
            raise DeftError("this checkpoint has no language part; train stage 2 or leave out the answers.")
        self.model, self.reader = model, reader

    @classmethod
    def from_checkpoint(cls, folder: Path, dtype: str = "float32") -> Speaker:
        """The model of a checkpoint folder with its language model."""
        from deft_llm.model.deft import DeftModel
        from deft_llm.model.predictor import MotionReader

        return cls(DeftModel.from_pretrained(folder, dtype=dtype), MotionReader.from_checkpoint(folder))

    def say(self, motions: Sequence[Motion], question: str | Sequence[str] = ANSWER_QUESTION, batch: int = 16,
            fines: Sequence[str] | None = None, max_new_tokens: int = 200) -> list[Spoken]:  # fmt: skip
        """One answer a clip to ``question`` (one for all, or one each); ``fines`` narrows the classes to a
        task's labels."""
        from deft_llm.aus.support import measure_support
        from deft_llm.model.deft import batch_of
        from deft_llm.model.face_inputs import face_input
        from deft_llm.model.inputs import motion_input

        asked = [question] * len(motions) if isinstance(question, str) else list(question)
        spoken: list[Spoken] = []
        for start in range(0, len(motions), batch):
            part = motions[start : start + batch]
            inputs, faces = [motion_input(m) for m in part], [face_input(m) for m in part]
            supports = [measure_support(m) for m in part]
            places = [measured_places(*found) for found in zip(part, supports)]
            grammars = self.grammars(inputs, faces, fines, places)
            clips = batch_of(inputs, faces)
            texts = self.model.answer(clips, asked[start : start + batch], grammars, max_new_tokens)
            spoken += [measured(*found) for found in zip(texts, part, supports, strict=True)]
        return spoken

    def grammars(
        self,
        inputs: Sequence[MotionInput],
        faces: Sequence[Any] | None = None,
        fines: Sequence[str] | None = None,
        places: Sequence[dict[int, Held]] | None = None,
    ) -> list[str]:
        """The grammar of each clip's answer: the classes and AUs that may be named, each on its side;
        ``places``: what is known of AUs beyond the experts' reading."""
        from deft_llm.facs.emotions import FINE, coarse_of
        from deft_llm.model.deft import answer_grammar
        from deft_llm.model.heads import evident_aus, plausible_classes, seen_sides

        if self.reader is None:
            return [answer_grammar(**({"fines": fines} if fines else {}))] * len(inputs)
        reading = self.reader.read(inputs, faces=faces)
        calibration = self.reader.config.get("calibration")
        sure = evident_aus(reading, calibration)
        if not self.bounded:
            return [answer_grammar(fines=fines or FINE, aus=aus, once=True) for aus in sure]
        seen = seen_sides(reading, calibration)
        grammars = []
        for aus, sides, more, coarses in zip(
            sure, seen, places or [{}] * len(seen), plausible_classes(reading, calibration), strict=True
        ):
            held = {number: Held(side) for number, side in sides.items()} | more
            known = [fine for fine in fines or FINE if coarse_of(fine) in coarses]
            grammars.append(
                answer_grammar(fines=known, coarses=coarses, aus=aus, held=held, once=True, decided=bool(aus))
            )
        return grammars

    @property
    def bounded(self) -> bool:
        """Whether the checkpoint says from when on its experts are sure."""
        config = self.reader.config if self.reader is not None else {}
        return "au_sure" in (config.get("calibration") or {})


def shared_speaker(folder: Path) -> Speaker:
    """The speaker of a checkpoint, loaded once a process however many ask for it; anew when its weights
    changed.

    Raises: DeftError for a folder without a checkpoint or without a language part.
    """
    from deft_llm.model.checkpoint import WEIGHTS

    weights = Path(folder) / WEIGHTS
    return _loaded(str(folder), weights.stat().st_mtime_ns if weights.is_file() else 0)


@lru_cache(maxsize=1)
def _loaded(folder: str, stamp: int) -> Speaker:
    return Speaker.from_checkpoint(Path(folder))


def measured_places(motion: Motion, supports: Sequence[AUSupport]) -> dict[int, Held]:
    """Side (of AUs that FACS sides), region and direction of each AU that the measured motion of a clip with
    known pixels supports; maps without a scale tell none. ``supports``: ``unimer.constraint.measure_support``
    of the clip."""
    from deft_llm.facs.units import entry, valid_directions

    if motion.units != "px":
        return {}
    held = {}
    for found in supports:
        if found.support < SUPPORTED:
            continue
        side = found.side if entry(found.au).scoring == "sides" else None
        fits = found.direction in valid_directions(found.au, found.region)
        held[found.au] = Held(side, found.region, found.direction) if fits else Held(side)
    return held


def measured(text: str, motion: Motion, supports: Sequence[AUSupport] | None = None) -> Spoken:
    """Parse an answer and add what was measured for each AU that it names; nothing else is changed.

    ``supports``: ``unimer.constraint.measure_support`` of the clip, measured here where None."""
    from deft_llm.aus.support import measure_support

    try:
        answer = parse(text)
    except AnswerError:
        return Spoken(text, text, None)
    if supports is None:
        supports = measure_support(motion) if answer.evidence else ()
    rows = evidence_for(answer, supports, motion)
    return Spoken(text, render(fill_figures(answer, rows)), answer, rows)


def evidence_for(answer: Answer, supports: Sequence[AUSupport], motion: Motion) -> list[Evidence]:
    """One row of evidence for each statement: its own words, the AU's support, and the motion of the place
    that it names."""
    found = {support.au: support for support in supports}
    return [_evidence(item, found.get(item.au), motion) for item in answer.evidence]


def _evidence(item: Statement, support: AUSupport | None, motion: Motion) -> Evidence:
    from deft_llm.aus.support import seen_at

    share = min(max(float(support.support), 0.0), 1.0) if support else 0.0
    place = support
    if support and support.judged and (support.region, support.side) != (item.region, item.side):
        place = seen_at(support, item.region, item.side, motion)
    return Evidence(
        au=item.au,
        side=item.side,
        part=item.part,
        region=item.region,
        direction=item.direction,
        dx=float(place.dx) if place else 0.0,
        dy=float(place.dy) if place else 0.0,
        px=place.px if place else None,
        iod_percent=place.iod_percent if place else None,
        z=place.z if place else None,
        support=share,
        status="supported" if share >= SUPPORTED else "unsupported",
        reason=support.reason if support else "this AU is not measured",
    )
