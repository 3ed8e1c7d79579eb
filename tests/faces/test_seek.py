"""Frames by index are the frames of the stream, in any order, for files that reorder and repeat them."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from deft_llm.errors import UsageError
from deft_llm.faces.seek import FrameReader
from deft_llm.faces.video import frames

COUNT = 170
ORDER = [150, 0, 169, 60, 61, 5, 100, 99, 98, 149, 10]


def write(path, codec: str, options: dict, rate: int = 25, skip: int = 0) -> None:
    """Frame i has i in its brightness; ``skip``: every so many frames a time is left out (variable rate)."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(COUNT):
            image = np.full((48, 64, 3), 20 + i, np.uint8)
            image[:, : i % 60] //= 2
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts = i + (i // skip if skip else 0)
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)


@pytest.mark.parametrize(("name", "codec", "options", "skip"), [
    ("b-frames.mp4", "libx264", {"bf": "3", "g": "40"}, 0),
    ("open.mkv", "libx264", {"bf": "3", "g": "25", "x264-params": "open-gop=1"}, 0),
    ("variable.mkv", "libx264", {"bf": "2", "g": "50"}, 7),
    ("old.avi", "mpeg4", {"g": "30"}, 0),
])  # fmt: skip
def test_any_order_gives_the_frames_of_the_stream(tmp_path, name, codec, options, skip):
    path = tmp_path / name
    write(path, codec, options, skip=skip)
    streamed = [frame.image for frame in frames(path)]
    reader = FrameReader(path)
    assert reader.count == len(streamed) == COUNT
    for index in ORDER:
        assert np.array_equal(reader.read(index)[0], streamed[index]), index
    assert all(np.array_equal(a, b) for a, b in zip(reader.read(120, 30), streamed[120:150], strict=True))
    assert len(reader.read(165, 30)) == 5
    reader.close()
    assert np.array_equal(reader.read(80)[0], streamed[80])


def test_a_folder_of_images(tmp_path):
    for i in (2, 10, 1):
        cv2.imwrite(str(tmp_path / f"img{i}.png"), np.full((8, 8, 3), i, np.uint8))
    assert [picture[0, 0, 0] for picture in FrameReader(tmp_path).read(0, 5)] == [1, 2, 10]


@pytest.mark.parametrize(("start", "count"), [(170, 1), (-1, 1), (0, 0)])
def test_what_is_not_there_is_refused(tmp_path, start, count):
    write(tmp_path / "a.mp4", "libx264", {})
    with pytest.raises(UsageError, match="170 frames"):
        FrameReader(tmp_path / "a.mp4").read(start, count)
