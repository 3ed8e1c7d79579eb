"""Settings of ``deft train``: which parts of the model are trained, from where, on what."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from deft_llm.config import MOST_SEED
from deft_llm.training.faces import FaceConfig
from deft_llm.training.joint import JointConfig
from deft_llm.training.language import LanguageConfig
from deft_llm.training.motion import MotionConfig

Expert = Literal["structure", "texture", "motion"]
PartName = Literal["motion", "faces", "language", "joint"]
PARTS: tuple[PartName, ...] = ("motion", "faces", "language", "joint")
"""The parts of the training, in the order in which they are trained."""
_STAGE = "is {new} now: stages 1, 2, 3 are the parts motion, language, joint, and faces is trained as well"


class TrainConfig(BaseModel):
    """Settings of a whole training."""

    model_config = ConfigDict(extra="forbid")
    gone: ClassVar[dict[str, str]] = {
        "stages": _STAGE.format(new="parts=[motion,language,...]"),
        **{old: _STAGE.format(new=f"{new}.KEY") for old, new in
           (("stage1", "motion"), ("stage2", "language"), ("stage3", "joint"))},
        "experts": "is read from the checkpoint now: it lists the experts that were trained; leave it out",
        "speaks": "is conditioned_on now",
        "patience": "belongs to each part now: motion.patience, faces.patience, and so on",
    }  # fmt: skip
    """Keys of older settings, and what to write instead."""

    seed: int = Field(
        0, ge=0, le=MOST_SEED, description="Seed of everything that a part does not say itself."
    )
    parts: list[PartName] | None = Field(
        None,
        min_length=1,
        description="Parts of the model that are trained: motion, faces, language, joint; null: all that the "
        "data allow.",
    )
    start: str | None = Field(
        "shipped",
        description="Checkpoint or run folder to begin from, shipped, or null: new experts.",
    )
    backbone: str = Field("embedded", description="Causal language model: embedded, a folder or a hub id.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="Type of its weights.")
    four_bit: bool = Field(False, description="Its weights in 4 bits (bitsandbytes, a GPU).")
    lora_rank: int = Field(8, ge=1, le=1024, description="Rank of the adapter.")
    lora_alpha: int = Field(16, ge=1, description="Scale of the adapter.")
    conditioned_on: list[Expert | Literal["beliefs"]] | None = Field(
        None,
        description="Experts whose tokens the language model is given, and beliefs: what they believe, in "
        "words; null: all trained ones that the data show, and beliefs.",
    )
    note: str = Field("", description="What the data are, for the checkpoint's card.")
    validation_share: float = Field(0.15, ge=0, lt=1, description="Share of subjects that validate.")
    flow_shards: str | None = Field(
        None, description="Folder of flow-level samples, which motion and text learn from instead of stores."
    )
    flow_validation: str | None = Field(None, description="The same of validation identities.")
    motion: MotionConfig = Field(default_factory=MotionConfig, description="The motion expert.")
    faces: FaceConfig = Field(default_factory=FaceConfig, description="Structure and texture experts.")
    language: LanguageConfig = Field(default_factory=LanguageConfig, description="The language part.")
    joint: JointConfig = Field(default_factory=JointConfig, description="Experts and language part together.")
