"""Where a hand is at every frame: passing before the face, or touching it; and what it hides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from deft_llm.synth.core.sequence import Sequence
from deft_llm.synth.video import lighting, truth
from deft_llm.synth.video.assets import Subject
from deft_llm.synth.video.prop_pass import Dressing
from deft_llm.synth.video.props import POSES, Mesh, make_hand
from deft_llm.synth.video.scene import FaceState, Scene, head_matrix, project

PLACES = {
    "mouth": (0.0, 6.62), "chin": (0.05, 6.3), "cheek": (0.42, 6.9), "nose": (0.05, 6.95),
    "eye": (0.31, 7.27), "forehead": (0.15, 7.7),
}  # fmt: skip
HIDDEN = {"brows": ("brow", "glabella"), "eyes": ("lid", "eye corner"), "mouth": ("lip", "mouth")}
HAND_SHADE = 0.72  # a hand's skin has no hollows that keep light away; the face's mean colour has


@dataclass(frozen=True)
class HandPath:
    """One hand's event: its mesh, when it is there (seconds), and the places (T, 3) of its palm with the
    elbow it hangs on; ``held``: it moves with the head."""

    mesh: Mesh
    start: float
    stop: float
    points: np.ndarray
    elbow: np.ndarray
    lean: float
    held: bool

    def place(self, frame: int, time: float, state: FaceState) -> np.ndarray | None:
        """Hand to world (4, 4) at one frame; None where it is not there."""
        if not self.start <= time <= self.stop:
            return None
        point = self.points[frame]
        up = point - self.elbow
        up[2] *= 0.3
        up /= np.linalg.norm(up)
        side = np.cross(up, np.array([0.0, 0.0, 1.0]))
        side /= np.linalg.norm(side)
        out = np.cross(side, up)
        cos, sin = np.cos(self.lean), np.sin(self.lean)
        matrix = np.eye(4, dtype=np.float32)
        matrix[:3, 0] = side
        matrix[:3, 1] = cos * up - sin * out
        matrix[:3, 2] = sin * up + cos * out
        matrix[:3, 3] = point
        return head_matrix(state) @ matrix if self.held else matrix


def hand_paths(sequence: Sequence, subject: Subject, rng: np.random.Generator) -> list[HandPath]:
    """The paths of all hands of a film."""
    found, skin = [], lighting.mean_skin(subject)
    times = sequence.plan.times
    for event in sequence.events:
        if not event["kind"].startswith("hand"):
            continue
        touch = event["kind"] == "hand touch"
        pose = str(rng.choice(list(POSES) if touch else ["open", "relaxed", "loose fist"]))
        spread, sleeve = int(rng.choice([0, 4, 9])), bool(rng.random() < 0.6)
        mesh = make_hand(subject, HAND_SHADE * skin, pose, event["side"], spread, sleeve)
        sign = -1.0 if event["side"] == "right" else 1.0  # the right hand comes from the image's left
        elbow = np.array([sign * rng.uniform(0.8, 1.5), rng.uniform(3.6, 4.4), 1.7])
        away = np.array([sign * rng.uniform(1.1, 1.7), rng.uniform(4.2, 4.9), 2.2])
        share = np.clip((times - event["onset"]) / (event["offset"] - event["onset"]), 0, 1)
        if touch:
            points = _touching(event["place"], sign, subject, pose, away, share, rng)
        else:
            points = _passing(sign, away, share, rng)
        lean = float(rng.uniform(0.1, 0.45) if touch else rng.uniform(-0.2, 0.3))
        found.append(HandPath(mesh, event["onset"], event["offset"], points, elbow, lean, touch))
    return found


def _ease(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x**3 * (10 - 15 * x + 6 * x**2)


def _passing(sign: float, away: np.ndarray, share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Across the face and on, or back: palm places (T, 3)."""
    middle = np.array([rng.uniform(-0.25, 0.25), rng.uniform(6.2, 7.2), rng.uniform(1.95, 2.4)])
    beyond = away if rng.random() < 0.4 else np.array([-sign * 1.9, rng.uniform(5.6, 7.2), 2.2])
    first, second = _ease(share * 2)[:, None], _ease(share * 2 - 1)[:, None]
    path: np.ndarray = away + first * (middle - away) + second * (beyond - middle)
    return path


def _touching(
    place: str, sign: float, subject: Subject, pose: str, away: np.ndarray, share: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """To a place on the face, there a little to and fro, and away: palm places (T, 3)."""
    x, y = PLACES[place]
    target = np.array([sign * x, y])
    front = subject.vertices[subject.vertices[:, 2] > 0.5]
    near = front[np.argsort(np.hypot(*(front[:, :2] - target).T))[:40]]
    reach = {"open": 0.55, "relaxed": 0.6, "point": 1.05, "loose fist": 0.45}[pose]
    if place == "mouth" and pose in ("open", "relaxed"):
        reach = 0.2  # the palm covers it
    toward = np.array([-sign * 0.45, 0.9])
    palm = np.array([*(target - reach * toward), float(near[:, 2].max()) + 0.20])
    stay = palm + 0.03 * np.stack([np.sin(share * rng.uniform(6, 20) + k) for k in range(3)], -1)
    arrive = float(rng.uniform(0.15, 0.3))
    there = _ease(share / arrive) * (1 - _ease((share - 1 + arrive) / arrive))
    path: np.ndarray = away + there[:, None] * (stay - away)
    return path


def hidden_shares(
    scene: Scene, state: FaceState, hand: tuple[Mesh, np.ndarray] | None, dressing: Dressing
) -> np.ndarray:
    """Shares (3,) of the landmarks of brows, eyes and mouth that a hand, a mask or dark glasses hide."""
    shares = np.zeros(len(HIDDEN), np.float32)
    if hand is not None:
        mesh, place = hand
        points = truth.landmarks(state, scene)
        covered = _behind(points, mesh, np.linalg.inv(head_matrix(state)) @ place, scene, state)
        names = list(truth.LANDMARKS)
        for number, words in enumerate(HIDDEN.values()):
            chosen = [any(word in name for word in words) for name in names]
            shares[number] = covered[chosen].mean()
    if dressing.mask is not None:
        shares[2] = 1.0
    if dressing.glasses is not None and dressing.glasses.dark:
        shares[1] = 1.0
    return shares


def _behind(points: np.ndarray, mesh: Mesh, place: np.ndarray, scene: Scene, state: FaceState) -> np.ndarray:
    """Which image points (K, 2) lie behind the hand's capsules; place (4, 4): hand to head space."""
    ends = [mesh.balls[:, at : at + 3] @ place[:3, :3].T + place[:3, 3] for at in (0, 3)]
    (a, clip), (b, _) = (project(end, scene, state) for end in ends)
    radius = mesh.balls[:, 6] * scene.scale * scene.distance / clip[:, 3]
    axis = b - a
    share = ((points[:, None] - a) * axis).sum(-1) / np.maximum((axis**2).sum(-1), 1e-9)
    gap = np.linalg.norm(points[:, None] - a - np.clip(share, 0, 1)[..., None] * axis, axis=-1)
    covered: np.ndarray = (gap < radius).any(1)
    return covered


def hand_at(paths: list[HandPath], frame: int, time: float, state: FaceState) -> tuple[Mesh, Any] | None:
    """The hand that is there at a frame, with its place in the world."""
    for path in paths:
        place = path.place(frame, time, state)
        if place is not None:
            return path.mesh, place
    return None
