"""Layout and events of the page, and its server."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from deft_llm.app import views
from deft_llm.app.coding.folder import CodingFolder
from deft_llm.app.coding.server import STATIC, CodingServer
from deft_llm.app.guard import Guard
from deft_llm.app.jobs import Slots
from deft_llm.app.limits import TYPES, Limits
from deft_llm.app.page import (
    BEFORE,
    CONSENT,
    EXAMPLES,
    HERE,
    KEPT_SECONDS,
    METHODS,
    PICK,
    SUGGESTED,
    Page,
    shown,
    status,
)
from deft_llm.claims import LIMITS
from deft_llm.files import lives

HEAD = """<header class="deft-head"><div><h1>deft<em>-llm</em></h1>
<p>Finds brief movements of a face in a video, measures how the skin moved, and names the label that coders
would give. Every statement stands next to the motion that it rests on.</p></div>
<button type="button" data-theme aria-pressed="false">Dark / light</button></header>"""
STEPS = {
    "Spot": "Onset, apex and offset of each movement, against this video's own noise.",
    "Measure": "Head motion is taken out; what is left is skin, in pixels and in % of the distance between "
    "the eyes.",
    "Name": 'Action Units and a class, with probabilities, or a plain "cannot be judged" and why.',
    "Delete": "The video is deleted as soon as it has been read; results go when you close the page.",
}
ASIDE = (
    '<h2>What happens</h2><ol class="steps">'
    + "".join(f"<li><div><b>{name}</b><span>{text}</span></div></li>" for name, text in STEPS.items())
    + "</ol>"
)


STUDY_SECONDS = 86_400.0  # that one clip of a folder may take: it may be hours long


@dataclass(frozen=True)
class Study:
    """A folder whose clips are coded in the page, by whom it begins with, and whether blind."""

    folder: CodingFolder
    coder: str = ""
    blind: bool = False


class Parts(SimpleNamespace):
    """The page's components by name."""


def build(slots: Slots, limits: Limits, checkpoint: str | None = None) -> Any:
    """The Gradio Blocks: heavy work goes to ``slots``, ``limits`` on what is accepted, and the
    ``checkpoint`` that deft reads with."""
    import gradio as gr

    page = Page(slots, limits, checkpoint)
    with gr.Blocks(title="deft-llm", analytics_enabled=False, delete_cache=(300, KEPT_SECONDS)) as blocks:
        parts = Parts(
            result=gr.State(None, time_to_live=KEPT_SECONDS), rank=gr.State(0), example=gr.State(None)
        )
        gr.HTML(HEAD)
        with gr.Row(equal_height=False):
            _input(parts, limits)
            with gr.Column(scale=2, min_width=300), gr.Group(elem_classes="card"):
                listed = "".join(f"<li>{limit}</li>" for limit in LIMITS)
                gr.HTML(f'{ASIDE}<div class="limits"><h4>Limits</h4><ul>{listed}</ul></div>')
        with gr.Column(visible=False, elem_id="results") as parts.results:
            _results(parts)
        _input_events(parts)
        _run_events(parts, page)
        _movement_events(parts, page)
    blocks.queue(default_concurrency_limit=2, max_size=64)
    return blocks


def _card(title: str, note: str = "") -> Any:
    import gradio as gr

    group = gr.Group(elem_classes="card")
    with group:
        said = f"<p class='soft'>{note}</p>" if note else ""
        gr.HTML(f"<h2>{title}</h2>{said}")
    return group


def _input(parts: Parts, limits: Limits) -> None:
    """The card that takes a video, an example, the consent."""
    import gradio as gr

    kinds = ", ".join(kind[1:] for kind in TYPES)
    note = (
        f"Up to {limits.seconds:.0f} s and {limits.megabytes} MB, {kinds}. 100 frames a second and a face of "
        "300 px or more show most."
    )
    with gr.Column(scale=3, min_width=320), _card("Your video", note):
        parts.consent = gr.Checkbox(label=CONSENT, elem_classes="consent", elem_id="consent")
        parts.before = gr.HTML(f"<p class='deft-empty'>{BEFORE}</p>", elem_id="before")
        with gr.Group(visible=False, elem_id="source") as parts.source:
            parts.video = gr.Video(
                sources=["upload", "webcam"], label="Face video", height=290, elem_id="video",
                webcam_options=gr.WebcamOptions(mirror=False),
            )  # fmt: skip
        gr.HTML("<p class='soft'>or take an example</p>")
        with gr.Row():
            parts.examples = {
                name: gr.Button(text, elem_classes="plain-go", elem_id=f"example-{name}")
                for name, text in EXAMPLES.items()
            }
        with gr.Accordion("Options", open=False):
            parts.method = gr.Radio(METHODS, value=METHODS[0][1], label="Method", elem_id="method")
            parts.mirrored = gr.Checkbox(label="The video is a mirror image (some selfie cameras)")
        parts.go = gr.Button("Analyse", elem_classes="primary-go", interactive=False, elem_id="go")
        parts.line = gr.HTML("", elem_id="status")


def _results(parts: Parts) -> None:
    """All cards that show a result."""
    import gradio as gr

    with _card("What moved, and when", "Choose a movement on the timeline or below it."):
        parts.timeline = gr.HTML(js_on_load=PICK, elem_id="timeline")
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            with _card("See it"):
                parts.pictures = gr.HTML(elem_id="pictures")
            with _card("Magnify it"):
                parts.factor = gr.Slider(0, 30, value=8, step=1, label="Times as large", elem_id="factor")
                parts.magnified = gr.HTML(elem_id="magnified")
        with gr.Column(scale=2, min_width=320, elem_classes="first-on-phone"):
            with gr.Group(elem_classes="card"):
                parts.reading = gr.HTML(elem_id="reading")
            with _card("Ask about it"):
                _talk(parts)
    with _card("What the answer rests on"):
        parts.attribution = gr.HTML(elem_id="attribution")
    with _card("Compare methods"):
        text = "Ask deft and rules about this movement"
        parts.compare = gr.Button(text, elem_classes="plain-go", elem_id="compare")
        parts.compared = gr.HTML(elem_id="compared")
    with _card("Take it with you"):
        parts.downloads = gr.HTML(elem_id="downloads")
        parts.notes = gr.HTML(elem_id="notes", elem_classes="notes")


def _talk(parts: Parts) -> None:
    import gradio as gr

    parts.talk = gr.Chatbot(
        label="Answers", show_label=False, height=300, elem_id="talk", buttons=["copy"],
        placeholder="Answers cite what was measured.",
    )  # fmt: skip
    with gr.Row():
        parts.suggestions = [gr.Button(text, elem_classes="plain-go", size="sm") for text in SUGGESTED]
    parts.question = gr.Textbox(
        label="Your question", placeholder="Did the left brow move?", max_length=500, elem_id="question",
        submit_btn=True,
    )  # fmt: skip


def _input_events(parts: Parts) -> None:
    import gradio as gr

    quick = {"queue": False, "api_visibility": "private"}
    parts.consent.change(
        lambda yes: (
            gr.update(interactive=bool(yes)), gr.update(visible=bool(yes)), gr.update(visible=not yes),
        ),
        parts.consent, [parts.go, parts.source, parts.before], **quick,
    )  # fmt: skip
    for name, button in parts.examples.items():
        said = status(f"Example chosen: {EXAMPLES[name]}. Confirm and analyse.")
        button.click(lambda name=name, said=said: (name, None, said), None,
                     [parts.example, parts.video, parts.line], **quick)  # fmt: skip
    parts.video.input(lambda: (None, ""), None, [parts.example, parts.line], **quick)


def _panels(parts: Parts) -> list[Any]:
    return [parts.timeline, parts.pictures, parts.reading, parts.attribution, parts.downloads, parts.notes]


def _magnify(found: Any, at: int, times: float) -> str:
    if found is None:
        return ""
    if not found.analysis.readings:
        return views.NOTHING
    return views.magnified_html(found.analysis.readings[at].motion, float(times))


def _run_events(parts: Parts, page: Page) -> None:
    import gradio as gr

    panels = _panels(parts)

    def run(path, name, yes, method, mirror):
        for text, found in page.analyse(path, name, yes, method, mirror):
            yield text, found, gr.update(visible=found is not None)

    def first(found):
        if found is None:
            return (0, *[gr.skip()] * (len(panels) + 3))
        return (0, *shown(found, 0), [], "", None)

    private = {"api_visibility": "private", "show_progress": "hidden"}
    inputs = [parts.video, parts.example, parts.consent, parts.method, parts.mirrored]
    parts.go.click(
        run, inputs, [parts.line, parts.result, parts.results], trigger_mode="once", api_name="analyse",
        concurrency_limit=page.slots.count, concurrency_id="analyse", show_progress="hidden",
    ).then(
        first, parts.result, [parts.rank, *panels, parts.talk, parts.compared, parts.video], **private
    ).then(_magnify, [parts.result, parts.rank, parts.factor], parts.magnified, **private)  # fmt: skip


def _movement_events(parts: Parts, page: Page) -> None:
    import gradio as gr

    panels, clip = _panels(parts), [parts.result, parts.rank]

    def pick(found, event: gr.EventData):
        count = len(found.analysis.readings) if found is not None else 0
        at = int(getattr(event, "rank", 0))
        if not 0 <= at < count:
            return (0, *[gr.skip()] * (len(panels) + 1))
        return (at, *shown(found, at), "")

    pick.__annotations__["event"] = gr.EventData  # Gradio cannot resolve the name: gr is imported here only
    hidden = {"api_visibility": "private", "show_progress": "hidden"}
    shy = {"api_visibility": "private", "show_progress": "minimal"}
    parts.timeline.select(
        pick, parts.result, [parts.rank, *panels, parts.compared], **hidden
    ).then(_magnify, [*clip, parts.factor], parts.magnified, **hidden)  # fmt: skip
    parts.factor.release(_magnify, [*clip, parts.factor], parts.magnified, trigger_mode="always_last", **shy)
    parts.question.submit(page.ask, [*clip, parts.question, parts.talk], parts.talk, **shy).then(
        lambda: "", None, parts.question, queue=False, api_visibility="private"
    )
    for text, button in zip(SUGGESTED, parts.suggestions):
        button.click(
            lambda f, r, h, text=text: page.ask(f, r, text, h), [*clip, parts.talk], parts.talk, **shy
        )
    parts.compare.click(page.compare, clip, parts.compared, **shy)


def theme() -> Any:
    """System fonts (nothing is loaded from elsewhere), calm neutrals."""
    import gradio as gr

    return gr.themes.Base(
        primary_hue="teal", neutral_hue="slate", radius_size=gr.themes.sizes.radius_lg,
        font=["system-ui", "-apple-system", "Segoe UI", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )  # fmt: skip


def serve(
    host: str = "127.0.0.1",
    port: int = 7860,
    *,
    jobs: int = 1,
    limits: Limits | None = None,
    checkpoint: str | None = None,
    names: Sequence[str] = (),
    study: Study | None = None,
) -> None:
    """Serve the page until the process is told to end; ``jobs`` run at once.

    ``names``: further names by which the page is reached. ``study``: a folder that is coded. The processes
    that analyse end with the server. Raises: OSError (busy port).
    """
    import uvicorn

    listening = socket.create_server(
        (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, reuse_port=False
    )
    limits = limits or Limits()
    slots, readers = Slots(jobs, limits.job_seconds), Slots(1, STUDY_SECONDS)
    coding = (
        None
        if study is None
        else CodingServer(study.folder, readers, blind=study.blind, coder=study.coder, checkpoint=checkpoint)
    )
    try:
        config = uvicorn.Config(
            application(build(slots, limits, checkpoint), host, limits, names, coding),
            log_level="warning", timeout_graceful_shutdown=1, server_header=False,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        slots.close()
        readers.close()
        listening.close()


def application(
    blocks: Any, host: str, limits: Limits, names: Sequence[str] = (), coding: CodingServer | None = None
) -> Any:
    """The ASGI application: Gradio's and the coding page's, behind the guard; pages of other origins get
    no leave to read it."""
    import gradio as gr
    from fastapi import FastAPI
    from starlette.middleware import Middleware
    from starlette.middleware.cors import CORSMiddleware

    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # Twice: Gradio gives css= the weight to win over its own rules, but breaks @media and @container in it.
    css = (STATIC / "tokens.css").read_text() + (HERE / "style.css").read_text()
    guard = Middleware(Guard, host=host, names=tuple(names))
    outer = FastAPI(middleware=[guard, Middleware(CORSMiddleware, allow_origins=[])], openapi_url=None)
    outer.router.routes += [] if coding is None else coding.routes()  # before Gradio's, which take the rest
    return gr.mount_gradio_app(
        outer, blocks, path="", server_name=host, show_error=False, footer_links=[], ssr_mode=False,
        max_file_size=limits.megabytes * 1_000_000, theme=theme(), head=f"<style>{css}</style>", css=css,
        js=(HERE / "page.js").read_text(), enable_monitoring=False, run_history=False,
        app_kwargs={"openapi_url": None},
    )  # fmt: skip


PREFIX = "deft-app-"


def private_folder() -> Path:
    """A new folder for uploads and temporary files, made the working folder: their addresses hold no path of
    this machine. Folders of servers that were killed are removed."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        pid = left.name.removeprefix(PREFIX).split("-")[0]
        if pid.isdigit() and not lives(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    os.chdir(folder)
    os.environ["GRADIO_TEMP_DIR"] = "uploads"
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    return folder
