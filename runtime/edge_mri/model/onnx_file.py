"""An ONNX file, looked at before onnxruntime does, without the onnx package.

An ONNX file is a protobuf message: numbered fields, some of them messages again. Reading those that
matter takes no schema. What is refused here: files of another kind, truncated ones, weights kept in
other files (a graph may name any path there), and operators of domains that onnxruntime alone
does not have. Whether the graph makes sense is onnxruntime's to say, what it means
`edge_mri.contract`.

Field numbers: onnx.proto3 of the ONNX project, IR version 10.
"""

import errno
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from edge_mri.errors import ContentError, ModelFormatError, ModelNotFoundError, WeightsError
from edge_mri.model.content_hash import HASH_KEY, METADATA, content_sha256
from edge_mri.model.onnx_weights import weights_sha256
from edge_mri.model.protobuf import BrokenError, fields, message
from edge_mri.storage.regular_file import read_regular

if TYPE_CHECKING:
    from edge_mri.model.contract import Contract

# What onnxruntime's own builds run; a domain that is not here needs code from somewhere else.
DOMAINS = frozenset(("", "ai.onnx", "ai.onnx.ml", "com.microsoft"))

_AN_ONNX_MODEL = "an ONNX model"
# A name that is too long, a folder that may not be searched: there is no such file.
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}
_NOT_READABLE = {errno.EACCES, errno.EPERM, errno.EIO}
MAX_BYTES = 2**31 - 1
"""What a protobuf message may have, and so a model in one file."""
_MODEL_IR_VERSION, _MODEL_GRAPH, _MODEL_OPSET, _MODEL_FUNCTION = 1, 7, 8, 25
_FUNCTION_OPSET = 9
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 13, 14
# Which fields of which message hold messages in which a tensor may lie.
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {_MODEL_GRAPH: "graph", _MODEL_FUNCTION: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": dict(
        zip((5, 6, 10, 11, 22, 23), ("tensor", "graph") * 2 + ("sparse",) * 2, strict=True)
    ),
    "sparse": {1: "tensor", 2: "tensor"},
}
_MAX_DEPTH = 32  # graphs within graphs


@dataclass(frozen=True)
class OnnxFile:
    """The bytes of a model file.

    Attributes:
        path: Where they come from.
        data: All of them.
        weights_sha256: What its initialisers must hash to; "" where nobody said.
        is_hashed: Whether it must state the hash of all that is in it.
    """

    path: Path
    data: bytes
    weights_sha256: str = ""
    is_hashed: bool = False

    @classmethod
    def read(cls, path: Path) -> "OnnxFile":
        """Read a file; what is no ONNX file by its first bytes is refused.

        Raises:
            ModelNotFoundError: There is no such file.
            ModelFormatError: It cannot be read, or is of another kind.
        """
        try:
            data = read_regular(path, MAX_BYTES)
        except OSError as error:
            if error.errno in _NOT_THERE:
                is_folder = error.errno == errno.EISDIR
                more = "it is a folder; name an ONNX file in it" if is_folder else ""
                raise ModelNotFoundError(path, more) from error
            expected = "readable" if error.errno in _NOT_READABLE else _AN_ONNX_MODEL
            raise ModelFormatError(path, expected, error.strerror or str(error)) from error
        if not data:
            raise ModelFormatError(path, _AN_ONNX_MODEL, "it is empty")
        if data.startswith(b"PK\x03\x04"):
            reason = "it is a PyTorch checkpoint; write it as ONNX first with `edge-mri export`"
            raise ModelFormatError(path, _AN_ONNX_MODEL, reason)
        return cls(path, data)

    @cached_property
    def sha256(self) -> str:
        """The hash of all its bytes, hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def content_sha256(self) -> str:
        """The hash of what is in it but for hash and signature (`edge_mri.model.content_hash`)."""
        return content_sha256(self.data)

    @cached_property
    def metadata(self) -> dict[str, str]:
        """Its `metadata_props`; raises `ModelFormatError` for what is no ONNX model."""
        entries: dict[str, str] = {}
        kinds = set()
        try:
            for number, value in fields(memoryview(self.data)):
                kinds.add(number)
                if number == METADATA:
                    entry = {key: bytes(message(text)) for key, text in fields(message(value))}
                    key = entry[1].decode()
                    if key in entries:  # which of the two holds is not said
                        raise BrokenError
                    entries[key] = entry.get(2, b"").decode()
        except (BrokenError, KeyError, UnicodeDecodeError) as error:
            raise self._refused("it is damaged, truncated or of another kind") from error
        if not {_MODEL_IR_VERSION, _MODEL_GRAPH} <= kinds:
            raise self._refused("it holds no graph")
        return entries

    def expecting(self, contract: "Contract") -> "OnnxFile":
        """Return it as a file of which its contract says what it must hash to."""
        return replace(self, weights_sha256=contract.weights_sha256, is_hashed=contract.is_hashed)

    def check(self) -> None:
        """Refuse what must not run.

        Raises:
            ModelFormatError: The file is damaged, keeps weights elsewhere, or needs operators that
                onnxruntime alone does not have.
            ContentError: It is not what was exported; of files older than that hash
            WeightsError: its weights are not.
        """
        try:
            for kind, part in _messages(memoryview(self.data), "model", 0):
                self._check(kind, part)
            self.check_content()
            if HASH_KEY in self.metadata or not self.weights_sha256:
                return
            found = weights_sha256(self.initialisers())
        except (BrokenError, UnicodeDecodeError) as error:
            raise self._refused("it is damaged or truncated") from error
        if found is not None and found != self.weights_sha256:
            raise WeightsError(self.path, self.weights_sha256, found)

    def check_content(self) -> None:
        """Compare what is in it with the hash that it states; raises `ContentError`."""
        stated = self.metadata.get(HASH_KEY)
        if stated is None and not self.is_hashed:
            return
        if stated is None:
            raise ContentError(self.path, f"its metadata has no {HASH_KEY!r}")
        found = self.content_sha256
        if found != stated:
            reason = f"contract, graph and weights hash to {found[:12]}…, it says {stated[:12]}…"
            raise ContentError(self.path, reason)

    def initialisers(self) -> Iterator[memoryview]:
        """Yield the graph's initialisers, each the bytes of a TensorProto message."""
        for number, value in fields(memoryview(self.data)):
            if number == _MODEL_GRAPH:
                inner = fields(message(value))
                yield from (message(tensor) for field, tensor in inner if field == 5)

    def _check(self, kind: str, part: memoryview) -> None:
        if kind == "tensor":
            for number, value in fields(part):
                if number == _TENSOR_EXTERNAL_DATA or (number == _TENSOR_DATA_LOCATION and value):
                    raise self._refused(
                        "it keeps weights in another file; edge-mri models are one file, "
                        "write it again with `edge-mri export`"
                    )
        elif kind in ("model", "function"):
            opset = _MODEL_OPSET if kind == "model" else _FUNCTION_OPSET
            used = [message(value) for number, value in fields(part) if number == opset]
            domains = {_domain(entry) for entry in used}
            if strange := sorted(domains - DOMAINS):
                raise self._refused(f"it needs custom operators of {', '.join(strange)}")

    def _refused(self, reason: str) -> ModelFormatError:
        return ModelFormatError(self.path, _AN_ONNX_MODEL, reason)


def _domain(opset: memoryview) -> str:
    names = [value for number, value in fields(opset) if number == 1]
    return bytes(message(names[-1])).decode() if names else ""


def _messages(part: memoryview, kind: str, depth: int) -> Iterator[tuple[str, memoryview]]:
    """Yield a message and all below it in which there may be a tensor."""
    if depth > _MAX_DEPTH:
        raise BrokenError
    yield kind, part
    children = _CHILDREN.get(kind)
    if not children:
        return
    for number, value in fields(part):
        child = children.get(number)
        if child is not None:
            yield from _messages(message(value), child, depth + 1)
