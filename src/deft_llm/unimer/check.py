"""Measures what goes wrong in instruction data: leaks in questions, imbalance, duplicates, contradictions.

Every check streams over the rows; ``check`` prints what each one found. The leaks are those of published
ME-VQA data: answers told by the order or grammar of questions, label words, imbalance, presupposed facts.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deft_llm.errors import printable
from deft_llm.facs.emotions import FINE
from deft_llm.records import COARSE, Instruction
from deft_llm.unimer.readback import faults, outcome
from deft_llm.unimer.rows import AU_CODE, AU_NAME, asked_unit, texts

EXAMPLES = 5  # of a fault that are shown
ORDER_LIMIT = 0.8
MINIMUM = 12  # rows below which a share says nothing
BALANCE = (0.3, 0.7)
MARGIN = 0.08  # above the majority a question-only model may be by chance and balance
FOLDS = 5
MOST_ROWS = 4000
MINIMUM_ROWS = 30


class Finding(BaseModel):
    """One kind of fault: how many, and the first few."""

    model_config = ConfigDict(extra="forbid")
    kind: str
    count: int
    examples: list[str]


class CheckReport(BaseModel):
    """What a build's check found; ``ok`` where nothing did."""

    model_config = ConfigDict(extra="forbid")
    rows: int
    findings: list[Finding]
    question_only: list[dict[str, Any]] = Field(description="per task: majority and question-only accuracy")

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


class _Faults:
    """Faults by kind: how many, and the first examples."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, example: str, count: int = 1) -> None:
        self.count[kind] += count
        if len(self.examples[kind]) < EXAMPLES:
            self.examples[kind].append(printable(example))

    def findings(self) -> list[Finding]:
        return [
            Finding(kind=kind, count=count, examples=self.examples[kind])
            for kind, count in sorted(self.count.items())
        ]


def check(
    rows: Callable[[], Iterable[Instruction]],
    *,
    splits: dict[str, set[str]] | None = None,
    media_root: Path | None = None,
) -> CheckReport:
    """Check a data set; ``rows`` gives a fresh stream, ``splits`` maps a split to its subjects.

    ``media_root``: where media files are looked for (not looked for where absent).
    """
    found = _Faults()
    order, grammar = _OrderLeak(), _GrammarLeak()
    balance: dict[str, Counter[str]] = defaultdict(Counter)
    seen: dict[bytes, str] = {}
    ids: set[bytes] = set()
    count = 0
    for row in rows():
        count += 1
        if not texts(row, "assistant"):
            found.add("question without an answer", row.id)
            continue
        _row_faults(row, found, media_root)
        _duplicates(row, seen, ids, found)
        order.add(row)
        grammar.add(row)
        if row.task == "au":
            balance[str(asked_unit(row) or "?")][_yes_no(row)] += 1
    order.report(found)
    grammar.report(found)
    for au, answers in sorted(balance.items()):
        share = answers["yes"] / max(answers.total(), 1)
        if answers.total() >= MINIMUM and not BALANCE[0] <= share <= BALANCE[1]:
            found.add("yes/no imbalance", f"AU{au}: {answers['yes']} of {answers.total()} answers are yes")
    _shared_subjects(splits or {}, found)
    blind = question_only(rows)
    for line in blind:
        if line["leaks"]:
            found.add(
                "question tells the answer",
                f"{line['task']}: question-only model {line['accuracy']:.2f}, "
                f"majority {line['majority']:.2f}",
            )
    return CheckReport(rows=count, findings=found.findings(), question_only=blind)


_LABEL = re.compile(rf"\b({'|'.join([*FINE, *COARSE])})\b", re.IGNORECASE)
_NAMING = (
    "au", "side", "contrast", "blink", "release", "vqa_au_present", "vqa_au_side", "vqa_on_side", "vqa_held",
)  # fmt: skip


def _row_faults(row: Instruction, found: _Faults, media_root: Path | None) -> None:
    for fault in faults(row):
        kind = "evidence contradicts its text" if fault.startswith("AU") else "answer does not parse back"
        found.add(kind, f"{row.id}: {fault}")
    for question in texts(row, "user"):
        if _LABEL.search(question) and row.task != "refusal":
            found.add("label word in the question", f"{row.id}: {question}")
        if row.task not in _NAMING and (AU_CODE.search(question) or AU_NAME.search(question)):
            found.add("Action Unit in the question", f"{row.id}: {question}")
    if row.task == "side" and row.source.get("choice") != "neither":
        question = texts(row, "user")[0]
        if not re.search(r"\b(if|any|neither|at all|anywhere)\b", question):
            found.add("side question presupposes the unit", f"{row.id}: {question}")
    places = [part for m in row.messages for part in m["content"] if part["type"] != "text"]
    if len(places) != len(row.media):
        found.add("media and their places differ", f"{row.id}: {len(places)} places, {len(row.media)} media")
    if media_root is not None:
        for media in row.media:
            if not (media_root / media.path).exists():
                found.add("media missing", str(media_root / media.path))


def _duplicates(row: Instruction, seen: dict[bytes, str], ids: set[bytes], found: _Faults) -> None:
    own = hashlib.blake2b(row.id.encode(), digest_size=8).digest()
    if own in ids:
        found.add("id is there twice", row.id)
    ids.add(own)
    said = "|".join(_plain(text) for text in (*texts(row, "user"), *texts(row, "assistant")))
    key = hashlib.blake2b(f"{row.clip_id}|{row.task}|{said}".encode(), digest_size=8).digest()
    if key in seen:
        found.add("near-duplicate", f"{row.id} and {seen[key]}")
    else:
        seen[key] = row.id.rsplit("#", 1)[-1]


def _plain(text: str) -> str:
    """A text without what near-duplicates differ in: case, numbers, punctuation."""
    return " ".join(re.findall(r"[a-z]+", re.sub(r"AU(\d+)", lambda m: "au" + "x" * int(m[1]), text).lower()))


def _yes_no(row: Instruction) -> str:
    answer = texts(row, "assistant")[0].strip().lower()
    return "yes" if answer.startswith("yes") else "no" if answer.startswith("no") else "other"


class _OrderLeak:
    """Yes/no questions of a clip whose place tells the answer."""

    def __init__(self) -> None:
        self.places: dict[int, Counter[str]] = defaultdict(Counter)
        self.last = ("", 0)

    def add(self, row: Instruction) -> None:
        if row.task != "au":
            return
        place = self.last[1] + 1 if row.clip_id == self.last[0] else 0
        self.last = (row.clip_id, place)
        self.places[place][_yes_no(row)] += 1

    def report(self, found: _Faults) -> None:
        shares = {place: n["yes"] / n.total() for place, n in self.places.items() if n.total() >= MINIMUM}
        if (
            len(shares) > 1
            and max(shares.values()) >= ORDER_LIMIT
            and min(shares.values()) <= 1 - ORDER_LIMIT
        ):
            said = ", ".join(
                f"question {place + 1}: {share:.0%} yes" for place, share in sorted(shares.items())
            )
            found.add("order tells the answer", said)


class _GrammarLeak:
    """Singular or plural wording that tells how many units there are."""

    def __init__(self) -> None:
        self.forms: dict[str, Counter[bool]] = defaultdict(Counter)

    def add(self, row: Instruction) -> None:
        if row.task != "aus" or row.target.aus is None:
            return
        question = texts(row, "user")[0].lower()
        plural = bool(re.search(r"action units|\bare\b|\bunits\b", question))
        self.forms["plural" if plural else "singular"][len(row.target.aus) > 1] += 1

    def report(self, found: _Faults) -> None:
        if len(self.forms) < 2:
            return
        rate = {form: n[True] / n.total() for form, n in self.forms.items()}
        total = sum(n.total() for n in self.forms.values())
        if (
            total >= MINIMUM
            and min(n.total() for n in self.forms.values()) >= 4
            and (abs(rate["plural"] - rate["singular"]) > 0.5)
        ):
            found.add(
                "grammar tells the number",
                f"several units: plural {rate['plural']:.0%}, singular {rate['singular']:.0%}",
            )


def _shared_subjects(splits: dict[str, set[str]], found: _Faults) -> None:
    names = sorted(splits)
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            shared = sorted(splits[first] & splits[second])
            if shared:
                found.add(
                    "subject in two splits", f"{first} and {second}: {', '.join(shared[:5])}", len(shared)
                )


# -- how far the question alone tells the answer ------------------------------------------------------------


def question_only(rows: Callable[[], Iterable[Instruction]]) -> list[dict[str, Any]]:
    """Per task: rows, share of the commonest answer, accuracy of the question-only model, whether it leaks.

    Folds are disjoint by subject; tasks with one answer or few rows are not judged. A task is judged on at
    most MOST_ROWS rows, in the order of the stream.
    """
    asked: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for row in rows():
        choice = str(row.source.get("choice") or "") or _choice(row)
        if row.task == "contrast" and choice:  # which of the two that the question names
            choice = "lower" if choice == str(row.source.get("about", "")).split("-")[0] else "higher"
        if (
            not choice
            or row.task in ("description", "refusal", "multi_turn")
            or len(asked[row.task]) >= MOST_ROWS
        ):
            continue
        asked[row.task].append((row.subject, texts(row, "user")[0], choice))
    found = []
    for task, items in sorted(asked.items()):
        answers = Counter(choice for _, _, choice in items)
        subjects = sorted({subject for subject, _, _ in items})
        majority = max(answers.values()) / len(items)
        line: dict[str, Any] = {
            "task": task,
            "rows": len(items),
            "answers": len(answers),
            "majority": round(majority, 4),
            "accuracy": None,
            "leaks": False,
        }
        if len(answers) > 1 and len(subjects) > 1 and len(items) >= MINIMUM_ROWS:
            accuracy, base = _cross_validated(items, subjects)
            chance = 2.0 * np.sqrt(base * (1 - base) / len(items))
            line |= {
                "accuracy": round(accuracy, 4),
                "majority": round(base, 4),
                "leaks": bool(accuracy > base + max(MARGIN, chance)),
            }
        found.append(line)
    return found


def _choice(row: Instruction) -> str | None:
    """The outcome of rows that do not carry one (imported data)."""
    try:
        return outcome(row.task, texts(row, "assistant")[0])
    except Exception:  # an answer that does not parse has no outcome
        return None


def _words(text: str) -> list[str]:
    words = re.findall(r"[a-z]+\d*|\d+", text.lower())
    return words + [f"{a}_{b}" for a, b in zip(words, words[1:], strict=False)]


def _cross_validated(items: list[tuple[str, str, str]], subjects: list[str]) -> tuple[float, float]:
    """Accuracy of the model and of the training majority over folds that share no subject."""
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.linear_model import LogisticRegression

    fold_of = {subject: number % FOLDS for number, subject in enumerate(subjects)}
    folds = np.array([fold_of[subject] for subject, _, _ in items])
    answers = np.array([choice for _, _, choice in items])
    hasher = FeatureHasher(4096, input_type="string", alternate_sign=False)
    table = hasher.transform([_words(question) for _, question, _ in items])
    right = majority = 0
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        common = Counter(answers[train]).most_common(1)[0][0] if train.any() else ""
        majority += int(np.sum(answers[test] == common))
        if len(set(answers[train])) < 2:
            right += int(np.sum(answers[test] == common))
            continue
        model = LogisticRegression(C=1.0, max_iter=300).fit(table[train], answers[train])
        right += int(np.sum(model.predict(table[test]) == answers[test]))
    return right / len(items), majority / len(items)
