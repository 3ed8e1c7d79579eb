"""What the language part says: answers on flow-level validation subjects, scored against the synthetic truth.

    python benchmarks/answers.py CHECKPOINT SHARDS [--clips 64] [--untrained] [--shuffle]

Prints JSON: share that parses, share whose three parts agree (the rationale names the AUs of the evidence, no
other, and the class), UF1 of the class in the text beside the head's, precision and recall of the AUs in the
evidence, agreement of text and head, seconds an answer. ``--shuffle`` gives every clip another clip's motion
tokens (the text must then fall to chance); ``--untrained`` takes the adapter away (the baseline to beat).
"""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path

import numpy as np
import torch

from deft_llm.answer import Answer

CLASSES = ("negative", "positive", "surprise")


def consistent(answer: Answer) -> bool:
    """Whether the rationale names the evidence's AUs, no other, and the class of the first line."""
    named = {int(number) for number in re.findall(r"AU(\d+)", answer.rationale)}
    word = answer.fine or answer.coarse
    label = f"label this {word}" if word else "determine no label"
    return named == {item.au for item in answer.evidence} and label in answer.rationale


def read_answers(texts: list[str], sides: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """Classes that the texts state (-1: none), and shares: parsed, consistent, AU precision and recall.

    sides: (N, A, 2) true AUs of ``EXPERT_AUS`` by side.
    """
    from deft_llm.answer import AnswerError, parse
    from deft_llm.model.units import EXPERT_AUS

    said, parsed, agreeing, hit, stated, there = [], 0, 0, 0, 0, 0
    for side, text in zip(sides, texts):
        truth = {n for n, moved in zip(EXPERT_AUS, side) if moved.any()}
        there += len(truth)
        try:
            answer = parse(text)
        except AnswerError:
            said.append(-1)
            continue
        parsed += 1
        agreeing += consistent(answer)
        said.append(CLASSES.index(answer.coarse) if answer.coarse in CLASSES else -1)
        named = {item.au for item in answer.evidence}
        stated, hit = stated + len(named), hit + len(named & truth)
    return np.array(said), {
        "parsed": round(parsed / len(texts), 3), "consistent": round(agreeing / len(texts), 3),
        "au_precision": round(hit / max(stated, 1), 3), "au_recall": round(hit / max(there, 1), 3),
    }  # fmt: skip


def main() -> None:
    """Score and print."""
    from deft_llm.model.deft import DeftModel, answer_grammar, batch_of
    from deft_llm.model.inputs import maps_input
    from deft_llm.model.prompt import ANSWER_QUESTION
    from deft_llm.model.refit import macro_f1
    from deft_llm.training.flow_shards import FlowShards
    from deft_llm.training.run import TrainConfig, start_model

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--untrained", action="store_true")
    parser.add_argument("--shuffle", action="store_true")
    given = parser.parse_args()
    if given.untrained:
        model = start_model(TrainConfig(experts=["motion"]), given.checkpoint, language=False).eval()
    else:
        model = DeftModel.from_pretrained(given.checkpoint)
    shards = FlowShards(given.shards)
    pool = shards.take(np.arange(min(4 * given.clips, len(shards))))
    rows = np.flatnonzero(pool.coarse >= 0)[: given.clips]
    texts, heads, started = [], [], time.perf_counter()
    for start in range(0, len(rows), given.batch):
        part = rows[start : start + given.batch]
        clips = batch_of([maps_input(pool.maps[row][:1]) for row in part])
        with torch.inference_mode():
            out = model.read(clips)
        heads += out.coarse.argmax(-1).tolist()
        if given.shuffle:
            order = torch.roll(torch.arange(len(part)), 1)
            out.motion = out.motion._replace(tokens=out.motion.tokens[order])
            out.au = out.au[order]
        grammar = answer_grammar(max_rationale=240)
        texts += model.answer(clips, [ANSWER_QUESTION] * len(part), grammar, max_new_tokens=160, out=out)
    seconds = (time.perf_counter() - started) / len(rows)
    text_classes, shares = read_answers(texts, pool.side[rows])
    truth_classes, head_classes = pool.coarse[rows], np.array(heads)
    print(json.dumps({
        "clips": len(rows), **shares,
        "text_uf1": round(macro_f1(truth_classes, text_classes, 3), 3),
        "head_uf1": round(macro_f1(truth_classes, head_classes, 3), 3),
        "text_head_agree": round(float((text_classes == head_classes).mean()), 3),
        "s_per_answer": round(seconds, 2), "example": texts[0],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
