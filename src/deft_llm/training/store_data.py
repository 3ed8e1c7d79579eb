"""Prepared stores as training data: inputs and labels of all clips in memory,
so that no epoch decodes video."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from deft_llm.errors import DeftError, UsageError
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.facs.regions import FOLDS
from deft_llm.facs.units import entry
from deft_llm.files import read_rows
from deft_llm.model.experts import APPEARANCE
from deft_llm.model.inputs import FaceInput, MotionInput, face_input, motion_input
from deft_llm.model.packing import Turn
from deft_llm.model.readout import PHASES
from deft_llm.model.units import AU_INDEX, EXPERT_AUS
from deft_llm.records import COARSE, ActionUnit, Clip, Instruction, person
from deft_llm.store import Motion, Store
from deft_llm.synth.core.key_plan import HELD, TURN
from deft_llm.training.flow_shards import FlowBatch


class StoreData:
    """Clips of one or more stores, restricted to ``subjects`` (all where None);
    offers what ``FlowShards`` does.

    Labels are the annotation's, never the truth of synthetic clips; only what no coder writes, the state of
    the onset, is taken from there. ``faces``, ``looks``: ``FaceInput`` and grey onset (64, 64) uint8 of each
    clip, None without a face. Raises: DeftError where nothing is left.
    """

    def __init__(self, stores: Sequence[Path], subjects: set[str] | None = None) -> None:
        self.clips: list[Clip] = []
        self.inputs: list[MotionInput] = []
        self.faces: list[FaceInput | None] = []
        self.looks: list[np.ndarray | None] = []
        for root in stores:
            store = Store(Path(root))
            for clip, motion in store.stream():
                if subjects is not None and clip.subject not in subjects:
                    continue
                self.clips.append(clip)
                self.inputs.append(motion_input(motion))
                self.faces.append(face_input(motion))
                self.looks.append(None if self.faces[-1] is None else look_of(motion))
        if not self.clips:
            raise DeftError(f"{', '.join(map(str, stores))}: no clips to train on; prepare a corpus first.")
        self.rows = {clip.clip_id: row for row, clip in enumerate(self.clips)}
        if len(self.rows) < len(self.clips):
            ids = (clip.clip_id for row, clip in enumerate(self.clips) if self.rows[clip.clip_id] != row)
            raise UsageError(
                f"{', '.join(map(str, stores))}: the clip {next(ids)} is there twice, and dialogues could be "
                "of either; leave one store out, or make one with another --seed."
            )
        targets = [targets_of_clip(clip) for clip in self.clips]
        self.side, self.known = (np.stack([target[i] for target in targets]) for i in (0, 1))
        self.coarse, self.fine = (np.array([target[i] for target in targets]) for i in (2, 3))
        self.subject_names = sorted({clip.subject for clip in self.clips})
        self.subject = np.array([self.subject_names.index(clip.subject) for clip in self.clips])
        self.phase = np.array([PHASES.index(clip.phase) if clip.phase else -1 for clip in self.clips])
        self.folds = np.stack([folds_of(clip) for clip in self.clips])
        self.held, self.turn = (np.stack(rows) for rows in zip(*map(onset_truth, self.clips)))

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def with_faces(self) -> np.ndarray:
        """(K,) rows of the clips that have a face."""
        return np.array([row for row, face in enumerate(self.faces) if face is not None], int)

    @property
    def labelled(self) -> np.ndarray:
        """(K,) rows of the clips of which a class or AUs are coded."""
        return np.flatnonzero((self.coarse >= 0) | (self.fine >= 0) | (self.known.max(1) > 0))

    def take(self, rows: np.ndarray) -> FlowBatch:
        """The clips ``rows`` as the motion expert learns from them;
        their expression-only flow is not known."""
        maps = np.stack([self.inputs[row].maps for row in rows])
        phases = np.stack([self.inputs[row].phases for row in rows])
        clean = np.full((len(rows), 2, 14, 14), np.nan, np.float16)
        known = (self.side[rows], self.known[rows], self.coarse[rows], self.fine[rows])
        return FlowBatch(maps, clean, *known, phases)


def look_of(motion: Motion, frame: int = 0) -> np.ndarray:
    """The grey face (64, 64) uint8 of a key frame: onset, apex or offset."""
    assert motion.faces is not None
    grey = cv2.cvtColor(np.ascontiguousarray(motion.faces[frame]), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (APPEARANCE, APPEARANCE), interpolation=cv2.INTER_AREA)


def onset_truth(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """(held (A, 2) px per AU and side, turn (2,) yaw and pitch in degrees) of a synthetic clip's onset; NaN
    where they are not known."""
    attributes: dict[str, Any] = clip.truth.attributes if clip.truth is not None else {}
    held = np.full((len(EXPERT_AUS), 2), np.nan if HELD not in attributes else 0.0, np.float32)
    for number, sides in attributes.get(HELD, {}).items():
        if int(number) in AU_INDEX:
            held[AU_INDEX[int(number)]] = sides
    return held, np.array(attributes.get(TURN, [np.nan, np.nan]), np.float32)


def folds_of(clip: Clip) -> np.ndarray:
    """(F,) in the order of FOLDS: 1 where a coder saw a skin fold deepen, 0 where not, NaN where nobody
    judged it."""
    judged = clip.folds or {}
    return np.array([judged.get(fold, np.nan) for fold in FOLDS], np.float32)


def targets_of_clip(clip: Clip) -> tuple[np.ndarray, np.ndarray, int, int]:
    """(side (A, 2), known (A,), coarse, fine) of an annotation; nothing is known of AUs that nobody coded,
    that a coder was not sure of, or that are only referred to (``ref(6)``)."""
    side = np.zeros((len(EXPERT_AUS), 2), np.uint8)
    known = np.full(len(EXPERT_AUS), int(clip.has_aus), np.uint8)
    for unit in clip.aus or []:
        _mark(unit, side, known)
    fine = FINE.index(clip.emotion) if clip.emotion in FINE else -1
    coarse = clip.coarse or coarse_of(clip.emotion)
    return side, known, COARSE.index(coarse) if coarse else -1, fine


def _mark(unit: ActionUnit, side: np.ndarray, known: np.ndarray) -> None:
    """Write one unit of an annotation into side (A, 2) and known (A,).

    Stricter than ``facs.notation.shown_and_open``, which scores numbers alone: of a unit whose side or
    intensity is open ("A/L12", "10B/C") and of one that is only referred to, nothing is learned.
    """
    row = AU_INDEX.get(unit.number)
    if row is None:
        return
    if unit.alternatives or unit.referred or not unit.certain:
        known[row] = 0
        for other in unit.alternatives:
            if other.number in AU_INDEX:
                known[AU_INDEX[other.number]] = 0
        return
    both = unit.side in ("both", "asymmetric") or entry(unit.number).scoring != "sides"
    side[row] = (both or unit.side == "left", both or unit.side == "right")


def subjects_of(stores: Sequence[Path]) -> list[str]:
    """All subjects of the stores, sorted."""
    return sorted({row.clip.subject for root in stores for row in Store(Path(root)).rows.values()})


def split_subjects(
    subjects: Sequence[str],
    share: float,
    seed: int,
    trained: Collection[str] = (),
    validated: Collection[str] = (),
) -> tuple[set[str], set[str]]:
    """Training and validation subjects, disjoint, all names of a person on one side.

    People whom the start of the training was ``trained`` on are never held out, whom else it was
    ``validated`` on always are; of the others as many as make the ``share`` of all, at least one person where
    there are two. With a share of 0 nobody is held out.
    """
    people = list(dict.fromkeys(map(person, subjects)))
    learned, judged = ({person(name) for name in names} for names in (trained, validated))
    drawn = [people[i] for i in np.random.default_rng([seed, 17]).permutation(len(people))]
    free = sorted((one for one in drawn if one not in learned), key=lambda one: one not in judged)
    count = min(max(1, round(share * len(people))), len(people) - 1)
    chosen = set(free[: max(count, sum(one in judged for one in free))]) if share else set()
    held = {name for name in subjects if person(name) in chosen}
    return set(subjects) - held, held


def dialogue_rows(
    folders: Sequence[Path], rows: dict[str, int], tasks: Collection[str] | None = None
) -> list[tuple[int, Turn]]:
    """(clip row, turn) of every question in Uni-MER folders whose clip is in ``rows``, of the ``tasks`` (all
    where None). Raises: DeftError for a folder that has none."""
    found: list[tuple[int, Turn]] = []
    for folder in folders:
        before = len(found)
        for line in read_rows(Instruction, Path(folder) / "instructions.jsonl", mend="build it again"):
            row = rows.get(line.clip_id)
            if row is None or (tasks is not None and line.task not in tasks):
                continue
            turns = [message for message in line.messages if message["role"] in ("user", "assistant")]
            for ask, reply in zip(turns[::2], turns[1::2]):
                found.append((row, Turn(text_of(ask["content"]), (text_of(reply["content"]),), line.task)))
        if len(found) == before:
            wanted = f" of the tasks {', '.join(sorted(tasks))}" if tasks is not None else ""
            raise DeftError(
                f"{folder}: no instruction{wanted} belongs to a clip of these stores; build it from them."
            )
    return found


def text_of(content: Any) -> str:
    """The text of a message's content, a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if part.get("type") == "text").strip()
