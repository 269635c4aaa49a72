"""A file of schema 2 says what is in it; whatever is changed afterwards is noticed."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_mri.classifier import SHIPPED_MODEL, Classifier
from edge_mri.errors import ContentError, ModelError
from edge_mri.model.content_hash import (
    HASH_KEY,
    SIGNATURE_KEY,
    _without,
    content_sha256,
    with_hash,
    with_signature,
)
from edge_mri.model.onnx_file import OnnxFile

SECOND = SHIPPED_MODEL.read_bytes()
PLAIN = _without(SECOND, (HASH_KEY, SIGNATURE_KEY))
FIRST = PLAIN.replace(b'"schema_version": 2', b'"schema_version": 1', 1)


@pytest.fixture
def stored(tmp_path):
    """Write some bytes as a model."""

    def store(data: bytes):
        path = tmp_path / "model.onnx"
        path.write_bytes(data)
        return path

    return store


def refused(path) -> str:
    with pytest.raises(ContentError) as refusal:
        Classifier.load(path, device="cpu")
    before = f"{path} was edited or damaged after its export: "
    after = "; copy the file anew, or export it again"
    message = str(refusal.value)
    assert message.startswith(before)
    assert message.endswith(after)
    return message.removeprefix(before).removesuffix(after)


def test_a_file_of_the_second_version_answers_as_the_first(stored, classifier, phantoms):
    first_file = Classifier.load(stored(FIRST), device="cpu")
    versions = first_file.contract.schema_version, classifier.contract.schema_version
    assert versions == (1, 2)
    for image in sorted(phantoms.rglob("*.png"))[:6]:
        first, other = (one.predict(image).to_dict() for one in (first_file, classifier))
        assert first == other


EDITS = {
    "types": (rb'"meningioma", "pituitary"', b'"pituitary", "meningioma"'),
    "a letter": (rb'"glioma"', b'"gliomb"'),
    "threshold": (rb'("tumor_threshold": 0\.)\d', rb"\g<1>9"),
    "temperature": (rb'("temperature": )\d', rb"\g<1>4"),
    "undecided": (rb'("undecided": \[0\.)\d', rb"\g<1>0"),
    "a record": (rb"Not a diagnostic device", b"But a diagnostic device"),
    "version": (rb'("schema_version": )2', rb"\g<1>1"),
    "node": (rb"network\.laterals\.1\.weight_quantized", b"network.laterals.0.weight_quantized"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_contract_or_graph_is_refused(stored, command, phantoms, edit):
    data = re.sub(*EDITS[edit], SECOND, count=1)
    assert data != SECOND
    assert len(data) == len(SECOND)
    path = stored(data)
    reason = refused(path)
    assert reason.startswith("contract, graph and weights hash to ")
    for arguments in (("infer", phantoms, "--model", path), ("info", path), ("check", path)):
        ended = command(*arguments)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(f"Error: {path} was edited or damaged after its export: ")
        assert len(ended.err.splitlines()) == 1


def test_a_file_of_the_second_version_without_the_hash_is_refused(stored):
    assert SECOND.count(HASH_KEY.encode()) == 1
    lost = SECOND.replace(HASH_KEY.encode(), b"edge_mri.sha512")
    assert refused(stored(lost)) == f"its metadata has no {HASH_KEY!r}"


def test_the_first_version_is_compared_where_it_states_the_hash(stored):
    hashed = with_hash(FIRST)
    Classifier.load(stored(hashed), device="cpu")
    edited = hashed.replace(b"Not a diagnostic", b"But a diagnostic")
    assert refused(stored(edited)).startswith("contract, graph and weights hash to ")


@pytest.mark.parametrize("copy", [1, 2])
def test_an_entry_that_comes_twice_is_refused(stored, copy):
    plain = with_hash(b"")
    path = stored(SECOND + plain * copy)
    with pytest.raises(ModelError, match="it is damaged, truncated or of another kind"):
        Classifier.load(path, device="cpu")


@given(st.integers(0, len(SECOND) * 8 - 1))
def test_no_flipped_bit_goes_by(bit):
    data = bytearray(SECOND)
    data[bit // 8] ^= 1 << bit % 8
    file = OnnxFile(SHIPPED_MODEL, bytes(data), is_hashed=True)
    with pytest.raises(ModelError):
        file.check()


def test_hash_and_signature_are_not_hashed_and_take_one_entry_each(stored):
    digest = content_sha256(SECOND)
    signed = with_signature(with_signature(SECOND, "first"), "second")
    assert content_sha256(signed) == content_sha256(SECOND) == digest
    metadata = OnnxFile.read(stored(signed)).metadata
    assert (metadata[HASH_KEY], metadata[SIGNATURE_KEY]) == (digest, "second")
    assert with_hash(signed) == SECOND


def test_saving_the_same_message_again_changes_nothing(stored):
    onnx = pytest.importorskip("onnx", reason="saves with onnx")
    model = onnx.load_from_string(with_signature(SECOND, "…"))
    onnx.helper.set_model_props(
        model, {one.key: one.value for one in reversed(model.metadata_props)}
    )
    Classifier.load(stored(model.SerializeToString()), device="cpu")


def test_info_tells_the_version_of_the_file(stored, command):
    for data, version in ((FIRST, 1), (SECOND, 2)):
        ended = command("info", "--json", stored(data))
        assert json.loads(ended.out)["schema_version"] == version
