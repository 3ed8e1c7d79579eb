"""What a synthetic video corpus is made of: options, and the list of clips that follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deft_llm.errors import UsageError
from deft_llm.synth.core.events import LURES, NEGATIVES
from deft_llm.synth.core.identity import SEED_RANGES, sample_identity, split_seeds

GENERATOR = 4  # raise when the same options no longer give the same bytes
LAYOUT_FPS = {"casme2": 200.0, "samm": 200.0, "smic": 100.0, "casme3": 30.0}
LAYOUTS = ("native", "casme2", "samm", "smic", "casme3", "folder")
FILM_FPS = ((25.0, 0.35), (30.0, 0.4), (50.0, 0.1), (60.0, 0.15))  # of sequences, with their shares
CLIP_CRF = 18


class VideoSettings(BaseModel):
    """Options of ``deft synth --level video``; the same settings always give the same bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clips: int = Field(description="How many clips.")
    subjects: int = Field(description="How many subjects.")
    seed: int = Field(0, description="Chooses subjects and clips; same seed, same bytes.")
    prior: Literal["facs", "corpora"] = Field(
        "facs", description="facs, or corpora (uses statistics of real corpora)."
    )
    units: Literal["arkit", "makehuman"] = Field("arkit", description="Set of face units.")
    layout: str = Field("native", description="Folders and tables of which corpus.")
    size: int = Field(400, description="Side of a frame, px.")
    split: Literal["calibration", "train", "validation", "test"] = Field(
        "test", description="Range of identities."
    )
    negatives: float = Field(0.2, description="Share of clips without a micro-expression.")
    lures: float = Field(0.2, description="Share of micro-expressions on a misleading face.")
    long_videos: int | None = Field(None, description="Long videos with several events; null: clips / 50.")
    format: Literal["frames", "video"] = Field("frames", description="PNG frames or H.264 video.")
    crf: int | None = Field(None, description="Quality of the H.264 video, 0 (lossless) to 51.")
    film: Literal["clips", "sequences"] = Field(
        "clips", description="Short clips, or sequences of several seconds with truth of every frame."
    )
    seconds: float = Field(9.0, description="Length of a sequence, s.")
    crfs: tuple[int, ...] = Field((18, 26, 34), description="Qualities that sequences are coded at, in turn.")
    generator: int = Field(GENERATOR, description="Version of the generator.")

    def check(self) -> None:
        """Refuse what cannot be made. Raises: UsageError with the mend."""
        if self.clips < 1:
            raise UsageError(f"--clips {self.clips}: ask for at least one clip.")
        if not 1 <= self.subjects <= self.clips:
            raise UsageError(f"--subjects {self.subjects}: choose 1 to {self.clips} (as many as --clips).")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: choose 0 or more.")
        if not 96 <= self.size <= 1024 or self.size % 2:
            raise UsageError(f"--size {self.size}: choose an even number of pixels, 96 to 1024.")
        for name, share in (("negatives", self.negatives), ("lures", self.lures)):
            if not 0 <= share <= 1:
                raise UsageError(f"--{name} {share}: choose a share from 0 to 1.")
        if self.long_videos is not None and self.long_videos < 0:
            raise UsageError(f"--long-videos {self.long_videos}: choose 0 or more.")
        if self.crf is not None and not 0 <= self.crf <= 51:
            raise UsageError(f"--crf {self.crf}: choose 0 (lossless) to 51.")
        if self.film == "sequences":
            if not 3 <= self.seconds <= 120:
                raise UsageError(f"--seconds {self.seconds:g}: choose 3 to 120.")
            if self.layout != "native":
                raise UsageError(f"--layout {self.layout}: sequences have the native layout alone.")
        if self.layout not in LAYOUTS:
            raise UsageError(f"--layout {self.layout}: choose one of {', '.join(LAYOUTS)}.")
        if self.layout in LAYOUT_FPS and self.format == "video":
            raise UsageError(f"--layout {self.layout}: has frame folders; leave --format video away.")
        room = len(SEED_RANGES[self.split])
        if self.seed * self.subjects + self.subjects > room:
            raise UsageError(
                f"--seed {self.seed}: split {self.split} has {room} identities, too few for this seed; "
                "choose a smaller seed or fewer subjects."
            )

    @property
    def long_count(self) -> int:
        """How many long videos are made: as asked, else one per 50 clips (none in corpus layouts)."""
        if self.layout in LAYOUT_FPS or self.film == "sequences":
            return 0
        return self.clips // 50 if self.long_videos is None else self.long_videos


@dataclass(frozen=True)
class ClipSpec:
    """One clip to make: its number in the corpus, subject (number, identity
    seed) and number within the subject."""

    number: int
    subject: int
    identity_seed: int
    place: int
    kind: str
    lure: str | None
    fps: float

    @property
    def name(self) -> str:
        """The clip's name: "c0012", long videos "v0003", sequences "f0012"."""
        return f"{ {'long video': 'v', 'sequence': 'f'}.get(self.kind, 'c') }{self.number:04d}"

    @property
    def identity(self):
        """The subject."""
        return sample_identity(self.identity_seed)


def clip_specs(settings: VideoSettings) -> list[ClipSpec]:
    """All clips of the corpus in order; each is independent of all others."""
    seeds = split_seeds(settings.split, settings.subjects, settings.seed * settings.subjects)
    places = [0] * settings.subjects
    specs = []
    for number in range(settings.clips + settings.long_count):
        rng = np.random.default_rng([GENERATOR, settings.seed, number, 1])
        subject = number % settings.subjects
        fps = LAYOUT_FPS.get(settings.layout) or float(
            rng.choice([60, 100, 200, 300, 500], p=[0.12, 0.4, 0.4, 0.05, 0.03])
        )
        kind, lure = "micro-expression", None
        if settings.film == "sequences":
            rates, shares = zip(*FILM_FPS, strict=True)
            kind, fps = "sequence", float(rng.choice(rates, p=shares))
        elif number >= settings.clips:
            kind, fps = "long video", 60.0
        elif settings.layout not in LAYOUT_FPS and rng.random() < settings.negatives:
            kind = str(rng.choice(NEGATIVES))
            fps = min(fps, 100.0) if kind == "macro-expression" else fps
        if kind == "micro-expression" and rng.random() < settings.lures:
            lure = str(rng.choice(LURES))
        specs.append(ClipSpec(number, subject, seeds[subject], places[subject], kind, lure, fps))
        places[subject] += 1
    return specs
