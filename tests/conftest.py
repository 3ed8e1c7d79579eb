"""Shared by all tests: offline, one thread, nothing written outside temporary folders."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import pytest


@pytest.fixture
def run():
    """Run ``deft WORD...`` in this process; the exit code."""
    from deft_llm.cli import main

    def call(*words: object) -> int:
        try:
            main([str(word) for word in words])
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return call


@pytest.fixture
def worker_left_behind(tmp_path):
    """Start a script that prints a worker's process id, kill it, and tell whether that worker lives on."""
    import subprocess
    import sys
    import time
    from pathlib import Path

    def alive(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False

    def call(text: str) -> bool:
        script = tmp_path / "orphans.py"
        script.write_text(text)
        process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
        worker = int(process.stdout.readline())
        process.kill()
        process.wait()
        deadline = time.monotonic() + 20
        while alive(worker) and time.monotonic() < deadline:
            time.sleep(0.05)
        return alive(worker)

    return call
