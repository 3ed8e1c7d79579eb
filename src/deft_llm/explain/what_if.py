"""What a method says of a clip with some regions held still: "What if the brow had not moved?", measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from deft_llm.aus.readout import read_units
from deft_llm.claims import find_claims
from deft_llm.explain.held import HeldStill
from deft_llm.explain.words import UNDECIDED, certainty_of
from deft_llm.facs.regions import REGIONS
from deft_llm.facs.units import name
from deft_llm.facs.words import listed
from deft_llm.files import digest
from deft_llm.methods.protocol import Method, Sample
from deft_llm.motion.hide import MARGIN, hide

if TYPE_CHECKING:
    from deft_llm.records import Prediction
    from deft_llm.store import Motion

CLEAR = 3.0
"""z from which a region's motion counts as clear."""
BROKEN = "The language part's answer did not keep to its form, so it is left out."
MEANING = (
    "This is the same clip measured again with that motion taken out: it shows what the class rests on, not "
    "what the face would have done otherwise."
)


@dataclass(frozen=True)
class WhatIf:
    """Before and after: class probabilities, and the AUs that the measured motion shows.

    ``gone``, ``remain``, ``appear``: AU numbers, strongest first; ``elsewhere``: where an AU that remains is
    read now, if in another region; ``largest_z``: of the held regions as they moved, None where it is not
    known; ``answer``: what the method's language part wrote about the clip with them held still, with marks
    where the motion that is left does not bear it out ("" where it broke its form, None without one).
    """

    held: HeldStill
    method: str
    before: dict[str, float]
    after: dict[str, float]
    gone: tuple[int, ...]
    remain: tuple[int, ...]
    appear: tuple[int, ...]
    elsewhere: dict[int, str] = field(default_factory=dict)
    largest_z: float | None = None
    answer: str | None = None

    @property
    def text(self) -> str:
        """The finding in plain sentences."""
        parts = [_classes(self), _units(self)]
        if self.largest_z is not None and self.largest_z < CLEAR:
            parts.append(f"What was held still hardly moved anyway (z {self.largest_z:.1f} at most).")
        parts.append(f"Held still on both sides: {', '.join(self.held.regions)}.")
        parts += ["One side alone cannot be held still here."] * self.held.one_side
        return " ".join([*parts, MEANING])

    @property
    def report(self) -> str:
        """``text``, and what the method's language part says of it, where it has one."""
        if self.answer is None:
            return self.text
        if not self.answer:
            return f"{self.text}\n{BROKEN}"
        if find_claims(self.answer):
            return f"{self.text}\nThe language part's answer claimed more than a face shows: left out."
        return f"{self.text}\nThe model says, with {self.held.words} held still:\n{self.answer}"


def what_if(motion: Motion, held: HeldStill, method: Method, before: Prediction | None = None) -> WhatIf:
    """Ask ``method`` about the clip as it is (``before``: where that is known) and with regions held still.

    The clip's name marks what is held: a method that remembers clips reads both.
    """
    name_of_hidden = f"{motion.clip_id}#{digest(held.regions, 10)}"
    hidden = replace(hide(motion, held.regions, MARGIN), clip_id=name_of_hidden)
    asked = [] if before is not None else [_sample(motion)]
    *first, after = method.predict([*asked, _sample(hidden)])
    was = before if before is not None else first[0]
    shown, left = _units_of(motion), _units_of(hidden)
    return WhatIf(
        held, method.name, dict(was.probabilities), dict(after.probabilities),
        gone=tuple(au for au in shown if au not in left), remain=tuple(au for au in shown if au in left),
        appear=tuple(au for au in left if au not in shown),
        elsewhere={au: left[au] for au in shown if left.get(au, shown[au]) != shown[au]},
        largest_z=_largest_z(motion, held),
        answer=(after.answer or "") * bool(after.parsed) if getattr(method, "answers", False) else None,
    )  # fmt: skip


def _units_of(motion: Motion) -> dict[int, str]:
    """The AUs that are read off a motion, strongest first, each with its region."""
    return {row.au: row.region for row in read_units(motion).evidence if row.au is not None}


def _sample(motion: Motion) -> Sample:
    return Sample(motion.clip_id, "video", "video/one", lambda: motion, motion.has, stated=motion.stated)


def _largest_z(motion: Motion, held: HeldStill) -> float | None:
    rows = [index for index, region in enumerate(REGIONS) if region.name in held.regions]
    z = motion.regions.z[0, rows]
    return float(np.nanmax(z)) if np.isfinite(z).any() and motion.units == "px" else None


def _classes(found: WhatIf) -> str:
    """What becomes of the class."""
    gives = "the rules give" if found.method == "rules" else f"{found.method} gives"
    if not found.before or not found.after:
        return f"With {found.held.words} held still, {gives} no class probabilities."
    first, now = _first(found.before), _first(found.after)

    def share(label: str) -> str:
        return f"{label} {100 * found.after[label]:.0f} % ({100 * found.before[label]:.0f} % as it is)"

    said = f"With {found.held.words} held still, {gives} {share(first)}"
    said += f"; the class stays {first}." if now == first else f" and {share(now)}: the class turns {now}."
    if not found.remain:
        return said + " None of the measured Action Units is left, so leave the class open."
    ranked = sorted(found.after.values())
    close = len(ranked) > 1 and ranked[-1] - ranked[-2] < UNDECIDED
    return f"{said} {certainty_of(found.after)}" if close else said


def _first(probabilities: Mapping[str, float]) -> str:
    return max(probabilities, key=lambda label: probabilities[label])


def _units(found: WhatIf) -> str:
    """What becomes of the measured Action Units. Nothing new can move:
    an AU that only now is read is not one."""
    if not found.gone and not found.remain and not found.appear:
        return "No Action Unit stood above the noise to begin with."
    kept = [au for au in found.remain if au not in found.elsewhere]
    parts = [f"{_listed(found.gone)} {_verb(found.gone, 'is', 'are')} gone"] if found.gone else []
    parts += [f"{_listed(kept)} {_verb(kept, 'remains', 'remain')}"] if kept else []
    parts += [f"{_listed([au])} remains, read in the {region}" for au, region in found.elsewhere.items()]
    said = "; ".join(parts) + "." if parts else ""
    if found.appear:
        said += (
            f" {_listed(found.appear)} {_verb(found.appear, 'is', 'are')} read only then, off what is left of"
        )
        said += f" the same movement: do not count {_verb(found.appear, 'it', 'them')}."
    return said.strip()


def _verb(aus: Sequence[int], one: str, many: str) -> str:
    return one if len(aus) == 1 else many


def _listed(aus: Sequence[int]) -> str:
    return listed([f"AU{au} ({name(au)})" for au in aus])
