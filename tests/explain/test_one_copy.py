"""One analysis loads each part of a checkpoint once, however many stages use it; any checkpoint can read."""

from __future__ import annotations

import pytest
import torch

from deft_llm.explain import Analyzer
from deft_llm.model import deft, experts
from deft_llm.model.checkpoint import SHIPPED, read_checkpoint
from deft_llm.model.deft import DeftConfig, DeftModel
from deft_llm.model.language import tiny_backbone
from deft_llm.model.predictor import load_predictor


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The shipped motion expert beside random face experts and a small random language part."""
    config, tensors = read_checkpoint(SHIPPED)
    torch.manual_seed(0)
    model = DeftModel(
        DeftConfig(backbone="tiny-random", motion=config["motion"], lora_rank=2), *tiny_backbone()
    )
    own = {name: value for name, value in tensors.items() if name.startswith("motion.")}
    model.load_state_dict(own, strict=False)
    folder = tmp_path_factory.mktemp("one") / "ck"
    model.save_pretrained(folder, {"calibration": config["calibration"]})
    return folder


def test_an_analysis_holds_one_copy_of_every_part(checkpoint, smile_clip, monkeypatch):
    """Reading, answer, attribution and "what if": experts are built once, the language model
    is loaded once."""
    made: dict[str, int] = {}

    def counted(owner, name, label):
        original = getattr(owner, name)

        def wrapper(*arguments, **options):
            made[label] = made.get(label, 0) + 1
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, wrapper)

    for kind in (experts.MotionExpert, experts.StructureExpert, experts.TextureExpert):
        counted(kind, "__init__", kind.__name__)
    counted(deft, "load_backbone", "language model")
    analyzer = Analyzer.from_pretrained("deft", checkpoint=str(checkpoint), answers=True)
    question = "What if the brow had not moved?"
    analysis = analyzer.analyze(smile_clip, onset=30, apex=39, offset=52, question=question)
    analysis.attribute()
    assert analysis.readings[0].attribution is not None and analysis.question_answer
    assert made == {"MotionExpert": 1, "StructureExpert": 1, "TextureExpert": 1, "language model": 1}
    assert analyzer.method.predictor is load_predictor(checkpoint)


def test_a_checkpoint_of_ones_own_reads_videos(checkpoint, smile_clip, run, capsys, tmp_path):
    given = ("analyze", smile_clip, "--checkpoint", checkpoint)
    frames = ("--onset", 30, "--apex", 39, "--no-text", "--no-attribution")
    assert run(*given, *frames, "--out", tmp_path / "out") == 0
    assert load_predictor(checkpoint).folder == checkpoint, "it is the one that was loaded"
    other = tmp_path / "other.mp4"
    other.write_bytes(smile_clip.read_bytes())
    words = ("analyze", smile_clip, other, "--no-text", "--no-attribution", "--out", tmp_path / "two")
    assert run(*words, "--checkpoint", checkpoint) == 0 and run(*words, "--checkpoint", checkpoint) == 0
    assert "2 were there" in capsys.readouterr().out
    for more, said in ((("--fast",), "--checkpoint: no effect with --fast"),
                       (("--method", "rules"), "--checkpoint: no effect with --method rules")):  # fmt: skip
        assert run(*given, *more) == 2 and said in capsys.readouterr().err
    assert run("analyze", smile_clip, "--checkpoint", tmp_path) == 1
    assert str(tmp_path) in capsys.readouterr().err
