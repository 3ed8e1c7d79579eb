"""The field's baselines, by their papers, on DEFT's folds and records; a file's name is its method key."""
