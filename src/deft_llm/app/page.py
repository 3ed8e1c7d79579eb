"""The page: a video in, its movements on a timeline, and for each what was measured, asked and compared."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from deft_llm.app import chat, views
from deft_llm.app.downloads import downloads_html
from deft_llm.app.jobs import Progress, Slots
from deft_llm.app.limits import Limits, check_file, clean_message
from deft_llm.app.timeline import timeline_html
from deft_llm.app.uploads import Uploads
from deft_llm.errors import DeftError

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

EXAMPLES = {
    "portrait": "A portrait with one known movement: a right lip corner, one pixel, 2.6 s",
    "carphone": "A man talking in a car: small and noisy, 176 x 144 px",
}
METHODS = [("deft: the trained experts", "deft"), ("rules: measured AUs and EMFACS-style rules", "rules")]
CONSENT = (
    "Everyone in this video agreed to this analysis. I will not use it to judge whether somebody lies, for a "
    "diagnosis, or at work or school."
)
BEFORE = "Upload and webcam open once you have confirmed this."
PICK = """
const send = (event) => {
  const mark = event.target.closest && event.target.closest('[data-rank]');
  if (!mark || !element.contains(mark)) return;
  if (event.type === 'keydown') {
    if (mark.tagName === 'BUTTON' || (event.key !== 'Enter' && event.key !== ' ')) return;
    event.preventDefault();
  }
  trigger('select', {rank: Number(mark.dataset.rank)});
};
element.addEventListener('click', send);
element.addEventListener('keydown', send);
"""
SUGGESTED = ("What moved?", "Why this class?", "How sure is it?")
KEPT_SECONDS = 1800
HERE = Path(__file__).parent


def status(text: str, share: float | None = None, error: bool = False) -> str:
    """The line that says what happens; read out by screen readers."""
    track = "" if share is None else (
        f'<div class="track" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{100 * share:.0f}"><i style="width:{100 * share:.0f}%"></i></div>'
    )  # fmt: skip
    role = "alert" if error else "status"
    return f'<div class="status{" error" if error else ""}" role="{role}">{escape(text)}{track}</div>'


class Page:
    """Handlers of the page; ``slots`` runs what is heavy, ``uploads`` owns the files until they are read.

    ``checkpoint``: folder of deft's checkpoint, None for the shipped one.
    """

    def __init__(self, slots: Slots, limits: Limits, checkpoint: str | None = None) -> None:
        self.slots, self.limits, self.uploads = slots, limits, Uploads()
        self.checkpoint = checkpoint

    def example(self, name: str) -> Path:
        """The file of an example; the portrait is made at first use."""
        from deft_llm.explain.demo import portrait_clip
        from deft_llm.setup.weights import cache_dir, require

        if name == "carphone":
            return require("carphone")
        folder = cache_dir() / "examples"
        folder.mkdir(parents=True, exist_ok=True)
        return portrait_clip(folder / "portrait.mp4")

    def analyse(
        self, video: str | None, example: str | None, consent: bool, method: str, mirrored: bool
    ) -> Iterator[tuple[str, Any]]:
        """Status lines, and the result with the last one (None until then)."""
        if not video:
            yield from self._analyse(None, example, consent, method, mirrored)
            return
        path = Path(video).absolute()
        with self.uploads.held(path):  # whatever comes of it, the upload goes
            yield from self._analyse(path, None, consent, method, mirrored)

    def _analyse(
        self, path: Path | None, example: str | None, consent: bool, method: str, mirrored: bool
    ) -> Iterator[tuple[str, Any]]:
        uploaded = path is not None
        if not consent:
            yield status("Please confirm first that everyone in the video agreed.", error=True), None
            return
        try:
            if path is None and example not in EXAMPLES:
                raise DeftError("Choose a video, record one, or pick an example first.")
            path = path or self.example(str(example))
            check_file(path, self.limits)
            method = method if method in [value for _, value in METHODS] else "rules"
            yield status("Waiting for a free place", 0.0), None
            for item in self.slots.run("analyse", path, method, bool(mirrored), self.limits, self.checkpoint):
                if isinstance(item, Progress):
                    yield status(item.text.capitalize(), item.share), None
                else:
                    count = len(item.analysis.readings)
                    found = f"{count} movement{'s' * (count != 1)} found." if count else "No movement found."
                    kept = "The video was deleted from the server." if uploaded else ""
                    yield status(f"Done. {found} {kept}"), item
        except DeftError as error:
            yield status(clean_message(str(error), path), error=True), None
        except Exception as error:
            yield (
                status(f"Something went wrong ({type(error).__name__}); try another video.", error=True),
                None,
            )

    def ask(
        self, result: Any, rank: int, question: str, history: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """The conversation with one question and its answer more."""
        history = list(history or [])
        earlier = [_plain(turn["content"]) for turn in history if turn.get("role") == "user"]

        def ask_language(motion: Any, text: str) -> Any:
            return self.slots.result("ask", motion, text, self.checkpoint)

        def imagine(motion: Any, held: Any) -> Any:
            return self.slots.result("what_if", motion, held, result.analysis.method, self.checkpoint)

        has_language = result is not None and result.has_language
        try:
            answer = chat.reply(
                result, rank, question, earlier, ask_language if has_language else None, imagine
            )
        except DeftError as error:
            answer = clean_message(str(error))
        return [*history, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]

    def compare(self, result: Any, rank: int) -> str:
        """deft and rules on the chosen movement."""
        motion = result.analysis.readings[rank].motion if result and result.analysis.readings else None
        if motion is None:
            return status("This movement was not measured, so methods cannot be compared on it.", error=True)
        try:
            found = self.slots.result("compare", motion, ("deft", "rules"), self.checkpoint)
            return views.compare_html(found)
        except DeftError as error:
            return status(clean_message(str(error)), error=True)


def _plain(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(
            str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in content
        )
    return str(content)


def shown(result: Any, rank: int) -> tuple[str, ...]:
    """timeline, pictures, reading, attribution, downloads, notes for one movement of a result."""
    if not result.analysis.readings:
        why = escape(" ".join(one.why for one in result.analysis.unjudged))
        told = f'<p class="deft-empty">No movement was found. {why}</p>'
        return (timeline_html(result.analysis), views.NOTHING, told, views.NOTHING,
                downloads_html(result, 0), views.notes_html(result))  # fmt: skip
    return (
        timeline_html(result.analysis, rank), views.pictures_html(result, rank),
        views.reading_html(result, rank), views.attribution_html(result, rank),
        downloads_html(result, rank), views.notes_html(result),
    )  # fmt: skip
