"""Kills commands while a file is half there, runs them again, and compares all bytes.

    python -m recipes.kills WORK --points 100 [--commands prepare,unimer] [--seed 1]

A point is a moment of an atomic write: the temporary file made, just before it takes the file's name, just
after. The process is ended by SIGKILL there, so nothing can clean up; the same command, run again, must leave
the bytes of an undisturbed run and no temporary file. Prints a table; exit code 1 where one point failed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from recipes.fuzz import run_command, warm_up
from recipes.fuzz_inputs import CLIPS, MAJORITY, PREPARE, SUBJECTS, make_inputs

TRAINING = (
    "start=null parts=[motion] motion.steps=6 motion.batch=4 motion.cooldown_steps=2 motion.save_every=2 "
    "motion.validate_every=3 motion.expert.stem=8 motion.expert.middle=8 motion.expert.width=16 "
    "motion.expert.blocks=1 motion.expert.heads=2"
)
LANGUAGE = (
    f"{TRAINING.replace('parts=[motion]', 'parts=[motion,language]')} backbone=tiny-random lora_rank=2 "
    "language.steps=4 language.batch=2 language.questions=2 language.cooldown_steps=1 language.save_every=2"
)
# Per command: base folder of its input, the command, its output folder. Times that a run took are no product.
COMMANDS = {
    "prepare": ("maps", PREPARE, "store"),
    "unimer": ("store", "unimer build {here}/store --out {here}/rows", "rows"),
    "synth": ("maps", f"synth {{here}}/out --level flow --clips {CLIPS} --subjects {SUBJECTS}", "out"),
    "benchmark": ("store", f"{MAJORITY} --out {{here}}/out", "out"),
    "train": ("store", f"train {{here}}/store --out {{here}}/out {TRAINING}", "out"),
    "language": ("store", f"train {{here}}/store --out {{here}}/out {LANGUAGE}", "out"),
    "batch": ("video", "analyze {here}/a.mp4 {here}/frames --method rules --fast --out {here}/out", "out"),
}
TIMED = ("summary.json", ".lock", "tensorboard")


def at_point(number: int, count: Path) -> Callable[[], None]:
    """What a forked process does first: count moments in ``count``, end itself at ``number`` (0: never)."""

    def arm() -> None:
        passed = 0

        def tick() -> None:
            nonlocal passed
            passed += 1
            count.write_text(str(passed))
            if passed == number:
                os.kill(os.getpid(), signal.SIGKILL)

        def after(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **more: Any) -> Any:
                found = function(*arguments, **more)
                tick()
                return found

            return call

        def before(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **more: Any) -> Any:
                tick()
                return function(*arguments, **more)

            return call

        tempfile.mkstemp = after(tempfile.mkstemp)
        os.replace = after(before(os.replace))

    return arm


def tree(folder: Path, without: Collection[str] = TIMED) -> dict[str, str]:
    """Hash by name of every file that a command left; not of files, and folders' files, ``without``."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {path.name, path.parent.name} & {*without}
    }


def _fresh(name: str, work: Path) -> tuple[Path, list[str]]:
    """A fresh copy of the command's input, always at one path, for runs keep their command; the command."""
    base, words, _ = COMMANDS[name]
    here = work / "kills" / name
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(work / "base" / base, here)
    return here, [word.format(here=here) for word in words.split()]


def kill_and_resume(name: str, point: int, work: Path, whole: dict[str, str], seconds: float) -> str:
    """Why the command, killed at ``point`` and run again, ends otherwise than an undisturbed one ("": no)."""
    out = COMMANDS[name][2]
    here, command = _fresh(name, work)
    code, said = run_command(command, here, seconds, at_point(point, work / "count"))
    if code != -signal.SIGKILL:
        return f"was not killed (exit {code}): {said[-200:]}"
    code, said = run_command(command, here, seconds)
    if code != 0:
        return f"run again: exit {code}: {said[-300:]}"
    found = tree(here / out)
    differ = sorted({file for file in whole.keys() | found.keys() if whole.get(file) != found.get(file)})
    if differ:
        shutil.move(here, here.with_name(f"{name}-{point}"))
    return f"differ: {', '.join(differ)}" if differ else ""


def kills(
    work: Path, points: int, seed: int = 1, names: Sequence[str] = tuple(COMMANDS), seconds: float = 300.0
) -> dict[str, list[str]]:
    """Faults by command over ``points`` points each, evenly spread and begun at random; prints as it goes."""
    work = Path(work).absolute()
    make_inputs(work / "base")
    warm_up()
    rng = random.Random(seed)
    faults: dict[str, list[str]] = {}
    for name in names:
        here, command = _fresh(name, work)
        code, said = run_command(command, here, seconds, at_point(0, work / "count"))
        if code != 0:
            raise SystemExit(f"{name}: the undisturbed run ends with {code}: {said}")
        moments = int((work / "count").read_text())
        chosen = sorted(rng.sample(range(1, moments + 1), min(points, moments)))
        whole = tree(here / COMMANDS[name][2])
        found = [kill_and_resume(name, point, work, whole, seconds) for point in chosen]
        faults[name] = [
            f"point {point}: {fault}" for point, fault in zip(chosen, found, strict=True) if fault
        ]
        print(
            f"| {name} | {moments} moments | {len(chosen)} kills | {len(faults[name])} faults |", flush=True
        )
        for fault in faults[name]:
            print(f"  {name}: {fault}", flush=True)
        shutil.rmtree(here, ignore_errors=True)
    return faults


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--points", type=int, default=25, help="per command")
    parser.add_argument("--commands", default=",".join(COMMANDS))
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    return int(any(kills(given.work, given.points, given.seed, given.commands.split(",")).values()))


if __name__ == "__main__":
    sys.exit(main())
