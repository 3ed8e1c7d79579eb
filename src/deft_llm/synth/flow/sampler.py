"""Flow-level synthesis: labelled onset->apex and apex->offset maps by the hundred thousand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from deft_llm.errors import UsageError
from deft_llm.facs.emotions import FINE
from deft_llm.facs.units import entry
from deft_llm.records import COARSE
from deft_llm.synth.core.identity import SEED_RANGES, Split, sample_identity
from deft_llm.synth.core.mesh import load_face
from deft_llm.synth.core.prior import Expression, Prior, load_prior
from deft_llm.synth.core.unit_map import SYNTH_AUS, UNIT_SETS, UnitSet
from deft_llm.synth.flow.codec import Codec
from deft_llm.synth.flow.config import FlowConfig
from deft_llm.synth.flow.draw import (
    Drawn,
    Projector,
    bent,
    draw_bend,
    draw_crop,
    draw_motion,
    happens,
    loguniform,
    noise,
    turn_round,
)
from deft_llm.synth.flow.estimator import Scene, split
from deft_llm.synth.flow.face import FlowFace, build_face

COARSE_INDEX: dict[str | None, int] = {name: number for number, name in enumerate(COARSE)} | {None: -1}
FINE_INDEX = {name: number for number, name in enumerate(FINE)}


@dataclass
class Sample:
    """One synthetic sample: maps (P, 3, S, S), the expression's own motion (2, 14, 14) px, and its truth.

    ``eyes``: their height in the map and the distance between them, shares of the map's side; ``aspect`` of
    the crop: height over width. ``released``: the expression that was held and goes, where the first phase is
    a release (``expression`` is None then).
    """

    maps: np.ndarray
    clean: np.ndarray
    expression: Expression | None
    drawn: Drawn
    face: FlowFace
    unit_set: UnitSet
    mirrored: bool
    eyes: tuple[float, float] = (0.0, 0.0)
    aspect: float = 1.0
    released: Expression | None = None


class FlowSynth:
    """Makes labelled flow maps from a pool of cached synthetic heads.

    ``seed_range``: a split's name or a range of identity seeds inside one split; ``unit_sets``: which meshes
    move the face. Sample i of seed s depends on (pool, config, s, i) alone: not on batches or workers.
    Raises: UsageError for impossible options.
    """

    def __init__(
        self,
        seed_range: Split | range = "train",
        config: FlowConfig | None = None,
        *,
        prior: str | Prior = "facs",
        unit_sets: tuple[UnitSet, ...] = UNIT_SETS,
    ) -> None:
        self.config = config or FlowConfig()
        self.prior = load_prior(prior) if isinstance(prior, str) else prior
        self.unit_sets = tuple(unit_sets)
        seeds = SEED_RANGES[seed_range] if isinstance(seed_range, str) else seed_range
        if not self.unit_sets or set(self.unit_sets) - set(UNIT_SETS):
            raise UsageError(f"--units {','.join(self.unit_sets)}: choose from {', '.join(UNIT_SETS)}.")
        if not 8 <= self.config.size <= 224 or self.config.phases not in (1, 2):
            raise UsageError("flow maps: size must be 8 to 224 and phases 1 or 2.")
        if len(seeds) < self.config.identities:
            raise UsageError(f"{self.config.identities} identities do not fit into {len(seeds)} seeds.")
        stride = max(len(seeds) // self.config.identities, 1)
        # a stride coprime to 6 keeps sex and ancestry balanced (identities go round in sixes)
        stride = max(s for s in (1, stride - (stride % 6) + 1, stride - (stride % 6) - 1) if 0 < s <= stride)
        self.seeds = [seeds[number * stride] for number in range(self.config.identities)]
        self._faces: dict[int, tuple[FlowFace, UnitSet]] = {}

    @property
    def pool_size(self) -> int:
        """Cached heads: identities x poses x unit sets."""
        return len(self.seeds) * self.config.poses * len(self.unit_sets)

    @property
    def work(self) -> int:
        """Side of the working grid, px."""
        return self.config.size * (self.config.supersample if self.config.size < 112 else 1)

    def face(self, number: int) -> tuple[FlowFace, UnitSet]:
        """Head ``number`` of the pool, built at first use."""
        if number not in self._faces:
            config = self.config
            who, rest = divmod(number, config.poses * len(self.unit_sets))
            unit_set = self.unit_sets[rest % len(self.unit_sets)]
            seed = self.seeds[who]
            rng = np.random.default_rng([seed, rest, 5])
            side = max(160, round(self.work * 2.2))
            built = build_face(
                load_face(), sample_identity(seed), unit_set, rng, side,
                yaw=float(np.clip(rng.normal(0, config.yaw), -22, 22)),
                pitch=float(np.clip(rng.normal(0, config.pitch), -20, 20)),
                distance=float(rng.uniform(*config.distance)),
            )  # fmt: skip
            self._faces[number] = (built, unit_set)
        return self._faces[number]

    def block(self, seed: int, number: int, coarse: str | None = None) -> list[Sample]:
        """Block ``number`` of stream ``seed``: config.takes samples of one head, crop and estimator."""
        config, work = self.config, self.work
        rng = np.random.default_rng([seed, number, 11])
        drawn_head = int(rng.integers(self.pool_size))
        face, unit_set = self.face(number % self.pool_size if config.in_turn else drawn_head)
        expressions = [
            None if happens(rng, config.neutral_chance) else self.prior.sample(rng, coarse)
            for _ in range(config.takes)
        ]
        drawn = [draw_motion(rng, config, expression) for expression in expressions]
        gone = np.random.default_rng([seed, number, 31])
        released = [one is not None and happens(gone, config.release_chance) for one in expressions]
        for one, is_release in zip(drawn, released, strict=True):
            if is_release:
                turn_round(one)
        crop = draw_crop(rng, config, face, work)
        scene = Scene(rng, config, face, crop, work)
        projector = Projector(face, crop, scene.index)
        bend = draw_bend(rng, config, config.takes, work)
        phases = [rows for d in drawn for rows in d.rows]
        u, v = projector.flow(rng, config, phases, np.repeat(bend, config.phases, axis=1))
        if not happens(rng, config.background_moves_chance):
            u[:, scene.background] = 0
            v[:, scene.background] = 0
        shift = rng.uniform(*config.crop_jitter) * rng.standard_normal((2, len(u), 1), dtype=np.float32)
        u, v = u + shift[0].astype(np.float32), v + shift[1].astype(np.float32)
        coder = np.random.default_rng([seed, number, 29])
        still = (
            Codec(coder, config, work).apply(scene.tensor, u, v)
            if happens(coder, config.coded_chance)
            else None
        )
        u, v = scene.estimate(rng, u, v, still)
        share = rng.uniform(0.4, 1.0, len(u)) * (rng.random(len(u)) < config.head_removed_chance)
        _remove_similarity(u, v, scene.background, share)
        flows = np.stack([u, v], 1).reshape(-1, 2, work, work)
        mirrored = rng.random(config.takes) < config.mirror_chance
        maps = self._finish(rng, flows, crop.aspect, np.repeat(mirrored, config.phases))
        maps = maps.reshape(config.takes, config.phases, *maps.shape[1:])
        step = 2 if work % 28 == 0 else 1  # the clean field is 14 x 14: every second pixel is plenty
        chosen = np.arange(work * work).reshape(work, work)[::step, ::step].ravel()
        skin = bent(projector.skin([d.expression for d in drawn], chosen), bend[:, :, chosen])
        clean = self._clean(np.stack(skin, 1), work // step, mirrored)
        return [
            Sample(maps[k], clean[k], None if released[k] else expressions[k], drawn[k], face, unit_set,
                   bool(mirrored[k]), crop.eyes, crop.aspect, expressions[k] if released[k] else None)
            for k in range(config.takes)
        ]  # fmt: skip

    def _clean(self, skin: np.ndarray, side: int, mirrored: np.ndarray) -> np.ndarray:
        """The expression's own motion in the first phase (takes, 2, 14, 14), mirrored as the maps are."""
        planes = skin.reshape(-1, side, side)
        small = [cv2.resize(plane, (14, 14), interpolation=cv2.INTER_AREA) for plane in planes]
        clean = np.stack(small).reshape(-1, 2, 14, 14)
        clean[mirrored] = clean[mirrored, :, :, ::-1]
        clean[mirrored, 0] *= -1
        return clean.astype(np.float16)

    def sample(self, seed: int, number: int, coarse: str | None = None) -> Sample:
        """Sample ``number`` of stream ``seed``; ``coarse`` fixes its class."""
        block, take = divmod(number, self.config.takes)
        return self.block(seed, block, coarse)[take]

    def _finish(
        self, rng: np.random.Generator, flows: np.ndarray, aspect: float, mirrored: np.ndarray
    ) -> np.ndarray:
        """Strain, resizing and stretching of flows (F, 2, W, W): (F, 3, S, S), uint8 if stretched."""
        config, size = self.config, self.config.size
        flows[mirrored] = flows[mirrored, :, :, ::-1]
        flows[mirrored, 0] *= -1
        formula = rng.random()
        if happens(rng, config.strain_early_chance):
            early = strain(flows, aspect, formula)[:, None]
            early *= np.exp(np.float32(rng.uniform(*config.strain_grain)) * noise(rng, early.size)).reshape(
                early.shape
            )
            maps = _resize(rng, np.concatenate([flows, early], 1), size)
        else:
            small = _resize(rng, flows, size)
            maps = np.concatenate([small, strain(small, aspect, formula)[:, None]], 1)
        if happens(rng, config.pixel_noise_chance):
            level = np.float32(loguniform(rng, config.pixel_noise)) * maps.std((2, 3), keepdims=True)
            maps = maps + level * noise(rng, maps.size).reshape(maps.shape)
        if not config.stretch:
            return maps.astype(np.float32)
        low, high = maps.min((2, 3), keepdims=True), maps.max((2, 3), keepdims=True)
        return np.rint((maps - low) * (255 / np.maximum(high - low, 1e-9))).astype(np.uint8)

    def batch(self, n: int, seed: int, *, start: int = 0, coarse: str | None = None) -> dict[str, Any]:
        """Samples ``start`` .. ``start + n`` of stream ``seed`` as arrays.

        maps (n, P, 3, S, S) uint8 (u, v, strain; float32 px when config.stretch is off); coarse (n,) index
        into records.COARSE, -1 = others or neutral; fine (n,) index into facs.emotions.FINE, -1 = neutral;
        aus (n, A) 0/1, coded AUs in the order of ``au_numbers``; faint (n, A) uncoded companions; strength
        (n, A, 2) px of 280 of the subject's left and right (upper and lower; left alone for whole AUs);
        subjects (n,) ids; unit_set (n,); clean (n, 2, 14, 14) float16: the expression's motion of the first
        phase without head, disturbance or estimator, px of 280.
        """
        return collate(list(self.samples(seed, start, n, coarse)))

    def samples(self, seed: int, start: int, count: int, coarse: str | None = None) -> Iterator[Sample]:
        """Samples ``start`` .. ``start + count`` of stream ``seed``, one by one."""
        takes = self.config.takes
        for number in range(start // takes, (start + count - 1) // takes + 1):
            with _one_thread():
                block = self.block(seed, number, coarse)
            for place, sample in enumerate(block, number * takes):
                if start <= place < start + count:
                    yield sample


@lru_cache(maxsize=1)
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _one_thread() -> AbstractContextManager[Any]:
    """BLAS on one thread: these products are so small that threads only get in each other's way."""
    return _controller().limit(limits=1, user_api="blas")


def collate(samples: list[Sample]) -> dict[str, Any]:
    """Stack samples into the arrays that ``FlowSynth.batch`` describes."""
    column = {au: number for number, au in enumerate(SYNTH_AUS)}
    n, width = len(samples), len(SYNTH_AUS)
    aus, faint = np.zeros((n, width), np.uint8), np.zeros((n, width), np.uint8)
    strength = np.zeros((n, width, 2), np.float32)
    coarse, fine = np.full(n, -1), np.full(n, -1)
    for row, sample in enumerate(samples):
        if sample.expression is None:
            continue
        coarse[row] = COARSE_INDEX[sample.expression.coarse]
        fine[row] = FINE_INDEX[sample.expression.fine]
        for active in sample.expression.aus:
            (faint if active.faint else aus)[row, column[active.number]] = 1
            sides = sample.drawn.strengths[active.number]
            strength[row, column[active.number]] = sides[::-1] if _swaps(sample, active.number) else sides
    return {
        "maps": np.stack([s.maps for s in samples]),
        "clean": np.stack([s.clean for s in samples]),
        "coarse": coarse,
        "fine": fine,
        "aus": aus,
        "faint": faint,
        "strength": strength,
        "au_numbers": np.array(SYNTH_AUS),
        "subjects": np.array([s.face.subject for s in samples]),
        "unit_set": np.array([s.unit_set for s in samples]),
    }


def _swaps(sample: Sample, au: int) -> bool:
    return sample.mirrored and entry(au).scoring == "sides"


def strain(flows: np.ndarray, aspect: float, formula: float = 0.0) -> np.ndarray:
    """Optical strain magnitude (F, H, W) of flows (F, 2, H, W), by one of the field's formulas.

    ``aspect``: height over width before the crop was resized to a square; ``formula`` in [0, 1) chooses.
    """
    across, down = _derivative(flows, 3), _derivative(flows, 2) * np.float32(1 / aspect)
    ux, vx, uy, vy = across[:, 0], across[:, 1], down[:, 0], down[:, 1]
    if formula < 0.5:
        return np.sqrt(ux * ux + vy * vy + np.float32(0.5) * (uy + vx) ** 2)
    if formula < 0.7:
        return np.sqrt(ux * ux + vy * vy + np.float32(0.25) * (uy + vx) ** 2)
    if formula < 0.85:  # axes exchanged and no shear, as one public code base has it
        return np.sqrt(uy * uy + vx * vx)
    return np.sqrt(ux * ux + vy * vy)


def _derivative(flows: np.ndarray, axis: int) -> np.ndarray:
    """Central differences along ``axis`` (2 or 3), one-sided at the edges."""
    moved = np.empty_like(flows)
    if axis == 3:
        moved[..., 1:-1] = 0.5 * (flows[..., 2:] - flows[..., :-2])
        moved[..., 0], moved[..., -1] = flows[..., 1] - flows[..., 0], flows[..., -1] - flows[..., -2]
    else:
        moved[:, :, 1:-1] = 0.5 * (flows[:, :, 2:] - flows[:, :, :-2])
        moved[:, :, 0], moved[:, :, -1] = flows[:, :, 1] - flows[:, :, 0], flows[:, :, -1] - flows[:, :, -2]
    return moved


def _resize(rng: np.random.Generator, maps: np.ndarray, size: int) -> np.ndarray:
    """Resize (F, C, W, W) to (F, C, size, size) with one of the ways in use, antialiased or not."""
    if maps.shape[-1] == size:
        return maps
    kind = rng.random()
    if kind < 0.15:  # every k-th pixel: aliases
        step = maps.shape[-1] // size
        offset = int(rng.integers(step))
        return np.ascontiguousarray(maps[..., offset::step, offset::step][..., :size, :size])
    if kind < 0.6:  # the area's mean
        step = maps.shape[-1] // size
        rows = maps.reshape(*maps.shape[:2], size, step, -1).sum(3)
        return rows.reshape(*maps.shape[:2], size, size, step).sum(4) * np.float32(1 / step**2)
    mode = cv2.INTER_LINEAR if kind < 0.85 else cv2.INTER_CUBIC
    side, found = maps.shape[-1], []
    for planes in split(maps.reshape(-1, side * side)):
        image = cv2.resize(cv2.transpose(planes).reshape(side, side, -1), (size, size), interpolation=mode)
        found.append(cv2.transpose(image.reshape(size * size, -1)))
    return np.concatenate(found).reshape(*maps.shape[:2], size, size)


def _remove_similarity(u: np.ndarray, v: np.ndarray, background: np.ndarray, share: np.ndarray) -> None:
    """Take ``share`` (F,) of the face's best-fitting similarity out of flows u, v (F, W * W), in place."""
    rows = np.flatnonzero(share)
    face = (~background).astype(np.float32)
    count = float(face.sum())
    if not len(rows) or count < 16:
        return
    work = math.isqrt(len(face))
    grid = np.linspace(-1, 1, work, dtype=np.float32)
    x, y = np.tile(grid, work), np.repeat(grid, work)
    x, y = x - x @ face / count, y - y @ face / count
    spread = float((x * x + y * y) @ face) + 1e-6
    measure = np.stack([face / count, face * x / spread, face * y / spread], 1)
    on_u, on_v = u[rows] @ measure, v[rows] @ measure
    grow, turn = on_u[:, 1] + on_v[:, 2], on_v[:, 1] - on_u[:, 2]
    taken = share[rows, None].astype(np.float32)
    shape = np.stack([np.ones_like(x), x, y])
    u[rows] -= taken * (np.stack([on_u[:, 0], grow, -turn], 1) @ shape)
    v[rows] -= taken * (np.stack([on_v[:, 0], turn, grow], 1) @ shape)
