"""The corpus that ``deft synth`` makes: records.jsonl beside the frames."""

from __future__ import annotations

from pydantic import ValidationError

from deft_llm.corpora.base import Corpus, Request, loader
from deft_llm.errors import DeftError
from deft_llm.files import read_json, read_jsonl
from deft_llm.records import SCHEMA, Clip


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
    about = read_json(marker)
    if about.get("schema") != SCHEMA:
        raise DeftError(
            f"{marker}: schema {about.get('schema')}, not {SCHEMA}; make the corpus again with deft synth."
        )
    records = request.annotations or root / "records.jsonl"
    if not records.is_file():
        raise DeftError(f"{root}: the corpus is not finished; run the same `deft synth` command again.")
    corpus = Corpus("synthetic", root, coding="simulated coder")
    for number, row in enumerate(read_jsonl(records), 1):
        try:
            clip = Clip.model_validate(row)
        except ValidationError as error:
            first = error.errors()[0]
            raise DeftError(
                f"{records}: line {number} is no clip record "
                f"({'.'.join(map(str, first['loc']))}: {first['msg']}); "
                "make the corpus again with deft synth."
            ) from error
        corpus.clips.append(clip)
        source = root / clip.source.path
        if not source.exists():
            corpus.fault(
                "missing-frames", f"{clip.source.path} is not there.", clip.clip_id, clip.source.path
            )
    return corpus
