"""Scores: folds, metrics, intervals and reports, from predictions.jsonl alone; never imports torch."""
