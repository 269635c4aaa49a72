"""The processes of a run: one, or as many as `torchrun` started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


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
def joined() -> Iterator[Ranks]:
    """Join the processes that `torchrun` started with this one; alone without it."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Ranks()
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    has_gpus = torch.cuda.is_available()
    if has_gpus:
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if has_gpus else "gloo")
    try:
        yield Ranks(distributed.get_rank(), count, local)
    finally:
        distributed.destroy_process_group()
