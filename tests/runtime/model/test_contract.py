import json
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_mri.errors import ContractError
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.model.contract import METADATA_KEY, Contract
from edge_mri.model.rejection import Rejection
from edge_mri.model.volume_rule import VolumeRule

CONTRACT = Contract(
    name="mobilenet_v2",
    labels=LabelSpace(),
    preprocess=PreprocessSpec(224),
    temperature=1.5,
    precision="int8",
    quantization={"format": "QDQ", "images": 108},
    parity={"agreement": 0.99, "n": 100},
    training={"data": ["Schädel"], "seed": 0},
    licence="CC0-1.0",
    toolkit_version="0.1.0",
)


def refused(metadata: dict[str, str]) -> str:
    """The reason for which a contract is refused, without what every refusal says."""
    with pytest.raises(ContractError) as refusal:
        Contract.from_metadata(metadata)
    before, after = (
        "the model's contract cannot be used: ",
        "; write the model again with `edge-mri export`",
    )
    message = str(refusal.value)
    assert message.startswith(before)
    assert message.endswith(after)
    return message.removeprefix(before).removesuffix(after)


def changed(**changes: object) -> dict[str, str]:
    return {METADATA_KEY: json.dumps(CONTRACT.to_dict() | changes)}


def without(name: str) -> dict[str, str]:
    values = CONTRACT.to_dict()
    del values[name]
    return {METADATA_KEY: json.dumps(values)}


@pytest.mark.parametrize(
    "contract",
    [
        CONTRACT,
        replace(CONTRACT, labels=LabelSpace.for_task("type")),
        Contract("plain", LabelSpace(), PreprocessSpec(64)),
        replace(CONTRACT, volumes=VolumeRule(4, 0.1, 0.9, 0.25)),
    ],
)
def test_a_contract_survives_the_metadata_of_a_file(contract):
    assert Contract.from_metadata({"other": "…"} | contract.to_metadata()) == contract


def test_the_metadata_are_one_json_document_that_starts_with_its_version():
    ((key, document),) = CONTRACT.to_metadata().items()
    assert key == METADATA_KEY
    assert document.startswith('{"schema_version": 2, ')
    assert json.loads(document) == json.loads(json.dumps(CONTRACT.to_dict()))
    assert "Schädel" in document


def test_what_has_a_default_may_be_absent():
    assert Contract.from_metadata(without("temperature")).temperature == 1


def test_a_whole_number_is_a_temperature():
    assert Contract.from_metadata(changed(temperature=2)).temperature == 2


def test_a_document_that_is_far_too_long_is_refused():
    reason = refused(changed(licence="x" * 2**20))
    assert reason.startswith("it is no JSON (it has 1,049,")
    assert reason.endswith(" characters, the limit is 1,048,576)")


@pytest.mark.parametrize("document", ["[" * 100_000, '{"a":' * 100_000, "1" * 5000])
def test_json_that_no_parser_takes_is_refused(document):
    assert refused({METADATA_KEY: document}).startswith("it is no JSON (")


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": 10**400},
        {"rejection": {"max_novelty": 10**400, "undecided": [0, 1], "kept": 1, "n": 1}},
        {"rejection": {"max_novelty": 1, "undecided": [0, 1], "kept": 1, "n": float("inf")}},
    ],
)
def test_numbers_that_are_too_large_are_refused(changes):
    (name,) = changes
    reason = refused(changed(**changes))
    assert reason.startswith((f"{name} is 1000000", f"its {name} cannot be {{'max_novelty': 1"))
    assert len(reason) < 400


def test_a_contract_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        CONTRACT.temperature = 2.0


def test_no_contract_is_refused():
    assert refused({}) == "the file's metadata has no 'edge_mri.contract'"


def test_no_json_is_refused():
    reason = "it is no JSON (Expecting value: line 1 column 1 (char 0))"
    assert refused({METADATA_KEY: "hello"}) == reason


@pytest.mark.parametrize("document", ["[]", "1", "null", '"contract"'])
def test_no_json_object_is_refused(document):
    assert refused({METADATA_KEY: document}) == "it is no JSON object"


@pytest.mark.parametrize("version", [0, 3, "1", None, True, 1.0, [1], 10**40])
def test_another_version_is_refused(version):
    reason = f"its schema_version is {version!r}, this version of edge-mri reads 1 and 2"
    assert refused(changed(schema_version=version)) == reason


def test_no_version_is_refused():
    reason = "its schema_version is None, this version of edge-mri reads 1 and 2"
    assert refused(without("schema_version")) == reason


@pytest.mark.parametrize("name", ["name", "labels", "preprocess"])
def test_a_missing_key_is_refused(name):
    assert refused(without(name)) == f"it lacks {name}"


def test_all_missing_keys_are_named():
    assert refused({METADATA_KEY: '{"schema_version": 1}'}) == "it lacks name, labels, preprocess"


def test_keys_of_a_later_version_are_refused():
    reason = "it has keys this version does not know: crop, mean"
    assert refused(changed(crop=True, mean=0.5)) == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": None}, "its name cannot be None"),
        ({"labels": []}, "its labels cannot be []"),
        ({"preprocess": 224}, "its preprocess cannot be 224"),
        ({"temperature": "1"}, "its temperature cannot be '1'"),
        ({"temperature": True}, "its temperature cannot be True"),
        ({"tumor_threshold": False}, "its tumor_threshold cannot be False"),
        ({"training": None}, "its training cannot be None"),
        ({"licence": {}}, "its licence cannot be {}"),
    ],
)
def test_a_value_of_another_kind_is_refused(changes, reason):
    assert refused(changed(**changes)) == reason


def test_a_file_of_the_first_version_is_read_and_written_as_such():
    contract = Contract.from_metadata(changed(schema_version=1))
    assert (contract.schema_version, contract.is_hashed) == (1, False)
    assert json.loads(contract.to_metadata()[METADATA_KEY])["schema_version"] == 1


def test_no_number_that_json_does_not_know_gets_in_or_out():
    records = {"figures": [1.5, float("nan"), {"worst": float("-inf")}]}
    expected = {"figures": [1.5, None, {"worst": None}]}
    assert Contract.from_metadata(changed(training=records)).training == expected
    (written,) = replace(CONTRACT, training=records).to_metadata().values()
    assert json.loads(written, parse_constant=pytest.fail)["training"] == expected


@pytest.mark.parametrize("text", ["\ud800", "a\udfff"])
@pytest.mark.parametrize("field", ["name", "licence", "training", "key"])
def test_text_that_no_file_can_hold_is_refused(field, text):
    values = {"training": {"training": [text]}, "key": {"training": {text: 1}}}
    changes = values.get(field, {field: text})
    assert refused(changed(**changes)).startswith("it is no JSON ('utf-8' codec can't encode")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**400)
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.just("x" * 10_000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
PLACES = [
    *[(name,) for name in CONTRACT.to_dict()],
    *[("labels", one) for one in ("types", "planes", "more")],
    *[("preprocess", one) for one in ("size", "fit", "resize", "decode", "self")],
    *[("rejection", one) for one in ("max_novelty", "undecided", "kept", "n")],
]


@given(st.sampled_from(PLACES), JSON)
def test_whatever_stands_anywhere_is_refused_in_a_line_or_can_be_used(place, value):
    values = CONTRACT.to_dict() | {"rejection": dict(GATE)}
    holder = values
    for name in place[:-1]:
        holder = holder[name]
    holder[place[-1]] = value
    try:
        contract = Contract.from_metadata({METADATA_KEY: json.dumps(values)})
    except ContractError as error:
        said = str(error)
    else:
        said = ""
    assert len(said.splitlines()) <= 1
    assert len(said) < 600
    if said:
        return
    assert 0.001 <= contract.temperature <= 1000
    assert 0 <= contract.tumor_threshold <= 1
    again = Contract.from_metadata(contract.to_metadata())
    assert again == contract
    text = json.dumps(contract.to_dict(), ensure_ascii=False, allow_nan=False)
    assert text.encode()


@pytest.mark.parametrize(
    "temperature", [0.0, -1.0, float("inf"), float("nan"), 1e-300, 1e-45, 1e300, 0.0009, 1001]
)
def test_a_temperature_that_is_no_temperature_is_refused(temperature):
    reason = f"temperature is {temperature}, expected 0.001 to 1000"
    assert refused(changed(temperature=temperature)) == reason
    with pytest.raises(ContractError):
        replace(CONTRACT, temperature=temperature)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_an_operating_point_that_is_no_probability_is_refused(threshold):
    reason = f"tumor_threshold is {threshold}, expected 0 to 1"
    assert refused(changed(tumor_threshold=threshold)) == reason


GATE = {"max_novelty": 3.5, "undecided": [0.4, 0.6], "kept": 0.99, "n": 1000}


def test_the_rejection_gate_survives_the_file():
    contract = replace(CONTRACT, rejection=Rejection(3.5, (0.4, 0.6), 0.99, 1000))
    assert Contract.from_metadata(contract.to_metadata()) == contract


@pytest.mark.parametrize(
    ("more", "called"),
    [
        ({}, "foreign"),
        ({"max_foreign": -1.25}, "unfamiliar"),
        ({"above": "unfamiliar"}, "unfamiliar"),
        ({"above": "foreign", "max_foreign": 2}, "foreign"),
        ({"above": None, "max_foreign": None}, "foreign"),
    ],
)
def test_the_third_word_survives_the_file_and_an_older_file_keeps_its_own(more, called):
    read = Contract.from_metadata(changed(rejection=GATE | more))
    assert read.rejection.novel == called
    stated = {key: value for key, value in more.items() if value is not None}
    assert read.to_dict()["rejection"] == GATE | stated
    assert Contract.from_metadata(read.to_metadata()) == read


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_foreign": float("nan")},
        {"max_foreign": float("inf")},
        {"max_foreign": "2"},
        {"max_foreign": True},
        {"max_foreign": [2]},
        {"max_foreign": 10**400},
        {"above": ""},
        {"above": "undecided"},
        {"above": ["unfamiliar"]},
        {"above": 1},
        {"undecided": [0.6, 0.4]},
        {"undecided": [0.4]},
        {"undecided": 0.5},
        {"max_novelty": None},
        {"max_novelty": float("nan")},
        {"kept": 2},
        {"kept": "0.9"},
        {"max_novelty": "3.5"},
        {"max_novelty": float("inf")},
        {"undecided": ["0.4", "0.6"]},
        {"undecided": [False, True]},
        {"undecided": [0.4, 0.6, 0.7]},
        {"n": "many"},
        {"n": True},
        {"n": -1},
        {"n": 2.5},
        {"more": 1},
    ],
)
def test_a_rejection_gate_that_makes_no_sense_is_refused(wrong):
    assert refused(changed(rejection=GATE | wrong)).startswith("its rejection cannot be ")


def test_preprocessing_of_a_later_version_is_refused():
    reason = (
        "preprocessing: unknown preprocessing fit='crop', resize='halve-bilinear'; "
        "this version knows fit='letterbox', resize='halve-bilinear'"
    )
    assert refused(changed(preprocess={"size": 224, "fit": "crop"})) == reason


def test_labels_that_are_no_names_are_refused():
    reason = "labels: types is [], expected a list of distinct names"
    assert refused(changed(labels={"types": [], "planes": []})) == reason


@pytest.mark.parametrize("field", sorted(CONTRACT.to_dict().keys() - {"schema_version"}))
def test_the_kind_of_every_field_is_checked(field):
    numbers = ("temperature", "tumor_threshold")
    reason = refused(changed(**{field: None if field in numbers else 1.5}))
    assert reason.startswith(f"its {field} cannot be ")


RULE = {"neighbours": 4, "share": 0.1, "tumor_from": 0.9, "free_below": 0.25}


def test_a_contract_without_a_rule_for_volumes_says_nothing_of_one():
    """So that a runtime that does not know the key reads it."""
    assert "volumes" not in CONTRACT.to_dict()
    assert Contract.from_metadata(changed(volumes=None)) == CONTRACT


@pytest.mark.parametrize(
    "rule",
    [
        {},
        RULE | {"neighbours": 0},
        RULE | {"neighbours": 2.5},
        RULE | {"neighbours": True},
        RULE | {"share": -0.1},
        RULE | {"share": "a"},
        RULE | {"free_below": 0.95},
        RULE | {"tumor_from": 1.5},
        RULE | {"more": 1},
    ],
)
def test_a_rule_for_volumes_that_makes_no_sense_is_refused(rule):
    assert refused(changed(volumes=rule)).startswith("its volumes cannot be ")
    assert refused(changed(volumes=RULE, schema_version=1)) == (
        "it has keys this version does not know: volumes"
    )
