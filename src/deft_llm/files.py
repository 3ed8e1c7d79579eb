"""How every stage leaves its files (atomic writes) and reads them back (typed, one sentence on a fault)."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from deft_llm.errors import DeftError, UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel

MOST_PIXELS = 100_000_000
"""Pixels of the largest image or video frame that is decoded: a file's header cannot ask for more memory."""

Model = TypeVar("Model", bound="BaseModel")
MAKE_AGAIN = "make it again with the command that wrote it"
MEND_LINE = "mend or remove that line"
MOST_NODES = 20_000
MOST_YAML_BYTES = 1_000_000
PART = ".part"
SEAL = ".sha256"
PRODUCTS = {
    "store.json": "a store",
    "synth.json": "a corpus of 'deft synth'",
    "corpus.json": "a corpus of 'deft synth'",
    "build.json": "a build of 'deft unimer'",
    "config.yaml": "a training run",
    "model.safetensors": "a checkpoint",
    "benchmark.json": "a benchmark run",
    "summary.csv": "a comparison of runs",
    "report.json": "a validation",
    "result.json": "an analysis",
    "index.html": "an analysis of several videos",
}
"""The file by which the folder of each product is known."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it only when the block succeeds.

    What killed writers left in the folder is removed when this process first writes there. Raises: DeftError
    where the folder cannot be written or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent not in _CLEANED:
            _CLEANED.add(path.parent)
            remove_leftovers(path.parent)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.{_writer()}.", suffix=PART)
        os.close(handle)
    except OSError as error:
        raise DeftError(
            f"{path}: cannot be written ({error.strerror}); choose a folder that can be."
        ) from error
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise DeftError(
            f"{path}: writing failed ({error.strerror}); free disk space and run the command again."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _writer(pid: int | None = None) -> str:
    """Which process writes: host and process id, so that what a dead one left can be told."""
    return f"{socket.gethostname().replace('.', '-')}-{os.getpid() if pid is None else pid}"


_CLEANED: set[Path] = set()  # folders that this process has looked through for leftovers


def remove_leftovers(folder: Path) -> int:
    """Remove temporary files of writers of this machine that are dead (killed in mid-write); their number."""
    removed = 0
    host = _writer(0).rpartition("-")[0]
    for path in Path(folder).glob(f".*.*.*{PART}"):
        writer = path.name.rsplit(".", 3)[-3]  # .NAME.HOST-PID.RANDOM.part
        there, _, pid = writer.rpartition("-")
        if there == host and pid.isdigit() and not lives(int(pid)):
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def lives(pid: int) -> bool:
    """Whether a process of this machine has the id ``pid``."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True


def claim_folder(folder: Path, *own: str) -> Path:
    """``folder``, which a command writes its product into; ``own``: the files of PRODUCTS that mark it.

    Raises: UsageError for a file, and where another command's product lies there: the two would mix.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file where a folder is meant; choose another one.")
    for name, product in PRODUCTS.items():
        if name not in own and (folder / name).exists():
            raise UsageError(f"{folder}: holds {product} ({name}); choose another folder.")
    return folder


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON atomically; NaN is not JSON and raises ValueError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """Stream ``rows`` (dicts or pydantic models) to a JSON-lines file atomically; returns their number."""
    count = 0
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as handle:
        for row in rows:
            handle.write(json_line(row))
            count += 1
    return count


def csv_cell(value: object) -> str:
    """A cell of a CSV table: text that a spreadsheet would run as a formula gets a ' before it."""
    text = "" if value is None else str(value)
    if text[:1] not in ("=", "+", "-", "@", "\t", "\r"):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def plain_cell(cell: str) -> str:
    """A cell of a CSV table without the ' that ``csv_cell`` puts before what a spreadsheet would run."""
    return cell[1:] if cell[:2] in ("'=", "'+", "'-", "'@") else cell


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write ``columns`` of the rows as CSV, cells as ``csv_cell`` makes them, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([csv_cell(row.get(name)) for name in columns] for row in rows)
    write_text(path, text.getvalue())


def check_target(path: Path | None, suffixes: Sequence[str], kind: str) -> None:
    """Raises: UsageError for a path (None: none is wanted) that ends in none of ``suffixes``, as ``kind``
    says, or whose folder is not there."""
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{path}: {kind}; give such a name.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: its folder is not there; make it first.")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder where a file is meant; give another name.")
    if not os.access(path.absolute().parent, os.W_OK):
        raise UsageError(f"{path}: its folder cannot be written; choose another one.")


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path]) -> None:
    """Raises: UsageError where two of the ``outputs`` (option -> path, None: not wanted) are one file, or one
    is an input, by whatever name: writing it would destroy the other."""
    sources = [(source, real_path(source)) for source in inputs]
    taken: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        place = real_path(path)
        if place in taken:
            raise UsageError(f"{option} {path}: is what {taken[place]} writes; give another file.")
        taken[place] = option
        for source, real in sources:
            if place == real or (path.exists() and source.exists() and path.samefile(source)):
                raise UsageError(f"{option} {path}: is the input; give another file.")


def json_line(row: Any) -> str:
    """One JSON line, newline included, of a dict or a pydantic model."""
    if hasattr(row, "model_dump_json"):
        return row.model_dump_json() + "\n"
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def existing_file(path: Path) -> Path:
    """``path`` where it is a regular file (links are followed).

    Raises: DeftError for what is not there, a folder, and what reading would wait for or never end in (a
    named pipe, a socket, a device).
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise DeftError(f"{path}: no such file; check the path.") from error
    except (OSError, ValueError) as error:  # no right to look, a loop of links, a name too long or with \0
        raise DeftError(f"{path}: cannot be read ({_words(error)}); check the path.") from error
    if stat.S_ISDIR(mode):
        raise DeftError(f"{path}: is a folder where a file is meant; check the path.")
    if not stat.S_ISREG(mode):
        raise DeftError(f"{path}: is not a regular file (a pipe, socket or device); copy it to a file.")
    return path


def real_path(path: Path) -> Path:
    """``path`` from the root on, its links followed; a loop of links is for ``existing_file`` to refuse."""
    return Path(os.path.realpath(path))


@contextmanager
def reading(path: Path, mend: str = MAKE_AGAIN) -> Iterator[None]:
    """Read the file ``path`` within: whatever it is wrong with becomes "PATH: what is wrong; ``mend``".

    A MemoryError passes through: it says nothing about the file.
    """
    existing_file(path)
    try:
        yield
    except DeftError:
        raise
    except MemoryError:
        raise
    except Exception as error:
        raise DeftError(f"{path}: {_words(error)}; {mend}.") from error


def _words(error: Exception) -> str:
    """What is wrong, said for a reader of the message."""
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8 text"
    if isinstance(error, json.JSONDecodeError):
        return f"is not valid JSON (line {error.lineno}: {error.msg})"
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, EOFError):
        return "ends too early"
    if isinstance(error, KeyError):
        return f"lacks {error.args[0] if error.args else 'a key'}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    faults = getattr(error, "errors", None)  # of pydantic's ValidationError
    if callable(faults):
        first = faults()[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']}" if place else str(first["msg"])
    text = str(error).strip().splitlines()
    return f"cannot be read ({text[0] if text else type(error).__name__})"


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is not a finite number")
    return value


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""Half of a character, as JSON may escape it; two that belong together are one character."""


def decode_json(text: str) -> Any:
    """A JSON value of finite numbers and of texts that can be written again. Raises: ValueError."""
    value = _DECODER.decode(text)
    if _HALF.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("a text holds half of a character") from error
    return value


def read_json(path: Path, mend: str = MAKE_AGAIN) -> Any:
    """Read a JSON file of finite numbers. Raises: DeftError that names the file and the fault."""
    with reading(path, mend):
        return decode_json(Path(path).read_text(encoding="utf-8-sig"))


def read_object(path: Path, *, schema: int | None = None, mend: str = MAKE_AGAIN) -> dict[str, Any]:
    """Read a JSON file that holds one object, of a known ``schema`` where one is given. Raises: DeftError."""
    value = read_json(path, mend)
    if not isinstance(value, dict):
        raise DeftError(f"{path}: holds {_kind(value)} where an object is meant; {mend}.")
    _check_schema(value, schema, str(path), mend)
    return value


def read_model(model: type[Model], path: Path, *, schema: int | None = None, mend: str = MAKE_AGAIN) -> Model:
    """Read one record of a pydantic class from a JSON file. Raises: DeftError naming file, field, fault."""
    value = read_object(path, schema=schema, mend=mend)
    with reading(path, mend):
        return model.model_validate(value)


def read_jsonl(path: Path, mend: str = MEND_LINE) -> Iterator[dict[str, Any]]:
    """Stream the objects of a JSON-lines file. Raises: DeftError naming file and line."""
    for _, row in _numbered(path, mend):
        yield row


def read_rows(
    model: type[Model], path: Path, *, schema: int | None = None, mend: str = MEND_LINE
) -> Iterator[Model]:
    """Stream records of a pydantic class from a JSON-lines file. Raises: DeftError naming file and line."""
    for number, row in _numbered(path, mend):
        _check_schema(row, schema, f"{path}: line {number}", mend)
        try:
            yield model.model_validate(row)
        except ValueError as error:
            raise DeftError(f"{path}: line {number}: {_words(error)}; {mend}.") from error


def _numbered(path: Path, mend: str) -> Iterator[tuple[int, dict[str, Any]]]:
    existing_file(path)
    number = 0
    try:
        with Path(path).open("rb") as handle:
            for number, line in enumerate(handle, 1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if not text:
                    continue
                row = decode_json(text)
                if not isinstance(row, dict):
                    fault = f"holds {_kind(row)} where an object is meant"
                    raise DeftError(f"{path}: line {number} {fault}; {mend}.")
                yield number, row
    except json.JSONDecodeError as error:
        raise DeftError(f"{path}: line {number} is not valid JSON ({error.msg}); {mend}.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DeftError(f"{path}: line {number} {_words(error)}; {mend}.") from error


def _kind(value: Any) -> str:
    names = {list: "a list", dict: "an object", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _check_schema(value: dict[str, Any], schema: int | None, where: str, mend: str) -> None:
    found = value.get("schema", schema)
    if schema is not None and (isinstance(found, bool) or found != schema):
        raise DeftError(f"{where}: is of schema {found}, this version reads {schema}; {mend}.")


def read_yaml(path: Path, mend: str = "mend it") -> Any:
    """Read a YAML file of plain values, at most MOST_NODES of them with aliases written out.

    Raises: DeftError that names the file and the fault.
    """
    import yaml

    with reading(path, mend):
        if Path(path).stat().st_size > MOST_YAML_BYTES:
            raise DeftError(f"{path}: is larger than {MOST_YAML_BYTES} bytes; {mend}.")
        try:
            value = yaml.safe_load(Path(path).read_text(encoding="utf-8-sig"))
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f"line {mark.line + 1}: " if mark else ""
            fault = getattr(error, "problem", None) or "it is not YAML"
            raise DeftError(f"{path}: is not valid YAML ({line}{fault}); {mend}.") from error
        if _nodes(value, {}, set()) > MOST_NODES:
            raise DeftError(f"{path}: holds more than {MOST_NODES} values with its anchors; {mend}.")
        return value


def _nodes(value: Any, counted: dict[int, int], inside: set[int]) -> int:
    """Values in nested lists and dicts with shared ones counted each time (a cycle: without end)."""
    if not isinstance(value, dict | list):
        return 1
    place = id(value)
    if place in inside:
        return MOST_NODES + 1
    if place not in counted:
        inside.add(place)
        parts = value.values() if isinstance(value, dict) else value
        counted[place] = 1 + sum(_nodes(part, counted, inside) for part in parts)
        inside.discard(place)
    return counted[place]


@contextmanager
def open_tensors(path: Path, framework: str = "numpy", mend: str = MAKE_AGAIN) -> Iterator[Any]:
    """A safetensors file's handle (``keys``, ``get_tensor``, ``get_slice``, ``metadata``).

    Raises: DeftError for a file that is damaged, or lacks a tensor that is asked of it.
    """
    from safetensors import safe_open

    with reading(path, mend), safe_open(path, framework=framework) as handle:
        yield handle


def read_arrays(path: Path, mend: str = MAKE_AGAIN) -> dict[str, Any]:
    """All arrays of an .npz file, never objects. Raises: DeftError that names the file and the fault."""
    import numpy as np

    with reading(path, mend), np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def read_image(path: Path) -> Any:
    """An image as it is stored, (H, W) or (H, W, channels) of any type, channels in OpenCV's order (B, G, R).

    Raises: DeftError for what is no image, has more than MOST_PIXELS pixels, or holds values that are not
    finite numbers of 32 bits.
    """
    import cv2
    import numpy as np

    existing_file(path)
    try:
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except OSError as error:
        raise DeftError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
    except cv2.error as error:
        if error.code == cv2.Error.STS_NO_MEM:
            raise MemoryError(str(path)) from error
        raise DeftError(
            f"{path}: is damaged or has more than {MOST_PIXELS} pixels; give a whole, smaller image."
        ) from error
    if image is None:
        raise DeftError(f"{path}: is not an image that can be read; replace or remove it.")
    if image.dtype.kind == "f":
        return as_float32(image, path)
    return image


def as_float32(array: Any, path: Path) -> Any:
    """``array`` as float32. Raises: DeftError where a value is not finite in it."""
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        found = np.asarray(array, np.float32)
    if not np.isfinite(found).all():
        raise DeftError(f"{path}: holds values that are not finite numbers of 32 bits; make it again.")
    return found


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with reading(path, "check the path"), Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def seal(path: Path, *more: Path) -> None:
    """Write beside ``path`` (PATH.sha256) what it and ``more`` hold: the last step of a piece of work."""
    write_text(seal_file(path), _content((path, *more)))


def is_whole(path: Path, *more: Path) -> bool:
    """Whether a piece of work is there as ``seal`` left it; what cannot be read is not.

    One without a seal (the kill came just before it, or an earlier version made it) is sealed now.
    """
    files = (path, *more)
    if not all(file.is_file() for file in files):
        return False
    mark = seal_file(path)
    if not mark.is_file():
        seal(*files)
        return True
    try:
        return mark.read_bytes() == _content(files).encode("ascii")
    except (OSError, DeftError):
        return False


def seal_file(path: Path) -> Path:
    """Where the seal of a file lies."""
    return path.with_name(f"{path.name}{SEAL}")


def _content(files: Iterable[Path]) -> str:
    return digest([[file.name, sha256_of(file)] for file in files], 64) + "\n"


def digest(value: Any, length: int = 16) -> str:
    """Short hex digest of a JSON-able value, stable across runs: names settings and identities."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:length]
