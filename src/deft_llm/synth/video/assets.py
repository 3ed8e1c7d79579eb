"""Everything about one subject that rendering needs and that stays the same over its clips."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from deft_llm.synth.core.head import Head, eye_patch, load_head, sphere_of, vertex_normals
from deft_llm.synth.core.identity import Identity
from deft_llm.synth.video.furrows import vertex_weights
from deft_llm.synth.video.hair import Strands, grow_hair
from deft_llm.synth.video.scene import EYES, rotation
from deft_llm.synth.video.texture import Skin, paint_skin


@dataclass(frozen=True)
class Subject:
    """One subject ready to be drawn.

    ``offset`` (3,) is what brings the identity's eyes to EYES, the same place for all subjects;
    ``vertices`` and ``normals`` (N, 3) of the neutral head with the offset applied; ``eye_centres``
    (2, 3), ``eye_radius`` (2,), left first; ``lash_coordinates`` per eye (n, 2): along the lid, root
    to tip; ``furrow_weights`` (furrows, 2, N).
    """

    identity: Identity
    head: Head
    offset: np.ndarray
    vertices: np.ndarray
    normals: np.ndarray
    skin: Skin
    strands: Strands
    eye_centres: np.ndarray
    eye_radius: np.ndarray
    lash_coordinates: tuple[np.ndarray, np.ndarray]
    furrow_weights: np.ndarray

    @property
    def collar(self) -> float:
        """Height of the neckline at the shoulder, base dm."""
        return 5.78 + 0.06 * np.sin(self.identity.seed)

    @property
    def cloth(self) -> np.ndarray:
        """Colour of the shirt (3,), sRGB 0..1."""
        rng = np.random.default_rng([31, self.identity.seed])
        grey, tint = rng.uniform(0.15, 0.85), rng.normal(0, 0.07, 3)
        return np.clip(grey + tint, 0.06, 0.92).astype(np.float32)


_KEPT: dict[str, Subject] = {}


def subject_of(identity: Identity) -> Subject:
    """Paint, grow and measure one subject (about a second; the last one is kept for its next clips)."""
    if identity.id not in _KEPT:
        _KEPT.clear()
        _KEPT[identity.id] = _make_subject(identity)
    return _KEPT[identity.id]


def _make_subject(identity: Identity) -> Subject:
    head, whole = load_head(), identity.vertices
    middle = np.mean([sphere_of(whole[eye])[0] for eye in head.eyes], 0)
    offset = (EYES - middle).astype(np.float32)
    whole = whole + offset
    vertices = np.ascontiguousarray(whole[head.index], np.float32)
    spheres = [sphere_of(whole[eye]) for eye in head.eyes]
    lashes = []
    for side, lash in enumerate(head.lashes):
        lashes.append(
            _lash_coordinates(whole[lash], *spheres[side]) if len(lash) else np.zeros((0, 2), np.float32)
        )
    return Subject(
        identity=identity,
        head=head,
        offset=offset,
        vertices=vertices,
        normals=vertex_normals(vertices, head.triangles),
        skin=paint_skin(identity),
        strands=grow_hair(identity, head, vertices),
        eye_centres=np.array([centre for centre, _ in spheres], np.float32),
        eye_radius=np.array([radius for _, radius in spheres], np.float32),
        lash_coordinates=(lashes[0], lashes[1]),
        furrow_weights=vertex_weights(head.rest),
    )


def _lash_coordinates(points: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """Along the lid and from root to tip (n, 2), both 0..1, of the lash helper's vertices."""
    offset = points - centre
    along = np.arctan2(offset[:, 0], offset[:, 2])
    away = np.linalg.norm(offset, axis=1) - radius
    along = (along - along.min()) / np.ptp(along)
    # the strip's root runs along the lid: compare with the nearest vertices at the same place along it
    out = np.zeros(len(points))
    for number, place in enumerate(along):
        near = np.abs(along - place) < 0.08
        out[number] = (away[number] - away[near].min()) / (np.ptp(away[near]) + 1e-6)
    return np.stack([along, out], -1).astype(np.float32)


def eye_surface(
    centre: np.ndarray, radius: float, gaze: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Points (E, 3) dm and unit normals (E, 3) of one eyeball turned by gaze (yaw to image right,
    pitch up), radians."""
    directions, _ = eye_patch_cached()
    normals = directions @ rotation(gaze[0], gaze[1], 0.0).T
    return centre + radius * normals, normals


@lru_cache(maxsize=1)
def eye_patch_cached() -> tuple[np.ndarray, np.ndarray]:
    """The eyeball's front: unit directions (V, 3) and triangles (F, 3)."""
    return eye_patch()
