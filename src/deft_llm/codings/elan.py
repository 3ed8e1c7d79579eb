"""ELAN (.eaf): a tier per AU and side, a child tier with the apex, one with notes; by pympi-ling.

A tier's annotation spans onset to offset; its value is one of the controlled vocabulary "FACS event":
phase, intensity and status ("rise C", "release", "rise proposed"). The child tier "... apex" (included in
its parent) marks one frame. ELAN keeps whole milliseconds: frames are exact up to 500 frames per second.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from deft_llm.codings.events import (
    INTENSITIES,
    PHASES,
    STATUSES,
    CodedEvent,
    Coding,
    FrameClock,
    clock_for,
    event_at,
    media_name,
    only_coder,
)  # fmt: skip
from deft_llm.codings.tiers import (
    on_tiers,
    parse_tier,
    take_inside,
    tier_name,
    unread_of,
    value_of,
    words_of,
)  # fmt: skip
from deft_llm.errors import DeftError
from deft_llm.files import write_bytes

VOCABULARY = "FACS event"
EVENT_TYPE, APEX_TYPE, NOTE_TYPE = "facs-event", "facs-apex", "facs-note"
FPS_PROPERTY = "frames-per-second"
MIMES = {".mp4": "video/mp4", ".mpg": "video/mpeg", ".mpeg": "video/mpeg", ".webm": "video/webm",
         ".avi": "video/x-msvideo", ".mov": "video/quicktime", ".mkv": "video/x-matroska"}  # fmt: skip


def write(coding: Coding, path: Path) -> None:
    """Write ``coding`` to ``path``."""
    from pympi import Elan

    eaf = Elan.Eaf(author=coding.coder or "deft-llm")
    eaf.remove_tier("default")
    eaf.add_language("eng", "http://cdb.iso.org/lg/CDB-00138502-001", "English (eng)")
    eaf.add_controlled_vocabulary(VOCABULARY)
    eaf.add_cv_description(VOCABULARY, "eng", "phase, FACS intensity, status of a coded event")
    for number, words in enumerate(product(PHASES, ("", *INTENSITIES), ("", *STATUSES[1:]))):
        eaf.add_cv_entry(VOCABULARY, f"cve{number}", [(" ".join(filter(None, words)), "eng", None)])
    eaf.add_linguistic_type(EVENT_TYPE)
    eaf.linguistic_types[EVENT_TYPE]["CONTROLLED_VOCABULARY_REF"] = VOCABULARY
    eaf.add_linguistic_type(APEX_TYPE, constraints="Included_In")
    eaf.add_linguistic_type(NOTE_TYPE, constraints="Symbolic_Association", timealignable=False)
    eaf.add_property(FPS_PROPERTY, f"{coding.fps:.10g}")
    if coding.media:
        suffix = Path(media_name(coding.media)).suffix.lower()
        eaf.add_linked_file(coding.media, f"./{media_name(coding.media)}", MIMES.get(suffix, "video/*"))
    for number, event in on_tiers(coding.sorted().events, _span):
        _add(eaf, event, tier_name(event, number), coding.coder)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "coding.eaf"
        eaf.to_file(draft)
        write_bytes(path, draft.read_bytes())


def _span(event: CodedEvent) -> tuple[int, int]:
    """Start and end of the event's annotation, ms: ELAN has none of no length, one frame takes 1 ms."""
    start = round(event.onset_time * 1000)
    return start, max(round(event.offset_time * 1000), start + 1)


def _add(eaf: Any, event: CodedEvent, tier: str, coder: str) -> None:
    """Put the event on ``tier``, which is made where it is not there."""
    if tier not in eaf.tiers:
        for name, kind, parent in ((tier, EVENT_TYPE, None), (f"{tier} apex", APEX_TYPE, tier),
                                   (f"{tier} note", NOTE_TYPE, tier)):  # fmt: skip
            eaf.add_tier(name, kind, parent=parent, part=coder or None, ann=coder or None)
    start, end = _span(event)
    eaf.add_annotation(tier, start, end, value_of(event))
    if event.apex_time is not None:
        mark = min(round(event.apex_time * 1000), end - 1)
        eaf.add_annotation(f"{tier} apex", mark, mark + 1, "apex")
    if event.note:
        eaf.add_ref_annotation(f"{tier} note", tier, (start + end) // 2, event.note)


def read(path: Path, clock: FrameClock | None) -> Coding:
    """The events of all tiers whose name is an AU ("AU12 left", "L12C"); other tiers are not events.

    Raises: DeftError for a file that is no EAF, whose frame rate is not known or whose video is shifted, that
    holds events of two coders, and for an AU whose annotations have no times of their own.
    """
    from pympi import Elan

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            eaf = Elan.Eaf(str(path), suppress_version_warning=True)
    except Exception as error:  # the library raises plain Exceptions, KeyErrors and ParseErrors
        raise DeftError(f"{path}: is no ELAN file that can be read; save it anew in ELAN.") from error
    video = eaf.media_descriptors[0] if eaf.media_descriptors else {}
    origin = video.get("TIME_ORIGIN") or "0"
    if origin.strip() != "0":
        raise DeftError(
            f"{path}: its video is shifted against the annotations (TIME_ORIGIN {origin} ms); set the offset "
            "to 0 in ELAN and shift the annotations instead."
        )
    clock = _clock_of(eaf, path, clock)
    events = []
    tiers = {tier: parse_tier(tier, path) for tier in eaf.get_tier_names()}
    for tier, named in tiers.items():
        if named is None:
            continue
        if eaf.tiers[tier][1]:
            raise DeftError(
                f"{path}: {tier}: its annotations refer to those of another tier and have no times of their "
                "own; make it a tier of events in ELAN, or call it otherwise."
            )
        rows = _aligned(eaf, tier, path)
        apexes: list[float] = [row[0] for row in _aligned(eaf, f"{tier} apex", path)]
        notes = {found[:2]: found[2] for found in _notes(eaf, f"{tier} note", path)}
        for start, end, value in rows:
            where = f"{path}: {tier} at {start / 1000:.3f} s"
            if end < start:
                raise DeftError(f"{where}: ends before it, at {end / 1000:.3f} s; correct it in ELAN.")
            apex = take_inside(apexes, start, max(end - 1, start))
            events.append(event_at(
                clock, where=where, au=named.au, side=named.side, onset_time=start / 1000, face=named.face,
                apex_time=None if apex is None else apex / 1000,
                offset_time=(end if end - start > 1 else start) / 1000,
                **words_of([value], notes.get((start, end), ""), named.intensity, where),
            ))  # fmt: skip
    media = video.get("MEDIA_URL", "")
    coder = _coder_of([eaf.tiers[tier][2] for tier, named in tiers.items() if named is not None], path)
    return Coding(media=media, fps=clock.fps, coder=coder, events=events, unread=unread_of(tiers)).sorted()


def _coder_of(tiers: Sequence[Mapping[str, str]], path: Path) -> str:
    """The annotator of the tiers, by their attributes; the participant, who may be the person filmed, only
    where no tier has an annotator and all have one name. Raises: DeftError for several annotators."""
    annotator = only_coder((tier.get("ANNOTATOR", "") for tier in tiers), path)
    participants = {tier.get("PARTICIPANT", "") for tier in tiers} - {""}
    return annotator or (participants.pop() if len(participants) == 1 else "")


def _clock_of(eaf: Any, path: Path, clock: FrameClock | None) -> FrameClock:
    try:
        rates = [float(text) for name, text in eaf.properties if name == FPS_PROPERTY]
    except (TypeError, ValueError):
        rates = []
    found = clock_for(clock, rates[:1], path)
    if found is None:
        raise DeftError(f"{path}: ELAN keeps no frame rate; give it with --fps or --media.")
    return found


def _aligned(eaf: Any, tier: str, path: Path) -> list[tuple[int, int, str]]:
    """Start, end (ms) and value of a tier's annotations, in order; none where there is no such tier.

    Raises: DeftError for an annotation that has no times.
    """
    if tier not in eaf.tiers:
        return []
    rows = [row[:3] for row in _annotations(eaf.get_annotation_data_for_tier, tier, path)]
    if any(not isinstance(time, int) for row in rows for time in row[:2]):
        raise DeftError(f"{path}: {tier}: an annotation is not aligned with a time; align it in ELAN.")
    return sorted((start, end, value or "") for start, end, value in rows)


def _notes(eaf: Any, tier: str, path: Path) -> list[tuple[int, int, str]]:
    if tier not in eaf.tiers or not eaf.tiers[tier][1]:
        return []
    rows = _annotations(eaf.get_ref_annotation_data_for_tier, tier, path)
    return [(row[0], row[1], row[2] or "") for row in rows]


def _annotations(of_tier: Callable[[str], list[Any]], tier: str, path: Path) -> list[Any]:
    """What ``of_tier`` of the library gives for a tier.

    Raises: DeftError where the file contradicts itself.
    """
    try:
        return of_tier(tier)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DeftError(
            f"{path}: {tier}: an annotation refers to {error}, which is not there; save it anew in ELAN."
        ) from error
