"""Every question by the language model, each in its own short form, greedy, with the answer's probability.

The form of an answer is fixed, its content is not: yes or no, sides, numbers and classes are decided by the
likelihood of the options, all of a clip in one forward pass; lists of Action Units and (C, E, R) are
generated. Answers about one clip agree: coarse and fine class are decided together, a list with what is said
of each of its units, both with the heads' beliefs, as the phase is, and a fold of the skin with the texture
expert's (``weighing``); the combined answer and (C, E, R) are given with the class and the list that the
single questions get, and a rationale that says something else than its evidence is drafted again and, where
that does not help, held to it. Sides are those of the readout: its experts tell them better than the language
model does (docs/results/model.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from torch import Tensor

from deft_llm.answer import DECLINED, AnswerError, parse
from deft_llm.aus.support import measure_support
from deft_llm.claims import refusal_of
from deft_llm.evaluation.questions import (
    NUMBERS,
    asked_fold,
    asked_unit,
    asks_for_one,
    named_units,
    question_kind,
)
from deft_llm.facs.emotions import FINE
from deft_llm.facs.regions import FOLDS, REGION_KEYS, REGION_NAMES
from deft_llm.facs.units import name
from deft_llm.model.beliefs import BELIEFS, Beliefs
from deft_llm.model.decoding import ANSWER_TOKENS, answer_grammar, generate_constrained
from deft_llm.model.heads import au_probabilities, seen_sides
from deft_llm.model.language import EXPERTS, FACE_EXPERTS
from deft_llm.model.packing import Turn
from deft_llm.model.readout import PHASES
from deft_llm.model.units import AU_INDEX, EXPERT_AUS
from deft_llm.model.weighing import (
    ClassTaken,
    class_of,
    option_chances,
    weighed,
    weighed_lists,
)
from deft_llm.rationale import agreeing_grammar, agrees
from deft_llm.records import COARSE, AnsweredBy, AUSide, Turned
from deft_llm.store import Motion

if TYPE_CHECKING:
    from deft_llm.model.deft import DeftModel
    from deft_llm.model.readout import Readout

COARSE_QUESTION = "What is the coarse expression class?"
FINE_QUESTION = "What is the fine-grained expression class?"
AUS_QUESTION = "What are the action units?"
AU_QUESTION = "What is the action unit?"
ANY_AUS_QUESTION = "Which action units are shown on the face, if any?"
COMBINED_ANSWER = (
    "The action {units}: {aus}. Therefore, the fine-grained expression class is {fine}, and the coarse "
    "expression class is {coarse}."
)
OPTIONS: dict[str, tuple[str, ...]] = {
    "coarse": COARSE,
    "fine": FINE,
    "au_present": ("yes", "no"),
    "on_side": ("yes", "no"),
    "au_held": ("yes", "no"),
    "au_side": ("left", "right"),
    "count": NUMBERS,
    "phase": PHASES,
    "turn": get_args(Turned),
    "fold": ("yes", "no"),
    "most": REGION_NAMES,
    "back": ("yes", "no"),
}
NEEDS_CLASS = ("coarse", "fine", "combined", "answer")
NEEDS_SIDES = ("au_side", "answer")
NEEDS_ONSET = ("state", "au_held", "phase", "turn")
ONSET_UNSEEN = "This clip has no picture of the face before it moves, so what it shows there cannot be told."
SKIN_UNSEEN = "This clip has no pictures of the face, so whether a fold of its skin deepens cannot be told."
FOLDS_UNREAD = "Whether a skin fold deepens is not read: no expert has learned to see it."
END_UNSEEN = "This clip has no measured way back, so what becomes of the movement cannot be told."
SINCE_REGIONS = ("turn", "most", "back")
"""Kinds of question that checkpoints have learned since the regions that move stand in the prompt."""
UNLEARNED = "This is not read: the checkpoint has not learned to tell it."
WRITE_BATCH = 16
DRAFTS, WARMTH = 6, 0.7
"""How often a rationale is drafted again that does not agree with its evidence, and at which temperature."""
DECLINES = tuple(text.split("{topic}")[0] for text in DECLINED)
"""How an answer begins that declines."""
FREE = "start: /[ -~]{1,240}/\n"
"""Any line of plain text, for questions that have no form of their own."""


@dataclass
class Reply:
    """One answer: its text, the product of its tokens' probabilities within its form, those of all options
    where there are some, and by what it was given."""

    kind: str
    text: str
    probability: float
    options: dict[str, float] = field(default_factory=dict)
    answered_by: AnsweredBy = "language"


Key = tuple[int, str]
"""A clip's number, and a question's text."""


def ask(
    model: DeftModel, readout: Readout, questions: Sequence[Sequence[str]],
    fines: Sequence[str] | None = None, drop: Sequence[str] = (),
) -> list[list[Reply]]:  # fmt: skip
    """Answers to the questions on each clip of a readout, in their order.

    ``fines`` narrows the fine classes to a task's labels; ``drop`` names experts, or "beliefs", that are left
    out of the prompt.
    """
    with torch.inference_mode():
        told = BELIEFS not in drop and BELIEFS in model.config.conditioned_on
        believed = Beliefs.of(readout, model.calibration) if told else None
        prompts = model.prompts(readout, drop, believed)
        kinds = [[question_kind(text) for text in row] for row in questions]
        scored = [
            option_chances(model, prompt, _turns(texts, names, tuple(fines or FINE)))
            for prompt, texts, names in zip(prompts, questions, kinds, strict=True)
        ]
        classes = [class_of(found, believed, clip) for clip, found in enumerate(scored)]
        chances: np.ndarray | None = None
        if BELIEFS not in drop and any(kind in NEEDS_SIDES for row in kinds for kind in row):
            chances = au_probabilities(readout, model.calibration)
        sides = [{} for _ in prompts] if chances is None else seen_sides(chances)
        generated = _generated(model, prompts, questions, kinds, classes, sides, believed)
    # An expert that is left out to see what it is worth is no reason to decline.
    onset_seen, skin_seen = (
        (readout.saw[:, EXPERTS.index(name)].bool() | (name in drop)).tolist() for name in FACE_EXPERTS
    )
    end_seen = [False] * len(prompts) if readout.regions is None else (
        readout.regions[:, 1].isfinite().flatten(1).any(1).tolist()
    )  # fmt: skip
    replies: list[list[Reply]] = []
    for clip, texts in enumerate(questions):
        row: list[Reply] = []
        for text, kind in zip(texts, kinds[clip], strict=True):
            taken = classes[clip]
            if kind in NEEDS_ONSET and not onset_seen[clip]:
                row.append(Reply(kind, ONSET_UNSEEN, 1.0, answered_by="declined"))
            elif kind == "fold" and model.folds is None:
                row.append(Reply(kind, FOLDS_UNREAD, 1.0, answered_by="declined"))
            elif kind == "fold" and not skin_seen[clip]:
                row.append(Reply(kind, SKIN_UNSEEN, 1.0, answered_by="declined"))
            elif kind in SINCE_REGIONS and model.config.prompt_version < 3:
                row.append(Reply(kind, UNLEARNED, 1.0, answered_by="declined"))
            elif kind == "back" and not end_seen[clip]:
                row.append(Reply(kind, END_UNSEEN, 1.0, answered_by="declined"))
            elif kind in ("coarse", "fine") and taken is not None:
                row.append(_likeliest(kind, taken.chances[kind], getattr(taken, kind)))
            elif kind == "au_side" and chances is not None and (unit := asked_unit(text)) in AU_INDEX:
                row.append(_side(chances[clip, AU_INDEX[unit]]))
            elif kind in OPTIONS:
                by_words, by_experts = scored[clip][text], None
                if kind == "fold" and "texture" not in drop:
                    by_experts = _fold_believed(text, readout, clip)
                elif kind == "phase":
                    by_experts = _phase_believed(believed, clip)
                row.append(_likeliest(kind, weighed(by_words, by_experts) if by_experts else by_words))
            elif kind == "combined" and taken is not None:
                row.append(_combined(text, generated[clip, _list_question(text)], taken))
            else:
                reply = replace(generated[clip, text], kind=kind)
                declined = kind == "other" and reply.text.startswith(DECLINES)
                row.append(replace(reply, answered_by="declined") if declined else reply)
        replies.append(row)
    return replies


FIGURES = re.compile(
    r"\bhow (far|large|big|much|long|fast)\b|\bwhen\b|\bduration\b|\b(px|pixels?|seconds?|milliseconds?)\b"
    r"|\b(which|what) frames?\b",
    re.IGNORECASE,
)
"""Questions about figures and times, which are measured and not written ..."""
MEASURED = re.compile(
    r"\bmov(e|es|ed|ing|ement|ements)\b|\bmotions?\b|\bskin\b|\bonset\b|\bapex\b|\boffset\b|\bpeaks?\b|\bclip\b"
    r"|\bframes?\b|\bexpression\b|\brises?\b|\breleased?\b|\b(brow|lid|eye|nose|cheek|lip|mouth|chin|forehead)s?\b",
    re.IGNORECASE,
)
"""... where they are about the movement, or name a unit; a face has no other times and sizes."""


def measured_reply(question: str, motion: Motion | None) -> Reply | None:
    """The answer to a question about figures or times, from the measurement; None for other questions, or
    without a measured clip."""
    if motion is None or refusal_of(question) or not FIGURES.search(question):
        return None
    if question_kind(question) not in ("other", "au_present"):
        return None
    if asked_unit(question) is None and not MEASURED.search(question):
        return None
    if re.search(r"\bwhen\b|\bhow (long|fast)\b|duration|seconds?\b|frames?\b", question, re.IGNORECASE):
        text = _times(motion)
    elif motion.units != "px":
        text = "This map has no scale: no size can be given."
    else:
        text = _size(asked_unit(question), motion)
    return Reply("measured", text, 1.0, answered_by="measurement")


def _times(motion: Motion) -> str:
    if motion.indices is None or not motion.fps:
        return "The frames of this clip have no times."
    onset, apex, offset = motion.indices
    rise = (
        f"Onset frame {onset}, apex frame {apex}, {1000 * (apex - onset) / motion.fps:.0f} ms from one to the"
    )
    fall = f"; offset frame {offset}, {1000 * (offset - apex) / motion.fps:.0f} ms later" if offset else ""
    return f"{rise} other{fall}."


def _size(unit: int | None, motion: Motion) -> str:
    """How far an Action Unit, or else the region that stands out most, moves the skin."""
    if unit is not None:
        found = [
            one for one in measure_support(motion) if one.au == unit and one.judged and one.px is not None
        ]
        if not found:
            return f"The motion of AU{unit} could not be measured."
        return (
            f"AU{unit}: the {found[0].region} moves {found[0].px:.1f} px ({found[0].iod_percent:.1f} % IOD)."
        )
    table = motion.regions
    row = int(np.nanargmax(table.z[0]))
    return f"The {REGION_KEYS[row]} moves {table.px[0, row]:.1f} px ({table.iod_percent[0, row]:.1f} % IOD)."


def _side(chances: np.ndarray) -> Reply:
    """The side on which the experts see an Action Unit; chances (2,): left and right, the subject's own."""
    left = float(chances[0] / max(float(chances.sum()), 1e-12))
    options = {"left": left, "right": 1.0 - left}
    return replace(_likeliest("au_side", options), answered_by="experts")


def _fold_believed(question: str, readout: Readout, clip: int) -> dict[str, float] | None:
    """Probabilities of yes and no to the fold which is asked about, as the texture expert sees it; None where
    it did not see the clip, or the question names no fold that it knows."""
    fold = asked_fold(question)
    if fold is None or readout.folds is None or not readout.saw[clip, EXPERTS.index("texture")]:
        return None
    deepens = float(readout.folds[clip, list(FOLDS).index(fold)].detach().sigmoid())
    return {"yes": deepens, "no": 1.0 - deepens}


def _phase_believed(believed: Beliefs | None, clip: int) -> dict[str, float] | None:
    """Probabilities of ``PHASES`` as the heads tell them; None where they do not."""
    phase = None if believed is None or believed.phase is None else believed.phase[clip]
    if phase is None or not bool(phase.isfinite().all()):
        return None
    return dict(zip(PHASES, phase.tolist(), strict=True))


def _likeliest(kind: str, chances: dict[str, float], taken: str = "") -> Reply:
    """The likeliest option, or the one that was ``taken``."""
    best = taken or max(chances, key=lambda word: chances[word])
    return Reply(kind, best, chances[best], chances)


def _turns(texts: Sequence[str], kinds: Sequence[str], fines: tuple[str, ...]) -> dict[str, Turn]:
    """Questions that are answered by one of their options: class questions under their kind, in the words of
    the first that was asked, others under their text."""
    turns: dict[str, Turn] = {}
    if set(kinds) & set(NEEDS_CLASS):
        for kind, options, own in (("coarse", COARSE, COARSE_QUESTION), ("fine", fines, FINE_QUESTION)):
            turns[kind] = Turn(next((t for t, k in zip(texts, kinds) if k == kind), own), options)
    singles = {t: Turn(t, OPTIONS[k]) for t, k in zip(texts, kinds) if k in OPTIONS}
    return turns | {t: turn for t, turn in singles.items() if question_kind(t) not in ("coarse", "fine")}


def _generated(
    model: DeftModel, prompts: Sequence[Tensor], questions: Sequence[Sequence[str]],
    kinds: Sequence[Sequence[str]], classes: Sequence[ClassTaken | None],
    sides: Sequence[dict[int, AUSide]], believed: Beliefs | None,
) -> dict[Key, Reply]:  # fmt: skip
    """Answers that are written out: lists of units (for combined answers too), free ones, and (C, E, R) with
    the class and the list of units that the single questions get. Lists are weighed with what is ``believed``
    of their units."""
    grammars: dict[Key, str] = {}
    lists: dict[int, list[str]] = {}
    whole: dict[Key, Key] = {}
    for clip, texts in enumerate(questions):
        listing = [text if kind == "aus" else _list_question(text)
                   for text, kind in zip(texts, kinds[clip]) if kind in ("aus", "combined")]  # fmt: skip
        own = listing[0] if listing else ANY_AUS_QUESTION
        if "answer" in kinds[clip]:
            listing.append(own)
        for text, kind in zip(texts, kinds[clip], strict=True):
            if kind == "answer":
                whole[clip, text] = clip, own
            elif kind in ("state", "other"):
                grammars[clip, text] = list_grammar() if kind == "state" else FREE
        if listing:
            lists[clip] = listing
        grammars |= {(clip, text): list_grammar() for text in listing}
    found = _written(model, prompts, grammars)
    if believed is not None:
        for clip, asked in lists.items():
            written = {text: found[clip, text].text for text in asked}
            likely = believed.au[clip].amax(-1).cpu().numpy()
            taken_lists = weighed_lists(model, prompts[clip], written, likely)
            found |= {(clip, text): Reply("", *given) for text, given in taken_lists.items()}
    full: dict[Key, str] = {}
    for key, listed in whole.items():
        if (taken := classes[key[0]]) is not None:
            units = named_units(found[listed].text)[0]
            full[key] = answer_grammar(fines=[taken.fine], aus=units, once=True, every=True,
                                       sides=sides[key[0]], open_class=False)  # fmt: skip
    return found | _consistent(model, prompts, full)


def _consistent(model: DeftModel, prompts: Sequence[Tensor], grammars: dict[Key, str]) -> dict[Key, Reply]:
    """(C, E, R) of each grammar: the likeliest text, or the first draft of its rationale that says what its
    evidence says; where none of them does, the likeliest of all rationales that do (``agreeing_grammar``)."""
    found = _written(model, prompts, grammars)
    left = [key for key, reply in found.items() if not _agrees(reply.text)]
    for draft in range(1, DRAFTS + 1):
        if not left:
            break
        again = _written(model, prompts, {key: grammars[key] for key in left}, draft)
        good = {key: reply for key, reply in again.items() if _agrees(reply.text)}
        found |= good
        left = [key for key in left if key not in good]
    bound = {}
    for key in left:
        with suppress(AnswerError):
            bound[key] = agreeing_grammar(parse(found[key].text))
    return found | _written(model, prompts, bound)


def _agrees(text: str) -> bool:
    """Whether class, evidence and rationale of a text say the same."""
    try:
        return agrees(parse(text))
    except AnswerError:
        return False


def _written(
    model: DeftModel, prompts: Sequence[Tensor], grammars: dict[Key, str], draft: int = 0
) -> dict[Key, Reply]:
    """One text per grammar, ``WRITE_BATCH`` at a time: the likeliest, or a ``draft`` by its number."""
    found: dict[Key, Reply] = {}
    for start in range(0, len(grammars), WRITE_BATCH):
        keys = list(grammars)[start : start + WRITE_BATCH]
        embeds, mask = model.with_questions([prompts[clip] for clip, _ in keys], [text for _, text in keys])
        choose = (
            GreedyWithProbability(len(keys))
            if not draft
            else DraftedRationale(len(keys), model.tokenizer, draft)
        )
        texts = generate_constrained(
            model.llm, model.tokenizer, [grammars[key] for key in keys], inputs_embeds=embeds,
            attention_mask=mask, max_new_tokens=ANSWER_TOKENS, choose=choose,
        )  # fmt: skip
        chances = choose.total.exp().tolist()
        found |= {key: Reply("", text, p) for key, text, p in zip(keys, texts, chances, strict=True)}
    return found


class GreedyWithProbability:
    """Takes the likeliest token of each row; ``total`` (B,) sums its log probability among the tokens that
    the form allows."""

    def __init__(self, rows: int) -> None:
        self.total = torch.zeros(rows)

    def __call__(self, logits: Tensor, tokens: list[list[int]]) -> Tensor:
        """logits (B, V), -inf where the form forbids a token; rows that have ended forbid none."""
        chances = logits.log_softmax(-1)
        chosen = self.chosen(chances, tokens)
        told = chances.gather(-1, chosen[:, None])[:, 0]
        self.total += torch.where(torch.isinf(logits).any(-1), told, 0.0).cpu()
        return chosen

    def chosen(self, chances: Tensor, tokens: list[list[int]]) -> Tensor:
        """(B,) token ids by their log probabilities (B, V) and what is written already."""
        del tokens
        return chances.argmax(-1)


class DraftedRationale(GreedyWithProbability):
    """The likeliest token up to the rationale, whose own tokens are drawn at ``WARMTH``; the same ``draft``
    is the same text."""

    def __init__(self, rows: int, tokenizer: Any, draft: int) -> None:
        super().__init__(rows)
        self.tokenizer, self.begun = tokenizer, [False] * rows
        self.generators = [torch.Generator().manual_seed(draft) for _ in range(rows)]

    def chosen(self, chances: Tensor, tokens: list[list[int]]) -> Tensor:
        """(B,) token ids by their log probabilities (B, V), of a rationale that has begun a drawn one."""
        best = super().chosen(chances, tokens)
        for row, written in enumerate(tokens):
            self.begun[row] = self.begun[row] or "Rationale:" in self.tokenizer.decode(written)
            if self.begun[row]:
                shares = (chances[row] / WARMTH).softmax(-1).cpu()
                best[row] = torch.multinomial(shares, 1, generator=self.generators[row])[0]
        return best


def _list_question(combined: str) -> str:
    """The question for the list alone in the number of a combined one."""
    return AU_QUESTION if asks_for_one(combined) else AUS_QUESTION


def _combined(text: str, listed: Reply, taken: ClassTaken) -> Reply:
    """Units, fine and coarse class in the organisers' sentence."""
    one = "," not in listed.text and asks_for_one(text)
    answer = COMBINED_ANSWER.format(
        units="unit present is" if one else "units present are", aus=listed.text, fine=taken.fine,
        coarse=taken.coarse,
    )  # fmt: skip
    return Reply("combined", answer, listed.probability * taken.chances["fine"][taken.fine])


@lru_cache(maxsize=1)
def list_grammar() -> str:
    """Names of Action Units in the order of their numbers, each once, or none; which ones is left open."""
    names = [name(number) for number in EXPERT_AUS]
    rules = ['start: "none" | ' + " | ".join(f"from{place}" for place in range(len(names)))]
    for place, label in enumerate(names):
        later = " | ".join(f"from{after}" for after in range(place + 1, len(names)))
        rules.append(f'from{place}: "{label}"' + (f' (", " ({later}))?' if later else ""))
    return "\n".join(rules) + "\n"
