"""The processes of a run: one, or as many as `torchrun` started.

They share each batch and average their gradients. One process computes nearly the same: order and
changes of the images are the same, but each process has BatchNorm's statistics of its own part
(the first's running ones are kept), draws dropout of its own, and normalises the weights of classes
and outlined lesions over its own part.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from edge_mri.errors import OptionError


@dataclass(frozen=True)
class Ranks:
    """Which process of how many this is.

    Attributes:
        rank: Its number; 0 validates and writes.
        count: How many there are.
        local: Its number on this machine, and that of its GPU.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process validates and writes."""
        return self.rank == 0

    def require_share(self, batch_size: int) -> None:
        """Raise `OptionError` where a batch has no image for each process."""
        if batch_size < self.count:
            raise OptionError(
                f"{self.count} processes share a batch of {batch_size}; expected an image for "
                f"each: start {batch_size} or fewer, or a run with a larger --batch-size"
            )

    def seed(self, seed: int) -> int:
        """Return this process's own seed, the first's unchanged; `seed` is below 2**53."""
        return seed + (self.rank << 53)

    def wrap(self, module: nn.Module, device: torch.device) -> nn.Module:
        """Return the module with its gradients averaged over the processes."""
        if self.count == 1:
            return module
        devices = [device] if device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices, find_unused_parameters=True)

    def agree(self, said: bool) -> bool:
        """Return what the first process said."""
        if self.count == 1:
            return said
        flag = torch.tensor([int(said)])
        if distributed.get_backend() == "nccl":
            flag = flag.cuda()
        distributed.broadcast(flag, src=0)
        return bool(flag.item())


@contextmanager
def joined(device: str = "auto") -> Iterator[Ranks]:
    """Join the processes that `torchrun` started with this one; alone without it.

    Args:
        device: What they train on, as `TrainConfig` has it: on CPUs they talk by gloo.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Ranks()
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    has_gpus = device != "cpu" and torch.cuda.is_available()
    if has_gpus:
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if has_gpus else "gloo")
    try:
        yield Ranks(distributed.get_rank(), count, local)
    finally:
        distributed.destroy_process_group()
