"""What a signal shows that the skin did not do: jumps at a codec's key frames, what is left of turns."""

from __future__ import annotations

import numpy as np

from deft_llm.spotting.signal import Array, Signal

JUMP, JUMP_OVER_NEXT = 3.2, 1.6  # times the usual step of one frame, times the steps before and after
SLOW = 0.3  # s: turns are told from drift above this
ROUNDS = 6
POSE = ((2, 0.1), (3, 0.05), (4, 0.1), (5, 0.1))  # columns of Signal.head and what counts as one unit of each


def cleaned(signal: Signal, part: slice, jitter: Array) -> Array:
    """Displacement (T, R, 2) of a stretch without jumps of the whole face and without what follows its turns.

    ``jitter`` (R,) aligned px of noise from frame to frame.
    """
    steady = without_jumps(signal.displacement[part], jitter)
    return without_turns(steady, signal.head[part], signal.fps)


def jumps(displacement: Array, jitter: Array) -> list[int]:
    """Frames at which most regions jump at once and for one frame only.

    A key frame of H.264 is coded anew, so all details shift a little between two frames; no muscle moves a
    whole face within one frame and stops.
    """
    if len(displacement) < 8:
        return []
    steps = np.linalg.norm(np.diff(displacement, axis=0), axis=2) / jitter
    whole = np.median(steps, axis=1)
    usual = float(np.median(whole))
    found = []
    for at in np.flatnonzero(whole > JUMP * usual):
        beside = [whole[i] for i in (at - 1, at + 1) if 0 <= i < len(whole)]
        if whole[at] > JUMP_OVER_NEXT * max(beside):
            found.append(int(at) + 1)
    return found


def without_jumps(displacement: Array, jitter: Array) -> Array:
    """Displacement (T, R, 2) in which the frames of ``jumps`` go on as their neighbours do."""
    steps = np.diff(displacement, axis=0)
    for frame in jumps(displacement, jitter):
        around = [steps[i] for i in (frame - 2, frame) if 0 <= i < len(steps)]
        steps[frame - 1] = np.mean(around, axis=0)
    return np.concatenate([displacement[:1], displacement[:1] + np.cumsum(steps, axis=0)])


def without_turns(displacement: Array, head: Array, fps: float) -> Array:
    """Displacement (T, R, 2) less what goes along with the head's roll, size, yaw and pitch in each region.

    The landmarks' depth is a mean face's: where it is wrong, turning moves a region in proportion to the
    turn. That share is fitted robustly to the quick part of both, so that movements of the face, which come
    now and then, have little say.
    """
    from scipy.ndimage import gaussian_filter1d

    if len(displacement) < 2 * fps:
        return displacement
    pose = np.stack([head[:, column] / unit for column, unit in POSE], axis=1).astype(float)
    pose = gaussian_filter1d(pose, 1.0, axis=0, mode="nearest")
    quick = lambda values: values - gaussian_filter1d(values, SLOW * fps, axis=0, mode="nearest")  # noqa: E731
    turns, moved = quick(pose), quick(displacement.astype(float))
    weights = np.ones(moved.shape[:2])
    for _ in range(ROUNDS):
        weighted = turns[:, None] * weights[..., None]  # (T, R, 4)
        normal = np.einsum("trk,tl->rkl", weighted, turns, optimize=True) + np.eye(len(POSE))
        share = np.linalg.solve(normal, np.einsum("trk,trd->rkd", weighted, moved, optimize=True))
        apart = np.linalg.norm(moved - np.einsum("tk,rkd->trd", turns, share, optimize=True), axis=2)
        weights = 1 / (1 + (apart / (1.5 * np.median(apart, axis=0) + 0.05)) ** 2)
    return displacement - np.einsum("tk,rkd->trd", pose, share, optimize=True).astype(np.float32)
