"""Folds: disjoint by subject, independent of order, refused where a protocol does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deft_llm.errors import DeftError, UsageError
from deft_llm.evaluation.folds import (
    FoldClip,
    check_folds,
    make_folds,
    read_folds,
    read_splits,
    write_folds,
    zero_shot_folds,
)

LABELS = ("negative", "positive", "surprise")


def clips_of(corpora: dict[str, int], clips: int = 3) -> list[FoldClip]:
    return [
        FoldClip(f"{c}/{s}/{n}", c, f"{c}/{s}", LABELS[(s + n) % 3])
        for c, count in corpora.items()
        for s in range(count)
        for n in range(clips)
    ]


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["loso", "cde", "hde", "cross", "kfold"]),
    st.integers(3, 9),
    st.integers(3, 9),
    st.randoms(),
)
def test_every_clip_is_tested_once_and_no_subject_is_shared(
    protocol: str, a: int, b: int, random: object
) -> None:
    clips = clips_of({"alpha": a, "beta": b})
    folds = make_folds(clips, protocol, k=3)
    tested = [clip for fold in folds.folds for clip in folds.clips_of(fold.test)]
    assert sorted(tested) == sorted(c.clip_id for c in clips)
    for fold in folds.folds:
        assert not set(fold.train) & set(fold.val) and not (set(fold.train) | set(fold.val)) & set(fold.test)
        assert fold.train and fold.val
    random.shuffle(clips)  # type: ignore[attr-defined]
    assert make_folds(clips, protocol, k=3).hash == folds.hash


def test_loso_of_68_subjects_and_validation_covers_the_classes() -> None:
    folds = make_folds(clips_of({"casme2": 24, "samm": 28, "smic": 16}), "loso")
    assert len(folds.folds) == 68
    assert all(len(fold.val) == 10 and len(fold.test) == 1 for fold in folds.folds)
    assert make_folds(clips_of({"casme2": 24, "samm": 28, "smic": 16}), "loso", seed=1).hash != folds.hash


def test_cross_and_hde_leave_corpora_out() -> None:
    folds = make_folds(clips_of({"alpha": 4, "beta": 4, "gamma": 4}), "cross")
    assert [fold.name for fold in folds.folds] == ["alpha", "beta", "gamma"]
    assert all(s.startswith("alpha/") for s in folds.fold("alpha").test)
    with pytest.raises(UsageError, match="exactly two"):
        make_folds(clips_of({"alpha": 4, "beta": 4, "gamma": 4}), "hde")
    for protocol in ("hde", "cross", "cde"):
        with pytest.raises(UsageError, match="at least two corpora"):
            make_folds(clips_of({"alpha": 5}), protocol)


def test_a_person_of_two_corpora_may_not_be_on_both_sides() -> None:
    shared = [FoldClip("smic_vis/s1/x", "smic_vis", "smic/0", "negative")]
    clips = clips_of({"smic": 4}) + shared
    assert make_folds(clips, "loso").clips["smic/0"][-1] == "smic_vis/s1/x"
    with pytest.raises(UsageError, match="train on test subjects"):
        make_folds(clips, "cross")


def test_fixed_splits(tmp_path: Path) -> None:
    clips = clips_of({"alpha": 4})
    file = tmp_path / "splits.csv"
    file.write_text("subject,split\nalpha/0,train\nalpha/1,train\nalpha/2,Validation\nalpha/3,test\n")
    fold = make_folds(clips, "fixed", splits=read_splits(file)).folds[0]
    assert (fold.train, fold.val, fold.test) == (["alpha/0", "alpha/1"], ["alpha/2"], ["alpha/3"])
    with pytest.raises(UsageError, match="does not name subject alpha/3"):
        make_folds(clips, "fixed", splits={"alpha/0": "train", "alpha/1": "train", "alpha/2": "test"})
    file.write_text("subject,split\na,train\na,test\n")
    with pytest.raises(DeftError, match="in two splits"):
        read_splits(file)
    file.write_text("person,split\n")
    with pytest.raises(DeftError, match="columns subject and split"):
        read_splits(file)


def test_too_few_subjects_and_unknown_protocols() -> None:
    with pytest.raises(UsageError, match="too few"):
        make_folds(clips_of({"alpha": 2}), "loso")
    with pytest.raises(UsageError, match="unknown"):
        make_folds(clips_of({"alpha": 4}), "clipwise")
    with pytest.raises(UsageError, match="impossible"):
        make_folds(clips_of({"alpha": 4}), "kfold", k=9)


def test_a_tampered_file_is_refused(tmp_path: Path) -> None:
    folds = make_folds(clips_of({"alpha": 4}), "loso")
    path = tmp_path / "folds.json"
    write_folds(path, folds)
    assert read_folds(path) == folds
    raw = json.loads(path.read_text())
    raw["folds"][0]["train"] += raw["folds"][0]["test"]
    path.write_text(json.dumps(raw))
    with pytest.raises(DeftError, match="is in train and test"):
        read_folds(path)
    path.write_text("{}")
    with pytest.raises(DeftError, match="is no folds file"):
        read_folds(path)


def test_zero_shot_trains_on_nobody() -> None:
    folds = zero_shot_folds(clips_of({"alpha": 2}))
    check_folds(folds)
    assert folds.folds[0].train == [] and len(folds.expected_keys()) == 6
