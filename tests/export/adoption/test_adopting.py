"""Classifiers made elsewhere become files that answer as they do, from raw grey pixels."""

import json
import re
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import torchvision
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edge_mri.classifier import Classifier
from edge_mri.cli import main
from edge_mri.errors import OptionError
from edge_mri.labels import LabelSpace, Vocabulary
from edge_mri_export import export_module, export_onnx
from edge_mri_export.adoption.class_names import class_samples, class_space, read_class_names
from edge_mri_export.adoption.input_spec import InputSpec
from edge_mri_export.errors import AdoptionError, CalibrationError

SIZE = 64
NAMES = "glioma,meningioma,notumor,pituitary"


def colour_network(*ending: nn.Module, classes: int = 4, channels: int = 3) -> nn.Sequential:
    """A small network with a padded stem, whose answers differ from image to image."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(channels, 16, 3, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 24, 3, 2, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(1),
        nn.Linear(96, classes),
        *ending,
    )
    with torch.no_grad():
        network[1].running_mean.normal_()
        network[1].running_var.uniform_(0.5, 2)
        network[7].weight.mul_(12)
    return network.eval()


class Nhwc(nn.Module):
    """A network that takes channels last."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x.permute(0, 3, 1, 2))


@pytest.fixture
def write(tmp_path):
    """Write a network as PyTorch's exporters do, for any batch or for one image."""

    def export(network, shape=(3, SIZE, SIZE), *, any_batch=True, dynamo=False, opset=13):
        path = tmp_path / "theirs.onnx"
        options = {"dynamic_axes": {"x": {0: "b"}, "y": {0: "b"}}} if any_batch else {}
        if dynamo and any_batch:
            options = {"dynamic_shapes": ({0: torch.export.Dim.DYNAMIC},)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the older exporter is the older one
            torch.onnx.export(
                network,
                (torch.zeros(2 if any_batch else 1, *shape),),
                path,
                input_names=["x"],
                output_names=["y"],
                opset_version=18 if dynamo else opset,
                dynamo=dynamo,
                verbose=False,
                **options,
            )
        return path

    return export


@pytest.fixture
def keras_layout(tmp_path) -> Path:
    """A graph as tf2onnx writes Keras's: channels last, a transpose, MatMul and Add, softmax.

    Rescaling to -1..1 is a layer of its own, and the flattening asks for the batch's shape.
    """
    rng = np.random.default_rng(0)
    constants = {
        "scale": np.array(1 / 127.5, np.float32),
        "shift": np.array(-1, np.float32),
        "kernel": rng.normal(0, 0.3, (16, 3, 3, 3)).astype(np.float32),
        "bias": rng.normal(0, 0.3, 16).astype(np.float32),
        "dense": rng.normal(0, 0.05, (16 * 16 * 16, 4)).astype(np.float32),
        "dense_bias": rng.normal(0, 1, 4).astype(np.float32),
        "flat": np.array([-1, 16 * 16 * 16], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Mul", ["input", "scale"], ["scaled"]),
        node("Add", ["scaled", "shift"], ["rescaled"]),
        node("Transpose", ["rescaled"], ["nchw"], perm=[0, 3, 1, 2]),
        node("Conv", ["nchw", "kernel", "bias"], ["conv"], auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Relu", ["conv"], ["relu"]),
        node("MaxPool", ["relu"], ["pool"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Transpose", ["pool"], ["nhwc"], perm=[0, 2, 3, 1]),
        node("Reshape", ["nhwc", "flat"], ["flattened"]),
        node("MatMul", ["flattened", "dense"], ["product"]),
        node("Add", ["product", "dense_bias"], ["logits_of_keras"]),
        node("Softmax", ["logits_of_keras"], ["dense_1"], axis=-1),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "tf2onnx",
        [info("input", TensorProto.FLOAT, ["unk__99", SIZE, SIZE, 3])],
        [info("dense_1", TensorProto.FLOAT, ["unk__100", 4])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    path = tmp_path / "keras.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def heads_by_type(phantoms, tmp_path_factory) -> Path:
    """The phantoms in folders of their types."""
    folder = tmp_path_factory.mktemp("by_type")
    for file in sorted(phantoms.rglob("*.png")):
        type_ = file.parent.name.rsplit("_", 1)[0]
        target = folder / type_ / f"{file.parent.name}_{file.name}"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(file.read_bytes())
    return folder


IMAGENET = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)


def theirs(path, pixels, scale=1.0, mean=0.0, deviation=1.0, layout="nchw", channels=3):
    """Ask a file as its own users do, one image at a time: in colour, float, normalised."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (takes,) = session.get_inputs()
    found = []
    for image in pixels:
        colour = np.repeat(image[0, :, :, np.newaxis], channels, axis=2).astype(np.float32) / 255
        values = ((colour * scale - mean) / deviation).astype(np.float32)
        values = values if layout == "nhwc" else values.transpose(2, 0, 1)
        found.append(session.run(None, {takes.name: values[np.newaxis]})[0][0])
    return np.stack(found)


def ours(path, pixels):
    return Classifier.load(path, device="cpu").answers(pixels).probabilities


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture
def noise():
    """Images bright to the rim, where padding shows."""
    shape = (5, 1, SIZE, SIZE)
    return np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("any_batch", [True, False])
def test_a_colour_model_with_a_mean_answers_alike_to_the_rim(
    write, heads_by_type, tmp_path, noise, any_batch, dynamo
):
    path = write(colour_network(), any_batch=any_batch, dynamo=dynamo)
    output = tmp_path / "ours.onnx"
    export_onnx(path, labels=NAMES, preprocess="imagenet", images=heads_by_type, output=output)
    expected = softmax(theirs(path, noise, 1, *IMAGENET))
    assert expected.std() > 0.05
    np.testing.assert_allclose(ours(output, noise), expected, atol=2e-5)
    contract = Classifier.load(output, device="cpu").contract
    assert contract.labels.types == ("glioma", "meningioma", "no_tumor", "pituitary")
    assert contract.parity["reference"] == "original ONNX"
    assert contract.parity["n"] == 48


CASES = {
    "softmax inside, 0 to 1": (nn.Softmax(1), "unit", {}, np.array),
    "blue first, 0 to 255": (
        nn.Identity(),
        "caffe",
        {"scale": 255, "mean": np.array([103.939, 116.779, 123.68], np.float32)},
        softmax,
    ),
    "channels last": (
        nn.Softmax(1),
        "halves",
        {"mean": 0.5, "deviation": 0.5, "layout": "nhwc"},
        np.array,
    ),
    "log probabilities": (nn.LogSoftmax(1), "raw", {"scale": 255}, np.exp),
}


@pytest.mark.parametrize("case", CASES)
def test_each_way_of_taking_and_giving_is_met(write, heads_by_type, tmp_path, noise, case):
    ending, preprocess, how, probabilities = CASES[case]
    network, shape = colour_network(ending), (3, SIZE, SIZE)
    if "layout" in how:
        network, shape = Nhwc(network), (SIZE, SIZE, 3)
    path = write(network, shape)
    output = tmp_path / "ours.onnx"
    export_onnx(path, labels=NAMES, preprocess=preprocess, images=heads_by_type, output=output)
    expected = probabilities(theirs(path, noise, **how))
    np.testing.assert_allclose(ours(output, noise), expected, atol=5e-5)


def test_a_grey_model_is_taken_as_it_is(write, heads_by_type, tmp_path, noise):
    path = write(colour_network(channels=1), (1, SIZE, SIZE))
    output = tmp_path / "ours.onnx"
    export_onnx(path, labels=NAMES, preprocess="halves", images=heads_by_type, output=output)
    expected = softmax(theirs(path, noise, 1, 0.5, 0.5, channels=1))
    np.testing.assert_allclose(ours(output, noise), expected, atol=2e-5)


def test_a_keras_model_of_tf2onnx_runs_channels_first_and_grey(
    keras_layout, heads_by_type, tmp_path, noise
):
    output = tmp_path / "ours.onnx"
    export_onnx(keras_layout, labels=NAMES, preprocess="raw", images=heads_by_type, output=output)
    expected = theirs(keras_layout, noise, 255, layout="nhwc")
    np.testing.assert_allclose(ours(output, noise), expected, atol=2e-5)
    graph = onnx.load(output).graph
    operators = [node.op_type for node in graph.node]
    assert operators[:3] == ["DequantizeLinear", "Pad", "Conv"]  # its rescaling is in the weights
    assert "Softmax" not in operators


@pytest.mark.parametrize("sigmoid", [True, False])
def test_one_output_stands_for_two_classes(write, phantoms, tmp_path, noise, sigmoid):
    ending = (nn.Sigmoid(),) if sigmoid else ()
    path = write(colour_network(*ending, classes=1))
    (tmp_path / "flat").mkdir()
    for number, file in enumerate(sorted(phantoms.rglob("*.png"))[:12]):
        (tmp_path / "flat" / f"{number}.png").write_bytes(file.read_bytes())
    output = tmp_path / "ours.onnx"
    export_onnx(
        path, labels=["no", "yes"], preprocess="unit", images=tmp_path / "flat", output=output
    )
    given = theirs(path, noise)[:, 0]
    second = given if sigmoid else 1 / (1 + np.exp(-given))
    np.testing.assert_allclose(ours(output, noise)[:, 1], second, atol=2e-5)
    expected = LabelSpace(("no", "yes"), (), "no", "yes")
    assert Classifier.load(output, device="cpu").contract.labels == expected


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_torchvisions_exports(write, heads_by_type, tmp_path, noise, name):
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None, num_classes=4).eval()
    path = write(network)
    output = tmp_path / "ours.onnx"
    export_onnx(path, labels=NAMES, preprocess="imagenet", images=heads_by_type, output=output)
    expected = softmax(theirs(path, noise, 1, *IMAGENET))
    np.testing.assert_allclose(ours(output, noise), expected, atol=2e-5)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_timms_exports(write, heads_by_type, tmp_path, name):
    timm = pytest.importorskip("timm", reason="needs the extra timm")
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=4, exportable=True).eval()
    size = network.default_cfg["input_size"][1]
    path = write(network, (3, size, size), opset=17)
    output = tmp_path / "ours.onnx"
    export_onnx(path, labels=NAMES, preprocess="halves", images=heads_by_type, output=output)
    pixels = np.random.default_rng(3).integers(0, 256, (3, 1, size, size)).astype(np.uint8)
    expected = softmax(theirs(path, pixels, 1, 0.5, 0.5))
    np.testing.assert_allclose(ours(output, pixels), expected, atol=2e-5)


def run(*arguments):
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def test_the_command_writes_int8_and_infer_runs_it(write, heads_by_type, tmp_path):
    path = write(colour_network(nn.Softmax(1)))
    options = ["--labels", NAMES, "--preprocess", "imagenet", "--calibration", heads_by_type]
    report = tmp_path / "report.json"
    done = run("--onnx", path, *options, "--quantize", "--max-drop", "10", "--json", report)
    assert done.exit_code == 0, done.output
    assert "against the original on 48 images: same answer on 100.00 %" in done.output
    float_, int8 = json.loads(report.read_text(encoding="utf-8"))
    assert float_["path"] == str(tmp_path / "theirs_edge.onnx")
    assert int8["path"] == str(tmp_path / "theirs_edge_int8.onnx")
    assert int8["quantized_layers"] == [3, 3]
    assert int8["parity"]["reference"] == "original ONNX"
    kinds = {node.op_type for node in onnx.load(int8["path"]).graph.node}
    assert "QuantizeLinear" in kinds
    image = next(heads_by_type.rglob("*.png"))
    done = CliRunner().invoke(main, ["infer", "--model", int8["path"], str(image)])
    assert done.exit_code == 0, done.output


def test_the_white_plane_costs_int8_nothing_of_its_pixels(write, heads_by_type, tmp_path):
    path = write(colour_network())
    output = tmp_path / "ours.onnx"
    export_onnx(
        path,
        labels=NAMES,
        preprocess="imagenet",
        images=heads_by_type,
        output=output,
        quantize="int8",
    )
    graph = onnx.load(tmp_path / "ours_int8.onnx").graph
    stored = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    takes = {node.output[0]: node for node in graph.node}
    stem = next(node for node in graph.node if node.op_type == "Conv")
    source = takes[stem.input[0]]
    assert source.op_type == "DequantizeLinear"
    assert stored[source.input[1]] == pytest.approx(1 / 255)


def test_a_module_is_adopted_from_python(heads_by_type, tmp_path, noise):
    network = colour_network(nn.Softmax(1)).train()
    output = tmp_path / "ours.onnx"
    export_module(
        network,
        labels=NAMES.split(","),
        preprocess=InputSpec(mean=(0.4, 0.5, 0.6), std=(0.2,), size=SIZE),
        images=heads_by_type,
        output=output,
    )
    assert network.training
    values = (noise / 255 - np.array([0.4, 0.5, 0.6]).reshape(1, 3, 1, 1)) / 0.2
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(values.astype(np.float32))).numpy()
    np.testing.assert_allclose(ours(output, noise), expected, atol=2e-5)


def test_a_module_needs_a_size(heads_by_type, tmp_path):
    with pytest.raises(OptionError, match="say which with size"):
        export_module(
            colour_network(),
            labels=NAMES,
            preprocess="imagenet",
            images=heads_by_type,
            output=tmp_path / "o.onnx",
        )


def changed(path, change):
    model = onnx.load(path)
    change(model.graph)
    onnx.save(model, path)
    return path


def _any_size(graph):
    for dim in graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_param = "side"


def _half(graph):
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16


def _two_inputs(graph):
    graph.input.append(helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1]))


def _two_outputs(graph):
    graph.output.append(helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1]))


def _wide(graph):
    graph.input[0].type.tensor_type.shape.dim[3].dim_value = 96


def _four_channels(graph):
    graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4


def _of_eight(graph):
    graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8


def _own_operator(graph):
    graph.node[0].domain = "com.example"


GRAPHS = {
    _any_size: "it takes images of any size; say which with size=N in --preprocess",
    _half: "it takes float16; expected float (float32)",
    _two_inputs: "it takes 2 inputs (x, more); expected one",
    _two_outputs: "it gives 2 outputs (y, more); expected one",
    _wide: "it takes 96 x 64 pixels; expected a square",
    _four_channels: "neither clearly nchw nor nhwc with 1 or 3 channels",
    _of_eight: "it takes 8 images at once; export it for one, or for any number",
    _own_operator: "cannot be",
}


@pytest.mark.parametrize("change", GRAPHS, ids=lambda one: one.__name__)
def test_a_model_that_cannot_be_adopted_is_refused_in_a_line(
    write, heads_by_type, tmp_path, change
):
    path = changed(write(colour_network()), change)
    options = ["--labels", NAMES, "--preprocess", "unit", "--calibration", heads_by_type]
    done = run("--onnx", path, *options, "-o", tmp_path / "o.onnx")
    assert done.exit_code == 2, done.output
    (line,) = [one for one in done.stderr.splitlines() if one.startswith("Error: ")]
    assert re.match(r"Error: theirs(\.onnx)? cannot be adopted: ", line)
    assert GRAPHS[change] in line
    assert not (tmp_path / "o.onnx").exists()


def test_a_size_may_be_said(write, heads_by_type, tmp_path, noise):
    path = changed(write(colour_network()), _any_size)
    output = tmp_path / "ours.onnx"
    preprocess = f"unit,size={SIZE}"
    export_onnx(path, labels=NAMES, preprocess=preprocess, images=heads_by_type, output=output)
    np.testing.assert_allclose(ours(output, noise), softmax(theirs(path, noise)), atol=2e-5)


class _Keeps(nn.Module):
    """What ViTs do: a token repeated for the batch, which a fixed batch makes one."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = colour_network()
        self.token = nn.Parameter(torch.ones(1, 4))

    def forward(self, x):
        return torch.cat([self.token.expand(len(x), 4), self.inner(x)], dim=1)[:, 4:]


def test_a_batch_that_cannot_be_opened_is_said(write, heads_by_type, tmp_path):
    path = write(_Keeps(), any_batch=False)
    with pytest.raises(AdoptionError, match="made for one image at a time"):
        export_onnx(
            path,
            labels=NAMES,
            preprocess="unit",
            images=heads_by_type,
            output=tmp_path / "o.onnx",
        )


def test_what_is_no_distribution_or_has_other_classes_is_refused(write, heads_by_type, tmp_path):
    def adopt(network, labels=NAMES):
        export_onnx(
            write(network),
            labels=labels,
            preprocess="unit",
            images=heads_by_type,
            output=tmp_path / "o.onnx",
        )

    with pytest.raises(AdoptionError, match="it judges each class by itself"):
        adopt(colour_network(nn.Sigmoid()))
    with pytest.raises(AdoptionError, match="tells 3 classes apart, and --labels names 4"):
        adopt(colour_network(classes=3))
    with pytest.raises(CalibrationError, match="no image to check schwannoma on"):
        adopt(colour_network(classes=5), f"{NAMES},schwannoma")
    with pytest.raises(CalibrationError, match="lie in folders that no class is called"):
        adopt(colour_network(), "glioma,meningioma,notumor,schwannoma")


def test_images_without_classes_compare_answers_alone(write, heads_by_type, tmp_path):
    path = write(colour_network())
    options = ["--preprocess", "unit", "--calibration", heads_by_type, "-o", tmp_path / "o.onnx"]
    done = run("--onnx", path, "--labels", "T1,T2,FLAIR,PD", *options)
    assert done.exit_code == 0, done.output
    assert "no folder is called as a class" in done.stderr
    parity = Classifier.load(tmp_path / "o.onnx", device="cpu").contract.parity
    assert (parity["n"], parity["agreement"], parity["sensitivity_change"]) == (48, 1.0, {})


def test_names_of_other_questions_stay_as_they_are():
    assert class_space(["stroke", "healthy"]) == LabelSpace(
        ("stroke", "healthy"), (), "healthy", "stroke"
    )
    assert class_space(["T1", "T2"]) == LabelSpace(("T1", "T2"), (), None)
    assert class_space(["notumor", "gliomas"]) == LabelSpace(("no_tumor", "glioma"), ())


def test_a_label_file_says_all_that_it_says_of_training(tmp_path):
    types = '[types]\nmild = ["md"]\ncn = ["controls"]\nad = []\n'
    (tmp_path / "l.toml").write_text('absent = "cn"\npresent = "dementia"\n' + types, "utf-8")
    vocabulary = read_class_names(str(tmp_path / "l.toml"))
    assert vocabulary.space == LabelSpace(("mild", "cn", "ad"), (), "cn", "dementia")
    for folder in ("md", "controls", "ad"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        (tmp_path / "set" / folder / "x.png").touch()
    found = class_samples(tmp_path / "set", vocabulary)
    assert {one.path.parts[0]: one.label.type for one in found} == {
        "md": "mild", "controls": "cn", "ad": "ad",
    }  # fmt: skip
    (tmp_path / "p.toml").write_text('planes = ["axial"]\n' + types, "utf-8")
    with pytest.raises(OptionError, match="a model made elsewhere answers no planes"):
        read_class_names(str(tmp_path / "p.toml"))


def test_a_class_of_signs_alone_does_not_take_folders_of_other_names(tmp_path):
    for folder in ("no", "yes"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").touch()
    found = class_samples(tmp_path, Vocabulary(class_space(["a b", "🧠", "c.d"])))
    assert {str(one.label) for one in found} == {""}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((), "--onnx needs --labels, --preprocess, --calibration too"),
        (("--labels", NAMES, "--preprocess", "unit"), "--onnx needs --calibration too"),
        (("--arch", "a:b"), "--arch is of a checkpoint"),
        (("run",), "--onnx takes the place of run"),
        (
            ("--labels", "a,a", "--preprocess", "unit", "--calibration", "."),
            "--labels a,a: 'a' is there twice",
        ),
        (
            ("--labels", "no,healthy", "--preprocess", "unit", "--calibration", "."),
            "'no_tumor' is there twice",
        ),
        (
            ("--labels", "no,healthy,b", "--preprocess", "unit", "--calibration", "."),
            "no and healthy both say that nothing was found; a .toml file says with absent = which",
        ),
        (
            ("--labels", "masks,b", "--preprocess", "unit", "--calibration", "."),
            "a type or plane cannot be called 'masks'",
        ),
        (
            ("--labels", "a,A", "--preprocess", "unit", "--calibration", "."),
            "'a' and 'A' are told apart by their case alone",
        ),
        (
            ("--labels", "a,b", "--preprocess", "unit", "--calibration", ".", "--outputs", "cam"),
            "--outputs cam is of a checkpoint; a model made elsewhere keeps its own output alone",
        ),
        (
            ("--labels", "a,,b", "--preprocess", "unit", "--calibration", "."),
            "--labels a,,b: one is empty",
        ),
        (
            ("--labels", NAMES, "--preprocess", "resnet", "--calibration", "."),
            "there is no 'resnet'; expected unit, imagenet, halves, raw, caffe, or a .toml file",
        ),
        (
            ("--labels", NAMES, "--preprocess", "unit,sise=3", "--calibration", "."),
            "unknown sise",
        ),
    ],
)
def test_options_that_do_not_go_together(tmp_path, options, reason):
    done = run("--onnx", tmp_path / "m.onnx", *options)
    assert done.exit_code == 2
    assert reason in done.output


def test_the_original_is_never_replaced(write, heads_by_type):
    path = write(colour_network())
    options = ["--labels", NAMES, "--preprocess", "unit", "--calibration", heads_by_type]
    done = run("--onnx", path, *options, "-o", path)
    assert done.exit_code == 2
    assert "the output would replace the original" in done.output


@pytest.mark.parametrize("content", [b"", b"no model", None])
def test_what_is_no_onnx_model_is_said(tmp_path, content):
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    options = ["--labels", NAMES, "--preprocess", "unit", "--calibration", tmp_path]
    done = run("--onnx", path, *options)
    assert done.exit_code == 2
    assert "m.onnx cannot be adopted: " in done.output
    assert "Traceback" not in done.output


def test_labels_and_preprocessing_from_files(tmp_path):
    (tmp_path / "l.toml").write_text('[types]\n"T1" = ["t1w"]\nT2 = []\n', encoding="utf-8")
    (tmp_path / "l.txt").write_text("T1\nT2\n", encoding="utf-8")
    for file in ("l.toml", "l.txt"):
        assert read_class_names(str(tmp_path / file)).space.types == ("T1", "T2")
    (tmp_path / "p.toml").write_text(
        'preset = "imagenet"\nmean = [0.1, 0.2, 0.3]\nsize = 96\nlayout = "nhwc"\n',
        encoding="utf-8",
    )
    found = InputSpec.parse(str(tmp_path / "p.toml"))
    assert found == InputSpec(1.0, (0.1, 0.2, 0.3), (0.229, 0.224, 0.225), 96, "nhwc")
    with pytest.raises(OptionError, match="cannot be read: No such file"):
        InputSpec.parse(str(tmp_path / "q.toml"))
