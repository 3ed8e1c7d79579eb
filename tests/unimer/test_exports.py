"""Exports are read by their consumers' rules; TRL's own functions read ours; MEGC goes out and comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deft_llm.errors import DeftError, UsageError
from deft_llm.records import Instruction, Media
from deft_llm.store import Store
from deft_llm.unimer.build import read_instructions
from deft_llm.unimer.exports import FORMATS, export, llamafactory, llava, megc, messages, trl
from deft_llm.unimer.exports.flat import flat_turns
from deft_llm.unimer.importing import import_megc
from deft_llm.unimer.media import write_media


@pytest.mark.parametrize("name", FORMATS)
def test_every_export_passes_its_consumers_rules(built: Path, tmp_path: Path, name: str):
    for path in export(read_instructions(built), name, tmp_path):
        assert path.exists()
    assert not any(str(built) in path.read_text() for path in tmp_path.iterdir())


def test_llava_goes_out_and_comes_back(built: Path, tmp_path: Path):
    rows = list(read_instructions(built))
    assert export(rows, "llava", tmp_path / "mine.json") == [tmp_path / "mine.json"]
    spoken = [[turn for turn in flat_turns(row) if turn[0] != "system"] for row in rows]
    assert llava.read(tmp_path / "mine.json") == spoken


def test_trl_reads_our_export_with_its_own_functions(built: Path, tmp_path: Path):
    data = pytest.importorskip("trl.data_utils")
    export(read_instructions(built), "trl", tmp_path)
    for line in (tmp_path / "trl.jsonl").read_text().splitlines()[:60]:
        row = json.loads(line)
        assert data.is_conversational(row)
        ready = data.prepare_multimodal_messages(row["messages"], images=row["images"])
        blocks = [part for message in ready for part in message["content"]]
        assert [part["image"] for part in blocks if part["type"] == "image"] == row["images"]
        assert not any("<image>" in part.get("text", "") for part in blocks)


def test_llamafactory_rules_find_broken_rows(built: Path, tmp_path: Path):
    export(read_instructions(built), "llamafactory", tmp_path)
    rows = json.loads((tmp_path / "data.json").read_text())
    rows[0]["conversations"].pop()
    rows[1]["images"] = []
    rows[2]["audios"] = ["a.wav"]
    (tmp_path / "data.json").write_text(json.dumps(rows))
    found = llamafactory.validate(tmp_path / "data.json")
    assert any("row 0" in fault and "alternate" in fault for fault in found)
    assert any("row 1" in fault and "<image>" in fault for fault in found)


@pytest.mark.parametrize(
    ("module", "file", "broken"),
    [
        (
            llava,
            "llava.json",
            '[{"id": "a", "image": "x.png", "conversations": [{"from": "human", "value": "q"}]}]',
        ),
        (messages, "messages.jsonl", '{"messages": [{"role": "human", "content": "q"}]}'),
        (trl, "trl.jsonl", '{"images": ["x.png"], "messages": [{"role": "gpt", "content": "<image>q"}]}'),
        (megc, "me_vqa.jsonl", '{"id": "a", "question": "?", "answer": "b"}'),
    ],
)
def test_validators_find_faults(module, file: str, broken: str, tmp_path: Path):
    (tmp_path / file).write_text(broken)
    assert module.validate(tmp_path / file)


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_to_export_is_an_error(name: str, tmp_path: Path):
    with pytest.raises(DeftError, match="no instruction to export"):
        export([], name, tmp_path / "out.json")
    assert not list(tmp_path.iterdir())


def several(rows: list[Instruction]) -> list[Instruction]:
    """Rows as a store with faces gives them: three pictures each."""
    found = []
    for row in rows:
        more = row.model_copy(deep=True)
        asked = next(message for message in more.messages if message["role"] == "user")
        for role in ("onset", "apex"):
            asked["content"].append({"type": "image", "ref": len(more.media)})
            more.media.append(Media(type="image", role=role, path=f"{role}.png"))
        found.append(more)
    return found


def test_llava_refuses_several_images_and_names_what_takes_them(built: Path, tmp_path: Path):
    rows = list(read_instructions(built))[:6]
    with pytest.raises(DeftError, match="one per row; export with --format llamafactory, messages or trl"):
        export([*rows, *several(rows)], "llava", tmp_path / "joined.json")
    assert not list(tmp_path.iterdir())
    written = json.loads(export(rows, "llava", tmp_path / "one.json")[0].read_text())
    assert {type(row["image"]) for row in written if "image" in row} == {str}
    for name in ("llamafactory", "messages", "trl"):
        export(several(rows), name, tmp_path / name)


def texts(row: Instruction) -> tuple[str, ...]:
    """What each side of an imported row says."""
    return tuple("".join(part.get("text", "") for part in message["content"]) for message in row.messages)


def test_megc_names_the_row_of_a_unit_that_facs_does_not_have(built: Path, tmp_path: Path):
    row = next(row for row in read_instructions(built) if row.target.aus)
    row.target.aus[0].number = 99
    with pytest.raises(DeftError, match=rf"out\.jsonl: megc: row {row.id}: AU99 is no code of FACS; mend"):
        export([row], "megc", tmp_path / "out.jsonl")


def test_megc_goes_out_and_comes_back_onto_clips(store: Store, built: Path, tmp_path: Path):
    path = export(read_instructions(built), "megc", tmp_path)[0]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert {tuple(row) for row in rows} == {megc.FIELDS}
    found = import_megc(path, store.clips)
    assert not found.unmatched and len(found.instructions) == len(rows)
    assert [texts(row) for row in found.instructions] == [(row["question"], row["answer"]) for row in rows]
    assert {row.task for row in found.instructions} >= {"coarse", "fine", "au", "aus", "combined"}


def test_megc_lists_no_units_where_the_flow_does_not_show_a_label(store: Store, built: Path, tmp_path: Path):
    path = export(read_instructions(built), "megc", tmp_path)[0]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    lists = (megc.AUS_QUESTION, megc.COMBINED)
    listed = {
        f"{row['dataset']}/{row['subject']}/{row['filename']}" for row in rows if row["question"] in lists
    }
    short = {
        row.clip_id
        for row in read_instructions(built)
        if any(item.status == "unsupported" for item in row.evidence)
    }
    assert short and listed and not short & listed
    assert listed <= {clip.clip_id for clip in store.clips}
    asked = {f"{row['dataset']}/{row['subject']}/{row['filename']}" for row in rows}
    assert short <= asked, "their classes are asked all the same"


def test_megc_rows_without_clip_are_named_and_bad_rows_refused(store: Store, tmp_path: Path):
    path = tmp_path / "q.jsonl"
    line = {
        "id": "casme2_sub99_EP1_1",
        "dataset": "casme2",
        "subject": "sub99",
        "filename": "EP1",
        "question": "What?",
    }
    path.write_text(json.dumps(line))
    assert import_megc(path, store.clips).unmatched == ["casme2_sub99_EP1_1"]
    path.write_text('{"id": "a"}')
    with pytest.raises(DeftError, match="line 1: subject: Field required"):
        import_megc(path, store.clips)


def test_unknown_format_is_a_usage_error(built: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="choose one of"):
        export(read_instructions(built), "alpaca", tmp_path)


def test_pictures_are_drawn_from_the_store(store: Store, built: Path, tmp_path: Path):
    rows = list(read_instructions(built))[:5]
    assert write_media(rows, store, tmp_path) == 1
    assert all((tmp_path / media.path).exists() for row in rows for media in row.media)
