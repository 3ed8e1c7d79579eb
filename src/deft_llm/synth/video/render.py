"""Off-screen renderer (moderngl on EGL): one subject, one state of its face, one picture.

Camera space is right-handed, x right in the image, y up, looking along -z; the subject looks along +z, so
image right is the subject's left. Nothing here draws a random number: the same state gives the same bytes.
"""

from __future__ import annotations

import cv2
import numpy as np

from deft_llm.errors import DeftError
from deft_llm.synth.video import lighting, shaders
from deft_llm.synth.video.assets import Subject, eye_patch_cached, eye_surface
from deft_llm.synth.video.culling import seen_ribbons
from deft_llm.synth.video.hair import coarse_ribbons
from deft_llm.synth.video.occlusion import bake
from deft_llm.synth.video.prop_pass import PropPass, hand_shade
from deft_llm.synth.video.props import Mesh
from deft_llm.synth.video.scene import FaceState, Scene, projection_matrix, rotation, view_matrix


class Renderer:
    """Draws subjects off-screen; one GL context, reused over frames and clips."""

    def __init__(self) -> None:
        import os

        os.environ.setdefault("LP_NUM_THREADS", "0")  # one core a process: workers are processes
        import moderngl

        try:
            self.gl = moderngl.create_standalone_context(backend="egl")
        except Exception as error:
            raise DeftError(
                f"rendering: no off-screen OpenGL ({error}); "
                "install Mesa's EGL (Debian: libegl1 libgl1-mesa-dri)."
            ) from error
        self.api = moderngl
        program = self.gl.program
        self.skin = program(vertex_shader=shaders.SKIN_VERTEX, fragment_shader=shaders.SKIN_FRAGMENT)
        self.bare = program(vertex_shader=shaders.BARE_VERTEX, fragment_shader=shaders.BARE_FRAGMENT)
        self.eye = program(vertex_shader=shaders.EYE_VERTEX, fragment_shader=shaders.EYE_FRAGMENT)
        self.lash = program(vertex_shader=shaders.LASH_VERTEX, fragment_shader=shaders.LASH_FRAGMENT)
        self.strand = program(vertex_shader=shaders.HAIR_VERTEX, fragment_shader=shaders.HAIR_FRAGMENT)
        self.back = program(vertex_shader=shaders.BACKDROP_VERTEX, fragment_shader=shaders.BACKDROP_FRAGMENT)
        self.truth = program(vertex_shader=shaders.TRUTH_VERTEX, fragment_shader=shaders.TRUTH_FRAGMENT)
        self.depth = program(vertex_shader=shaders.DEPTH_VERTEX, fragment_shader=shaders.DEPTH_FRAGMENT)
        self.props = PropPass(self.gl)
        corners = self.gl.buffer(np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], "f4").tobytes())
        self.back_array = self.gl.vertex_array(self.back, [(corners, "2f", "corner")])
        self._size: tuple[tuple[int, int], float] | None = None
        self._subject: Subject | None = None
        self._owned: list = []

    def _targets(self, size: tuple[int, int], supersample: float | None = None) -> None:
        """Framebuffers for pictures of ``size``; None leaves the supersampling as it is."""
        known = self._size
        if known is not None and known[0] == size and supersample in (None, known[1]):
            return
        supersample = supersample or 1.0
        gl = self.gl
        large = (round(size[0] * supersample), round(size[1] * supersample))
        self.large = gl.framebuffer([gl.renderbuffer(large, 4)], gl.depth_renderbuffer(large))
        self.exact = gl.framebuffer([gl.renderbuffer(size, 4, dtype="f4")], gl.depth_renderbuffer(size))
        self._size = (size, supersample)

    def load(self, subject: Subject) -> None:
        """Upload a subject's textures and fixed attributes (nothing to do if it is loaded)."""
        if subject is self._subject:
            return
        for item in self._owned:
            item.release()
        self._owned = []
        head, gl = subject.head, self.gl
        self._subject = subject
        self.textures = []
        for image in (subject.skin.albedo, subject.skin.bump):
            texture = gl.texture(image.shape[1::-1], 4, np.ascontiguousarray(image).tobytes())
            texture.build_mipmaps()
            texture.filter = (self.api.LINEAR_MIPMAP_NEAREST, self.api.LINEAR)
            texture.anisotropy = 1.0
            texture.repeat_x = texture.repeat_y = False
            self.textures.append(self._own(texture))
        count = len(head.index)
        self.dynamic = self._own(gl.buffer(reserve=count * 28, dynamic=True))
        self.light = self._own(gl.buffer(reserve=count * 32, dynamic=True))
        self._load_skin(subject)
        self._load_eyes()
        self._load_lashes(subject)
        self._load_hair(subject)
        self.visibility = self._bake_visibility(subject)

    def _own(self, item):
        self._owned.append(item)
        return item

    def _load_skin(self, subject: Subject) -> None:
        """Bare skin is drawn by a lean shader, clothes and teeth by the full one."""
        head, gl = subject.head, self.gl
        masks = np.stack([head.scalp, head.material, head.wet, head.ear], -1)
        full = self._own(gl.buffer(np.hstack([head.uv, head.rest, masks]).astype("f4").tobytes()))
        paint = np.hstack([head.uv, *lighting.skin_paint(subject)])
        lean = self._own(gl.buffer(paint.astype("f4").tobytes()))
        bare = lighting.bare_triangles(subject)
        moving = (self.dynamic, "3f 3f 1f", "p", "n", "furrow")
        kinds = (
            (self.bare, (lean, "2f 3f 3f 2f", "uv", "tint", "paint", "sheen"),
             (self.light, "4f 4f", "light", "root"), bare),
            (self.skin, (full, "2f 3f 4f", "uv", "rest", "mask"), (self.light, "4f 4x4", "light"), ~bare),
        )  # fmt: skip
        self.skin_arrays = []
        for program, fixed, light, chosen in kinds:
            index = self._own(gl.buffer(head.triangles[chosen].astype("i4").tobytes()))
            self.skin_arrays.append(self._own(gl.vertex_array(program, [moving, fixed, light], index)))

    def _load_hair(self, subject: Subject) -> None:
        """Keep the pieces of hair that are seen, and their vertices; truth uses the same."""
        rows, ribbons = subject.strands.ribbons()
        ribbons = seen_ribbons(self.gl, rows, ribbons, subject)
        used, index = np.unique(ribbons, return_inverse=True)
        self.hair_rows, self.hair_triangles = rows[used], index.reshape(-1, 3).astype("i4")
        strands = np.ascontiguousarray(self.hair_rows[:, :8], "f4")
        fixed = self._own(self.gl.buffer(strands.tobytes() or b"\0"))
        self.hair_lit = self._own(self.gl.buffer(reserve=max(len(used), 1) * 12, dynamic=True))
        content = [(fixed, "3f 3f 2f", "p", "along", "strand"), (self.hair_lit, "3f", "lit")]
        place = np.zeros(len(rows) + 1, "i4")
        place[used] = np.arange(len(used))
        kept = np.zeros(len(rows) + 1, bool)
        kept[used] = True
        coarse = ribbons if subject.strands.long else coarse_ribbons(ribbons)
        coarse = place[coarse[kept[coarse].all(1)]]
        arrays = []
        for triangles in (self.hair_triangles, coarse):
            data = self._own(self.gl.buffer(np.ascontiguousarray(triangles, "i4").tobytes() or b"\0" * 12))
            arrays.append(self._own(self.gl.vertex_array(self.strand, content, data)))
        self.hair_array, self.coarse_hair_array = arrays

    def _load_eyes(self) -> None:
        directions, triangles = eye_patch_cached()
        both = np.concatenate([triangles, triangles + len(directions)]).astype("i4")
        self.eye_dynamic = self._own(self.gl.buffer(reserve=2 * len(directions) * 24, dynamic=True))
        self.eye_light = self._own(self.gl.buffer(reserve=2 * len(directions) * 16, dynamic=True))
        fixed = self._own(self.gl.buffer(np.tile(directions, (2, 1)).astype("f4").tobytes()))
        index = self._own(self.gl.buffer(both.tobytes()))
        self.eye_array = self._own(self.gl.vertex_array(
            self.eye,
            [(self.eye_dynamic, "3f 3f", "p", "axis"), (fixed, "3f", "direction"), (self.eye_light, "4f",
            "light")],
            index))  # fmt: skip

    def _load_lashes(self, subject: Subject) -> None:
        counts = [len(lash) for lash in subject.head.lashes]
        self.lash_array = None
        if not sum(counts):
            return
        index = np.concatenate([subject.head.lash_triangles[0], subject.head.lash_triangles[1] + counts[0]])
        self.lash_dynamic = self._own(self.gl.buffer(reserve=sum(counts) * 12, dynamic=True))
        fixed = self._own(self.gl.buffer(np.concatenate(subject.lash_coordinates).astype("f4").tobytes()))
        buffer = self._own(self.gl.buffer(index.astype("i4").tobytes()))
        self.lash_array = self._own(
            self.gl.vertex_array(self.lash, [(self.lash_dynamic, "3f", "p"), (fixed, "2f", "st")], buffer)
        )

    def _bake_visibility(self, subject: Subject):
        return bake(self.gl, self.depth, subject)

    def light_scene(self, scene: Scene, turn: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        """Set camera-independent uniforms and bake the lights' soft shadows for the loaded subject."""
        subject = self._require()
        self.scene = scene
        self._targets(scene.size, scene.supersample)
        self.relight(turn)
        for program in (self.skin, self.bare, self.eye):
            for name, value in self._lamps(scene).items():
                program[name].write(value)
            program["sky"].value, program["ground"].value = scene.sky, scene.ground
        half, glare = lighting.highlights(scene.lights)
        self.bare["halfway"].write(half.astype("f4").tobytes())
        self.bare["glare"].write(glare.astype("f4").tobytes())
        picture = np.ascontiguousarray(scene.backdrop[::-1])
        if getattr(self, "picture", None) is not None:
            self.picture.release()
        self.picture = self.gl.texture(picture.shape[1::-1], 3, picture.tobytes(), alignment=1)
        self.picture.filter = (self.api.LINEAR, self.api.LINEAR)
        self.picture.repeat_x = self.picture.repeat_y = False
        skin = subject.skin
        self.skin["hair"].value = tuple(map(float, skin.hair))
        self.skin["cloth"].value = tuple(map(float, subject.cloth))
        self.skin["collar"].value = float(subject.collar)
        self.skin["bump_gain"].value = 1.0
        self.skin["bald"].value = lighting.baldness(subject)
        self.skin["mean_skin"].value = tuple(map(float, lighting.mean_skin(subject)))
        for program in (self.skin, self.bare):
            program["albedo"].value, program["bump"].value = 0, 1
        self.back["picture"].value = 2
        self.eye["iris"].value = tuple(map(float, skin.iris))
        self.eye["pupil"].value = 0.36 + 0.08 * float(np.sin(subject.identity.seed * 1.7))
        self.eye["redness"].value = 0.5 + 0.5 * float(subject.identity.attributes["wrinkles"])
        dark = tuple(float(c) * 0.35 * 0.3 for c in skin.hair)
        self.lash["colour"].value = tuple(float(np.sqrt(c)) * 0.5 for c in dark)
        self.lash["strength"].value = 0.95 if subject.identity.sex == "female" else 0.75

    def relight(self, turn: tuple[float, float, float]) -> None:
        """Bake the lights' soft shadows, and the light on hair, for a head turned by ``turn`` radians."""
        subject, scene = self._require(), self.scene
        face, eyes = self.visibility.shade(scene.lights, rotation(*turn), subject)
        face = face * self.props.ground(len(face))[:, None]
        self._lit = np.hstack([face, np.sqrt(np.clip(face, 0, 1))]).astype("f4")
        self.light.write(self._lit.tobytes())
        self._shaded = False
        self.props.light(scene, rotation(*turn), subject, self._lamps(scene))
        self.eye_light.write(eyes.astype("f4").tobytes())
        if len(self.hair_rows):
            lit = lighting.hair_light(self.hair_rows, scene, rotation(*turn), subject.skin.hair)
            self.hair_lit.write(lit.tobytes())

    @staticmethod
    def _lamps(scene: Scene) -> dict[str, bytes]:
        """The lights as the programs' uniforms."""
        directions = np.array([light.direction for light in scene.lights], "f4")
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        colours = np.array([light.colour for light in scene.lights], "f4")
        return {"light_direction": directions.tobytes(), "light_colour": colours.tobytes()}

    def _shade(self, state: FaceState, hand: tuple[Mesh, np.ndarray] | None) -> None:
        """Darken the face beside a hand, and light it again when the hand has gone."""
        if hand is not None:
            shaded = self._lit * hand_shade(state, self.scene, hand)[:, None]
            self.light.write(np.ascontiguousarray(shaded, "f4").tobytes())
        elif self._shaded:
            self.light.write(self._lit.tobytes())
        self._shaded = hand is not None

    def _require(self) -> Subject:
        if self._subject is None:
            raise RuntimeError("Renderer.load(subject) comes first")
        return self._subject

    def draw(self, state: FaceState, hand: tuple[Mesh, np.ndarray] | None = None) -> np.ndarray:
        """Draw one frame, with a ``hand`` (its mesh and place in the world) before it.

        Returns uint8 (height, width, 3) RGB, before the camera's own faults.
        """
        subject, gl, scene = self._require(), self.gl, self.scene
        self._upload(subject, state)
        self._shade(state, hand)
        view, projection = view_matrix(scene, state), projection_matrix(scene)
        turn = np.ascontiguousarray(rotation(*state.turn).T).tobytes()
        for program in (self.skin, self.bare, self.eye, self.lash, self.strand):
            program["view"].write(np.ascontiguousarray(view.T).tobytes())
            program["projection"].write(np.ascontiguousarray(projection.T).tobytes())
            if "turn" in program:
                program["turn"].write(turn)
        for program in (self.skin, self.bare, self.eye, self.strand, self.back):
            program["exposure"].value = float(scene.exposure * state.brightness)
        self.large.use()
        gl.disable(gl.BLEND)
        gl.enable(gl.DEPTH_TEST)
        gl.clear(0.0, 0.0, 0.0)
        self.textures[0].use(0)
        self.textures[1].use(1)
        self.picture.use(2)
        gl.enable(gl.CULL_FACE)
        self.eye_array.render()
        for array in self.skin_arrays:
            array.render()
        gl.disable(gl.CULL_FACE)
        (self.hair_array if scene.supersample > 1 else self.coarse_hair_array).render()
        self.props.draw(scene, state, subject, hand)
        self.back_array.render(self.api.TRIANGLE_STRIP)
        if self.lash_array is not None:
            gl.enable(gl.BLEND)
            self.lash_array.render()
        gl.enable(gl.BLEND)
        self.props.draw_lenses(scene, state)
        width, height = self.large.size
        pixels = np.frombuffer(self.large.read(components=3, alignment=1), np.uint8).reshape(height, width, 3)
        if self.large.size == scene.size:
            return pixels[::-1]
        return cv2.resize(pixels[::-1], scene.size, interpolation=cv2.INTER_AREA)

    def _upload(self, subject: Subject, state: FaceState) -> None:
        rows = np.empty((len(state.vertices), 7), np.float32)
        rows[:, :3], rows[:, 3:6], rows[:, 6] = state.vertices, state.normals, state.furrow
        self.dynamic.write(rows.tobytes())
        surfaces = [
            np.hstack(eye_surface(centre, radius, state.gaze))
            for centre, radius in zip(subject.eye_centres, subject.eye_radius, strict=True)
        ]
        self.eye_dynamic.write(np.concatenate(surfaces).astype("f4").tobytes())
        if self.lash_array is not None:
            self.lash_dynamic.write(np.concatenate(state.lashes).astype("f4").tobytes())

    def raster(
        self, clip: np.ndarray, values: np.ndarray, triangles: np.ndarray, size: tuple[int, int]
    ) -> np.ndarray:
        """Rasterise per-vertex values (N, 4) at clip positions (N, 4), nearest surface wins: (height,
        width, 4) float32.

        Pixels that nothing covers are 0.
        """
        self._targets(size)
        gl = self.gl
        data = gl.buffer(np.hstack([clip, values]).astype("f4").tobytes())
        index = gl.buffer(np.ascontiguousarray(triangles, "i4").tobytes())
        array = gl.vertex_array(self.truth, [(data, "4f 4f", "here", "value")], index)
        self.exact.use()
        gl.disable(gl.BLEND)
        gl.enable(gl.DEPTH_TEST)
        gl.clear(0.0, 0.0, 0.0, 0.0)
        array.render()
        out = np.frombuffer(self.exact.read(components=4, dtype="f4", alignment=1), np.float32)
        for item in (array, data, index):
            item.release()
        return out.reshape(size[1], size[0], 4)[::-1].copy()
