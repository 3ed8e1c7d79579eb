"""Distances on the 478 landmarks."""

from __future__ import annotations

import numpy as np

# Corners of the eyes; the subject's right eye lies at the image's left.
RIGHT_EYE, LEFT_EYE = [33, 133], [263, 362]


def inter_ocular(landmarks: np.ndarray) -> float:
    """Distance between the eyes' centres (means of their corners) of (478, 2) landmarks, in their pixels."""
    left, right = (landmarks[one] + landmarks[other] for one, other in (LEFT_EYE, RIGHT_EYE))
    apart = (left - right) / 2
    return float(np.sqrt(apart @ apart))
