"""PyTorch as a backend, twice: as its users run it, and at the best we could make of it.

The users' way: PIL opens, torchvision resizes, the network runs eagerly. At its best: edge-mri's
OpenCV decoding and preprocessing, then the fastest of the modes of `VARIANTS`, chosen by measuring.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from io import BytesIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torchvision.transforms import v2

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri_bench.backends.backends import Backend, Settings, Skipped
from edge_mri_bench.backends.networks import Network
from edge_mri_train.errors import first_line
from edge_mri_train.networks.architectures import build, names, normalise
from edge_mri_train.networks.checkpoint import Checkpoint

VARIANTS = (
    "eager",
    "channels_last",
    "channels_last bfloat16",
    "torchscript",
    "compiled",
    "compiled bfloat16",
)
_TRIALS = 12
_FREEZE = {"freezing": True}  # folds BatchNorm and packs the weights, as the other engines do

Forward = Callable[[torch.Tensor], torch.Tensor]


class _CheckpointBackend(Backend):
    """What runs a checkpoint's network."""

    def __init__(self, checkpoint: Checkpoint, network: Network) -> None:
        super().__init__(
            checkpoint.labels,
            checkpoint.preprocess,
            temperature=checkpoint.temperature,
            model_bytes=_bytes(network),
            answers=network.checkpoint is not None,
        )


class EagerBackend(_CheckpointBackend):
    """PIL, torchvision transforms, eager."""

    distributions = ("torch", "torchvision", "pillow", "numpy")

    def __init__(self, checkpoint: Checkpoint, network: Network) -> None:
        super().__init__(checkpoint, network)
        side = checkpoint.preprocess.size
        self._transform = v2.Compose(
            [v2.Resize((side, side)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
        )
        self._network = checkpoint.network
        self.note = _weights_note(network)

    def decode(self, data: bytes) -> Any:
        """Open with PIL, as grey."""
        with Image.open(BytesIO(data)) as image:
            return image.convert("L")

    def prepare(self, image: Any) -> Any:
        """Resize with torchvision."""
        return self._transform(image)

    def stack(self, inputs: Sequence[Any]) -> Any:
        """Stack tensors."""
        return torch.stack(list(inputs))

    def infer(self, batch: Any) -> NDArray[np.float32]:
        """Run eagerly."""
        with torch.inference_mode():
            logits: NDArray[np.float32] = self._network(batch).numpy()
        return logits


class BestBackend(_CheckpointBackend):
    """OpenCV preprocessing, and the fastest mode."""

    distributions = ("torch", "numpy", "opencv-python-headless")

    def __init__(self, checkpoint: Checkpoint, network: Network, settings: Settings) -> None:
        super().__init__(checkpoint, network)
        self._forward, self.variant, times = _fastest(checkpoint, settings)
        parts = [f"chosen: {self.variant}", *times, _weights_note(network)]
        self.note = "; ".join(part for part in parts if part)

    def infer(self, batch: Any) -> NDArray[np.float32]:
        """Run in the chosen mode."""
        with torch.no_grad():
            logits: NDArray[np.float32] = self._forward(torch.from_numpy(batch)).float().numpy()
        return logits


def open_backend(name: str, network: Network, settings: Settings) -> Backend:
    """Open the network's checkpoint, or its architecture with random weights."""
    torch.set_num_threads(settings.threads)
    checkpoint = _checkpoint(network)
    if name == "pytorch":
        return EagerBackend(checkpoint, network)
    return BestBackend(checkpoint, network, settings)


def _checkpoint(network: Network) -> Checkpoint:
    if network.checkpoint is not None:
        # Opened by the parent before, with what the user named.
        checkpoint = Checkpoint.load(network.checkpoint, (network.name,))
        checkpoint.network = _deployed(checkpoint.network)
        return checkpoint
    if network.name not in names():
        raise Skipped(f"no checkpoint was given, and {network.name} is no known architecture")
    labels, spec = LabelSpace(), PreprocessSpec(network.size)
    torch.manual_seed(0)
    random = build(network.name, len(labels.classes), network.size).eval()
    return Checkpoint(network.name, labels, spec, _deployed(random))


def _deployed(network: nn.Module) -> nn.Module:
    """Fuse what training kept apart, where the network can."""
    deploy = getattr(network, "deploy", None)
    if deploy is None:
        return network
    fused: nn.Module = deploy()
    return fused.eval()


def _bytes(network: Network) -> int | None:
    return network.checkpoint.stat().st_size if network.checkpoint else None


def _weights_note(network: Network) -> str:
    return "" if network.checkpoint else "random weights: no checkpoint was given, speed alone"


def _fastest(checkpoint: Checkpoint, settings: Settings) -> tuple[Forward, str, list[str]]:
    """Return the fastest mode at batch 1, its name, and what each took."""
    wanted = [settings.variant] if settings.variant else list(VARIANTS)
    if not settings.compile and settings.variant is None:
        wanted = [name for name in wanted if not name.startswith("compiled")]
    size = checkpoint.preprocess.size
    example = torch.randint(0, 256, (1, 1, size, size), dtype=torch.uint8)
    ready: dict[str, Forward] = {}
    failed = []
    for name in wanted:
        try:
            forward = _mode(name, checkpoint)
            with torch.no_grad():
                forward(example)
                forward(example)
        except Exception as error:  # the compiler's errors share no base class
            failed.append(f"{name} failed ({first_line(error)[:80]})")
            continue
        ready[name] = forward
    if not ready:
        raise Skipped("; ".join(failed))
    times: dict[str, list[float]] = {name: [] for name in ready}
    with torch.no_grad():
        for _ in range(_TRIALS if len(ready) > 1 else 1):
            for name, forward in ready.items():
                started = time.perf_counter()
                forward(example)
                times[name].append(1e3 * (time.perf_counter() - started))
    medians = {name: float(np.median(values)) for name, values in times.items()}
    best = min(medians, key=medians.__getitem__)
    shown = [f"{name} {value:.2f} ms" for name, value in medians.items()]
    if not settings.compile and settings.variant is None:
        shown.append("torch.compile not tried (--effort normal or full does)")
    return ready[best], best, [*shown, *failed] if settings.variant is None else failed


def _mode(name: str, checkpoint: Checkpoint) -> Forward:
    dtype = torch.bfloat16 if name.endswith("bfloat16") else torch.float32
    layout = torch.channels_last if name.startswith("channels_last") else torch.contiguous_format
    # A copy, since conversion is in place.
    network = deepcopy(checkpoint.network).eval().to(dtype)
    network = network.to(memory_format=layout)
    run: Any = network
    if name == "torchscript":
        run = _scripted(network, checkpoint.preprocess.size)
    if name.startswith("compiled"):
        run = torch.compile(network, options=_FREEZE)  # type: ignore[arg-type]

    def forward(pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = run(normalise(pixels).to(dtype=dtype, memory_format=layout))
        return logits

    return forward


def _scripted(network: nn.Module, size: int) -> Any:
    """Trace, freeze and optimise with TorchScript, which PyTorch no longer recommends."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its deprecation
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            network, torch.zeros(2, 1, size, size)
        )
        return torch.jit.optimize_for_inference(torch.jit.freeze(traced))
