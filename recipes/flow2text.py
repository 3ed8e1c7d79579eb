"""Train the ``flow2text`` baseline: a LoRA adapter that reads region tables in words, on DEFT's own data.

    python -m recipes.flow2text SHARDS --out ADAPTER --steps 385

Samples, augmentation, questions, answers and settings are those of the shipped adapter's stage 2; only the
prompt differs: where DEFT puts the motion expert's tokens stand the words of ``baselines.table_words``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deft_llm.files import write_json
from deft_llm.training.language import Stage2, Stage2Config


class TableReader(nn.Module):
    """A language model with LoRA on prompts of words alone; stands where stage 2 has a ``DeftModel``."""

    # Stage 2 freezes a model's experts; here are none.
    motion = structure = texture = fusion = None

    def __init__(self, llm: Any, tokenizer: Any, *, rank: int, alpha: int, regions: int) -> None:
        from deft_llm.model.language import add_lora

        super().__init__()
        for parameter in llm.parameters():
            parameter.requires_grad_(False)
        self.llm, self.tokenizer, self.regions = add_lora(llm, rank, alpha), tokenizer, regions

    def prompt_ids(self, table: Tensor, question: str) -> list[int]:
        """Token ids of one clip's prompt; table (R, 3) relative dx, dy, divergence."""
        from deft_llm.methods.table_words import prompt_text, table_words

        words = table_words(table.float().cpu().numpy(), self.regions)
        text = prompt_text(self.tokenizer, words, question)
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def forward(
        self, clips: Any, questions: Sequence[str], answers: Sequence[str], drop: Sequence[str] = (),
        cut: bool = False, share_prefix: bool = False,
    ) -> tuple[None, Tensor]:  # fmt: skip
        """Loss on the answers, as ``DeftModel`` gives it beside a readout; ``clips`` is a ``DeftBatch`` whose
        region table of the first phase is told in words."""
        from deft_llm.model.inputs import region_pool
        from deft_llm.model.losses import answer_loss, left_padded

        tables = region_pool(clips.maps[:, 0])
        rows = [self.prompt_ids(table, question) for table, question in zip(tables, questions)]
        embed = self.llm.get_input_embeddings()
        embeds, mask = left_padded([embed(torch.tensor(row, device=clips.maps.device)) for row in rows])
        shared = common_start(rows) if share_prefix else 0
        loss = answer_loss(self.llm, self.tokenizer, embeds, mask, answers, cut=cut, shared=shared)
        return None, loss

    def own_tensors(self) -> dict[str, Tensor]:
        """The adapter's tensors, not the base's."""
        return {name: value for name, value in self.state_dict().items() if "lora_" in name}


def common_start(rows: Sequence[Sequence[int]]) -> int:
    """So many first tokens are the same in all rows, the last of the shortest row left out."""
    most = min(len(row) for row in rows) - 1
    return next((k for k in range(most) if len({row[k] for row in rows}) > 1), most)


def settings_of(steps: int, **changes: Any) -> Stage2Config:
    """Stage 2's settings of the shipped adapter (docs/results/model.md), over ``steps``."""
    shipped: dict[str, Any] = {
        "seed": 5, "batch": 8, "learning_rate": 4e-4, "warmup_steps": 8, "cooldown_steps": 60,
        "full_answers": 0.95, "cut_rationale": 0.4, "bucket": 4, "share_prefix": True, "evidence_floor": 0.4,
        "autocast": False, "expert_dropout": 0.0, "save_every": 10,
    }  # fmt: skip
    return Stage2Config(**{**shipped, "steps": steps, **changes})


def train(
    shards: Path, out: Path, config: Stage2Config, *, backbone: str = "embedded", experts: Path | None = None,
    rank: int = 8, alpha: int = 16, regions: int = 8, **options: Any,
) -> Path:  # fmt: skip
    """Train into ``out`` (resumes by itself) and write the finished adapter there, in PEFT's form.

    ``experts``: checkpoint whose motion expert decides which AUs an answer names (``evidence_floor``), as in
    DEFT's own training; the shipped one where None.
    """
    from accelerate import PartialState

    from deft_llm.model.checkpoint import SHIPPED
    from deft_llm.model.deft import DeftModel
    from deft_llm.model.language import EMBEDDED, EMBEDDED_NAME, load_backbone
    from deft_llm.training.flow_shards import FlowShards
    from deft_llm.training.language import flow_source, run

    torch.manual_seed(config.seed)
    llm, tokenizer = load_backbone(backbone)
    reader = TableReader(llm, tokenizer, rank=rank, alpha=alpha, regions=regions)
    judge = None
    if config.evidence_floor is not None:
        judge = DeftModel.from_pretrained(experts or SHIPPED, language=False)
    stage: Any = Stage2(reader, config, flow_source(FlowShards(shards), config, judge))  # type: ignore[arg-type]
    run(stage, out, **options)
    if backbone == EMBEDDED:
        reader.llm.peft_config["default"].base_model_name_or_path = EMBEDDED_NAME
    if PartialState().is_main_process:
        # The vocabulary stays as it was: nothing of the base is asked for.
        reader.llm.save_pretrained(str(out), save_embedding_layers=False)
        write_json(Path(out) / "training.json", {"steps": stage.step})
    return Path(out)


def main() -> None:
    """Command line: shards -> adapter folder."""
    import argparse

    parser = argparse.ArgumentParser(description="Train the flow2text baseline's adapter.")
    parser.add_argument("shards", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="adapter folder; the same command resumes it")
    parser.add_argument("--steps", type=int, default=385)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--learning-rate", type=float, default=4e-4)
    parser.add_argument(
        "--cut-rationale", type=float, default=0.4, help="share of full answers that stop before it"
    )
    parser.add_argument("--bucket", type=int, default=4, help="candidates a row for rows of like length")
    parser.add_argument("--cooldown", type=int, default=60, help="last steps, over which the rate falls")
    parser.add_argument("--regions", type=int, default=8, help="most regions that are told of a clip")
    parser.add_argument("--backbone", default="embedded")
    given = parser.parse_args()
    config = settings_of(
        given.steps, batch=given.batch, seed=given.seed, learning_rate=given.learning_rate,
        cut_rationale=given.cut_rationale, bucket=given.bucket, cooldown_steps=given.cooldown,
    )  # fmt: skip
    train(
        given.shards, given.out, config, backbone=given.backbone, regions=given.regions,
        progress=lambda done, total, parts: print(
            f"step {done} of {total}: loss {parts['text']:.3f}", flush=True
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
