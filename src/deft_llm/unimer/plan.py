"""Which clip is asked what: answers are balanced within every kind of question, so that none is given away.

Every clip offers its possible questions as (group, outcome). Within a group each outcome is kept as often as
the rarest one, the choice being made by hash: the same for any number of workers and any order.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from deft_llm.aus.verdict import BLINKS
from deft_llm.facs.regions import FOLDS
from deft_llm.facs.units import entry
from deft_llm.unimer.facts import ClipFacts
from deft_llm.unimer.vqa import au_present_negatives

ABSENT_SUPPORT = 0.3  # an AU that nobody labelled counts as absent only below this support
NEGATIVES = 4  # AUs that are not there which the yes/no form of ME-VQA may ask of one clip for
PER_CLIP = 2  # at most so many questions of one task and clip from one group family


@dataclass(frozen=True, order=True)
class Ask:
    """One planned question: ``task``, what it is about, and the outcome that balances its group."""

    task: str
    group: str
    outcome: str
    subject: str = ""


def absent_aus(facts: ClipFacts) -> set[int]:
    """AUs that nobody labelled and the flow does not show."""
    return {
        au
        for au, support in facts.supports.items()
        if au not in facts.labelled and support < ABSENT_SUPPORT and au not in BLINKS
    }


def candidates(facts: ClipFacts, seed: int) -> list[Ask]:
    """Every question with two answers that could be asked of a clip."""
    asks: list[Ask] = []
    present = {row.au for row in facts.supported if row.au is not None}
    if facts.labels is not None:
        near = {other for au in present for other in entry(au).look_alikes}
        absent = absent_aus(facts)
        for au in sorted(present):
            asks += [Ask("au", str(au), "yes"), Ask("side", str(au), "there")]
            for other in sorted(set(entry(au).look_alikes) & absent):
                low, high = sorted((au, other))
                asks.append(Ask("contrast", f"{low}-{high}", str(au)))
        for au in sorted(absent - near):
            asks += [Ask("au", str(au), "no"), Ask("side", str(au), "neither")]
        asks = [ask for ask in asks if ask.task != "side" or entry(int(ask.group)).scoring == "sides"]
        asks += _vqa(facts, absent, seed)
        asks += [Ask("release", str(au), facts.rises[au]) for au in sorted(present) if au in facts.rises]
    asks += _held(facts, seed)
    judged = {fold: there for fold, there in (facts.folds or {}).items() if fold in FOLDS}
    asks += [Ask("vqa_fold", fold, "yes" if there else "no") for fold, there in judged.items()]
    for region in facts.regions:
        if region.moves is not None:
            asks.append(Ask("region", region.key, "moves" if region.moves else "still"))
        if region.phase is not None:
            asks.append(Ask("phase", region.key, region.phase))
    return asks


def _vqa(facts: ClipFacts, absent: set[int], seed: int) -> list[Ask]:
    """The forms of ME-VQA about single AUs; sides are asked for where they differ, and against the other."""
    rng = clip_rng(facts.clip_id, seed, "absent")
    asks = [Ask("vqa_au_present", str(row.au), "yes") for row in facts.supported]
    asks += [
        Ask("vqa_au_present", str(au), "no") for au in au_present_negatives(facts, absent, rng, NEGATIVES)
    ]
    for row in facts.supported:
        if entry(row.au or 0).scoring != "sides" or row.side == "asymmetric":
            continue
        if row.side != "both":
            asks.append(Ask("vqa_au_side", str(row.au), row.side))
        for side in ("left", "right"):
            there = "yes" if row.side in (side, "both") else "no"
            asks.append(Ask("vqa_on_side", f"{row.au} {side}", there))
    return asks


def _held(facts: ClipFacts, seed: int) -> list[Ask]:
    """Whether single AUs are held at the onset, where coders saw to that: those that are, those that move and
    are not, and some that do neither."""
    if facts.held is None:
        return []
    held = {unit.number for unit in facts.held}
    moving = {row.au for row in facts.supported if row.au} - held
    still = sorted(set(facts.supports) - held - moving - set(BLINKS))
    drawn = clip_rng(facts.clip_id, seed, "held").permutation(still)[:NEGATIVES]
    others = [*sorted(moving), *map(int, drawn)]
    return [Ask("vqa_held", str(au), "yes") for au in sorted(held)] + [
        Ask("vqa_held", str(au), "no") for au in others
    ]


def clip_rng(clip_id: str, seed: int, *words: str) -> np.random.Generator:
    """Randomness that depends on the clip, the seed and, in ``words``, what is drawn."""
    digest = hashlib.sha256("|".join([str(seed), clip_id, *words]).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest[:16], np.uint32))


def order_key(seed: int, clip_id: str, ask: Ask) -> int:
    """Where a question stands in the drawing of lots."""
    text = f"{seed}|{clip_id}|{ask.task}|{ask.group}|{ask.outcome}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def offered(facts: ClipFacts, seed: int) -> list[Ask]:
    """A clip's candidates, thinned: at most PER_CLIP of a task and outcome."""
    kept: list[Ask] = []
    count: Counter[tuple[str, str]] = Counter()
    for ask in sorted(candidates(facts, seed), key=lambda ask: order_key(seed, facts.clip_id, ask)):
        kind = (ask.task, "there" if ask.task == "contrast" else ask.outcome)
        limit = 4 * PER_CLIP if ask.outcome in ("no", "neither") else PER_CLIP
        if count[kind] < limit:
            count[kind] += 1
            kept.append(ask)
    return kept


Plan = dict[tuple[str, str, str], int]


def make_plan(stream: Callable[[], Iterable[ClipFacts]], seed: int) -> Plan:
    """For every (task, group, outcome) the lot up to which questions are asked; ``stream`` is read twice.

    Memory grows with the rarest outcome of each group, not with the clips.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    for facts in stream():
        counts.update((ask.task, ask.group, ask.outcome) for ask in offered(facts, seed))
    outcomes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for task, group, outcome in counts:
        outcomes[task, group].add(outcome)
    quota = {
        (task, group): min(counts[task, group, outcome] for outcome in found)
        for (task, group), found in outcomes.items()
        if len(found) == 2
    }
    heaps: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for facts in stream():
        for ask in offered(facts, seed):
            limit = quota.get((ask.task, ask.group), 0)
            if not limit:
                continue
            heap = heaps[ask.task, ask.group, ask.outcome]
            lot = -order_key(seed, facts.clip_id, ask)
            if len(heap) < limit:
                heapq.heappush(heap, lot)
            else:
                heapq.heappushpop(heap, lot)
    return {key: -heap[0] for key, heap in heaps.items()}


def planned(facts: ClipFacts, plan: Plan, seed: int) -> list[Ask]:
    """The questions that the plan asks of one clip, in drawing order."""
    return [
        ask
        for ask in offered(facts, seed)
        if order_key(seed, facts.clip_id, ask) <= plan.get((ask.task, ask.group, ask.outcome), -1)
    ]
