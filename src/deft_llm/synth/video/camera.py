"""The camera and the room: distance, pose, lamps, backdrop; then defocus, noise, gamma and 8 bits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from deft_llm.synth.core import dynamics
from deft_llm.synth.video.scene import Light, Scene

BUST = 1.75  # dm from the face's middle down to where the model ends
FACE_PX_PER_DM = 169.0  # a face that is 280 px wide at the frame's default size of 400 px


@dataclass(frozen=True)
class Camera:
    """One recording set-up: the scene that is drawn and the faults added to each frame.

    ``pose`` radians (yaw, pitch, roll) of the resting head; ``blur`` sigma px; ``read_noise`` and
    ``shot_noise`` in grey levels (of 255) at black and added at white; ``gamma`` exponent on the finished
    picture; ``flicker`` depth; ``mains`` Hz; ``grey`` one channel.
    """

    scene: Scene
    pose: tuple[float, float, float]
    blur: float
    read_noise: float
    shot_noise: float
    gamma: float
    flicker: float
    mains: float
    grey: bool

    def record(self) -> dict[str, Any]:
        """What the truth keeps of the camera."""
        scene = self.scene
        return {
            "size": list(scene.size), "scale_px_per_dm": round(scene.scale, 3), "distance_dm": scene.distance,
            "shift_px": list(scene.shift), "pose_degrees": [round(float(np.degrees(a)),
            3) for a in self.pose],
            "lights": [asdict(light) for light in scene.lights], "exposure": round(scene.exposure, 4),
            "blur_px": round(self.blur, 3), "read_noise": round(self.read_noise, 3),
            "shot_noise": round(self.shot_noise, 3), "gamma": round(self.gamma, 3),
            "flicker": round(self.flicker, 5), "mains_hz": self.mains, "grey": self.grey,
        }  # fmt: skip

    def brightness(self, rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
        """Brightness per frame (T,) under the room's lamps."""
        return dynamics.flicker(rng, times, self.flicker, self.mains)

    def develop(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Add the camera's faults to a drawn picture (H, W, 3) uint8; returns
        uint8 (H, W, 3) or (H, W) if grey."""
        image: np.ndarray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if self.grey else picture
        if self.gamma != 1.0:
            image = cv2.LUT(np.ascontiguousarray(image), _curve(self.gamma))
        exact: np.ndarray = image.astype(np.float32)
        if self.blur > 0.15:
            exact = cv2.GaussianBlur(exact, (0, 0), self.blur)
        spread = np.sqrt(self.read_noise**2 + self.shot_noise**2 * np.arange(256) / 255).astype(np.float32)
        grain = sensor_grain(rng, exact.size).reshape(exact.shape)
        grain *= cv2.LUT(np.ascontiguousarray(image), spread)
        exact += grain
        return np.clip(exact + 0.5, 0, 255, out=exact).astype(np.uint8)


def sensor_grain(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count,) normal deviates: two cuts at random places of one long row, added.

    Six times as fast as drawing them, and no two frames share both places.
    """
    row = _long_row()
    first, second = rng.integers(len(row) - count, size=2)
    grain = row[first : first + count] + row[second : second + count]
    grain *= np.float32(0.5**0.5)
    return grain


@lru_cache(maxsize=1)
def _long_row() -> np.ndarray:
    return np.random.default_rng(20260).standard_normal(1 << 22, np.float32)


def _curve(gamma: float) -> np.ndarray:
    return (255 * (np.arange(256) / 255) ** gamma).astype(np.float32).round().astype(np.uint8)


def sample_camera(rng: np.random.Generator, size: int, *, grey: bool | None = None) -> Camera:
    """A recording set-up as in laboratories: near-frontal, flat to side light,
    little noise. ``size`` px square."""
    zoom = size / 400
    return Camera(
        scene=Scene(
            size=(size, size),
            scale=float(zoom * FACE_PX_PER_DM * rng.uniform(0.84, 1.04)),
            distance=float(rng.uniform(7.0, 20.0)),
            shift=(float(zoom * rng.normal(0, 7)), float(zoom * rng.normal(-2, 6))),
            lights=_lamps(rng),
            sky=triple(rng.uniform(0.34, 0.62) * np.array([0.98, 1.0, 1.05])),
            ground=triple(rng.uniform(0.14, 0.32) * np.array([1.05, 1.0, 0.92])),
            exposure=float(rng.uniform(0.78, 0.98)),
            backdrop=_backdrop(rng),
        ),
        pose=triple(np.radians(rng.normal(0, [5.0, 3.5, 1.8]))),
        blur=float(zoom * rng.uniform(0.1, 0.75)),
        read_noise=float(rng.uniform(0.25, 1.0)),
        shot_noise=float(rng.uniform(0.5, 2.2)),
        gamma=float(rng.uniform(0.88, 1.12)),
        flicker=float(rng.choice([0.0, rng.uniform(0.001, 0.012)])),
        mains=float(rng.choice([50.0, 60.0])),
        grey=bool(rng.random() < 0.25) if grey is None else grey,
    )


def sample_video_camera(rng: np.random.Generator, size: int) -> Camera:
    """A set-up as in videos of every day: the face nearer or farther, off the centre, lit from anywhere, now
    and then in the dark, a sensor with more noise. ``size`` px square."""
    zoom = size / 400
    dark = rng.random() < 0.08
    scale = zoom * FACE_PX_PER_DM * float(np.exp(rng.uniform(np.log(0.62), np.log(1.05))))
    room = max(size / 2 - 0.95 * scale, 0.0)  # px that the face's middle may lie off the picture's
    lowest = size / 2 - BUST * scale  # higher up the bust would end within the picture
    light = float(rng.uniform(0.16, 0.3) if dark else rng.uniform(0.62, 1.05))
    lamps = _lamps(rng)
    if rng.random() < 0.15:  # light from far at the side
        key = lamps[0]
        lamps = (Light(_towards(float(rng.choice([-1.3, 1.3])), 0.2), key.colour, key.softness), *lamps[1:])
    return Camera(
        scene=Scene(
            size=(size, size),
            scale=scale,
            distance=float(rng.uniform(5.5, 20.0)),
            shift=(float(rng.uniform(-0.7, 0.7) * room), max(float(rng.uniform(-0.5, 0.5) * room), lowest)),
            lights=lamps,
            sky=triple(rng.uniform(0.3, 0.7) * (1 + rng.normal(0, 0.05, 3))),
            ground=triple(rng.uniform(0.12, 0.36) * (1 + rng.normal(0, 0.05, 3))),
            exposure=light,
            supersample=1.0,  # the sensor's blur and the codec hide what finer drawing would mend
            backdrop=_backdrop(rng),
        ),
        pose=triple(np.radians(rng.normal(0, [7.0, 5.0, 3.0]))),
        blur=float(zoom * rng.uniform(0.1, 1.1)),
        read_noise=float(rng.uniform(0.3, 1.6) * (2.5 if dark else 1.0)),
        shot_noise=float(rng.uniform(0.5, 3.0) * (2.0 if dark else 1.0)),
        gamma=float(rng.uniform(0.8, 1.2)),
        flicker=float(rng.choice([0.0, rng.uniform(0.001, 0.02)])),
        mains=float(rng.choice([50.0, 60.0])),
        grey=bool(rng.random() < 0.08),
    )


def triple(values: Iterable[float]) -> tuple[float, float, float]:
    """Three floats."""
    first, second, third = map(float, values)
    return first, second, third


def _lamps(rng: np.random.Generator) -> tuple[Light, Light, Light]:
    """Key, fill and back lamp: from flat frontal light to light from the side."""
    side = float(rng.choice([-1, 1]))
    turn = abs(rng.normal(0.35, 0.35))
    warm = rng.uniform(-0.06, 0.08)
    key = rng.uniform(0.85, 1.2)
    colour = np.array([1 + warm, 1.0, 1 - warm])
    fill = rng.uniform(0.15, 0.55)
    return (
        Light(_towards(side * turn, rng.uniform(0.25, 0.8)), triple(key * colour),
              float(rng.uniform(0.25, 0.6))),
        Light(_towards(-side * rng.uniform(0.5, 1.1), rng.uniform(-0.1, 0.4)),
              triple(fill * np.array([0.95, 1.0, 1.06])), 0.55),
        Light(_towards(-side * 2.4, 0.7), triple(rng.uniform(0.1, 0.4) * np.ones(3)), 0.4),
    )  # fmt: skip


def _towards(turn: float, rise: float) -> tuple[float, float, float]:
    """Unit direction to a lamp: ``turn`` radians to the image's right of the camera, ``rise`` up."""
    vector = np.array([np.sin(turn) * np.cos(rise), np.sin(rise), np.cos(turn) * np.cos(rise)])
    return triple(vector)


def _backdrop(rng: np.random.Generator) -> np.ndarray:
    """A wall behind the subject (96, 96, 3) uint8 sRGB: plain with a gradient, or with blurred shapes."""
    base = rng.uniform(70, 215) + rng.normal(0, 9, 3)
    rows, columns = np.mgrid[0:96, 0:96] / 95.0
    tilt = rng.normal(0, 16, 2)
    wall = base + (tilt[0] * (rows - 0.5) + tilt[1] * (columns - 0.5))[..., None]
    if rng.random() < 0.4:
        for _ in range(int(rng.integers(2, 6))):
            left, top = rng.integers(0, 80, 2)
            wall[top : top + int(rng.integers(10, 60)), left : left + int(rng.integers(5, 50))] += rng.normal(
                0, 22, 3
            )
        wall = cv2.GaussianBlur(wall, (0, 0), float(rng.uniform(1.5, 6)))
    return np.clip(wall, 5, 250).astype(np.uint8)
