"""What a run measured after each epoch: on the terminal, as files, as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from edge_mri.storage.atomic import atomic_path, write_json
from edge_mri.storage.csv_text import csv_line

Epoch = dict[str, Any]
"""One epoch as JSON values: its number, losses, the figures of `validation`, seconds."""


def write_history(history: Sequence[Epoch], folder: Path) -> None:
    """Write `history.json`, `history.csv` and `curves.png`."""
    write_json(history, folder / "history.json")
    with (
        atomic_path(folder / "history.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        columns = list(history[0])
        file.write(csv_line(columns))
        file.writelines(csv_line([entry.get(name) for name in columns]) for entry in history)
    draw_curves(history, folder / "curves.png")


def epoch_line(entry: Epoch, epochs: int, *, is_best: bool) -> str:
    """Return an epoch as a line, of as many epochs as there will be."""
    loss = "    -" if entry["train_loss"] is None else f"{entry['train_loss']:.3f}"
    return (
        f"epoch {entry['epoch']:>3}/{epochs}  loss {loss}  "
        f"{validation_line(entry)}  {entry['seconds']:.0f} s" + ("  best" if is_best else "")
    )


def validation_line(entry: Epoch) -> str:
    """Return what validation said, as a line."""
    plane, found = entry["plane_balanced_accuracy"], entry["lesions_found"]
    return (
        f"val {entry['val_loss']:.3f}  type {100 * entry['type_balanced_accuracy']:.2f} %"
        + (f"  plane {100 * plane:.2f} %" if plane is not None else "")
        + (f"  lesions found {100 * found:.1f} %" if found is not None else "")
    )


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
