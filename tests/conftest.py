"""What several test packages share: the real images, phantoms, and models that need no training."""

import logging
import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edge_mri.images.pixels.limits import VARIABLES
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.model.content_hash import with_hash
from edge_mri.model.contract import Contract
from edge_mri.phantoms.phantom import PhantomConfig, write_phantoms

HERE = Path(__file__).parent
LONGEST = [HERE / "train", HERE / "export"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process ends long after the others."""

    def place(item: pytest.Item) -> int:
        if item.path.parent == HERE:
            return 0
        return next((at for at, one in enumerate(LONGEST, 1) if one in item.path.parents), 9)

    items.sort(key=place)


class Page:
    """A document, and its fenced blocks run as a reader would type them, in one folder.

    `edge-mri` is the code under test, `pip` installs nothing but knows which extras there are, and
    a command may get options of the test's own behind those of the page (`quick`).
    """

    ROOT = Path(__file__).parents[1]
    _FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

    def __init__(self, document: str) -> None:
        self.path = self.ROOT / document
        if not self.path.exists():
            pytest.skip(f"needs {document}, which is in a checkout")
        self.text = self.path.read_text(encoding="utf-8")

    def blocks(self, *languages: str) -> list[tuple[str, str]]:
        """Return language and text; of a `console` only what is typed."""
        found = [one for one in self._FENCE.findall(self.text) if one[0] in languages]
        typed = re.compile(r"^\$ (.*\n)", re.MULTILINE)
        return [
            (kind, "".join(typed.findall(text)) if kind == "console" else text)
            for kind, text in found
        ]

    def run(
        self, folder: Path, *, quick: Mapping[str, Sequence[str]] | None = None,
        blocks: Sequence[tuple[str, str]] | None = None, programs: Mapping[str, Path] | None = None,
        timeout_s: int = 1800,
    ) -> list["subprocess.CompletedProcess[str]"]:  # fmt: skip
        """Run blocks in their order, all of the page's unless told; each must end with 0."""
        commands = folder.parent / f"{folder.name}-commands"
        commands.mkdir(exist_ok=True)
        more = "".join(
            f'{name}) set -- "$@" {" ".join(options)};; ' for name, options in (quick or {}).items()
        )
        extras = re.findall(r"^(\w[\w-]*) = \[", (self.ROOT / "pyproject.toml").read_text(), re.M)
        self._program(
            commands / "edge-mri",
            f'case "$1" in {more}*) ;; esac\nexec "{sys.executable}" -m edge_mri "$@"',
        )
        self._program(
            commands / "pip",
            f"""for name in $(echo "$2" | sed -n 's/^edge-mri\\[\\(.*\\)\\]$/\\1/p' | tr , ' '); do
case " {" ".join(extras)} " in *" $name "*) ;; *) echo "no extra $name" >&2; exit 1;; esac; done
case "$2" in edge-mri*|.) ;; *) echo "installs $2" >&2; exit 1;; esac""",
        )
        for name, program in (programs or {}).items():
            if not (commands / name).exists():
                (commands / name).symlink_to(program)
        paths = os.pathsep.join(path for path in sys.path if path)
        environment = os.environ | {
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.environ.get("PYTHONPATH", paths),
        }
        ended = []
        for kind, text in blocks or self.blocks("sh", "console", "python"):
            program = (
                [sys.executable, "-c"] if kind == "python" else ["bash", "-euo", "pipefail", "-c"]
            )
            ended.append(
                subprocess.run(
                    [*program, text], cwd=folder, env=environment, capture_output=True, text=True,
                    check=False, timeout=timeout_s,
                )
            )  # fmt: skip
            assert ended[-1].returncode == 0, f"{text}\n{ended[-1].stderr}"
        return ended

    @staticmethod
    def _program(path: Path, script: str) -> None:
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)


@pytest.fixture(scope="session")
def page() -> type[Page]:
    """What opens a document, to run its commands."""
    return Page


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of the tests' own, for this process and its children."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _own_limits() -> Iterator[None]:
    """What a command sets for its process, such as --max-bytes, ends with the test."""
    before = {name: os.environ.get(name) for name in VARIABLES.values()}
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real image sets: the folder in EDGE_MRI_DATA, with nickparvar/, artemis/, …"""
    value = os.environ.get("EDGE_MRI_DATA")
    if value is None:
        pytest.skip("needs the real image sets: set EDGE_MRI_DATA to their folder")
    folder = Path(value)
    assert (folder / "nickparvar").is_dir(), f"EDGE_MRI_DATA={value} holds no nickparvar/"
    return folder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 48 phantoms, four a class, 96 px PNG."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, PhantomConfig(count=4, size_px=96, seed=1, format="png"))
    return folder


class S3:
    """An S3 server of the tests' own."""

    def __init__(self, address: str) -> None:
        import boto3

        self.address = address
        self.variables = {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "AKIA-OF-THE-TESTS",
            "AWS_SECRET_ACCESS_KEY": "SECRET-OF-THE-TESTS",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        self.client = boto3.client(
            "s3",
            endpoint_url=address,
            aws_access_key_id="AKIA-OF-THE-TESTS",
            aws_secret_access_key="SECRET-OF-THE-TESTS",
            region_name="us-east-1",
        )

    def store(self, bucket: str, contents: dict[str, bytes]) -> None:
        """Make a bucket, if it is not there, and put objects into it."""
        self.client.create_bucket(Bucket=bucket)
        for key, data in contents.items():
            self.client.put_object(Bucket=bucket, Key=key, Body=data)

    def clear(self) -> None:
        """Take all buckets away."""
        for one in self.client.list_buckets()["Buckets"]:
            for key in self.contents(one["Name"]):
                self.client.delete_object(Bucket=one["Name"], Key=key)
            self.client.delete_bucket(Bucket=one["Name"])

    def contents(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        """Return all objects."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {
            one["Key"]: self.client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
            for page in pages
            for one in page.get("Contents", ())
        }


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """The server, for the whole session."""
    pytest.importorskip("s3fs", reason="needs the extra [cloud]")
    pytest.importorskip("flask_cors", reason="needs moto's server")
    server = pytest.importorskip("moto.server", reason="needs moto's server")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield S3(f"http://{host}:{port}")
    running.stop()


@pytest.fixture
def s3(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The same, empty, and known to this process by its environment."""
    s3_server.clear()
    for name, value in s3_server.variables.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture(scope="session")
def laid(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """Lay out 72 phantoms, six a class, 64 px: some kinds, under names in turn with a number."""
    drawn = tmp_path_factory.mktemp("drawn")
    write_phantoms(drawn, PhantomConfig(count=6, size_px=64, seed=3, format="png"))

    def lay(root: Path, names: Sequence[str], *kinds: str, key: Any = None) -> None:
        files = [one for kind in kinds or ("*",) for one in sorted(drawn.glob(f"{kind}_*/*.png"))]
        files = sorted(files, key=key) if key else files
        for number, (file, name) in enumerate(zip(files, cycle(names), strict=False)):
            target = root / name.format(number)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())

    return lay


class Ended(NamedTuple):
    """What a command said."""

    out: str
    err: str


_COMMAND = """
import os, sys
os.chdir(folder)
for number in (1, 2):
    os.dup2(os.open(files[number - 1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
sys.argv = ["edge-mri", *arguments]
from edge_mri.__main__ import main
main()
"""


@pytest.fixture(scope="session")
def edge_mri(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ended]:
    """Run a command in a folder, as a process of its own.

    It is forked from one that has imported what commands import, which takes longer than they do.
    """
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(
        ["edge_mri_export.exporting", "edge_mri_train.training.run", "edge_mri_train.evaluation"]
    )
    said = tmp_path_factory.mktemp("said")
    files = (said / "out", said / "err")

    def run(folder: Path, *arguments: object, code: int = 0) -> Ended:
        told = {"folder": folder, "arguments": [*map(str, arguments)], "files": files}
        process = server.Process(target=exec, args=(_COMMAND, told))
        process.start()
        process.join()
        ended = Ended(*(one.read_text(encoding="utf-8") for one in files))
        assert process.exitcode == code, ended.err
        return ended

    return run


@pytest.fixture(scope="session")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a model that says tumour where it sees something bright, and where that is.

    Its map is the mean brightness of 8 x 8 pixels, its P(tumour) rises with the brightest cell,
    its novelty is the mean brightness of the whole image. Where a rejection has a `max_foreign`,
    the brightest cell says how foreign it is.
    Its labels, if given, are four types, the last of which is absent.
    """
    onnx = pytest.importorskip("onnx", reason="writes models with onnx")

    def write(
        map_output: str | None = "lesion",
        spec: PreprocessSpec | None = None,
        labels: LabelSpace | None = None,
        **values: Any,
    ) -> Path:
        size = 64
        spec = spec or PreprocessSpec(size)
        labels = labels or LabelSpace.for_task("type")
        contract = Contract("bright", labels, spec, **values)
        node, tensor = onnx.helper.make_node, onnx.helper.make_tensor
        info, kinds = onnx.helper.make_tensor_value_info, onnx.TensorProto
        nodes = [
            node("Cast", ["pixels"], ["values"], to=kinds.FLOAT),
            node("Div", ["values", "white"], ["light"]),
            node("AveragePool", ["light"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
            node("GlobalMaxPool", ["cells"], ["brightest"]),
            node("Flatten", ["brightest"], ["evidence"]),
            node("Gemm", ["evidence", "gains", "bias"], ["logits"]),
            node("GlobalAveragePool", ["cells"], ["mean"]),
            node("Reshape", ["mean", "flat"], ["novelty"]),
        ]
        outputs = [
            info("logits", kinds.FLOAT, ["N", 4]),
            info("novelty", kinds.FLOAT, ["N"]),
        ]
        gate = values.get("rejection")
        if gate is not None and gate.max_foreign is not None:
            nodes.append(node("Reshape", ["brightest", "flat"], ["foreign"]))
            outputs.append(info("foreign", kinds.FLOAT, ["N"]))
        if map_output == "lesion":
            nodes.append(node("Identity", ["cells"], ["lesion"]))
            outputs.append(info("lesion", kinds.FLOAT, ["N", 1, size // 8, size // 8]))
        if map_output == "cam":
            nodes.append(node("Conv", ["cells", "types"], ["cam"]))
            outputs.append(info("cam", kinds.FLOAT, ["N", 4, size // 8, size // 8]))
        constants = [
            tensor("white", kinds.FLOAT, [], [255.0]),
            tensor("gains", kinds.FLOAT, [1, 4], [20.0, 10.0, 0.0, 0.0]),
            tensor("bias", kinds.FLOAT, [4], [0.0, 0.0, 0.0, 10.0]),
            tensor("types", kinds.FLOAT, [4, 1, 1, 1], [20.0, 10.0, 0.0, 0.0]),
            tensor("flat", kinds.INT64, [1], [-1]),
        ]
        pixels = info("pixels", kinds.UINT8, ["N", 1, size, size])
        graph = onnx.helper.make_graph(nodes, "bright", [pixels], outputs, constants)
        opset = onnx.helper.make_opsetid("", 18)
        model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9)
        onnx.helper.set_model_props(model, contract.to_metadata())
        path = tmp_path_factory.mktemp("bright") / "bright.onnx"
        path.write_bytes(with_hash(model.SerializeToString()))
        return path

    return write
