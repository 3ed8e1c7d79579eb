"""From nothing to a checkpoint in one go: make all data, then ``deft train`` all parts.

    python -m recipes.ship OUT --small         # minutes: every step on the least data, to see that all works
    python -m recipes.ship OUT --full          # some six hours of one core, from nothing
    python -m recipes.ship OUT --full --start CHECKPOINT    # some three: trains a motion expert further
    python -m recipes.ship OUT --small --print # the commands alone

Every step is a command that can be run by itself; what is made already is kept, so a stopped run goes on. OUT
ends up with samples/, validation/, films/, unimer/ and run/model, whose card holds the commands.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEED = 20000
HELD_SEED = 900


@dataclass(frozen=True)
class Films:
    """Key frames of ``clips`` short films of ``subjects``, drawn with the face units ``units``."""

    units: str
    clips: int
    subjects: int
    seed: int


@dataclass(frozen=True)
class Profile:
    """How much of everything: ``shards`` of ``samples`` flow-level samples each, films, and the settings
    that ``deft train`` is given."""

    shards: int
    samples: int
    identities: int
    films: tuple[Films, ...]
    settings: tuple[str, ...]


TASKS = (
    "au", "side", "region", "answer", "refusal", "release", "vqa_coarse", "vqa_fine", "vqa_aus", "vqa_count",
    "vqa_au_present", "vqa_au_side", "vqa_on_side", "vqa_combined", "vqa_state", "vqa_phase",
)  # fmt: skip
"""Uni-MER tasks that the language part learns. Not *phase*, which compares the sizes of two motions that
relative maps do not hold, and not *not_seen*, which is about the measurement; the long ones (coarse, fine and
aus in sentences, description, contrast, blink, multi_turn) say nothing that these do not teach, at several
times their price."""
SMALL = Profile(
    shards=1, samples=256, identities=4, films=(Films("arkit", 8, 4, 0),),
    settings=(
        "backbone=tiny-random", "motion.steps=6", "motion.batch=16", "motion.validate_every=3",
        "faces.steps=6", "faces.batch=6", "faces.validate_every=3", "language.steps=4",
        "language.validate_every=2", "language.validate_clips=4", "joint.steps=4", "joint.validate_every=2",
        "joint.validate_clips=4",
    ),
)  # fmt: skip
MOTION = {
    "nothing": (
        "motion.steps=24000", "motion.cooldown_steps=1500", "motion.ema=0.999", "motion.validate_every=1000",
    ),
    "further": (
        "motion.steps=800", "motion.cooldown_steps=500", "motion.learning_rate=3e-4", "motion.ema=0.99",
        "motion.start_share=0.5", "motion.validate_every=0",
    ),
}  # fmt: skip
"""How the motion expert is trained: from nothing, or from one that is trained, half of which is kept."""
FULL = Profile(
    shards=130, samples=4000, identities=160,
    films=(Films("arkit", 500, 100, 0), Films("makehuman", 300, 60, 2)),
    settings=(
        "parts=[motion,faces,language]", "motion.patience=0",
        "motion.expert={stem: 24, middle: 48, width: 96, blocks: 2}", "faces.steps=700",
        "language.steps=305", "language.cooldown_steps=70", "language.batch=4", "language.questions=7",
        "language.full_answers=0.12", "language.evidence_floor=-1.4", "language.learning_rate=8e-4",
        "language.projector_rate=2.0", "language.unimer_share=0.4", "language.validate_every=0",
        "language.save_every=20", f"language.tasks=[{','.join(TASKS)}]",
    ),
)  # fmt: skip


def commands(
    out: Path, profile: Profile, note: str, workers: int = 1, start: str = "null"
) -> list[list[str]]:
    """The steps as words of command lines, paths as ``out`` is given; ``note`` goes into the card, ``start``
    is the checkpoint to begin with."""
    motion = () if profile is SMALL else MOTION["nothing" if start == "null" else "further"]
    python, deft = [sys.executable, "-m"], [sys.executable, "-m", "deft_llm.cli"]
    flow = ["--size", str(profile.samples), "--identities", str(profile.identities), "--coded", "0.3"]
    stores = [out / "films" / films.units for films in profile.films]
    rows = [out / "unimer" / films.units for films in profile.films]
    learned = [word for folder in rows for word in ("--unimer", str(folder))]
    return [
        [*python, "recipes.flow_samples", str(out / "samples"), "--shards", str(profile.shards), "--seed",
         str(SEED), *flow],
        [*python, "recipes.flow_samples", str(out / "validation"), "--shards", "1", "--seed", str(HELD_SEED),
         "--split", "validation", *flow],
        *([*deft, "synth", str(store), "--film", "keys", "--split", "train", "--workers", str(workers),
           "--units", films.units, "--clips", str(films.clips), "--subjects", str(films.subjects),
           "--seed", str(films.seed)] for store, films in zip(stores, profile.films, strict=True)),
        *([*deft, "unimer", "build", str(store), "--out", str(folder), "--no-figures", "--workers",
           str(workers)] for store, folder in zip(stores, rows, strict=True)),
        [*deft, "train", *map(str, stores), *learned, "--start", start, "--out", str(out / "run"),
         f"flow_shards={out / 'samples'}", f"flow_validation={out / 'validation'}", f"note={note}",
         *motion, *profile.settings],
    ]  # fmt: skip


def main() -> None:
    """Run the steps, one after the other, each in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--small", action="store_true")
    size.add_argument("--full", action="store_true")
    parser.add_argument("--start", default="null", help="checkpoint whose motion expert is trained further")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--print", action="store_true", dest="show", help="print the commands alone")
    given = parser.parse_args()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    note = f"made by python -m recipes.ship {given.out.name} --{'small' if given.small else 'full'}"
    note += "" if given.start == "null" else f" --start {Path(given.start).name}"
    for words in commands(given.out, SMALL if given.small else FULL, note, given.workers, given.start):
        print("$ python " + shlex.join(words[1:]), flush=True)
        if given.show:
            continue
        started = time.time()
        done = subprocess.run(words, env=environment, check=False)
        if done.returncode:
            sys.exit(done.returncode)
        print(f"  {time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
