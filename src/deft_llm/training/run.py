"""``deft train``: one model from stores (and flow-level samples), part by part, into a run folder.

Each part begins from the checkpoint of the one before and leaves its own; the run's checkpoint is put there
when the last part is finished. A finished command that is run again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState

from deft_llm.config import RESOLVED, save_resolved
from deft_llm.errors import DeftError, UsageError
from deft_llm.files import claim_folder, digest, read_json, sha256_of, write_json
from deft_llm.model.beliefs import BELIEFS
from deft_llm.model.checkpoint import WEIGHTS
from deft_llm.model.deft import LANGUAGE, DeftModel
from deft_llm.model.language import EMBEDDED, EXPERTS, FACE_EXPERTS
from deft_llm.model.predictor import Predictor
from deft_llm.model.units import EXPERT_AUS
from deft_llm.records import person
from deft_llm.setup.weights import require
from deft_llm.store.layout import INDEX
from deft_llm.training import faces, language, motion
from deft_llm.training.calibration import calibrate, calibrate_measured
from deft_llm.training.checkpoints import (
    MODEL,
    checkpoint_folder,
    digest_of,
    replace_copy,
    restore_folder,
    saved_config,
    start_model,
    write_checkpoint,
)
from deft_llm.training.flow_shards import FlowShards
from deft_llm.training.joint import JointPart
from deft_llm.training.loop import Part, fit, on_cpu
from deft_llm.training.settings import PARTS, PartName, TrainConfig
from deft_llm.training.state import BEST, STATE
from deft_llm.training.store_data import StoreData, dialogue_rows, split_subjects, subjects_of
from deft_llm.training.text import word_source
from deft_llm.unimer.build import INSTRUCTIONS

FINISHED = "finished.json"
"""What a finished part was made from and made: digests of its start, its state and its weights."""
TRAINS: dict[PartName, tuple[str, ...]] = {
    "motion": ("motion",), "faces": (*FACE_EXPERTS, "fusion"), "language": LANGUAGE,
    "joint": ("motion", *FACE_EXPERTS, "fusion", *LANGUAGE),
}  # fmt: skip
"""First words of the names of the tensors that each part trains."""

Progress = Callable[[int, int, dict[str, float]], None]


@dataclass
class Data:
    """What a run learns from: clips of training and of validation subjects (None: none), flow-level samples
    in the place of their maps, the folders of their Uni-MER rows, and the stores."""

    store: StoreData | None
    held: StoreData | None
    samples: FlowShards | None
    samples_held: FlowShards | None
    unimer: tuple[Path, ...] = ()
    stores: tuple[Path, ...] = ()

    @classmethod
    def of(cls, config: TrainConfig, stores: Sequence[Path], unimer: Sequence[Path] = ()) -> Data:
        """Read everything; people of whom the start learned are not held out, those who validated it are.

        Raises: UsageError where there is nothing, or nobody, to learn from.
        """
        if not stores and not config.flow_shards:
            raise UsageError("deft train: give a STORE, or flow_shards=FOLDER for flow-level samples.")
        if unimer and not stores:
            raise UsageError("--unimer: its rows belong to the clips of a store; name that STORE as well.")
        before = saved_config(checkpoint_folder(config.start)).get("trained_on") or {}
        known, held = split_subjects(
            subjects_of(stores), config.validation_share, config.seed, before.get("subjects", ()),
            before.get("validation_subjects", ()),
        )  # fmt: skip
        if held and not known:
            raise UsageError(
                f"--start {config.start}: all subjects of {', '.join(map(str, stores))} validated it, none is"
                " left to learn from; add a store of other people, or hold none out (validation_share=0)."
            )
        shards = lambda folder: FlowShards(Path(folder)) if folder else None  # noqa: E731
        return cls(
            StoreData(stores, known) if stores else None, StoreData(stores, held) if held else None,
            shards(config.flow_shards), shards(config.flow_validation), tuple(unimer), tuple(stores),
        )  # fmt: skip

    def check_dialogues(self, settings: Sequence[language.LanguageConfig]) -> None:
        """Read the Uni-MER rows that the parts of ``settings`` will learn from, before the parts that come
        first take hours. Raises: DeftError for a folder that cannot be read or has none for these clips."""
        for one in settings:
            if self.store is not None and self.unimer:
                dialogue_rows(self.unimer, self.store.rows, one.tasks)

    def check_held(self, config: TrainConfig, parts: Sequence[PartName]) -> None:
        """Raises: UsageError for a part that validation subjects judge, where the start learned of all."""
        if self.held is not None or not config.validation_share or len(set(map(person, self.subjects))) < 2:
            return
        for name in parts:
            if self.held_judge(name, getattr(config, name)):
                raise UsageError(
                    f"--start {config.start}: was trained on all subjects of"
                    f" {', '.join(map(str, self.stores))}, none is left to validate or calibrate {name} on;"
                    " add a store of other people, or hold none out (validation_share=0)."
                )

    def held_judge(self, name: PartName, settings: Any) -> bool:
        """Whether clips of validation subjects choose or calibrate anything of a part."""
        if name == "motion":
            return self.samples is None
        if name == "language":
            return bool(settings.validate_every) and (bool(self.unimer) or self.samples is None)
        return True  # AUs that were measured in px are calibrated

    def digest(self) -> str:
        """Of what is learned from: the clips of both sides, the stores' indices with the labels of clips, the
        labels of the samples, the Uni-MER rows."""
        clips = [[] if one is None else sorted(one.rows) for one in (self.store, self.held)]
        samples = [sha256(b"".join(part.side.tobytes() for part in one.parts)).hexdigest() if one else ""
                   for one in (self.samples, self.samples_held)]  # fmt: skip
        files = [*(one / INDEX for one in self.stores), *(Path(one) / INSTRUCTIONS for one in self.unimer)]
        return digest([clips, samples, [sha256_of(file) for file in files]])

    @property
    def maps(self) -> Any:
        """What the motion expert learns from."""
        return self.samples or self.store

    @property
    def maps_held(self) -> Any:
        """What validates it."""
        return self.samples_held if self.samples else self.held

    @property
    def subjects(self) -> list[str]:
        """Training subjects of the stores."""
        return self.store.subject_names if self.store is not None else []

    @property
    def has_faces(self) -> bool:
        """Whether a training clip has a face."""
        return self.store is not None and len(self.store.with_faces) > 0

    @property
    def text_shows_faces(self) -> bool:
        """Whether the clips that the language part learns from have faces."""
        return self.has_faces and (bool(self.unimer) or self.samples is None)


def obstacles(config: TrainConfig, data: Data, saved: dict[str, Any]) -> dict[PartName, str]:
    """Parts that cannot be trained, and why."""
    found: dict[PartName, str] = {}
    if not data.has_faces:
        found["faces"] = "no training clip has a face"
    trained = "motion" in saved.get("experts", ())
    wanted = config.parts or PARTS
    if config.backbone == EMBEDDED:
        try:
            require("llm")
        except DeftError:
            found["language"] = "the language model is not set up (run `deft setup`)"
    if not trained and "motion" not in wanted:
        found |= dict.fromkeys(
            ("faces", "language", "joint"),
            "the motion expert was not trained; begin from a checkpoint with one, or add motion to parts",
        )
    if not data.unimer and data.samples is None and not len(data.store.labelled if data.store else ()):
        found["language"] = "no clip is labelled and there are no Uni-MER rows (--unimer)"
    if "joint" not in found:
        comes = "language" in wanted and "language" not in found
        if not comes and not saved.get("language"):
            found["joint"] = "there is no language part to train on; add language to parts"
        elif config.backbone == EMBEDDED and "language" in found and "set up" in found["language"]:
            found["joint"] = found["language"]
    return found


def chosen_parts(
    config: TrainConfig, data: Data, saved: dict[str, Any], say: Callable[[str], None]
) -> list[PartName]:
    """The parts that are trained, in order; says which are not, and why.

    Raises: UsageError for a part that was asked for and cannot be trained, or for a language part that would
    be conditioned on an expert that was not trained.
    """
    hindered = obstacles(config, data, saved)
    for name in config.parts or ():
        if name in hindered:
            raise UsageError(f"parts: {name} cannot be trained: {hindered[name]}.")
    parts = [name for name in PARTS if name in (config.parts or PARTS) and name not in hindered]
    for name, why in hindered.items():
        if config.parts is None:
            say(f"{name}: not trained: {why}")
    if not parts:
        raise UsageError("deft train: no part can be trained here; see the reasons above.")
    trained = set(saved.get("experts", ()))
    trained |= {"motion"} if "motion" in parts else set()
    trained |= set(config.faces.experts) if "faces" in parts else set()
    missing = [name for name in config.conditioned_on or () if name not in (*trained, BELIEFS)]
    if missing:
        raise UsageError(
            f"conditioned_on: the {missing[0]} expert was not trained; train it first"
            f" (parts=[{'motion' if missing[0] == 'motion' else 'faces'},language]) or leave it out."
        )
    return parts


def train(
    config: TrainConfig, stores: Sequence[Path], out: Path, unimer: Sequence[Path] = (), *, command: str = "",
    progress: Progress | None = None, say: Callable[[str], None] = lambda text: None,
) -> Path:  # fmt: skip
    """Train the parts that ``config`` names; returns the folder of the finished checkpoint (``out``/model).

    ``command`` is recorded; ``say`` is told which parts are trained and which not.
    Raises: UsageError for parts that cannot be trained or that nobody could validate, or an ``out`` of other
    settings or another product.
    """
    out, start = claim_folder(out, RESOLVED), checkpoint_folder(config.start)
    data = Data.of(config, [Path(store) for store in stores], unimer)
    process = PartialState(cpu=on_cpu())
    main = process.is_main_process
    parts = chosen_parts(config, data, saved_config(start), say if main else lambda text: None)
    data.check_held(config, parts)
    data.check_dialogues([getattr(config, name) for name in parts if name in ("language", "joint")])
    if main:
        save_resolved(config, out, seed=config.seed, command=command)
        for folder in (out / MODEL, *(out / name / MODEL for name in parts)):
            restore_folder(folder)
    process.wait_for_everyone()
    for name in parts:
        start = _train_part(name, config, data, start, out / name, command, progress, say if main else None)
        # What the main process wrote is what all of them begin the next part from.
        process.wait_for_everyone()
    assert start is not None
    if main:
        replace_copy(start, out / MODEL)
    return out / MODEL


def _train_part(
    name: PartName, config: TrainConfig, data: Data, start: Path | None, folder: Path, command: str,
    progress: Progress | None, say: Callable[[str], None] | None,
) -> Path:  # fmt: skip
    """Train one part from ``start`` and write its checkpoint; returns that."""
    saved, base = saved_config(start), digest_of(start)
    given = getattr(config, name)
    settings = given if given.seed is not None else given.model_copy(update={"seed": config.seed})
    part, validate = _part(name, config, settings, data, start, saved)
    if say is not None:
        say(f"{name}: {settings.steps:,} steps, from {'nothing' if start is None else start.name}")
        kept = saved.get("language") and "language" not in (config.parts or PARTS)
        if kept and name in ("motion", "faces"):
            say(f"{name}: the language part stays as it was trained, with the experts before; add language"
                " to parts to train it with these")  # fmt: skip
    told = (config.conditioned_on, config.backbone, config.four_bit, config.lora_rank, config.lora_alpha,
            config.dtype)  # fmt: skip
    made_of = digest([data.digest(), *told])
    begun = f"{base}/{len(data.maps)} clips/{word_source()} words/{made_of}"
    fit(part, folder, base=begun, validate=validate, progress=progress,
        log_every=5 if name in ("language", "joint") else 50)  # fmt: skip
    if not PartialState().is_main_process:
        return folder / MODEL
    used = folder / BEST if validate is not None and (folder / BEST).is_file() else folder / STATE
    made = {"start": base, "data": made_of, "state": sha256_of(used)}
    done = folder / FINISHED
    weights = folder / MODEL / WEIGHTS
    if done.is_file() and weights.is_file() and read_json(done) == {**made, "weights": sha256_of(weights)}:
        return folder / MODEL
    deft = part.result().cpu()
    write_checkpoint(
        folder / MODEL, start, deft, lambda tensor: tensor.split(".")[0] in TRAINS[name],
        _changes(name, config, settings, data, saved, deft, part.step, command),
    )  # fmt: skip
    write_json(done, {**made, "weights": sha256_of(weights)})
    return folder / MODEL


def _part(
    name: PartName, config: TrainConfig, settings: Any, data: Data, start: Path | None, saved: dict[str, Any]
) -> tuple[Part, Callable[[], dict[str, float]] | None]:
    """One part of the training with its model and data, and what validates it (None: nothing)."""
    had = set(saved.get("experts", ()))
    sizes: dict[str, Any] = {"motion": config.motion.expert, "faces": config.faces.sizes}
    checks = bool(settings.validate_every)
    if name == "motion":
        if settings.start_share and "motion" not in had:
            raise UsageError("motion.start_share: the run begins with no trained expert; set it to 0.")
        deft = start_model(config, start, settings.seed, experts={*had, "motion"}, language=False, **sizes)
        moving = motion.MotionPart(deft, settings, data.maps)
        check = data.maps_held
        return moving, (lambda: motion.validate(moving.result(), check)) if checks and check else None
    if name == "faces":
        experts, anew = {*had, *settings.experts}, settings.experts if settings.anew else []
        assert data.store is not None
        if not settings.losses.phase or len(set(data.store.phase) - {-1}) < 2:
            sizes["faces"] = {**sizes["faces"], "phase": 0}  # a head that nothing teaches is none
        if not settings.losses.folds or not np.isfinite(data.store.folds).any():
            sizes["faces"] = {**sizes["faces"], "folds": 0}
        deft = start_model(
            config, start, settings.seed, experts=experts, language=False, anew=anew,
            widened=settings.experts, **sizes,
        )  # fmt: skip
        own = faces.FaceData(data.store, deft)
        if "structure" in settings.experts and "structure" not in had - {*anew}:
            faces.choose_axes(deft, own)
        held = None
        if checks and data.held is not None and len(data.held.with_faces):
            held = faces.FaceData(data.held, deft)
        part: Part = faces.FacePart(deft, settings, own)
        return part, None if held is None else (lambda: faces.validate(deft, held))
    conditioned = config.conditioned_on or conditioned_on(data, saved)
    deft = start_model(
        config, start, settings.seed, experts=had, language=True, conditioned_on=list(conditioned), **sizes
    )
    source = language_source(data, settings, deft)
    check = data.held if data.unimer else data.maps_held
    device = PartialState().device.type
    if name == "language":
        part = language.LanguagePart(deft, settings, source, device)
    else:
        part = JointPart(deft, settings, source, device, len(data.subjects))
    validate = (lambda: language.validate(deft, check, settings.validate_clips)) if checks and check else None
    return part, validate


def language_source(data: Data, settings: language.LanguageConfig, deft: DeftModel | None) -> language.Source:
    """What the language part learns from: Uni-MER rows, flow-level samples (or a store's own labels), or
    both, turn by turn."""
    if not data.unimer or data.store is None:
        return language.text_source(data.maps, settings, deft)
    rows = language.unimer_source(data.store, data.unimer, settings)
    if data.samples is None:
        return rows
    return language.mixed_source(rows, language.text_source(data.samples, settings, deft), settings)


def conditioned_on(data: Data, saved: dict[str, Any]) -> list[str]:
    """What a language part is given: tokens of all experts that were trained and that its clips show, and
    what they believe; what a checkpoint's language part was conditioned on stays so."""
    shown = set(EXPERTS) if data.text_shows_faces else {"motion"}
    before = saved.get("conditioned_on", ()) if saved.get("language") else ()
    return [*(name for name in EXPERTS if name in saved["experts"] and name in (*shown, *before)), BELIEFS]


def _changes(
    name: PartName, config: TrainConfig, settings: Any, data: Data, saved: dict[str, Any], deft: DeftModel,
    steps: int, command: str,
) -> dict[str, Any]:  # fmt: skip
    """What a part changes in the config of its checkpoint, beside the model's own sizes."""
    before = saved.get("trained_on") or {}
    subjects = sorted({*before.get("subjects", []), *data.subjects})
    held = data.held.subject_names if data.held is not None and data.held_judge(name, settings) else []
    validated = sorted({*before.get("validation_subjects", []), *held})
    mine = {"steps": steps, "batch": settings.batch, "seed": settings.seed, "command": command}
    changes: dict[str, Any] = {
        "aus": list(EXPERT_AUS), "command": command,
        "training": {**saved.get("training", {}), name: mine},
        "trained_on": {**before, "subjects": subjects, "validation_subjects": validated},
    }  # fmt: skip
    if data.samples is not None and name != "faces":
        changes["trained_on"]["flow_level_samples"] = len(data.samples)
    if config.note:
        changes["trained_on"]["note"] = config.note
    if data.store is not None:
        changes["prior"] = "of the training clips"
    if name in ("language", "joint"):
        changes["language_note"] = ""
    if name in ("motion", "joint"):
        changes["calibration"] = calibrate(deft, data.maps_held)
        changes["parameters"] = sum(value.numel() for value in deft.motion.parameters())
    known = changes.get("calibration", saved.get("calibration"))
    if name in ("faces", "joint") and known and data.held is not None:
        readout = Predictor(deft).read(data.held.inputs, data.held.faces)
        measured = calibrate_measured(readout, data.held, known)
        changes["calibration"] = known if measured is None else {**known, "measured": measured}
    return changes
