"""The state of one face in every frame: AU intensities, lids, gaze, pose, confidence; as a table.

``state_of`` puts the parts together: pose out, channels, neutral, readings, furrows, noise floors, and what
cannot be judged in which frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from deft_llm.faces.graph import BLENDSHAPES
from deft_llm.spooled import Spool, in_parts
from deft_llm.state.channels import (
    SIDES,
    Channels,
    jitter,
    shape_channels,
    smooth,
    smoothed,
    without_leak,
)
from deft_llm.state.intensity import (
    FURROW_SHARE,
    STATE_AUS,
    VISIBLE,
    Key,
    frown_lines,
    open_share,
    part_of,
    readings,
    tightened,
    widened,
)
from deft_llm.state.lids import LidEvent, blink_masks, lid_events
from deft_llm.state.neutral import Neutral, neutral_of, over_neutral
from deft_llm.state.pose import RIGID, fit_head, in_space
from deft_llm.state.reader import read_trained
from deft_llm.state.speech import SPEECH_AUS, speech_frames
from deft_llm.state.track import KEPT, FaceTrack
from deft_llm.state.visibility import Visibility, visibility_of

FULL = 5.0  # intensity of a unit at its full weight
FLOOR_JITTERS = 5.0  # times the landmarker's jitter that a change takes
GOOD_PRESENCE, NO_PRESENCE = 14.0, 0.0  # logits of the landmarker: a good face, none
FARTHEST = 40.0  # degrees of yaw or pitch beyond which nothing is sure


@dataclass
class FaceState:
    """One face over T frames. ``intensity``: (AU, side) -> (T,) 0..5, may be below 0 where the face is under
    its neutral; ``trained``: the same by the trained reader; ``floor``: what of it is noise; ``skipped``
    (T,): share of blocks that an encoder left out; ``quantiser`` (T,): how coarsely it coded, 0 untold;
    ``over``: every channel over the neutral, (T,) each.
    Curves of a long video lie on the disk."""

    face: int
    times: np.ndarray
    fps: float
    intensity: Mapping[Key, np.ndarray]
    trained: Mapping[Key, np.ndarray]
    floor: dict[Key, float]
    neutral: Neutral
    angles: np.ndarray
    gaze: np.ndarray
    lids: dict[str, np.ndarray]
    lid_events: list[LidEvent]
    blinks: np.ndarray
    speech: np.ndarray
    visibility: Visibility
    confidence: np.ndarray
    iod: np.ndarray
    skipped: np.ndarray
    quantiser: np.ndarray
    track: FaceTrack = field(repr=False)
    over: Channels = field(repr=False)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def seen(self) -> np.ndarray:
        """(T,) bool: frames in which the face is there."""
        return np.isfinite(self.iod)

    @property
    def landmarks(self) -> np.ndarray:
        """(T, K, 2) px of ``track.KEPT``."""
        return self.track.landmarks

    def turn_in(self, frames: slice) -> float:
        """Degrees by which the head turns in some frames, by the angle that changes most; 0 where unseen."""
        known = self.angles[frames][np.isfinite(self.angles[frames]).all(1)]
        return float(np.ptp(known, axis=0).max()) if len(known) else 0.0

    def share(self, au: int, side: str, at: int | slice = slice(None)) -> np.ndarray:
        """(T,) intensity over what is clearly visible of the unit, or that of the frames ``at`` alone."""
        return self.intensity[au, side][at] / VISIBLE[au]


def state_of(track: FaceTrack, *, face: int = 1, neutral: Neutral | np.ndarray | None = None) -> FaceState:
    """The state of a face from its track.

    ``neutral``: one that was kept, or the frames (indices) that the user calls neutral; estimated without.
    Raises: UsageError where the face is not seen in the frames that are called neutral, or where these are
    another clip's.
    """
    c, angles = channels_of(track)
    visible = visibility_of(track, c, angles)
    if isinstance(neutral, Neutral):
        neutral.check(len(track))
    else:
        neutral = neutral_of(c, angles, track.fps, usable=visible.usable, given=neutral)
    d = over_neutral(c, neutral)
    read = readings(c, d)
    rest = np.array(neutral.frames, int)
    if not len(rest):
        rest = np.flatnonzero(visible.usable)
    clear = track.seen & ~visible.hidden["brows"] & ~visible.hidden["eyes"]
    lines = frown_lines(track.furrows, rest, clear, track.fps)
    for side in SIDES:
        shape = read[4, side]
        read[4, side] = np.where(np.isfinite(lines), FURROW_SHARE * lines + (1 - FURROW_SHARE) * shape, shape)
    trained = read_trained(d, track.furrows, rest, track.fps)
    for side in SIDES:
        read[7, side] = tightened(d, trained[7, side], side)
        trained[5, side] = widened(d, read[5, side], trained[5, side], side)
    intensity: Spool[Key] = Spool()
    for key, curve in read.items():
        intensity[key] = np.where(track.seen, VISIBLE[key[0]] * curve, np.nan)
    events = lid_events(c, track.fps, track.seen & ~visible.hidden["eyes"] & ~visible.dark)
    return FaceState(
        face=face, times=track.times, fps=track.fps, intensity=intensity, trained=trained,
        floor={key: FLOOR_JITTERS * jitter(curve, track.fps) for key, curve in intensity.items()},
        neutral=neutral, angles=np.stack([smooth(a, 2 * round(0.1 * track.fps) + 1) for a in angles.T], 1),
        gaze=_gaze(d), lids={side: open_share(c[f"aperture_{side}"]) for side in SIDES},
        lid_events=events, blinks=blink_masks(events, len(track), track.fps),
        speech=speech_frames(d, track.fps, visible.hidden["mouth"]), visibility=visible,
        confidence=_confidence(track, angles, visible),
        iod=track.iod, skipped=np.nan_to_num(track.skipped),
        quantiser=np.nan_to_num(track.quantiser), track=track, over=d,
    )  # fmt: skip


def channels_of(track: FaceTrack) -> tuple[Channels, np.ndarray]:
    """Smoothed channels (T,) each, not yet over any neutral, and the head's angles (T, 3) in degrees.

    Points are turned upright in parts: of a long video they would be most of its memory.
    """
    rigid = np.searchsorted(KEPT, RIGID)
    head = fit_head(
        len(track), lambda part: in_space(track.landmarks[part][:, rigid], track.depth[part][:, rigid])
    )
    raw: Spool[str] = Spool()
    for part in in_parts(len(track)):
        points = head.upright(in_space(track.landmarks[part], track.depth[part]), part)
        shown = zip(BLENDSHAPES, track.blend[part].T.astype(float), strict=True)
        shape = without_leak(shape_channels(points, KEPT), head.angles[part, 1])
        for name, curve in (shape | dict(shown)).items():
            raw.put(name, curve, part.start, len(track))
    return smoothed(raw, track.fps), head.angles


def _gaze(d: Channels) -> np.ndarray:
    """(T, 2) place of the irises over neutral, % of the eye distance: right in the image, up."""
    return np.stack([
        0.5 * (d["iris_x_right"] + d["iris_x_left"]), 0.5 * (d["iris_right"] + d["iris_left"])
    ], 1)  # fmt: skip


def _confidence(track: FaceTrack, angles: np.ndarray, visible: Visibility) -> np.ndarray:
    """(T,) 0..1: the landmarker's presence, less where the head is turned away or the face is hidden."""
    share = np.clip((track.presence - NO_PRESENCE) / (GOOD_PRESENCE - NO_PRESENCE), 0, 1)
    turned = np.clip(1 - np.abs(np.nan_to_num(angles[:, :2])).max(1) / FARTHEST, 0, 1)
    hidden = visible.hidden["brows"].astype(float) + visible.hidden["mouth"]
    return np.nan_to_num(share * np.sqrt(turned) * (1 - 0.4 * hidden) * np.where(visible.dark, 0.5, 1.0))


def unsure(state: FaceState, au: int) -> np.ndarray:
    """(T,) bool: frames in which a unit cannot be judged."""
    out = state.visibility.hidden[part_of(au)] | state.visibility.dark
    if au in SPEECH_AUS:
        out = out | state.speech
    return out


def table_parts(states: list[FaceState]) -> Iterator[dict[str, np.ndarray]]:
    """FrameState columns (schema in docs/reference/result.md), (rows,) each, in parts of at most PART rows,
    one face after the other."""
    for state in states:
        for part in in_parts(len(state)):
            yield {
                name: np.round(values, 3) if np.issubdtype(values.dtype, np.floating) else values
                for name, values in _rows(state, part).items()
            }


def _rows(state: FaceState, part: slice) -> dict[str, np.ndarray]:
    """FrameState columns of one face in some frames."""
    at = np.arange(part.start, part.stop)
    row = {
        "frame": at, "time_s": np.round(state.times[part], 4), "face": np.full(len(at), state.face),
        "confidence": np.round(state.confidence[part], 3), "pitch": state.angles[part, 1],
        "yaw": state.angles[part, 0], "roll": state.angles[part, 2], "gaze_x": state.gaze[part, 0],
        "gaze_y": state.gaze[part, 1], "lid_left": state.lids["left"][part],
        "lid_right": state.lids["right"][part],
    }  # fmt: skip
    for au in STATE_AUS:
        for side in ("left", "right"):
            row[f"AU{au:02d}_{side[0].upper()}"] = np.clip(state.intensity[au, side][part], 0, FULL)
    for au in STATE_AUS:
        known = np.logical_and.reduce([np.isfinite(state.intensity[au, side][part]) for side in SIDES])
        row[f"AU{au:02d}_sure"] = (state.seen[part] & ~unsure(state, au)[part] & known).astype(int)
    return row
