"""Validation of the language part while it trains: the class that it writes for subjects it never saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def validate_text(model: Any, data: Any, limit: int = 64, batch: int = 16) -> dict[str, float]:
    """UF1 of the coarse class in the text (``uf1``), in the head (``head_uf1``), and how often they agree.

    ``data``: FlowShards or StoreData; its first ``limit`` clips with a coarse class are read, first phase.
    Decoding stops after the class line, so that a check costs little more than reading the prompts.
    """
    from deft_llm.facs.emotions import coarse_of
    from deft_llm.methods.refit import macro_f1
    from deft_llm.model.decoding import answer_grammar
    from deft_llm.model.inputs import batch_of, maps_input
    from deft_llm.model.language import ANSWER_QUESTION
    from deft_llm.training.store_data import COARSE

    pool = data.take(np.arange(min(4 * limit, len(data))))
    rows = np.flatnonzero(pool.coarse >= 0)[:limit]
    if not len(rows):
        return {"uf1": 0.0, "head_uf1": 0.0, "agree": 0.0}
    training = model.training
    model.eval()
    grammar, said, heads = answer_grammar(stop_after="class"), [], []
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        with torch.inference_mode():
            readout = model.read(batch_of([maps_input(pool.maps[row][:1]) for row in part]))
        heads += readout.coarse.argmax(-1).tolist()
        for text in model.answer(readout, [ANSWER_QUESTION] * len(part), grammar, max_new_tokens=24):
            fine, _, coarse = text.removeprefix("Class: ").rstrip(")").partition(" (")
            word = coarse_of(fine) or coarse
            said.append(COARSE.index(word) if word in COARSE else -1)
    model.train(training)
    truth, text_classes, head_classes = pool.coarse[rows], np.array(said), np.array(heads)
    return {
        "uf1": float(macro_f1(truth, text_classes, 3)),
        "head_uf1": float(macro_f1(truth, head_classes, 3)),
        "agree": float((text_classes == head_classes).mean()),
    }
