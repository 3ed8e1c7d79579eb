"""Which way each AU moves skin: the FACS table beside the two unit sets' fields and beside other face models.

    python -m benchmarks.au_table [--json]

Degrees of the left side of a face seen from the front: 0 lateral, 90 up, 180 medial, -90 down. A field's
direction is that of its twelve most moved skin vertices; cosines compare displacement fields in the image
plane over the whole face ("sculpted": the sets' own units; "field": what synthesis uses, drag of soft tissue
mixed in). "models" are the peak directions of two independent FACS face models, "maps" the mean direction
over real flow maps of one clip set by two estimators.
"""

from __future__ import annotations

import argparse
import json
import math
from typing import NamedTuple

import numpy as np

from deft_llm.facs.units import entry
from deft_llm.synth.core.mesh import load_face
from deft_llm.synth.core.unit_map import SYNTH_AUS
from deft_llm.synth.core.units import component_field, components, sculpted_field

MODELS: dict[int, tuple[int, int]] = {
    6: (90, 97), 9: (93, 97), 10: (75, 85), 12: (55, 61), 14: (68, 71), 20: (-15, -6),
}  # fmt: skip
MAPS: dict[int, tuple[int, int]] = {14: (45, 50)}
PEAK = 12


class Row(NamedTuple):
    """One AU. Directions in degrees; ``sculpted`` and ``field`` are cosines of arkit with makehuman."""

    au: int
    name: str
    region: str
    table: float
    arkit: float
    makehuman: float
    sculpted: float | None
    field: float
    models: tuple[int, int] | None
    maps: tuple[int, int] | None


def peak_direction(displacement: np.ndarray) -> float:
    """Degrees of the most moved skin of the face's left half; displacement (V, 3)."""
    mesh = load_face()
    skin = (
        (mesh.vertex_group == 0) & (mesh.face_coordinates[:, 2] > -0.25) & (mesh.face_coordinates[:, 0] > 0)
    )
    length = np.hypot(displacement[:, 0], displacement[:, 1]) * skin
    across, up = displacement[np.argsort(length)[-PEAK:], :2].mean(0)
    return math.degrees(math.atan2(up, across))


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Of two displacement fields in the image plane."""
    one, other = one[:, :2].ravel(), other[:, :2].ravel()
    return float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-9))


def rows() -> list[Row]:
    """One row per AU that synthesis makes; of an AU with lip parts the upper one."""
    mesh, found = load_face(), []
    for au in SYNTH_AUS:
        component, motion = components(au)[0], entry(au).motion[0]
        arkit, makehuman = (component_field(mesh, component, units) for units in ("arkit", "makehuman"))
        sculpted = [sculpted_field(mesh, component, units) for units in ("arkit", "makehuman")]
        both = None if sculpted[0] is None or sculpted[1] is None else cosine(*sculpted)
        table = math.degrees(math.atan2(motion.up, -motion.medial))
        found.append(Row(au, entry(au).name, motion.region, table, peak_direction(arkit),
                         peak_direction(makehuman), both, cosine(arkit, makehuman), MODELS.get(au),
                         MAPS.get(au)))  # fmt: skip
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    if parser.parse_args().json:
        print(json.dumps([row._asdict() for row in rows()]))
        return
    print(f"{'AU':26} {'region':13} table arkit makeh. | sculpted field | models  maps")
    for row in rows():
        sculpted = "   -" if row.sculpted is None else f"{row.sculpted:4.2f}"
        spans = ["" if span is None else f"{span[0]} to {span[1]}" for span in (row.models, row.maps)]
        print(f"{f'{row.au} {row.name}':26} {row.region:13} {row.table:5.0f} {row.arkit:5.0f} "
              f"{row.makehuman:6.0f} | {sculpted:>8} {row.field:5.2f} | {spans[0]:9} {spans[1]}")  # fmt: skip


if __name__ == "__main__":
    main()
