"""The coding page's addresses, asked without a browser: whom they answer, what they keep and hold back."""

from __future__ import annotations

import json
import struct

import cv2
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from deft_llm.app.coding.analyses import identity_of
from deft_llm.app.coding.folder import CodingFolder, is_coder
from deft_llm.app.coding.server import CodingServer
from deft_llm.app.guard import Guard
from deft_llm.app.jobs import Slots
from deft_llm.codings import table
from deft_llm.codings.events import Coding, FrameClock, event_at
from deft_llm.codings.formats import read_coding
from deft_llm.explain.magnify import write_loop
from deft_llm.files import write_json

FPS, FRAMES = 25.0, 40
CLOCK = FrameClock(FPS)
EVENT = {"au": 12, "side": "left", "phase": "rise", "onset": 10, "apex": 14, "offset": 20, "intensity": "B",
         "face": 1, "status": "coded", "note": ""}  # fmt: skip


def film(path, frames: int = FRAMES) -> None:
    """A grey square that grows lighter: frame i has the grey 5 i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_loop([np.full((64, 96, 3), 5 * i, np.uint8) for i in range(frames)], path, fps=FPS, repeats=1)


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "study"
    film(folder / "a.mp4")
    film(folder / "sub/b.mp4")
    film(tmp_path / "outside.mp4")
    (folder / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    (folder / "notes.txt").write_text("secret")
    return folder


def client_of(folder, **options) -> TestClient:
    server = CodingServer(CodingFolder(folder), Slots(1), **options)
    app = Starlette(routes=server.routes(), middleware=[Middleware(Guard, host="127.0.0.1")])
    return TestClient(app, "http://127.0.0.1")


def save(client, events, coder="anna", clip="a.mp4", revision="", **more):
    body = {"clip": clip, "coder": coder, "events": events, "revision": revision, "actions": 3, **more}
    return client.put("/coding/api/events", content=json.dumps(body))


def finish(client, coder="anna", clip="a.mp4", finished=True):
    return client.post("/coding/api/finish", json={"clip": clip, "coder": coder, "finished": finished}).json()


def open_clip(client, coder="anna", clip="a.mp4"):
    return client.get("/coding/api/clip", params={"clip": clip, "coder": coder}).json()


def state_of(client, coder="anna"):
    found = client.get("/coding/api/folder", params={"coder": coder}).json()
    return {one["clip"]: one["state"] for one in found["clips"]}


def propose(folder, clip="a.mp4") -> None:
    """What a reading of the clip leaves: one AU12 that is stated."""
    unit = {"number": 12, "side": "left", "phase": "rise", "onset": 11, "apex": 14, "offset": 20,
            "confidence": 0.9, "reason": ""}  # fmt: skip
    movement = {"rank": 1, "kind": "micro-expression", "face": 1, "onset": 11, "apex": 14, "offset": 20,
                "reason": "", "warning": "", "aus": [unit], "au_probabilities": {}, "aus_not_judged": {},
                "evidence": [], "class": None, "answer": None, "cannot_judge": []}  # fmt: skip
    record = {"video": {"fps": FPS}, "source": clip, "movements": [movement], "events": [], "notes": [],
              "cannot_judge": []}  # fmt: skip
    files = CodingFolder(folder)
    event = event_at(CLOCK, where="", au=12, side="left", onset=11, apex=14, offset=20, status="proposed")
    table.write(
        Coding(media=clip, fps=FPS, coder="deft", events=[event]), files.proposals_file(clip, "events")
    )
    write_json(files.proposals_file(clip, "result"), record)
    curves = {"step": 1, "frames": FRAMES, "aus": {}, "box": [], "bytes": (folder / clip).stat().st_size,
              "checkpoint": identity_of(None)}  # fmt: skip
    write_json(files.proposals_file(clip, "curves"), curves)


def addresses() -> list[tuple[str, str]]:
    """Every method and address of the page."""
    server = CodingServer.__new__(CodingServer)  # its routes alone, without a folder
    server.analyses = None
    return [(method, route.path) for route in server.routes() for method in route.methods if method != "HEAD"]


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"},
    {"Origin": "http://127.0.0.1:81"},
])  # fmt: skip
def test_every_address_refuses_other_hosts_and_origins(study, headers):
    client = client_of(study)
    assert len(addresses()) > 15
    for method, path in addresses():
        assert client.request(method, path, headers=headers).status_code == 403, path


def test_only_clips_of_the_folder_are_known(study):
    client = client_of(study)
    assert list(state_of(client)) == ["a.mp4", "sub/b.mp4"]  # no link that leads out, no other file
    for name in ("../outside.mp4", "link.mp4", "/etc/passwd", "notes.txt", "sub/../a.mp4", "..\\outside.mp4",
                 "codings/x.mp4", "a.mp4\x00", "", "sub", "%2e%2e/outside.mp4"):  # fmt: skip
        for answer in (
            client.get("/coding/api/frames", params={"clip": name, "start": 0, "count": 1}),
            client.get("/coding/api/clip", params={"clip": name, "coder": "anna"}),
            client.get("/coding/api/export", params={"clip": name, "coder": "anna", "format": "csv"}),
            client.post("/coding/api/propose", json={"clips": [name]}),
            save(client, [EVENT], clip=name),
        ):
            assert answer.status_code == 400 and str(study) not in answer.text, name
    for coder in ("../eve", "deft", "a/b", ".hidden", "", "anna-first-round", "x" * 60):
        assert not is_coder(coder)
        assert save(client, [EVENT], coder=coder).status_code == 400
    assert not list(study.parent.glob("*.csv")) and not (study / "codings").exists()


def test_no_answer_may_be_used_by_other_pages(study):
    answer = client_of(study).get("/coding/")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in answer.headers
    assert "http://" not in answer.text and "https://" not in answer.text


def test_frames_are_the_frames_of_the_file(study):
    client = client_of(study)
    for start in (30, 3, 39, 0):
        data = client.get("/coding/api/frames", params={"clip": "a.mp4", "start": start, "count": 4}).content
        found = []
        while data:
            (length,) = struct.unpack("<I", data[:4])
            picture, data = np.frombuffer(data[4 : 4 + length], np.uint8), data[4 + length :]
            found.append(round(float(cv2.imdecode(picture, cv2.IMREAD_COLOR).mean()) / 5))
        assert found == list(range(start, min(start + 4, FRAMES)))
    for start in ("40", "-1", "1e3", "x", "999999999999"):
        answer = client.get("/coding/api/frames", params={"clip": "a.mp4", "start": start, "count": 1})
        assert answer.status_code == 400


def test_what_is_saved_is_a_coding_that_the_commands_read(study):
    client = client_of(study)
    first = save(client, [EVENT]).json()["revision"]
    coding = read_coding(study / "codings/anna/a.mp4.csv")
    assert (coding.media, coding.coder, coding.fps) == ("a.mp4", "anna", FPS)
    assert [(e.au, e.side, e.onset, e.apex_time, e.intensity) for e in coding.events] == [
        (12, "left", 10, 0.56, "B")
    ]
    assert open_clip(client)["events"] == [EVENT] and open_clip(client)["revision"] == first
    assert state_of(client)["a.mp4"] == "started" and state_of(client, "ben")["a.mp4"] == "uncoded"
    assert save(client, [], revision=first).status_code == 200
    answer = save(client, [EVENT], revision=first)  # another window saved meanwhile
    assert answer.status_code == 400 and "changed elsewhere" in answer.json()["error"]
    assert CodingFolder(study).progress_of("anna", "a.mp4").actions == 6


@pytest.mark.parametrize(("change", "fault"), [
    ({"au": 3000}, "no code of FACS"), ({"onset": 30}, "not in order"),
    ({"offset": 40, "apex": 39}, "40 frames"), ({"side": "top"}, "'left'"), ({"x": 1}, "unknown"),
    ({"onset": -1}, "onset is no frame"), ({"onset": None}, "onset is no frame"),
    ({"onset": "1"}, "onset is no frame"), ({"onset": 10.5}, "onset is no frame"),
])  # fmt: skip
def test_events_that_cannot_be_are_refused_and_nothing_is_lost(study, change, fault):
    client = client_of(study)
    kept = save(client, [EVENT]).json()["revision"]
    answer = save(client, [EVENT | change], revision=kept)
    assert answer.status_code == 400 and fault in answer.json()["error"]
    assert open_clip(client)["events"] == [EVENT]
    for body in (b"", b"[]", b"{", b'{"clip": "a.mp4", "coder": "anna", "events": 7}', b"[" * 100_000):
        assert client.put("/coding/api/events", content=body).status_code == 400
    assert client.put("/coding/api/events", content=b" " * 5_000_000).status_code == 413


def test_blind_coders_see_no_proposal_before_they_have_coded(study):
    propose(study)
    client = client_of(study, blind=True)
    shown = open_clip(client)
    assert shown["hidden"] and shown["found"] is None and "confidence" not in json.dumps(shown)
    asked = {"clip": "a.mp4", "coder": "anna", "movement": 1, "question": "What moved?"}
    assert "Finish your own" in client.post("/coding/api/ask", json=asked).json()["error"]
    query = {"clip": "a.mp4", "coder": "anna", "other": "deft"}
    assert "Finish your own" in client.get("/coding/api/agreement", params=query).json()["error"]
    save(client, [EVENT])
    assert finish(client)["first_round"] == "blind"
    assert open_clip(client)["found"]["proposals"][0]["au"] == 12
    found = client.get("/coding/api/agreement", params=query).json()
    assert found["disagreements"] == [] and found["figures"]["agreement"]["onset"] == 1.0


@pytest.mark.parametrize("damage", [
    lambda record: record.pop("events"), lambda record: record.update(notes=7),
    lambda record: record["movements"][0].pop("evidence"), lambda record: record.update(cannot_judge=[[]]),
    lambda record: record["movements"][0].update(cannot_judge=[{"what": "", "why": ""}]),
])  # fmt: skip
def test_a_damaged_result_is_named(study, damage):
    propose(study)
    path = CodingFolder(study).proposals_file("a.mp4", "result")
    record = json.loads(path.read_text())
    damage(record)
    write_json(path, record)
    said = open_clip(client_of(study))["error"]
    assert said.startswith("a.mp4.result.json: this is no result of this version")


def test_damaged_curves_are_as_good_as_none(study):
    propose(study)
    CodingFolder(study).proposals_file("a.mp4", "curves").write_text("{")
    client = client_of(study)
    assert open_clip(client)["found"] is None and state_of(client)["a.mp4"] == "proposed"


def test_the_first_round_stays_as_it_was(study):
    propose(study)
    client = client_of(study)
    assert open_clip(client)["found"] is not None
    revision = save(client, [EVENT]).json()["revision"]
    assert finish(client)["first_round"] == "with proposals"  # they had been shown: it was not blind
    finish(client, finished=False)
    save(client, [], revision=revision)
    assert finish(client)["first_round"] == "with proposals"
    assert read_coding(study / "codings/anna/a.mp4.csv").events == []
    assert len(read_coding(study / "codings/anna-first-round/a.mp4.csv").events) == 1


def test_coders_meet_only_when_both_have_finished(study):
    client = client_of(study)
    save(client, [EVENT])
    query = {"clip": "a.mp4", "coder": "anna", "other": "ben"}
    assert "Finish your own" in client.get("/coding/api/agreement", params=query).json()["error"]
    finish(client)
    assert "ben has not finished" in client.get("/coding/api/agreement", params=query).json()["error"]
    revision = save(client, [EVENT, EVENT | {"au": 4, "onset": 30, "apex": None, "offset": 33}], coder="ben")
    finish(client, coder="ben")
    rows = client.get("/coding/api/agreement", params=query).json()["disagreements"]
    assert [(row["au"], row["coded_by"], row["event"]["offset"]) for row in rows] == [(4, "second", 33)]
    assert state_of(client)["a.mp4"] == "coded"
    save(client, [EVENT], coder="ben", revision=revision.json()["revision"])
    assert state_of(client)["a.mp4"] == "agreed"


def test_compare_hands_over_the_event_of_its_own_face(study):
    """Of three that differ in face, note and status alone; a rejected one is nobody's event."""
    client = client_of(study)
    save(client, [EVENT])
    finish(client)
    first = EVENT | {"face": 2, "intensity": "D", "note": "second face"}
    theirs = [EVENT, first | {"status": "rejected", "note": "no"}, first]
    save(client, theirs, coder="ben")
    finish(client, coder="ben")
    query = {"clip": "a.mp4", "coder": "anna", "other": "ben"}
    (row,) = client.get("/coding/api/agreement", params=query).json()["disagreements"]
    assert (row["face"], row["event"]) == (2, first)


@pytest.mark.parametrize("name", ["csv", "elan", "boris", "textgrid", "datavyu"])
def test_what_is_exported_comes_back(study, name):
    client = client_of(study)
    save(client, [EVENT])
    answer = client.get("/coding/api/export", params={"clip": "a.mp4", "coder": "anna", "format": name})
    file = answer.headers["content-disposition"].split("''")[1]
    query = {"clip": "a.mp4", "coder": "anna", "name": file}
    back = client.post("/coding/api/import", params=query, content=answer.content)
    assert back.json() == {"events": [EVENT], "unread": ""}


def test_tiers_that_name_no_unit_are_told_when_a_coding_is_read_in(study):
    columns = [f"{name}.{part}" for name in ("AU12_left", "talk") for part in ("ordinal", "onset", "offset")]
    coding = f"{','.join(columns)}\n1,40,200,1,40,200\n"
    query = {"clip": "a.mp4", "coder": "anna", "name": "other.csv"}
    back = client_of(study).post("/coding/api/import", params=query, content=coding.encode())
    assert back.json().get("unread", back.text) == "not read, no names of AUs: talk"


def test_files_that_are_no_coding_are_refused_by_their_own_name(study):
    client = client_of(study)
    query = {"clip": "a.mp4", "coder": "anna", "name": "../../wild.eaf"}
    answer = client.post("/coding/api/import", params=query, content=b"<nothing")
    assert answer.status_code == 400 and "wild.eaf" in answer.json()["error"]
    assert "/" not in answer.json()["error"].replace("N/A", "")


def test_a_folder_without_clips_is_refused(tmp_path, run, capsys):
    assert run("app", "--folder", tmp_path) == 1
    assert "holds no videos" in capsys.readouterr().err
    assert run("app", "--blind") == 2
    assert "belong to --folder" in capsys.readouterr().err


@pytest.mark.parametrize("change", [
    {"au": []}, {"au": {}}, {"au": True}, {"au": 12.0}, {"au": "12"}, {"side": []}, {"face": 0},
    {"face": 1e308}, {"note": None}, {"onset": True}, {"phase": {}}, {"intensity": ["A"]}, {"status": 3},
])  # fmt: skip
def test_an_event_of_other_types_is_refused(study, change) -> None:
    answer = save(client_of(study), [EVENT | change])
    assert answer.status_code == 400 and answer.json()["error"]
    assert not (study / "codings").exists()


@pytest.mark.parametrize("coder", [None, True, 1.5, ["anna"], 7])
def test_a_coder_is_a_text(study, coder) -> None:
    client = client_of(study)
    body = {"clip": "a.mp4", "coder": coder, "finished": True}
    asked = body | {"question": "why", "movement": 1}
    answers = [save(client, [EVENT], coder=coder), client.post("/coding/api/finish", json=body),
               client.post("/coding/api/ask", json=asked)]  # fmt: skip
    assert [answer.status_code for answer in answers] == [400, 400, 400]
    assert not (study / "codings").exists()


@pytest.mark.parametrize("name", ["x.json", "x.eaf\0", "x." + "y" * 300, "x", "../x.py"])
def test_only_codings_are_read_in(study, name) -> None:
    asked = {"clip": "a.mp4", "coder": "anna", "name": name}
    answer = client_of(study).post("/coding/api/import", params=asked, content=b'{"movements":[]}')
    assert answer.status_code == 400 and "is no coding" in answer.json()["error"]


def test_a_host_with_a_user_is_none(study) -> None:
    assert client_of(study).get("/coding/", headers={"Host": "evil@localhost"}).status_code == 403


def test_one_coders_damaged_file_locks_nobody_out(study) -> None:
    client = client_of(study)
    for coder in ("anna", "ben"):
        save(client, [EVENT], coder=coder)
        finish(client, coder=coder)
    assert state_of(client)["a.mp4"] == "agreed"
    path = study / "codings/ben/a.mp4.csv"
    head, row = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([head, row, row.replace(",B,", ",D,"), ""]), encoding="utf-8")
    assert state_of(client)["a.mp4"] == "coded"
    path.write_text("nothing", encoding="utf-8")
    assert state_of(client)["a.mp4"] == "coded" and state_of(client, "ben")["a.mp4"] == "coded"


def test_an_event_with_two_intensities_is_refused(study) -> None:
    client = client_of(study)
    answer = save(client, [EVENT, EVENT | {"intensity": "D"}])
    assert answer.status_code == 400
    assert "AU12 left from frame 10 to 20 is there twice" in answer.json()["error"]
    assert not (study / "codings").exists()
    assert save(client, [EVENT, EVENT | {"intensity": "D", "status": "rejected"}]).status_code == 200


def test_proposals_of_another_checkpoint_are_as_good_as_none(study, tmp_path) -> None:
    propose(study)
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    (other / "model.safetensors").write_bytes(b"weights")
    for checkpoint, there in ((None, True), (str(other), False)):
        client = client_of(study, checkpoint=checkpoint)
        read = {one["clip"]: one["read"] for one in client.get("/coding/api/folder").json()["clips"]}
        assert read == {"a.mp4": there, "sub/b.mp4": False}
        assert (open_clip(client)["found"] is not None) == there
    before = identity_of(str(other))
    (other / "model.safetensors").write_bytes(b"trained on")
    assert "" != identity_of(str(other)) != before


def test_a_blind_page_exports_no_proposals(study) -> None:
    propose(study)
    query = {"clip": "a.mp4", "coder": "deft", "format": "csv"}
    for blind, status in ((True, 400), (False, 200)):
        answer = client_of(study, blind=blind).get("/coding/api/export", params=query)
        assert answer.status_code == status
        assert ("proposed" in answer.text) != blind
