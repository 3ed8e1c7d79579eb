"""Scalp hair as ribbons: roots on the scalp, combed, pulled by gravity, kept outside the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deft_llm.synth.core.head import CYLINDER_Z, Head, hairline, vertex_normals
from deft_llm.synth.core.identity import Identity

POINTS = 6
SHORT = 0.32  # dm, of strands that lift off the skull
LONG_PIECES = (0, 2, 5)  # points of a strand at which its two long pieces end
LONELY = 1.7  # times the usual distance between strands: from there on a strand stands alone


@dataclass(frozen=True)
class Strands:
    """Hair as middle lines: ``points`` (S, POINTS, 3) dm, ``width`` (S, POINTS)
    dm, ``shade`` (S,) about 1."""

    points: np.ndarray
    width: np.ndarray
    shade: np.ndarray

    @property
    def long(self) -> bool:
        """Whether strands follow the skull so far that straight pieces would run through it."""
        steps = np.linalg.norm(np.diff(self.points, axis=1), axis=-1).sum(1)
        return bool(len(steps)) and float(np.median(steps)) > SHORT

    def ribbons(self) -> tuple[np.ndarray, np.ndarray]:
        """Vertex rows (S*POINTS*2, 10): position, tangent, side, half width, t, shade; triangles (T, 3)."""
        count, steps = self.points.shape[:2]
        tangent = np.gradient(self.points, axis=1)
        rows = np.zeros((count, steps, 2, 10), np.float32)
        rows[..., 0:3] = self.points[:, :, None]
        rows[..., 3:6] = tangent[:, :, None]
        rows[..., 6] = np.array([-1.0, 1.0])
        rows[..., 7] = self.width[:, :, None] / 2
        rows[..., 8] = np.linspace(0, 1, steps)[None, :, None]
        rows[..., 9] = self.shade[:, None, None]
        corner = np.arange(count * steps * 2).reshape(count, steps, 2)
        a, b, c, d = corner[:, :-1, 0], corner[:, :-1, 1], corner[:, 1:, 0], corner[:, 1:, 1]
        triangles = np.stack([a, b, c, b, d, c], -1).reshape(-1, 3)
        return rows.reshape(-1, 10), triangles.astype(np.int32)


def style_of(identity: Identity) -> str:
    """The haircut: crew, short, side (parted), tied (combed back), bob or long."""
    rng = np.random.default_rng([23, identity.seed])
    length = identity.attributes["hair_length"]
    if identity.sex == "male":
        return "crew" if length < 0.15 else str(rng.choice(["short", "side", "swept"]))
    if length < 0.15:
        return "side"
    return str(rng.choice(["tied", "bob"])) if length < 0.5 else str(rng.choice(["tied", "long", "long"]))


def grow_hair(identity: Identity, head: Head, vertices: np.ndarray) -> Strands:
    """Grow the subject's hair on its neutral head. vertices (N, 3) are the drawn vertices, dm."""
    rng = np.random.default_rng([29, identity.seed])
    style, looks = style_of(identity), identity.attributes
    roots, normals, rest = _roots(rng, head, vertices, looks["baldness"], 3000)
    part = float(rng.choice([-1, 1]) * rng.uniform(0.1, 0.3)) * (style in ("side", "bob", "long"))
    if style == "tied":  # nothing is combed across the ears
        ear = (rest[:, 1] < 7.42) & (rest[:, 2] > 0.0)
        roots, normals, rest = roots[~ear], normals[~ear], rest[~ear]
    heading = _comb(style, roots, normals, rest, part)
    length = _length(style, looks, rest, rng)
    fringe = (style in ("bob", "long", "tied")) & (looks["fringe"] > 0.3)
    if fringe:
        front = (rest[:, 2] > 0.75) & (rest[:, 1] > 7.9) & (np.abs(rest[:, 0]) < 0.5)
        heading[front] = np.array([0.0, 0.05, 1.0]) + rng.normal(0, 0.05, (front.sum(), 3))
        length[front] = rng.uniform(0.42, 0.58, front.sum())
    points = _trace(rng, style, roots, normals, heading, length, vertices[: head.skin_count], head, fringe)
    company = _in_company(points)
    points, roots, rest = points[company], roots[company], rest[company]
    broad = {"crew": 0.8, "short": 0.85, "tied": 0.9}.get(style, 1.0)
    width = broad * rng.uniform(0.011, 0.019, (len(roots), 1)) * np.linspace(1.0, 0.35, POINTS)
    clump = np.sin(rest[:, 0] * 23 + 3 * np.sin(rest[:, 2] * 9)) * 0.5 + rng.normal(0, 0.8, len(roots))
    grey = 1 + 0.8 * looks["hair_grey"] * (rng.random(len(roots)) < 0.25)
    return Strands(
        points.astype(np.float32), width.astype(np.float32), np.clip(1 + 0.16 * clump, 0.5, 1.6) * grey
    )


def _in_company(points: np.ndarray) -> np.ndarray:
    """Which strands (S,) lie among others all along: single ones across the forehead or beside the outline
    look like scratches. points (S, POINTS, 3)."""
    from scipy.spatial import cKDTree

    flat = points.reshape(-1, 3)
    own = np.arange(len(flat)) // POINTS
    # distance to the eighth point of another strand: at most POINTS of the nearest are the strand's own
    gap, near = cKDTree(flat).query(flat, k=8 + POINTS)
    others = np.cumsum(own[near] != own[:, None], 1)
    eighth = np.take_along_axis(gap, (others >= 8).argmax(1)[:, None], 1).reshape(points.shape[:2])
    return (eighth < LONELY * np.median(eighth, 0)).all(1)


def _roots(
    rng: np.random.Generator, head: Head, vertices: np.ndarray, baldness: float, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random points on the scalp: positions, surface normals and base-mesh positions, each (S, 3)."""
    skin = (head.material[head.triangles] < 0.5).all(1) & (head.scalp[head.triangles].max(1) > 0.05)
    skin &= (head.rest[head.triangles, 2].max(1) > -0.35) | (head.rest[head.triangles, 1].max(1) > 8.2)
    triangles = head.triangles[skin]
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    rest = head.rest[triangles].mean(1)
    area = area * np.where(rest[:, 2] < -0.1, 0.35, 1.0) * np.where(rest[:, 1] < 7.0, 0.5, 1.0)
    chosen = rng.choice(len(triangles), count, p=area / area.sum())
    u, v = rng.random(count), rng.random(count)
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    weights = np.stack([1 - u - v, u, v], -1)[..., None]
    corner = triangles[chosen]
    normals = (vertex_normals(vertices, head.triangles)[corner] * weights).sum(1)
    position, base = (vertices[corner] * weights).sum(1), (head.rest[corner] * weights).sum(1)
    theta = np.arctan2(base[:, 0], base[:, 2] - CYLINDER_Z)
    recede = baldness * 0.5 * np.clip(1 - np.abs(theta) / 1.3, 0, 1)
    crown = baldness > 0.55
    keep = base[:, 1] > hairline(theta) + recede + rng.normal(0, 0.03, count)
    if crown:
        keep &= base[:, 1] < 8.0 + rng.normal(0, 0.05, count)
    return position[keep], normals[keep], base[keep]


def _comb(style: str, roots: np.ndarray, normals: np.ndarray, rest: np.ndarray, part: float) -> np.ndarray:
    """Combing direction (S, 3) at each root, not yet tangential."""
    side = np.clip((rest[:, 0] - part) / 0.03, -1, 1)
    side = np.where(np.abs(side) < 0.3, np.where(side < 0, -0.3, 0.3), side)
    top = np.clip((rest[:, 1] - 7.75) / 0.4, 0, 1)[:, None]
    down = np.array([0.0, -1.0, -0.25])
    if style == "crew":
        over = np.array([0.0, 0.35, 0.6])
    elif style == "short":
        over = np.array([0.25, 0.1, 0.85])
    elif style == "swept":
        over = np.c_[0.35 * np.ones(len(rest)), 0.7 * np.ones(len(rest)), -0.45 * np.ones(len(rest))]
    elif style == "tied":
        over = np.c_[0.25 * rest[:, 0], 0.0 * side, -1.0 * np.ones(len(rest))]
        down = np.array([0.0, 0.25, -1.0])
    else:
        over = np.c_[side, -0.1 * np.ones(len(rest)), 0.12 * np.ones(len(rest)) - 0.5 * (style == "side")]
    return over * top + down * (1 - top)


def _length(style: str, looks: dict, rest: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Strand lengths (S,) dm."""
    base = {"crew": 0.10, "short": 0.28, "swept": 0.42, "side": 0.5, "tied": 0.75, "bob": 1.35, "long": 2.3}[
        style
    ]
    length = base * rng.uniform(0.75, 1.15, len(rest))
    if style in ("short", "swept", "side"):
        sides = np.clip((7.95 - rest[:, 1]) / 0.4, 0, 1)
        length = length * (1 - sides) + sides * rng.uniform(0.1, 0.2, len(rest))
    return length * (0.85 + 0.3 * looks["hair_length"])


def _trace(
    rng: np.random.Generator, style: str, roots: np.ndarray, normals: np.ndarray, heading: np.ndarray,
    length: np.ndarray, skin: np.ndarray, head: Head, fringe: bool,
) -> np.ndarray:  # fmt: skip
    """Follow every strand from root to tip. Returns (S, POINTS, 3)."""
    from scipy.spatial import cKDTree

    tree = cKDTree(skin)
    outward = vertex_normals(skin, head.triangles[(head.triangles < len(skin)).all(1)])
    lift = {"crew": 0.9, "short": 0.55, "swept": 0.7, "side": 0.45, "tied": 0.06, "bob": 0.3, "long": 0.28}[
        style
    ]
    weight = {"crew": 0.0, "short": 0.12, "swept": 0.1, "side": 0.18, "tied": 0.0, "bob": 0.5, "long": 0.5}[
        style
    ]
    tangent = heading - (heading * normals).sum(1, keepdims=True) * normals
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-6
    direction = tangent + lift * normals + rng.normal(0, 0.10 if style != "tied" else 0.03, tangent.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    gap = rng.uniform(0.01, {"tied": 0.05, "crew": 0.05}.get(style, 0.12), len(roots))
    ceiling = {
        "crew": 0.05,
        "short": 0.06,
        "swept": 0.12,
        "side": 0.03,
        "tied": 0.0,
        "bob": 0.02,
        "long": 0.02,
    }[style]
    curl = rng.normal(0, 0.16 if style in ("bob", "long") else 0.08, (len(roots), 3))
    points, here = [roots], roots
    for step in range(1, POINTS):
        direction = direction + weight * np.array([0.0, -1.0, 0.0]) + curl * np.sin(step * 1.7)
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        here = here + direction * (length / (POINTS - 1))[:, None]
        near = tree.query(here)[1]
        height = ((here - skin[near]) * outward[near]).sum(1)
        need = np.minimum(gap * step / 2, gap)
        push = np.maximum(need - height, 0)
        # combed hair follows the skull: what lifts off too far is pulled back, except below the jaw
        loose = np.maximum(height - need - ceiling, 0) * np.clip((here[:, 1] - 6.7) / 0.3, 0, 1)
        here = here + (push - 0.85 * loose)[:, None] * outward[near]
        moved = here - points[-1]
        direction = 0.5 * direction + 0.5 * moved / (np.linalg.norm(moved, axis=1, keepdims=True) + 1e-6)
        if not fringe or style != "crew":
            face = (here[:, 2] > 0.7) & (here[:, 1] < 7.75) & (np.abs(here[:, 0]) < 0.62)
            if style in ("bob", "long") and not fringe:
                here[face, 0] = np.sign(here[face, 0]) * np.maximum(np.abs(here[face, 0]), 0.66)
        points.append(here)
    return np.stack(points, 1)


def coarse_ribbons(ribbons: np.ndarray) -> np.ndarray:
    """Ribbons (T, 3) of ``Strands.ribbons`` with two long pieces a strand instead of five, in their order:
    for small pictures."""
    strand, step = np.divmod(ribbons[::2, 0] // 2, POINTS)
    part = (step >= LONG_PIECES[1]).astype(int)
    _, first = np.unique(strand * 2 + part, return_index=True)
    chosen = np.sort(first)
    strand, part = strand[chosen], part[chosen]
    edges = np.array(LONG_PIECES)
    a, c = ((strand * POINTS + edges[part + k]) * 2 for k in (0, 1))
    return np.stack([a, a + 1, c, a + 1, c + 1, c], -1).reshape(-1, 3).astype(np.int32)


@dataclass(frozen=True)
class Beard:
    """Hair that moves with the skin: ribbon ``rows`` (V, 10) and ``triangles`` as of ``Strands.ribbons``;
    each strand hangs on one triangle of the head: ``corners`` (S, 3), ``weights`` (S, 3), ``still`` (S, 3)
    dm. ``area`` (N,): how dense it is at the head's vertices, 0..1."""

    rows: np.ndarray
    triangles: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    still: np.ndarray
    area: np.ndarray

    def shift(self, vertices: np.ndarray) -> np.ndarray:
        """How far each ribbon vertex (V, 3) has moved with the drawn ``vertices`` (N, 3)."""
        now = np.einsum("sk,skc->sc", self.weights, vertices[self.corners])
        return np.repeat(now - self.still, POINTS * 2, axis=0)


BEARDS = ("full", "long", "goatee", "moustache")


def grow_beard(identity: Identity, head: Head, vertices: np.ndarray, style: str) -> Beard:
    """A beard of one of BEARDS on the neutral head; vertices (N, 3) are the drawn vertices, dm."""
    rng = np.random.default_rng([37, identity.seed])
    x, y, z = np.abs(head.rest[:, 0]), head.rest[:, 1], head.rest[:, 2]
    lip = np.exp(-(((x - 0.11) / 0.15) ** 2) - ((y - 6.765) / 0.04) ** 2)
    chin = np.exp(-((x / 0.2) ** 2) - ((y - 6.35) / 0.13) ** 2) * (y < 6.5)
    jaw = np.clip((6.60 + 0.9 * np.maximum(x - 0.34, 0) - y) / 0.06 + 0.5, 0, 1) * np.clip(
        (y - 6.08) / 0.06, 0, 1
    )
    jaw *= 1 - np.exp(-((x / 0.17) ** 2) - ((y - 6.50) / 0.035) ** 2)
    area = {"full": jaw + lip, "long": jaw + lip, "goatee": chin + lip, "moustache": lip}[style]
    area = area * (head.material < 0.5) * (1 - np.clip(2.5 * head.lips, 0, 1)) * (z > 0.2) * (head.ear < 0.5)
    triangles = head.triangles[area[head.triangles].min(1) > 0.15]
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    weight = np.linalg.norm(np.cross(b - a, c - a), axis=1) * area[triangles].mean(1)
    count = {"full": 5200, "long": 5200, "goatee": 2200, "moustache": 1500}[style]
    chosen = rng.choice(len(triangles), count, p=weight / weight.sum())
    u = rng.dirichlet([1.0, 1.0, 1.0], count)
    corners = triangles[chosen]
    still = np.einsum("sk,skc->sc", u, vertices[corners])
    normals = np.einsum("sk,skc->sc", u, vertex_normals(vertices, head.triangles)[corners])
    base = np.einsum("sk,skc->sc", u, head.rest[corners])
    upper = base[:, 1] > 6.66
    down = np.where(upper[:, None], np.c_[2.2 * np.sign(base[:, 0]), -0.8 * np.ones(count), np.zeros(count)],
                    np.array([0.0, -1.0, 0.1]))  # fmt: skip
    length = np.where(upper, rng.uniform(0.05, 0.10, count), rng.uniform(0.06, 0.13, count))
    if style == "long":
        length = np.where(
            upper, length, rng.uniform(0.2, 0.5, count) * np.clip((6.7 - base[:, 1]) / 0.4, 0.3, 1)
        )
    heading = 0.4 * normals + down * 0.7 + rng.normal(0, 0.16, (count, 3))
    points, here = [still], still
    for step in range(1, POINTS):
        heading = heading / np.linalg.norm(heading, axis=1, keepdims=True)
        here = here + heading * (length / (POINTS - 1))[:, None]
        heading = heading + 0.25 * step / POINTS * np.array([0.0, -1.0, 0.0]) + 0.06 * normals
        points.append(here)
    width = rng.uniform(0.005, 0.009, (count, 1)) * np.linspace(1.0, 0.5, POINTS)
    strands = Strands(np.stack(points, 1), width, rng.uniform(0.6, 1.25, count))
    rows, ribbons = strands.ribbons()
    return Beard(rows, ribbons, corners, u, still, np.clip(area, 0, 1).astype(np.float32))
