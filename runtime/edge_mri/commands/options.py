"""Options that the commands of several packages declare alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edge_mri.providers import DEVICES

PATH = click.Path(path_type=Path)

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def path_option(*names: str, metavar: str = "FILE", **settings: Any) -> Decorator:
    """Declare an option that takes a path, otherwise as `click.option` does."""
    return click.option(*names, type=PATH, metavar=metavar, **settings)


def device_option(declare: Callable[..., Decorator] = click.option) -> Decorator:
    """Declare `--device`, where it is to be under a heading with what declares under that."""
    return declare(
        "--device",
        type=click.Choice(DEVICES),
        default="auto",
        show_default=True,
        help="auto: CUDA where it works.",
    )


def seed_option(help: str) -> Decorator:
    """Declare `--seed`; `help` says what hangs on it."""
    return click.option("--seed", type=int, default=0, metavar="N", show_default=True, help=help)
