"""The pool of workers: order, set-up, faults, and workers that end with the process that started them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deft_llm.errors import DeftError, UsageError
from deft_llm.jobs import run_jobs

ORPHAN = """
import os, time
from deft_llm.jobs import run_jobs
def work(number):
    if number == 0:
        time.sleep(60)
    return os.getpid()
if __name__ == "__main__":
    for result in run_jobs(work, [1, 0, 0], workers=2, ordered=False):
        print(result, flush=True)
"""


def late(folder: Path, number: int) -> int:
    """Job 0 ends once the folder holds a file, however slowly workers start or the parent reads."""
    deadline = time.monotonic() + 60
    while number == 0 and not any(folder.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return number


def test_results_come_as_they_end(tmp_path) -> None:
    found = []
    for number in run_jobs(partial(late, tmp_path), range(5), workers=2, ordered=False):
        (tmp_path / "read").touch()  # only now may job 0 end
        found.append(number)
    assert sorted(found) == [0, 1, 2, 3, 4] and found[0] != 0


def ended(folder: Path, number: int) -> int:
    """Job 0 ends after another one."""
    late(folder, number)
    (folder / str(number)).touch()
    return number


def test_results_come_in_the_order_of_the_jobs(tmp_path) -> None:
    found = list(run_jobs(partial(ended, tmp_path), range(5), workers=2))
    assert found == [0, 1, 2, 3, 4]


def dying(number: int) -> int:
    if number == 3:
        os._exit(1)
    return number


def test_a_job_that_ends_its_worker_is_lost_alone() -> None:
    found = list(run_jobs(dying, range(9), workers=2, ordered=False, lost=lambda number: -number))
    assert sorted(found) == [-3, 0, 1, 2, 4, 5, 6, 7, 8]
    with pytest.raises(DeftError, match="a worker died"):
        list(run_jobs(dying, range(9), workers=2))


def count_setup(folder) -> str:
    (folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()
    return "set up"


def with_setup(state: str, number: int) -> tuple[str, int]:
    return state, number


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_sets_up_once_a_run(workers, tmp_path) -> None:
    for run in (1, 2):
        found = list(run_jobs(with_setup, range(6), workers=workers, setup=partial(count_setup, tmp_path)))
        assert found == [("set up", number) for number in range(6)]
        made = [path.name.split("-")[0] for path in tmp_path.iterdir()]
        assert run <= len(made) <= run * workers


def facts(_: int) -> tuple[int, int, str | None]:
    import cv2

    return os.getpid(), cv2.getNumThreads(), os.environ.get("OMP_NUM_THREADS")


def test_a_worker_computes_with_one_thread() -> None:
    found = list(run_jobs(facts, range(4), workers=2))
    assert {threads for _, *threads in map(tuple, found) for threads in [tuple(threads)]} == {(1, "1")}
    assert os.getpid() not in {pid for pid, *_ in found}


def fail_at_3(number: int) -> int:
    if number == 3:
        raise DeftError("c3.png: is not an image; replace it.")
    return number


def die_at_3(number: int) -> int:
    if number == 3:
        os._exit(9)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_a_jobs_own_error_comes_through(workers) -> None:
    with pytest.raises(DeftError, match=r"c3\.png: is not an image"):
        list(run_jobs(fail_at_3, range(6), workers=workers))
    assert list(run_jobs(abs, [1, -2, 3], workers=workers)) == [1, 2, 3]  # the pool works again


def test_a_dead_worker_is_one_sentence() -> None:
    with pytest.raises(DeftError, match="a worker died .*fewer --workers"):
        list(run_jobs(die_at_3, range(6), workers=2))


def test_a_run_that_nobody_reads_to_the_end_leaves_no_worker() -> None:
    results = run_jobs(facts, range(8), workers=2)
    pid = next(results)[0]
    results.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_engine_and_workers_are_checked_in_one_place() -> None:
    with pytest.raises(UsageError, match="--engine spark: unknown; choose local or ray"):
        run_jobs(late, [1], engine="spark")
    with pytest.raises(UsageError, match="--workers -3: give 1 to 1024"):
        run_jobs(late, [1], workers=-3)


def test_a_worker_ends_with_its_parent(worker_left_behind) -> None:
    assert not worker_left_behind(ORPHAN)


@pytest.fixture
def run_on_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Iterator[Any]]]:
    """``run_jobs`` on a Ray cluster that is there already; without one it starts its own."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    yield partial(run_jobs, workers=2, engine="ray")
    ray.shutdown()


@pytest.mark.slow
def test_ray_runs_the_same_jobs(run_on_ray: Callable[..., Iterator[Any]]) -> None:
    assert list(run_on_ray(abs, [-3, 2, -1])) == [3, 2, 1]
    assert sorted(run_on_ray(abs, [-3, 2, -1], ordered=False)) == [1, 2, 3]
    with pytest.raises(DeftError, match="fails on Ray"):
        list(run_on_ray(partial(_raise, "x: fails on Ray; mend it."), [1]))
    found = list(run_on_ray(dying, range(5), ordered=False, lost=lambda number: -number))
    assert sorted(found) == [-3, 0, 1, 2, 4]
    with pytest.raises(DeftError, match="a worker died"):
        list(run_on_ray(dying, range(5)))


ANOTHER = """
import ray, sys
ray.init(num_cpus=1, log_to_driver=False, include_dashboard=False)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


def gcs_of(_: int) -> str:
    import ray

    return str(ray.get_runtime_context().gcs_address)


@pytest.mark.slow
def test_a_ray_cluster_of_another_program_is_not_joined() -> None:
    """It would end when that program does."""
    pytest.importorskip("ray")
    words = [sys.executable, "-c", ANOTHER]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = other.stdout.readline().strip()
        ours = list(run_jobs(gcs_of, [1], engine="ray"))
        other.communicate("")
    assert theirs and ours[0] and ours[0] != theirs


def _raise(message: str, _: int) -> None:
    raise DeftError(message)
