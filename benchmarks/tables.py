"""Puts measured tables into a document, between the marks that name them.

    python -m benchmarks.tables docs/results/benchmarks.md NAME=comparison/summary.csv [NAME=FILE.csv ...]
        [--columns run,score] [--where against=majority]

``<!-- begin NAME -->`` ... ``<!-- end NAME -->`` is replaced by the CSV as a Markdown table; a name without
marks is an error, so that no figure is typed by hand.
"""

from __future__ import annotations

import argparse
import csv
import re
from pathlib import Path

from deft_llm.evaluation.report import Table, markdown_table
from deft_llm.files import plain_cell, write_text


def main() -> None:
    """Replace the named tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("document", type=Path)
    parser.add_argument("tables", nargs="+", metavar="NAME=FILE.csv")
    parser.add_argument("--columns", help="only these columns, separated by commas")
    parser.add_argument("--where", metavar="COLUMN=TEXT", help="only rows whose column is this")
    arguments = parser.parse_args()
    text = arguments.document.read_text(encoding="utf-8")
    for word in arguments.tables:
        name, _, file = word.partition("=")
        with Path(file).open(newline="", encoding="utf-8") as handle:
            head, *rows = [[plain_cell(cell) for cell in row] for row in csv.reader(handle)]
        if arguments.where:
            column, _, wanted = arguments.where.partition("=")
            rows = [row for row in rows if row[head.index(column)] == wanted]
        if arguments.columns:
            places = [head.index(column) for column in arguments.columns.split(",")]
            head, rows = [head[i] for i in places], [[row[i] for i in places] for row in rows]
        block = f"<!-- begin {name} -->\n{markdown_table(Table(name, name, head, rows))}\n<!-- end {name} -->"
        text, count = re.subn(
            rf"<!-- begin {re.escape(name)} -->.*?<!-- end {re.escape(name)} -->",
            lambda _, b=block: b,
            text,
            flags=re.S,
        )
        if count != 1:
            raise SystemExit(f"{arguments.document}: {count} places are marked {name}; mark exactly one.")
    write_text(arguments.document, text)


if __name__ == "__main__":
    main()
