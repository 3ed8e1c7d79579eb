"""Where units of work run: in this process, in several on this machine, or on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from deft_llm.errors import DeftError, UsageError
from deft_llm.prepare.work import Done, Job, do
from deft_llm.processes import end_with_parent

ENGINES = ("local", "ray")


def run(jobs: Sequence[Job], workers: int, engine: str, on_done: Callable[[Done], None]) -> None:
    """Do all jobs; ``on_done`` is called in this process as each ends.

    Raises: UsageError for an unknown engine or worker count; DeftError where a worker dies.
    """
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine}: unknown; choose local or ray.")
    if workers < 1:
        raise UsageError(f"--workers {workers}: give 1 or more.")
    if engine == "ray":
        done = _ray(jobs, workers)
    elif workers == 1 or len(jobs) == 1:
        done = map(do, jobs)
    else:
        done = _processes(jobs, workers)
    for result in done:
        on_done(result)


def _one_thread() -> None:
    """Workers share the machine: one thread each. A worker ends with the process that started it."""
    import cv2

    cv2.setNumThreads(1)
    end_with_parent()


def _processes(jobs: Sequence[Job], workers: int) -> Iterator[Done]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool

    # Threads of OpenCV and LiteRT do not survive a fork: workers start afresh.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_one_thread) as pool:
        futures = [pool.submit(do, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise DeftError(
                "a worker died (out of memory, or killed); run the same command again, with fewer --workers."
            ) from error
        finally:
            for future in futures:
                future.cancel()


def _ray(jobs: Sequence[Job], workers: int) -> Iterator[Done]:
    """All jobs on a Ray cluster: a running one where there is one, else one on this machine.

    The store and the corpus must be folders that every node sees.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise UsageError("--engine ray: Ray is not installed; pip install 'deft-llm[ray]'.") from error
    started = not ray.is_initialized()
    if started:
        _connect(ray, workers)
    remote: Any = ray.remote(_do_alone)
    waiting = list(reversed(jobs))
    running: list[Any] = []
    try:
        while waiting or running:
            while waiting and len(running) < 2 * workers:
                running.append(remote.remote(waiting.pop()))
            finished, running = ray.wait(running, num_returns=1)
            try:
                yield ray.get(finished[0])
            except ray.exceptions.RayTaskError as error:
                raise DeftError(f"a Ray worker failed: {error.cause or error}; see the Ray log.") from error
            except ray.exceptions.RayError as error:
                raise DeftError(
                    f"a Ray worker died ({type(error).__name__}); run the same command again."
                ) from error
    finally:
        if started:
            ray.shutdown()


def _do_alone(job: Job) -> Done:
    import cv2

    cv2.setNumThreads(1)
    return do(job)


def _connect(ray: Any, workers: int) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "include_dashboard": False}
    try:
        ray.init(address="auto", log_to_driver=False)
    except ConnectionError:
        ray.init(num_cpus=workers, **options)
