"""deft prepare on frames of a face: what is found, marked and reported while the rest is done."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from deft_llm.corpora import load
from deft_llm.prepare import prepare
from deft_llm.prepare.indices import SPOTTED
from deft_llm.store import Store

APEX = 5


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut()[:224, 112:336])  # public domain (NASA)


@pytest.fixture(scope="module")
def clip(portrait) -> list[np.ndarray]:
    """11 frames: the mouth corners go up by 2.5 px and back, apex at APEX."""
    y, x = np.mgrid[: portrait.shape[0], : portrait.shape[1]].astype(np.float32)
    bump = sum(np.exp(-((x - cx) ** 2 + (y - 138) ** 2) / (2 * 12**2)) for cx in (90, 128))
    frames = []
    for index in range(11):
        share = 1 - abs(index - APEX) / APEX
        frames.append(cv2.remap(portrait, x, (y + 2.5 * share * bump).astype(np.float32), cv2.INTER_CUBIC))
    return frames


def write(folder: Path, frames: list[np.ndarray], form: str = "{}.png", first: int = 1) -> None:
    folder.mkdir(parents=True)
    for index, image in enumerate(frames):
        cv2.imwrite(str(folder / form.format(index + first)), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def test_a_missing_apex_is_found_and_marked(clip, tmp_path):
    write(tmp_path / "HS/s1/micro/positive/s1_po_01", clip, "image{:06d}.bmp", 500)
    store = prepare("smic", tmp_path, tmp_path / "store")
    found = store.clips[0]
    assert found.apex is not None and abs(found.apex - APEX) <= 1
    assert not found.apex_is_annotated and SPOTTED in found.notes
    motion = store.motion(found.clip_id)
    assert motion.indices == (0, found.apex, 10) and motion.units == "px"
    assert {"faces", "landmarks", "offset-phase", "px"} <= motion.has
    moved = max(np.linalg.norm([motion.regions.dx[0], motion.regions.dy[0]], axis=0))
    assert moved > 0.5, "the movement that was put in is measured"


def test_bad_sources_are_reported_and_the_rest_is_done(run, clip, tmp_path, capsys):
    root = tmp_path / "videos"
    write(root / "anna/good", clip)
    write(root / "anna/corrupt", clip)
    (root / "anna/corrupt/6.png").write_bytes((root / "anna/corrupt/6.png").read_bytes()[:200])
    write(root / "ben/noface", [np.full((128, 128, 3), 120, np.uint8)] * 11)
    (root / "ben/empty").mkdir()
    rows = ["path,subject,onset,apex,offset,fps"]
    rows += [
        f"{path},{path.partition('/')[0]},0,5,10,100"
        for path in ("anna/good", "anna/corrupt", "ben/noface", "ben/empty")
    ]
    rows += ["../../etc/passwd,eve,0,5,10,100", "anna/gone.mp4,anna,0,5,10,100"]
    (root / "clips.csv").write_text("\n".join(rows) + "\n")
    assert run("prepare", "folder", root, "--store", tmp_path / "store", "--json") == 1
    summary = json.loads(capsys.readouterr().out)
    failed = {row["clip_id"].split("/")[-1]: row["reason"] for row in summary["failed"]}
    assert set(failed) == {"corrupt", "noface", "empty", "gone"} and summary["prepared"] == 1
    assert "6.png" in failed["corrupt"] and "face" in failed["noface"]
    assert [row["kind"] for row in summary["lost"]] == ["unsafe-name"]
    assert list(Store(tmp_path / "store").rows) == ["folder/anna/good"]
    assert (tmp_path / "store" / "contact_sheet.png").exists()


def test_an_unreadable_table_beside_a_good_one(run, clip, tmp_path, capsys):
    from openpyxl import Workbook

    book = Workbook()
    book.active.append(
        ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
    )
    book.active.append([31, "EP41_01", 1, 6, 11, "12", "happiness"])
    root = tmp_path / "casme2"
    write(root / "Cropped/sub31/EP41_01", clip, "reg_img{}.jpg")
    book.save(root / "coding.xlsx")
    (root / "CASME2-coding-20190701.xlsx").write_bytes(b"PK broken")
    assert run("prepare", "casme2", root, "--store", tmp_path / "store") == 1
    out = capsys.readouterr().out
    assert "1 of 1 clips" in out and "unreadable-table" in out
    assert [fault.kind for fault in load("casme2", root).faults] == ["unreadable-table"]


def test_a_video_without_annotation_is_spotted_or_says_why_not(portrait, tmp_path):
    write(tmp_path / "videos/anna/still", [portrait] * 30)
    (tmp_path / "videos/clips.csv").write_text("path,subject,fps\nanna/still,anna,100\n")
    store = prepare("folder", tmp_path / "videos", tmp_path / "store")
    assert len(store) == 0 and "no movement" in store.failures[0].reason
