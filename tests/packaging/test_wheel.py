"""The wheel, installed outside the checkout, does the main job: nothing that it needs was left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from deft_llm.files import sha256_of

CHECKOUT = Path(__file__).parents[2]
DATA = {".npz", ".yaml", ".json", ".safetensors", ".j2", ".css", ".js"}


def run(*words: str | Path, cwd: Path) -> str:
    """Standard output of a command that must succeed, the checkout out of its reach."""
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of what git tracks, built in a copy so that the checkout stays clean."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    names = run("git", "ls-files", "-z", "src", "pyproject.toml", "README.md", "LICENSE", cwd=CHECKOUT)
    for name in filter(None, names.split("\0")):
        if (CHECKOUT / name).is_file():
            place = source / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes((CHECKOUT / name).read_bytes())
    run(
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        folder / "dist",
        source,
        cwd=folder,
    )
    return next((folder / "dist").glob("*.whl"))


@pytest.mark.slow
def test_wheel_holds_all_package_data(wheel):
    tracked = run("git", "ls-files", "-z", "src/deft_llm", cwd=CHECKOUT).split("\0")
    wanted = {name.removeprefix("src/") for name in tracked if Path(name).suffix in DATA}
    assert any(name.endswith(".npz") for name in wanted)
    held = set(zipfile.ZipFile(wheel).namelist())
    assert wanted <= held, sorted(wanted - held)
    assert not [name for name in held if name.startswith("tests")]


@pytest.mark.slow
def test_installed_wheel_analyses_a_video(wheel, tmp_path):
    from deft_llm.explain.samples import Injected, living_portrait, save_video

    venv.create(tmp_path / "clean", with_pip=False)
    python = tmp_path / "clean" / "bin" / "python"
    home = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    )
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=tmp_path,
    )
    # Dependencies come from the environment that tests, appended: the wheel's own package is found first. The
    # line is a plain path, so .pth files over there (the editable install) are not read.
    (home / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = run(python, "-c", "import deft_llm; print(deft_llm.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(home), where
    clip = tmp_path / "smile.mp4"
    save_video(clip, living_portrait([Injected(12, "right", 30, 38, 47, 1.5)], 75, fps=50.0, drift=0.5), 50.0)
    deft = tmp_path / "clean" / "bin" / "deft"
    result = json.loads(run(deft, "analyze", clip, "--json", "--out", tmp_path / "out", cwd=tmp_path))
    best = result["movements"][0]
    assert best["kind"] == "micro-expression", (sha256_of(clip), best)
    assert abs(best["apex"] - 38) <= 3
    assert 12 in [row["au"] for row in best["evidence"]]
    assert "<svg" in (tmp_path / "out" / "report.html").read_text()
