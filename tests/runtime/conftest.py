"""The command line, in this process and as a process of its own, and the packaged model."""

import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from edge_mri.classifier import Classifier
from edge_mri.cli import main
from edge_mri.model.content_hash import HASH_KEY, _without

_NUMBER = re.compile(rb"\d+\.\d+(?:e-\d+)?|\d+e-\d+")


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Tab:
    """A page in a headless browser, over the DevTools protocol on two pipes."""

    def __init__(self, chromium: str, profile: Path) -> None:
        ours, self._in = os.pipe()
        self._out, theirs = os.pipe()
        start = (
            "import os, sys; a, b = os.dup(int(sys.argv[1])), os.dup(int(sys.argv[2]));"
            "a, b = (os.dup(one) if one < 5 else one for one in (a, b));"
            "os.dup2(a, 3); os.dup2(b, 4); os.execv(sys.argv[3], sys.argv[3:])"
        )
        self._run = subprocess.Popen(
            [sys.executable, "-c", start, str(ours), str(theirs), chromium,
             "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--disable-dev-shm-usage", f"--user-data-dir={profile}", "--remote-debugging-pipe"],
            pass_fds=(ours, theirs), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(ours)
        os.close(theirs)
        self._number, self._buffer, self._session = 0, b"", None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._in, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def evaluate(self, script: str) -> Any:
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + 60
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._out], [], [], max(until - time.monotonic(), 0))
            assert ready, "the browser does not answer"
            self._buffer += os.read(self._out, 1 << 20)
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def close(self) -> None:
        self._run.terminate()
        self._run.wait(timeout=30)
        os.close(self._in)
        os.close(self._out)


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs chromium, to open a page as a reader does")
    tab = Tab(chromium, tmp_path / "profile")
    yield tab
    tab.close()


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run `edge-mri` with some arguments in this process."""

    def run(*arguments: object) -> Ended:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments], prog_name="edge-mri")
        code = end.value.code
        assert isinstance(code, int)
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Environment variables under which a child process imports what this one does."""
    # Importing edge_mri sets OpenCV's and onnxruntime's; a child must come to set them itself.
    theirs = ("OPENCV_", "ORT_")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(theirs)}
    return {**inherited, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def process(environment: dict[str, str]) -> Callable[..., Ended]:
    """Run Python with some arguments as a process of its own."""

    def run(*arguments: object, **options: Any) -> Ended:
        given = [sys.executable, *(str(argument) for argument in arguments)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment}
        ended = subprocess.run(given, text=True, check=False, timeout=120, **(streams | options))
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    """The packaged model."""
    return Classifier.load(device="cpu")


@pytest.fixture(scope="session")
def model(classifier: Classifier) -> bytes:
    """The packaged model as a file of the first version, which does not hash what is in it."""
    plain = _without(classifier.path.read_bytes(), (HASH_KEY,))
    return plain.replace(b'"schema_version": 2', b'"schema_version": 1', 1)


@pytest.fixture(scope="session")
def alike() -> Callable[..., bool]:
    """Whether a file holds the first records of another, or all of them.

    The last of six digits may differ by one: which images share a call decides in what order the
    last layers, which are not integers, add up.
    """

    def compared(found: bytes, whole: bytes, *, all_: bool = True) -> bool:
        lines, expected = found.splitlines(), whole.splitlines()
        expected = expected if all_ else expected[: len(lines)]
        if [_NUMBER.sub(b"#", line) for line in lines] != [
            _NUMBER.sub(b"#", line) for line in expected
        ]:
            return False
        numbers = (
            [float(one) for line in some for one in _NUMBER.findall(line)]
            for some in (lines, expected)
        )
        return bool(np.allclose(*numbers, rtol=0, atol=1.5e-6))

    return compared


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """One readable image, 70 x 90 px PNG, alone in its folder."""
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90), np.uint8)
    path = tmp_path / "pictures" / "picture.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture
def mixed(phantoms: Path, tmp_path: Path) -> Path:
    """A folder with two images, two files that are none, and one of another kind."""
    folder = tmp_path / "mixed"
    (folder / "sub").mkdir(parents=True)
    first, second = sorted(phantoms.rglob("*.png"))[:2]
    (folder / "a.png").write_bytes(first.read_bytes())
    (folder / "b.jpg").touch()
    (folder / "sub/c.PNG").write_bytes(second.read_bytes())
    (folder / "sub/d.png").write_bytes(second.read_bytes()[:-50])
    (folder / "sub/notes.txt").write_text("not an image")
    return folder
