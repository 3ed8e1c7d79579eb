"""The demo's clip with exact truth: one lip-corner pull of one pixel on the portrait."""

from __future__ import annotations

from pathlib import Path

from deft_llm.explain.samples import Injected, living_portrait, save_video

FPS = 50.0
MOVEMENT = Injected(12, "right", onset=60, apex=69, offset=82, px=1.0)
FRAMES = 130
TRUTH = (
    f"AU12 on the subject's right, {MOVEMENT.px:g} px at its peak, onset {MOVEMENT.onset / FPS:.2f} s, apex "
    f"{MOVEMENT.apex / FPS:.2f} s, offset {MOVEMENT.offset / FPS:.2f} s"
)


def portrait_clip(path: Path) -> Path:
    """Make the clip (once): a warp of one pixel, camera noise, a slow drift of the head, H.264."""
    if not Path(path).is_file():
        save_video(path, living_portrait([MOVEMENT], FRAMES, fps=FPS, seed=5), FPS)
    return Path(path)
