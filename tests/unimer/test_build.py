"""Building: same rows for any worker number, resumable, balanced, grammatical, free of claims and leaks."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest_unimer import SCENES, clip_of, make_store, template

from deft_llm.answer import parse
from deft_llm.claims import find_claims
from deft_llm.errors import UsageError
from deft_llm.facs.emotions import coarse_of, usual_aus
from deft_llm.facs.units import entry
from deft_llm.facs.words import movement
from deft_llm.rationale import agrees
from deft_llm.records import ActionUnit, Truth
from deft_llm.store import Store, StoreWriter
from deft_llm.synth.core.coder import annotate
from deft_llm.unimer.build import build, read_instructions
from deft_llm.unimer.card import synthetic_labels
from deft_llm.unimer.check import check
from deft_llm.unimer.phrases import QUESTIONS
from deft_llm.unimer.readback import faults, outcome
from deft_llm.unimer.rows import texts
from deft_llm.unimer.tasks import TASKS
from deft_llm.unimer.vqa import FORMS, VQA_TASKS
from recipes.au_support.held_out import table_motion


def rows_of(folder: Path):
    return list(read_instructions(folder))


def test_all_answers_parse_back_and_claim_nothing(built: Path):
    for row in rows_of(built):
        assert faults(row) == []
        for text in (*texts(row, "assistant"), *texts(row, "user")):
            assert find_claims(text) == []


def test_every_task_is_there_with_several_phrasings(built: Path):
    rows = rows_of(built)
    tasks = {row.task for row in rows}
    # The tables have no time, and nobody coded what the onset holds.
    assert tasks >= set(TASKS) - {
        "phase",
        "release",
        "vqa_state",
        "vqa_held",
        "vqa_phase",
        "vqa_turn",
        "vqa_fold",
        "vqa_back",
    }
    for task in ("coarse", "fine", "aus", "au", "answer", "description"):
        assert len({row.source["template"] for row in rows if row.task == task}) >= 4
    assert all(len(options) >= 4 for options in (*QUESTIONS.values(), *FORMS.values()))


def test_text_comes_from_supported_evidence_only(built: Path):
    for row in rows_of(built):
        supported = {evidence.au for evidence in row.evidence if evidence.status == "supported"}
        assert {unit.number for unit in row.target.aus or []} == supported
    rejected = [json.loads(line) for line in (built / "rejections.jsonl").read_text().splitlines()]
    assert rejected and all(row["reason"] for row in rejected)


def test_sentences_are_grammatical(built: Path):
    for row in rows_of(built):
        if row.task in ("answer", "multi_turn") or row.task in VQA_TASKS:
            continue
        for text in texts(row, "assistant"):
            assert re.match(r"[A-Z]", text) and text.endswith("."), text
            assert "  " not in text and ".." not in text
            assert not re.search(r"\b[Bb]oth \w+ ?\w*[^s] moves\b", text), text


def test_yes_and_no_are_balanced_for_every_au(built: Path):
    counts: dict[str, list[int]] = {}
    for row in rows_of(built):
        if row.task == "au":
            counts.setdefault(row.source["about"], [0, 0])[row.source["choice"] == "yes"] += 1
    assert counts and all(no == yes for no, yes in counts.values())


def test_the_forms_of_me_vqa_answer_in_short_and_ask_for_hard_negatives(built: Path):
    rows = [row for row in rows_of(built) if row.task in VQA_TASKS]
    hard = set()
    for row in rows:
        answer = texts(row, "assistant")[0]
        assert len(answer) < 30 or row.task in ("vqa_aus", "vqa_combined")
        assert "AU" not in answer and outcome(row.task, answer) == row.source["choice"]
        if row.task == "vqa_au_present" and answer == "no":
            near = {other for unit in row.target.aus or () for other in entry(unit.number).look_alikes}
            usual = set(usual_aus(row.target.fine)) if row.target.fine else set()
            hard |= {row.id} if int(row.source["about"]) in near | usual else set()
    asked = [row for row in rows if row.task == "vqa_au_present" and row.source["choice"] == "no"]
    assert asked and 0.2 < len(hard) / len(asked) < 0.9
    sides = [row for row in rows if row.task == "vqa_au_side"]
    assert {row.source["choice"] for row in sides} == {"left", "right"}


def test_no_rejected_label_reaches_a_target_or_an_answer(tmp_path: Path):
    rng = np.random.default_rng(5)
    writer, items, wrong = StoreWriter(tmp_path / "store", {}), [], {}
    for number in range(60):
        aus, fine = SCENES[number % len(SCENES)]
        truth = [ActionUnit(number=au) for au in aus]
        told = annotate(rng, truth, 0, 10, 20, frames=30, fine=fine, coarse=coarse_of(fine))
        clip = clip_of(number, told.aus, fine)
        wrong[clip.clip_id] = {au.number for au in told.aus} - set(aus)
        vector = sum(template(au) * rng.uniform(1.0, 2.0) for au in aus)
        items.append((clip, table_motion(clip.clip_id, vector, np.full(len(vector), 0.06))))
    writer.write_shard(0, "k", items)
    writer.finish(1)
    found = build(tmp_path / "store", tmp_path / "out")
    assert sum(len(aus) for aus in wrong.values()) > 5  # the coder did add what is not there
    assert found["constraint"]["unsupported"] and found["constraint"]["supported"]
    rejected: dict[str, set[int]] = {}
    for line in (tmp_path / "out" / "rejections.jsonl").read_text().splitlines():
        row = json.loads(line)
        rejected.setdefault(row["clip_id"], set()).add(row["au"])
    assert set().union(*rejected.values())
    for row in rows_of(tmp_path / "out"):
        refused = rejected.get(row.clip_id, set())
        assert not refused & {unit.number for unit in row.target.aus or ()}
        if row.task in ("vqa_aus", "vqa_combined", "vqa_au_present", "vqa_au_side", "vqa_on_side"):
            said = texts(row, "assistant")[0]
            named = (
                set()
                if said in ("no", "none")
                else {int(n) for n in re.findall(r"\d+", str(row.source["choice"]))}
            )
            about = row.source["about"].split(" ")[0]
            named |= {int(about)} if about and said != "no" else set()
            assert not refused & named, (row.id, said)
        if row.task in ("answer", "multi_turn"):
            assert not refused & {item.au for item in parse(texts(row, "assistant")[-1]).evidence}


def test_without_figures_nothing_is_said_that_no_model_could_read(store: Store, built: Path, tmp_path: Path):
    build(store.root, tmp_path / "plain", figures=False)
    measured, plain = ([*rows_of(folder)] for folder in (built, tmp_path / "plain"))
    assert [row.id for row in plain] == [row.id for row in measured]
    said = [" ".join(texts(row, "assistant")) for row in plain]
    unread = re.compile(r"\d px|pixel|IOD|%|also marked|coders of")
    assert not [text for text in said if unread.search(text)]
    assert any(unread.search(" ".join(texts(row, "assistant"))) for row in measured)
    answers = [parse(texts(row, "assistant")[-1]) for row in plain if row.task == "answer"]
    assert answers and all(agrees(answer) for answer in answers)
    with pytest.raises(UsageError, match="another store, seed or version"):
        build(store.root, tmp_path / "plain")


def test_our_own_build_has_no_leak(built: Path):
    report = check(lambda: read_instructions(built))
    assert report.ok, report.findings
    judged = [line for line in report.question_only if line["accuracy"] is not None]
    assert judged and not any(line["leaks"] for line in judged)


def test_same_result_for_any_number_of_workers_and_resumed(store: Store, built: Path, tmp_path: Path):
    build(store.root, tmp_path / "two", workers=2)
    assert (tmp_path / "two" / "instructions.jsonl").read_bytes() == (
        built / "instructions.jsonl"
    ).read_bytes()
    part = sorted((tmp_path / "two" / "facts").glob("*.jsonl"))[-1]
    part.unlink()
    (tmp_path / "two" / "instructions.jsonl").unlink()
    build(store.root, tmp_path / "two")
    assert (tmp_path / "two" / "instructions.jsonl").read_bytes() == (
        built / "instructions.jsonl"
    ).read_bytes()


def test_facts_of_other_maps_are_drawn_anew(tmp_path: Path):
    """The same clips in a store that was made again."""
    store = make_store(tmp_path / "store", clips=9)
    build(store.root, tmp_path / "kept")
    writer = StoreWriter(store.root, store.settings)
    moved = template(4) * 2
    other = table_motion("other", moved, np.full(len(moved), 0.06))
    items = [(clip, replace(motion, regions=other.regions)) for clip, motion in store.stream()]
    writer.write_shard(0, "of other maps", items)
    writer.finish(1)
    for name in ("kept", "fresh"):
        build(store.root, tmp_path / name)
    kept, fresh = (tmp_path / name / "instructions.jsonl" for name in ("kept", "fresh"))
    assert kept.read_bytes() == fresh.read_bytes()


def test_a_pipe_among_the_facts_is_made_again(store: Store, built: Path, tmp_path: Path):
    shutil.copytree(built, tmp_path / "build")
    part = sorted((tmp_path / "build" / "facts").glob("*.jsonl"))[-1]
    part.unlink()
    os.mkfifo(part)
    build(store.root, tmp_path / "build")
    assert part.is_file() and part.read_bytes() == (built / "facts" / part.name).read_bytes()


def test_another_seed_needs_another_folder(store: Store, built: Path):
    with pytest.raises(UsageError, match="another store, seed or version"):
        build(store.root, built, seed=5)


def test_truth_is_never_read_and_uncoded_clips_get_motion_only(tmp_path: Path):
    writer = StoreWriter(tmp_path / "store", {})
    clip = clip_of(1, None, None)
    clip.truth = Truth(emotion="happiness", coarse="positive")
    motion = table_motion(clip.clip_id, template(12) * 2, np.full(26, 0.05))
    writer.write_shard(0, "k", [(clip, motion)])
    writer.finish(1)
    build(tmp_path / "store", tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert rows and {row.task for row in rows} <= {"description", "region", "phase", "refusal", "vqa_most"}
    assert all(row.target.fine is None and row.target.aus is None for row in rows)
    assert "happiness" not in (tmp_path / "out" / "instructions.jsonl").read_text()


def test_card_gives_counts_constraint_and_limits(built: Path):
    card = (built / "README.md").read_text()
    assert "misses 13 %, adds one beside 13 %" in synthetic_labels() and "simulated coder" not in card
    assert card.startswith("---\nlanguage: en") and "not a lie detector" in card
    assert "**supported**" in card and "python -m recipes.au_support.calibrate" in card


def test_relative_maps_are_described_without_figures(tmp_path: Path):
    store = make_store(tmp_path / "store", clips=30, units="relative")
    build(store.root, tmp_path / "out")
    for row in rows_of(tmp_path / "out"):
        assert faults(row) == []
        assert not any(re.search(r"\d px|% of", text) for text in texts(row, "assistant"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("inner brow", "both", "up", 0.83, 0.92), "both inner brows move up by about 0.8 px (0.9 % of the"),
        (
            ("mouth corner", "left", "up-lateral", 0.5, 0.6),
            "the left mouth corner moves up and outward by about half",
        ),
        (("upper lip", "both", "converging", None, None), "the lips draw together"),
        (("chin", "both", "up-lateral", None, None), "the chin moves up and sideways"),
        (
            ("lower lip", "right", "down", 0.04, 0.04),
            "the right half of the lower lip moves down by less than a tenth",
        ),
    ],
)
def test_movement_in_words(arguments, said: str):
    assert movement(*arguments).startswith(said)


@pytest.mark.slow
def test_ray_gives_the_same_rows(store: Store, built: Path, tmp_path: Path):
    pytest.importorskip("ray")
    build(store.root, tmp_path / "ray", workers=2, engine="ray")
    assert (tmp_path / "ray" / "instructions.jsonl").read_bytes() == (
        built / "instructions.jsonl"
    ).read_bytes()


def test_where_no_coder_said_aus_no_answer_says_that_none_was_seen(tmp_path: Path) -> None:
    """As in SMIC: motion that nobody coded is neither evidence nor its lack."""
    store = make_store(tmp_path / "store", clips=38, coded=False)
    build(store.root, tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert rows and not any(row.task in ("answer", "aus", "blink") for row in rows)
    assert not any(row.evidence for row in rows)
    said = " ".join(text for row in rows for text in texts(row, "assistant"))
    assert "labelled Action Unit" not in said and "Evidence:" not in said
