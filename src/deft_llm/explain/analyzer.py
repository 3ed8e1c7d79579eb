"""Video in, answer and evidence out: spots movements, measures them, names AUs and class by any method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from deft_llm.answer import MAX_EVIDENCE, Answer, render
from deft_llm.aus.readout import rationale, read_units
from deft_llm.claims import CLAIMED, find_claims, refusal_of
from deft_llm.errors import DeftError, UsageError
from deft_llm.explain.account import account_of, release_answer, stated_chances
from deft_llm.explain.analysis import Analysis
from deft_llm.explain.apex import apex_between
from deft_llm.explain.held import HeldStill, held_still
from deft_llm.explain.result import MovementReading
from deft_llm.explain.snapshots import pictured, pictured_movements
from deft_llm.explain.units import (
    SKIN_STILL,
    as_stated,
    measured,
    of_motion,
    rows_of,
    seconded,
    unnamed,
)
from deft_llm.explain.unjudged import hold_small_faces_back
from deft_llm.explain.what_if import what_if
from deft_llm.faces.landmarker import default_landmarker
from deft_llm.faces.video import ASSUMED_FPS, Frame, VideoInfo, frames, probe
from deft_llm.files import digest, read_object
from deft_llm.methods.protocol import METHODS, Method, Question, Sample, Task, build_method, digests_of
from deft_llm.model.checkpoint import CONFIG, SHIPPED
from deft_llm.model.language import EMBEDDED
from deft_llm.motion.measure import MeasureSettings, measure_shots
from deft_llm.motion.shots import Collector, make_plan
from deft_llm.records import Evidence, Prediction
from deft_llm.setup.weights import require
from deft_llm.spooled import Spool
from deft_llm.spotting.joint import between, borne_out, events_of, joint_movements
from deft_llm.spotting.movement import Movement, OtherEvent, bounds_of
from deft_llm.spotting.spot import Spotting, SpottingSettings, spot
from deft_llm.spotting.watch import Watched, Watcher
from deft_llm.state.face_state import FaceState, state_of
from deft_llm.state.neutral import Neutral, frames_named
from deft_llm.state.onset import over_neutral_at
from deft_llm.store.motion import StoredMotion
from deft_llm.version import __version__

LONGEST_MOVEMENT = 4.5  # s after a given onset within which an apex is searched for without an offset
LONGEST_RETURN = 1.5  # s after the onset up to which the way back is measured with the rise
LEAST_FRAMES = 2
WORDLESS = (
    "This method writes no text: its class and Action Unit probabilities are its own, the evidence and the "
    "rationale are put together from the measurement."
)


def default_method() -> str:
    """``deft`` where its checkpoint came with the package, else ``rules``."""
    return "deft" if (SHIPPED / CONFIG).is_file() else "rules"


def writes_text(checkpoint: str | None) -> bool:
    """Whether a checkpoint of deft (None: the one in the package) has a language part that can run here."""
    folder = Path(checkpoint) if checkpoint else SHIPPED
    config = read_object(folder / CONFIG) if (folder / CONFIG).is_file() else {}
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
    coarse = prediction.coarse
    label = prediction.fine or coarse
    if label not in prediction.probabilities:  # the probabilities are those of the coarse classes
        label = coarse
    share = prediction.probabilities.get(label or "", 0.0)
    source = "The experts give" if prediction.method == "deft" else "EMFACS-style rules give"
    text = rationale(evidence, label, share, source) if evidence else rationale(evidence, None, 0.0)
    answer = Answer.of(prediction.fine, coarse, evidence[:MAX_EVIDENCE], text)
    return prediction.model_copy(update={"answer": render(answer), "coarse": answer.coarse})


def shown_frames(
    path: Path, start: int = 0, stop: int | None = None, *, fps: float | None = None, mirrored: bool = False
) -> Iterator[Frame]:
    """Frames of a video as ``faces.video.frames`` gives them, those of a mirror image turned back."""
    for frame in frames(path, start, stop, fps=fps):
        yield replace(frame, image=frame.image[:, ::-1].copy()) if mirrored else frame


class Analyzer:
    """Analyses face videos with one method; build it by ``Analyzer.from_pretrained``."""

    def __init__(self, method: Method, settings: SpottingSettings | None = None) -> None:
        self.method = method
        self.settings = settings or SpottingSettings()
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
            options.setdefault("answers", writes_text(options.get("checkpoint")))
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
        neutral: str | Neutral | None = None,
        faces: int = 1,
        max_movements: int | None = None,
        fast: bool = False,
        on_frame: Callable[[int, int | None], None] | None = None,
        kept: Path | None = None,
    ) -> Analysis:
        """Analyse a video file or a folder of images.

        onset, apex, offset: 0-based frames of one movement to read instead of the spotted ones (apex and
        offset may be left out). ``mirrored``: the video is a mirror image (selfie). ``fps`` of a folder of
        images. ``neutral``: frames ("10-24") or seconds ("0.5s-1.2s") in which the face is neutral, or the
        first face's neutral itself; estimated without. ``faces``: how many are followed.
        ``max_movements``: read only so many (the strongest). ``fast``: shape and appearance only, no
        optical flow, no class. A ``question`` that holds regions still ("What if the brow had not moved?")
        is answered for the first movement with a class by measuring it again so. ``kept``: a folder in
        which the pass over a long video keeps where it stands, so that the same call goes on from there after
        a kill; the caller removes it.

        Raises: UsageError for impossible indices; DeftError where the video or face cannot be read.
        """
        path = Path(path)
        info = probe(path)
        rate = fps or info.fps or ASSUMED_FPS
        self._check(path, info, onset, apex, offset)
        self._count += 1
        seconds: dict[str, float] = {}

        read = partial(shown_frames, path, fps=fps, mirrored=mirrored)
        started = perf_counter()
        same = [str(path.absolute()), path.stat().st_mtime_ns, rate, mirrored, faces, fast, __version__]
        key = digest(same, 32)
        watcher = Watcher(rate, default_landmarker(), faces=faces, motion=not fast, kept=kept, key=key)
        watched = self._watch(path, watcher, read(watcher.frames), info.frames, on_frame)
        seconds["signal"] = perf_counter() - started
        started = perf_counter()
        states, motions = self._states(watched, neutral)
        if onset is None and apex is None:
            limit = self.settings.micro_seconds
            found = {at: joint_movements(state, motions.get(at), limit) for at, state in states.items()}
        else:
            found = {1: [between(states[1], self._given(watched, states[1], onset, apex, offset, path))]}
        movements: list[Movement] = []
        for number, some in found.items():
            movements += hold_small_faces_back(_told(some), states[number])
        movements.sort(key=lambda movement: (movement.onset, movement.face))
        events = [
            event for number, state in states.items() for event in events_of(state, motions.get(number))
        ]
        seconds["spotting"] = perf_counter() - started
        started = perf_counter()
        held = held_still(question) if question else None
        refusal = refusal_of(question) if question else None
        readings = self._read_all(path, movements, states, watched, read, max_movements,
                                  None if held or refusal else question)  # fmt: skip
        answer, unanswered = self._question_answer(question, refusal, held, readings, len(states))
        seconds["reading"] = perf_counter() - started
        spotting = motions.get(1)
        return Analysis(
            source=path.name, method=self.method.name, video=_video(info, states[1], rate, mirrored),
            readings=readings, events=events, states=list(states.values()), spotting=spotting,
            signal=watched.signals.get(1), question=question,
            question_answer=answer,
            notes=[
                *self._notes(info, states, spotting, events, readings, watched, mirrored, fps, faces),
                *unanswered,
            ],
            seconds=seconds, checkpoint=getattr(self.method, "folder", None),
            digests=digests_of(self.method),
        )  # fmt: skip

    @staticmethod
    def _watch(
        path: Path, watcher: Watcher, video: Iterator[Frame], count: int | None,
        on_frame: Callable[[int, int | None], None] | None,
    ) -> Watched:  # fmt: skip
        """The pass over the video, or over what is left of it; ``count``: its frames, where it says so.

        Raises: DeftError for a video of one frame.
        """
        for frame in video:
            watcher.add(frame)
            if on_frame is not None:
                on_frame(watcher.frames, count)
        if watcher.frames < LEAST_FRAMES:
            raise DeftError(f"{path}: holds one frame; motion needs a video of at least {LEAST_FRAMES}.")
        return watcher.finish()

    def _states(
        self, watched: Watched, neutral: str | Neutral | None
    ) -> tuple[dict[int, FaceState], dict[int, Spotting]]:  # fmt: skip
        """The state of every face, and what its motion shows."""
        states = {}
        for number, track in watched.tracks.items():
            chosen: Neutral | np.ndarray | None
            if isinstance(neutral, Neutral):
                chosen = neutral if number == 1 else None
            else:
                chosen = None if neutral is None else frames_named(neutral, track.times)
                if number > 1 and chosen is not None and not track.seen[chosen].any():
                    chosen = None  # somebody who is not there then: estimated
            states[number] = state_of(track, face=number, neutral=chosen)
        motions = {number: spot(signal, self.settings) for number, signal in watched.signals.items()}
        return states, motions

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
            if word == "apex" and at == 0:
                raise UsageError(
                    "--apex 0: nothing comes before the first frame; give onset < apex <= offset."
                )
            if info.frames is not None and at >= info.frames:
                raise UsageError(f"--{word} {at}: {path} has {info.frames} frames, 0 to {info.frames - 1}.")
        for (first, a), (second, b) in zip(named, named[1:]):
            if a > b or (a == b and first == "onset"):
                raise UsageError(
                    f"--{first} {a} must lie before --{second} {b}; give onset < apex <= offset."
                )
        if offset is not None and onset is None:
            raise UsageError("--offset needs --onset too; give both, or none to have movements spotted.")
        if info.frames is not None and info.frames < LEAST_FRAMES:
            raise DeftError(f"{path}: holds one frame; motion needs a video of at least {LEAST_FRAMES}.")

    def _given(
        self, watched: Watched, state: FaceState, onset: int | None, apex: int | None, offset: int | None,
        path: Path,
    ) -> Movement:  # fmt: skip
        """The movement that the user's indices name; missing ones are found inside them."""
        last = len(state) - 1
        for word, at in (("onset", onset), ("apex", apex), ("offset", offset)):
            if at is not None and at > last:
                raise UsageError(f"--{word} {at}: {path} has {last + 1} frames, 0 to {last}.")
        start = onset if onset is not None else max(0, (apex or 0) - max(1, round(0.25 * state.fps)))
        if apex is None:
            signal = watched.signals.get(1)
            if signal is None:
                raise UsageError("--fast: give --apex too; without optical flow it is not searched for.")
            if not state.seen[start]:
                raise DeftError(f"{path}: no face is seen at frame {start}; choose another onset.")
            longest = min(last, start + round(LONGEST_MOVEMENT * state.fps))
            apex = apex_between(signal, start, longest if offset is None else offset)
        apex = max(apex, min(start + 1, last))
        if not state.seen[[start, apex]].all():
            raise DeftError(f"{path}: no face is seen at frame {start} or {apex}; choose other frames.")
        times = state.times
        lasts = None
        if offset is not None:
            lasts = bounds_of(float(times[offset] - times[start]), state.fps)
        return Movement(
            kind="given", onset=start, apex=apex, offset=offset, onset_time=float(times[start]),
            apex_time=float(times[apex]), offset_time=None if offset is None else float(times[offset]),
            duration=lasts, strength=0.0, reason="The frames were given.",
        )  # fmt: skip

    def _question_answer(
        self, question: str | None, refusal: str | None, held: HeldStill | None,
        readings: list[MovementReading], faces: int,
    ) -> tuple[str | None, list[str]]:  # fmt: skip
        """The answer to the question that was asked, and a note where nothing answers it: why no face does,
        what is measured with regions held still, or that of the first movement with a class."""
        if not question or refusal is not None:
            return refusal, []
        if held is not None:
            answers = self._imagined(held, readings, faces)
        else:
            answers = [reading.answer for reading in readings if reading.prediction and reading.answer]
        if not answers:
            return None, ["The question was not answered: no movement was read that it could be asked of."]
        if held is not None or getattr(self.method, "answers", False):
            return answers[0], []
        why = "without a language part, class and evidence alone are stated."
        return answers[0], [f"The question was not answered: {why}"]

    def _imagined(self, held: HeldStill, readings: list[MovementReading], faces: int) -> list[str]:
        """What is measured and said of the first movement with a class with regions held still, and which of
        several movements and faces that is; empty without one."""
        for rank, reading in enumerate(readings, 1):
            if reading.motion is not None and reading.prediction is not None:
                found = what_if(reading.motion, held, self.method, reading.prediction).report
                face = f", face {reading.movement.face}" if faces > 1 else ""
                return [f"Movement {rank}{face}: {found}" if len(readings) > 1 else found]
        return []

    def _read_all(
        self, path: Path, movements: list[Movement], states: dict[int, FaceState], watched: Watched,
        read: Callable[..., Iterator[Frame]], most: int | None, question: str | None,
    ) -> list[MovementReading]:  # fmt: skip
        """Every movement, the judged ones measured in one more pass over the video and named."""
        order = sorted(
            (at for at, movement in enumerate(movements) if movement.judged),
            key=lambda at: -movements[at].strength,
        )
        chosen = sorted(order[:most])
        if not watched.signals:
            readings = [self._unmeasured(movement) for movement in movements]
            chosen_ones = {at: movements[at] for at in pictured_movements(movements)}
            for at, shown in pictured(chosen_ones, watched, read).items():
                readings[at].pictures = shown
            return readings
        motions = self._measure(path, {at: movements[at] for at in chosen}, states, watched, read)
        unread = [at for at in pictured_movements(movements) if isinstance(motions.get(at, ""), str)]
        pictures = pictured({at: movements[at] for at in unread}, watched, read)
        readings = []
        for at, movement in enumerate(movements):
            if at in motions:
                readings.append(self._named(movement, motions[at], states[movement.face], path, at, question))
            elif movement.judged:
                readings.append(MovementReading(movement, warning=f"Only {most} movements were to be read."))
            else:
                readings.append(MovementReading(movement))
        for at, shown in pictures.items():
            readings[at].pictures = shown
        return [reading for reading in readings if _shows(reading.movement)]

    @staticmethod
    def _unmeasured(movement: Movement) -> MovementReading:
        """A movement whose motion is not measured: its units stand, a release has its answer."""
        answer = release_answer(movement) if movement.is_release else None
        return MovementReading(movement, answer=answer)

    def _measure(
        self, path: Path, movements: dict[int, Movement], states: dict[int, FaceState], watched: Watched,
        read: Callable[..., Iterator[Frame]],
    ) -> dict[int, StoredMotion | str]:  # fmt: skip
        """Index of a movement -> its measured motion, or why it could not be measured."""
        settings = MeasureSettings()
        waiting: dict[int, Collector] = {}
        done: dict[int, StoredMotion | str] = {}
        spool: Spool[tuple[str, str]] = Spool()
        for at, movement in movements.items():
            state = states[movement.face]
            offset = movement.offset
            if offset is not None and movement.kind != "given":
                lasts = state.times[offset] - state.times[movement.onset]
                offset = offset if lasts <= LONGEST_RETURN and not movement.is_release else None
            try:
                plan = make_plan(movement.onset, movement.apex, offset, state.fps, settings.average_ms,
                                 settings.profile)  # fmt: skip
            except UsageError as error:
                done[at] = f"It could not be measured: {error}"
                continue
            near = watched.tracks[movement.face].landmarks[movement.onset].mean(0)
            waiting[at] = Collector(plan, default_landmarker(), name=self._clip_id(path, at),
                                    near=near if np.isfinite(near).all() else None)  # fmt: skip
        if not waiting:
            return done
        first = min(min(one.plan.wanted) for one in waiting.values())
        stop = max(one.plan.wanted[-1] for one in waiting.values()) + 1
        for frame in read(first, stop):
            for at, collector in list(waiting.items()):
                try:
                    collector.add(frame)
                except DeftError as error:
                    done[at] = f"It could not be measured: {error}"
                    del waiting[at]
                    continue
                if collector.full:
                    done[at] = self._finish(path, at, waiting.pop(at), states[movements[at].face], spool)
        for at, collector in waiting.items():
            done[at] = self._finish(path, at, collector, states[movements[at].face], spool)
        return done

    def _finish(
        self, path: Path, at: int, collector: Collector, state: FaceState, spool: Spool[tuple[str, str]]
    ) -> StoredMotion | str:  # fmt: skip
        try:
            motion = measure_shots(collector.finish(), fps=state.fps, clip_id=self._clip_id(path, at))
            motion.over_neutral = over_neutral_at(state, collector.plan.keys[0])
            return StoredMotion(motion, spool)
        except DeftError as error:
            return f"It could not be measured: {error}"

    def _clip_id(self, path: Path, at: int) -> str:
        return f"video/{path.stem}/{self._count}.{at + 1}"

    def _named(
        self, movement: Movement, stored: StoredMotion | str, state: FaceState, path: Path, at: int,
        question: str | None,
    ) -> MovementReading:  # fmt: skip
        """What is said of one measured movement: units with figures, class and answer of the method."""
        if isinstance(stored, str):
            reading = self._unmeasured(movement)
            reading.warning = stored
            return reading
        motion = stored.open()
        units = read_units(motion)
        not_judged = dict(units.not_judged)
        shown = measured(movement, motion, units.evidence)
        movement = borne_out(seconded(shown), state, self.settings.micro_seconds)
        kept = {unit.number for unit in movement.units}
        not_judged |= {unit.number: SKIN_STILL for unit in shown.rises if unit.number not in kept}
        if not _shows(movement):
            return MovementReading(movement, not_judged=not_judged)
        if not shown.units:
            movement, refused = of_motion(movement, units.evidence, state)
            not_judged |= refused
        evidence = rows_of(movement, units.evidence)
        stated = {unit.number for unit in movement.units}
        not_judged = {au: why for au, why in not_judged.items() if au not in stated}
        if movement.is_release:
            return MovementReading(movement, evidence, motion=stored, not_judged=not_judged,
                                   answer=release_answer(movement))  # fmt: skip
        movement, why = unnamed(movement, not_judged)
        if why:
            return MovementReading(movement, motion=stored, not_judged=not_judged, warning=why)
        by_shape = tuple(unit for unit in shown.units if unit.number in kept)
        motion.stated = stated_chances(replace(movement, units=by_shape or movement.units))
        stored = stored.with_stated(motion.stated)
        asked = Question("asked", question, "open") if question else None
        sample = Sample(motion.clip_id, "video", f"video/{path.stem}", lambda: motion, motion.has,
                        question=asked, stated=motion.stated)  # fmt: skip
        prediction = self.method.predict([sample])[0]
        warning = str(prediction.extras.get("warning", ""))
        if prediction.answer is None or not getattr(self.method, "answers", False):
            warning = warning if prediction.answer else WORDLESS
            prediction = _with_answer(prediction, evidence).model_copy(update={"evidence": evidence})
        if question and prediction.answer and find_claims(prediction.answer):
            prediction = prediction.model_copy(update={"answer": CLAIMED})
        told = account_of(
            prediction.answer, movement, prediction.evidence, not_judged, prediction.probabilities
        )
        prediction = prediction.model_copy(update={"answer": told.answer})
        movement, evidence = as_stated(movement, evidence, told.statements)
        return MovementReading(
            movement, evidence, prediction, stored, warning, not_judged, answer=told.answer,
            statements=told.statements, marks=told.marks,
        )  # fmt: skip

    @staticmethod
    def _notes(
        info: VideoInfo, states: dict[int, FaceState], spotting: Spotting | None, events: list[OtherEvent],
        readings: list[MovementReading], watched: Watched, mirrored: bool, fps: float | None, faces: int,
    ) -> list[str]:  # fmt: skip
        notes = list(spotting.notes) if spotting is not None else []
        if info.fps is None and fps is None:
            notes.append(
                f"A folder of images has no frame rate: {ASSUMED_FPS:g} a second is assumed (--fps)."
            )
        if mirrored:
            notes.append("The video was taken as a mirror image: it is shown and read turned back.")
        if watched.in_view > faces:
            which = "the largest and most central one is read" if faces == 1 else f"{faces} are read"
            notes.append(f"{watched.in_view} faces are in view; {which} (--faces).")
        if any(event.kind == "speech" for event in events):
            notes.append(
                "The mouth moves in speech at times: what speech does with it is not judged there; smiles "
                "that are held, brows and lids are."
            )
        for state in states.values():
            if state.neutral.expressive:
                whose = "The face" if len(states) == 1 else f"Face {state.face}"
                notes.append(
                    f"{whose} shows an expression throughout, also where it is calmest, which is taken for "
                    "its neutral: what is held all the time is not told. Name a neutral (--neutral), or give "
                    "a clip that has one."
                )
        unread = sum(reading.warning.startswith("Only ") for reading in readings)
        if unread:
            notes.append(f"{unread} movements are listed but not read (--max-movements).")
        if spotting is not None and spotting.set_aside and readings:  # else ``of_video`` says it
            notes.append(
                f"Motion of the skin in speech and fast turns of the head ({spotting.set_aside} "
                f"time{'s' * (spotting.set_aside != 1)}) is not judged: see the events."
            )
        return notes


def _told(movements: list[Movement]) -> list[Movement]:
    """Movements without what only motion saw while the mouth spoke or the head turned: events say so."""
    return [movement for movement in movements if movement.judged or movement.units]


def _shows(movement: Movement) -> bool:
    """Whether a movement is more than what shape hinted at and the skin's motion denied."""
    return bool(movement.units or movement.regions) or not movement.judged or movement.kind == "given"


def _video(info: VideoInfo, state: FaceState, fps: float, mirrored: bool) -> dict[str, Any]:
    return {
        "fps": fps, "frames": len(state), "seconds": float(state.times[-1]) + 1 / fps, "width": info.width,
        "height": info.height, "mirrored": mirrored,
        "inter_ocular_px": float(np.nanmean(state.iod)),
    }  # fmt: skip
