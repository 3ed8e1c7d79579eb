"""A store of rendered faces for the benchmark: short films of ``deft synth``'s renderer, measured as clips.

    python -m benchmarks.rendered_store STORE [--subjects 24] [--films 10] [--seed 0] [--split test]
        [--flow dis] [--size 256] [--smallest PX --largest PX]

Only the frames that measuring looks at are drawn, so it takes minutes instead of an hour; cameras, light,
noise, head motion and the coder's imprecise apex are those of the films that face experts are trained on.
About a third of the faces mislead (held smile, asymmetry, wrinkles, nod). Runs that differ in --flow alone
show the same pictures. --smallest, --largest: px that the main AU moves by on a face 280 px wide.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from deft_llm.errors import DeftError
from deft_llm.files import digest
from deft_llm.records import Clip, Source, Truth
from deft_llm.store import StoreWriter
from deft_llm.synth.core.events import PX_PER_IOD
from deft_llm.synth.core.identity import sample_identity, split_seeds
from deft_llm.synth.core.unit_map import AU_MAP
from deft_llm.training.face_tensors import LURES
from recipes.face_films import FilmSettings, shoot


def main() -> None:
    """Draw, measure and store; one shard per subject, a stopped run goes on."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--subjects", type=int, default=24)
    parser.add_argument("--films", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=["calibration", "validation", "test"], default="test")
    parser.add_argument("--flow", choices=["dis", "farneback", "tvl1"], default="dis")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--smallest", type=float, default=0.0)
    parser.add_argument("--largest", type=float, default=0.0)
    options = parser.parse_args()
    given = {name: value for name, value in vars(options).items() if name != "store"}
    settings = FilmSettings(**given)
    from deft_llm.synth.video.production import Studio

    studio, clips = Studio(), 0
    writer = StoreWriter(options.store, {"films": settings.model_dump()})
    for subject, identity in enumerate(
        split_seeds(options.split, options.subjects, options.seed * options.subjects)
    ):
        key = digest([settings.model_dump(), subject])
        if not writer.has_shard(subject, key):
            items = [item for number in range(options.films)
                     if (item := film(studio, settings, subject, identity, number)) is not None]  # fmt: skip
            writer.write_shard(subject, key, items)
            clips += len(items)
    writer.finish(options.subjects)
    print(json.dumps({"store": options.store.name, "subjects": options.subjects, "new clips": clips}))


def film(studio, settings: FilmSettings, subject: int, identity: int, number: int):
    """One clip and its motion; None where the face was not found."""
    place = subject * settings.films + number
    rng = np.random.default_rng([settings.seed, place, 31])
    fps = float(rng.choice([60, 100, 200]))
    lure = int(rng.integers(1, len(LURES))) if rng.random() < settings.lures else 0
    person = sample_identity(identity).id
    name = f"{person}/{place:05d}"
    try:
        taken = shoot(studio, settings, identity, place, fps, lure, name)
    except DeftError:
        return None
    event = taken.plan.main
    known = {"emotion": event.fine, "coarse": event.coarse, "aus": list(event.aus)}
    onset, apex, offset = taken.motion.indices
    return Clip(
        clip_id=name, corpus="synthetic", subject=person, fps=fps, source=Source(kind="frames", path="-"),
        onset=onset, apex=apex, offset=offset, apex_is_annotated=True, coding="truth",
        notes=[LURES[lure]] if lure else [],
        truth=Truth(onset=event.onset, apex=event.apex, offset=event.offset,
                    attributes={"strength_px": strengths(taken)}, **known), **known,
    ), taken.motion  # fmt: skip


def strengths(taken) -> dict[str, list[float]]:
    """Per AU the [left, right] px that it moves by from onset to apex on a face 280 px wide."""
    found: dict[str, list[float]] = {}
    onset, apex = taken.marks
    for key, curve in taken.plan.tracks.items():
        if isinstance(key, str) or key.au not in AU_MAP:
            continue
        px = PX_PER_IOD * AU_MAP[key.au].full * abs(float(curve[apex] - curve[onset]))
        sides = found.setdefault(str(key.au), [0.0, 0.0])
        for place, side in enumerate(("left", "right")):
            if key.side in (None, side):
                sides[place] = round(max(sides[place], px), 4)
    return found


if __name__ == "__main__":
    main()
