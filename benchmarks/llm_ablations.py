"""Ablations of the language part: 300 steps each from the shipped checkpoint, equal budget.

    python -m recipes.flow_samples shards --shards 60 --size 4000 --seed 20000 --identities 160
    python -m recipes.flow_samples held --shards 1 --size 4000 --seed 900 --identities 48 \\
        --split validation
    python -m benchmarks.llm_ablations shards held --out runs/llm [--only both labels ..] [--clips 100]

configs/ablations/language: what the answers are held to (``both``, ``labels``, ``flow``, ``neither``; 30 %
of the labels are wrong in all of them), the parts of the hybrid loss, the region table in words instead of
tokens (``words``, ``recipes.flow2text``). All see the same samples in the same order; all but the last-named
begin with the shipped language part, for in so few steps a new one learns the form of an answer and little
else. Scored on flow-level clips of validation identities, class and evidence alone, the language model free
to name any class and AU. A finished run is kept, so a stopped command goes on, steps included.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.answers import Clips, ask, load, score
from deft_llm.files import read_json, write_json
from deft_llm.model.language import ANSWER_QUESTION
from deft_llm.model.predictor import Predictor, WrittenAnswer, with_figures

CONFIGS = Path(__file__).parents[1] / "configs" / "ablations" / "language"
ORDER = (
    "both", "labels", "flow", "neither", "hybrid", "generative_only", "discriminative_only", "no_au",
    "no_class", "words",
)  # fmt: skip
COLUMNS = ("text_uf1", "head_uf1", "au_precision", "au_recall", "sides_right")
RESAMPLES = 500


def trained(name: str, shards: Path, out: Path, start: Path | None, steps: int | None) -> Any:
    """The model of a config after its steps, or ``steps``, trained into ``out`` (resumes)."""
    from deft_llm.config import load_config
    from deft_llm.model.checkpoint import SHIPPED, read_checkpoint
    from deft_llm.training.checkpoints import start_model
    from deft_llm.training.flow_shards import FlowShards
    from deft_llm.training.joint import JointPart
    from deft_llm.training.language import LanguagePart, text_source
    from deft_llm.training.loop import fit
    from deft_llm.training.settings import TrainConfig

    config = load_config(TrainConfig, CONFIGS / f"{'both' if name == 'words' else name}.yaml", [])
    joint = config.parts == ["joint"]
    settings = (config.joint if joint else config.language).model_copy(update={"seed": 0})
    if steps is not None:
        settings = settings.model_copy(update={"steps": steps})
    if name == "words":
        return _reader(shards, out, settings)
    base = start or SHIPPED
    experts = read_checkpoint(base)[0]["experts"]
    model = start_model(config, base, 0, experts=experts, motion={}, faces={}, language=True,
                        conditioned_on=["motion"])  # fmt: skip
    kind = JointPart if joint else LanguagePart
    fit(kind(model, settings, text_source(FlowShards(shards), settings, model)), out, log_every=5,
        progress=_say(name))  # fmt: skip
    return model.eval()


def _reader(shards: Path, out: Path, settings: Any) -> Any:
    from recipes.flow2text import train

    train(shards, out, settings, progress=_say("words"))
    return out


def _say(name: str) -> Any:
    return lambda done, total, parts: print(
        f"{name}: step {done} of {total}, " + ", ".join(f"{k} {v:.3f}" for k, v in parts.items()), flush=True
    )


def said(model: Any, clips: Clips) -> tuple[list[WrittenAnswer], np.ndarray]:
    """The answers to N clips, and (N,) the head's class."""
    return ask(Predictor(model), clips.motions, [ANSWER_QUESTION] * len(clips.motions))


def read_aloud(adapter: Path, clips: Clips) -> tuple[list[WrittenAnswer], np.ndarray]:
    """The same of the adapter that reads words; it has no head, so (N,) -1."""
    from deft_llm.methods.flow2text import build
    from deft_llm.methods.protocol import Sample, Task

    method = build(Task(name="au"), adapter=str(adapter))
    samples = [Sample(m.clip_id, "flow", "one", lambda m=m: m) for m in clips.motions]  # type: ignore[misc]
    rows = zip(method.predict(samples), clips.motions, strict=True)
    return [with_figures(row.answer or "", motion) for row, motion in rows], np.full(len(samples), -1)


def spread(written: list[WrittenAnswer], heads: np.ndarray, clips: Clips) -> dict[str, list[float]]:
    """95 % intervals of ``COLUMNS`` over clips."""
    rng, rows = np.random.default_rng(0), np.arange(len(written))
    found = []
    for _ in range(RESAMPLES):
        drawn = rng.choice(rows, len(rows)).tolist()
        one = score([written[row] for row in drawn], heads[drawn], clips.of(drawn))
        found.append([one[name] for name in COLUMNS])
    low, high = np.quantile(np.array(found, float), [0.025, 0.975], axis=0)
    return {name: [round(float(a), 3), round(float(b), 3)] for name, a, b in zip(COLUMNS, low, high)}


def measure(name: str, given: argparse.Namespace) -> None:
    """Train, score and keep one ablation."""
    path = given.out / f"{name}.json"
    if path.is_file():
        return
    started = time.process_time()
    model = trained(name, given.shards, given.out / name, given.checkpoint, given.steps)
    seconds = time.process_time() - started
    clips = load(given.held, given.clips, 0)
    written, heads = read_aloud(model, clips) if name == "words" else said(model, clips)
    found = {"run": name, **score(written, heads, clips), "interval": spread(written, heads, clips)}
    write_json(path, {**found, "cpu_s": round(seconds), "example": written[0].text})
    print(json.dumps(found), flush=True)


def table(out: Path) -> str:
    """What has been measured as a Markdown table."""
    lines = ["| run | UF1, class in the text | UF1, head | AU precision | AU recall | sides right |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for name in ORDER:
        path = out / f"{name}.json"
        if not path.is_file():
            continue
        row = read_json(path)
        cells = [f"{row[c]:.3f} [{row['interval'][c][0]:.3f}, {row['interval'][c][1]:.3f}]" for c in COLUMNS]
        if name == "words":
            cells[1] = "-"
        lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is not measured yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("held", type=Path, help="flow-level shards of validation identities")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, help="whose experts are read; the shipped ones by default")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--steps", type=int, help="instead of the configs' own")
    parser.add_argument("--only", nargs="+", choices=ORDER, default=ORDER)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.only:
        measure(name, given)
    print(table(given.out))


if __name__ == "__main__":
    main()
