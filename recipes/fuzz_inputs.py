"""Small sound inputs of every kind that a command reads, and the command that reads each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from deft_llm.cli import main as deft
from deft_llm.files import read_json, read_jsonl, write_json, write_jsonl, write_text
from deft_llm.store import Store
from recipes.fuzz_page import PAGE, make_page

CLIPS, SUBJECTS = 24, 4
COARSE_QUESTION = "what is the coarse expression class?"
CLASSES = ("happiness", "disgust", "surprise")


def make_inputs(base: Path) -> None:
    """Make every base folder of ``KINDS`` below ``base`` where they are missing."""
    if not (base / "done").exists():
        shutil.rmtree(base, ignore_errors=True)
        for make in (
            _maps,
            _store,
            _unimer,
            _run,
            _tables,
            _videos,
            _codings,
            _settings,
            _synthetic,
            make_page,
        ):
            make(base)
        write_text(base / "done", "")


def _deft(*words: object) -> None:
    try:
        deft([str(word) for word in words])
    except SystemExit as end:
        if end.code not in (0, None):
            raise RuntimeError(f"deft {' '.join(map(str, words))} ended with {end.code}") from end


def _maps(base: Path) -> None:
    """Flow maps as PNG and float arrays under a manifest."""
    import cv2

    folder = base / "maps" / "corpus"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = ["clip_id,subject,path,emotion,aus"]
    for number in range(6):
        flow = cv2.GaussianBlur(rng.normal(size=(28, 28, 3)), (0, 0), 3)
        stretched = (255 * (flow - flow.min()) / (flow.max() - flow.min())).astype(np.uint8)
        name = f"map{number}{'.png' if number % 2 else '.npy'}"
        cv2.imwrite(str(folder / name), stretched) if number % 2 else np.save(
            folder / name, flow.astype("f4")
        )
        rows.append(f"casme2/{number % 3}/c{number},casme2/{number % 3},{name},{CLASSES[number % 3]},12")
    write_text(folder / "manifest.csv", "\n".join(rows) + "\n")
    shutil.copytree(base / "maps", base / "prepared")
    _deft("prepare", "flowmaps", base / "prepared" / "corpus", "--store", base / "prepared" / "store")


def _store(base: Path) -> None:
    """A store of flow-level samples."""
    _deft("synth", base / "store" / "store", "--level", "flow", "--clips", CLIPS, "--subjects", SUBJECTS)


def _unimer(base: Path) -> None:
    shutil.copytree(base / "store", base / "unimer")
    _deft("unimer", "build", base / "unimer" / "store", "--out", base / "unimer" / "rows")


def _run(base: Path) -> None:
    """A finished benchmark run and what it was asked with."""
    shutil.copytree(base / "store", base / "run")
    here = base / "run"
    _deft("benchmark", "store", here / "store", "--method", "majority", "--protocol", "loso", "--workers", 1,
          "--out", here / "run")  # fmt: skip
    clips = [clip for clip in Store(here / "store").clips if clip.coarse]
    rows = [
        {"dataset": clip.corpus, "subject": clip.subject.split("/")[-1],
         "filename": clip.clip_id.split("/")[-1], "question": COARSE_QUESTION,
         "answer": clip.coarse}
        for clip in clips
    ]  # fmt: skip
    write_jsonl(here / "questions.jsonl", rows)


def _tables(base: Path) -> None:
    """Annotation tables: a folder corpus' CSV, CASME II's xlsx, a correction file."""
    from openpyxl import Workbook

    here = base / "tables"
    for clip in ("a", "b"):
        _frames(here / "folder" / "s1" / clip)
    write_text(
        here / "folder" / "clips.csv",
        "clip_id,subject,path,onset,apex,offset,fps,emotion,aus\n"
        "folder/s1/a,s1,s1/a,0,2,4,50,happiness,12\nfolder/s1/b,s1,s1/b,0,3,4,50,disgust,L4+9C\n",
    )
    book = Workbook()
    for row in (
        ["Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units",
         "Estimated Emotion"],
        [1, "EP01_1", None, 1, 3, 5, None, "4+L7", "disgust"],
        [2, "EP02_1f", None, 1, 2, 4, None, "12", "happiness"],
    ):  # fmt: skip
        book.active.append(row)
    (here / "casme2" / "sub01").mkdir(parents=True)
    _frames(here / "casme2" / "sub01" / "EP01_1")
    _frames(here / "casme2" / "sub02" / "EP02_1f")
    book.save(here / "casme2" / "coding.xlsx")


def _frames(folder: Path) -> None:
    import cv2

    folder.mkdir(parents=True)
    for number in range(1, 7):
        cv2.imwrite(str(folder / f"img{number}.jpg"), np.full((48, 48, 3), 90 + number, np.uint8))


def _videos(base: Path) -> None:
    """Short films of a portrait with a known movement, as MP4 and a folder of PNGs."""
    import cv2

    from deft_llm.explain.samples import Injected, living_portrait, save_video

    pictures = list(living_portrait([Injected(12, "right", 4, 8, 12, 1.5)], 16, fps=50.0, seed=2))
    (base / "video" / "frames").mkdir(parents=True)
    save_video(base / "video" / "a.mp4", pictures, 50.0)
    write_text(base / "video" / "list.csv", "video,onset,apex,offset,person\na.mp4,4,8,12,me\n")
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(base / "video" / "frames" / f"img{number}.png"), picture[::2, ::2, ::-1])


def _codings(base: Path) -> None:
    """One coding in every format that is read."""
    here = base / "coding"
    here.mkdir(parents=True)
    write_text(
        here / "a.csv",
        "file,fps,coder,au,side,phase,intensity,onset,apex,offset,note\n"
        "a.mp4,25,me,12,both,rise,B,10,15,20,\na.mp4,25,me,4,left,rise,C,30,35,44,a note\n",
    )
    for suffix, form in (
        (".eaf", "elan"),
        (".boris", "boris"),
        (".TextGrid", "textgrid"),
        (".d.csv", "datavyu"),
    ):
        _deft("convert", here / "a.csv", here / f"a{suffix}", "--to", form)
    for coder in ("anna", "ben"):  # as the page keeps what is coded of a folder
        (base / "study" / "codings" / coder / "s1").mkdir(parents=True)
        shutil.copy(here / "a.csv", base / "study" / "codings" / coder / "s1" / "a.mp4.csv")
    write_text(here / "labels.csv", "corpus,subject,filename,emotion,aus\ncasme2,sub01,EP01,happiness,12\n"
               "casme2,sub02,EP02,disgust,4+L7\n")  # fmt: skip
    shutil.copy(here / "labels.csv", here / "second.csv")


def _settings(base: Path) -> None:
    """Settings of training, of which the first part fails at once for want of a store."""
    text = "seed: 3\nparts: [motion]\nmotion:\n  steps: 5\n  batch: 8\n"
    write_text(base / "settings" / "train.yaml", text)


def _synthetic(base: Path) -> None:
    """What `deft synth` leaves, by hand: its loader reads records, not pictures."""
    here = base / "synthetic"
    _frames(here / "frames" / "s1" / "c1")
    write_json(here / "corpus.json", {"schema": 1, "corpus": "synthetic", "settings": {}})
    source = {"kind": "frames", "path": "frames/s1/c1", "frames": [f"img{n}.jpg" for n in range(1, 7)]}
    row = {"schema": 1, "clip_id": "synthetic/s1/c1", "corpus": "synthetic", "subject": "synthetic/s1",
           "fps": 50, "source": source, "onset": 0, "apex": 2, "offset": 4, "emotion": "happiness",
           "aus": [{"number": 12}]}  # fmt: skip
    write_jsonl(here / "records.jsonl", [row])


def _store_hash(here: Path) -> str:
    return Store(here / "store").hash()


def _metrics(here: Path) -> str:
    return json.dumps(read_json(here / "out" / "metrics.json"), sort_keys=True)


def _rows(here: Path) -> str:
    return json.dumps(list(read_jsonl(here / "rows" / "instructions.jsonl")))


PREPARE = "prepare flowmaps {here}/corpus --store {here}/store"
MAJORITY = "benchmark store {here}/store --method majority --protocol loso --workers 1"
BUILD = "unimer build {here}/store --out {here}/rows"

# Name, base folder, what is damaged (one file of these), command, what exit 0 must leave, weight.
KINDS: tuple[tuple[str, str, str, str, Callable[[Path], str] | None, int], ...] = (
    ("flow map", "maps", "corpus/map*", PREPARE, None, 2),
    ("manifest", "maps", "corpus/manifest.csv", PREPARE, None, 2),
    ("shard there", "prepared", "store/shards/*", PREPARE, _store_hash, 3),
    ("index there", "prepared", "store/*.json*", PREPARE, _store_hash, 2),
    ("store header", "store", "store/store.json", f"{MAJORITY} --out {{here}}/out", _metrics, 2),
    ("store index", "store", "store/index.jsonl", f"{MAJORITY} --out {{here}}/out", _metrics, 3),
    ("store tensors", "store", "store/shards/*.safetensors", BUILD, None, 2),
    ("facts there", "unimer", "rows/facts/*", BUILD, _rows, 1),
    ("build there", "unimer", "rows/build.json", BUILD, _rows, 1),
    ("instructions", "unimer", "rows/instructions.jsonl", "unimer check {here}/rows", None, 2),
    (
        "instructions out",
        "unimer",
        "rows/instructions.jsonl",
        "unimer export {here}/rows --format messages --out {here}/out.jsonl",
        None,
        2,
    ),
    *(
        (
            f"{name} out",
            "unimer",
            "rows/instructions.jsonl",
            f"unimer export {{here}}/rows --format {name} --out {{here}}/out{suffix}",
            None,
            1,
        )
        for name, suffix in (
            ("llava", ".json"),
            ("llamafactory", ".json"),
            ("trl", ".jsonl"),
            ("megc", ".jsonl"),
        )
    ),
    ("page request", "page", "requests/*.json", f"{PAGE} {{here}}", None, 4),
    ("page file", "page", "codings/*/*.*", f"{PAGE} {{here}}", None, 3),
    ("predictions", "run", "run/predictions.jsonl", "evaluate {here}/run --json", None, 4),
    ("folds of a run", "run", "run/folds.json", "evaluate {here}/run --json", None, 2),
    ("settings of a run", "run", "run/benchmark.json", "report {here}/run --out {here}/out", None, 1),
    (
        "folds given",
        "run",
        "run/folds.json",
        f"{MAJORITY} --folds {{here}}/run/folds.json --out {{here}}/out",
        None,
        2,
    ),
    ("fold there", "run", "run/folds/*", f"{MAJORITY} --out {{here}}/run", None, 2),
    (
        "questions",
        "run",
        "questions.jsonl",
        f"{MAJORITY} --task vqa --questions {{here}}/questions.jsonl --out {{here}}/out",
        None,
        2,
    ),
    ("clips table", "tables", "folder/clips.csv", "corpus check folder {here}/folder", None, 3),
    ("xlsx table", "tables", "casme2/coding.xlsx", "corpus check casme2 {here}/casme2", None, 3),
    ("records", "synthetic", "records.jsonl", "corpus check synthetic {here}", None, 3),
    ("corpus header", "synthetic", "corpus.json", "corpus check synthetic {here}", None, 1),
    ("video", "video", "a.mp4", "analyze {here}/a.mp4 --method rules --out {here}/out", None, 1),
    ("frame", "video", "frames/*", "analyze {here}/frames --method rules --out {here}/out", None, 1),
    ("list", "video", "list.csv", "analyze {here}/list.csv --method rules --fast --out {here}/out", None, 1),
    (
        "coder",
        "study",
        "codings/anna/s1/*",
        "corpus from-codings {here}/codings/anna --out {here}/o.csv",
        None,
        2,
    ),
    ("two coders", "study", "codings/*/s1/*", "agree {here}/codings/anna {here}/codings/ben", None, 2),
    ("coding table", "coding", "a.csv", "convert {here}/a.csv {here}/out.eaf", None, 2),
    ("ELAN", "coding", "a.eaf", "convert {here}/a.eaf {here}/out.csv --fps 25", None, 2),
    ("BORIS", "coding", "a.boris", "convert {here}/a.boris {here}/out.csv --fps 25", None, 2),
    ("TextGrid", "coding", "a.TextGrid", "convert {here}/a.TextGrid {here}/out.csv --fps 25", None, 2),
    ("Datavyu", "coding", "a.d.csv", "convert {here}/a.d.csv {here}/out.csv --fps 25", None, 2),
    ("labels", "coding", "labels.csv", "agree {here}/labels.csv {here}/second.csv", None, 2),
    (
        "settings",
        "settings",
        "train.yaml",
        "train {here}/no-store --config {here}/train.yaml --out {here}/out",
        None,
        2,
    ),
)
