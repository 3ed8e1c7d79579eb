"""The state of a face over its neutral: pose out, sides, neutral, covers, tables."""

from dataclasses import fields
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from deft_llm import spooled
from deft_llm.errors import UsageError
from deft_llm.explain.analyzer import Analyzer
from deft_llm.explain.samples import portrait
from deft_llm.faces.align import align, transform_of
from deft_llm.faces.landmarker import default_landmarker
from deft_llm.faces.regions import TWIN
from deft_llm.spotting.watch import Watched
from deft_llm.state.channels import POINTS
from deft_llm.state.compression import MODERATE, skipped_share
from deft_llm.state.face_state import FaceState, channels_of, state_of, table_parts
from deft_llm.state.lids import _closures
from deft_llm.state.neutral import frames_named
from deft_llm.state.pose import in_space, upright
from deft_llm.state.track import KEPT, FaceTrack, TrackBuilder


def table_of(states: list[FaceState]) -> dict[str, np.ndarray]:
    """The parts of the table, joined."""
    parts = list(table_parts(states))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def test_a_rolling_head_moves_nothing_in_the_persons_own_frame(make_track):
    track = make_track(60, turn=np.linspace(-25, 25, 60))
    points, angles = upright(in_space(track.landmarks, track.depth), KEPT)
    assert np.ptp(points, axis=0).max() < 0.5  # % of the eye distance
    assert np.ptp(angles[:, 2]) == pytest.approx(50, abs=2)
    still = state_of(track)
    assert all(np.ptp(course) < 0.5 for course in still.intensity.values())


def test_a_long_video_is_read_in_parts_to_the_same_numbers(smile, monkeypatch):
    track = smile(turn=np.linspace(-5, 5, 120), noise=0.3)
    track.landmarks[20:24], track.depth[20:24] = np.nan, np.nan
    whole = state_of(track)
    monkeypatch.setattr(spooled, "PART", 7)
    monkeypatch.setattr(spooled, "LARGE", 0)
    parts = state_of(track)
    assert list(whole.intensity) == list(parts.intensity)
    for curves, again in ((whole.intensity, parts.intensity), (whole.trained, parts.trained)):
        assert all(np.allclose(curves[key], again[key], atol=1e-9, equal_nan=True) for key in curves)
    assert np.allclose(whole.angles, parts.angles, equal_nan=True) and np.isnan(parts.angles[20:24]).all()
    assert whole.neutral.frames == parts.neutral.frames and whole.lid_events == parts.lid_events
    first, second = table_of([whole]), table_of([parts])
    assert all(np.allclose(first[name], second[name], equal_nan=True) for name in first)


def test_a_track_is_packed_in_blocks_to_the_same_arrays(monkeypatch):
    image = portrait()
    face = default_landmarker().detect(image)[0]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    aligned = align(grey, transform_of(face.landmarks))
    tracks = []
    for block in (512, 3):
        monkeypatch.setattr(spooled, "BLOCK", block)
        monkeypatch.setattr(spooled, "KEPT_BLOCKS", block // 512)
        builder = TrackBuilder(25.0)
        for number in range(8):
            seen = face if number not in (2, 3) else None
            builder.add(number / 25, image, grey, seen, None if seen is None else aligned + np.uint8(number))
        tracks.append(builder.finish())
    for one in fields(FaceTrack):
        first, second = (getattr(track, one.name) for track in tracks)
        assert np.array_equal(first, second, equal_nan=one.name not in ("size", "fps"))
    assert tracks[0].seen.tolist() == [True, True, False, False, True, True, True, True]


def test_a_smile_is_up_while_it_is_held_and_on_its_side(smile):
    state = state_of(smile(sides=("left",)))
    left, right = state.intensity[12, "left"], state.intensity[12, "right"]
    assert left[55:75].min() > 2.0 and np.abs(left[:35]).max() < 0.3
    assert right[55:75].max() < 0.5 * left[55:75].min()


def test_a_clip_that_is_mostly_a_smile_keeps_its_few_calm_frames_as_neutral(smile):
    state = state_of(smile(frames=200, rise=(20, 28), release=(199, 200)))
    assert max(state.neutral.frames) < 28
    assert state.intensity[12, "left"][60:].min() > 2.0


def test_what_an_expression_takes_away_is_part_of_a_neutral_face(make_track, hold):
    """An open mouth takes a resting pucker away: that it shows less of it does not make it calm."""
    opened = hold(120, (40, 46), (84, 90))
    lower = (14, 17, 84, 181, 91, 314, 405, 321, 87, 178)
    track = make_track(120, [(lower, (0, -8), opened)], {"mouthPucker": 0.4 * (1 - opened)})
    assert not set(state_of(track).neutral.frames) & set(range(42, 88))


def test_a_lifted_head_moves_no_brow(make_track):
    track = make_track(80)
    still = channels_of(track)[0]["brow_in_left"]
    depth = track.depth.copy()
    lean = np.radians(np.linspace(0, 12, 80))[:, None]
    y, z = track.landmarks[..., 1] - 150.0, -depth
    track.landmarks[..., 1] = y * np.cos(lean) - z * np.sin(lean) + 150.0
    track.depth[:] = -(y * np.sin(lean) + z * np.cos(lean))
    seen, angles = channels_of(track)
    assert np.ptp(still) < 0.1 and np.ptp(angles[:, 1]) == pytest.approx(12, abs=1)
    lifted = np.sign(angles[-1, 1] - angles[0, 1])
    assert seen["brow_in_left"][-1] - seen["brow_in_left"][0] == pytest.approx(0.12 * 12 * lifted, abs=0.4)


def test_named_frames_are_the_neutral(smile):
    track = smile()
    state = state_of(track, neutral=np.arange(55, 75))
    assert state.neutral.source == "given" and state.intensity[12, "left"][60] == pytest.approx(0, abs=0.3)
    kept = state_of(track, neutral=state.neutral)
    assert np.allclose(kept.intensity[12, "left"], state.intensity[12, "left"])


@pytest.mark.parametrize(
    ("text", "first", "last"), [("3-5", 3, 5), ("0.2s-0.4s", 5, 10), ("45-49", 45, 49), ("1.8s-2s", 45, 49)]
)
def test_neutral_in_frames_or_seconds(text, first, last):
    chosen = frames_named(text, np.arange(50) / 25)
    assert (chosen[0], chosen[-1]) == (first, last)


@pytest.mark.parametrize(
    "text", ["", "7", "9-3", "0.5-1.2", "1s-2", "80-90", "a-b", "40-50", "1s-2.1s", "3s-9s"]
)
def test_a_neutral_that_names_no_frames_is_refused(text):
    with pytest.raises(UsageError, match="--neutral"):
        frames_named(text, np.arange(50) / 25)


def test_what_covers_the_mouth_hides_it_and_makes_no_neutral(smile):
    track = smile()
    track.lips[60:100] = [0.12, -0.5, 0.001, 0.0, 0.1]
    state = state_of(track)
    assert state.visibility.hidden["mouth"][64:96].all() and not state.visibility.hidden["brows"].any()
    assert not set(state.neutral.frames) & set(range(62, 98))
    assert not state.visibility.hidden["mouth"][:55].any()


def test_lips_that_are_never_seen_are_a_mask(make_track):
    track = make_track(50)
    track.lips[:, :4] = [0.001, -0.01, 0.0005, -0.01]
    assert state_of(track).visibility.hidden["mouth"].all()


def test_lips_no_redder_than_dark_skin_are_not_covered(make_track):
    """Redness that differs from half to half and comes and goes with the light, as on dark lips."""
    track, random = make_track(100), np.random.default_rng(0)
    track.lips[:] = [0.008, -0.09, -0.013, 0.01, 0.12]
    track.lips[:, [0, 2]] += random.normal(0, 0.006, (100, 2)).astype(np.float32)
    assert not state_of(track).visibility.covered.any()
    track.lips[:, [0, 2]] = [0.002, -0.001]  # as red as the skin: still darker than it, no mask
    assert not state_of(track).visibility.covered.any()
    track.lips[40:60, [1, 3]] -= 0.4
    assert state_of(track).visibility.hidden["mouth"][42:58].all(), "what is much darker is a cover"


def test_pressed_lips_lose_their_colour_and_are_not_covered(make_track, hold):
    course, pale = hold(100, (38, 42), (58, 62)), [0.004, -0.06, 0.002, -0.06, 0.1]
    pressed, still = make_track(100, [((0,), (0, -6), course), ((17,), (0, 6), course)]), make_track(100)
    for track in (pressed, still):
        track.lips[40:60] = pale
    assert not state_of(pressed).visibility.covered.any()
    assert state_of(still).visibility.covered[44:56].all()


def test_pressed_lips_may_pale_more_on_one_side(make_track):
    track = make_track(100)
    track.lips[40:60] = [0.012, -0.08, 0.005, -0.08, 0.1]
    assert not state_of(track).visibility.covered.any()
    track.lips[40:60, 0] = 0.03
    assert state_of(track).visibility.hidden["mouth"][44:56].all(), "a hand before one half leaves the other"


def test_a_hand_that_stays_beside_the_lips_covers_until_it_goes(make_track):
    track = make_track(200)
    track.lips[20:30] = [0.03, -0.1, 0.002, -0.1, 0.1]
    track.lips[30:64] = [0.033, -0.1, 0.024, -0.1, 0.1]
    track.lips[64:72] = [0.04, -0.1, 0.017, -0.1, 0.1]
    hidden = state_of(track).visibility.hidden["mouth"]
    assert hidden[24:68].all() and not hidden[:18].any() and not hidden[76:].any()


def _turn_away(track, degrees):
    """Yaw of a track's face, ``degrees`` (T,)."""
    lean = np.radians(degrees)[:, None]
    middle = track.landmarks[0, :, 0].mean()
    x, z = track.landmarks[..., 0] - middle, -track.depth
    track.landmarks[..., 0] = x * np.cos(lean) - z * np.sin(lean) + middle
    track.depth[:] = -(x * np.sin(lean) + z * np.cos(lean))


def test_what_a_turned_head_hides_is_not_covered(make_track, hold):
    """The far half of the lips goes, their light changes, and the brows look otherwise."""
    course = hold(100, (36, 40), (60, 64))
    turned, still = make_track(100), make_track(100)
    _turn_away(turned, 25 * course)
    for track in (turned, still):
        track.lips[42:58] = [0.03, -0.1, 0.002, 0.1, 0.1]
        brows = track.thumbnail[42:58, 1:4].astype(float)
        mixed = 0.3 * brows + 0.7 * brows[..., ::-1] * np.linspace(1, 1.3, 16)
        track.thumbnail[42:58, 1:4] = np.clip(mixed + 20, 0, 255).astype(np.uint8)
    seen, hidden = state_of(turned).visibility, state_of(still).visibility.hidden
    assert not seen.hidden["mouth"].any() and not seen.hidden["brows"].any()
    assert hidden["mouth"][46:54].all()


def test_a_clip_without_a_calm_face_says_so(make_track, smile):
    assert not state_of(smile()).neutral.expressive
    held = make_track(100, shown={"mouthSmileLeft": np.full(100, 0.7), "mouthSmileRight": np.full(100, 0.7)})
    states = [state_of(held), state_of(held, neutral=np.arange(5, 20))]
    assert [state.neutral.expressive for state in states] == [True, False]
    info = SimpleNamespace(fps=25.0)
    for state, said in zip(states, (1, 0), strict=True):
        notes = Analyzer._notes(info, {1: state}, None, [], [], Watched({}, in_view=1), False, None, 1)
        assert sum("--neutral" in note for note in notes) == said


def test_darkness_is_seen(make_track):
    track = make_track(40)
    track.thumbnail[20:] = 9
    assert state_of(track).visibility.dark[22:].all() and not state_of(track).visibility.dark[:20].any()


def test_furrows_between_the_brows_alone_are_a_brow_lowerer(make_track, hold):
    track = make_track(100)
    track.furrows[:, 0] *= 1 + hold(100, (40, 48), (70, 80)).astype(np.float32)
    assert state_of(track).intensity[4, "left"][50:68].min() > 2.0
    lit = make_track(100)
    lit.furrows *= (1 + hold(100, (40, 48), (70, 80)))[:, None].astype(
        np.float32
    )  # light changes all patches
    assert state_of(lit).intensity[4, "left"].max() < 0.5


@pytest.mark.parametrize("frames", [[5], [5, 6], [5, 20]])
@pytest.mark.filterwarnings("error")
def test_a_face_that_is_seen_for_a_moment_is_sure_of_nothing_that_it_does_not_read(make_track, frames):
    track = make_track(30)
    gone = np.setdiff1d(np.arange(30), frames)
    for name in ("landmarks", "depth", "blend", "presence", "iod", "furrows", "lips"):
        getattr(track, name)[gone] = np.nan
    rows = table_of([state_of(track)])
    for au in (1, 4, 12):
        blank = np.isnan(rows[f"AU{au:02d}_L"]) | np.isnan(rows[f"AU{au:02d}_R"])
        assert not (blank & (rows[f"AU{au:02d}_sure"] == 1)).any()
    assert rows["AU01_L"][frames[0]] == pytest.approx(0, abs=0.5)


def test_blinks_winks_and_closures_are_told_apart(make_track, hold):
    def lids(course, sides=("left", "right")):
        ids = [one if side == "right" else int(TWIN[one]) for side in sides for one in (158, 159, 160)]
        return [(ids, (0, -9), course)]

    kinds = {}
    for name, course, sides in (
        ("blink", hold(100, (40, 43), (44, 47)), ("left", "right")),
        ("wink", hold(100, (40, 43), (44, 47)), ("left",)),
        ("eyes closed", hold(100, (40, 43), (80, 84)), ("left", "right")),
    ):
        (event,) = state_of(make_track(100, lids(course, sides))).lid_events
        kinds[name] = (event.kind, event.side)
    assert kinds == {
        "blink": ("blink", "both"), "wink": ("wink", "left"), "eyes closed": ("eyes closed", "both"),
    }  # fmt: skip


def test_a_blink_that_shuts_within_a_frame_and_deepens_is_a_blink():
    lower = np.ones(60)
    lower[20:33] = [0.3, 0.2, 0.15, 0.2, 0.2, 0.15, 0.1, 0.08, 0.1, 0.15, 0.65, 0.68, 0.69]
    (event,) = _closures({"right": lower, "left": lower + 0.02}, 25.0)
    assert (event.kind, event.start) == ("blink", 20)


def test_eyes_that_are_hidden_while_shut_are_not_seen_to_open():
    lower = np.where(np.arange(60) < 20, 1.0, 0.1)
    lower[40:] = np.nan
    (event,) = _closures({"right": lower, "left": lower}, 25.0)
    assert (event.stop, event.ends) == (39, False)


def test_a_mouth_that_is_not_seen_does_not_speak(make_track):
    """It stays parted; the face is lost in one frame of six."""
    track = make_track(120, [((14, 17, 84, 181, 91, 314, 405, 321, 87, 178), (0, -5), np.ones(120))])
    for name in ("landmarks", "depth", "blend", "presence", "iod", "furrows", "lips"):
        getattr(track, name)[3::6] = np.nan
    assert not state_of(track).speech.any()


def test_a_turn_counts_where_frames_are_lost(make_track, hold):
    track = make_track(60, turn=20 * hold(60, (20, 30), (58, 60)))
    seen = state_of(track)
    for name in ("landmarks", "depth", "blend", "presence", "iod", "furrows", "lips"):
        getattr(track, name)[25] = np.nan
    assert state_of(track).turn_in(slice(15, 35)) == pytest.approx(seen.turn_in(slice(15, 35)), abs=2)
    assert seen.turn_in(slice(15, 35)) > 15


def test_frames_of_another_clips_neutral_are_refused(smile):
    neutral = state_of(smile(frames=200, rise=(20, 28), release=(60, 70))).neutral
    assert max(neutral.frames) >= 40
    short = smile(frames=40, rise=(10, 14), release=(20, 26))
    with pytest.raises(UsageError, match="kept"):
        state_of(short, neutral=neutral)
    assert state_of(short, neutral=neutral.kept()).neutral.levels == neutral.levels


def test_the_table_has_one_row_per_frame_and_face(smile):
    table = table_of([state_of(smile(), face=1), state_of(smile(), face=2)])
    assert set(table["face"]) == {1, 2} and len(table["frame"]) == 240
    for column in (
        "time_s",
        "confidence",
        "pitch",
        "yaw",
        "roll",
        "gaze_x",
        "lid_left",
        "AU12_L",
        "AU12_sure",
    ):
        assert len(table[column]) == 240
    assert table["AU12_L"].min() >= 0 and table["AU12_L"].max() <= 5


def test_a_track_survives_the_disk(tmp_path, smile):
    track = smile()
    track.save(tmp_path / "track.npz")
    again = FaceTrack.load(tmp_path / "track.npz")
    assert again.size == track.size and again.fps == track.fps
    assert np.array_equal(again.landmarks, track.landmarks)


def test_blocks_that_repeat_the_last_frame_tell_compression():
    random = np.random.default_rng(0)
    first = random.integers(0, 255, (64, 64), np.uint8)
    noisy = np.clip(first + random.integers(-3, 4, first.shape), 0, 255).astype(np.uint8)
    box = (0.0, 0.0, 64.0, 64.0)
    assert skipped_share(first, noisy, box) < 0.05 < MODERATE < skipped_share(first, first, box)
    noisy[:, :32] = first[:, :32]
    assert skipped_share(first, noisy, box) == pytest.approx(0.5, abs=0.02)
    assert skipped_share(first, first[:32], box) == 0.0
    assert skipped_share(first, first, (500.0, 0.0, 600.0, 90.0)) == 0.0  # beside the picture


def test_a_blink_of_widened_eyes_is_a_blink(make_track, hold):
    ids = [
        one if side == "right" else int(TWIN[one]) for side in ("left", "right") for one in (158, 159, 160)
    ]
    wide, blink = hold(100, (20, 24), (80, 84)), hold(100, (49, 50), (50, 51))
    track = make_track(100, [(ids, (0, 4), wide), (ids, (0, -10), blink)])
    kinds = [event.kind for event in state_of(track).lid_events]
    assert kinds == ["blink"]


def test_lids_that_tighten_are_seven_and_eyes_that_look_down_are_none(make_track, hold):
    course = hold(120, (50, 56), (80, 88))
    low, up, iris = POINTS["lid_low"], POINTS["lid_up"], (468, 469, 470, 471, 472)
    squint = {f"eyeSquint{side}": 0.4 * course for side in ("Left", "Right")}
    tight, down = [], []
    for ids in (low, TWIN[list(low)]):
        tight.append((ids, (0, 2.5), course))
    for ids in (up, TWIN[list(up)]):
        tight.append((ids, (0, -2.5), course))
        down.append((ids, (0, -3.5), course))
    down += [(ids, (0, -3.5), course) for ids in (iris, TWIN[list(iris)])]
    seen = {name: state_of(make_track(120, moves, squint)).intensity[7, "left"][60:75].mean()
            for name, moves in (("tight", tight), ("down", down))}  # fmt: skip
    assert seen["tight"] > 1.5 and seen["down"] < 0.3
