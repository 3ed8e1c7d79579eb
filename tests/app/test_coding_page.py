"""Coding in a browser from folder to agreement: blind, corrected, exported, brought in again, compared."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from deft_llm.claims import find_claims
from deft_llm.codings.formats import read_coding
from deft_llm.explain.samples import save_video

pytestmark = pytest.mark.slow
WAIT = int(os.environ.get("DEFT_APP_WAIT", "240")) * 1000  # seconds; more on a machine that is busy
PORTRAIT, PLAIN = "s1/portrait.mp4", "s2/plain.mp4"


@pytest.fixture(scope="module")
def study(tmp_path_factory, clip):
    """A portrait that moves, and a film without a face."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "s1").mkdir()
    shutil.copy(clip, folder / PORTRAIT)
    (folder / "s2").mkdir()
    save_video(folder / PLAIN, [np.full((96, 128, 3), 4 * i, np.uint8) for i in range(50)], 50.0)
    return folder


@pytest.fixture(scope="module")
def coding_address(study, serve):
    """The page as ``deft app --folder FOLDER --blind`` serves it."""
    with serve("--folder", str(study), "--blind", path="/coding/") as url:
        yield url


@pytest.fixture(scope="module")
def page(browser, coding_address):
    """The page with what it asked of the network and said on its console; anna begins."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.outside, page.faults = [], []
    page.on("request", lambda r: None if r.url.startswith((coding_address, "data:", "blob:")) else
            page.outside.append(r.url))  # fmt: skip
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda m: page.faults.append(m.text) if m.type == "error" else None)
    page.goto(f"{coding_address}/coding/")
    page.fill("#coder-name", "anna")
    page.click("#who-dialog button.go")
    page.wait_for_selector("#picture[data-shown]")
    yield page
    context.close()


def at(page, frame: int) -> None:
    """Go to a frame and wait for its picture."""
    page.fill("#frame", str(frame))
    page.press("#frame", "Enter")
    page.wait_for_selector(f"#picture[data-shown='{frame}']")


def code(page, text: str, onset: int, apex: int, offset: int) -> None:
    """Add an event by keys."""
    at(page, onset)
    page.keyboard.press("n")
    page.keyboard.type(text)
    page.keyboard.press("Enter")
    for key, frame in (("p", apex), ("o", offset)):
        at(page, frame)
        page.keyboard.press(key)
    page.wait_for_selector("#saved:text-is('saved')")


def events(study, coder: str, clip: str = PORTRAIT):
    found = read_coding(study / "codings" / coder / f"{clip}.csv").events
    return [(e.au, e.side, e.onset, e.apex, e.offset, e.intensity, e.status) for e in found]


OWN = (12, "right", 20, 29, 42, "B", "coded")


def test_the_folder_is_listed(page):
    listed = ["s1", "portrait.mp4\nuncoded", "s2", "plain.mp4\nuncoded"]
    assert page.locator("#clips li").all_inner_texts() == listed
    assert page.locator(".clip[aria-current]").get_attribute("data-clip") == PORTRAIT
    assert "Blind" in page.inner_text("#panel")


def test_code_one_blind(page, study):
    code(page, "r12b", 20, 29, 42)
    assert events(study, "anna") == [OWN]
    assert page.locator(".ev.proposal, .curve").count() == 0 and page.locator("#propose").count() == 0
    page.keyboard.press("Escape")
    code(page, "1+2", 50, 52, 60)  # together: their points are set together
    assert [e[:5] for e in events(study, "anna")][1:] == [(1, "both", 50, 52, 60), (2, "both", 50, 52, 60)]
    for _ in range(3):  # offset, apex, both events
        page.keyboard.press("Control+z")
    page.wait_for_selector("#saved:text-is('saved')")
    assert events(study, "anna") == [OWN]
    page.keyboard.press("Control+Shift+z")
    page.wait_for_selector("#saved:text-is('saved')")
    assert len(events(study, "anna")) == 3
    page.keyboard.press("Control+z")
    page.wait_for_selector("#saved:text-is('saved')")
    page.click("#finish")
    page.wait_for_selector("#finish.done")
    assert read_coding(study / f"codings/anna-first-round/{PORTRAIT}.csv").events[0].onset == 20
    assert '"first_round": "blind"' in (study / "codings/anna/progress.json").read_text()


def test_correct_a_proposal(page, study):
    page.keyboard.press("Escape")
    page.click("#propose")
    page.wait_for_selector(".ev.proposal.stated, .ev.proposal.unsure")
    assert page.locator("svg.curve").count() > 0
    page.click(".ev.proposal.stated, .ev.proposal.unsure")
    page.wait_for_selector("#accept")
    assert page.locator(".pair canvas").count() == 2
    before = page.input_value("input[data-point=offset]")
    box = page.locator(".handle.offset").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 8, steps=4)
    page.mouse.up()
    page.wait_for_selector("#saved:text-is('saved')")
    page.wait_for_selector(".badge.corrected")
    assert int(page.input_value("input[data-point=offset]")) > int(before)
    page.click(".choice [data-value=C]")
    page.wait_for_selector("#saved:text-is('saved')")
    mended = [event for event in events(study, "anna") if event[6] == "corrected"]
    assert len(mended) == 1 and mended[0][5] == "C"
    assert read_coding(study / f"codings/deft/{PORTRAIT}.csv").events


def test_a_question_about_a_movement_is_answered_in_words(page):
    page.fill(".ask input", "When did it begin?")
    page.click(".ask button")
    page.wait_for_selector(".said p:has-text('onset')")
    said = page.inner_text(".said")
    assert "When did it begin?" in said and "[object" not in said and "*" not in said


def test_export_elan_and_bring_it_in_again(page, study, tmp_path):
    kept = events(study, "anna")
    page.click("[data-tab=files]")
    with page.expect_download() as waiting:
        page.click("[data-format=elan]")
    file = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(file)
    assert file.suffix == ".eaf" and len(read_coding(file).events) == len(kept)
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.wait_for_selector("#saved:text-is('saved')")
    assert events(study, "anna") != kept
    page.click("[data-tab=files]")
    page.set_input_files("#import", str(file))
    page.wait_for_selector("#entry-says:has-text('took the place of yours')")
    page.wait_for_selector("#saved:text-is('saved')")
    assert events(study, "anna") == kept


def test_a_second_coder_and_a_second_round(page, study, run, capsys, coding_address):
    page.click("#who")
    page.fill("#coder-name", "ben")
    page.click("#who-dialog button.go")
    page.wait_for_selector("#coder:text-is('ben')")
    page.wait_for_selector(".ev", state="detached")
    assert page.locator(".ev").count() == 0  # blind: neither deft's nor anna's events
    code(page, "R12B", 21, 29, 42)
    page.keyboard.press("Escape")
    code(page, "L4", 5, 7, 9)
    page.click("#finish")
    page.wait_for_selector("#finish.done")
    rounds = [study / "codings" / f"{name}-first-round" for name in ("anna", "ben")]
    table = study / "differ.csv"
    assert run("agree", *rounds, "--media", study, "--page", coding_address, "--table", table) == 0
    out = capsys.readouterr().out
    assert "events: A 1  B 2" in out and "agreement 0.667 by intervals" in out
    link = table.read_text().splitlines()[1].rsplit(",", 1)[1]
    page.goto(link.replace("with=ben", "with=anna"))
    page.wait_for_selector("#picture[data-shown='5']")
    page.wait_for_selector("#panel .figures")
    assert page.locator("[data-dispute]:has-text('only you')").count() == 1
    others = page.locator("[data-dispute]:has-text('only anna')").count()
    for _ in range(others):
        page.click("button:text-is('adopt') >> nth=0")
        page.wait_for_selector("#saved:text-is('saved')")
    page.click("button:text-is('withdraw')")
    page.wait_for_selector("#panel .notice.good")
    page.reload()
    page.wait_for_selector(".clip:has-text('portrait') >> text=agreed")
    assert len(read_coding(rounds[1] / f"{PORTRAIT}.csv").events) == 2  # the first round is as it was


def test_keys_play_and_step(page):
    page.click(f"[data-clip='{PLAIN}']")
    page.wait_for_selector("#picture[data-shown='0']")
    assert page.locator(".clip[aria-current]").get_attribute("data-clip") == PLAIN
    page.keyboard.press("4")  # an eighth of life's speed
    page.keyboard.press(" ")
    page.wait_for_selector("[data-do=play][aria-pressed=true]")
    page.keyboard.press(" ")
    page.wait_for_selector("[data-do=play][aria-pressed=false]")
    page.keyboard.press("End")
    page.wait_for_selector("#picture[data-shown='49']")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#picture[data-shown='48']")
    page.keyboard.press("Shift+ArrowLeft")
    page.wait_for_selector("#picture[data-shown='38']")
    page.keyboard.press("?")
    page.wait_for_selector("#help-dialog[open]")
    page.keyboard.press("Escape")


def test_a_link_may_name_the_folder_too(page):
    """As links of `deft agree` on one video do: they know the path that was given there."""
    page.evaluate(f"location.hash = '#clip=clips/{PORTRAIT}&frame=5'")
    page.wait_for_selector("#picture[data-shown='5']")
    assert page.locator(".clip[aria-current]").get_attribute("data-clip") == PORTRAIT


def test_bringing_back_an_own_event_takes_no_other_away(page):
    found = page.evaluate("""() => {
      const list = new window.deftCoding.list.constructor(() => {});
      const of = (au, status, note = "") => ({
        au, side: "both", phase: "rise", onset: 1, apex: null, offset: 2, intensity: null, face: 1,
        status, note,
      });
      list.load([of(1, "coded"), of(2, "rejected"), of(4, "rejected", "deft 3.1")], [], []);
      list.reopen(list.events[1]);
      const first = list.events.map((event) => `${event.au} ${event.status}`);
      list.reopen(list.events[2]);
      return [first, list.events.map((event) => `${event.au} ${event.status}`)];
    }""")
    assert found == [["1 coded", "2 coded", "4 rejected"], ["1 coded", "2 coded"]]


def test_what_was_to_be_named_is_let_go(page):
    """By Escape, by choosing something else, by opening a clip: the next entry adds an event."""
    ask = "window.deftCoding.nameIt({ id: '9.0', onset: 1, apex: 2, offset: 3 })"
    for let_go in (lambda: page.keyboard.press("Escape"),
                   lambda: page.evaluate("window.deftCoding.select(null)"),
                   lambda: page.evaluate(f"window.deftCoding.open('{PLAIN}')")):  # fmt: skip
        page.evaluate(ask)
        assert page.inner_text("#entry-says").startswith("Which AU is it")
        let_go()
        assert page.evaluate("window.deftCoding.naming") is None
        assert page.inner_text("#entry-says").startswith("As FACS writes it")


def test_events_of_a_clip_that_was_left_are_not_brought_in(page):
    """The clip is another one when the answer comes: its events stay."""
    changes = page.evaluate("""async () => {
      const page = window.deftCoding;
      const { clip } = page;
      const before = page.list.past.length;
      const sent = page.importFile(new File(["au,onset,offset,fps\\n12,1,2,50\\n"], "a.csv"));
      page.clip = { ...clip };
      await sent;
      page.clip = clip;
      return page.list.past.length - before;
    }""")
    assert changes == 0


def test_nothing_from_outside_no_fault_no_claim(page):
    assert page.outside == [] and page.faults == []
    assert "/tmp/" not in page.content()
    assert find_claims(page.inner_text("body")) == []
    unnamed = (
        "[...document.querySelectorAll('button, input, canvas')].filter((node) => !node.textContent.trim() "
    )
    unnamed += "&& !node.ariaLabel && !node.title && !node.labels?.length && node.type !== 'file').length"
    assert page.evaluate(unnamed) == 0


def test_a_phone_shows_it_without_scrolling_sideways(page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
