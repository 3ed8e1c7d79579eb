"""A store of real skin that moves by known amounts: the public-domain portrait, warped as FACS describes AUs.

    python benchmarks/portrait_store.py STORE [--flow dis|farneback|tvl1] [--seeds 2]

AUs and pairs of them on the left, the right and both sides, 1 and 2 source px (2.1 and 4.2 aligned), noise and
drift of the head drawn anew per seed, everything as it is and as a mirrored source. Read by
``constraint.py --store`` and ``laterality.py --stores``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from deft_llm.explain.samples import Injected, landmarks_of, living_portrait, portrait
from deft_llm.faces.geometry import inter_ocular
from deft_llm.motion.measure import MeasureSettings, measure_clip
from deft_llm.records import ActionUnit, Clip, Source, Truth
from deft_llm.store import StoreWriter
from deft_llm.synth.events import PX_PER_IOD

SETS = ((1,), (2,), (4,), (6,), (12,), (14,), (15,), (1, 2), (6, 12))
SIDES = ("left", "right", "both")
SIZES = (1.0, 2.0)
OTHER = {"left": "right", "right": "left", "both": "both"}
FPS, ONSET, APEX, OFFSET = 50.0, 6, 15, 28


def clips(aus: tuple[int, ...], seeds: int, flow: str) -> Iterator[tuple[Clip, object]]:
    """Clip and motion of one AU set: every side, size and seed, straight and mirrored."""
    image = portrait()
    landmarks = landmarks_of(image)
    share = PX_PER_IOD / inter_ocular(landmarks)
    name = "+".join(f"AU{au}" for au in aus)
    for side in SIDES:
        for px in SIZES:
            for seed in range(seeds):
                moves = [Injected(au, side, ONSET, APEX, OFFSET, px) for au in aus]
                frames = list(living_portrait(moves, OFFSET + 3, fps=FPS, seed=seed, drift=0.8,
                                              image=image, landmarks=landmarks))  # fmt: skip
                for mirrored in (False, True):
                    seen = OTHER[side] if mirrored else side
                    clip_id = f"portrait/{name}-{side}-{px:g}-{seed}{'-mirrored' if mirrored else ''}"
                    settings = MeasureSettings(profile=6, flow=flow, mirrored=mirrored)
                    motion = measure_clip(frames, onset=ONSET, apex=APEX, offset=OFFSET, fps=FPS,
                                          settings=settings, clip_id=clip_id)  # fmt: skip
                    sizes = [px * share * (seen != other) for other in ("right", "left")]
                    units = [ActionUnit(number=au, side=seen) for au in aus]
                    truth = Truth(onset=ONSET, apex=APEX, offset=OFFSET, aus=units,
                                  attributes={"strength_px": {str(au): sizes for au in aus}})  # fmt: skip
                    yield Clip(clip_id=clip_id, corpus="synthetic", subject="portrait", fps=FPS,
                               source=Source(kind="frames", path="-"), onset=ONSET, apex=APEX, offset=OFFSET,
                               apex_is_annotated=True, coding="truth", aus=units, truth=truth), motion  # fmt: skip


def main() -> None:
    """Warp, measure and store; one shard an AU set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--flow", choices=["dis", "farneback", "tvl1"], default="dis")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    writer = StoreWriter(options.store, MeasureSettings(profile=6, flow=options.flow).model_dump())
    for shard, aus in enumerate(SETS):
        found = list(clips(aus, options.seeds, options.flow))
        writer.write_shard(shard, writer.work_key([clip.clip_id for clip, _ in found]), found)
    writer.finish(len(SETS))
    print(json.dumps({"store": options.store.name, "flow": options.flow, "clips": len(SETS) * len(SIDES)
                      * len(SIZES) * 2 * options.seeds}))  # fmt: skip


if __name__ == "__main__":
    main()
