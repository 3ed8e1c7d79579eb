"""A simulated FACS coder: what an annotation file would say of a clip, with the errors that coders make.

Two coders of the micro-expression corpora agree on about .78 to .85 of AUs (2 x agreed / all scored), and
their apex frames differ by a few frames; label noise is drawn from what the same AUs are also called.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deft_llm.facs.emotions import coarse_of
from deft_llm.facs.units import entry
from deft_llm.records import ActionUnit, Coarse
from deft_llm.synth.core.prior import Prior

MISS = 0.13
SPURIOUS = 0.13
WRONG_SIDE = 0.06
OTHER_LABEL = 0.08
SEEN_PX = 3.0
"""From so many px on, of a face 280 px wide (1 %), a coder who does not know the face at rest sees in one
picture that something is held: smaller ones lie within how faces differ."""
# what a coder sees where nothing moved: AUs that corpora over-score
TEMPTING = (4, 7, 12, 14, 17, 24)


@dataclass(frozen=True)
class Annotation:
    """One coder's reading of a clip; frames are indices into the clip."""

    aus: list[ActionUnit]
    onset: int
    apex: int
    offset: int
    fine: str | None
    coarse: Coarse | None


def annotate(
    rng: np.random.Generator, aus: list[ActionUnit], onset: int, apex: int, offset: int, *, frames: int,
    fine: str | None, coarse: Coarse | None, prior: Prior | None = None,
) -> Annotation:  # fmt: skip
    """Code a clip of ``frames`` frames whose truth is given; agreement of AUs with the truth is about .8."""
    coded = [_side(rng, au) for au in aus if rng.random() > MISS or len(aus) == 1]
    if not coded:
        coded = [aus[int(rng.integers(len(aus)))]] if aus else []
    if aus and rng.random() < SPURIOUS * max(len(aus), 1):
        known = {au.number for au in aus}
        rest = [number for number in TEMPTING if number not in known]
        coded.append(ActionUnit(number=int(rng.choice(rest))))
    spread = max(0.08 * (offset - onset), 0.6)
    marked = np.round(
        np.array([onset, apex, offset]) + rng.normal(0, [spread * 0.6, spread, spread * 1.6])
    ).astype(int)
    first = int(np.clip(marked[0], 0, frames - 3))
    top = int(np.clip(marked[1], first + 1, frames - 2))
    last = int(np.clip(marked[2], top + 1, frames - 1))
    if prior is not None and fine is not None and rng.random() < OTHER_LABEL:
        row = prior.posterior(tuple(sorted({au.number for au in aus})))
        if row:
            names = sorted(row)
            fine = str(rng.choice(names, p=np.array([row[name] for name in names])))
            coarse = coarse_of(fine)
    return Annotation(sorted(coded, key=lambda au: au.number), first, top, last, fine, coarse)


def annotate_onset(rng: np.random.Generator, shown: dict[str, list[float]]) -> list[ActionUnit]:
    """Code what the onset frame shows already, AU -> px of the subject's [left, right] on a face 280 px wide;
    what shows by less than ``SEEN_PX`` nobody codes, and of the rest a share ``MISS`` is missed."""
    coded = []
    for number, (left, right) in sorted((int(au), sides) for au, sides in shown.items()):
        if max(left, right) < SEEN_PX or rng.random() < MISS:
            continue
        both = entry(number).scoring != "sides" or min(left, right) >= max(left, right) / 2
        coded.append(ActionUnit(number=number, side="both" if both else "left" if left > right else "right"))
    return coded


def _side(rng: np.random.Generator, au: ActionUnit) -> ActionUnit:
    """The AU with its side as the coder saw it."""
    if entry(au.number).scoring != "sides" or rng.random() > WRONG_SIDE:
        return au
    others = [side for side in ("both", "left", "right") if side != au.side]
    return au.model_copy(update={"side": str(rng.choice(others))})


def agreement(first: list[ActionUnit], second: list[ActionUnit]) -> float:
    """Agreement of two codings by AU number: 2 x agreed / all scored; 1 where neither scored anything."""
    a, b = {au.number for au in first}, {au.number for au in second}
    return 2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0
