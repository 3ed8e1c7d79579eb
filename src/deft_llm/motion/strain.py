"""Optical strain: how much the skin is deformed, whatever the head does."""

from __future__ import annotations

import numpy as np


def optical_strain(flow: np.ndarray) -> np.ndarray:
    """Strain magnitude (..., H, W) of flow (..., 2, H, W), per pixel of the map.

    sqrt(u_x^2 + v_y^2 + (u_y + v_x)^2 / 2), central differences (Shreve et al. 2011); compute it before
    any masking, whose edges would look like strain.
    """
    flow = np.asarray(flow, np.float32)
    uy, ux = np.gradient(flow[..., 0, :, :], axis=(-2, -1))
    vy, vx = np.gradient(flow[..., 1, :, :], axis=(-2, -1))
    return np.sqrt(ux**2 + vy**2 + 0.5 * (uy + vx) ** 2).astype(np.float32)


def divergence(flow: np.ndarray) -> np.ndarray:
    """du/dx + dv/dy (..., H, W) of flow (..., 2, H, W): positive where skin spreads."""
    flow = np.asarray(flow, np.float32)
    return np.gradient(flow[..., 0, :, :], axis=-1) + np.gradient(flow[..., 1, :, :], axis=-2)
