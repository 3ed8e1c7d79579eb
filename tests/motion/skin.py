"""Real skin that moves by a known amount: the public-domain astronaut portrait, warped sub-pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from scipy import fft

from deft_llm.faces.align import move, transform_of
from deft_llm.faces.geometry import inter_ocular
from deft_llm.faces.landmarker import Landmarker
from deft_llm.faces.video import Frame


@lru_cache(maxsize=1)
def portrait() -> tuple[np.ndarray, np.ndarray]:
    """The portrait's head as float32 RGB (300, 300, 3), and its landmarks (478, 2)."""
    import skimage.data

    image = np.ascontiguousarray(skimage.data.astronaut()[0:300, 80:380])
    return image.astype(np.float32), Landmarker().detect(image)[0].landmarks


@dataclass(frozen=True)
class Bump:
    """Skin about a landmark moves by (dx, dy) shares of the inter-ocular distance, fading over ``radius``."""

    landmark: int
    dx: float
    dy: float
    radius: float = 0.16


@dataclass(frozen=True)
class Skin:
    """A clip: bumps times ``amplitude`` source px by a raised-cosine envelope, head motion, camera noise."""

    bumps: tuple[Bump, ...]
    amplitude: float = 1.0
    onset: int = 8
    apex: int = 20
    offset: int = 32
    count: int = 40
    noise: float = 2.0
    drift: tuple[float, float] = (0.0, 0.0)  # px per frame
    roll: float = 0.0  # rad a frame
    seed: int = 0
    fps: float = 100.0
    mirrored: bool = False
    landmarks: np.ndarray = field(default_factory=lambda: portrait()[1], repr=False)

    def envelope(self, index: int) -> float:
        """0 at onset and offset, 1 at the apex."""
        if not self.onset < index < self.offset:
            return 0.0
        if index <= self.apex:
            share = (index - self.onset) / (self.apex - self.onset)
        else:
            share = (self.offset - index) / (self.offset - self.apex)
        return 0.5 - 0.5 * float(np.cos(np.pi * share))

    def field(self) -> np.ndarray:
        """Expression flow onset -> apex at the portrait's pixels, (2, H, W) px."""
        image, landmarks = portrait()
        rows, columns = np.mgrid[0 : image.shape[0], 0 : image.shape[1]].astype(np.float32)
        radius = inter_ocular(landmarks)
        flow = np.zeros((2, *rows.shape), np.float32)
        for bump in self.bumps:
            x, y = landmarks[bump.landmark]
            weight = np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / (bump.radius * radius) ** 2)
            flow[0] += self.amplitude * bump.dx * weight
            flow[1] += self.amplitude * bump.dy * weight
        return flow

    def picture(self, index: int) -> np.ndarray:
        """Frame ``index`` as uint8 RGB."""
        image, landmarks = portrait()
        flow = self.field() * self.envelope(index)
        rows, columns = np.mgrid[0 : image.shape[0], 0 : image.shape[1]].astype(np.float32)
        # The head's motion first, then where the skin came from (inverse by fixed-point iteration).
        centre = landmarks.mean(0)
        steps = index - self.onset
        angle = -self.roll * steps
        x = columns - centre[0] - self.drift[0] * steps
        y = rows - centre[1] - self.drift[1] * steps
        c, s = np.cos(angle), np.sin(angle)
        x, y = (c * x - s * y + centre[0]).astype(np.float32), (s * x + c * y + centre[1]).astype(np.float32)
        from_x, from_y = x.copy(), y.copy()
        if flow.any():
            for _ in range(6):
                from_x, from_y = (
                    x - cv2.remap(flow[0], from_x, from_y, cv2.INTER_LINEAR),
                    y - cv2.remap(flow[1], from_x, from_y, cv2.INTER_LINEAR),
                )
        moved = _sample(image, from_x, from_y)
        grain = np.random.default_rng([self.seed, index]).normal(0, self.noise, moved.shape)
        picture = np.clip(np.round(moved + grain), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(picture[:, ::-1]) if self.mirrored else picture

    def frames(self):
        """All frames in order."""
        for index in range(self.count):
            yield Frame(index, index / self.fps, self.picture(index))

    def true_flow(self) -> np.ndarray:
        """Expression flow (2, 224, 224) in aligned pixels, as a perfect measurement would find it."""
        _, landmarks = portrait()
        matrix = transform_of(landmarks)
        rows, columns = np.mgrid[0:224, 0:224].astype(np.float64)
        inverse = cv2.invertAffineTransform(matrix)
        at = move(np.stack([columns, rows], -1), inverse).astype(np.float32)
        flow = self.field()
        sampled = np.stack([cv2.remap(flow[k], at[..., 0], at[..., 1], cv2.INTER_LINEAR) for k in (0, 1)], -1)
        return np.moveaxis(sampled @ matrix[:, :2].T, -1, 0).astype(np.float32)


@lru_cache(maxsize=1)
def _spectrum() -> np.ndarray:
    """The portrait four times finer (Fourier zero padding): linear look-ups in it blur next to nothing."""
    image, _ = portrait()
    height, width, _ = image.shape
    # A cosine series goes on symmetrically at the edges; twice its length in zeros is twice as fine.
    waves = np.pad(fft.dctn(image, axes=(0, 1), norm="ortho"), ((0, 3 * height), (0, 3 * width), (0, 0)))
    return np.ascontiguousarray(4 * fft.idctn(waves, axes=(0, 1), norm="ortho")).astype(np.float32)


def _sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # Sample n of the fine picture lies at (n + 0.5) / 4 - 0.5 of the coarse one.
    return cv2.remap(_spectrum(), 4 * x + 1.5, 4 * y + 1.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


# FACS-like movements, in shares of amplitude; the subject's right side lies at the image's left.
SMILE_RIGHT = (Bump(61, -0.7, -0.7, 0.14), Bump(50, 0.0, -0.4, 0.2))
SMILE = (*SMILE_RIGHT, Bump(291, 0.7, -0.7, 0.14), Bump(280, 0.0, -0.4, 0.2))
BROW_RAISE = (Bump(107, 0.0, -1.0, 0.14), Bump(336, 0.0, -1.0, 0.14))
BROW_LOWER = (Bump(107, 0.5, 0.85, 0.14), Bump(336, -0.5, 0.85, 0.14))
CHIN_RAISE = (Bump(199, 0.0, -1.0, 0.16),)
