"""Bad input: one clear sentence and the right exit code, for everything people will try."""

import json
import os
import wave

import cv2
import numpy as np
import pytest

from deft_llm.cli import main
from deft_llm.explain.samples import save_video


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run ``deft analyze``; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = 0
        try:
            main(["analyze", *map(str, words), "--method", "rules"])
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return call


def refuses(result, code, *words):
    """One sentence that holds all words, no traceback, the exit code."""
    assert result[0] == code, result
    lines = [line for line in result[2].splitlines() if line.startswith("deft: ")]
    assert len(lines) == 1 and "Traceback" not in result[2]
    for word in words:
        assert word in lines[0], lines[0]


def folder_of(path, images):
    path.mkdir()
    for i, image in enumerate(images):
        cv2.imwrite(str(path / f"img{i}.png"), image if image.ndim == 2 else image[..., ::-1])
    return path


def test_a_loop_of_links(run, tmp_path):
    (tmp_path / "a.mp4").symlink_to("a.mp4")
    refuses(run("a.mp4"), 1, "a.mp4: cannot be read (Too many levels of symbolic links)")


def test_missing_file(run):
    refuses(run("nowhere.mp4"), 1, "nowhere.mp4")


def test_text_renamed(run, tmp_path):
    (tmp_path / "text.mp4").write_text("this is no video\n" * 50)
    refuses(run("text.mp4"), 1, "text.mp4")


def test_truncated(run, tmp_path, still_frames):
    path = save_video(tmp_path / "cut.mp4", still_frames, 25)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refuses(run("cut.mp4"), 1, "cut.mp4")


def test_audio_only(run, tmp_path):
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    refuses(run("sound.wav"), 1, "sound.wav")


def test_one_frame(run, tmp_path, still_frames):
    refuses(run(folder_of(tmp_path / "one", still_frames[:1])), 1, "one frame")


def test_no_face(run, tmp_path, no_face):
    save_video(tmp_path / "empty.mp4", [no_face] * 6, 25)
    refuses(run("empty.mp4"), 1, "no face")


def test_one_pixel(run, tmp_path):
    refuses(run(folder_of(tmp_path / "dots", [np.zeros((1, 1, 3), np.uint8)] * 3)), 1, "no face")


def test_onset_after_apex(run, tmp_path, still_frames):
    save_video(tmp_path / "clip.mp4", still_frames, 25)
    refuses(run("clip.mp4", "--onset", 8, "--apex", 3), 2, "--onset 8", "--apex 3")
    refuses(run("clip.mp4", "--onset", 1, "--apex", 99), 2, "--apex 99")
    refuses(run("clip.mp4", "--apex", 0), 2, "--apex 0")
    refuses(run("clip.mp4", "--onset", 3, "--offset", 3), 2, "--onset 3", "--offset 3")
    refuses(run("clip.mp4", "--fast", "--max-movements", 2), 2, "--max-movements", "--fast")
    (tmp_path / "rows.csv").mkdir()
    refuses(run("clip.mp4", "--table", "rows.csv"), 2, "rows.csv", "is a folder")


def test_output_folder_not_writable(run, tmp_path, still_frames):
    save_video(tmp_path / "clip.mp4", still_frames, 25)
    (tmp_path / "file").write_text("")
    refuses(run("clip.mp4", "--out", tmp_path / "file" / "inside"), 1, "--out")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if not os.access(locked, os.W_OK):  # root may write everywhere
        refuses(run("clip.mp4", "--out", locked), 1, "--out")


def test_face_lost_half_way(run, tmp_path, still_frames):
    blank = np.full_like(still_frames[0], 90)
    save_video(tmp_path / "lost.mp4", [*still_frames, *[blank] * 12], 25)
    code, out, _ = run("lost.mp4", "--json")
    result = json.loads(out)
    assert code == 0 and any("No face is seen in 50 %" in state["why"] for state in result["cannot_judge"])
    assert all(movement["apex"] < 12 for movement in result["movements"])


def test_two_faces(run, tmp_path, still_frames):
    small = [cv2.resize(frame, (224, 224), interpolation=cv2.INTER_AREA) for frame in still_frames]
    both = [np.hstack([frame[:224], np.pad(other, ((0, 0), (0, 0), (0, 0)))]) for frame, other in
            zip(still_frames, small)]  # fmt: skip
    save_video(tmp_path / "two.mp4", both, 25)
    code, out, _ = run("two.mp4", "--json")
    assert code == 0 and any("2 faces" in note for note in json.loads(out)["notes"])


@pytest.mark.parametrize("kind", ["16-bit", "grey"])
def test_unusual_frames_work(run, tmp_path, still_frames, kind):
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in still_frames]
    if kind == "16-bit":
        grey = [frame.astype(np.uint16) * 257 for frame in grey]
    folder = folder_of(tmp_path / kind, grey)
    code, out, _ = run(folder, "--json")
    assert code == 0 and json.loads(out)["video"]["frames"] == len(grey)
    assert any("--fps" in note for note in json.loads(out)["notes"])
    assert not list(tmp_path.glob("*-analysis"))  # --json alone leaves no files


def test_the_result_of_another_video_of_that_name_is_kept(run, tmp_path, still_frames):
    for name, frames in (("a", still_frames), ("b", still_frames[::-1])):
        (tmp_path / name).mkdir()
        save_video(tmp_path / name / "clip.mp4", frames, 25)
    assert run("a/clip.mp4")[0] == run("a/clip.mp4")[0] == 0, "the same video may be analysed again"
    before = (tmp_path / "clip-analysis" / "result.json").read_bytes()
    refuses(run("b/clip.mp4"), 2, "clip-analysis", "another video", "--out")
    assert (tmp_path / "clip-analysis" / "result.json").read_bytes() == before
    assert run("b/clip.mp4", "--out", "b/analysis")[0] == 0
