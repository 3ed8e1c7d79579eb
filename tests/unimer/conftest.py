"""Fixtures of the Uni-MER tests; the builders are in conftest_unimer."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from conftest_unimer import built, store  # noqa: F401
