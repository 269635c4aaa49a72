"""Flip random bits in what the product keeps, one at a time, and read each file again.

    python benchmarks/studies/robustness/flip_bits.py [RUN] [--flips 200] [--json FILE]

A model, its golden values, its memory of training images and its entry in the session cache; of
RUN, a finished run of `edge-mri train`, checkpoint and state too. Everything is copied, not
changed. A flip may be refused, fail the check, or change nothing that is read (the padding of a zip
says nothing). It is a finding where the file is read and says something else.
"""

import os
import random
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from campaign import Campaign, arguments
from edge_mri.classifier import SHIPPED_MODEL, Classifier
from edge_mri.errors import EdgeMriError
from edge_mri.golden.check import check
from edge_mri.golden.values import read_golden, write_golden
from edge_mri.model.contract import SCHEMA_VERSION, Contract
from edge_mri.model.session_cache import SessionCache
from edge_mri_export.graph.stored_contract import store_contract
from edge_mri_train.duplicates.seen import SeenImages
from edge_mri_train.networks.checkpoint import load_state
from edge_mri_train.networks.digest import digest
from edge_mri_train.settings.runs import CHECKPOINT, LAST

NOT_KEPT, FAILS = "not kept", "the check fails"  # what is said without an error


def campaign(flips: int, run: Path | None = None) -> Campaign:
    """Flip bits of each file and count what comes of it."""
    counted = Campaign("flips")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        model = folder / "model.onnx"
        _write_newest(model)
        golden = write_golden(Classifier.load(model, device="cpu"))
        entry = SessionCache(Classifier.load(model).model_sha256, onnxruntime.__version__)
        if entry.path is None or not entry.path.exists():
            raise RuntimeError("nothing is kept here")
        memory = folder / "model.seen"
        memory.write_bytes(SHIPPED_MODEL.with_suffix(".seen").read_bytes())
        os.environ["EDGE_MRI_CACHE"] = "off"
        files: dict[Path, Callable[[Path], str]] = {
            model: _answers,
            golden: lambda _: _check(model),
            memory: _memory,
        }
        for one in (CHECKPOINT, LAST) if run else ():
            copy = folder / one
            copy.write_bytes((run / one).read_bytes())
            files[copy] = lambda path: digest(load_state(path))
        for path, read in files.items():
            _flip(counted, path, read, flips)
        del os.environ["EDGE_MRI_CACHE"]
        _flip(counted, entry.path, lambda _: _kept(entry), flips, name="session cache")
    return counted


def _flip(
    counted: Campaign, path: Path, read: Callable[[Path], str], flips: int, name: str = ""
) -> None:
    data, expected = path.read_bytes(), read(path)
    for seed in range(flips):
        bit = random.Random(seed).randrange(8 * len(data))
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        found, outcome = "", "read, same values"
        try:
            said = read(path)
        except EdgeMriError as error:
            outcome = "refused" if "\n" not in str(error) else ""
            found = "" if outcome else "several lines"
        except Exception as error:  # what no reader may raise is what is looked for
            found = type(error).__name__
        else:
            if said in (NOT_KEPT, FAILS):
                outcome = said
            elif said != expected:
                found = "read, other values"
        counted.note(name or path.name, outcome, found=found, case=f"bit {bit}")
    path.write_bytes(data)


def _write_newest(path: Path) -> None:
    """Write the packaged model as a file of the newest schema, which states its hash."""
    model = onnx.load(SHIPPED_MODEL)
    stored = {one.key: one.value for one in model.metadata_props}
    contract = Contract.from_metadata(stored)
    contract = replace(contract, schema_version=SCHEMA_VERSION)
    store_contract(model, contract)
    onnx.save(model, path)


_PIXELS = np.random.default_rng(0).integers(0, 256, (1, 1, 160, 160), np.uint8)


def _answers(path: Path) -> str:
    classifier = Classifier.load(path, device="cpu")
    return f"{classifier.contract}{classifier.logits(_PIXELS).tobytes().hex()}"


def _check(model: Path) -> str:
    found = check(Classifier.load(model, device="cpu"), read_golden(model))
    return "passed" if found.passed else FAILS


def _memory(path: Path) -> str:
    return SeenImages.from_bytes(path.read_bytes()).to_bytes().hex()


def _kept(entry: SessionCache) -> str:
    found = entry.load()
    return NOT_KEPT if found is None else found.hex()


def main() -> int:
    """Run the campaign."""
    parser = arguments(__doc__, flips=200)
    parser.add_argument("run", type=Path, nargs="?")
    options = parser.parse_args()
    return campaign(options.flips, options.run).finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
