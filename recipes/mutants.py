"""Changes that break what the paper claims, each with the tests that must notice: applied one at a time.

A mutant is one replacement in one file of the package. The tests that it names pass without it and fail with
it; a mutant that they let pass, or whose text is not in the file any more, ends the run with exit code 1.
Each is tested in a process of its own, a fork of one that has imported the libraries but not the package.

    python -m recipes.mutants [NAME ...] [--workers 2]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter

from recipes import forked
from recipes.mutant_table import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[1]
SECONDS, CHECK_SECONDS = 600.0, 3600.0
"""Longest that the tests of one mutant, and all of them without a mutant, may take."""


@dataclass(frozen=True)
class Outcome:
    """What the tests of one mutant did: killed (they failed), survived, or not applied."""

    mutant: Mutant
    state: str
    seconds: float
    detail: str = ""


@contextmanager
def applied(mutant: Mutant, package: Path) -> Iterator[None]:
    """The copy ``package`` with the mutant in it; its file is as before afterwards.

    Raises: ValueError where its text is not there exactly once.
    """
    path = package / mutant.file
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = before.count(mutant.old)
    if found != 1:
        raise ValueError(f"{mutant.file}: the text of {mutant.name} is there {found} times; mend the table")
    path.write_text(before.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")


def run_tests(tests: Sequence[str], source: Path, seconds: float = SECONDS) -> tuple[int, str]:
    """Exit code and output of pytest on ``tests`` of this checkout with the package of ``source``.

    Raises: TimeoutError where they do not end.
    """
    environment = {"PYTHONPATH": os.pathsep.join([str(source), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    return forked.run(_tested, list(tests), str(source), log=source.with_suffix(".log"), folder=ROOT,
                      environment=environment, preload=forked.LIBRARIES, seconds=seconds)  # fmt: skip


def _tested(tests: list[str], source: str) -> None:
    """In the new process: run the tests with the package of ``source`` and no other, and leave."""
    import pytest

    for name in [name for name in sys.modules if name.partition(".")[0] == "deft_llm"]:
        del sys.modules[name]
    sys.path[:0] = [source, str(ROOT)]
    import deft_llm

    if not Path(deft_llm.__file__).is_relative_to(source):
        raise RuntimeError(f"{deft_llm.__file__} is not the copy in {source}")
    sys.exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]))


def judge(mutant: Mutant, source: Path) -> Outcome:
    """Apply ``mutant`` in the copy ``source``, run its tests, take it back."""
    started = perf_counter()
    try:
        with applied(mutant, source / "deft_llm"):
            code, said = run_tests(mutant.tests, source)
    except ValueError as error:
        return Outcome(mutant, "not applied", 0.0, str(error))
    except TimeoutError:
        return Outcome(mutant, "killed", perf_counter() - started, "its tests never end")
    # 1: tests failed. Other codes (2: not collected, 4: no such test, 5: none) say nothing of the mutant.
    state = {0: "survived", 1: "killed"}.get(code, "not applied")
    if state == "killed" and not re.search(r"^(FAILED|ERROR) ", said, re.MULTILINE):
        state = "not applied"  # 1 is the code of a process that ends with a traceback too
    detail = "" if state != "not applied" else said.strip().split("\n")[-1]
    return Outcome(mutant, state, perf_counter() - started, detail)


def run(mutants: Sequence[Mutant], workers: int = 2) -> list[Outcome]:
    """The outcomes of all mutants; beside them, that their tests pass on the package as it is.

    Raises: RuntimeError where they do not.
    """
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(workers):
            source = Path(folder) / str(number)
            shutil.copytree(ROOT / "src" / "deft_llm", source / "deft_llm",
                            ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
            copies.put(source)

        def one(mutant: Mutant | None) -> Outcome | None:
            source = copies.get()
            try:
                if mutant is None:
                    _check(mutants, source)
                    return None
                outcome = judge(mutant, source)
            finally:
                copies.put(source)
            words = f"{mutant.name}: {mutant.breaks}  {outcome.detail}"
            print(f"{outcome.state:12s} {outcome.seconds:6.1f} s  {words}", flush=True)
            return outcome

        with ThreadPoolExecutor(workers) as pool:
            return [found for found in pool.map(one, [None, *mutants]) if found is not None]


def _check(mutants: Sequence[Mutant], source: Path) -> None:
    """Raises: RuntimeError where a mutant's tests fail without any mutant, and so prove nothing."""
    tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
    code, said = run_tests(tests, source, CHECK_SECONDS)
    if code:
        raise RuntimeError("the tests fail without any mutant:\n" + said[-3000:])


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
