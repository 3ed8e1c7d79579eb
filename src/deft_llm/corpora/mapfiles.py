"""Reads one flow-map file: a stretched PNG or float flow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deft_llm.errors import DeftError
from deft_llm.files import as_float32, read_image, reading


def read_map(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """One map file as flow (2, H, W) float32 (u right, v down) and strain (H, W) or None.

    PNG values are 0..1, each channel stretched for itself. Raises: DeftError for a file that is no map.
    """
    if path.suffix.casefold() in (".npy", ".npz"):
        return _read_array(path)
    image = read_image(path)
    if image.ndim != 3 or image.shape[2] < 3:
        raise DeftError(f"{path}: has one channel; a flow map holds u, v and strain in R, G and B.")
    top = {"uint8": 255.0, "uint16": 65535.0}.get(image.dtype.name, 1.0)
    channels = image[:, :, 2::-1].transpose(2, 0, 1).astype(np.float32) / np.float32(top)
    if min(channels.shape[1:]) < 8:
        raise DeftError(
            f"{path}: is {channels.shape[2]} x {channels.shape[1]} pixels; a map needs 8 x 8 at least."
        )
    return np.ascontiguousarray(channels[:2]), np.ascontiguousarray(channels[2])


def _read_array(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    with reading(path, "save float flow with numpy"):
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            names = loaded.files
            array = loaded["flow" if "flow" in names else names[0]]
        else:
            array = loaded
    if array.ndim == 3 and array.shape[0] in (2, 3) and array.shape[2] not in (2, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in (2, 3) or array.dtype.kind != "f" or min(array.shape[:2]) < 8:
        raise DeftError(f"{path}: has shape {array.shape} of {array.dtype}; float flow is H x W x 2 or 3.")
    channels = np.ascontiguousarray(as_float32(array, path).transpose(2, 0, 1))
    return channels[:2], channels[2] if len(channels) == 3 else None
