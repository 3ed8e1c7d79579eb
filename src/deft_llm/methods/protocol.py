"""What every recogniser looks like, to the benchmark and to the Analyzer alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from deft_llm.errors import UsageError
from deft_llm.records import COARSE, Prediction

if TYPE_CHECKING:
    from deft_llm.store import Motion

METHODS = {
    "majority": "deft_llm.methods.majority",
    "prior": "deft_llm.methods.prior",
    "rules": "deft_llm.methods.rules",
    "lbptop_svm": "deft_llm.methods.lbptop_svm",
    "mdmo_svm": "deft_llm.methods.mdmo_svm",
    "svm": "deft_llm.methods.svm",
    "ststnet": "deft_llm.methods.ststnet",
    "dynamic_image": "deft_llm.methods.dynamic_image",
    "motion_diff": "deft_llm.methods.motion_diff",
    "flow2text": "deft_llm.methods.flow2text",
    "template": "deft_llm.methods.template",
    "deft": "deft_llm.methods.deft",
}


@dataclass(frozen=True)
class Question:
    """One question about a clip; ``answer`` is absent when a method is asked to predict."""

    question_id: str
    text: str
    kind: str
    answer: str | None = None


@dataclass(frozen=True)
class Sample:
    """One clip as a method sees it. ``label``, ``aus`` and answers are None when predicting.

    ``open_aus``: AUs that the coder left open ("4/9", "13?"): neither there nor absent, and none of ``aus``.
    ``stated``: what a video's measurement states of AUs, as ``Motion.stated``.
    ``has`` names what the clip offers, out of {"flow", "offset-phase", "px",
    "faces", "landmarks", "dynamic", "profile"}.
    """

    clip_id: str
    corpus: str
    subject: str
    load: Callable[[], Motion] = field(repr=False, compare=False)
    has: frozenset[str] = frozenset({"flow"})
    label: str | None = None
    fine: str | None = None
    aus: frozenset[int] | None = None
    open_aus: frozenset[int] = frozenset()
    question: Question | None = None
    stated: Mapping[int, tuple[float, float]] = field(default_factory=dict, compare=False)

    @property
    def motion(self) -> Motion:
        """The clip's motion, read anew each time: a corpus's motion does not fit in memory."""
        return self.load()


@dataclass(frozen=True)
class Task:
    """What is asked of a method: the task, the classes in a fixed order, and the AUs to detect."""

    name: str = "emotion"
    label_space: str = "megc3"
    classes: tuple[str, ...] = COARSE
    aus: tuple[int, ...] = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17)


@runtime_checkable
class Method(Protocol):
    """One protocol for baselines and DEFT. ``needs`` names what every sample must have.

    A method that reads weights has ``digests()`` too: SHA-256 of each such file, by a word for it.
    """

    name: str
    needs: frozenset[str]

    def fit(self, train: Sequence[Sample], val: Sequence[Sample], *, seed: int, workdir: Path) -> None:
        """Learn from ``train``; choose epochs and thresholds on ``val`` only."""

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Answer for each sample; an AU's probability decides at 0.5."""


def build_method(name: str, task: Task, **options: Any) -> Method:
    """Build the method called ``name``; each module of METHODS offers ``build(task, **options)``.

    Raises: UsageError for an unknown name.
    """
    if name not in METHODS:
        raise UsageError(f"--method {name}: unknown; choose one of {', '.join(METHODS)}.")
    return import_module(METHODS[name]).build(task, **options)


def digests_of(method: Method) -> dict[str, str]:
    """SHA-256 (its first 16 digits) of the files of weights that decide what a method says, by a word for
    each; nothing for one that has none."""
    digests: Callable[[], dict[str, str]] | None = getattr(method, "digests", None)
    return {name: sha[:16] for name, sha in digests().items()} if digests is not None else {}
