"""The model card that is written beside every checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deft_llm.files import write_text

_TEMPLATE = """---
library_name: deft-llm
license: apache-2.0
pipeline_tag: video-text-to-text
{base}tags: [micro-expression, facial-action-coding-system, optical-flow]
---
# DEFT-LLM checkpoint

Reads how facial skin moved in a short clip: Action Units with their sides, and the label that coders of a
convention would give. Experts, projectors, heads{adapter}; the base language model is not in here.

## Made by
```
{command}
```
- Motion experts: {members} (each {parameters} parameters); stage 1: {stage1}.
- Face experts: {faces}.
- Trained on: {trained_on}. Label prior: `{prior}`{prior_note}.
- Language part: {language}.

## Scores
{scores}

## Uses
Research on facial motion and its coding; see `deft analyze --help`. **Not for**: telling lies, feelings,
intent,
health or fitness for a job; policing, border control, hiring, teaching. A label here is what a coder of a
corpus
would have written about a movement, no more.

## Limits
- Learned from synthetic faces alone, unless "Trained on" says otherwise; AUs that synthetic faces move
poorly (5, 7,
  14, 20, 23) are read worse.
- Min-max stretched maps have no known size and no known zero: there it gives no pixels, and a small motion
may be
  noise.
- People differ more than the synthetic faces do, in age, skin, glasses, beards and pose; expect it to be
worse there.
{faults}"""


def write_card(folder: Path, config: dict[str, Any]) -> None:
    """Write ``README.md`` of a checkpoint from its config."""
    scores = config.get("scores") or {}
    lines = [f"- {name}: {value}" for name, value in scores.items()] or ["- none recorded"]
    language = config.get("language")
    text = _TEMPLATE.format(
        base=f"base_model: {config.get('backbone')}\n" if language else "",
        adapter=" and a LoRA adapter" if language else "",
        command=config.get("command") or "not recorded",
        members=len(config.get("motion", [])),
        parameters=f"{config['parameters']:,}" if config.get("parameters") else "about 0.5 million",
        faces=_faces(config),
        stage1=json.dumps(config.get("stage1", "not recorded")),
        trained_on=json.dumps(config.get("trained_on") or "not recorded"),
        prior=config.get("prior", "?"),
        prior_note=" (FACS knowledge only: no statistics of any real corpus)"
        if config.get("prior") == "facs"
        else "",
        language=config.get("language_note") or ("LoRA adapter" if language else "none"),
        scores="\n".join(lines),
        faults="".join(f"- Known fault: {fault}\n" for fault in config.get("faults", ())),
    )
    write_text(Path(folder) / "README.md", text)


def _faces(config: dict[str, Any]) -> str:
    """Which face experts there are, and what they learned from."""
    names = [name for name in config.get("experts", ()) if name != "motion"]
    if not names:
        return "none (clips with faces are read by their motion alone)"
    trained = config.get("face_experts") or {}
    note = f", {trained['note']}" if trained.get("note") else ""
    return f"{' and '.join(names)}; {trained.get('steps', '?')} steps{note}"
