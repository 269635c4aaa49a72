import builtins
import inspect
import re
from pathlib import Path

import pytest

from edge_mri import errors
from edge_mri.errors import EdgeMriError

TREE = re.findall(r"[├└]── (\w+)(?:\((\w+)\))?", errors.__doc__)
DEFINED = {
    name
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, EdgeMriError) and value is not EdgeMriError
}


def test_the_tree_in_the_docstring_is_complete():
    assert {name for name, _ in TREE} == DEFINED


@pytest.mark.parametrize(("name", "builtin"), TREE)
def test_an_error_is_ours_and_the_builtin_that_fits(name, builtin):
    error = getattr(errors, name)
    assert issubclass(error, EdgeMriError)
    assert error.exit_code == 2
    if builtin:
        assert issubclass(error, getattr(builtins, builtin))


def test_a_long_list_of_unknown_folders_is_cut():
    folders = [Path(f"class{number}") for number in range(7)]
    message = str(errors.UnknownClassError(folders))
    assert message.startswith(
        "class folders that match no label: class0, class1, class2, class3, class4 and 2 more; "
        "expected a tumour type (glioma, meningioma, pituitary, no_tumor)"
    )
    assert "more" not in str(errors.UnknownClassError(folders[:5]))
