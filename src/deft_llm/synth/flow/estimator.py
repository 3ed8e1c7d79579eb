"""What an optical-flow estimator makes of the true motion: a linear model of gradient-based flow.

Estimators solve brightness constancy: they see the image gradient's share of the motion (aperture
problem), average it over a window, trust textured skin and pull the rest to a coarser estimate,
which is pulled to zero (shrinkage). With J the structure tensor of the face's image, G a Gaussian
window and f0 the true motion, coarse to fine: f = fc + (G J + a I)^-1 G (J (f0 - fc) + noise):
Lucas & Kanade's least squares with the quadratic prior of Horn & Schunck. Sensor noise,
brightness changes and patchy texture enter where they do in nature.
"""

from __future__ import annotations

import cv2
import numpy as np

from deft_llm.synth.flow.config import FlowConfig
from deft_llm.synth.flow.draw import (
    Crop,
    happens,
    loguniform,
    loguniforms,
    noise,
    reference_index,
    smooth_field,
    uniform,
)
from deft_llm.synth.flow.face import BACKGROUND, HAIR, FlowFace

MOST_CHANNELS = 96  # of one image: OpenCV 5 stops at 128


class Scene:
    """One head, crop and estimator, shared by the takes of a block: gradients, texture, windows.

    Tensors are planes (3, N) of xx, xy, yy over N = W * W pixels; flows are planes (F, N) of u and of v.
    """

    def __init__(
        self, rng: np.random.Generator, config: FlowConfig, face: FlowFace, crop: Crop, work: int
    ) -> None:
        self.config, self.work = config, work
        self.index = reference_index(crop, face.side, work)
        kind = face.kind.ravel()[self.index]
        self.background, self.hair = kind == BACKGROUND, kind == HAIR
        self._read_image(rng, face, crop)
        self.fine = loguniform(rng, config.window) * work / 100
        self.coarse = loguniform(rng, config.window_coarse) * work / 100
        self.fine_inverse = _Inverse(
            self._blurred(self.tensor, self.fine), loguniform(rng, config.prior_fine)
        )
        self.coarse_inverse = _Inverse(
            self._blurred(self.tensor, self.coarse), loguniform(rng, config.prior_coarse)
        )
        self.median = (3 if rng.random() < 0.6 else 5) if happens(rng, config.median_chance) else 0
        self.staircase = uniform(rng, config.staircase) if happens(rng, config.staircase_chance) else 0.0
        self.exact = happens(rng, config.exact_chance)
        self.noise = loguniform(rng, config.sensor_noise)
        self.false_motion = loguniform(rng, config.coloured_noise)
        self.border: np.ndarray | None = self._border(rng)

    def _read_image(self, rng: np.random.Generator, face: FlowFace, crop: Crop) -> None:
        """Gradients of the face's image on the crop, and the texture that is finer than the grid."""
        config, work = self.config, self.work
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        image = cv2.warpAffine(
            face.image, crop.matrix, (work, work), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        gx = cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=3).ravel()
        gy = cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=3).ravel()
        energy = float(np.vdot(gx, gx) + np.vdot(gy, gy)) / work**2 * 3
        norm = np.float32(loguniform(rng, config.contrast) / np.sqrt(energy + 1e-9))
        self.gx, self.gy = gx * norm, gy * norm
        patchy = uniform(rng, config.texture_patchy) * smooth_field(rng, work, int(rng.integers(3, 9)), 1)
        texture = np.float32(loguniform(rng, config.skin_texture)) * np.exp(patchy.ravel())
        texture += np.float32(0.5) * face.edges.ravel()[self.index]
        texture[self.background] = loguniform(rng, config.background_texture)
        self.texture_root = np.sqrt(texture).astype(np.float32)
        self.tensor = np.stack([self.gx**2 + texture, self.gx * self.gy, self.gy**2 + texture])
        self.tensor = self.tensor.astype(np.float32)

    def _blurred(self, planes: np.ndarray, sigma: float) -> np.ndarray:
        """Gaussian blur of planes (F, N); many planes go through the filter as channels of one image."""
        found = [
            cv2.transpose(blur(image.reshape(self.work, self.work, -1), sigma).reshape(self.work**2, -1))
            for image in map(cv2.transpose, split(planes))
        ]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def estimate(
        self, rng: np.random.Generator, u: np.ndarray, v: np.ndarray, still: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The estimated flows (F, N), px, of the true planes ``u`` and ``v``; ``still`` (F, N): where the two
        pictures are the same to the bit, noise as well."""
        if not self.exact:
            seen_u, seen_v = self._seen(rng, u, v)
            if still is not None:
                seen_u[still], seen_v[still] = 0, 0
            seen, flows = np.concatenate([seen_u, seen_v]), len(u)
            wide, near = self._blurred(seen, self.coarse), self._blurred(seen, self.fine)
            coarse_u, coarse_v = self.coarse_inverse.solve(wide[:flows], wide[flows:])
            known_u, known_v = _apply(self.fine_inverse.tensor, coarse_u, coarse_v)
            rest_u, rest_v = self.fine_inverse.solve(near[:flows] - known_u, near[flows:] - known_v)
            found = self._regularise(np.concatenate([coarse_u + rest_u, coarse_v + rest_v]))
            u, v = found[:flows], found[flows:]
        self._add_garbage(rng, u, v)
        return u, v

    def _add_garbage(self, rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> None:
        """Smooth false motion, blobs, spikes and spoilt borders, in place."""
        config, flows = self.config, len(u)
        level = (self.false_motion * rng.uniform(0.6, 1.6, (flows, 1))).astype(np.float32)
        false = smooth_field(rng, self.work, int(rng.integers(3, 14)), 2 * flows).reshape(2, flows, -1)
        u += level * false[0]
        v += level * false[1]
        hit = np.flatnonzero(rng.random(flows) < config.outlier_chance)
        if len(hit):
            extra = _outliers(rng, config, self.background, self.work, len(hit))
            u[hit] += extra[0]
            v[hit] += extra[1]
        hit = np.flatnonzero(rng.random(flows) < config.spikes_chance)
        if len(hit):
            self._add_spikes(rng, u, v, hit)
        if self.border is not None:
            level = loguniforms(rng, config.border, flows) * (rng.random(flows) < 0.8)
            rim = level[:, None].astype(np.float32) * self.border
            u += rim * noise(rng, u.size).reshape(u.shape)
            v += rim * noise(rng, u.size).reshape(u.shape)

    def _add_spikes(self, rng: np.random.Generator, u: np.ndarray, v: np.ndarray, rows: np.ndarray) -> None:
        """Single wild pixels, most of them where hair or background confuse the estimator (in place)."""
        risk = np.where(self.hair | self.background, np.float32(0.25), np.float32(0.004))
        share = rng.uniform(0.2, 1.0, (len(rows), 1)).astype(np.float32)
        row, pixel = np.nonzero(rng.random((len(rows), u.shape[1]), dtype=np.float32) < share * risk)
        level = loguniforms(rng, self.config.spikes, len(rows)).astype(np.float32)[row]
        u[rows[row], pixel] += level * noise(rng, len(row))
        v[rows[row], pixel] += level * noise(rng, len(row))

    def _border(self, rng: np.random.Generator) -> np.ndarray | None:
        """Where the crop's edge spoils flow (N,), 0..1: patchy and falling off inwards; None if nowhere."""
        if not happens(rng, self.config.border_chance):
            return None
        width = loguniform(rng, self.config.border_width) * self.work / 100
        inwards = np.minimum(np.arange(self.work), np.arange(self.work)[::-1]).astype(np.float32)
        edge = np.exp(-((np.minimum(inwards[:, None], inwards[None]) / width) ** 2))
        patchy = np.clip(smooth_field(rng, self.work, int(rng.integers(3, 10)), 1)[0] + 0.3, 0, 1.5)
        return (edge * patchy).ravel().astype(np.float32)

    def _seen(self, rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """J f0 plus noise: the right-hand side of the normal equations, (F, N) each."""
        config = self.config
        flows = len(u)
        seen_u, seen_v = _apply(self.tensor, u, v)
        level = (self.noise * rng.uniform(0.7, 1.4, (flows, 1))).astype(np.float32)
        along = level * noise(rng, u.size).reshape(u.shape)
        lit = np.flatnonzero(rng.random(flows) < config.illumination_chance)
        if len(lit):
            shade = smooth_field(rng, self.work, int(rng.integers(1, 4)), len(lit)).reshape(len(lit), -1)
            strength = loguniforms(rng, config.illumination, (len(lit), 1)).astype(np.float32)
            along[lit] += strength * shade
        grain = level * self.texture_root
        seen_u += self.gx * along + grain * noise(rng, u.size).reshape(u.shape)
        seen_v += self.gy * along + grain * noise(rng, u.size).reshape(u.shape)
        return seen_u, seen_v

    def _regularise(self, planes: np.ndarray) -> np.ndarray:
        """Median filtering and total-variation-like flattening of small detail."""
        if self.staircase:
            smooth = self._blurred(planes, self.fine + 1.5)
            detail = planes - smooth
            cut = np.float32(self.staircase) * np.sqrt((detail * detail).mean(1, keepdims=True))
            planes = planes - np.clip(detail, -cut, cut)
        if self.median:
            images = planes.reshape(-1, self.work, self.work)
            planes = np.stack([cv2.medianBlur(image, self.median) for image in images]).reshape(planes.shape)
        return planes


class _Inverse:
    """(J + prior I)^-1 for a field of tensors (3, N)."""

    def __init__(self, tensor: np.ndarray, prior: float) -> None:
        self.tensor = tensor
        a, b, c = tensor[0] + np.float32(prior), tensor[1], tensor[2] + np.float32(prior)
        over = 1 / (a * c - b * b)
        self.xx, self.xy, self.yy = c * over, b * over, a * over

    def solve(self, r: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The solution for a right-hand side (r, s), planes (F, N)."""
        return self.xx * r - self.xy * s, self.yy * s - self.xy * r


def split(planes: np.ndarray) -> list[np.ndarray]:
    """Planes (F, ...) in parts that OpenCV takes as the channels of one image."""
    return [planes[at : at + MOST_CHANNELS] for at in range(0, len(planes), MOST_CHANNELS)]


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of (W, W, C); wide windows at a lower resolution."""
    side = image.shape[0]
    if sigma < 2.4:
        return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    step = next(k for k in (4, 3, 2, 1) if side % k == 0)
    small = image.reshape(side // step, step, side // step, step, -1).mean((1, 3))
    small = cv2.GaussianBlur(small, (0, 0), sigma / step, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)


def _apply(tensor: np.ndarray, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """J f for tensors (3, N) and flows (F, N)."""
    a, b, c = tensor
    return a * u + b * v, b * u + c * v


def _outliers(
    rng: np.random.Generator, config: FlowConfig, background: np.ndarray, work: int, flows: int
) -> np.ndarray:
    """One to three blobs of garbage motion in each flow (2, flows, W * W), px: most where background is."""
    most = 3
    grid = np.arange(work, dtype=np.float32)
    place = rng.uniform(0, work, (2, flows, most))
    places = np.flatnonzero(background)
    if len(places):
        behind = places[rng.integers(len(places), size=(flows, most))]
        place = np.where(rng.random((flows, most)) < 0.6, np.stack([behind // work, behind % work]), place)
    reach = work * rng.uniform(0.015, 0.12, (2, flows, most))
    angle = rng.uniform(0, 2 * np.pi, (flows, most))
    size = loguniforms(rng, config.outlier, (flows, most))
    size *= np.arange(most) < rng.integers(1, most + 1, (flows, 1))
    bell = np.exp(-(((grid - place[..., None]) / reach[..., None]) ** 2)).astype(np.float32)
    aimed = np.stack([size * np.cos(angle), size * np.sin(angle)]).astype(np.float32)
    down = (aimed[..., None] * bell[0]).swapaxes(2, 3)
    return (down @ bell[1]).reshape(2, flows, -1)
