"""What is exactly so in a rendered clip: flow between frames with its visibility, landmarks, pose, folds."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from deft_llm.faces.pose import angles, rigid_turn
from deft_llm.synth.core.head import load_head
from deft_llm.synth.video.assets import Subject, eye_patch_cached, eye_surface
from deft_llm.synth.video.render import Renderer
from deft_llm.synth.video.scene import FaceState, Scene, project, projection_matrix, rotation, view_matrix

TOLERANCE = 0.05  # dm: surfaces nearer to each other than this do not hide each other

# Places on the base mesh (x to the subject's left, y) in dm whose nearest front vertex serves as a landmark.
LANDMARKS: dict[str, tuple[float, float]] = {
    **{f"{side} {name}": (sign * x, y)
       for side, sign in (("left", 1), ("right", -1))
       for name, x, y in (
           ("inner brow", 0.12, 7.44), ("middle brow", 0.33, 7.48), ("outer brow", 0.54, 7.45),
           ("inner eye corner", 0.17, 7.27), ("outer eye corner", 0.45, 7.29), ("upper lid", 0.31, 7.335),
           ("lower lid", 0.31, 7.235), ("cheek", 0.38, 6.98), ("nostril wing", 0.17, 6.9),
           ("mouth corner", 0.265, 6.605), ("upper lip", 0.12, 6.68), ("lower lip", 0.12, 6.52),
           ("jaw", 0.5, 6.55), ("temple", 0.62, 7.5))},
    "nose root": (0.0, 7.28), "nose tip": (0.0, 6.93), "glabella": (0.0, 7.46), "forehead": (0.0, 7.75),
    "upper lip centre": (0.0, 6.66), "lower lip centre": (0.0, 6.53), "chin": (0.0, 6.35),
}  # fmt: skip


@lru_cache(maxsize=1)
def landmark_vertices() -> np.ndarray:
    """Number of the drawn vertex of each of LANDMARKS (K,)."""
    head = load_head()
    front = np.flatnonzero((head.rest[:, 2] > 0.5) & (head.material < 0.5))
    found = []
    for x, y in LANDMARKS.values():
        distance = np.hypot(head.rest[front, 0] - x, head.rest[front, 1] - y) - 0.05 * head.rest[front, 2]
        found.append(front[int(np.argmin(distance))])
    return np.array(found)


def landmarks(state: FaceState, scene: Scene) -> np.ndarray:
    """Image positions of LANDMARKS (K, 2), px."""
    return project(state.vertices[landmark_vertices()], scene, state)[0].astype(np.float32)


# What bone carries: which way a face looks is how these places lie in space.
BONY_PARTS = ("eye corner", "temple", "nose root", "glabella", "forehead")
BONY = [number for number, name in enumerate(LANDMARKS) if any(part in name for part in BONY_PARTS)]


def face_turn(state: FaceState) -> np.ndarray:
    """How the face is turned (3,): yaw, pitch, roll, degrees, by the rigid fit
    of the base mesh's BONY places.

    ``FaceState.turn`` counts from the rest of the subject's own mesh; faces are tilted against that by some
    4 degrees (``head-angle`` and others), of which a regression on the exact shape tells half.
    """
    places = landmark_vertices()[BONY]
    tilt = rigid_turn(state.vertices[places], load_head().rest[places])
    return angles(rotation(*state.turn) @ tilt)


def _surface(
    renderer: Renderer, subject: Subject, scene: Scene, state: FaceState
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clip positions (N, 4), pixels (N, 2) and triangles of skin, eyeballs and hair together."""
    pixels, clip = project(state.vertices, scene, state)
    clips, positions, triangles = [clip], [pixels], [subject.head.triangles]
    count = len(clip)
    _, patch = eye_patch_cached()
    for centre, radius in zip(subject.eye_centres, subject.eye_radius, strict=True):
        points, _ = eye_surface(centre, radius, state.gaze)
        pixels, clip = project(points, scene, state)
        clips.append(clip)
        positions.append(pixels)
        triangles.append(patch + count)
        count += len(points)
    pixels, clip = _ribbons(renderer.hair_rows, scene, state)
    clips.append(clip)
    positions.append(pixels)
    triangles.append(renderer.hair_triangles + count)
    return np.concatenate(clips), np.concatenate(positions), np.concatenate(triangles)


def _ribbons(rows: np.ndarray, scene: Scene, state: FaceState) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and clip positions of hair ribbons, widened towards the camera as the hair shader does."""
    view = view_matrix(scene, state)
    camera = rows[:, :3] @ view[:3, :3].T + view[:3, 3]
    along = rows[:, 3:6] @ view[:3, :3].T
    side = np.cross(along, -camera)
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    camera = camera + side * (rows[:, 6] * rows[:, 7])[:, None]
    clip = np.c_[camera, np.ones(len(camera))] @ projection_matrix(scene).T.astype(np.float64)
    width, height = scene.size
    ndc = clip[:, :2] / clip[:, 3:]
    pixels = np.stack([(ndc[:, 0] * 0.5 + 0.5) * width - 0.5, (0.5 - ndc[:, 1] * 0.5) * height - 0.5], -1)
    return pixels, clip


def exact_flow(
    renderer: Renderer, subject: Subject, scene: Scene, first: FaceState, second: FaceState
) -> tuple[np.ndarray, np.ndarray]:
    """True motion of the visible surface from ``first`` to ``second``.

    Returns flow (2, H, W) float32 px (u right, v down; 0 on the backdrop) and visible (H, W) bool: the
    surface is the subject's and is seen in both frames.
    """
    clip_a, pixels_a, triangles = _surface(renderer, subject, scene, first)
    clip_b, pixels_b, _ = _surface(renderer, subject, scene, second)
    depth_b = clip_b[:, 3]
    values = np.c_[pixels_b - pixels_a, depth_b, np.ones(len(clip_a))]
    here = renderer.raster(clip_a, values, triangles, scene.size)
    there = renderer.raster(clip_b, values, triangles, scene.size)
    inside = here[..., 3] > 0.5
    flow = np.where(inside, np.moveaxis(here[..., :2], -1, 0), 0).astype(np.float32)
    height, width = inside.shape
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    nearest = np.where(there[..., 3] > 0.5, there[..., 2], 1e3).astype(np.float32)
    # the farthest surface around the target: a pixel counts as seen if it lies in front of that
    reach = cv2.dilate(nearest, np.ones((3, 3), np.uint8))
    seen = cv2.remap(reach, columns + flow[0], rows + flow[1], cv2.INTER_NEAREST, borderValue=0.0)
    return flow, inside & (here[..., 2] <= seen + TOLERANCE)


def fold_map(renderer: Renderer, scene: Scene, state: FaceState) -> np.ndarray:
    """How strongly AU folds are switched on at each pixel (H, W) float32, 0..1.4."""
    _, clip = project(state.vertices, scene, state)
    values = np.c_[state.furrow, np.zeros((len(clip), 2)), np.ones(len(clip))]
    return renderer.raster(clip, values, load_head().triangles, scene.size)[..., 0]
