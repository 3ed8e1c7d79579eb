"""What ``deft analyze`` costs: milliseconds a frame by stage, against its parts called bare, and peak memory.

    python benchmarks/analyze.py                    stages, floor and text on the portrait clip
    python benchmarks/analyze.py --memory 10 600    peak memory at 10 s and 600 s of video (25 fps)

The floor is decoding, landmarks and one flow a frame, called bare in the same run on the same frames;
movements add the flows that each of them needs.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from deft_llm.explain.demo import MOVEMENT
from deft_llm.explain.samples import living_portrait, portrait, save_video

MEMORY_FPS = 25.0


def floor(path: Path, fps: float) -> dict[str, float]:
    """Decode, landmarks and flow called bare: ms a frame."""
    import cv2

    from deft_llm.faces.align import align, transform_of
    from deft_llm.faces.landmarker import Landmarker
    from deft_llm.faces.video import frames
    from deft_llm.motion.flow import estimate

    start = time.perf_counter()
    images = [frame.image for frame in frames(path)]
    decode = time.perf_counter() - start
    landmarker, face, faces = Landmarker(), None, []
    start = time.perf_counter()
    for image in images:
        face = (face and landmarker.track(image, face)) or landmarker.detect(image)[0]
        faces.append(face)
    landmarks = time.perf_counter() - start
    matrix = transform_of(faces[0].landmarks)
    grey = [align(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), matrix) for image in images]
    start = time.perf_counter()
    for image in grey:
        estimate(grey[0], image)
    flow = time.perf_counter() - start
    each = 1000 / len(images)
    return {"decode": decode * each, "landmarks": landmarks * each, "flow": flow * each}


def stages(seconds: float, fps: float) -> dict:
    """The Analyzer without text against the floor."""
    from deft_llm.explain import Analyzer

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "clip.mp4"
        save_video(path, living_portrait([MOVEMENT], int(seconds * fps), fps=fps), fps)
        analyzer = Analyzer.from_pretrained("rules")
        floor(path, fps)  # warm
        bare = floor(path, fps)
        start = time.perf_counter()
        analysis = analyzer.analyze(path)
        total = time.perf_counter() - start
    count = analysis.video["frames"]
    parts = {stage: 1000 * value / count for stage, value in analysis.seconds.items()}
    whole, least = 1000 * total / count, sum(bare.values())
    return {
        "frames": count, "floor_ms_a_frame": rounded(bare), "stages_ms_a_frame": rounded(parts),
        "total_ms_a_frame": round(whole, 2), "floor_total": round(least, 2),
        "signal_over_floor": round(parts["signal"] / least, 2), "total_over_floor": round(whole / least, 2),
        "movements_read": sum(reading.prediction is not None for reading in analysis.readings),
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
    taken = {"constrained": [], "bare": []}
    for _ in range(4):
        start = time.perf_counter()
        said = generate_constrained(model, tokenizer, lark_grammar(), **prompt, max_new_tokens=tokens)[0]
        taken["constrained"].append(time.perf_counter() - start)
        count = len(tokenizer(said)["input_ids"])
        start = time.perf_counter()
        model.generate(**prompt, max_new_tokens=count, min_new_tokens=count, do_sample=False)
        taken["bare"].append(time.perf_counter() - start)
    constrained, bare = (min(taken[key][1:]) for key in ("constrained", "bare"))  # the first run warms up
    return {"tokens": count, "constrained_s": round(constrained, 3), "bare_s": round(bare, 3),
            "ratio": round(constrained / bare, 3)}  # fmt: skip


def memory(seconds: float) -> dict:
    """Peak memory of one analysis (rules) of a generated video, in a process of its own."""
    import cv2

    small = cv2.resize(portrait(), (192, 192), interpolation=cv2.INTER_AREA)  # soon drawn and decoded
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "long.mp4"
        images = living_portrait([MOVEMENT], int(MEMORY_FPS * seconds), fps=MEMORY_FPS, image=small)
        save_video(path, images, MEMORY_FPS, quality=28)
        command = [sys.executable, __file__, "--child", str(path)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {"seconds": seconds, "frames": int(MEMORY_FPS * seconds)} | json.loads(out.splitlines()[-1])


def child(path: str) -> None:
    from deft_llm.explain import Analyzer

    peak = lambda: round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)  # noqa: E731
    before = time.process_time()
    analysis = Analyzer.from_pretrained("rules").analyze(path)
    print(json.dumps({"peak_mib": peak(), "cpu_seconds": round(time.process_time() - before, 1),
                      "movements": len(analysis.readings)}))  # fmt: skip


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 2) for key, value in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--memory", type=float, nargs="+", help="seconds of video")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--no-text", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
    elif options.memory:
        for seconds in options.memory:
            print(json.dumps(memory(seconds)), flush=True)
    else:
        print(json.dumps(stages(options.seconds, 50.0), indent=2), flush=True)
        if not options.no_text:
            print(json.dumps(text(), indent=2))


if __name__ == "__main__":
    main()
