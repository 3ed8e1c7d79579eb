"""One pool of workers for all stages: this process, several on this machine (joblib), or Ray.

Results are the same wherever jobs run: a job takes all it needs from its argument and its ``setup``, and
workers compute with one thread, since sums in another order would change results.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from deft_llm.errors import DeftError, UsageError

ENGINES = ("local", "ray")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
PARENT_CHECK_S = 0.25  # how soon a worker notices that its parent is gone
HANDED_OUT = 2  # jobs per worker that are under way or wait at it
MOST_WORKERS = 1024
DIED = "a worker died (out of memory, or killed); run the same command again, with fewer --workers."


class WorkerDied(DeftError):
    """A worker process ended before its job did."""


def check_pool(workers: int, engine: str = "local") -> None:
    """Raises: UsageError for an unknown engine or a number of workers that cannot be."""
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine}: unknown; choose {' or '.join(ENGINES)}.")
    if not 1 <= workers <= MOST_WORKERS:
        raise UsageError(f"--workers {workers}: give 1 to {MOST_WORKERS}.")


def run_jobs(
    function: Callable[..., Any],
    jobs: Sequence[Any],
    *,
    workers: int = 1,
    engine: str = "local",
    ordered: bool = True,
    setup: Callable[[], Any] | None = None,
    lost: Callable[[Any], Any] | None = None,
) -> Iterator[Any]:
    """Results of ``function(job)`` for all jobs, in their order, or as they end where ``ordered`` is False.

    ``setup`` is called once per worker; jobs then run as ``function(setup(), job)``: for what is dear to open
    (a renderer, a method with its samples). Function, setup and jobs must be picklable.

    ``lost``: what takes the place of a job's result whose worker dies even when it does that job alone; the
    other jobs go on (Ray, and several local workers with results as they end; one worker is this process).
    Raises: UsageError as ``check_pool``; DeftError where a worker dies; else what a job raises.
    """
    check_pool(workers, engine)
    call = _Call(function, setup, uuid.uuid4().hex)
    workers = min(workers, len(jobs))
    if engine == "ray":
        return _ray(call, jobs, max(workers, 1), ordered, lost)
    if workers <= 1:
        return _here(call, jobs)
    if lost is not None:
        return _surviving(call, jobs, workers, lost)
    return _processes(call, jobs, workers, ordered)


@dataclass(frozen=True)
class _Call:
    """The function with what its worker has set up; ``token`` tells one run's set-up from another's."""

    function: Callable[..., Any]
    setup: Callable[[], Any] | None
    token: str

    def __call__(self, job: Any) -> Any:
        if self.setup is None:
            return self.function(job)
        if self.token not in _SET_UP:
            _SET_UP.clear()
            _SET_UP[self.token] = self.setup()
        return self.function(_SET_UP[self.token], job)


_SET_UP: dict[str, Any] = {}  # of this process


def _here(call: _Call, jobs: Sequence[Any]) -> Iterator[Any]:
    try:
        yield from map(call, jobs)
    finally:
        _SET_UP.pop(call.token, None)


def _processes(call: Callable[[Any], Any], jobs: Sequence[Any], workers: int, ordered: bool) -> Iterator[Any]:
    import joblib
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import BrokenProcessPool

    kind = "generator" if ordered else "generator_unordered"
    with joblib.parallel_config("loky", inner_max_num_threads=1, initializer=_begin, max_nbytes=None):
        pool = joblib.Parallel(n_jobs=workers, return_as=kind, batch_size=1,
                               pre_dispatch=f"{HANDED_OUT} * n_jobs")  # fmt: skip
    results = pool(joblib.delayed(call)(job) for job in jobs)
    try:
        while (result := next(results, _END)) is not _END:
            yield result
    except BrokenProcessPool as error:
        raise WorkerDied(DIED) from error
    finally:
        with warnings.catch_warnings():  # joblib's word on jobs that are given up: that is what was asked
            warnings.simplefilter("ignore", UserWarning)
            results.close()
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _surviving(call: _Call, jobs: Sequence[Any], workers: int, lost: Callable[[Any], Any]) -> Iterator[Any]:
    """As ``_processes``, as they end; where a worker dies, the jobs that may have been its are done one by
    one, each by workers of its own."""
    left = dict(enumerate(jobs))
    while left:
        try:
            for number, result in _processes(_Numbered(call), list(left.items()), workers, False):
                del left[number]
                yield result
        except WorkerDied:
            for number in list(left)[: HANDED_OUT * workers]:
                job = left.pop(number)
                try:
                    results = [one for _, one in _processes(_Numbered(call), [(number, job)], workers, False)]
                except WorkerDied:
                    results = [lost(job)]
                yield from results


@dataclass(frozen=True)
class _Numbered:
    """A call whose results bear the number of their job."""

    call: _Call

    def __call__(self, numbered: tuple[int, Any]) -> tuple[int, Any]:
        number, job = numbered
        return number, self.call(job)


_END = object()


def _begin() -> None:
    """In a worker: one thread, no word on Ctrl-C (its parent says it), the end when the parent ends."""
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def end_with_parent() -> None:
    """Let this worker process end as soon as its parent does; in a main process nothing happens.

    Otherwise a worker whose parent was killed (SIGKILL) goes on writing beside the run that is started next.
    """
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def follow() -> None:
        while os.getppid() == parent.pid:
            time.sleep(PARENT_CHECK_S)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def single_thread() -> Iterator[None]:
    """One thread for numerical code in this process and in processes that it starts meanwhile."""
    from threadpoolctl import threadpool_limits

    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    torch: Any = sys.modules.get("torch")  # where it is not loaded it reads the variables
    threads = torch.get_num_threads() if torch else 0
    try:
        if torch:
            torch.set_num_threads(1)
        with threadpool_limits(1):
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        if torch:
            torch.set_num_threads(threads)


def _ray(
    call: _Call, jobs: Sequence[Any], workers: int, ordered: bool, lost: Callable[[Any], Any] | None
) -> Iterator[Any]:
    """All jobs on a Ray cluster: one to be joined where there is one, else one on this machine.

    Files that jobs read and write must be in folders that every node sees.
    """
    ray = _import_ray()
    started = not ray.is_initialized()
    if started:
        _connect(ray, workers)
    remote = ray.remote(_alone)
    waiting = list(reversed(jobs))
    running: dict[Any, Any] = {}  # handle -> its job
    try:
        while waiting or running:
            while waiting and len(running) < HANDED_OUT * workers:
                job = waiting.pop()
                running[remote.remote(call, job)] = job
            handles = list(running)
            finished = handles[0] if ordered else ray.wait(handles, num_returns=1)[0][0]
            yield _fetched(ray, finished, running.pop(finished), lost)
    finally:
        if started:
            ray.shutdown()


def _alone(call: _Call, job: Any) -> Any:
    import cv2

    cv2.setNumThreads(1)
    return call(job)


def _fetched(ray: Any, handle: Any, job: Any, lost: Callable[[Any], Any] | None) -> Any:
    """A job's result; where its worker died each time that Ray tried, what ``lost`` puts in its place."""
    try:
        return ray.get(handle)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, DeftError):
            raise error.cause from None
        raise DeftError(f"a Ray worker failed: {error.cause or error}; see the Ray log.") from error
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
        if lost is not None:
            return lost(job)
        raise WorkerDied(DIED) from error
    except ray.exceptions.RayError as error:
        raise DeftError(
            f"the Ray cluster is gone ({type(error).__name__}); run the command again."
        ) from error


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise UsageError("--engine ray: Ray is not installed; pip install 'deft-llm[ray]'.") from error
    return ray


def _connect(ray: Any, workers: int) -> None:
    """Join the cluster that ``RAY_ADDRESS`` or ``ray start`` names; where none does, start one.

    A cluster that another program has started for itself is not joined: it ends when that program does.
    Raises: DeftError where the named one does not answer.
    """
    try:
        try:
            ray.init(num_cpus=workers, log_to_driver=False, include_dashboard=False)
        except ValueError:  # there is one, and how many processors it has is its own matter
            ray.init(log_to_driver=False)
    except ConnectionError as error:
        raise DeftError(
            f"--engine ray: {error}; start that cluster, or unset RAY_ADDRESS and forget it by 'ray stop'."
        ) from error
