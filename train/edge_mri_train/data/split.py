"""Dividing labelled images so that no group lies on two sides.

Which images belong together is `edge_mri_train.data.grouping`; the file that records the division
is `edge_mri_train.data.manifest`.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge_mri.errors import OptionError
from edge_mri.labels import Label
from edge_mri.remote.url import Place
from edge_mri_train.data.manifest import DROPPED

TRAIN, VAL, TEST = "train", "val", "test"

_DIGITS = 9  # what differs less is rounding


@dataclass(frozen=True)
class SplitConfig:
    """How to divide.

    Attributes:
        fractions: Share of the images that each side gets; they sum to 1.
        seed: Of the order in which groups of one size are dealt.
        keep_test: Leave images that lie in a test folder in `test`, and drop from the other sides
            what belongs to a group with one of them.
        as_published: With `keep_test`, leave what a set leaks to its own test folder, and drop only
            what leaks to another set's. An image near test images of both is dropped.
        grouped: Keep near duplicates and patients together. Without it every image is dealt by
            itself, as in published random splits: leaky, to compare with those alone.
        keep_val: Instead of all this, leave images that lie in a validation folder in `val`, drop
            what belongs to a group with one of them, and let the rest train.
    """

    fractions: Mapping[str, float] = field(default_factory=lambda: {TRAIN: 2 / 3, VAL: 1 / 3})
    seed: int = 0
    keep_test: bool = False
    as_published: bool = False
    grouped: bool = True
    keep_val: bool = False

    def __post_init__(self) -> None:
        if self.keep_test and not self.grouped:
            raise OptionError("--keep-test drops duplicates, --ungrouped keeps them; leave one out")
        if self.as_published and not self.keep_test:
            raise OptionError("--as-published is about test folders; give it with --keep-test")
        shares = list(self.fractions.values())
        if len(shares) < 2 or min(shares) <= 0 or not abs(sum(shares) - 1) <= 1e-6:
            told = ", ".join(f"{side} {share:g}" for side, share in self.fractions.items())
            raise OptionError(f"fractions {told}; expected two or more above 0 that sum to 1")

    @classmethod
    def folds(cls, count: int, seed: int = 0, *, keep_test: bool = False) -> "SplitConfig":
        """Divide into `count` folds of one size, `fold-0` to `fold-(count - 1)`."""
        if count < 2:
            raise OptionError(f"{count} folds; expected 2 or more")
        return cls({f"fold-{fold}": 1 / count for fold in range(count)}, seed, keep_test)


def divide(
    labels: Sequence[Label],
    groups: Sequence[int],
    official: Sequence[str | None],
    sets: Sequence[Place],
    config: SplitConfig,
) -> list[str]:
    """Return the side of each image.

    Groups are dealt the largest first, each to the side that lacks most of its labels, or where
    sides lack the same, most images at all (iterative stratification after Sechidis et al. 2011,
    over groups), so that types and planes have nearly the same shares on all sides.

    Args:
        labels: N labels.
        groups: N group numbers.
        official: N splits that the set's own folders name, or None.
        sets: N folders of the sets they belong to.
        config: How to divide.
    """
    sides: list[str] = [DROPPED] * len(labels)
    members: dict[int, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        members[group].append(position)
    if config.keep_val:
        return _beside_validation(members, official)
    if config.keep_test:
        for position, split in enumerate(official):
            if split == TEST:
                sides[position] = TEST
        members = _beside_tests(members, official, sets, config)
    dealt = list(members)
    random.Random(config.seed).shuffle(dealt)
    dealt.sort(key=lambda group: -len(members[group]))
    totals = Counter(labels[position] for group in dealt for position in members[group])
    lacking = {
        side: {label: share * count for label, count in totals.items()}
        for side, share in config.fractions.items()
    }
    for group in dealt:
        contents = Counter(labels[position] for position in members[group])
        side = max(
            lacking, key=lambda one: _need(contents, lacking[one], totals, config.fractions[one])
        )
        for position in members[group]:
            sides[position] = side
        for label, count in contents.items():
            lacking[side][label] -= count
    return sides


def _beside_validation(
    members: Mapping[int, Sequence[int]], official: Sequence[str | None]
) -> list[str]:
    """Return the sides where validation folders keep their images."""
    sides = [VAL if split == VAL else TRAIN for split in official]
    for positions in members.values():
        if any(sides[one] == VAL for one in positions):
            for one in positions:
                sides[one] = VAL if sides[one] == VAL else DROPPED
    return sides


def _beside_tests(
    members: Mapping[int, Sequence[int]],
    official: Sequence[str | None],
    sets: Sequence[Place],
    config: SplitConfig,
) -> dict[int, list[int]]:
    """Return what is left of each group to deal where test folders keep their images.

    A group with a test image is dropped; as published, what is of that image's own set stays.
    """
    left = {}
    for group, positions in members.items():
        tested = {sets[one] for one in positions if official[one] == TEST}
        others = [one for one in positions if official[one] != TEST]
        if tested:
            others = [one for one in others if config.as_published and tested == {sets[one]}]
        if others:
            left[group] = others
    return left


def _need(
    contents: Counter[Label], lacking: Mapping[Label, float], totals: Counter[Label], share: float
) -> tuple[float, float]:
    """Return how much a side lacks of a group's labels, then of all, as shares of what it gets."""
    own = sum(count * lacking[label] / (share * totals[label]) for label, count in contents.items())
    return round(own, _DIGITS), round(sum(lacking.values()) / share, _DIGITS)
