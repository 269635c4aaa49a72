"""Many starts at once over one cache of optimised models, one of them another user's.

    python benchmarks/studies/robustness/race_starts.py [--rounds 30] [--json FILE]

Every start gives the records of a start without a cache. Alone: starts at once, some killed; what
the killed ones left is gone after the next cold start. With another user, where this one is root:
everybody may write to the root of the cache, and somebody does nothing but put another model's
optimised form there, under the right name and with a hash that fits. As a control the same file is
put there by this user, where it is trusted: it must change the answer, or the test shows nothing.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from campaign import Campaign, arguments, process
from edge_mri.classifier import SHIPPED_MODEL, Classifier
from edge_mri.model.session_cache import SessionCache
from edge_mri.phantoms.phantom import PhantomConfig, write_phantoms

AT_ONCE = 4
NOBODY = 65_534


def campaign(rounds: int) -> Campaign:
    """Start `AT_ONCE` processes in each round of each setting."""
    counted = Campaign("races")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_phantoms(folder / "set", PhantomConfig(count=1, size_px=96, format="png"))
        image = sorted((folder / "set").rglob("*.png"))[0]
        cache = folder / "cache"
        expected = _started(image, cache, EDGE_MRI_CACHE="off")[0].out
        for number in range(rounds):
            if number % 3 == 0:
                shutil.rmtree(cache, ignore_errors=True)
            _round(counted, "alone", image, cache, expected, kill=number % 2 == 1)
        _control(counted, image, cache, expected)
        if os.geteuid() == 0:
            _with_another(counted, rounds, image, folder / "shared", expected)
    return counted


def _round(
    counted: Campaign, group: str, image: Path, cache: Path, expected: str, kill: bool = False
) -> None:
    given = [sys.executable, "-m", "edge_mri", *_given(image)]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    if kill:
        children = [
            subprocess.Popen(given, env=environment, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
            for _ in range(AT_ONCE)
        ]  # fmt: skip
        for child in children:
            time.sleep(random.uniform(0, 0.2))
            child.kill()
            child.wait()
            counted.note(f"{group}, killed", "killed")
    children = [
        subprocess.Popen(given, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)
        for _ in range(AT_ONCE)
    ]  # fmt: skip
    for child in children:
        out, err = child.communicate(timeout=120)
        found = "" if out == expected else "another answer"
        if child.returncode or "Traceback" in err:
            found = f"exit code {child.returncode}"
        counted.note(group, "same records", found=found, case=err[-200:])
    if group != "alone":
        return
    left = [path.name for path in cache.rglob("*") if path.suffix in (".onnx", ".tmp")]
    if left:  # killed ones go at the next cold start
        shutil.rmtree(cache)
        counted.note(group, "left by a kill until the next cold start")


def _given(image: Path) -> list[str]:
    return ["infer", str(image), "--format", "jsonl", "--device", "cpu", "--threads", "1"]


def _started(image: Path, cache: Path, **more: str) -> list[object]:
    return [process(*_given(image), env=os.environ | {"XDG_CACHE_HOME": str(cache)} | more)]


def poison(folder: Path) -> bytes:
    """Return what the cache would hold of the packaged model, with other weights in it."""
    model = onnx.load(SHIPPED_MODEL)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.int8 and values.size > 16:
            turned = np.ascontiguousarray(-np.maximum(values, -127))
            tensor.CopyFrom(onnx.numpy_helper.from_array(turned, tensor.name))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 4
    providers = ["CPUExecutionProvider"]
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)
    optimised = (folder / "optimised.onnx").read_bytes()
    entry = _entry()
    return entry._digest(optimised) + optimised


def _entry() -> SessionCache:
    return SessionCache(Classifier.load(device="cpu").model_sha256, onnxruntime.__version__)


def _control(counted: Campaign, image: Path, cache: Path, expected: str) -> None:
    (kept,) = cache.rglob("*.session")
    kept.write_bytes(poison(cache.parent))
    (ended,) = _started(image, cache)
    found = "the control changes nothing" if ended.out == expected else ""
    counted.note("control", "another answer, as it must", found=found)


def _with_another(counted: Campaign, rounds: int, image: Path, shared: Path, expected: str) -> None:
    data, name = poison(shared.parent), _entry().path
    assert name is not None
    for mode in (0o777, 0o1777):
        shutil.rmtree(shared, ignore_errors=True)
        shared.mkdir()
        shared.chmod(mode)
        attacker = os.fork()
        if attacker == 0:
            _attack(shared, data, name.name)
        try:
            for _ in range(rounds):
                _round(counted, f"another user, mode {mode:o}", image, shared, expected)
                if mode == 0o1777:  # who comes first has the folder
                    shutil.rmtree(shared / "edge-mri", ignore_errors=True)
        finally:
            os.kill(attacker, signal.SIGKILL)
            os.waitpid(attacker, 0)


def _attack(shared: Path, data: bytes, name: str) -> None:
    """Be another user who puts a file of its own there, over and over, until killed."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.umask(0)
    prepared = shared / "prepared"
    while True:
        with suppress(OSError):
            (prepared / "sessions").mkdir(parents=True, exist_ok=True)
            (prepared / "sessions" / name).write_bytes(data)
        for change in (
            lambda: (shared / "edge-mri").rename(shared / f"aside-{time.monotonic_ns()}"),
            lambda: prepared.rename(shared / "edge-mri"),
            lambda: (shared / "edge-mri").symlink_to(prepared),
            lambda: (shared / "edge-mri").unlink(),
            lambda: (shared / "edge-mri" / "sessions" / name).write_bytes(data),
        ):
            with suppress(OSError):
                change()


def main() -> int:
    """Run the campaign."""
    options = arguments(__doc__, rounds=30).parse_args()
    return campaign(options.rounds).finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
