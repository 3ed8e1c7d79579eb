"""The dataset card of a Uni-MER build: counts, provenance, constraint statistics, limits."""

from __future__ import annotations

from typing import Any

from deft_llm.aus.calibration import Calibration
from deft_llm.claims import LIMITS
from deft_llm.synth.core.coder import MISS, OTHER_LABEL, SPURIOUS, WRONG_SIDE
from deft_llm.version import __version__

SIZES = (
    (1e3, "n<1K"),
    (1e4, "1K<n<10K"),
    (1e5, "10K<n<100K"),
    (1e6, "100K<n<1M"),
    (float("inf"), "n>1M"),
)


def dataset_card(statistics: dict[str, Any], settings: dict[str, Any], calibration: Calibration) -> str:
    """README.md with the front matter of dataset hubs."""
    count = statistics["instructions"]
    size = next(name for limit, name in SIZES if count < limit)
    sources = ", ".join(f"{name} ({clips} clips)" for name, clips in statistics["corpora"].items())
    synthetic = set(statistics["corpora"]) <= {"synthetic"}
    licence = "apache-2.0" if synthetic else "other"
    return f"""---
language: en
license: {licence}
pretty_name: Uni-MER instructions built with deft-llm
size_categories: ["{size}"]
task_categories: [visual-question-answering, image-text-to-text]
annotations_creators: [machine-generated, expert-generated]
source_datasets: [original]
configs:
  - config_name: default
    data_files: instructions.jsonl
---

# Uni-MER instructions

Instructions about facial movement in short clips, built by deft-llm {__version__} from measured optical flow
and the coders' Action Unit labels. A sentence about an Action Unit is written only where the flow supports
the label.

## Structure

`instructions.jsonl`: one dialogue a row (`id, clip_id, corpus, subject, task, media, messages, target,
evidence, source`).
`rejections.jsonl`: labels that the flow does not support and motion that no label explains, with reason and
figures. There are no pixels here: media paths are keyed by clip id, relative to a media root that you keep.

{_table("task", "rows", statistics["tasks"])}

## Where it comes from

Sources: {sources}. Subjects: {statistics["subjects"]}. Clips with AU labels:
{statistics.get("clips with AU labels", 0)}, without:
{statistics.get("clips without AU labels", 0)}; clips that could not be
prepared: {statistics.get("failed clips", 0)}.
Flow estimator: {_flow(settings)}.
Labels are those of the coders of each corpus; `coarse` derives from `fine` where fine is known.
{synthetic_labels() if synthetic else ""}

## Constraint

Calibration version {calibration.version}, made by `{calibration.command}` on synthetic calibration subjects.

{_constraint(statistics["constraint"])}

## Limits

- Text about movement is machine-made from templates. A label that is not supported may still be right: weak
  motion hides below the noise, and furrows without displacement are not seen by flow.
- Faces are measured in 2D; strong head turns leave residues.
{chr(10).join(f"- {limit}" for limit in LIMITS)}
"""


def synthetic_labels() -> str:
    """With which errors the simulated coder labels synthetic clips."""
    return (
        f"Synthetic clips are labelled by a simulated coder who misses {MISS:.0%}, adds one beside "
        f"{SPURIOUS:.0%} and takes the side of {WRONG_SIDE:.0%} of the Action Units wrongly, and gives "
        f"{OTHER_LABEL:.0%} of the clips another label that suits their Action Units."
    ).replace("%", " %")


def _table(first: str, second: str, rows: dict[str, int]) -> str:
    body = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    return f"| {first} | {second} |\n|---|---|\n{body}"


def _flow(settings: dict[str, Any]) -> str:
    measure = settings.get("measure", settings)
    flow = measure.get("flow") if isinstance(measure, dict) else None
    return str(flow or "as delivered (flow maps)")


def _constraint(found: dict[str, dict[str, int]]) -> str:
    if not found:
        return "No clip has AU labels: no evidence was judged."
    counts = {status: sum(rows.values()) for status, rows in found.items()}
    labels = counts.get("supported", 0) + counts.get("unsupported", 0)
    kept = (
        f"The flow supports {counts.get('supported', 0) / labels:.0%} of the {labels} labels and shows "
        f"{counts.get('unexplained', 0)} motions that no label explains.\n\n"
        if labels
        else ""
    )
    return kept + "\n\n".join(
        f"**{status}** ({counts[status]})\n\n{_table('what', 'count', rows)}"
        for status, rows in found.items()
    )
