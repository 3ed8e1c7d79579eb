"""Questions answered from heads in fixed sentences, and blind: what the answers follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deft_llm.errors import UsageError
from deft_llm.evaluation.questions import question_kind
from deft_llm.methods import template
from deft_llm.methods.prior import build as build_prior
from deft_llm.methods.protocol import Question, Sample, Task, build_method
from deft_llm.methods.template import Heads, ModelAnswers, answer, build_for
from deft_llm.model.questions import Reply
from deft_llm.records import Prediction


def no_motion():  # type: ignore[no-untyped-def]
    raise AssertionError("the clip must not be read")


CLIP = Sample("casme2/sub01/a", "casme2", "casme2/sub01", no_motion, frozenset())


def heads(**values) -> Heads:  # type: ignore[no-untyped-def]
    """Heads that see AU12 and 6 of a positive face, AU12 more on the right."""
    base = {"method": "m", "clip_id": CLIP.clip_id, "corpus": "casme2", "subject": CLIP.subject}
    coarse = {"negative": 0.2, "positive": 0.7, "surprise": 0.1}
    fine = {"disgust": 0.5, "happiness": 0.3, "others": 0.2}
    aus = {"12": 0.9, "6": 0.6, "4": 0.2}
    given = {
        "sample": CLIP,
        "coarse": Prediction(**base, label_space="megc3", probabilities=coarse),
        "units": Prediction(**base, label_space="megc3", task="au", aus=aus),
        "fine": Prediction(**base, label_space="native", probabilities=fine),
        "margins": {12: -0.3, 6: 0.1},
    }
    return Heads(**{**given, **values})


def asked(text: str, **values) -> tuple[str | None, str]:  # type: ignore[no-untyped-def]
    return answer(Question("q", text, question_kind(text)), heads(**values))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is the coarse expression class?", "positive"),
        ("What is the fine-grained expression class?", "happiness"),  # within the coarse class
        ("What is the action unit?", "lip corner puller"),
        ("What are the action units?", "cheek raiser, lip corner puller"),
        ("Is the action unit lip corner puller shown on the face?", "yes"),
        ("Is the action unit brow lowerer shown on the face?", "no"),
        ("Is the action unit lip corner puller located on the left or right face?", "right"),
        ("Is the action unit cheek raiser located on the left or right face?", "left"),
        ("Is the action unit lip corner puller shown on the left side of the face?", "no"),
        ("Is the action unit lip corner puller shown on the right side of the face?", "yes"),
        ("How many action units are shown on the face?", "two"),
        (
            "What is the action unit present, and based on it, what is the fine-grained expression and the "
            "coarse expression class?",
            "The action unit present is: lip corner puller. Therefore, the fine-grained expression class is "
            "happiness, and the coarse expression class is positive.",
        ),
    ],
)
def test_answers_follow_the_heads(text: str, expected: str) -> None:
    assert asked(text) == (expected, "template")


def test_sides_turn_with_the_logits() -> None:
    text = "Is the action unit lip corner puller located on the left or right face?"
    assert asked(text, margins={12: 0.3})[0] == "left" and asked(text, margins={12: -0.3})[0] == "right"
    assert asked(text, margins={12: 0.0}) == (None, "declined") == asked(text, margins={})


def test_the_plural_asks_for_two_at_least() -> None:
    weak = heads().units.model_copy(update={"aus": {"12": 0.4, "6": 0.3, "4": 0.2}})
    assert asked("What are the action units?", units=weak)[0] == "cheek raiser, lip corner puller"
    assert (
        asked("Give all action units that can be seen, be it one, several or none.", units=weak)[0] == "none"
    )


def test_without_a_fine_head_the_training_clips_say_it() -> None:
    text = "What is the fine-grained expression class?"
    assert asked(text, fine=None, usual={"positive": "happiness"})[0] == "happiness"
    assert asked(text, fine=None) == (None, "declined")


def test_where_no_head_tells_the_side_the_motion_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Heads, "measured", {12: (0.8, 0.5), 18: (0.6, -0.2)})
    text = "Is the action unit {} located on the left or right face?"
    assert asked(text.format("lip corner puller"), margins={}) == ("left", "measurement")
    assert asked("Is the action unit lip pucker shown on the face?") == ("yes", "measurement")


def test_measured_sides_are_those_of_the_motion(flow_of) -> None:  # type: ignore[no-untyped-def]
    """A brow that moves on one side only is found on that side, in the map and in its mirror image."""
    from deft_llm.motion.measure import motion_from_flow

    flow = flow_of("surprise", np.random.default_rng(0), 0.02)
    flow[..., :14] = 0.0  # the image's right is the subject's left
    for picture, side in ((flow, 1), (np.ascontiguousarray(flow[..., ::-1]), -1)):
        picture = picture.copy()
        if side < 0:
            picture[:, 0] *= -1
        motion = motion_from_flow("a", picture, units="relative")
        sample = Sample(f"x/y/{side}", "x", "x/y", lambda m=motion: m)  # type: ignore[misc]
        assert np.sign(Heads(sample, None, None, None, {}).measured[2][1]) == side  # type: ignore[arg-type]


def test_template_answers_zero_shot_by_the_shipped_heads(flow_of) -> None:  # type: ignore[no-untyped-def]
    """The side of a brow that moves on one side turns round in the mirror image, and so does the answer."""
    from deft_llm.motion.measure import motion_from_flow

    flow = flow_of("surprise", np.random.default_rng(0), 0.02)
    flow[..., :14] *= 0.1
    mirrored = np.ascontiguousarray(flow[..., ::-1])
    mirrored[:, 0] *= -1
    text = "Is the action unit outer brow raiser located on the left or right face?"
    clips = []
    for name, picture in (("a", flow), ("b", mirrored)):
        motion = motion_from_flow(name, picture, units="relative")
        question = Question(name, text, "au_side")
        clips.append(Sample(f"x/y/{name}", "x", "x/y", lambda m=motion: m, question=question))  # type: ignore[misc]
    made = build_method("template", Task("vqa"), zero_shot=True)
    rows = made.predict(clips)
    assert [(row.answer, row.answered_by) for row in rows] == [("left", "template"), ("right", "template")]
    fine = replace(clips[0], question=Question("c", "What is the fine-grained expression class?", "fine"))
    assert made.predict([fine])[0].answer == "surprise"


def test_prior_is_blind_and_follows_the_training_answers(tmp_path: Path) -> None:
    text = "Is the action unit dimpler located on the left or right face?"
    rows = [
        replace(CLIP, question=Question(f"q{n}", text, "au_side", said))
        for n, said in enumerate(["right", "right", "left"])
    ]
    other = "Is the action unit brow lowerer located on the left or right face?"
    prior = build_prior(Task("vqa"))
    prior.fit(rows[:2], rows[2:], seed=0, workdir=tmp_path)
    said = prior.predict(
        [
            replace(CLIP, question=Question("a", text, "au_side")),
            replace(CLIP, question=Question("b", other, "au_side")),
            replace(CLIP, question=Question("c", "What are the action units?", "aus")),
        ]
    )
    assert [(row.answer, row.answered_by) for row in said] == [
        ("right", "prior"), ("right", "prior"), (None, "declined"),
    ]  # fmt: skip


def test_methods_of_questions_are_for_questions() -> None:
    for name in ("prior", "template"):
        with pytest.raises(UsageError, match="answers questions: give --task vqa"):
            build_method(name, Task("emotion"))
    assert build_for("svm", Task("vqa")).name == "svm" and build_for("prior", Task("vqa")).name == "prior"


def test_the_fine_head_is_there_in_zero_shot() -> None:
    made = build_for("rules", Task("vqa"), zero_shot=True)
    assert made.fine is not None and "happiness" in made.fine.task.classes  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is the coarse expression class?", "positive"),
        ("What is the fine-grained expression class?", "happiness"),
        ("Describe it.", "The coarse expression class is positive."),
        ("What are the action units?", None),
        ("How many action units are shown on the face?", None),
        ("Is the action unit lip corner puller shown on the face?", None),
        ("What is the action unit present, and what is the fine-grained and the coarse class?", None),
    ],
)
def test_without_an_au_head_what_asks_for_aus_is_declined(text: str, expected: str | None) -> None:
    assert asked(text, units=None) == (expected, "template" if expected else "declined")


class Told:
    """A method with language that notes how many tables of beliefs and which fine labels it is asked with."""

    name = "told"
    needs: frozenset[str] = frozenset()

    def __init__(self, task: Task) -> None:
        self.task = task
        self.asked: list[tuple[int, Sequence[str] | None]] = []

    def fit(self, train: Any, val: Any, *, seed: int, workdir: Path) -> None:
        pass

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        units = self.task.name == "au"
        shares = {} if units else {name: 1 / len(self.task.classes) for name in self.task.classes}
        return [
            Prediction(
                method="told", task="au" if units else "emotion", clip_id=sample.clip_id,
                corpus=sample.corpus, subject=sample.subject, label_space=self.task.label_space,
                probabilities=shares, aus={"12": 0.9} if units else {},
            )
            for sample in samples
        ]  # fmt: skip

    def ask(self, samples: Sequence[Sample], beliefs: Sequence[Any], fines: Any = None) -> list[Reply]:
        self.asked.append((len(beliefs), fines))
        return [Reply("coarse", "negative", 0.5) for _ in samples]


def test_the_language_model_is_told_what_heads_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No table of AUs where none were coded; the fine labels are told all the same."""
    monkeypatch.setattr(template, "build_method", lambda name, task, **options: Told(task))
    made = ModelAnswers("told", Task("vqa"))
    clips = [
        replace(CLIP, clip_id=f"casme2/sub01/{fine}", label=coarse, fine=fine)
        for coarse, fine in (("negative", "disgust"), ("positive", "happiness"))
    ]
    question = Question("q", "What is the coarse expression class?", "coarse")
    for aus in (None, frozenset({12})):
        made.fit([replace(clip, aus=aus) for clip in clips], [], seed=0, workdir=tmp_path)
        (row,) = made.predict([replace(CLIP, question=question)])
        assert row.answer == "negative" and row.aus == ({} if aus is None else {"12": 0.9})
    assert made.coarse.asked == [(2, ["disgust", "happiness"]), (3, ["disgust", "happiness"])]  # type: ignore[attr-defined]
