"""Options that say which labelled images a command takes, and how they are laid out."""

from collections.abc import Callable
from typing import Any

import click

from edge_mri.commands.options import PATH, Decorator, path_option


def data_option(kind: "click.ParamType[Any]" = PATH, **settings: Any) -> Decorator:
    """Declare `--data`; `kind` says whether it may be a URL."""
    return click.option(
        "--data",
        type=kind,
        multiple=True,
        metavar="DIR",
        help="Folder with class folders; may be given several times.",
        **settings,
    )


def arch_option(what: str, name: str = "--arch") -> Decorator:
    """Declare an option that names functions which may run to make a checkpoint's network."""
    return click.option(
        name,
        "named",
        multiple=True,
        metavar="MODULE:FUNCTION",
        help=f"Function that builds {what}, if it is your own; its code is executed.",
    )


LABELS = (
    "FILE.toml|folders",
    "Classes: a .toml file that names them, or `folders` for the class folders' names.  "
    "[default: four types in three planes, or those of the manifest]",
)
SPELLINGS = ("FILE.toml", "Further spellings of the model's labels.")


def layout_options(
    command: Callable[..., Any], labelled: tuple[str, str] = LABELS
) -> Callable[..., Any]:
    """Give a click command the options `--labels`, `--map`, `--pattern` and `--index`.

    Args:
        command: The command.
        labelled: What `--labels` takes, and its help.
    """
    metavar, told = labelled
    labels = click.option("--labels", metavar=metavar, help=told)
    pattern = click.option(
        "--pattern",
        metavar="REGEX",
        help="Regular expression for file paths, with named groups type, plane, group or split, as "
        "in (?P<group>p[0-9]+)_(?P<type>[a-z]+).",
    )
    maps = click.option(
        "--map",
        "maps",
        multiple=True,
        metavar="FOLDER=LABEL",
        help="Label of a folder's images; LABEL|LABEL if each is one of these; FOLDER=skip "
        "leaves the folder out; may be given several times.",
    )
    index = path_option(
        "--index",
        metavar="FILE.csv",
        help="List of the images: columns path and label, and any of plane, group, split, tags.",
    )
    return labels(maps(pattern(index(command))))


def id_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command the options `--groups` and `--group-pattern`."""
    file = path_option(
        "--groups",
        metavar="FILE.csv",
        help="List of patients or other groups: columns path and group.",
    )
    pattern = click.option(
        "--group-pattern",
        metavar="REGEX",
        help="Regular expression for the patient in a path: its first group, or the whole match.",
    )
    return file(pattern(command))
