"""Runs scripts of benchmarks/ and recipes/ in this process, on the smallest inputs that they take."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deft_llm.cli import main as deft

SHARD_CLIPS = 32


def _call(main: Callable[[], Any], *words: object) -> None:
    before, sys.argv = sys.argv, ["script", *map(str, words)]
    try:
        if code := main():
            raise SystemExit(code)
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.argv = before


@pytest.fixture
def script(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """``script("benchmarks.flow", word, ...)`` runs the script's ``main``; returns what it printed."""

    def call(name: str, *words: object) -> str:
        capsys.readouterr()
        _call(importlib.import_module(name).main, *words)
        return capsys.readouterr().out

    return call


@pytest.fixture
def figures(script: Callable[..., str]) -> Callable[..., dict[str, Any]]:
    """The same for scripts whose last line is JSON; returns that."""
    return lambda name, *words: json.loads(script(name, *words).splitlines()[-1])


@pytest.fixture(scope="session")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 flow maps of 4 synthetic subjects, in the ``flowmaps`` layout."""
    root = tmp_path_factory.mktemp("maps") / "maps"
    words = ["synth", root, "--level", "flow", "--layout", "flowmaps", "--clips", 24, "--subjects", 4]
    _call(lambda: deft([str(word) for word in [*words, "--seed", 1, "--split", "test"]]))
    return root


@pytest.fixture(scope="session")
def store(maps: Path) -> Path:
    """The maps, prepared."""
    root = maps.parent / "store"
    _call(lambda: deft(["prepare", "flowmaps", str(maps), "--store", str(root)]))
    return root


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rendered clips of one subject, in the layout of ``deft synth``."""
    root = tmp_path_factory.mktemp("clips") / "clips"
    words = ["synth", root, "--clips", 2, "--subjects", 1, "--seed", 1, "--size", 160, "--negatives", 0]
    _call(lambda: deft([str(word) for word in [*words, "--long-videos", 0]]))
    return root


@pytest.fixture(scope="session")
def clip_store(clips: Path) -> Path:
    """The rendered clips, prepared."""
    root = clips.parent / "store"
    _call(lambda: deft(["prepare", "synthetic", str(clips), "--store", str(root)]))
    return root


def _shards(root: Path, split: str) -> Path:
    main = importlib.import_module("recipes.flow_samples").main
    _call(main, root, "--shards", 1, "--size", SHARD_CLIPS, "--identities", 3, "--seed", 1, "--split", split)
    return root


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One flow-level shard of training identities."""
    return _shards(tmp_path_factory.mktemp("shards") / "train", "train")


@pytest.fixture(scope="session")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One flow-level shard of validation identities."""
    return _shards(tmp_path_factory.mktemp("shards") / "held", "validation")


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of films of two rendered subjects, those with a misleading face also without it."""
    root = tmp_path_factory.mktemp("films") / "films"
    words = ["synth", root, "--film", "keys", "--clips", 6, "--subjects", 2, "--size", 224]
    words += [f"conditions.{word}" for word in ("phase=rise", "lures=0.7", "twins=true", "flow=farneback")]
    _call(lambda: deft([str(word) for word in words]))
    return root
