"""The contract an ONNX file carries: everything the runtime must know to use it.

Written into the file's `metadata_props` as one JSON document under `METADATA_KEY`; there is no side
file to lose. A model without a contract, or with a version this code does not know, is refused. The
hash that covers it is `edge_mri.model.content_hash`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edge_mri.errors import ContractError, listed
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.model.rejection import Rejection
from edge_mri.model.volume_rule import VolumeRule
from edge_mri.storage.json_document import finite, parse, shown

METADATA_KEY = "edge_mri.contract"
SCHEMA_VERSION = 2
"""What is written; from this version on a file states the hash of all that is in it."""
MAX_CHARACTERS = 2**20  # of the document; the one of the packaged model has 8,000
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 1e-3, 1e3
INTENDED_USE = "Research on brain MR slice classification. Not a diagnostic device."

_REQUIRED = ("name", "labels", "preprocess")
_Kinds = dict[str, type | tuple[type, ...]]
_FIRST_KINDS: _Kinds = {
    "name": str,
    "labels": dict,
    "preprocess": dict,
    "temperature": (int, float),
    "tumor_threshold": (int, float),
    "rejection": (dict, type(None)),
    "precision": str,
    "quantization": dict,
    "parity": dict,
    "training": dict,
    "licence": str,
    "intended_use": str,
    "toolkit_version": str,
    "weights_sha256": str,
}
KINDS: dict[int, _Kinds] = {
    1: _FIRST_KINDS,
    SCHEMA_VERSION: _FIRST_KINDS | {"volumes": (dict, type(None))},
}
"""The versions that are read, and the fields of each."""
_RECORDS = ("quantization", "parity", "training")


@dataclass(frozen=True)
class Contract:
    """What a model file says about itself.

    Attributes:
        name: Short name of the model, such as `mobilenet_v2`.
        labels: The classes in the order of the logits.
        preprocess: What turns an image into the model's `(N, 1, S, S)` uint8 input.
        temperature: The logits are divided by it before the softmax; 0.001 to 1000.
        tumor_threshold: Something is said to be there where P(present) reaches it; 0 to 1. Without
            an absent type it has no meaning, and is not written.
        rejection: When the model does not answer; None where it always does.
        volumes: When the slices of a volume say together what it is; None: the rule that was
            fitted for the packaged model. Left out of the document where it is None.
        precision: `fp32`, `fp16` or `int8`.
        quantization: How an INT8 or FP16 file was made; empty for FP32.
        parity: How far this file's answers are from PyTorch's, with the n they come from.
        training: What the checkpoint was trained on and how, and its validation figures.
        licence: Licence of the weights, as their owner stated it; "" is not stated.
        intended_use: What the model is for, and what not.
        toolkit_version: Version of edge-mri that wrote the file.
        weights_sha256: Hash of the graph's initialisers; "" in a file older than the hash.
        schema_version: Version of the document; 1 has no `volumes`, nor the labels' absent and
            present, which are then the default's; a file of version 2 states the hash of all that
            is in it.
    """

    name: str
    labels: LabelSpace
    preprocess: PreprocessSpec
    temperature: float = 1.0
    tumor_threshold: float = 0.5
    rejection: Rejection | None = None
    volumes: VolumeRule | None = None
    precision: str = "fp32"
    quantization: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    intended_use: str = INTENDED_USE
    toolkit_version: str = ""
    weights_sha256: str = ""
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if not LOWEST_TEMPERATURE <= self.temperature <= HIGHEST_TEMPERATURE:
            raise ContractError(
                f"temperature is {shown(self.temperature)}, "
                f"expected {LOWEST_TEMPERATURE:g} to {HIGHEST_TEMPERATURE:g}"
            )
        if not 0 <= self.tumor_threshold <= 1:
            raise ContractError(
                f"tumor_threshold is {shown(self.tumor_threshold)}, expected 0 to 1"
            )

    @property
    def is_hashed(self) -> bool:
        """Whether a file with it must state the hash of all that is in it."""
        return self.schema_version > 1

    def to_dict(self) -> dict[str, Any]:
        """Return the contract as JSON values, `schema_version` first; no value is NaN."""
        values = asdict(self)
        if self.volumes is None:
            del values["volumes"]
        if self.rejection is not None:
            values["rejection"] = self.rejection.to_dict()
        first = {"schema_version": values.pop("schema_version")}
        values["labels"] = self.labels.to_dict()
        if self.schema_version == 1:  # which knew no others
            del values["labels"]["absent"], values["labels"]["present"]
        if self.labels.absent is None:
            del values["tumor_threshold"]
        strict: dict[str, Any] = finite(first | values)
        return strict

    def to_metadata(self) -> dict[str, str]:
        """Return the contract as entries for an ONNX file's `metadata_props`."""
        return {METADATA_KEY: json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "Contract":
        """Read the contract from `metadata_props`; raises `ContractError` saying what is wrong."""
        if METADATA_KEY not in metadata:
            raise ContractError(f"the file's metadata has no {METADATA_KEY!r}")
        try:
            values = parse(metadata[METADATA_KEY], MAX_CHARACTERS)
        except ValueError as error:  # also a number of thousands of digits
            raise ContractError(f"it is no JSON ({error})") from error
        if not isinstance(values, dict):
            raise ContractError("it is no JSON object")
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Contract":
        """Read a contract from JSON values; raises `ContractError` saying what is wrong."""
        given = dict(values)
        version = given.get("schema_version")
        if type(version) is not int or version not in KINDS:
            raise ContractError(
                f"its schema_version is {shown(version)}, this version of edge-mri reads "
                f"{' and '.join(map(str, KINDS))}"
            )
        kinds = KINDS[version] | {"schema_version": int}
        missing = [name for name in _REQUIRED if name not in given]
        if missing:
            raise ContractError(f"it lacks {', '.join(missing)}")
        unknown = [shown(name)[1:-1] for name in given if name not in kinds]
        if unknown:
            raise ContractError(f"it has keys this version does not know: {listed(unknown)}")
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, kinds[name]):
                raise ContractError(f"its {name} cannot be {shown(value)}")
        labels = LabelSpace.from_dict(given.pop("labels"))
        spec = PreprocessSpec.from_dict(given.pop("preprocess"))
        gate = given.pop("rejection", None)
        rejection = None if gate is None else Rejection.from_dict(gate)
        rule = given.pop("volumes", None)
        volumes = None if rule is None else VolumeRule.from_dict(rule)
        given |= {name: finite(given[name]) for name in _RECORDS if name in given}
        return cls(labels=labels, preprocess=spec, rejection=rejection, volumes=volumes, **given)
