"""Corpus -> motion store: faces and motion of every clip, in shards, resumable, on one machine or many."""

from deft_llm.prepare.run import Report, prepare, prepare_corpus

__all__ = ["Report", "prepare", "prepare_corpus"]
