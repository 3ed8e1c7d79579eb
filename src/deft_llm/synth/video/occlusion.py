"""What every point of a subject's head sees of its surroundings: ambient occlusion and soft cast shadows.

The head is drawn from many directions into a depth map once per subject; a light's shadow at a point is the
share of the directions around that light from which the point is seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deft_llm.synth.video.assets import Subject, eye_surface
from deft_llm.synth.video.scene import Light

DIRECTIONS = 120
MAP = 224
BIAS = 0.022
CENTRE = np.array([0.0, 7.2, 0.5], np.float32)
REACH = 2.1


def sphere_directions(count: int = DIRECTIONS) -> np.ndarray:
    """Unit directions (count, 3) spread evenly over the part of the sphere in
    front of and around the face."""
    number = np.arange(count) + 0.5
    z = 1 - 1.55 * number / count
    turn = np.pi * (1 + 5**0.5) * number
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], -1).astype(np.float32)


@dataclass(frozen=True)
class Visibility:
    """``face`` (D, N) and ``eyes`` (D, 2E): 1 where the point is seen from the direction,
    ``cosine`` their facing."""

    directions: np.ndarray
    face: np.ndarray
    eyes: np.ndarray
    face_normals: np.ndarray
    eye_normals: np.ndarray

    def shade(
        self, lights: tuple[Light, ...], turn: np.ndarray, subject: Subject
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ambient term and a shadow per light, (N, 4) for the face and (2E, 4) for the eyes, in [0, 1]."""
        out = []
        for seen, normals in ((self.face, self.face_normals), (self.eyes, self.eye_normals)):
            cosine = np.clip(self.directions @ normals.T, 0, 1) ** 1.0 + 0.05
            columns = [(seen * cosine).sum(0) / cosine.sum(0)]
            for light in lights:
                toward = np.asarray(light.direction, np.float32)
                toward = turn.T @ (toward / np.linalg.norm(toward))
                spread = max(light.softness, 0.16)
                lobe = np.exp((self.directions @ toward - 1) / (0.5 * spread**2))[:, None]
                facing = lobe * np.clip(self.directions @ normals.T + 0.15, 0.02, 1)
                columns.append((seen * facing).sum(0) / facing.sum(0))
            out.append(np.stack(columns, -1).astype(np.float32))
        face, eyes = out
        matrix = subject.head.neighbours
        return matrix @ face, eyes


def bake(gl, depth_program, subject: Subject) -> Visibility:
    """Draw the subject's depth from every direction and look up all points."""
    directions = sphere_directions()
    head = subject.head
    points = gl.buffer(subject.vertices.astype("f4").tobytes())
    index = gl.buffer(head.triangles.astype("i4").tobytes())
    array = gl.vertex_array(depth_program, [(points, "3f", "p")], index)
    texture = gl.depth_texture((MAP, MAP))
    target = gl.framebuffer(depth_attachment=texture)
    surfaces = [
        eye_surface(c, r, (0.0, 0.0)) for c, r in zip(subject.eye_centres, subject.eye_radius, strict=True)
    ]
    eye_points = np.concatenate([surface[0] for surface in surfaces])
    eye_normals = np.concatenate([surface[1] for surface in surfaces])
    face_points = subject.vertices + 0.012 * subject.normals
    everything = np.concatenate([face_points, eye_points + 0.012 * eye_normals])
    seen = np.zeros((len(directions), len(everything)), np.float32)
    target.use()
    gl.enable(gl.DEPTH_TEST)
    for number, direction in enumerate(directions):
        matrix = _toward(direction)
        depth_program["m"].write(np.ascontiguousarray(matrix.T).tobytes())
        gl.clear(depth=1.0)
        array.render()
        depth = np.frombuffer(texture.read(alignment=1), np.float32).reshape(MAP, MAP)
        ndc = np.c_[everything, np.ones(len(everything), np.float32)] @ matrix.T
        column = np.clip(((ndc[:, 0] * 0.5 + 0.5) * MAP).astype(int), 0, MAP - 1)
        row = np.clip(((ndc[:, 1] * 0.5 + 0.5) * MAP).astype(int), 0, MAP - 1)
        gap = (ndc[:, 2] * 0.5 + 0.5 - depth[row, column]) * 2 * REACH
        seen[number] = np.clip(1 - (gap - BIAS) / 0.03, 0, 1)
    for item in (target, texture, array, index, points):
        item.release()
    count = len(face_points)
    return Visibility(directions, seen[:, :count], seen[:, count:], subject.normals, eye_normals)


def _toward(direction: np.ndarray) -> np.ndarray:
    """Orthographic view (4, 4) of the head from ``direction``."""
    up = np.array([0.0, 1.0, 0.0]) if abs(direction[1]) < 0.95 else np.array([0.0, 0.0, 1.0])
    right = np.cross(up, direction)
    right /= np.linalg.norm(right)
    top = np.cross(direction, right)
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, :3] = np.stack([right, top, -direction]) / REACH
    matrix[:3, 3] = -matrix[:3, :3] @ CENTRE
    return matrix
