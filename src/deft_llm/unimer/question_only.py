"""How far the question alone tells the answer: a bag of words, cross-validated by subject, per task."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from deft_llm.records import Instruction
from deft_llm.unimer.readback import outcome, texts

MARGIN = 0.08  # above the majority a question-only model may be by chance and balance
FOLDS = 5
MOST_ROWS = 4000
MINIMUM_ROWS = 30


def question_only(rows: Callable[[], Iterable[Instruction]]) -> list[dict[str, Any]]:
    """Per task: rows, share of the commonest answer, accuracy of the question-only model, whether it leaks.

    Folds are disjoint by subject; tasks with one answer or few rows are not judged. A task is judged on at
    most MOST_ROWS rows, in the order of the stream.
    """
    asked: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for row in rows():
        choice = row.source.get("choice") or _choice(row)
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
