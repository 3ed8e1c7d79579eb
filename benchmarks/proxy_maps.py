"""Stand-ins for real flow maps: real estimators on rendered clips and on a warped real portrait.

Nothing here uses the estimator model of the flow level: frames of unseen synthetic subjects (light, camera,
noise, head motion of the video level) and the public-domain astronaut portrait are cropped as corpora are
cropped, and TV-L1, Farneback or DIS measures onset->apex and apex->offset; head motion stays in, maps are
resized to 28 x 28 and stretched.
Writes the ``flowmaps`` layout (manifest.csv + PNG).

    python -m benchmarks.proxy_maps --out proxy --clips 200 --subjects 25
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import cv2
import numpy as np

from deft_llm.synth.core.identity import split_seeds
from deft_llm.synth.core.prior import load_prior
from deft_llm.synth.flow.config import FlowConfig
from deft_llm.synth.flow.draw import CROP_PX, Projector, draw_crop, draw_motion
from deft_llm.synth.flow.face import SPAN
from deft_llm.synth.flow.sampler import FlowSynth

ESTIMATORS = ("tvl1", "farneback", "dis", "dis_fine")


def estimate(first: np.ndarray, second: np.ndarray, method: str) -> np.ndarray:
    """Flow (2, H, W) float32 of two grey uint8 images with the field's usual settings."""
    if method == "tvl1":
        solver = cv2.optflow.DualTVL1OpticalFlow_create()
        flow = solver.calc(first, second, None)
    elif method == "farneback":
        flow = cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    else:
        solver = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        if method == "dis_fine":
            solver.setFinestScale(0)
        flow = solver.calc(first, second, None)
    return np.ascontiguousarray(flow.transpose(2, 0, 1), np.float32)


def to_map(flow: np.ndarray, size: int = 28, smooth: bool = False) -> np.ndarray:
    """u, v, strain of flow (2, H, W) resized to (size, size) and stretched: (size, size, 3) uint8."""
    (uy, ux), (vy, vx) = (np.gradient(plane) for plane in flow)
    strain = np.sqrt(ux**2 + vy**2 + 0.5 * (uy + vx) ** 2)
    how = cv2.INTER_AREA if smooth else cv2.INTER_LINEAR
    planes = [
        cv2.resize(plane, (size, size), interpolation=how) for plane in (*flow, strain.astype(np.float32))
    ]
    stretched = [np.rint((p - p.min()) * (255 / max(np.ptp(p), 1e-9))).astype(np.uint8) for p in planes]
    return np.stack(stretched, -1)


def crop_box(rng: np.random.Generator, eyes: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """A face box (x0, y0, x1, y1) as corpora crop it; eyes (2, 2) px."""
    iod = np.linalg.norm(eyes[0] - eyes[1])
    x, y = eyes.mean(0)
    half = rng.uniform(0.95, 1.4) * iod
    x0, x1 = x - half + rng.normal(0, 0.06) * iod, x + half + rng.normal(0, 0.06) * iod
    y0, y1 = y - rng.uniform(0.6, 1.3) * iod, y + rng.uniform(1.6, 2.2) * iod
    return max(int(x0), 0), max(int(y0), 0), min(int(x1), shape[1]), min(int(y1), shape[0])


def rendered(args: argparse.Namespace):
    """Rendered clips of test identities: yields (name, subject, label, AUs, three grey frames, eyes)."""
    from deft_llm.synth.core.mesh import load_face
    from deft_llm.synth.core.settings import VideoSettings, clip_specs
    from deft_llm.synth.video.production import Studio, plan_of
    from deft_llm.synth.video.scene import project

    settings = VideoSettings(
        clips=args.clips, subjects=args.subjects, seed=args.seed, prior=args.prior, units=args.units,
        negatives=0.0, lures=0.1, layout="smic", split="test",
    )  # fmt: skip
    studio = Studio()
    specs = sorted(clip_specs(settings), key=lambda spec: (spec.subject, spec.number))
    for spec in specs:
        plan, camera, noise = plan_of(spec, settings)
        event = next((e for e in plan.events if e.coarse), None)
        if event is None:
            continue
        performer = studio.performer(spec, settings.units)
        studio.renderer.light_scene(camera.scene, camera.pose)
        bright = camera.brightness(np.random.default_rng(spec.number), plan.times)
        last = len(plan.times) - 1
        # annotated apexes are off by frames
        apex = int(
            np.clip(event.apex + noise.normal(0, 0.1) * (event.offset - event.onset), event.onset + 1, last)
        )
        frames = []
        for frame in (event.onset, apex, min(event.offset, last)):
            picture = camera.develop(
                studio.renderer.draw(performer.state(plan, frame, float(bright[frame]))), noise
            )
            frames.append(picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
        state = performer.state(plan, event.onset)
        centres = (
            np.stack(load_face().eye_centres(performer.subject.identity.vertices)) + performer.subject.offset
        )
        eyes = project(centres, camera.scene, state)[0]
        aus = "+".join(str(au.number) for au in event.aus)
        yield f"render_{spec.name}", f"render/{spec.identity_seed}", event.coarse, aus, frames, eyes


def warped(args: argparse.Namespace):
    """The astronaut portrait, warped by exact motion of test identities' meshes laid over it."""
    from skimage.data import astronaut

    portrait = cv2.cvtColor(astronaut(), cv2.COLOR_RGB2GRAY)[0:260, 90:350].astype(np.float32)
    zoom = 420 / 260
    portrait = cv2.resize(portrait, (420, 420), interpolation=cv2.INTER_CUBIC)
    eyes = (np.array([[203.0, 112.0], [247.0, 110.0]]) - [90, 0]) * zoom
    config = FlowConfig(size=28, takes=1, amplitude=(0.4, 4.0), head_translation=(0.08, 3.0), identities=8)
    synth = FlowSynth("test", config, prior=args.prior, unit_sets=(args.units,))
    prior = load_prior(args.prior)
    for number in range(args.portraits):
        rng = np.random.default_rng([args.seed, number, 31])
        coarse = ("negative", "positive", "surprise")[number % 3]
        expression = prior.sample(rng, coarse)
        face, _ = synth.face(int(rng.integers(synth.pool_size)))
        drawn = draw_motion(rng, config, expression)
        flows = _over_portrait(rng, config, face, drawn.rows, eyes, portrait.shape)
        frames, now = [portrait], portrait
        for flow in flows:
            now = _warp(now, flow)
            frames.append(now)
        sigma = rng.uniform(0.3, 2.0)
        frames = [np.clip(f + rng.normal(0, sigma, f.shape), 0, 255).astype(np.uint8) for f in frames]
        aus = "+".join(str(active.number) for active in expression.marked)
        yield f"portrait_{number:04d}", f"portrait/{number % 10}", coarse, aus, frames, eyes


def _over_portrait(rng, config, face, phases, eyes, shape) -> list[np.ndarray]:
    """Exact flow (2, H, W) px of the mesh, laid over the portrait by its eyes."""
    crop = draw_crop(rng, config, face, 32)
    iod = np.linalg.norm(eyes[0] - eyes[1])
    scale = face.side / SPAN / iod
    middle = eyes.mean(0)
    x = np.clip(np.rint((np.arange(shape[1]) - middle[0]) * scale + face.side / 2), 0, face.side - 1).astype(
        int
    )
    y = np.arange(shape[0]) - middle[1]
    y = np.clip(np.rint(y * scale + face.side / 2 - 0.35 * face.side / SPAN), 0, face.side - 1).astype(int)
    index = (y[:, None] * face.side + x[None]).ravel()
    u, v = Projector(face, crop, index).flow(rng, config, phases, np.array([[[1.0]], [[0.0]]], np.float32))
    factor = iod / crop.px  # px of 280 -> px of the portrait
    flows = np.stack([u, v], 1).reshape(len(phases), 2, *shape) * np.float32(factor * CROP_PX / CROP_PX)
    return [np.stack([cv2.GaussianBlur(plane, (0, 0), 2.0) for plane in flow]) for flow in flows]


def _warp(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Move the image by forward flow (2, H, W): the inverse map by fixed-point iteration."""
    rows, columns = np.mgrid[0 : image.shape[0], 0 : image.shape[1]].astype(np.float32)
    x, y = columns.copy(), rows.copy()
    for _ in range(4):
        fx = cv2.remap(flow[0], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        fy = cv2.remap(flow[1], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        x, y = columns - fx, rows - fy
    return cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def main() -> None:
    """Make the maps and the manifest."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--subjects", type=int, default=25)
    parser.add_argument("--portraits", type=int, default=100)
    parser.add_argument("--prior", default="corpora")
    parser.add_argument("--units", default="makehuman")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    assert split_seeds("test", 1)[0] >= 900_000
    (args.out / "maps").mkdir(parents=True, exist_ok=True)
    rows, began = [], time.time()
    for source in (warped(args), rendered(args)):
        for number, (name, subject, coarse, aus, frames, eyes) in enumerate(source):
            rng = np.random.default_rng([args.seed, number, 41])
            method = ESTIMATORS[int(rng.choice(4, p=[0.55, 0.2, 0.1, 0.15]))]
            x0, y0, x1, y1 = crop_box(rng, eyes, frames[0].shape)
            images = [np.ascontiguousarray(frame[y0:y1, x0:x1]) for frame in frames]
            smooth = bool(rng.random() < 0.5)
            paths = []
            for phase in range(2):
                flow = estimate(images[phase], images[phase + 1], method)
                path = f"maps/{name}_{phase}.png"
                cv2.imwrite(str(args.out / path), to_map(flow, smooth=smooth)[..., ::-1])
                paths.append(path)
                if phase == 0:
                    mean = flow.mean((1, 2))
                    length = np.hypot(*flow)
                    stats = [float(length.mean()), float(np.percentile(length, 99)), float(np.hypot(*mean))]
            rows.append([f"proxy/{subject}/{name}", f"proxy/{subject}", *paths, coarse, aus, method, *stats])
            if number % 25 == 0:
                print(name, coarse, aus, method, f"{time.time() - began:.0f} s", flush=True)
            with (args.out / "statistics.csv").open("w", newline="") as handle:
                csv.writer(handle).writerows(
                    [
                        [
                            "clip_id",
                            "subject",
                            "path",
                            "path_offset",
                            "coarse",
                            "aus",
                            "method",
                            "mean",
                            "p99",
                            "rigid",
                        ]
                    ]
                    + rows
                )
            with (args.out / "manifest.csv").open("w", newline="") as handle:
                csv.writer(handle).writerows(
                    [["clip_id", "subject", "path", "path_offset", "coarse", "aus"]]
                    + [row[:6] for row in rows]
                )


if __name__ == "__main__":
    main()
