"""MDMO (Liu et al., TAFFC 2016): the main direction's mean flow of each facial region, then an RBF-SVM.

The paper's 36 regions around 66 landmarks are the 26 regions of this project (``facs.regions``); head motion
is already out. Per region, flow vectors fall into 8 direction bins; the fullest bin's mean vector is kept.
The paper weighs magnitude and angle (lambda 0.9); here that is the vector's length-normalised x and y, whose
distance needs no wrap-around of angles.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from deft_llm.faces.regions import region_weights
from deft_llm.methods.features import resized
from deft_llm.methods.kernel import KernelMethod, SVMOptions
from deft_llm.methods.options import read_options
from deft_llm.methods.protocol import Sample, Task
from deft_llm.motion.normalise import relative

BINS = 8


def main_directions(flow: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean vector (R, 2) of the direction bin that holds most pixels of each region.

    flow (2, H, W); weights (R, H, W): a region is where its weight exceeds a tenth of its peak.
    """
    angle = np.arctan2(flow[1], flow[0])
    place = np.floor((angle + np.pi) / (2 * np.pi) * BINS).astype(int) % BINS
    vectors = np.zeros((len(weights), 2), np.float32)
    for index, weight in enumerate(weights):
        inside = weight > 0.1 * weight.max()
        if not inside.any():
            continue
        bins = place[inside]
        fullest = np.bincount(bins, minlength=BINS).argmax()
        vectors[index] = flow[:, inside][:, bins == fullest].mean(1)
    return vectors


def region_directions(sample: Sample) -> np.ndarray:
    """(52,) main directions x, y of the 26 regions, over the clip's largest."""

    motion = sample.motion
    flow = motion.flow[0]
    if motion.units == "relative":
        flow = relative(flow)
    if flow.shape[-1] < 56:  # regions of a 28 pixel map are smaller than its pixels
        flow = resized(flow, 112)
    landmarks = None if motion.landmarks is None else motion.landmarks[0]
    vectors = main_directions(flow, region_weights(landmarks, size=flow.shape[-2:]))
    return (vectors / max(float(np.linalg.norm(vectors, axis=1).max()), 1e-6)).ravel()


def build(task: Task, **options: Any) -> KernelMethod:
    """Build the baseline."""
    return KernelMethod(
        "mdmo_svm",
        frozenset({"flow"}),
        task,
        region_directions,
        read_options(SVMOptions, "mdmo_svm", options),
    )
