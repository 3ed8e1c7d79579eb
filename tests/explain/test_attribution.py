"""Attributions sum to what they explain and find the motion."""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from deft_llm.explain.attribution import attribute, attribution_overlay, removals
from deft_llm.explain.region_overlay import region_overlay, regions_of
from deft_llm.model.deft import DeftConfig, DeftModel
from deft_llm.model.inputs import batch_of
from deft_llm.model.predictor import Predictor, load_predictor
from deft_llm.motion.measure import measure_clip
from deft_llm.records import COARSE, Evidence


@pytest.fixture(scope="module")
def motion(make_frames):
    from deft_llm.explain.samples import Injected

    frames = make_frames([Injected(12, "right", 2, 11, 24, 1.5)], 28)
    from deft_llm.faces.video import Frame

    stream = [Frame(i, i / 50, image) for i, image in enumerate(frames)]
    return measure_clip(stream, onset=2, apex=11, offset=24, fps=50.0, clip_id="test/a/b")


@pytest.fixture(scope="module")
def found(motion):
    return attribute(motion)


def test_attributions_are_complete(found):
    assert found.sources[0].name == f"class {found.label}"
    for source in found.sources:
        assert source.error < 0.05
        assert sum(source.regions.values()) == pytest.approx(source.grid.sum() / source.gain, rel=1e-3)


def test_au_rests_on_the_side_that_moved():
    """A pure flow on the subject's right (image left), nothing elsewhere: all that counts lies there."""
    from deft_llm.explain.samples import warp_field
    from deft_llm.faces.regions import CANONICAL_LANDMARKS
    from deft_llm.motion.measure import motion_from_flow

    field = warp_field(CANONICAL_LANDMARKS, 12, "right", (224, 224))
    pure = motion_from_flow("test/pure/flow", np.moveaxis(field, -1, 0)[None], units="px")
    for source in attribute(pure).sources:
        size = np.abs(source.grid)
        assert size[:, :14].sum() > 4 * size[:, 14:].sum()


def test_removal_is_measured(found):
    assert set(found.without) == {
        "all motion", "flow direction", "strain", "region table", "return phase", "structure expert",
        "texture expert",
    }  # fmt: skip
    assert found.without["all motion"] != pytest.approx(found.probability, abs=1e-3)


def test_the_class_that_is_explained_is_the_class_that_is_shown(motion, found):
    """Class, its probability and the strongest AU are those of the one readout, crops and mirror included."""
    from deft_llm.methods.protocol import Sample, Task, build_method

    method = build_method("deft", Task(), zero_shot=True)
    (row,) = method.predict([Sample("test/a/b", "test", "test/a", lambda: motion)])
    assert found.label == row.label
    assert found.probability == pytest.approx(row.probabilities[row.label], abs=1e-4)
    predictor = load_predictor()
    readout = predictor.read_motions([motion])
    clip = batch_of(*predictor.inputs_of([motion]))
    with torch.no_grad():
        still = predictor.read_batch(replace(clip, maps=torch.zeros_like(clip.maps)))
    index = COARSE.index(found.label)
    gain = float(readout.coarse[0, index] - still.coarse[0, index])
    assert found.sources[0].gain == pytest.approx(gain, abs=1e-3)


def test_the_class_is_explained_as_it_is_held_to_the_measurement(motion, found):
    """Without the units that the measurement states it is the experts' own."""
    from deft_llm.methods.protocol import Sample, Task, build_method

    held = copy(motion)
    held.stated = {1: (0.97, 0.97), 2: (0.97, 0.97), 12: (0.03, 0.03)}
    method = build_method("deft", Task(), zero_shot=True)
    (row,) = method.predict([Sample("test/a/b", "test", "test/a", lambda: held, stated=held.stated)])
    told = attribute(held)
    assert told.label == row.label != found.label
    assert told.probability == pytest.approx(row.probabilities[row.label], abs=1e-4)
    assert told.without["stated units"] < 0.5 < told.probability
    assert {"AU1", "AU2"} <= {source.name for source in told.sources}


def test_face_experts_are_removed_one_by_one(motion):
    """With untrained corrections of the face experts: each one's removal changes what it contributes to."""
    torch.manual_seed(0)
    model = DeftModel(DeftConfig(motion=load_predictor().config["motion"]))
    torch.nn.init.normal_(model.fusion.out.weight, std=0.3)
    predictor = Predictor(model)
    batch = batch_of(*predictor.inputs_of([motion]))
    with torch.no_grad():
        whole = float(predictor.read_batch(batch).coarse.exp()[0, 0])
    found = removals(predictor, batch, 0, {})
    for name in ("structure expert", "texture expert"):
        assert abs(found[name] - whole) > 1e-3


def test_json_and_report_hold_them(smile_clip):
    import re

    from deft_llm.claims import find_claims
    from deft_llm.explain import Analyzer
    from deft_llm.explain.report import render_report
    from deft_llm.methods.protocol import digests_of

    analyzer = Analyzer.from_pretrained("deft")
    analysis = analyzer.analyze(smile_clip)
    assert analysis.to_dict()["movements"][0]["attribution"] is None, "on demand"
    assert "What this answer rests on" not in render_report(analysis)
    record = analysis.attribute().to_dict()
    assert record["checkpoint"] == digests_of(analyzer.method)
    first = record["movements"][0]["attribution"]
    assert first["sources"][0]["name"].startswith("class ") and first["without"]["all motion"] >= 0
    assert all(source["integration_error"] < 0.1 for source in first["sources"])
    assert record["seconds"]["attribution"] > 0 and record["movements"][-1].keys() >= {"attribution"}
    page = re.sub(r"<style.*?</style>|<svg.*?</svg>|<[^>]+>", " ", render_report(analysis), flags=re.S)
    assert "What this answer rests on" in page and "integrated gradients" in page
    assert "Taken away" in page and find_claims(page) == []
    read_with = record["checkpoint"]
    assert f"checkpoint: weights {read_with['weights']}, config {read_with['config']}." in page


def test_pictures(motion, found):
    row = Evidence(au=12, side="right", part=None, region="mouth corner", direction="up-lateral", dx=-1,
                   dy=-1, px=1.0, iod_percent=2.0, z=8, phase="onset-apex", support=0.9, status="supported",
                   reason="")  # fmt: skip
    assert regions_of(row) == ["right mouth corner"]
    for picture in (attribution_overlay(motion, found.sources[0]), region_overlay(motion, row)):
        assert picture.shape == (448, 448, 3) and picture.dtype == np.uint8 and picture.std() > 10
