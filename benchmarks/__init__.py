"""Scripts that print the tables of the documents; run one as ``python -m benchmarks.NAME``."""
