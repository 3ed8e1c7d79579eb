"""The contact sheet: one look at what was prepared (onset, apex, flow), to see what went wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deft_llm.files import write_bytes
from deft_llm.store import Motion, Store

TILE, CAPTION, MOST, COLUMNS = 112, 14, 48, 4


def draw_contact_sheet(store: Store, path: Path, most: int = MOST) -> int:
    """Write a PNG with up to ``most`` clips, evenly spread over the store; returns how many it shows."""
    import cv2

    ids = list(store.rows)
    chosen = [ids[i] for i in np.unique(np.linspace(0, len(ids) - 1, min(most, len(ids))).astype(int))]
    cells = [_cell(store.motion(clip_id, ["faces", "mask"])) for clip_id in chosen]
    width = max(cell.shape[1] for cell in cells)
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    sheet = np.full((rows * (TILE + CAPTION), columns * (width + 6), 3), 255, np.uint8)
    for number, cell in enumerate(cells):
        top, left = number // columns * (TILE + CAPTION), number % columns * (width + 6)
        sheet[top + CAPTION : top + CAPTION + TILE, left : left + cell.shape[1]] = cell
        cv2.putText(
            sheet,
            chosen[number][-44:],
            (left + 1, top + CAPTION - 4),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.33,
            (0, 0, 0),
            1,
            cv2.LINE_AA,
        )
    write_bytes(path, cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
    return len(chosen)


def _cell(motion: Motion) -> np.ndarray:
    """Onset and apex faces (where there are any) and the onset-apex flow as colours, side by side, RGB."""
    import cv2

    tiles = [
        cv2.resize(face, (TILE, TILE), interpolation=cv2.INTER_AREA)
        for face in (motion.faces[:2] if motion.faces is not None else [])
    ]
    flow = motion.flow[0] if motion.mask is None else motion.flow[0] * motion.mask
    picture = cv2.resize(flow_colours(flow), (TILE, TILE), interpolation=cv2.INTER_NEAREST)
    return np.concatenate([*tiles, picture], axis=1)


def flow_colours(flow: np.ndarray) -> np.ndarray:
    """Flow (2, H, W) as RGB: hue is direction, whiter is less; full colour at the 99th percentile."""
    import cv2

    magnitude = np.hypot(flow[0], flow[1])
    top = max(float(np.percentile(magnitude, 99)), 1e-6)
    hue = (np.degrees(np.arctan2(flow[1], flow[0])) % 360 / 2).astype(np.uint8)
    saturation = np.clip(magnitude / top * 255, 0, 255).astype(np.uint8)
    hsv = np.stack([hue, saturation, np.full_like(hue, 255)], axis=-1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
