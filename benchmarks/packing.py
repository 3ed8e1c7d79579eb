"""Cost of packed rows: a step on several questions per clip beside the bare backbone on the same tokens, and
beside separate rows.

    python -m benchmarks.packing [--backbone embedded] [--clips 2] [--questions 8] [--repeat 5]

`packed`: forward and backward of ``model.packing`` on rows of one prompt and all
questions. `bare`: the language model itself with its own causal mask on rows of as many
tokens, logits at as many places. `separate`: one row per question. The three take turns;
CPU seconds of the fastest turn are printed, and ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable

import torch

from deft_llm.model.language import add_lora, load_backbone, prompt_parts
from deft_llm.model.packing import RowCollator, Turn, answer_losses
from deft_llm.training.language import fast_bfloat16

QUESTIONS = (
    Turn("What is the coarse expression class?", ("negative",)),
    Turn("What is the fine-grained expression class?", ("disgust",)),
    Turn("What are the action units?", ("brow lowerer, upper lip raiser",)),
    Turn("Is the action unit lip corner puller shown on the face?", ("no",)),
    Turn("Is the action unit brow lowerer shown on the face?", ("yes",)),
    Turn("Is the action unit upper lip raiser located on the left or right face?", ("left",)),
    Turn("Which way did the left inner brow move?", ("down and inward",)),
    Turn("Did a fold deepen at the nose?", ("yes, on both sides of the nose",)),
)
SOFT = 64
"""Soft tokens of a clip's prompt."""


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="embedded")
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    llm, tokenizer = load_backbone(given.backbone)
    llm = add_lora(llm, 8, 16)
    words = llm.get_input_embeddings()
    before = words(torch.tensor(prompt_parts(tokenizer, "")[0], dtype=torch.long)).detach()
    soft = 0.1 * torch.randn(given.clips, SOFT, before.shape[1])
    prompts = [torch.cat([before, one]) for one in soft]
    turns = [[QUESTIONS[i % len(QUESTIONS)] for i in range(given.questions)]] * given.clips
    packed, separate = (RowCollator(tokenizer, p)([len(p) for p in prompts], turns) for p in (True, False))
    rows, length = packed.input_ids.shape
    wanted = torch.nonzero((packed.labels != -100).any(0)).squeeze(1) - 1
    plain = torch.cat([torch.stack(prompts), words(packed.input_ids)[:, len(prompts[0]) :].detach()], 1)

    def bare() -> torch.Tensor:
        logits = llm(inputs_embeds=plain, logits_to_keep=wanted, use_cache=False).logits
        return logits.float().log_softmax(-1)[..., 0].mean()

    calls: dict[str, Callable[[], torch.Tensor]] = {
        "packed": lambda: answer_losses(llm, prompts, packed)[0].mean(),
        "bare": bare,
        "separate": lambda: answer_losses(llm, prompts, separate)[0].mean(),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(given.repeat + 1):
        for name, call in calls.items():
            start = time.process_time()
            with torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16("cpu")):
                call().backward()
            llm.zero_grad()
            if number:
                times[name].append(time.process_time() - start)
    best = {name: min(found) for name, found in times.items()}
    answers = given.clips * given.questions
    print(json.dumps({
        "packed_over_bare": round(best["packed"] / best["bare"], 3),
        "separate_over_packed": round(best["separate"] / best["packed"], 2),
        "packed_cpu_s_per_answer": round(best["packed"] / answers, 4),
        "separate_cpu_s_per_answer": round(best["separate"] / answers, 4),
        "tokens_packed": rows * length, "tokens_separate": separate.input_ids.numel(),
        "answers": answers, "load": os.getloadavg()[0],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
