"""Makes src/deft_llm/faces/canonical_landmarks.npz: the mean 478 landmarks of frontal, neutral heads.

The heads are the CC0 MakeHuman ones of ``deft setup`` (calibration identities), painted plainly, seen by
the landmarker, averaged with their mirror images and scaled to 90 px between the eyes' centres.
Run: python -m recipes.canonical_landmarks [--picture heads.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from deft_llm.faces.geometry import LEFT_EYE, RIGHT_EYE, inter_ocular
from deft_llm.faces.landmarker import Landmarker
from deft_llm.synth.core.identity import sample_identity, split_seeds
from deft_llm.synth.core.mesh import FaceMesh, load_face

TARGET = Path(__file__).parents[1] / "src/deft_llm/faces/canonical_landmarks.npz"
SIZE, PIXELS_PER_DM = 1024, 330.0
ALIGNED_IOD, EYE_LINE, MIDDLE = 90.0, 64.0, 111.5


def colours(mesh: FaceMesh) -> np.ndarray:
    """(F, 3) plain colours: skin, lips from the mask, brows where the brow units move, eyes."""
    lips = cv2.imread(str(mesh.textures / "mpfb_lips.jpg"), cv2.IMREAD_GRAYSCALE) / 255.0
    middle = mesh.uv[mesh.face_uv].mean(1)
    at = (np.clip(middle * [1, -1] + [0, 1], 0, 1) * (lips.shape[0] - 1)).astype(int)
    mask = lips[at[:, 1], at[:, 0]][:, None]
    paint = np.tile([205.0, 150.0, 125.0], (len(mesh.faces), 1)) * (1 - mask) + mask * [176, 88, 84]
    brow = sum(np.linalg.norm(mesh.offset(f"makehuman/caucasian/eyebrows-{side}-up"), axis=1)
               for side in ("left", "right"))  # fmt: skip
    paint[(brow / brow.max())[mesh.faces].mean(1) > 0.72] = [70, 50, 40]
    for side in "lr":
        eye = mesh.groups == f"helper-{side}-eye"
        points = mesh.vertices[mesh.faces[eye]].mean(1)
        away = points - points.mean(0)
        forward = away[:, 2] / np.linalg.norm(away, axis=1)
        paint[eye] = np.where(forward[:, None] > 0.97, [10, 10, 10],
                              np.where(forward[:, None] > 0.86, [95, 70, 45], [235, 235, 235]))  # fmt: skip
    return paint


def paint_head(mesh: FaceMesh, vertices: np.ndarray, paint: np.ndarray) -> np.ndarray:
    """Frontal orthographic picture (SIZE, SIZE, 3), painter's algorithm, two lamps."""
    drawn = np.isin(mesh.groups, ("body", "helper-l-eye", "helper-r-eye"))
    corners = vertices[mesh.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    smooth = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(smooth, mesh.faces[:, k], normal)
    normal = smooth[mesh.faces].mean(1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    light = (
        0.3 + 0.5 * np.clip(normal @ [0.2, 0.5, 0.84], 0, 1) + 0.2 * np.clip(normal @ [-0.6, 0, 0.8], 0, 1)
    )
    colour = np.clip(paint * light[:, None], 0, 255)
    centre = np.mean(mesh.eye_centres(vertices), axis=0)
    flat = (corners[:, :, :2] - centre[:2]) * [1, -1] * PIXELS_PER_DM + SIZE / 2
    picture = np.full((SIZE, SIZE, 3), 110, np.uint8)
    order = np.argsort(corners[:, :, 2].mean(1))
    for f in order[drawn[order] & (normal[order, 2] > 0)]:
        cv2.fillConvexPoly(
            picture, np.round(flat[f] * 16).astype(np.int32), colour[f].tolist(), cv2.LINE_AA, 4
        )
    return cv2.GaussianBlur(picture, (0, 0), 1.5)


def to_frame(points: np.ndarray) -> np.ndarray:
    """Points (N, 2) rotated and scaled so that the eyes' centres lie 90 px apart on the eye line."""
    right, left = points[RIGHT_EYE].mean(0), points[LEFT_EYE].mean(0)
    across = complex(*(left - right))
    turn = ALIGNED_IOD / across
    moved = ((points[:, 0] + 1j * points[:, 1]) - complex(*((left + right) / 2))) * turn
    return np.stack([moved.real + MIDDLE, moved.imag + EYE_LINE], 1)


def main() -> None:
    """Paint, measure, average, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=int, default=24)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    mesh, landmarker = load_face(), Landmarker()
    paint = colours(mesh)
    found, depths, pictures = [], [], []
    for seed in split_seeds("calibration", options.heads):
        head = paint_head(mesh, sample_identity(seed).vertices, paint)
        straight = landmarker.detect(head)
        mirrored = landmarker.detect(np.ascontiguousarray(head[:, ::-1]))
        if not straight or not mirrored:
            print(f"seed {seed}: no face found, left out")
            continue
        for face in (straight[0], mirrored[0]):
            found.append(to_frame(face.landmarks))
            depths.append(face.depth * ALIGNED_IOD / inter_ocular(face.landmarks))
        shown = head.copy()
        for x, y in straight[0].landmarks:
            cv2.circle(shown, (int(x), int(y)), 2, (0, 255, 0), -1)
        pictures.append(cv2.resize(shown, (256, 256), interpolation=cv2.INTER_AREA))
    mean = np.mean(found, 0)
    # Each landmark's twin is the one that lies best at its reflection, one to one (inner lips coincide).
    reflected = mean * [-1, 1] + [2 * MIDDLE, 0]
    apart = np.linalg.norm(mean[:, None] - reflected[None], axis=2)
    twin = linear_sum_assignment(apart + apart.T)[1]
    if not (twin[twin] == np.arange(len(mean))).all():
        raise SystemExit("landmarks do not pair up; use more heads")
    mean = (mean + reflected[twin]) / 2
    depth = np.mean(depths, 0)
    depth = (depth + depth[twin]) / 2
    np.savez_compressed(options.out, landmarks=mean.astype(np.float32), twin=twin.astype(np.int16),
                        depth=depth.astype(np.float32))  # fmt: skip
    print(f"{len(found) // 2} heads, spread {np.std(found, 0).mean():.2f} px -> {options.out.name}")
    if options.picture:
        row = 6
        rows = [np.concatenate(pictures[i : i + row], 1) for i in range(0, len(pictures) // row * row, row)]
        cv2.imwrite(str(options.picture), np.concatenate(rows)[:, :, ::-1])


if __name__ == "__main__":
    main()
