"""ME-VQA scores (MEGC2025): UF1/UAR of coarse and fine answers, BLEU and ROUGE-1, by question type.

BLEU and ROUGE differ between public scorers, so both common variants are given
under their own names: corpus BLEU-4 and mean smoothed sentence BLEU (sacrebleu),
ROUGE-1 F1 and ROUGE-1 recall with stemming (rouge-score).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

from deft_llm.errors import DeftError
from deft_llm.evaluation.classes import class_scores
from deft_llm.facs.emotions import FINE, fine_word
from deft_llm.facs.regions import FOLDS
from deft_llm.facs.units import ENTRIES, number_of
from deft_llm.records import COARSE

FINE_WORDS = (*FINE, "other")

NUMBERS = (
    "none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
"""How a number of Action Units is said; ``number_word`` for any number."""

# Spellings of the organisers' files beside the FACS names.
VARIANTS = {
    "nostril dilater": 38,
    "nostril compress": 39,
    "lip puckerer": 18,
    "lips suck": 28,
    "tilt left": 55,
    "tilt right": 56,
    "eyes left": 61,
    "eyes right": 62,
}
_OPEN = re.compile(
    r"\b(held|released?|lets? go|neither|both sides)\b|\bwhich side.*\bif\b|\bthe subject's sides\b|\bwhere\?"
)
"""Questions about one unit that a yes or a side does not answer: what becomes of it, where if anywhere."""
_STATE = re.compile(r"\bbefore (it|anything|the movement) (moves|begins)\b|\bat (the )?onset already\b")
_TURN = re.compile(
    r"\b(face|head)\b.*\b(turned|look|looks|looking|stand|stands)\b.*"
    r"\b(to (its|the|his|her) (left|right)|straight)\b"
    r"|\b(left|right)\b.*\bstraight\b.*\b(face|head) turned\b"
    r"|^(how|which way|where) is (the|its|his|her) (face|head) (turned|facing|pointing)\b"
)  # fmt: skip
"""Questions about how the head stands ..."""
_FOLD = re.compile(
    r"(do|does|is|are|can|has|have)\b.*\b(folds?|lines|wrinkles|feet|dimples?)\b.*\bdeep(en|ens|ened|er)\b"
)  # fmt: skip
"""... and about folds of the skin, of both sides."""
_MOST = re.compile(
    r"\bmoves? most\b|\b(motion|movement) is (the )?largest\b|\bis (the )?(motion|movement) largest\b"
    r"|\blargest (motion|movement)\b"
)
_BACK = re.compile(
    r"^(does|has|after the apex, does) (the )?(movement|face|skin|what moved|expression)\b.*"
    r"\b(go|gone) back\b"
)
"""Questions about the movement as a whole: where it is largest, and whether it goes back."""
_ASKED = ("AU", "AD", "head", "eye")  # kinds of codes that questions name


class Reply(NamedTuple):
    """One scored answer: the clip, the question's text, what was answered and what is true."""

    clip_id: str
    question: str
    answer: str | None
    truth: str


def question_kind(text: str) -> str:
    """Type of a question: ME-VQA's coarse, fine, aus, au_present, au_side and combined; on_side (is a unit on
    that side?), count, state (what is held at the onset), au_held (is a unit held there?), phase (rise,
    release or transition), turn (of the face at the onset), fold (does a skin fold deepen?), most (which part
    moves most), back (does the movement go back?), answer (class, evidence and rationale); or other.
    """
    words = text.lower()
    unit = asked_unit(words)
    if re.search(r"\brises?\b.*\breleased?\b", words):
        return "phase"
    if unit is None and _TURN.search(words):
        return "turn"
    if _STATE.search(words):
        return "state" if unit is None else "au_held"
    sides = set(re.findall(r"\b(left|right)\b", _without_names(words)))
    if _FOLD.match(words) and not sides:
        return "fold"
    if unit is None and not sides and "unit" not in words and (_MOST.search(words) or _BACK.search(words)):
        return "most" if _MOST.search(words) else "back"
    if "evidence" in words and ("rationale" in words or "class" in words):
        return "answer"
    if re.search(r"\bunits?\b", words) and "fine" in words:
        return "combined"
    if unit is not None and _OPEN.search(words):
        return "other"
    if len(sides) == 2 or re.search(r"\bwhich side\b", words) or ("located on" in words and not sides):
        return "au_side"
    if unit is not None or re.search(r"is the action unit .+ (shown|present|visible)", words):
        return "on_side" if sides else "au_present"
    if re.search(r"\b(how many|count|number of)\b.*\b(units?|aus)\b", words):
        return "count"
    if re.search(r"\baction units?\b|\baus\b", words):
        return "aus"
    if "fine" in words:
        return "fine"
    return "coarse" if "coarse" in words else "other"


def number_word(count: int) -> str:
    """How a number of Action Units is said: in words up to twelve, in digits beyond."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def asked_fold(question: str) -> str | None:
    """The skin fold (``facs.regions.FOLDS``) that a question names; None for none."""
    words = question.lower()
    return next((fold for fold, told in FOLDS.items() if fold in words or told in words), None)


def asked_unit(question: str) -> int | None:
    """The one Action Unit that a question names, by its number or its name; None for none or several."""
    words = question.lower()
    found = {int(number) for number in re.findall(r"\bau ?(\d{1,2})\b", words)}
    found |= {number for label, number in _unit_names().items() if re.search(rf"\b{label}\b", words)}
    return found.pop() if len(found) == 1 else None


def _without_names(words: str) -> str:
    """A question without the names of codes, some of which hold a side ("head tilt right")."""
    for label in sorted(_unit_names(), key=len, reverse=True):
        words = re.sub(rf"\b{label}\b", "", words)
    return words


@lru_cache(maxsize=1)
def _unit_names() -> dict[str, int]:
    units = {entry.name: number for number, entry in ENTRIES.items() if number and entry.kind in _ASKED}
    return {re.escape(label): number for label, number in (units | VARIANTS).items()}


def asks_for_one(question: str) -> bool:
    """Whether a question asks for one Action Unit: ME-VQA has the singular exactly where one was coded."""
    words = question.lower()
    return not re.search(r"\bunits\b|\baus\b|\bany\b|\bevery\b|\ball\b", words)


def named_class(answer: str | None, classes: Collection[str]) -> str | None:
    """The one class that an answer names; None where it names none or several."""
    if not answer:
        return None
    text = answer.lower()
    found = {name for name in classes if re.search(rf"\b{re.escape(name)}\b", text)}
    return found.pop() if len(found) == 1 else None


def named_fine(answer: str | None, words: Collection[str] = FINE_WORDS) -> str | None:
    """The one fine class that an answer names by one of ``words``, of several words for a class ("other",
    "others") the label of ``facs.emotions.FINE``; None where it names none or several.
    """
    name = named_class(answer, words)
    return None if name is None else fine_word(name) or name


def named_units(answer: str | None) -> tuple[set[int], list[str]]:
    """AUs of a comma-separated answer (names or "AU4"), and the words that name none."""

    found: set[int] = set()
    unmapped: list[str] = []
    for part in re.split(r",|;|\band\b", (answer or "").strip(" .")):
        name = part.strip(" .").lower()
        if not name or name == "none":
            continue
        code = re.fullmatch(r"(?:au)?\s*(\d{1,2})", name)
        number = int(code.group(1)) if code else _number(number_of, name)
        if number is None:
            unmapped.append(name)
        else:
            found.add(number)
    return found, unmapped


def _number(number_of: Any, name: str) -> int | None:
    try:
        return VARIANTS.get(name) or number_of(name)
    except (KeyError, ValueError, DeftError):
        return None


def combined_parts(answer: str | None) -> dict[str, Any]:
    """AUs, fine and coarse class of "The action units present are: ... Therefore, the fine-grained ..."."""
    text = answer or ""
    aus = re.search(r"(?:is|are)\s*:?\s*(.*?)\s*\.?\s*therefore", text, re.I | re.S)
    fine = re.search(r"fine-grained expression class is\s+(\w+)", text, re.I)
    coarse = re.search(r"coarse expression class is\s+(\w+)", text, re.I)
    return {
        "aus": named_units(aus.group(1))[0] if aus else None,
        "fine": (fine_word(fine.group(1)) or fine.group(1).lower()) if fine else None,
        "coarse": coarse.group(1).lower() if coarse else None,
    }


def text_scores(answers: Sequence[str], truths: Sequence[str]) -> dict[str, float]:
    """BLEU (0..1) and ROUGE-1 of answers against one reference each."""
    from rouge_score import rouge_scorer
    from sacrebleu.metrics import BLEU

    answers = [a.lower().strip() for a in answers]
    truths = [t.lower().strip() for t in truths]
    smoothed = BLEU(effective_order=True, smooth_method="add-k", smooth_value=1)
    sentence = [smoothed.sentence_score(a, [t]).score / 100 for a, t in zip(answers, truths)]
    rouge = rouge_scorer.RougeScorer(["rouge1"], use_stemmer=True)
    scores = [rouge.score(t, a)["rouge1"] for a, t in zip(answers, truths)]
    return {
        "bleu_corpus": BLEU(effective_order=True).corpus_score(answers, [truths]).score / 100,
        "bleu_sentence": sum(sentence) / len(sentence),
        "rouge1_f1": sum(s.fmeasure for s in scores) / len(scores),
        "rouge1_recall": sum(s.recall for s in scores) / len(scores),
        "exact": sum(a == t for a, t in zip(answers, truths)) / len(answers),
    }


def question_scores(replies: Sequence[Reply]) -> dict[str, Any]:
    """All ME-VQA figures; an answer that names no class is wrong and counted under ``unparsed``."""
    by_kind: dict[str, list[Reply]] = defaultdict(list)
    for reply in replies:
        by_kind[question_kind(reply.question)].append(reply)
    result: dict[str, Any] = {"questions": len(replies), "by_kind": {}}
    for kind, rows in sorted(by_kind.items()):
        figures: dict[str, Any] = {"questions": len(rows)}
        figures |= text_scores([r.answer or "" for r in rows], [r.truth for r in rows])
        figures |= _kind_scores(kind, rows)
        result["by_kind"][kind] = figures
    result |= text_scores([r.answer or "" for r in replies], [r.truth for r in replies]) if replies else {}
    for kind in ("coarse", "fine"):
        for name in ("uf1", "uar"):
            result[f"{name}_{kind}"] = result["by_kind"].get(kind, {}).get(name)
    result["single_and_combined_agree"] = _agreement(by_kind)
    return result


def _kind_scores(kind: str, rows: Sequence[Reply]) -> dict[str, Any]:
    if kind in ("coarse", "fine"):
        fines = {*FINE_WORDS, *(r.truth.lower().strip(" .") for r in rows)}
        named = partial(named_class, classes=COARSE) if kind == "coarse" else partial(named_fine, words=fines)
        truths = [named(r.truth) or r.truth for r in rows]
        answers = [named(r.answer) for r in rows]
        classes = COARSE if kind == "coarse" else tuple(sorted(set(truths)))
        return {**class_scores(truths, answers, classes), "unparsed": sum(a is None for a in answers)}
    if kind == "aus":
        return _unit_set_scores(rows)
    if kind in ("au_present", "au_side"):
        words = ("yes", "no") if kind == "au_present" else ("left", "right", "both")
        truths = [named_class(r.truth, words) or r.truth for r in rows]
        answers = [named_class(r.answer, words) for r in rows]
        return {
            **class_scores(truths, answers, tuple(sorted(set(truths)))),
            "unparsed": sum(a is None for a in answers),
        }
    return {}


def _unit_set_scores(rows: Sequence[Reply]) -> dict[str, Any]:
    shared = answered = there = 0
    unmapped: list[str] = []
    for row in rows:
        truth, _ = named_units(row.truth)
        answer, strange = named_units(row.answer)
        unmapped += strange
        shared, answered, there = shared + len(truth & answer), answered + len(answer), there + len(truth)
    return {
        "au_precision": shared / answered if answered else 0.0,
        "au_recall": shared / there if there else 0.0,
        "au_f1": 2 * shared / (answered + there) if answered + there else 0.0,
        "unmapped_names": len(unmapped),
    }


def _agreement(by_kind: dict[str, list[Reply]]) -> dict[str, Any] | None:
    """Share of clips whose single answers say the same as the combined one, per part."""
    single = {
        kind: {r.clip_id: r.answer for r in by_kind.get(kind, ())} for kind in ("coarse", "fine", "aus")
    }
    counts = {kind: [0, 0] for kind in single}
    for reply in by_kind.get("combined", ()):
        parts = combined_parts(reply.answer)
        for kind, answers in single.items():
            if reply.clip_id not in answers:
                continue
            counts[kind][1] += 1
            alone: Any = (answers[reply.clip_id] or "").lower().strip(" .")
            if kind == "aus":
                alone = named_units(alone)[0]
            elif kind == "fine":
                alone = fine_word(alone) or alone
            counts[kind][0] += parts[kind] is not None and parts[kind] == alone
    return {kind: same / total for kind, (same, total) in counts.items() if total} or None
