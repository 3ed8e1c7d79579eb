"""A worker whose parent was killed ends as well."""

SCRIPT = """
import multiprocessing, os, sys, time
from deft_llm.processes import end_with_parent
def work(_):
    print(os.getpid(), flush=True)
    time.sleep(60)
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1, initializer=end_with_parent) as pool:
        pool.map(work, [0])
"""


def test_a_worker_ends_with_its_parent(worker_left_behind) -> None:
    assert not worker_left_behind(SCRIPT)
