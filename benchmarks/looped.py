"""Real clips made longer: looped back and forth, warped along the face, with their own noise or fresh one.

``Clip.at_rest`` cuts the longest stretch in which spotting itself, with its defaults and without any warp,
sees one face without a break, neither speech nor a restless head: a rule that knows nothing of what is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from deft_llm.explain.samples import Injected, move_pixels, warp_field
from deft_llm.faces.align import inter_ocular
from deft_llm.faces.landmarker import Landmarker
from deft_llm.faces.video import Frame, frames, probe
from deft_llm.spotting.build_signal import signal_of
from deft_llm.spotting.spot import spot
from deft_llm.state.channels import runs

NOISE = 1.0  # grey levels of camera noise, fresh in each frame


@dataclass(frozen=True)
class Clip:
    """Frames, uint8 RGB; landmarks (478, 2) px of the main face in each, None where it is not seen."""

    frames: Sequence[Frame]
    landmarks: Sequence[np.ndarray | None]
    fps: float

    def at_rest(self) -> Clip:
        """Its longest stretch of one face with neither speech nor a restless head, as spotting sees them."""
        signal = signal_of(self.frames, self.fps)
        spotting = spot(signal)
        calm = signal.segment >= 0
        for span in (*spotting.speech, *spotting.restless):
            calm[span.start : span.stop + 1] = False
        # A new stretch of measuring ends the old one: its first frame counts as a gap.
        calm[1:] &= np.diff(signal.segment) == 0
        start, stop = max(runs(calm), key=lambda run: run[1] - run[0])
        rest = replace(self, frames=self.frames[start:stop], landmarks=self.landmarks[start:stop])
        place = f"frames {start} to {stop - 1} of {len(signal)}"
        print(f"at rest: {place}, {rest.apart_px:.0f} px between the eyes", flush=True)
        return rest

    @property
    def apart_px(self) -> float:
        """Source px between the eyes, the median of all frames."""
        return float(np.median([inter_ocular(points) for points in self.landmarks if points is not None]))

    def looped(
        self, seconds: float, movements: list[Injected], noise: np.random.Generator | None = None
    ) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8, forth and back until ``seconds`` are full (no jump at the ends), warped;
        ``noise`` draws fresh camera noise on top of the clip's own."""
        order = [*range(len(self.frames)), *range(len(self.frames) - 2, 0, -1)]
        for i in range(int(seconds * self.fps)):
            source = order[i % len(order)]
            image, landmarks = self.frames[source].image, self.landmarks[source]
            for movement in movements:
                amount = movement.amount(i)
                if amount and landmarks is not None:
                    field = warp_field(landmarks, movement.au, movement.side, image.shape[:2])
                    image = move_pixels(image, np.float32(amount * movement.px) * field)
            fresh = noise.normal(0, NOISE, image.shape) if noise is not None else 0.0
            yield np.clip(np.rint(image + fresh), 0, 255).astype(np.uint8)


@lru_cache(maxsize=2)
def clip_of(path: Path, at_rest: bool) -> Clip:
    """A video's frames at a whole number of frames a second, and the face in them."""
    if at_rest:
        return clip_of(path, False).at_rest()
    images = list(frames(path))
    landmarker, face, tracks = Landmarker(), None, []
    for frame in images:
        face = face and landmarker.track(frame.image, face)
        face = face or next(iter(landmarker.detect(frame.image)), None)
        tracks.append(None if face is None else face.landmarks)
    return Clip(images, tracks, float(round(probe(path).fps or 25.0)))
