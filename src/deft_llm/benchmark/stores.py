"""Stores of the corpora that a command names: prepared once, reused by every run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deft_llm.corpora import load, names
from deft_llm.corpora.base import Corpus
from deft_llm.errors import UsageError
from deft_llm.files import digest, read_object, real_path, sha256_of
from deft_llm.prepare import prepare_corpus
from deft_llm.store import Store
from deft_llm.store.layout import HEADER, INDEX, MAKE_STORE_AGAIN

STORE = "store"
"""In place of a corpus: ROOT is a finished store (of ``deft prepare`` or ``deft synth --level flow``)."""


def pairs_of(words: Sequence[str]) -> list[tuple[str, Path]]:
    """(corpus, root) pairs of a command's words. Raises: UsageError for an odd number, an unknown corpus."""

    if not words or len(words) % 2:
        raise UsageError("give corpora as pairs NAME ROOT, as in: deft benchmark flowmaps DIR --method svm.")
    pairs = [(name, Path(root)) for name, root in zip(words[::2], words[1::2])]
    for name, root in pairs:
        if name not in (*names(), STORE):
            known = ", ".join((*names(), STORE))
            raise UsageError(f"{name}: no such corpus; choose one of {known}.")
        if not root.exists():
            raise UsageError(f"{root}: no such folder; check ROOT of {name}.")
    return pairs


def cache_folder(name: str, root: Path, annotations: Path | None) -> Path:
    """Where a corpus's store lies when no --store is given."""
    import platformdirs

    key = digest([name, str(real_path(root)), sha256_of(annotations) if annotations else None])
    return Path(platformdirs.user_cache_dir("deft-llm")) / "stores" / f"{name}-{key}"


def open_stores(
    pairs: Sequence[tuple[str, Path]],
    *,
    store: Path | None = None,
    annotations: Path | None = None,
    workers: int = 2,
) -> list[Path]:
    """Prepare each corpus where that is not done; returns the store folders. ``store DIR`` is one already.

    ``store``: one folder for one corpus; several corpora get a subfolder each. Raises: UsageError where it
    was prepared from another edition of the annotation.
    """
    from filelock import FileLock

    if annotations is not None and not annotations.is_file():
        raise UsageError(f"--annotations {annotations}: no such file.")
    for option, value in (("annotations", annotations), ("store", store)):
        if value is not None and all(name == STORE for name, _ in pairs):
            raise UsageError(
                f"--{option} {value}: no effect on a finished store; leave it out, or name the corpus."
            )
    folders = []
    for number, (name, root) in enumerate(pairs):
        if name == STORE:
            folders.append(Store(root).root)
            continue
        folder = store or cache_folder(name, root, annotations)
        if store is not None and len(pairs) > 1:
            folder = store / f"{number}-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".benchmark.lock"):  # runs that start together prepare once
            corpus = load(name, root, annotations)
            if store is not None:
                _refuse_other_edition(folder, corpus)
            prepare_corpus(corpus, folder, workers=workers)
        folders.append(folder)
    return folders


def _refuse_other_edition(folder: Path, corpus: Corpus) -> None:
    """Raise UsageError where the finished store in ``folder`` has labels of another edition than ``corpus``:
    to prepare it again would replace them. One that does not say its edition is prepared again."""
    if not (folder / HEADER).is_file() or not (folder / INDEX).is_file():
        return
    there = read_object(folder / HEADER, mend=MAKE_STORE_AGAIN).get("edition")
    if not isinstance(there, dict):
        return
    here = corpus.edition
    same = all(there.get(name) == here.get(name) for name in ("coding", "corrections"))
    # One may be given the table that the other finds in the corpus: coding tells those apart.
    given = [one.get("annotations") for one in (there, here)]
    if not same or (all(given) and given[0] != given[1]):
        raise UsageError(
            f"--store {folder}: was prepared from another annotation ({there.get('coding')}; here "
            f"{corpus.coding}); give 'store {folder}' in place of the corpus, the same --annotations, or "
            "another --store."
        )
