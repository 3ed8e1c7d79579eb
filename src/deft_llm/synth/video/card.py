"""The dataset card of a synthetic corpus: what is in it, how, and its statistics beside the real figures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.files import read_arrays, reading
from deft_llm.records import Clip, Truth
from deft_llm.synth.core.coder import agreement
from deft_llm.synth.core.prior import load_prior
from deft_llm.synth.core.settings import VideoSettings

# Measured on real corpora (docs/results/synthesis.md names the sources): for the reader to compare with.
REAL = {
    "mean_flow_px": "0.96 (CASME II crops)",
    "p99_flow_px": "3.9 (CASME II crops)",
    "rigid_share": "0.56-0.61 (CASME II)",
    "aus_per_clip": "1.25 (CAS(ME)^3) - 1.46 (CASME II)",
    "onset_to_apex_ms": "165 median (CASME II), 188 mean (CAS(ME)^3)",
    "length_ms": "336 mean (CASME II), 372 mean (SAMM)",
}

HEAD = """# Synthetic micro-expression clips

Made by `deft synth`: parametric faces (MakeHuman and ARKit face units, CC0), moved by FACS Action Units and
rendered. No picture of any person went in. Frames, annotation and truth are free to use (CC0).

- clips {clips}, subjects {subjects}, seed {settings.seed}
- prior `{settings.prior}` ({sources}), unit set `{settings.units}`, layout `{settings.layout}`
- identities from the `{settings.split}` range: never in another range
- Bayes-optimal UF1 (knowing the AUs): coarse {coarse}, fine {fine}
- `records.jsonl`: fields beside `truth` are a *simulated coder's*; `truth` is how it really is
- `truth/*.npz`: exact flow onset->apex and apex->offset (px), visibility, landmarks, pose, AU strength, folds

| what | here | real corpora |
|---|---|---|"""
LIMITS = """Limits: skin, hair and light are painted, not measured; labels follow the prior named above: what
coders of that convention would write, nothing about what anybody feels. {worn}"""
WORN = {
    "clips": "No glasses, hands or occlusion.",
    "sequences": "Glasses, beards, masks and hands are drawn and noted as events; nothing else hides a face.",
}


def summarise(clips: list[Clip], settings: VideoSettings, root: Path | None = None) -> dict[str, Any]:
    """Counts and statistics of the corpus; flow statistics read every truth file below ``root``."""
    micro = [(clip, truth_of(clip)) for clip in clips if clip.truth and clip.truth.kind == "micro-expression"]
    prior = load_prior(settings.prior).describe()
    people = {clip.subject: clip.truth.attributes for clip in clips if clip.truth}
    summary: dict[str, Any] = {
        "clips": len(clips), "subjects": len(people), "settings": settings.model_dump(mode="json"),
        "kinds": dict(Counter(clip.truth.kind for clip in clips if clip.truth)),
        "lures": dict(Counter(
            c.truth.attributes["lure"] for c in clips if c.truth and c.truth.attributes["lure"])),
        "labels": dict(Counter(truth.emotion for _, truth in micro)),
        "coarse": dict(Counter(str(truth.coarse) for _, truth in micro)),
        "aus": {str(k): v for k,
        v in sorted(Counter(au.number for _, truth in micro for au in truth.aus).items())},
        "sex": dict(Counter(a["sex"] for a in people.values())),
        "skin_tone_thirds": dict(Counter(["light", "medium", "dark"][min(int(a["skin_tone"] * 3), 2)]
                                         for a in people.values())),
        "age": _spread([a["age"] for a in people.values()]),
        "prior": prior,
    }  # fmt: skip
    if settings.film == "sequences":
        summary |= _told([truth_of(clip) for clip in clips])
    if micro:
        summary |= {
            "aus_per_clip": round(float(np.mean([len(truth.aus) for _, truth in micro])), 3),
            "coder_agreement": round(
                float(np.mean([agreement(c.aus or [], truth.aus) for c, truth in micro])), 3
            ),
            "coder_label_kept": round(float(np.mean([c.emotion == truth.emotion for c, truth in micro])), 3),
            "onset_to_apex_ms": _spread([_ms(c, t.apex, t.onset) for c, t in micro]),
            "length_ms": _spread([_ms(c, t.offset, t.onset, 1) for c, t in micro]),
            "peak_px": _spread([truth.attributes["peak_px"] for _, truth in micro]),
        }
        if root is not None:
            summary |= flow_statistics(root, [clip for clip, _ in micro])
    return summary


def _told(films: list[Truth]) -> dict[str, Any]:
    """What happens in the films, and how they are coded."""
    events = [event for truth in films for event in truth.events]
    numbers = Counter(unit["number"] for event in events for unit in event["aus"])
    return {
        "events": dict(Counter(event["kind"] for event in events)),
        "aus": {str(number): count for number, count in sorted(numbers.items())},
        "crf": dict(sorted(Counter(truth.attributes["crf"] for truth in films).items())),
    }


def truth_of(clip: Clip) -> Truth:
    """The truth that every synthetic clip carries."""
    assert clip.truth is not None, clip.clip_id
    return clip.truth


def _ms(clip: Clip, last: int | None, first: int | None, more: int = 0) -> float:
    assert last is not None and first is not None and clip.fps, clip.clip_id
    return 1000 * (last - first + more) / clip.fps


def flow_statistics(root: Path, clips: list[Clip]) -> dict[str, Any]:
    """Mean and 99th percentile of |flow| onset->apex on the face (hull of the landmarks)
    at a 280-px face, and its rigid share."""
    means, tops, shares = [], [], []
    for clip in clips:
        attributes = truth_of(clip).attributes
        truth = Path(root) / attributes["truth_file"]
        with reading(truth):
            data = read_arrays(truth)
            flow, seen = data["flow"][0].astype(np.float32), data["visible"][0]
            seen = seen & face_hull(data["landmarks"][int(data["frames"][0])], seen.shape)
        scale = 280 / 1.66 / attributes["camera"]["scale_px_per_dm"]
        here = flow[:, seen] * scale
        if not here.size:
            continue
        length = np.hypot(*here)
        means.append(length.mean())
        tops.append(np.percentile(length, 99))
        shares.append(min(np.hypot(*here.mean(1)) / max(length.mean(), 1e-9), 1.0))
    return {
        "mean_flow_px": round(float(np.mean(means)), 3), "p99_flow_px": round(float(np.mean(tops)), 3),
        "rigid_share": round(float(np.mean(shares)), 3),
    }  # fmt: skip


def face_hull(landmarks: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Mask (H, W) of the convex hull of landmarks (K, 2): about what a face crop shows."""
    import cv2

    mask = np.zeros(shape, np.uint8)
    hull = cv2.convexHull(np.round(landmarks).astype(np.int32))
    return cv2.fillConvexPoly(mask, hull, 1) > 0


def _spread(values: list[float]) -> dict[str, float]:
    array = np.array(values, float)
    return {name: round(float(value), 2) for name, value in (
        ("mean", array.mean()), ("median", np.median(array)), ("min", array.min()), ("max",
        array.max()))}  # fmt: skip


def card_text(summary: dict[str, Any], settings: VideoSettings) -> str:
    """The dataset card, Markdown."""
    prior = summary["prior"]
    lines = [HEAD.format(
        clips=summary["clips"], subjects=summary["subjects"], settings=settings,
        sources=", ".join(prior["sources"]),
        coarse=prior["bayes_uf1_coarse"], fine=prior["bayes_uf1_fine"])]  # fmt: skip
    for key, real in REAL.items():
        value = summary.get(key)
        if value is not None:
            shown = f"mean {value['mean']}, median {value['median']}" if isinstance(value, dict) else value
            lines.append(f"| {key} | {shown} | {real} |")
    for key in ("kinds", "events", "crf", "lures", "labels", "coarse", "aus", "sex", "skin_tone_thirds",
                "age", "coder_agreement", "coder_label_kept", "peak_px"):  # fmt: skip
        if key in summary:
            lines.append(f"| {key} | {_plain(summary[key])} | |")
    lines += ["", LIMITS.format(worn=WORN[settings.film]), ""]
    return "\n".join(lines)


def _plain(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
