import ast
import re
from importlib import import_module, metadata
from importlib.resources import files
from pathlib import Path

import pytest

import edge_mri

SOURCE = ast.parse(Path(edge_mri.__file__).read_text(encoding="utf-8"))


def declared() -> dict[str, str]:
    """What the type checkers see: each name under `if TYPE_CHECKING`, and its module."""
    (block,) = (node for node in SOURCE.body if isinstance(node, ast.If))
    return {alias.name: node.module for node in block.body for alias in node.names}


def test_every_name_is_public_for_people_and_for_type_checkers():
    assert set(edge_mri.__all__) == set(declared())
    assert len(set(edge_mri.__all__)) == len(edge_mri.__all__)


def test_public_names_are_sorted_constants_first():
    def order(name: str) -> tuple[bool, str]:
        return not name.isupper(), name

    assert edge_mri.__all__ == sorted(edge_mri.__all__, key=order)


@pytest.mark.parametrize(("name", "module"), declared().items())
def test_a_name_is_loaded_from_its_module(name, module):
    value = getattr(edge_mri, name)
    assert value is getattr(import_module(module), name)


def test_names_are_loaded_when_they_are_asked_for(process):
    code = (
        "import sys, edge_mri\n"
        "before = set(sys.modules)\n"
        "from edge_mri import *\n"
        "print('numpy' in before, 'numpy' in sys.modules, Classifier.__module__)\n"
    )
    assert process("-c", code) == (0, "False True edge_mri.classifier\n", "")


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"^module 'edge_mri' has no attribute 'Model'$"):
        _ = edge_mri.Model


def test_the_package_says_that_it_is_typed():
    assert files("edge_mri").joinpath("py.typed").is_file()


def test_the_version_is_that_of_the_distribution():
    assert re.fullmatch(r"\d+\.\d+\.\d+", edge_mri.__version__)
    try:
        installed = metadata.version("edge-mri")
    except metadata.PackageNotFoundError:
        pytest.skip("edge-mri is not installed here, it runs from its folder")
    assert installed == edge_mri.__version__
