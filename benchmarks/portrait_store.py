"""A store of real skin that moves by known amounts: the public-domain portrait, warped as FACS describes AUs.

    python -m benchmarks.portrait_store STORE [--flow METHOD] [--seeds 1] [--sizes .5 1] [--crf N]

AUs and pairs of them on the left, the right and both sides, .5 and 1 source px (1.05 and 2.1 aligned px),
noise and drift of the head drawn anew per seed, coded as H.264 (--crf 0: not coded), everything as it is and
as a mirrored source. Read by ``constraint.py --store`` and ``laterality.py --stores``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deft_llm.explain.samples import Injected, landmarks_of, living_portrait, portrait
from deft_llm.faces.geometry import inter_ocular
from deft_llm.motion.measure import MeasureSettings, measure_clip
from deft_llm.records import ActionUnit, Clip, Source, Truth
from deft_llm.store import StoreWriter
from deft_llm.store.motion import Motion
from deft_llm.synth.core.events import PX_PER_IOD
from deft_llm.synth.video.keys import coded

SETS = ((1,), (2,), (4,), (12,), (14,), (15,), (1, 2), (6, 12))
SIDES = ("left", "right", "both")
OTHER = {"left": "right", "right": "left", "both": "both"}
FPS, ONSET, APEX, OFFSET = 50.0, 6, 15, 28


@dataclass(frozen=True)
class Take:
    """One warp of the portrait: AUs on a side of the face as it is, source px, seed of noise and drift."""

    aus: tuple[int, ...]
    side: str
    px: float
    seed: int

    def frames(self, crf: int) -> list[np.ndarray]:
        """Pictures (H, W, 3) uint8 RGB, coded as H.264 unless ``crf`` is 0."""
        moves = [Injected(au, self.side, ONSET, APEX, OFFSET, self.px) for au in self.aus]
        shown = living_portrait(moves, OFFSET + 3, fps=FPS, seed=self.seed, drift=0.8)
        return coded(list(shown), crf) if crf else list(shown)

    def clip(self, mirrored: bool) -> Clip:
        """The record; a mirrored source shows the other side."""
        side = OTHER[self.side] if mirrored else self.side
        px = self.px * PX_PER_IOD / inter_ocular(landmarks_of(portrait()))
        sizes = [px if side != other else 0.0 for other in ("right", "left")]
        units = [ActionUnit(number=au, side=side) for au in self.aus]
        name = "+".join(f"AU{au}" for au in self.aus)
        return Clip(
            clip_id=f"portrait/{name}-{side}-{self.px:g}-{self.seed}{'-mirrored' if mirrored else ''}",
            corpus="synthetic", subject="portrait", fps=FPS, source=Source(kind="frames", path="-"),
            onset=ONSET, apex=APEX, offset=OFFSET, apex_is_annotated=True, coding="truth", aus=units,
            truth=Truth(onset=ONSET, apex=APEX, offset=OFFSET, aus=units,
                        attributes={"strength_px": {str(au): sizes for au in self.aus}}),
        )  # fmt: skip


def measured(take: Take, flow: str, crf: int) -> Iterator[tuple[Clip, Motion]]:
    """A take as it is and as a mirrored source."""
    frames = take.frames(crf)
    for mirrored in (False, True):
        clip = take.clip(mirrored)
        settings = MeasureSettings(profile=6, flow=flow, mirrored=mirrored)
        yield clip, measure_clip(frames, onset=ONSET, apex=APEX, offset=OFFSET, fps=FPS,
                                 settings=settings, clip_id=clip.clip_id)  # fmt: skip


def main() -> None:
    """Warp, measure and store; one shard per AU set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--flow", choices=["dis", "farneback", "tvl1"], default="dis")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--crf", type=int, default=18)
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.5, 1.0], help="source px")
    parser.add_argument("--sets", nargs="+", default=["+".join(map(str, aus)) for aus in SETS],
                        metavar="AU[+AU]", help="sets of AUs")  # fmt: skip
    options = parser.parse_args()
    sets = [tuple(int(au) for au in word.split("+")) for word in options.sets]
    settings = {"measure": MeasureSettings(profile=6, flow=options.flow).model_dump(), "crf": options.crf}
    writer = StoreWriter(options.store, settings)
    count = 0
    for shard, aus in enumerate(sets):
        takes = [Take(aus, side, px, seed) for side in SIDES for px in options.sizes
                 for seed in range(options.seeds)]  # fmt: skip
        found = [pair for take in takes for pair in measured(take, options.flow, options.crf)]
        writer.write_shard(shard, writer.work_key([clip.clip_id for clip, _ in found]), found)
        count += len(found)
    writer.finish(len(sets))
    print(json.dumps({"store": options.store.name, "flow": options.flow, "clips": count}))


if __name__ == "__main__":
    main()
