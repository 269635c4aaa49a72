"""The curves of a run as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from edge_mri.storage.atomic import atomic_path


def draw_curves(history: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw losses and validation accuracies over the epochs of a history into a PNG."""
    epochs = [entry["epoch"] for entry in history]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    for key, name in (("train_loss", "training"), ("val_loss", "validation")):
        losses.plot(epochs, [entry[key] for entry in history], marker=".", label=name)
    for key, name in (("type_balanced_accuracy", "type"), ("plane_balanced_accuracy", "plane")):
        values = [entry[key] for entry in history]
        if None not in values:
            scores.plot(epochs, [100 * value for value in values], marker=".", label=name)
    losses.set(xlabel="epoch", ylabel="loss")
    scores.set(xlabel="epoch", ylabel="validation balanced accuracy (%)")
    for axes in (losses, scores):
        axes.grid(alpha=0.3)
        axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
