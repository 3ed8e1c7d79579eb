"""Downloads of a result as links that carry their data: nothing is written on the server."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from deft_llm.explain.magnify import MAX_FACTOR, magnify_sequence, write_loop
from deft_llm.explain.overlays import face_picture, flow_overlay, strain_overlay
from deft_llm.explain.report import render_report

if TYPE_CHECKING:
    from deft_llm.app.worker import Result
    from deft_llm.store import Motion


def downloads_html(result: Result, rank: int) -> str:
    """Links to report.html, result.json and the chosen movement's overlay video."""
    stem = PurePath(result.analysis.source).stem or "video"
    record = result.analysis.to_dict()
    links = [
        _link("Report (HTML)", f"{stem}-report.html", "text/html", render_report(result.analysis).encode()),
        _link("Result (JSON)", f"{stem}-result.json", "application/json",
              json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1).encode()),
    ]  # fmt: skip
    motion = result.analysis.readings[rank].motion if result.analysis.readings else None
    if motion is not None and motion.faces is not None:
        links.append(
            _link(f"Overlay video of movement {rank + 1} (MP4)", f"{stem}-overlay-{rank + 1}.mp4",
                  "video/mp4", overlay_video(motion))
        )  # fmt: skip
    return f'<div class="links">{"".join(links)}</div>'


def _link(text: str, name: str, kind: str, data: bytes) -> str:
    from html import escape

    size = f"{len(data) / 1e6:.1f} MB" if len(data) > 1e5 else f"{len(data) / 1e3:.0f} kB"
    address = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return (
        f'<a class="link" download="{escape(name)}" href="{address}">{escape(text)} <span>{size}</span></a>'
    )


def overlay_video(motion: Motion) -> bytes:
    """MP4: onset, apex, magnified, flow arrows and strain, side by side and in turn (896 x 448 px)."""
    assert motion.faces is not None
    size = np.hypot(*np.nan_to_num(motion.flow[0].astype(float)))
    factor = float(np.clip(6.0 / max(float(np.percentile(size, 99.5)), 0.2), 1.0, MAX_FACTOR))
    weight = None if motion.mask is None else motion.mask.astype(np.float32)
    loop = magnify_sequence(motion.faces[0], motion.flow[0], factor, weight, steps=8)
    double = [frame.repeat(2, 0).repeat(2, 1) for frame in loop]
    overlays = [flow_overlay(motion), strain_overlay(motion)]
    shown = []
    for overlay in overlays:
        shown += [np.concatenate([frame, overlay], 1) for frame in double]
    still = np.concatenate([face_picture(motion, 0), face_picture(motion, 1)], 1)
    target = BytesIO()
    write_loop([still] * 8 + shown, target, fps=12, repeats=1)
    return target.getvalue()
