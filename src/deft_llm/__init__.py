"""deft-llm: micro-expressions read from motion by disentangled experts and a language model."""

from __future__ import annotations

from typing import Any

from deft_llm.version import __version__

__all__ = ["Analyzer", "__version__"]


def __getattr__(name: str) -> Any:
    """Load the Analyzer on first use, so that importing the package stays fast."""
    if name == "Analyzer":
        from deft_llm.explain import Analyzer

        return Analyzer
    raise AttributeError(f"module 'deft_llm' has no attribute {name!r}")
