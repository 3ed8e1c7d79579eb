"""Start-up times: ``import deft_llm`` and ``deft --help``, each in a fresh process.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path


def median_seconds(command: list[str], times: int = 7) -> float:
    """Median wall time of a command, after one run that warms the disk cache."""
    subprocess.run(command, check=True, capture_output=True)
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    deft = Path(sys.executable).with_name("deft")
    bare = median_seconds([sys.executable, "-c", "pass"])
    imported = median_seconds([sys.executable, "-c", "import deft_llm"])
    print(f"bare interpreter     {bare:6.3f} s")
    print(f"import deft_llm      {imported:6.3f} s  (aim: below 0.3)")
    print(f"deft --help          {median_seconds([str(deft), '--help']):6.3f} s  (aim: below 0.5)")


if __name__ == "__main__":
    main()
