"""What ``deft analyze`` costs: milliseconds a frame by stage, against its parts called bare, and peak memory.

    python -m benchmarks.analyze                    stages, floor and text on the portrait clip
    ... --threads 1                                 without OpenCV's threads, whose waiting is CPU time too
    python -m benchmarks.analyze --memory 10 600    peak memory at 10 s and 600 s of video (25 fps)
    ... --memory 60 300 --fast                      the same without optical flow

The floor is decoding, landmarks, alignment and one flow a frame, called bare in the same run on the same
frames; the movements that are read add flows of their own. ``--fast`` is held against decoding and landmarks:
both are run in turn, and the pair whose ratio is the middle one counts. CPU time holds where others use the
machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deft_llm.explain.demo import FRAMES, MOVEMENT
from deft_llm.explain.samples import living_portrait, portrait, save_video

if TYPE_CHECKING:
    import numpy as np

    from deft_llm.faces.landmarker import Face

MEMORY_FPS = 25.0
REPEATS = 5  # runs of --fast, each beside one of its floor


@dataclass
class Taken:
    """Wall and CPU seconds of a block: the latter hold on a machine that others use too."""

    wall: float = 0.0
    cpu: float = 0.0

    def __enter__(self) -> Taken:
        self._since = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter() - self._since[0]
        self.cpu += time.process_time() - self._since[1]


def seen(path: Path) -> tuple[list[np.ndarray], list[Face], dict[str, Taken]]:
    """Frames of a clip and the face in each, by decoding and landmarks called bare."""
    from deft_llm.faces.landmarker import Landmarker
    from deft_llm.faces.video import frames

    taken = {stage: Taken() for stage in ("decode", "landmarks")}
    with taken["decode"]:
        images = [frame.image for frame in frames(path)]
    landmarker, face, faces = Landmarker(), None, []
    with taken["landmarks"]:
        for image in images:
            face = (face and landmarker.track(image, face)) or landmarker.detect(image)[0]
            faces.append(face)
    return images, faces, taken


def floor(path: Path) -> dict[str, Taken]:
    """Decoding, landmarks, alignment and one flow a frame, called bare."""
    import cv2

    from deft_llm.faces.align import align, transform_of
    from deft_llm.motion.flow import estimate

    images, faces, taken = seen(path)
    taken |= {stage: Taken() for stage in ("align", "flow")}
    matrix = transform_of(faces[0].landmarks)
    with taken["align"]:
        grey = [align(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), matrix) for image in images]
    with taken["flow"]:
        for image in grey:
            estimate(grey[0], image)
    return taken


def summed(parts: Collection[Taken]) -> Taken:
    """Seconds of several blocks together."""
    return Taken(sum(one.wall for one in parts), sum(one.cpu for one in parts))


def stages(seconds: float, fps: float) -> dict:
    """The Analyzer without text against the floor."""
    from deft_llm.explain import Analyzer

    total = Taken()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "clip.mp4"
        save_video(path, living_portrait([MOVEMENT], int(seconds * fps), fps=fps), fps)
        short = Path(name) / "short.mp4"
        save_video(short, living_portrait([MOVEMENT], FRAMES, fps=fps), fps)
        analyzer = Analyzer.from_pretrained("rules")
        analyzer.analyze(short)  # warm: models and modules are loaded
        bare = floor(path)
        with total:
            analysis = analyzer.analyze(path)
        pairs = []
        for _ in range(REPEATS):
            with Taken() as fast:
                analyzer.analyze(path, fast=True)
            pairs.append((fast, summed(seen(path)[2].values())))
    count = analysis.video["frames"]
    least = summed(bare.values())
    fast, least_fast = sorted(pairs, key=lambda pair: pair[0].cpu / pair[1].cpu)[REPEATS // 2]
    each = 1000 / count
    signal = analysis.seconds["signal"]
    return {
        "frames": count,
        "movements_read": sum(reading.prediction is not None for reading in analysis.readings),
        "floor_ms_a_frame": rounded({stage: one.wall * each for stage, one in bare.items()}),
        "floor_cpu_ms_a_frame": rounded({stage: one.cpu * each for stage, one in bare.items()}),
        "stages_ms_a_frame": rounded({stage: s * each for stage, s in analysis.seconds.items()}),
        "total_ms_a_frame": {"wall": round(total.wall * each, 2), "cpu": round(total.cpu * each, 2)},
        "floor_total": {"wall": round(least.wall * each, 2), "cpu": round(least.cpu * each, 2)},
        "signal_over_floor": round(signal / least.wall, 2),
        "total_over_floor": over(total, least),
        "fast_ms_a_frame": {"wall": round(fast.wall * each, 2), "cpu": round(fast.cpu * each, 2)},
        "fast_floor": {"wall": round(least_fast.wall * each, 2), "cpu": round(least_fast.cpu * each, 2)},
        "fast_over_floor": over(fast, least_fast),
    }  # fmt: skip


def text(tokens: int = 64) -> dict:
    """Constrained decoding against the bare ``generate`` of as many tokens on the same prompt."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from deft_llm.answer import lark_grammar
    from deft_llm.model.decoding import generate_constrained
    from deft_llm.setup.weights import require

    folder = require("llm")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompt = tokenizer("right mouth corner: up-lateral, 1.8 %IOD, z 12\n" * 8, return_tensors="pt")
    taken: dict[str, list[Taken]] = {"constrained": [], "bare": []}
    for _ in range(4):
        with Taken() as constrained:
            said = generate_constrained(model, tokenizer, lark_grammar(), **prompt, max_new_tokens=tokens)[0]
        count = len(tokenizer(said)["input_ids"])
        with Taken() as bare:
            model.generate(**prompt, max_new_tokens=count, min_new_tokens=count, do_sample=False)
        taken["constrained"].append(constrained)
        taken["bare"].append(bare)
    best = {  # the first run warms up
        kind: Taken(min(one.wall for one in runs[1:]), min(one.cpu for one in runs[1:]))
        for kind, runs in taken.items()
    }
    seconds = {kind: {"wall": round(one.wall, 3), "cpu": round(one.cpu, 3)} for kind, one in best.items()}
    return {
        "tokens": count,
        "seconds": seconds,
        "constrained_over_bare": over(best["constrained"], best["bare"]),
    }


def over(one: Taken, other: Taken) -> dict[str, float]:
    """Ratios by wall and by CPU time."""
    return {"wall": round(one.wall / other.wall, 3), "cpu": round(one.cpu / other.cpu, 3)}


def memory(seconds: float, fast: bool) -> dict:
    """Peak memory of one analysis (rules) of a generated video, in a process of its own."""
    import cv2

    small = cv2.resize(portrait(), (192, 192), interpolation=cv2.INTER_AREA)  # soon drawn and decoded
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "long.mp4"
        images = living_portrait([MOVEMENT], int(MEMORY_FPS * seconds), fps=MEMORY_FPS, image=small)
        save_video(path, images, MEMORY_FPS, quality=28)
        command = [sys.executable, __file__, "--child", str(path), *["--fast"] * fast]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {"seconds": seconds, "frames": int(MEMORY_FPS * seconds)} | json.loads(out.splitlines()[-1])


def child(path: str, fast: bool) -> None:
    from deft_llm.explain import Analyzer

    peak = lambda: round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)  # noqa: E731
    before = time.process_time()
    analysis = Analyzer.from_pretrained("rules").analyze(path, fast=fast)
    print(json.dumps({"peak_mib": peak(), "cpu_seconds": round(time.process_time() - before, 1),
                      "movements": len(analysis.readings)}))  # fmt: skip


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 2) for key, value in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--memory", type=float, nargs="+", help="seconds of video")
    parser.add_argument("--fast", action="store_true", help="memory: shape and appearance only")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--no-text", action="store_true")
    parser.add_argument("--threads", type=int, help="OpenCV's; one in workers that read several videos")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        import cv2

        cv2.setNumThreads(options.threads)
    if options.child:
        child(options.child, options.fast)
    elif options.memory:
        for seconds in options.memory:
            print(json.dumps(memory(seconds, options.fast)), flush=True)
    else:
        print(json.dumps(stages(options.seconds, 50.0), indent=2), flush=True)
        if not options.no_text:
            print(json.dumps(text(), indent=2))


if __name__ == "__main__":
    main()
