"""The tutorial runs from top to bottom, and what is stored ran too."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="pip install 'deft-llm[dev]'")
TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial" / "tutorial.ipynb"


def test_stored_notebook_was_executed_without_a_fault():
    book = nbformat.read(TUTORIAL, 4)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    assert not any(out.output_type == "error" for cell in cells for out in cell.outputs)
    text = TUTORIAL.read_text()
    assert "AU12" in text
    for secret in ("/root/", "/work/", "/home/"):
        assert secret not in text


@pytest.mark.slow
def test_notebook_runs(tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="pip install 'deft-llm[dev]'")
    book = nbformat.read(TUTORIAL, 4)
    nbclient.NotebookClient(book, timeout=600, kernel_name="python3",
                            resources={"metadata": {"path": str(tmp_path)}}).execute()  # fmt: skip
    last = [cell for cell in book.cells if cell.cell_type == "code"]
    assert any("micro-expression" in str(cell.outputs) for cell in last)
