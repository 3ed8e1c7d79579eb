"""Synthetic tracks: a canonical face whose landmarks move as written down."""

import numpy as np
import pytest

from deft_llm.faces.graph import BLENDSHAPES
from deft_llm.faces.regions import CANONICAL_DEPTH, CANONICAL_LANDMARKS, TWIN
from deft_llm.state.channels import POINTS
from deft_llm.state.furrows import PATCH_NAMES
from deft_llm.state.track import KEPT, THUMBNAIL, FaceTrack

FPS = 25.0
LOOK = np.linspace(60, 180, THUMBNAIL**2).reshape(THUMBNAIL, THUMBNAIL).astype(np.uint8)


@pytest.fixture
def make_track():
    """A track of ``frames``; ``moves``: list of (landmarks, (right, up) in % of the eye distance, course) and
    ``shown``: blendshape -> course; ``turn``: degrees of roll over time."""

    def make(frames=100, moves=(), shown=None, turn=None, noise=0.0, fps=FPS, seed=0):
        random = np.random.default_rng(seed)
        points = np.tile(CANONICAL_LANDMARKS.astype(float), (frames, 1, 1)) + [200.0, 100.0]
        for ids, (right, up), course in moves:
            points[:, list(ids), 0] += 0.9 * right * course[:, None]
            points[:, list(ids), 1] -= 0.9 * up * course[:, None]
        if turn is not None:
            middle = points.mean((0, 1))
            for t, angle in enumerate(np.radians(turn)):
                c, s = np.cos(angle), np.sin(angle)
                points[t] = (points[t] - middle) @ np.array([[c, s], [-s, c]]) + middle
        points += random.normal(0, noise, points.shape)
        blend = np.zeros((frames, len(BLENDSHAPES)), np.float32)
        for name, course in (shown or {}).items():
            blend[:, BLENDSHAPES.index(name)] = course
        return FaceTrack(
            times=np.arange(frames) / fps, landmarks=points[:, KEPT].astype(np.float32),
            depth=np.tile(CANONICAL_DEPTH[KEPT], (frames, 1)).astype(np.float32), blend=blend,
            presence=np.full(frames, 18.0, np.float32), iod=np.full(frames, 90.0, np.float32),
            furrows=np.full((frames, len(PATCH_NAMES)), 0.01, np.float32),
            lips=np.tile(np.array([0.03, -0.1, 0.03, -0.1, 0.1], np.float32), (frames, 1)),
            skipped=np.zeros(frames, np.float32), quantiser=np.zeros(frames, np.float32),
            thumbnail=np.tile(LOOK, (frames, 1, 1)),
            size=(640, 480), fps=fps,
        )  # fmt: skip

    return make


@pytest.fixture
def hold():
    """A course that rises from one frame to another, holds, and is released again."""

    def make(frames, rise, release, size=1.0):
        at = np.arange(frames)
        return size * np.interp(at, [rise[0], rise[1], release[0], release[1]], [0, 1, 1, 0])

    return make


@pytest.fixture
def smile(make_track, hold):
    """A track with one smile: corners up and out, cheeks up, mouthSmile; ``rises``: where a side begins by
    itself."""

    def make(sides=("left", "right"), frames=120, rise=(40, 48), release=(80, 90), rises=None, **options):
        moves, shown = [], {}
        for side in sides:
            course = hold(frames, (rises or {}).get(side, rise), release)
            one = lambda ids, s=side: ids if s == "right" else TWIN[list(ids)]  # noqa: E731
            out = -1 if side == "right" else 1
            moves.append((one((61, 57, 185, 146)), (7 * out, 8), course))
            moves.append((one(POINTS["cheek"]), (0, 4), course))
            moves.append((one((37, 39, 40)), (2 * out, 3), course))
            shown[f"mouthSmile{side.capitalize()}"] = 0.6 * course
        return make_track(frames, moves, shown, **options)

    return make
