"""One Analyzer reads many movements and videos: with and without an end, and of one file name."""

import numpy as np

from deft_llm.explain import Analyzer
from deft_llm.explain.samples import warp_field
from deft_llm.faces.regions import CANONICAL_LANDMARKS
from deft_llm.methods.protocol import Sample
from deft_llm.motion.measure import motion_from_flow


def motion(au, phases):
    field = np.moveaxis(warp_field(CANONICAL_LANDMARKS, au, "both", (224, 224)), -1, 0)
    return motion_from_flow(f"test/pure/{au}", np.stack([field, -field][:phases]), units="px")


def predict(method, name, *given):
    one = motion(*given)
    return method.predict([Sample(name, "video", "video/a", lambda: one, one.has)])[0]


def test_movements_with_and_without_an_end_after_each_other():
    method = Analyzer.from_pretrained("deft", answers=False).method
    first = predict(method, "video/a/1.1", 12, 2)
    second = predict(method, "video/a/1.2", 4, 1)
    third = predict(method, "video/a/1.3", 12, 2)
    assert first.probabilities == third.probabilities != second.probabilities


def test_two_videos_of_one_name_are_two(tmp_path, make_frames, monkeypatch):
    from deft_llm.explain.samples import Injected, save_video

    analyzer = Analyzer.from_pretrained("rules")
    seen = []
    original = analyzer.method.predict
    monkeypatch.setattr(analyzer.method, "predict", lambda samples: seen.extend(samples) or original(samples))
    frames = make_frames([Injected(12, "right", 3, 9, 17, 2.0)], 20)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        analyzer.analyze(save_video(tmp_path / folder / "face.mp4", frames, 50.0), onset=3, apex=9, offset=17)
    assert len({sample.clip_id for sample in seen}) == 2
