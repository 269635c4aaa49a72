import pytest
import torch

from edge_mri_train.augmentation import augment


@pytest.fixture
def images() -> torch.Tensor:
    """(32, 1, 32, 32): a bright left half, a dark right one."""
    batch = torch.full((32, 1, 32, 32), 0.1)
    batch[..., 4:28, 4:14] = 0.9
    return batch


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_generator_decides(images):
    assert torch.equal(augment(images, generator(1)), augment(images, generator(1)))
    assert not torch.equal(augment(images, generator(1)), augment(images, generator(2)))


def test_the_global_generator_is_left_alone(images):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    augment(images, generator(1))
    assert torch.equal(torch.rand(1), expected)


def test_the_original_is_left_alone(images):
    before = images.clone()
    augment(images, generator(1))
    assert torch.equal(images, before)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_shape_stays_and_values_stay_in_0_to_1(rng, value):
    batch = torch.full((16, 1, 24, 24), value)
    batch[::2] = torch.rand(8, 1, 24, 24, generator=rng)
    changed = augment(batch, rng)
    assert changed.shape == batch.shape
    assert changed.dtype == batch.dtype
    assert changed.isfinite().all()
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_about_half_of_the_images_are_flipped(images):
    changed = augment(images.repeat(8, 1, 1, 1), generator(0))
    left, right = changed[..., :16].mean(dim=(1, 2, 3)), changed[..., 16:].mean(dim=(1, 2, 3))
    assert 0.4 < (left < right).float().mean() < 0.6


def test_never_upside_down():
    batch = torch.zeros(64, 1, 32, 32)
    batch[..., 4:14, 4:28] = 0.9
    changed = augment(batch, generator(0))
    assert (changed[..., :16, :].sum(dim=(1, 2, 3)) > changed[..., 16:, :].sum(dim=(1, 2, 3))).all()


def test_pose_size_and_contrast_change_from_image_to_image(images):
    changed = augment(images, generator(0))
    bright = changed > 0.5
    area = bright.float().mean(dim=(1, 2, 3))
    rows = torch.arange(32.0).view(1, 1, 32, 1)
    height = (bright * rows).sum(dim=(1, 2, 3)) / bright.sum(dim=(1, 2, 3))
    level = torch.stack([one[mask].median() for one, mask in zip(changed, bright, strict=True)])
    assert area.max() / area.min() > 1.15
    assert height.max() - height.min() > 1
    assert level.max() - level.min() > 0.1


def test_nothing_moves_further_than_the_pose_of_a_head_does():
    batch = torch.zeros(64, 1, 64, 64)
    batch[..., 31:33, 31:33] = 1.0
    changed = augment(batch, generator(0))
    rows, columns = (changed.flatten(1).argmax(dim=1) // 64, changed.flatten(1).argmax(dim=1) % 64)
    for position in (rows, columns):
        assert (position.float() - 31.5).abs().max() <= 64 * 0.06 * 1.2 + 1.5
