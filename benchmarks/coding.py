"""Actions per coded event in the page, with and without deft's proposals; wrong ones at what they cost.

A coder who knows the truth of synthetic films codes each film in headless Chromium, by the fewest keys
that the page offers: from nothing, and by deciding on deft's proposals, mending their ends and sides, and
adding what they miss. The page counts key presses, clicks and drags, which are also given per kind of
proposal: right, mended, wrong, missed. A third coder, for whom all proposals are wrong, rejects each of them:
what a wrong one costs where films have none. Finding a movement is not counted: it is the costly part of
coding by hand, and what proposals save of it only people can tell.

Run: deft synth films --clips 10 --subjects 4 --size 256 --format video --seed 5
     python -m benchmarks.coding films --clips 10
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from deft_llm.app.coding.folder import CodingFolder
from deft_llm.app.coding.server import CodingServer
from deft_llm.app.guard import Guard
from deft_llm.app.jobs import Slots
from deft_llm.codings.events import CodedEvent
from deft_llm.faces.seek import FrameReader
from deft_llm.files import read_rows
from deft_llm.records import Clip

CLOSE = 0.05  # s: a point this near to the truth is left as it is
WAIT_MS = 120_000
WAYS = ("hand", "proposals", "rejecting")  # as they are coded; also the coders' names


@dataclass(frozen=True)
class Shown:
    """An event of the film as it was made."""

    au: int
    side: str
    onset: int
    apex: int
    offset: int


def truth_of(clip: Clip, corpus: Path) -> list[Shown]:
    """What was shown, AUs and blinks, to the film's end; sides are the record's, else both."""
    assert clip.truth is not None
    sides = {unit.number: unit.side for unit in clip.aus or []}
    found, last = [], FrameReader(corpus / clip.source.path).count - 1
    for event in clip.truth.model_dump()["events"]:
        aus = [45] if event["kind"] == "blink" else [unit["number"] for unit in event.get("aus") or []]
        apex = event.get("apex") or (event["onset"] + event["offset"]) // 2
        points = (event["onset"], min(apex, last), min(event["offset"], last))
        found += [Shown(au, sides.get(au, "both"), *points) for au in aus]
    return found


class Coder:
    """Drives the page by keys, and by clicks where there is no key."""

    def __init__(self, page: Any, fps: float) -> None:
        self.page, self.close = page, max(1, round(CLOSE * fps))

    def ask(self, expression: str) -> Any:
        """A value in the page."""
        return self.page.evaluate(f"window.deftCoding.{expression}")

    def go(self, frame: int) -> None:
        """Step to a frame by tens and ones."""
        now, last = self.ask("frame"), self.ask("clip.frames") - 1
        far = frame - now
        tens, ones = divmod(abs(far), 10)
        beyond = now + (10 if far > 0 else -10) * (tens + 1)
        back = ones > 5 and 0 <= beyond <= last  # the page stops at the ends
        keys = ["Shift+Arrow{}"] * (tens + back) + ["Arrow{}"] * (10 - ones if back else ones)
        for place, key in enumerate(keys):
            turned = back and place >= tens + 1
            self.page.keyboard.press(key.format("Right" if (far > 0) != turned else "Left"))
        self.page.wait_for_selector(f"#picture[data-shown='{frame}']")

    def mark(self, key: str, frame: int, is_now: int | None) -> bool:
        """Set a point unless it is close; whether it was set."""
        if is_now is not None and abs(is_now - frame) <= self.close:
            return False
        self.go(frame)
        self.page.keyboard.press(key)
        return True

    def add(self, events: list[Shown]) -> None:
        """Code events that have their times in common, from nothing."""
        first = events[0]
        self.page.keyboard.press("Escape")
        self.go(first.onset)
        self.page.keyboard.press("n")
        short = {"both": "", "left": "l", "right": "r", "asymmetric": "a"}
        for character in "+".join(f"{short[event.side]}{event.au}" for event in events):
            self.page.keyboard.press(character)
        self.page.keyboard.press("Enter")
        self.mark("p", first.apex, None)
        self.mark("o", first.offset, None)

    def choose(self, proposal: str) -> None:
        """Select a proposal unless the page has gone to it."""
        if self.ask("key") != f"p{proposal}":
            self.page.click(f".ev[data-key='p{proposal}']")

    def decide(self, proposal: dict[str, Any], event: Shown | None) -> str:
        """Accept, mend or reject one proposal."""
        self.choose(proposal["id"])
        if event is None:
            self.page.keyboard.press("x")
            return "wrong"
        points = (("i", "onset"), ("p", "apex"), ("o", "offset"))
        mended = [self.mark(key, getattr(event, name), proposal[name]) for key, name in points]
        if proposal["side"] != event.side:
            self.page.click(f".choice [data-value={event.side}]")
            mended.append(True)
        if any(mended):
            return "mended"
        self.page.keyboard.press("Enter")
        return "right"

    def save(self) -> None:
        """Call the clip coded, which saves everything."""
        self.page.click("#finish")
        self.page.wait_for_selector("#finish.done")


def by_hand(coder: Coder, truth: list[Shown]) -> None:
    """Code every event from nothing, those with equal times together."""
    times = {(event.onset, event.apex, event.offset): None for event in truth}
    for key in times:
        coder.add([event for event in truth if (event.onset, event.apex, event.offset) == key])
    coder.save()


def with_proposals(
    coder: Coder, truth: list[Shown], spent: Callable[[], int]
) -> tuple[Counter[str], Counter[str]]:
    """Decide on what deft states, then add what it misses; how many proposals became what, and the actions
    that those took. ``spent``: the actions so far."""
    left, counts, actions = list(truth), Counter[str](), Counter[str]()
    stated = [one for one in coder.ask("list.open") if one["kind"] in ("stated", "unsure")]
    for proposal in sorted(stated, key=lambda one: (one["onset"], one["au"])):
        event = next((e for e in left if e.au == proposal["au"] and proposal["phase"] == "rise"
                      and e.onset <= proposal["offset"] and proposal["onset"] <= e.offset), None)  # fmt: skip
        before = spent()
        became = coder.decide(proposal, event)
        counts[became] += 1
        actions[became] += spent() - before
        if event is not None:
            left.remove(event)
    counts["missed"] = len(left)
    before = spent()
    by_hand(coder, left)
    actions["missed"] += spent() - before - 1
    actions["finish"] += 1  # the click by which every film ends
    return counts, actions


def check(events: list[CodedEvent], truth: list[Shown], close: int) -> None:
    """Raises: AssertionError where the coding that was counted is not the truth."""
    seen = [event for event in events if event.status != "rejected"]
    assert sorted((e.au, e.side) for e in seen) == sorted((e.au, e.side) for e in truth), (seen, truth)
    for one in truth:
        points = ("onset", "apex", "offset")
        near = [e for e in seen if all(abs(getattr(e, p) - getattr(one, p)) <= close for p in points)]
        assert one.au in {event.au for event in near}, (one, seen)


def serve(server: CodingServer) -> tuple[str, Any]:
    """The page's address and the running server."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.middleware import Middleware

    app = Starlette(routes=server.routes(), middleware=[Middleware(Guard, host="127.0.0.1")])
    listening = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}/coding/", running


def read_all(server: CodingServer, clips: list[str]) -> None:
    """Have deft read the clips. Raises: AssertionError where it cannot."""
    server.analyses.ask_for(clips)
    while jobs := server.analyses.jobs():
        assert all(job["state"] != "failed" for job in jobs.values()), jobs
        time.sleep(1)


def chosen_of(corpus: Path, most: int, folder: Path) -> dict[str, Clip]:
    """Copies of the shortest ``most`` films in folders of their people: name of a clip -> its record."""
    records = sorted(
        read_rows(Clip, corpus / "records.jsonl"), key=lambda clip: (clip.offset or 0, clip.clip_id)
    )
    chosen = {}
    for clip in [clip for clip in records if clip.truth][:most]:
        (folder / clip.subject).mkdir(parents=True, exist_ok=True)
        name = f"{clip.subject}/{Path(clip.source.path).name}"
        shutil.copy(corpus / clip.source.path, folder / name)
        chosen[name] = clip
    return chosen


def count(corpus: Path, most: int, folder: Path, pictures: Path | None = None) -> dict[str, Any]:
    """Code the shortest ``most`` films of a synthetic corpus; ``folder``: where their copies are coded."""
    from playwright.sync_api import sync_playwright

    chosen = chosen_of(corpus, most, folder)
    files, slots = CodingFolder(folder), Slots(1, 86_400)
    server = CodingServer(files, slots)
    address, running = serve(server)
    counts = Counter[str]()
    became: dict[str, Counter[str]] = {way: Counter() for way in WAYS[1:]}
    took: dict[str, Counter[str]] = {way: Counter() for way in WAYS[1:]}
    try:
        with sync_playwright() as api:
            browser = api.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.set_default_timeout(WAIT_MS)
            for way in WAYS:
                if way != "hand":
                    read_all(server, list(chosen))
                for name, clip in chosen.items():
                    page.goto("about:blank")
                    page.goto(f"{address}#coder={way}&clip={name}")
                    page.wait_for_selector("#picture[data-shown]")
                    coder = Coder(page, clip.fps or 25.0)
                    truth = [] if way == "rejecting" else truth_of(clip, corpus)
                    if pictures is not None and way == "proposals":
                        picture_of(page, pictures / f"{Path(name).stem}.png")
                    if way == "hand":
                        by_hand(coder, truth)
                    else:
                        found = with_proposals(coder, truth, partial(spent, page, files, way, name))
                        became[way].update(found[0])
                        took[way].update(found[1])
                    check(files.coding(way, name)[0].events, truth, coder.close)
                    counts[way] += files.progress_of(way, name).actions
            browser.close()
    finally:
        running.should_exit = True
        slots.close()
    events = sum(len(truth_of(clip, corpus)) for clip in chosen.values())
    rejected = became["rejecting"]["wrong"]
    return {
        "clips": len(chosen), "events": events, "proposals": dict(became["proposals"]),
        "actions for them": dict(took["proposals"]),
        "actions": {way: counts[way] for way in WAYS[:2]},
        "actions per event": {way: round(counts[way] / events, 1) for way in WAYS[:2]},
        "actions per wrong proposal": round(took["rejecting"]["wrong"] / rejected, 1) if rejected else None,
    }  # fmt: skip


def picture_of(page: Any, path: Path) -> None:
    """A screenshot of the first event or proposal of the open clip; it costs no action."""
    page.keyboard.press("j")
    page.wait_for_timeout(1500)
    page.screenshot(path=str(path))
    page.keyboard.press("Escape")
    page.evaluate("window.deftCoding.actions = 0")


def spent(page: Any, files: CodingFolder, coder: str, name: str) -> int:
    """Actions on the open clip so far, all of them saved."""
    page.evaluate("window.deftCoding.flush(true)")
    return files.progress_of(coder, name).actions


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--pictures", type=Path, help="keep a screenshot of each film with its proposals")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = count(options.corpus, options.clips, Path(folder), options.pictures)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
