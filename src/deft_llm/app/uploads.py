"""Uploaded files: each is deleted as soon as the last job that reads it has ended."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deft_llm.files import real_path


class Uploads:
    """Counts the jobs that read a file (two people may upload the same one); the last one deletes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Counter[Path] = Counter()

    @contextmanager
    def held(self, path: Path) -> Iterator[None]:
        """A job reads ``path`` within; after the last one the file goes, where it is an upload."""
        with self._lock:
            self._held[path] += 1
        try:
            yield
        finally:
            with self._lock:
                self._held[path] -= 1
                if self._held[path] <= 0:
                    del self._held[path]
                    if is_upload(path):
                        path.unlink(missing_ok=True)


def is_upload(path: Path) -> bool:
    """Whether a file lies in the folder of uploads."""
    from gradio.utils import get_upload_folder

    return real_path(Path(get_upload_folder())) in real_path(path).parents
