"""Takes a subject out of a store for good: tensors, index, failures and contact sheet."""

from __future__ import annotations

from pathlib import Path

from deft_llm.errors import DeftError
from deft_llm.files import atomic_path, open_tensors, read_json, sha256_of, write_json
from deft_llm.prepare.contact import draw_contact_sheet
from deft_llm.records import loose
from deft_llm.store import Store, StoreWriter
from deft_llm.store.layout import (
    INDEX,
    IndexRow,
    ShardInfo,
    read_shard,
    shard_path,
    sidecar_path,
    write_shard_info,
)

PURGED = "purged.json"


def purged_subjects(store: Path) -> list[str]:
    """Subjects that were purged from the store; ``deft prepare`` leaves them out from then on."""
    path = Path(store) / PURGED
    return list(read_json(path)) if path.exists() else []


def purge(store: Path, subject: str) -> int:
    """Remove all clips of ``subject`` ("casme2/sub01") from the store; returns how many there were.

    Stopped half-way, the store refuses to open until ``deft prepare`` has run again, which leaves the
    subject out. Raises: DeftError where the store has no such subject.
    """
    opened = Store(store)
    root = opened.root
    known = {clip.subject for clip in opened.clips}
    named = [name for name in known if loose(name) == loose(subject)]
    failed = [f for f in opened.failures if loose(f.clip_id).startswith(loose(subject) + "/")]
    if not named and not failed:
        near = ", ".join(sorted(known)[:4])
        raise DeftError(f"{root}: has no subject {subject} (its subjects are {near}, ...); name one of them.")
    subject = named[0] if named else subject
    write_json(root / PURGED, sorted({*purged_subjects(root), subject}))
    for name in (INDEX, "contact_sheet.png", "summary.json", "faults.json"):
        (root / name).unlink(missing_ok=True)  # all of them may name or show the subject
    numbers = sorted(int(path.stem) for path in (root / "shards").glob("*.json"))
    removed = sum(_purge_shard(root, number, subject) for number in numbers)
    StoreWriter(root, opened.settings).finish(len(numbers))
    if len(Store(root)):
        draw_contact_sheet(Store(root), root / "contact_sheet.png")
    return removed


def _purge_shard(root: Path, number: int, subject: str) -> int:
    side = sidecar_path(root, number)
    info = read_shard(root, number)
    kept = [row for row in info.rows if row.clip.subject != subject]
    failures = [f for f in info.failures if not loose(f.clip_id).startswith(loose(subject) + "/")]
    if len(kept) == len(info.rows) and len(failures) == len(info.failures):
        return 0
    gone = len(info.rows) - len(kept)
    side.unlink()  # without it the shard does not count
    rows, sha = _rewrite(root, number, kept)
    info = ShardInfo(
        number=number, key=f"{info.key} without {subject}", rows=rows, failures=failures, sha256=sha
    )
    write_shard_info(root, info)
    return gone


def _rewrite(root: Path, number: int, kept: list[IndexRow]) -> tuple[list[IndexRow], str]:
    """Write the shard's tensors with the kept rows only; returns the renumbered rows and the file's hash."""
    from safetensors.numpy import save_file

    path = shard_path(root, number)
    if not kept:
        path.unlink(missing_ok=True)
        return [], ""
    places: dict[str, list[int]] = {}
    rows = []
    for row in kept:
        group = places.setdefault(row.group, [])
        rows.append(row.model_copy(update={"row": len(group)}))
        group.append(row.row)
    with open_tensors(path) as handle:
        names = [name for name in handle.keys() if name.split("/")[0] in places]  # noqa: SIM118
        tensors = {name: handle.get_tensor(name)[places[name.split("/")[0]]] for name in names}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)
    sha = sha256_of(path)
    return [row.model_copy(update={"sha256": sha}) for row in rows], sha
