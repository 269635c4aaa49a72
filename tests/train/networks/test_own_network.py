"""`--arch package.module:function`: the user's own network, and the code that only he may name."""

import sys
import textwrap
from itertools import count

import pytest
import torch
from click.testing import CliRunner

from edge_mri.cli import main
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri_train.errors import CheckpointError, FactoryError, FactoryNotNamedError
from edge_mri_train.networks.architectures import build, require_known
from edge_mri_train.networks.checkpoint import Checkpoint
from edge_mri_train.training.configured import defaults_of

GOOD = """
    from torch import nn

    def make(num_classes, in_channels, size):
        return nn.Sequential(
            nn.Conv2d(in_channels, 8, 3, stride=4), nn.BatchNorm2d(8), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes),
        )

    class Doubled(nn.Module):
        def __init__(self, num_classes, in_channels, size):
            super().__init__()
            self.body = make(num_classes, in_channels, size)
            self.outputs = nn.Identity()  # a layer's name is the user's to choose
            self.deploy = nn.Identity()

        def forward(self, x):
            return self.outputs(self.body(x))
"""
_NUMBERS = count()


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write a module into the working folder and return its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(source):
        name = f"own_network_{next(_NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        return name

    return write


@pytest.mark.parametrize("function", ["make", "Doubled"])
def test_a_function_or_a_class_of_the_working_folder_makes_the_network(written, function):
    network = build(f"{written(GOOD)}:{function}", 7, 64)
    assert network.training
    assert network(torch.zeros(2, 1, 64, 64)).shape == (2, 7)


def test_it_starts_with_the_weights_that_the_function_gives_it():
    assert defaults_of("somewhere.nets:make").init_weights == "none"


def run(*arguments):
    return CliRunner().invoke(main, list(arguments))


WRONG = {
    "def make(classes): pass": "it has to take num_classes, in_channels and size by name, and "
    "takes (classes)",
    "def make(num_classes, in_channels, size, depth): pass": "it has to take num_classes, "
    "in_channels and size by name, and takes (num_classes, in_channels, size, depth)",
    "make = 3": "it is int; expected a function",
    "def make(**_): return 3": "it returned int; expected a torch.nn.Module, not its class",
    "from torch import nn\ndef make(**_): return nn.ReLU": "it returned the class ReLU; expected a "
    "torch.nn.Module, not its class",
    "def made(**_): pass": "NAME has no make; did you mean made?",
    "1 / 0": "importing NAME raised ZeroDivisionError: division by zero (NAME.py, line 1)",
    "import sys\nsys.exit(3)": "importing NAME raised SystemExit: it ended the program (NAME.py, "
    "line 2)",
    "def make(**_):\n    raise KeyError('x')": "it raised KeyError: 'x' (NAME.py, line 2)",
    "from torch import nn\ndef make(**_): return nn.Flatten()": "its network has no weights to "
    "train; expected some unfrozen",
    "from torch import nn\ndef make(size, **_): return nn.Sequential(nn.Flatten(), "
    "nn.Linear(size * size, 9))": "its network, in eval mode and given (2, 1, 64, 64) float, "
    "answers (2, 9) float32; expected (2, 4) float, a logit for each class",
    "from torch import nn\ndef make(num_classes, size, **_): return nn.Sequential(nn.Flatten(), "
    "nn.Linear(size * size, num_classes), nn.Softmax(1))": "its network, in eval mode and given "
    "(2, 1, 64, 64) float, answers probabilities; expected logits: leave its softmax out",
    "from torch import nn\ndef make(**_): return nn.Linear(3, 4)": "its network, in eval mode and "
    "given (2, 1, 64, 64) float, raised RuntimeError: mat1 and mat2 shapes cannot be multiplied",
    """
    from torch import nn
    class make(nn.Module):
        def __init__(self, num_classes, in_channels, size):
            super().__init__()
            self.head = nn.Linear(size * size, num_classes)
        def forward(self, x):
            logits = self.head(x.flatten(1))
            return (logits, logits) if self.training else logits
    """: "its network, in training mode and given (2, 1, 64, 64) float, answers tuple; expected a "
    "tensor of logits",
    "from torch import nn\ndef make(num_classes, in_channels, size):\n"
    "    return nn.Sequential(nn.Flatten(0), nn.Linear(2 * size * size, num_classes))": "its "
    "network, in eval mode and given (2, 1, 64, 64) float, answers (4,) float32; expected",
}


@pytest.mark.parametrize(("source", "reason"), WRONG.items(), ids=range(len(WRONG)))
def test_what_is_wrong_with_it_is_said_in_a_line(written, source, reason):
    name = written(source)
    with pytest.raises(FactoryError) as told:
        build(f"{name}:make", 4, 64)
    message = str(told.value)
    assert message.startswith(f"--arch {name}:make: {reason.replace('NAME', name)}")
    assert "\n" not in message


def test_a_module_that_is_not_there_is_told_from_one_that_lacks_another(written):
    with pytest.raises(FactoryError, match=r"there is no module nowhere, neither installed nor in"):
        build("nowhere.nets:make", 4, 64)
    name = written("import nowhere_else")
    with pytest.raises(FactoryError, match=f"importing {name} raised ModuleNotFoundError"):
        build(f"{name}:make", 4, 64)


def saved(name, folder, **changes):
    space = LabelSpace(planes=())
    path = folder / "checkpoint.pt"
    Checkpoint(name, space, PreprocessSpec(64), build(name, 4, 64).eval()).save(path)
    return path


MARKED = GOOD + "\n    open('code-ran', 'w').close()\n"


def test_a_checkpoint_runs_no_code_that_was_not_named(written, tmp_path):
    module = written(MARKED)
    path = saved(f"{module}:make", tmp_path)
    (tmp_path / "code-ran").unlink()
    del sys.modules[module]
    for named in ((), ("another:make",), (f"{module}:made",)):
        with pytest.raises(FactoryNotNamedError) as told:
            Checkpoint.load(path, named)
        assert str(told.value) == (
            f"{path} is of the network {module}:make, whose code runs only where you name it; "
            f"add --arch {module}:make if you trust it"
        )
    assert not (tmp_path / "code-ran").exists()
    assert module not in sys.modules
    pixels = torch.zeros(3, 1, 64, 64, dtype=torch.uint8).numpy()
    assert Checkpoint.load(path, (f"{module}:make",)).logits(pixels).shape == (3, 4)
    assert (tmp_path / "code-ran").exists()


@pytest.mark.parametrize("name", ["os:system;x", "a b:c", "x:y --exclude z", "-m:x", ":f", "m:"])
def test_what_is_no_name_of_a_function_is_never_offered_for_typing(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = build("squeezenet1_1", 4, 64)
    path = tmp_path / "checkpoint.pt"
    Checkpoint(name, LabelSpace(planes=()), PreprocessSpec(64), network).save(path)
    with pytest.raises(CheckpointError, match="unknown architecture"):
        Checkpoint.load(path, (name,))


def test_knowing_a_name_runs_nothing(written, tmp_path):
    require_known(f"{written(MARKED)}:make")
    assert not (tmp_path / "code-ran").exists()


def test_a_recipe_names_no_code(written, tmp_path):
    (tmp_path / "r.toml").write_text('arch = "somewhere.nets:make"\n', encoding="utf-8")
    done = run("train", "--data", ".", "--recipe", "r.toml")
    assert done.exit_code == 2
    assert "add --arch somewhere.nets:make if you trust it" in done.output
