from edge_mri import errors


def test_of_a_list_that_is_short_enough_nothing_is_left_out():
    assert errors.listed(["a", "b"], most=2) == "a, b"
    assert errors.listed(["a", "b", "c"], most=2, separator="; ") == "a; b and 1 more"
