import numpy as np
import onnx
import pytest
from torch import nn

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.model.contract import Contract
from edge_mri_export.finishing import Finish
from edge_mri_export.gate.images import GateImages
from edge_mri_export.gate.novelty import Distance, add_novelty
from edge_mri_export.gate.rejection import Measured, answered, choose_rejection, with_rejection
from edge_mri_export.graph.graph import body_graph, with_pixel_input
from edge_mri_export.guard.answers import memory_session
from edge_mri_train.networks.checkpoint import Checkpoint


def novelty(model: onnx.ModelProto, pixels: np.ndarray) -> np.ndarray:
    return memory_session(model).run(["novelty"], {"pixels": pixels})[0]


def varied(pixels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """More images of a kind: brighter, darker, shifted."""
    rng = np.random.default_rng(seed)
    rows = pixels[rng.integers(0, len(pixels), count)]
    gains = rng.uniform(0.8, 1.1, (count, 1, 1, 1))
    moved = [np.roll(one, tuple(rng.integers(-3, 4, 2)), (1, 2)) for one in rows]
    return np.clip(np.stack(moved) * gains, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("width", [3, 60, 150])
def test_the_distance_is_mahalanobis_up_to_what_is_alike(width):
    """Beside numpy's own: k directions have their variance, the others share one."""
    rng = np.random.default_rng(width)
    features = rng.normal(size=(500, width)) * np.linspace(1, 0.1, width) + 3
    fit = Distance.fit(features.astype(np.float32))
    deviations = features - fit.mean
    mine = (deviations**2).sum(axis=1) / fit.rest - ((deviations @ fit.directions) ** 2).sum(axis=1)
    values, axes = np.linalg.eigh(np.cov(features.T, bias=True))
    kept = fit.directions.shape[1]
    assert kept == min(96, width - 1)
    values[: width - kept] = values[: width - kept].mean()
    expected = ((deviations @ axes) ** 2 / values).sum(axis=1)
    np.testing.assert_allclose(mine, expected, rtol=0.05)


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_training_images_are_about_1_and_foreign_ones_far_above(road, kind):
    road = road("mobilenet_v2")
    known, others = varied(road.pixels, 300, 0), varied(road.pixels, 60, 1)
    before = onnx.load(getattr(road, kind))
    model = add_novelty(before, {"": known}, "mobilenet_v2")
    onnx.checker.check_model(model, full_check=True)
    assert novelty(model, known).mean() == pytest.approx(1, abs=0.3)
    foreign = [
        np.random.default_rng(0).integers(0, 256, others.shape, np.uint8),
        np.full_like(others, 128),
        255 - others,
    ]
    highest = np.quantile(novelty(model, others), 0.95)
    for images in foreign:
        assert novelty(model, images).min() > highest
    assert np.isfinite(novelty(model, np.zeros_like(others))).all()
    logits = [memory_session(one).run(["logits"], {"pixels": others})[0] for one in (before, model)]
    np.testing.assert_array_equal(*logits)


def test_an_image_alone_is_as_novel_as_among_others(small):
    model = add_novelty(onnx.load(small.fp32), {"": small.pixels}, "artemis_cnn")
    together = novelty(model, small.pixels[:5])
    alone = [novelty(model, small.pixels[row : row + 1])[0] for row in range(5)]
    np.testing.assert_allclose(alone, together, rtol=1e-3)


def test_the_map_is_looked_for_at_an_eighth_of_the_side(road):
    """MobileNetV2 at 64 px: 192 channels at 8 px, the last before 4 px; two halves of it."""
    road = road("mobilenet_v2")
    model = add_novelty(onnx.load(road.fp32), {"": road.pixels}, "x")
    (mean,) = (one for one in model.graph.initializer if one.name == "novelty_mean")
    assert list(mean.dims) == [384]


def upright(count: int, seed: int) -> np.ndarray:
    """Noise that fades from top to bottom."""
    rng = np.random.default_rng(seed)
    fade = np.linspace(1, 0.2, 64)[:, np.newaxis] * rng.uniform(0.9, 1.1, (count, 1, 1, 1))
    return (rng.integers(0, 220, (count, 1, 64, 64)) * fade).astype(np.uint8)


def test_what_lies_above_and_what_below_makes_a_difference(road):
    road = road("mobilenet_v2")
    model = add_novelty(onnx.load(road.fp32), {"": upright(300, 0)}, "mobilenet_v2")
    others = upright(60, 1)
    turned = np.ascontiguousarray(others[:, :, ::-1])
    assert novelty(model, turned).min() > 2 * novelty(model, others).max()


SPACE = LabelSpace.for_task("type")
CONTRACT = Contract("x", SPACE, PreprocessSpec(64))


def logits_of(p_tumor: np.ndarray) -> np.ndarray:
    others = np.repeat(p_tumor[:, np.newaxis] / 3, 3, axis=1)
    return np.log(np.column_stack([others, 1 - p_tumor])).astype(np.float32)


def test_the_gate_keeps_what_it_says():
    rng = np.random.default_rng(0)
    scores = rng.gamma(2, size=2000).astype(np.float32)
    p = 1 / (1 + np.exp(-rng.normal(scale=6, size=2000)))
    gate = choose_rejection([Measured(logits_of(p), scores)], CONTRACT)
    assert (scores <= gate.max_novelty).mean() == pytest.approx(0.99, abs=0.001)
    low, high = gate.undecided
    assert low < 0.5 < high
    assert low == pytest.approx(1 - high)  # as far in logits
    kept = (scores <= gate.max_novelty) & ((p < low) | (p > high))
    assert gate.kept == pytest.approx(kept.mean(), abs=0.001)
    assert gate.kept == pytest.approx(0.985, abs=0.001)
    assert gate.n == 2000
    rule = answered(Measured(logits_of(p), scores), CONTRACT, gate)
    assert rule.mean() == pytest.approx(gate.kept)


def test_a_model_never_in_doubt_gets_no_interval_of_everything():
    p = np.tile([1e-6, 1 - 1e-6], 500)
    gate = choose_rejection([Measured(logits_of(p), np.arange(1000, dtype=np.float32))], CONTRACT)
    assert gate.undecided == pytest.approx((0.1, 0.9))
    assert gate.kept == pytest.approx(0.991)


def test_the_interval_lies_around_the_operating_point():
    contract = Contract("x", SPACE, PreprocessSpec(64), tumor_threshold=0.2)
    rng = np.random.default_rng(0)
    p = 1 / (1 + np.exp(-rng.normal(scale=6, size=2000)))
    gate = choose_rejection([Measured(logits_of(p), np.zeros(2000, np.float32))], contract)
    low, high = (np.log(one / (1 - one)) for one in gate.undecided)
    assert (low + high) / 2 == pytest.approx(np.log(0.2 / 0.8))
    assert gate.kept >= 0.985


def test_the_worst_source_says_what_is_foreign_and_novelty_goes_further():
    """99 % of each source of 100 images; of one of 20 as many as of all together."""
    rng = np.random.default_rng(0)
    p, scores = np.full(300, 1e-6), np.arange(300, dtype=np.float32)
    sources = [
        Measured(logits_of(p[:size]), scores[:size], rng.normal(mean, 1, size).astype(np.float32))
        for size, mean in ((300, -9), (100, -6), (20, 5))
    ]
    alone = choose_rejection([one._replace(foreign=None) for one in sources], CONTRACT)
    assert (alone.max_foreign, alone.above) == (None, "unfamiliar")
    gate = choose_rejection(sources, CONTRACT)
    assert gate.max_novelty == pytest.approx(1.5 * alone.max_novelty)
    everything = np.concatenate([one.foreign for one in sources])
    assert gate.max_foreign == np.quantile(everything, 0.99, method="higher")
    gate = choose_rejection(sources[:2], CONTRACT, bare=[sources[0]])
    assert gate.max_foreign == np.quantile(sources[1].foreign, 0.99, method="higher")
    assert gate.n == 400


def test_each_file_gets_a_gate_of_its_own(road):
    road = road("mobilenet_v2")
    contract = Contract("mobilenet_v2", LabelSpace(), PreprocessSpec(64))
    training, validation = varied(road.pixels, 250, 0), varied(road.pixels, 120, 1)
    images = GateImages({"": training}, {"": validation})
    gates = []
    for path in (road.fp32, road.int8):
        model, gated = with_rejection(onnx.load(path), contract, images)
        assert [one.name for one in model.graph.output] == ["logits", "novelty"]
        scores = novelty(model, validation)
        assert (scores <= gated.rejection.max_novelty).mean() >= 0.99
        gates.append(gated.rejection.max_novelty)
    assert gates[0] != gates[1]
    assert np.isfinite(gates).all()


def test_a_network_without_a_feature_map_has_no_gate():
    network = nn.Sequential(nn.Flatten(1), nn.Linear(64 * 64, 4)).eval()
    space, spec = LabelSpace(planes=()), PreprocessSpec(64)
    model = with_pixel_input(body_graph(Checkpoint("flat", space, spec, network)))
    said: list[str] = []
    images = np.random.default_rng(0).integers(0, 256, (8, 1, 64, 64)).astype(np.uint8)
    finished, contract = Finish((), GateImages({"": images}, {"": images}), said.append).apply(
        model, Contract("flat", space, spec)
    )
    assert contract.rejection is None
    assert [one.name for one in finished.graph.output] == ["logits"]
    assert said == ["no rejection gate: it has no feature map to tell foreign images by"]
