"""The language model under DEFT: any causal LM by name or folder, the embedded one, or a tiny random one; its
adapter, and the words of the structured multimodal prompt around the experts' soft tokens.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from deft_llm.errors import DeftError
from deft_llm.setup.weights import require

EMBEDDED = "embedded"
TINY = "tiny-random"

PROMPT_VERSION = 4
EXPERTS = ("structure", "texture", "motion")
"""Order of the experts in the prompt; each stands between its own two delimiter vectors."""
FACE_EXPERTS = EXPERTS[:2]
"""Those that see pictures of the face."""
ANSWER_QUESTION = "Give class, evidence and rationale."
SYSTEM = "Facial motion, read by experts."
_SOFT = "\u0001"


def prompt_parts(tokenizer: Any, question: str) -> tuple[list[int], list[int]]:
    """Token ids before and after the soft tokens, in the model's own chat form where it has one."""
    if getattr(tokenizer, "chat_template", None):
        text = tokenizer.apply_chat_template(
            [{"role": "system", "content": SYSTEM}, {"role": "user", "content": f"{_SOFT}\n{question}"}],
            tokenize=False, add_generation_prompt=True,
        )  # fmt: skip
    else:
        text = f"{_SOFT}\nQuestion: {question}\nAnswer: "
    before, after = (tokenizer(part, add_special_tokens=False).input_ids for part in text.split(_SOFT))
    return before, after


def load_backbone(name: str = EMBEDDED, *, dtype: str = "float32", four_bit: bool = False) -> tuple[Any, Any]:
    """(model, tokenizer) of a causal LM: "embedded" (SmolLM2-135M-Instruct, `deft setup`), "tiny-random"
    (tests), a folder or a hub id. ``four_bit`` needs bitsandbytes and a GPU.

    Raises: DeftError for one that cannot be loaded.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    if name == TINY:
        return tiny_backbone()
    where: str | Path = name
    if name == EMBEDDED:
        where = require("llm")
    options: dict[str, Any] = {"dtype": getattr(torch, dtype)}
    if four_bit:
        from transformers import BitsAndBytesConfig

        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
    try:
        logging.disable_progress_bar()  # loading takes a second; its bar would stand in our own output
        tokenizer = AutoTokenizer.from_pretrained(where)
        model = AutoModelForCausalLM.from_pretrained(where, **options)
    except (OSError, ValueError, ImportError) as error:
        raise DeftError(f"language model {name}: cannot be loaded ({str(error).splitlines()[0]}).") from error
    return model, tokenizer


def tiny_backbone(seed: int = 0) -> tuple[Any, Any]:
    """A random LM of 2 layers with a byte-level tokenizer, made in memory: for tests, no downloads."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: index for index, symbol in enumerate(["<|end|>", *alphabet])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<|end|>")
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=1024, tie_word_embeddings=True,
        bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config), tokenizer


def add_lora(model: Any, rank: int, alpha: int, dropout: float = 0.0) -> Any:
    """PEFT LoRA on every projection of attention and MLP (those that the model has)."""
    from peft import LoraConfig, TaskType, get_peft_model

    wanted = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "c_attn", "c_proj",
              "query_key_value", "qkv_proj", "gate_up_proj", "dense")  # fmt: skip
    names = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    targets = [name for name in wanted if name in names]
    if not targets:
        raise DeftError("language model: no projection layers of a known name; name them in the config.")
    config = LoraConfig(task_type=TaskType.CAUSAL_LM, r=rank, lora_alpha=alpha, lora_dropout=dropout,
                        target_modules=targets)  # fmt: skip
    with warnings.catch_warnings():
        # PEFT asks the model in words that this version of transformers is about to drop
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        return get_peft_model(model, config)
