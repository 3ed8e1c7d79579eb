"""deft-llm: micro-expressions read from motion by disentangled experts and a language model."""

from __future__ import annotations

import os
from typing import Any

from deft_llm.files import MOST_PIXELS
from deft_llm.version import __version__

# OpenCV reads these when it is loaded: its limit, and no warnings of its own beside our sentences.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MOST_PIXELS))
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")

__all__ = ["Analyzer", "__version__"]


def __getattr__(name: str) -> Any:
    """Load the Analyzer on first use, so that importing the package stays fast."""
    if name == "Analyzer":
        from deft_llm.explain import Analyzer

        return Analyzer
    raise AttributeError(f"module 'deft_llm' has no attribute {name!r}")
