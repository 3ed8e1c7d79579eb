"""What detectors trained on real faces make of the rendered ones."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("moderngl")

# The landmarker's blendshapes (trained on people) that an AU must raise at full strength. The net hardly
# answers to the other AUs on any subject (docs/results/synthesis.md lists them with figures), so they are
# not asked for here.
ANSWERS = {
    1: "browInnerUp", 2: "browOuterUpLeft", 12: "mouthSmileLeft", 16: "mouthLowerDownLeft", 18: "mouthPucker",
    20: "mouthStretchLeft", 22: "mouthFunnel", 26: "jawOpen", 43: "eyeBlinkLeft", 45: "eyeBlinkLeft",
}  # fmt: skip


@pytest.fixture(scope="module")
def studio():
    from deft_llm.faces.landmarker import Landmarker
    from deft_llm.synth.video.render import Renderer

    return Renderer(), Landmarker()


def test_landmarker_finds_rendered_faces(studio) -> None:
    from deft_llm.synth.core.identity import sample_identity
    from deft_llm.synth.video.assets import subject_of
    from deft_llm.synth.video.camera import sample_camera
    from deft_llm.synth.video.film import Performer, still_plan

    renderer, landmarker = studio
    found = []
    for number in range(6):
        performer = Performer(subject_of(sample_identity(900_100 + number)), "arkit")
        renderer.load(performer.subject)
        for shot in range(3):
            rng = np.random.default_rng([number, shot])
            camera = sample_camera(rng, 256, grey=False)
            renderer.light_scene(camera.scene, camera.pose)
            picture = camera.develop(renderer.draw(performer.state(still_plan({}, turn=camera.pose), 0)), rng)
            found.append(bool(landmarker.detect(picture)))
    assert np.mean(found) >= 0.99, found


def test_blendshape_net_answers_to_full_units(studio) -> None:
    from deft_llm.synth.core.identity import sample_identity
    from deft_llm.synth.core.units import components
    from deft_llm.synth.video.assets import subject_of
    from deft_llm.synth.video.film import Performer, still_plan
    from deft_llm.synth.video.scene import Scene

    renderer, landmarker = studio
    performer = Performer(subject_of(sample_identity(900_022)), "arkit")
    renderer.load(performer.subject)
    renderer.light_scene(Scene(size=(320, 320), scale=130.0))

    def answer(strengths: dict) -> dict[str, float]:
        return landmarker.detect(renderer.draw(performer.state(still_plan(strengths), 0)))[0].blendshapes

    rest = answer({})
    weak = {}
    for au, shape in ANSWERS.items():
        moved = answer(dict.fromkeys(components(au), 1.0))
        gain = moved[shape] - rest[shape]
        if gain < 0.1:
            weak[au] = round(gain, 3)
    assert not weak, weak
