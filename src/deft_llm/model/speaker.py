"""The language part of a checkpoint at work: answers (C, E, R) for clips, figures filled in from
measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deft_llm.answer import Answer, AnswerError, fill_figures, parse, render
from deft_llm.errors import DeftError
from deft_llm.model.prompt import ANSWER_QUESTION
from deft_llm.records import AUSide, Evidence
from deft_llm.store import Motion

if TYPE_CHECKING:
    from deft_llm.model.inputs import MotionInput
    from deft_llm.model.reader import MotionReader
    from deft_llm.unimer.constraint import AUSupport

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
    there are any, on the side where the motion is measured (``measured_sides``) or else where they see them
    (``seen_sides``), and its class is their likeliest or
    nearly so (``plausible_classes``), undetermined only where no AU is sure. Which of those, and all other
    words, are the language model's choice. Without a reader it may say anything of the grammar.
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
        from deft_llm.model.reader import MotionReader

        return cls(DeftModel.from_pretrained(folder, dtype=dtype), MotionReader.from_checkpoint(folder))

    def say(self, motions: Sequence[Motion], question: str | Sequence[str] = ANSWER_QUESTION, batch: int = 16,
            fines: Sequence[str] | None = None, max_new_tokens: int = 200) -> list[Spoken]:  # fmt: skip
        """One answer a clip to ``question`` (one for all, or one each); ``fines`` narrows the classes to a
        task's labels."""
        from deft_llm.model.deft import batch_of
        from deft_llm.model.face_inputs import face_input
        from deft_llm.model.inputs import motion_input
        from deft_llm.unimer.constraint import measure_support

        asked = [question] * len(motions) if isinstance(question, str) else list(question)
        spoken: list[Spoken] = []
        for start in range(0, len(motions), batch):
            part = motions[start : start + batch]
            inputs, faces = [motion_input(m) for m in part], [face_input(m) for m in part]
            supports = [measure_support(m) for m in part]
            sides = [measured_sides(*found) for found in zip(part, supports)]
            grammars = self.grammars(inputs, faces, fines, sides)
            clips = batch_of(inputs, faces)
            texts = self.model.answer(clips, asked[start : start + batch], grammars, max_new_tokens)
            spoken += [measured(*found) for found in zip(texts, part, supports, strict=True)]
        return spoken

    def grammars(
        self,
        inputs: Sequence[MotionInput],
        faces: Sequence[Any] | None = None,
        fines: Sequence[str] | None = None,
        sides: Sequence[dict[int, AUSide]] | None = None,
    ) -> list[str]:
        """The grammar of each clip's answer: the classes and AUs that may be named, each on its side;
        ``sides``: what is known of them beyond the experts' reading."""
        from deft_llm.facs.emotions import FINE, coarse_of
        from deft_llm.model.deft import answer_grammar
        from deft_llm.model.zero_shot import evident_aus, plausible_classes, seen_sides

        if self.reader is None:
            return [answer_grammar(**({"fines": fines} if fines else {}))] * len(inputs)
        reading = self.reader.read(inputs, faces=faces)
        calibration = self.reader.config.get("calibration")
        sure = evident_aus(reading, calibration)
        if not self.bounded:
            return [answer_grammar(fines=fines or FINE, aus=aus, once=True) for aus in sure]
        seen = seen_sides(reading, calibration)
        grammars = []
        for aus, own, more, coarses in zip(
            sure, seen, sides or [{}] * len(seen), plausible_classes(reading, calibration), strict=True
        ):
            known = [fine for fine in fines or FINE if coarse_of(fine) in coarses]
            grammars.append(
                answer_grammar(
                    fines=known, coarses=coarses, aus=aus, sides=own | more, once=True, decided=bool(aus)
                )
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


def measured_sides(motion: Motion, supports: Sequence[AUSupport]) -> dict[int, AUSide]:
    """The side of each sided AU that the measured motion of a clip with known pixels supports; maps without a
    scale tell none. ``supports``: ``unimer.constraint.measure_support`` of the clip."""
    from deft_llm.facs.units import entry

    if motion.units != "px":
        return {}
    return {
        found.au: found.side for found in supports
        if found.support >= SUPPORTED and entry(found.au).scoring == "sides"
    }  # fmt: skip


def measured(text: str, motion: Motion, supports: Sequence[AUSupport] | None = None) -> Spoken:
    """Parse an answer and add what was measured for each AU that it names; nothing else is changed.

    ``supports``: ``unimer.constraint.measure_support`` of the clip, measured here where None."""
    from deft_llm.unimer.constraint import measure_support

    try:
        answer = parse(text)
    except AnswerError:
        return Spoken(text, text, None)
    if supports is None:
        supports = measure_support(motion) if answer.evidence else ()
    rows = evidence_for(answer, supports)
    return Spoken(text, render(fill_figures(answer, rows)), answer, rows)


def evidence_for(answer: Answer, supports: Sequence[AUSupport]) -> list[Evidence]:
    """One row of evidence for each statement: its own words, the measured figures and the AU's support."""
    found = {support.au: support for support in supports}
    rows = []
    for item in answer.evidence:
        support = found.get(item.au)
        share = float(support.support) if support is not None else 0.0
        rows.append(
            Evidence(
                au=item.au,
                side=item.side,
                part=item.part,
                region=item.region,
                direction=item.direction,
                dx=float(support.dx) if support else 0.0,
                dy=float(support.dy) if support else 0.0,
                px=support.px if support else None,
                iod_percent=support.iod_percent if support else None,
                z=support.z if support else None,
                support=min(max(share, 0.0), 1.0),
                status="supported" if share >= SUPPORTED else "unsupported",
                reason=support.reason if support else "this AU is not measured",
            )  # fmt: skip
        )
    return rows
