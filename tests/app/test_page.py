"""The page end to end in a browser: upload, wait, choose a movement, ask, compare, download."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from deft_llm.claims import find_claims

pytestmark = pytest.mark.slow
WAIT = int(os.environ.get("DEFT_APP_WAIT", "240")) * 1000  # seconds; more on a machine that is busy
PICTURES = os.environ.get("DEFT_APP_PICTURES")  # a folder: screenshots are kept there


@pytest.fixture(scope="module")
def visit(browser, address):
    """A page with what it asked of the network and said on its console."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.outside, page.faults, page.bodies = [], [], []
    page.on("request", lambda r: None if r.url.startswith((address, "data:", "blob:")) else
            page.outside.append(r.url))  # fmt: skip
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("response", lambda r: page.bodies.append(r) if "/gradio_api/" in r.url else None)
    page.goto(address)
    page.wait_for_selector("#go")
    yield page
    context.close()


def picture(page, name):
    if PICTURES:
        page.wait_for_timeout(1200)
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), full_page=True)


def upload(page, path):
    page.check("#consent input")
    page.wait_for_selector("#video")
    page.set_input_files("#video input[type=file]", str(path))
    page.wait_for_selector("#video video")
    page.wait_for_selector("#go:not([disabled])")
    page.click("#go")


def test_nothing_runs_without_consent(visit):
    assert visit.is_disabled("#go")
    assert "agreed" in visit.inner_text("#consent")
    assert visit.locator("#video").count() == 0 and visit.locator("input[type=file]").count() == 0
    assert "once you have confirmed" in visit.inner_text("#before")


def test_upload_to_download(visit, clip, tmp_path):
    picture(visit, "app-start-1440")
    upload(visit, clip)
    visit.wait_for_selector("#status:has-text('Done')")
    visit.wait_for_selector("#timeline g.mark")
    visit.wait_for_selector("#magnified video")
    assert "deleted from the server" in visit.inner_text("#status")
    assert visit.get_attribute("#timeline g.mark >> nth=0", "aria-pressed") == "true"

    visit.click("#timeline .chip >> nth=0")
    visit.wait_for_selector("#reading .movement-title")
    assert "AU12" in visit.inner_text("#reading")
    assert visit.locator("#pictures figure").count() >= 4
    assert visit.locator("#attribution figure").count() >= 2

    visit.fill("#question textarea", "Why this class, and which side moved?")
    visit.press("#question textarea", "Enter")
    visit.wait_for_selector("#talk .bot")
    visit.wait_for_function("document.querySelector('#talk').innerText.includes('Class probabilities')")
    visit.fill("#question textarea", "Is she lying?")
    visit.press("#question textarea", "Enter")
    visit.wait_for_function("document.querySelector('#talk').innerText.includes('no facial movement shows')")

    visit.click("#compare")
    visit.wait_for_selector("#compared .methods")
    picture(visit, "app-1440")

    with visit.expect_download() as waiting:
        visit.click("#downloads a:has-text('Report')")
    waiting.value.save_as(tmp_path / "report.html")
    report = (tmp_path / "report.html").read_text()
    assert "AU12" in report and not find_claims(_text(report))
    with visit.expect_download() as waiting:
        visit.click("#downloads a:has-text('JSON')")
    waiting.value.save_as(tmp_path / "result.json")
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["movements"][0]["attribution"]["sources"] and record["limits"]
    assert str(clip.parent) not in report + json.dumps(record)


def test_movements_by_keyboard(visit):
    visit.focus("#timeline g.mark >> nth=0")
    visit.keyboard.press("Enter")
    visit.wait_for_selector("#reading .movement-title")
    assert visit.evaluate("document.querySelectorAll('#timeline g.mark:not([aria-label])').length") == 0
    unnamed = "[...document.querySelectorAll('.card img')].filter(i => !i.alt && i.closest('figure')).length"
    assert visit.evaluate(unnamed) == 0


def test_nothing_from_outside_and_no_path(visit):
    assert visit.outside == []
    assert visit.faults == []
    text = visit.content()
    for response in visit.bodies:
        if "/queue/data" not in response.url and "/heartbeat" not in response.url:
            text += response.text()
    for secret in ("/tmp/", "/work/", "/root/", "/home/", "site-packages", "Traceback"):
        assert secret not in text, f"{secret} is in an answer of the server"


def test_claims(visit):
    assert find_claims(visit.inner_text("body")) == []


def test_phone_and_dark(visit):
    visit.evaluate("document.body.classList.add('dark')")
    picture(visit, "app-dark-1440")
    visit.evaluate("document.body.classList.remove('dark')")
    visit.set_viewport_size({"width": 390, "height": 844})
    visit.wait_for_timeout(500)
    picture(visit, "app-390")
    assert visit.evaluate("document.documentElement.scrollWidth") <= 390


def test_malformed_upload_gives_a_message(browser, address, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"\x00\x00\x00\x18ftypmp42" + b"\x00" * 4000)
    page = browser.new_page()
    page.set_default_timeout(WAIT)
    page.goto(address)
    page.wait_for_selector("#go")
    upload(page, bad)
    page.wait_for_selector("#status .error")
    text = page.inner_text("#status")
    assert "bad.mp4" in text and "/" not in text
    page.close()


def _text(page: str) -> str:
    import re

    return re.sub(r"<[^>]+>|data:[^\"]+", " ", page)
