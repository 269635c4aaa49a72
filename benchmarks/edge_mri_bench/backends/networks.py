"""The networks of a benchmark: the files of one network, at one input size, belong together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_mri.classifier import SHIPPED_MODEL, Classifier
from edge_mri.errors import OptionError
from edge_mri.labels import LabelSpace

REFERENCE_NAME = "mobilenet_v2"
REFERENCE_SIZE = 224


@dataclass(frozen=True)
class Network:
    """One network and what there is of it.

    Attributes:
        name: Architecture, such as `mobilenet_v2`.
        size: Side of its input, in pixels.
        checkpoint: Its trained PyTorch weights; None: random ones, for speed alone.
        fp32: Its ONNX file in floating point.
        int8: Its quantised ONNX file.
        reference: Whether it stands in for what PyTorch's users run, and nothing else of it counts.
    """

    name: str
    size: int
    checkpoint: Path | None = None
    fp32: Path | None = None
    int8: Path | None = None
    reference: bool = False

    @property
    def id(self) -> str:
        """Name and input size, unique in a run."""
        return f"{self.name}@{self.size}"

    @property
    def model(self) -> Path | None:
        """The ONNX file a user would run."""
        return self.int8 or self.fp32

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values, to hand it to another process."""
        return {
            key: str(value) if isinstance(value, Path) else value
            for key, value in vars(self).items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Network":
        """Read back what `to_dict` wrote."""
        paths = {key: values[key] and Path(values[key]) for key in ("checkpoint", "fp32", "int8")}
        return cls(**{**values, **paths})


def group(
    models: Sequence[Path], checkpoints: Sequence[Path], named: Sequence[str] = ()
) -> list[Network]:
    """Put ONNX files and checkpoints together by architecture and input size, in their order.

    Args:
        models: ONNX files; none and no checkpoint: the packaged model.
        checkpoints: PyTorch checkpoints; need the extra `train`.
        named: Functions that may run to make their networks.

    Raises:
        OptionError: Two files are the same network in the same precision.
        ModelError: A file cannot be used.
    """
    networks: dict[str, Network] = {}
    for path in models or (() if checkpoints else (SHIPPED_MODEL,)):
        contract = Classifier.load(path, device="cpu").contract
        if contract.precision not in ("fp32", "int8"):
            raise OptionError(
                f"{path} is in {contract.precision}; a benchmark knows fp32 and int8 files"
            )
        _add(networks, Network(contract.name, contract.preprocess.size), contract.precision, path)
    for path in checkpoints:
        from edge_mri_train.networks.checkpoint import Checkpoint

        checkpoint = Checkpoint.load(path, named)
        size = checkpoint.preprocess.size
        _add(networks, Network(checkpoint.architecture, size), "checkpoint", path)
    return list(networks.values())


def labels_of(network: Network) -> LabelSpace:
    """Return the labels that a network answers with; the default space for random weights."""
    if network.model is not None:
        return Classifier.load(network.model, device="cpu").contract.labels
    if network.checkpoint is None:
        return LabelSpace()
    from edge_mri_train.networks.checkpoint import Checkpoint

    return Checkpoint.load(network.checkpoint).labels


def _add(networks: dict[str, Network], key: Network, part: str, path: Path) -> None:
    network = networks.setdefault(key.id, key)
    earlier = getattr(network, part)
    if earlier is not None:
        raise OptionError(
            f"{earlier} and {path} are both {part} of {key.id}; measure them in two runs and "
            "compare those with --compare"
        )
    networks[key.id] = replace(network, **{part: path})  # type: ignore[arg-type]


def with_reference(networks: Iterable[Network]) -> list[Network]:
    """Add what the goals are measured against, unless it is there: MobileNetV2 at 224 px."""
    found = list(networks)
    reference = Network(REFERENCE_NAME, REFERENCE_SIZE, reference=True)
    return found if any(one.id == reference.id for one in found) else [*found, reference]
