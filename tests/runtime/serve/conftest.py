"""`edge-mri serve` as a process of its own, and a client that sends it files."""

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

BOUNDARY = "a-boundary-that-no-file-holds"


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks a service, each time over a connection of its own.

    Attributes:
        run: The process.
        port: Where it listens.
        log: The file that its stderr goes to.
        model: Its model, where a test names one.
    """

    def __init__(self, run: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.run, self.port, self.log = run, port, log
        self.model: Path | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        got = Answer(answer.status, dict(answer.getheaders()), answer.read())
        connection.close()
        return got

    def predict(self, files: list[tuple[str, bytes]], query: str = "", **headers: str) -> Answer:
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        return self.ask("POST", f"/v1/predict{query}", form(files), kind | headers)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.run.send_signal(number)
        return self.run.wait(timeout=60)


def form(files: list[tuple[str, bytes]]) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="'.encode()
        + name.encode("utf-8", "surrogateescape")
        + b'"\r\n\r\n'
        + data
        + b"\r\n"
        for name, data in files
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


@pytest.fixture(scope="module")
def serve(environment, tmp_path_factory) -> Iterator[Callable[..., Client]]:
    """Start a service with some options, behind some code; the end of a module ends them."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*options: object, before: str = "") -> Client:
        folder = tmp_path_factory.mktemp("serve")
        code = f"{before}\nfrom edge_mri.cli import main\nmain(prog_name='edge-mri')"
        command = [sys.executable, "-c", code, "serve", "--port", "0", *map(str, options)]
        log = folder / "log"
        with log.open("wb") as file:
            run = subprocess.Popen(command, stderr=file, env=environment, cwd=folder)
        running.append(run)
        until = time.monotonic() + 60
        while b"\n" not in (said := log.read_bytes()):
            assert run.poll() is None, said
            assert time.monotonic() < until
            time.sleep(0.05)
        port = int(said.splitlines()[0].rsplit(b":", 1)[1])
        return Client(run, port, log)

    yield start
    for run in running:
        if run.poll() is None:
            run.kill()
        run.wait()


@pytest.fixture(scope="session", name="form")
def _form() -> Callable[[list[tuple[str, bytes]]], bytes]:
    """Write files as a form."""
    return form


@pytest.fixture(scope="module")
def service(serve) -> Client:
    """A service as it comes."""
    return serve()
