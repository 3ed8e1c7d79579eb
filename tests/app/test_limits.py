"""Malformed and oversized uploads end in one sentence; jobs do not hurt each other."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest

from deft_llm.app.jobs import Slots
from deft_llm.app.limits import Limits, check_header, clean_message
from deft_llm.app.page import Page
from deft_llm.app.worker import reading_words
from deft_llm.errors import DeftError
from deft_llm.explain.samples import save_video

LIMITS = Limits(megabytes=2, seconds=5.0, frames=200, side=1000)


@pytest.fixture(scope="module")
def page():
    slots = Slots(1, seconds=120)
    yield Page(slots, LIMITS)
    slots.close()


def grey(count, size=96):
    return [np.full((size, size, 3), 90 + 3 * (i % 20), np.uint8) for i in range(count)]


def make(kind, folder, clip):
    path = folder / f"{kind.replace(' ', '-')}.mp4"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is no video " * 100)
    elif kind == "picture":
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(500))
    elif kind == "wrong type":
        path = path.with_suffix(".exe")
        path.write_bytes(clip.read_bytes())
    elif kind == "header only":
        path.write_bytes(clip.read_bytes()[:400])
    elif kind == "cut off":
        path.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    elif kind == "noise":
        path.write_bytes(b"\x00\x00\x00\x18ftypmp42" + np.random.default_rng(0).bytes(20_000))
    elif kind == "too large":
        path.write_bytes(clip.read_bytes()[:100] + bytes(2_100_000))
    elif kind == "too long":
        save_video(path, grey(60), 10)
    elif kind == "too wide":
        save_video(path, grey(3, 1100), 25)
    elif kind == "one frame":
        save_video(path, grey(1), 25)
    elif kind == "no face":
        save_video(path, grey(12), 25)
    elif kind == "sound":
        sound(path)
    return path


def sound(path):
    import av

    with wave.open(str(path.with_suffix(".wav")), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(8000))
    with av.open(str(path.with_suffix(".wav"))) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("aac", rate=8000)
        for frame in source.decode(audio=0):
            for packet in stream.encode(frame):
                target.mux(packet)
        for packet in stream.encode():
            target.mux(packet)


KINDS = ("empty", "text", "picture", "wrong type", "header only", "cut off", "noise", "too large", "too long",
         "too wide", "one frame", "no face", "sound")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_malformed(kind, page, clip, tmp_path):
    path = make(kind, tmp_path, clip)
    lines = list(page.analyse(str(path), None, True, "rules", False))
    last, found = lines[-1]
    assert found is None
    assert 'role="alert"' in last and path.name in last
    assert str(tmp_path) not in last and "Traceback" not in last


def test_consent_and_choice_come_first(page, clip):
    assert "agreed" in list(page.analyse(str(clip), None, False, "rules", False))[-1][0]
    assert "example" in list(page.analyse(None, None, True, "rules", False))[-1][0]
    assert "example" in list(page.analyse(None, "../etc", True, "rules", False))[-1][0]


def test_a_crash_leaves_the_others_alone():
    slots = Slots(2, seconds=60)
    try:
        running = slots.run("analyse", __import__("pathlib").Path("gone.mp4"), "rules", False, LIMITS, None)
        with pytest.raises(DeftError, match="stopped unexpectedly"):
            slots.result("crash")
        with pytest.raises(DeftError, match=r"gone\.mp4"):
            list(running)
        with pytest.raises(DeftError, match=r"gone\.mp4"):  # the crashed slot works again
            slots.result("analyse", __import__("pathlib").Path("gone.mp4"), "rules", False, LIMITS, None)
    finally:
        slots.close()


def test_the_last_frame_is_not_told_as_the_end():
    assert (
        reading_words(110, 120) == "reading frame 110 of 120" and reading_words(9, None) == "reading frame 9"
    )
    assert "naming" in reading_words(120, 120)


def test_messages_hold_no_folder(tmp_path):
    path = tmp_path / "face.mp4"
    assert clean_message(f"{path}: cannot be read", path) == "face.mp4: cannot be read"
    assert clean_message("see /usr/lib/python3/x.py: no") == "see x.py: no"
    assert clean_message("choose 1/2 of it") == "choose 1/2 of it"


def test_uploads_are_deleted_with_their_last_job(tmp_path, monkeypatch):
    from deft_llm.app.uploads import Uploads

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    file = tmp_path / "a.mp4"
    file.write_bytes(b"x")
    uploads = Uploads()
    with uploads.held(file):
        with uploads.held(file):
            pass
        assert file.is_file()
    assert not file.exists()


def test_an_upload_goes_whatever_comes_of_it(page, clip, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    for consent, data, word in ((False, clip.read_bytes(), "agreed"), (True, b"no video", "content is not")):
        file = tmp_path / "face.mp4"
        file.write_bytes(data)
        assert word in list(page.analyse(str(file), None, consent, "rules", False))[-1][0]
        assert not file.exists()
    file.write_bytes(clip.read_bytes())
    with page.uploads.held(file):  # another visitor's job reads the same upload
        list(page.analyse(str(file), None, False, "rules", False))
        assert file.exists()


def webm(path, seconds, rate=10):
    """A video as browsers record it: written as a stream, so that its header has no length."""
    import av

    class Stream(io.BytesIO):
        def seekable(self):
            return False

        seek = tell = None

    target = Stream()
    with av.open(target, "w", format="webm", options={"live": "1"}) as container:
        stream = container.add_stream("libvpx", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for image in grey(round(seconds * rate), 64):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(target.getvalue())
    with av.open(str(path)) as container:
        assert container.duration is None
    return path


def test_a_video_whose_header_has_no_length_is_measured(tmp_path):
    with pytest.raises(DeftError, match=r"long\.webm: lasts 6 s; at most 5 s"):
        check_header(webm(tmp_path / "long.webm", 6), LIMITS)
    check_header(webm(tmp_path / "short.webm", 4), LIMITS)
