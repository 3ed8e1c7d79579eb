"""A recording with the webcam, end to end: Chromium's fake camera plays the portrait clip."""

from __future__ import annotations

import os
import re

import cv2
import pytest

pytestmark = pytest.mark.slow
WAIT = int(os.environ.get("DEFT_APP_WAIT", "240")) * 1000  # seconds; more on a machine that is busy


def write_y4m(path, clip, fps):
    """The clip as uncompressed YUV4MPEG2, which Chromium's fake camera plays in a loop."""
    from deft_llm.faces.video import frames

    with path.open("wb") as out:
        for index, frame in enumerate(frames(clip)):
            height, width = frame.image.shape[:2]
            if index == 0:
                out.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
            out.write(b"FRAME\n" + cv2.cvtColor(frame.image, cv2.COLOR_RGB2YUV_I420).tobytes())
    return path


@pytest.fixture(scope="module")
def camera(start_browser, clip, tmp_path_factory):
    """A browser whose camera shows the portrait."""
    source = write_y4m(tmp_path_factory.mktemp("camera") / "face.y4m", clip, 25)
    return start_browser(
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={source}",
    )  # fmt: skip


def test_record_and_analyse(camera, address):
    context = camera.new_context(
        viewport={"width": 1280, "height": 900}, permissions=["camera", "microphone"]
    )
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.goto(address)
    page.wait_for_selector("#go")
    assert page.locator("#video").count() == 0, "no camera before the consent"
    page.check("#consent input")
    page.click("#video button[aria-label='Capture from camera']")
    page.click("#video :text-matches('Click to Access Webcam', 'i')")
    record = page.locator("#video button", has_text=re.compile("record", re.IGNORECASE)).first
    record.wait_for()
    page.wait_for_function("document.querySelector('#video video')?.videoWidth > 0")
    record.click()
    page.wait_for_timeout(1500)
    page.locator("#video button", has_text=re.compile("stop", re.IGNORECASE)).first.click()
    page.wait_for_selector("#video button[aria-label='Clear'], #video video[src]")
    page.wait_for_selector("#go:not([disabled])")
    page.click("#go")
    page.wait_for_selector("#status .error, #status:has-text('Done')")
    text = page.inner_text("#status")
    assert "Done" in text and "deleted from the server" in text, text
    context.close()
