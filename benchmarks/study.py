"""A study on the page from folder to agreement: ten synthetic films, two coders, headless Chromium.

anna opens the folder in blind mode, codes one film from nothing, has deft read another and corrects what it
proposes, and exports her coding as ELAN. ben brings that file in as his, adds an event and compares; `deft
agree` then takes both first rounds. Prints what each step left, checked against the films' truth, and keeps a
screenshot of every step, 1440 and 390 px wide.

Run: deft synth films --clips 10 --subjects 4 --size 256 --format video --seed 5 --long-videos 0 \\
        --negatives 0.1
     python -m benchmarks.study films WORK
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.coding import WAIT_MS, Coder, Shown, by_hand, check, read_all, serve, truth_of
from deft_llm.app.coding.folder import CodingFolder
from deft_llm.app.coding.server import CodingServer
from deft_llm.app.jobs import Slots
from deft_llm.codings.formats import read_coding
from deft_llm.faces.seek import FrameReader
from deft_llm.files import read_rows
from deft_llm.records import Clip

WIDTHS = {1440: 900, 390: 844}  # px of the window: width -> height
PROPOSALS = ".ev.proposal.stated, .ev.proposal.unsure"


class Visit:
    """A browser at the page, and the folder that it codes."""

    def __init__(self, page: Any, address: str, server: CodingServer, pictures: Path) -> None:
        self.page, self.address, self.server, self.pictures = page, address, server, pictures
        self.faults: list[str] = []
        self.steps: dict[str, Any] = {}
        self._taken = 0
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda m: self.faults.append(m.text) if m.type == "error" else None)

    def open(self, coder: str, name: str) -> None:
        """A clip as a coder."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}#coder={coder}&clip={name}")
        self.page.wait_for_selector("#picture[data-shown]")
        assert self.page.locator(".clip[aria-current]").get_attribute("data-clip") == name

    def saved(self) -> None:
        self.page.wait_for_selector("#saved:text-is('saved')")

    def events(self, coder: str, name: str) -> list[Any]:
        """What lies in a coder's file."""
        return [event for event in self.server.files.coding(coder, name)[0].events
                if event.status != "rejected"]  # fmt: skip

    def picture(self, title: str) -> None:
        """Screenshots of the page as it is."""
        self._taken += 1
        for width, height in WIDTHS.items():
            self.page.set_viewport_size({"width": width, "height": height})
            self.page.wait_for_timeout(400)
            assert self.page.evaluate("document.documentElement.scrollWidth") <= width, (title, width)
            path = self.pictures / f"{self._taken:02d}-{title}-{width}.png"
            self.page.screenshot(path=str(path), full_page=width < 500)
        self.page.set_viewport_size({"width": 1440, "height": 900})


def films_of(corpus: Path, folder: Path) -> dict[str, Clip]:
    """Copies of the films in folders of their people: name of a clip -> its record, the shortest first."""
    found = {}
    for clip in read_rows(Clip, corpus / "records.jsonl"):
        name = f"{clip.subject.rpartition('/')[2]}/{Path(clip.source.path).name}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(corpus / clip.source.path, folder / name)
        found[name] = clip
    return dict(sorted(found.items(), key=lambda one: FrameReader(folder / one[0]).count))


def code_blind(visit: Visit, name: str, truth: list[Shown], fps: float) -> None:
    """anna codes a film from nothing; no proposal is to be had before she has finished."""
    visit.open("anna", name)
    visit.steps["clips listed"] = visit.page.locator(".clip").count()
    visit.picture("folder")
    assert visit.page.locator(".ev.proposal, .curve, #propose").count() == 0
    by_hand(Coder(visit.page, fps), truth)
    check(visit.events("anna", name), truth, max(1, round(0.05 * fps)))
    first = visit.server.files.progress_of("anna", name).first_round
    visit.steps["coded blind"] = {"clip": name, "events": len(truth), "first round": first}
    visit.picture("coded-blind")


def correct_one(visit: Visit, names: list[str]) -> None:
    """anna finishes a film empty-handed, has it read, and corrects the first proposal by the mouse."""
    for name in names:
        visit.open("anna", name)
        visit.page.click("#finish")
        visit.page.wait_for_selector("#finish.done")
        read_all(visit.server, [name])
        visit.open("anna", name)
        if visit.page.evaluate("window.deftCoding.list.open.length"):
            break
        if "nothing proposed" not in visit.steps:
            visit.steps["nothing proposed"] = name
            visit.picture("nothing-proposed")
    else:
        visit.steps["corrected"] = None  # deft proposes nothing in these films
        return
    page = visit.page
    page.wait_for_selector(PROPOSALS)
    page.click(PROPOSALS)
    page.wait_for_selector("#accept")
    visit.picture("proposal")
    proposal = visit.page.evaluate("window.deftCoding.selected")
    box = page.locator(".handle.offset").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] - 60, box["y"] + 8, steps=4)
    page.mouse.up()
    page.wait_for_selector(".badge.corrected")
    visit.saved()
    mended = visit.events("anna", name)[0]
    assert mended.status == "corrected" and mended.note and mended.offset < proposal["offset"], mended
    was = [proposal[point] for point in ("onset", "apex", "offset")]
    now = [mended.onset, mended.apex, mended.offset]
    visit.steps["corrected"] = {"clip": name, "AU": mended.au, "was": was, "is": now}
    visit.picture("corrected")


def hand_over(visit: Visit, name: str, folder: Path) -> None:
    """anna exports ELAN, ben brings the file in and has her events."""
    page = visit.page
    visit.open("anna", name)
    page.click("[data-tab=files]")
    with page.expect_download() as waiting:
        page.click("[data-format=elan]")
    file = folder / waiting.value.suggested_filename
    waiting.value.save_as(file)
    visit.picture("files")
    visit.open("ben", name)
    assert not visit.events("ben", name)
    page.click("[data-tab=files]")
    page.set_input_files("#import", str(file))
    page.wait_for_selector(".ev")
    visit.saved()
    plain = lambda events: [(e.au, e.side, e.phase, e.onset, e.apex, e.offset) for e in events]  # noqa: E731
    theirs, mine, kept = visit.events("anna", name), visit.events("ben", name), read_coding(file).events
    assert plain(theirs) == plain(mine) == plain(kept)
    visit.steps["ELAN"] = {"file": file.name, "events of anna, in the file, of ben": [len(theirs), len(kept),
                                                                                     len(mine)]}  # fmt: skip


def compare(visit: Visit, name: str, folder: Path) -> None:
    """ben adds an event that anna has not, finishes, and both first rounds are compared."""
    page = visit.page
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.keyboard.type("L14")
    page.keyboard.press("Enter")
    visit.saved()
    page.click("#finish")
    page.wait_for_selector("#finish.done")
    page.click("[data-tab=compare]")
    page.select_option("#other", "anna")
    page.wait_for_selector("#panel .figures")
    visit.picture("compare")
    rounds = [str(folder / "codings" / f"{coder}-first-round") for coder in ("anna", "ben")]
    words = ["agree", *rounds, "--media", str(folder), "--table", str(folder / "differ.csv"), "--json"]
    said = subprocess.run([sys.executable, "-m", "deft_llm.cli", *words], check=True, capture_output=True,
                          text=True).stdout  # fmt: skip
    found = json.loads(said)
    mine, theirs = len(visit.events("ben", name)), len(visit.events("anna", name))
    assert mine == theirs + 1
    shown = page.inner_text("#panel .figures").replace("\n", " ")
    visit.steps["agreement"] = {
        "on the page": shown, "of the command": found["agreement"],
        "rows that differ": len((folder / "differ.csv").read_text().splitlines()) - 1,
    }  # fmt: skip


def run(corpus: Path, work: Path) -> dict[str, Any]:
    """The whole study; what each step left."""
    from playwright.sync_api import sync_playwright

    folder, pictures = work / "study", work / "pictures"
    shutil.rmtree(work, ignore_errors=True)
    pictures.mkdir(parents=True)
    films = films_of(corpus, folder)
    slots, started = Slots(1, 86_400), time.perf_counter()
    server = CodingServer(CodingFolder(folder), slots, blind=True)
    address, running = serve(server)
    try:
        with sync_playwright() as api:
            browser = api.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1440, "height": 900}, accept_downloads=True)
            visit = Visit(page, address, server, pictures)
            coded = next(name for name, clip in films.items() if clip.truth and clip.truth.events)
            code_blind(visit, coded, truth_of(films[coded], corpus), films[coded].fps or 25.0)
            correct_one(visit, [name for name in films if name != coded])
            hand_over(visit, coded, work)
            compare(visit, coded, folder)
            assert not visit.faults, visit.faults
            browser.close()
    finally:
        running.should_exit = True
        slots.close()
    return visit.steps | {"seconds": round(time.perf_counter() - started)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path, help="what deft synth made")
    parser.add_argument("work", type=Path, help="folder for the copies, codings and screenshots; emptied")
    options = parser.parse_args()
    print(json.dumps(run(options.corpus, options.work)))


if __name__ == "__main__":
    main()
