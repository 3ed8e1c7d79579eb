"""Who is trained on, validated on and tested on: subject-disjoint folds, written to a file and hashed.

Protocols: ``loso`` and ``cde`` (leave one subject of the union out), ``hde`` (train on one of two corpora,
test on the other), ``cross`` (leave one corpus out), ``kfold`` (by subject), ``fixed`` (a file says). Varanka
et al., "Data Leakage and Evaluation Issues in Micro-Expression Analysis", TAFFC 2024, tells why it is by
subject.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deft_llm.errors import DeftError, UsageError
from deft_llm.files import digest, read_object, reading, write_text
from deft_llm.records import Plain, person

FOLDS_SCHEMA = 1
FOLDS_AGAIN = "run the benchmark again"
PROTOCOLS = ("loso", "cde", "hde", "cross", "kfold", "fixed")
ZERO_SHOT = "zero-shot"
DRAWS = 64


class FoldClip(NamedTuple):
    """What folds need to know of a clip; ``label`` only spreads classes over validation subjects."""

    clip_id: str
    corpus: str
    subject: str
    label: str | None = None


class Fold(BaseModel):
    """Subjects of one fold; the three lists are disjoint."""

    model_config = ConfigDict(extra="forbid")
    name: str
    train: list[str]
    val: list[str]
    test: list[str]


class Folds(BaseModel):
    """All folds of a run, the clips of each subject and the prediction keys that are expected."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    schema_version: int = Field(default=FOLDS_SCHEMA, alias="schema")
    protocol: Plain
    seed: int = 0
    folds: list[Fold]
    clips: dict[str, list[str]]
    questions: dict[str, list[str]] | None = None
    left_out: dict[Plain, Plain] = Field(default_factory=dict)

    @property
    def hash(self) -> str:
        """Digest of the folds, the clips and the questions: equal hashes mean comparable runs."""
        content = self.model_dump(mode="json", include={"protocol", "folds", "clips", "questions"})
        return digest(content)

    def fold(self, name: str) -> Fold:
        """The fold called ``name``. Raises: KeyError."""
        return next(fold for fold in self.folds if fold.name == name)

    def clips_of(self, subjects: Sequence[str]) -> list[str]:
        """Clip ids of ``subjects``, in order."""
        return [clip for subject in sorted(subjects) for clip in self.clips[subject]]

    @property
    def subject_of(self) -> dict[str, str]:
        """The subject of each clip."""
        return {clip: subject for subject, clips in self.clips.items() for clip in clips}

    def expected_keys(self) -> dict[tuple[str, str | None], str]:
        """Every (clip_id, question_id) that a complete run predicts, with its fold."""
        keys: dict[tuple[str, str | None], str] = {}
        for fold in self.folds:
            for clip in self.clips_of(fold.test):
                asked = [None] if self.questions is None else self.questions.get(clip, [])
                keys.update({(clip, question): fold.name for question in asked})
        return keys


def make_folds(
    clips: Sequence[FoldClip],
    protocol: str,
    *,
    k: int = 5,
    val_fraction: float = 0.15,
    seed: int = 0,
    splits: Mapping[str, str] | None = None,
) -> Folds:
    """Folds over ``clips`` by ``protocol``; validation subjects are drawn from the training side only.

    ``splits`` (for "fixed"): subject -> train|val|test. The draw of validation subjects follows ``seed`` and
    the fold's name, never the order of ``clips``.
    Raises: UsageError where the protocol does not fit the corpora or too few subjects are there.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"--protocol {protocol}: unknown; choose one of {', '.join(PROTOCOLS)}.")
    clips = sorted(clips, key=lambda clip: clip.clip_id)
    by_subject: dict[str, list[str]] = defaultdict(list)
    corpus_of: dict[str, str] = {}
    for clip in clips:
        home = corpus_of.setdefault(clip.subject, clip.corpus)
        # SMIC's three cameras filmed the same people.
        if home != clip.corpus and protocol in ("hde", "cross"):
            raise UsageError(
                f"subject {clip.subject} is in {home} and {clip.corpus}, so --protocol {protocol} would "
                "train on test subjects; give one of the two."
            )
        by_subject[clip.subject].append(clip.clip_id)
    held_out = _test_sides(sorted(by_subject), corpus_of, protocol, k, seed, splits)
    labels = {subject: Counter(c.label for c in clips if c.subject == subject) for subject in by_subject}
    folds = []
    for name, (train, val, test) in held_out.items():
        if val is None:
            val = _validation_subjects(train, labels, val_fraction, f"{seed}/{name}")
        folds.append(Fold(name=name, train=sorted(set(train) - set(val)), val=sorted(val), test=sorted(test)))
    made = Folds(protocol=protocol, seed=seed, folds=folds, clips=dict(by_subject))
    check_folds(made)
    return made


def zero_shot_folds(clips: Sequence[FoldClip]) -> Folds:
    """One fold that tests every clip and trains on none."""
    by_subject: dict[str, list[str]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.clip_id):
        by_subject[clip.subject].append(clip.clip_id)
    fold = Fold(name=ZERO_SHOT, train=[], val=[], test=sorted(by_subject))
    return Folds(protocol=ZERO_SHOT, folds=[fold], clips=dict(by_subject))


def _test_sides(
    subjects: list[str],
    corpus_of: dict[str, str],
    protocol: str,
    k: int,
    seed: int,
    splits: Mapping[str, str] | None,
) -> dict[str, tuple[list[str], list[str] | None, list[str]]]:
    corpora = sorted(set(corpus_of.values()))
    if protocol in ("hde", "cross", "cde") and len(corpora) < 2:
        raise UsageError(
            f"--protocol {protocol} needs at least two corpora, found {corpora}; use loso or kfold."
        )
    if protocol == "hde" and len(corpora) != 2:
        raise UsageError(f"--protocol hde needs exactly two corpora, found {corpora}; use cross.")
    if protocol == "fixed":
        return {"fixed": _fixed_sides(subjects, splits)}
    if len(subjects) < 3:
        raise UsageError(f"{len(subjects)} subject(s) are too few: train, validation and test need one each.")
    if protocol in ("loso", "cde"):
        return {s: ([t for t in subjects if t != s], None, [s]) for s in subjects}
    if protocol in ("hde", "cross"):
        inside = {c: [s for s in subjects if corpus_of[s] == c] for c in corpora}
        return {c: ([s for s in subjects if corpus_of[s] != c], None, inside[c]) for c in corpora}
    if not 2 <= k <= len(subjects):
        raise UsageError(
            f"{k} folds over {len(subjects)} subjects are impossible; choose 2 to {len(subjects)}."
        )
    order = _generator(f"{seed}/kfold").permutation(len(subjects))
    groups = [[subjects[i] for i in order[start::k]] for start in range(k)]
    return {
        f"fold{n}": ([s for s in subjects if s not in group], None, group) for n, group in enumerate(groups)
    }


def _fixed_sides(
    subjects: list[str], splits: Mapping[str, str] | None
) -> tuple[list[str], list[str] | None, list[str]]:
    if not splits:
        raise UsageError(
            "--protocol fixed needs --folds FILE that names each subject's split (train, val or test)."
        )
    missing = [s for s in subjects if person(s) not in splits]
    if missing:
        raise UsageError(
            f"the splits file does not name subject {missing[0]} (and {len(missing) - 1} more); add them "
            "with train, val or test."
        )
    side = {name: [s for s in subjects if splits[person(s)] == name] for name in ("train", "val", "test")}
    if not side["train"] or not side["test"]:
        raise UsageError(
            "the splits file leaves train or test empty for these clips; name subjects of theirs in both."
        )
    return side["train"] + side["val"], side["val"] or None, side["test"]


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng(int(digest(name, 15), 16))


def _validation_subjects(
    train: list[str], labels: Mapping[str, Counter[str | None]], fraction: float, name: str
) -> list[str]:
    """The draw, of DRAWS random ones, whose class shares are nearest to the training side's."""
    if len(train) < 2:
        raise UsageError(
            f"fold {name.partition('/')[2]}: one training subject cannot be split into train and validation."
        )
    names = sorted(train)
    count = min(len(names) - 1, max(1, round(fraction * len(names))))
    rng = _generator(name)
    classes = sorted({c for s in names for c in labels[s] if c is not None})
    if not classes:
        return sorted(names[i] for i in rng.permutation(len(names))[:count])
    table = np.array([[labels[s][c] for c in classes] for s in names], float)
    share = table.sum(0) / table.sum()
    best, best_cost = names[:count], np.inf
    for _ in range(DRAWS):
        chosen = rng.permutation(len(names))[:count]
        inside = table[chosen].sum(0)
        cost = np.abs(inside / max(inside.sum(), 1) - share).sum() + (inside == 0).sum()
        if cost < best_cost:
            best, best_cost = sorted(names[i] for i in chosen), cost
    return best


def check_folds(folds: Folds) -> None:
    """Raise DeftError where train, val and test share a subject, a clip is tested twice, or the folds are not
    whole: a protocol tests every subject once (LOSO one in each fold) and trains on all the others."""
    _one_name_each(folds.clips)
    tested: Counter[str] = Counter()
    for fold in folds.folds:
        sides = {"train": set(fold.train), "val": set(fold.val), "test": set(fold.test)}
        for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
            shared = sides[first] & sides[second]
            if shared:
                raise DeftError(
                    f"fold {fold.name}: subject {min(shared)} is in {first} and {second}; mend the folds."
                )
        for side, found in sides.items():
            if not found and (side == "test" or folds.protocol != ZERO_SHOT):
                raise DeftError(f"fold {fold.name}: {side} is empty; mend the folds.")
            unknown = found - set(folds.clips)
            if unknown:
                raise DeftError(
                    f"fold {fold.name}: subject {min(unknown)} has no clips here; mend the folds."
                )
        tested.update(folds.clips_of(fold.test))
        _whole(folds, fold)
    untested = sorted(set(folds.clips) - {s for fold in folds.folds for s in fold.test})
    if untested and folds.protocol != "fixed":
        raise DeftError(
            f"no fold tests subject {untested[0]} ({len(untested)} of {len(folds.clips)} are left out): "
            f"these are not the folds of {folds.protocol}; make them again."
        )
    twice = [clip for clip, count in tested.items() if count > 1]
    if twice:
        raise DeftError(f"clip {twice[0]} is tested in two folds; mend the folds.")


def _whole(folds: Folds, fold: Fold) -> None:
    """Raise DeftError where a fold leaves out subjects, or a fold of LOSO tests several."""
    if folds.protocol in ("loso", "cde") and len(fold.test) != 1:
        raise DeftError(
            f"fold {fold.name}: {folds.protocol} tests one subject at a time, here {len(fold.test)}; mend "
            "the folds."
        )
    missing = sorted(set(folds.clips) - {*fold.train, *fold.val, *fold.test})
    if missing and folds.protocol not in ("fixed", ZERO_SHOT):
        raise DeftError(
            f"fold {fold.name}: subject {missing[0]} ({len(missing)} in all) is neither in train, val nor "
            f"test, so this is no fold of {folds.protocol}; mend the folds."
        )


def _one_name_each(subjects: Iterable[str]) -> None:
    """Raise DeftError where two names mean one person ("a/006", "a/6"): a leak between folds."""
    found: dict[str, str] = {}
    for subject in sorted(subjects):
        first = found.setdefault(person(subject), subject)
        if first != subject:
            raise DeftError(
                f"subjects {first} and {subject} are one person by their names; write each person one way."
            )


def write_folds(path: Path, folds: Folds) -> None:
    """Write ``folds.json``: small enough to read, complete enough to check a run against."""
    write_text(path, folds.model_dump_json(by_alias=True, indent=1) + "\n")


def read_folds(path: Path) -> Folds:
    """Read ``folds.json``. Raises: DeftError where it is no such file or its folds overlap."""
    try:
        folds = Folds.model_validate(read_object(path, mend=FOLDS_AGAIN))
    except ValidationError as error:
        fault = error.errors()[0]
        raise DeftError(
            f"{path}: is no folds file ({'.'.join(map(str, fault['loc']))}: {fault['msg']}); {FOLDS_AGAIN}."
        ) from error
    if folds.schema_version != FOLDS_SCHEMA:
        raise DeftError(
            f"{path}: folds of schema {folds.schema_version}, this version reads {FOLDS_SCHEMA}; "
            f"{FOLDS_AGAIN}."
        )
    try:
        check_folds(folds)
    except DeftError as error:
        raise DeftError(f"{path}: {error}") from error
    return folds


def read_splits(path: Path) -> dict[str, str]:
    """Fixed splits: CSV (columns subject, split) or JSON ({subject: split}), by ``records.person``.

    Raises: DeftError naming the file where it is neither, or puts one person into two splits.
    """
    if Path(path).suffix.lower() == ".json":
        rows = list(read_object(path, mend="write {subject: split}").items())
    else:
        with reading(path, "mend it"), Path(path).open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            if not {"subject", "split"} <= set(reader.fieldnames or ()):
                raise DeftError(f"{path}: needs the columns subject and split.")
            rows = [(row["subject"], row["split"]) for row in reader]
    names = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
    found: dict[str, str] = {}
    for subject, split in rows:
        side = names.get(str(split).strip().lower())
        if side is None:
            raise DeftError(f"{path}: subject {subject} has split {split!r}; use train, val or test.")
        if found.setdefault(person(subject), side) != side:
            raise DeftError(f"{path}: subject {subject} is in two splits; a subject belongs to one.")
    return found
