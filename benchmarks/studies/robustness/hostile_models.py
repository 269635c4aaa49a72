"""Model files that were made to do harm, each through every command that reads one.

    python benchmarks/studies/robustness/hostile_models.py [--flips 60] [--json FILE]

Bytes that are no model, graphs that cannot run, answers that are no numbers, odd contracts, data
outside the file, giants. All of them are refused in a line, fail a check, or answer with numbers.
Not here: a model whose graph runs for hours; onnxruntime has no bound for that (`SECURITY.md`).
"""

import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from campaign import Campaign, arguments, forked, not_finite
from edge_mri.model.content_hash import with_hash
from edge_mri.model.protobuf import BrokenError
from edge_mri.phantoms.phantom import PhantomConfig, write_phantoms
from hostile_graphs import answers, graph_model, graphs, nested, weights

COMMANDS = ("info", "infer", "check", "verify", "evaluate")


@dataclass(frozen=True)
class Hostile:
    """A file to be: its kind, its name, and what writes it to a path that is free."""

    kind: str
    name: str
    write: Callable[[Path], object]


def stored(model: onnx.ModelProto) -> bytes:
    """Return a model's bytes with a hash that fits, as whoever wants to do harm would."""
    return with_hash(model.SerializeToString())


def hostile_models(flips: int) -> Iterator[Hostile]:
    """Give them all, always the same."""
    yield from _no_models()
    yield from _flipped(flips)
    for kind, cases in (
        ("answers", answers()),
        ("graph", graphs()),
        ("weights", weights()),
        ("contract", _contracts()),
    ):
        for name, model in cases:
            yield Hostile(kind, name, _bytes(model))


def _bytes(model: onnx.ModelProto) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(stored(model))


def _no_models() -> Iterator[Hostile]:
    for depth in (10, 60, 1000, 20_000):
        deep = with_hash(nested(depth))
        yield Hostile("nested", str(depth), lambda path, data=deep: path.write_bytes(data))
    whole = stored(graph_model())
    for share in range(20):
        cut = whole[: len(whole) * share // 20]
        yield Hostile("cut", f"{share}/20", lambda path, cut=cut: path.write_bytes(cut))
    for name, data in {
        "text": b"hello\n",
        "zeros": bytes(1000),
        "pickle": b"\x80\x04\x95cos\nsystem\n(S'touch pwned'\ntR.",
        "zip": b"PK\3\4" + bytes(100),
        "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "lengths": b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f" * 100,
        "groups": b"\x3b" * 100_000,
        "twice": whole + whole,
        "trailer": whole + b"\0" * 100,
    }.items():
        yield Hostile("bytes", name, lambda path, data=data: path.write_bytes(data))
    for name, write in {
        "folder": Path.mkdir,
        "pipe": os.mkfifo,
        "zero": lambda path: path.symlink_to("/dev/zero"),
        "null": lambda path: path.symlink_to(os.devnull),
        "loop": lambda path: path.symlink_to(path),
        "nowhere": lambda path: path.symlink_to("nowhere"),
        "3 GB": lambda path: _sparse(path, b"", 3 * 10**9),
        "60 GB": lambda path: _sparse(path, b"", 60 * 10**9),
        "60 GB behind": lambda path: _sparse(path, whole, 60 * 10**9),
        "1 GB behind": lambda path: _sparse(path, whole, 10**9),
    }.items():
        yield Hostile("files", name, write)


def _sparse(path: Path, data: bytes, size: int) -> None:
    path.write_bytes(data)
    os.truncate(path, size)


def _flipped(flips: int) -> Iterator[Hostile]:
    plain = graph_model().SerializeToString()
    for hashed, kind in ((False, "flip"), (True, "flip, new hash")):
        whole = plain if hashed else with_hash(plain)
        for seed in range(flips):
            bit = random.Random(seed).randrange(8 * len(whole))
            data = bytearray(whole)
            data[bit // 8] ^= 1 << bit % 8
            try:
                damaged = with_hash(bytes(data)) if hashed else bytes(data)
            except BrokenError:
                damaged = bytes(data)
            yield Hostile(kind, str(bit), lambda path, data=damaged: path.write_bytes(data))


def _contracts() -> Iterator[tuple[str, onnx.ModelProto]]:
    texts = {
        "empty": "",
        "no JSON": "{",
        "list": "[]",
        "number": "1" * 5000,
        "null": "null",
        "nan": "NaN",
        "deep": "[" * 100_000 + "]" * 100_000,
        "deep names": '{"a":' * 5000 + "1" + "}" * 5000,
        "2 MB": json.dumps({"name": "x" * 2**21}),
        "lone half": '{"name": "\\ud800"}',
    }
    for name, text in texts.items():
        yield f"text {name}", graph_model(contract=lambda _, text=text: text)
    odd: list[Any] = [
        *(None, True, 0, -1, 1e300, 10**30, "", "\x1b[2J\nPASS", [], {}, [[]], float("nan")),
    ]
    for key in ("name", "labels", "preprocess", "temperature", "tumor_threshold", "rejection",
                "schema_version", "training", "licence"):  # fmt: skip
        for value in odd:
            yield (
                f"{key} {value!r}"[:60],
                graph_model(contract=lambda all_, k=key, v=value: json.dumps(all_ | {k: v})),
            )
        yield (
            f"no {key}",
            graph_model(
                contract=lambda all_, k=key: json.dumps({n: v for n, v in all_.items() if n != k})
            ),
        )
    few = [None, True, 0, -1, 10**30, "\x1b[2J", [], {}]
    inner: tuple[tuple[str, list[Any]], ...] = (
        ("labels", [*few, ["x"] * 4, ["a"], [f"t{n}" for n in range(100_000)]]),
        ("preprocess", [*few, 1, 100_000, 33]),
    )
    for key, values in inner:
        names = json.loads(graph_model().metadata_props[0].value)[key]
        for name in names:
            for value in values:
                yield (
                    f"{key}.{name} {value!r}"[:60],
                    graph_model(
                        contract=lambda all_, k=key, n=name, v=value: json.dumps(
                            all_ | {k: all_[k] | {n: v}}
                        )
                    ),
                )


def campaign(cases: list[Hostile], commands: tuple[str, ...] = COMMANDS) -> Campaign:
    """Give each case to each command."""
    counted = Campaign("hostile models")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_phantoms(folder / "set", PhantomConfig(count=1, size_px=48, format="png"))
        image = sorted((folder / "set").rglob("*.png"))[0]
        for number, case in enumerate(cases):
            place = folder / str(number)
            place.mkdir()
            model = place / "model.onnx"
            case.write(model)
            given = {
                "check": ("check", model, "--write"),
                "infer": ("infer", image, "--model", model, "--format", "jsonl"),
                "evaluate": ("evaluate", model, "--data", folder / "set"),
            }
            for one in commands:
                ended = forked(*given.get(one, (one, model)))
                said = f"{case.kind}: {case.name}"
                found = not_finite(ended.out) if one == "infer" else ""
                if "\x1b" in ended.out + ended.err:
                    found = "an escape"
                if case.kind == "flip" and ended.code == 0 and one == "infer":
                    found = "answered in spite of its hash"
                counted.note_ended(f"{one}, {case.kind}", said, ended, found=found)
            if model.is_file():
                model.unlink()
    return counted


def main() -> int:
    """Run the campaign."""
    options = arguments(__doc__, flips=40, every=1).parse_args()
    return campaign(list(hostile_models(options.flips))[:: options.every]).finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
