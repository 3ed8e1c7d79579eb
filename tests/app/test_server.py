"""The server: whom it answers, and that nothing of a visitor is left when it ends, however it ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from deft_llm.app.guard import Guard, host_of
from deft_llm.explain.samples import living_portrait, save_video


@pytest.mark.parametrize(("host", "name", "let_in"), [
    ("127.0.0.1", "127.0.0.1:7860", True),
    ("127.0.0.1", "LocalHost:7860", True),
    ("127.0.0.1", "[::1]:7860", True),
    ("127.0.0.1", "localhost.", True),
    ("127.0.0.1", "evil.example", False),
    ("127.0.0.1", "127.0.0.1.evil.example:7860", False),
    ("127.0.0.1", "localhost@evil.example", False),
    ("127.0.0.1", "10.0.0.7", False),
    ("127.0.0.1", "", False),
    ("127.0.0.1", "[::1", False),
    ("10.0.0.7", "10.0.0.7:80", True),
    ("0.0.0.0", "10.0.0.7", True),
    ("0.0.0.0", "evil.example", False),
])  # fmt: skip
def test_who_is_let_in(host, name, let_in):
    assert Guard(None, host).lets_in(name) is let_in


def test_a_proxy_s_name_is_let_in_where_it_was_given():
    assert Guard(None, "127.0.0.1", ["Faces.example"]).lets_in("faces.example:443")
    assert host_of("A.example:1") == "a.example"


@pytest.fixture(scope="module")
def application():
    """The page's ASGI application, asked without a network."""
    from starlette.testclient import TestClient

    from deft_llm.app.build import application, build
    from deft_llm.app.jobs import Slots
    from deft_llm.app.limits import Limits

    slots = Slots(1)
    with TestClient(application(build(slots, Limits()), "127.0.0.1", Limits()), "http://127.0.0.1") as client:
        yield client
    slots.close()


PATHS = ["/", "/config", "/gradio_api/info", "/gradio_api/upload", "/gradio_api/queue/join"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"},
    {"Host": "evil.example", "Origin": "http://evil.example"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://[::1"},
    {"Origin": "http://127.0.0.1:81"},
    {"Origin": "http://localhost"},
])  # fmt: skip
def test_requests_for_others_are_refused(application, path, headers):
    for method in ("GET", "POST", "OPTIONS"):
        more = {"Access-Control-Request-Method": "POST"} if method == "OPTIONS" else {}
        answer = application.request(method, path, headers=headers | more)
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_its_own_page_is_served_without_leave_for_other_origins(application):
    for headers in ({}, {"Origin": "http://127.0.0.1"}):
        answer = application.get("/config", headers=headers)
        assert answer.status_code == 200 and answer.json()["title"] == "deft-llm"
        assert "access-control-allow-origin" not in answer.headers
    assert "deft-llm" in application.get("/").text


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A video that takes a while to read."""
    frames = list(living_portrait([], 40, fps=50.0, seed=1))
    return save_video(tmp_path_factory.mktemp("visitor") / "face.mp4", 5 * [*frames, *frames[::-1]], 50.0)


@pytest.fixture
def busy(tmp_path, video):
    """``deft app`` in the midst of a visitor's job: (process, its temporary folder, its workers)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = tmp_path / "tmp"
    place.mkdir()
    code = f"from deft_llm.cli import main; main(['app', '--port', '{port}'])"
    server = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(place)})
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(lambda: _get(url, "/config"), 120)
        threading.Thread(target=_analyse, args=(url, video), daemon=True).start()
        main = psutil.Process(server.pid)
        _wait_for(lambda: list(place.rglob("face.mp4")) and _workers(main), 120)
        yield server, place, _workers(main)
    finally:
        if server.poll() is None:
            server.kill()


def _get(url: str, path: str) -> bytes:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    connection.request("GET", path)
    return connection.getresponse().read()


def _analyse(url: str, video: Path) -> None:
    from gradio_client import Client, handle_file

    with contextlib.suppress(Exception):  # the server is ended in the midst of it: that is the test
        client = Client(url, verbose=False)
        client.predict(handle_file(str(video)), True, "rules", False, api_name="/analyse")


def _workers(main: psutil.Process) -> list[psutil.Process]:
    """Children that compute: those that have used a second."""
    return [child for child in main.children(recursive=True) if sum(child.cpu_times()[:2]) > 1]


def _wait_for(condition, seconds: float):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError("waited in vain")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_server_that_is_ended_in_mid_job_leaves_no_process_and_no_face(busy, how):
    server, place, workers = busy
    assert workers and list(place.rglob("*.mp4"))
    server.send_signal(how)
    server.wait(30)
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive
    if how == signal.SIGKILL:  # nobody could clean up: the next server does
        code = "from deft_llm.app.build import private_folder; print(private_folder())"
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(place)}, check=True)
    assert not list(place.rglob("*.mp4"))
    assert json.dumps([p.name for p in place.iterdir() if p.name != "gradio"]).count("deft-app-") <= 1
