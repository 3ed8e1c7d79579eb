"""Codings that several tests write and read."""

from __future__ import annotations

from deft_llm.codings.events import CodedEvent, Coding, FrameClock, event_at

CLOCK = FrameClock(25.0)


def event(
    au: int, onset: int, apex: int | None, offset: int, clock: FrameClock = CLOCK, **rest
) -> CodedEvent:
    return event_at(clock, where="test", au=au, onset=onset, apex=apex, offset=offset, **rest)


def coding(clock: FrameClock = CLOCK, media: str = "clips/a b.mp4") -> Coding:
    events = [
        event(12, 10, 14, 20, clock, side="left", intensity="C", note="with a blink, = small"),
        event(12, 15, None, 30, clock, side="left", note="overlaps the first"),
        event(12, 21, 24, 24, clock, side="left", phase="release", status="proposed"),
        event(4, 3, 3, 3, clock, intensity="A", face=2),
        event(1, 40, 44, 60, clock, side="asymmetric", status="corrected"),
    ]
    return Coding(media=media, fps=clock.fps, coder="Ann", events=events).sorted()


def result_json(**more) -> dict:
    unit = {"number": 12, "side": "left", "phase": "rise", "onset": 10, "apex": 14, "offset": 20,
            "confidence": 0.9, "reason": ""}  # fmt: skip
    held = unit | {"number": 4, "side": "both", "offset": None, "confidence": 0.3}
    movement = {"face": 1, "onset": 10, "apex": 14, "offset": 20, "reason": "", "warning": "",
                "aus": [unit, held], "au_probabilities": {"12": 0.9, "6": 0.8, "1": 0.2},
                "aus_not_judged": {"6": "z 0.9: not above the clip's noise"}}  # fmt: skip
    bare = movement | {"onset": 30, "apex": 31, "offset": None, "aus": [], "au_probabilities": {}}
    blink = {"kind": "blink", "onset": 5, "apex": 6, "offset": 8, "side": "both", "face": 1, "aus": [45]}
    return {"video": {"fps": 25}, "source": "a.mp4", "movements": [movement, bare], "events": [blink], **more}
