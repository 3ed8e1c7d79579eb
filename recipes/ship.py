"""From nothing to a checkpoint in one go: make all data, then ``deft train`` all parts.

    python -m recipes.ship OUT --small         # minutes: every step on the least data, to see that all works
    python -m recipes.ship OUT --full          # some ten hours of one core, from nothing
    python -m recipes.ship OUT --full --start CHECKPOINT    # half an hour: trains some of it further
    python -m recipes.ship OUT --small --print # the commands alone

Every step is a command that can be run by itself; what is made already is kept, so a stopped run goes on. OUT
ends up with run/model, whose card holds the commands, beside the data and experts that it was made from.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[1]
SEED = 20000
HELD_SEED = 900


@dataclass(frozen=True)
class Films:
    """Key frames of ``clips`` short films of ``subjects``, drawn with the face units ``units``, from which
    face experts or language part learn; ``settings`` of their maker."""

    learns: Literal["faces", "language"]
    units: str
    clips: int
    subjects: int
    seed: int
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Profile:
    """How much of everything: ``shards`` of ``samples`` flow-level samples each (0: none are needed), films,
    and the settings that ``deft train`` is given for the experts and then for the language part (none: it
    stays as it is). That learns from films of people whom the face experts have not met: it has to know what
    their word is worth on strangers."""

    shards: int
    samples: int
    identities: int
    films: tuple[Films, ...]
    motion: tuple[str, ...]
    faces: tuple[str, ...]
    language: tuple[str, ...]


TASKS = (
    "au", "side", "region", "answer", "refusal", "release", "vqa_coarse", "vqa_fine", "vqa_aus", "vqa_count",
    "vqa_au_present", "vqa_au_side", "vqa_on_side", "vqa_combined", "vqa_state", "vqa_held",
    "vqa_phase", "vqa_turn", "vqa_fold", "vqa_most", "vqa_back",
)  # fmt: skip
"""Uni-MER tasks that the language part learns. Not *phase*, which compares the sizes of two motions that
relative maps do not hold, and not *not_seen*, which is about the measurement; the long ones (coarse, fine and
aus in sentences, description, contrast, blink, multi_turn) say nothing that these do not teach, at several
times their price."""
SMALL = Profile(
    shards=1, samples=256, identities=4,
    films=(Films("faces", "arkit", 8, 4, 0), Films("language", "arkit", 4, 2, 5)),
    motion=("motion.steps=6", "motion.batch=16", "motion.validate_every=3"),
    faces=("faces.steps=6", "faces.batch=6", "faces.validate_every=3"),
    language=(
        "parts=[language,joint]", "backbone=tiny-random", "language.steps=4", "language.validate_every=2",
        "language.validate_clips=4", "joint.steps=4", "joint.validate_every=2", "joint.validate_clips=4",
    ),
)  # fmt: skip
FULL = Profile(
    shards=130, samples=4000, identities=160,
    films=(
        Films("faces", "arkit", 1900, 500, 40), Films("faces", "makehuman", 1000, 250, 42),
        Films("language", "arkit", 500, 100, 0), Films("language", "makehuman", 300, 60, 2),
    ),
    motion=(
        "motion.expert={stem: 24, middle: 48, width: 96, blocks: 2}", "motion.steps=24000",
        "motion.cooldown_steps=1500", "motion.ema=0.999", "motion.validate_every=1000", "motion.patience=0",
    ),
    faces=("faces.steps=1500", "faces.validate_every=250", "faces.patience=0"),
    language=(
        "parts=[language]", "language.steps=1000", "language.cooldown_steps=150", "language.batch=4",
        "language.questions=9", "language.full_answers=0.12", "language.evidence_floor=-1.4",
        "language.learning_rate=8e-4", "language.projector_rate=2.0", "language.unimer_share=0.4",
        "language.validate_every=0", "language.save_every=20", f"language.tasks=[{','.join(TASKS)}]",
    ),
)  # fmt: skip


FAINT = ("smallest=0.3", "largest=1")
FURTHER = replace(
    FULL,
    shards=0,
    films=(
        Films("faces", "arkit", 280, 112, 60), Films("faces", "makehuman", 280, 112, 64),
        Films("faces", "arkit", 160, 80, 66, FAINT), Films("faces", "makehuman", 160, 80, 70, FAINT),
    ),
    faces=("faces.steps=0", "faces.validate_every=0", "validation_share=0.99"),
    language=(),
)  # fmt: skip
"""Further from a checkpoint: all stays as it is, but that AUs whose motion was measured in px are calibrated
with what the flow supports, on films of people whom no expert has met."""


def commands(
    out: Path, profile: Profile, note: str, workers: int = 1, start: str = "null"
) -> list[list[str]]:
    """The steps as words of command lines, paths as ``out`` is given; ``note`` goes into the card. ``start``:
    a checkpoint whose motion expert is kept and whose other parts are trained further."""
    python, deft = [sys.executable, "-m"], [sys.executable, "-m", "deft_llm.cli"]
    flow = ["--size", str(profile.samples), "--identities", str(profile.identities), "--coded", "0.3"]
    samples, validation = out / "samples", out / "validation"
    drawn = [
        [*python, "recipes.flow_samples", str(samples), "--shards", str(profile.shards), "--seed", str(SEED),
         *flow],
        [*python, "recipes.flow_samples", str(validation), "--shards", "1", "--seed", str(HELD_SEED),
         "--split", "validation", *flow],
    ] if profile.shards else []  # fmt: skip
    data = [f"flow_shards={samples}", f"flow_validation={validation}"] if profile.shards else []
    data.append(f"note={note}")
    store = lambda films: str(out / "films" / f"{films.learns}-{films.units}-{films.seed}")  # noqa: E731
    rows = lambda films: str(out / "unimer" / f"{films.units}-{films.seed}")  # noqa: E731
    seen, told = (
        [films for films in profile.films if films.learns == part] for part in ("faces", "language")
    )
    parts = ["parts=[motion,faces]", *profile.motion] if start == "null" else ["parts=[faces]"]
    experts, run = str(out / ("experts" if told else "run")), str(out / "run")
    language = [
        [*deft, "train", *map(store, told), *(word for films in told for word in ("--unimer", rows(films))),
         "--start", experts, "--out", run, *data, *profile.language],
    ] if told else []  # fmt: skip
    return [
        *drawn,
        *([*deft, "synth", store(films), "--film", "keys", "--split", "train", "--workers", str(workers),
           "--units", films.units, "--clips", str(films.clips), "--subjects", str(films.subjects),
           "--seed", str(films.seed), *films.settings] for films in profile.films),
        *([*deft, "unimer", "build", store(films), "--out", rows(films), "--no-figures", "--workers",
           str(workers)] for films in told),
        [*deft, "train", *map(store, seen), "--start", start, "--out", experts, *data, *parts,
         *profile.faces],
        *language,
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
    parser.add_argument("--start", default="null", help="checkpoint that is trained further")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--print", action="store_true", dest="show", help="print the commands alone")
    given = parser.parse_args()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    note = f"made by python -m recipes.ship {given.out.name} --{'small' if given.small else 'full'}"
    note += "" if given.start == "null" else f" --start {Path(given.start).name}"
    profile = SMALL if given.small else FULL if given.start == "null" else FURTHER
    for words in commands(given.out, profile, note, given.workers, given.start):
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
