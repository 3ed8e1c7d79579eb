"""One record type a stage, keyed by ``clip_id`` (``corpus/subject/clip``); JSON lines on disk.

Sides are the subject's own left and right. Frame indices are 0-based, inclusive, into the source.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from deft_llm.errors import is_plain

SCHEMA = 1
PREDICTION_SCHEMA = 2  # 2: answered_by; intervals are typed
"""Schema of ``Prediction`` rows; every other record has ``SCHEMA``."""

Coarse = Literal["negative", "positive", "surprise"]
COARSE: tuple[Coarse, ...] = get_args(Coarse)
"""The coarse classes, in the order of every (N, 3) array of class logits and probabilities."""
AUSide = Literal["both", "left", "right", "asymmetric"]
ROLES = ("system", "user", "assistant")
"""Who says a message of an instruction."""
AnsweredBy = Literal["language", "experts", "template", "prior", "measurement", "declined"]
Phase = Literal["onset-apex", "apex-offset"]
Units = Literal["px", "relative"]


def _plain(text: str) -> str:
    if not is_plain(text):
        raise ValueError(f"{text!r} holds a control or formatting character")
    return text


Plain = Annotated[str, AfterValidator(_plain)]
"""A text of one line that can be shown as it is: labels and names, which tables and terminals print."""


def _named(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


Name = Annotated[Plain, AfterValidator(_named)]
"""A ``Plain`` text that is not empty: what rows are told apart and grouped by."""


def loose(name: object) -> str:
    """A name as files and tables disagree about it: case, blanks, zero padding and a float's ".0" are
    ignored ("Sub 01" and "sub1", " 6", "006" and "6.0").
    """
    text = re.sub(r"\s+", "", unicodedata.normalize("NFKC", str(name))).casefold()
    text = re.sub(r"^([+-]?\d+)\.0+$", r"\1", text)
    return re.sub(r"\d+", lambda digits: digits.group().lstrip("0") or "0", text)


_NUMBERED = re.compile(r"(?:subject|sub|spno|s)?[._-]?(\d+)")


def subject_number(subject: object) -> str:
    """A subject's number where its name is one, with or without a corpus's word for it ("sub01", "006",
    "spNO.1", 6 -> "1", "6", "1", "6"), else its name ("A1" -> "a1"): nothing else names one person twice.
    """
    name = loose(subject)
    found = _NUMBERED.fullmatch(name)
    return found[1] if found else name


def person(subject: object) -> str:
    """The key of a subject ("corpus/name"): names of one person have one key, however tables write them."""
    *groups, name = str(subject).split("/")
    return "/".join([*map(loose, groups), subject_number(name)])


class Record(BaseModel):
    """Base of all records: unknown fields are errors, so that an older file is noticed."""

    model_config = ConfigDict(extra="forbid")


class ActionUnit(Record):
    """One Action Unit as a coder scored it (FACS 2002)."""

    number: int = Field(ge=0, le=99)
    kind: Literal["AU", "AD", "M"] = "AU"
    side: AUSide = "both"
    part: Literal["upper", "lower"] | None = None
    intensity: Literal["A", "B", "C", "D", "E"] | None = None
    certain: bool = True
    referred: bool = False
    alternatives: list[ActionUnit] = Field(default_factory=list)


class Source(Record):
    """Where a clip's pixels or flow are.

    ``path`` is absolute or relative to the corpus root: a folder of frames, a video file, or a flow map
    (``path_offset`` holds the apex->offset map). ``frames`` lists file names in order for frame folders.
    """

    kind: Literal["frames", "video", "flow"]
    path: str
    path_offset: str | None = None
    frames: list[str] | None = None


class Truth(Record):
    """How a synthetic clip really is. Builders and trainers never read it; scores do."""

    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    emotion: Plain | None = None
    coarse: Coarse | None = None
    aus: list[ActionUnit] = Field(default_factory=list)
    kind: Plain = "micro-expression"
    events: list[dict[str, Any]] = Field(default_factory=list)
    attributes: dict[str, Any] = Field(default_factory=dict)


ClipPhase = Literal["rise", "release", "transition"]
"""What happens to an expression between the onset and the apex of a clip."""

CODED_BY = "; coder "
"""In ``Clip.coding``, between the edition of the annotation and who coded the clip, where a table says it."""


Turned = Literal["left", "right", "straight"]
"""How a face is turned, to its own left or right."""


class Clip(Record):
    """One annotated clip of any corpus. A record says what it has; nothing asks which corpus it is.

    ``aus``: what moves from onset to apex; ``held``: what the face shows at the onset already; ``phase``: an
    expression rises, is released, or gives way to another; ``folds``: of skin folds (``facs.regions.FOLDS``)
    that the AUs would deepen on most faces, whether they deepen here. None where nobody coded it.
    """

    schema_version: int = Field(default=SCHEMA, alias="schema")
    clip_id: str
    corpus: str
    subject: str
    fps: float | None = None
    source: Source
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    apex_is_annotated: bool = False
    emotion: Plain | None = None
    coarse: Coarse | None = None
    objective: Plain | None = None
    aus: list[ActionUnit] | None = None
    held: list[ActionUnit] | None = None
    phase: ClipPhase | None = None
    folds: dict[str, bool] | None = None
    coding: str = ""
    notes: list[str] = Field(default_factory=list)
    truth: Truth | None = None

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    @field_validator("clip_id", "corpus", "subject")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        """Names become parts of paths and lines of tables."""
        parts = name.split("/")
        if not is_plain(name) or any(part in ("", ".", "..") or "\\" in part for part in parts):
            raise ValueError(f"{name!r} is no name (no '..', empty part, back slash or control character)")
        return name

    @property
    def coder(self) -> str:
        """Who coded it, "" where its annotation does not say."""
        return self.coding.partition(CODED_BY)[2]

    @property
    def has_aus(self) -> bool:
        """Whether an annotator coded AUs here (an empty list means: coded, none seen)."""
        return self.aus is not None


SUPPORTED = 0.5
"""Support from which the motion bears a statement out, where no label and no calibrated cut decides."""
BY_SHAPE = "shape and appearance over the neutral face"
"""Reason of a row of evidence that the skin's motion does not show by itself."""


class Evidence(Record):
    """What supports (or fails to support) one AU, measured.

    ``dx`` is px to the image's right, ``dy`` px downwards, both in aligned pixels (or relative units);
    ``px`` is the magnitude in source pixels and ``iod_percent`` in % of inter-ocular distance, both null
    for relative units. ``au`` is null for unexplained motion.
    """

    au: int | None
    side: AUSide = "both"
    part: Literal["upper", "lower"] | None = None
    region: str
    direction: str
    dx: float
    dy: float
    px: float | None = None
    iod_percent: float | None = None
    z: float | None = None
    phase: Phase = "onset-apex"
    support: float = Field(ge=0.0, le=1.0)
    status: Literal["supported", "unsupported", "unexplained"]
    reason: str = ""


class Target(Record):
    """What an instruction's answer must say: the truth that it is scored on."""

    fine: str | None = None
    coarse: Coarse | None = None
    aus: list[ActionUnit] | None = None


class Media(Record):
    """One media reference of an instruction; paths are relative to ``--media-root``."""

    type: Literal["image", "video", "flow"]
    role: str
    path: str


class Instruction(Record):
    """One Uni-MER row: a dialogue about a clip, its target and the evidence that carries it."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    id: Plain
    clip_id: Plain
    corpus: Plain
    subject: Plain
    task: Plain
    media: list[Media] = Field(default_factory=list)
    messages: list[dict[str, Any]]
    target: Target
    evidence: list[Evidence] = Field(default_factory=list)
    source: dict[str, str | int | float | bool | None] = Field(default_factory=dict)

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    @model_validator(mode="after")
    def _is_a_dialogue(self) -> Instruction:
        """Messages of known roles, with a question; their parts are texts, or refer to the row's media."""
        for number, message in enumerate(self.messages, 1):
            parts = message.get("content")
            if message.get("role") not in ROLES or not isinstance(parts, list):
                raise ValueError(f"message {number} is not a role ({', '.join(ROLES)}) and a list of parts")
            for part in parts:
                if not isinstance(part, dict) or not self._is_part(part):
                    raise ValueError(f"message {number} holds a part that is neither a text nor a medium")
        if not any(message["role"] == "user" for message in self.messages):
            raise ValueError("messages hold no question")
        return self

    def _is_part(self, part: dict[str, Any]) -> bool:
        if part.get("type") == "text":
            return isinstance(part.get("text"), str)
        place = part.get("ref")
        kinds = get_args(Media.model_fields["type"].annotation)
        return part.get("type") in kinds and type(place) is int and 0 <= place < len(self.media)


class Interval(Record):
    """A movement in a video: frames 0-based, both ends inclusive; ``label`` is its class where one is known.

    Numbers are taken as they are: a text or a missing end is an error, never read as something else.
    """

    onset: int = Field(ge=0, strict=True)
    apex: int | None = Field(default=None, ge=0, strict=True)
    offset: int = Field(ge=0, strict=True)
    label: Plain | None = None
    strength: float | None = None
    unnamed: str | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Interval:
        if self.offset < self.onset:
            raise ValueError(f"offset {self.offset} lies before onset {self.onset}")
        return self


class PredictionTruth(Record):
    """The truth that a prediction is scored against, carried by the same row."""

    fine: Plain | None = None
    coarse: Coarse | None = None
    label: Plain | None = None
    aus: list[ActionUnit] | None = None
    answer: str | None = None
    intervals: list[Interval] | None = None


class Prediction(Record):
    """One method's answer for one clip (or one question on it); key (clip_id, question_id, seed).

    ``answered_by`` says what made ``answer``: a language model, the experts (sides), a template filled by
    heads, frequencies of the training folds alone (prior), a measurement, or nothing (declined); None where
    no answer was asked.
    """

    schema_version: int = Field(default=PREDICTION_SCHEMA, alias="schema")
    method: Name
    task: Literal["emotion", "au", "vqa", "spotting"] = "emotion"
    seed: int = 0
    leaky: bool = False
    fold: Plain | None = None
    clip_id: Name
    question_id: Plain | None = None
    corpus: Name
    subject: Name
    label_space: Name
    probabilities: dict[Plain, float] = Field(default_factory=dict)
    label: Plain | None = None
    fine: Plain | None = None
    coarse: Coarse | None = None
    text_label: Plain | None = None
    aus: dict[str, float] = Field(default_factory=dict)
    sides: dict[str, AUSide] = Field(default_factory=dict)
    intervals: list[Interval] | None = None
    evidence: list[Evidence] = Field(default_factory=list)
    answer: str | None = None
    answered_by: AnsweredBy | None = None
    parsed: bool | None = None
    extras: dict[str, Any] = Field(default_factory=dict)
    truth: PredictionTruth = Field(default_factory=PredictionTruth)

    model_config = ConfigDict(extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @model_validator(mode="after")
    def _readable(self) -> Prediction:
        for name in (*self.aus, *self.sides):
            if not name.isdecimal():
                raise ValueError(f"{self.clip_id}: {name!r} is no AU number (as in '12')")
        for name, value in {**self.probabilities, **self.aus}.items():
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{self.clip_id}: probability of {name} is {value}, not in [0, 1]")
        return self
