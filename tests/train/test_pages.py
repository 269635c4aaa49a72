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
