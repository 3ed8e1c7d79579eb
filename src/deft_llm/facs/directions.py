"""Directions in face coordinates: image pixels to medial/up and back, and to words.

The subject's right side is the image's left (unmirrored), so there medial is +dx. Image y grows downwards.
"""

from __future__ import annotations

import math

from deft_llm.facs.regions import Side
from deft_llm.facs.units import OCTANTS, octant


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


def opposes(direction: str, dx: float, dy: float, side: Side) -> bool:
    """Whether an image vector points away from a direction word, by more than a right angle; "converging" and
    "diverging", which two regions show together, are opposed by none."""
    if direction not in OCTANTS:
        return False
    medial, up = (-abs(dx), -dy) if side == "mid" else face_vector(dx, dy, side)
    angle = OCTANTS.index(direction) * math.pi / 4
    return medial * math.sin(angle) + up * math.cos(angle) < 0
