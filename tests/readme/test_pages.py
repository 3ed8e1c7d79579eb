"""Code of how-to pages is run, links of all documents lead somewhere, every page is in the index."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from deft_llm.corpora import base
from deft_llm.methods import protocol
from deft_llm.motion.measure import motion_from_flow

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def block(page: str) -> str:
    """The first Python block of a page."""
    return re.search(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.M | re.S).group(1)


def test_the_loader_of_own_corpus(tmp_path, monkeypatch):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.mp4").touch()
    (tmp_path / "labels.csv").write_text("person,film,emotion\nann,a,happiness\nben,b,anger\n")
    monkeypatch.setattr(base, "_ENTRIES", {})
    exec(block("how-to/own-corpus.md"), {})
    corpus = base.load("ourlab", tmp_path)
    assert [(clip.clip_id, clip.coarse) for clip in corpus.clips] == [("ourlab/ann/a", "positive")]
    assert len(corpus.faults) == 1


def test_the_method_of_own_method(tmp_path, monkeypatch):
    module = types.ModuleType("nearest_mean")
    exec(block("how-to/own-method.md"), module.__dict__)
    monkeypatch.setitem(sys.modules, "nearest_mean", module)
    monkeypatch.setitem(protocol.METHODS, "nearest_mean", "nearest_mean")
    rng = np.random.default_rng(0)

    def sample(number: int, label: str | None) -> protocol.Sample:
        flow = rng.normal(0, 0.1, (1, 2, 28, 28)).astype(np.float32)
        flow[0, 1] += -1 if number % 2 else 1
        name = f"x/{number}"
        motion = motion_from_flow(name, flow, units="relative")
        return protocol.Sample(name, "x", f"x/{number}", lambda: motion, label=label)

    method = protocol.build_method("nearest_mean", protocol.Task())
    method.fit([sample(n, ("negative", "positive")[n % 2]) for n in range(8)], [], seed=0, workdir=tmp_path)
    found = method.predict([sample(n, None) for n in range(8)])
    assert all(abs(sum(row.probabilities.values()) - 1) < 1e-6 for row in found)
    assert {max(row.probabilities, key=row.probabilities.get) for row in found} == {"negative", "positive"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_somewhere(page):
    text = page.read_text()
    gone = [link for link in LINK.findall(text) if "://" not in link and not (page.parent / link).exists()]
    root = DOCS.parent
    gone += [name for name in re.findall(r"\bdocs/[\w/-]+\.(?:md|ipynb)", text) if not (root / name).exists()]
    assert not gone


def test_every_page_is_in_the_index():
    index = (DOCS / "README.md").read_text()
    pages = [str(page.relative_to(DOCS)) for page in PAGES if page.name != "README.md"]
    assert not [page for page in pages if f"({page})" not in index]


def test_scripts_that_documents_name_are_there():
    root = DOCS.parent
    texts = [*PAGES, root / "README.md", root / "configs" / "README.md", *root.glob("benchmarks/*.py")]
    named = {
        name
        for page in texts
        for name in re.findall(r"-m ((?:benchmarks|recipes|deft_llm)[.\w]+)", page.read_text())
    }
    files = {
        name: root / ("src" if name.startswith("deft_llm") else ".") / name.replace(".", "/")
        for name in named
    }
    assert len(named) > 20
    missing = [
        name for name, path in files.items() if not (path.is_dir() or path.with_suffix(".py").is_file())
    ]
    assert missing in ([], ["benchmarks.NAME"])


def test_files_that_documents_name_are_there():
    root = DOCS.parent
    gone = set()
    for page in PAGES:
        for name in re.findall(r"`((?:[\w-]+/)+[\w-]+\.(?:py|yaml|json))`", page.read_text()):
            made = name.startswith(("RUN/", "truth/"))
            if not made and not any((base / name).is_file() for base in (root, root / "src" / "deft_llm")):
                gone.add(f"{page.name}: {name}")
    assert not gone
