"""Sixty questions that were fixed before the language part was trained: can be answered, cannot, take for
granted what no face shows.

    python -m benchmarks.asked_beforehand SHARDS [--checkpoint shipped] [--clips 10] [--answers FILE.md]

Each is asked about some flow-level clips of validation identities. Right is: for an answerable question the
clip's own truth; for the others that the answer declines. ``--answers`` writes every question with the answer
for the first clip. Prints one line of JSON with the shares.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.answers import Clips, load
from deft_llm.evaluation.questions import named_class, named_units
from deft_llm.facs.emotions import FINE
from deft_llm.facs.units import entry, name
from deft_llm.files import read_json, write_text
from deft_llm.model.predictor import load_predictor
from deft_llm.model.units import EXPERT_AUS
from deft_llm.records import COARSE

QUESTIONS = Path(__file__).with_suffix(".json")


def asked(
    groups: dict[str, list[Any]], clips: Clips, row: int, rng: np.random.Generator
) -> Iterator[tuple[str, str, str]]:
    """(group, question, right answer) for one clip; answers of "declined" questions are "declined"."""
    side, known = clips.side[row], clips.known[row]
    there = [n for n, moved, sure in zip(EXPERT_AUS, side.any(-1), known) if moved and sure]
    absent = [n for n, moved, sure in zip(EXPERT_AUS, side.any(-1), known) if not moved and sure]
    one_sided = [
        n for n in there if entry(n).scoring == "sides" and side[EXPERT_AUS.index(n)].sum() == 1
    ]  # fmt: skip
    picked = {
        key: name(int(rng.choice(units))) if units else None
        for key, units in (("present", there), ("absent", absent), ("one_sided", one_sided))
    }
    for text, key in groups["answerable"]:
        if any(value is None and f"{{{word}}}" in text for word, value in picked.items()):
            continue
        right = {
            "coarse": COARSE[clips.coarse[row]],
            "fine": FINE[clips.fine[row]] if clips.fine[row] >= 0 else "",
            "aus": ", ".join(name(number) for number in there),
        }.get(key, key)  # fmt: skip
        if key == "side":
            place = next(i for i, n in enumerate(EXPERT_AUS) if name(n) == picked["one_sided"])
            right = "left" if side[place, 0] else "right"
        if right:
            yield "answerable", text.format(**picked), right
    for group in ("not answerable", "false premise"):
        for text in groups[group]:
            yield group, text, "declined"


def is_right(answer: str, answered_by: str, right: str) -> bool:
    """Whether an answer says what is right; lists of units must be the same."""
    if right == "declined" or answered_by == "declined":
        return right == answered_by
    if right in COARSE:
        return named_class(answer, COARSE) == right
    if right in FINE:
        return named_class(answer, FINE) == right
    if right in ("yes", "no", "left", "right"):
        return answer.lower().startswith(right)
    return set(named_units(answer)[0]) == set(named_units(right)[0])


def main() -> None:
    """Ask, score, print."""
    parser = argparse.ArgumentParser(description="Sixty questions fixed before training.")
    parser.add_argument("shards", type=Path)
    parser.add_argument("--checkpoint", type=Path, default=None, help="default: the shipped one")
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--answers", type=Path, default=None)
    given = parser.parse_args()
    predictor, clips = load_predictor(given.checkpoint), load(given.shards, given.clips, 0)
    rng, groups = np.random.default_rng(0), read_json(QUESTIONS)
    rows = [[*asked(groups, clips, row, rng)] for row in range(len(clips.motions))]
    readout = predictor.read_motions(clips.motions)
    replies = predictor.ask(readout, [[question for _, question, _ in row] for row in rows])
    scores: dict[str, list[bool]] = {}
    lines = ["| | question | right | answer | |", "|---|---|---|---|---|"]
    for number, (row, said) in enumerate(zip(rows, replies, strict=True)):
        for (group, question, right), reply in zip(row, said, strict=True):
            good = is_right(reply.text, reply.answered_by, right)
            scores.setdefault(group, []).append(good)
            if number == 0:
                lines.append(f"| {group} | {question} | {right} | {reply.text} | {'yes' if good else 'no'} |")
    if given.answers is not None:
        write_text(given.answers, "\n".join(lines) + "\n")
    found: dict[str, Any] = {group: round(float(np.mean(row)), 3) for group, row in scores.items()}
    print(json.dumps({"clips": len(rows), "questions": sum(map(len, scores.values())), **found}))


if __name__ == "__main__":
    main()
