"""Requests to the coding page, sound and damaged, sent to its own handlers without a network.

``page FOLDER``: FOLDER is a folder of clips with what is coded of them; each file of ``requests`` in it is
one request, called METHOD-ADDRESS.json, with its ``query`` and ``body``. A file that is no such JSON is sent
as the body as it is. What a handler refuses is printed with the request's name (exit code 1).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.app.coding.analyses import identity_of
from deft_llm.app.coding.folder import CodingFolder
from deft_llm.app.coding.server import PREFIX, CodingServer
from deft_llm.app.jobs import Slots
from deft_llm.app.worker import Result
from deft_llm.codings import table
from deft_llm.codings.events import Coding, FrameClock, event_at
from deft_llm.explain.magnify import write_loop
from deft_llm.explain.result import AnalysisResult, MovementReading
from deft_llm.files import write_json
from deft_llm.spotting.movement import Movement

PAGE = "page"
"""First word of a case that asks the page instead of a command."""
REQUESTS = "requests"
FPS, FRAMES, CLIP = 25.0, 40, "a.mp4"
ANNA = {"coder": "anna", "clip": CLIP}
UNIT = {
    "number": 12,
    "side": "left",
    "phase": "rise",
    "onset": 11,
    "apex": 14,
    "offset": 20,
    "confidence": 0.9,
    "reason": "",
}
ROW = {
    "au": 12,
    "side": "left",
    "region": "mouth corner",
    "direction": "up-lateral",
    "px": 1.0,
    "iod_percent": 2.0,
    "z": 8.0,
    "status": "supported",
    "mark": "",
}
MOVEMENT = {
    "rank": 1,
    "kind": "micro-expression",
    "face": 1,
    "onset": 11,
    "apex": 14,
    "offset": 20,
    "reason": "",
    "warning": "",
    "aus": [UNIT],
    "au_probabilities": {"12": 0.9, "4": 0.6},
    "aus_not_judged": {"4": "noise"},
    "evidence": [ROW],
    "class": {"label": "positive"},
    "answer": "Class: happiness (positive)",
    "contradicted": ["AU4 both: noise"],
    "cannot_judge": [{"what": "Its end", "why": "It is not seen."}],
}
LID = {
    "kind": "blink",
    "aus": [45],
    "side": None,
    "face": 1,
    "onset": 2,
    "apex": 3,
    "offset": 5,
    "detail": "",
}
RESULT = {
    "video": {"fps": FPS},
    "source": CLIP,
    "movements": [MOVEMENT],
    "events": [LID],
    "notes": ["a note"],
    "cannot_judge": [],
}
EVENT = {
    "au": 12,
    "side": "left",
    "phase": "rise",
    "onset": 10,
    "apex": 14,
    "offset": 20,
    "intensity": "B",
    "face": 1,
    "status": "coded",
    "note": "a note",
}
CODING = (
    "file,fps,coder,au,side,phase,intensity,onset,apex,offset,note\na.mp4,25,me,12,both,rise,B,10,15,20,\n"
)
SOUND: dict[str, dict[str, Any]] = {
    "GET-folder": {"query": {"coder": "anna"}},
    "GET-clip": {"query": ANNA},
    "GET-frames": {"query": {"clip": CLIP, "start": "3", "count": "2"}},
    "GET-agreement": {"query": ANNA | {"other": "ben"}},
    "GET-export": {"query": ANNA | {"format": "elan"}},
    "PUT-events": {
        "body": {
            "clip": CLIP,
            "coder": "carla",
            "events": [EVENT],
            "revision": "",
            "actions": 3,
            "dismissed": ["1.1"],
        }
    },
    "POST-import": {"query": {"clip": CLIP, "coder": "carla", "name": "a.csv"}, "body": CODING},
    "POST-finish": {"body": {"clip": CLIP, "coder": "carla", "finished": True}},
    "POST-propose": {"body": {"clips": []}},
    "POST-ask": {
        "body": ANNA | {"movement": 1, "question": "When did it begin?", "earlier": ["What moved?"]}
    },
}


def make_page(base: Path) -> None:
    """A folder with one clip, two coders, what deft found, and a sound request to every address."""
    here = base / "page"
    (here / REQUESTS).mkdir(parents=True)
    write_loop(
        [np.full((64, 96, 3), 5 * i, np.uint8) for i in range(FRAMES)], here / CLIP, fps=FPS, repeats=1
    )
    files, clock = CodingFolder(here), FrameClock(FPS)
    event = event_at(clock, where="", **EVENT)
    for coder in ("anna", "ben"):
        table.write(Coding(media=CLIP, fps=FPS, coder=coder, events=[event]), files.file_of(coder, CLIP))
        files.finish(coder, CLIP)
    proposed = event.model_copy(update={"status": "proposed"})
    coding = Coding(media=CLIP, fps=FPS, coder="deft", events=[proposed])
    table.write(coding, files.proposals_file(CLIP, "events"))
    write_json(files.proposals_file(CLIP, "result"), RESULT)
    curves = {"step": 1, "frames": FRAMES, "aus": {}, "box": [], "bytes": (here / CLIP).stat().st_size,
              "checkpoint": identity_of(None)}  # fmt: skip
    write_json(files.proposals_file(CLIP, "curves"), curves)
    for name, request in SOUND.items():
        write_json(here / REQUESTS / f"{name}.json", {"query": {}, "body": {}} | request)


def ask_page(folder: Path) -> int:
    """Send every request of ``folder`` to its page; 1 where one is refused."""
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    server = CodingServer(CodingFolder(folder), Slots(1))
    server.analyses.kept = lambda clip: _read_clip()  # type: ignore[method-assign]
    client, refused = TestClient(Starlette(routes=server.routes())), 0
    for path in sorted((folder / REQUESTS).glob("*.json"), key=lambda path: [*SOUND].index(path.stem)):
        if not path.is_file() or path.is_symlink():
            continue
        method, _, address = path.stem.partition("-")
        query, body = _request(path.read_bytes(), SOUND[path.stem].get("query", {}))
        answer = client.request(method, f"{PREFIX}/api/{address}", params=query, content=body)
        if answer.status_code >= 400:
            refused = 1
            print(f"{path}: {answer.json()['error']}")
    return refused


def _read_clip() -> Result:
    """A clip that was read since the server started: one movement that was not measured."""
    movement = Movement("micro-expression", 11, 14, 20, 0.44, 0.56, 0.8, (0.3, 0.4), 9.0)
    video = {"fps": FPS, "frames": FRAMES}
    return Result(AnalysisResult(CLIP, "rules", video, [MovementReading(movement)], [], []))


def _request(data: bytes, query: dict[str, str]) -> tuple[dict[str, str], bytes]:
    """Query and body of a request's file; of one that is none, ``query`` and the file itself."""
    try:
        found = json.loads(data)
        asked = {str(key): str(value) for key, value in found["query"].items()}
        json.dumps(asked, ensure_ascii=False).encode()  # an address is text
        body = found["body"]
        return asked, (body if isinstance(body, str) else json.dumps(body)).encode()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return query, data
