"""One frame's geometry: camera, lights and the face's state, and how they place points in the image.

Camera space is right-handed, x right in the image, y up, looking along -z; the subject looks along +z, so
image right is the subject's left. Lengths are decimetres, angles radians.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

AIM = np.array([0.0, 7.15, 0.9], np.float32)  # the point that the camera looks at, dm
PIVOT = np.array([0.0, 6.6, 0.1], np.float32)  # the head turns about the top of the neck, dm
EYES = np.array([0.0, 7.284, 1.245], np.float32)  # between the eyeballs of every subject, dm


@dataclass(frozen=True)
class Light:
    """One light: unit ``direction`` (3,) towards it in camera space, linear
    ``colour`` (3,), ``softness`` in radians."""

    direction: tuple[float, float, float]
    colour: tuple[float, float, float]
    softness: float = 0.3


@dataclass(frozen=True)
class Scene:
    """Camera and light of one clip. ``scale`` px per dm at the face; ``distance`` dm; ``size`` (width,
    height) px. Pictures are drawn ``supersample`` times larger and averaged down."""

    size: tuple[int, int] = (400, 400)
    scale: float = 155.0
    distance: float = 12.0
    shift: tuple[float, float] = (0.0, 0.0)
    lights: tuple[Light, Light, Light] = (
        Light((0.45, 0.55, 0.75), (1.15, 1.1, 1.02), 0.35),
        Light((-0.75, 0.15, 0.65), (0.34, 0.36, 0.40), 0.5),
        Light((0.1, 0.85, -0.4), (0.25, 0.26, 0.28), 0.4),
    )
    sky: tuple[float, float, float] = (0.50, 0.52, 0.55)
    ground: tuple[float, float, float] = (0.26, 0.24, 0.22)
    exposure: float = 0.86
    gamma: float = 2.2
    supersample: float = 1.5
    backdrop: np.ndarray = field(
        default_factory=lambda: np.full((8, 8, 3), (96, 102, 108), np.uint8), repr=False, compare=False
    )


@dataclass(frozen=True)
class FaceState:
    """One frame's face: drawn ``vertices`` and ``normals`` (N, 3) in head space, ``furrow``
    (N,), lash vertices per eye, ``gaze`` (yaw, pitch) radians, head ``turn`` (yaw, pitch, roll)
    radians and ``move`` (3,) dm, ``brightness``."""

    vertices: np.ndarray
    normals: np.ndarray
    furrow: np.ndarray
    lashes: tuple[np.ndarray, np.ndarray]
    gaze: tuple[float, float] = (0.0, 0.0)
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    move: tuple[float, float, float] = (0.0, 0.0, 0.0)
    brightness: float = 1.0


def head_matrix(state: FaceState) -> np.ndarray:
    """Head space to world (4, 4): the turn about PIVOT, then the move."""
    turn = rotation(*state.turn)
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, :3] = turn
    matrix[:3, 3] = PIVOT - turn @ PIVOT + np.asarray(state.move, np.float32)
    return matrix


def view_matrix(scene: Scene, state: FaceState) -> np.ndarray:
    """Head space to camera space (4, 4)."""
    camera = np.eye(4, dtype=np.float32)
    camera[:3, 3] = -(AIM + np.array([0.0, 0.0, scene.distance], np.float32))
    return camera @ head_matrix(state)


def projection_matrix(scene: Scene) -> np.ndarray:
    """Camera space to clip space (4, 4); ``scale`` px per dm holds at the distance of AIM."""
    width, height = scene.size
    near, far = scene.distance - 4.0, scene.distance + 6.0
    focal = scene.scale * scene.distance
    matrix = np.zeros((4, 4), np.float32)
    matrix[0, 0], matrix[1, 1] = 2 * focal / width, 2 * focal / height
    matrix[0, 2], matrix[1, 2] = -2 * scene.shift[0] / width, 2 * scene.shift[1] / height
    matrix[2, 2], matrix[2, 3] = (far + near) / (near - far), 2 * far * near / (near - far)
    matrix[3, 2] = -1.0
    return matrix


def project(points: np.ndarray, scene: Scene, state: FaceState) -> tuple[np.ndarray, np.ndarray]:
    """Image positions (N, 2) in px (0, 0 = centre of the first pixel) and clip coordinates (N, 4)."""
    homogeneous = np.c_[points, np.ones(len(points), np.float32)].astype(np.float64)
    clip = homogeneous @ (projection_matrix(scene).astype(np.float64) @ view_matrix(scene, state)).T
    ndc = clip[:, :3] / clip[:, 3:]
    width, height = scene.size
    pixels = np.stack([(ndc[:, 0] * 0.5 + 0.5) * width - 0.5, (0.5 - ndc[:, 1] * 0.5) * height - 0.5], -1)
    return pixels, clip


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Head rotation (3, 3) float32: yaw turns to the image's right, pitch looks
    up, roll to the image's right."""
    cy, sy, cp, sp, cr, sr = (
        np.cos(yaw),
        np.sin(yaw),
        np.cos(pitch),
        np.sin(pitch),
        np.cos(roll),
        np.sin(roll),
    )
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return (about_y @ about_x @ about_z).astype(np.float32)
