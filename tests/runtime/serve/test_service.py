"""Beginning and ending: what was taken is answered, and a second signal waits for nothing."""

import http.client
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

pytest.importorskip("starlette", reason="needs the extra [serve]")

from edge_mri.serve.config import ServeConfig


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is closed behind a test."""
    with ExitStack() as stack:
        yield stack


def head(length: int) -> bytes:
    """The head of a request whose body is to follow."""
    return (
        f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()
    )


def test_a_signal_answers_what_was_taken(serve, phantoms, stack):
    service = serve()
    files = [(path.name, path.read_bytes()) for path in sorted(phantoms.rglob("*.png"))] * 8
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(service.predict(files))) for _ in range(3)
    ]
    half = stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
    data = files[0][1]
    half.sendall(head(len(data)) + data[:100])
    for thread in threads:
        thread.start()
    until = time.monotonic() + 30
    while "edge_mri_queue_files 0.0" in service.ask("GET", "/metrics").body.decode():
        assert time.monotonic() < until
    service.run.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    half.sendall(data[100:])
    said = stack.enter_context(closing(http.client.HTTPResponse(half)))
    said.begin()
    assert (said.status, said.read().count(b"\n")) == (200, 3)
    for thread in threads:
        thread.join(60)
    assert service.run.wait(timeout=60) == 0
    assert [(one.status, len(one.json)) for one in answers] == [(200, len(files))] * 3


def test_a_second_signal_does_not_wait(serve, stack):
    service = serve()
    held = stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
    held.sendall(head(9))
    time.sleep(0.5)
    service.run.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert service.run.poll() is None
    assert service.stop() == -signal.SIGTERM


def test_a_stop_has_an_end(serve, stack):
    service = serve("--stop-seconds", 1)
    held = stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
    held.sendall(head(9))
    time.sleep(0.5)
    started = time.monotonic()
    assert service.stop(signal.SIGINT) == 0
    assert time.monotonic() - started < 10
    assert "Traceback" not in service.log.read_text()


def test_a_port_that_is_taken_is_one_line(service, command):
    ended = command("serve", "--port", service.port)
    assert ended.code == 2
    assert ended.err == (
        f"Error: the system says: Address already in use; cannot listen on 127.0.0.1 port "
        f"{service.port}; name others with --host and --port\n"
    )


def test_a_client_that_leaves_costs_no_answer(serve, phantoms):
    service = serve()
    data = next(phantoms.rglob("*.png")).read_bytes()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", service.port)) as gone:
            gone.sendall(head(len(data)) + data)
    time.sleep(1)
    text = service.ask("GET", "/metrics").body.decode()
    assert "edge_mri_queue_files 0.0\n" in text
    assert "edge_mri_queue_bytes 0.0\n" in text
    assert service.ask("GET", "/readyz").json == {"status": "ready"}
    assert "fault" not in service.log.read_text()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_needs_no_token(host):
    assert ServeConfig(host=host).is_loopback


def test_an_answer_on_a_kept_connection_does_not_wait_for_an_acknowledgement(serve):
    """What a client acknowledges late, 40 ms on Linux, holds up a second packet without NODELAY."""
    with closing(http.client.HTTPConnection("127.0.0.1", serve().port, timeout=20)) as connection:
        taken = []
        for _ in range(30):
            started = time.perf_counter()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            taken.append(time.perf_counter() - started)
    assert sorted(taken)[15] < 0.03
