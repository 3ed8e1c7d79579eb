"""What hides the face: covered by a hand or a thing, beyond the picture, too dark, a cut.

Under a hand landmarks are invented and look calm, so covered frames make no neutral and no movement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deft_llm.spooled import in_parts
from deft_llm.state.channels import Channels, runs, smooth
from deft_llm.state.lips import GREY
from deft_llm.state.track import FaceTrack, points_of

COVERED_PRESENCE = 0.5  # of the clip's median presence: something covers the face
DARK_LEVEL = 28.0  # mean grey (0 to 255) of the face below which its detail drowns in noise
EDGE = 2.0  # px from the picture's edge at which a landmark lies beyond it
CUT_DIFFERENCE = 28.0  # mean grey difference of neighbouring thumbnails that means a cut
MOUTH_POINTS = (61, 291, 0, 17, 18)
BROW_POINTS = (70, 300, 107, 336)
# Parts of the thumbnail (rows, columns of 16) that are watched for a cover.
PARTS = {"brows": (slice(1, 4), slice(3, 13)), "eyes": (slice(3, 6), slice(2, 14)),
         "mouth": (slice(9, 14), slice(4, 12))}  # fmt: skip
UNLIKE = 0.45  # 1 - correlation with the part's usual look from which it counts as covered
CHANGED = 22.0  # grey levels that the part differs from its usual look besides
LEAST_COVER = 0.12  # s
WORN = 0.8  # share of the frames in which a part is covered by what is worn: a mask, a scarf
PASSING = 1.0  # s between two covers that are one hand which passes: the face may be lost meanwhile
# Lips over the skin around them, against their usual: share of redness at which they are gone, log2 of the
# halves' ratio and logarithm of light from which something else is there; NO_LIPS: a mask.
LIPS_GONE, UNEVEN_LIPS, OTHER_LIGHT, NO_LIPS = 0.2, 0.85, 0.17, 0.003
LEAST_RED = 0.01  # redness of the lips over the skin that tells anything: dark or painted lips have less
THIN_LIPS = 0.65  # height of the lips, of their usual, from which their colour must be seen
HALF_GONE, HALF_OTHER, HALF_THERE = 0.3, 1.5, 0.5  # redness, of its usual, of a covered and of a free half
NEARLY, LIPS_GAP = 0.25, 2.5  # share of these, and s, over which a cover goes on
# Degrees from where the head mostly is up to which the face should look as it mostly does; for each one more,
# how much less alike a part may look, and by which share of OTHER_LIGHT the lips' light may differ more.
USUAL_TURN, UNLIKE_PER_DEGREE, LIGHT_PER_DEGREE = 8.0, 0.03, 0.1
FAR_TURN = 12.0  # degrees from which the halves of the lips are not compared: one is turned away


@dataclass(frozen=True)
class Visibility:
    """(T,) bool each: ``usable`` frames; where ``brows``, ``eyes``, ``mouth`` are hidden, and why.
    ``disturbed``: covered by what is not worn throughout, so that landmarks elsewhere give way to it."""

    usable: np.ndarray
    hidden: dict[str, np.ndarray]
    covered: np.ndarray
    disturbed: np.ndarray
    beyond: dict[str, np.ndarray]
    dark: np.ndarray
    cuts: tuple[int, ...]


def visibility_of(track: FaceTrack, channels: Channels, angles: np.ndarray) -> Visibility:
    """What of the face can be seen in every frame, by its channels (T,) and the head's ``angles`` (T, 3) in
    degrees (``face_state.channels_of``)."""
    seen = track.seen
    turned = _turned(angles[:, :2], seen)
    presence = smooth(np.where(seen, track.presence, np.nan), 2 * round(0.08 * track.fps) + 1)
    usual = float(np.nanmedian(track.presence)) if seen.any() else 0.0
    covered = seen & (np.nan_to_num(presence, nan=np.inf) < COVERED_PRESENCE * usual)
    light = np.concatenate([_looks(track, part).mean(1) for part in in_parts(len(track))])
    dark = seen & (light < DARK_LEVEL)
    beyond = {"mouth": _beyond(track, MOUTH_POINTS), "brows": _beyond(track, BROW_POINTS)}
    beyond["eyes"] = beyond["brows"]
    over = {part: _covered_part(track, part, turned) for part in PARTS}
    over["mouth"] |= _covered_lips(track, channels["thick"], turned)
    over = {part: _passing(mask, seen, track.fps) for part, mask in over.items()}
    hidden = {part: covered | beyond[part] | over[part] for part in PARTS}
    usable = seen & ~covered & ~dark & ~over["mouth"] & ~over["eyes"]
    if usable.sum() < 0.1 * seen.sum():
        usable = seen
    passing = [mask for mask in over.values() if mask[seen].mean() < WORN] if seen.any() else []
    anywhere = covered | over["mouth"] | over["eyes"] | over["brows"]
    disturbed = np.logical_or.reduce([covered, *passing])
    return Visibility(usable, hidden, anywhere, disturbed, beyond, dark, _cuts(track))


def _turned(angles: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(T,) degrees by which yaw and pitch (T, 2) are away from where they mostly are; the picture is turned
    upright, so roll changes no look."""
    if not seen.any():
        return np.zeros(len(seen))
    return np.nan_to_num(np.linalg.norm(angles - np.nanmedian(angles[seen], 0), axis=1))


def _looks(track: FaceTrack, part: slice) -> np.ndarray:
    """(t, 256) thumbnails of some frames."""
    return track.thumbnail[part].reshape(part.stop - part.start, -1)


def _beyond(track: FaceTrack, numbers: tuple[int, ...]) -> np.ndarray:
    """(T,) frames in which the landmarks lie beyond the picture: what is seen there is a guess."""
    width, height = track.size
    found = []
    for part in in_parts(len(track)):
        points = track.landmarks[part][:, points_of(numbers)]
        x, y = points[..., 0], points[..., 1]
        out = (x < EDGE) | (y < EDGE) | (x > width - 1 - EDGE) | (y > height - 1 - EDGE)
        found.append(out.any(1))
    return track.seen & np.concatenate(found)


def _covered_part(track: FaceTrack, part: str, turned: np.ndarray) -> np.ndarray:
    """(T,) frames in which a part of the aligned face looks unlike what it usually does in the clip, and more
    so than the head's turn (T,) makes it."""
    rows, columns = PARTS[part]
    seen = track.seen
    out = np.zeros(len(track), bool)
    if seen.sum() < 3:
        return out
    all_looks = np.concatenate([
        track.thumbnail[span][seen[span]][:, rows, columns].reshape(int(seen[span].sum()), -1)
        for span in in_parts(len(track))
    ])  # fmt: skip
    usual = np.array([np.median(column) for column in all_looks.T])
    norm = usual - usual.mean()
    least_alike = 1 - UNLIKE - UNLIKE_PER_DEGREE * np.maximum(turned[seen] - USUAL_TURN, 0.0)
    unlike = []
    for span in in_parts(len(all_looks)):
        looks = all_looks[span].astype(float)
        away = looks - looks.mean(1, keepdims=True)
        like = (away * norm).sum(1) / (np.linalg.norm(away, axis=1) * np.linalg.norm(norm) + 1e-9)
        changed = np.abs(looks - usual).mean(1)
        unlike.append((like < least_alike[span]) & (changed > CHANGED))
    out[seen] = np.concatenate(unlike)
    least = LEAST_COVER * track.fps
    for start, stop in runs(out):
        if stop - start < least:
            out[start:stop] = False
    return out


def _passing(over: np.ndarray, seen: np.ndarray, fps: float) -> np.ndarray:
    """(T,) a part's covers, joined over the frames in between in which the face was lost for a while."""
    out = over.copy()
    for start, stop in runs(~over):
        between = 0 < start < stop < len(over) and stop - start <= PASSING * fps
        if between and not seen[start:stop].all():
            out[start:stop] = True
    return out


def _covered_lips(track: FaceTrack, thick: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """(T,) frames in which the lips' colour is gone, or other edges are in their place; ``thick`` (T,): the
    lips' height; ``turned`` (T,): degrees by which the head is away from where it mostly is."""
    out = np.zeros(len(track), bool)
    known = track.seen & np.isfinite(track.lips).all(1)
    values = track.lips
    if known.sum() < 5 or np.median(values[known][:, 4]) < GREY:
        return out
    width = 2 * round(0.1 * track.fps) + 1
    lips = np.stack([smooth(np.where(known, column, np.nan), width) for column in values[:, :4].T], 1)[known]
    usual = np.median(lips, 0)
    if usual[::2].max() < NO_LIPS and np.abs(usual[1::2]).max() < OTHER_LIGHT / 2:
        return known  # a mask: lips are never there
    told = usual[::2] >= LEAST_RED
    full = thick[known] >= THIN_LIPS * np.nanmedian(thick)  # pressed, rolled in or drawn wide they pale
    red = np.maximum(lips[:, ::2], 1e-4) / np.maximum(usual[::2], 1e-4)
    frontal = turned[known] <= FAR_TURN
    uneven = np.abs(np.log2(red[:, 0] / red[:, 1])) * told.all() * full * frontal
    one_half = ((red.min(1) < HALF_GONE) | (red.max(1) > HALF_OTHER)) & (red.max(1) > HALF_THERE)
    light = np.abs(lips[:, 1::2] - usual[1::2]).max(1)
    light /= 1 + LIGHT_PER_DEGREE * np.maximum(turned[known] - USUAL_TURN, 0.0)
    pale = (red[:, told] < LIPS_GONE) & full[:, None]
    other = light > OTHER_LIGHT
    away, sure, near = (np.zeros(len(track), bool) for _ in range(3))
    away[known] = pale.any(1) | (uneven > UNEVEN_LIPS) | other
    sure[known] = (pale.all(1) & told.any()) | ((uneven > UNEVEN_LIPS) & one_half) | other
    near[known] = (uneven > NEARLY * UNEVEN_LIPS) | (light > NEARLY * OTHER_LIGHT) | pale.any(1)
    gap = LIPS_GAP * track.fps
    for start, stop in runs(~away):
        if start > 0 and stop < len(away) and stop - start <= gap and near[start:stop].mean() > 0.5:
            away[start:stop] = True
    for start, stop in runs(away):
        out[start:stop] = sure[start:stop].sum() >= LEAST_COVER * track.fps
    return out


def _cuts(track: FaceTrack) -> tuple[int, ...]:
    """Frames at which the picture changed as a cut does."""
    change = np.zeros(len(track))
    for part in in_parts(len(track)):
        near = slice(max(part.start - 1, 0), part.stop)
        change[near.start + 1 : part.stop] = np.abs(np.diff(_looks(track, near).astype(float), axis=0)).mean(
            1
        )
    both = track.seen[1:] & track.seen[:-1]
    return tuple(int(at) + 1 for at in np.flatnonzero(both & (change[1:] > CUT_DIFFERENCE)))
