"""Agreement of coders: hand-computed cases, published figures, and what is not compared."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from deft_llm.benchmark.clip_codings import read_codings
from deft_llm.errors import DeftError
from deft_llm.evaluation.agree import CodedUnit, Coding, Codings, agree, cohen_kappa, facs_agreement, icc_2_1
from deft_llm.files import write_jsonl
from deft_llm.records import ActionUnit, Clip, Source


def coded(*aus: str, **values) -> Coding:  # type: ignore[no-untyped-def]
    """A coding of AUs as "12" or "12B"."""
    units = {int(au.rstrip("ABCDE")): CodedUnit(intensity=au[-1] if au[-1].isalpha() else None) for au in aus}
    return Coding(aus=units, **values)


def codings(**clips: Coding) -> Codings:
    return Codings("file", dict(clips))


def test_facs_agreement_by_hand() -> None:
    assert facs_agreement({4, 7}, {4, 9, 10}) == (2, 5)
    found = agree(codings(a=coded("4", "7"), b=coded("12")), codings(a=coded("4", "9", "10"), b=coded("12")))
    assert found["aus"]["agreement"] == pytest.approx((2 + 2) / (5 + 2))
    assert found["disagreements"] == [{"clip": "a", "aus_first_only": [7], "aus_second_only": [9, 10]}]


def test_icc_of_shrout_and_fleiss_1979() -> None:
    table = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    assert icc_2_1(np.array(table, float)) == pytest.approx(0.29, abs=0.005)
    same = np.array([[1, 1], [3, 3], [5, 5]], float)
    assert icc_2_1(same) == 1.0 and icc_2_1(same[:1]) is None and icc_2_1(np.ones((4, 2))) is None


@pytest.mark.parametrize("seed", range(20))
def test_kappa_per_au_is_that_of_scikit_learn(seed: int) -> None:
    rng = random.Random(seed)
    a = {f"c{n}": coded(*rng.sample(["1", "4", "12"], rng.randint(0, 3))) for n in range(30)}
    b = {clip: one if rng.random() < 0.6 else coded("4") for clip, one in a.items()}
    found = agree(codings(**a), codings(**b))["aus"]["per_au"]
    for au in (1, 4, 12):
        shown = [[au in side[clip].aus for clip in a] for side in (a, b)]  # type: ignore[operator]
        assert found[str(au)]["kappa"] == pytest.approx(cohen_kappa_score(*shown))
    assert cohen_kappa(["x", "x"], ["x", "x"]) is None, "chance agreement is complete"


def test_intensities_and_frames() -> None:
    first = codings(a=coded("12B", marks={"onset": 4, "apex": 9}), b=coded("12D"), c=coded(), d=coded("4"))
    second = codings(a=coded("12C", marks={"onset": 2}), b=coded("12D"), c=coded("12A"), d=coded("4"))
    found = agree(first, second)
    ratings = np.array([[2, 3], [4, 4], [0, 1], [0, 0]], float)
    assert found["aus"]["per_au"]["12"]["icc"] == pytest.approx(icc_2_1(ratings))
    assert found["aus"]["per_au"]["4"]["icc"] is None, "not graded"
    assert found["frames"]["onset"]["p50"] == -2.0 and set(found["frames"]) == {"onset"}


def test_what_one_does_not_say_is_not_compared() -> None:
    found = agree(codings(a=Coding(), b=coded("4")), codings(a=coded("4"), b=coded("4")))
    assert found["clips"] == 2 and found["aus"]["clips"] == 1 and found["aus"]["agreement"] == 1.0
    with pytest.raises(DeftError, match="share no clip"):
        agree(codings(a=coded("4")), codings(b=coded("4")))


def test_an_au_that_a_coder_left_open_is_not_compared(tmp_path: Path) -> None:
    head = "corpus,subject,filename,aus\n"
    (tmp_path / "a.csv").write_text(head + "samm,006,006_1_1,12\nsamm,006,006_1_2,12+4\n")
    (tmp_path / "b.csv").write_text(head + "samm,006,006_1_1,12 + 4?\nsamm,006,006_1_2,12 + 4/9\n")
    found = agree(*(read_codings(tmp_path / name) for name in ("a.csv", "b.csv")))
    assert found["aus"]["agreement"] == 1.0 and set(found["aus"]["per_au"]) == {"12"}
    assert not found["disagreements"]


def test_a_clip_is_named_as_its_file_writes_it(tmp_path: Path) -> None:
    for name, number in (("a.jsonl", 4), ("b.jsonl", 12)):
        clip = Clip(clip_id="synthetic/364f03b5/f0000003", corpus="synthetic", subject="synthetic/364f03b5",
                    source=Source(kind="flow", path="-"), aus=[ActionUnit(number=number)])  # fmt: skip
        write_jsonl(tmp_path / name, [clip])
    found = agree(*(read_codings(tmp_path / name) for name in ("a.jsonl", "b.jsonl")))
    assert [row["clip"] for row in found["disagreements"]] == ["synthetic/364f03b5/f0000003"]
