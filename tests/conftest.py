"""Shared by all tests: offline, one thread, nothing written outside temporary folders."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import pytest


@pytest.fixture
def run():
    """Run ``deft WORD...`` in this process; the exit code."""
    from deft_llm.cli import main

    def call(*words: object) -> int:
        try:
            main([str(word) for word in words])
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return call
