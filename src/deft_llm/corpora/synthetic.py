"""The corpus that ``deft synth`` makes: records.jsonl beside the frames."""

from __future__ import annotations

from deft_llm.corpora.base import Corpus, Request, loader
from deft_llm.errors import DeftError
from deft_llm.files import read_object, read_rows
from deft_llm.records import SCHEMA, Clip

MAKE_AGAIN = "make the corpus again with deft synth"


@loader(
    "synthetic", "Rendered faces with exact truth, made by `deft synth` (records.jsonl, frames/, truth/)."
)
def load(request: Request) -> Corpus:
    """Read a folder that ``deft synth`` made. Raises: DeftError for an unfinished or older corpus."""
    root = request.root
    marker = root / "corpus.json"
    if not marker.is_file():
        raise DeftError(
            f"{root}: holds no synthetic corpus (no corpus.json); make one with `deft synth {root}`."
        )
    read_object(marker, schema=SCHEMA, mend=MAKE_AGAIN)
    records = request.annotations or root / "records.jsonl"
    if not records.is_file():
        raise DeftError(f"{root}: the corpus is not finished; run the same `deft synth` command again.")
    corpus = Corpus("synthetic", root, coding="simulated coder")
    for clip in read_rows(Clip, records, schema=SCHEMA, mend=MAKE_AGAIN):
        corpus.clips.append(clip)
        source = root / clip.source.path
        if not source.exists():
            corpus.fault(
                "missing-frames", f"{clip.source.path} is not there.", clip.clip_id, clip.source.path
            )
    return corpus
