import os
from contextlib import suppress
from pathlib import Path

import pytest

from edge_mri.classifier import SHIPPED_MODEL, Classifier
from edge_mri.errors import ModelError, ModelFormatError, ModelNotFoundError
from edge_mri.model.content_hash import HASH_KEY, with_hash
from edge_mri.model.contract import METADATA_KEY
from edge_mri.model.onnx_file import OnnxFile

EXPECTED = "{} is not an ONNX model: {}"


def field(number: int, content: bytes | int) -> bytes:
    """A protobuf field: a whole number, or bytes with their length."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


@pytest.fixture
def refused(tmp_path):
    """Refuse some bytes as a model; return the reason."""

    def refuse(data: bytes) -> str:
        path = tmp_path / "model.onnx"
        path.write_bytes(data)
        with pytest.raises(ModelFormatError) as refusal:
            Classifier.load(path, device="cpu")
        message = str(refusal.value)
        assert message.startswith(EXPECTED.format(path, ""))
        return message.removeprefix(EXPECTED.format(path, ""))

    return refuse


@pytest.mark.parametrize("name", ["missing.onnx", "missing/model.onnx", "a" * 300])
def test_a_model_that_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(ModelNotFoundError) as refusal:
        OnnxFile.read(tmp_path / name)
    assert str(refusal.value) == f"model file not found: {tmp_path / name}"


def test_a_folder_is_no_model_and_may_hold_one(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"; it is a folder; name an ONNX file in it$"):
        OnnxFile.read(tmp_path)


def test_the_model_that_ships_is_read_without_the_onnx_package():
    file = OnnxFile.read(SHIPPED_MODEL)
    file.check()
    assert list(file.metadata) == [METADATA_KEY, HASH_KEY]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"\0", "it is damaged, truncated or of another kind"),
        (b"hello, I am no model\n", "it is damaged, truncated or of another kind"),
        (b"<!DOCTYPE html><html>Not found</html>", "it is damaged, truncated or of another kind"),
        (SHIPPED_MODEL.read_bytes()[:100_000], "it is damaged, truncated or of another kind"),
        (field(1, 8) + field(8, b""), "it holds no graph"),
        (
            b"PK\x03\x04 archive/data.pkl",
            "it is a PyTorch checkpoint; write it as ONNX first with `edge-mri export`",
        ),
    ],
)
def test_a_file_of_another_kind_is_refused(refused, data, reason):
    assert refused(data) == reason


@pytest.mark.skipif(os.name != "posix", reason="there are no such files elsewhere")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "it is a device or a pipe, no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a device or a pipe, no regular file"),
        (lambda path: path.symlink_to("/dev/null"), "it is a device or a pipe, no regular file"),
        (
            lambda path: (path.touch(), os.truncate(path, 60 * 10**9)),
            "it has 60,000,000,000 bytes, the limit is 2,147,483,647",
        ),
    ],
    ids=["pipe", "endless", "empty device", "60 GB"],
)
@pytest.mark.parametrize("name", ["infer", "info", "check", "verify", "evaluate"])
def test_what_is_no_file_or_far_too_large_is_refused_unread(
    command, picture, tmp_path, make, said, name
):
    path = tmp_path / "m.onnx"
    make(path)
    arguments = {
        "infer": (picture, "--model", path),
        "evaluate": (path, "--data", picture.parent),
    }.get(name, (path,))
    if name == "verify":
        pytest.importorskip("onnxscript", reason="verify needs the extra export")
    if name == "evaluate":
        pytest.importorskip("sklearn", reason="evaluate needs the extra data")
    ended = command(name, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"Error: {path} is not an ONNX model: {said}\n"


EXTERNAL = field(13, field(1, b"location") + field(2, b"../../etc/passwd")) + field(14, 1)
IN_A_NODE = field(1, field(5, field(5, EXTERNAL)))
IN_A_BRANCH = field(1, field(5, field(6, field(5, EXTERNAL))))


@pytest.mark.parametrize(
    "graph", [field(5, EXTERNAL), IN_A_NODE, IN_A_BRANCH, field(15, field(1, EXTERNAL))]
)
def test_weights_in_another_file_are_refused_wherever_they_hide(refused, graph):
    # Fields of one number join: the graph gains a tensor.
    assert refused(SHIPPED_MODEL.read_bytes() + field(7, graph)) == (
        "it keeps weights in another file; edge-mri models are one file, "
        "write it again with `edge-mri export`"
    )


@pytest.mark.parametrize(
    "entry", [field(8, field(1, b"my.ops")), field(25, field(9, field(1, b"my.ops")))]
)
def test_custom_operators_are_refused(refused, entry):
    assert refused(SHIPPED_MODEL.read_bytes() + entry) == "it needs custom operators of my.ops"


@pytest.mark.parametrize("depth", [40, 500, 20_000])
@pytest.mark.parametrize(
    "place", [lambda one: field(5, field(6, one)), lambda one: field(5, field(11, one))]
)
def test_graphs_within_graphs_end_in_time(refused, depth, place):
    nested = b""
    for _ in range(depth):
        nested = field(1, place(nested))
    assert refused(SHIPPED_MODEL.read_bytes() + field(7, nested)) == "it is damaged or truncated"


@pytest.mark.parametrize("number", [11, 13])
def test_types_within_types_are_refused_by_onnxruntime(tmp_path, number):
    nested = b""
    for _ in range(3000):  # sequences of sequences
        nested = field(4, field(1, nested))
    graph = field(number, field(1, b"x") + field(2, nested))
    path = tmp_path / "model.onnx"
    path.write_bytes(with_hash(SHIPPED_MODEL.read_bytes() + field(7, graph)))
    with pytest.raises(ModelFormatError) as refusal:
        Classifier.load(path, device="cpu")
    assert str(refusal.value).startswith(f"{path} is not a model that onnxruntime can load: ")
    assert len(str(refusal.value).splitlines()) == 1


def test_graphs_within_graphs_end_somewhere(refused):
    nested = b""
    for _ in range(40):
        nested = field(1, field(5, field(6, nested)))
    reason = refused(SHIPPED_MODEL.read_bytes() + field(7, nested))
    assert reason == "it is damaged or truncated"


def test_no_damage_gets_past(tmp_path):
    """Whatever byte is changed, loading ends with an answer or with one of our errors."""
    data = SHIPPED_MODEL.read_bytes()
    for place in (0, 1, 2, 5, 60, 3000, len(data) // 2, len(data) - 3000, len(data) - 1):
        path = tmp_path / "model.onnx"
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        with suppress(ModelError):
            Classifier.load(path, device="cpu")


def test_the_contract_is_judged_before_the_graph(tmp_path, model):
    """A model of another contract version is refused though its graph is nonsense."""
    path = tmp_path / "model.onnx"
    entry = field(1, METADATA_KEY.encode()) + field(2, b'{"schema_version": 9}')
    path.write_bytes(field(1, 8) + field(7, b"") + field(14, entry))
    with pytest.raises(Exception, match="its schema_version is 9, this version"):
        Classifier.load(path, device="cpu")


def test_path_is_kept():
    assert OnnxFile.read(Path(SHIPPED_MODEL)).path == SHIPPED_MODEL
