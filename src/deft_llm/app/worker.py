"""The process that analyses: reads tasks from a pipe, so that a crash of a decoder or model stays in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deft_llm.app.limits import Limits, check_header, clean_message
from deft_llm.errors import DeftError
from deft_llm.explain.face_curves import face_curves
from deft_llm.explain.magnify import write_loop
from deft_llm.faces.align import align, transform_of
from deft_llm.faces.landmarker import default_landmarker
from deft_llm.faces.video import frames
from deft_llm.jobs import end_with_parent
from deft_llm.methods.protocol import Sample

if TYPE_CHECKING:
    from deft_llm.explain.analysis import Analysis

SLOW = 8  # times slower than life
TOLD_EVERY = 5  # frames read between two reports of progress
MOST_SHOWN = 120  # frames of a movement's slow motion


@dataclass
class Result:
    """What a job gives the page: the analysis, and per read movement (by rank from 0) a slow-motion MP4.
    Nothing in it leads back to the uploaded file."""

    analysis: Analysis
    slow: dict[int, bytes] = field(default_factory=dict)
    has_language: bool = False


def serve(pipe: Any, threads: int) -> None:
    """Answer tasks ``(name, arguments)`` until the pipe closes; replies are progress, done or error."""
    import os

    end_with_parent()
    chosen = "OMP_NUM_THREADS" in os.environ  # by the user: torch keeps to it
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    import torch

    if not chosen:
        torch.set_num_threads(threads)
    while True:
        try:
            name, arguments = pipe.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        try:
            reply = (
                "done",
                TASKS[name](*arguments, lambda share, text: pipe.send(("progress", (share, text)))),
            )
        except DeftError as error:
            path = _path_in(arguments)
            text = clean_message(str(error), path)
            reply = ("error", text if path is None or path.name in text else f"{path.name}: {text}")
        except MemoryError:
            reply = ("error", "This video needs more memory than there is; give a smaller or shorter one.")
        except Exception as error:
            reply = ("error", f"This could not be analysed ({type(error).__name__}); try another video.")
        pipe.send(reply)


def _path_in(arguments: tuple[Any, ...]) -> Path | None:
    return next((value for value in arguments if isinstance(value, Path)), None)


def reading_words(done: int, total: int | None) -> str:
    """What is done after ``done`` of ``total`` frames (None: not known): the last one is not the end."""
    if total and done >= total:
        return "all frames are read; measuring and naming movements"
    return f"reading frame {done}" + (f" of {total}" if total else "")


def analyse(
    path: Path, method: str | None, mirrored: bool, limits: Limits, checkpoint: str | None,
    tell: Callable[[float, str], None],
) -> Result:  # fmt: skip
    """Check, analyse and picture one video; ``checkpoint`` of deft (None: shipped). Raises: DeftError."""
    check_header(path, limits)
    tell(0.02, "loading the method")
    analyzer = _analyzer(method, checkpoint)
    default_landmarker()

    def watch(done: int, total: int | None) -> None:
        if done > limits.frames:
            raise DeftError(f"{path.name}: more than {limits.frames} frames; cut it.")
        if done % TOLD_EVERY == 0 or done == total:
            share = min(done / total, 1.0) if total else min(done / 1500, 0.9)
            tell(0.05 + 0.75 * share, reading_words(done, total))

    analysis = analyzer.analyze(path, mirrored=mirrored, on_frame=watch)
    result = Result(analysis, has_language=bool(getattr(analyzer.method, "answers", False)))
    read = [(rank, one) for rank, one in enumerate(analysis.readings) if one.motion is not None]
    for step, (rank, reading) in enumerate(read):
        tell(0.82 + 0.16 * step / len(read), f"picturing movement {rank + 1}")
        result.slow[rank] = slow_motion(path, reading, mirrored)
    tell(0.98, "measuring what the answer rests on")
    analysis.attribute()
    return result


@dataclass
class Proposed:
    """What a job gives the coding page: result.json's content, the first face's curves, and for questions
    the ``Result`` itself (None where the video is long: it would fill the memory)."""

    record: dict[str, Any]
    curves: dict[str, Any]
    result: Result | None


def propose(
    path: Path, fps: float | None, method: str | None, checkpoint: str | None,
    tell: Callable[[float, str], None],
) -> Proposed:  # fmt: skip
    """Analyse a clip of a folder for its coders. Raises: DeftError."""
    tell(0.02, "loading the method")
    analyzer = _analyzer(method, checkpoint)

    def watch(done: int, total: int | None) -> None:
        if done % TOLD_EVERY == 0 or done == total:
            share = min(done / total, 1.0) if total else 0.5
            tell(0.05 + 0.75 * share, reading_words(done, total))

    analysis = analyzer.analyze(path, fps=fps if path.is_dir() else None, on_frame=watch)
    asked = Result(analysis, has_language=bool(getattr(analyzer.method, "answers", False)))
    short = len(analysis.times) <= Limits().frames
    return Proposed(analysis.to_dict(), face_curves(analysis.states[0]), asked if short else None)


def slow_motion(path: Path, reading: Any, mirrored: bool) -> bytes:
    """An MP4 of the aligned face from onset to offset, ``SLOW`` times slower than life."""
    start, stop = reading.movement.onset, min(reading.movement.end, reading.movement.onset + MOST_SHOWN) + 1
    matrix, shown = None, []
    for frame in frames(path, start, stop):
        image = frame.image[:, ::-1].copy() if mirrored else frame.image
        if matrix is None:
            faces = default_landmarker().detect(image)
            if not faces:
                return b""
            matrix = transform_of(faces[0].landmarks)
        shown.append(align(image, matrix))
    fps = max(2.0, (reading.motion.fps or 25.0) / SLOW)
    target = BytesIO()  # a face: it never lies on the disk
    write_loop(shown, target, fps=fps, repeats=1)
    return target.getvalue()


def _analyzer(method: str | None, checkpoint: str | None, **options: Any) -> Any:
    """The method's Analyzer; only deft has checkpoints."""
    from deft_llm.explain.analyzer import Analyzer, default_method

    name = method or default_method()
    if name == "deft":
        options["checkpoint"] = checkpoint
    return Analyzer.from_pretrained(name, **options)


def ask(motion: Any, question: str, checkpoint: str | None, tell: Callable[[float, str], None]) -> Any:
    """The language part's ``WrittenAnswer`` about a movement. Raises: DeftError for a checkpoint without."""
    del tell
    from deft_llm.model.predictor import load_predictor

    predictor = load_predictor(Path(checkpoint) if checkpoint else None)
    return predictor.answer(predictor.read_motions([motion]), [question], [motion])[0]


def compare(
    motion: Any, methods: tuple[str, ...], checkpoint: str | None, tell: Callable[[float, str], None]
) -> dict[str, Any]:
    """What each method says about one measured movement."""
    found = {}
    for name in methods:
        tell(0.5, f"asking {name}")
        sample = Sample("compared/one/clip", "video", "video/one", lambda: motion, motion.has,
                        stated=motion.stated)  # fmt: skip
        options: dict[str, Any] = {"answers": False} if name == "deft" else {}
        found[name] = _analyzer(name, checkpoint, **options).method.predict([sample])[0]
    return found


def what_if(
    motion: Any, held: Any, method: str, checkpoint: str | None, tell: Callable[[float, str], None]
) -> Any:
    """The ``explain.what_if.WhatIf`` of one measured movement with the regions of ``held`` held still."""
    from deft_llm.explain import what_if as asked

    tell(0.5, f"measuring with {held.words} held still")
    options: dict[str, Any] = {"answers": False} if method == "deft" else {}
    return asked.what_if(motion, held, _analyzer(method, checkpoint, **options).method)


def crash(tell: Callable[[float, str], None]) -> None:
    """End the process at once, as a broken decoder would; tests use it."""
    import os

    os._exit(13)


TASKS: dict[str, Callable[..., Any]] = {
    "analyse": analyse, "propose": propose, "ask": ask, "compare": compare, "what_if": what_if,
    "crash": crash,
}  # fmt: skip
