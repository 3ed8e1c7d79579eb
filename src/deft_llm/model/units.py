"""The Action Units that the experts report, and which motion token carries which of them."""

from __future__ import annotations

from deft_llm.facs.units import entry

EXPERT_AUS: tuple[int, ...] = (
    1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 28, 38, 43, 45,
)  # fmt: skip
"""Every AU that the synthetic corpus can make, in a fixed order: the order of all AU outputs."""

AU_INDEX: dict[int, int] = {number: index for index, number in enumerate(EXPERT_AUS)}

MOTION_TOKENS: tuple[tuple[int, ...], ...] = (
    (1,), (2,), (4,), (5, 43, 45), (6,), (7,), (9, 38), (10,),
    (12,), (14,), (15,), (16, 25, 26), (17,), (18, 22), (20,), (23, 24, 28),
)  # fmt: skip
"""Motion token k carries the AUs ``MOTION_TOKENS[k]`` and no other: their logits are read from it alone."""

TOKEN_OF_AU: tuple[int, ...] = tuple(
    next(k for k, group in enumerate(MOTION_TOKENS) if number in group) for number in EXPERT_AUS
)


def au_text(number: int) -> str:
    """The AU in words, for the motion-text alignment: "inner brow raiser: inner brow up, forehead up"."""
    unit = entry(number)
    parts = []
    for motion in unit.motion:
        words = [word for word, yes in (("up", motion.up > 0.3), ("down", motion.up < -0.3),
                                        ("medial", motion.medial > 0.3), ("lateral", motion.medial < -0.3))
                 if yes]  # fmt: skip
        parts.append(f"{motion.region} {'-'.join(words) or 'still'}")
    if unit.pattern in ("converging", "diverging"):
        parts.append(unit.pattern)
    return f"{unit.name}: {', '.join(parts)}" if parts else unit.name
