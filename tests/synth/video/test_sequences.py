"""Films of several seconds: what is planned, and whether the truth beside a film says it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deft_llm import corpora
from deft_llm.errors import UsageError
from deft_llm.synth.core.prior import load_prior
from deft_llm.synth.core.sequence import INTENSITY, Sequence, compatible, plan_sequence
from deft_llm.synth.core.settings import VideoSettings, clip_specs
from deft_llm.synth.video.frame_table import FRAME_AUS, intensities, movement_json

FILMS = {"film": "sequences", "clips": 2, "subjects": 1, "seed": 3, "size": 96, "seconds": 3.0}


def planned(seed: int, seconds: float = 9.0) -> Sequence:
    return plan_sequence(np.random.default_rng(seed), load_prior("facs"), fps=30.0, seconds=seconds)


def spoken(sequence: Sequence) -> list[tuple[float, float]]:
    return [(e["onset"], e["offset"]) for e in sequence.events if e["kind"] == "speech"]


@pytest.mark.parametrize("seed", range(8))
def test_movements_rise_are_held_and_released_in_the_table(seed: int) -> None:
    sequence = planned(seed)
    for movement in movement_json(sequence)["movements"]:
        for row in movement["aus"]:
            assert 0 <= row["onset"] <= row["apex"] <= row["offset"] < len(sequence.plan.times)
            both = np.maximum(*intensities(sequence, row["number"]))
            top = max(row["left"], row["right"])
            assert 0 < top <= INTENSITY + 1e-6
            if row["phase"] == "rise":
                assert both[row["onset"]] <= both[row["apex"]] + 1e-3
                if row["apex"] - row["onset"] > 2:
                    assert both[row["apex"]] > 0.6 * top
            elif row["offset"] - row["onset"] > 2 and not spoken(sequence):
                assert both[row["onset"]] > 0.6 * top and both[row["offset"]] < both[row["onset"]]


def test_films_hold_what_they_are_for() -> None:
    films = [planned(seed) for seed in range(120)]
    kinds = {event["kind"] for film in films for event in film.events}
    assert kinds >= {"speech", "blink", "closure", "wink", "gaze", "turn", "nod", "shake", "hand pass",
                     "hand touch", "camera shake"}  # fmt: skip
    rises = [row for film in films for movement in film.movements for row in movement.rows
             if row.phase == "rise"]  # fmt: skip
    assert {row.number for row in rises} >= {1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 20, 22, 23, 24}
    one_sided = np.mean([min(row.left, row.right) < 0.2 * max(row.left, row.right) for row in rises])
    assert 0.08 < one_sided < 0.4
    assert 0.15 < np.mean([bool(film.rest) for film in films]) < 0.55
    overlap = [
        any(
            a.rows[0].offset > b.rows[0].onset
            for a, b in zip(film.movements, film.movements[1:], strict=False)
        )
        for film in films
    ]
    assert np.mean(overlap) > 0.2
    turned = [np.degrees(np.abs(film.plan.turn[:, 0]).max()) for film in films]
    assert max(turned) > 15 and np.median(turned) < 12


def test_what_is_held_at_rest_is_no_part_of_the_truth() -> None:
    held = next(film for film in map(planned, range(60)) if 12 in film.rest)
    before = min(row.onset for movement in held.movements for row in movement.rows) if held.movements else 1.0
    calm = held.plan.times < min(before, 0.5)
    assert np.abs(np.stack(intensities(held, 12))[:, calm]).max() < 1e-6
    tracks = [curve for key, curve in held.plan.tracks.items() if not isinstance(key, str) and key.au == 12]
    assert min(float(curve[0]) for curve in tracks) > 0.05


def test_a_mouth_does_not_do_two_opposite_things() -> None:
    assert not compatible(24, [25]) and not compatible(26, [12, 28]) and compatible(12, [6, 25])


def test_plans_repeat() -> None:
    one, two = planned(5), planned(5)
    assert movement_json(one) == movement_json(two)
    assert all(np.array_equal(one.plan.tracks[key], two.plan.tracks[key]) for key in one.plan.tracks)


def test_lengths_that_cannot_be_made_are_refused() -> None:
    for change, word in (({"seconds": 1.0}, "--seconds"), ({"layout": "samm"}, "--layout")):
        with pytest.raises(UsageError, match=word):
            VideoSettings(**FILMS | change).check()
    assert {spec.fps for spec in clip_specs(VideoSettings(**FILMS | {"clips": 60}))} == {25, 30, 50, 60}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("moderngl")
    from deft_llm.synth.video.corpus import make_corpus

    out = tmp_path_factory.mktemp("films") / "corpus"
    make_corpus(out, VideoSettings(**FILMS))
    return out


def test_a_folder_of_films_is_a_corpus_with_a_table_a_frame(films: Path) -> None:
    from deft_llm.faces.video import frames

    corpus = corpora.load("synthetic", films)
    assert len(corpus.clips) == 2 and not corpus.faults
    for clip in corpus.clips:
        facts = clip.truth.attributes
        table = pd.read_csv(films / facts["frames_file"])
        pictures = [frame.image for frame in frames(films / clip.source.path)]
        assert len(table) == len(pictures) == round(3.0 * clip.fps)
        assert 15 < np.mean(pictures[0]) < 240
        wanted = {f"AU{au:02d}_{side}" for au in FRAME_AUS for side in ("L", "R", "sure")}
        assert set(table) >= wanted | {"lid_left", "lid_right", "yaw", "gaze_x", "speech", "hidden_mouth"}
        assert table[["lid_left", "lid_right"]].iloc[0].between(0.6, 1.4).all()
        told = json.loads((films / facts["movements_file"]).read_text())
        assert told["frames"] == len(table) and told["conditions"]["crf"] in (18, 26, 34)
        for event in clip.truth.events:
            assert 0 <= event["onset"] <= event["offset"] < len(table)


def test_a_blink_shuts_the_lids_in_the_table() -> None:
    pytest.importorskip("moderngl")
    from deft_llm.synth.core.identity import sample_identity
    from deft_llm.synth.video.assets import subject_of
    from deft_llm.synth.video.film import Performer
    from deft_llm.synth.video.frame_table import lid_opening

    performer = Performer(subject_of(sample_identity(900_003)), "arkit")
    film = next(f for f in map(planned, range(40)) if any(e.get("reach") == 1.0 for e in f.events))
    blink = next(event for event in film.events if event.get("reach") == 1.0)
    opening = lid_opening(film, performer)
    inside = (film.plan.times >= blink["onset"]) & (film.plan.times <= blink["offset"])
    assert opening[inside].min() < 0.45 * np.median(opening)


def test_a_hand_before_the_mouth_is_in_the_table(tmp_path: Path) -> None:
    pytest.importorskip("moderngl")
    from deft_llm.synth.core.identity import sample_identity
    from deft_llm.synth.video.assets import subject_of
    from deft_llm.synth.video.film import Performer
    from deft_llm.synth.video.hands import hand_at, hand_paths, hidden_shares
    from deft_llm.synth.video.prop_pass import Dressing
    from deft_llm.synth.video.render import Renderer
    from deft_llm.synth.video.scene import Scene

    subject = subject_of(sample_identity(900_003))
    performer, film = Performer(subject, "arkit"), planned(5, seconds=4.0)
    film.events = [{"kind": "hand touch", "onset": 1.0, "offset": 3.0, "side": "left", "place": "mouth"}]
    paths = hand_paths(film, subject, np.random.default_rng(1))
    renderer, scene = Renderer(), Scene(size=(160, 160), scale=62.0)
    renderer.load(subject)
    renderer.light_scene(scene)
    shares, drawn = [], []
    for frame in (0, 60):
        state = performer.state(film.plan, frame)
        hand = hand_at(paths, frame, float(film.plan.times[frame]), state)
        shares.append(hidden_shares(scene, state, hand, Dressing()))
        drawn.append([renderer.draw(state, hand).astype(int), renderer.draw(state).astype(int)])
    assert shares[0].max() == 0 and shares[1][2] > 0.5
    assert np.array_equal(*drawn[0]) and (np.abs(np.subtract(*drawn[1])).max(-1) > 25).mean() > 0.08


@pytest.mark.parametrize("what", ("glasses", "beard", "mask"))
def test_what_is_worn_is_seen_where_it_belongs(what: str) -> None:
    pytest.importorskip("moderngl")
    from deft_llm.synth.core.identity import sample_identity
    from deft_llm.synth.video import truth
    from deft_llm.synth.video.assets import subject_of
    from deft_llm.synth.video.film import Performer, still_plan
    from deft_llm.synth.video.hair import grow_beard
    from deft_llm.synth.video.prop_pass import Dressing
    from deft_llm.synth.video.props import make_glasses, make_mask
    from deft_llm.synth.video.render import Renderer
    from deft_llm.synth.video.scene import Scene

    subject = subject_of(sample_identity(900_003))
    rng = np.random.default_rng(3)
    dressing = {
        "glasses": lambda: Dressing(glasses=make_glasses(subject, rng)),
        "beard": lambda: Dressing(beard=grow_beard(subject.identity, subject.head, subject.vertices, "full")),
        "mask": lambda: Dressing(mask=make_mask(subject, rng)),
    }[what]()
    renderer, scene = Renderer(), Scene(size=(240, 240), scale=95.0)
    renderer.load(subject)
    renderer.light_scene(scene)
    state = Performer(subject, "arkit").state(still_plan({}), 0)
    bare = renderer.draw(state).astype(int)
    renderer.props.wear(dressing)
    renderer.light_scene(scene)
    worn = renderer.draw(state).astype(int)
    renderer.props.wear(Dressing())
    renderer.light_scene(scene)
    assert np.array_equal(renderer.draw(state), bare)
    changed = np.abs(worn - bare).max(-1) > 15
    places = dict(zip(truth.LANDMARKS, truth.landmarks(state, scene), strict=True))
    eyes, mouth, brow = (
        places[name][1] for name in ("left upper lid", "upper lip centre", "left middle brow")
    )
    iod = abs(places["left outer eye corner"][0] - places["right outer eye corner"][0])
    rows = np.flatnonzero(changed.any(1))
    assert changed.mean() > 0.01
    if what == "glasses":
        assert brow - 0.3 * iod < rows.min() < eyes < rows.max() < mouth
    else:
        assert eyes < rows.min() < mouth < rows.max()
