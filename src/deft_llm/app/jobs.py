"""Slots that run jobs: each slot is a process of its own, started anew after a crash or a job that takes too
long.

Not the pool of ``deft_llm.jobs``: a visitor's job sends its progress while it runs, keeps its loaded models
for the next one, and must be ended alone when it takes too long. A pool of joblib offers none of these: it
gives results only, and a worker that is killed breaks the whole pool.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deft_llm.app.worker import serve
from deft_llm.errors import DeftError

TASKS_A_PROCESS = 40  # then it is renewed, so that nothing piles up in it
POLL = 0.25


@dataclass(frozen=True)
class Progress:
    """How far a job is: share 0..1 and what it does."""

    share: float
    text: str


class _Slot:
    """One worker process and the pipe to it."""

    def __init__(self, threads: int) -> None:
        self.threads, self.served = threads, 0
        self.process: Any = None
        self.pipe: Any = None

    def start(self) -> None:
        """A living process that has not served too many jobs; nothing where there is one."""
        if self.process is not None and self.process.is_alive() and self.served < TASKS_A_PROCESS:
            return
        self.stop()
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, self.threads), daemon=True)
        self.process.start()
        theirs.close()
        self.served = 0

    def stop(self) -> None:
        """End the process, whatever it is at."""
        if self.pipe is not None:
            self.pipe.close()
        if self.process is not None and self.process.is_alive():
            self.process.kill()
            self.process.join(5)
        self.process = self.pipe = None


class Slots:
    """``count`` jobs at a time; a job that crashes or overruns costs its own slot's process only."""

    def __init__(self, count: int = 1, seconds: float = 900.0) -> None:
        self.count, self.seconds, self.closed = count, seconds, False
        threads = max(1, (os.cpu_count() or 1) // count)
        self._all = [_Slot(threads) for _ in range(count)]
        self._free: queue.Queue[_Slot] = queue.Queue()
        for slot in self._all:
            self._free.put(slot)

    def run(self, task: str, *arguments: Any) -> Iterator[Progress | Any]:
        """Yield ``Progress``, then the result as the last item.

        Raises: DeftError for a job that failed, crashed or took too long.
        """
        slot = self._free.get()
        done = False
        try:
            if self.closed:
                raise DeftError("The server is ending; come back later.")
            slot.start()
            slot.pipe.send((task, arguments))
            deadline = time.monotonic() + self.seconds
            while True:
                if not slot.pipe.poll(POLL):
                    if time.monotonic() > deadline:
                        raise DeftError(f"It took more than {self.seconds:.0f} s; give a shorter video.")
                    continue
                kind, value = slot.pipe.recv()
                if kind == "progress":
                    yield Progress(*value)
                    continue
                done = True
                slot.served += 1
                if kind == "error":
                    raise DeftError(value)
                yield value
                return
        except (EOFError, ConnectionError, BrokenPipeError, OSError) as error:
            raise DeftError(
                "The analysis of this video stopped unexpectedly; other jobs go on. Try another file."
            ) from error
        finally:
            if not done:  # the process is busy with something nobody waits for, or dead
                slot.stop()
            self._free.put(slot)

    def result(self, task: str, *arguments: Any) -> Any:
        """The result alone, progress left out."""
        *_, last = self.run(task, *arguments)
        return last

    def close(self) -> None:
        """End all processes; no further one is started."""
        self.closed = True
        for slot in self._all:
            slot.stop()
