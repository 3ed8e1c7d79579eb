"""Video in, answer and evidence out; light to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deft_llm.explain.analysis import Analysis
    from deft_llm.explain.analyzer import Analyzer

__all__ = ["Analysis", "Analyzer"]


def __getattr__(name: str) -> Any:
    if name == "Analyzer":
        from deft_llm.explain.analyzer import Analyzer

        return Analyzer
    if name == "Analysis":
        from deft_llm.explain.analysis import Analysis

        return Analysis
    raise AttributeError(name)
