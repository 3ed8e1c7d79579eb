"""Frames of a video file or of a folder of images, as a stream of uint8 RGB: memory is flat in the length.

Rotation metadata is honoured, times come from the file (variable frame rates too), grey and 16-bit frames
become 8-bit RGB.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deft_llm.errors import DeftError, UsageError
from deft_llm.files import MOST_PIXELS, existing_file, read_image

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.video.frame import VideoFrame

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})
VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv",
                            ".ogv", ".mts", ".m2ts", ".mxf", ".gif"})  # fmt: skip
"""Files that are taken for videos where a folder is looked through; a file that is named may have any."""
# Demuxers of FFmpeg that are used: files that hold their own pictures. Playlists and lists of files (hls,
# concat, dash, image2), capture devices and network formats would open what the user did not name.
FORMATS = ("mov", "mp4", "matroska", "webm", "avi", "mpeg", "mpegts", "mpegvideo", "asf", "flv", "ogg",
           "h264", "hevc", "m4v", "mjpeg", "gif", "yuv4mpegpipe", "dv", "mxf", "nut", "ivf")  # fmt: skip
# Times of image folders whose frame rate nobody gave.
ASSUMED_FPS = 25.0
RATE_PACKETS, LEAST_TIMES = 300, 8  # packets whose times tell the rate; fewer tell nothing
RATE_TOLERANCE = 0.02  # by which the declared rate may differ and still be taken


@dataclass(frozen=True)
class VideoInfo:
    """``fps`` (None for a folder of images: its rate is not written down), ``frames`` (None where
    the file does not say), ``width`` and ``height`` px as shown (after ``rotation``, degrees clockwise)."""

    fps: float | None
    frames: int | None
    width: int
    height: int
    rotation: int
    kind: Literal["video", "frames"]


# AVVideoEncParams: number of blocks, their offset and size, type, parameter of the frame; a block's row: two
# coordinates, two sizes, then what it adds to that parameter.
ENC_PARAMS, H264_PARAMS, BLOCK_DELTA = "@INNii", 1, 16


@dataclass(frozen=True)
class Frame:
    """A frame: ``index`` from 0, ``time`` in seconds since the first, ``image`` uint8 RGB (H, W, 3);
    ``quantiser``: mean quantisation parameter of its blocks (H.264: 1 to 51), 0 where the file tells none."""

    index: int
    time: float
    image: np.ndarray = field(repr=False)
    quantiser: float = 0.0


def x264_options(crf: int, preset: str) -> dict[str, str]:
    """Options of libx264 by which the same frames give the same file, always: one thread, and none of its
    AVX-512 code, which writes other bytes from run to run. ``crf``: constant rate factor, lower is better."""
    return {"crf": str(crf), "preset": preset, "threads": "1", "x264-params": "asm=SSE4.2"}


def encode_h264(
    container: OutputContainer, frames: Iterable[np.ndarray], rate: int | Fraction, crf: int, preset: str
) -> None:
    """Encode frames (H, W, 3) uint8 RGB one by one into an open container (yuv420p, ``x264_options``); sizes
    are made even."""
    from av import VideoFrame

    stream: Any = container.add_stream("libx264", rate=rate, options=x264_options(crf, preset))
    stream.pix_fmt = "yuv420p"
    for image in frames:
        height, width = (side // 2 * 2 for side in image.shape[:2])
        if not stream.codec_context.is_open:
            stream.width, stream.height = width, height
        picture = np.ascontiguousarray(image[:height, :width])
        container.mux(stream.encode(VideoFrame.from_ndarray(picture, format="rgb24")))
    container.mux(stream.encode())


def probe(path: Path) -> VideoInfo:
    """What the file or folder says about itself. Raises: DeftError where it is no readable video."""
    path = Path(path)
    if path.is_dir():
        names = image_files(path)
        height, width = read_picture(path / names[0], None).shape[:2]
        return VideoInfo(None, len(names), width, height, 0, "frames")
    with opened(path) as container:
        stream = container.streams.video[0]
        declared = stream.average_rate or stream.guessed_rate
        measured = _measured_rate(path)
        trusted = declared and measured and abs(float(declared) / measured - 1) < RATE_TOLERANCE
        rate = declared if trusted or measured is None else measured
        count = stream.frames or None
        if count is None and stream.duration and stream.time_base and rate:
            count = round(float(stream.duration * stream.time_base) * float(rate))
        first = next(_decoded(container, path), None)
        if first is None:
            raise DeftError(f"{path}: holds no frame that can be decoded; give a whole video file.")
        turn = _rotation(first)
        width, height = (first.height, first.width) if turn % 180 else (first.width, first.height)
        return VideoInfo(float(rate) if rate else None, count, width, height, turn, "video")


def frames(
    path: Path,
    start: int = 0,
    stop: int | None = None,
    *,
    fps: float | None = None,
    names: Sequence[str] | None = None,
) -> Iterator[Frame]:
    """Stream the frames ``start`` <= index < ``stop`` of a video file or a folder of images.

    ``fps`` sets the times of a folder (else 25 is assumed) and replaces those of a file; ``names`` gives a
    folder's files in order (else all its images by their numbers).
    Raises: DeftError for a missing, unreadable, cut-off or sound-only file; UsageError for start >= stop.
    """
    path = Path(path)
    if start < 0 or (stop is not None and stop <= start):
        raise UsageError(f"{path}: frames {start} to {stop} are no range; give start < stop, from 0.")
    if path.is_dir():
        return _folder_frames(path, start, stop, fps or ASSUMED_FPS, names)
    return _file_frames(path, start, stop, fps)


def _measured_rate(path: Path) -> float | None:
    """Frames a second by the time stamps of the first packets; None where there are too few.

    What a browser records declares no rate, or the one of its clock.
    """
    import av

    times = []
    with opened(path) as container:
        try:
            for packet in container.demux(container.streams.video[0]):
                if packet.pts is not None and packet.time_base is not None:
                    times.append(float(packet.pts * packet.time_base))
                if len(times) >= RATE_PACKETS:
                    break
        except av.error.FFmpegError:
            return None
    times.sort()
    if len(times) < LEAST_TIMES or times[-1] <= times[0]:
        return None
    return (len(times) - 1) / (times[-1] - times[0])


def image_files(folder: Path) -> list[str]:
    """Names of a folder's images, ordered by the numbers in them (img2 before img10)."""
    names = [entry.name for entry in Path(folder).iterdir()
             if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".")]  # fmt: skip
    if not names:
        raise DeftError(f"{folder}: holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}); check the folder.")
    return sorted(names, key=_number_key)


def _number_key(name: str) -> tuple[list[int], str]:
    return [int(digits) for digits in re.findall(r"\d+", Path(name).stem)], name


def _folder_frames(
    folder: Path, start: int, stop: int | None, fps: float, names: Sequence[str] | None
) -> Iterator[Frame]:
    files = list(names) if names is not None else image_files(folder)
    shape, shift = None, None
    for index, name in islice(enumerate(files), start, stop):
        if shift is None:  # by the clip's first image, wherever this pass begins
            shift = depth_shift(folder / files[0])
        image = read_picture(folder / name, shift)
        if shape is not None and image.shape != shape:
            raise DeftError(f"{folder / name}: is {image.shape[1]} x {image.shape[0]} px, those before "
                            f"{shape[1]} x {shape[0]}; a clip needs frames of one size.")  # fmt: skip
        shape = image.shape
        yield Frame(index, index / fps, image)


def depth_shift(path: Path) -> int:
    """How many low bits 16-bit frames of this clip lose: by the first frame, so that none flickers."""
    image = read_image(path)
    if image.dtype != np.uint16:
        return 0
    bits = int(image.max()).bit_length()
    return next(depth for depth in (8, 10, 12, 14, 16) if bits <= depth) - 8


def read_picture(path: Path, shift: int | None) -> np.ndarray:
    """One image as RGB (H, W, 3) uint8."""
    import cv2

    image = read_image(path)
    if image.dtype == np.uint16:
        lost = depth_shift(path) if shift is None else shift
        image = np.minimum(image >> lost, 255).astype(np.uint8)
    elif image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        span = 1.0 if low >= 0 and high <= 1 else 255.0
        image = np.clip(image * (255.0 / span), 0, 255).astype(np.uint8)
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 4:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2RGB)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def opened(path: Path) -> InputContainer:
    """The container of a video file, to be closed (``with``); nothing is decoded yet.

    Raises: DeftError for what is no regular file, no video, a playlist, or has too large frames.
    """
    import av

    path = Path(path)

    existing_file(path)
    # Absolute, so that no name is taken for a protocol; only formats that hold their pictures themselves.
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS)}
    try:
        container = av.open(str(path.absolute()), options=options)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise DeftError(f"{path}: is not a video that can be read (damaged, cut off, or no video at all); "
                        "give a video file or a folder of images.") from error  # fmt: skip
    if not container.streams.video:
        container.close()
        raise DeftError(f"{path}: holds no video, only other tracks; give a file with pictures.")
    width, height = container.streams.video[0].width or 0, container.streams.video[0].height or 0
    if width * height > MOST_PIXELS:
        container.close()
        raise DeftError(f"{path}: its frames have {width} x {height} pixels, more than {MOST_PIXELS}; "
                        "give a smaller video.")  # fmt: skip
    container.streams.video[0].thread_type = "AUTO"
    container.streams.video[0].codec_context.options = {"export_side_data": "venc_params"}
    return container


def _decoded(container: InputContainer, path: Path) -> Iterator[VideoFrame]:
    import av

    count = 0
    try:
        for frame in container.decode(container.streams.video[0]):
            count += 1
            yield frame
    except av.error.FFmpegError as error:
        if count == 0:
            raise DeftError(f"{path}: not one frame can be decoded ({error.strerror}); give a whole video "
                            "file.") from error  # fmt: skip
        raise DeftError(f"{path}: is damaged after frame {count - 1} ({error.strerror}); repair it or cut it "
                        "there.") from error  # fmt: skip


def _file_frames(path: Path, start: int, stop: int | None, fps: float | None) -> Iterator[Frame]:
    with opened(path) as container:
        stream = container.streams.video[0]
        declared = stream.frames
        rate = fps or float(stream.average_rate or stream.guessed_rate or ASSUMED_FPS)
        first_time: float | None = None
        shown = (0, 0)
        last, index = -1.0, -1
        for index, frame in enumerate(_decoded(container, path)):
            if stop is not None and index >= stop:
                return
            seconds = frame.time
            if seconds is None or fps:
                seconds = index / rate
            if first_time is None:
                first_time = seconds
            # Damaged time stamps may repeat or run backwards; time does not.
            last = max(seconds - first_time, last + 1e-6) if index else 0.0
            size = (frame.width, frame.height)
            if index and size != shown:
                before, now = (f"{width} x {height} px" for width, height in (shown, size))
                raise DeftError(
                    f"{path}: frame {index} is {now}, those before {before}; cut the video there."
                )
            shown = size
            if index >= start:
                yield Frame(index, last, picture_of(frame), quantiser_of(frame))
        if index < 0:
            raise DeftError(f"{path}: holds no frame that can be decoded; give a whole video file.")
        if declared and index + 1 < 0.9 * declared:
            raise DeftError(f"{path}: is cut off after frame {index} (its header says {declared} frames); "
                            "get the whole file or cut it there.")  # fmt: skip


def frame_times(path: Path) -> list[float]:
    """Seconds of every frame since the first, from the packets' time stamps (nothing is decoded).

    Raises: DeftError where the file is no readable video or bears no time stamps.
    """
    with opened(Path(path)) as container:
        stamps, base = stamps_of(container), container.streams.video[0].time_base
        if not stamps or base is None:
            raise DeftError(f"{path}: bears no time stamps; give its rate with --fps.")
        return [float((stamp - stamps[0]) * base) for stamp in stamps]


def stamps_of(container: InputContainer) -> list[int]:
    """Time stamps of all frames that are shown, in their order, from the packets of an opened file."""
    packets = container.demux(container.streams.video[0])
    return sorted(packet.pts for packet in packets if packet.pts is not None and not packet.is_discard)


def quantiser_of(frame: VideoFrame) -> float:
    """Mean quantisation parameter of the blocks of a frame of H.264 (FFmpeg's AVVideoEncParams), else 0."""
    data: Any = frame.side_data.get("VIDEO_ENC_PARAMS")
    if data is None:
        return 0.0
    raw = bytes(data)
    count, offset, size, kind, whole = struct.unpack_from(ENC_PARAMS, raw)
    if kind != H264_PARAMS:
        return 0.0
    rows = np.frombuffer(raw, np.uint8, count * size, offset).reshape(count, size)
    blocks = rows[:, BLOCK_DELTA : BLOCK_DELTA + 4].copy().view(np.int32)
    return max(float(whole + (blocks.mean() if count else 0.0)), 0.0)


UPRIGHT = (1, 0, 0, 1)


def _orientation(frame: VideoFrame) -> tuple[int, int, int, int]:
    """(a, b, c, d) of the display matrix, each -1, 0 or 1: a pixel goes to (a x + c y, b x + d y).

    A mirrored picture has a negative determinant; its angle alone would turn it by 180 degrees.
    """
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return UPRIGHT
    matrix = np.frombuffer(bytes(data), np.int32)[:5] / (1 << 16)
    a, b, c, d = (int(round(float(np.clip(value, -1, 1)))) for value in matrix[[0, 1, 3, 4]])
    return (a, b, c, d) if abs(a * d - b * c) == 1 else UPRIGHT


def _rotation(frame: VideoFrame) -> int:
    """Degrees clockwise by which the picture must be turned to be shown, before it is mirrored."""
    a, b, c, d = _orientation(frame)
    if b and c:
        return 90 if b > 0 else 270
    return 180 if a < 0 and d < 0 else 0


def picture_of(frame: VideoFrame) -> np.ndarray:
    """The frame as it is to be shown, (H, W, 3) uint8: turned and mirrored by its display matrix."""
    image = frame.to_ndarray(format="rgb24")
    a, b, c, d = _orientation(frame)
    if (a, b, c, d) == UPRIGHT:
        return image
    if b:
        image = image.transpose(1, 0, 2)
    right, down = (c, b) if b else (a, d)
    return np.ascontiguousarray(image[:: 1 if down > 0 else -1, :: 1 if right > 0 else -1])
