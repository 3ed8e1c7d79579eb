"""A plan and a subject -> the face's state at every frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deft_llm.synth.core.events import Plan
from deft_llm.synth.core.head import vertex_normals
from deft_llm.synth.core.mesh import load_face
from deft_llm.synth.core.unit_map import AU_MAP, UnitSet
from deft_llm.synth.core.units import Component, component_field, motor_style, nuisance_displacement
from deft_llm.synth.video.assets import Subject
from deft_llm.synth.video.camera import triple
from deft_llm.synth.video.furrows import furrow_strength
from deft_llm.synth.video.scene import FaceState

LARGE = 0.35  # strengths (share of full) above which normals are computed anew at every frame
FURROW_AT = 0.55  # strength at which an AU's folds are fully there: micro movements show a trace of them

MOST_CREASED = 1.4  # folds do not deepen further, of whole ones
MOST_GRADED = 4.5  # ... where ``Plan.fold_gain`` says how strongly they answer


@dataclass
class Performer:
    """One subject's components as displacements of the drawn vertices; each is made once and kept."""

    subject: Subject
    unit_set: UnitSet

    def __post_init__(self) -> None:
        self._fields: dict[Component | str, tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]] = {}
        self._normals: dict[Component | str, np.ndarray] = {}
        self._creases: dict[Component | str, np.ndarray] = {}

    def displacement(self, key: Component | str) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Displacement (N, 3) dm at full strength of the drawn vertices and of both lashes' vertices."""
        if key not in self._fields:
            identity, mesh, head = self.subject.identity, load_face(), self.subject.head
            if isinstance(key, str):
                whole = nuisance_displacement(mesh, identity, key)
            else:
                style = motor_style(identity, key)
                whole = component_field(mesh, key, self.unit_set, tuple(identity.ancestry.items()), style)
                left, right = mesh.eye_centres(identity.vertices)
                whole = whole * np.float32(style.gain * AU_MAP[key.au].full * np.linalg.norm(left - right))
            lashes = tuple(whole[lash] for lash in head.lashes)
            self._fields[key] = (np.ascontiguousarray(whole[head.index]), lashes)
        return self._fields[key]

    def tilt(self, key: Component | str) -> np.ndarray:
        """Change of the normals (N, 3) per unit of strength, for small strengths."""
        if key not in self._normals:
            moved = self.subject.vertices + 0.1 * self.displacement(key)[0]
            change = vertex_normals(moved, self.subject.head.triangles) - self.subject.normals
            self._normals[key] = change * 10
        return self._normals[key]

    def crease(self, key: Component | str, gain: np.ndarray | None = None) -> np.ndarray:
        """How much one unit of strength switches on the folds at each vertex (N,); ``gain`` (folds,) of each
        family of folds."""
        if gain is not None and not isinstance(key, str):
            strength = gain[:, None] * furrow_strength(key.au, key.side or "both") / FURROW_AT
            return np.einsum("fs,fsn->n", strength.astype(np.float32), self.subject.furrow_weights)
        if key not in self._creases:
            amount = np.zeros(len(self.subject.vertices), np.float32)
            if not isinstance(key, str):
                strength = furrow_strength(key.au, key.side or "both")
                amount = np.einsum("fs,fsn->n", strength, self.subject.furrow_weights)
            self._creases[key] = amount / FURROW_AT
        return self._creases[key]

    def state(self, plan: Plan, frame: int, brightness: float = 1.0) -> FaceState:
        """The face at one frame of the plan."""
        subject = self.subject
        vertices, normals = subject.vertices.copy(), subject.normals.copy()
        whole = subject.identity.vertices
        lashes = [whole[lash] + subject.offset for lash in subject.head.lashes]
        furrow = np.zeros(len(vertices), np.float32)
        large = False
        for key, curve in plan.tracks.items():
            strength = float(curve[frame])
            if abs(strength) < 1e-7:
                continue
            field, lash_fields = self.displacement(key)
            vertices += strength * field
            lashes = [lash + strength * change for lash, change in zip(lashes, lash_fields, strict=True)]
            furrow += strength * self.crease(key, plan.fold_gain)
            large = large or abs(strength) > LARGE
            if not large:
                normals += strength * self.tilt(key)
        if large:
            normals = vertex_normals(vertices, subject.head.triangles)
        for au, share in plan.creases.items():
            furrow += share * np.einsum("fs,fsn->n", furrow_strength(au, "both"), subject.furrow_weights)
        return FaceState(
            vertices, normals, np.minimum(furrow, most_creased(plan)), (lashes[0], lashes[1]),
            (float(plan.gaze[frame][0]), float(plan.gaze[frame][1])), triple(plan.turn[frame]),
            triple(plan.move[frame]), brightness,
        )  # fmt: skip


def most_creased(plan: Plan) -> float:
    """How far folds deepen in a plan, of whole ones."""
    return MOST_CREASED if plan.fold_gain is None else MOST_GRADED


def still_plan(
    strengths: dict[Component | str, float], *, turn: tuple[float, float, float] = (0, 0, 0)
) -> Plan:
    """A plan of one frame with these strengths: for contact sheets and tests."""
    plan = Plan(100.0, np.zeros(1), "still")
    plan.gaze, plan.move = np.zeros((1, 2), np.float32), np.zeros((1, 3), np.float32)
    plan.turn = np.array([turn], np.float32)
    for key, strength in strengths.items():
        plan.add(key, np.array([strength]))
    return plan
