"""What an optical-flow estimator makes of the true motion: a linear model of gradient-based flow.

Estimators solve brightness constancy: they see the image gradient's share of the motion (aperture problem),
average it over a window, trust textured skin and pull the rest to a coarser estimate, which is pulled to zero
(shrinkage). With J the structure tensor of the face's image, G a Gaussian window and f0 the true motion,
coarse to fine: f = fc + (G J + a I)^-1 G (J (f0 - fc) + noise): Lucas & Kanade's least squares with the quadratic
prior of Horn & Schunck. Sensor noise, brightness changes and patchy texture enter where they do in nature.
"""

from __future__ import annotations

import cv2
import numpy as np

from deft_llm.synth.flow_config import FlowConfig
from deft_llm.synth.flow_draw import Crop, happens, loguniform, smooth_field, uniform
from deft_llm.synth.flow_face import BACKGROUND, FlowFace


class Scene:
    """The image that both phases of a sample share: gradients, texture energy, windows."""

    def __init__(
        self, rng: np.random.Generator, config: FlowConfig, face: FlowFace, crop: Crop, work: int
    ) -> None:
        self.rng, self.config, self.work = rng, config, work
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        image = cv2.warpAffine(
            face.image, crop.matrix, (work, work), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        self.gx = cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=3)
        self.gy = cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=3)
        energy = float((self.gx**2 + self.gy**2).mean()) * 3
        norm = loguniform(rng, config.contrast) / np.sqrt(energy + 1e-9)
        self.gx *= norm
        self.gy *= norm
        extra = face.edges.ravel()[crop.index].reshape(work, work)
        self.background = face.kind.ravel()[crop.index].reshape(work, work) == BACKGROUND
        patchy = np.exp(
            uniform(rng, config.texture_patchy) * smooth_field(rng, work, int(rng.integers(3, 9)), 1)[0]
        )
        texture = loguniform(rng, config.skin_texture) * patchy + 0.5 * extra
        texture[self.background] = loguniform(rng, config.background_texture)
        self.texture = texture.astype(np.float32)
        self.fine = loguniform(rng, config.window) * work / 100
        self.coarse = loguniform(rng, config.window_coarse) * work / 100
        tensor = np.stack([self.gx**2 + texture, self.gx * self.gy, self.gy**2 + texture], -1).astype(
            np.float32
        )
        self.tensor = tensor
        self.tensor_fine = blur(tensor, self.fine)
        self.tensor_coarse = blur(tensor, self.coarse)
        self.prior_fine = loguniform(rng, config.prior_fine)
        self.prior_coarse = loguniform(rng, config.prior_coarse)
        self.median = (3 if rng.random() < 0.6 else 5) if happens(rng, config.median_chance) else 0
        self.staircase = uniform(rng, config.staircase) if happens(rng, config.staircase_chance) else 0.0
        self.exact = happens(rng, config.exact_chance)

    def estimate(self, flow: np.ndarray) -> np.ndarray:
        """The estimated flow (2, W, W), px, of the true ``flow`` (2, W, W)."""
        rng, config, work = self.rng, self.config, self.work
        if self.exact:
            found = flow
        else:
            seen = self._seen(flow)
            coarse = _solve(self.tensor_coarse, blur(seen, self.coarse), self.prior_coarse)
            rest = blur(seen, self.fine) - _apply(self.tensor_fine, coarse)
            found = (coarse + _solve(self.tensor_fine, rest, self.prior_fine)).transpose(2, 0, 1)
            found = self._regularise(found)
        cells = int(rng.integers(3, 14))
        found = found + loguniform(rng, config.coloured_noise) * smooth_field(rng, work, cells, 2)
        if happens(rng, config.outlier_chance):
            found = found + _outliers(rng, config, self.background, work)
        return np.ascontiguousarray(found, np.float32)

    def _seen(self, flow: np.ndarray) -> np.ndarray:
        """J f0 plus noise (W, W, 2): the right-hand side of the normal equations."""
        rng, config, shape = self.rng, self.config, (self.work, self.work)
        moved = flow.transpose(1, 2, 0)
        noise = loguniform(rng, config.sensor_noise)
        along = noise * rng.standard_normal(shape, dtype=np.float32)
        if happens(rng, config.illumination_chance):
            along += (
                loguniform(rng, config.illumination)
                * smooth_field(rng, self.work, int(rng.integers(1, 4)), 1)[0]
            )
        seen = _apply(self.tensor, moved)
        seen[..., 0] += self.gx * along
        seen[..., 1] += self.gy * along
        grain = noise * np.sqrt(self.texture)
        seen += grain[..., None] * rng.standard_normal((*shape, 2), dtype=np.float32)
        return seen

    def _regularise(self, found: np.ndarray) -> np.ndarray:
        """Median filtering and total-variation-like flattening of small detail."""
        if self.staircase:
            smooth = np.stack([blur(np.ascontiguousarray(c), self.fine + 1.5) for c in found])
            detail = found - smooth
            cut = self.staircase * float(detail.std())
            found = smooth + np.sign(detail) * np.maximum(np.abs(detail) - cut, 0)
        if self.median:
            found = np.stack(
                [cv2.medianBlur(np.ascontiguousarray(c, np.float32), self.median) for c in found]
            )
        return found


def blur(field: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of (W, W) or (W, W, C); wide windows at a third of the resolution."""
    side = field.shape[0]
    if sigma < 2.4:
        return cv2.GaussianBlur(field, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    small = cv2.resize(field, (max(side // 3, 4),) * 2, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / 3, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)


def _apply(tensor: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """J f for tensors (W, W, 3) = (xx, xy, yy) and flow (W, W, 2)."""
    a, b, c = tensor[..., 0], tensor[..., 1], tensor[..., 2]
    u, v = flow[..., 0], flow[..., 1]
    return np.stack([a * u + b * v, b * u + c * v], -1)


def _solve(tensor: np.ndarray, right: np.ndarray, prior: float) -> np.ndarray:
    """(J + prior I)^-1 right, per pixel (W, W, 2)."""
    a, b, c = tensor[..., 0] + prior, tensor[..., 1], tensor[..., 2] + prior
    determinant = a * c - b * b
    r, s = right[..., 0], right[..., 1]
    return np.stack([(c * r - b * s) / determinant, (a * s - b * r) / determinant], -1)


def _outliers(rng: np.random.Generator, config: FlowConfig, background: np.ndarray, work: int) -> np.ndarray:
    """Blobs of garbage motion (2, W, W), px: half of them where the background is."""
    field = np.zeros((2, work, work), np.float32)
    grid = np.arange(work, dtype=np.float32)
    for _ in range(int(rng.integers(1, 4))):
        places = np.argwhere(background)
        if len(places) and rng.random() < 0.6:
            y, x = places[rng.integers(len(places))]
        else:
            y, x = rng.uniform(0, work, 2)
        wide, high = work * rng.uniform(0.015, 0.12, 2)
        bell = np.exp(-(((grid - y) / high) ** 2))[:, None] * np.exp(-(((grid - x) / wide) ** 2))[None]
        angle = rng.uniform(0, 2 * np.pi)
        size = loguniform(rng, config.outlier)
        field[0] += size * np.cos(angle) * bell
        field[1] += size * np.sin(angle) * bell
    return field
