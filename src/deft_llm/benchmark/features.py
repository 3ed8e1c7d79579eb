"""Exports what a method reads of each clip, for probes: features.npz with one array per expert."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.errors import UsageError
from deft_llm.files import atomic_path, is_whole, seal
from deft_llm.methods.protocol import Method, Sample

FILE = "features.npz"


def export_features(run: Path, method: Method, samples: Sequence[Sample]) -> Path:
    """Write ``features.npz`` (clip_ids, subjects, one (N, D) array per expert) of all clips, once per run.

    The features are those that do not depend on a fold. Raises: UsageError where a method has none.
    """
    path = run / FILE
    if is_whole(path):
        return path
    make = getattr(method, "features", None)
    if make is None:
        raise UsageError(f"--method {method.name} has no features to export; leave out --features.")
    clips = list({sample.clip_id: sample for sample in samples}.values())
    arrays: dict[str, Any] = {
        name: np.asarray(values, np.float32).reshape(len(clips), -1) for name, values in make(clips).items()
    }
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(
            handle,
            clip_ids=np.array([sample.clip_id for sample in clips]),
            subjects=np.array([sample.subject for sample in clips]),
            **arrays,
        )
    seal(path)
    return path
