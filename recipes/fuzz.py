"""Feeds damaged inputs of every kind that a command reads to the commands, and tells how they took it.

    python -m recipes.fuzz WORK --inputs 3000 [--kinds store,video] [--seed 1] [--seconds 60]

Each case is a process of its own, forked after the imports, with a limit of time and of memory. The table
counts per kind: ok (exit 0, and the right result where one is known), named (a sentence with the file, exit 1
or 2), and the faults: traceback, unexpected, hang, crash (ended by a signal), nameless (no file in the
message), raw (control characters shown), wrong (exit 0 with another result). WORK keeps every faulty input
and outcomes.jsonl; run again, cases that ended well are not repeated, those that ended in a fault are.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from deft_llm.files import json_line, read_jsonl
from recipes.fuzz_inputs import KINDS, make_inputs
from recipes.fuzz_mutations import mutate
from recipes.fuzz_page import PAGE, ask_page

OUTCOMES = ("ok", "named", "traceback", "unexpected", "hang", "crash", "nameless", "raw", "wrong")
MEMORY = 8_000_000_000  # bytes of address space per case


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    ``base``: folder with all that a case needs, copied for each; ``target``: a glob in it, one of whose files
    is damaged; ``words``: the command, {here} is the copy; ``result``: what exit 0 must leave, as text,
    compared with the undamaged run's (None: anything goes).
    """

    name: str
    base: Path
    target: str
    words: str
    result: Callable[[Path], str] | None
    weight: int

    def command(self, here: Path) -> list[str]:
        """The words of the command in the copy ``here``."""
        return [word.format(here=here) for word in self.words.split()]


@dataclass
class Outcome:
    """How one case went."""

    kind: str
    verdict: str
    how: str
    said: str
    seconds: float

    @property
    def is_fault(self) -> bool:
        """Whether something is to be mended."""
        return self.verdict not in ("ok", "named")


def run_case(
    kind: Kind, number: int, rng: random.Random, work: Path, seconds: float, right: str | None
) -> Outcome:
    """Copy the kind's base, damage its target, run the command, judge."""
    here = work / "cases" / f"{kind.name}-{number:05d}"
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(kind.base, here, symlinks=True)
    target = rng.choice(sorted(here.glob(kind.target)))
    how = f"{target.name}: {mutate(target, rng)}"
    started = time.monotonic()
    code, said = run_command(kind.command(here), here, seconds)
    verdict = judge(code, said, target, here)
    if verdict == "ok" and kind.result is not None and kind.result(here) != right:
        verdict = "wrong"
    outcome = Outcome(kind.name, verdict, how, said[-2000:], round(time.monotonic() - started, 2))
    if not outcome.is_fault:
        shutil.rmtree(here, ignore_errors=True)
    return outcome


def undamaged(kind: Kind, work: Path, seconds: float) -> str | None:
    """What the kind's command leaves from sound inputs. Raises: SystemExit where it fails on them."""
    here = work / "cases" / f"{kind.name}-right"
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(kind.base, here, symlinks=True)
    code, said = run_command(kind.command(here), here, 4 * seconds)
    if code not in (0, 1):
        raise SystemExit(f"{kind.name}: the undamaged input ends with {code}: {said}")
    found = kind.result(here) if kind.result is not None else None
    shutil.rmtree(here, ignore_errors=True)
    return found


def judge(code: int | None, said: str, target: Path, here: Path) -> str:
    """The outcome of a command by its exit code (None: out of time; negative: a signal) and what it said."""
    if code is None:
        return "hang"
    if "Traceback (most recent call last)" in said:
        return "traceback"
    if code < 0:
        return "crash"
    if (
        re.search(r"unexpected \w+(Error|Exception|Warning)?:", said)
        or "unexpected " in said.split("deft: ")[-1][:30]
    ):
        return "unexpected"
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said):
        return "raw"
    if code == 0:
        return "ok"
    return "named" if target.name in said or str(here) in said else "nameless"


def run_command(
    words: Sequence[str], here: Path, seconds: float, first: Callable[[], None] | None = None
) -> tuple[int | None, str]:
    """Run ``deft WORDS``, or ask the coding page (``fuzz_page``), in a forked process; exit code (None: out
    of time, then killed) and its output.

    ``first`` is called in that process before the command.
    """
    log = here.with_suffix(".log")
    child = os.fork()
    if child == 0:
        _child(words, log, first)
    deadline = time.monotonic() + seconds
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            status = None
            break
        time.sleep(0.01)
    said = log.read_bytes().decode("utf-8", "replace")
    log.unlink()
    return (None if status is None else os.waitstatus_to_exitcode(status)), said


def _child(words: Sequence[str], log: Path, first: Callable[[], None] | None) -> None:
    """In the forked process: never returns."""
    code = 70
    try:
        os.setpgid(0, 0)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if first is not None:
            first()
        if words[0] == PAGE:
            code = ask_page(Path(words[1]))
        else:
            from deft_llm.cli import main

            main(list(words))
            code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


WARM = (
    "ai_edge_litert.interpreter", "accelerate", "antlr4", "av", "filelock", "jinja2", "joblib", "omegaconf",
    "openpyxl", "pandas", "pympi", "rich.progress", "scipy.ndimage", "scipy.optimize", "scipy.stats",
    "peft", "sklearn.metrics", "sklearn.svm", "torch", "torch._dynamo", "torch.utils.tensorboard",
    "transformers.models.auto", "transformers.models.llama.modeling_llama",
    "transformers.optimization", "yaml",
    "deft_llm.app.coding.server", "deft_llm.benchmark.runner", "deft_llm.codings.formats",
    "deft_llm.explain.analyzer", "deft_llm.prepare", "deft_llm.training.run", "deft_llm.unimer.build",
)  # fmt: skip


def warm_up() -> None:
    """Import what cases need before they are forked, so that each starts at once; nothing computes."""
    import cv2
    import torch

    from deft_llm.cli import COMMANDS

    for name in (*WARM, *(f"deft_llm.cli.{command}" for command in COMMANDS)):
        import_module(name)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def fuzz(work: Path, inputs: int, seed: int, seconds: float, names: Sequence[str] = ()) -> list[Outcome]:
    """Run ``inputs`` cases over the kinds (all by default); prints each fault as it is found."""
    work = Path(work).absolute()
    work.mkdir(parents=True, exist_ok=True)
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    make_inputs(work / "base")
    kinds = {
        name: Kind(name, work / "base" / base, *rest)
        for name, base, *rest in KINDS
        if not names or name in names
    }
    warm_up()
    done = _earlier(work / "outcomes.jsonl")
    right: dict[str, str | None] = {}
    outcomes = []
    for number in range(inputs):
        rng = random.Random(f"{seed}-{number}")
        key = f"{seed}-{number}"
        drawn = rng.choices(list(kinds), [kind.weight for kind in kinds.values()])[0]
        outcome = done.get(key)
        if outcome is None or outcome.is_fault:
            kind = kinds[outcome.kind if outcome is not None and outcome.kind in kinds else drawn]
            if kind.name not in right:
                right[kind.name] = undamaged(kind, work, seconds)
            outcome = run_case(kind, number, rng, work, seconds, right[kind.name])
            with (work / "outcomes.jsonl").open("a", encoding="utf-8") as handle:
                handle.write(json_line({"case": key, **asdict(outcome)}))
            if outcome.is_fault:
                last = " / ".join(outcome.said.strip().splitlines()[-3:])[-400:]
                print(f"{outcome.verdict:10s} {kind.name}-{number:05d} [{outcome.how}] {last!r}", flush=True)
        outcomes.append(outcome)
    return outcomes


def _earlier(path: Path) -> dict[str, Outcome]:
    """What an earlier run found, by case; the last word counts."""
    found = {}
    for row in read_jsonl(path) if path.exists() else ():
        key = row.pop("case")
        found[key] = Outcome(**row)
    return found


def table(outcomes: Sequence[Outcome]) -> str:
    """Kinds by outcomes, as Markdown."""
    counts = {
        kind: Counter(o.verdict for o in outcomes if o.kind == kind)
        for kind in sorted({o.kind for o in outcomes})
    }
    counts["all"] = Counter(o.verdict for o in outcomes)
    lines = ["| kind | inputs | " + " | ".join(OUTCOMES) + " |", "|---|" + "--:|" * (len(OUTCOMES) + 1)]
    lines += [
        f"| {kind} | {sum(found.values())} | " + " | ".join(str(found[name]) for name in OUTCOMES) + " |"
        for kind, found in counts.items()
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; exit code 1 where a case ended in a fault."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--kinds", default="", help="comma-separated names; default: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="limit per case")
    given = parser.parse_args(arguments)
    names = [name for name in given.kinds.split(",") if name]
    outcomes = fuzz(given.work, given.inputs, given.seed, given.seconds, names)
    print(table(outcomes))
    return int(any(outcome.is_fault for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
