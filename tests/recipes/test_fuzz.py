"""The fuzzer and the kill harness work, and can find what they look for; long runs are the maintainers'."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from recipes import fuzz, kills
from recipes.fuzz_inputs import KINDS
from recipes.fuzz_mutations import mutate

pytestmark = pytest.mark.slow
QUICK = ("store index", "predictions", "clips table", "records", "settings", "coding table")


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A work folder, shared: its inputs are made once."""
    return tmp_path_factory.mktemp("fuzz")


def test_twenty_damaged_inputs_are_named_or_right(work, capsys) -> None:
    outcomes = fuzz.fuzz(work, 20, seed=3, seconds=120, names=QUICK)
    assert not any(o.is_fault for o in outcomes), outcomes
    assert sum(o.verdict == "named" for o in outcomes) >= 10, "most damage is noticed"
    assert fuzz.table(outcomes).count("\n") >= 3
    assert all(any((work / "base" / base).glob(target)) for _, base, target, *_ in KINDS)
    cases = (work / "outcomes.jsonl").read_text().count("\n")
    assert fuzz.fuzz(work, 20, seed=3, seconds=120, names=QUICK) == outcomes
    assert (work / "outcomes.jsonl").read_text().count("\n") == cases, "what went well is not done again"


@pytest.mark.parametrize(("code", "said", "verdict"), [
    (None, "", "hang"),
    (-11, "", "crash"),
    (1, "Traceback (most recent call last):\n  x", "traceback"),
    (1, "deft: unexpected KeyError: 'x' (run with --debug for the trace).", "unexpected"),
    (1, "deft: no face was found; use another video.", "nameless"),
    (1, "deft: /c/a.json: lacks x; make it again.", "named"),
    (1, "deft: a.json: \x1b[31m", "raw"),
    (0, "fine", "ok"),
])  # fmt: skip
def test_verdicts(code, said, verdict) -> None:
    assert fuzz.judge(code, said, Path("/c/a.json"), Path("/c")) == verdict


def test_a_command_that_does_not_end_is_a_hang(work) -> None:
    started = time.monotonic()
    code, _ = fuzz.run_command(["--version"], work / "x", 2.0, lambda: time.sleep(60))
    assert code is None and time.monotonic() - started < 30


def test_mutations_are_of_many_kinds_and_damage_the_file(tmp_path) -> None:
    seen, changed = set(), 0
    for number in range(300):
        path = tmp_path / f"a{number}.json"
        path.write_text('{"a": [1, 2, {"b": "text"}], "c": 3}\n')
        before = path.read_bytes()
        seen.add(mutate(path, random.Random(number)).split(":")[0])
        regular = path.is_file() and not path.is_symlink()
        changed += not regular or path.read_bytes() != before
    assert len(seen) >= 20 and changed >= 270
    assert len({kind[0] for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("name", ["prepare", "unimer"])
def test_a_killed_command_run_again_leaves_the_bytes_of_an_undisturbed_one(name, work) -> None:
    assert kills.kills(work, 4, seed=2, names=(name,)) == {name: []}


def test_a_kill_is_one(work) -> None:
    code, _ = fuzz.run_command(
        ["synth", str(work / "gone"), "--level", "flow", "--clips", "4", "--subjects", "2"], work / "y", 120,
        kills.at_point(2, work / "count"),
    )  # fmt: skip
    assert code == -signal.SIGKILL
