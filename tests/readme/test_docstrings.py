"""Public functions that return arrays name the shape."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src" / "deft_llm").rglob("*.py"))
ARRAY = re.compile(r"\b(?:ndarray|Tensor)\b")
SIDE = r"[\w.' *+/-]+"
SHAPE = re.compile(
    rf"\((?:{SIDE},)+(?: ?{SIDE})?(?:\[, 3\])?\)|\(N\)|\bscalar\b|of the shapes? (?:of|that)|\(\.\.\., "
)


def array_functions(tree: ast.AST, holder: str = "") -> Iterator[tuple[ast.FunctionDef, str]]:
    """Public functions and methods that return arrays, each with its docstring; ``forward`` of a network with
    that of its class too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from array_functions(node, ast.get_docstring(node) or "")
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.returns:
            returned = ast.unparse(node.returns)
            if ARRAY.search(returned) and not re.search(r"dict\[|Callable", returned):
                own = ast.get_docstring(node) or ""
                yield node, own + (holder if node.name == "forward" else "")


def test_shapes_of_returned_arrays_are_named() -> None:
    silent, count = [], 0
    for path in SOURCES:
        for node, said in array_functions(ast.parse(path.read_text(encoding="utf-8"))):
            count += 1
            if not SHAPE.search(said):
                silent.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {said[:80]!r}")
    assert count > 150 and not silent, "\n".join(silent)


def test_a_function_without_a_shape_is_noticed() -> None:
    text = 'def f() -> np.ndarray:\n    """Curves of all regions."""\ndef g() -> Tensor:\n    """(N, 3) x."""'
    assert [bool(SHAPE.search(said)) for _, said in array_functions(ast.parse(text))] == [False, True]
