"""Directions in face coordinates: image pixels to medial/up and back, and to words.

The subject's right side is the image's left (unmirrored), so there medial is +dx. Image y grows downwards.
"""

from __future__ import annotations

from deft_llm.facs.regions import Side
from deft_llm.facs.units import octant


def face_vector(dx: float, dy: float, side: Side) -> tuple[float, float]:
    """Image vector (px right, px down) to (medial, up); the midline has no medial axis, so 0 there."""
    return {"right": dx, "left": -dx, "mid": 0.0}[side], -dy


def image_vector(medial: float, up: float, side: Side) -> tuple[float, float]:
    """(medial, up) to image (dx right, dy down); on the midline the medial part is dropped."""
    return {"right": medial, "left": -medial, "mid": 0.0}[side], -up


def direction_word(dx: float, dy: float, side: Side) -> str:
    """The nearest of eight words for an image vector; off the midline sideways, it is "lateral" there."""
    if side == "mid":
        return octant(-abs(dx), -dy)
    return octant(*face_vector(dx, dy, side))
