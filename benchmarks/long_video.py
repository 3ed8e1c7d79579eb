"""An hour of video against two minutes: peak memory, speed, and what a kill in the middle changes.

    python -m benchmarks.long_video WORK [--minutes 2 60] [--fps 3] [--kill-at 0.5] [--fast] [--replay]
    python -m benchmarks.long_video WORK --minutes 2 60 --fps 25 --tracks

Films a portrait with movements for two minutes and repeats that film, packet by packet, to the other lengths.
Each is analysed by ``deft analyze`` with --frames, --table and --overlay, in a process of its own whose
highest resident memory and CPU time the system tells; frames a second are those of CPU time, less what a film
of two seconds takes (loading). With --kill-at the longest is analysed once more, ended by SIGKILL at that
share of the undisturbed run's CPU time, run again, and its tables compared byte by byte. What is there
already is not made again.

--replay: a frame that was seen before gets the landmarks that it had; finding them is most of the time and
none of the growth, so a busy machine can afford an hour. --tracks: no video at all, the landmarks of four
seconds are repeated with noise of their own: what is worked out of them (state, movements, tables), at a full
rate.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from deft_llm.cli import main as deft
from deft_llm.explain.samples import Injected, living_portrait, portrait, save_video
from deft_llm.explain.tables import write_table
from deft_llm.faces.landmarker import Face, Landmarker, default_landmarker
from deft_llm.faces.video import Frame
from deft_llm.files import atomic_path, read_object, write_json
from deft_llm.spooled import Recorded, loaded
from deft_llm.spotting.joint import joint_movements
from deft_llm.spotting.watch import watch
from deft_llm.state.face_state import state_of, table_parts
from deft_llm.state.track import IN_MEMORY, FaceTrack, empty_row

SIDE = 240  # px of the picture
SECONDS, BRIEF = 120, 2
# AU, side, onset and apex and offset (s), px of the warp: what a face does in two minutes.
MOVEMENTS = ((12, "both", 8, 8.6, 10, 5.0), (1, "both", 25, 25.6, 27, 5.0), (4, "both", 41, 41.6, 43, 4.0),
             (15, "both", 60, 60.6, 62, 5.0), (12, "left", 78, 78.6, 80, 6.0),
             (26, "both", 95, 95.6, 97, 6.0), (2, "right", 110, 110.6, 112, 5.0))  # fmt: skip
REPLAY, TRACKS = "--replay", "--tracks"
TABLES = ("frames.csv", "all.csv")


def film(path: Path, fps: float, seconds: float) -> Path:
    """The first ``seconds`` of two minutes of the portrait."""
    if not path.is_file():
        image = cv2.resize(portrait(), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        done = [
            Injected(au, side, round(onset * fps), round(apex * fps), round(offset * fps), px)
            for au, side, onset, apex, offset, px in MOVEMENTS
        ]
        frames = living_portrait(done, round(SECONDS * fps), fps=fps, image=image)
        save_video(path, islice(frames, round(seconds * fps)), fps, quality=24)
    return path


def repeated(source: Path, path: Path, times: int) -> Path:
    """The film ``times`` times in a row; its packets are copied, nothing is coded again."""
    import av

    if path.is_file():
        return path
    with atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4") as target:
        stream, shift = None, 0
        for _ in range(times):
            with av.open(str(source)) as container:
                own = container.streams.video[0]
                stream = stream or target.add_stream_from_template(own)
                for packet in container.demux(own):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    target.mux(packet)
                shift += own.duration
    return path


def analysed(video: Path, out: Path, more: Sequence[str], kill_after: float | None = None) -> dict[str, Any]:
    """Run the command; MiB, CPU and wall seconds of its process. ``kill_after``: CPU seconds."""
    out.mkdir(parents=True, exist_ok=True)
    program = ["-m", "deft_llm.cli"]
    if REPLAY in more:
        program, more = [__file__, REPLAY], [word for word in more if word != REPLAY]
    command = [
        sys.executable, *program, "analyze", str(video), "--out", str(out),
        "--frames", str(out / TABLES[0]), "--table", str(out / TABLES[1]),
        "--overlay", str(out / "overlay.mp4"), *more,
    ]  # fmt: skip
    started = time.perf_counter()
    with (out / "log.txt").open("a") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
        if kill_after is not None:
            while child.poll() is None and _cpu_of(child.pid) < kill_after:
                time.sleep(1.0)
            child.send_signal(signal.SIGKILL)
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if kill_after is None and child.returncode:
        raise SystemExit(f"{out / 'log.txt'}: the command failed ({child.returncode})")
    return {
        "peak_mib": round(used.ru_maxrss / 1024, 1), "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "wall_s": round(time.perf_counter() - started, 1), "killed": child.returncode == -signal.SIGKILL,
    }  # fmt: skip


def replayed() -> None:
    """From now on a frame's landmarks are looked for once."""
    known: dict[bytes, Face | None] = {}
    track = Landmarker.track

    def remembered(self: Landmarker, image: np.ndarray, previous: Face) -> Face | None:
        key = hashlib.blake2b(image, digest_size=16).digest()
        if key not in known:
            known[key] = track(self, image, previous)
        return known[key]

    Landmarker.track = remembered  # type: ignore[method-assign]


def _cpu_of(pid: int) -> float:
    """CPU seconds that a process has used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def frames_in(out: Path) -> int:
    return sum(1 for _ in (out / TABLES[0]).open()) - 1


def measured(work: Path, minutes: float, fps: float, seconds: float, more: Sequence[str]) -> dict[str, Any]:
    """The undisturbed run of one length, made or found."""
    kept = work / f"{minutes:g}.json"
    if not kept.is_file():
        short = film(work / "film.mp4", fps, seconds)
        video = repeated(short, work / f"{minutes:g}min.mp4", round(minutes * 60 / seconds))
        found = analysed(video, work / f"{minutes:g}", more)
        brief = analysed(film(work / "brief.mp4", fps, BRIEF), work / "brief", more)
        frames = frames_in(work / f"{minutes:g}")
        rate = (frames - frames_in(work / "brief")) / (found["cpu_s"] - brief["cpu_s"])
        speed = {"frames": frames, "loading_cpu_s": brief["cpu_s"], "frames_per_cpu_s": round(rate, 2)}
        write_json(kept, {"minutes": minutes, **found, **speed})
    return read_object(kept)


def killed(work: Path, minutes: float, share: float, more: Sequence[str]) -> dict[str, Any]:
    """The run that is ended in the middle and run again, against the undisturbed one."""
    whole = read_object(work / f"{minutes:g}.json")
    out = work / f"{minutes:g}-killed"
    shutil.rmtree(out, ignore_errors=True)
    video = work / f"{minutes:g}min.mp4"
    first = analysed(video, out, more, kill_after=share * whole["cpu_s"])
    second = analysed(video, out, more)
    same = {name: (out / name).read_bytes() == (work / f"{minutes:g}" / name).read_bytes() for name in TABLES}
    return {
        "killed_after_cpu_s": first["cpu_s"],
        "was_killed": first["killed"],
        "again": second,
        "equal": same,
    }


def from_tracks(frames: int, fps: float, path: Path) -> None:
    """State, movements and table of so many frames of repeated landmarks; prints the peak."""
    image = cv2.resize(portrait(), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    smile = Injected(12, "both", round(fps), round(1.6 * fps), round(3 * fps), 5.0)
    drawn = living_portrait([smile], round(4 * fps), fps=fps, image=image)
    shown = [Frame(i, i / fps, picture) for i, picture in enumerate(drawn)]
    base = watch(shown, fps, default_landmarker(), motion=False).tracks[1]
    columns = {name: np.asarray(getattr(base, name)) for name in empty_row()}
    rows, noise, started = Recorded(empty_row()), np.random.default_rng(0), time.process_time()
    for i in range(frames):
        row = {name: column[i % len(base)] for name, column in columns.items()}
        moved = row["landmarks"] + noise.normal(0, 0.05, row["landmarks"].shape)
        rows.add(row | {"times": i / fps, "landmarks": moved})
    wide = rows.finish()
    small = {name: loaded(wide.pop(name)) for name in IN_MEMORY}
    state = state_of(FaceTrack(**wide, **small, size=base.size, fps=fps))  # type: ignore[arg-type]
    movements = len(joint_movements(state, None))
    write_table(path, map(pd.DataFrame, table_parts([state])))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    took = time.process_time() - started
    print(json.dumps({"frames": frames, "movements": movements, "peak_mib": round(peak, 1),
                      "ms_a_frame": round(1000 * took / frames, 3)}))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=[2, 60])
    parser.add_argument("--fps", type=float, default=3.0)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of the film that is repeated")
    parser.add_argument("--kill-at", type=float, help="share of the undisturbed run's CPU time")
    parser.add_argument("--fast", action="store_true", help="as deft analyze has it")
    parser.add_argument(REPLAY, action="store_true", help="look for a frame's landmarks once")
    parser.add_argument(TRACKS, action="store_true", help="repeated landmarks instead of films")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    more = ["--fast"] * options.fast + [REPLAY] * options.replay
    if options.tracks:
        for minutes in options.minutes:
            words = [str(round(minutes * 60 * options.fps)), str(options.fps), str(options.work / "t.csv")]
            done = subprocess.run(
                [sys.executable, __file__, TRACKS, *words], check=True, stdout=subprocess.PIPE, text=True
            )
            print(done.stdout, end="", flush=True)
        return
    rows = [
        measured(options.work, minutes, options.fps, options.seconds, more) for minutes in options.minutes
    ]
    for row in rows:
        print(json.dumps(row), flush=True)
    first, last = rows[0], rows[-1]
    over = lambda key: round(last[key] / first[key], 3)  # noqa: E731
    print(json.dumps({"memory_over": over("peak_mib"), "speed_over": over("frames_per_cpu_s")}), flush=True)
    if options.kill_at is not None:
        print(json.dumps(killed(options.work, options.minutes[-1], options.kill_at, more)), flush=True)


if __name__ == "__main__":
    if sys.argv[1:3] == [REPLAY, "analyze"]:
        replayed()
        deft(sys.argv[2:])
    elif sys.argv[1:2] == [TRACKS]:
        from_tracks(int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
