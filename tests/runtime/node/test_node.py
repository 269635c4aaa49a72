"""`edge-mri node` as people run it, spoken to by pynetdicom; other peers are in `test_peers`."""

import hashlib
import json
import random
import socket
import threading
import time
from contextlib import ExitStack

import pytest

pydicom = pytest.importorskip("pydicom", reason="needs the extra [node]")
pynetdicom = pytest.importorskip("pynetdicom", reason="needs the extra [node]")
pytest.importorskip("highdicom", reason="needs the extra [node]")


def named(path) -> str:
    """What a record calls an image."""
    header = pydicom.dcmread(path, stop_before_pixels=True)
    series, image = (
        hashlib.sha256(str(header[name].value).encode()).hexdigest()
        for name in ("SeriesInstanceUID", "SOPInstanceUID")
    )
    return f"{series[:12]}/{image[:16]}"


def test_the_records_are_those_of_infer_and_the_volume_too(lab, node, tmp_path, process):
    paths = lab.write_series(tmp_path / "sent")
    node.start()
    assert node.send(paths) == [0] * 6
    (series,) = node.judged()
    options = ("--format", "jsonl", "--volumes", tmp_path / "volumes.jsonl", "--threads", 1)
    ended = process("-m", "edge_mri", "infer", tmp_path / "sent", *options)
    assert ended.code == 0, ended.err
    expected = {named(one["path"]): one for one in map(json.loads, ended.out.splitlines())}
    records = node.lines("image")
    assert [one["path"] for one in records] == [named(path) for path in paths]
    for record in records:
        wanted = expected[record["path"]]
        assert {name: record[name] for name in wanted if name != "path"} == {
            name: value for name, value in wanted.items() if name != "path"
        }
    volume = json.loads((tmp_path / "volumes.jsonl").read_text())
    (told,) = series["volumes"]
    paths_differ = {"path", "peak_path"}
    assert {name: told[name] for name in volume if name not in paths_differ} == {
        name: value for name, value in volume.items() if name not in paths_differ
    }
    assert told["peak_path"] == named(volume["peak_path"])
    assert series["images"] == 6
    assert series["model_sha256"]


def test_an_image_that_comes_again_is_taken_and_not_judged_again(lab, node, tmp_path):
    paths = lab.write_series(tmp_path / "sent", slices=3)
    node.start()
    assert node.send([*paths, *paths]) == [0] * 6
    node.judged()
    assert node.send(paths) == [0] * 3
    other = lab.write_series(tmp_path / "other", index=2, slices=2)
    assert node.send(other) == [0] * 2
    node.judged(2)
    assert sorted(one["path"] for one in node.lines("image")) == sorted(map(named, paths + other))


def test_slices_that_come_later_are_a_part_and_count_in_the_volume(lab, node, tmp_path):
    paths = lab.write_series(tmp_path / "sent", slices=9)
    for blank in (paths[3], paths[7]):  # the only neighbours of one kind are the three between
        header = pydicom.dcmread(blank)
        header.PixelData = bytes(len(header.PixelData))
        header.save_as(blank)
    node.start()
    node.send(paths[::2])
    node.judged()
    node.kill()
    node.start()
    node.send(paths[1::2])
    first, second = node.judged(2)
    assert (first["part"], second["part"]) == (1, 2)
    assert (first["images"], second["images"]) == (5, 4)
    (volume,) = second["volumes"]
    assert (volume["slices"], volume["answered"]) == (9, 7)
    assert volume["neighbours"] == 3, "in the order of places, not of arrival or of hashes"


def test_nothing_of_the_patient_is_outside_of_spool_and_objects(lab, node, tmp_path):
    paths = lab.write_series(
        tmp_path / "sent", StudyDescription="Secret study", BodyPartExamined="LEG"
    )
    broken = lab.write_series(tmp_path / "broken", index=2, slices=2, Rows=9000)
    node.start()
    node.send(paths + broken)
    node.judged(2)
    assert node.stop() == 0
    header = pydicom.dcmread(paths[0])
    secrets = [
        *lab.patient.values(),
        "Secret",
        "Name",
        header.SOPInstanceUID,
        header.StudyInstanceUID,
    ]
    told = node.told() + node.results.read_text()
    told += "".join(str(one) for one in node.spool.rglob("*"))
    journal = b"".join(one.read_bytes() for one in node.spool.glob("*.sqlite*"))
    for secret in secrets:
        assert secret not in told
        assert secret.encode() not in journal
    assert not list(node.spool.rglob("*.dcm")), "what is judged stays nowhere"
    errors = [one for one in node.lines("image") if one["status"] == "error"]
    assert len(errors) == 2
    assert str(node.spool) not in json.dumps(errors)


def test_kill_at_any_moment_loses_nothing_and_judges_nothing_twice(lab, node, tmp_path):
    rng = random.Random(7)
    taken: set[str] = set()
    for turn in range(4):
        paths = lab.write_series(tmp_path / "sent", index=turn + 1, slices=4)
        node.start()

        def deliver(paths=paths) -> None:
            try:
                with node.association() as link:
                    for path in paths:
                        answer = link.send_c_store(pydicom.dcmread(path))
                        if answer and answer.Status == 0:
                            taken.add(named(path))
            except RuntimeError:  # the node is gone
                return

        sending = threading.Thread(target=deliver)
        sending.start()
        time.sleep(rng.uniform(0.05, 1.2))
        node.kill()
        sending.join()
    node.start()
    lab.wait_for(lambda: taken <= {one["path"] for one in node.lines("image")}, 60)
    assert node.stop() == 0
    names = [one["path"] for one in node.lines("image")]
    assert taken <= set(names)
    assert len(names) == len(set(names))
    told = sum(one["images"] for one in node.lines("series"))
    assert told == len(names)


def test_a_second_node_on_a_spool_is_refused_and_the_first_goes_on(lab, node, process, tmp_path):
    node.start()
    ended = process("-m", "edge_mri", "node", "--spool", node.spool, "--port", lab.free_port())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"Error: --spool {node.spool}: another node runs on it; stop that one, or name another\n"
    )
    assert node.send(lab.write_series(tmp_path / "sent", slices=1)) == [0]


def test_a_port_that_is_taken_is_told_in_a_line(node, process, tmp_path):
    node.start()
    ended = process("-m", "edge_mri", "node", "--spool", tmp_path / "two", "--port", node.port)
    assert ended.code == 2
    assert ended.err.splitlines() == [
        "Error: the system says: Address already in use; "
        f"cannot listen on 127.0.0.1 port {node.port}"
    ]


def test_sigterm_stops_in_order_and_a_later_start_judges_what_waits(lab, node, tmp_path):
    paths = lab.write_series(tmp_path / "sent", slices=3)
    node.start("--settle", 600)
    assert node.send(paths) == [0] * 3
    begun = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - begun < 15
    assert node.lines() == []
    assert len(list(node.spool.rglob("*.dcm"))) == 3
    node.start()
    assert node.judged()[0]["images"] == 3


def test_a_quiet_series_is_judged_while_its_association_is_open(lab, node, tmp_path):
    paths = lab.write_series(tmp_path / "sent", slices=3)
    node.start("--quiet", 0.5)
    with node.association() as link:
        for path in paths:
            assert link.send_c_store(pydicom.dcmread(path)).Status == 0
        assert node.judged()[0]["images"] == 3
        assert link.is_established


def test_a_full_spool_refuses_and_keeps_what_it_has(lab, node, tmp_path):
    paths = lab.write_series(tmp_path / "sent", slices=4)
    size = paths[0].stat().st_size
    node.start("--max-spool-bytes", int(2.5 * size), "--settle", 600)
    assert node.send(paths) == [0, 0, 0xA700, 0xA700]
    assert "the spool or its disk is full" in node.told()
    node.stop()
    node.start()
    assert node.judged()[0]["images"] == 2
    assert node.send(paths[2:]) == [0, 0]


def test_who_is_not_allowed_is_rejected(lab, node, tmp_path):
    node.start("--allow", "SCANNER@127.0.0.0/8", "--allow", "OTHER@192.0.2.7")
    assert node.send(lab.write_series(tmp_path / "sent", slices=1)) == [0]
    for title, called in (("OTHER", "EDGE_MRI"), ("NOBODY", "EDGE_MRI"), ("SCANNER", "ELSE")):
        with node.association(title, called) as link:
            assert link.is_rejected, title
    rejected = "rejected an association from 127.0.0.1"
    assert node.told().count(f"{rejected}: not one of --allow") == 2
    assert f"{rejected}: it calls another AE title than EDGE_MRI\n" in node.told()
    with ExitStack() as links:
        for _ in range(10):
            assert links.enter_context(node.association("SCANNER")).is_established
        assert links.enter_context(node.association("SCANNER")).is_rejected
    assert f"{rejected}: more than 10 at a time\n" in node.told()


@pytest.mark.parametrize("host", ["localhost", "::1"])
def test_it_listens_on_names_and_ipv6(node, process, host):
    node.start("--host", host)
    options = ("--spool", node.spool, "--port", node.port, "--host", host, "--echo")
    assert process("-m", "edge_mri", "node", *options) == (0, "", "")


def test_an_address_that_is_not_here_is_told_in_a_line(process, tmp_path):
    options = ("--spool", tmp_path / "spool", "--host", "nowhere.invalid", "--allow", "*")
    ended = process("-m", "edge_mri", "node", *options)
    assert ended.code == 2
    assert "cannot listen on nowhere.invalid port 11112" in ended.err
    assert ended.err.count("\n") == 1


def test_other_machines_need_an_allow_list(process, tmp_path):
    ended = process("-m", "edge_mri", "node", "--spool", tmp_path / "spool", "--host", "0.0.0.0")
    assert ended.code == 2
    assert "--allow TITLE@ADDRESS, or --allow '*' for anybody" in ended.err


def test_what_is_no_mr_image_is_not_taken(lab, node, tmp_path):
    from pynetdicom.sop_class import CTImageStorage

    node.start()
    paths = lab.write_series(tmp_path / "sent", slices=3)
    with node.association() as link:
        assert [one.abstract_syntax for one in link.rejected_contexts] == [CTImageStorage]
        lost = pydicom.dcmread(paths[0])
        del lost.SeriesInstanceUID
        assert link.send_c_store(lost).Status == 0xC000
        assert link.send_c_store(pydicom.dcmread(paths[1])).Status == 0


def test_an_object_beyond_the_limit_ends_its_association_before_it_fills_the_disk(
    lab, node, tmp_path, monkeypatch
):
    node._environment = node._environment | {"EDGE_MRI_MAX_BYTES": str(100_000)}
    node.start()
    (large,) = lab.write_series(tmp_path / "large", slices=1)
    header = pydicom.dcmread(large)
    header.add_new(0x00091010, "OB", bytes(4_000_000))
    with node.association() as link:
        answer = link.send_c_store(header)
        assert "Status" not in answer
    assert node.send(lab.write_series(tmp_path / "sent", slices=1)) == [0]
    assert "an object of over 100,000 bytes" in node.told()
    sizes = [one.stat().st_size for one in (node.spool / "incoming").iterdir()]
    assert sum(sizes) < 1_000_000


def test_peers_that_connect_and_say_nothing_keep_nobody_waiting(lab, node, tmp_path):
    node.start()
    silent = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(4)]
    assert node.send(lab.write_series(tmp_path / "sent", slices=2)) == [0, 0]
    for one in silent:
        one.close()


def test_echo_asks_the_node_that_runs(node, process):
    options = ("--spool", node.spool, "--port", node.port, "--echo")
    assert process("-m", "edge_mri", "node", *options).code == 1
    node.start("--allow", "SCANNER@192.0.2.1")
    assert process("-m", "edge_mri", "node", *options) == (0, "", "")


def test_a_multi_frame_image_is_a_volume_of_its_own(lab, node, tmp_path):
    (path,) = lab.write_series(tmp_path / "sent", slices=1)
    header = pydicom.dcmread(path)
    header.NumberOfFrames = 5
    header.PixelData = header.PixelData * 5
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    header.save_as(path)
    node.start()
    assert node.send([path]) == [0]
    (series,) = node.judged()
    (volume,) = series["volumes"]
    assert (series["images"], volume["slices"]) == (1, 5)
    assert volume["path"] == volume["peak_path"] == named(path)
    assert [one["frame"] for one in node.lines("image")] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("output", ["-", "/dev/null"])
def test_results_go_into_a_file(node, process, tmp_path, output):
    ended = process("-m", "edge_mri", "node", "--spool", tmp_path / "spool", "-o", output)
    assert ended.code == 2
    assert ended.err.startswith("Error: ")
    assert ended.err.count("\n") == 1


def test_why_a_destination_takes_nothing_is_told(lab, node, tmp_path):
    from pynetdicom import AE
    from pynetdicom.sop_class import Verification

    port = lab.free_port()
    node.start("--destination", f"ARCHIVE@127.0.0.1:{port}", "--heatmaps", 0)
    node.send(lab.write_series(tmp_path / "sent", slices=1))
    begin, end = "ARCHIVE did not take what waits: it ", "; again in "
    lab.wait_for(lambda: f"{begin}does not answer (address, port, TLS){end}" in node.told())
    strict = AE(ae_title="ARCHIVE")
    strict.add_supported_context(Verification)
    for called, reason in (
        (["OTHER"], "rejects the association (it must know EDGE_MRI, and be called ARCHIVE)"),
        ([], "takes neither reports nor secondary captures"),
    ):
        strict.require_calling_aet = called
        server = strict.start_server(("127.0.0.1", port), block=False)
        try:
            lab.wait_for(lambda: begin + reason + end in node.told())  # noqa: B023
        finally:
            server.shutdown()


def test_a_destination_without_room_gets_all_later_and_what_it_refuses_is_given_up(
    lab, node, tmp_path
):
    from pynetdicom import AE, evt
    from pynetdicom.sop_class import ComprehensiveSRStorage, SecondaryCaptureImageStorage

    told = []

    def store(event):
        told.append(event.request.AffectedSOPClassUID)
        if len(told) <= 2:
            return 0xA700
        return 0xC000 if told[-1] == ComprehensiveSRStorage else 0

    archive = AE(ae_title="ARCHIVE")
    for kind in (ComprehensiveSRStorage, SecondaryCaptureImageStorage):
        archive.add_supported_context(kind)
    port = lab.free_port()
    handlers = [(evt.EVT_C_STORE, store)]
    server = archive.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        node.start("--destination", f"ARCHIVE@127.0.0.1:{port}", "--heatmaps", 1)
        node.send(lab.write_series(tmp_path / "sent", slices=4))
        lab.wait_for(lambda: told.count(SecondaryCaptureImageStorage) == 1)
        assert told[:3] == [ComprehensiveSRStorage] * 3
        lab.wait_for(lambda: len(list((node.spool / "outgoing").iterdir())) == 1)
        assert "did not take what waits: it answers with status A700; again in 2 s" in node.told()
    finally:
        server.shutdown()


def test_an_image_that_the_disk_has_damaged_is_set_aside_and_the_others_are_judged(
    lab, node, tmp_path
):
    node.start("--settle", 600)
    node.send(lab.write_series(tmp_path / "sent", slices=3))
    node.stop()
    (damaged, *_) = sorted((node.spool / "images").rglob("*.dcm"))
    damaged.write_bytes(b"no longer an image")
    (damaged.parent / "foreign.txt").write_text("put here by somebody")
    node.start()
    assert node.judged()[0]["images"] == 2
    assert "is damaged on the disk: set aside" in node.told()
    assert (node.spool / "unreadable" / damaged.name).exists()
