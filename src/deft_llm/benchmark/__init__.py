"""Runs methods over folds: samples from stores, fit, predict, predictions.jsonl, metrics.json."""
