"""Label maps: words -> coarse labels, fine labels -> classes of a named setting (data: labels.yaml)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from deft_llm.errors import UsageError
from deft_llm.facs.emotions import coarse_of, fine_word, objective_class
from deft_llm.records import Clip, Coarse

SETTINGS = ("megc3", "native", "4", "5", "7", "objective")
_ROMAN = {"1": "I", "2": "II", "3": "III", "4": "IV", "5": "V", "6": "VI", "7": "VII"}


@dataclass
class Sorted:
    """Clips under one setting: ``kept`` has their class, ``left_out`` the reason of each other clip."""

    setting: str
    kept: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    subjects: set[str] = field(default_factory=set)

    @property
    def counts(self) -> dict[str, int]:
        """Clips of each class, in alphabetic order."""
        return dict(sorted(Counter(self.kept.values()).items()))

    @property
    def reasons(self) -> dict[str, int]:
        """Clips left out for each reason, most frequent first."""
        return dict(Counter(self.left_out.values()).most_common())


@cache
def _data() -> dict[str, Any]:
    import yaml

    data = yaml.safe_load((Path(__file__).parent / "labels.yaml").read_text(encoding="utf-8"))
    data["coarse_words"] = {word: label for label, words in data["coarse"].items() for word in words}
    return data


def coarse_word(native: str) -> Coarse | None:
    """The coarse class that a word names ("Negative", "ne", "0") or that its fine label implies."""
    word = native.strip().casefold()
    return _data()["coarse_words"].get(word) or coarse_of(fine_word(word))


def is_slip(native: str) -> bool:
    """Whether the word is a known misspelling in a table."""
    return native.strip().casefold() in _data()["slips"]


def roman(native: str) -> str | None:
    """An objective class as a Roman numeral ("1", "VII", "v"), None where it is none."""
    word = native.strip().upper()
    return _ROMAN.get(word, word if word in _ROMAN.values() else None)


def label(clip: Clip, setting: str) -> str | None:
    """The clip's class under ``setting``, None where the setting leaves it out.

    Raises: UsageError for an unknown setting.
    """
    return _sort_one(clip, setting)[0]


def _sort_one(clip: Clip, setting: str) -> tuple[str | None, str]:
    """Class and, where it is None, the reason."""
    if setting not in SETTINGS:
        raise UsageError(f"--labels {setting}: unknown; choose one of {', '.join(SETTINGS)}.")
    if setting == "native":
        name = clip.emotion or clip.coarse
        return name, "" if name else "no emotion is annotated"
    if setting == "objective":
        return _objective(clip)
    rules = _data()["settings"][setting]
    excluded = rules.get("without", {}).get(clip.clip_id)
    if excluded:
        return None, excluded
    maps = rules["maps"]
    classes = maps.get(clip.corpus, maps["*"])
    if clip.emotion is not None:
        found = classes.get(clip.emotion)
        return found, "" if found else f"label {clip.emotion!r} is not in the setting"
    if rules.get("from_coarse") and clip.coarse is not None:
        return clip.coarse, ""
    return (
        None,
        f"only the coarse class {clip.coarse!r} is known" if clip.coarse else "no emotion is annotated",
    )


def _objective(clip: Clip) -> tuple[str | None, str]:
    """The table's own objective class, else the one that the AUs give."""
    name = clip.objective
    if name is None and clip.aus is not None:
        name = objective_class([unit for unit in clip.aus if not unit.referred])
    if name is None:
        return None, "no objective class and no AUs are annotated"
    return (
        (name, "")
        if name in _data()["settings"]["objective"]["classes"]
        else (None, f"objective class {name}")
    )


def sort_out(clips: Iterable[Clip], setting: str) -> Sorted:
    """Sort clips into the classes of ``setting``; what it leaves out is listed with its reason."""
    found = Sorted(setting)
    for clip in clips:
        name, reason = _sort_one(clip, setting)
        if name is None:
            found.left_out[clip.clip_id] = reason
        else:
            found.kept[clip.clip_id] = name
            found.subjects.add(clip.subject)
    return found


def about(setting: str) -> str:
    """One line on a setting, for people."""
    return str(_data()["settings"].get(setting, {}).get("about", "the labels as annotated"))
