"""Worker processes: a worker ends with the process that started it, also when that one was killed."""

from __future__ import annotations

import os


def end_with_parent() -> None:
    """Let this worker process end as soon as its parent does; in a main process nothing happens.

    Otherwise a worker whose parent was killed (SIGKILL) goes on writing beside the run that is started next.
    """
    import multiprocessing
    import threading

    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
