"""One quantised graph: how it was made, and how it did against the float network."""

from dataclasses import dataclass, replace
from typing import Any

import onnx

from edge_mri_export.guard.parity import Parity
from edge_mri_export.int8.ranges import PERCENTILE


@dataclass(frozen=True)
class Recipe:
    """How one quantised graph was made.

    Attributes:
        method: How the ranges of activations were chosen.
        percent: What `percentile` keeps.
        exclude: Nodes that stay in float.
        rounded: Whether the weights were rounded together (`edge_mri_export.int8.rounding`).
        bias_corrected: Whether the biases make up for what quantisation shifts.
        fine_tuned: Whether it was trained after quantisation.
    """

    method: str
    percent: float = PERCENTILE
    exclude: tuple[str, ...] = ()
    rounded: bool = False
    bias_corrected: bool = False
    fine_tuned: bool = False

    def __str__(self) -> str:
        parts = [f"percentile {self.percent:g}" if self.method == "percentile" else self.method]
        if self.rounded:
            parts.append("error feedback")
        if self.bias_corrected:
            parts.append("biases corrected")
        if self.exclude:
            parts.append(f"{len(self.exclude)} nodes in float")
        if self.fine_tuned:
            parts.append("fine-tuned")
        return ", ".join(parts)


@dataclass(frozen=True)
class Trial:
    """One quantised graph and how it did.

    Attributes:
        recipe: How it was made.
        model: The graph, from pixels; empty of one that cannot be kept any more.
        body: The float body that its weights come from; the same.
        layers: How many layers with weights are quantised, and how many there are.
        parity: Against the float network.
        losses: What fell by more than allowed; empty if it passes.
    """

    recipe: Recipe
    model: onnx.ModelProto
    body: onnx.ModelProto
    layers: tuple[int, int]
    parity: Parity
    losses: tuple[str, ...]

    def without_graphs(self) -> "Trial":
        """Return it without what takes room."""
        return replace(self, model=onnx.ModelProto(), body=onnx.ModelProto())

    @property
    def rank(self) -> tuple[bool, float]:
        """Smaller is better: passes; then its logits are nearer on average.

        Not: agrees more often. That is decided by a few near ties, so that the luckiest of many
        trials would be kept, and its figure would be its luck.
        """
        return bool(self.losses), self.parity.mean_logit_difference

    def to_dict(self) -> dict[str, Any]:
        """Return what a report says of it, as JSON values."""
        return {
            "recipe": str(self.recipe),
            "excluded": list(self.recipe.exclude),
            "quantized_layers": list(self.layers),
            "agreement": self.parity.agreement,
            "mean_logit_difference": self.parity.mean_logit_difference,
            "max_logit_difference": self.parity.max_logit_difference,
            "worst_sensitivity_change": self.parity.worst_sensitivity_change,
            "passes": not self.losses,
            "losses": list(self.losses),
        }
