"""What detectors trained on real faces make of rendered ones: face found, blendshapes raised by each AU.

python -m benchmarks.synth_detectors --subjects 3 --found 100
python -m benchmarks.synth_detectors --corpus clips    # of deft synth: onset, apex, last frame of each clip
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from deft_llm.faces.landmarker import Landmarker
from deft_llm.synth.core.identity import sample_identity
from deft_llm.synth.core.units import SYNTH_AUS, components
from deft_llm.synth.video.assets import subject_of
from deft_llm.synth.video.camera import sample_camera
from deft_llm.synth.video.film import Performer, still_plan
from deft_llm.synth.video.render import Renderer
from deft_llm.synth.video.scene import Scene

# The ARKit blendshape (left side where there are two) that stands for each AU.
SHAPES = {
    1: "browInnerUp", 2: "browOuterUpLeft", 4: "browDownLeft", 5: "eyeWideLeft", 6: "cheekSquintLeft",
    7: "eyeSquintLeft", 9: "noseSneerLeft", 10: "mouthUpperUpLeft", 12: "mouthSmileLeft",
    14: "mouthDimpleLeft",
    15: "mouthFrownLeft", 16: "mouthLowerDownLeft", 17: "mouthShrugLower", 18: "mouthPucker",
    20: "mouthStretchLeft", 22: "mouthFunnel", 23: "mouthRollUpper", 24: "mouthPressLeft", 25: "jawOpen",
    26: "jawOpen", 28: "mouthRollLower", 43: "eyeBlinkLeft", 45: "eyeBlinkLeft",
}  # fmt: skip


def blendshape_gains(
    renderer: Renderer, landmarker: Landmarker, first: int, subjects: int
) -> dict[int, list]:
    """Rise of the matching blendshape at full strength of each AU, one value a subject."""
    gains: dict[int, list[float]] = {au: [] for au in SHAPES}
    for number in range(subjects):
        performer = Performer(subject_of(sample_identity(first + number)), "arkit")
        renderer.load(performer.subject)
        renderer.light_scene(Scene(size=(320, 320), scale=130.0))
        rest = landmarker.detect(renderer.draw(performer.state(still_plan({}), 0)))[0].blendshapes
        for au in SYNTH_AUS:
            if au in SHAPES:
                plan = still_plan(dict.fromkeys(components(au), 1.0))
                moved = landmarker.detect(renderer.draw(performer.state(plan, 0)))
                gains[au].append(
                    moved[0].blendshapes[SHAPES[au]] - rest[SHAPES[au]] if moved else float("nan")
                )
    return gains


def found_share(renderer: Renderer, landmarker: Landmarker, first: int, frames: int) -> float:
    """Share of ``frames`` pictures, five a subject, in which the landmarker finds a face."""
    found = []
    for number in range(frames):
        performer = Performer(subject_of(sample_identity(first + number // 5)), "arkit")
        renderer.load(performer.subject)
        rng = np.random.default_rng([first, number])
        camera = sample_camera(rng, 320)
        renderer.light_scene(camera.scene, camera.pose)
        picture = camera.develop(renderer.draw(performer.state(still_plan({}, turn=camera.pose), 0)), rng)
        picture = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, 2)
        found.append(bool(landmarker.detect(picture)))
    return float(np.mean(found))


def found_in_corpus(landmarker: Landmarker, root: Path) -> tuple[int, list[str]]:
    """How many frames of a rendered corpus were looked at (onset, apex, last of
    each clip), and which have no face."""
    import cv2

    from deft_llm import corpora

    looked, missed = 0, []
    for clip in corpora.load("synthetic", root).clips:
        if clip.source.kind != "frames":
            continue
        last = len(clip.source.frames) - 1
        marks = {clip.truth.onset or 0, min(clip.truth.apex or last // 2, last), last}
        for mark in sorted(marks):
            path = root / clip.source.path / clip.source.frames[mark]
            looked += 1
            if not landmarker.detect(cv2.imread(str(path))[..., ::-1].copy()):
                missed.append(f"{clip.clip_id} frame {mark}")
    return looked, missed


def main() -> None:
    """Print the table, or JSON with --json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--subjects", type=int, default=3)
    parser.add_argument("--found", type=int, default=100)
    parser.add_argument("--first", type=int, default=900_020)
    parser.add_argument("--corpus", type=Path, help="a corpus of deft synth: look for faces in its frames")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    landmarker = Landmarker()
    if options.corpus:
        looked, missed = found_in_corpus(landmarker, options.corpus)
        print(f"face found in {looked - len(missed)} of {looked} frames", *missed, sep="\n  ")
        return
    renderer = Renderer()
    gains = blendshape_gains(renderer, landmarker, options.first, options.subjects)
    share = found_share(renderer, landmarker, options.first + 100, options.found) if options.found else None
    if options.json:
        print(json.dumps({"gains": gains, "found": share}))
        return
    for au, values in gains.items() if options.subjects else ():
        print(
            f"AU{au:<3d} {SHAPES[au]:20s} {np.nanmean(values):+.2f}  " + " ".join(f"{v:+.2f}" for v in values)
        )
    print(f"face found in {share} of {options.found} pictures")


if __name__ == "__main__":
    main()
