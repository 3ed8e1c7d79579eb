"""What ``deft analyze`` found in a video, as proposals for a coder: stated, unsure, refused, unnamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from pydantic import Field

from deft_llm.answer import NOT_SUPPORTED
from deft_llm.codings.events import CodedEvent, Coding, EventPhase, FrameClock, clock_for, event_at
from deft_llm.errors import DeftError, naming
from deft_llm.records import AUSide, Record

LOW_CONFIDENCE = 0.5
"""Below it a statement is shown as unsure."""
REFUSED_FROM = 0.5
"""The classifier's probability from which an AU that the measurement does not bear out is shown."""

Kind = Literal["stated", "unsure", "refused", "unnamed"]


class Proposal(Record):
    """One proposal; frames are 0-based, inclusive. ``stated`` and ``unsure`` are what deft says."""

    id: str = Field(description="movement (its rank) and number in it: '3.1'; lids: 'lid 2'")
    kind: Kind = Field(
        description="stated; unsure: stated with low confidence; refused: the classifier sees it, the "
        "measurement does not bear it out; unnamed: a movement whose AU deft cannot tell"
    )
    movement: int | None = Field(default=None, description="rank of its movement in result.json, from 1")
    au: int | None = Field(default=None, description="number of the AU; None where it is unnamed")
    side: AUSide = "both"
    phase: EventPhase = "rise"
    onset: int = Field(ge=0)
    apex: int = Field(ge=0)
    offset: int = Field(ge=0, description="the last frame that is known to belong to it")
    offset_seen: bool = Field(default=True, description="whether the end is seen")
    face: int = Field(default=1, ge=1)
    confidence: float | None = Field(
        default=None, description="0 to 1; not calibrated to a share of right ones"
    )
    reason: str = Field(default="", description="why it is unsure, refused or unnamed")

    @property
    def is_stated(self) -> bool:
        """Whether deft says it."""
        return self.kind in ("stated", "unsure")


@contextmanager
def a_result() -> Iterator[None]:
    """Within, a result.json is read: what it lacks becomes one DeftError."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise DeftError(
            "this is no result of this version of `deft analyze`; analyse the video again."
        ) from error


def proposals_of(result: Mapping[str, Any]) -> list[Proposal]:
    """The proposals in a result.json, in order of time. Raises: DeftError for JSON that is no result."""
    with a_result():
        found = [one for rank, movement in enumerate(result["movements"], 1)
                 for one in _of_movement(rank, movement)]  # fmt: skip
        found += _of_lids(result.get("events", ()))
    return sorted(found, key=lambda one: (one.onset, one.au or 0, one.id))


def coding_of(result: Mapping[str, Any], where: str, clock: FrameClock | None = None) -> Coding:
    """What deft states, as a coding; ``clock`` as in ``clock_for``.

    Raises: DeftError as ``proposals_of``, naming ``where``.
    """
    with naming(where):
        stated = [one for one in proposals_of(result) if one.is_stated]
        with a_result():
            rate = float(result["video"]["fps"])
        clock = clock_for(clock, [rate], where)
        assert clock is not None
    events = [_event(one, clock, where) for one in stated]
    return Coding(media=str(result.get("source", "")), fps=clock.fps, coder="deft", events=events).sorted()


def _event(one: Proposal, clock: FrameClock, where: str) -> CodedEvent:
    assert one.au is not None
    notes = [f"confidence {one.confidence:.2f}"] if one.confidence is not None else []
    notes += [] if one.offset_seen else ["end not seen"]
    return event_at(
        clock, where=f"{where}: {one.id}", au=one.au, side=one.side, phase=one.phase, onset=one.onset,
        apex=one.apex, offset=one.offset, face=one.face, status="proposed", note="; ".join(notes),
    )  # fmt: skip


def _of_movement(rank: int, movement: Mapping[str, Any]) -> Iterator[Proposal]:
    face = movement.get("face", 1)
    units = movement["aus"]
    for number, unit in enumerate(units, 1):
        confidence, reason = unit.get("confidence"), str(unit.get("reason") or "")
        low = confidence is not None and confidence < LOW_CONFIDENCE
        seen = unit["offset"] is not None
        yield Proposal(
            id=f"{rank}.{number}", kind="unsure" if low else "stated", movement=rank, au=unit["number"],
            side=unit["side"], phase=unit["phase"], onset=unit["onset"], apex=unit["apex"],
            offset=unit["offset"] if seen else unit["apex"], offset_seen=seen, face=face,
            confidence=confidence, reason=reason,
        )  # fmt: skip
    end = movement["apex"] if movement["offset"] is None else movement["offset"]
    whole = {"movement": rank, "onset": movement["onset"], "apex": movement["apex"], "offset": end,
             "offset_seen": movement["offset"] is not None, "face": face}  # fmt: skip
    if not units:
        reason = str(movement.get("reason") or movement.get("warning") or "Its Action Unit cannot be told.")
        yield Proposal(id=f"{rank}.0", kind="unnamed", reason=reason, **whole)
    named = {unit["number"] for unit in units}
    likely = {int(au): p for au, p in movement.get("au_probabilities", {}).items() if p >= REFUSED_FROM}
    reasons = movement.get("aus_not_judged", {})
    for number, au in enumerate(sorted(set(likely) - named), len(units) + 1):
        reason = reasons.get(str(au), NOT_SUPPORTED)
        yield Proposal(
            id=f"{rank}.{number}", kind="refused", au=au, confidence=likely[au], reason=reason, **whole
        )


def _of_lids(events: Any) -> Iterator[Proposal]:
    """Blinks, winks and closed eyes: events that are no expression, but codes of FACS."""
    for number, event in enumerate(events, 1):
        for au in event.get("aus", ()):
            end = event["apex"] if event["offset"] is None else event["offset"]
            yield Proposal(
                id=f"lid {number}", kind="stated", au=au, side=event.get("side") or "both",
                onset=event["onset"], apex=event["apex"], offset=end,
                offset_seen=event["offset"] is not None, face=event.get("face", 1),
            )  # fmt: skip
