"""One neutral face of a person over several clips: the calm frames of all of them together.

A clip may show one expression from its first frame to its last; only the person's other clips tell that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.errors import DeftError
from deft_llm.files import atomic_path, read_arrays
from deft_llm.state.channels import Channels
from deft_llm.state.face_state import channels_of
from deft_llm.state.neutral import Neutral, frames_named, neutral_of
from deft_llm.state.track import FaceTrack
from deft_llm.state.visibility import visibility_of

_CHANNEL = "channel "


@dataclass(frozen=True)
class ClipChannels:
    """What a clip gives to its person's neutral: ``channels`` (T,) each; ``angles`` (T, 3) degrees of the
    head from where it mostly is in the clip; ``usable`` (T,) bool: frames in which nothing covers the face;
    ``given``: frames that the user calls neutral, None without."""

    channels: Channels
    angles: np.ndarray
    usable: np.ndarray
    fps: float
    given: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.usable)

    def save(self, path: Path) -> None:
        """Write everything to an .npz file, atomically."""
        arrays: dict[str, Any] = {_CHANNEL + name: x.astype(np.float32) for name, x in self.channels.items()}
        if self.given is not None:
            arrays["given"] = self.given
        with atomic_path(path) as temporary, temporary.open("wb") as handle:
            np.savez(handle, angles=self.angles.astype(np.float32), usable=self.usable,
                     fps=np.float64(self.fps), **arrays)  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> ClipChannels:
        """Read what ``save`` wrote. Raises: DeftError for a file that is damaged."""
        kept = read_arrays(path)
        channels = {name.removeprefix(_CHANNEL): x for name, x in kept.items() if name.startswith(_CHANNEL)}
        return cls(channels, kept["angles"], kept["usable"], float(kept["fps"]), kept.get("given"))


def clip_channels(track: FaceTrack, named: str | None = None) -> ClipChannels:
    """What a clip's track gives to its person's neutral; ``named``: its neutral frames ("10-24", "0s-1s").

    Raises: UsageError where ``named`` names none of the clip's frames.
    """
    channels, angles = channels_of(track)
    usable = visibility_of(track, channels, angles).usable
    if usable.any():
        angles = angles - np.nanmedian(angles[usable], 0)  # cameras stand differently from clip to clip
    given = None if named is None else frames_named(named, track.times)
    return ClipChannels(channels, angles, usable, track.fps, given)


def shared_neutral(clips: Sequence[ClipChannels]) -> list[Neutral]:
    """The person's neutral, once per clip of theirs: the same levels, and those of its frames that are
    among the neutral ones (none where the clip shows no calm face).

    Frames that the user calls neutral, in whichever clips, are taken for all.
    Raises: DeftError without clips; UsageError where the face is not seen in any of the named frames.
    """
    if not clips:
        raise DeftError("a neutral needs at least one clip of the person; give one.")
    starts = np.cumsum([0, *(len(clip) for clip in clips)])
    named = [at + clip.given for at, clip in zip(starts, clips, strict=False) if clip.given is not None]
    whole = neutral_of(
        {name: np.concatenate([clip.channels[name] for clip in clips]) for name in clips[0].channels},
        np.concatenate([clip.angles for clip in clips]),
        float(np.median([clip.fps for clip in clips])),
        usable=np.concatenate([clip.usable for clip in clips]),
        given=np.concatenate(named) if named else None,
    )
    frames = np.array(whole.frames, int)
    source = f"{whole.source} over {len(clips)} clips of the person"
    found = []
    for start, stop in zip(starts, starts[1:], strict=False):
        own = frames[(frames >= start) & (frames < stop)] - start
        found.append(replace(whole, frames=tuple(own.tolist()), source=source))
    return found
