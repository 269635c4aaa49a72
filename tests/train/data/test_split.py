from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri.errors import OptionError
from edge_mri.labels import Label, LabelSpace
from edge_mri_train.data.split import SplitConfig, divide

LABELS = (Label("glioma"), Label("pituitary", "axial"), Label("pituitary", "coronal"))
# Each image is its label, its group and the split its folder names.
images = st.lists(
    st.tuples(
        st.sampled_from(LABELS), st.integers(0, 12), st.sampled_from([None, "train", "test"])
    ),
    min_size=1,
    max_size=60,
)
configs = st.sampled_from(
    [
        SplitConfig(),
        SplitConfig({"train": 0.5, "val": 0.5}),
        SplitConfig({"train": 0.7, "val": 0.15, "test": 0.15}),
        SplitConfig.folds(4),
    ]
)


def sides_of(rows: list[tuple], config: SplitConfig) -> list[str]:
    labels, groups, official = map(list, zip(*rows, strict=True))
    return divide(labels, groups, official, [Path("set")] * len(rows), config)


@given(images, configs)
@settings(max_examples=150)
def test_every_image_has_a_side_and_no_group_lies_on_two(rows, config):
    sides = sides_of(rows, config)
    assert len(sides) == len(rows)
    assert set(sides) <= set(config.fractions)
    where = defaultdict(set)
    for (_, group, _), side in zip(rows, sides, strict=True):
        where[group].add(side)
    assert all(len(one) == 1 for one in where.values())
    assert sides == sides_of(rows, config)


@given(images, st.permutations(range(13)))
def test_how_groups_are_numbered_does_not_matter(rows, numbers):
    renamed = [(label, numbers[group], official) for label, group, official in rows]
    assert sides_of(rows, SplitConfig()) == sides_of(renamed, SplitConfig())


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), configs, st.integers(0, 3))
@settings(max_examples=150)
def test_no_side_gets_more_than_its_share_and_one_group(sizes, config, seed):
    rows = [(LABELS[0], group, None) for group, size in enumerate(sizes) for _ in range(size)]
    config = SplitConfig(config.fractions, seed)
    counts = Counter(sides_of(rows, config))
    for side, share in config.fractions.items():
        assert counts[side] - share * len(rows) <= max(sizes) + 1e-6
        others = len(config.fractions) - 1
        assert share * len(rows) - counts[side] <= others * max(sizes) + 1e-6


def test_types_and_planes_have_the_same_shares_on_all_sides():
    rows = [
        (label, 100 * number + copy // 2, None)
        for number, label in enumerate(LabelSpace().classes)
        for copy in range(10 * (1 + number % 3))
    ]
    sides = sides_of(rows, SplitConfig({"train": 0.6, "val": 0.2, "test": 0.2}))
    counts = Counter((label, side) for (label, _, _), side in zip(rows, sides, strict=True))
    for number, label in enumerate(LabelSpace().classes):
        n = 10 * (1 + number % 3)
        assert abs(counts[label, "train"] - 0.6 * n) <= 2
        assert abs(counts[label, "val"] - 0.2 * n) <= 2
        assert abs(counts[label, "test"] - 0.2 * n) <= 2


def test_by_default_two_thirds_train_and_a_third_validates():
    rows = [(LABELS[n % 3], n, None) for n in range(60)]
    sides = sides_of(rows, SplitConfig())  # 7 of each 20 validate
    assert Counter(sides) == {"train": 39, "val": 21}
    other = sides_of(rows, SplitConfig(seed=1))
    assert Counter(other) == {"train": 39, "val": 21}
    assert other != sides


def test_folds_are_of_one_size():
    sides = sides_of([(LABELS[n % 3], n, None) for n in range(60)], SplitConfig.folds(5))
    assert Counter(sides) == {f"fold-{fold}": 12 for fold in range(5)}


def test_classes_smaller_than_the_number_of_folds_are_spread_over_all():
    rows = [
        (label, 2 * n + k, None) for n, label in enumerate(LabelSpace().classes) for k in (0, 1)
    ]
    sides = sides_of(rows, SplitConfig.folds(4))
    assert Counter(sides) == {f"fold-{fold}": 6 for fold in range(4)}


def test_more_folds_than_groups_leave_folds_empty_and_lose_nothing():
    sides = sides_of([(LABELS[0], n // 2, None) for n in range(4)], SplitConfig.folds(3))
    assert len(sides) == 4
    assert len(set(sides)) == 2


def test_test_folders_are_kept_and_what_repeats_them_is_dropped():
    rows = [
        (LABELS[0], 0, "test"),
        (LABELS[0], 0, "train"),
        (LABELS[1], 0, None),
        (LABELS[0], 1, "test"),
        *((LABELS[0], 2 + n, "train") for n in range(3)),
    ]
    sides = sides_of(rows, SplitConfig(keep_test=True))
    assert sides[:4] == ["test", "dropped", "dropped", "test"]
    assert Counter(sides[4:]) == {"train": 2, "val": 1}
    assert "test" not in sides_of(rows, SplitConfig())


@given(images, configs)
def test_kept_test_images_are_in_no_other_sides_group(rows, config):
    config = SplitConfig(config.fractions, config.seed, keep_test=True)
    sides = sides_of(rows, config)
    tested = {group for _, group, official in rows if official == "test"}
    for (_, group, official), side in zip(rows, sides, strict=True):
        if official == "test":
            assert side == "test"
        elif group in tested:
            assert side == "dropped"
        else:
            assert side in config.fractions


def test_as_published_keeps_a_sets_own_repeats_and_drops_those_of_others():
    own, other = Path("own"), Path("other")
    cases = [
        # group, set, official, expected
        (0, own, "test", "test"),
        (0, own, "train", "kept"),
        (0, other, "train", "dropped"),
        (1, own, "train", "kept"),
        (1, other, None, "kept"),
        (2, own, "test", "test"),
        (2, other, "test", "test"),
        (2, own, "train", "dropped"),
    ]
    groups, sets, official, expected = map(list, zip(*cases, strict=True))
    config = SplitConfig(keep_test=True, as_published=True)
    sides = divide([LABELS[0]] * len(cases), groups, official, sets, config)
    assert ["kept" if side in ("train", "val") else side for side in sides] == expected


def test_validation_folders_are_kept_and_what_repeats_them_is_dropped():
    labels = [Label("glioma")] * 6
    official = ["val", "train", "train", None, "val", "val"]
    config = SplitConfig(keep_val=True)
    sides = divide(labels, [0, 0, 1, 1, 2, 2], official, [Path("set")] * 6, config)
    assert sides == ["val", "dropped", "train", "train", "val", "val"]


def test_as_published_is_about_test_folders():
    with pytest.raises(OptionError, match=r"^--as-published is about test folders; give it with"):
        SplitConfig(as_published=True)


def test_nothing_to_divide_gives_nothing():
    assert divide([], [], [], [], SplitConfig()) == []


@pytest.mark.parametrize(
    ("fractions", "told"),
    [
        ({}, ""),
        ({"train": 1.0}, "train 1"),
        ({"train": 1.0, "val": 0.0}, "train 1, val 0"),
        ({"train": 1.5, "val": -0.5}, "train 1.5, val -0.5"),
        ({"train": 0.5, "val": 0.4}, "train 0.5, val 0.4"),
        ({"train": float("nan"), "val": 0.5}, "train nan, val 0.5"),
        ({"train": float("inf"), "val": 0.5}, "train inf, val 0.5"),
    ],
)
def test_fractions_that_do_not_divide_are_refused(fractions, told):
    with pytest.raises(OptionError) as caught:
        SplitConfig(fractions)
    assert str(caught.value) == f"fractions {told}; expected two or more above 0 that sum to 1"


@pytest.mark.parametrize("count", [-1, 0, 1])
def test_one_fold_is_none(count):
    with pytest.raises(OptionError, match=f"^{count} folds; expected 2 or more$"):
        SplitConfig.folds(count)
