import cv2
import pytest

from edge_mri_train.training.history import draw_curves


def history(epochs: int, plane: float | None) -> list[dict]:
    return [
        {
            "epoch": epoch,
            "train_loss": 2 / epoch,
            "val_loss": 3 / epoch,
            "type_balanced_accuracy": 1 - 0.5 / epoch,
            "plane_balanced_accuracy": plane,
        }
        for epoch in range(1, epochs + 1)
    ]


@pytest.mark.parametrize(("epochs", "plane"), [(1, 0.5), (5, 0.5), (5, None)])
def test_draws_a_png(tmp_path, epochs, plane):
    draw_curves(history(epochs, plane), tmp_path / "curves.png")
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture.shape[1] > 800
    assert picture.std() > 5


def test_the_curves_follow_the_history(tmp_path):
    draw_curves(history(5, 0.5), tmp_path / "one.png")
    draw_curves(history(5, 0.9), tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "two.png").read_bytes()
