"""Hints: the features a teacher came by, which the student's must be able to tell.

Romero et al. 2015, "FitNets: Hints for Thin Deep Nets" (arXiv 1412.6550), at strides 8, 16 and 32:
a 1 x 1 convolution, trained along and thrown away, maps the student's features to the teacher's.
What a teacher's answers keep to themselves, where and what it sees, is learned so: with a teacher
that began with ImageNet, some of that.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from edge_mri.errors import OptionError
from edge_mri_train.networks.lesion_network import LesionNetwork
from edge_mri_train.networks.torchvision_trunk import NODES

_TRIAL_PX = 64


class Hints(nn.Module):
    """How far a student's features are from those of its teachers.

    Args:
        student: Its network and the name of its architecture.
        teachers: Theirs.

    Raises:
        OptionError: Of one of them no features at strides 8, 16 and 32 are known.
    """

    def __init__(
        self, student: tuple[nn.Module, str], teachers: Sequence[tuple[nn.Module, str]]
    ) -> None:
        super().__init__()
        self._student = _Tap(*student)
        self._teachers = [_Tap(*one) for one in teachers]
        mine = self._student.channels() * len(self._teachers)
        theirs = [count for one in self._teachers for count in one.channels()]
        self.projections = nn.ModuleList(map(_projection, mine, theirs))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep what the networks come by while this lasts."""
        with ExitStack() as stack:
            for tap in (self._student, *self._teachers):
                stack.enter_context(tap.watching())
            yield

    def forward(self) -> torch.Tensor:
        """Return the mean squared difference of the last calls' features, a scalar.

        Each of a teacher's channels has mean 0 and variance 1 over the batch.
        """
        mine = self._student.features() * len(self._teachers)
        theirs = [one for tap in self._teachers for one in tap.features()]
        losses = [
            functional.mse_loss(project(ours).float(), _standardised(target))
            for project, ours, target in zip(self.projections, mine, theirs, strict=True)
        ]
        return torch.stack(losses).mean()


def require_features(network: nn.Module, arch: str) -> None:
    """Raise `OptionError` where a network's features are not known."""
    _Tap(network, arch)


class _Tap:
    """Where a network's features at strides 8, 16 and 32 are taken, and what they last were."""

    def __init__(self, network: nn.Module, arch: str) -> None:
        if not isinstance(network, LesionNetwork) and arch not in NODES:
            raise OptionError(
                f"distill_features compares features at strides 8, 16 and 32, and those of {arch} "
                f"are not known; expected a network with a lesion map or one of {', '.join(NODES)}"
            )
        self._network = network
        self._nodes = () if isinstance(network, LesionNetwork) else NODES[arch]
        self._taken: list[torch.Tensor] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        nodes = self._nodes or ("trunk",)
        modules = [self._network.get_submodule(node) for node in nodes]
        hooks = [module.register_forward_hook(self._take) for module in modules]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            self._taken.clear()

    def features(self) -> list[torch.Tensor]:
        """Return the three of the last call."""
        return self._taken[-3:]

    @torch.no_grad()
    def channels(self) -> list[int]:
        """Return how many channels each has."""
        was_training = self._network.training
        with self.watching():
            self._network.eval()(torch.zeros(1, 1, _TRIAL_PX, _TRIAL_PX))
            counts = [one.shape[1] for one in self.features()]
        self._network.train(was_training)
        return counts

    def _take(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        self._taken += outputs if isinstance(outputs, tuple) else [outputs]


def _projection(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1)


def _standardised(features: torch.Tensor) -> torch.Tensor:
    return functional.batch_norm(features.float(), None, None, training=True)
