"""What the language part says: answers on flow-level clips of validation subjects, held against the truth.

    python -m benchmarks.answers CHECKPOINT SHARDS [--clips 64] [--skip 0]    as `deft predict --answers` asks
        --shuffle      every clip gets another clip's motion tokens: the text must fall to chance
        --drop beliefs ..    parts of the prompt are left out: `beliefs` leaves the experts' tokens alone,
                       `structure texture motion` the beliefs alone
        --untrained    the adapter is taken away: the baseline to beat
        --phrasings    the question in wordings that no training text has
        --still brow   what if the brow had not moved? the same clips with that region held still
        --seen RUN.. --trained-on SHARDS    clips whose AUs no clip of these stage-2 runs had together, apart
        --recombine    with the two: new clips, all of whose sets of AUs are in no prior and no training clip
                       (SHARDS is not read; the class of such a set is nobody's, so AUs alone count)

Prints one line of JSON: share that parses; whose three parts agree (``deft_llm.rationale``: every sentence of
the rationale reads back to a movement of the evidence or to the class); whose statements the measured motion
supports; UF1 of the class in the text and of the head; precision and recall of the AUs, right sides among the
right AUs (AUs that move too faintly to be coded count neither way); agreement of text and head; time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deft_llm.model.beliefs import BELIEFS
from deft_llm.model.language import ANSWER_QUESTION, EXPERTS
from deft_llm.model.predictor import Predictor, WrittenAnswer, load_predictor
from deft_llm.model.units import EXPERT_AUS
from deft_llm.rationale import agrees
from deft_llm.records import COARSE
from deft_llm.store import Motion
from deft_llm.training.flow_shards import FlowBatch

PHRASINGS = (
    "Tell me the class first, then what you saw, then how the two go together.",
    "Class, evidence and rationale, please.",
    "What would a coder write down here, and on which movements would it rest?",
    "Read this clip for me: label, Action Units, reasons.",
)
STILL = {"brow": ("inner brow", "outer brow", "glabella", "forehead"), "mouth": ("mouth corner", "cheek")}
MOVED_BY = {"brow": {1, 2, 4}, "mouth": {6, 12, 14, 15, 20}}

OPPOSED = [{5, 43}, {5, 7}, {7, 43}, {18, 20}, {23, 25}, {24, 25}, {24, 26}, {25, 28}, {12, 18}, {18, 28}]
"""Pairs of AUs that one face does not show at once."""


@dataclass
class Clips:
    """Motions of N clips, true AU sides (N, A, 2), AUs that clearly move or do not (N, A), and classes (N,),
    coarse and fine."""

    motions: list[Motion]
    side: np.ndarray
    known: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray

    def of(self, rows: list[int]) -> Clips:
        """Some of the clips."""
        return Clips(
            [self.motions[row] for row in rows], self.side[rows], self.known[rows], self.coarse[rows],
            self.fine[rows],
        )  # fmt: skip

    def units(self, row: int) -> set[int]:
        """The AUs that truly moved in a clip."""
        return {number for number, moved in zip(EXPERT_AUS, self.side[row]) if moved.any()}


def load(shards: Path, count: int, skip: int) -> Clips:
    """``count`` clips with a class, after the first ``skip`` of them."""
    from deft_llm.training.flow_shards import FlowShards

    data = FlowShards(shards)
    pool = data.take(np.arange(min(4 * (count + skip), len(data))))
    return clips_of(pool, np.flatnonzero(pool.coarse >= 0)[skip : skip + count])


def clips_of(pool: FlowBatch, rows: np.ndarray) -> Clips:
    """Motions of flow-level samples, one phase."""
    from deft_llm.motion.measure import motion_from_flow

    motions = [
        motion_from_flow(f"flow/{row}", pool.maps[row][:1, :2].astype(np.float32), units="relative")
        for row in rows
    ]
    return Clips(motions, pool.side[rows], pool.known[rows] > 0, pool.coarse[rows], pool.fine[rows])


def recombined(known: set[frozenset[int]], count: int, seed: int) -> Clips:
    """Clips of validation identities that show one AU beside a usual set of AUs: a set of AUs that neither a
    prior nor ``known`` (sets of places in EXPERT_AUS) holds."""
    from deft_llm.synth.core.prior import load_prior
    from deft_llm.synth.flow.config import FlowConfig
    from deft_llm.synth.flow.sampler import FlowSynth
    from recipes.flow_samples import targets_of

    usual = load_prior("facs")
    taken = {frozenset(EXPERT_AUS[place] for place in places) for places in known}
    taken |= {frozenset(aus) for name in ("facs", "corpora") for aus in load_prior(name).joint}
    singles = sorted({au for aus in usual.joint for au in aus} & set(EXPERT_AUS))
    new = {
        fine: {
            (*aus, au): 1.0 for aus in rows for au in singles
            if len(aus) <= 2 and au not in aus and frozenset((*aus, au)) not in taken
            and not any({au, other} in OPPOSED for other in aus)
        }
        for fine, rows in usual.combinations.items()
    }  # fmt: skip
    prior = replace(usual, name="recombined", combinations={fine: rows for fine, rows in new.items() if rows})
    batch = FlowSynth("validation", FlowConfig(identities=40), prior=prior).batch(2 * count, seed)
    pool = targets_of(batch)
    rows = [row for row, places in enumerate(sets_of(pool.side)) if len(places) > 1 and places not in known]
    return clips_of(pool, np.array(rows[:count]))


def sets_of(side: np.ndarray) -> list[frozenset[int]]:
    """The places in EXPERT_AUS of each clip's AUs; side (N, A, 2)."""
    return [frozenset(np.flatnonzero(row.any(-1)).tolist()) for row in side]


def ask(
    predictor: Predictor, motions: list[Motion], questions: list[str], shuffle: bool = False,
    drop: Sequence[str] = (),
) -> tuple[list[WrittenAnswer], np.ndarray]:  # fmt: skip
    """N answers, and (N,) the class that the emotion head gives to each clip, its place in COARSE.

    ``shuffle``: every clip is answered from another one's readout; ``drop``: parts of the prompt left out.
    """
    readout = predictor.read_motions(motions)
    heads = readout.coarse.argmax(-1).numpy()
    given = readout.take(torch.roll(torch.arange(len(readout)), 1)) if shuffle else readout
    return predictor.answer(given, questions, motions, drop=drop), heads


def score(written: list[WrittenAnswer], heads: np.ndarray, clips: Clips) -> dict[str, Any]:
    """The shares that the module's docstring names."""
    from deft_llm.facs.emotions import coarse_of
    from deft_llm.methods.refit import macro_f1
    from deft_llm.training.flow_text import side_of

    said = []
    counts = dict.fromkeys(("parsed", "agree", "hit", "named", "there", "sides", "stated", "supported"), 0)
    for row, one in enumerate(written):
        truth = clips.units(row)
        counts["there"] += len(truth)
        answer = one.answer
        if answer is None:
            said.append(-1)
            continue
        coarse = answer.coarse or coarse_of(answer.fine)
        said.append(COARSE.index(coarse) if coarse in COARSE else -1)
        stated = {item.au: item.side for item in answer.evidence}
        named = {au: side for au, side in stated.items() if clips.known[row, EXPERT_AUS.index(au)]}
        counts["parsed"] += 1
        counts["stated"] += len(answer.evidence)
        counts["agree"] += agrees(answer)
        counts["named"] += len(named)
        counts["hit"] += len(named.keys() & truth)
        counts["sides"] += sum(
            side_of(au, *clips.side[row][EXPERT_AUS.index(au)]) == side
            for au, side in named.items()
            if au in truth
        )
        counts["supported"] += sum(item.status == "supported" for item in one.evidence)
    text, share = np.array(said), lambda part, whole: round(part / max(whole, 1), 3)
    return {
        "clips": len(written), "parsed": share(counts["parsed"], len(written)),
        "consistent": share(counts["agree"], len(written)),
        "text_uf1": round(macro_f1(clips.coarse, text, 3), 3),
        "head_uf1": round(macro_f1(clips.coarse, heads, 3), 3),
        "text_head_agree": round(float((text == heads).mean()), 3),
        "au_precision": share(counts["hit"], counts["named"]),
        "au_recall": share(counts["hit"], counts["there"]),
        "sides_right": share(counts["sides"], counts["hit"]),
        "aus_named": counts["named"], "motion_supports": share(counts["supported"], counts["stated"]),
    }  # fmt: skip


def held_still(
    clips: Clips, written: list[WrittenAnswer], again: list[WrittenAnswer], area: str
) -> dict[str, Any]:
    """What an answer loses and keeps when a region has not moved, over the AUs that it named before."""
    gone, kept, changed, both = [0, 0], [0, 0], 0, 0
    for before, after in zip(written, again, strict=True):
        if before.answer is None or after.answer is None:
            continue
        both += 1
        changed += (before.answer.fine, before.answer.coarse) != (after.answer.fine, after.answer.coarse)
        still = {item.au for item in after.answer.evidence}
        for item in before.answer.evidence:
            count = gone if item.au in MOVED_BY[area] else kept
            count[0] += (item.au not in still) if count is gone else (item.au in still)
            count[1] += 1
    return {
        f"{area}_units_gone": f"{gone[0]}/{gone[1]}", "other_units_kept": f"{kept[0]}/{kept[1]}",
        "class_changed": f"{changed}/{both}",
    }  # fmt: skip


def seen_together(runs: list[Path], shards: Path) -> set[frozenset[int]]:
    """The sets of AUs of the clips that a language part trained on, drawn again from their own seeds."""
    from deft_llm.training.flow_shards import FlowShards
    from deft_llm.training.language import LanguageConfig, text_source
    from deft_llm.training.state import STATE, read_state

    found = set()
    for run in runs:
        meta = read_state(run / STATE)[1]
        source = text_source(FlowShards(shards), LanguageConfig(**meta["settings"]))
        for step in range(meta["step"]):
            found |= set(sets_of(source(step, 0, 1).targets.side.numpy() > 0))
    return found


def main() -> None:
    """Score and print."""
    from deft_llm.training.checkpoints import saved_config, start_model
    from deft_llm.training.settings import TrainConfig

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--skip", type=int, default=0, help="clips to leave out at the start")
    parser.add_argument("--shuffle", action="store_true")
    parser.add_argument("--drop", nargs="+", choices=(*EXPERTS, BELIEFS), default=[])
    parser.add_argument("--untrained", action="store_true")
    parser.add_argument("--phrasings", action="store_true")
    parser.add_argument("--still", choices=sorted(STILL))
    parser.add_argument("--seen", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--recombine", action="store_true")
    parser.add_argument("--trained-on", type=Path, metavar="SHARDS")
    given = parser.parse_args()
    predictor = load_predictor(given.checkpoint)
    if given.untrained:
        # another rank than the checkpoint's: projectors and adapter begin anew
        experts = saved_config(given.checkpoint)["experts"]
        model = start_model(TrainConfig(lora_rank=4), given.checkpoint, 0, experts=experts, motion={},
                            faces={}, language=True)  # fmt: skip
        predictor = Predictor(model, predictor.config)
    known = seen_together(given.seen, given.trained_on) if given.seen else set()
    clips = (
        recombined(known, given.clips, given.skip) if given.recombine
        else load(given.shards, given.clips, given.skip)
    )  # fmt: skip
    words = PHRASINGS if given.phrasings else (ANSWER_QUESTION,)
    questions = [words[row % len(words)] for row in range(len(clips.motions))]
    started = time.perf_counter()
    written, heads = ask(predictor, clips.motions, questions, given.shuffle, given.drop)
    found = {
        **score(written, heads, clips),
        "s_per_answer": round((time.perf_counter() - started) / len(written), 2),
    }
    if given.recombine:
        found = {name: found[name] for name in found if "uf1" not in name} | {"known_sets": len(known)}
    elif given.seen:
        rows = [row for row, places in enumerate(sets_of(clips.side)) if places not in known]
        new = score([written[row] for row in rows], heads[rows], clips.of(rows))
        found["unseen_combinations"] = {"known_sets": len(known), **new}
    if given.still:
        from deft_llm.motion.hide import MARGIN, hide

        moved = [hide(motion, STILL[given.still], MARGIN) for motion in clips.motions]
        again, _ = ask(predictor, moved, questions)
        found |= held_still(written, again, given.still)
    print(json.dumps({**found, "example": written[0].text}))


if __name__ == "__main__":
    main()
