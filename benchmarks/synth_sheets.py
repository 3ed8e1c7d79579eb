"""Contact sheets of the synthetic faces: every AU at full strength, and random subjects.

python -m benchmarks.synth_sheets aus docs/images/synth_aus.jpg
python -m benchmarks.synth_sheets subjects docs/images/synth_subjects.jpg
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from deft_llm.facs.units import name
from deft_llm.synth.core.identity import sample_identity
from deft_llm.synth.core.units import SYNTH_AUS, components
from deft_llm.synth.video import camera as cameras
from deft_llm.synth.video.assets import subject_of
from deft_llm.synth.video.film import Performer, still_plan
from deft_llm.synth.video.render import Renderer
from deft_llm.synth.video.scene import Scene


def label(picture: np.ndarray, text: str) -> np.ndarray:
    """Write a line below the picture (H, W, 3)."""
    bar = np.full((22, picture.shape[1], 3), 245, np.uint8)
    cv2.putText(bar, text, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (20, 20, 20), 1, cv2.LINE_AA)
    return np.vstack([picture, bar])


def tile(pictures: list[np.ndarray], columns: int) -> np.ndarray:
    """Pictures (H, W, 3) of one size in rows of ``columns``: one picture (rows x H, columns x W, 3)."""
    blank = np.full_like(pictures[0], 245)
    pictures = pictures + [blank] * (-len(pictures) % columns)
    return np.vstack([np.hstack(pictures[at : at + columns]) for at in range(0, len(pictures), columns)])


def au_sheet(renderer: Renderer, identity: int, size: int, unit_set: str) -> np.ndarray:
    """Sheet (H, W, 3) of the neutral face and every AU at full strength, both sides or parts."""
    performer = Performer(subject_of(sample_identity(identity)), unit_set)
    renderer.load(performer.subject)
    scene = Scene(
        size=(size, size), scale=0.46 * size, backdrop=np.full((8, 8, 3), (168, 172, 176), np.uint8)
    )
    renderer.light_scene(scene)
    pictures = [label(renderer.draw(performer.state(still_plan({}), 0)), "neutral")]
    for au in SYNTH_AUS:
        plan = still_plan(dict.fromkeys(components(au), 1.0))
        pictures.append(label(renderer.draw(performer.state(plan, 0)), f"AU{au} {name(au)}"))
    return tile(pictures, 5)


def subject_sheet(renderer: Renderer, first: int, count: int, size: int) -> np.ndarray:
    """Sheet (H, W, 3) of random subjects, each before its own camera."""
    pictures = []
    for number in range(count):
        performer = Performer(subject_of(sample_identity(first + number)), "arkit")
        renderer.load(performer.subject)
        rng = np.random.default_rng([first, number])
        camera = cameras.sample_camera(rng, size, grey=False)
        renderer.light_scene(camera.scene, camera.pose)
        picture = renderer.draw(performer.state(still_plan({}, turn=camera.pose), 0))
        pictures.append(camera.develop(picture, rng))
    return tile(pictures, 8)


def main() -> None:
    """Draw one sheet as JPEG, as good as fits into 600 kB."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("aus", "subjects"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--identity", type=int, default=900_003)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--units", default="arkit", choices=("arkit", "makehuman"))
    options = parser.parse_args()
    renderer = Renderer()
    if options.what == "aus":
        sheet = au_sheet(renderer, options.identity, options.size or 300, options.units)
    else:
        sheet = subject_sheet(renderer, options.identity, options.count, options.size or 200)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for quality in (90, 85, 80, 72, 64, 55):
        _, data = cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        if len(data) < 600_000:
            break
    options.out.write_bytes(data.tobytes())
    print(f"{options.out}: {sheet.shape[1]} x {sheet.shape[0]} px, {len(data) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
