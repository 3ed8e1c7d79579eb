"""Things before a face: glasses, hands, masks. Each is a mesh with colours, lit like the face.

Lengths are decimetres. Glasses and masks are given in head space and turn with the head; a hand moves in the
room (world space), or with the head while it touches the face.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from deft_llm.synth.core.head import vertex_normals
from deft_llm.synth.video.assets import Subject

VOXEL = 0.028  # dm, of the grid in which a hand's surface is found


@dataclass(frozen=True)
class Mesh:
    """``points`` and ``normals`` (N, 3), ``triangles`` (T, 3), ``colour`` (N, 4) linear with opacity and
    ``gloss`` (N,); ``balls`` (K, 7): capsules (two ends, radius) that stand for it where it casts shade."""

    points: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray
    colour: np.ndarray
    gloss: np.ndarray
    balls: np.ndarray = field(default_factory=lambda: np.zeros((0, 7), np.float32))

    def rows(self) -> np.ndarray:
        """Vertex rows (N, 11) float32: position, normal, colour, gloss."""
        return np.hstack([self.points, self.normals, self.colour, self.gloss[:, None]]).astype(np.float32)


def joined(meshes: list[Mesh]) -> Mesh:
    """Several meshes as one, drawn in their order."""
    starts = np.cumsum([0, *(len(mesh.points) for mesh in meshes)])
    triangles = [mesh.triangles + start for mesh, start in zip(meshes, starts, strict=False)]
    names = ("points", "normals", "colour", "gloss", "balls")
    parts = {name: np.concatenate([getattr(mesh, name) for mesh in meshes]) for name in names}
    return Mesh(triangles=np.concatenate(triangles), **parts)


def tube(path: np.ndarray, radius: float, colour: np.ndarray, gloss: float, *, closed: bool = False) -> Mesh:
    """A round bar along ``path`` (P, 3)."""
    ring, sides = len(path), 8
    along = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    first = np.cross(along, np.array([0.0, 0.3, 1.0]))
    first /= np.linalg.norm(first, axis=1, keepdims=True) + 1e-9
    second = np.cross(along, first)
    turn = 2 * np.pi * np.arange(sides) / sides
    normals = np.cos(turn)[None, :, None] * first[:, None] + np.sin(turn)[None, :, None] * second[:, None]
    points = path[:, None] + radius * normals
    at = np.arange(ring * sides).reshape(ring, sides)
    following = np.roll(at, -1, 0) if closed else at[1:]
    here = at if closed else at[:-1]
    a, b, c, d = here, np.roll(here, -1, 1), following, np.roll(following, -1, 1)
    triangles = np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)]
    )
    count = ring * sides
    return Mesh(
        points.reshape(-1, 3), normals.reshape(-1, 3), triangles, np.tile([*colour, 1.0], (count, 1)),
        np.full(count, gloss),
    )  # fmt: skip


@dataclass(frozen=True)
class Glasses:
    """``frame`` is drawn with the face, ``lenses`` after it; ``dark``: sunglasses hide the eyes."""

    frame: Mesh
    lenses: Mesh
    dark: bool


FRAME_COLOURS = np.array([
    [0.012, 0.012, 0.013], [0.05, 0.022, 0.012], [0.30, 0.30, 0.31], [0.35, 0.25, 0.10], [0.10, 0.012, 0.015],
    [0.02, 0.03, 0.08],
])  # fmt: skip


def make_glasses(subject: Subject, rng: np.random.Generator) -> Glasses:
    """A pair of glasses that sits on the subject's nose and ears."""
    left, right = subject.eye_centres
    iod = float(left[0] - right[0])
    middle = (left + right) / 2
    plastic = rng.random() < 0.6
    bar = float(rng.uniform(0.013, 0.023) if plastic else rng.uniform(0.007, 0.012))
    power = float(rng.uniform(2.0, 4.5))
    half = iod * np.array([rng.uniform(0.36, 0.42), rng.uniform(0.25, 0.36)])
    colour = FRAME_COLOURS[int(rng.choice([0, 0, 1, 5, 4] if plastic else [0, 2, 3]))]
    gloss = 0.5 if plastic else 0.9
    front = _front_depth(subject, middle, half, iod)
    turn = 2 * np.pi * np.arange(48) / 48
    shape = np.stack([np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** (2 / power),
                      np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** (2 / power)], -1)  # fmt: skip
    dark = rng.random() < 0.1
    tint = np.array([0.004, 0.004, 0.005, 0.9] if dark else [0.5, 0.55, 0.6, 0.03])
    parts, lenses = [], []
    for side in (1.0, -1.0):
        centre = np.array([middle[0] + side * iod * 0.51, middle[1] - 0.06 * iod])
        flat = centre + shape * half
        rim = np.c_[flat, front(flat[:, 0])]
        parts.append(tube(rim, bar, colour, gloss, closed=True))
        lenses.append(_lens(rim, tint))
        parts.append(tube(_temple(subject, centre, half, side, front), bar * 1.05, colour, gloss))
    gap = iod * 0.51 - half[0]
    x = np.linspace(-gap, gap, 12)
    y = middle[1] + 0.02 * iod + 0.05 * iod * (1 - (x / gap) ** 2)
    parts.append(tube(np.c_[middle[0] + x, y, front(middle[0] + x) + 0.01], bar, colour, gloss))
    return Glasses(joined(parts), joined(lenses), bool(dark))


def _front_depth(subject: Subject, middle: np.ndarray, half: np.ndarray, iod: float):
    """Depth of the glasses' front over x: as near as the face allows, a little bent around it."""
    points = subject.vertices
    span = 0.51 * iod + half[0]
    near = (np.abs(points[:, 0] - middle[0]) < span) & (
        np.abs(points[:, 1] - middle[1] + 0.06 * iod) < half[1]
    )
    near &= (np.abs(points[:, 0] - middle[0]) > 0.22 * iod) & (points[:, 2] > 0.5)
    bend = 0.14 / iod
    need = points[near, 2] + bend * (points[near, 0] - middle[0]) ** 2
    depth = float(np.quantile(need, 0.998)) + 0.06
    return lambda x: depth - bend * (x - middle[0]) ** 2


def _temple(subject: Subject, centre: np.ndarray, half: np.ndarray, side: float, front) -> np.ndarray:
    """The path of one temple, from its hinge over the ear."""
    points = subject.vertices
    hinge = np.array([centre[0] + side * half[0], centre[1] + 0.45 * half[1]])
    row = (np.abs(points[:, 1] - hinge[1]) < 0.12) & (points[:, 2] > 0.3) & (points[:, 2] < 1.0)
    width = float(np.quantile(side * points[row, 0], 0.96)) + 0.02
    start = np.array([*hinge, float(front(hinge[0]))])
    corner = np.array([side * max(width, abs(hinge[0])), hinge[1], start[2] - 0.16])
    ear = np.array([side * width, hinge[1] - 0.01, 0.25])
    end = np.array([side * width * 0.99, hinge[1] - 0.25, -0.05])
    return np.concatenate(
        [np.linspace(a, b, 6)[:-1] for a, b in ((start, corner), (corner, ear), (ear, end))]
    )


def _lens(rim: np.ndarray, tint: np.ndarray) -> Mesh:
    """A pane that fills a rim (P, 3), bulging a little."""
    count, centre = len(rim), rim.mean(0)
    rings = np.array([0.0, 0.35, 0.7, 1.0])
    points = centre + rings[:, None, None] * (rim - centre)
    points[..., 2] += 0.012 * (1 - rings[:, None] ** 2)
    flat = points.reshape(-1, 3)
    at = np.arange(len(rings) * count).reshape(len(rings), count)
    a, b, c, d = at[:-1], np.roll(at[:-1], -1, 1), at[1:], np.roll(at[1:], -1, 1)
    triangles = np.concatenate(
        [np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)]
    )
    normals = np.zeros_like(flat)
    normals[:, :2] = (flat - centre)[:, :2] * 0.5
    normals[:, 2] = 1.0
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Mesh(flat, normals, triangles, np.tile(tint, (len(flat), 1)), np.full(len(flat), 2.0))


# Finger: knuckle (x, y), lengths of three bones, radius at the knuckle and at the tip. Thumb's side is -x.
FINGERS = (
    ((-0.29, 0.42), (0.40, 0.24, 0.19), 0.098, 0.072),
    ((-0.095, 0.47), (0.44, 0.28, 0.20), 0.102, 0.074),
    ((0.10, 0.44), (0.41, 0.26, 0.20), 0.098, 0.070),
    ((0.275, 0.35), (0.32, 0.19, 0.17), 0.086, 0.060),
)
POSES: dict[str, tuple[tuple[float, float, float], ...]] = {  # curl (radians) of each finger's three joints
    "open": ((0.10, 0.15, 0.1), (0.06, 0.12, 0.1), (0.08, 0.15, 0.1), (0.12, 0.18, 0.12)),
    "relaxed": ((0.25, 0.45, 0.3), (0.32, 0.55, 0.35), (0.38, 0.6, 0.4), (0.42, 0.62, 0.4)),
    "point": ((0.12, 0.15, 0.1), (1.1, 1.4, 0.9), (1.15, 1.4, 0.9), (1.15, 1.4, 0.9)),
    "loose fist": ((0.9, 1.2, 0.8), (0.95, 1.25, 0.8), (1.0, 1.25, 0.8), (1.0, 1.25, 0.8)),
}


@lru_cache(maxsize=16)
def hand_shape(pose: str, spread: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A right hand, palm to -z, fingers to +y: points, triangles, bones (K, 7) and nails (5, 3), dm.

    ``spread``: hundredths of a radian between neighbouring fingers.
    """
    from skimage.measure import marching_cubes

    bones, tips = _bones(pose, spread / 100)
    low, high = np.array([-0.9, -2.6, -0.75]), np.array([0.75, 1.5, 0.45])
    axes = [np.arange(a, b, VOXEL) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).astype(np.float32).reshape(-1, 3)
    distance = np.full(len(grid), 9.0, np.float32)
    for bone in bones:
        distance = _blend(distance, capsule_distance(grid, bone), 0.05)
    volume = distance.reshape([len(axis) for axis in axes])
    points, triangles, _, _ = marching_cubes(volume, 0.0)
    return low + points * VOXEL, triangles[:, ::-1].copy(), bones, tips


def _bones(pose: str, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Capsules (K, 7) of palm, fingers, thumb and forearm; the nails' places (5, 3)."""
    wrist = np.array([0.0, -0.55, 0.0])
    found, nails = [], []
    for number, ((x, y), lengths, thick, thin) in enumerate(FINGERS):
        knuckle = np.array([x, y, 0.0])
        found.append([*(wrist + [0.45 * x, 0.08, 0.0]), *knuckle, 0.125])
        angle, here = 0.0, knuckle
        fan = spread * (number - 1.5)
        for joint, length in enumerate(lengths):
            angle += POSES[pose][number][joint]
            step = length * np.array(
                [np.sin(fan) * np.cos(angle), np.cos(fan) * np.cos(angle), -np.sin(angle)]
            )
            found.append([*here, *(here + step), np.interp(joint, [0, 2], [thick, thin])])
            here = here + step
        back = np.array([0.0, np.sin(angle), np.cos(angle)])
        nails.append(here + 0.7 * thin * back)
    thumb = (np.array([-0.24, -0.25, -0.05]), np.array([-0.47, 0.02, -0.16]), np.array([-0.60, 0.28, -0.20]),
             np.array([-0.66, 0.50, -0.20]))  # fmt: skip
    for a, b, radius in zip(thumb, thumb[1:], (0.135, 0.105, 0.088), strict=False):
        found.append([*a, *b, radius])
    nails.append(thumb[3] + [-0.03, 0.0, 0.07])
    found.append([*(wrist + [-0.05, 0.0, 0.0]), *(wrist + [0.05, 0.0, 0.0]), 0.165])
    found.append([*wrist, 0.0, -2.7, 0.0, 0.20])
    found.append([0.0, -1.2, 0.0, 0.0, -2.7, 0.0, 0.27])
    return np.array(found, np.float32), np.array(nails)


def capsule_distance(points: np.ndarray, bone: np.ndarray) -> np.ndarray:
    """Signed distance (N,) of points (N, 3) from one capsule (two ends, radius)."""
    a, b, radius = bone[:3], bone[3:6], bone[6]
    axis = b - a
    share = np.clip(((points - a) @ axis) / max(float(axis @ axis), 1e-9), 0, 1)
    return np.linalg.norm(points - a - share[:, None] * axis, axis=1) - radius


def _blend(one: np.ndarray, other: np.ndarray, width: float) -> np.ndarray:
    """Smooth minimum (Quilez): joints flow into each other."""
    share = np.clip(0.5 + 0.5 * (other - one) / width, 0, 1)
    return other + (one - other) * share - width * share * (1 - share)


def make_hand(subject: Subject, skin: np.ndarray, pose: str, side: str, spread: int, sleeve: bool) -> Mesh:
    """The subject's left or right hand with its forearm; ``skin`` linear colour (3,)."""
    points, triangles, bones, nails = hand_shape(pose, spread)
    size = 0.92 if subject.identity.sex == "female" else 1.02
    normals = vertex_normals(points.astype(np.float32), triangles)
    if (normals * (points - points.mean(0))).sum() < 0:
        triangles, normals = triangles[:, ::-1], -normals
    rng = np.random.default_rng([41, subject.identity.seed])
    waves = [np.sin(points @ rng.normal(0, f, 3) + rng.uniform(0, 6.28)) for f in (5, 11, 23)]
    wave = np.mean(waves, 0)
    colour = skin * (1 + 0.05 * wave[:, None]) * np.array([1.02, 0.98, 0.97])
    joints = bones[4:-3, :3]
    for place in joints:  # redder knuckles with a crease on the back
        gap = np.linalg.norm(points - place, axis=1)
        red = np.exp(-((gap / 0.11) ** 2))[:, None]
        colour = colour * (1 - red * np.array([0.02, 0.12, 0.10]))
        crease = np.exp(-(((points[:, 1] - place[1]) / 0.012) ** 2)) * (gap < 0.13) * (normals[:, 2] > 0.3)
        colour = colour * (1 - 0.18 * crease[:, None])
    gloss = np.full(len(points), 0.25)
    for place in nails:
        inside = np.clip(1.6 - np.linalg.norm((points - place) / [0.055, 0.075, 0.06], axis=1) * 1.2, 0, 1)
        colour = colour + inside[:, None] * (np.clip(skin * [1.25, 1.1, 1.1] + 0.05, 0, 1) - colour) * 0.8
        gloss = np.maximum(gloss, 0.9 * inside)
    if sleeve:
        cuff = 1 / (1 + np.exp((points[:, 1] + 1.05) / 0.01))
        cloth = np.asarray(subject.cloth, float) ** 2
        colour = colour + cuff[:, None] * (cloth * (0.92 + 0.08 * np.sin(points[:, 1:2] * 260)) - colour)
        gloss = gloss * (1 - cuff)
        points = points + (0.05 * cuff)[:, None] * normals
    mirror = np.array([1.0 if side == "right" else -1.0, 1.0, 1.0])
    ends = np.c_[bones[:, :3] * mirror, bones[:, 3:6] * mirror] * size
    return Mesh(
        points * mirror * size, normals * mirror, triangles if side == "right" else triangles[:, ::-1],
        np.c_[np.clip(colour, 0, 1), np.ones(len(points))], gloss,
        np.c_[ends, bones[:, 6] * size].astype(np.float32),
    )  # fmt: skip


def shade_of(points: np.ndarray, balls: np.ndarray, light: np.ndarray) -> np.ndarray:
    """What is left of the light (N,) at points (N, 3) beside capsules (K, 7): contact shade, and a soft
    shadow away from the ``light`` (3,) that falls on them."""
    if not len(balls):
        return np.ones(len(points), np.float32)
    near = np.full(len(points), 9.0)
    cast = np.full(len(points), 9.0)
    toward = points + 0.22 * light
    for ball in balls:
        near = np.minimum(near, capsule_distance(points, ball))
        cast = np.minimum(cast, capsule_distance(toward, ball))
    contact = 0.45 * np.exp(-((np.maximum(near, 0) / 0.13) ** 2))
    shadow = 0.5 / (1 + np.exp(cast / 0.035))
    return ((1 - contact) * (1 - shadow)).astype(np.float32)


MASK_GRID = (19, 25)  # rows and columns of a mask's cloth
MASK_NEAR = 28  # vertices of the face that hold the cloth up at one place


@dataclass(frozen=True)
class Mask:
    """A face mask: a cloth of MASK_GRID points that lies over the most forward skin near each of them.

    ``across`` (G,) x and ``down`` (G,) 0..1 from the nose to below the chin; ``near`` (G, MASK_NEAR)
    vertices; ``chin``, ``nose``: vertices that its edges follow; ``loops``: the bands to the ears.
    """

    across: np.ndarray
    down: np.ndarray
    near: np.ndarray
    chin: int
    nose: int
    colour: np.ndarray
    loops: Mesh

    def mesh(self, vertices: np.ndarray) -> Mesh:
        """The mask on a face that moves: vertices (N, 3) of the head."""
        from scipy.ndimage import gaussian_filter

        top, bottom = vertices[self.nose, 1], vertices[self.chin, 1] - 0.16
        arch = 0.30 * (self.across / 0.62) ** 2 * (1 - self.down)
        tuck = 0.16 * (self.across / 0.62) ** 2 * self.down
        y = top - arch + (bottom + tuck - top + arch) * self.down
        z = vertices[self.near, 2].max(1) + 0.06 - 0.10 * np.maximum(self.down - 0.9, 0) / 0.1
        z = gaussian_filter(z.reshape(MASK_GRID), 1.6, mode="nearest")
        points = np.stack([self.across, y, z.ravel()], -1)
        at = np.arange(len(points)).reshape(MASK_GRID)
        a, b, c, d = at[:-1, :-1], at[:-1, 1:], at[1:, :-1], at[1:, 1:]
        triangles = np.concatenate(
            [np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)]
        )
        pleat = 1 - 0.12 * np.exp(-(((self.down * 4) % 1 - 0.5) ** 2) / 0.012) * (
            np.abs(self.down - 0.5) < 0.35
        )
        colour = np.c_[self.colour * pleat[:, None], np.ones(len(points))]
        normals = vertex_normals(points.astype(np.float32), triangles)
        return joined([Mesh(points, normals, triangles, colour, np.full(len(points), 0.05)), self.loops])


def make_mask(subject: Subject, rng: np.random.Generator) -> Mask:
    """A mask from the nose to below the chin, with its bands."""
    from scipy.spatial import cKDTree

    head = subject.head
    down, across = np.mgrid[0 : 1 : MASK_GRID[0] * 1j, -1 : 1 : MASK_GRID[1] * 1j]
    width = 0.62 - 0.10 * down**2
    across, down = (across * width).ravel(), down.ravel()
    front = np.flatnonzero((head.rest[:, 2] > 0.2) & (head.material < 0.5) & (head.ear < 0.5))
    rest_y = 7.0 - 0.30 * (across / 0.62) ** 2 * (1 - down) - down * 0.80
    near = front[cKDTree(head.rest[front, :2]).query(np.c_[across, rest_y], k=MASK_NEAR)[1]]
    pick = lambda x, y: int(front[np.argmin(np.hypot(head.rest[front, 0] - x, head.rest[front, 1] - y))])  # noqa: E731
    colours = np.array([[0.35, 0.55, 0.68], [0.75, 0.76, 0.77], [0.03, 0.03, 0.035], [0.55, 0.62, 0.58]])
    bands = []
    for side in (1.0, -1.0):
        edge = subject.vertices[pick(side * 0.60, 6.72)]
        ear = np.array([side * (abs(edge[0]) + 0.14), 7.12, 0.25])
        bands.append(tube(np.linspace(edge + [0, 0, 0.05], ear, 7), 0.009, np.full(3, 0.7), 0.05))
    return Mask(
        across, down, near, pick(0.0, 6.3), pick(0.0, 7.05), colours[int(rng.integers(4))], joined(bands)
    )
