"""A checkpoint: one file that knows its network, labels and preprocessing.

Only tensors and plain values, so that it loads with `weights_only=True` and runs no code. One whose
network is made by a function of the user's names it, and loads where the caller names it too.
"""

import reprlib
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge_mri.answers.decision import TUMOR_THRESHOLD
from edge_mri.answers.prediction import softmax
from edge_mri.errors import EdgeMriError, ModelNotFoundError
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri_train.errors import (
    CheckpointError,
    FactoryError,
    FactoryNotNamedError,
    first_line,
)
from edge_mri_train.networks.architectures import build, normalise
from edge_mri_train.networks.own_network import is_own
from edge_mri_train.networks.tensor_file import read_tensors, write_tensors
from edge_mri_train.settings.rules import ABOVE_0, TEXT, Rule, number, or_none
from edge_mri_train.settings.runs import checkpoint_file

FORMAT = "edge-mri checkpoint"
FORMAT_VERSION = 1
_BATCH = 64
_RULES = {
    "architecture": TEXT,
    "temperature": ABOVE_0,
    "tumor_threshold": number(lambda one: 0 <= one <= 1, "from 0 to 1"),
    "training": Rule(lambda one: isinstance(one, dict), "a dictionary"),
    "seen": or_none(
        Rule(lambda one: isinstance(one, torch.Tensor) and one.dtype == torch.uint8, "bytes")
    ),
}


@dataclass
class Checkpoint:
    """A trained network and what one must know to use it.

    Attributes:
        architecture: Name of the network.
        labels: The classes in the order of its logits.
        preprocess: What turns an image into its input.
        network: The network, in eval mode.
        temperature: The logits are divided by it before the softmax.
        tumor_threshold: P(any tumour) from which it says tumour.
        training: What it was trained on and how, and its validation figures; JSON values.
        seen: What it remembers of its training images, hashes alone
            (`edge_mri_train.duplicates.seen`); None where that is not known.
    """

    architecture: str
    labels: LabelSpace
    preprocess: PreprocessSpec
    network: nn.Module
    temperature: float = 1.0
    tumor_threshold: float = TUMOR_THRESHOLD
    training: dict[str, Any] = field(default_factory=dict)
    seen: bytes | None = None

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        save_state(
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "architecture": self.architecture,
                "labels": self.labels.to_dict(),
                "preprocess": asdict(self.preprocess),
                "temperature": self.temperature,
                "tumor_threshold": self.tumor_threshold,
                "training": self.training,
                "seen": self.seen and torch.frombuffer(bytearray(self.seen), dtype=torch.uint8),
                "state": self.network.state_dict(),
            },
            path,
        )

    @classmethod
    def load(cls, path: Path, named: Collection[str] = ()) -> "Checkpoint":
        """Read a checkpoint; a run's folder stands for its best.

        Args:
            path: The file, or the folder.
            named: Functions `package.module:function` that may run where the checkpoint's network
                is made by one of them.

        Raises:
            FactoryNotNamedError: It names a function that is not among `named`.
            FactoryError: The function makes no network that can be used.
            ModelNotFoundError: There is no such file.
            RunFolderError: It is a folder without a checkpoint.
            CheckpointError: It is no checkpoint, or one that this version does not understand.
        """
        path = checkpoint_file(path)
        values = load_state(path)
        if values.get("format") != FORMAT or values.get("format_version") != FORMAT_VERSION:
            raise CheckpointError(path, f"it is not in format {FORMAT} {FORMAT_VERSION}")
        try:
            for name, rule in _RULES.items():
                if name in values and not rule.holds(values[name]):
                    raise CheckpointError(
                        path, f"its {name} is {reprlib.repr(values[name])}, not {rule.expected}"
                    )
            labels = LabelSpace.from_dict(values["labels"])
            spec = PreprocessSpec.from_dict(values["preprocess"])
            if is_own(values["architecture"]) and values["architecture"] not in named:
                raise FactoryNotNamedError(path, values["architecture"])
            network = build(values["architecture"], len(labels.classes), spec.size, labels)
            load_network(network, values["state"])
            seen = values.get("seen")
            return cls(
                values["architecture"],
                labels,
                spec,
                network.eval(),
                values["temperature"],
                values.get("tumor_threshold", TUMOR_THRESHOLD),
                values["training"],
                None if seen is None else seen.numpy().tobytes(),
            )
        except (CheckpointError, FactoryError, FactoryNotNamedError):
            raise
        except EdgeMriError as error:
            raise CheckpointError(path, str(error)) from error
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = first_line(error).rstrip(":")
            raise CheckpointError(path, f"its contents do not fit: {reason}") from error

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return `(N, K)` class probabilities of `(N, 1, S, S)` uint8 network input."""
        return softmax(self.logits(pixels), self.temperature)

    @torch.inference_mode()
    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return `(N, K)` logits of `(N, 1, S, S)` uint8 network input, on the CPU."""
        batches = torch.split(torch.from_numpy(pixels), _BATCH)
        outputs = [self.network(normalise(batch)) for batch in batches]
        logits: NDArray[np.float32] = torch.cat(outputs).numpy()
        return logits


def save_state(values: dict[str, Any], path: Path) -> None:
    """Write tensors and plain values with `torch.save`, whole or not at all, and their hash."""
    write_tensors(values, path)


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote, running no code from the file.

    Raises:
        ModelNotFoundError: There is no such file.
        CheckpointError: It is damaged, something else, or cannot be read.
    """
    if not path.exists():
        raise ModelNotFoundError(path)
    try:
        values = read_tensors(path, lambda reason: CheckpointError(path, reason))
    except OSError as error:
        raise CheckpointError(path, error.strerror or str(error)) from error
    if not isinstance(values, dict):
        raise CheckpointError(path, "it is not a dictionary")
    return values


def load_network(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Fill a network with a state that fits it name by name, shape by shape and dtype by dtype.

    Raises:
        ValueError: A tensor has another dtype: torch would cast it and say nothing.
        RuntimeError: A name is missing or too many, or a shape is another.
    """
    for name, own in network.state_dict().items():
        given = state.get(name)
        if isinstance(given, torch.Tensor) and given.dtype != own.dtype:
            raise ValueError(f"{name} is {given.dtype}, expected {own.dtype}")
    network.load_state_dict(state)
