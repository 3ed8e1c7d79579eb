"""From training folders to one checkpoint: the averaged expert, its calibration on
validation subjects, config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from deft_llm.errors import DeftError
from deft_llm.facs.emotions import FINE
from deft_llm.methods.refit import f1_threshold
from deft_llm.model.checkpoint import read_checkpoint
from deft_llm.model.deft import DeftConfig, DeftModel, is_language
from deft_llm.model.experts import MotionExpert, MotionExpertConfig
from deft_llm.model.heads import presence_logits
from deft_llm.model.inputs import maps_input
from deft_llm.model.predictor import Predictor
from deft_llm.model.units import EXPERT_AUS
from deft_llm.records import COARSE
from deft_llm.training.flow_shards import FlowShards
from deft_llm.training.motion import Stage1Config
from deft_llm.training.start import TrainConfig, start_model
from deft_llm.training.state import STATE, read_state


def expert_of(run: Path) -> tuple[MotionExpert, dict[str, Any]]:
    """The averaged motion expert of a training state, and its meta."""
    state, meta = read_state(run)
    config = Stage1Config(**meta["settings"])
    expert = MotionExpert(MotionExpertConfig(fine_classes=len(FINE), **config.expert))
    average = state["average"]
    expert.load_state_dict({n.removeprefix("module."): v for n, v in average.items() if n != "n_averaged"})
    return expert.eval(), meta


EVIDENCE_PRECISION = 0.93
"""What an AU's name in an answer should be worth: share of right ones among validation subjects."""


def calibrate(model: DeftModel, validation: Any, limit: int = 3000) -> dict[str, Any] | None:
    """AU scale and bias so that 0.5 is the F1-optimal threshold on validation subjects; class shares.

    ``validation``: FlowShards or StoreData; None gives no calibration. Scale: logistic fit of the
    logit (more certain of the two sides); bias: minus the threshold. ``au_sure``: the calibrated
    logit above which an AU may be named as evidence, from one probability for all AUs at which
    ``EVIDENCE_PRECISION`` of the named ones are there.
    """
    from sklearn.linear_model import LogisticRegression

    if validation is None:
        return None
    batch = validation.take(np.arange(min(limit, len(validation))))
    readout = Predictor(model).read([maps_input(maps[:1]) for maps in batch.maps])
    logits, truth = presence_logits(readout), batch.side.max(-1)
    scale, bias = np.ones(len(EXPERT_AUS)), np.zeros(len(EXPERT_AUS))
    chance, judged = np.zeros(truth.shape), np.zeros(truth.shape, bool)
    cut = np.zeros(len(EXPERT_AUS))
    for k in range(len(EXPERT_AUS)):
        sure = batch.known[:, k] > 0
        y = truth[sure, k]
        if not 5 <= y.sum() <= len(y) - 5:
            continue
        fitted = LogisticRegression(C=10.0).fit(logits[sure, k : k + 1], y)
        scale[k] = max(float(fitted.coef_[0, 0]), 0.1)
        p = expit(scale[k] * logits[sure, k] + float(fitted.intercept_[0]))
        threshold = f1_threshold(p, y)
        cut[k] = np.log(threshold / (1 - threshold))
        bias[k] = float(fitted.intercept_[0]) - cut[k]
        chance[sure, k], judged[sure, k] = p, True
    limit_p = precise_from(chance[judged], truth[judged], EVIDENCE_PRECISION)
    sure_from = np.log(limit_p / (1 - limit_p)) - cut
    return {"au_scale": scale.round(4).tolist(), "au_bias": bias.round(4).tolist(),
            "au_sure": sure_from.round(4).tolist(), "class_shares": class_shares(batch.coarse)}  # fmt: skip


def class_shares(coarse: np.ndarray) -> list[float]:
    """Share of each coarse class among labels (N,), -1 for none; each counted once more, so none is 0."""
    counts = np.bincount(coarse[coarse >= 0], minlength=len(COARSE)) + 1.0
    return (counts / counts.sum()).round(4).tolist()  # type: ignore[no-any-return]


def precise_from(p: np.ndarray, truth: np.ndarray, precision: float) -> float:
    """The lowest of ``p`` (N,) from which on at least ``precision`` of the statements are true (N,)."""
    order = np.argsort(-p, kind="stable")
    right = np.cumsum(truth[order]) / np.arange(1, len(p) + 1)
    good = np.flatnonzero(right >= precision)
    return float(np.clip(p[order][good[-1]] if len(good) else p.max(initial=0.5), 0.5, 0.999))


def export(
    run: Path, out: Path, validation: Any, *, command: str, prior: str = "facs",
    trained_on: dict[str, Any] | None = None, extra: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write a checkpoint of the motion expert of a training state to ``out``; returns its config."""
    expert, meta = expert_of(run)
    steps = {"steps": meta["step"], "batch": meta["settings"]["batch"], "seed": meta["settings"]["seed"]}
    torch.manual_seed(steps["seed"])
    model = DeftModel(
        DeftConfig(motion=expert.config._asdict(), experts=["motion"], conditioned_on=["motion"])
    )
    model.motion.load_state_dict(expert.state_dict())
    config = {
        "aus": list(EXPERT_AUS), "prior": prior, "calibration": calibrate(model, validation),
        "stage1": [steps], "command": command, "trained_on": trained_on or {},
        "parameters": sum(p.numel() for p in expert.parameters()),
        **(extra or {}),
    }  # fmt: skip
    model.save_pretrained(out, config)
    return config


def add_adapter(
    base: Path, adapter: Path, out: Path, *, backbone: str = "embedded", extra: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Join a checkpoint of experts and the state of a stage-2 run into one checkpoint with a language part.

    ``base`` must be the checkpoint that the adapter was trained on. The language part is conditioned on the
    motion expert alone; face experts of ``base`` go on feeding the heads.
    """
    saved, _ = read_checkpoint(base)
    experts = list(saved.get("experts", ["motion"]))
    model = start_model(
        TrainConfig(backbone=backbone, experts=experts, conditioned_on=["motion"]), base, language=False
    )
    state, meta = read_state(adapter / STATE)
    state = state["model"]["deft"]
    first = {name: value for name, value in model.state_dict().items() if name.startswith("motion.")}
    off = [
        n for n, v in first.items() if n not in state or not v.float().allclose(state[n].float(), atol=1e-2)
    ]
    if off:
        raise DeftError(
            f"{adapter}: was trained on other experts than {base} ({off[0]} differs); name its base."
        )
    names = {name for name in model.own_tensors() if is_language(name)}
    missing = sorted(names - state.keys())
    if missing:
        raise DeftError(f"{adapter}: holds no {missing[0]} ({len(missing)} missing); use its own version.")
    model.load_state_dict({n: v for n, v in state.items() if n in names}, strict=False)
    steps = meta["step"]
    ours = ("schema", "motion", "language", "experts", "conditioned_on", "backbone", "lora_rank",
            "lora_alpha")  # fmt: skip
    keep = {name: value for name, value in saved.items() if name not in ours}
    config = {**keep, "language_note": f"LoRA adapter, {steps} steps on flow-level text", **(extra or {})}
    model.save_pretrained(out, config)
    return config


def main() -> None:
    """Command line: runs -> checkpoint folder."""
    import argparse
    import sys

    parser = argparse.ArgumentParser(description="Export a stage-1 run as a checkpoint.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--validation", type=Path)
    parser.add_argument("--command", default="", help="what made the run, for the card")
    parser.add_argument("--note", default="", help="what the run was trained on, for the card")
    parser.add_argument(
        "--adapter", type=Path, help="stage-2 folder: RUN is then the checkpoint it began from"
    )
    given = parser.parse_args()
    if given.adapter:
        add_adapter(given.run, given.adapter, given.out)
        return
    command = given.command or "python -m deft_llm.training.export " + " ".join(
        Path(word).name if "/" in word else word for word in sys.argv[1:]
    )
    export(
        given.run, given.out, FlowShards(given.validation), command=command,
        trained_on={"corpus": "synthetic flow level", "identities": "train range", "note": given.note},
    )  # fmt: skip


if __name__ == "__main__":
    main()
