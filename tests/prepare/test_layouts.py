"""deft synth --layout X, read by X's own loader, is the synthetic corpus: same records and motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deft_llm.cli import main
from deft_llm.corpora import load
from deft_llm.prepare import prepare, prepare_corpus


def synth(out: Path, layout: str) -> None:
    words = f"synth {out} --layout {layout} --clips 1 --subjects 1 --seed 7 --size 160"
    with pytest.raises(SystemExit) as end:
        main([*words.split(), *["--negatives", "0", "--lures", "0", "--long-videos", "0", "--json"]])
    assert not end.value.code


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["casme2", "samm", "smic", "casme3", "folder"])
def test_layout(layout, tmp_path):
    synth(tmp_path / "corpus", layout)
    real, own = load(layout, tmp_path / "corpus"), load("synthetic", tmp_path / "corpus")
    assert [fault for fault in real.faults if fault.severity == "fault"] == []
    ((read,), (made,)) = real.clips, own.clips
    assert read.source.path == made.source.path
    count = len(read.source.frames)
    assert read.source.frames == made.source.frames[:count]
    # casme3's clips are cut out of a video with a tenth of a second around them; the others are whole
    assert count == (made.offset + 4 if layout == "casme3" else len(made.source.frames))
    assert (read.fps, read.coarse) == (made.fps, made.coarse)
    if layout == "smic":  # no onset, apex, AUs are annotated there: the folder's first and last frame
        assert (read.onset, read.apex, read.aus) == (0, None, None)
        made.onset, made.apex, made.offset = 0, None, len(made.source.frames) - 1
    else:
        assert [unit.number for unit in read.aus] == [unit.number for unit in made.aus]
    assert (read.onset, read.apex, read.offset) == (made.onset, made.apex, made.offset)
    one = prepare(layout, tmp_path / "corpus", tmp_path / "one")
    two = prepare_corpus(own, tmp_path / "two").store
    assert one.clips[0].apex == two.clips[0].apex is not None
    for name in ("flow", "strain", "faces", "landmarks", "dynamic"):
        seen = (getattr(store.motion(store.clips[0].clip_id), name) for store in (one, two))
        np.testing.assert_array_equal(*seen)
