"""The search for a quantised file that passes the guard: recipes first, then repairs.

The network is equalised first, where it can be. Recipes differ in how the ranges of activations are
chosen, all from one calibration pass, and in whether biases are corrected; none costs anything at
run time. If none passes, repairs follow that do: the worst layers in float, fine-tuning. Every
trial is measured on the same check images and reported; the best is kept. Since it is chosen on
them, its figures are slightly kind.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import onnx

from edge_mri.contract import Contract
from edge_mri.errors import EdgeMriError
from edge_mri.preprocess import PreprocessSpec
from edge_mri.progress import Progress
from edge_mri_export.answers import Answers, graph_answers
from edge_mri_export.calibration import ExportImages
from edge_mri_export.equalisation import equalised
from edge_mri_export.parity import Parity, compare
from edge_mri_export.qat import QatConfig, fine_tune
from edge_mri_export.quantization import count_quantized, layers, quantize
from edge_mri_export.ranges import PERCENTILE, Ranges, collect
from edge_mri_export.recipe import AUTO, QuantizationConfig
from edge_mri_export.repair import corrected_body, worst_layers
from edge_mri_train.pixels import load_pixels

_METHODS = (
    ("percentile", PERCENTILE),
    ("percentile", 99.999),
    ("mse", PERCENTILE),
    ("minmax", PERCENTILE),
    ("entropy", PERCENTILE),
)
_WORST = (1, 3, 6)


@dataclass(frozen=True)
class Recipe:
    """How one quantised graph was made.

    Attributes:
        method: How the ranges of activations were chosen.
        percent: What `percentile` keeps.
        exclude: Nodes that stay in float.
        bias_corrected: Whether the biases make up for what quantisation shifts.
        fine_tuned: Whether it was trained after quantisation.
    """

    method: str
    percent: float = PERCENTILE
    exclude: tuple[str, ...] = ()
    bias_corrected: bool = False
    fine_tuned: bool = False

    def __str__(self) -> str:
        parts = [f"percentile {self.percent:g}" if self.method == "percentile" else self.method]
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
        model: The graph, from pixels.
        body: The float body that its weights come from.
        parity: Against the float network.
        losses: What fell by more than allowed; empty if it passes.
    """

    recipe: Recipe
    model: onnx.ModelProto
    body: onnx.ModelProto
    parity: Parity
    losses: tuple[str, ...]

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Smaller is better: passes, agrees more often, is nearer."""
        return bool(self.losses), -self.parity.agreement, self.parity.mean_logit_difference

    def to_dict(self) -> dict[str, Any]:
        """Return what a report says of it, as JSON values."""
        done, total = count_quantized(self.model)
        return {
            "recipe": str(self.recipe),
            "quantized_layers": [done, total],
            "agreement": self.parity.agreement,
            "mean_logit_difference": self.parity.mean_logit_difference,
            "max_logit_difference": self.parity.max_logit_difference,
            "worst_sensitivity_change": self.parity.worst_sensitivity_change,
            "passes": not self.losses,
        }


@dataclass
class Search:
    """What is searched with, and the trials so far.

    Attributes:
        body: `normalised (N, 1, S, S) float` to `logits`.
        images: To calibrate, check and fine-tune with.
        expected: The float network's answers to the check images.
        contract: Classes, temperature and operating point.
        spec: The network's preprocessing.
        config: What was asked for.
        max_drop: Largest loss of agreement or of a class's sensitivity, in percent.
        progress: Told of each trial.
        qat: How to fine-tune.
    """

    body: onnx.ModelProto
    images: ExportImages
    expected: Answers
    contract: Contract
    spec: PreprocessSpec
    config: QuantizationConfig
    max_drop: float
    progress: Progress
    qat: QatConfig = field(default_factory=QatConfig)
    trials: list[Trial] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def run(self) -> Trial:
        """Try recipes, and repairs while none passes; return the best trial, passing or not."""
        self.body, groups = equalised(self.body, self.images.calibration)
        if groups:
            self._note(f"{groups} groups of channels equalised")
        ranges = collect(self.body, self.images.calibration)
        method = self.config.method or AUTO
        candidates = _METHODS if method == AUTO else ((method, PERCENTILE),)
        for name, percent in candidates:
            trial = self._try(Recipe(name, percent, self.config.exclude), ranges, self.body)
            if method == AUTO:
                self._corrected(trial, ranges)
        if self.config.precision == "int8-qat":
            base = self.nearest
            corrected = base if base.recipe.bias_corrected else self._corrected(base, ranges)
            return self._fine_tuned(corrected)
        for _ in self._repairs(ranges):
            if not self.best.losses:
                break
        return self.best

    @property
    def best(self) -> Trial:
        """The best trial so far."""
        return min(self.trials, key=lambda trial: trial.rank)

    @property
    def nearest(self) -> Trial:
        """The trial to mend: its logits are nearest on average, which no few near ties decide."""
        return min(self.trials, key=lambda trial: trial.parity.mean_logit_difference)

    def _repairs(self, ranges: Ranges) -> Iterator[None]:
        """Repair step by step; asked for the next step only while nothing passes."""
        yield
        first = self.nearest
        if not any(trial.recipe.bias_corrected for trial in self.trials):
            self._corrected(first, ranges)
            yield
        worst = worst_layers(self.body, first.model, self.images.calibration)
        for count in _WORST:
            if count < len(layers(self.body.graph)):
                names = (*self.config.exclude, *list(worst)[:count])
                recipe = Recipe(first.recipe.method, first.recipe.percent, names)
                self._corrected(self._try(recipe, ranges, self.body), ranges)
                yield
        try:
            self._fine_tuned(self.nearest)
        except EdgeMriError as error:
            self._note(f"fine-tuning was not possible: {error}")
        yield

    def _corrected(self, trial: Trial, ranges: Ranges) -> Trial:
        """Try a recipe again with corrected biases."""
        recipe = trial.recipe
        body = corrected_body(self.body, trial.model, self.images.calibration)
        corrected = Recipe(recipe.method, recipe.percent, recipe.exclude, bias_corrected=True)
        return self._try(corrected, ranges, body)

    def _fine_tuned(self, trial: Trial) -> Trial:
        """Fine-tune a trial's graph on training images."""
        files = self.images.training[: self.qat.images]
        self._note(f"fine-tuning on {len(files)} training images")
        model = fine_tune(
            trial.model,
            trial.body,
            self.config.integers,
            load_pixels(files, self.spec),
            self.progress,
            self.qat,
            teacher=self.body,
        )
        recipe = trial.recipe
        return self._measured(
            Recipe(
                recipe.method,
                recipe.percent,
                recipe.exclude,
                recipe.bias_corrected,
                fine_tuned=True,
            ),
            model,
            trial.body,
        )

    def _try(self, recipe: Recipe, ranges: Ranges, body: onnx.ModelProto) -> Trial:
        limits = ranges.limits(recipe.method, recipe.percent)
        model = quantize(body, limits, self.config.integers, recipe.exclude)
        return self._measured(recipe, model, body)

    def _measured(self, recipe: Recipe, model: onnx.ModelProto, body: onnx.ModelProto) -> Trial:
        check = self.images.check
        answers = graph_answers(model, check.pixels)
        parity = compare(self.expected, answers, check.labels, check.paths, self.contract)
        trial = Trial(recipe, model, body, parity, tuple(parity.losses(self.max_drop)))
        self.trials.append(trial)
        self._note(
            f"{recipe}: same answer on {100 * parity.agreement:.2f} %, logits differ by "
            f"{parity.mean_logit_difference:.2g} on average"
            + (f"; {trial.losses[0]}" if trial.losses else "")
        )
        return trial

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.progress.say(text)
