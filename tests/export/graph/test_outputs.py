import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from edge_mri.errors import OptionError
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri_export.errors import GraphError
from edge_mri_export.graph.editing import in_order
from edge_mri_export.graph.graph import body_graph, with_pixel_input
from edge_mri_export.graph.outputs import add_outputs, check_names
from edge_mri_export.guard.answers import memory_session
from edge_mri_train.networks.architectures import normalise
from edge_mri_train.networks.checkpoint import Checkpoint


class LesionNetwork(nn.Module):
    """A stand-in for a network that gives several outputs and has branches to fuse."""

    def __init__(self, *, fused: bool = False) -> None:
        super().__init__()
        self.fused = fused
        self.stem = nn.Conv2d(1, 8, 3, stride=8, padding=1)
        self.branch = nn.Conv2d(1, 8, 1, stride=8)
        self.cells = nn.Conv2d(8, 1, 1)
        self.head = nn.Linear(8, 12)

    def outputs(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.stem(x) if self.fused else self.stem(x) + self.branch(x)
        features = features.relu()
        embedding = features.mean(dim=(2, 3))
        return {
            "logits": self.head(embedding).log_softmax(dim=1),
            "lesion": self.cells(features).sigmoid(),
            "embedding": embedding,
        }

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outputs(x)["logits"]

    def deploy(self) -> "LesionNetwork":
        """Add the 1 x 1 branch to the middle of the 3 x 3 kernel, in place."""
        with torch.no_grad():
            self.stem.weight[:, :, 1:2, 1:2] += self.branch.weight
            self.stem.bias += self.branch.bias
        self.fused = True
        return self


@pytest.fixture
def lesion_checkpoint():
    torch.manual_seed(0)
    network = LesionNetwork().eval()
    with torch.no_grad():
        network.stem.weight *= 5
        network.head.weight *= 20
    return Checkpoint("stand_in", LabelSpace(), PreprocessSpec(64), network)


def ask(model: onnx.ModelProto, pixels: np.ndarray) -> dict[str, np.ndarray]:
    session = memory_session(model)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"pixels": pixels}), strict=True))


def names_of(model: onnx.ModelProto) -> list[str]:
    return [output.name for output in model.graph.output]


def test_a_network_with_outputs_gives_its_lesion_map_unasked(lesion_checkpoint, pixels):
    model = with_pixel_input(body_graph(lesion_checkpoint))
    assert names_of(model) == ["logits", "lesion"]
    images = pixels(64)
    given = ask(model, images)
    with torch.inference_mode():
        expected = lesion_checkpoint.network.outputs(normalise(torch.from_numpy(images)))
    for name in ("logits", "lesion"):
        np.testing.assert_allclose(given[name], expected[name].numpy(), atol=1e-4)
    assert given["lesion"].shape == (48, 1, 8, 8)
    assert np.ptp(given["lesion"]) > 0.05


def test_a_networks_own_embedding_comes_when_asked(lesion_checkpoint, pixels):
    body = body_graph(lesion_checkpoint, ["embedding"])
    model = add_outputs(with_pixel_input(body), ["embedding"], LabelSpace(), "stand_in")
    assert names_of(model) == ["logits", "lesion", "embedding"]
    images = pixels(64)
    with torch.inference_mode():
        expected = lesion_checkpoint.network.outputs(normalise(torch.from_numpy(images)))
    np.testing.assert_allclose(ask(model, images)["embedding"], expected["embedding"], atol=1e-5)


def test_branches_are_fused_in_the_graph_and_left_in_the_checkpoint(lesion_checkpoint):
    before = {name: one.clone() for name, one in lesion_checkpoint.network.state_dict().items()}
    graph = body_graph(lesion_checkpoint).graph
    assert [node.op_type for node in graph.node].count("Conv") == 2  # stem and cells
    assert not lesion_checkpoint.network.fused
    for name, values in lesion_checkpoint.network.state_dict().items():
        assert torch.equal(values, before[name])


def test_a_network_with_a_lesion_map_gives_no_cam(lesion_checkpoint):
    model = with_pixel_input(body_graph(lesion_checkpoint))
    with pytest.raises(GraphError) as caught:
        add_outputs(model, ["cam"], LabelSpace(), "stand_in")
    assert str(caught.value) == (
        "stand_in cannot be written as ONNX: it has a lesion map; cam is for networks without"
    )


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_the_embedding_is_what_the_last_layer_takes(road, kind):
    road = road("mobilenet_v2")
    model = onnx.load(getattr(road, kind))
    given = ask(add_outputs(model, ["embedding"], LabelSpace(), "x"), road.pixels)
    head = road.checkpoint.network.classifier[-1]
    weights, bias = head.weight.detach().numpy(), head.bias.detach().numpy()
    assert given["embedding"].shape == (48, weights.shape[1])
    logits = given["embedding"] @ weights.T + bias
    assert np.corrcoef(logits.ravel(), given["logits"].ravel())[0, 1] > 0.999
    np.testing.assert_array_equal(given["logits"], ask(model, road.pixels)["logits"])


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_the_mean_of_an_activation_map_is_its_types_logit(road, kind):
    road = road("mobilenet_v2")
    model = add_outputs(onnx.load(getattr(road, kind)), ["cam"], LabelSpace(), "x")
    onnx.checker.check_model(model, full_check=True)
    given = ask(model, road.pixels)
    assert given["cam"].shape == (48, 4, 2, 2)
    bias = road.checkpoint.network.classifier[-1].bias.detach().numpy()
    by_type = (given["logits"] - bias).reshape(48, 4, 3).mean(axis=2)
    atol = 1e-4 if kind == "fp32" else 0.2 * np.abs(by_type).max()
    np.testing.assert_allclose(given["cam"].mean(axis=(2, 3)), by_type, atol=atol)
    assert np.corrcoef(given["cam"].mean(axis=(2, 3)).ravel(), by_type.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("name", ["artemis_cnn", "mobilenet_v3_small"])
def test_cam_needs_pooling_and_one_layer(road, name):
    with pytest.raises(GraphError) as caught:
        add_outputs(onnx.load(road(name).fp32), ["cam"], LabelSpace(), name)
    assert str(caught.value) == (
        f"{name} cannot be written as ONNX: cam needs a network that ends in global average "
        "pooling and one linear layer"
    )


def test_an_embedding_needs_a_linear_layer(small):
    model = onnx.load(small.fp32)
    (last,) = (node for node in model.graph.node if "logits" in node.output)
    last.output[0] = "before"
    model.graph.node.append(onnx.helper.make_node("Relu", ["before"], ["logits"]))
    with pytest.raises(
        GraphError, match=r"it does not end in a linear layer, so has no embedding$"
    ):
        add_outputs(model, ["embedding"], LabelSpace(), "x")


def test_an_output_that_no_network_has_is_refused():
    with pytest.raises(OptionError) as caught:
        check_names(["cam", "heatmap"])
    assert str(caught.value) == (
        "unknown outputs heatmap; expected some of embedding, cam "
        "(logits, and lesion where the network has it, are always there)"
    )


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_more_outputs_leave_the_layers_to_the_logits_as_they_run(road, kind, tmp_path):
    """By onnxruntime's own record: no fused layer falls apart because its value is an output."""
    road = road("mobilenet_v2")
    plain = onnx.load(getattr(road, kind))

    def ran(model: onnx.ModelProto) -> Counter[str]:
        options = ort.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(tmp_path / "profile")
        session = ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        session.run(["logits"], {"pixels": road.pixels[:1]})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        kernels = [one for one in events if one["name"].endswith("kernel_time")]
        return Counter(one["args"]["op_name"] for one in kernels)

    before = ran(plain)
    after = ran(add_outputs(plain, ["cam", "embedding"], LabelSpace(), "x"))
    assert not before - after
    assert sum((after - before).values()) <= 5


def test_nodes_that_a_converter_put_at_the_end_come_where_they_belong(small):
    model = onnx.load(small.fp32)
    first = model.graph.node[0]
    moved = onnx.NodeProto()
    moved.CopyFrom(first)
    model.graph.node.remove(first)
    model.graph.node.append(moved)
    with pytest.raises(onnx.checker.ValidationError):
        onnx.checker.check_model(model, full_check=True)
    ordered = in_order(model)
    onnx.checker.check_model(ordered, full_check=True)
    assert [node.name for node in ordered.graph.node] == [
        node.name for node in onnx.load(small.fp32).graph.node
    ]
