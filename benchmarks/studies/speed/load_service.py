"""`edge-mri serve` under load: how fast beside `infer`, how late, how steady, and what it loses.

Everything runs on this machine, the clients too, so only ratios within one run mean anything: the
clients take from the cores that the service has to itself elsewhere.

    python benchmarks/studies/speed/load_service.py DIR [--files 800] [--rounds 3]
        [--requests 10000] [--slow 500] [--seconds 15]
"""

import argparse
import json
import re
import resource
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import click

from clients import CLIENTS, COMMAND, Service, ask, grouped, served

TOGETHER = 16


class Cost(NamedTuple):
    """What images cost.

    Attributes:
        rate: Images/s.
        cpu_ms: Processor time an image, the start of the process not counted.
    """

    rate: float
    cpu_ms: float

    def beside(self, other: "Cost") -> tuple[float, float]:
        """Return both as shares of another's: 1 is as good."""
        return self.rate / other.rate, other.cpu_ms / self.cpu_ms


def infer_cost(files: list[Path], listed: Path) -> Cost:
    """Return what `edge-mri infer` says of its rate, and what its processes took."""
    taken = []
    for some in (files[:1], files):
        listed.write_text("\n".join(map(str, some)))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with listed.open() as stdin:
            command = [*COMMAND, "infer", "-", "--format", "json"]
            ended = subprocess.run(command, stdin=stdin, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    found = re.search(r"\(([0-9,]+) images/s", ended.stderr)
    assert found is not None
    return Cost(float(found[1].replace(",", "")), 1000 * (taken[1] - taken[0]) / (len(files) - 1))


def throughput(files: list[Path], rounds: int, folder: Path) -> float:
    """Compare with `infer` in turn; return images/s with one file a request."""
    ratios: dict[int, list[tuple[float, float]]] = {1: [], 4: [], TOGETHER: []}
    single = 0.0
    with served() as service:
        ask(service, grouped(files[:64], 1))
        for _ in range(rounds):
            infer = infer_cost(files, folder / "files")
            for together, found in ratios.items():
                bodies = grouped(files, together)
                began, before = time.perf_counter(), service.cpu_s()
                statuses, _ = ask(service, bodies)
                rate = len(files) / (time.perf_counter() - began)
                assert statuses == {200: len(bodies)}, statuses
                found.append(
                    Cost(rate, 1000 * (service.cpu_s() - before) / len(files)).beside(infer)
                )
                single = rate if together == 1 else single
            click.echo(f"infer: {infer.rate:,.0f} images/s, {infer.cpu_ms:.2f} ms of a core each")
    for together, found in ratios.items():
        rate, cpu = (median(values) for values in zip(*found, strict=True))
        click.echo(
            f"serve, {CLIENTS} clients, {together} a request, median of {rounds} rounds: "
            f"{rate:.2f} of its images/s, {cpu:.2f} of its images a second of a core"
        )
    return single


def latency(files: list[Path], rate: float, slow: int, seconds: float) -> None:
    """Say how late answers are at half of a load, without and with slow clients."""
    every_s = 2 / rate
    bodies = grouped(files, 1) * (int(seconds / every_s / len(files)) + 1)
    with served() as service, ExitStack() as held:
        ask(service, bodies[:64])
        for count in (0, slow):
            stop = threading.Event()
            if count:
                held.callback(stop.set)
                threading.Thread(target=drip, args=[service, count, stop], daemon=True).start()
                time.sleep(1)
            statuses, latencies = ask(service, bodies, clients=32, every_s=every_s, seconds=seconds)
            cuts = [1000 * cut for cut in quantiles(latencies, n=100)]
            click.echo(
                f"half load, {count} slow clients: {dict(statuses)}, "
                f"p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms",
            )


def drip(service: Service, count: int, stop: threading.Event) -> None:
    """Keep so many connections that send a byte a second: half in headers, half in a body."""
    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"
    sockets: list[socket.socket | None] = [None] * count
    while not stop.wait(1):
        for number, one in enumerate(sockets):
            try:
                if one is None:
                    one = sockets[number] = socket.create_connection(("127.0.0.1", service.port))
                    length = b"" if number % 2 else b"Content-Length: 100000\r\n\r\n"
                    one.sendall(head + length)
                one.sendall(b"x")
            except OSError:
                if one is not None:
                    one.close()
                sockets[number] = None
    for one in sockets:
        if one is not None:
            one.close()


def steady(files: list[Path], requests: int) -> None:
    """Send many requests of which a tenth are broken; say what came back and what memory did."""
    whole = grouped(files[:40], 1)
    data = files[0].read_bytes()
    broken = [
        b"no form at all",
        whole[0][: len(whole[0]) // 2],
        whole[0].replace(data, data[: len(data) // 2]),
        whole[0].replace(data, b""),
        whole[0].replace(b"; filename=", b"; nothing="),
    ]
    bodies = [
        broken[number // 10 % len(broken)] if number % 10 == 0 else whole[number % len(whole)]
        for number in range(requests)
    ]
    errors: Counter[str] = Counter()

    def heard(number: int, body: bytes) -> None:
        given = json.loads(body)
        errors[given[0]["status"] if isinstance(given, list) else f"HTTP {given['status']}"] += 1

    with served() as service:
        sizes, statuses = [], Counter[object]()
        step = max(requests // 5, 1)
        for start in range(0, requests, step):
            part, _ = ask(service, bodies[start : start + step], heard=heard)
            statuses += part
            sizes.append(service.resident_mb())
    click.echo(f"{requests:,} requests, a tenth broken: {dict(statuses)}, {dict(errors)}")
    click.echo("resident after each fifth: " + ", ".join(f"{size:.0f} MB" for size in sizes))


def killed(files: list[Path]) -> None:
    """Kill it under load; what had been answered is whole, the rest is answered by the next."""
    bodies = grouped(files, 4)
    answers: dict[int, str] = {}

    def heard(number: int, body: bytes) -> None:
        answers[number] = json.dumps(json.loads(body))

    with served() as service:
        threading.Timer(0.3, service.run.kill).start()
        ask(service, bodies, heard=heard, seconds=1)
    before = dict(answers)
    with served() as service:
        ask(service, bodies, heard=heard)
    same = sum(answers[number] == body for number, body in before.items())
    click.echo(
        f"kill -9: {len(before)} of {len(bodies)} requests had been answered, all of them whole;"
    )
    click.echo(
        f"the next service gave {same} of these the same answer, and one to all {len(answers)}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="images")
    parser.add_argument("--files", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--slow", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=15)
    arguments = parser.parse_args()
    found = sorted(path for path in arguments.folder.rglob("*") if path.is_file())
    files = found[:: max(len(found) // arguments.files, 1)][: arguments.files]
    with tempfile.TemporaryDirectory() as folder:
        single = throughput(files, arguments.rounds, Path(folder))
    latency(files, single, arguments.slow, arguments.seconds)
    steady(files, arguments.requests)
    killed(files)


if __name__ == "__main__":
    main()
