"""What each part of the prompt is for: Uni-MER's questions on films of test subjects, with parts left out.

    python -m benchmarks.expert_duty CHECKPOINT STORE UNIMER [--rows 60] [--tasks region] [--json FILE]

STORE: clips with faces of test subjects; UNIMER: ``deft unimer build STORE --no-figures``. Asked with the
whole prompt; without beliefs (the experts' tokens alone); with beliefs alone; without each expert (a face
expert neither feeds the heads nor stands in the prompt; of motion, which all heads begin with, the tokens are
left out of the prompt); with another clip's readout; and with all that structure sees (onset, shape over
the neutral, course) taken from a clip of another subject that begins otherwise (``begins_otherwise``).
Prints per task the share answered right, with a 95 % interval over subjects; then, with the other structure,
the share of releases whose answers about the phase change, and of clips that begin at neutral whose set of
AUs changes.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from deft_llm.evaluation.bootstrap import interval
from deft_llm.evaluation.questions import named_units
from deft_llm.files import write_json
from deft_llm.model.beliefs import BELIEFS
from deft_llm.model.heads import presence_logits
from deft_llm.model.inputs import FaceInput
from deft_llm.model.language import EXPERTS, FACE_EXPERTS
from deft_llm.model.predictor import load_predictor
from deft_llm.records import Clip, Instruction
from deft_llm.store import Store
from deft_llm.unimer.build import read_instructions
from deft_llm.unimer.readback import outcome, texts

TASKS = (
    "vqa_coarse", "vqa_fine", "vqa_aus", "vqa_au_present", "vqa_au_side", "vqa_on_side", "region", "release",
    "side", "vqa_state", "vqa_held", "vqa_phase", "vqa_turn", "vqa_fold", "vqa_most", "vqa_back",
)  # fmt: skip
PROMPTS = {
    "whole prompt": (), "tokens alone": (BELIEFS,), "beliefs alone": EXPERTS,
    **{f"without {name}": (name,) for name in EXPERTS}, "another clip's": (), "another structure": (),
}  # fmt: skip


def is_right(row: Instruction, said: str) -> bool:
    """Whether an answer states what the instruction's does: short forms in the same words, lists of units as
    sets, the movement of a region in its place and direction, the outcome of a release or a side."""
    wanted = texts(row, "assistant")[0]
    if row.task in ("vqa_aus", "vqa_state"):
        return set(named_units(said)[0]) == set(named_units(wanted)[0])
    if row.task == "region" and row.source["choice"] == "moves":
        return said.strip().lower() == wanted.strip().lower()
    if row.task in ("region", "release", "side"):
        return outcome(row.task, said) == row.source["choice"]
    return said == wanted


def chosen(folder: Path, tasks: tuple[str, ...], most: int) -> list[Instruction]:
    """Up to ``most`` instructions of each task, drawn from all clips; of phases, turns of the head, folds
    and ways back as many of each, for "rise" alone would be right of two in three."""
    by_task: dict[str, list[Instruction]] = defaultdict(list)
    for row in read_instructions(folder):
        if row.task in tasks:
            by_task[row.task].append(row)
    rng, found = np.random.default_rng(0), []
    for task, rows in by_task.items():
        drawn = [rows[i] for i in rng.permutation(len(rows))]
        if task in ("vqa_phase", "vqa_turn", "vqa_fold", "vqa_back"):
            drawn = _alike(drawn)
        found += drawn[:most]
    return found


def _alike(rows: list[Instruction]) -> list[Instruction]:
    """The rows in turns of each outcome, as many as the rarest has."""
    by_outcome: dict[str, list[Instruction]] = defaultdict(list)
    for row in rows:
        by_outcome[row.source["choice"]].append(row)
    return [row for turn in zip(*by_outcome.values(), strict=False) for row in turn]


def begins_otherwise(clips: Sequence[Clip]) -> list[int]:
    """Per clip the row of the nearest clip before it, of another subject, that begins otherwise: of a release
    a rise, of all others a release; its own where there is none."""
    found = []
    for row, clip in enumerate(clips):
        wanted = "rise" if clip.phase == "release" else "release"
        before = [(row - step) % len(clips) for step in range(1, len(clips))]
        others = (i for i in before if clips[i].phase == wanted and clips[i].subject != clip.subject)
        found.append(next(others, row))
    return found


def with_structure_of(faces: Sequence[FaceInput | None], rows: Sequence[int]) -> list[FaceInput | None]:
    """What the face experts see of the clips where structure is given what it sees of the clips ``rows``."""
    return [
        own if own is None or (other := faces[row]) is None else replace(
            own, landmarks=other.landmarks, appearance=other.appearance, space=other.space, over=other.over,
            course=other.course,
        ) for own, row in zip(faces, rows, strict=True)
    ]  # fmt: skip


def main() -> None:
    """Ask with every prompt, score, print the table."""
    parser = argparse.ArgumentParser(description="What each part of the prompt is for.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("unimer", type=Path)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    rows = chosen(given.unimer, tuple(given.tasks.split(",")), given.rows)
    names = sorted({row.clip_id for row in rows})
    store, predictor = Store(given.store), load_predictor(given.checkpoint)
    clips = [store.rows[name].clip for name in names]
    inputs = predictor.inputs_of(store.motion(name) for name in names)
    readout = predictor.read(*inputs)
    asked = [[row for row in rows if row.clip_id == name] for name in names]
    questions = [[texts(row, "user")[0] for row in group] for group in asked]
    table: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    whole: list[list[str]] = []
    swapped = predictor.read(inputs[0], with_structure_of(inputs[1], begins_otherwise(clips)))
    changed = []
    for prompt, drop in PROMPTS.items():
        own = readout
        if len(drop) == 1 and drop[0] in FACE_EXPERTS:
            own = predictor.read(*inputs, drop=drop)
        elif prompt == "another clip's":
            own = readout.take(torch.roll(torch.arange(len(readout)), 1))
        elif prompt == "another structure":
            own = swapped
        said = [[reply.text for reply in row] for row in predictor.ask(own, questions, drop=drop)]
        whole = whole or said
        found: dict[str, list[tuple[str, bool]]] = defaultdict(list)
        for group, texts_now, texts_first in zip(asked, said, whole, strict=True):
            for row, now, first in zip(group, texts_now, texts_first, strict=True):
                found[row.task].append((row.subject, is_right(row, now)))
                released = row.task == "vqa_phase" and row.source["choice"] == "release"
                if prompt == "another structure" and released:
                    changed.append(now != first)
        for task, marks in found.items():
            table[task][prompt] = _share(marks)
    neutral = [row for row, clip in enumerate(clips) if clip.phase == "rise" and clip.held == []]
    sets = [presence_logits(one.take(neutral), predictor.calibration) > 0 for one in (readout, swapped)]
    otherwise = {
        "releases": len(changed), "told otherwise": float(np.mean(changed)) if changed else None,
        "begin at neutral": len(neutral),
        "AU sets otherwise": float((sets[0] != sets[1]).any(1).mean()) if neutral else None,
    }  # fmt: skip
    print("| task | rows | " + " | ".join(PROMPTS) + " |\n" + "|---" * (len(PROMPTS) + 2) + "|")
    for task, cells in table.items():
        shown = [f"{cell['share']:.2f} ({cell['low']:.2f}-{cell['high']:.2f})" for cell in cells.values()]
        print(f"| {task} | {cells['whole prompt']['rows']:.0f} | " + " | ".join(shown) + " |")
    if given.json is not None:
        write_json(given.json, {**table, "another structure": otherwise})
    print(json.dumps({"clips": len(names), "questions": len(rows), **otherwise}))


def _share(marks: list[tuple[str, bool]]) -> dict[str, float]:
    subjects = sorted({subject for subject, _ in marks})
    counts = np.zeros((len(subjects), 2))
    for subject, right in marks:
        counts[subjects.index(subject)] += right, 1
    low, high = interval(counts, lambda sums: sums[:, 0] / sums[:, 1])
    return {
        "rows": len(marks),
        "share": float(np.mean([right for _, right in marks])),
        "low": low,
        "high": high,
    }


if __name__ == "__main__":
    main()
