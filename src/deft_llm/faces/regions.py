"""Where the regions and the skin folds of ``facs.regions`` lie: soft discs hung on the landmarks, at any map
size."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from deft_llm.facs.regions import FOLDS, REGIONS, Side
from deft_llm.store.motion import ALIGNED_IOD, ALIGNED_SIZE

_CANONICAL = np.load(Path(__file__).with_name("canonical_landmarks.npz"), allow_pickle=False)
# (478, 2) px of the mean frontal neutral face in the aligned frame, (478,) its depth (px, larger is farther)
# and each landmark's number on the other side; made by recipes/canonical_landmarks.py.
CANONICAL_LANDMARKS: np.ndarray = _CANONICAL["landmarks"]
CANONICAL_DEPTH: np.ndarray = _CANONICAL["depth"]
TWIN: np.ndarray = _CANONICAL["twin"].astype(int)

# Region name -> (radius of a soft disc as a share of the inter-ocular distance, landmarks that carry the
# discs). Paired regions name the subject's right (image left); the left side uses each landmark's twin.
ANCHORS: dict[str, tuple[float, tuple[int, ...]]] = {
    "forehead": (0.10, (151, 108, 337, 9)),
    "glabella": (0.07, (9, 8)),
    "nose root": (0.06, (168, 6)),
    "chin": (0.11, (18, 200, 199, 201, 421)),
    "inner brow": (0.07, (55, 107, 65, 66)),
    "outer brow": (0.07, (53, 63, 46, 70)),
    "upper lid": (0.045, (27, 28, 29, 158, 159, 160)),
    "lower lid": (0.045, (144, 145, 153, 22, 23, 24)),
    "outer eye corner": (0.06, (226, 31, 35, 143)),
    "cheek": (0.10, (101, 118, 50, 36)),
    "nostril wing": (0.055, (102, 129, 64)),
    "nasolabial fold": (0.06, (203, 206, 216)),
    "upper lip": (0.045, (37, 39, 40, 72, 73, 167)),
    "lower lip": (0.045, (84, 181, 91, 85, 180)),
    "mouth corner": (0.06, (61, 57, 185, 146)),
}

# Skin fold -> landmarks of the subject's right along which it lies, and the radius of all their discs.
FOLD_ANCHORS: dict[str, tuple[int, ...]] = {
    "inner forehead": (10, 151, 108, 109, 69),
    "outer forehead": (54, 103, 104, 67, 69),
    "glabella": (9, 8, 107, 55, 193),
    "nose root": (168, 8, 193, 188, 174, 236),
    "crow's feet": (226, 31, 35, 143, 156, 34, 124, 111),
    "below the eye": (22, 24, 26, 110, 229, 230, 231, 121),
    "nasolabial fold": (129, 49, 203, 206, 216, 212),
    "dimple": (57, 43, 186),
    "below the mouth corner": (43, 202, 210),
    "chin": (18, 83, 182, 199, 200, 201, 208, 194),
    "lip lines": (0, 37, 39, 164, 165, 167, 17, 84, 83),
}
FOLD_RADIUS = 0.05

FACE_OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
             148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
RIGHT_EYE_OUTLINE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)

# Skin on bone that expressions move least: bridge of the nose, forehead, temples, outer cheeks; discs as
# above with a weight. The rest of the face counts a little, the parts that expressions move not at all; what
# moves all the same is weighed down by the robust fit of ``motion.head``.
RIGID_ANCHORS: tuple[tuple[float, float, tuple[int, ...]], ...] = (
    (1.0, 0.06, (6, 197, 195, 122, 351, 196, 419, 3, 248)),
    (0.6, 0.09, (104, 333, 108, 337, 151, 69, 299)),
    (0.8, 0.06, (71, 301, 139, 368, 156, 383, 34, 264)),
    (0.8, 0.07, (116, 345, 123, 352, 227, 447, 111, 340, 187, 411)),
)
RIGID_REST = 0.1
STEADY_REGIONS = ("nose root",)


def region_weights(
    landmarks: np.ndarray | None = None, size: tuple[int, int] = (ALIGNED_SIZE, ALIGNED_SIZE)
) -> np.ndarray:
    """Weights (R, H, W) float32 of the regions in the order of REGION_KEYS, each summing to 1.

    ``landmarks`` (478, 2) in the aligned 224 px frame; without them the canonical layout. ``size`` (H, W)
    is any map that shows the same frame.
    """
    if landmarks is None:
        return _canonical_weights(tuple(size))
    return _weights(np.asarray(landmarks, float), size)


@lru_cache(maxsize=8)
def _canonical_weights(size: tuple[int, int]) -> np.ndarray:
    weights = _weights(CANONICAL_LANDMARKS.astype(float), size)
    weights.flags.writeable = False
    return weights


def fold_weights(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Weights (F, 2, H, W) float32 of the skin folds in the order of FOLDS, the subject's left and right,
    each summing to 1; ``landmarks`` and ``size`` as for ``region_weights``."""
    points, radius = np.asarray(landmarks, float), FOLD_RADIUS
    return np.stack([
        [_of_side(points, radius, FOLD_ANCHORS[fold], side, size) for side in ("left", "right")]
        for fold in FOLDS
    ]).astype(np.float32)  # fmt: skip


def _weights(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    weights = np.zeros((len(REGIONS), *size), np.float32)
    for r, region in enumerate(REGIONS):
        weights[r] = _of_side(landmarks, *ANCHORS[region.name], region.side, size)
    return weights


def _of_side(
    landmarks: np.ndarray, radius: float, anchors: tuple[int, ...], side: Side, size: tuple[int, int]
) -> np.ndarray:
    """Discs (H, W) about the anchors or, on the left, their twins; they sum to 1."""
    points = landmarks[TWIN[list(anchors)] if side == "left" else list(anchors)]
    disc = _discs(points, radius * ALIGNED_IOD, size)
    if side != "mid":
        # A side keeps to its side: at the lips and brows the discs would leak across.
        middle = landmarks[[151, 9, 168, 6, 152]].mean(0)[0]
        beyond = (_centres(size[1]) - middle) * (1 if side == "right" else -1)
        disc = disc * (1 / (1 + np.exp(beyond / 2.0)))[None, :]
    return disc / disc.sum()  # type: ignore[no-any-return]


def _centres(count: int) -> np.ndarray:
    """Centres of ``count`` cells in aligned pixels."""
    return (np.arange(count) + 0.5) * ALIGNED_SIZE / count - 0.5


def _discs(points: np.ndarray, radius: float, size: tuple[int, int]) -> np.ndarray:
    """Sum of Gaussian discs (H, W), tails cut; never empty, even on coarse or distant maps."""
    # On a coarse map a disc is no smaller than half a cell, or it would fall between cells.
    ry = max(radius, 0.5 * ALIGNED_SIZE / size[0])
    rx = max(radius, 0.5 * ALIGNED_SIZE / size[1])
    rows = np.exp(-0.5 * ((_centres(size[0])[:, None] - points[:, 1]) / ry) ** 2)
    columns = np.exp(-0.5 * ((_centres(size[1])[:, None] - points[:, 0]) / rx) ** 2)
    total = rows @ columns.T
    peak = total.max()
    if peak < 1e-3:  # anchors outside the frame: the nearest cell stands for the region
        total = np.zeros(size)
        x, y = points.mean(0)
        row = int(np.clip(round((y + 0.5) * size[0] / ALIGNED_SIZE - 0.5), 0, size[0] - 1))
        column = int(np.clip(round((x + 0.5) * size[1] / ALIGNED_SIZE - 0.5), 0, size[1] - 1))
        total[row, column] = 1.0
        return total
    return np.maximum(total - 0.15 * peak, 0.0)


def rigid_weight(
    landmarks: np.ndarray | None = None, size: tuple[int, int] = (ALIGNED_SIZE, ALIGNED_SIZE)
) -> np.ndarray:
    """Weight (H, W) in 0..1 of skin that moves with the skull; head motion is fitted there."""
    import cv2

    points = CANONICAL_LANDMARKS if landmarks is None else np.asarray(landmarks, float)
    total = np.full(size, RIGID_REST)
    for weight, radius, anchors in RIGID_ANCHORS:
        discs = np.minimum(_discs(points[list(anchors)], radius * ALIGNED_IOD, size), 1.0)
        total = np.maximum(total, weight * discs)
    for region, weights in zip(REGIONS, region_weights(landmarks, size)):
        if region.name not in STEADY_REGIONS:
            total *= 1 - np.minimum(1.5 * weights / weights.max(), 1.0)
    # The face's rim moves with the background: keep off it.
    inside: np.ndarray = np.pad(face_mask(landmarks, size).astype(np.uint8), 1)
    rim = max(1, round(0.05 * ALIGNED_IOD * size[0] / ALIGNED_SIZE))
    inside = cv2.erode(inside, np.ones((2 * rim + 1, 2 * rim + 1), np.uint8), borderValue=0)[1:-1, 1:-1]
    return (total * inside).astype(np.float32)


def face_mask(
    landmarks: np.ndarray | None = None,
    size: tuple[int, int] = (ALIGNED_SIZE, ALIGNED_SIZE),
    *,
    eyes: bool = False,
) -> np.ndarray:
    """The face (H, W) bool: inside its oval; the open eyes, which move with gaze, only on demand."""
    import cv2

    points = CANONICAL_LANDMARKS if landmarks is None else np.asarray(landmarks, float)
    scaled = (points + 0.5) * [size[1] / ALIGNED_SIZE, size[0] / ALIGNED_SIZE] - 0.5
    mask = np.zeros(size, np.uint8)
    draw = lambda numbers, value: cv2.fillPoly(  # noqa: E731
        mask, [np.round(scaled[list(numbers)] * 16).astype(np.int32)], value, cv2.LINE_8, 4
    )
    draw(FACE_OVAL, 1)
    if not eyes and min(size) >= 64:
        draw(RIGHT_EYE_OUTLINE, 0)
        draw(TWIN[list(RIGHT_EYE_OUTLINE)], 0)
    return mask.astype(bool)
