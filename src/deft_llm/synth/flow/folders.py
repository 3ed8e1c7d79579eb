"""The folder layout that STSTNet and HTNet read: ``<root>/<subject>/u_train|u_test/<0|1|2>/<name>.png``.

Every subject's folder is one fold of leave-one-subject-out: its own maps in ``u_test``, all others' in
``u_train``. A map is written once; the other folds hold hard links to it.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path

from deft_llm.errors import DeftError, UsageError

NUMBER_OF = {"negative": "0", "positive": "1", "surprise": "2"}
MOST_LINKS = 2_000_000


def check_folders(clips: int, subjects: int) -> None:
    """Raises: UsageError where the folds would hold too many files, or no training subject at all."""
    if subjects < 2:
        raise UsageError("--layout ststnet: has a fold for each subject; ask for 2 --subjects or more.")
    if clips * subjects > MOST_LINKS:
        raise UsageError(
            f"--layout ststnet: {clips} maps in {subjects} folds are {clips * subjects:,} files; "
            f"ask for at most {MOST_LINKS:,}, or use --layout flowmaps or store."
        )


def map_path(subject: int, name: str, coarse: str | None) -> str | None:
    """Where a map lies that belongs to ``subject`` (number); None for a class that the layout has not."""
    if coarse is None or coarse not in NUMBER_OF:
        return None
    folder = f"synth{subject + 1:03d}"
    return f"{folder}/u_test/{NUMBER_OF[coarse]}/{folder}_{name}.png"


def link_training(out: Path, paths: list[str]) -> None:
    """Give the ``u_train`` of every subject that has maps those of all others; links that are there are kept.

    Raises: DeftError where the disk is full or neither links nor copies can be made, or one subject has maps.
    """
    owners = sorted({path.split("/")[0] for path in paths})
    if len(owners) < 2:
        raise DeftError(
            f"{out}: {len(owners)} subject has maps of the layout's three classes; ask for more --clips."
        )
    for own in owners:
        for kind in ("u_train", "u_test"):
            for coarse in NUMBER_OF.values():
                (out / own / kind / coarse).mkdir(parents=True, exist_ok=True)
        for path in paths:
            owner, _, coarse, file = path.split("/")
            target = out / own / "u_train" / coarse / file
            if owner == own or (target.exists() and filecmp.cmp(out / path, target, shallow=False)):
                continue
            try:
                _link(out / path, target)
            except OSError as error:
                raise DeftError(f"{target}: {error.strerror}; free space and run the same again.") from error


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        part = target.with_name(f".{target.name}.part")
        shutil.copyfile(source, part)
        os.replace(part, target)
