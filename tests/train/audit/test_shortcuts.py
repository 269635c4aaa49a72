import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri_train.audit.shortcuts import control_shortcuts
from edge_mri_train.data.inventory import FileFacts
from edge_mri_train.data.statistics import STATISTICS, statistics

FACTS = FileFacts("PNG", 40, 30, 1, 8, 600)


def named(image: np.ndarray, facts: FileFacts = FACTS) -> dict[str, float]:
    return dict(zip(STATISTICS, statistics(image, facts).tolist(), strict=True))


def noisy(rng: np.random.Generator, border: int) -> np.ndarray:
    image = rng.integers(60, 180, (40, 40)).astype(np.uint8)
    image[:3] = image[-3:] = border
    image[:, :3] = image[:, -3:] = border
    return image


def table_of(borders: list[int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([statistics(noisy(rng, border), FACTS) for border in borders])


def test_statistics_worked_out_by_hand():
    image = np.zeros((30, 40), np.uint8)
    image[10:20, 10:20] = 200
    facts = FileFacts("JPEG", 40, 30, 3, 8, 2400, jpeg_quantization=7.5)
    values = named(image, facts)
    assert values["width_px"] == 40
    assert values["aspect"] == pytest.approx(4 / 3)
    assert values["channels"] == 3
    assert values["bytes_per_pixel"] == 2
    assert values["jpeg_quantization"] == 7.5
    assert values["border_mean"] == values["border_deviation"] == 0
    assert values["black_share"] == pytest.approx(1100 / 1200)
    assert values["mean"] == pytest.approx(200 / 12)
    assert values["median_of_content"] == values["brightest_percent"] == 200
    share = 1 / 12
    entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
    assert values["entropy_bits"] == pytest.approx(entropy, rel=1e-5)
    assert values["asymmetry"] == pytest.approx(200 * 200 / 1200)


def test_a_sharper_image_is_sharper_and_a_mirrored_one_as_asymmetric():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (40, 40)).astype(np.uint8)
    assert named(image)["sharpness"] > named(image // 2)["sharpness"]
    assert named(image)["asymmetry"] == named(image[:, ::-1].copy())["asymmetry"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3)])
def test_tiny_and_blank_images_have_statistics(shape):
    for level in (0, 255):
        assert np.isfinite(statistics(np.full(shape, level, np.uint8), FACTS)).all()


def test_a_set_that_its_borders_solve_is_solved():
    table = table_of([0] * 30 + [30] * 30)
    control = control_shortcuts(table, ["glioma"] * 30 + ["no_tumor"] * 30, range(60))
    assert control.n == 60
    assert control.chance == 0.5
    assert control.balanced_accuracy > 0.95
    telling = [name for name, _ in control.telling]
    assert len(telling) == 5
    assert telling[0] in {"border_mean", "black_share", "border_deviation"}
    weights = [weight for _, weight in control.telling]
    assert weights == sorted(weights, reverse=True)


def test_a_set_whose_classes_look_alike_is_near_chance():
    table = table_of([10] * 120)
    classes = ["glioma", "meningioma", "no_tumor"] * 40
    control = control_shortcuts(table, classes, range(120))
    assert control.chance == pytest.approx(1 / 3)
    assert abs(control.balanced_accuracy - 1 / 3) < 0.15


def test_copies_do_not_help_it_since_groups_stay_together():
    """Forty images, each eight times: without groups every copy would give its class away."""
    table = np.repeat(table_of([10] * 40), 8, axis=0)
    classes = np.repeat(["glioma", "no_tumor"] * 20, 8)
    groups = np.repeat(np.arange(40), 8)
    grouped = control_shortcuts(table, classes, groups)
    leaking = control_shortcuts(table, classes, np.arange(320))
    assert leaking.balanced_accuracy > 0.95
    assert grouped.balanced_accuracy < 0.75


def test_the_same_seed_gives_the_same_answer():
    table, classes = table_of([5, 9] * 20), ["a", "b"] * 20
    assert control_shortcuts(table, classes, range(40)) == control_shortcuts(
        table, classes, range(40)
    )


@pytest.mark.parametrize(
    ("classes", "groups"),
    [("a", [0]), ("aaaa", [0, 1, 2, 3]), ("aabb", [0, 1, 2, 2]), ("aab", [0, 1, 2])],
)
def test_too_few_groups_or_classes_tell_nothing(classes, groups):
    assert control_shortcuts(table_of([0] * len(classes)), list(classes), groups) is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 6)), min_size=1, max_size=30))
@settings(max_examples=10, deadline=None)
def test_any_groups_give_an_answer_or_none(rows):
    classes, groups = zip(*rows, strict=True)
    table = np.arange(len(rows) * len(STATISTICS), dtype=np.float32).reshape(len(rows), -1)
    control = control_shortcuts(table, classes, groups)
    assert control is None or 0 <= control.balanced_accuracy <= 1


def test_more_images_than_it_takes_are_sampled(monkeypatch):
    monkeypatch.setattr("edge_mri_train.audit.shortcuts._MAX_IMAGES", 30)
    control = control_shortcuts(table_of([0, 30] * 40), ["a", "b"] * 40, range(80))
    assert control.n == 30
    assert control.balanced_accuracy > 0.9
