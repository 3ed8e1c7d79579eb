"""What the page accepts: type, size, picture size and length of a video; messages without any server path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from deft_llm.errors import DeftError, naming
from deft_llm.faces.video import frame_times, opened
from deft_llm.files import real_path

TYPES = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi")
_PATHS = re.compile(r"(?:[A-Za-z]:\\|(?<![\w.])/)[^\s'\":;,]*[/\\][^\s'\":;,]*")


@dataclass(frozen=True)
class Limits:
    """Most bytes, seconds, frames and pixels a side of one video; seconds that one job may take."""

    megabytes: int = 100
    seconds: float = 60.0
    frames: int = 12_000
    side: int = 4096
    job_seconds: float = 900.0


def check_file(path: Path, limits: Limits) -> None:
    """Refuse by name, size and first bytes; nothing is decoded. Raises: DeftError with the mend."""
    if path.suffix.lower() not in TYPES:
        raise DeftError(f"{path.name}: this is no video type that is read; give {', '.join(TYPES)}.")
    if not path.is_file():
        raise DeftError(f"{path.name}: the upload is gone; choose the video again.")
    size = path.stat().st_size
    if size == 0:
        raise DeftError(f"{path.name}: the file is empty; choose another one.")
    if size > limits.megabytes * 1_000_000:
        raise DeftError(
            f"{path.name}: {size / 1e6:.0f} MB is more than the {limits.megabytes} MB allowed; cut it."
        )
    with path.open("rb") as handle:
        head = handle.read(16)
    boxes = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
    known = head[4:8] in boxes or head[:4] == b"\x1aE\xdf\xa3" or (head[:4], head[8:12]) == (b"RIFF", b"AVI ")
    if not known:
        raise DeftError(f"{path.name}: the content is not that of a video file; choose another one.")


def check_header(path: Path, limits: Limits) -> None:
    """Refuse without decoding: no picture, too large, too long, too many frames. Raises: DeftError."""
    with naming(path.name), opened(path) as container:
        stream = container.streams.video[0]
        width, height = stream.codec_context.width or 0, stream.codec_context.height or 0
        frames = int(stream.frames or 0)
    times = frame_times(path)  # not what the header says: it may lack the length, or lie
    seconds, frames = times[-1], max(frames, len(times))
    if max(width, height) > limits.side:
        raise DeftError(
            f"{path.name}: {width} x {height} px is too large; give at most {limits.side} px per side."
        )
    if seconds > limits.seconds:
        raise DeftError(
            f"{path.name}: lasts {seconds:.0f} s; at most {limits.seconds:.0f} s are read here. Cut it, or "
            "use 'deft analyze' on your own machine."
        )
    if frames > limits.frames:
        raise DeftError(f"{path.name}: {frames} frames are more than the {limits.frames} allowed; cut it.")


def clean_message(text: str, path: Path | None = None) -> str:
    """A message for the page: names of files only, no folders of the server, one paragraph."""
    if path is not None:
        for form in {str(path), str(real_path(path))}:
            text = text.replace(form, path.name)
    text = _PATHS.sub(lambda match: re.split(r"[/\\]", match.group().rstrip("/\\"))[-1], text)
    return " ".join(text.split())
