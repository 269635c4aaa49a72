"""A service of its own process, and clients that ask it many at a time."""

import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import BinaryIO

CLIENTS = 8
BOUNDARY = "a-boundary-that-no-file-holds"
COMMAND = [sys.executable, "-m", "edge_mri"]
KIND = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


class Service:
    """A service of its own process."""

    def __init__(self, log: BinaryIO) -> None:
        self.run = subprocess.Popen([*COMMAND, "serve", "--port", "0"], stderr=log)
        said = b""
        while b"\n" not in said:
            time.sleep(0.05)
            said = os.pread(log.fileno(), 1000, 0)
        self.port = int(said.splitlines()[0].rsplit(b":", 1)[1])

    def connect(self) -> HTTPConnection:
        """Return a connection that waits a minute for an answer."""
        return HTTPConnection("127.0.0.1", self.port, timeout=60)

    def cpu_s(self) -> float:
        """Return the processor time that it has taken; Linux alone."""
        fields = Path(f"/proc/{self.run.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float:
        """Return its resident size; Linux alone."""
        status = Path(f"/proc/{self.run.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


@contextmanager
def served() -> Iterator[Service]:
    """Run a service as long as this lasts."""
    with tempfile.TemporaryFile() as log:
        service = Service(log)
        try:
            yield service
        finally:
            service.run.terminate()
            service.run.wait()


def form(files: list[Path]) -> bytes:
    """Return a form of files, which are called by their paths."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="f"; filename="{path}"'.encode()
        + b"\r\n\r\n"
        + path.read_bytes()
        + b"\r\n"
        for path in files
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def grouped(files: list[Path], count: int) -> list[bytes]:
    """Return forms of so many files each."""
    return [form(files[start : start + count]) for start in range(0, len(files), count)]


def ask(
    service: Service,
    bodies: list[bytes],
    *,
    clients: int = CLIENTS,
    every_s: float = 0.0,
    seconds: float = 1e9,
    heard: Callable[[int, bytes], None] = lambda number, body: None,
) -> tuple[Counter[object], list[float]]:
    """Send forms from clients that keep their connections; return statuses and latencies in s.

    Args:
        service: Who is asked.
        bodies: What is sent, once each.
        clients: How many ask at a time.
        every_s: A request begins so long after the last one, whatever has been answered, and its
            latency counts from then; 0: as soon as a client is free.
        seconds: When to begin no more.
        heard: Told the number of each form that was answered, and with what.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(bodies)):
        waiting.put(number)
    statuses: Counter[object] = Counter()
    latencies: list[float] = []
    began = time.perf_counter()

    def work() -> None:
        connection = service.connect()
        while time.perf_counter() - began < seconds:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                break
            due = began + number * every_s if every_s else time.perf_counter()
            time.sleep(max(due - time.perf_counter(), 0))
            try:
                connection.request("POST", "/v1/predict", bodies[number], KIND)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, HTTPException) as error:
                statuses[type(error).__name__] += 1
                connection.close()
                connection = service.connect()
                continue
            latencies.append(time.perf_counter() - due)
            statuses[answer.status] += 1
            heard(number, body)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses, latencies
