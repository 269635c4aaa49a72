"""`edge-mri infer` on URLs: a bucket of a real S3 server over HTTP, and a plain web server."""

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("s3fs", reason="needs the extra [cloud]")

SECRETS = ("SECRET-OF-THE-TESTS", "AKIA-OF-THE-TESTS", "Signature=", "hunter2")


@pytest.fixture
def scans(s3, phantoms):
    """A bucket with the phantoms and what else lies in buckets."""
    files = {str(one.relative_to(phantoms)): one.read_bytes() for one in phantoms.rglob("*.png")}
    odd = "odd/a b?c#d+%41é.png"
    files |= {odd: files[min(files)], "empty.png": b"", "sub/": b"", ".git/x.png": b"x"}
    files |= {"notes.txt": b"no image"}
    s3.store("scans", {f"set/{name}": data for name, data in files.items()})
    return "s3://scans/set"


@pytest.fixture
def web(tmp_path):
    """A web server that knows no ranges, and has a file without an end."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            if self.path.startswith("/endless"):
                self.send_response(200)
                self.end_headers()
                try:
                    while True:
                        self.wfile.write(bytes(65536))
                except OSError:
                    return
            super().do_GET()

    folder = tmp_path / "web"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"127.0.0.1:{server.server_port}"
        server.shutdown()


def records(text):
    return {one["path"]: one for one in map(json.loads, text.splitlines())}


def test_records_are_those_of_the_same_files_here(command, scans, phantoms):
    there = command("infer", scans, "--format", "jsonl")
    here = command("infer", phantoms, "--format", "jsonl")
    assert (there.code, here.code) == (1, 0)
    found = records(there.out)
    empty = found.pop(f"{scans}/empty.png")
    assert (empty["status"], empty["error"]) == ("error", "the file is empty")
    odd = found.pop(f"{scans}/odd/a b?c#d+%41é.png")
    assert odd["status"] != "error"
    expected = {
        f"{scans}/{Path(path).relative_to(phantoms)}": record
        for path, record in records(here.out).items()
    }
    assert {path: one | {"path": ""} for path, one in found.items()} == {
        path: one | {"path": ""} for path, one in expected.items()
    }
    assert "skipped 1 other files" in there.err


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("set/*_axial/*-0001.png", 4),
        ("set/**/*-0002.png", 12),
        ("set/glioma_a*", 4),
        ("set/glioma_axial/phantom-000[12].png", 2),
        ("**/phantom-0001.png", 12),
        ("set/.git/*", 1),
    ],
)
def test_patterns(command, scans, pattern, count):
    ended = command("infer", f"s3://scans/{pattern}", "--format", "jsonl")
    assert len(ended.out.splitlines()) == count


def test_a_list_on_stdin_may_name_them(process, environment, s3, scans):
    names = f"{scans}/glioma_axial/phantom-0001.png\n{scans}/gone.png\n"
    done = process(
        "-m", "edge_mri", "infer", "-", "--format", "jsonl",
        stdin=None, input=names, env=environment | s3.variables,
    )  # fmt: skip
    first, gone = records(done.out).values()
    assert first["status"] != "error"
    assert gone["error"] == "cannot read the file: there is no such file"


def test_a_run_goes_on(command, scans, tmp_path):
    output = tmp_path / "records.jsonl"
    assert command("infer", scans, "-o", output).code == 1
    whole = output.read_bytes()
    output.write_bytes(b"".join(whole.splitlines(keepends=True)[:20]))
    assert command("infer", scans, "-o", output, "--resume").code == 1
    assert output.read_bytes() == whole


def test_pairs_and_volumes(command, s3, tmp_path):
    nib = pytest.importorskip("nibabel", reason="needs the extra [nifti]")
    values = np.random.default_rng(0).integers(0, 900, (32, 32, 8)).astype(np.int16)
    nib.save(nib.Nifti1Pair(values, np.diag([3, 3, 9, 1])), tmp_path / "pair.img")
    s3.store("pairs", {f"v/{one.name}": one.read_bytes() for one in tmp_path.glob("pair.*")})
    ended = command("infer", "s3://pairs/v", "--format", "jsonl")
    assert [json.loads(line)["path"] for line in ended.out.splitlines()] == [
        "s3://pairs/v/pair.hdr"
    ] * 8
    assert "volume 's3://pairs/v/pair.hdr': 8 slices" in ended.err


def test_series_and_a_dicomdir(command, s3, tmp_path):
    pydicom = pytest.importorskip("pydicom", reason="needs the extra [dicom]")
    samples = Path(pydicom.__file__).parent / "data/test_files"
    slice_ = pydicom.dcmread(samples / "MR_small.dcm")
    for number in range(3):
        slice_.ImagePositionPatient = [0, 0, 5.0 * number]
        slice_.SOPInstanceUID = slice_.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number + 1}"
        slice_.save_as(tmp_path / f"{number}")
    s3.store("series", {f"s/{one.name}/IM": one.read_bytes() for one in tmp_path.iterdir()})
    ended = command("infer", "s3://series", "--format", "jsonl")
    assert sorted(records(ended.out)) == [f"s3://series/s/{one}/IM" for one in range(3)]
    assert "volume 's3://series/s': 3 slices" in ended.err
    media = samples / "dicomdirtests"
    files = [one for one in media.rglob("*") if one.is_file() and "77654033" in str(one)]
    files += [media / "DICOMDIR"]
    s3.store("media", {f"cd/{one.relative_to(media)}": one.read_bytes() for one in files})
    ended = command("infer", "s3://media/cd/DICOMDIR", "--format", "jsonl")
    found = records(ended.out)
    assert len(found) == 31
    assert sum(one["error"] is None for one in found.values()) == len(files) - 1


def test_the_web(command, web, phantoms):
    folder, host = web
    name = "a scan.png"
    (folder / name).write_bytes(next(iter(sorted(phantoms.rglob("*.png")))).read_bytes())
    url = f"http://me:hunter2@{host}/a%20scan.png?Signature=hunter2&n=1"
    ended = command("infer", url, f"http://{host}/gone.png", f"http://{host}/", "--format", "jsonl")
    assert [(one, record["status"] == "error") for one, record in records(ended.out).items()] == [
        (f"http://***@{host}/a%20scan.png?Signature=***&n=1", False),
        (f"http://{host}/gone.png", True),
        (f"http://{host}/a%20scan.png", False),
    ]
    assert "hunter2" not in ended.out + ended.err


def test_a_file_without_an_end_is_left_off(command, web):
    _, host = web
    ended = command(
        "infer", f"http://{host}/endless.png", "--max-bytes", "100000", "--format", "jsonl"
    )
    (record,) = records(ended.out).values()
    assert record["error"] == (
        "image too large: more than 100,000 bytes, the limit is 100,000 bytes (--max-bytes)"
    )


def test_a_file_that_is_too_large_is_not_fetched(command, s3):
    s3.store("large", {"a.png": bytes(5000)})
    ended = command("infer", "s3://large", "--max-bytes", "1000", "--format", "jsonl")
    (record,) = records(ended.out).values()
    assert record["error"] == "image too large: 5,000 bytes, the limit is 1,000 bytes (--max-bytes)"


def test_a_listing_is_read_page_by_page(s3, monkeypatch):
    from edge_mri.images import ImageFiles
    from edge_mri.remote import listing
    from edge_mri.remote.filesystems import filesystem
    from edge_mri.remote.url import Url

    s3.store("pages", {f"{number:03d}.png": b"" for number in range(50)})
    monkeypatch.setattr(listing, "_PAGE", 10)
    fs = filesystem(Url("s3://pages"))
    asked = []
    whole = fs.call_s3

    def counted(method, **options):
        asked.append(options)
        return whole(method, **options)

    monkeypatch.setattr(fs, "call_s3", counted)
    found = iter(ImageFiles([Url("s3://pages")]))
    asked.clear()
    assert [one.name for one in islice(found, 15)] == [f"{number:03d}.png" for number in range(15)]
    assert len([one for one in asked if one["MaxKeys"] == 10]) == 2
    assert len(list(found)) == 35
    assert not fs.dircache


@pytest.mark.parametrize(
    ("url", "changed", "message"),
    [
        ("s3://none-such/a", {}, "cannot reach s3://none-such/a: there is no such bucket"),
        ("s3://scans/gone", {}, "no such file or folder: s3://scans/gone"),
        ("s3://scans/**.png", {}, "no such file or folder: s3://scans/**.png"),
        (
            "s3://AKIA:hun/ter2@scans/a",
            {},
            "cannot reach s3://***: expected the name of a bucket behind ://; credentials belong "
            "into the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        (
            "s3://scans/set",
            {
                "AWS_ACCESS_KEY_ID": "",
                "AWS_SECRET_ACCESS_KEY": "",
                "AWS_EC2_METADATA_DISABLED": "1",
            },
            "cannot reach s3://scans/set: there are no credentials; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for a bucket that is open to all "
            "FSSPEC_S3_ANON=true",
        ),
        (
            "s3://scans/set",
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"},
            "cannot reach s3://scans/set: its server cannot be reached; check the address (of S3 "
            "also AWS_ENDPOINT_URL) and the network",
        ),
        (
            "file:///tmp/a.png",
            {},
            "cannot reach file:///tmp/a.png: it lies on this machine; name it by its path: "
            "/tmp/a.png",
        ),
        (
            "none://a/b",
            {},
            "cannot reach none://a/b: none:// is not known; expected s3://, gs://, http://, "
            "https://, or another scheme that fsspec knows",
        ),
    ],
)
def test_what_cannot_be_reached_is_one_line(
    process, environment, s3, scans, url, changed, message, tmp_path
):
    variables = environment | s3.variables | {"HOME": str(tmp_path)} | changed
    done = process("-m", "edge_mri", "infer", url, env=variables)
    assert (done.code, done.out, done.err) == (2, "", f"Error: {message}\n")


def test_no_credential_is_told(process, environment, s3, scans, tmp_path):
    signed = s3.client.generate_presigned_url(
        "get_object", Params={"Bucket": "scans", "Key": "set/glioma_axial/phantom-0001.png"}
    )
    assert any(one in signed for one in SECRETS)
    output = tmp_path / "records.jsonl"
    done = process(
        "-m", "edge_mri", "infer", signed, signed.replace("0001", "gone"), scans, "-o", output,
        env=environment | s3.variables,
    )  # fmt: skip
    assert done.code == 1
    told = done.out + done.err + output.read_text()
    named = list(records(output.read_text()))
    assert named[0].startswith(f"{s3.address}/scans/set/glioma_axial/phantom-0001.png?")
    assert not [one for one in SECRETS if one in told.replace("Signature=***", "")]
    assert "AKIA" not in told


@pytest.mark.parametrize(
    ("gone", "url"), [("fsspec", "s3://a/b"), ("s3fs", "s3://a/b"), ("aiohttp", "http://h/a/")]
)
def test_a_missing_extra_is_named(process, gone, url):
    code = f"import sys; sys.modules[{gone!r}] = None; from edge_mri.cli import main; main()"
    line = (
        f"needs {gone}, which is not installed; type: pip install 'edge-mri[cloud]' "
        "(in a checkout: pip install '.[cloud]')"
    )
    scheme = url.partition("://")[0]
    done = process("-c", code, "infer", url)
    assert (done.code, done.err) == (2, f"Error: cannot reach {url}: {scheme}:// {line}\n")
    done = process("-c", code, "infer", "-", "--format", "jsonl", input=f"{url}\n")
    assert json.loads(done.out)["error"] == f"cannot read the file: {scheme}:// {line}"


def test_a_folder_that_looks_like_a_url_is_one(command, phantoms, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:" / "bucket").mkdir(parents=True)
    image = next(iter(sorted(phantoms.rglob("*.png")))).read_bytes()
    (tmp_path / "s3:" / "bucket" / "a.png").write_bytes(image)
    for given in ("./s3:/bucket", "./s3://bucket", "s3:/bucket"):
        ended = command("infer", given, "--format", "jsonl")
        assert list(records(ended.out)) == ["s3:/bucket/a.png"]


@pytest.mark.parametrize("option", ["--report", "--volumes", "--heatmaps", "--model"])
def test_what_is_written_here_is_no_url(command, phantoms, option):
    ended = command("infer", phantoms, option, "s3://bucket/x?y")
    assert (ended.code, ended.err) == (
        2,
        f"Error: {option} is s3://bucket/x?y; expected a path of this machine (a folder whose "
        "name looks like that: behind ./)\n",
    )


def test_a_start_without_urls_imports_nothing_for_them(process, picture):
    code = (
        "import sys; from edge_mri.cli import main\n"
        "try: main()\n"
        "except SystemExit: print({'fsspec', 's3fs', 'aiohttp', 'asyncio'} & set(sys.modules))"
    )
    done = process("-c", code, "infer", picture, "--format", "csv")
    assert done.out.splitlines()[-1] == "set()"
