"""Labels held against measured support: supported, unsupported or unexplained, with reason and figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from deft_llm.aus.calibration import Calibration, load_calibration
from deft_llm.aus.support import AUSupport, measure_support
from deft_llm.facs.units import entry
from deft_llm.records import ActionUnit, Evidence, Units
from deft_llm.store.motion import Motion

BLINKS = (43, 45)  # closing lids are reported only where a coder labelled them


class Thresholds(NamedTuple):
    """Which calibration decides, and for which units."""

    calibration: Calibration
    units: Units


def verdicts(
    supports: Sequence[AUSupport],
    labels: Sequence[ActionUnit] | None,
    calibration: Calibration,
    units: Units,
) -> list[Evidence]:
    """Evidence of every label, then of motion that no label explains; labels in the order given."""
    by_au = {support.au: support for support in supports}
    models = Thresholds(calibration, units)
    found = [_judge_label(label, by_au, models) for label in labels or ()]
    named = {option.number for label in labels or () for option in (label, *label.alternatives)}
    seen = {evidence.au for evidence in found if evidence.status == "supported"}
    explained = seen | {other for au in seen for other in entry(au or 0).look_alikes}
    if any(_passes(by_au[au], models) for au in BLINKS if au in by_au):
        return found
    for support in supports:
        if support.au in named or support.au in explained or support.au in BLINKS:
            continue
        limit = calibration.unlabelled_threshold(units, support.au)
        if (
            support.judged
            and limit is not None
            and support.support >= limit
            and _stands_out(support, calibration)
        ):
            found.append(
                _evidence(support, None, "unexplained", f"fits AU{support.au}, which is not labelled")
            )
            explained |= {support.au, *entry(support.au).look_alikes}
    return found


def _stands_out(support: AUSupport, calibration: Calibration) -> bool:
    """Motion that nobody labelled must be plain: no limit failed and, in px, large and well above the floor.

    Estimators err by a quarter of a pixel that the noise floor, read from still moments, does not hold.
    """
    if support.limits:
        return False
    if support.px is None and support.iod_percent is None:
        return True
    gates = calibration.gates
    return bool(support.z >= gates.unlabelled_z and np.hypot(support.dx, support.dy) >= gates.unlabelled_px)


def _passes(support: AUSupport, models: Thresholds) -> bool:
    limit = models.calibration.threshold(models.units, support.au)
    return limit is not None and support.judged and support.support >= limit


def _judge_label(label: ActionUnit, by_au: dict[int, AUSupport], models: Thresholds) -> Evidence:
    options = [option for option in (label, *label.alternatives) if option.number in by_au]
    if not options:
        return _no_measure(label)
    best = max(options, key=lambda option: by_au[option.number].support)
    support = by_au[best.number]
    if not support.judged:
        return _evidence(support, best.number, "unsupported", f"cannot be judged: {support.reason}")
    if not _passes(support, models):
        return _evidence(support, best.number, "unsupported", _why_not(support, by_au, models))
    fault = side_fault(best, support) or "; ".join(support.limits)
    if fault:
        return _evidence(support, best.number, "unsupported", fault)
    return _evidence(support, best.number, "supported", _note(best, support, by_au, models))


def _no_measure(label: ActionUnit) -> Evidence:
    motion = entry(label.number).motion
    region = motion[0].region if motion else "chin"
    reason = f"cannot be judged: {entry(label.number).name} has no motion template on the skin"
    return Evidence(
        au=label.number,
        side=label.side,
        part=label.part,
        region=region,
        direction="up",
        dx=0.0,
        dy=0.0,
        support=0.0,
        status="unsupported",
        reason=reason,
    )


def _why_not(support: AUSupport, by_au: dict[int, AUSupport], models: Thresholds) -> str:
    reasons = list(support.limits)
    rivals = [au for au in entry(support.au).look_alikes if au in by_au and _passes(by_au[au], models)]
    if rivals:
        reasons.append("the motion is explained by its look-alike " + ", ".join(f"AU{au}" for au in rivals))
    return "; ".join(reasons) or "the regions do not move as this AU moves them"


def side_fault(label: ActionUnit, support: AUSupport) -> str:
    """Why the measured side contradicts the label; empty where it agrees or the AU has no sides."""
    if entry(label.number).scoring != "sides":
        return ""
    one_sided = {"left", "right"}
    if label.side in one_sided and support.side in one_sided and label.side != support.side:
        return f"labelled on the {label.side}, moves on the {support.side}"
    if label.side in one_sided and support.side == "both":
        return f"labelled on the {label.side} only, moves on both sides"
    if label.side in one_sided and support.side == "asymmetric":
        stronger = "left" if support.sides[0] >= support.sides[1] else "right"
        return "" if stronger == label.side else f"labelled on the {label.side}, moves more on the {stronger}"
    if label.side in ("both", "asymmetric") and support.side in one_sided:
        return f"labelled on both sides, moves on the {support.side} only"
    return ""


def _note(label: ActionUnit, support: AUSupport, by_au: dict[int, AUSupport], models: Thresholds) -> str:
    rivals = [
        au
        for au in entry(label.number).look_alikes
        if au in by_au
        and by_au[au].judged
        and by_au[au].support >= support.support
        and _passes(by_au[au], models)
    ]
    if rivals:
        return "motion fits its look-alike " + ", ".join(f"AU{au}" for au in rivals) + " as well"
    if support.rise is not None and support.rise.falls is not None:
        return "rises to the apex" + (" and falls after it" if support.rise.falls < 0.6 else " and is held")
    return ""


def _evidence(support: AUSupport, au: int | None, status: str, reason: str) -> Evidence:
    return Evidence(
        au=au,
        side=support.side,
        part=support.part,
        region=support.region,
        direction=support.direction,  # type: ignore[arg-type]
        dx=round(support.dx, 4),
        dy=round(support.dy, 4),
        px=_rounded(support.px),
        iod_percent=_rounded(support.iod_percent),
        z=round(support.z, 3),
        phase=support.phase,
        support=round(support.support, 4),
        status=status,
        reason=reason,  # type: ignore[arg-type]
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def judge(
    motion: Motion, labels: Sequence[ActionUnit] | None, calibration: Calibration | None = None
) -> list[Evidence]:
    """Hold labels against the flow: each label supported or unsupported, the rest unexplained, with reasons.

    ``labels`` None means that nobody coded AUs here; an empty list that coders saw none. An AU given with
    alternatives ("4 or 7") counts by the alternative that the flow supports best.
    """
    from deft_llm.aus.verdict import verdicts

    calibration = calibration or load_calibration()
    return verdicts(measure_support(motion, calibration), labels, calibration, motion.units)
