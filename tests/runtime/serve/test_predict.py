"""Records over HTTP: the same as those of `infer`, whatever comes together with what."""

import base64
import json
import threading
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from edge_mri.labels import LabelSpace
from edge_mri.storage.spelling import meant

pytest.importorskip("starlette", reason="needs the extra [serve]")
jsonschema = pytest.importorskip("jsonschema", reason="validating needs the package jsonschema")


def pages(count: int) -> bytes:
    """A TIFF of so many pages, each brighter than the last."""
    images = [np.full((64, 64), 10 + 200 * k // count, np.uint8) for k in range(count)]
    return cv2.imencodemulti(".tif", images)[1].tobytes()


@pytest.fixture(scope="module")
def folder(phantoms, tmp_path_factory) -> Path:
    """Pictures, some of them under odd names, a file of many pages, and files that are none."""
    folder = tmp_path_factory.mktemp("served")
    for number, path in enumerate(sorted(phantoms.rglob("*.png"))[:12]):
        (folder / f"{number:02}.png").write_bytes(path.read_bytes())
    (folder / "13 Schädel.png").write_bytes((folder / "00.png").read_bytes())
    (folder / "14-empty.png").touch()
    (folder / "15-none.jpg").write_bytes(b"no image")
    (folder / "16-cut.png").write_bytes((folder / "01.png").read_bytes()[:-40])
    (folder / "17.tif").write_bytes(pages(30))
    (folder / "18.png").write_bytes((folder / "02.png").read_bytes())
    return folder


@pytest.fixture(scope="module")
def files(folder) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]


@pytest.fixture
def expected(process, folder) -> str:
    names = sorted(path.name for path in folder.iterdir())
    ended = process("-m", "edge_mri", "infer", *names, "--format", "json", cwd=folder)
    assert ended.code == 1
    return ended.out


def test_records_are_those_of_infer_to_the_byte(service, files, expected):
    answer = service.predict(files)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.body.decode() == expected


def test_each_file_as_the_body_itself_gives_the_same_records(service, files, expected):
    records = []
    for name, data in files:
        answer = service.ask("POST", f"/v1/predict?name={quote(name)}", data)
        if not data:
            assert answer.status == 400
            continue
        records += answer.json
    without_empty = [one for one in json.loads(expected) if "empty" not in one["path"]]
    assert records == without_empty


def test_requests_side_by_side_have_their_own_records(service, files, expected):
    answers: dict[int, list] = {}

    def ask(number: int) -> None:
        own = files[number % 5 :] if number % 2 else files[: 12 - number]
        answers[number] = [own, service.predict(own).json]

    threads = [threading.Thread(target=ask, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    by_name: dict[str, list] = {}
    for record in json.loads(expected):
        by_name.setdefault(record["path"], []).append(record)
    assert len(answers) == 8
    for own, records in answers.values():
        assert records == [record for name, _ in own for record in by_name[name]]


def test_a_name_that_is_no_text_comes_back_as_infer_spells_it(service, files):
    (record,) = service.predict([("a\udcff.png", files[0][1])]).json
    assert record["path"] == r"a\xff.png"
    assert meant(record["path"]) == "a\udcff.png"


@pytest.mark.parametrize("kind", ["dicom", "nifti"])
def test_dicom_and_nifti_are_read_as_infer_reads_them(service, process, tmp_path, kind):
    data = volume(kind)
    name = {"dicom": "scan.dcm", "nifti": "scan.nii"}[kind]
    (tmp_path / name).write_bytes(data)
    ended = process("-m", "edge_mri", "infer", name, "--format", "json", cwd=tmp_path)
    assert ended.code == 0, ended.out
    answer = service.predict([(name, data)])
    assert answer.body.decode() == ended.out


def volume(kind: str) -> bytes:
    grains = np.random.default_rng(0).integers(0, 1000, (64, 64, 9), np.int16)
    if kind == "nifti":
        nibabel = pytest.importorskip("nibabel", reason="needs the extra [nifti]")
        return nibabel.Nifti1Image(grains, np.eye(4)).to_bytes()
    pydicom = pytest.importorskip("pydicom", reason="needs the extra [dicom]")
    from io import BytesIO

    header = pydicom.Dataset()
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    header.SOPInstanceUID = "1.2.3"
    header.Modality, header.PhotometricInterpretation = "MR", "MONOCHROME2"
    header.Rows = header.Columns = 64
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit, header.PixelRepresentation, header.SamplesPerPixel = 15, 0, 1
    header.PixelData = grains[..., 0].astype(np.uint16).tobytes()
    stream = BytesIO()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    pydicom.dcmwrite(stream, header, enforce_file_format=True)
    return stream.getvalue()


def test_heatmaps_are_the_pictures_that_infer_writes(service, command, folder, files, tmp_path):
    path = folder / files[0][0]
    command("infer", path, "--heatmaps", tmp_path / "maps", "--no-reject")
    (picture,) = (tmp_path / "maps").iterdir()
    (record,) = service.predict(files[:1], "?heatmap=1").json
    head, _, data = record["heatmap"].partition(",")
    assert head == "data:image/png;base64"
    drawn = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert drawn.shape == cv2.imread(str(picture)).shape
    if record["status"] == "ok":
        assert base64.b64decode(data) == picture.read_bytes()
    plain = service.predict(files[:1]).json[0]
    assert record | {"heatmap": None} == plain


def test_a_volume_does_not_keep_a_picture_waiting(serve, files):
    service = serve("--threads", 2)
    big = pages(1500)
    times: Counter[str] = Counter()
    order: list[str] = []

    def ask(name: str, sent: list[tuple[str, bytes]]) -> None:
        times[name] = len(service.predict(sent).json)
        order.append(name)

    volumes = [threading.Thread(target=ask, args=(f"v{k}", [("v.tif", big)])) for k in range(3)]
    for thread in volumes:
        thread.start()
    ask("picture", files[:1])
    for thread in volumes:
        thread.join(120)
    assert order[0] == "picture"
    assert times == {"picture": 1, "v0": 1500, "v1": 1500, "v2": 1500}


def test_answers_are_as_the_document_describes_them(service, files):
    described = service.ask("GET", "/openapi.json").json
    ok = described["paths"]["/v1/predict"]["post"]["responses"]["200"]
    schema = ok["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator.check_schema(schema)
    for query in ("", "?heatmap=1", "?pictures=1"):
        jsonschema.validate(service.predict(files, query).json, schema)
    pictured = service.predict(files[:1], "?pictures=1").json[0]["pictures"]
    assert pictured["size"] == [96, 96]


@pytest.mark.parametrize("absent", ["clear", None])
def test_a_model_of_other_labels_is_described_as_it_answers(serve, mapped, files, absent):
    labels = LabelSpace(("stroke", "abscess", "cyst", "clear"), (), absent, "finding")
    service = serve("--model", mapped(labels=labels))
    described = service.ask("GET", "/openapi.json").json
    ok = described["paths"]["/v1/predict"]["post"]["responses"]["200"]
    records = service.predict(files).json
    jsonschema.validate(records, ok["content"]["application/json"]["schema"])
    for record in records:
        assert ("finding_probability" in record) is (absent is not None)
        assert "tumor_probability" not in record


def test_metrics_count_what_was_answered(serve, files):
    service = serve()
    service.predict(files)
    text = service.ask("GET", "/metrics").body.decode()
    assert f"edge_mri_files_total {len(files)}.0\n" in text
    assert 'edge_mri_records_total{status="error"} 3.0\n' in text
    assert 'edge_mri_requests_total{path="/v1/predict",status="200"} 1.0\n' in text
    assert "edge_mri_queue_files 0.0\n" in text
    assert "edge_mri_queue_bytes 0.0\n" in text
