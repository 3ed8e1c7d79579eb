"""Scoring needs no torch: any reviewer can recompute a score from the file."""

from __future__ import annotations

import subprocess
import sys


def test_evaluation_never_imports_torch() -> None:
    code = (
        "import sys; import deft_llm.evaluation.score, deft_llm.evaluation.compare, "
        "deft_llm.evaluation.report, "
        "deft_llm.evaluation.probes, deft_llm.evaluation.deletion, deft_llm.evaluation.agree; "
        "sys.exit(any(name.split('.')[0] in ('torch', 'transformers') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0
