"""Changes that break what the paper claims, each with the tests that must notice: applied one at a time.

A mutant is one replacement in one file of the package. The tests that it names pass without it and fail with
it; a mutant that they let pass, or whose text is not in the file any more, ends the run with exit code 1.

    python -m recipes.mutants [NAME ...] [--workers 2]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter

from recipes.mutant_table import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 600
"""Longest that the tests of one mutant may take."""


@dataclass(frozen=True)
class Outcome:
    """What the tests of one mutant did: killed (they failed), survived, or not applied."""

    mutant: Mutant
    state: str
    seconds: float
    detail: str = ""


def apply(mutant: Mutant, package: Path) -> str:
    """Put the mutant into the copy ``package``; gives the file's text before it.

    Raises: ValueError where its text is not there exactly once.
    """
    path = package / mutant.file
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = before.count(mutant.old)
    if found != 1:
        raise ValueError(f"{mutant.file}: the text of {mutant.name} is there {found} times; mend the table")
    path.write_text(before.replace(mutant.old, mutant.new), encoding="utf-8")
    return before


def run_tests(tests: Sequence[str], source: Path) -> subprocess.CompletedProcess[str]:
    """pytest on ``tests`` of this checkout with the package of ``source``."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(source), str(ROOT)]), "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    return subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def judge(mutant: Mutant, source: Path) -> Outcome:
    """Apply ``mutant`` in the copy ``source``, run its tests, take it back."""
    started = perf_counter()
    try:
        before = apply(mutant, source / "deft_llm")
    except ValueError as error:
        return Outcome(mutant, "not applied", 0.0, str(error))
    try:
        ended = run_tests(mutant.tests, source)
    except subprocess.TimeoutExpired:
        return Outcome(mutant, "killed", perf_counter() - started, "its tests never end")
    finally:
        (source / "deft_llm" / mutant.file).write_text(before, encoding="utf-8")
    # 1: tests failed. Other codes (2: not collected, 4: no such test, 5: none) say nothing of the mutant.
    state = {0: "survived", 1: "killed"}.get(ended.returncode, "not applied")
    detail = "" if state != "not applied" else ended.stdout.strip().split("\n")[-1]
    return Outcome(mutant, state, perf_counter() - started, detail)


def run(mutants: Sequence[Mutant], workers: int = 2) -> list[Outcome]:
    """The outcomes of all mutants; before them, that their tests pass on the package as it is.

    Raises: RuntimeError where they do not.
    """
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(workers):
            source = Path(folder) / str(number)
            shutil.copytree(ROOT / "src" / "deft_llm", source / "deft_llm",
                            ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
            copies.put(source)
        first = copies.get()
        clean = run_tests(list(dict.fromkeys(test for mutant in mutants for test in mutant.tests)), first)
        copies.put(first)
        if clean.returncode:
            raise RuntimeError("the tests fail without any mutant:\n" + clean.stdout[-3000:])

        def one(mutant: Mutant) -> Outcome:
            source = copies.get()
            try:
                outcome = judge(mutant, source)
            finally:
                copies.put(source)
            words = f"{mutant.name}: {mutant.breaks}  {outcome.detail}"
            print(f"{outcome.state:12s} {outcome.seconds:6.1f} s  {words}", flush=True)
            return outcome

        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(one, mutants))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 where every mutant was killed."""
    parser = argparse.ArgumentParser(description="Break what the paper claims; the tests must notice.")
    parser.add_argument("names", nargs="*", help="mutants to run (default: all)")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    known = {mutant.name: mutant for mutant in MUTANTS}
    unknown = [name for name in given.names if name not in known]
    if unknown or given.workers < 1:
        parser.error(f"unknown mutant {unknown[0]}" if unknown else "--workers: give 1 or more")
    outcomes = run([known[name] for name in given.names] or MUTANTS, given.workers)
    killed = sum(outcome.state == "killed" for outcome in outcomes)
    print(f"{killed} of {len(outcomes)} mutants killed")
    return 0 if killed == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
