"""Turns the LLM's GGUF file into bf16 safetensors, once: a GGUF-loaded model cannot be trained or saved."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

from deft_llm.errors import DeftError


def convert_gguf(file: Path, out: Path) -> None:
    """Write model.safetensors, config and tokenizer of the Llama-type GGUF ``file`` into ``out``.

    The 4-bit weights are de-quantised to float32 and stored as bfloat16; no hub is asked.
    Raises: DeftError where the converted model lacks weights.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        # The loader's progress bar cannot be switched off; it would fill logs.
        with contextlib.redirect_stderr(io.StringIO()):
            packed = AutoModelForCausalLM.from_pretrained(
                file.parent, gguf_file=file.name, dtype=torch.float32
            )
        # A GGUF-loaded model keeps a quantizer that refuses training and saving: its weights move to a
        # plain model of the same configuration.
        values = packed.config.to_dict()
        for key in ("quantization_config", "_name_or_path", "transformers_version"):
            values.pop(key, None)
        plain = LlamaForCausalLM(LlamaConfig(**values))
        lacking, surplus = plain.load_state_dict(packed.state_dict(), strict=False)
        lacking = [key for key in lacking if key != "lm_head.weight"]
        if lacking or surplus:
            raise DeftError(f"{file}: conversion lacks {lacking[:3]} and leaves {surplus[:3]}; "
                            "install the versions of constraints.txt.")  # fmt: skip
        plain.tie_weights()
        torch.nn.Module.to(plain, torch.bfloat16)
        plain.save_pretrained(out)
        tokenizer.save_pretrained(out)
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
