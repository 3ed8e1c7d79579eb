"""The face's regions by name and side; left and right are the subject's own."""

from __future__ import annotations

from typing import Literal, NamedTuple

Side = Literal["left", "right", "mid"]


class Region(NamedTuple):
    """One region: ``name`` ("inner brow") and ``side`` (the subject's own, "mid" on the midline)."""

    name: str
    side: Side

    @property
    def key(self) -> str:
        """The region as people and files name it: "left inner brow", "chin"."""
        return self.name if self.side == "mid" else f"{self.side} {self.name}"


PAIRED_REGIONS = (
    "inner brow",
    "outer brow",
    "upper lid",
    "lower lid",
    "outer eye corner",
    "cheek",
    "nostril wing",
    "nasolabial fold",
    "upper lip",
    "lower lip",
    "mouth corner",
)
MIDLINE_REGIONS = ("forehead", "glabella", "nose root", "chin")
REGION_NAMES: tuple[str, ...] = MIDLINE_REGIONS + PAIRED_REGIONS

REGIONS: tuple[Region, ...] = tuple(Region(name, "mid") for name in MIDLINE_REGIONS) + tuple(
    Region(name, side) for name in PAIRED_REGIONS for side in ("left", "right")
)
REGION_KEYS: tuple[str, ...] = tuple(region.key for region in REGIONS)
REGION_INDEX: dict[str, int] = {key: index for index, key in enumerate(REGION_KEYS)}

PART_REGIONS: dict[str, tuple[str, ...]] = {
    "brows": ("forehead", "glabella", "inner brow", "outer brow"),
    "eyes": ("upper lid", "lower lid", "outer eye corner"),
    "mouth": ("cheek", "nostril wing", "nasolabial fold", "upper lip", "lower lip", "mouth corner", "chin"),
}
"""Part of the face -> names of the regions whose skin its movements move; the root of the nose is bone."""

FOLDS = {
    "inner forehead": "the folds of the inner forehead",
    "outer forehead": "the folds of the outer forehead",
    "glabella": "the frown lines between the brows",
    "nose root": "the wrinkles at the root of the nose",
    "crow's feet": "the crow's feet",
    "below the eye": "the folds below the eyes",
    "nasolabial fold": "the nasolabial folds",
    "dimple": "the dimples beside the mouth",
    "below the mouth corner": "the folds below the mouth corners",
    "chin": "the wrinkles of the chin",
    "lip lines": "the lines around the lips",
}
"""Skin folds that Action Units deepen (Ekman, Friesen & Hager 2002), and their names in a sentence."""

DIRECTIONS = (
    "up",
    "down",
    "medial",
    "lateral",
    "up-medial",
    "up-lateral",
    "down-medial",
    "down-lateral",
    "converging",
    "diverging",
)


def mirror_key(key: str) -> str:
    """The region key on the other side of the face; midline regions stay."""
    if key.startswith("left "):
        return "right " + key[5:]
    if key.startswith("right "):
        return "left " + key[6:]
    return key
