"""ME-VQA questions about every clip of a corpus, in the organisers' own words, answered from its annotation.

    python -m recipes.vqa_questions CORPUS ROOT questions.jsonl [--seed 0] [--clips 60 --draw 30]

The corpora's public questions are about their own clips; this asks the same of any other corpus, so that
``deft benchmark CORPUS ROOT --task vqa --questions questions.jsonl`` can be run on synthetic maps. Singular
and plural are the organisers': they tell whether one Action Unit was coded or several. A clip is asked for as
many Action Units that are not there as are, half of them look-alikes or usual for its class. ``--clips``
draws so many of the clips, by the number ``--draw``.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deft_llm.corpora import load
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.facs.units import entry, name
from deft_llm.files import write_jsonl
from deft_llm.model.units import EXPERT_AUS
from deft_llm.records import Clip
from deft_llm.unimer.exports.megc import (
    AUS_QUESTION,
    COARSE_QUESTION,
    COMBINED,
    COMBINED_ANSWER,
    FINE_QUESTION,
    SIDE,
    YES_NO,
)
from deft_llm.unimer.vqa import FORMS, ONE_COMBINED, ONE_COMBINED_ANSWER, drawn_negatives

ONE_AU_QUESTION = FORMS["vqa_aus_one"][0]


def questions_of(clip: Clip, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """(question, answer) of one annotated clip; nothing is asked of what nobody coded."""
    fine = clip.emotion if clip.emotion in FINE else None
    coarse = clip.coarse or coarse_of(fine)
    if coarse:
        yield COARSE_QUESTION, coarse
    if fine:
        yield FINE_QUESTION, fine
    units = sorted((unit for unit in clip.aus or [] if unit.certain), key=lambda unit: unit.number)
    if not units:
        return
    several = len({unit.number for unit in units}) > 1
    names = ", ".join(name(unit.number) for unit in units)
    yield AUS_QUESTION if several else ONE_AU_QUESTION, names
    if fine and coarse:
        answer = COMBINED_ANSWER if several else ONE_COMBINED_ANSWER
        yield COMBINED if several else ONE_COMBINED, answer.format(aus=names, fine=fine, coarse=coarse)
    there = {unit.number for unit in units}
    for number in sorted(there):
        yield YES_NO.format(name=name(number)), "yes"
    absent = set(EXPERT_AUS) - there
    for number in drawn_negatives(there, fine, absent, rng, len(there), (len(there) + 1) // 2):
        yield YES_NO.format(name=name(number)), "no"
    for unit in units:
        if unit.side in ("left", "right") and entry(unit.number).scoring == "sides":
            yield SIDE.format(name=name(unit.number)), unit.side


def _clip(row: dict[str, str]) -> tuple[str, str, str]:
    return row["dataset"], row["subject"], row["filename"]


def main() -> None:
    """Write the questions of a corpus."""
    parser = argparse.ArgumentParser(description="ME-VQA questions about the clips of a corpus.")
    parser.add_argument("corpus")
    parser.add_argument("root", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", type=int, help="ask about so many clips (default: all)")
    parser.add_argument("--draw", type=int, default=0, help="which of them")
    given = parser.parse_args()
    rows: list[dict[str, str]] = []
    for number, clip in enumerate(load(given.corpus, given.root).clips):
        subject, filename = clip.subject.rsplit("/", 1)[-1], clip.clip_id.rsplit("/", 1)[-1]
        own = {"dataset": clip.corpus, "subject": subject, "filename": filename}
        asked = questions_of(clip, np.random.default_rng([given.seed, number]))
        rows += [
            own | {"id": f"{clip.clip_id}_{place}", "question": question, "answer": answer}
            for place, (question, answer) in enumerate(asked, 1)
        ]
    if given.clips is not None:
        names = sorted({_clip(row) for row in rows})
        random.Random(given.draw).shuffle(names)
        drawn = set(names[: given.clips])
        rows = [row for row in rows if _clip(row) in drawn]
    write_jsonl(given.out, rows)
    print(f"{len(rows)} questions: {given.out}")


if __name__ == "__main__":
    main()
