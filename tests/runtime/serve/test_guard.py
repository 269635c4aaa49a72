"""Who may ask, what is refused, and what nobody may find afterwards: a name, a file, a token."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack, closing, suppress
from http.client import HTTPSConnection
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_mri.errors import OptionError

pytest.importorskip("starlette", reason="needs the extra [serve]")

from edge_mri.serve.config import ServeConfig
from edge_mri.serve.tokens import Tokens

BOUNDARY = "a-boundary-that-no-file-holds"
TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def picture(phantoms) -> bytes:
    return next(phantoms.rglob("*.png")).read_bytes()


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"# of the ward\n{TOKEN}\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", ""])
def test_a_name_that_was_made_to_point_here_is_refused(service, host):
    answer = service.ask("GET", "/", headers={"Host": host})
    assert answer.status == 421
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8350", "192.168.1.7"])
def test_this_machine_and_plain_addresses_are_not(service, host):
    assert service.ask("GET", "/healthz", headers={"Host": host}).status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", ""])
def test_a_page_of_another_origin_may_not_ask(service, picture, origin):
    answer = service.predict([("a.png", picture)], Origin=origin)
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers


def test_its_own_page_may(service, picture):
    answer = service.predict([("a.png", picture)], Origin=service.url.rstrip("/"))
    assert answer.status == 200
    assert "access-control-allow-origin" not in answer.headers


def test_a_foreign_page_may_where_it_was_allowed_to(serve, picture):
    origin = "https://viewer.example"
    service = serve("--allow-origin", origin, "--allow-host", "Scanner.example")
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    assert service.ask("OPTIONS", "/v1/predict", headers=asked).status == 200
    answer = service.predict([("a.png", picture)], Origin=origin, Host="scanner.example:80")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, origin)
    assert service.predict([("a.png", picture)], Origin="https://other.example").status == 403


def test_every_answer_has_the_headers_of_a_strict_policy(service):
    for path, status in (("/", 200), ("/nothing", 404), ("/v1/predict", 405)):
        answer = service.ask("GET", path)
        assert answer.status == status
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


def test_other_machines_need_a_token(command):
    ended = command("serve", "--host", "0.0.0.0", "--port", 0)
    assert ended.code == 2
    assert ended.err.startswith("Error: --host 0.0.0.0 lets other machines ask: name who may with")


def test_a_token_is_asked_for(serve, picture, token_file):
    service = serve("--host", "0.0.0.0", "--token-file", token_file)
    files = [("a.png", picture)]
    refused = [service.predict(files), service.predict(files, Authorization="Bearer wrong")]
    refused.append(service.predict(files, Authorization=f"Basic {TOKEN}"))
    refused.append(service.ask("GET", "/metrics"))
    assert [one.status for one in refused] == [401] * 4
    assert refused[0].headers["www-authenticate"] == "Bearer"
    assert service.predict(files, Authorization=f"Bearer {TOKEN}").status == 200
    for path in ("/", "/healthz", "/readyz", "/openapi.json", "/assets/serve.js"):
        assert service.ask("GET", path).status == 200
    assert TOKEN not in service.log.read_text()


def test_tls_is_spoken_with_a_certificate(serve, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key,
         "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    service = serve("--certificate", certificate, "--private-key", key)
    trust = ssl.create_default_context(cafile=str(certificate))
    with closing(HTTPSConnection("localhost", service.port, timeout=30, context=trust)) as asking:
        asking.request("GET", "/healthz")
        assert asking.getresponse().read() == b'{"status":"ok"}'
    assert b"serves at https://127.0.0.1:" in service.log.read_bytes()


def test_a_certificate_that_is_not_there_is_one_line(command, tmp_path):
    asked = ("--certificate", tmp_path / "no.pem", "--private-key", tmp_path / "no.pem")
    ended = command("serve", "--port", 0, *asked)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith("Error: --certificate ")


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        ("", 0o600, "expected a token of 16 characters or more in each line"),
        ("short\n", 0o600, "expected a token of 16 characters or more in each line"),
        (TOKEN, 0o644, "others may read it; type: chmod 600"),
        ("Schlüssel" * 4, 0o600, "expected ASCII text, one token per line"),
    ],
)
def test_a_token_file_that_protects_nothing_is_refused(tmp_path, text, mode, reason):
    path = tmp_path / "tokens"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    with pytest.raises(OptionError, match=re.escape(reason)):
        Tokens(path)


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX systems")
def test_a_credential_of_systemd_is_read_and_the_same_file_elsewhere_is_not(tmp_path, monkeypatch):
    """Its service may read it by an ACL, which shows as rights of the group."""
    path = tmp_path / "tokens"
    path.write_text(TOKEN)
    path.chmod(0o440)
    with pytest.raises(OptionError, match="others may read it"):
        Tokens(path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert Tokens(path).include(f"Bearer {TOKEN}".encode())
    path.chmod(0o444)
    with pytest.raises(OptionError, match="others may read it"):
        Tokens(path)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"allow_origin": ("*",)}, "expected an origin"),
        ({"allow_host": ("box.example", "https://box.example")}, "--allow-host https.*: .* alone"),
        ({"allow_host": ("box.example:8350",)}, "without https:// and port"),
        ({"allow_host": ("*",)}, "expected a name"),
        ({"certificate": "a.pem"}, "--certificate and --private-key go together"),
        ({"max_request_bytes": 2**31}, "--queue-bytes 1073741824 holds no request"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, reason):
    with pytest.raises(OptionError, match=reason):
        ServeConfig(**options)


@pytest.fixture(scope="module")
def small(serve):
    """A service with small limits."""
    return serve(
        *("--max-files", 3, "--max-request-bytes", 60_000, "--max-bytes", 50_000),
        *("--max-pixels", 10_000, "--queue-bytes", 60_000),
    )


def test_too_many_files_and_bytes_are_413(small, picture):
    assert small.predict([("a.png", picture)] * 4).status == 413
    assert small.predict([("a.png", bytes(50_001))]).status == 413
    assert small.predict([("a.png", bytes(30_000))] * 3).status == 413
    assert small.ask("POST", "/v1/predict", bytes(50_001)).status == 413
    told = small.ask("POST", "/v1/predict", bytes(10_000_000)).json["detail"]
    assert (
        told
        == "the body has more than 60,000 bytes (--max-request-bytes): send fewer files at a time"
    )
    assert small.predict([("a.png", picture)] * 3).status == 200


def test_too_many_pixels_are_a_record_as_in_infer(serve, picture):
    service = serve("--max-pixels", 1000)
    (record,) = service.predict([("a.png", picture)]).json
    assert record["error"] == (
        "image too large: 96 x 96 pixels, the limit is 1,000 pixels (--max-pixels)"
    )


def test_a_body_without_a_length_is_bounded_too(small):
    with socket.create_connection(("127.0.0.1", small.port), timeout=30) as sender:
        sender.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n")
        sender.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            sender.sendall(b"2710\r\n" + bytes(10_000) + b"\r\n")
        sender.sendall(b"0\r\n\r\n")
        assert sender.recv(20).startswith(b"HTTP/1.1 413 ")


def test_what_finds_no_room_is_told_when_to_come_again(small, picture):
    held = socket.create_connection(("127.0.0.1", small.port))
    head = "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\n"
    held.sendall(head.encode() + bytes(49_000))
    time.sleep(0.5)
    answer = small.predict([("a.png", picture + bytes(20_000))])
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) >= 1
    held.close()
    time.sleep(0.5)
    assert small.predict([("a.png", picture)]).status == 200


FIELD = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "image/png", 400),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 400),
        (b"--x\r\nContent-Disp", "multipart/form-data; boundary=x", 400),
        (b"nothing of it", "multipart/form-data; boundary=x", 400),
        (b"", "multipart/form-data", 400),
        (FIELD, "multipart/form-data; boundary=x", 400),
    ],
)
def test_a_body_that_is_no_file_is_400(service, body, kind, status):
    answer = service.ask("POST", "/v1/predict", body, {"Content-Type": kind})
    assert answer.status == status
    assert answer.json["status"] == status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/predict/", 404),
        ("GET", "/healthz/", 404),
        ("POST", "/predict", 404),
        ("GET", "/v1/predict", 405),
        ("DELETE", "/", 405),
    ],
)
def test_what_is_not_here_is_refused_with_where_to_look(service, picture, method, path, status):
    answer = service.ask(method, path, picture if method == "POST" else None)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert "/openapi.json" in answer.json["detail"]


@pytest.mark.parametrize("query", ["?heatmap=yes", "?heatmaps=1", "?pictures=", "?x="])
def test_a_question_that_nobody_knows_is_400(service, picture, query):
    assert service.predict([("a.png", picture)], query).status == 400


def test_a_packed_body_is_415(service, picture):
    packed = {"Content-Encoding": "gzip"}
    assert service.ask("POST", "/v1/predict", picture, packed).status == 415


HURRY = """
from edge_mri.serve import connections, uploads
connections.HEADER_S = connections.READ_S = uploads.GRACE_S = 2
connections.SLOWEST_READ_BYTES_S = 10**9
"""


@pytest.fixture(scope="module")
def hurried(serve):
    """A service that waits two seconds, where others wait ten and more."""
    return serve(before=HURRY)


@pytest.fixture
def dial(hurried):
    """Open connections to it, which end with the test."""
    with ExitStack() as stack:

        def dialled() -> socket.socket:
            where = ("127.0.0.1", hurried.port)
            return stack.enter_context(socket.create_connection(where, timeout=20))

        yield dialled


HEAD = b"POST /v1/predict?heatmap=1 HTTP/1.1\r\nHost: localhost\r\n"


def test_slow_clients_keep_nobody_waiting_and_are_sent_away(hurried, dial, picture):
    slow = [dial() for _ in range(200)]
    for one in slow:
        one.sendall(HEAD[:-4])
    started = time.monotonic()
    assert hurried.predict([("a.png", picture)]).status == 200
    assert time.monotonic() - started < 5
    assert slow[0].recv(1) == b""
    assert slow[-1].recv(1) == b""


def test_a_header_that_never_ends_is_not_waited_for_however_it_drips(dial):
    slow = dial()
    started = time.monotonic()
    with suppress(ConnectionError):
        while time.monotonic() - started < 20:
            slow.sendall(b"X")
            time.sleep(0.2)
    assert time.monotonic() - started < 15


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "begin",
    [HEAD + b"X: ", HEAD[:5], CHUNKED + b"1\r\na\r\n0\r\nX: ", CHUNKED + b"1;x="],
    ids=["header", "path", "trailer", "extension"],
)
def test_headers_without_an_end_are_not_kept(dial, begin):
    sent, greedy = 0, dial()
    with suppress(ConnectionError):
        greedy.sendall(begin)
        while sent < 2**24:
            sent += greedy.send(b"x" * 2**15)
    assert sent < 2**24
    with suppress(ConnectionError):
        assert greedy.recv(2**10).startswith(b"HTTP/1.1 400 ")


def test_a_body_that_comes_too_slowly_is_408(hurried, dial):
    slow = dial()
    slow.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n" + bytes(10))
    assert slow.recv(20).startswith(b"HTTP/1.1 408 ")
    assert "edge_mri_queue_bytes 0.0\n" in hurried.ask("GET", "/metrics").body.decode()


def test_an_answer_that_nobody_reads_is_let_go(hurried, dial, picture, form):
    lazy = dial()
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    body = form([("a.png", picture)] * 400)
    kind = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n".encode()
    lazy.sendall(HEAD + kind + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    until = time.monotonic() + 30
    while " 400 files 400 records " not in hurried.log.read_text():
        assert time.monotonic() < until
        time.sleep(0.1)
    time.sleep(4)
    read = bytearray()
    with suppress(ConnectionError):
        while part := lazy.recv(1 << 20):
            read += part
    (length,) = re.findall(rb"content-length: (\d+)", read)
    assert len(read) < int(length)


def test_the_log_names_nobody(serve, picture):
    service = serve()
    secret = "Muster^Max.png"
    service.predict([(secret, picture), (secret, b"broken")], f"?name={secret}")
    service.ask("GET", f"/{secret}?{secret}")
    service.ask("POST", f"/v1/predict?name={secret}", picture)
    service.ask(secret.upper(), "/")
    assert service.stop() == 0
    text = service.log.read_text()
    assert re.search(r"^\S+Z POST /v1/predict 200 2 files 2 records \d+ bytes \d+ ms$", text, re.M)
    assert re.search(r"^\S+Z GET - 404 \d+ ms$", text, re.M)
    assert "muster" not in text.lower()
    assert "127.0.0.1 " not in text


def test_no_byte_of_an_image_is_written(serve, picture):
    """Linux counts what a process writes to files; what it sends is not among that."""
    service = serve()
    counter = Path(f"/proc/{service.run.pid}/io")
    if not counter.exists():
        pytest.skip("needs /proc/PID/io")

    def written() -> int:
        return int(re.search(r"^wchar: (\d+)$", counter.read_text(), re.M)[1])

    noise = np.random.default_rng(0).integers(0, 256, (2000, 2000), np.uint8)
    large = [(f"a{kind}", cv2.imencode(kind, noise)[1].tobytes()) for kind in (".png", ".tif")]
    large.append(("pages", cv2.imencodemulti(".tif", [noise[:500]] * 3)[1].tobytes()))
    assert service.predict([("a.png", picture)]).status == 200
    before = written()
    for query in ("", "?heatmap=1&pictures=1"):
        records = service.predict(large, query).json
        assert len(records) == 5
        assert not any(record["error"] for record in records)
    assert service.ask("POST", "/v1/predict", large[0][1]).status == 200
    assert written() - before < 2000
