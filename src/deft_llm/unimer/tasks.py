"""The instructions of one clip: every Uni-MER task whose facts are there, in an order that says nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from deft_llm.facs.regions import FOLDS
from deft_llm.facs.units import name
from deft_llm.facs.words import pick, sentence
from deft_llm.records import ActionUnit, Instruction, Media, Target
from deft_llm.unimer import wording
from deft_llm.unimer.facts import ClipFacts
from deft_llm.unimer.phrases import QUESTIONS, REFUSAL_ANSWERS, REFUSALS, SYSTEM, TEMPLATES_VERSION
from deft_llm.unimer.plan import Ask, Plan, clip_rng, planned
from deft_llm.unimer.vqa import VQA_TASKS, asked, asks_whole_answer, whole_clip
from deft_llm.version import __version__

TASKS = (
    "coarse",
    "fine",
    "aus",
    "au",
    "side",
    "region",
    "phase",
    "description",
    "answer",
    "contrast",
    "blink",
    "multi_turn",
    "refusal",
    "release",
    "not_seen",
    *VQA_TASKS,
)
REFUSAL_SHARE = 0.35
NOT_SEEN_SHARE = 0.25
BLINK_SUPPORT = 0.9


@dataclass
class Draft:
    """One dialogue before it becomes a record; ``choice`` is the outcome that leak checks read."""

    task: str
    template: str
    turns: list[tuple[str, str]]
    choice: str
    about: str = ""


def clip_instructions(facts: ClipFacts, plan: Plan, seed: int) -> list[Instruction]:
    """All instructions of a clip; the same facts, plan and seed give the same rows."""
    rng = clip_rng(facts.clip_id, seed)
    drafts = [
        *_labels(facts, rng),
        *_balanced(facts, plan, seed, rng),
        *_open(facts, rng),
        *_multi(facts, rng),
        *_refusal(facts, rng),
        *_not_seen(facts, rng),
        *(
            Draft(task, template, [(question, answer)], outcome)
            for task, template, question, answer, outcome in whole_clip(facts, rng)
        ),
    ]
    order = rng.permutation(len(drafts))
    return [_record(facts, drafts[position], number, seed) for number, position in enumerate(order)]


def _record(facts: ClipFacts, draft: Draft, number: int, seed: int) -> Instruction:
    media = [
        Media(type="flow" if role == "flow" else "image", role=role, path=f"{facts.clip_id}/{role}.png")
        for role in facts.media
    ]
    messages: list[dict[str, Any]] = [{"role": "system", "content": [{"type": "text", "text": SYSTEM}]}]
    for turn, (question, answer) in enumerate(draft.turns):
        shown = [{"type": "image", "ref": place} for place in range(len(media))] if turn == 0 else []
        messages.append({"role": "user", "content": [*shown, {"type": "text", "text": question}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    aus = [ActionUnit(number=row.au or 0, side=row.side, part=row.part) for row in facts.supported]
    source = {
        "builder": __version__,
        "templates": TEMPLATES_VERSION,
        "template": draft.template,
        "seed": seed,
        "choice": draft.choice,
        "about": draft.about,
    }
    if facts.coder:
        source["coder"] = facts.coder
    return Instruction(
        id=f"{facts.clip_id}#{number:02d}-{draft.task}",
        clip_id=facts.clip_id,
        corpus=facts.corpus,
        subject=facts.subject,
        task=draft.task,
        media=media,
        messages=messages,
        target=Target(fine=facts.fine, coarse=facts.coarse, aus=None if facts.labels is None else aus),
        evidence=facts.evidence,
        source=source,
    )


def _ask(task: str, rng: np.random.Generator, **words: Any) -> tuple[str, str]:
    number, text = pick(QUESTIONS[task], rng)
    return f"{task}/{number}", text.format(**words)


def _labels(facts: ClipFacts, rng: np.random.Generator) -> Iterator[Draft]:
    if facts.coarse is not None:
        template, question = _ask("coarse", rng)
        answer = wording.class_sentence(facts, facts.coarse, rng)
        yield Draft("coarse", template, [(question, answer)], facts.coarse)
    if facts.fine is not None:
        template, question = _ask("fine", rng)
        yield Draft(
            "fine", template, [(question, wording.class_sentence(facts, facts.fine, rng))], facts.fine
        )
    if facts.labels is not None:
        template, question = _ask("aus", rng)
        choice = (
            "+".join(str(row.au) for row in sorted(facts.supported, key=lambda row: row.au or 0)) or "none"
        )
        yield Draft("aus", template, [(question, wording.aus_answer(facts))], choice)


def _balanced(facts: ClipFacts, plan: Plan, seed: int, rng: np.random.Generator) -> Iterator[Draft]:
    for ask in planned(facts, plan, seed):
        if ask.task in ("au", "side"):
            yield _au_draft(facts, ask, rng)
        elif ask.task == "contrast":
            yield _contrast_draft(facts, ask, rng)
        elif ask.task in VQA_TASKS:
            yield _vqa_draft(ask, rng)
        elif ask.task == "release":
            au = int(ask.group)
            template, question = _ask("release", rng, au=au, name=name(au))
            answer = wording.release_answer(au, ask.outcome, rng)
            yield Draft("release", template, [(question, answer)], ask.outcome, ask.group)
        else:
            fact = next(fact for fact in facts.regions if fact.key == ask.group)
            template, question = _ask(ask.task, rng, region=ask.group)
            words = wording.region_answer if ask.task == "region" else wording.phase_answer
            yield Draft(ask.task, template, [(question, words(fact, rng))], ask.outcome, ask.group)


def _au_draft(facts: ClipFacts, ask: Ask, rng: np.random.Generator) -> Draft:
    au = int(ask.group)
    template, question = _ask(ask.task, rng, au=au, name=name(au))
    if ask.task == "au":
        return Draft(
            "au", template, [(question, wording.yes_no_answer(facts, au, rng))], ask.outcome, ask.group
        )
    row = next((row for row in facts.supported if row.au == au), None)
    choice = "neither" if row is None else row.side
    return Draft("side", template, [(question, wording.side_answer(facts, au, rng))], choice, ask.group)


def _vqa_draft(ask: Ask, rng: np.random.Generator) -> Draft:
    """A form of ME-VQA about one AU, or about folds; the group names the AU, and the side that is asked
    about, or the folds."""
    if ask.task == "vqa_fold":
        words = {"folds": FOLDS[ask.group]}
    else:
        au, _, side = ask.group.partition(" ")
        words = {"name": name(int(au)), "side": side}
    template, question = asked(ask.task, rng, **words)
    return Draft(ask.task, template, [(question, ask.outcome)], ask.outcome, ask.group)


def _contrast_draft(facts: ClipFacts, ask: Ask, rng: np.random.Generator) -> Draft:
    pair = [int(number) for number in ask.group.split("-")]
    seen = int(ask.outcome)
    other = pair[1 - pair.index(seen)]
    first, second = pair if rng.random() < 0.5 else pair[::-1]
    template, question = _ask(
        "contrast", rng, first=first, first_name=name(first), second=second, second_name=name(second)
    )
    answer = wording.contrast_answer(facts, seen, other)
    return Draft("contrast", template, [(question, answer)], str(seen), ask.group)


def _open(facts: ClipFacts, rng: np.random.Generator) -> Iterator[Draft]:
    template, question = _ask("description", rng)
    yield Draft("description", template, [(question, wording.description(facts))], "")
    if facts.labels is not None:
        template, question = _ask("blink", rng)
        blink = max(facts.supports.get(au, 0.0) for au in (43, 45)) >= BLINK_SUPPORT
        others = any(row.au not in (43, 45) for row in facts.supported)
        choice = "more" if others else "blink" if blink else "none"
        yield Draft("blink", template, [(question, wording.blink_answer(facts, blink))], choice)
    if asks_whole_answer(facts, rng):
        template, question = _ask("answer", rng)
        yield Draft(
            "answer", template, [(question, wording.full_text(facts))], facts.fine or facts.coarse or ""
        )


def _multi(facts: ClipFacts, rng: np.random.Generator) -> Iterator[Draft]:
    label = facts.coarse or facts.fine
    if label is None:
        return
    task = "coarse" if facts.coarse else "fine"
    template, question = _ask(task, rng)
    why, last = _ask("why", rng), _ask("follow_up", rng)
    turns = [(question, wording.class_sentence(facts, label, rng)), (why[1], wording.why_answer(facts))]
    templates = [template, why[0]]
    if facts.labels is not None:  # what no coder said is no evidence, nor its lack
        turns.append((last[1], wording.full_text(facts)))
        templates.append(last[0])
    yield Draft("multi_turn", "+".join(templates), turns, label)


def _refusal(facts: ClipFacts, rng: np.random.Generator) -> Iterator[Draft]:
    if rng.random() >= REFUSAL_SHARE:
        return
    number = int(rng.integers(len(REFUSALS)))
    question, topic = REFUSALS[number]
    place, text = pick(REFUSAL_ANSWERS, rng)
    answer = sentence(text.format(topic=topic, known=wording.known(facts)))
    yield Draft("refusal", f"refusal/{number}/{place}", [(question, answer)], "refused")


def _not_seen(facts: ClipFacts, rng: np.random.Generator) -> Iterator[Draft]:
    if rng.random() < NOT_SEEN_SHARE:
        template, question = _ask("not_seen", rng)
        yield Draft("not_seen", template, [(question, wording.not_seen_answer(facts))], "")
