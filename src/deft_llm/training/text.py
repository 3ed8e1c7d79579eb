"""Words as vectors for the motion-text alignment: the embedded LLM's own token embeddings,
or hashed letters."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from deft_llm.errors import DeftError
from deft_llm.files import open_tensors
from deft_llm.model.units import EXPERT_AUS, au_text
from deft_llm.setup.weights import require


def au_text_vectors(width: int = 256) -> np.ndarray:
    """(A, D) unit vectors of the AUs' texts, without the mean that all of them share.

    Mean input embeddings of the embedded LLM where it is set up, else hashed words: so that training runs
    anywhere. The projection after it is learned in both cases.
    """
    texts = [au_text(number) for number in EXPERT_AUS]
    if word_source() == "embedded":
        vectors = _llm_vectors(texts)
    else:
        vectors = np.stack([_hashed(text, width) for text in texts])
    vectors = vectors - vectors.mean(0)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def word_source() -> str:
    """Where ``au_text_vectors`` takes its words from on this machine: "embedded" or "hashed"."""
    try:
        require("llm")
    except DeftError:
        return "hashed"
    return "embedded"


def _hashed(text: str, width: int) -> np.ndarray:
    found = np.zeros(width)
    for word in text.replace(",", " ").replace(":", " ").replace("-", " ").split():
        code = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
        found += np.random.default_rng(code).standard_normal(width)
    return found


def _llm_vectors(texts: list[str]) -> np.ndarray:
    from transformers import AutoTokenizer

    folder = Path(require("llm"))
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    with open_tensors(folder / "model.safetensors", "pt", "run `deft setup` again") as handle:
        table = handle.get_tensor("model.embed_tokens.weight").float().numpy()
    return np.stack([table[tokenizer(text).input_ids].mean(0) for text in texts])
