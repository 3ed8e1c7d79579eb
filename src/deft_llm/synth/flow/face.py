"""One posed head made ready for flow: vertex motions of every AU, and a pixel -> vertex look-up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from deft_llm.synth.core.identity import Identity
from deft_llm.synth.core.mesh import FaceMesh
from deft_llm.synth.core.unit_map import NUISANCE_UNITS, SYNTH_AUS, UnitSet
from deft_llm.synth.core.units import Component, component_field, components, motor_style
from deft_llm.synth.flow.raster import rasterise

SPAN = 4.4  # inter-ocular distances covered by the reference grid
CENTRE_DOWN = 0.35  # its centre lies that far below the eyes

BACKGROUND, SKIN, EYE, HAIR, NECK = range(5)


@lru_cache(maxsize=1)
def catalogue() -> tuple[tuple[Component, ...], tuple[str, ...]]:
    """All components of all AUs, then the nuisance motions: the rows of FlowFace.basis."""
    return tuple(c for au in SYNTH_AUS for c in components(au)), tuple(NUISANCE_UNITS)


@lru_cache(maxsize=1)
def rows_of() -> dict[tuple[int, str | None, str | None] | str, int]:
    """Row of each (au, side, part) and of each nuisance name in FlowFace.basis."""
    parts, nuisances = catalogue()
    table: dict = {tuple(part): number for number, part in enumerate(parts)}
    return table | {name: len(parts) + number for number, name in enumerate(nuisances)}


@dataclass
class FlowFace:
    """A head in one pose, seen by one camera; everything projected to the image already.

    Motion is complex: real part u (right), imaginary part v (down), in inter-ocular distances of the image.
    basis (K, V'): motion of each component and nuisance at unit strength. Look-up grids of side R cover SPAN
    inter-ocular distances: vertex and weight (3, R * R), place (R * R, 3) the 3D point seen from the neck,
    kind (R, R), image (R, R) 0..1, edges (R, R) extra texture (hair, beard, brows).
    """

    subject: str
    basis: np.ndarray
    place: np.ndarray
    eyes: np.ndarray
    distance: float
    vertex: np.ndarray
    weight: np.ndarray
    kind: np.ndarray
    image: np.ndarray
    edges: np.ndarray

    @property
    def side(self) -> int:
        """Side of the reference grid, px."""
        return self.kind.shape[0]


def build_face(
    mesh: FaceMesh, identity: Identity, unit_set: UnitSet, rng: np.random.Generator, side: int,
    *, yaw: float, pitch: float, distance: float,
) -> FlowFace:  # fmt: skip
    """Pose ``identity`` (yaw, pitch in degrees; camera ``distance`` dm) and prepare its motion look-up."""
    vertices = identity.vertices
    left, right = mesh.eye_centres(vertices)
    iod = float(np.linalg.norm(left - right))
    turn = _rotation(yaw, pitch)
    pivot = (left + right) / 2 + np.array([0, -1.3 * iod, -1.6 * iod])  # top of the neck
    posed = (vertices - pivot) @ turn.T / iod
    eyes = turn @ ((left + right) / 2 - pivot) / iod
    gap = distance / iod
    screen, depth = _project(posed, eyes, gap, side)
    triangles = mesh.faces[np.isin(mesh.groups, ("body", "helper-l-eye", "helper-r-eye"))]
    seen, weight = rasterise(screen, depth, triangles, side, side)
    used = np.unique(triangles[seen[seen >= 0]])
    place_of = np.zeros(len(vertices), np.int32)
    place_of[used] = np.arange(len(used))
    vertex, weight, inside = _fill(seen, weight, triangles)
    chart = np.einsum("rck,rckd->rcd", weight, mesh.face_coordinates[vertex])
    eye_share = np.einsum("rck,rck->rc", weight, (mesh.vertex_group[vertex] > 0).astype(np.float32))
    kind, image, edges = _appearance(
        chart, eye_share > 0.5, inside, _shade(posed, triangles, seen, rng), identity, rng
    )
    away = gap + eyes[2] - posed[:, 2]
    place = np.einsum("rck,rckd->rcd", weight, posed[vertex]).reshape(-1, 3)
    moved = _basis(mesh, identity, unit_set, turn, iod)[:, used]
    return FlowFace(
        subject=identity.id,
        basis=_on_screen(moved, posed[used] - eyes, away[used], gap),
        place=place.astype(np.float32),
        eyes=eyes.astype(np.float32),
        distance=gap,
        vertex=np.ascontiguousarray(place_of[vertex].reshape(-1, 3).T.astype(np.uint16)),
        # outside the head, skin does not move: only the head carries it along
        weight=np.ascontiguousarray((weight * inside[..., None]).reshape(-1, 3).T.astype(np.float16)),
        kind=kind,
        image=image,
        edges=edges,
    )


def _on_screen(motion: np.ndarray, about: np.ndarray, away: np.ndarray, gap: float) -> np.ndarray:
    """Project small motions (..., N, 3) at points ``about`` the eyes, ``away`` from the camera: (..., N)."""
    scale = gap / away
    u = scale * (motion[..., 0] + motion[..., 2] * about[:, 0] / away)
    v = -scale * (motion[..., 1] + motion[..., 2] * about[:, 1] / away)
    return (u + 1j * v).astype(np.complex64)


def rigid_motion(face: FlowFace, index: np.ndarray) -> np.ndarray:
    """Screen motion (2, 6, N), u and v, at reference pixels ``index``:
    turns (radians) about x, y, z, then unit steps."""
    x, y, z = face.place.take(index, 0).T
    away = face.distance + face.eyes[2] - z
    scale = face.distance / away
    ex, ey = (x - face.eyes[0]) / away, (y - face.eyes[1]) / away
    # small motion (dx, dy, dz) -> u = s (dx + dz ex), v = -s (dy + dz ey)
    planes = (
        (y * ex, -z + y * ey), (z - x * ex, -x * ey), (-y, x), (1, 0), (0, 1), (ex, ey),
    )  # fmt: skip
    found = np.empty((2, 6, len(index)), np.float32)
    for row, (u, v) in enumerate(planes):
        found[0, row], found[1, row] = scale * u, -scale * v
    return found


def _rotation(yaw: float, pitch: float) -> np.ndarray:
    """Rotation (3, 3): yaw about y (positive to the subject's left), then pitch about x (positive down)."""
    a, b = math.radians(yaw), math.radians(pitch)
    about_y = np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]])
    return about_x @ about_y


def _project(posed: np.ndarray, eyes: np.ndarray, gap: float, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Screen position (V, 2) px and nearness (V,) of posed points, inter-ocular units; perspective."""
    away = gap + eyes[2] - posed[:, 2]
    scale = gap / away * side / SPAN
    x = (posed[:, 0] - eyes[0]) * scale + side / 2
    y = (eyes[1] - posed[:, 1]) * scale + side / 2 - CENTRE_DOWN * side / SPAN
    return np.stack([x, y], 1), -away


def _basis(mesh: FaceMesh, identity: Identity, unit_set: UnitSet, turn: np.ndarray, iod: float) -> np.ndarray:
    """Motion of every component and nuisance (K, V, 3), peak one inter-ocular distance, camera axes."""
    parts, nuisances = catalogue()
    ancestry = tuple(identity.ancestry.items())
    fields = []
    for part in parts:
        style = motor_style(identity, part)
        fields.append(component_field(mesh, part, unit_set, ancestry, style) * np.float32(style.gain))
    for name in nuisances:
        field = np.sum([mesh.offset(f"arkit/{unit.name}") for unit in NUISANCE_UNITS[name]], axis=0)
        if name.startswith("gaze"):
            field = field + _eyeball_turn(mesh, name)
        length = np.sort(np.hypot(field[:, 0], field[:, 1]))
        fields.append(field / max(length[-4], 1e-9))
    return (np.stack(fields) @ turn.T.astype(np.float32)).astype(np.float32)


def _eyeball_turn(mesh: FaceMesh, name: str) -> np.ndarray:
    """Motion of the eyeballs' surface for a small turn of gaze; the peak is at the pupil."""
    axis = {"gaze up": (-1, 0), "gaze down": (1, 0), "gaze left": (0, 1), "gaze right": (0, -1)}[name]
    field = np.zeros_like(mesh.vertices)
    for group, centre in zip((1, 2), mesh.eyes, strict=True):
        at = mesh.vertex_group == group
        arm = mesh.vertices[at] - centre
        field[at] = 0.4 * np.cross(np.array([axis[0], axis[1], 0.0]), arm)
    return field


def _fill(
    seen: np.ndarray, weight: np.ndarray, triangles: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Look-up for every pixel: outside the head, the nearest head pixel's (a rigid continuation)."""
    outside = (seen < 0).astype(np.uint8)
    _, label = cv2.distanceTransformWithLabels(outside, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    first = np.zeros(label.max() + 1, np.int64)
    inside = np.flatnonzero(outside.ravel() == 0)
    first[label.ravel()[inside]] = inside
    nearest = first[label.ravel()]
    vertex = triangles[seen.ravel()[nearest]].reshape(*seen.shape, 3)
    return vertex, weight.reshape(-1, 3)[nearest].reshape(*seen.shape, 3), seen >= 0


def _shade(
    posed: np.ndarray, triangles: np.ndarray, seen: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Diffuse shading (R, R) under a random light, 0..1."""
    a, b, c = (posed[triangles[:, k]] for k in range(3))
    face_normal = np.cross(b - a, c - a)
    normal = np.zeros_like(posed)
    for k in range(3):
        np.add.at(normal, triangles[:, k], face_normal)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    light = np.array([rng.normal(0, 0.6), rng.normal(0.4, 0.4), 1.0])
    light /= np.linalg.norm(light)
    lit = np.clip(normal @ light, 0, 1)[triangles].mean(1)
    return cv2.GaussianBlur(
        np.where(seen >= 0, lit[np.maximum(seen, 0)], 0.5).astype(np.float32), (0, 0), 1.0
    )


def _appearance(
    chart: np.ndarray, eye: np.ndarray, inside: np.ndarray, shade: np.ndarray, identity: Identity,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Kind of each pixel, a grey image with the face's main edges, and extra texture (hair, brows, beard)."""
    looks = identity.attributes
    x, y = np.abs(chart[..., 0]), chart[..., 1]
    skin = 0.75 - 0.5 * identity.skin_tone
    image = np.full(x.shape, skin, np.float32)
    edges = np.zeros_like(image)

    def paint(mask: np.ndarray, level: float, texture: float = 0.0) -> None:
        np.copyto(image, image * (1 - mask) + level * mask)
        np.maximum(edges, texture * mask, out=edges)

    hair_level = float(np.clip(0.75 - 0.7 * looks["hair_darkness"] + 0.3 * looks["hair_grey"], 0.05, 0.8))
    thick = 0.05 + 0.06 * looks["brow_thickness"]
    arch = 0.27 + rng.uniform(0, 0.12) * np.sin(
        np.clip((x - 0.15) / 0.8, 0, 1) * np.pi * rng.uniform(0.8, 1.1)
    )
    brow = np.exp(-(((y - arch) / thick) ** 2)) * _soft(x, 0.14, 0.92)
    paint(brow * looks["brow_density"], min(hair_level, skin - 0.1), 0.6)
    lips = np.clip(1.2 - ((x / 0.42) ** 2 + ((y + 1.1) / 0.17) ** 2), 0, 1) ** 0.5
    paint(0.7 * lips, skin - 0.15 - 0.15 * looks["lip_colour"], 0.1)
    paint(np.exp(-(((y + 1.1) / 0.02) ** 2)) * _soft(x, -1, 0.4), skin - 0.35)
    paint(np.exp(-(((x - 0.12) / 0.05) ** 2 + ((y + 0.73) / 0.03) ** 2)), skin - 0.4)
    paint(eye.astype(np.float32), 0.85)
    paint(eye * np.exp(-((((x - 0.5) / 0.09) ** 2 + (y / 0.09) ** 2) ** 2)), 0.5 - 0.45 * looks["iris"], 0.2)
    paint(looks["beard"] * _soft(-y, 0.85, 2.2) * (1 - np.clip(lips * 2, 0, 1)), hair_level, 0.8)
    line = 1.05 + 0.25 * looks["baldness"] - 0.75 * looks["fringe"] + rng.normal(0, 0.08)
    hair = inside * _soft(y + 0.35 * np.clip(x - 0.8, 0, 1), line, 9, 0.05) * (looks["baldness"] < 0.85)
    paint(hair, hair_level, 1.0)
    image *= 0.35 + 0.65 * shade
    if looks["glasses"]:
        ring = ((x - 0.52) / rng.uniform(0.33, 0.42)) ** 4 + ((y + 0.05) / rng.uniform(0.22, 0.34)) ** 4
        paint(np.exp(-(((ring - 1) / 0.25) ** 2)), float(rng.uniform(0, 0.9)), 0.8)
    kind = np.where(eye, EYE, np.where(hair > 0.5, HAIR, SKIN)).astype(np.uint8)
    _surround(kind, image, edges, inside, y, hair_level, looks, rng)
    return kind, image, edges


def _surround(
    kind: np.ndarray, image: np.ndarray, edges: np.ndarray, inside: np.ndarray, y: np.ndarray,
    hair_level: float,
    looks: dict, rng: np.random.Generator,
) -> None:  # fmt: skip
    """Paint what lies outside the head: hair volume, then background (in place)."""
    away = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 3) * SPAN / inside.shape[0]
    volume = looks["hair_length"] * rng.uniform(0.05, 0.45) * (looks["baldness"] < 0.85)
    low = -0.2 - 2.2 * looks["hair_length"]
    hair = ~inside & (away < volume) & (y > low)
    background = ~inside & ~hair
    kind[hair], image[hair], edges[hair] = HAIR, hair_level * 0.8, 1.0
    kind[background], image[background], edges[background] = BACKGROUND, rng.uniform(0.05, 0.95), 0.0
    kind[inside & (y < -2.15)] = NECK


def _soft(value: np.ndarray, low: float, high: float, width: float = 0.04) -> np.ndarray:
    """1 between ``low`` and ``high``, smooth edges."""
    rise = np.clip((value - low) / width + 0.5, 0, 1)
    return rise * np.clip((high - value) / width + 0.5, 0, 1)
