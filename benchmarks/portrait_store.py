"""A store of real skin that moves by known amounts: the public-domain portrait, warped as FACS describes AUs.

    python benchmarks/portrait_store.py STORE [--flow dis|farneback|tvl1] [--seeds 1] [--crf 18] [--sizes .5 1]

AUs and pairs of them on the left, the right and both sides, .5 and 1 source px (1.05 and 2.1 aligned px), noise
and drift of the head drawn anew per seed, coded as H.264 (--crf 0: not coded), everything as it is and as
a mirrored source. Read by ``constraint.py --store`` and ``laterality.py --stores``.
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
from deft_llm.training.face_films import coded

SETS = ((1,), (2,), (4,), (12,), (14,), (15,), (1, 2), (6, 12))
SIDES = ("left", "right", "both")
OTHER = {"left": "right", "right": "left", "both": "both"}
FPS, ONSET, APEX, OFFSET = 50.0, 6, 15, 28


def clips(aus: tuple[int, ...], sizes: list[float], seeds: int, flow: str, crf: int) -> Iterator[tuple[Clip, object]]:
    """Clip and motion of one AU set: every side, size and seed, straight and mirrored."""
    image = portrait()
    landmarks = landmarks_of(image)
    share = PX_PER_IOD / inter_ocular(landmarks)
    name = "+".join(f"AU{au}" for au in aus)
    for side in SIDES:
        for px in sizes:
            for seed in range(seeds):
                moves = [Injected(au, side, ONSET, APEX, OFFSET, px) for au in aus]
                frames = list(living_portrait(moves, OFFSET + 3, fps=FPS, seed=seed, drift=0.8,
                                              image=image, landmarks=landmarks))  # fmt: skip
                frames = coded(frames, crf) if crf else frames
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
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--crf", type=int, default=18)
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.5, 1.0], help="source px")
    options = parser.parse_args()
    settings = {"measure": MeasureSettings(profile=6, flow=options.flow).model_dump(), "crf": options.crf}
    writer = StoreWriter(options.store, settings)
    clip_count = 0
    for shard, aus in enumerate(SETS):
        found = list(clips(aus, options.sizes, options.seeds, options.flow, options.crf))
        clip_count += len(found)
        writer.write_shard(shard, writer.work_key([clip.clip_id for clip, _ in found]), found)
    writer.finish(len(SETS))
    print(json.dumps({"store": options.store.name, "flow": options.flow, "clips": clip_count}))


if __name__ == "__main__":
    main()
