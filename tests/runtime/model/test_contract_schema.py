import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge_mri.errors import ContractError
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.model.contract import Contract
from edge_mri.model.contract_schema import contract_schema
from edge_mri.model.rejection import Rejection
from edge_mri.model.volume_rule import VolumeRule

jsonschema = pytest.importorskip("jsonschema", reason="validating needs the package jsonschema")

PUBLISHED = Path(__file__).parents[3] / "docs" / "contract.schema.json"
PLAIN = Contract("plain", LabelSpace(), PreprocessSpec(64))
FULL = replace(
    PLAIN,
    temperature=1.5,
    rejection=Rejection(7.25, (0.3, 0.7), 0.985, 1000, -1.5, "unfamiliar"),
    volumes=VolumeRule(neighbours=4, share=0.1, tumor_from=0.9, free_below=0.25),
    licence="CC0-1.0",
    weights_sha256="0" * 64,
)


def stored(contract: Contract) -> dict:
    """What a file holds of it."""
    return json.loads(next(iter(contract.to_metadata().values())))


def reads(values: dict) -> bool:
    try:
        Contract.from_dict(values)
    except ContractError:
        return False
    return True


def is_valid(values: dict) -> bool:
    return jsonschema.Draft202012Validator(contract_schema()).is_valid(values)


def test_the_published_schema_is_the_codes():
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == contract_schema(), (
        "python -m edge_mri.model.contract_schema > docs/contract.schema.json"
    )


def test_the_schema_is_a_schema_and_describes_every_key():
    schema = contract_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert set(schema["properties"]) == set(FULL.to_dict())
    assert set(FULL.to_dict()) - set(PLAIN.to_dict()) == {"volumes"}
    assert all(one["description"] for one in schema["properties"].values())


@pytest.mark.parametrize(
    "contract", [PLAIN, FULL, replace(FULL, labels=LabelSpace.for_task("type"))]
)
def test_what_the_code_writes_is_valid(contract):
    assert is_valid(stored(contract))


def test_the_contract_of_the_shipped_model_is_valid(classifier):
    jsonschema.validate(
        classifier.contract.to_dict() | stored(classifier.contract), contract_schema()
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 3},
        {"temperature": 0},
        {"temperature": 1e-300},
        {"tumor_threshold": 1.5},
        {"unknown": 1},
        {"name": 3},
        {"rejection": {"max_novelty": 1.0}},
        {"rejection": {"max_novelty": 1, "undecided": [0.5, 2], "kept": 1, "n": 1}},
        {"rejection": stored(FULL)["rejection"] | {"max_foreign": "2"}},
        {"rejection": stored(FULL)["rejection"] | {"above": "undecided"}},
        {"labels": {"types": ["glioma"]}},
        {"labels": {"types": ["glioma", "glioma"], "planes": []}},
        {"preprocess": {"size": 4}},
        {"preprocess": {"size": 64, "fit": "crop"}},
        {"preprocess": {"size": 64, "decode": "half"}},
    ],
)
def test_code_and_schema_refuse_alike(changes):
    values = stored(FULL) | changes
    assert (reads(values), is_valid(values)) == (False, False)


@pytest.mark.parametrize("name", sorted(FULL.to_dict()))
def test_code_and_schema_agree_on_what_may_be_left_out(name):
    values = stored(FULL)
    del values[name]
    assert reads(values) == is_valid(values)
