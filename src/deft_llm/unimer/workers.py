"""Runs independent jobs in this process, in several, or on Ray; results come in the order of the jobs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from deft_llm.errors import DeftError, UsageError
from deft_llm.processes import end_with_parent


def run_jobs(
    function: Callable[[Any], Any], jobs: Sequence[Any], *, workers: int = 1, engine: str = "local"
) -> Iterator[Any]:
    """``function`` of every job, in order.

    Raises: UsageError for an unknown engine or worker count; DeftError where a worker dies.
    """
    if engine not in ("local", "ray"):
        raise UsageError(f"--engine {engine}: unknown; choose local or ray.")
    if workers < 1:
        raise UsageError(f"--workers {workers}: give 1 or more.")
    if engine == "ray":
        return _ray(function, jobs, workers)
    if workers == 1 or len(jobs) < 2:
        return map(function, jobs)
    return _processes(function, jobs, workers)


def _processes(function: Callable[[Any], Any], jobs: Sequence[Any], workers: int) -> Iterator[Any]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(workers, len(jobs)), mp_context=context, initializer=end_with_parent
    ) as pool:
        try:
            yield from pool.map(function, jobs)
        except BrokenProcessPool as error:
            raise DeftError(
                "a worker died (out of memory, or killed); run the same command again, with fewer --workers."
            ) from error


def _ray(function: Callable[[Any], Any], jobs: Sequence[Any], workers: int) -> Iterator[Any]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise UsageError("--engine ray: Ray is not installed; pip install 'deft-llm[ray]'.") from error
    started = not ray.is_initialized()
    if started:
        try:
            ray.init(address="auto", log_to_driver=False)
        except ConnectionError:
            ray.init(num_cpus=workers, log_to_driver=False, include_dashboard=False)
    remote: Any = ray.remote(function)
    try:
        waiting: list[Any] = []
        for job in jobs:
            waiting.append(remote.remote(job))
            if len(waiting) >= 2 * workers:
                yield _fetched(ray, waiting.pop(0))
        while waiting:
            yield _fetched(ray, waiting.pop(0))
    finally:
        if started:
            ray.shutdown()


def _fetched(ray: Any, handle: Any) -> Any:
    try:
        return ray.get(handle)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        raise DeftError(f"a Ray worker failed: {cause}; run the same command again.") from error
