"""The language part: projectors, delimiters and adapter learn to answer from the frozen experts' tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from deft_llm.facs.emotions import coarse_of
from deft_llm.model.beliefs import BELIEFS
from deft_llm.model.decoding import answer_grammar
from deft_llm.model.deft import PROJECTORS, DeftModel
from deft_llm.model.inputs import DeftBatch, batch_of, maps_input
from deft_llm.model.language import ANSWER_QUESTION, EXPERTS
from deft_llm.model.packing import RowCollator, Turn
from deft_llm.records import COARSE
from deft_llm.training.augment import AugmentSettings
from deft_llm.training.flow_text import turns_of
from deft_llm.training.loop import MOST_BATCH, Part, PartSettings
from deft_llm.training.motion import Samples, augmented, tensors_of
from deft_llm.training.objective import (
    Objective,
    Targets,
    TrainBatch,
    TrainedModel,
    Weights,
    moved,
    toward_truth,
)
from deft_llm.training.store_data import StoreData, dialogue_rows
from deft_llm.training.text_rules import TextRule, miscoded, shown_sides
from deft_llm.unimer.tasks import TASKS

Source = Callable[[int, int, int], TrainBatch]
"""``source(step, rank, world)``: the batch of a step, or a process's share of it."""
PROJECTED = tuple(f"deft.{name}" for name in PROJECTORS)
BOTH_PHASES = 0.3
"""Share of steps on flow-level samples that see apex to offset too."""
MOST_TOWARD = 4.0
"""Beliefs are moved toward the truth by up to so many logits."""
CLASS_TOKENS = 24
"""Tokens after which an answer's class line is over."""


class LanguageConfig(PartSettings):
    """Settings of the language part's training."""

    parts = frozenset({"text"})
    steps: int = Field(2000, ge=0, description="Steps of the optimiser.")
    batch: int = Field(4, ge=1, le=MOST_BATCH, description="Clips per step, all processes together.")
    learning_rate: float = Field(5e-4, gt=0, le=1, description="Rate between warm-up and cool-down.")
    save_every: int = Field(50, ge=1, description="Steps between saved states.")
    losses: Weights = Field(default_factory=lambda: Weights(text=1), description="Weights of the loss.")
    questions: int = Field(6, ge=1, le=64, description="Questions per clip and step, at most.")
    packed: bool = Field(
        True,
        description="A clip's prompt is read once, its questions are branches; false: a row per question.",
    )
    full_answers: float = Field(
        0.7, ge=0, le=1, description="Share of clips that are asked for the whole answer (flow-level text)."
    )
    expert_dropout: float = Field(
        0.1, ge=0, lt=1, description="Chance that an expert is left out of a step's prompts."
    )
    belief_dropout: float = Field(
        0.25, ge=0, lt=1, description="Share of steps in which no beliefs are told, the tokens alone are."
    )
    adapted_beliefs: float = Field(
        0.4,
        ge=0,
        le=1,
        description="Share of flow-level samples whose beliefs know more than the tokens, as refits' do.",
    )
    refusals: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of flow-level samples that are asked what no movement shows.",
    )
    projector_rate: float = Field(1.0, ge=0, le=100, description="Projectors' share of the learning rate.")
    autocast: bool | None = Field(
        None, description="bfloat16 in the forward pass; null: where the device has units for it."
    )
    evidence_floor: float | None = Field(
        None, description="Answers name an AU only where the experts' logit lies above this; null: always."
    )
    text_rule: TextRule | None = Field(
        None, description="Which AUs answers name: those of labels, flow, both, neither; null: the labels'."
    )
    unimer_share: float = Field(
        0.5, ge=0, le=1, description="Share of steps on Uni-MER rows where there are flow-level samples too."
    )
    tasks: list[str] | None = Field(None, description="Uni-MER tasks whose rows are learned from; null: all.")
    always: list[str] = Field(
        default_factory=list,
        description="Uni-MER tasks whose questions a clip is always asked; chance chooses among the others.",
    )
    false_labels: float = Field(
        0.0, ge=0, le=1, description="Share of AU labels that are made wrong before text_rule (ablations)."
    )
    augment: AugmentSettings | None = Field(
        default_factory=lambda: AugmentSettings(noise=0.2, rigid=0.2, blob=0.1),
        description="Augmentation of flow-level samples; null: none.",
    )
    validate_clips: int = Field(64, ge=1, description="Clips whose class in the text is scored.")

    @model_validator(mode="after")
    def _tasks_are_known(self) -> Self:
        for name, given in (("tasks", self.tasks or []), ("always", self.always)):
            for task in given:
                if task not in TASKS:
                    raise ValueError(f"{name}: there is no task {task}; choose from {', '.join(TASKS)}")
        if self.tasks is not None and (left_out := [task for task in self.always if task not in self.tasks]):
            raise ValueError(f"always: {left_out[0]} is not among tasks; add it there")
        return self


def fast_bfloat16(device: str) -> bool:
    """Whether a device ("cpu", "cuda", ...) multiplies bfloat16 in units of its own; a processor without them
    takes several times as long as in float32."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device != "cpu":
        return True
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


class LanguagePart(Part):
    """Projectors and adapter as a part of the training; ``source`` makes the batches.

    ``experts``: (beginnings of experts' names, share of the learning rate) where they move too.
    """

    settings: LanguageConfig
    model: TrainedModel

    def __init__(
        self, deft: DeftModel, settings: LanguageConfig, source: Source, device: str = "cpu",
        experts: tuple[tuple[str, ...], float] | None = None, subjects: int = 0,
    ) -> None:  # fmt: skip
        torch.manual_seed(settings.seed or 0)
        self.source = source
        trained = EXPERTS if experts else ()
        objective = Objective(
            settings.losses, deft, trained, subjects, gamma_negative=settings.gamma_negative
        )
        halved = fast_bfloat16(device) if settings.autocast is None else settings.autocast
        model = TrainedModel(deft, objective, RowCollator(deft.tokenizer, settings.packed), halved)
        groups = [(("deft.llm.", "objective."), 1.0), (PROJECTED, settings.projector_rate)]
        super().__init__(model, settings, groups + ([experts] if experts else []))

    def batch_of(self, step: int, rank: int = 0, world: int = 1) -> TrainBatch:
        """The batch of a step, with experts dropped by chance (the same for all processes)."""
        batch = self.source(step, rank, world)
        rng = np.random.default_rng([self.settings.seed or 0, step, 7])
        batch.drop = [name for name in EXPERTS if rng.random() < self.settings.expert_dropout]
        if len(batch.drop) == len(EXPERTS) or (batch.clips.change is None and "motion" in batch.drop):
            batch.drop = [name for name in batch.drop if name != "motion"]
        if "motion" not in batch.drop and rng.random() < self.settings.belief_dropout:
            batch.drop.append(BELIEFS)
        return batch

    def result(self) -> DeftModel:
        """The model, in eval mode."""
        return self.model.deft.eval()


def text_source(data: Samples, settings: LanguageConfig, deft: DeftModel | None = None) -> Source:
    """Batches of samples, or of a store's own labelled clips, with answers rendered from what is known of
    them; ``deft`` reads them first where an ``evidence_floor`` is set."""
    store = data if isinstance(data, StoreData) else None
    pool = np.arange(len(data)) if store is None else store.labelled

    def source(step: int, rank: int, world: int) -> TrainBatch:
        rng = np.random.default_rng([settings.seed or 0, step, 3])
        rows = pool[rng.integers(0, len(pool), settings.batch)]
        taken = data.take(rows)
        count = 2 if store is not None or rng.random() < BOTH_PHASES else 1
        maps, targets = tensors_of(taken, count)
        labels = targets.side
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        if store is None and settings.augment is not None:
            maps, targets = augmented(maps, targets, settings.augment, generator)
            labels = targets.side
        clips = DeftBatch(maps, torch.from_numpy(taken.phases[:, :count]))
        if store is not None:
            clips = batch_of([store.inputs[row] for row in rows], [store.faces[row] for row in rows])
            targets.subject = torch.from_numpy(store.subject[rows].astype(np.int64))
        adapted = rng.random(len(rows)) < (settings.adapted_beliefs if store is None else 0.0)
        toward = torch.from_numpy((adapted * rng.uniform(0, MOST_TOWARD, len(rows))).astype(np.float32))
        shown = labels.numpy()
        if settings.evidence_floor is not None and deft is not None:
            deft.motion.eval()
            device = next(deft.parameters()).device
            with torch.no_grad():
                readout = moved(deft.read(moved(clips, device)), "cpu")
            shown = shown * (toward_truth(readout, targets, toward).au > settings.evidence_floor).numpy()
        if settings.text_rule is not None:
            wrong = miscoded(labels.numpy(), settings.false_labels, rng)
            shown = shown_sides(settings.text_rule, maps[:, 0].numpy(), wrong, taken.fine, rng)
        coded = labels.numpy()
        turns = [
            turns_of(coded[n], shown[n], taken.known[n] > 0, int(taken.fine[n]), int(taken.coarse[n]), rng,
                     settings.questions, settings.full_answers, settings.refusals)
            for n in range(len(rows))
        ]  # fmt: skip
        return share_of(TrainBatch(clips, targets, turns, toward=toward), rank, world)

    return source


def unimer_source(data: StoreData, folders: Sequence[Path], settings: LanguageConfig) -> Source:
    """Batches of a store's clips with their Uni-MER dialogues."""
    turns: dict[int, list[Turn]] = {}
    for row, turn in dialogue_rows(folders, data.rows, settings.tasks):
        turns.setdefault(row, []).append(turn)
    pool = np.array(sorted(turns))

    def source(step: int, rank: int, world: int) -> TrainBatch:
        rng = np.random.default_rng([settings.seed or 0, step, 3])
        rows = pool[rng.integers(0, len(pool), settings.batch)]
        asked = [_drawn(turns[row], settings, rng) for row in rows]
        clips = batch_of([data.inputs[row] for row in rows], [data.faces[row] for row in rows])
        _, targets = tensors_of(data.take(rows))
        targets.subject = torch.from_numpy(data.subject[rows].astype(np.int64))
        return share_of(TrainBatch(clips, targets, asked), rank, world)

    return source


def _drawn(turns: Sequence[Turn], settings: LanguageConfig, rng: np.random.Generator) -> list[Turn]:
    """Up to ``settings.questions`` of a clip's turns by chance, of tasks in ``settings.always`` all first."""
    order = [turns[i] for i in rng.permutation(len(turns))]
    return sorted(order, key=lambda turn: turn.kind not in settings.always)[: settings.questions]


def mixed_source(rows: Source, samples: Source, settings: LanguageConfig) -> Source:
    """Batches of Uni-MER rows in a share ``unimer_share`` of the steps, else of flow-level samples."""

    def source(step: int, rank: int, world: int) -> TrainBatch:
        rng = np.random.default_rng([settings.seed or 0, step, 5])
        return (rows if rng.random() < settings.unimer_share else samples)(step, rank, world)

    return source


def share_of(batch: TrainBatch, rank: int, world: int) -> TrainBatch:
    """The clips of a batch that process ``rank`` of ``world`` takes."""
    if world == 1:
        return batch
    keep = torch.arange(len(batch.clips))[rank::world]
    targets: dict[str, Any] = {n: None if v is None else v[keep] for n, v in vars(batch.targets).items()}
    toward = None if batch.toward is None else batch.toward[keep]
    return TrainBatch(batch.clips.take(keep), Targets(**targets), batch.turns[rank::world], toward=toward)


def validate(deft: DeftModel, data: Any, limit: int = 64, batch: int = 16) -> dict[str, float]:
    """UF1 of the coarse class in the text (``uf1``), in the head (``head_uf1``), and how often they agree.

    ``data``: FlowShards or StoreData; its first ``limit`` clips with a coarse class are read (of samples
    the first phase).
    Decoding stops after the class line, so that a check costs little more than reading the prompts.
    """
    from sklearn.metrics import f1_score

    pool = data.take(np.arange(min(4 * limit, len(data))))
    rows = np.flatnonzero(pool.coarse >= 0)[:limit]
    if not len(rows):
        return {"uf1": 0.0, "head_uf1": 0.0, "agree": 0.0}
    training = deft.training
    deft.eval()
    grammar, written, heads = answer_grammar(stop_after="class"), [], []
    device = next(deft.parameters()).device
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        if isinstance(data, StoreData):
            clips = batch_of([data.inputs[row] for row in part], [data.faces[row] for row in part])
        else:
            clips = batch_of([maps_input(pool.maps[row][:1]) for row in part])
        with torch.inference_mode():
            readout = deft.read(moved(clips, device))
        heads += readout.coarse.argmax(-1).tolist()
        for text in deft.answer(readout, [ANSWER_QUESTION] * len(part), grammar, CLASS_TOKENS):
            fine, _, coarse = text.removeprefix("Class: ").rstrip(")").partition(" (")
            word = coarse_of(fine) or coarse
            written.append(COARSE.index(word) if word in COARSE else -1)
    deft.train(training)
    truth, texts, classes = pool.coarse[rows], np.array(written), np.array(heads)
    three = {"labels": range(len(COARSE)), "average": "macro", "zero_division": 0.0}
    return {
        "uf1": float(f1_score(truth, texts, **three)), "head_uf1": float(f1_score(truth, classes, **three)),
        "agree": float((texts == classes).mean()),
    }  # fmt: skip
