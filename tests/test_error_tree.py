"""One tree of errors over all packages: drawn whole, each name once, each with its builtin."""

import builtins
import inspect
import re
from collections import Counter
from types import ModuleType

import pytest

import edge_mri.errors
import edge_mri_bench.errors
import edge_mri_export.errors
import edge_mri_train.errors
from edge_mri.errors import EdgeMriError

MODULES = [
    edge_mri.errors,
    edge_mri_train.errors,
    edge_mri_export.errors,
    edge_mri_bench.errors,
]
DRAWN = [
    (module, *found)
    for module in MODULES
    for found in re.findall(
        r"[├└]── (\w+)(?:\((\w+)\))?(?: +(exit code 1)$)?", module.__doc__, re.M
    )
]


def defined(module: ModuleType) -> set[str]:
    return {
        name
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, EdgeMriError)
        and value.__module__ == module.__name__
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_tree_in_the_docstring_is_complete(module):
    drawn = {name for one, name, *_ in DRAWN if one is module}
    assert drawn == defined(module) - {"EdgeMriError"}


def test_each_name_stands_for_one_error():
    assert max(Counter(name for _, name, *_ in DRAWN).values()) == 1


@pytest.mark.parametrize(("module", "name", "builtin", "exits_with_1"), DRAWN)
def test_an_error_is_ours_and_the_builtin_that_fits(module, name, builtin, exits_with_1):
    error = getattr(module, name)
    assert issubclass(error, EdgeMriError)
    assert error.exit_code == (1 if exits_with_1 else 2)
    if builtin:
        assert issubclass(error, getattr(builtins, builtin))
