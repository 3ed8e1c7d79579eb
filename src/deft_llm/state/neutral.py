"""The person's neutral face: calm, inexpressive frames of the clip, frames that the user names, or one kept.

A clip may be one smile, so a low quantile of each channel is no neutral: blendshapes that are near 0 on
anybody's resting face anchor it. What covers the face looks calm to the landmarker: such frames are left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import numpy as np

from deft_llm.errors import UsageError
from deft_llm.spooled import Spool, in_parts
from deft_llm.state.channels import Channels, smooth

# Blendshapes that are near 0 on anybody's resting face count as they are; the others by how far they are, up
# or down, from where they mostly are while the first show least: faces differ at rest, and a smile takes away
# what a resting mouth shows of a pucker.
_ABSOLUTE = (
    "mouthSmileLeft mouthSmileRight mouthFrownLeft mouthFrownRight mouthFunnel mouthUpperUpLeft "
    "mouthUpperUpRight mouthLowerDownLeft mouthLowerDownRight jawOpen mouthStretchLeft mouthStretchRight "
    "mouthLeft mouthRight mouthShrugLower mouthDimpleLeft mouthDimpleRight jawLeft jawRight jawForward"
)
_RELATIVE = (
    "browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight mouthPucker mouthRollLower "
    "mouthRollUpper mouthPressLeft mouthPressRight mouthShrugUpper eyeSquintLeft eyeSquintRight eyeWideLeft "
    "eyeWideRight"
)
ABSOLUTE, RELATIVE = tuple(_ABSOLUTE.split()), tuple(_RELATIVE.split())
SHAPES = ("brow_", "corner_", "lip_", "bend_", "gap", "chin", "boss")
RESTING = 0.03  # a blendshape below this shows nothing
WIDE = 0.06  # eyeWide above which eyes are wider than they rest
PLAIN, PLAIN_MARGIN = 0.1, 0.15  # quantile of the first's cost, and more, up to which frames show their least
PER_SPEED, PER_DEGREE = 0.3, 0.01  # cost of 1 % of the eye distance per 1/30 s, and of a degree of turn
LEAST_SECONDS, LEAST_SHARE = 0.4, 1 / 6
EXPRESSIVE = 0.4  # of such a blendshape in what was taken for the neutral: the clip holds none
INEXPRESSIVE = 0.3  # cost above the least one up to which a face shows hardly anything
SIMILAR = 0.15  # cost above the median of the least expressive frames at which a frame counts as calm too
OPEN_EYE = 0.7  # quantile of the eye's opening in a clip that is its open eye
SHAPE_NOISE = 0.3  # % of the eye distance, added to a channel's spread
COMPARED = 600  # calm frames that are compared with one another: more would cost their square
DOWNCAST = ("aperture", "lid_up", "iris_right", "iris_left")  # not iris_x, which goes both ways


@dataclass(frozen=True)
class Neutral:
    """Level of every channel at rest, and where it comes from: ``frames`` of the clip (empty if kept)."""

    levels: dict[str, float] = field(repr=False)
    frames: tuple[int, ...] = ()
    source: str = "estimated"

    @property
    def expressive(self) -> bool:
        """Whether what was taken for the neutral shows an expression: the clip holds nothing calmer."""
        shown = max((self.levels.get(name, 0.0) for name in ABSOLUTE), default=0.0)
        return self.source.startswith("estimated") and shown >= EXPRESSIVE

    def kept(self) -> Neutral:
        """The same levels for another clip of the person, which holds none of its frames."""
        return replace(self, frames=())

    def check(self, frames: int) -> None:
        """Raises: UsageError where it names frames that a clip of so many ``frames`` does not hold."""
        if self.frames and max(self.frames) >= frames:
            raise UsageError(
                f"neutral: its frames go to {max(self.frames)}, the clip has {frames}; give `.kept()` of a "
                "neutral from another clip."
            )

    def to_dict(self) -> dict:
        """As JSON in result.json."""
        return {"source": self.source, "frames": list(self.frames), "levels": self.levels}


def neutral_of(
    channels: Channels, angles: np.ndarray, fps: float, *, usable: np.ndarray, given: np.ndarray | None = None
) -> Neutral:
    """The neutral of a clip's channels (T,) each.

    angles (T, 3) degrees; usable (T,) bool: frames in which nothing covers the face.
    ``given``: frames that the user calls neutral; without them they are estimated.
    Raises: UsageError where none of those shows the face.
    """
    if given is not None:
        frames = given[np.isfinite(channels["gap"][given])]
        if not len(frames):
            raise UsageError("--neutral: the face is not seen in these frames; give others.")
        return Neutral({name: float(np.nanmedian(x[frames])) for name, x in channels.items()},
                       tuple(frames.tolist()), "given")  # fmt: skip
    frames = calm_frames(channels, angles, fps, usable)
    not_wide = _not_wide(channels, fps, usable)
    levels = {}
    for name, curve in channels.items():
        level = float(np.nanmedian(curve[frames]))
        if name.startswith(DOWNCAST):  # at rest people look down and blink too: the open eye is neutral
            open_eye = float(np.nanquantile(curve[not_wide], OPEN_EYE))
            level = max(open_eye, level) if not_wide[frames].any() else open_eye
        elif name.startswith("brow"):  # brows go both ways: halfway to where they usually are when still
            pace = np.abs(np.gradient(curve))
            still = usable & np.isfinite(pace)
            if still.any():
                still &= pace <= np.median(pace[still])
                level = 0.5 * (half_sample_mode(curve[still]) + level)
        levels[name] = level
    return Neutral(levels, tuple(frames.tolist()))


def _not_wide(channels: Channels, fps: float, usable: np.ndarray) -> np.ndarray:
    """(T,) bool: usable frames in which the eyes are not opened wide, all where they are so throughout."""
    shown = np.fmax(channels["eyeWideRight"], channels["eyeWideLeft"])
    plain = usable & (shown <= WIDE)
    return plain if plain.sum() >= LEAST_SECONDS * fps else usable


def calm_frames(channels: Channels, angles: np.ndarray, fps: float, usable: np.ndarray) -> np.ndarray:
    """(K,) frames in which the face is calm and shows nothing: the densest half of the least expressive."""
    blank = lambda name: np.where(usable, channels[name], np.nan)  # noqa: E731
    names = [name for name in channels if name.startswith(SHAPES)]
    speed = _speed([channels[name] for name in names], usable) * fps / 30
    turned = np.linalg.norm(angles - np.nanmedian(angles[usable], 0), axis=1)
    cost = PER_SPEED * speed + PER_DEGREE * turned
    cost = cost + sum(np.clip(blank(name) - RESTING, 0, None) for name in ABSOLUTE)
    if not np.isfinite(cost).any():  # the face is never seen in two frames in a row
        return np.flatnonzero(np.isfinite(channels["gap"]))
    plain = np.flatnonzero(cost <= np.nanquantile(cost, PLAIN) + PLAIN_MARGIN)
    if len(plain):
        cost = cost + sum(np.abs(c - half_sample_mode(c[plain])) for c in map(blank, RELATIVE))
    cost = smooth(cost, 2 * round(0.1 * fps) + 1)
    whole = np.logical_and.reduce([np.isfinite(blank(name)) for name in names])
    good = np.flatnonzero(np.isfinite(cost) & whole)
    if len(good) < 3:
        good = np.flatnonzero(whole)
        return good if len(good) else np.flatnonzero(np.isfinite(channels["gap"]))
    ranked = good[np.argsort(cost[good])]
    bare = cost[ranked[len(ranked) // 50]]  # the least that the face shows, but for single frames
    inexpressive = int((cost[ranked] < bare + INEXPRESSIVE).sum())
    least = min(len(good) * LEAST_SHARE, inexpressive)
    least = int(max(min(len(good), max(LEAST_SECONDS * fps, least)), 1))
    alike = int((cost[ranked] < cost[ranked[least // 2]] + SIMILAR).sum())
    ranked = ranked[: min(max(least, alike), max(least, len(good) // 2))]
    ranked = ranked[:: max(1, len(ranked) // COMPARED)]
    z = np.stack([blank(name)[ranked] / (np.nanstd(blank(name)) + SHAPE_NOISE) for name in names], 1)
    apart = np.sqrt(np.maximum((z**2).sum(1)[:, None] + (z**2).sum(1)[None] - 2 * z @ z.T, 0))
    near = max(3, len(ranked) // 2)
    middle = int(np.argmin(np.sort(apart, 1)[:, :near].mean(1)))
    count = max(5, int(LEAST_SECONDS * fps), len(ranked) // 2)
    return np.sort(ranked[np.argsort(apart[middle])[:count]])


def _speed(curves: list[np.ndarray], usable: np.ndarray) -> np.ndarray:
    """(T,) mean change per frame of curves (T,), NaN beside frames that are not usable."""
    out = np.empty(len(usable))
    for part in in_parts(len(usable)):
        near = slice(max(part.start - 1, 0), part.stop + 1)
        shape = np.stack([np.where(usable[near], curve[near], np.nan) for curve in curves], 1)
        pace = np.abs(np.gradient(shape, axis=0)).mean(1)
        out[part] = pace[part.start - near.start :][: part.stop - part.start]
    return out


def over_neutral(channels: Channels, neutral: Neutral) -> Channels:
    """Every channel minus its level at rest.

    No slope on the head's angles is taken out: within a clip it would eat expressions that come with a nod.
    """
    over: Spool[str] = Spool()
    for name, curve in channels.items():
        over[name] = curve - neutral.levels[name]
    return over


def half_sample_mode(values: np.ndarray) -> float:
    """The mode by the shortest interval that holds half of the values, again and again."""
    values = np.sort(values)
    while len(values) > 8:
        half = (len(values) + 1) // 2
        start = int(np.argmin(values[half - 1 :] - values[: len(values) - half + 1]))
        values = values[start : start + half]
    return float(np.median(values))


def range_named(text: str) -> tuple[float, float, bool]:
    """First and last of "10-24" or "0.5s-1.2s", and whether they are seconds.

    Raises: UsageError for another form, or a range that ends before it begins.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)(s?)\s*-\s*(\d+(?:\.\d+)?)(s?)\s*", text)
    if not match or match[2] != match[4] or (not match[2] and "." in text):
        raise UsageError(f"--neutral {text}: give frames (10-24) or seconds (0.5s-1.2s).")
    first, last = float(match[1]), float(match[3])
    if first > last:
        raise UsageError(f"--neutral {text}: ends before it begins; give the first frame first.")
    return first, last, bool(match[2])


def frames_named(text: str, times: np.ndarray) -> np.ndarray:
    """Frames (indices) of ``--neutral``: "10-24" in frames, "0.5s-1.2s" in seconds, both ends included.

    times (T,) s of the video's frames.
    Raises: UsageError for another form, or a range that the video does not hold from end to end.
    """
    first, last, in_seconds = range_named(text)
    at = times if in_seconds else np.arange(len(times))
    end = times[-1] + np.median(np.diff(times)) if in_seconds and len(times) > 1 else at[-1]
    chosen = np.flatnonzero((at >= first) & (at <= last))
    if last > end or not len(chosen):
        there = f"0 s to {end:.2f} s" if in_seconds else f"frames 0 to {len(times) - 1}"
        raise UsageError(f"--neutral {text}: the video has {there}; give a range within it.")
    return chosen
