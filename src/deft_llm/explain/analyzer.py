"""Video in, answer and evidence out: spots movements, measures them, names AUs and class by any method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from deft_llm.answer import COARSE, Answer, render
from deft_llm.aus.readout import rationale, read_units
from deft_llm.errors import DeftError, UsageError
from deft_llm.explain.analysis import Analysis, Reading
from deft_llm.explain.held import Held, held_still
from deft_llm.explain.judgement import hold_small_faces_back
from deft_llm.faces.video import ASSUMED_FPS, Frame, VideoInfo, frames, probe
from deft_llm.methods.protocol import METHODS, Method, Question, Sample, Task, build_method
from deft_llm.records import Evidence, Prediction
from deft_llm.spotting.build_signal import signal_of
from deft_llm.spotting.signal import Signal
from deft_llm.spotting.spot import Movement, Spotting, SpottingSettings, spot

READ = 3  # movements that are measured and named; the others are listed
LEAST_FRAMES = 2
PAD_SECONDS = 0.1
WORDLESS = (
    "This method writes no text: its class and Action Unit probabilities are its own, the evidence and the "
    "rationale are put together from the measurement."
)


def default_method() -> str:
    """``deft`` where its checkpoint came with the package, else ``rules``."""
    from deft_llm.model.checkpoint import CONFIG, SHIPPED

    return "deft" if (SHIPPED / CONFIG).is_file() else "rules"


def _writes_text(checkpoint: str | None) -> bool:
    """Whether a checkpoint of deft (None: the one in the package) has a language part that can run here."""
    from deft_llm.files import read_json
    from deft_llm.model.checkpoint import CONFIG, SHIPPED
    from deft_llm.model.language import EMBEDDED
    from deft_llm.setup.weights import require

    folder = Path(checkpoint) if checkpoint else SHIPPED
    config = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    if not config.get("language"):
        return False
    if config.get("backbone") != EMBEDDED:
        return True
    try:
        require("llm")
    except DeftError:
        return False  # without `deft setup` the answer is put together from the heads, as before
    return True


def _with_answer(prediction: Prediction, evidence: list[Evidence]) -> Prediction:
    """The prediction with an answer in words put together from its class and the measured evidence."""
    label = prediction.fine or prediction.label or prediction.coarse
    coarse = prediction.coarse or next((name for name in COARSE if name == label), None)
    share = prediction.probabilities.get(label or "", 0.0)
    text = (
        rationale(evidence, label, share, "The experts give") if evidence else rationale(evidence, None, 0.0)
    )
    answer = Answer.of(prediction.fine, coarse, evidence[:6], text)
    return prediction.model_copy(update={"answer": render(answer), "coarse": answer.coarse})


class Analyzer:
    """Analyses face videos with one method; build it by ``Analyzer.from_pretrained``."""

    def __init__(self, method: Method, settings: SpottingSettings | None = None) -> None:
        self.method = method
        self.settings = settings or SpottingSettings()
        self._landmarker: Any = None
        self._count = 0  # videos read: two of one name are two clips for a method that remembers clips

    @classmethod
    def from_pretrained(
        cls, method: str | None = None, *, settings: SpottingSettings | None = None, **options: Any
    ) -> Analyzer:
        """An Analyzer with a method that needs no training here: rules, flow2text or deft (the default).

        ``options`` go to the method. Raises: UsageError for a method that has to be trained first.
        """
        name = method or default_method()
        ready = ("rules", "flow2text", "deft")
        if name not in ready:
            known = "must be trained on a corpus first" if name in METHODS else "is unknown"
            raise UsageError(f"--method {name}: {known}; choose {', '.join(ready)}.")
        if name == "deft":
            options.setdefault("answers", _writes_text(options.get("checkpoint")))
        return cls(build_method(name, Task(), zero_shot=True, **options), settings)

    def analyze(
        self,
        path: str | Path,
        onset: int | None = None,
        apex: int | None = None,
        offset: int | None = None,
        question: str | None = None,
        mirrored: bool = False,
        *,
        fps: float | None = None,
        on_frame: Callable[[int, int | None], None] | None = None,
    ) -> Analysis:
        """Analyse a video file or a folder of images.

        onset, apex, offset: 0-based frames of one movement to read instead of the spotted ones (apex and
        offset may be left out). ``mirrored``: the video is a mirror image (selfie). ``fps`` of a folder of
        images. A ``question`` that holds regions still ("What if the brow had not moved?") is answered for
        the first movement by measuring it again so. Raises: UsageError for impossible indices; DeftError
        where the video or face cannot be read.
        """
        path = Path(path)
        info = probe(path)
        rate = fps or info.fps or ASSUMED_FPS
        self._check(path, info, onset, apex, offset)
        self._count += 1
        seconds: dict[str, float] = {}
        started = perf_counter()

        def read(start: int = 0, stop: int | None = None) -> Iterator[Frame]:
            for frame in frames(path, start, stop, fps=fps):
                yield replace(frame, image=frame.image[:, ::-1].copy()) if mirrored else frame

        watch = (lambda index: on_frame(index + 1, info.frames)) if on_frame else None
        signal = signal_of(_counted(read(), path), rate, landmarker=self._faces(), on_frame=watch)
        seconds["signal"] = perf_counter() - started
        started = perf_counter()
        spotting = spot(signal, self.settings)
        seconds["spotting"] = perf_counter() - started
        given = onset is not None or apex is not None
        movements = [self._given(signal, onset, apex, offset, path)] if given else spotting.movements
        movements = hold_small_faces_back(movements, signal)
        started = perf_counter()
        held = held_still(question) if question else None
        readings = self._read_all(path, movements, signal, read, None if held else question)
        answers = [r.prediction.answer for r in readings if r.prediction is not None and r.prediction.answer]
        if held is not None:
            answers = self._imagined(held, readings)
        seconds["reading"] = perf_counter() - started
        return Analysis(
            source=path.name, method=self.method.name, video=_video(info, signal, mirrored),
            readings=readings, spotting=spotting, signal=signal, question=question,
            question_answer=answers[0] if question and answers else None,
            notes=self._notes(info, signal, spotting, mirrored, fps), seconds=seconds,
            checkpoint=getattr(self.method, "folder", None),
        )  # fmt: skip

    def _faces(self) -> Any:
        if self._landmarker is None:
            from deft_llm.motion.measure import default_landmarker

            self._landmarker = default_landmarker()
        return self._landmarker

    @staticmethod
    def _check(path: Path, info: VideoInfo, onset: int | None, apex: int | None, offset: int | None) -> None:
        named = [
            (word, at)
            for word, at in (("onset", onset), ("apex", apex), ("offset", offset))
            if at is not None
        ]
        for word, at in named:
            if at < 0:
                raise UsageError(f"--{word} {at}: frames count from 0.")
            if info.frames is not None and at >= info.frames:
                raise UsageError(f"--{word} {at}: {path} has {info.frames} frames, 0 to {info.frames - 1}.")
        for (first, a), (second, b) in zip(named, named[1:]):
            if a > b or (a == b and {first, second} == {"onset", "apex"}):
                raise UsageError(
                    f"--{first} {a} must lie before --{second} {b}; give onset < apex <= offset."
                )
        if offset is not None and onset is None:
            raise UsageError("--offset needs --onset too; give both, or none to have movements spotted.")
        if info.frames is not None and info.frames < LEAST_FRAMES:
            raise DeftError(f"{path}: holds one frame; motion needs a video of at least {LEAST_FRAMES}.")

    def _given(
        self, signal: Signal, onset: int | None, apex: int | None, offset: int | None, path: Path
    ) -> Movement:
        """The movement that the user's indices name; missing ones are found inside them."""
        last = len(signal) - 1
        for word, at in (("onset", onset), ("apex", apex), ("offset", offset)):
            if at is not None and at > last:
                raise UsageError(f"--{word} {at}: {path} has {last + 1} frames, 0 to {last}.")
        start = onset if onset is not None else max(0, (apex or 0) - int(round(0.25 * signal.fps)))
        if apex is None:
            from deft_llm.explain.apex import apex_between

            apex = apex_between(signal, start, last if offset is None else offset)
        apex = max(apex, min(start + 1, last))
        if any(signal.segment[at] < 0 for at in (start, apex)):
            raise DeftError(f"{path}: no face is seen at frame {start} or {apex}; choose other frames.")
        times = signal.times
        lasts = None
        if offset is not None:
            span, step = float(times[offset] - times[start]), 1 / signal.fps
            lasts = (max(0.0, span - step), span + step)
        return Movement(
            kind="given", onset=start, apex=apex, offset=offset, onset_time=float(times[start]),
            apex_time=float(times[apex]), offset_time=None if offset is None else float(times[offset]),
            duration=lasts, strength=0.0, reason="The frames were given.",
        )  # fmt: skip

    def _imagined(self, held: Held, readings: list[Reading]) -> list[str]:
        """What is measured and said of the first movement with regions held still; empty without one."""
        from deft_llm.explain.what_if import what_if

        first = next((reading for reading in readings if reading.motion is not None), None)
        if first is None or first.motion is None:
            return []
        return [what_if(first.motion, held, self.method, first.prediction).spoken]

    def _read_all(
        self, path: Path, movements: list[Movement], signal: Signal, read: Callable[..., Iterator[Frame]],
        question: str | None,
    ) -> list[Reading]:  # fmt: skip
        readings = []
        for rank, movement in enumerate(movements):
            if rank < READ and movement.judged and movement.kind != "mouth movement in speech":
                readings.append(self._read(path, rank, movement, signal, read, question))
            else:
                readings.append(Reading(movement))
        return readings

    def _read(
        self, path: Path, rank: int, movement: Movement, signal: Signal, read: Callable[..., Iterator[Frame]],
        question: str | None,
    ) -> Reading:  # fmt: skip
        """Measure one movement and let the method name it."""
        from deft_llm.motion.measure import measure_clip

        pad = max(2, int(round(PAD_SECONDS * signal.fps)))
        start, stop = max(0, movement.onset - pad), movement.end + pad + 1
        clip_id = f"video/{path.stem}/{self._count}.{rank + 1}"
        try:
            motion = measure_clip(
                lambda: read(start, stop), onset=movement.onset, apex=movement.apex, offset=movement.offset,
                fps=signal.fps, clip_id=clip_id, landmarker=self._faces(),
            )  # fmt: skip
        except DeftError as error:
            return Reading(movement, warning=f"It could not be measured: {error}")
        asked = Question("asked", question, "open") if question else None
        sample = Sample(clip_id, "video", f"video/{path.stem}", lambda: motion, motion.has, question=asked)
        prediction = self.method.predict([sample])[0]
        units = read_units(motion)
        evidence = units.evidence
        warning = str(prediction.extras.get("warning", ""))
        if prediction.answer is None:
            prediction, warning = _with_answer(prediction, evidence), WORDLESS
        return Reading(movement, evidence, prediction, motion, warning, units.not_judged)

    @staticmethod
    def _notes(
        info: VideoInfo, signal: Signal, spotting: Spotting, mirrored: bool, fps: float | None
    ) -> list[str]:
        notes = list(spotting.notes)
        if info.fps is None and fps is None:
            notes.append(
                f"A folder of images has no frame rate: {ASSUMED_FPS:g} a second is assumed (--fps)."
            )
        if mirrored:
            notes.append("The video was taken as a mirror image: it is shown and read turned back.")
        if spotting.speech:
            notes.append("The mouth moves in speech at times: mouth movements there cannot be judged.")
        restless = sum(span.stop - span.start + 1 for span in spotting.restless) / len(signal)
        if restless > 0.02:
            notes.append(
                f"The head moves too much in {restless:.0%} of the frames: faces are not judged there."
            )
        return notes


def _counted(stream: Iterator[Frame], path: Path) -> Iterator[Frame]:
    """The stream, refused when it ends before motion can be seen."""
    count = 0
    for frame in stream:
        count += 1
        yield frame
    if count < LEAST_FRAMES:
        raise DeftError(f"{path}: holds one frame; motion needs a video of at least {LEAST_FRAMES}.")


def _video(info: VideoInfo, signal: Signal, mirrored: bool) -> dict[str, Any]:
    return {
        "fps": signal.fps, "frames": len(signal), "seconds": len(signal) / signal.fps, "width": info.width,
        "height": info.height, "mirrored": mirrored,
        "inter_ocular_px": float(signal.iod_px[signal.segment >= 0].mean()),
    }  # fmt: skip
