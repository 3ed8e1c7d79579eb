"""Which hair is ever seen from the front: the rest costs time and never reaches a pixel.

A third or more of a head of hair lies behind the skull or under other hair. Nobody
turns further than about 35 degrees (``synth/core/sequence.py``), so the subject is
drawn once from a grid of turns as far as that, and only the pieces of ribbon that win
some pixels there, and their neighbours along the ribbon, are kept, nearest first.
"""

from __future__ import annotations

import numpy as np

from deft_llm.synth.video import shaders
from deft_llm.synth.video.assets import Subject
from deft_llm.synth.video.hair import POINTS
from deft_llm.synth.video.scene import FaceState, Scene, projection_matrix, rotation, view_matrix

SIDE = 900  # px of the pictures that decide: finer than any that are drawn
TURNS = tuple((yaw, pitch) for yaw in (-0.6, -0.3, 0.0, 0.3, 0.6) for pitch in (-0.34, 0.0, 0.34))  # radians
DISTANCES = (7.0, 20.0)  # dm, the cameras' range
ENOUGH = 24  # pixels over all these pictures make a piece worth drawing: behind it is hair as well


def seen_ribbons(gl, rows: np.ndarray, ribbons: np.ndarray, subject: Subject) -> np.ndarray:
    """The triangles of ``ribbons`` (T, 3) that are seen, two (one piece of a ribbon) at a time.

    rows (V, 10) and ribbons as ``Strands.ribbons`` gives them; a subject without hair keeps its empty array.
    """
    if len(ribbons) == 0:
        return ribbons
    program = gl.program(vertex_shader=shaders.NUMBER_VERTEX, fragment_shader=shaders.NUMBER_FRAGMENT)
    skin = np.zeros((len(subject.vertices), 8), "f4")
    skin[:, :3] = subject.vertices
    made = [
        gl.buffer(skin.tobytes()), gl.buffer(subject.head.triangles.astype("i4").tobytes()),
        gl.buffer(rows[:, :8].astype("f4").tobytes()), gl.buffer(ribbons.astype("i4").tobytes()),
    ]  # fmt: skip
    face, hair = (
        gl.vertex_array(program, [(points, "3f 3f 2f", "p", "along", "strand")], index)
        for points, index in (made[:2], made[2:])
    )
    target = gl.framebuffer([gl.renderbuffer((SIDE, SIDE), 4)], gl.depth_renderbuffer((SIDE, SIDE)))
    target.use()
    gl.disable(gl.BLEND | gl.CULL_FACE)
    gl.enable(gl.DEPTH_TEST)
    seen = np.zeros(len(ribbons), np.int64)
    for number, (yaw, pitch) in enumerate(TURNS):
        distance = DISTANCES[number % len(DISTANCES)]
        scene = Scene(size=(SIDE, SIDE), scale=155.0 * SIDE / 400, distance=distance)
        state = FaceState(skin, skin, skin, (skin, skin), turn=(yaw, pitch, 0.0))
        program["view"].write(np.ascontiguousarray(view_matrix(scene, state).T).tobytes())
        program["projection"].write(np.ascontiguousarray(projection_matrix(scene).T).tobytes())
        program["turn"].write(np.ascontiguousarray(rotation(yaw, pitch, 0.0).T.astype("f4")).tobytes())
        gl.clear(0.0, 0.0, 0.0, 0.0)
        for array, base in ((face, 0), (hair, 1)):
            program["base"].value = base
            array.render()
        pixels = np.frombuffer(target.read(components=4, alignment=1), np.uint8).reshape(-1, 4)
        red, green, blue = pixels[:, :3].astype(np.int32).T
        seen += np.bincount(red + 256 * green + 65536 * blue, minlength=len(ribbons) + 1)[1:]
    for item in (face, hair, target, program, *made):
        item.release()
    pieces: np.ndarray = seen.reshape(-1, POINTS - 1, 2).sum(2) >= ENOUGH
    kept: np.ndarray = pieces.copy()
    kept[:, 1:] |= pieces[:, :-1]
    kept[:, :-1] |= pieces[:, 1:]
    chosen: np.ndarray = ribbons.reshape(-1, 6)[kept.ravel()]
    near = np.argsort(-rows[chosen, 2].mean(1), kind="stable")  # the nearest first: what they hide costs less
    return np.ascontiguousarray(chosen[near].reshape(-1, 3))
