"""The ``flow2text`` baseline: the region table in words, read by a text-only LLM that answers (C, E, R).

After MELLM (flow turned into sentences for an LLM). The answer's form is held by a grammar; class, AUs,
sides, regions and rationale are the LLM's own words, and only figures come from the table. Without an
adapter (``recipes.flow2text`` makes one) the LLM has never seen such a task: its answers are weak, and every
row says that it is untrained.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deft_llm.answer import Answer, AnswerError, fill_figures, lark_grammar, parse, render
from deft_llm.errors import DeftError
from deft_llm.facs.directions import direction_word
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.facs.regions import REGION_INDEX, REGIONS
from deft_llm.facs.units import entry
from deft_llm.files import read_object, sha256_of
from deft_llm.methods.options import read_options
from deft_llm.methods.protocol import Sample, Task
from deft_llm.methods.table_words import motion_words, prompt_text
from deft_llm.model.decoding import generate_constrained
from deft_llm.model.language import ANSWER_QUESTION, EMBEDDED, load_backbone
from deft_llm.records import COARSE, Evidence, Prediction

if TYPE_CHECKING:
    from deft_llm.store import Motion

ANSWERS_QUESTIONS = False
ADAPTER_WEIGHTS = "adapter_model.safetensors"
UNTRAINED = (
    "flow2text runs an untrained language model: it has learned nothing about faces, so its class, Action "
    "Units and rationale are guesses; only the figures are measured."
)


class Flow2TextOptions(BaseModel):
    """Options: another model's folder or name, a trained adapter's folder, how many regions are told."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, description="Folder or name of another language model.")
    adapter: str | None = Field(None, description="Folder of a trained LoRA adapter.")
    regions: int = Field(8, description="Most regions told of a clip.")
    max_new_tokens: int = Field(200, description="Longest answer.")
    batch: int = Field(16, description="Clips decoded together.")


class Flow2Text:
    """A text-only LLM on the region table; ``fit`` learns nothing (see docs/explanation/evaluation.md)."""

    name = "flow2text"
    needs: frozenset[str] = frozenset({"flow"})

    def __init__(self, task: Task, options: Flow2TextOptions) -> None:
        self.task, self.options = task, options

    def digests(self) -> dict[str, str]:
        """SHA-256 of the adapter's weights; nothing without one."""
        weights = self._adapter_weights()
        return {"adapter": sha256_of(weights)} if weights is not None else {}

    def _adapter_weights(self) -> Path | None:
        weights = Path(self.options.adapter or "", ADAPTER_WEIGHTS)
        return weights if self.options.adapter and weights.is_file() else None

    def fit(self, train: Sequence[Sample], val: Sequence[Sample], *, seed: int, workdir: Path) -> None:
        """Nothing is learned: the LLM stays as it came, or as the adapter makes it."""

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """One row per sample; decoded in batches."""
        rows: list[Prediction] = []
        for start in range(0, len(samples), self.options.batch):
            rows += self._predict(samples[start : start + self.options.batch])
        return rows

    def _predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        model, tokenizer = self._model()
        prompts = [self._prompt(sample, tokenizer) for sample in samples]
        encoded = _encode(tokenizer, prompts)
        texts = generate_constrained(
            model, tokenizer, lark_grammar(), **encoded, max_new_tokens=self.options.max_new_tokens
        )
        return [self._row(*parts) for parts in zip(samples, prompts, texts)]

    def _prompt(self, sample: Sample, tokenizer: Any) -> str:
        question = sample.question.text if sample.question else ANSWER_QUESTION
        return prompt_text(tokenizer, motion_words(sample.motion, self.options.regions), question)

    def _row(self, sample: Sample, prompt: str, text: str) -> Prediction:
        try:
            said: Answer | None = parse(text)
        except AnswerError:
            said = None
        motion = sample.motion
        evidence = [evidence_of(statement, motion) for statement in said.evidence] if said else []
        answer = render(fill_figures(said, evidence)) if said else text
        claimed = {statement.au for statement in said.evidence} if said else set()
        classes = self._probabilities(prompt) if self.task.name == "emotion" else {}
        about = trained_by(self.options.adapter)
        return Prediction(
            method=self.name, task=self.task.name, clip_id=sample.clip_id, corpus=sample.corpus,
            subject=sample.subject, label_space=self.task.label_space,
            question_id=sample.question.question_id if sample.question else None,
            probabilities=classes, label=max(classes, key=lambda label: classes[label]) if classes else None,
            fine=said.fine if said else None, coarse=said.coarse if said else None,
            text_label=self._text_label(said),
            aus={str(au): 0.9 if au in claimed else 0.1 for au in sorted({*self.task.aus, *claimed})},
            evidence=evidence, answer=answer, answered_by="language", parsed=said is not None,
            extras=about if about["trained"] else {**about, "warning": UNTRAINED},
        )  # type: ignore[arg-type]  # fmt: skip

    def _text_label(self, said: Answer | None) -> str | None:
        wanted = {label.lower(): label for label in self.task.classes}
        return (wanted.get(said.fine or "") or wanted.get(said.coarse or "")) if said else None

    def _probabilities(self, prompt: str) -> dict[str, float]:
        """Class probabilities: how likely the LLM begins its answer with a first line of each class."""
        import torch

        model, tokenizer = self._model()
        classes = {label: class_lines(label) for label in self.task.classes}
        lines = list(dict.fromkeys(line for found in classes.values() for line in found))
        encode = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]  # noqa: E731
        ids = [encode(line) for line in lines]
        longest = max(len(row) for row in ids)
        fed = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
        before = torch.tensor([encode(prompt)])
        with torch.inference_mode():
            read = model(input_ids=before, use_cache=True)
            behind = model(
                input_ids=fed, past_key_values=repeated(read.past_key_values, len(ids)), use_cache=True
            ).logits
            first = read.logits[:, -1:].expand(len(ids), -1, -1)
            scores = torch.cat([first, behind[:, :-1]], 1).float().log_softmax(-1)
        told = scores.gather(-1, fed[..., None])[..., 0].numpy()
        total = np.array([told[index, : len(row)].sum() for index, row in enumerate(ids)])
        chance = dict(zip(lines, np.exp(total - total.max())))
        sums = {label: sum(chance[line] for line in found) for label, found in classes.items()}
        return {label: round(float(share / sum(sums.values())), 6) for label, share in sums.items()}

    def _model(self) -> tuple[Any, Any]:
        weights = self._adapter_weights()
        stamp = weights.stat().st_mtime_ns if weights is not None else 0
        return _loaded(self.options.model, self.options.adapter, stamp)


@lru_cache(maxsize=1)
def _loaded(name: str | None, adapter: str | None, stamp: int) -> tuple[Any, Any]:
    """(model, tokenizer), loaded once per process however many folds ask; anew when the adapter changed."""

    model, tokenizer = load_backbone(name or EMBEDDED)
    if adapter:
        model = with_adapter(model, Path(adapter))
    return model.eval(), tokenizer


def with_adapter(model: Any, folder: Path) -> Any:
    """The model with a trained LoRA adapter. Raises: DeftError for a folder without a finished one."""
    from peft import PeftModel

    if not (folder / "adapter_config.json").is_file():
        raise DeftError(f"{folder}: no finished adapter; train one with `python -m recipes.flow2text`.")
    return PeftModel.from_pretrained(model, str(folder))


def trained_by(adapter: str | None) -> dict[str, Any]:
    """Whether an adapter was trained, and by how many steps where its folder tells."""
    if adapter is None:
        return {"trained": False}
    state = Path(adapter) / "training.json"
    return {"trained": True, **({"steps": read_object(state)["steps"]} if state.is_file() else {})}


def evidence_of(statement: Any, motion: Motion) -> Evidence:
    """What was measured where a statement points: its region's figures, whatever the statement claims.

    ``supported`` says that the region moved in the stated direction above the noise, no more.
    """
    sides = [statement.side] if statement.side in ("left", "right") else ["left", "right"]
    keys = [f"{side} {statement.region}" for side in sides]
    rows = [REGION_INDEX[key] for key in (keys if keys[0] in REGION_INDEX else [statement.region])]
    table = motion.regions
    side = REGIONS[rows[0]].side
    mirror = np.array([1.0 if REGIONS[r].side in ("mid", side) else -1.0 for r in rows])
    dx, dy = float(np.mean(table.dx[0, rows] * mirror)), float(np.mean(table.dy[0, rows]))
    z = float(np.nanmean(table.z[0, rows])) if np.isfinite(table.z[0, rows]).any() else None
    px, share = (float(np.mean(column[0, rows])) for column in (table.px, table.iod_percent))
    agrees = (
        statement.direction == direction_word(dx, dy, side) or entry(statement.au).pattern != "translation"
    )
    seen = agrees and (z is None or z >= 2.0)
    return Evidence(
        au=statement.au, side=statement.side, part=statement.part, region=statement.region,
        direction=statement.direction, dx=dx, dy=dy, px=px if np.isfinite(px) else None,
        iod_percent=share if np.isfinite(share) else None, z=z, support=1.0 if seen else 0.0,
        status="supported" if seen else "unsupported",
        reason="the region moves as stated" if seen else "the region does not move as stated",
    )  # fmt: skip


def class_lines(label: str) -> list[str]:
    """First lines of an answer that mean a task's label; a coarse one has those of its fine labels too."""
    plain = re.sub(r"[^a-z]", "", label.lower())
    if plain in COARSE:
        fines = [fine for fine in FINE if coarse_of(fine) == plain]
        return [f"Class: {fine} ({plain})" for fine in fines] + [f"Class: undetermined ({plain})"]
    return [f"Class: {plain} ({coarse_of(plain) or 'undetermined'})"]


def repeated(read: Any, rows: int) -> Any:
    """The cache of one row as the cache of ``rows`` rows that begin alike."""
    from transformers import DynamicCache

    cache = DynamicCache()
    for index, layer in enumerate(read.layers):
        cache.update(layer.keys.expand(rows, -1, -1, -1), layer.values.expand(rows, -1, -1, -1), index)
    return cache


def _encode(tokenizer: Any, texts: Sequence[str]) -> dict[str, Any]:
    """Token ids and mask of texts, padded on the left."""
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return dict(
        tokenizer(list(texts), return_tensors="pt", padding=True, add_special_tokens=False,
                  return_token_type_ids=False)
    )  # fmt: skip


def build(task: Task, **options: Any) -> Flow2Text:
    """Build the baseline; it needs no fit, so ``zero_shot`` changes nothing."""

    options.pop("zero_shot", None)
    options.pop("answers", None)
    return Flow2Text(task, read_options(Flow2TextOptions, "flow2text", options))
