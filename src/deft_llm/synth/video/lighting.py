"""What the renderer computes at vertices, once per subject or once per clip, instead of at every pixel."""

from __future__ import annotations

import numpy as np

from deft_llm.synth.core.head import MATERIAL_TEETH
from deft_llm.synth.video.assets import Subject
from deft_llm.synth.video.scene import AIM, PIVOT, Light, Scene

MOUTH = np.array([0.22, 0.045, 0.04])
WET = np.array([0.60, 0.30, 0.26])
EAR = np.array([1.05, 0.82, 0.80])
HEM = 0.06  # dm above the neckline: from there on no clothes are drawn


def mean_skin(subject: Subject) -> np.ndarray:
    """Linear colour (3,) of the subject's skin as a whole."""
    return np.clip(1.3 * (subject.skin.albedo[..., :3].reshape(-1, 3).mean(0) / 255) ** 2, 0.05, 1)


def baldness(subject: Subject) -> float:
    """How much of the scalp's hair colour the crown lacks, 0..0.92."""
    return float(np.clip(2.2 * subject.identity.attributes["baldness"] - 0.1, 0, 0.92))


def skin_paint(subject: Subject) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What becomes of the texture at each vertex: colour * tint + paint (N, 3), gloss * and + sheen (N, 2).

    Mouth, wet lid rims, ears and the scalp's shade, in the order of the skin shader.
    """
    head, hair = subject.head, np.asarray(subject.skin.hair, float)
    inside = _smooth(0.35, 0.9, head.material) * (head.material < 1.5)
    wet, ear = head.wet.astype(float), 0.5 * head.ear.astype(float)
    crown = baldness(subject) * _smooth(7.6, 8.0, head.rest[:, 1])
    cap = 0.95 * _smooth(0.25, 0.85, head.scalp) * (1 - crown)
    tint, paint = np.ones((len(wet), 3)), np.zeros((len(wet), 3))
    sheen = np.stack([np.ones(len(wet)), np.zeros(len(wet))], 1)
    for amount, colour in ((inside, MOUTH), (0.55 * wet, WET * mean_skin(subject) * 2)):
        tint, paint = tint * (1 - amount)[:, None], paint + amount[:, None] * (colour - paint)
    for amount, gloss in ((inside, 0.5), (wet, 0.9)):
        sheen[:, 1] += amount * (gloss - sheen[:, 1])
        sheen[:, 0] *= 1 - amount
    warm = 1 + ear[:, None] * (EAR - 1)
    tint, paint = tint * warm, paint * warm
    tint = tint * (1 - cap)[:, None]
    paint = paint + cap[:, None] * (hair * hair * 0.42 - paint)
    return tint, paint, sheen * (1 - 0.85 * cap)[:, None]


def _smooth(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """GLSL's smoothstep."""
    x = np.clip((value - low) / (high - low), 0, 1)
    return x * x * (3 - 2 * x)


def bare_triangles(subject: Subject) -> np.ndarray:
    """Which of the head's triangles (T,) are bare skin: no clothes near, no teeth."""
    head = subject.head
    x, y, z = head.rest.astype(float).T
    neckline = subject.collar - 0.55 * np.exp(-x * x * 3.5) + 0.12 * (z - 0.5)
    dressed = (y < neckline + HEM) | (head.material >= MATERIAL_TEETH)
    return ~dressed[head.triangles].any(1)


def hair_light(rows: np.ndarray, scene: Scene, turn: np.ndarray, hair: np.ndarray) -> np.ndarray:
    """Linear colour (V, 3) of ribbon vertices ``rows`` (V, 10) on a head turned by ``turn`` (3, 3).

    Kajiya & Kay's strands, darker at the roots; hair keeps it for a clip, as skin keeps its shadows.
    """
    here = (rows[:, :3] - PIVOT) @ turn.T + PIVOT - AIM - np.array([0, 0, scene.distance], np.float32)
    along, view = _unit(rows[:, 3:6] @ turn.T), _unit(-here)
    base = np.asarray(hair, np.float32) ** 2 * rows[:, 9:10]
    depth = 0.34 + 0.66 * _smooth(0.0, 0.7, rows[:, 8])[:, None]
    total = (0.38 * np.array(scene.ground) + 0.62 * np.array(scene.sky)) * 0.75 * depth
    shine = np.zeros_like(total)
    for light in scene.lights:
        toward = _unit(np.asarray(light.direction, np.float32)[None])[0]
        colour = np.asarray(light.colour, np.float32) * depth * np.clip(0.55 + 0.45 * toward[2], 0.15, 1)
        across = np.sqrt(np.clip(1 - (along @ toward) ** 2, 0, 1))[:, None]
        half = _unit(toward + view)
        glance = np.sqrt(np.clip(1 - (along * half).sum(1) ** 2, 0, 1))[:, None]
        total = total + colour * across * 0.62
        shine = shine + colour * (0.050 * glance**70 + base * 0.7 * glance**18)
    return (base * (0.91 + 0.09 * rows[:, 6:7]) * total + 0.8 * shine).astype(np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9)


def highlights(lights: tuple[Light, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Half-way vectors (2, 3) of the first two lights and the picture's centre, and their colours (2, 3)
    with Fresnel's share."""
    toward = _unit(np.array([light.direction for light in lights[:2]], float))
    half = _unit(toward + np.array([0.0, 0.0, 1.0]))
    fresnel = 0.03 + 0.97 * (1 - half[:, 2:]) ** 5
    return half, np.array([light.colour for light in lights[:2]]) * fresnel
