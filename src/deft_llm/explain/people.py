"""People who are in several clips: their clips are read for one neutral before they are analysed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deft_llm.errors import DeftError
from deft_llm.explain.analyzer import shown_frames
from deft_llm.explain.inputs import Bar, VideoInput
from deft_llm.faces.landmarker import default_landmarker
from deft_llm.faces.video import ASSUMED_FPS, probe
from deft_llm.files import digest, read_object, real_path, write_json
from deft_llm.jobs import run_jobs
from deft_llm.prepare.work import is_passing
from deft_llm.records import person as person_key
from deft_llm.spotting.watch import watch
from deft_llm.state.neutral import Neutral
from deft_llm.state.shared_neutral import ClipChannels, clip_channels, shared_neutral
from deft_llm.version import __version__

NEUTRALS = "neutrals"
NEUTRAL_SCHEMA = 1


@dataclass(frozen=True)
class _Clip:
    """One clip of a person, read for their neutral; ``indices``: the videos of the run that it is."""

    path: Path
    fps: float | None
    neutral: str | None
    mirrored: bool
    target: Path
    indices: tuple[int, ...]


def people_of(videos: Sequence[VideoInput]) -> dict[str, list[list[int]]]:
    """People who are in several clips -> their clips, each as the inputs that it is (one file may be listed
    once per movement)."""
    members: dict[str, dict[tuple, list[int]]] = {}
    names: dict[str, str] = {}  # "006" and "6" are one person, by the name that comes first
    for index, video in enumerate(videos):
        if video.person is not None:
            clip = (real_path(video.path), video.neutral, video.fps, video.mirrored)
            name = names.setdefault(person_key(video.person), video.person)
            members.setdefault(name, {}).setdefault(clip, []).append(index)
    return {person: list(clips.values()) for person, clips in members.items() if len(clips) > 1}


def shared_neutrals(
    videos: Sequence[VideoInput], contents: Sequence[str], out: Path, *, workers: int, engine: str, bar: Bar
) -> dict[int, Neutral | str]:
    """Index of a video -> the neutral that its person's clips share, or why there is none; nothing for who is
    in one clip only.

    ``contents``: the hash of each video's bytes. A person's neutral is kept in ``out`` and found again. A
    clip that cannot be read has no part in it.
    """
    folder = out / NEUTRALS
    found: dict[int, Neutral | str] = {}
    waiting: dict[str, list[_Clip]] = {}
    for clips in people_of(videos).values():
        person = [_clip(videos, indices, contents, folder) for indices in clips]
        key = digest([__version__, NEUTRAL_SCHEMA, [clip.target.stem for clip in person]], 32)
        kept = _kept(folder / f"{key}.json", person)
        if kept is None:
            waiting[key] = person
        else:
            found |= kept
    unread = [clip for person in waiting.values() for clip in person if not clip.target.is_file()]
    if unread:
        with bar(f"reading {len(unread)} clips for their persons' neutral") as update:
            read = run_jobs(_read, unread, workers=workers, engine=engine, ordered=False)
            for done, _ in enumerate(read, 1):
                update(done, len(unread))
    for key, person in waiting.items():
        found |= _share(folder / f"{key}.json", person)
    for clip in (clip for person in waiting.values() for clip in person):
        clip.target.unlink(missing_ok=True)  # its person's neutral is all that is needed of it
    return found


def _clip(videos: Sequence[VideoInput], indices: list[int], contents: Sequence[str], folder: Path) -> _Clip:
    video = videos[indices[0]]
    name = digest([__version__, contents[indices[0]], str(video.path.name), video.neutral, video.fps,
                   video.mirrored], 32)  # fmt: skip
    return _Clip(video.path, video.fps, video.neutral, video.mirrored, folder / f"{name}.npz", tuple(indices))


def _kept(path: Path, person: list[_Clip]) -> dict[int, Neutral] | None:
    """The neutral that was found before; None where there is none that can be read."""
    if not path.is_file():
        return None
    try:
        clips = read_object(path, schema=NEUTRAL_SCHEMA)["clips"]
        neutrals = [one if one is None else _neutral(one) for one in clips]
        return _by_index(person, neutrals)
    except (DeftError, KeyError, TypeError, ValueError):
        return None


def _neutral(value: dict[str, Any]) -> Neutral:
    levels = {str(name): float(level) for name, level in value["levels"].items()}
    return Neutral(levels, tuple(int(frame) for frame in value["frames"]), str(value["source"]))


def _by_index(person: list[_Clip], neutrals: Sequence[Neutral | None]) -> dict[int, Neutral]:
    pairs = zip(person, neutrals, strict=True)
    return {index: one for clip, one in pairs if one is not None for index in clip.indices}


def _read(clip: _Clip) -> None:
    """Read one clip's channels into its file; one that cannot be read leaves none: its analysis says why.

    Raises: what is the machine's fault (no weights, a full disk).
    """
    landmarker = default_landmarker()
    try:
        rate = clip.fps or probe(clip.path).fps or ASSUMED_FPS
        stream = shown_frames(clip.path, fps=clip.fps, mirrored=clip.mirrored)
        track = watch(stream, rate, landmarker, motion=False).tracks[1]
        channels = clip_channels(track, clip.neutral)
    except Exception as error:
        if is_passing(error):
            raise
        return
    channels.save(clip.target)


def _share(path: Path, person: list[_Clip]) -> dict[int, Neutral] | dict[int, str]:
    """The person's neutral out of the clips that could be read, kept in ``path``; or why there is none."""
    read = [clip for clip in person if clip.target.is_file()]
    if not read:
        return {}
    try:
        found = shared_neutral([ClipChannels.load(clip.target) for clip in read])
    except (DeftError, ValueError, IndexError) as error:  # no frame shows the face calm and whole
        why = f"its person's {len(read)} clips show no neutral face ({error}); name neutral frames of one."
        return {index: why for clip in person for index in clip.indices}
    shared = dict(zip(read, found, strict=True))
    neutrals = [shared.get(clip) for clip in person]
    clips = [None if one is None else one.to_dict() for one in neutrals]
    write_json(path, {"schema": NEUTRAL_SCHEMA, "clips": clips})
    return _by_index(person, neutrals)
