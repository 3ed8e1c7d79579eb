"""The part of the body mesh that a camera sees: skin, mouth, teeth and eyeballs, with a flat texture layout.

The texture layout is a cylinder around the head, computed once on the undeformed base mesh, so that a
texel means the same place on every identity: features are painted in base coordinates (decimetres, x to
the subject's left, y up, z to the front).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from deft_llm.errors import DeftError
from deft_llm.synth.core.mesh import load_face

if TYPE_CHECKING:
    from deft_llm.synth.core.mesh import FaceMesh

BODY_FLOOR = 5.2
CYLINDER_Z = 0.35
CYLINDER_HALF = 1.25
TEXTURE_LOW, TEXTURE_HIGH = 6.1, 8.1
FOLD = 0.08  # width of the rim that repeats beyond the texture, share of the texture
MATERIAL_SKIN, MATERIAL_MOUTH, MATERIAL_TEETH = 0.0, 1.0, 2.0
EYE_RINGS, EYE_SPOKES = 10, 28
EYE_REACH = 1.35


@dataclass(frozen=True)
class Head:
    """Vertices, triangles and fixed attributes of what is drawn.

    ``index`` (N,) are the base mesh's vertex numbers; ``triangles`` (T, 3) index into them; ``rest`` (N, 3)
    dm; ``uv`` (N, 2) in the flat layout; ``material``, ``scalp``, ``lips``, ``wet``, ``ear`` (N,); ``eyes``
    and ``lashes`` are the base mesh's helper vertices (left first).
    """

    index: np.ndarray
    triangles: np.ndarray
    rest: np.ndarray
    uv: np.ndarray
    material: np.ndarray
    scalp: np.ndarray
    lips: np.ndarray
    wet: np.ndarray
    ear: np.ndarray
    eyes: tuple[np.ndarray, np.ndarray]
    lashes: tuple[np.ndarray, np.ndarray]
    lash_triangles: tuple[np.ndarray, np.ndarray]

    @property
    def skin_count(self) -> int:
        """How many of the first vertices belong to the body's skin (teeth and tongue come after)."""
        return int((self.material != MATERIAL_TEETH).sum())

    @cached_property
    def neighbours(self):
        """Row-normalised vertex adjacency (N, N) sparse, for smoothing values over the surface."""
        from scipy import sparse

        t = self.triangles
        rows = np.concatenate([t[:, 0], t[:, 1], t[:, 2], t[:, 1], t[:, 2], t[:, 0]])
        cols = np.concatenate([t[:, 1], t[:, 2], t[:, 0], t[:, 0], t[:, 1], t[:, 2]])
        n = len(self.index)
        matrix = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, cols)), shape=(n, n))
        matrix.data[:] = 1.0
        matrix = matrix + sparse.identity(n, dtype=np.float32, format="csr")
        return sparse.diags(1.0 / np.asarray(matrix.sum(1)).ravel()).astype(np.float32) @ matrix


def flat_coordinates(points: np.ndarray) -> np.ndarray:
    """Texture coordinates (..., 2) of points on the base mesh (..., 3) in dm."""
    theta = np.arctan2(points[..., 0], points[..., 2] - CYLINDER_Z)
    u = 0.5 + theta / (2 * CYLINDER_HALF)
    v = (points[..., 1] - TEXTURE_LOW) / (TEXTURE_HIGH - TEXTURE_LOW)
    return np.stack([u, v], -1).astype(np.float32)


def _reflected(uv: np.ndarray) -> np.ndarray:
    """Texture coordinates (N, 2) folded back into 0..1: crown, neck and nape
    repeat the plain skin of the rim."""
    over = np.where(uv < 0, -uv, np.where(uv > 1, uv - 1, 0))
    fold = FOLD - np.abs(over % (2 * FOLD) - FOLD)
    return np.where(uv < 0, fold, np.where(uv > 1, 1 - fold, uv)).astype(np.float32)


def hairline(theta: np.ndarray) -> np.ndarray:
    """Height (N,) in dm of the hairline at angles (N,) around the head (0 = front, radians)."""
    knots = np.array([0.0, 0.35, 0.6, 0.85, 1.05, 1.22, 1.35, 1.55, 1.8, 2.2, 3.2])
    level = np.array([7.98, 8.0, 7.93, 7.72, 7.5, 7.28, 7.18, 7.2, 6.95, 6.7, 6.6])
    return np.interp(np.abs(theta), knots, level)


def scalp_mask(rest: np.ndarray, ear: np.ndarray) -> np.ndarray:
    """0 on bare skin, 1 where hair grows, smooth over the hairline; ears stay bare. rest (N, 3) dm."""
    theta = np.arctan2(rest[:, 0], rest[:, 2] - CYLINDER_Z)
    mask = np.clip((rest[:, 1] - hairline(theta)) / 0.1 + 0.5, 0, 1)
    return (mask * (1 - ear)).astype(np.float32)


@lru_cache(maxsize=1)
def load_head() -> Head:
    """The drawn surface of the shared face mesh, with lips and mouth inside from its mask textures."""

    mesh = load_face()
    lips, inside = (_vertex_mask(mesh, name) for name in ("lips", "inside-mouth"))
    return build_head(mesh.vertices, mesh.faces, mesh.groups, lips, inside)


def _vertex_mask(mesh: FaceMesh, name: str) -> np.ndarray:
    """A mask texture of the mesh sampled at every vertex (V,), the mean over its texture coordinates."""
    import cv2

    image = cv2.imread(str(mesh.textures / f"mpfb_{name}.jpg"), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise DeftError(f"{mesh.textures}/mpfb_{name}.jpg: cannot be read; run `deft setup` again.")
    size = image.shape[0]
    at = np.clip((mesh.uv * [1, -1] + [0, 1]) * size, 0, size - 1).astype(int)
    value = image[at[:, 1], at[:, 0]].astype(np.float32) / 255
    total, count = np.zeros(len(mesh.vertices)), np.zeros(len(mesh.vertices))
    np.add.at(total, mesh.faces.ravel(), value[mesh.face_uv.ravel()])
    np.add.at(count, mesh.faces.ravel(), 1)
    return (total / np.maximum(count, 1)).astype(np.float32)


def build_head(
    vertices: np.ndarray, faces: np.ndarray, groups: np.ndarray, lip_mask: np.ndarray, inner_mask: np.ndarray
) -> Head:
    """Cut the drawn surface out of the base mesh.

    vertices (V, 3) dm of the undeformed base, faces (F, 3), groups (F,) names of base.obj, lip_mask and
    inner_mask (V,) in [0, 1]: the painted lips and the inside of the mouth.
    """
    body = faces[groups == "body"]
    body = body[vertices[body, 1].min(1) > BODY_FLOOR]
    teeth = faces[np.isin(groups, ["helper-upper-teeth", "helper-lower-teeth"])]
    tongue = faces[groups == "helper-tongue"]
    skin_index = np.unique(body)
    rest_index = np.concatenate([np.unique(tongue), np.unique(teeth)])
    index = np.concatenate([skin_index, rest_index])
    lookup = np.full(len(vertices), -1, np.int64)
    lookup[index] = np.arange(len(index))
    rest = vertices[index].astype(np.float32)
    material = np.zeros(len(index), np.float32)
    material[: len(skin_index)] = np.clip(inner_mask[skin_index], 0, 1)
    material[len(skin_index) : len(skin_index) + len(np.unique(tongue))] = MATERIAL_MOUTH
    material[len(skin_index) + len(np.unique(tongue)) :] = MATERIAL_TEETH
    eyes = tuple(np.unique(faces[groups == f"helper-{side}-eye"]) for side in "lr")
    wet = np.zeros(len(index), np.float32)
    for eye in eyes:
        centre, radius = sphere_of(vertices[eye])
        distance = np.linalg.norm(rest - centre, axis=1) - radius
        wet = np.maximum(wet, np.clip(1 - distance / 0.012, 0, 1))
    ear = ear_mask(rest)
    lash_faces = [faces[groups == f"helper-{side}-eyelashes-2"] for side in "lr"]
    lashes = tuple(np.unique(f) for f in lash_faces)
    lash_triangles = tuple(
        np.searchsorted(vertex, f).astype(np.int32) for vertex, f in zip(lashes, lash_faces, strict=True)
    )
    triangles = lookup[np.concatenate([body, tongue, teeth])].astype(np.int32)
    left, right = lashes
    left_triangles, right_triangles = lash_triangles
    return Head(
        index, triangles, rest, _reflected(flat_coordinates(rest)), material, scalp_mask(rest, ear),
        lip_mask[index].astype(np.float32), wet, ear, (eyes[0], eyes[1]), (left, right),
        (left_triangles, right_triangles),
    )  # fmt: skip


def ear_mask(rest: np.ndarray) -> np.ndarray:
    """1 on the ears, 0 elsewhere. rest (N, 3) dm."""
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    inside = (x > 0.735) & (y > 6.78) & (y < 7.38) & (z > -0.1) & (z < 0.75)
    return inside.astype(np.float32)


def sphere_of(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre (3,) and radius of the sphere that fits points (N, 3) best (least squares)."""
    system = np.c_[2 * points, np.ones(len(points))].astype(np.float64)
    solution = np.linalg.lstsq(system, (points.astype(np.float64) ** 2).sum(1), rcond=None)[0]
    centre = solution[:3]
    return centre.astype(np.float32), float(np.sqrt(solution[3] + centre @ centre))


def eye_patch() -> tuple[np.ndarray, np.ndarray]:
    """Unit directions (N, 3) and triangles (T, 3) of the eyeball's front, its axis along +z."""
    directions, triangles = [np.array([0.0, 0.0, 1.0])], []
    for ring in range(1, EYE_RINGS + 1):
        polar = EYE_REACH * ring / EYE_RINGS
        for spoke in range(EYE_SPOKES):
            turn = 2 * np.pi * spoke / EYE_SPOKES
            directions.append(
                np.array([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)])
            )
    for spoke in range(EYE_SPOKES):
        following = (spoke + 1) % EYE_SPOKES
        triangles.append((0, 1 + spoke, 1 + following))
        for ring in range(EYE_RINGS - 1):
            inner, outer = 1 + ring * EYE_SPOKES, 1 + (ring + 1) * EYE_SPOKES
            triangles.append((inner + spoke, outer + spoke, outer + following))
            triangles.append((inner + spoke, outer + following, inner + following))
    return np.array(directions, np.float32), np.array(triangles, np.int32)


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals (N, 3) of vertices (N, 3) and triangles (T, 3)."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    normals = np.zeros(vertices.shape, np.float64)
    for corner in range(3):
        for axis in range(3):
            normals[:, axis] += np.bincount(triangles[:, corner], face[:, axis], len(vertices))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    return normals.astype(np.float32)
