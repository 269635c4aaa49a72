from pathlib import Path

from edge_mri import errors


def test_a_long_list_of_unknown_folders_is_cut():
    folders = [Path(f"class{number}") for number in range(7)]
    message = str(errors.UnknownClassError(folders))
    assert message.startswith(
        "class folders that match no label: class0, class1, class2, class3, class4 and 2 more; "
        "expected a type; to take the"
    )
    assert "more" not in str(errors.UnknownClassError(folders[:5]))


def test_of_a_list_that_is_short_enough_nothing_is_left_out():
    assert errors.listed(["a", "b"], most=2) == "a, b"
    assert errors.listed(["a", "b", "c"], most=2, separator="; ") == "a; b and 1 more"
