"""How much of the class stands in the words that ``flow2text`` reads: a linear model, no language model.

    python -m benchmarks.table_words SHARDS STORE [--samples 2720]

Logistic regression on which "region direction" lines a clip's words have, fitted on flow-level shards of
training identities, scored on a store that it never saw. Prints one line of JSON: UF1 (macro F1 of negative,
positive, surprise), and the same with every clip's words exchanged for another's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from deft_llm.methods.refit import macro_f1
from deft_llm.methods.table_words import motion_words, table_words
from deft_llm.model.inputs import region_pool, relative_maps
from deft_llm.records import COARSE
from deft_llm.store import Store
from deft_llm.training.flow_shards import FlowShards


def lines_of(words: str) -> list[str]:
    """The lines of a clip's words without their sizes; the first one once more as the first."""
    lines = [line.rsplit(" ", 1)[0] for line in words.splitlines()]
    return [*lines, f"first {lines[0]}"]


def main() -> None:
    """Fit on shards, score on a store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--samples", type=int, default=2720)
    given = parser.parse_args()
    shards = FlowShards(given.shards, limit=1)
    taken = shards.take(np.arange(min(given.samples, len(shards))))
    tables = region_pool(torch.from_numpy(relative_maps(taken.maps[:, :1])))[:, 0].numpy()
    rows = np.flatnonzero(taken.coarse >= 0)
    model = make_pipeline(CountVectorizer(analyzer=lines_of), LogisticRegression(C=0.1, max_iter=500))
    model.fit([table_words(tables[row]) for row in rows], taken.coarse[rows])
    clips = [(clip, motion_words(motion)) for clip, motion in Store(given.store).stream()]
    clips = [(clip, words) for clip, words in clips if clip.coarse in COARSE]
    truth = np.array([COARSE.index(clip.coarse) for clip, _ in clips])
    found = model.predict([words for _, words in clips])
    other = np.random.default_rng(0).permutation(len(found))
    print(json.dumps({
        "fitted on": len(rows), "clips": len(clips), "uf1": round(macro_f1(truth, found, 3), 3),
        "uf1 with another clip's words": round(macro_f1(truth, found[other], 3), 3),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
