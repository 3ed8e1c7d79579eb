"""Corpora on disk -> Clip records: one file per corpus, annotation checks, label maps, corrections."""

from deft_llm.corpora.base import Corpus, Fault, entries, load

__all__ = ["Corpus", "Fault", "entries", "load", "names"]


def names() -> list[str]:
    """Names of all corpora that can be read."""
    return list(entries())
