"""Start-up times: ``import deft_llm`` and ``deft --help``, each in a fresh process.

python -m benchmarks.startup

CPU seconds stand beside the clock's: they hold on a machine that others use too.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path


def median_seconds(command: list[str], times: int = 7) -> tuple[float, float]:
    """Median seconds of a command by the clock and of CPU, after one run that warms the disk cache."""
    subprocess.run(command, check=True, capture_output=True)
    walls, cpus = [], []
    for _ in range(times):
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}.")
        walls.append(time.perf_counter() - start)
        cpus.append(used.ru_utime + used.ru_stime)
    return statistics.median(walls), statistics.median(cpus)


def main() -> None:
    deft = Path(sys.executable).with_name("deft")
    for name, command, aim in (
        ("bare interpreter", [sys.executable, "-c", "pass"], ""),
        ("import deft_llm", [sys.executable, "-c", "import deft_llm"], "  (aim: below 0.3)"),
        ("deft --help", [str(deft), "--help"], "  (aim: below 0.5)"),
    ):
        wall, cpu = median_seconds(command)
        print(f"{name:18}{wall:7.3f} s, {cpu:.3f} s of CPU{aim}")


if __name__ == "__main__":
    main()
