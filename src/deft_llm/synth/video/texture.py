"""Painted skin: tone, blotches, pores, freckles, moles, wrinkles, stubble, brows
and lips, in the flat layout.

Everything is drawn in base-mesh coordinates (head.py), so a feature sits at the same place on every head.
Returned textures are uint8 (SIZE, SIZE, 4), first row = lowest y (OpenGL order):
albedo (sRGB) + gloss, and bump (permanent normal x, y) + furrows (normal x, y that AUs switch on).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from deft_llm.synth.core.head import flat_coordinates
from deft_llm.synth.core.identity import Identity
from deft_llm.synth.video.furrows import furrow_heights, permanent_wrinkles
from deft_llm.synth.video.layout import SIZE, Layout, layout

BUMP_SCALE = 0.5

# sRGB of skin from lightest to darkest, after the measured range of human skin (Fitzpatrick I to VI)
TONES = np.array(
    [
        [238, 202, 184],
        [226, 182, 158],
        [208, 158, 130],
        [178, 124, 94],
        [134, 88, 62],
        [92, 60, 44],
        [66, 44, 35],
    ],
    np.float32,
)


@dataclass(frozen=True)
class Skin:
    """The painted textures of one subject (uint8, SIZE x SIZE x 4) and its hair colour (sRGB 0..1)."""

    albedo: np.ndarray
    bump: np.ndarray
    hair: np.ndarray
    iris: np.ndarray


def paint_skin(identity: Identity) -> Skin:
    """Paint the subject's skin; the same identity always gives the same bytes."""
    rng = np.random.default_rng([17, identity.seed])
    where, looks = layout(), identity.attributes
    tone = _tone(identity, rng)
    albedo = np.ones((SIZE, SIZE, 3), np.float32) * tone
    albedo *= _blotches(rng, where, tone)
    _zones(albedo, where, identity)
    _freckles(albedo, rng, where, looks)
    _moles(albedo, rng, tone, looks["moles"])
    hair = hair_colour(identity, rng)
    if identity.sex == "male":
        _stubble(albedo, rng, where, hair, looks["beard"])
    _lips(albedo, rng, where, tone, looks["lip_colour"], identity.sex)
    _brows(albedo, rng, hair, identity)
    heights = permanent_wrinkles(rng, looks["wrinkles"]) + _pores(rng, where, looks["pores"])
    furrows = furrow_heights()
    gloss = _gloss(rng, where)
    rgba = np.dstack([np.clip(albedo, 2, 250), gloss * 255]).round().astype(np.uint8)
    bump = np.dstack([_normals(heights), _normals(furrows)])
    return Skin(rgba, bump, hair, _iris(identity, rng))


def _tone(identity: Identity, rng: np.random.Generator) -> np.ndarray:
    """Mean skin colour (3,) sRGB 0..255: tone, with ancestry's yellow-to-red shift."""
    at = identity.skin_tone * (len(TONES) - 1)
    tone = np.array([np.interp(at, np.arange(len(TONES)), TONES[:, c]) for c in range(3)])
    asian = identity.ancestry["asian"]
    tone = tone * (1 + asian * np.array([0.0, 0.035, -0.02])) + rng.normal(0, 2.0, 3)
    return tone.astype(np.float32)


def _noise(rng: np.random.Generator, cell: int) -> np.ndarray:
    """Smooth unit-variance noise (SIZE, SIZE) whose blobs are about ``cell`` pixels wide."""
    count = max(SIZE // cell, 2)
    coarse = rng.standard_normal((count, count)).astype(np.float32)
    return cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) if cell > 1 else coarse


def _blotches(rng: np.random.Generator, where: Layout, tone: np.ndarray) -> np.ndarray:
    """Uneven colour at several scales: pigment (all channels) and blood (green and blue), as a factor."""
    pigment = (
        0.018 * _noise(rng, 96) + 0.016 * _noise(rng, 24) + 0.014 * _noise(rng, 6) + 0.016 * _noise(rng, 2)
    )
    blood = 0.020 * _noise(rng, 64) + 0.016 * _noise(rng, 16) + 0.012 * _noise(rng, 5)
    depth = tone.mean() / 200
    factor = 1 + pigment[..., None] + (blood * depth)[..., None] * np.array([0.15, 1.0, 0.9], np.float32)
    return factor.astype(np.float32)


def _blob(where: Layout, x: float, y: float, width: float, height: float) -> np.ndarray:
    """A soft spot (SIZE, SIZE) in [0, 1] at +-x, y dm (both sides unless x is 0)."""
    side = np.abs(where.x) if x else where.x
    return np.exp(-(((side - x) / width) ** 2) - ((where.y - y) / height) ** 2) * where.covered


def _zones(albedo: np.ndarray, where: Layout, identity: Identity) -> None:
    """Redness of cheeks, nose, chin and lids; shade around the eyes and on the upper lip (in place)."""
    light = float(np.clip(albedo.mean() / 190, 0.25, 1))
    red = 0.55 * _blob(where, 0.42, 6.98, 0.22, 0.2) + 0.5 * _blob(where, 0.0, 6.92, 0.13, 0.12)
    red += 0.25 * _blob(where, 0.0, 6.4, 0.2, 0.1) + 0.35 * _blob(where, 0.17, 6.88, 0.06, 0.06)
    red += 0.5 * _blob(where, 0.31, 7.24, 0.17, 0.045)
    albedo *= 1 - (red * light * 0.22)[..., None] * np.array([0.12, 0.75, 0.7], np.float32)
    tired = 0.10 + 0.12 * identity.attributes["wrinkles"]
    shade = _blob(where, 0.28, 7.17, 0.15, 0.06) + 0.7 * _blob(where, 0.2, 7.3, 0.05, 0.07)
    shade += 0.8 * _blob(where, 0.32, 7.36, 0.17, 0.05)
    albedo *= 1 - (tired * np.clip(shade, 0, 1))[..., None] * np.array([0.8, 1.0, 0.85], np.float32)
    veins = (
        cv2.GaussianBlur(_veins(identity.seed), (0, 0), 2.2)
        * light
        * (0.35 if identity.skin_tone < 0.4 else 0.1)
    )
    albedo *= 1 - (veins * where.covered)[..., None] * np.array([0.22, 0.1, 0.02], np.float32)


def _veins(seed: int) -> np.ndarray:
    """Faint wandering lines at temples and lower lids (SIZE, SIZE) in [0, 1]."""
    rng, canvas = np.random.default_rng([19, seed]), np.zeros((SIZE, SIZE), np.float32)
    for _ in range(10):
        side = rng.choice([-1, 1])
        start = np.array([side * rng.uniform(0.45, 0.62), rng.uniform(7.2, 7.75)])
        heading, steps = rng.uniform(0, 2 * np.pi), []
        for _ in range(12):
            heading += rng.normal(0, 0.35)
            steps.append(start := start + 0.03 * np.array([np.cos(heading), np.sin(heading)]))
        points = layout().pixel(np.array(steps))
        cv2.polylines(canvas, [np.round(points * 16).astype(np.int32)], False, 1.0, 3, cv2.LINE_AA, 4)
    return np.clip(canvas, 0, 1)


def _freckles(albedo: np.ndarray, rng: np.random.Generator, where: Layout, looks: dict) -> None:
    """Many faint spots everywhere, and freckles over nose and cheeks where the
    subject has them (in place)."""
    canvas = np.zeros((SIZE, SIZE), np.uint8)
    count = int(250 + 900 * looks["freckles"])
    for _ in range(count):
        if rng.random() < looks["freckles"]:
            x, y = rng.normal(0, 0.38), rng.normal(7.05, 0.18)
            uv = flat_coordinates(np.array([x, y, 1.1])) * SIZE
        else:
            uv = rng.uniform(0, SIZE, 2)
        radius = rng.uniform(0.8, 2.6)
        centre = tuple(np.round(uv * 16).astype(int).tolist())
        cv2.circle(canvas, centre, int(radius * 16), int(rng.uniform(30, 120)), -1, cv2.LINE_AA, 4)
    spots = cv2.GaussianBlur(canvas.astype(np.float32) / 255, (0, 0), 0.9) * where.covered
    albedo *= 1 - spots[..., None] * np.array([0.35, 0.5, 0.6], np.float32)


def _moles(albedo: np.ndarray, rng: np.random.Generator, tone: np.ndarray, count: int) -> None:
    """A few dark, sharp spots (in place)."""
    canvas = np.zeros((SIZE, SIZE), np.uint8)
    for _ in range(count):
        x, y = rng.uniform(-0.6, 0.6), rng.uniform(6.3, 7.9)
        uv = flat_coordinates(np.array([x, y, 1.15])) * SIZE
        centre = tuple(np.round(uv * 16).astype(int).tolist())
        cv2.circle(canvas, centre, int(rng.uniform(1.5, 4.2) * 16), 255, -1, cv2.LINE_AA, 4)
    mask = cv2.GaussianBlur(canvas, (0, 0), 0.8).astype(np.float32)[..., None] / 255 * np.float32(0.75)
    albedo *= 1 - mask
    albedo += mask * (tone * np.array([0.42, 0.33, 0.3], np.float32))


def hair_colour(identity: Identity, rng: np.random.Generator) -> np.ndarray:
    """Hair colour (3,) in sRGB 0..1: from blond and red over brown to black, then grey."""
    dark, grey = identity.attributes["hair_darkness"], identity.attributes["hair_grey"]
    palette = np.array(
        [[196, 160, 104], [168, 116, 66], [116, 76, 46], [72, 48, 33], [40, 30, 25], [24, 21, 21]]
    )
    at = dark * (len(palette) - 1)
    colour = np.array([np.interp(at, np.arange(len(palette)), palette[:, c]) for c in range(3)]) / 255
    if dark < 0.5 and rng.random() < 0.2:
        colour = colour * np.array([1.12, 0.82, 0.66])
    return (colour * (1 - grey) + grey * np.array([0.62, 0.61, 0.6])).astype(np.float32)


def _stubble(
    albedo: np.ndarray, rng: np.random.Generator, where: Layout, hair: np.ndarray, beard: float
) -> None:
    """Shaved shadow and, with ``beard`` > 0, short hairs on jaw, chin and upper lip (in place)."""
    x, y = np.abs(where.x), where.y
    jaw = np.clip((6.62 + 0.55 * np.maximum(x - 0.32, 0) * 1.9 - y) / 0.12 + 0.5, 0, 1)
    jaw *= np.clip((y - 6.0) / 0.1, 0, 1)
    moustache = np.exp(-(((x - 0.1) / 0.17) ** 2) - ((y - 6.755) / 0.045) ** 2)
    bare = np.exp(-((x / 0.22) ** 2) - ((y - 6.5) / 0.05) ** 2)
    area = (
        np.clip(jaw * (1 - 0.8 * bare) + moustache, 0, 1)
        * (1 - np.clip(where.lips * 2, 0, 1))
        * where.covered
    )
    area = cv2.GaussianBlur(area.astype(np.float32), (0, 0), 8) * (1 - np.clip(where.lips * 2, 0, 1))
    grain = np.clip(1 + 0.45 * _noise(rng, 3), 0, 2)
    shadow = area * grain * (0.10 + 0.16 * beard)
    albedo[:] = albedo * (1 - shadow[..., None]) + shadow[..., None] * hair * 255 * 0.8
    if beard > 0.15:
        canvas = np.zeros((SIZE, SIZE), np.uint8)
        picks = np.argwhere(rng.random((SIZE, SIZE)) < area * (0.006 + 0.03 * beard))
        turn = rng.normal(-np.pi / 2, 0.5, len(picks))
        long = rng.uniform(2, 3 + 5 * beard, len(picks))
        for (row, column), angle, length in zip(picks, turn, long, strict=True):
            tip = (int(column + length * np.cos(angle)), int(row + length * np.sin(angle)))
            cv2.line(canvas, (int(column), int(row)), tip, 190, 1, cv2.LINE_AA)
        mask = (canvas.astype(np.float32) / 255 * (0.35 + 0.5 * beard))[..., None]
        albedo[:] = albedo * (1 - mask) + mask * hair * 255 * 0.7


def _lips(
    albedo: np.ndarray, rng: np.random.Generator, where: Layout, tone: np.ndarray, colour: float, sex: str
) -> None:
    """Red lips with fine vertical lines and a soft border (in place)."""
    soft: np.ndarray = np.clip((where.lips - 0.3) / 0.4, 0, 1)
    soft = cv2.GaussianBlur(soft, (0, 0), 2.5)[..., None]
    strength = 0.75 + 0.3 * colour + (0.1 if sex == "female" else -0.32)
    red = tone * (1 - strength * np.array([0.14, 0.42, 0.36]))
    lines = 1 + 0.07 * cv2.GaussianBlur(_noise(rng, 1), (0, 0), sigmaX=1.2, sigmaY=7) * 3
    target = red * lines[..., None]
    albedo[:] = albedo * (1 - soft) + soft * target
    line = np.exp(-(((where.y - 6.605) / 0.008) ** 2)) * (np.abs(where.x) < 0.26) * where.covered
    albedo *= 1 - 0.35 * cv2.GaussianBlur(line.astype(np.float32), (0, 0), 1.5)[..., None]


def _brows(albedo: np.ndarray, rng: np.random.Generator, hair: np.ndarray, identity: Identity) -> None:
    """Brows made of single hair strokes along an arch (in place)."""
    looks = identity.attributes
    thick = 0.028 + 0.026 * looks["brow_thickness"] + (0.006 if identity.sex == "male" else -0.004)
    count = int(150 + 330 * looks["brow_density"])
    arch, lift = rng.uniform(0.0, 0.05), rng.normal(0, 0.012)
    colour = np.minimum(hair * 0.78, 0.42) * 255
    for side in (-1, 1):
        canvas = np.zeros((SIZE, SIZE), np.uint8)
        along = rng.beta(1.05, 1.15, count)
        spine, tangent = _brow_spine(along, arch, lift)
        width = thick * np.interp(along, [0, 0.12, 0.45, 0.75, 1], [0.75, 1.0, 0.95, 0.65, 0.25])
        across = rng.uniform(-1, 1, count)
        root = spine + np.c_[-tangent[:, 1], tangent[:, 0]] * (across * width)[:, None]
        rise = np.interp(along, [0, 0.15, 0.4, 0.7, 1], [1.25, 0.8, 0.35, 0.1, -0.1])
        rise = rise - 0.35 * across * (along > 0.2) + rng.normal(0, 0.12, count)
        heading = np.arctan2(tangent[:, 1], tangent[:, 0]) + rise
        length = rng.uniform(0.045, 0.085, count) * np.interp(along, [0, 0.3, 1], [0.85, 1.05, 0.8])
        bend = -rise * 0.6
        shade = rng.uniform(110, 235, count)
        steps = np.linspace(0, 1, 5)
        angle = heading[:, None] + bend[:, None] * steps
        path = np.cumsum(np.stack([np.cos(angle), np.sin(angle)], -1) * (length / 5)[:, None, None], 1)
        points = root[:, None] + path - path[:, :1]
        pixels = layout().pixel(points * np.array([side, 1.0]))
        for stroke, level in zip(np.round(pixels * 16).astype(np.int32), shade, strict=True):
            cv2.polylines(canvas, [stroke], False, int(level), 1, cv2.LINE_AA, 4)
        hairs = canvas.astype(np.float32) / 255
        base = cv2.GaussianBlur(hairs, (0, 0), 7) * 0.55
        mask = np.clip(1 - (1 - 0.9 * hairs) * (1 - base), 0, 1)[..., None] * (
            0.72 + 0.25 * looks["brow_density"]
        )
        albedo[:] = albedo * (1 - mask) + mask * colour


def _brow_spine(along: np.ndarray, arch: float, lift: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 2) dm and unit tangents (N, 2) of the left brow's middle line, 0 = inner end."""
    knots = np.array([0.0, 0.3, 0.6, 0.8, 1.0])
    xs = np.array([0.10, 0.24, 0.40, 0.50, 0.58])
    ys = np.array([7.462, 7.490, 7.502 + arch * 0.6, 7.483 + arch * 0.5, 7.435]) + lift
    smooth_x, smooth_y = np.polyfit(knots, xs, 3), np.polyfit(knots, ys, 3)
    points = np.c_[np.polyval(smooth_x, along), np.polyval(smooth_y, along)]
    tangent = np.c_[np.polyval(np.polyder(smooth_x), along), np.polyval(np.polyder(smooth_y), along)]
    return points, tangent / np.linalg.norm(tangent, axis=1, keepdims=True)


def _pores(rng: np.random.Generator, where: Layout, amount: float) -> np.ndarray:
    """Fine relief (SIZE, SIZE): pores, strongest on nose and cheeks, and skin grain."""
    fine = _noise(rng, 2) - cv2.GaussianBlur(_noise(rng, 3), (0, 0), 2)
    pits = np.clip(_noise(rng, 3) - 1.1, 0, None)
    zone = 0.35 + 0.65 * np.clip(_blob(where, 0.3, 6.98, 0.3, 0.25) + _blob(where, 0.0, 6.95, 0.2, 0.3), 0, 1)
    return ((0.10 * fine - 0.55 * pits) * zone * (0.35 + 0.65 * amount)).astype(np.float32)


def _gloss(rng: np.random.Generator, where: Layout) -> np.ndarray:
    """How strongly skin shines (SIZE, SIZE) in [0, 1]: forehead, nose, cheekbones, lips more."""
    shine = 0.30 + 0.25 * _blob(where, 0.0, 7.7, 0.45, 0.25) + 0.35 * _blob(where, 0.0, 7.0, 0.1, 0.3)
    shine += 0.2 * _blob(where, 0.45, 7.08, 0.18, 0.12) + 0.35 * np.clip(where.lips, 0, 1)
    return np.clip(shine * (1 + 0.2 * _noise(rng, 4)), 0, 1).astype(np.float32)


def _normals(heights: np.ndarray) -> np.ndarray:
    """Slopes of a height map (SIZE, SIZE), px, as uint8 (SIZE, SIZE, 2): 128 +
    slope * 127 / (1 / BUMP_SCALE)."""
    soft = cv2.GaussianBlur(heights.astype(np.float32), (0, 0), 0.8)
    slope_y, slope_x = np.gradient(soft)
    slopes = np.stack([slope_x, slope_y], -1) * BUMP_SCALE
    return np.clip(128 + 127 * slopes, 0, 255).round().astype(np.uint8)


def _iris(identity: Identity, rng: np.random.Generator) -> np.ndarray:
    """Iris colour (3,) sRGB 0..1 from light blue over green and hazel to dark brown."""
    palette = np.array(
        [[112, 142, 166], [104, 128, 122], [122, 112, 70], [98, 66, 36], [64, 40, 24], [42, 27, 19]]
    )
    at = identity.attributes["iris"] * (len(palette) - 1)
    colour = np.array([np.interp(at, np.arange(len(palette)), palette[:, c]) for c in range(3)]) / 255
    return np.clip(colour + rng.normal(0, 0.015, 3), 0, 1).astype(np.float32)
