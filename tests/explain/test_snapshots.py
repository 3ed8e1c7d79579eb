"""Pictures of movements that were not measured: each under its own frame."""

from types import SimpleNamespace

import numpy as np

from deft_llm.explain import snapshots
from deft_llm.explain.report import _pictures
from deft_llm.explain.result import MovementReading
from deft_llm.faces.video import Frame
from deft_llm.spotting.movement import Movement


def test_an_apex_without_its_onset_is_no_onset(monkeypatch):
    movement = Movement("movement", 2, 5, None, 0.1, 0.2, None, None, 1.0)
    landmarks = np.ones((8, 4, 2))
    landmarks[2] = np.nan  # the onset's face was not found
    watched = SimpleNamespace(tracks={1: SimpleNamespace(landmarks=landmarks)})
    monkeypatch.setattr(snapshots, "_face", lambda frame, points: frame.image if np.isfinite(points).all()
                        else None)  # fmt: skip
    film = lambda first, stop: (  # noqa: E731
        Frame(at, at / 25, np.full((224, 224, 3), at, np.uint8)) for at in range(first, stop)
    )
    found = snapshots.pictured({0: movement}, watched, film)
    assert list(found[0]) == [5] and found[0][5][0, 0, 0] == 5
    shown = _pictures(MovementReading(movement, pictures=found[0]))
    assert [(title, text) for title, text, _ in shown] == [("Apex", "frame 5")]
