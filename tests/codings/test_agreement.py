"""Agreement equals hand-computed cases and other libraries; coders of known reliability come back."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from deft_llm.cli import main
from deft_llm.codings.agreement import agreement_of, agreement_over, icc_2_1, intensity, matched, presence
from deft_llm.codings.events import Coding, FrameClock, event_at
from deft_llm.codings.formats import write_coding
from deft_llm.codings.pairs import pairs_of
from deft_llm.errors import DeftError

CLOCK = FrameClock(10.0)


def event(au: int, onset: int, offset: int, **rest):
    return event_at(CLOCK, where="test", au=au, onset=onset, offset=offset, **rest)


def of(*events, **rest) -> Coding:
    return Coding(fps=10, events=list(events), **rest)


def test_icc_of_shrout_and_fleiss() -> None:
    table = np.array(
        [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
    )
    assert icc_2_1(table) == pytest.approx(0.29, abs=0.005)  # their table 4
    assert icc_2_1(np.ones((5, 2))) is None and icc_2_1(np.ones((1, 2))) is None


def test_by_hand() -> None:
    first = of(event(12, 0, 9, intensity="B"), event(4, 30, 39, side="left", intensity="C"))
    second = of(event(12, 1, 10, intensity="B"), event(4, 30, 34, side="right", intensity="C"))
    found = agreement_of(first, second, frames=50)
    assert found["agreement"] == {"iou": 0.5, "onset": 0.5}  # AU12 met, AU4 on another side
    assert found["per_au"]["12"]["agreement_iou"] == 1.0 and found["per_au"]["4"]["agreement_iou"] == 0.0
    # AU12: 9 frames both, 1 + 1 apart, 39 neither: po .96, pe (.2 * .2 + .8 * .8) = .68
    assert found["per_au"]["12"]["kappa_frames"] == pytest.approx((0.96 - 0.68) / (1 - 0.68))
    assert found["differences"]["onset"]["percentiles"]["50"] == pytest.approx(0.1)
    assert found["sides"] == {"pairs": 2, "same": 1}
    assert [(row["au"], row["coded_by"]) for row in found["disagreements"]] == [(4, "first"), (4, "second")]


def test_maximum_matching_beats_the_greedy_one() -> None:
    a = [event(1, 10, 12), event(1, 13, 15)]
    b = [event(1, 12, 14), event(1, 15, 17)]
    nearness = lambda x, y: float(abs(x.onset - y.onset) <= 2) * (1 - abs(x.onset - y.onset) / 10)  # noqa: E731
    assert len(matched(a, b, nearness)) == 2  # greedy by nearness takes 13-12 and leaves 10 and 15 alone


def test_number_of_matches_equals_brute_force() -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        a, b = ([event(1, int(s), int(s) + 4) for s in rng.integers(0, 30, rng.integers(1, 5))] for _ in "ab")
        near = lambda x, y: float(abs(x.onset - y.onset) <= 2)  # noqa: E731
        short, long = sorted((a, b), key=len)
        best = max(sum(near(x, y) for x, y in zip(short, order)) for order in itertools.permutations(long))
        assert len(matched(a, b, near)) == best


def test_kappa_equals_sklearn() -> None:
    rng = np.random.default_rng(2)
    codings = [of(*(event(4, int(s), int(s) + 6) for s in rng.integers(0, 90, 5))) for _ in range(2)]
    found = agreement_of(*codings, frames=100)["per_au"]["4"]["kappa_frames"]
    shown = [presence(coding.events, 100) for coding in codings]
    assert found == pytest.approx(cohen_kappa_score(*shown))


def test_icc_needs_intensities_of_both() -> None:
    first, second = of(event(12, 0, 9, intensity="B")), of(event(12, 0, 9))
    assert agreement_of(first, second)["per_au"]["12"]["icc_intensity"] is None
    assert intensity([event(12, 2, 3, intensity="E")], 5).tolist() == [0, 0, 5, 5, 0]


def test_coders_of_known_reliability_come_back() -> None:
    """Coders that each see an event with chance p agree on p of what they report: 2 n p p / (2 n p) = p."""
    rng = np.random.default_rng(3)
    for p in (0.6, 0.9):
        shares = []
        for _ in range(40):
            truth = [event(int(rng.choice([1, 4, 12])), 20 * i, 20 * i + 9) for i in range(40)]
            coders = [of(*(e for e in truth if rng.random() < p)) for _ in range(2)]
            shares.append(agreement_of(*coders)["agreement"]["iou"])
        assert recovered(shares, p)


def recovered(values: list[float], truth: float) -> bool:
    """Whether the 95 % confidence interval of the mean holds the truth."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return bool(abs(np.mean(values) - truth) <= 1.96 * error)


@pytest.mark.parametrize("slip", [0.05, 0.2])
def test_kappa_of_coders_who_slip_comes_back(slip: float) -> None:
    """Half of the frames show AU4; each coder gets a frame wrong with chance e: kappa is (1 - 2 e)^2."""
    rng = np.random.default_rng(4)
    kappas = []
    for _ in range(12):
        truth = rng.random(300) < 0.5
        coders = []
        for _ in range(2):
            said = truth ^ (rng.random(300) < slip)
            edges = np.flatnonzero(np.diff(np.concatenate([[0], said.astype(int), [0]])))
            coders.append(of(*(event(4, int(a), int(b) - 1) for a, b in edges.reshape(-1, 2))))
        kappas.append(agreement_of(*coders, frames=300)["per_au"]["4"]["kappa_frames"])
    assert recovered(kappas, (1 - 2 * slip) ** 2)


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_icc_of_raters_of_known_noise_comes_back(noise: float) -> None:
    """Targets of variance 4, raters with an error of variance ``noise`` squared: ICC(2,1) is their share."""
    rng = np.random.default_rng(5)
    tables = (rng.normal(0, 2, (150, 1)) + rng.normal(0, noise, (150, 2)) for _ in range(60))
    assert recovered([icc_2_1(table) for table in tables], 4 / (4 + noise**2))


def test_refusals() -> None:
    with pytest.raises(DeftError, match="two videos"):
        agreement_of(of(event(1, 0, 3), media="a.mp4"), of(event(1, 0, 3), media="b.mp4"))
    with pytest.raises(DeftError, match="10 and 25 frames per second"):
        agreement_of(of(event(1, 0, 3)), Coding(fps=25, events=[]))
    with pytest.raises(DeftError, match="nothing to compare"):
        agreement_of(of(), of())


def test_rejected_proposals_do_not_count() -> None:
    found = agreement_of(of(event(1, 0, 3), event(4, 0, 3, status="rejected")), of(event(1, 0, 3)))
    assert found["agreement"]["iou"] == 1.0


def test_clips_are_pooled_and_events_match_within_their_clip(tmp_path: Path) -> None:
    """Two clips: in one both see AU12, in the other they differ; events match within a clip."""
    met = of(event(12, 0, 9)), of(event(12, 1, 9))
    apart = of(event(12, 20, 29)), of(event(12, 40, 49))
    found = agreement_over([(*met, 50), (*apart, 60)])
    assert found["clips"] == 2 and found["agreement"]["iou"] == 0.5 and found["units"]["frames"] == 110
    swapped = agreement_over([(met[0], of(), 50), (of(), met[1], 60)])
    assert swapped["agreement"] == {"iou": 0.0, "onset": 0.0}
    a = np.concatenate([presence(met[0].events, 50), presence(apart[0].events, 60)])
    b = np.concatenate([presence(met[1].events, 50), presence(apart[1].events, 60)])
    assert found["per_au"]["12"]["kappa_frames"] == pytest.approx(cohen_kappa_score(a, b))


def test_two_folders_of_codings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for coder, shift in (("anna", 0), ("ben", 30)):
        for clip in ("a.mp4", "s 1/b.mp4", *(["c.mp4"] if coder == "ben" else [])):
            moved = shift if clip != "a.mp4" else 0
            coding = of(event(12, 10 + moved, 19 + moved), media=clip, coder=coder)
            path = tmp_path / coder / f"{clip}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_coding(coding, path)
        (tmp_path / coder / "progress.json").write_text("{}")
    table = tmp_path / "differ.csv"
    words = [str(tmp_path / "anna"), str(tmp_path / "ben"), "--page", "http://lab:1/", "--table", str(table)]
    with pytest.raises(SystemExit, match="0"):
        main(["agree", *words])
    out = capsys.readouterr().out
    assert "A 2  B 2  (2 clips" in out and "agreement 0.500 by intervals" in out
    assert "not compared: 1 clip that only B has coded (c.mp4)" in out
    rows = list(csv.DictReader(table.open()))
    assert [(row["coder"], row["clip"], row["onset"]) for row in rows] == [
        ("anna", "s 1/b.mp4", "10"), ("ben", "s 1/b.mp4", "40"),
    ]  # fmt: skip
    assert rows[1]["link"] == "http://lab:1/coding/#clip=s%201/b.mp4&frame=40&with=ben"
    with pytest.raises(SystemExit, match="2"):
        main(["agree", str(tmp_path / "anna"), str(tmp_path / "anna/a.mp4.csv")])


def test_the_command_compares_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = of(event(12, 0, 9, intensity="B"), event(4, 30, 39, side="left"))
    second = of(event(12, 1, 10, intensity="C"))
    write_coding(first, tmp_path / "a.eaf")
    write_coding(second, tmp_path / "b.csv")
    with pytest.raises(SystemExit, match="0"):
        main(["agree", str(tmp_path / "a.eaf"), str(tmp_path / "b.csv")])
    out = capsys.readouterr().out
    assert "events: A 2  B 1" in out and "agreement 0.667 by intervals" in out
    assert (
        "only A: 3.000 s (frames 30 to 39)  AU4 left rise" in out
        and "onset, B - A in s: median +0.100" in out
    )
    (tmp_path / "clips.csv").write_text("dataset,subject,filename,aus\nsamm,6,006_1_2,4\n")
    for words in (["a.eaf", "clips.csv"], ["clips.csv", "clips.csv", "--fps", "25"]):
        with pytest.raises(SystemExit, match="2"):
            main(["agree", *(str(tmp_path / w) if "." in w else w for w in words)])


def test_an_event_that_is_there_twice_counts_once_and_contradictions_are_told(tmp_path) -> None:
    head = "file,fps,coder,au,onset,apex,offset,intensity\n"
    row = "a.mp4,25,{},12,10,14,20,{}\n"
    one, twice, contrary = tmp_path / "one.csv", tmp_path / "twice.csv", tmp_path / "contrary.csv"
    one.write_text(head + row.format("Ann", "C"))
    twice.write_text(head + 2 * row.format("Ben", "C"))
    contrary.write_text(head + row.format("Ben", "A") + row.format("Ben", "E"))
    found = agreement_over(pairs_of(one, twice).both)
    assert found["events"] == {"first": 1, "second": 1} and found["agreement"]["iou"] == 1.0
    assert found["disagreements"] == []
    with pytest.raises(DeftError, match=r"contrary\.csv: AU12 both from frame 10 to 20 is there twice"):
        pairs_of(one, contrary)


def test_frames_of_two_faces_are_not_one() -> None:
    """AU12 of two people in the same frames: 10 frames only A, 10 only B, 20 neither: po .5, pe .625."""
    first, second = of(event(12, 0, 9, intensity="C")), of(event(12, 0, 9, face=2, intensity="C"))
    cell = agreement_of(first, second, frames=20)["per_au"]["12"]
    assert cell["kappa_frames"] == pytest.approx((0.5 - 0.625) / (1 - 0.625))
    assert cell["icc_intensity"] < 0 and cell["agreement_onset"] == 0.0
    both = of(event(12, 0, 9, intensity="C"), event(12, 5, 14, face=2, intensity="E"))
    same = agreement_of(both, both, frames=20)["per_au"]["12"]
    assert same["kappa_frames"] == 1.0 and same["icc_intensity"] == pytest.approx(1.0)


def test_events_that_match_with_their_side_agree_on_it() -> None:
    """The nearest onsets are those of the other side; each event has its counterpart nevertheless."""
    first = of(event(12, 10, 19, side="left"), event(12, 11, 19, side="right"))
    second = of(event(12, 11, 19, side="left"), event(12, 10, 19, side="right"))
    found = agreement_of(first, second)
    assert found["agreement"]["onset"] == 1.0 and found["sides"] == {"pairs": 2, "same": 2}
