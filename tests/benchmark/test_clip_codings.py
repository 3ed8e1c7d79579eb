"""What files say of clips meets under one name, and people of other names stay apart."""

from __future__ import annotations

from pathlib import Path

from deft_llm.benchmark.clip_codings import read_codings
from deft_llm.files import write_jsonl
from deft_llm.records import ActionUnit, Clip, Source


def test_a_table_and_records_meet_and_subjects_of_one_number_do_not(tmp_path: Path) -> None:
    table, records = tmp_path / "aus.csv", tmp_path / "clips.jsonl"
    table.write_text("corpus,subject,filename,aus\nlab,A1,clip,4\nlab,B01,clip,12\nlab,7,clip,1\n")
    coded = {"A1": 4, "B1": 12, "sub07": 1}
    clips = [
        Clip(
            clip_id=f"lab/{subject}/clip",
            corpus="lab",
            subject=f"lab/{subject}",
            source=Source(kind="flow", path="-"),
            aus=[ActionUnit(number=au)],
        )  # fmt: skip
        for subject, au in coded.items()
    ]
    write_jsonl(records, clips)
    found = [read_codings(path) for path in (table, records)]
    assert found[0].clips == found[1].clips and found[0].problems == found[1].problems == []
    assert [list(coding.aus or ()) for coding in found[0].clips.values()] == [[4], [12], [1]]
