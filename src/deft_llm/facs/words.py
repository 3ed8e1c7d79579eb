"""Words for movements: regions and directions as noun phrases, sizes as people say them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOVES: dict[str, str] = {
    "up": "up",
    "down": "down",
    "medial": "inward",
    "lateral": "outward",
    "up-medial": "up and inward",
    "up-lateral": "up and outward",
    "down-medial": "down and inward",
    "down-lateral": "down and outward",
}


MIDLINE_MOVES = {"lateral": "sideways", "up-lateral": "up and sideways", "down-lateral": "down and sideways"}


PLURALS = {
    "inner brow": "inner brows",
    "outer brow": "outer brows",
    "upper lid": "upper lids",
    "lower lid": "lower lids",
    "outer eye corner": "outer eye corners",
    "cheek": "cheeks",
    "nostril wing": "nostril wings",
    "nasolabial fold": "nasolabial folds",
    "mouth corner": "mouth corners",
}


ONE_OF_TWO = ("upper lip", "lower lip")


PARTNERS = {
    "upper lid": "lids",
    "lower lid": "lids",
    "upper lip": "lips",
    "lower lip": "lips",
    "mouth corner": "mouth corners",
    "nostril wing": "nostril wings",
}


def pick(options: Sequence[str], rng: np.random.Generator) -> tuple[int, str]:
    """One of ``options`` and its number."""
    number = int(rng.integers(len(options)))
    return number, options[number]


def percent(share: float) -> str:
    """0.731 -> "73 %"."""
    return f"{100 * share:.0f} %"


def say_px(px: float) -> str:
    """A length as a person says it: "less than a tenth of a pixel", "about half a pixel", "about 1.2 px"."""
    if px < 0.1:
        return "less than a tenth of a pixel"
    if 0.45 <= px < 0.55:
        return "about half a pixel"
    if 0.95 <= px < 1.05:
        return "about one pixel"
    return f"about {px:.1f} px" if px < 10 else f"about {px:.0f} px"


def say_percent(percent: float) -> str:
    """A share of the inter-ocular distance as a person says it."""
    shown = f"{percent:.1f}" if percent < 3 else f"{percent:.0f}"
    return f"{shown.removesuffix('.0')} % of the distance between the eyes"


def say_size(px: float | None, iod_percent: float | None) -> str:
    """Both figures, or nothing where a map has no scale."""
    if px is None or iod_percent is None:
        return ""
    return f"by {say_px(px)} ({say_percent(iod_percent)})"


def noun(region: str, side: str) -> tuple[str, bool]:
    """A region with its side as a noun phrase, and whether it is plural: "both inner brows", "the chin"."""
    if side in ("left", "right"):
        if region in ONE_OF_TWO:
            return f"the {side} half of the {region}", False
        return f"the {side} {region}", False
    if region in PLURALS:
        return f"both {PLURALS[region]}", True
    return f"the {region}", False


def noun_of_both(region: str) -> tuple[str, bool]:
    """A region on both sides, as "the inner brows" or "the chin"."""
    words, plural = noun(region, "both")
    return words.replace("both ", "the "), plural


def movement(region: str, side: str, direction: str, px: float | None, iod_percent: float | None) -> str:
    """A sentence without its full stop: "both inner brows move up by about 0.8 px (0.9 % of ...)"."""
    size = say_size(px, iod_percent)
    if direction in ("converging", "diverging"):
        subject = PARTNERS.get(region, noun(region, "both")[0].removeprefix("both ").removeprefix("the "))
        verb = "draw together" if direction == "converging" else "move apart"
        where = f"on the {side} the {subject}" if side in ("left", "right") else f"the {subject}"
        return " ".join(filter(None, (where, verb, size and f"{size} at the {region}")))
    subject, plural = noun(region, side)
    return " ".join(filter(None, (subject, "move" if plural else "moves", way(region, direction), size)))


def way(region: str, direction: str) -> str:
    """A direction as people say it of a region: "up and outward", on the midline "up and sideways"."""
    midline = region not in PLURALS and region not in ONE_OF_TWO
    return MIDLINE_MOVES.get(direction, MOVES[direction]) if midline else MOVES[direction]


def sentence(text: str) -> str:
    """Capital at the start, full stop at the end."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def listed(items: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    if len(items) < 2:
        return "".join(items)
    return ", ".join(items[:-1]) + " and " + items[-1]
