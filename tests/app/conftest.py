"""A short clip of a portrait with a known movement, its analysis, and the page served for a browser."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest

from deft_llm.explain.samples import Injected, living_portrait, save_video

FPS = 50.0
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-quic", "--no-first-run",
]  # fmt: skip


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """AU12 on the subject's right, one pixel and a half, onset 20, apex 29, offset 42 of 64 frames."""
    frames = living_portrait([Injected(12, "right", 20, 29, 42, 1.5)], 64, fps=FPS, seed=2, drift=0.5)
    return save_video(tmp_path_factory.mktemp("app") / "portrait.mp4", frames, FPS)


@pytest.fixture(scope="session")
def result(clip):
    """The page's result for the clip, by the worker's own function in this process."""
    from deft_llm.app.limits import Limits
    from deft_llm.app.worker import analyse

    return analyse(clip, "deft", False, Limits(), None, lambda share, text: None)


@pytest.fixture(scope="session")
def serve(tmp_path_factory):
    """``with serve(words, path) as url``: ``deft app`` with ``words`` in a process of its own, waited for
    until it answers at ``path``."""

    @contextmanager
    def served(*words, path="/"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log = (tmp_path_factory.mktemp("server") / "log.txt").open("w")
        code = f"from deft_llm.cli import main; main({['app', '--port', str(port), *words]!r})"
        server = subprocess.Popen([sys.executable, "-c", code], stdout=log, stderr=log,
                                  env={**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"})  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            assert server.poll() is None, "deft app ended at once"
            try:
                urllib.request.urlopen(f"{url}{path}", timeout=5).read()
                break
            except OSError:
                time.sleep(0.5)
        yield url
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()

    return served


@pytest.fixture(scope="session")
def address(serve):
    """The page as ``deft app`` serves it."""
    with serve("--seconds", "20") as url:
        yield url


@pytest.fixture(scope="session")
def start_browser():
    """Starts headless Chromium with further flags; skipped where none is installed."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium (CI does)")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    started = []
    with playwright.sync_playwright() as api:

        def start(*flags):
            started.append(api.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags]))
            return started[-1]

        yield start
        for found in started:
            found.close()


@pytest.fixture(scope="session")
def browser(start_browser):
    """Headless Chromium."""
    return start_browser()
