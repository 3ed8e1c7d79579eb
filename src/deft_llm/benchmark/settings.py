"""What a benchmark run was asked for; written beside its results and compared before resuming."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from deft_llm.config import git_revision, package_versions
from deft_llm.errors import DeftError
from deft_llm.files import claim_folder, digest, read_object, sha256_of, write_json
from deft_llm.version import __version__

# The same whatever they are: they change speed, not results.
NEUTRAL = frozenset({"workers"})
# Left out where not asked for, so that run folders of earlier versions can still be resumed.
OPTIONAL = frozenset({"deletion", "features"})
SETTINGS_FILE = "benchmark.json"
PACKAGE = Path(__file__).parents[1]


class BenchmarkSettings(BaseModel):
    """One run of one method by one protocol with one seed."""

    model_config = ConfigDict(extra="forbid")
    corpora: list[str] = Field(description="Names of the corpora, in the order of the command.")
    method: str = Field(description="Key of the method.")
    task: Literal["emotion", "au", "vqa", "spotting"] = Field(
        "emotion", description="What is asked: classes, Action Units, questions, or intervals in long videos."
    )
    protocol: str = Field("loso", description="loso, cde, hde, cross, kfold or fixed.")
    labels: str = Field("megc3", description="Label setting: megc3, native, 4, 5, 7 or objective.")
    zero_shot: bool = Field(False, description="Nothing is trained; every clip is tested.")
    leak: bool = Field(False, description="Choose on the test subject, stamped LEAKY.")
    answers: bool = Field(False, description="The method writes answers too.")
    seed: int = Field(0, description="Seed of the method; folds do not depend on it.")
    k: int = Field(5, description="Folds of kfold.")
    val_fraction: float = Field(
        default=0.15, gt=0, lt=1, description="Share of a fold's training subjects that validate."
    )
    deletion: int = Field(
        default=0, ge=0, description="Clips of which deletion and insertion curves are drawn."
    )
    features: bool = Field(False, description="Export what the method reads, for probes.")
    workers: int = Field(default=2, ge=1, description="Processes; they never change a figure.")
    options: dict[str, Any] = Field(default_factory=dict, description="The method's own options, a.b=c.")


def save_settings(run: Path, settings: BenchmarkSettings, inputs: dict[str, str]) -> None:
    """Write ``benchmark.json``: settings, what they were run on, the code, git revision and package versions.

    ``inputs``: digests of the stores, the folds and the method's weights.
    Raises: UsageError where the folder holds another product, DeftError for another benchmark.
    """
    path = claim_folder(run, SETTINGS_FILE) / SETTINGS_FILE
    asked = settings.model_dump(mode="json", exclude=set(NEUTRAL))
    asked = {name: value for name, value in asked.items() if value or name not in OPTIONAL}
    key = digest([asked, inputs])
    if path.exists():
        there = read_object(path, mend="choose another --out or remove this folder")
        if there.get("key") != key:
            differs = [n for n in asked if there.get(n) != asked[n]] or [
                n for n in inputs if there.get("inputs", {}).get(n) != inputs[n]
            ]
            raise DeftError(
                f"{run}: holds another benchmark ({', '.join(differs) or 'older version'} "
                f"differs); choose "
                "another --out or remove this folder."
            )
        return
    write_json(
        path,
        {
            **asked,
            "inputs": inputs,
            "key": key,
            "code": code_digest(),
            "git_revision": git_revision(),
            "versions": package_versions(),
        },
    )


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Digest of the package's own files: a revision that changes none of them is the same code."""
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return digest(sorted([path.relative_to(PACKAGE).as_posix(), sha256_of(path)] for path in files))


def refuse_other_code(run: Path) -> None:
    """For a run with something left to do, which no two states of the code may share.

    Raises: DeftError where the run was begun by other code than this.
    """
    there = read_object(run / SETTINGS_FILE, mend="choose another --out or remove this folder")
    if there.get("code") != code_digest():
        begun = [there.get("versions", {}).get("deft-llm"), there.get("git_revision")]
        raise DeftError(
            f"{run}: is unfinished and was begun by other code of deft-llm ({_words(begun)}; here "
            f"{_words([__version__, git_revision()])}); finish it with that code, choose another --out or "
            "remove this folder."
        )


def _words(code: list[str | None]) -> str:
    """Version and revision, as far as they are known."""
    return ", ".join(filter(None, code)) or "an unknown version"
