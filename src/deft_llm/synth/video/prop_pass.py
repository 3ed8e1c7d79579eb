"""Draws what stands before a face, in the same picture: beard, mask, glasses' frames and hands among the
face's own depths, lenses over everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from deft_llm.synth.video import lighting, shaders
from deft_llm.synth.video.assets import Subject
from deft_llm.synth.video.hair import Beard
from deft_llm.synth.video.props import Glasses, Mask, Mesh, shade_of
from deft_llm.synth.video.scene import FaceState, Scene, head_matrix, projection_matrix, rotation, view_matrix

UNDER_BEARD = 0.62  # share of the light that a dense beard keeps from the skin


@dataclass(frozen=True)
class Dressing:
    """What a subject wears throughout a film."""

    glasses: Glasses | None = None
    beard: Beard | None = None
    mask: Mask | None = None


class PropPass:
    """Programs and buffers of the props; one a renderer."""

    def __init__(self, gl: Any) -> None:
        self.gl = gl
        self.program = gl.program(vertex_shader=shaders.PROP_VERTEX, fragment_shader=shaders.PROP_FRAGMENT)
        self.hairs = gl.program(vertex_shader=shaders.BEARD_VERTEX, fragment_shader=shaders.HAIR_FRAGMENT)
        self.dressing = Dressing()
        self._kept: dict[int, tuple[Mesh, Any, list[Any]]] = {}
        self._beard: dict[str, Any] = {}

    def wear(self, dressing: Dressing) -> None:
        """Put these things on from now on."""
        for _, array, buffers in self._kept.values():
            for item in (array, *buffers):
                item.release()
        for item in self._beard.values():
            item.release()
        self._kept, self._beard, self.dressing = {}, {}, dressing
        if dressing.beard is not None:
            self._load_beard(dressing.beard)

    def _load_beard(self, beard: Beard) -> None:
        gl, rows = self.gl, beard.rows
        fixed = gl.buffer(np.ascontiguousarray(rows[:, :8], "f4").tobytes())
        lit, shift = (
            gl.buffer(reserve=len(rows) * 12, dynamic=True),
            gl.buffer(reserve=len(rows) * 12, dynamic=True),
        )
        index = gl.buffer(beard.triangles.astype("i4").tobytes())
        content = [
            (fixed, "3f 3f 2f", "p", "along", "strand"), (lit, "3f", "lit"), (shift, "3f", "shift"),
        ]  # fmt: skip
        array = gl.vertex_array(self.hairs, content, index)
        self._beard = {"array": array, "fixed": fixed, "lit": lit, "shift": shift, "index": index}

    def light(self, scene: Scene, turn: np.ndarray, subject: Subject, uniforms: dict[str, bytes]) -> None:
        """Set the lights; turn (3, 3) of the head; ``uniforms`` as other programs have them."""
        for name, value in uniforms.items():
            self.program[name].write(value)
        self.program["sky"].value, self.program["ground"].value = scene.sky, scene.ground
        key = scene.lights[0].direction
        self.program["window"].value = (0.55 * float(key[0]) + 0.05, 0.5 * float(key[1]))
        if self._beard:
            lit = lighting.hair_light(self.dressing.beard.rows, scene, turn, subject.skin.hair)  # type: ignore[union-attr]
            self._beard["lit"].write(np.ascontiguousarray(lit * 0.8, "f4").tobytes())

    def ground(self, count: int) -> np.ndarray:
        """What is left of the light on the skin (N,) below a beard."""
        beard = self.dressing.beard
        return np.ones(count, np.float32) if beard is None else 1 - UNDER_BEARD * beard.area

    def draw(
        self, scene: Scene, state: FaceState, subject: Subject, hand: tuple[Mesh, np.ndarray] | None
    ) -> None:
        """The opaque things. ``hand``: its mesh and where it is in the world (4, 4)."""
        dressing = self.dressing
        self._start(scene, state)
        turn = rotation(*state.turn)
        if dressing.mask is not None:
            self._moving(dressing.mask.mesh(state.vertices), view_matrix(scene, state), turn)
        if dressing.glasses is not None:
            self._fixed(dressing.glasses.frame, view_matrix(scene, state), turn, flesh=0.0)
        if hand is not None:
            mesh, place = hand
            camera = view_matrix(scene, state) @ np.linalg.inv(head_matrix(state)) @ place
            self._fixed(mesh, camera, place[:3, :3], flesh=1.0)
        if self._beard:
            self._draw_beard(scene, state, turn)

    def draw_lenses(self, scene: Scene, state: FaceState) -> None:
        """The see-through things; blending is on."""
        if self.dressing.glasses is not None:
            self._start(scene, state)
            self._fixed(
                self.dressing.glasses.lenses, view_matrix(scene, state), rotation(*state.turn), flesh=0.0
            )

    def _start(self, scene: Scene, state: FaceState) -> None:
        self.program["projection"].write(np.ascontiguousarray(projection_matrix(scene).T).tobytes())
        self.program["exposure"].value = float(scene.exposure * state.brightness)

    def _fixed(self, mesh: Mesh, view: np.ndarray, turn: np.ndarray, flesh: float) -> None:
        """Draw a mesh whose buffers are kept."""
        if id(mesh) not in self._kept:
            self._kept[id(mesh)] = (mesh, *self._array(mesh))
        self._render(self._kept[id(mesh)][1], view, turn, flesh)

    def _moving(self, mesh: Mesh, view: np.ndarray, turn: np.ndarray) -> None:
        """Draw a mesh that is another one at every frame."""
        array, buffers = self._array(mesh)
        self._render(array, view, turn, 0.0)
        for item in (array, *buffers):
            item.release()

    def _array(self, mesh: Mesh) -> tuple[Any, list[Any]]:
        rows = self.gl.buffer(mesh.rows().tobytes())
        index = self.gl.buffer(np.ascontiguousarray(mesh.triangles, "i4").tobytes())
        array = self.gl.vertex_array(self.program, [(rows, "3f 3f 4f 1f", "p", "n", "tone", "gloss")], index)
        return array, [rows, index]

    def _render(self, array: Any, view: np.ndarray, turn: np.ndarray, flesh: float) -> None:
        self.program["view"].write(np.ascontiguousarray(view.T, np.float32).tobytes())
        self.program["turn"].write(np.ascontiguousarray(turn.T, np.float32).tobytes())
        self.program["flesh"].value = flesh
        array.render()

    def _draw_beard(self, scene: Scene, state: FaceState, turn: np.ndarray) -> None:
        beard = self.dressing.beard
        assert beard is not None
        shift = beard.shift(state.vertices)
        self._beard["shift"].write(np.ascontiguousarray(shift, "f4").tobytes())
        self.hairs["view"].write(np.ascontiguousarray(view_matrix(scene, state).T).tobytes())
        self.hairs["projection"].write(np.ascontiguousarray(projection_matrix(scene).T).tobytes())
        self.hairs["turn"].write(np.ascontiguousarray(turn.T).tobytes())
        self.hairs["exposure"].value = float(scene.exposure * state.brightness)
        self._beard["array"].render()


def hand_shade(state: FaceState, scene: Scene, hand: tuple[Mesh, np.ndarray]) -> np.ndarray:
    """What a hand leaves of the light on the drawn vertices (N,)."""
    mesh, place = hand
    head = head_matrix(state)
    world = state.vertices @ head[:3, :3].T + head[:3, 3]
    ends = [mesh.balls[:, at : at + 3] @ place[:3, :3].T + place[:3, 3] for at in (0, 3)]
    balls = np.c_[ends[0], ends[1], mesh.balls[:, 6]]
    front = state.normals @ head[:3, :3].T[:, 2] > 0.0
    shade = np.ones(len(world), np.float32)
    key = np.asarray(scene.lights[0].direction, np.float32)
    shade[front] = shade_of(world[front], balls, key / np.linalg.norm(key))
    return shade
