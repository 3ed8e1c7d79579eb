"""The joint last part: adapter, projectors and experts move together under the whole hybrid objective."""

from __future__ import annotations

from pydantic import Field

from deft_llm.model.deft import DeftModel
from deft_llm.training.language import LanguageConfig, LanguagePart, Source
from deft_llm.training.objective import Weights

EXPERT_NAMES = ("deft.motion.", "deft.structure.", "deft.texture.", "deft.fusion.")


class JointConfig(LanguageConfig):
    """Settings of the joint training."""

    parts = frozenset(Weights.model_fields) - {"structure", "held", "phase"}  # its batches do not know these
    steps: int = Field(500, ge=0, description="Steps of the optimiser.")
    learning_rate: float = Field(2e-4, gt=0, le=1, description="Rate between warm-up and cool-down.")
    losses: Weights = Field(
        default_factory=lambda: Weights(
            text=1, au=10, coarse=0.5, fine=0.25, contrast=0.1, independence=0.1, adversary=0.1
        ),
        description="Weights of the loss.",
    )
    expert_rate: float = Field(0.1, ge=0, le=100, description="Experts' share of the learning rate.")


class JointPart(LanguagePart):
    """Language part and experts as a part of the training; ``subjects``: how many the adversary knows."""

    settings: JointConfig

    def __init__(
        self, deft: DeftModel, settings: JointConfig, source: Source, device: str = "cpu", subjects: int = 0
    ) -> None:
        moved = (EXPERT_NAMES, settings.expert_rate)
        super().__init__(deft, settings, source, device, experts=moved, subjects=subjects)
