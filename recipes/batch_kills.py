"""Analyses many short videos in one command, kills it, runs it again, and compares every byte.

    python -m recipes.batch_kills WORK --videos 100 [--kills 2]

The videos are cuts of a portrait that moves; two of them cannot be read (no video; cut off), some are of one
person. Three runs: undisturbed with one worker, undisturbed with two, and one that is ended by SIGKILL in the
midst ``--kills`` times and run again each time. Prints a table; exit code 1 where a run does not name just
the two, or leaves other bytes than the first.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pandas as pd

from deft_llm.cli import main as deft
from deft_llm.explain.inputs import RECORD
from deft_llm.explain.samples import Injected, landmarks_of, living_portrait, portrait, save_video
from recipes import forked
from recipes.kills import tree

FPS, SHORTEST, LONGEST = 25, 10, 16  # frames of a video
SCENES = ((12, "both"), (4, "both"), (1, "both"), (15, "left"), (12, "right"))
PERSON_CLIPS = 8  # clips of the one person who is in several
UNREADABLE = ("no-video.mp4", "cut-off.mp4")
TABLE, OUT, LIST = "all.csv", "out", "list.csv"
LOCKS = (".lock",)
LONGEST_RUN = 3600.0  # s


@dataclass
class Run:
    """How one run went: ``left`` is the hash of every file that it left, by name."""

    name: str
    seconds: float
    code: int
    said: str
    left: dict[str, str]
    table: pd.DataFrame


def make_videos(folder: Path, count: int) -> Path:
    """``count`` short videos, the last two unreadable, and the list that names them; no two are the same."""
    folder.mkdir(parents=True)
    image = portrait()
    landmarks = landmarks_of(image)
    scenes = []
    for seed, (au, side) in enumerate(SCENES):
        movement = Injected(au, side, 4, 12, 40, 3.0, release=30)
        face = {"image": image, "landmarks": landmarks}
        frames = living_portrait([movement], 3 * LONGEST, fps=FPS, seed=seed, **face)
        scenes.append([frame[::2, ::2] for frame in frames])
    rows = []
    for number in range(count - len(UNREADABLE)):
        scene, start = scenes[number % len(scenes)], number // len(scenes) % LONGEST
        length = SHORTEST + number % (LONGEST - SHORTEST + 1)
        name = f"{number:03d}.mp4"
        save_video(folder / name, islice(scene, start, start + length), FPS)
        rows.append((name, "one" if number % 5 == 0 and number < 5 * PERSON_CLIPS else ""))
    (folder / UNREADABLE[0]).write_text("This is no video.\n" * 100)
    whole = (folder / "000.mp4").read_bytes()
    (folder / UNREADABLE[1]).write_bytes(whole[: len(whole) // 2])
    rows[1:1] = [(UNREADABLE[0], ""), (UNREADABLE[1], "one")]
    with (folder / LIST).open("w", newline="") as handle:
        csv.writer(handle).writerows([("video", "person"), *rows])
    return folder / LIST


def start(videos: Path, work: Path, workers: int) -> ForkServerProcess:
    """``deft analyze`` on the list, in a process of its own."""
    words = ["analyze", videos, "--fast", "--table", work / TABLE, "--out", work / OUT, "--workers", workers]
    return forked.start(deft, [str(word) for word in words], log=work.with_suffix(".log"))


def kill_after(process: ForkServerProcess, work: Path, done: int) -> int:
    """End the command by SIGKILL once ``done`` videos have their record; how many have then."""
    began = time.monotonic()
    while process.is_alive() and time.monotonic() - began < LONGEST_RUN:
        if len(list((work / OUT).glob(f"videos/*/{RECORD}"))) >= done:
            break
        time.sleep(0.005)
    process.kill()
    process.join()
    return len(list((work / OUT).glob(f"videos/*/{RECORD}")))


def run(name: str, videos: Path, work: Path, workers: int, kills: Sequence[int] = ()) -> Run:
    """One run to its end, ended at ``kills`` (numbers of finished videos) and begun again before."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    began = time.monotonic()
    for done in kills:
        there = kill_after(start(videos, work, workers), work, done)
        if (work / TABLE).exists():
            raise SystemExit(f"{name}: ended before it could be killed at {done} videos; give more of them.")
        print(f"  killed with {there} videos done", flush=True)
    process = start(videos, work, workers)
    code, said = forked.ended(process, work.with_suffix(".log"), LONGEST_RUN)
    seconds = time.monotonic() - began
    if not (work / TABLE).is_file():
        raise SystemExit(f"{name}: ends without a table: {said[-500:]}")
    return Run(name, seconds, code, said, tree(work, LOCKS), pd.read_csv(work / TABLE))


def faults_of(found: Run, first: Run, count: int) -> list[str]:
    """What is wrong with a run."""
    faults = []
    failed = found.table[found.table["error"].notna()]
    if found.code != 1 or f"2 of {count} videos failed" not in found.said:
        faults.append(f"exit {found.code}: {found.said[-300:]}")
    if found.table["file"].nunique() != count:
        faults.append(f"the table holds {found.table['file'].nunique()} videos")
    if sorted(failed["file"]) != sorted(UNREADABLE):
        faults.append(f"named as failed: {', '.join(failed['file'])}")
    names = found.left.keys() | first.left.keys()
    differ = sorted(name for name in names if found.left.get(name) != first.left.get(name))
    if differ:
        faults.append(f"{len(differ)} files differ: {', '.join(differ[:5])}")
    return faults


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--kills", type=int, default=2)
    given = parser.parse_args(arguments)
    count, work = given.videos, given.work.absolute()
    shutil.rmtree(work / "videos", ignore_errors=True)
    videos = make_videos(work / "videos", count)
    points = [round(count * (number + 1) / (given.kills + 1)) for number in range(given.kills)]
    runs = [run("1 worker", videos, work / "one", 1), run("2 workers", videos, work / "two", 2)]
    runs.append(run(f"2 workers, killed {given.kills} times", videos, work / "killed", 2, points))
    print("| run | s | videos in the table | rows | failed | files | faults |\n|---|---|---|---|---|---|---|")
    wrong = False
    for one in runs:
        faults = faults_of(one, runs[0], count)
        wrong |= bool(faults)
        named = one.table.loc[one.table["error"].notna(), "file"]
        cells = (one.name, f"{one.seconds:.0f}", one.table["file"].nunique(), len(one.table),
                 ", ".join(named), len(one.left), "; ".join(faults) or "none: equal bytes")  # fmt: skip
        print(f"| {' | '.join(map(str, cells))} |")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
