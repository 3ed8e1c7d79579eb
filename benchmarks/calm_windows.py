"""A store of rendered neutral and blink clips: windows of a rendered corpus in which nothing else moves.

    python -m benchmarks.calm_windows CORPUS STORE [--flow dis|farneback|tvl1]

CORPUS is made by ``deft synth``. Its truth files tell the strength of every movement in every frame: a window
of a fifth of a second in which no strength changes by more than .03 is neutral, one in which only the lids
close is a blink. Head motion, light and camera noise stay as they are. Read by ``constraint.py --store``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

STILL = 0.03
SECONDS = 0.2
MOST = {"neutral": 8, "blink": 8}


def windows(strength: np.ndarray, names: list[str], fps: float) -> Iterator[tuple[str, int, int, int]]:
    """(kind, onset, apex, offset) of calm windows that do not overlap, at most MOST of a kind."""
    length, left = max(4, round(SECONDS * fps)), dict(MOST)
    lids = np.array([name.split("/")[0] in ("AU43", "AU45") for name in names], bool)
    start = 0
    while start + 2 * length < strength.shape[1]:
        part = strength[:, start : start + 2 * length + 1]
        change = np.ptp(part, axis=1) if len(part) else np.zeros(0)
        blink = part[lids].max(0) if lids.any() else np.zeros(part.shape[1])
        peak = int(blink.argmax())
        if not (change[~lids] > STILL).any():
            if np.ptp(blink) <= STILL:
                kind, apex = "neutral", length
            elif np.ptp(blink) > 0.3 and blink[0] < 0.1 and 2 <= peak <= 2 * length - 2:
                kind, apex = "blink", peak
            else:
                kind, apex = "", 0
            if kind and left[kind]:
                left[kind] -= 1
                yield kind, start, start + apex, start + 2 * length
                start += 2 * length
                continue
        start += max(2, length // 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--flow", choices=["dis", "farneback", "tvl1"], default="dis")
    options = parser.parse_args()
    from deft_llm.corpora import load
    from deft_llm.faces.video import frames as read
    from deft_llm.motion.measure import MeasureSettings, measure_clip
    from deft_llm.records import Truth
    from deft_llm.store import StoreWriter

    settings = MeasureSettings(flow=options.flow, profile=6)
    writer = StoreWriter(options.store, settings.model_dump())
    counts = dict.fromkeys(MOST, 0)
    clips = load("synthetic", options.corpus).clips
    for shard, clip in enumerate(clips):
        with np.load(options.corpus / clip.truth.attributes["truth_file"]) as truth:
            found = list(windows(truth["strength"], [str(n) for n in truth["strength_names"]], clip.fps))
        folder, names, items = options.corpus / clip.source.path, clip.source.frames, []
        for kind, onset, apex, offset in found:
            name = f"{clip.clip_id}-{kind}-{onset}"
            cut = lambda a=onset, b=offset: read(folder, fps=clip.fps, names=names[a : b + 1])  # noqa: B023, E731
            motion = measure_clip(
                cut, onset=0, apex=apex - onset, offset=offset - onset, fps=clip.fps, settings=settings,
                clip_id=name,
            )  # fmt: skip
            calm = clip.model_copy(update={
                "clip_id": name, "onset": onset, "apex": apex, "offset": offset, "emotion": None,
                "coarse": None, "aus": None, "truth": Truth(onset=onset, apex=apex, offset=offset, kind=kind),
            })  # fmt: skip
            items.append((calm, motion))
            counts[kind] += 1
        writer.write_shard(shard, writer.work_key([clip.clip_id]), items)
    writer.finish(len(clips))
    print(json.dumps({"store": options.store.name, "flow": options.flow} | counts))


if __name__ == "__main__":
    main()
