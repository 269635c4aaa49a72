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
        help="A folder with class folders; may be given several times.",
        **settings,
    )


def arch_option(what: str, name: str = "--arch") -> Decorator:
    """Declare an option that names functions which may run to make a checkpoint's network."""
    return click.option(
        name,
        "named",
        multiple=True,
        metavar="MODULE:FUNCTION",
        help=f"The function that makes {what}, where it is one of your own; its code runs.",
    )


LABELS = (
    "FILE.toml|folders",
    "Which labels there are: a file that names them, or folders: the class folders' own names.  "
    "[default: four types in three planes, or those of the manifest]",
)
SPELLINGS = ("FILE.toml", "Further spellings of the labels, which are the model's.")


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
        help="Reads file names: some of the named groups type, plane, group and split, as in "
        "(?P<group>p[0-9]+)_(?P<type>[a-z]+).",
    )
    maps = click.option(
        "--map",
        "maps",
        multiple=True,
        metavar="FOLDER=LABEL",
        help="What a folder's name means; LABEL|LABEL: one of them; FOLDER=skip leaves it out; may "
        "be given several times.",
    )
    index = path_option(
        "--index",
        metavar="FILE.csv",
        help="Names the images: columns path and label, and any of plane, group, split, tags.",
    )
    return labels(maps(pattern(index(command))))


def id_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command the options `--groups` and `--group-pattern`."""
    file = path_option(
        "--groups",
        metavar="FILE.csv",
        help="Patients or other groups: columns path and group.",
    )
    pattern = click.option(
        "--group-pattern",
        metavar="REGEX",
        help="Finds the patient in a path; its first group, or all of it.",
    )
    return file(pattern(command))
