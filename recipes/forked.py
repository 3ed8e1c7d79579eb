"""Processes forked from one that has made the imports: commands and scripts that start at once.

What ``deft`` needs takes seconds to import. A server (multiprocessing's "forkserver") imports it once and
computes nothing; each process here is a fork of it, with nothing of the caller's state, and ends, fails or
is killed like any other. For programs that start many commands, and for their tests.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

LIBRARIES = (
    "accelerate", "av", "cv2", "jinja2", "joblib", "llguidance", "openpyxl", "pandas", "peft", "pytest",
    "rich.progress", "safetensors.torch", "scipy.ndimage", "scipy.optimize", "scipy.stats", "sklearn.metrics",
    "sklearn.svm", "torch", "transformers", "transformers.models.llama.modeling_llama", "yaml",
)  # fmt: skip
PACKAGE = (
    "deft_llm.benchmark.runner", "deft_llm.explain.analyzer", "deft_llm.explain.batch", "deft_llm.prepare",
    "deft_llm.synth.video.corpus", "deft_llm.training.run", "deft_llm.unimer.build",
)  # fmt: skip
SECONDS = 500.0


def start(
    function: Callable[..., Any], *arguments: Any, log: Path, folder: Path | None = None,
    environment: Mapping[str, str] | None = None, words: Sequence[str] = (),
    preload: Sequence[str] = (*LIBRARIES, *PACKAGE),
) -> ForkServerProcess:  # fmt: skip
    """``function(*arguments)`` in a process of its own, under way; all that it prints goes to ``log``.

    It runs in ``folder``, with more ``environment``, as if called by the command line ``words``. Function
    and arguments must be picklable. ``preload``: what the server imports when it starts, with the first.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    given = (function, arguments, str(log), str(folder or Path.cwd()), dict(environment or {}), list(words))
    process = context.Process(target=_begin, args=given)
    process.start()
    return process


def ended(process: ForkServerProcess, log: Path, seconds: float = SECONDS) -> tuple[int, str]:
    """Wait for a process; its exit code (a signal is negative) and what it printed.

    Raises: TimeoutError where it does not end; it is killed then.
    """
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"{log}: the process did not end in {seconds:.0f} s")
    return process.exitcode, log.read_text(encoding="utf-8", errors="replace")


def run(
    function: Callable[..., Any], *arguments: Any, log: Path, seconds: float = SECONDS, **given: Any
) -> tuple[int, str]:
    """``start`` and ``ended``."""
    return ended(start(function, *arguments, log=log, **given), log, seconds)


def world(script: Path, count: int, log: Path, **names: Any) -> None:
    """Run a script in ``count`` processes that torch.distributed takes for one world, as torchrun would;
    ``names``: global names that the script finds.

    Raises: RuntimeError with what a failed one printed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count),
              "LOCAL_WORLD_SIZE": str(count), "ACCELERATE_USE_CPU": "true"}  # fmt: skip
    logs = [log.with_suffix(f".{rank}.log") for rank in range(count)]
    with ExitStack() as stack:
        processes = []
        for rank, path in enumerate(logs):
            own = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} if count > 1 else {}
            processes.append(start(runpy.run_path, str(script), names, log=path, environment=own))
            stack.callback(processes[-1].kill)
        for process, path in zip(processes, logs, strict=True):
            code, said = ended(process, path)
            if code:
                raise RuntimeError(said[-2000:])


def module(words: Sequence[str]) -> None:
    """``python -m MODULE WORD...`` in this process; ``words`` begin with the module."""
    sys.argv = list(words)
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def _begin(
    function: Callable[..., Any], arguments: Sequence[Any], log: str, folder: str,
    environment: dict[str, str], words: list[str],
) -> None:  # fmt: skip
    """In the new process."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    os.environ.update(environment)
    os.chdir(folder)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    if words:
        sys.argv = words
    function(*arguments)
