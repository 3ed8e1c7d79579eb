"""Layout and events of the page, and its server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from deft_llm.app import views
from deft_llm.app.jobs import Slots
from deft_llm.app.limits import TYPES, Limits
from deft_llm.app.page import (
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

HEAD = """<header class="deft-head"><div><h1>deft<em>-llm</em></h1><p>Finds brief movements of a face in a video,
measures how the skin moved, and names the label that coders would give. Every statement stands next to the
motion that it rests on.</p></div><button type="button" data-theme aria-pressed="false">Dark / light</button></header>"""
ASIDE = """<h2>What happens</h2><ol class="steps">
<li><div><b>Spot</b><span>Onset, apex and offset of each movement, against this video's own noise.</span></div></li>
<li><div><b>Measure</b><span>Head motion is taken out; what is left is skin, in pixels and in % of the distance between
the eyes.</span></div></li>
<li><div><b>Name</b><span>Action Units and a class, with probabilities, or a plain "cannot be judged" and why.</span></div></li>
<li><div><b>Delete</b><span>The video is deleted as soon as it has been read; results go when you close the page.</span></div></li></ol>"""


def build(slots: Slots, limits: Limits) -> Any:
    """The Gradio Blocks. Heavy work goes to ``slots``; ``limits`` on what is accepted."""
    import gradio as gr

    page = Page(slots, limits)
    method = METHODS[0][1]
    with gr.Blocks(title="deft-llm", analytics_enabled=False, delete_cache=(300, KEPT_SECONDS)) as blocks:
        result = gr.State(None, time_to_live=KEPT_SECONDS)
        rank, example = gr.State(0), gr.State(None)
        gr.HTML(HEAD)
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=320), gr.Group(elem_classes="card"):
                gr.HTML("<h2>Your video</h2><p class='soft'>Up to "
                        f"{limits.seconds:.0f} s and {limits.megabytes} MB, {', '.join(t[1:] for t in TYPES)}. "
                        "100 frames a second and a face of 300 px or more show most.</p>")  # fmt: skip
                video = gr.Video(sources=["upload", "webcam"], label="Face video", height=290, elem_id="video",
                                 webcam_options=gr.WebcamOptions(mirror=False))  # fmt: skip
                gr.HTML("<p class='soft'>or take an example</p>")
                with gr.Row():
                    buttons = {
                        name: gr.Button(text, elem_classes="plain-go", elem_id=f"example-{name}")
                        for name, text in EXAMPLES.items()
                    }
                consent = gr.Checkbox(label=CONSENT, elem_classes="consent", elem_id="consent")
                with gr.Accordion("Options", open=False):
                    chosen = gr.Radio(METHODS, value=method, label="Method", elem_id="method")
                    mirrored = gr.Checkbox(label="The video is a mirror image (some selfie cameras)")
                go = gr.Button("Analyse", elem_classes="primary-go", interactive=False, elem_id="go")
                line = gr.HTML("", elem_id="status")
            with gr.Column(scale=2, min_width=300), gr.Group(elem_classes="card"):
                gr.HTML(ASIDE + '<div class="limits"><h4>Limits</h4><ul>'
                        + "".join(f"<li>{limit}</li>" for limit in LIMITS) + "</ul></div>")  # fmt: skip
        with gr.Column(visible=False, elem_id="results") as results:
            with gr.Group(elem_classes="card"):
                gr.HTML("<h2>What moved, and when</h2><p class='soft'>Choose a movement on the timeline or "
                        "below it.</p>")  # fmt: skip
                timeline = gr.HTML(js_on_load=PICK, elem_id="timeline")
            with gr.Row(equal_height=False):
                with gr.Column(scale=3, min_width=320):
                    with gr.Group(elem_classes="card"):
                        gr.HTML("<h2>See it</h2>")
                        pictures = gr.HTML(elem_id="pictures")
                    with gr.Group(elem_classes="card"):
                        gr.HTML("<h2>Magnify it</h2>")
                        factor = gr.Slider(0, 30, value=8, step=1, label="Times as large", elem_id="factor")
                        magnified = gr.HTML(elem_id="magnified")
                with gr.Column(scale=2, min_width=320):
                    with gr.Group(elem_classes="card"):
                        reading = gr.HTML(elem_id="reading")
                    with gr.Group(elem_classes="card"):
                        gr.HTML("<h2>Ask about it</h2>")
                        talk = gr.Chatbot(label="Answers", height=300, elem_id="talk", buttons=["copy"],
                                          placeholder="Answers cite what was measured.")  # fmt: skip
                        with gr.Row():
                            suggestions = [
                                gr.Button(text, elem_classes="plain-go", size="sm") for text in SUGGESTED
                            ]
                        question = gr.Textbox(label="Your question", placeholder="Did the left brow move?",
                                              max_length=500, elem_id="question", submit_btn=True)  # fmt: skip
            with gr.Group(elem_classes="card"):
                gr.HTML("<h2>What the answer rests on</h2>")
                attribution = gr.HTML(elem_id="attribution")
            with gr.Group(elem_classes="card"):
                gr.HTML("<h2>Compare methods</h2>")
                compare = gr.Button("Ask deft and rules about this movement", elem_classes="plain-go",
                                    elem_id="compare")  # fmt: skip
                compared = gr.HTML(elem_id="compared")
            with gr.Group(elem_classes="card"):
                gr.HTML("<h2>Take it with you</h2>")
                downloads = gr.HTML(elem_id="downloads")
                notes = gr.HTML(elem_id="notes", elem_classes="notes")
        panels = [timeline, pictures, reading, attribution, downloads, notes]

        # -- events ---------------------------------------------------------------------------------
        consent.change(
            lambda yes: gr.update(interactive=bool(yes)), consent, go, queue=False, api_visibility="private"
        )
        for name, button in buttons.items():
            button.click(
                lambda name=name: (name, None, status(f"Example chosen: {EXAMPLES[name]}. Confirm and analyse.")),
                None, [example, video, line], queue=False, api_visibility="private",
            )  # fmt: skip
        video.input(lambda: (None, ""), None, [example, line], queue=False, api_visibility="private")

        def run(path, name, yes, method, mirror):
            for text, found in page.analyse(path, name, yes, method, mirror):
                yield text, found, gr.update(visible=found is not None)

        def first(found):
            if found is None:
                return (0, *[gr.skip()] * (len(panels) + 3))
            return (0, *shown(found, 0), [], "", None)

        def magnify(found, at, times):
            if found is None or not found.analysis.readings:
                return ""
            return views.magnified_html(found.analysis.readings[at].motion, float(times))

        def pick(found, event: gr.EventData):
            count = len(found.analysis.readings) if found is not None else 0
            at = int(getattr(event, "rank", 0))
            if not 0 <= at < count:
                return (0, *[gr.skip()] * (len(panels) + 1))
            return (at, *shown(found, at), "")

        pick.__annotations__["event"] = gr.EventData  # a name that Gradio can resolve: gr is imported here only
        go.click(
            run, [video, example, consent, chosen, mirrored], [line, result, results], trigger_mode="once",
            concurrency_limit=slots.count, concurrency_id="analyse", show_progress="hidden", api_name="analyse",
        ).then(
            first, result, [rank, *panels, talk, compared, video], show_progress="hidden", api_visibility="private"
        ).then(magnify, [result, rank, factor], magnified, show_progress="hidden", api_visibility="private")  # fmt: skip
        timeline.select(
            pick, result, [rank, *panels, compared], show_progress="hidden", api_visibility="private"
        ).then(magnify, [result, rank, factor], magnified, show_progress="hidden", api_visibility="private")  # fmt: skip
        factor.release(magnify, [result, rank, factor], magnified, trigger_mode="always_last",
                       show_progress="minimal", api_visibility="private")  # fmt: skip
        ask = {"outputs": talk, "api_visibility": "private", "show_progress": "minimal"}
        question.submit(page.ask, [result, rank, question, talk], **ask).then(
            lambda: "", None, question, queue=False, api_visibility="private"
        )
        for text, button in zip(SUGGESTED, suggestions):
            button.click(lambda f, r, h, text=text: page.ask(f, r, text, h), [result, rank, talk], **ask)
        compare.click(
            page.compare, [result, rank], compared, api_visibility="private", show_progress="minimal"
        )
    blocks.queue(default_concurrency_limit=2, max_size=64)
    return blocks


def theme() -> Any:
    """System fonts (nothing is loaded from elsewhere), calm neutrals."""
    import gradio as gr

    return gr.themes.Base(
        primary_hue="teal", neutral_hue="slate", radius_size=gr.themes.sizes.radius_lg,
        font=["system-ui", "-apple-system", "Segoe UI", "sans-serif"], font_mono=["ui-monospace", "monospace"],
    )  # fmt: skip


def launch(
    host: str = "127.0.0.1",
    port: int = 7860,
    *,
    jobs: int = 1,
    limits: Limits | None = None,
    wait: bool = True,
) -> tuple[Any, Slots, str]:
    """Serve the page; returns (blocks, slots, address). ``jobs`` run at once. Raises: OSError for a busy port.

    Files of uploads lie in a folder of their own and go with the server at the latest.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    limits = limits or Limits()
    slots = Slots(jobs, limits.job_seconds)
    blocks = build(slots, limits)
    blocks.launch(
        server_name=host, server_port=port, share=False, show_error=False, quiet=True, inbrowser=False,
        prevent_thread_lock=True, max_file_size=limits.megabytes * 1_000_000, footer_links=[], ssr_mode=False,
        theme=theme(), css=(HERE / "style.css").read_text(), js=(HERE / "page.js").read_text(),
        enable_monitoring=False, run_history=False, state_session_capacity=200,
    )  # fmt: skip
    if wait:
        try:
            blocks.block_thread()
        finally:
            slots.close()
    return blocks, slots, str(blocks.local_url)


def private_folder() -> Path:
    """A new folder for uploads, made the working folder, so that their addresses hold no path of this machine."""
    from tempfile import mkdtemp

    folder = Path(mkdtemp(prefix="deft-app-"))
    os.chdir(folder)
    os.environ["GRADIO_TEMP_DIR"] = "uploads"
    return folder
