"""A node as a process of its own, and what speaks to it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

PATIENT = {
    "PatientName": "Secret^Name",
    "PatientID": "ID4711",
    "PatientBirthDate": "19470811",
    "AccessionNumber": "ACC4712",
}


def tool(name: str) -> str | None:
    """A program of the system's; pynetdicom brings some of the same names."""
    own = {Path(sys.executable).parent, Path(sys.prefix) / "bin"}
    folders = [one for one in os.get_exec_path() if Path(one) not in own]
    return shutil.which(name, path=os.pathsep.join([*folders, "/usr/sbin"]))


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(what: Callable[[], Any], seconds: float = 30) -> Any:
    """What comes to be true within some time."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)
    return found


def write_series(folder: Path, index: int = 1, slices: int = 6, **elements: Any) -> list[Path]:
    """A phantom of a patient, as a series."""
    import pydicom

    from edge_mri.labels import Label
    from edge_mri.phantoms.dicom import series_files
    from edge_mri.phantoms.phantom import draw_phantom

    folder.mkdir(parents=True, exist_ok=True)
    label = Label("glioma", "axial")
    image = draw_phantom(label, size_px=128, seed=5, index=index)
    files = series_files(np.asarray(image), label, slices=slices, seed=5, index=index)
    paths = []
    for number, content in enumerate(files, start=1):
        path = folder / f"{index}-{number}.dcm"
        path.write_bytes(content)
        header = pydicom.dcmread(path)
        for name, value in (PATIENT | elements).items():
            setattr(header, name, value)
        header.save_as(path)
        paths.append(path)
    return paths


class Node:
    """A node, its folder and its log."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.spool = folder / "spool"
        self.results = folder / "results.jsonl"
        self.log = folder / "log"
        self.port = free_port()
        self._environment = environment
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: object, wait: bool = True) -> "Node":
        settings = ("--spool", self.spool, "--port", self.port, "-o", self.results)
        settle = ("--settle", "0.2", "--threads", 1)
        arguments = [sys.executable, "-m", "edge_mri", "node", *settings, *settle, *options]
        before = self.told().count("listens on")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(one) for one in arguments], stderr=log, env=self._environment
            )
        if wait:
            wait_for(lambda: self.told().count("listens on") > before or self._ended())
            assert not self._ended(), self.told()
        return self

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def told(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def lines(self, kind: str | None = None) -> list[dict[str, Any]]:
        if not self.results.exists():
            return []
        found = [json.loads(one) for one in self.results.read_text().splitlines()]
        return [one for one in found if kind in (None, one["kind"])]

    def judged(self, series: int = 1, seconds: float = 40) -> list[dict[str, Any]]:
        """The lines of series, when so many have been judged."""
        return wait_for(
            lambda: found if len(found := self.lines("series")) >= series else None, seconds
        )

    def send(self, paths: list[Path], title: str = "SCANNER") -> list[int]:
        """Send files over one association; the status of each."""
        import pydicom

        with self.association(title) as link:
            return [link.send_c_store(pydicom.dcmread(path)).Status for path in paths]

    @contextmanager
    def association(self, title: str = "SCANNER", called: str = "EDGE_MRI") -> Iterator[Any]:
        """An association, by pynetdicom."""
        from pynetdicom import AE
        from pynetdicom.sop_class import (
            CTImageStorage,
            EnhancedMRImageStorage,
            MRImageStorage,
            Verification,
        )

        entity = AE(ae_title=title)
        for kind in (Verification, MRImageStorage, EnhancedMRImageStorage, CTImageStorage):
            entity.add_requested_context(kind)
        link = entity.associate("127.0.0.1", self.port, ae_title=called)
        try:
            yield link
        finally:
            if link.is_established:
                link.release()
            if link.ident is not None:
                link.join(10)
            if link.dul.socket is not None and link.dul.socket.socket is not None:
                link.dul.socket.socket.close()  # pynetdicom leaves it open when it is reset


@pytest.fixture
def node(tmp_path: Path, environment: dict[str, str]) -> Iterator[Node]:
    """A node that is not started yet."""
    one = Node(tmp_path, environment)
    yield one
    one.kill()


@pytest.fixture(scope="session")
def lab() -> SimpleNamespace:
    """What tests of a node share."""
    return SimpleNamespace(
        patient=PATIENT,
        tool=tool,
        free_port=free_port,
        wait_for=wait_for,
        write_series=write_series,
    )
