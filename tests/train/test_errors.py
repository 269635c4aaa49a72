from pathlib import Path

from edge_mri_train.errors import UnknownClassError


def test_a_long_list_of_unknown_folders_is_cut():
    folders = [Path(f"class{number}") for number in range(7)]
    message = str(UnknownClassError(folders))
    assert message.startswith(
        "class folders that match no label: class0, class1, class2, class3, class4 and 2 more; "
        "expected a type; to take the"
    )
    assert "more" not in str(UnknownClassError(folders[:5]))
