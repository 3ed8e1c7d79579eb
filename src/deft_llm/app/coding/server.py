"""The coding page's addresses: its files, frames off the disk, and small JSON questions and answers.

Every handler takes the request's ``Asked`` and gives back JSON, or an answer of its own. What is asked of a
clip goes through ``CodingFolder.path_of``: only clips of the folder's list are known here. Proposals, curves
and other coders' events are given out only where the coder may see them (``_may_see``, ``_other``).
"""

from __future__ import annotations

import struct
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deft_llm.app import chat
from deft_llm.app.coding.analyses import Analyses
from deft_llm.app.coding.folder import DEFT, CodingFolder, check_coder, is_coder
from deft_llm.app.jobs import Slots
from deft_llm.app.limits import clean_message
from deft_llm.codings.agreement import agreement_of, disagreements_of, each_once
from deft_llm.codings.events import Coding, event_at, media_name
from deft_llm.codings.formats import FORMATS, read_coding, write_coding
from deft_llm.codings.pairs import SUFFIXES
from deft_llm.codings.proposals import a_result, proposals_of
from deft_llm.codings.tiers import unread_line
from deft_llm.errors import DeftError, naming
from deft_llm.explain.words import marked_words
from deft_llm.faces.seek import FrameReader
from deft_llm.facs.units import ENTRIES
from deft_llm.files import decode_json

PREFIX = "/coding"
PAGE = "page.html"
STATIC = Path(__file__).parent / "static"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
JPEG_QUALITY = 92
MOST_FRAMES = 64  # in one answer
MOST_BYTES = 4_000_000  # of one question: a coding file of many thousand events
OPEN_READERS = 3
UNSHARED = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; style-src 'self' "
    "'unsafe-inline'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin", "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
}  # fmt: skip
EVENT_IS = ("au", "side", "phase", "face", "onset", "offset")  # what tells an event from any other
EVENT_KEYS = ("au", "side", "phase", "onset", "apex", "offset", "intensity", "face", "status", "note")


@dataclass(frozen=True)
class Asked:
    """One request: what stands in its address, and its body."""

    query: dict[str, str]
    body: bytes = b""

    def __getitem__(self, name: str) -> str:
        if name not in self.query:
            raise DeftError(f"the question lacks '{name}'; load the page again.")
        return self.query[name]

    def number(self, name: str) -> int:
        """A whole number of the address. Raises: DeftError for anything else."""
        text = self[name]
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise DeftError(f"'{name}' is {text[:20]!r}, no whole number from 0.")
        return int(text)

    def json(self) -> dict[str, Any]:
        """The body as an object. Raises: DeftError where it is none."""
        try:
            value = decode_json(self.body.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise DeftError("what was sent is no JSON; load the page again.") from error
        if not isinstance(value, dict):
            raise DeftError("what was sent is no JSON object; load the page again.")
        return value


def _text(sent: dict[str, Any], name: str) -> str:
    """A text of what was sent. Raises: DeftError where it is not there or no text."""
    if not isinstance(sent.get(name), str):
        raise DeftError(f"'{name}' is no text; load the page again.")
    return sent[name]


class CodingServer:
    """Handlers of the page. ``blind``: proposals are kept back until a coder has coded the clip; ``coder``:
    the name that the page begins with ("": it asks)."""

    def __init__(
        self, folder: CodingFolder, slots: Slots, *, blind: bool = False, coder: str = "",
        checkpoint: str | None = None,
    ) -> None:  # fmt: skip
        if coder:
            check_coder(coder)
        self.files, self.slots, self.blind, self.coder = folder, slots, blind, coder
        self.checkpoint = checkpoint
        self.analyses = Analyses(folder, slots, checkpoint)
        self._readers: OrderedDict[Any, FrameReader] = OrderedDict()
        self._lock = threading.Lock()

    def routes(self) -> list[Any]:
        """Starlette's routes, all below ``PREFIX``."""
        from starlette.responses import RedirectResponse
        from starlette.routing import Route

        async def slash(request: Any) -> Any:
            return RedirectResponse(f"{PREFIX}/")

        table: list[tuple[str, str, Callable[[Asked], Any]]] = [
            ("GET", "/", lambda asked: _static(PAGE)),
            ("GET", "/api/folder", self.folder),
            ("GET", "/api/clip", self.clip),
            ("GET", "/api/frames", self.frames),
            ("GET", "/api/jobs", lambda asked: self.analyses.jobs()),
            ("GET", "/api/agreement", self.agreement),
            ("GET", "/api/export", self.export),
            ("PUT", "/api/events", self.save),
            ("POST", "/api/import", self.read_in),
            ("POST", "/api/finish", self.finish),
            ("POST", "/api/propose", self.propose),
            ("POST", "/api/ask", self.ask),
        ]
        names = sorted(path.name for path in STATIC.iterdir() if path.suffix in TYPES and path.name != PAGE)
        table += [("GET", f"/{name}", _file_of(name)) for name in names]
        return [Route(PREFIX, slash)] + [
            Route(PREFIX + path, _endpoint(handler), methods=[method]) for method, path, handler in table
        ]

    # ---- what there is

    def folder(self, asked: Asked) -> dict[str, Any]:
        """The clips with their states for a coder, the coders, the codes of FACS."""
        coder = asked.query.get("coder", "")
        if coder:
            check_coder(coder)
        progress = {name: self.files.progress(name) for name in self.files.coders()}
        jobs = self.analyses.jobs()
        clips = [
            {"clip": clip, "state": self.files.state(coder, clip, progress), "job": jobs.get(clip),
             "read": self.analyses.is_there(clip),
             "coded_by": [n for n, one in progress.items() if clip in one.clips and one.clips[clip].finished]}
            for clip in self.files.clips()
        ]  # fmt: skip
        return {
            "folder": self.files.root.name, "coder": self.coder, "coders": list(progress),
            "blind": self.blind, "clips": clips, "formats": list(FORMATS),
            "aus": {str(entry.number): entry.name for entry in ENTRIES.values()},
        }  # fmt: skip

    def clip(self, asked: Asked) -> dict[str, Any]:
        """One clip: its frames, the coder's events, and, where they may be seen, proposals and curves."""
        clip, coder = asked["clip"], asked["coder"]
        reader, clock = self._reader(clip), self.files.clock(clip)
        coding, revision = self.files.coding(coder, clip)
        height, width = reader.read(0)[0].shape[:2]
        answer: dict[str, Any] = {
            "clip": clip, "fps": clock.fps, "frames": reader.count, "width": width, "height": height,
            "times": None if _even(clock, reader.count) else [clock.time_of(i) for i in range(reader.count)],
            "events": [event.model_dump(include=set(EVENT_KEYS)) for event in coding.events],
            "revision": revision, "progress": self.files.progress_of(coder, clip).model_dump(),
            "hidden": not self._may_see(coder, clip), "job": self.analyses.jobs().get(clip), "found": None,
        }  # fmt: skip
        found = None if answer["hidden"] else self.analyses.of(clip)
        if found is not None:
            self.files.note_shown(coder, clip)
            answer["found"] = _found(*found, clip) | {"kept": self.analyses.kept(clip) is not None}
        return answer

    def _may_see(self, coder: str, clip: str) -> bool:
        return not self.blind or self.files.progress_of(coder, clip).first_round is not None

    def _reader(self, clip: str) -> FrameReader:
        path = self.files.path_of(clip)
        key = (clip, path.stat().st_mtime_ns)
        with self._lock:
            if key not in self._readers:
                self._readers[key] = FrameReader(path)
                while len(self._readers) > OPEN_READERS:
                    self._readers.popitem(last=False)[1].close()
            self._readers.move_to_end(key)
            return self._readers[key]

    def frames(self, asked: Asked) -> Any:
        """JPEGs of consecutive frames, each after its length (4 bytes, little endian)."""
        import cv2
        from starlette.responses import Response

        count = min(max(asked.number("count"), 1), MOST_FRAMES)
        parts = []
        for picture in self._reader(asked["clip"]).read(asked.number("start"), count):
            _, data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            parts += [struct.pack("<I", len(data)), data.tobytes()]
        return Response(b"".join(parts), media_type="application/octet-stream")

    # ---- what coders do

    def _coding(self, clip: str, coder: str, rows: Any) -> Coding:
        """The page's events as a coding. Raises: DeftError for an event that cannot be, or is there twice
        with another intensity or apex."""
        clock, count = self.files.clock(clip), self._reader(clip).count
        if not isinstance(rows, list):
            raise DeftError("events are a list; load the page again.")
        events = []
        for row in rows:
            if not isinstance(row, dict) or not set(row) <= set(EVENT_KEYS):
                raise DeftError("an event has fields that are unknown; load the page again.")
            where = f"AU{row.get('au')} {row.get('side')}"
            if not _is_frame(row.get("au")) or row["au"] not in ENTRIES:
                raise DeftError(f"{where}: is no code of FACS; give another number.")
            for point in ("onset", "apex", "offset"):
                frame = row.get(point)
                if not (_is_frame(frame) or (frame is None and point == "apex")):
                    raise DeftError(f"{where}: its {point} is no frame; give a whole number from 0.")
            events.append(event_at(clock, where=where, **row))
            if events[-1].offset >= count:
                raise DeftError(f"{where}: ends at frame {events[-1].offset}; the clip has {count} frames.")
        coding = Coding(media=clip, fps=clock.fps, coder=coder, events=events).sorted()
        each_once(coding, clip)
        return coding

    def save(self, asked: Asked) -> dict[str, Any]:
        """Keep a coder's events of a clip."""
        sent = asked.json()
        clip, coder = _text(sent, "clip"), _text(sent, "coder")
        actions = sent.get("actions")
        coding = self._coding(clip, coder, sent.get("events"))
        spent = actions if isinstance(actions, int) and 0 <= actions < 10**6 else 0
        dismissed = sent.get("dismissed", [])
        if not isinstance(dismissed, list) or not all(isinstance(one, str) for one in dismissed):
            raise DeftError("what was put aside is no list; load the page again.")
        revision = str(sent.get("revision", ""))
        return {"revision": self.files.save(coder, clip, coding, revision, spent, dismissed)}

    def finish(self, asked: Asked) -> dict[str, Any]:
        """Call a clip coded, or open it again."""
        sent = asked.json()
        done = self.files.finish(_text(sent, "coder"), _text(sent, "clip"), sent.get("finished") is True)
        return done.model_dump()

    def propose(self, asked: Asked) -> dict[str, Any]:
        """Have deft read clips."""
        clips = asked.json().get("clips")
        if not isinstance(clips, list) or not all(isinstance(clip, str) for clip in clips):
            raise DeftError("clips are a list of names; load the page again.")
        self.analyses.ask_for(clips)
        return self.analyses.jobs()

    def export(self, asked: Asked) -> Any:
        """A coder's events of a clip as a file of another format."""
        from urllib.parse import quote

        from starlette.responses import Response

        clip, coder, name = asked["clip"], asked["coder"], asked["format"]
        if name not in FORMATS:
            raise DeftError(f"{name[:20]!r} is no format; choose one of {', '.join(FORMATS)}.")
        if self.blind and coder == DEFT:
            raise DeftError("This page is blind: it exports no proposals; give the name of a coder.")
        coding, _ = self.files.coding(coder, clip)
        file = f"{Path(clip).stem}-{coder}{FORMATS[name].suffix}"
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "coding"
            write_coding(coding, path, name)
            data = path.read_bytes()
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(file)}"}
        return Response(data, media_type="application/octet-stream", headers=headers)

    def read_in(self, asked: Asked) -> dict[str, Any]:
        """The events in a coding file that was sent, and a line on what is not read of it; nothing is kept:
        the page takes them as an edit."""
        clip, suffix = asked["clip"], Path(media_name(asked["name"])).suffix.lower()
        if suffix not in SUFFIXES:
            raise DeftError(f"{asked['name'][:80]}: is no coding; choose one of {', '.join(SUFFIXES)}.")
        clock = self.files.clock(clip)
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / f"coding{suffix}"
            path.write_bytes(asked.body)
            try:
                coding = read_coding(path, clock)
            except DeftError as error:
                raise DeftError(clean_message(str(error).replace(path.name, asked["name"]), path)) from error
        if coding.media and media_name(coding.media) != media_name(clip):
            raise DeftError(f"{asked['name']}: codes {media_name(coding.media)}, not {media_name(clip)}.")
        rows = [event.model_dump(include=set(EVENT_KEYS)) for event in coding.events]
        self._coding(clip, asked["coder"], rows)
        return {"events": rows, "unread": unread_line(coding.unread) if coding.unread else ""}

    # ---- two coders

    def _other(self, coder: str, clip: str, other: str) -> Coding:
        """Another's coding. Raises: DeftError before the coder's own first round."""
        if self.files.progress_of(coder, clip).first_round is None:
            raise DeftError("Finish your own coding of this clip first; then it can be compared.")
        if other == DEFT:
            if not self.analyses.is_there(clip):
                raise DeftError("deft has not read this clip yet; press Propose.")
        elif not is_coder(other) or not self.files.progress_of(other, clip).finished:
            raise DeftError(f"{other[:40]} has not finished this clip.")
        return self.files.coding(other, clip)[0]

    def agreement(self, asked: Asked) -> dict[str, Any]:
        """Agreement with another coder or deft on a clip, and what only one of the two coded."""
        coder, clip = asked["coder"], asked["clip"]
        theirs = self._other(coder, clip, asked["other"])
        mine, _ = self.files.coding(coder, clip)
        seen = [event for coding in (mine, theirs) for event in coding.events if event.status != "rejected"]
        found = agreement_of(mine, theirs, self._reader(clip).count) if seen else None
        rows = disagreements_of(mine, theirs)
        for row in rows:
            row["event"] = next(
                event.model_dump(include=set(EVENT_KEYS))
                for event in each_once(mine if row["coded_by"] == "first" else theirs)
                if all(getattr(event, key) == row[key] for key in EVENT_IS)
            )
        kept = ("events", "agreement", "per_au")
        figures = None if found is None else {key: found[key] for key in kept}
        return {"other": asked["other"], "disagreements": rows, "figures": figures}

    # ---- questions

    def ask(self, asked: Asked) -> dict[str, Any]:
        """An answer about one movement of a clip that was read since the server started."""
        sent = asked.json()
        coder, clip, rank = _text(sent, "coder"), _text(sent, "clip"), sent.get("movement")
        if not self._may_see(coder, clip):
            raise DeftError("Finish your own coding of this clip first; then deft answers.")
        result = self.analyses.kept(clip)
        if result is None:
            raise DeftError("deft answers about clips that it has read since the page was started.")
        if not isinstance(rank, int) or not 1 <= rank <= len(result.analysis.readings):
            raise DeftError("Choose a movement first.")

        question, before = _text(sent, "question"), sent.get("earlier", [])
        if not isinstance(before, list):
            raise DeftError("earlier questions are a list; load the page again.")

        def language(motion: Any, text: str) -> Any:
            return self.slots.result("ask", motion, text, self.checkpoint)

        def imagine(motion: Any, held: Any) -> Any:
            return self.slots.result("what_if", motion, held, result.analysis.method, self.checkpoint)

        earlier = [str(text) for text in before][-10:]
        answer = chat.reply(result, rank - 1, question, earlier, language if result.has_language else None,
                            imagine)  # fmt: skip
        return {"answer": answer}


def _found(record: dict[str, Any], curves: dict[str, Any], clip: str) -> dict[str, Any]:
    """What the page shows of a clip that deft has read. Raises: DeftError for a file that is no result."""
    with naming(f"{clip}.result.json"), a_result():
        return {
            "proposals": [one.model_dump() for one in proposals_of(record)], "curves": curves,
            "movements": [_movement(one) for one in record["movements"]],
            "events": [{key: one[key] for key in ("kind", "onset", "offset", "detail")}
                       for one in record["events"]],
            "notes": [*record["notes"], *(one["why"] for one in record["cannot_judge"])],
        }  # fmt: skip


def _movement(one: dict[str, Any]) -> dict[str, Any]:
    """What the page tells of a movement beside its proposals."""
    keys = ("rank", "kind", "onset", "apex", "offset", "answer", "warning", "reason")
    figures = ("au", "side", "region", "direction", "px", "iod_percent", "z", "status", "mark")
    rows = [{key: row.get(key) for key in figures} for row in one["evidence"]]
    return {key: one[key] for key in keys} | {
        "label": one["class"]["label"] if one["class"] else None, "evidence": rows,
        "contradicted": [marked_words(mark) for mark in one.get("contradicted", [])],
        "cannot_judge": [
            f"{state['what'][0].lower()}{state['what'][1:]}. {state['why']}" for state in one["cannot_judge"]
        ],
    }  # fmt: skip


def _is_frame(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9


def _even(clock: Any, count: int) -> bool:
    """Whether frame times are those of a constant rate."""
    times = clock.times
    return times is None or all(abs(t - i / clock.fps) < 0.1 / clock.fps for i, t in enumerate(times[:count]))


def _static(name: str) -> Any:
    from starlette.responses import Response

    path = STATIC / name
    return Response(path.read_bytes(), media_type=TYPES[path.suffix])


def _file_of(name: str) -> Callable[[Asked], Any]:
    return lambda asked: _static(name)


def _endpoint(handler: Callable[[Asked], Any]) -> Any:
    """A Starlette endpoint; faults become a sentence without any folder of this machine."""
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response

    async def endpoint(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                return JSONResponse({"error": "That is too much for one coding."}, 413, headers=UNSHARED)
        try:
            answer = await run_in_threadpool(handler, Asked(dict(request.query_params), body))
        except DeftError as error:
            return JSONResponse({"error": clean_message(str(error))}, 400, headers=UNSHARED)
        if not isinstance(answer, Response):
            answer = JSONResponse(answer)
        answer.headers.update(UNSHARED)
        return answer

    return endpoint
