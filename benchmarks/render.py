"""Cost of rendering: frames per second of one core and the share of each stage.

    python -m benchmarks.render --size 256 --frames 60

Times are CPU seconds of this process (time.process_time), so other work on the machine matters little.
"""

from __future__ import annotations

import argparse
import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("LP_NUM_THREADS", "0")

import cv2
import numpy as np

from deft_llm.synth.core import events
from deft_llm.synth.core.identity import sample_identity
from deft_llm.synth.core.prior import load_prior
from deft_llm.synth.video import camera as cameras
from deft_llm.synth.video import sequences
from deft_llm.synth.video.assets import subject_of
from deft_llm.synth.video.film import Performer
from deft_llm.synth.video.production import PNG_OPTIONS, Studio
from deft_llm.synth.video.render import Renderer


def measure(size: int, frames: int, identity: int) -> dict[str, float]:
    """CPU milliseconds per frame of each stage, and of a subject's and a clip's preparation."""
    cv2.setNumThreads(1)
    clock = time.process_time
    renderer = Renderer()
    begin = clock()
    subject = subject_of(sample_identity(identity))
    renderer.load(subject)
    cost = {"subject (once)": clock() - begin}
    rng = np.random.default_rng(0)
    plan = events.plan_clip(rng, load_prior("facs"), kind="micro-expression", fps=200.0)
    camera = cameras.sample_camera(rng, size, grey=False)
    performer = Performer(subject, "arkit")
    begin = clock()
    renderer.light_scene(camera.scene, camera.pose)
    performer.state(plan, plan.main.apex)
    cost["clip (once)"] = clock() - begin
    stages = dict.fromkeys(("move the face", "draw", "camera", "encode"), 0.0)
    for number in range(frames):
        t0 = clock()
        state = performer.state(plan, number % len(plan.times))
        t1 = clock()
        picture = renderer.draw(state)
        t2 = clock()
        image = camera.develop(picture, rng)
        t3 = clock()
        cv2.imencode(".png", image, PNG_OPTIONS)
        t4 = clock()
        if number:  # the first frame compiles shaders
            for name, spent in zip(stages, (t1 - t0, t2 - t1, t3 - t2, t4 - t3), strict=True):
                stages[name] += spent
    per_frame = {name: 1e3 * spent / (frames - 1) for name, spent in stages.items()}
    return {name: 1e3 * spent for name, spent in cost.items()} | per_frame


def measure_film(size: int, frames: int, identity: int) -> dict[str, float]:
    """CPU milliseconds per frame of a film of ``deft synth --film sequences``: mean and fastest tenth (on a
    busy machine hyper-threads share a core, which CPU time counts in full)."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(5)
    subject = subject_of(sample_identity(identity))
    film = sequences.plan_sequence(rng, load_prior("facs"), fps=30.0, seconds=max(frames / 30, 3.0))
    camera = cameras.sample_video_camera(rng, size)
    studio, performer = Studio(), Performer(subject, "arkit")
    studio.renderer.load(subject)
    dressing = sequences.dress(film, subject, rng)
    paths = sequences.hand_paths(film, subject, rng)
    shown = sequences.Film(performer, film, camera, dressing, paths, np.zeros((len(film.plan.times), 3)))
    spent, last = [], time.process_time()
    for _ in shown.frames(studio, rng):
        now = time.process_time()
        spent.append(1e3 * (now - last))
        last = now
    steady = np.array(spent[2:])
    return {"mean": float(steady.mean()), "fastest tenth": float(np.quantile(steady, 0.1))}


def main() -> None:
    """Print the table, or JSON with --json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--identity", type=int, default=900_003)
    parser.add_argument("--film", action="store_true", help="a film of --film sequences instead of a clip")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.film:
        found = measure_film(options.size, options.frames, options.identity)
        words = ", ".join(f"{name} {value:.1f} ms" for name, value in found.items())
        print(json.dumps(found) if options.json else f"{words} CPU per frame at {options.size} px")
        return
    cost = measure(options.size, options.frames, options.identity)
    stages = {name: spent for name, spent in cost.items() if not name.endswith("(once)")}
    total = sum(stages.values())
    if options.json:
        print(json.dumps(cost | {"frames_per_second": 1e3 / total}))
        return
    for name, spent in cost.items():
        share = f"{100 * spent / total:5.1f} %" if name in stages else ""
        print(f"{name:16s} {spent:8.2f} ms {share}")
    print(f"{1e3 / total:.1f} frames/s on one core at {options.size} px")


if __name__ == "__main__":
    main()
