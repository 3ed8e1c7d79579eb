"""Train the ``flow2text`` baseline: a LoRA adapter that reads region tables in words, on DEFT's own data.

    python -m recipes.flow2text SAMPLES --out ADAPTER --steps 385

Samples, augmentation, questions and answers are those of DEFT's language part (``training/language.py``);
only the prompt differs: where DEFT puts the experts' tokens stand the words of ``methods.table_words``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch import Tensor, nn

from deft_llm.files import write_json
from deft_llm.methods.table_words import prompt_text, table_words
from deft_llm.model.checkpoint import SHIPPED
from deft_llm.model.deft import DeftModel
from deft_llm.model.inputs import region_pool
from deft_llm.model.language import EMBEDDED, add_lora, load_backbone
from deft_llm.model.packing import RowCollator, answer_losses, text_loss
from deft_llm.training.flow_shards import FlowShards
from deft_llm.training.language import LanguageConfig, Source, text_source
from deft_llm.training.loop import Part, fit
from deft_llm.training.objective import TrainBatch

EMBEDDED_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"  # of the base in the adapter's config


def prompt_start(tokenizer: Any, words: str) -> str:
    """``prompt_text`` up to the line break before the question; the rest is that of
    ``model.language.prompt_parts``."""
    return prompt_text(tokenizer, words, "\u0001").partition(f"{words}\n")[0] + words


class TableReader(nn.Module):
    """A language model with LoRA on prompts of words alone; ``forward`` gives the loss of a batch's turns."""

    def __init__(
        self, llm: Any, tokenizer: Any, *, rank: int, alpha: int, regions: int, packed: bool = True
    ) -> None:
        super().__init__()
        self.llm, self.tokenizer, self.regions = add_lora(llm, rank, alpha), tokenizer, regions
        self.collator = RowCollator(tokenizer, packed)

    def prompt_ids(self, table: Tensor) -> list[int]:
        """Token ids of one clip's prompt up to the question; table (R, 3) relative dx, dy, divergence."""
        words = table_words(table.float().cpu().numpy(), self.regions)
        text = prompt_start(self.tokenizer, words)
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def forward(self, batch: TrainBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, its parts) of the answers; the region tables of the first phase are told in words."""
        embed, device = self.llm.get_input_embeddings(), batch.clips.maps.device
        rows = [self.prompt_ids(table) for table in region_pool(batch.clips.maps[:, 0])]
        prompts = [embed(torch.tensor(row, device=device)) for row in rows]
        made = self.collator([len(row) for row in rows], batch.turns).to(device)
        loss = text_loss(*answer_losses(self.llm, prompts, made), made.weights)
        return loss, {"text": loss.detach()}


class TablePart(Part):
    """The adapter as a part of a training."""

    def __init__(self, reader: TableReader, settings: LanguageConfig, source: Source) -> None:
        super().__init__(reader, settings, [(("llm.",), 1.0)])
        self.source = source

    def batch_of(self, step: int, rank: int = 0, world: int = 1) -> TrainBatch:
        """The batch of a step."""
        return self.source(step, rank, world)


def train(
    samples: Path, out: Path, settings: LanguageConfig, *, backbone: str = EMBEDDED, experts: Path = SHIPPED,
    rank: int = 8, alpha: int = 16, regions: int = 8, **options: Any,
) -> Path:  # fmt: skip
    """Train into ``out`` (resumes by itself) and write the finished adapter there, in PEFT's form.

    ``experts``: checkpoint that decides which AUs an answer names (``evidence_floor``),
    as in DEFT's own training.
    """
    torch.manual_seed(settings.seed or 0)
    llm, tokenizer = load_backbone(backbone)
    reader = TableReader(llm, tokenizer, rank=rank, alpha=alpha, regions=regions, packed=settings.packed)
    reads = settings.evidence_floor is not None
    deft = DeftModel.from_pretrained(experts, language=False) if reads else None
    part = TablePart(reader, settings, text_source(FlowShards(samples), settings, deft))
    fit(part, out, log_every=5, **options)
    if backbone == EMBEDDED:
        reader.llm.peft_config["default"].base_model_name_or_path = EMBEDDED_NAME
    if PartialState().is_main_process:
        # The vocabulary stays as it was: nothing of the base is asked for.
        reader.llm.save_pretrained(str(out), save_embedding_layers=False)
        write_json(Path(out) / "training.json", {"steps": part.step})
    return Path(out)


def main() -> None:
    """Command line: samples -> adapter folder."""
    parser = argparse.ArgumentParser(description="Train the flow2text baseline's adapter.")
    parser.add_argument("samples", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="adapter folder; the same command resumes it")
    parser.add_argument("--steps", type=int, default=385)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--learning-rate", type=float, default=4e-4)
    parser.add_argument("--full-answers", type=float, default=0.95)
    parser.add_argument("--evidence-floor", type=float, default=0.4)
    parser.add_argument("--cooldown", type=int, default=60, help="last steps, over which the rate falls")
    parser.add_argument("--regions", type=int, default=8, help="most regions that are told of a clip")
    parser.add_argument("--backbone", default=EMBEDDED)
    given = parser.parse_args()
    settings = LanguageConfig(
        seed=given.seed, steps=given.steps, batch=given.batch, learning_rate=given.learning_rate,
        full_answers=given.full_answers, evidence_floor=given.evidence_floor, cooldown_steps=given.cooldown,
        expert_dropout=0.0, save_every=10,
    )  # fmt: skip
    train(
        given.samples, given.out, settings, backbone=given.backbone, regions=given.regions,
        progress=lambda done, total, parts: print(
            f"step {done} of {total}: loss {parts['text']:.3f}", flush=True
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
