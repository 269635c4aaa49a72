"""The search for a quantised file that passes the guard: recipes first, then repairs.

The network is equalised first, where it can be. Recipes differ in how the ranges of activations are
chosen, all from one calibration pass, in whether weights are rounded together, and in whether
biases are corrected; none costs anything at run time. If none passes, the nearest is fine-tuned,
then made again with its first layers in float, whose rounding all others amplify, or its worst:
that does cost time. Every trial is measured on the same check images and reported; of those that
pass, the one whose logits are nearest on average is kept. `int8-qat` keeps the fine-tuned one, or
none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import onnx

from edge_mri.errors import EdgeMriError
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.model.contract import Contract
from edge_mri.terminal.progress import Progress
from edge_mri_export.graph.layers import count_quantized, quantized_layers
from edge_mri_export.graph.work import images_within, macs
from edge_mri_export.guard.answers import Answers, graph_answers
from edge_mri_export.guard.calibration import ExportImages
from edge_mri_export.guard.comparison import compare
from edge_mri_export.int8.equalisation import equalised
from edge_mri_export.int8.qat import QatConfig, fine_tune
from edge_mri_export.int8.quantization import quantize
from edge_mri_export.int8.ranges import PERCENTILE, Ranges, collect
from edge_mri_export.int8.recipe import AUTO, QuantizationConfig
from edge_mri_export.int8.repair import corrected_body, worst_layers
from edge_mri_export.int8.rounding import Rounding
from edge_mri_export.int8.sums import without_ties
from edge_mri_export.int8.trial import Recipe, Trial
from edge_mri_train.data.pixels import load_pixels

_METHODS = (
    ("percentile", PERCENTILE),
    ("percentile", 99.999),
    ("mse", PERCENTILE),
    ("minmax", PERCENTILE),
    ("entropy", PERCENTILE),
)
_TRAINING = 3  # times the work of an answer
_FIRST = (2, 5)
_WORST = (1, 3, 6)


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
            recipe = Recipe(name, percent, self.config.exclude)
            trial = self._try(recipe, ranges)
            if method == AUTO:
                self._corrected(trial, ranges)
                self._try(replace(recipe, rounded=True), ranges)
        if self.config.precision == "int8-qat":
            base = self.nearest
            mended = base.recipe.bias_corrected or base.recipe.rounded
            return self._fine_tuned(base if mended else self._corrected(base, ranges))
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
        if len(self.trials) == 1:  # one method was asked for
            first = self.trials[0]
            self._corrected(first, ranges)
            self._try(replace(first.recipe, rounded=True), ranges)
            yield
        first = self.nearest
        try:
            self._fine_tuned(first)
        except EdgeMriError as error:
            self._note(f"fine-tuning was not possible: {error}")
        yield
        in_order = [node.name for node in quantized_layers(first.model.graph)]
        for count in _FIRST:
            self._in_float(first, in_order[:count], len(in_order), ranges)
            yield
        worst = list(worst_layers(self.body, first.model, self.images.calibration))
        for count in _WORST:
            self._in_float(first, worst[:count], len(in_order), ranges)
            yield

    def _in_float(self, trial: Trial, names: list[str], count: int, ranges: Ranges) -> None:
        """Try a trial's recipe with more of its `count` quantised layers in float, not with all."""
        if len(names) >= count:
            return
        exclude = (*self.config.exclude, *names)
        again = self._try(replace(trial.recipe, exclude=exclude, bias_corrected=False), ranges)
        if not again.recipe.rounded:
            self._corrected(again, ranges)

    @cached_property
    def _rounding(self) -> Rounding:
        return Rounding(self.body, self.images.calibration)

    def _corrected(self, trial: Trial, ranges: Ranges) -> Trial:
        """Try a recipe again with corrected biases."""
        body = corrected_body(trial.body, self.body, trial.model, self.images.calibration)
        return self._quantized(replace(trial.recipe, bias_corrected=True), ranges, body)

    def _fine_tuned(self, trial: Trial) -> Trial:
        """Fine-tune a trial's graph on training images."""
        files = self.images.training[: images_within(_TRAINING * self._work, self.qat.images)]
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
        return self._measured(replace(trial.recipe, fine_tuned=True), model, trial.body)

    def _try(self, recipe: Recipe, ranges: Ranges) -> Trial:
        """Try a recipe whose biases stay."""
        body = self.body
        if recipe.rounded:
            body = self._rounding.rounded(self.config.integers, recipe.exclude)
        return self._quantized(recipe, ranges, body)

    def _quantized(self, recipe: Recipe, ranges: Ranges, body: onnx.ModelProto) -> Trial:
        limits = ranges.limits(recipe.method, recipe.percent)
        model = quantize(body, limits, self.config.integers, recipe.exclude)
        return self._measured(recipe, model, body)

    def _measured(self, recipe: Recipe, model: onnx.ModelProto, body: onnx.ModelProto) -> Trial:
        model = without_ties(model)
        check = self.images.check.first(self._checked)
        expected = self.expected.first(self._checked)
        answers = graph_answers(model, check.pixels)
        parity = compare(expected, answers, check.labels, check.paths, self.contract)
        losses = tuple(parity.losses(self.max_drop))
        trial = Trial(recipe, model, body, count_quantized(model), parity, losses)
        self.trials.append(trial)
        self._let_go(trial)
        self._note(
            f"{recipe}: same answer on {100 * parity.agreement:.2f} %, logits differ by "
            f"{parity.mean_logit_difference:.2g} on average"
            + (f"; {trial.losses[0]}" if trial.losses else "")
        )
        return trial

    @cached_property
    def _work(self) -> int:
        return macs(self.body)

    @cached_property
    def _checked(self) -> int:
        """How many check images a trial is measured on; the file at the end is on all."""
        count = len(self.images.check.pixels)
        fewer = images_within(self._work, count)
        if fewer < count:
            self._note(f"a trial is measured on {fewer} of {count} check images, the file on all")
        return fewer

    def _let_go(self, newest: Trial) -> None:
        """Drop the graphs of trials that are neither newest, best nor nearest: none will be."""
        kept = (newest, self.best, self.nearest)
        self.trials = [
            one if any(one is other for other in kept) else one.without_graphs()
            for one in self.trials
        ]

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.progress.say(text)
