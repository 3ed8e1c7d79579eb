"""Decoding: any rate, rotation, variable times, grey and 16 bit; bad files end in one sentence."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from deft_llm.errors import DeftError, UsageError
from deft_llm.explain.samples import save_video
from deft_llm.faces.video import frames, image_files, probe, x264_options

WIDTH, HEIGHT = 64, 48


def picture(index: int) -> np.ndarray:
    """Grey with a red upper left corner; the level tells the index."""
    image = np.full((HEIGHT, WIDTH, 3), 40 + 4 * (index % 50), np.uint8)
    image[: HEIGHT // 4, : WIDTH // 4] = (255, 0, 0)
    return image


def write_video(
    path: Path, count: int = 20, rate: int = 50, times: list[int] | None = None, pixels: str = "yuv420p",
    codec: str = "libx264", fast: bool = False,
) -> Path:  # fmt: skip
    options = {"movflags": "faststart"} if fast else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts = times[index] if times else round(1000 * index / rate)
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def level(image: np.ndarray) -> float:
    return float(image[30:, 30:].mean())


def test_video_streams_in_order_with_times(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    info = probe(path)
    assert (info.fps, info.frames, info.width, info.height, info.kind) == (50, 20, WIDTH, HEIGHT, "video")
    found = list(frames(path))
    assert [f.index for f in found] == list(range(20))
    assert found[7].time == pytest.approx(7 / 50, abs=1e-3)
    assert [level(f.image) for f in found] == pytest.approx([40 + 4 * i for i in range(20)], abs=4)
    assert found[0].image.dtype == np.uint8


def test_a_range_is_exact(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    found = list(frames(path, 5, 9))
    assert [f.index for f in found] == [5, 6, 7, 8]
    assert level(found[0].image) == pytest.approx(60, abs=4)
    with pytest.raises(UsageError, match="start < stop"):
        frames(path, 5, 5)


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [0, 20, 40, 100, 104, 200]
    path = write_video(tmp_path / "v.mkv", count=6, times=times)
    assert [f.time for f in frames(path)] == pytest.approx([t / 1000 for t in times], abs=2e-3)


def test_rotation_metadata_turns_the_picture(tmp_path: Path) -> None:
    data = write_video(tmp_path / "a.mp4").read_bytes()
    straight = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    at = data.index(straight, data.index(b"tkhd"))
    turned = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, HEIGHT << 16, 0, 1 << 30)
    path = tmp_path / "r.mp4"
    path.write_bytes(data[:at] + turned + data[at + len(turned) :])
    info = probe(path)
    assert (info.width, info.height, info.rotation) == (HEIGHT, WIDTH, 90)
    image = next(frames(path)).image
    assert image.shape == (WIDTH, HEIGHT, 3)
    # Turned clockwise, the red corner lies at the upper right.
    assert image[:8, -8:, 0].mean() > 200 > image[:8, :8, 0].mean()


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [((-1, 0, 0, 1), (0, -1)), ((1, 0, 0, -1), (-1, 0)), ((-1, 0, 0, -1), (-1, -1)), ((0, 1, 1, 0), (0, 0))],
)
def test_a_mirror_in_the_display_matrix_is_a_mirror(tmp_path: Path, matrix, corner) -> None:
    """The red corner lies where the matrix puts it; a mirror's angle alone would turn it by 180 degrees."""
    data = write_video(tmp_path / "a.mp4").read_bytes()
    straight = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    a, b, c, d = (value << 16 for value in matrix)
    turned = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    at = data.index(straight, data.index(b"tkhd"))
    path = tmp_path / "m.mp4"
    path.write_bytes(data[:at] + turned + data[at + len(turned) :])
    image = next(frames(path)).image
    rows, columns = (slice(None, 8) if one == 0 else slice(-8, None) for one in corner)
    assert image[rows, columns, 0].mean() > 200
    assert image.shape[:2] == ((WIDTH, HEIGHT) if matrix[1] else (HEIGHT, WIDTH))


def test_the_quantiser_of_h264_is_told_and_others_are_not(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 255, (64, 64, 3), np.uint8) for _ in range(4)]
    fine, coarse = (
        [frame.quantiser for frame in frames(save_video(tmp_path / f"{q}.mp4", pictures, 25, quality=q))]
        for q in (12, 40)
    )
    assert len(fine) == 4 and 0 < fine[0] < coarse[0] - 10 and max(coarse) <= 51
    assert {frame.quantiser for frame in frames(write_video(tmp_path / "l.mkv", codec="ffv1"))} == {0.0}


@pytest.mark.parametrize("pixels", ["gray", "gray16le"])
def test_grey_and_16_bit_video(tmp_path: Path, pixels: str) -> None:
    path = write_video(tmp_path / "g.mkv", count=3, pixels=pixels, codec="ffv1")
    found = list(frames(path))
    assert found[0].image.shape == (HEIGHT, WIDTH, 3)
    assert level(found[2].image) == pytest.approx(48, abs=3)


def test_folder_is_ordered_by_number_and_16_bit_does_not_flicker(tmp_path: Path) -> None:
    for number, value in ((2, 4000), (10, 1000), (1, 2000)):
        cv2.imwrite(str(tmp_path / f"img{number}.png"), np.full((20, 20), value, np.uint16))
    (tmp_path / "notes.txt").write_text("not an image")
    assert image_files(tmp_path) == ["img1.png", "img2.png", "img10.png"]
    found = list(frames(tmp_path, fps=200.0))
    assert [int(f.image.mean()) for f in found] == [125, 250, 62]
    assert found[1].time == pytest.approx(0.005)
    info = probe(tmp_path)
    assert (info.fps, info.frames, info.kind) == (None, 3, "frames")
    assert [int(f.image.mean()) for f in frames(tmp_path, names=["img10.png"])] == [250]
    cv2.imwrite(str(tmp_path / "img0.png"), np.full((20, 20), 5000, np.uint16))
    later = [int(f.image.mean()) for f in frames(tmp_path, 1)]
    assert later == [int(f.image.mean()) for f in frames(tmp_path)][1:], "a second pass sees the same light"


def test_grey_alpha_and_one_pixel_images(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.full((1, 1, 4), 77, np.uint8))
    image = next(frames(tmp_path)).image
    assert image.shape == (1, 1, 3) and image.max() == 77


def test_a_folder_with_frames_of_two_sizes(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((20, 20), np.uint8))
    cv2.imwrite(str(tmp_path / "2.png"), np.zeros((20, 21), np.uint8))
    with pytest.raises(DeftError, match=r"2\.png.*one size"):
        list(frames(tmp_path))


def bad_files(folder: Path) -> dict[str, Path]:
    """Files that are no video, by what is wrong with them."""
    whole = write_video(folder / "whole.mp4", count=200, fast=True).read_bytes()
    late = write_video(folder / "late.mp4").read_bytes()
    made = {"text": b"this is a text, renamed\n" * 50, "cut before the index": late[: len(late) // 2],
            "cut in the pictures": whole[: len(whole) * 3 // 4], "empty": b""}  # fmt: skip
    paths = {}
    for name, data in made.items():
        paths[name] = folder / f"{name.replace(' ', '_')}.mp4"
        paths[name].write_bytes(data)
    paths["audio only"] = folder / "sound.mp4"
    with av.open(str(paths["audio only"]), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    paths["missing"] = folder / "nowhere.mp4"
    paths["empty folder"] = folder / "empty_folder"
    paths["empty folder"].mkdir()
    paths["broken image"] = folder / "broken"
    paths["broken image"].mkdir()
    (paths["broken image"] / "1.png").write_bytes(b"no png")
    return paths


def test_bad_files_end_in_one_sentence_that_names_them(tmp_path: Path) -> None:
    paths = bad_files(tmp_path)
    assert len(paths) == 8
    for name, path in paths.items():
        with pytest.raises(DeftError) as caught:
            list(frames(path))
        message = str(caught.value)
        assert str(path) in message and "\n" not in message and message.endswith("."), name


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "list.ffconcat", "list.txt", "list.avi", "d.mpd"])
def test_lists_of_other_files_are_not_followed(name: str, tmp_path: Path) -> None:
    write_video(tmp_path / "secret.mp4")
    texts = {
        "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "ffconcat": "ffconcat version 1.0\nfile 'secret.mp4'\n",
        "mpd": '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
        '<Representation id="1"><BaseURL>secret.mp4</BaseURL></Representation></AdaptationSet></Period>'
        "</MPD>",
    }
    for text in texts.values():
        (tmp_path / name).write_text(text)
        with pytest.raises(DeftError, match="is not a video that can be read"):
            probe(tmp_path / name)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    os.mkfifo(tmp_path / "img1.png")
    for read in (lambda: probe(tmp_path / "pipe.mp4"), lambda: list(frames(Path("/dev/zero"))),
                 lambda: list(frames(tmp_path))):  # fmt: skip
        with pytest.raises(DeftError, match=r"(pipe\.mp4|/dev/zero|img1\.png): is not a regular file"):
            read()


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header promises more than it holds."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


def test_a_header_cannot_ask_for_more_memory_than_an_image_needs(tmp_path: Path) -> None:
    (tmp_path / "img1.png").write_bytes(png_of(60_000, 60_000))
    with pytest.raises(DeftError, match=r"img1\.png: is damaged or has more than 100000000 pixels"):
        list(frames(tmp_path))


def test_values_that_are_no_numbers_are_no_picture(tmp_path: Path) -> None:
    for value in (np.nan, np.inf, 1e300):
        image = np.full((8, 8, 3), 0.5)
        image[2, 2, 1] = value
        assert cv2.imwrite(str(tmp_path / "img1.tif"), image)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(DeftError, match=r"img1\.tif: holds values that are not finite"):
                list(frames(tmp_path))


def test_frames_that_change_their_size_end_the_reading(tmp_path: Path) -> None:
    """MPEG-TS pieces put together: the second one has another size."""
    for number, (width, height) in enumerate([(64, 48), (128, 96)]):
        with av.open(str(tmp_path / f"{number}.ts"), "w", format="mpegts") as container:
            stream = container.add_stream("mpeg2video", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for _ in range(10):
                frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    (tmp_path / "both.ts").write_bytes((tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes())
    with pytest.raises(DeftError, match=r"both\.ts: frame \d+ is 128 x 96 px, those before 64 x 48"):
        list(frames(tmp_path / "both.ts"))


def test_the_same_frames_are_written_as_the_same_file(tmp_path):
    """The AVX-512 code of libx264 writes other bytes in some runs of ten; here it is off."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 255, (96, 96, 3), np.uint8) for _ in range(30)]
    written = {save_video(tmp_path / f"{n}.mp4", images, 25.0).read_bytes() for n in range(4)}
    assert len(written) == 1
    assert x264_options(18, "fast")["x264-params"] == "asm=SSE4.2"
