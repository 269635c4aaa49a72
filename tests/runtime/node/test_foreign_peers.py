"""The node among programs that others wrote: dcmtk's tools, and Orthanc as the archive."""

import hashlib
import json
import re
import signal
import socket
import subprocess
import time
import urllib.request
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

pydicom = pytest.importorskip("pydicom", reason="needs the extra [node]")
pytest.importorskip("pynetdicom", reason="needs the extra [node]")
highdicom = pytest.importorskip("highdicom", reason="needs the extra [node]")

NOTE = "For research use, not for diagnosis."


@pytest.fixture(scope="module")
def dcmtk(lab):
    """Run one of dcmtk's programs."""
    if lab.tool("dsrdump") is None:
        pytest.skip("needs dcmtk (on Debian: apt-get install dcmtk)")

    def run(name: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [lab.tool(name), *map(str, arguments)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert not check or ended.returncode == 0, ended.stderr
        return ended

    return run


class Archive:
    """Orthanc, on the loopback, with a configuration of its own."""

    def __init__(self, lab: Any, folder: Path) -> None:
        self.port, self._http = lab.free_port(), lab.free_port()
        self._folder, self._lab = folder, lab
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        settings = {
            "Name": "archive",
            "StorageDirectory": str(folder / "data"),
            "IndexDirectory": str(folder / "data"),
            "Plugins": [],
            "HttpPort": self._http,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomPort": self.port,
            "DicomAet": "ARCHIVE",
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowStore": True,
        }
        (folder / "orthanc.json").write_text(json.dumps(settings))

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._lab.tool("Orthanc"), self._folder / "orthanc.json"],
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )
        self._lab.wait_for(lambda: self._answers("system"))

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(20)

    def _answers(self, path: str) -> bytes | None:
        try:
            return self.get(path)
        except OSError:
            return None

    def get(self, path: str, body: bytes | None = None) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._http}/{path}", body, 20) as answer:
            return answer.read()

    def series(self) -> list[dict[str, Any]]:
        return json.loads(self.get("series?expand"))

    def objects(self, modality: str) -> list[bytes]:
        """The files of all objects of a modality."""
        return [
            self.get(f"instances/{one}/file")
            for series in self.series()
            if series["MainDicomTags"]["Modality"] == modality
            for one in series["Instances"]
        ]


@pytest.fixture
def archive(lab, tmp_path):
    if lab.tool("Orthanc") is None:
        pytest.skip("needs Orthanc (on Debian: apt-get install orthanc)")
    one = Archive(lab, tmp_path / "archive")
    yield one
    one.stop()


def test_dcmtk_echoes_and_sends_and_gets_back_a_report_that_dsrdump_reads(
    lab, node, tmp_path, dcmtk, archive
):
    archive.start()
    paths = lab.write_series(tmp_path / "sent", slices=6)
    node.start("--destination", f"ARCHIVE@127.0.0.1:{archive.port}", "--heatmaps", 3)
    dcmtk("echoscu", "-aec", "EDGE_MRI", "127.0.0.1", node.port)
    dcmtk("storescu", "-aec", "EDGE_MRI", "127.0.0.1", node.port, *paths)
    (judged,) = node.judged()
    lab.wait_for(lambda: len(archive.objects("OT")) == 3 and archive.objects("SR"))
    lab.wait_for(lambda: not list((node.spool / "outgoing").iterdir()))

    source = pydicom.dcmread(paths[0])
    (report,) = archive.objects("SR")
    (tmp_path / "report.dcm").write_bytes(report)
    header = pydicom.dcmread(BytesIO(report))
    for name in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "StudyDate"):
        assert header[name].value == source[name].value, name
    assert header.SeriesInstanceUID != source.SeriesInstanceUID

    text = dcmtk("dsrdump", "+Pl", tmp_path / "report.dcm").stdout
    volume = judged["volumes"][0]
    assert "Imaging Measurement Report" in text
    assert f'"{volume["type"]}")' in text
    assert f'"{volume["peak_tumor_probability"]}"' in text
    assert text.count(f'="{NOTE}"') >= 4
    assert f"model {judged['model_sha256'][:16]}" in text
    assert judged["versions"]["edge-mri"] in text
    faults = dcmtk("dsrdump", "-Ec", tmp_path / "report.dcm").stderr
    assert "E:" not in faults, faults

    read = highdicom.sr.srread(BytesIO(report))
    groups = read.content.get_image_measurement_groups()
    assert len(groups) == 4, "the series, and three slices"
    assert groups[0].finding_type.meaning == volume["type"]
    (highest, *_) = groups[0].get_measurements()
    assert highest.name.meaning == "Probability of any tumour, in one slice"
    assert highest.value == volume["peak_tumor_probability"]
    (referenced,) = groups[1].source_images
    image = hashlib.sha256(referenced.referenced_sop_instance_uid.encode()).hexdigest()[:16]
    assert volume["peak_path"].endswith(image)


def test_heatmaps_come_as_a_secondary_capture_series_in_the_study(
    lab, node, tmp_path, archive, dcmtk
):
    archive.start()
    paths = lab.write_series(tmp_path / "sent", slices=5)
    node.start("--destination", f"ARCHIVE@127.0.0.1:{archive.port}", "--heatmaps", 2)
    node.send(paths)
    lab.wait_for(lambda: len(archive.objects("OT")) == 2)
    sources = {pydicom.dcmread(path).SOPInstanceUID for path in paths}
    series = set()
    for file in archive.objects("OT"):
        picture = pydicom.dcmread(BytesIO(file))
        assert picture.SOPClassUID.name == "Secondary Capture Image Storage"
        assert picture.StudyInstanceUID == pydicom.dcmread(paths[0]).StudyInstanceUID
        assert picture.PatientName == lab.patient["PatientName"]
        assert picture.PatientOrientation == ["L", "P"]
        assert picture.SourceImageSequence[0].ReferencedSOPInstanceUID in sources
        assert NOTE in picture.DerivationDescription
        pixels = picture.pixel_array
        assert (pixels[..., 0] != pixels[..., 2]).any(), "in colour"
        series.add(picture.SeriesInstanceUID)
    assert len(series) == 1
    (page,) = [one for one in archive.series() if one["MainDicomTags"]["Modality"] == "OT"]
    assert archive.get(f"instances/{page['Instances'][0]}/preview")[:4] == b"\x89PNG"


def test_what_an_archive_that_is_down_did_not_take_it_gets_later_and_once(
    lab, node, tmp_path, archive
):
    options = ("--destination", f"ARCHIVE@127.0.0.1:{archive.port}", "--heatmaps", 1)
    node.start(*options)
    node.send(lab.write_series(tmp_path / "sent", slices=4))
    node.judged()
    lab.wait_for(lambda: "did not take what waits" in node.told())
    node.kill()
    assert len(list((node.spool / "outgoing").iterdir())) == 2
    node.start(*options)
    archive.start()
    lab.wait_for(lambda: len(archive.objects("SR")) == 1 and len(archive.objects("OT")) == 1, 60)
    lab.wait_for(lambda: not list((node.spool / "outgoing").iterdir()))
    assert len(node.lines("series")) == 1


def test_what_the_archive_sends_back_is_not_judged(lab, node, tmp_path, archive, dcmtk):
    archive.start()
    node.start("--destination", f"ARCHIVE@127.0.0.1:{archive.port}", "--heatmaps", 1)
    node.send(lab.write_series(tmp_path / "sent", slices=4))
    (picture,) = lab.wait_for(lambda: archive.objects("OT"))
    (tmp_path / "picture.dcm").write_bytes(picture)
    sent = dcmtk(
        "storescu",
        "-aec",
        "EDGE_MRI",
        "127.0.0.1",
        node.port,
        tmp_path / "picture.dcm",
        check=False,
    )
    assert sent.returncode != 0
    assert "No presentation context" in sent.stderr or "Presentation" in sent.stderr


def test_every_encoding_that_dcmtk_can_send_is_judged(lab, node, tmp_path, dcmtk):
    """As `--help` of dcmtk's programs has them: what writes it, what sends it."""
    ways = {
        "deflated": (("dcmconv", "+td"), "-xd"),
        "big endian": (("dcmconv", "+tb"), "-xb"),
        "implicit": (("dcmconv", "+ti"), "-xi"),
        "run lengths": (("dcmcrle",), "-xr"),
        "JPEG-LS": (("dcmcjpls",), "-xt"),
        "JPEG-LS near": (("dcmcjpls", "+en", "+md", "2"), "-xu"),
        "JPEG": (("dcmcjpeg", "+eb"), "-xy"),
    }
    (path,) = lab.write_series(tmp_path / "sent", slices=1)
    node.start()
    for number, (program, sends) in enumerate(ways.values()):
        header = pydicom.dcmread(path)
        header.SOPInstanceUID += f".{number}"
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        plain, written = tmp_path / f"plain-{number}.dcm", tmp_path / f"{number}.dcm"
        header.save_as(plain)
        dcmtk(*program, plain, written)
        dcmtk("storescu", "-aec", "EDGE_MRI", sends, "127.0.0.1", node.port, written)
    lab.wait_for(lambda: len(node.lines("image")) >= len(ways))
    found = [(one["status"], one["plane"], one["error"]) for one in node.lines("image")]
    assert {one[0] for one in found} <= {"ok", "rejected"}, found
    assert {one[1] for one in found} == {"axial"}


def test_real_series_by_dcmtk_in_the_transfer_syntaxes_that_the_readers_take(
    lab, node, data_dir, dcmtk, archive
):
    archive.start()
    folder = data_dir / "dicom"
    if not folder.is_dir():
        pytest.skip("needs dicom/ in EDGE_MRI_DATA")
    node.start("--destination", f"ARCHIVE@127.0.0.1:{archive.port}", "--heatmaps", 1)
    ways = {
        "JPEG Lossless": "-xs",
        "JPEG-LS": "-xt",
        "JPEG 2000": "-xv",
        "RLE": "-xr",
        "Implicit": "-xi",
        "Big Endian": "-xb",
    }
    sent, left = [], []
    for path in sorted((folder / "transfer_syntaxes").iterdir()):
        name = pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID.name
        options = [option for part, option in ways.items() if part in name]
        told = ("-aec", "EDGE_MRI", *options, "127.0.0.1", node.port, path)
        ended = dcmtk("storescu", *told, check=False)
        (sent if ended.returncode == 0 else left).append((name, path))
    assert {"Lossless, Non-Hierarchical" in name for name, _ in left} <= {True}, left
    assert len(sent) >= 7
    for series in ("trio_t1", "philips_t1"):
        dcmtk("storescu", "-aec", "EDGE_MRI", "+sd", "127.0.0.1", node.port, folder / series)
    lab.wait_for(lambda: sum(one["images"] for one in node.lines("series")) == len(sent) + 30, 60)
    lab.wait_for(lambda: len(archive.objects("SR")) == len(node.lines("series")))
    assert {one["status"] for one in node.lines("image")} <= {"ok", "rejected"}
    told = node.told() + node.results.read_text()
    told += "".join(str(one) for one in node.spool.rglob("*"))
    assert not re.search("Test|Subject", told)
    for report in archive.objects("SR"):
        assert str(pydicom.dcmread(BytesIO(report)).PatientName) == "Test^Subject"


def test_tls_takes_who_has_a_certificate_and_nobody_else(lab, node, tmp_path, dcmtk):
    openssl = lab.tool("openssl")
    if openssl is None:
        pytest.skip("needs openssl")

    def made(name: str) -> tuple[Path, Path]:
        key, certificate = tmp_path / f"{name}.key", tmp_path / f"{name}.pem"
        new = (
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={name}",
        )
        files = ("-keyout", key, "-out", certificate, "-subj", f"/CN={name}")
        subprocess.run([openssl, *new, *files], check=True, capture_output=True)
        return key, certificate

    key, certificate = made("node")
    other_key, other = made("other")
    paths = lab.write_series(tmp_path / "sent", slices=2)
    tls = ("--tls-cert", certificate, "--tls-key", key, "--tls-ca", certificate)
    node.start(*tls)
    to = ("-aec", "EDGE_MRI", "127.0.0.1", node.port)
    trusted = ("+cf", certificate)
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", node.port)):  # which never shakes hands
        dcmtk("storescu", "+tls", key, certificate, *trusted, *to, *paths)
    assert time.monotonic() - begun < 20, "it waited for who says nothing"
    assert node.judged()[0]["images"] == 2
    assert dcmtk("echoscu", *to, check=False).returncode != 0
    assert dcmtk("echoscu", "+tls", other_key, other, *trusted, *to, check=False).returncode != 0
    dcmtk("echoscu", "+tls", key, certificate, *trusted, *to)


def test_dcmqrscp_takes_what_is_sent_back(lab, node, tmp_path, dcmtk):
    folder = tmp_path / "store"
    folder.mkdir()
    port = lab.free_port()
    settings = f"""NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
STORE {folder} RW (200, 1024mb) ANY
AETable END
"""
    (tmp_path / "dcmqrscp.cfg").write_text(settings)
    program = [lab.tool("dcmqrscp"), "-c", tmp_path / "dcmqrscp.cfg"]
    server = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        node.start("--destination", f"STORE@127.0.0.1:{port}", "--heatmaps", 1)
        node.send(lab.write_series(tmp_path / "sent", slices=2))
        lab.wait_for(lambda: len(list(folder.glob("*.*"))) >= 2)
        lab.wait_for(lambda: not list((node.spool / "outgoing").iterdir()))
    finally:
        server.terminate()
        server.wait(20)
