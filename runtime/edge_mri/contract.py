"""The contract an ONNX file carries: everything the runtime must know to use it.

Written into the file's `metadata_props` as one JSON document under `METADATA_KEY`; there is no side
file to lose. A model without a contract, or with a version this code does not know, is refused.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edge_mri.errors import ContractError
from edge_mri.labels import LabelSpace
from edge_mri.preprocess import PreprocessSpec

METADATA_KEY = "edge_mri.contract"
SCHEMA_VERSION = 1
INTENDED_USE = "Research on brain MR slice classification. Not a diagnostic device."

_REQUIRED = ("name", "labels", "preprocess")
_KINDS: dict[str, type | tuple[type, ...]] = {
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


@dataclass(frozen=True)
class Rejection:
    """When a model does not answer. Fitted on validation images, never on test images.

    Attributes:
        max_novelty: Images whose `novelty` output is above it are no brain MR slices as the model
            knows them.
        undecided: P(any tumour) from the first to the second value is too close to call; both
            the same: every image is decided.
        kept: Share of the validation images that are answered, 0 to 1.
        n: How many validation images that is measured on.
    """

    max_novelty: float
    undecided: tuple[float, float]
    kept: float
    n: int

    def __post_init__(self) -> None:
        low, high = self.undecided
        if not (0 <= low <= high <= 1 and 0 <= self.kept <= 1 and not math.isnan(self.max_novelty)):
            raise ContractError(
                f"its rejection cannot be {asdict(self)}; expected 0 <= undecided <= 1 in order, "
                "and kept from 0 to 1"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Rejection":
        """Read it from JSON values; raises `ContractError` saying what is wrong."""
        try:
            low, high = values["undecided"]
            return cls(
                float(values["max_novelty"]),
                (float(low), float(high)),
                float(values["kept"]),
                int(values["n"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, ContractError):
                raise
            raise ContractError(f"its rejection cannot be {dict(values)!r}") from error


@dataclass(frozen=True)
class Contract:
    """What a model file says about itself.

    Attributes:
        name: Short name of the model, such as `mobilenet_v2`.
        labels: The classes in the order of the logits.
        preprocess: What turns an image into the model's `(N, 1, S, S)` uint8 input.
        temperature: The logits are divided by it before the softmax; above 0.
        tumor_threshold: An image is called tumour where P(any tumour) reaches it; 0 to 1.
        rejection: When the model does not answer; None where it always does.
        precision: `fp32`, `fp16` or `int8`.
        quantization: How an INT8 or FP16 file was made; empty for FP32.
        parity: How far this file's answers are from PyTorch's, with the n they come from.
        training: What the checkpoint was trained on and how, and its validation figures.
        licence: Licence of the weights, as their owner stated it; "" is not stated.
        intended_use: What the model is for, and what not.
        toolkit_version: Version of edge-mri that wrote the file.
        weights_sha256: Hash of the graph's initialisers; "" in a file older than the hash.
    """

    name: str
    labels: LabelSpace
    preprocess: PreprocessSpec
    temperature: float = 1.0
    tumor_threshold: float = 0.5
    rejection: Rejection | None = None
    precision: str = "fp32"
    quantization: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    intended_use: str = INTENDED_USE
    toolkit_version: str = ""
    weights_sha256: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ContractError(f"temperature is {self.temperature}, expected a value above 0")
        if not 0 <= self.tumor_threshold <= 1:
            raise ContractError(f"tumor_threshold is {self.tumor_threshold}, expected 0 to 1")

    def to_dict(self) -> dict[str, Any]:
        """Return the contract as JSON values, `schema_version` first."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    def to_metadata(self) -> dict[str, str]:
        """Return the contract as entries for an ONNX file's `metadata_props`."""
        return {METADATA_KEY: json.dumps(self.to_dict(), ensure_ascii=False)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "Contract":
        """Read the contract from `metadata_props`; raises `ContractError` saying what is wrong."""
        if METADATA_KEY not in metadata:
            raise ContractError(f"the file's metadata has no {METADATA_KEY!r}")
        try:
            values = json.loads(metadata[METADATA_KEY])
        except (ValueError, RecursionError) as error:  # also a number of thousands of digits
            raise ContractError(f"it is no JSON ({error})") from error
        if not isinstance(values, dict):
            raise ContractError("it is no JSON object")
        try:
            return cls.from_dict(values)
        except (OverflowError, RecursionError) as error:
            raise ContractError(f"it has values that nothing can use ({error})") from error

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Contract":
        """Read a contract from JSON values; raises `ContractError` saying what is wrong."""
        fields = dict(values)
        version = fields.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise ContractError(
                f"its schema_version is {version!r}, this version of edge-mri reads "
                f"{SCHEMA_VERSION}"
            )
        missing = [name for name in _REQUIRED if name not in fields]
        if missing:
            raise ContractError(f"it lacks {', '.join(missing)}")
        unknown = [name for name in fields if name not in _KINDS]
        if unknown:
            raise ContractError(f"it has keys this version does not know: {', '.join(unknown)}")
        for name, value in fields.items():
            if not isinstance(value, _KINDS[name]):
                raise ContractError(f"its {name} cannot be {value!r}")
        labels = LabelSpace.from_dict(fields.pop("labels"))
        spec = PreprocessSpec.from_dict(fields.pop("preprocess"))
        gate = fields.pop("rejection", None)
        rejection = None if gate is None else Rejection.from_dict(gate)
        return cls(labels=labels, preprocess=spec, rejection=rejection, **fields)
