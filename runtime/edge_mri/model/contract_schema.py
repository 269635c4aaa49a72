"""The JSON Schema of the contract, made from the code that reads it.

`docs/contract.schema.json` is what this prints:

    python -m edge_mri.model.contract_schema > docs/contract.schema.json
"""

import inspect
import json
import re
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from edge_mri.images.preprocess import DECODES
from edge_mri.model.contract import HIGHEST_TEMPERATURE, KINDS, LOWEST_TEMPERATURE, Contract
from edge_mri.model.rejection import FOREIGN, UNFAMILIAR

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_KINDS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
}
_BOUNDS: dict[str, dict[str, Any]] = {
    "Contract.temperature": {"minimum": LOWEST_TEMPERATURE, "maximum": HIGHEST_TEMPERATURE},
    "Contract.tumor_threshold": {"minimum": 0, "maximum": 1},
    "Contract.precision": {"pattern": "^[a-z0-9-]+$"},
    "Contract.weights_sha256": {"pattern": "^([0-9a-f]{64})?$"},
    "LabelSpace.types": {"minItems": 1, "uniqueItems": True},
    "LabelSpace.planes": {"uniqueItems": True},
    "PreprocessSpec.size": {"minimum": 16, "maximum": 1024},
    "PreprocessSpec.fit": {"enum": ["letterbox"]},
    "PreprocessSpec.resize": {"enum": ["halve-bilinear"]},
    "PreprocessSpec.decode": {"enum": list(DECODES)},
    "Rejection.kept": {"minimum": 0, "maximum": 1},
    "Rejection.n": {"minimum": 0},
    "Rejection.above": {"enum": [FOREIGN, UNFAMILIAR, None]},
    "VolumeRule.neighbours": {"minimum": 1},
    **{
        f"VolumeRule.{name}": {"minimum": 0, "maximum": 1}
        for name in ("share", "tumor_from", "free_below")
    },
    "Rejection.undecided": {"items": {"type": "number", "minimum": 0, "maximum": 1}},
}


def contract_schema() -> dict[str, Any]:
    """Return the schema of what `Contract.to_dict` gives and `Contract.from_dict` reads."""
    schema = _object(Contract)
    version = schema["properties"].pop("schema_version")
    return {
        "$schema": DIALECT,
        "title": "The contract in an edge-mri ONNX file, metadata key edge_mri.contract",
        "description": schema.pop("description"),
        "type": schema.pop("type"),
        "properties": {
            "schema_version": {
                "enum": list(KINDS),
                "description": f"{version['description']} Another version is refused.",
            },
            **schema.pop("properties"),
        },
        "required": ["schema_version", *schema.pop("required")],
        **schema,
    }


def _object(cls: type) -> dict[str, Any]:
    hints, told = get_type_hints(cls), _attributes(cls)
    properties = {
        one.name: {
            **_value(hints[one.name]),
            **_BOUNDS.get(f"{cls.__name__}.{one.name}", {}),
            "description": told[one.name],
        }
        for one in _fields(cls)
    }
    return {
        "type": "object",
        "description": (inspect.getdoc(cls) or "").partition("\n")[0],
        "properties": properties,
        "required": [one.name for one in _fields(cls) if _is_required(cls, one)],
        "additionalProperties": False,
    }


def _value(kind: Any) -> dict[str, Any]:
    if kind in _KINDS:
        return dict(_KINDS[kind])
    if is_dataclass(kind) and isinstance(kind, type):
        return _object(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is dict:
        return {"type": "object"}
    if origin is tuple and arguments[-1] is Ellipsis:
        return {"type": "array", "items": _value(arguments[0])}
    if origin is tuple:
        size = len(arguments)
        return {"type": "array", "items": _value(arguments[0]), "minItems": size, "maxItems": size}
    if origin in (Union, UnionType):
        return {
            "anyOf": [{"type": "null"} if one is NoneType else _value(one) for one in arguments]
        }
    raise TypeError(f"no JSON Schema for a field of type {kind}")


def _attributes(cls: type) -> dict[str, str]:
    """Return what a class's docstring says of its fields."""
    _, _, section = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def _fields(cls: Any) -> tuple[Field[Any], ...]:
    return fields(cls)


def _is_required(cls: type, one: Field[Any]) -> bool:
    if cls.__name__ == "LabelSpace":  # a file names its classes; what it leaves out is the default
        return one.name in ("types", "planes")
    return one.default is MISSING and one.default_factory is MISSING


if __name__ == "__main__":
    print(json.dumps(contract_schema(), indent=2, ensure_ascii=False))  # noqa: T201
