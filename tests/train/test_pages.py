import warnings

import pytest
from matplotlib.figure import Figure

from edge_mri_train.pages import plot


def drawn(height: float) -> str:
    figure = Figure(figsize=(2, 2))
    axes = figure.subplots()
    axes.plot([0, 1], [0, height], marker="o")
    return plot(figure)


def test_a_figure_drawn_again_is_the_same_text():
    assert drawn(1.0) == drawn(1.0)
    assert drawn(1.0).startswith("<svg")
    assert drawn(1.0) != drawn(2.0)


@pytest.mark.parametrize("name", ["a$\\foo$", "$", "🧠"])
def test_names_on_a_figure_may_have_any_signs(name):
    figure = Figure(figsize=(2, 2))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label=name)
    axes.set(title=name)
    axes.legend()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plot(figure).startswith("<svg")
