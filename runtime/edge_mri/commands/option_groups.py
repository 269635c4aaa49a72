"""Options that `--help` lists under headings; what commands declare alike is in `options`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import click

from edge_mri.commands.options import Decorator


class GroupedOption(click.Option):
    """An option under a heading.

    Attributes:
        heading: Where `--help` lists it.
    """

    def __init__(self, *arguments: Any, heading: str, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.heading = heading


class GroupedCommand(click.Command):
    """A command whose options are listed by heading, in the order of their first; others last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the lists."""
        groups: dict[str, list[tuple[str, str]]] = {}
        others = []
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record is None or not isinstance(option, click.Option):
                continue
            if isinstance(option, GroupedOption):
                groups.setdefault(option.heading, []).append(record)
            else:
                others.append(record)
        for heading, records in (*groups.items(), ("Options", others)):
            with formatter.section(heading):
                formatter.write_dl(records)


def grouped(heading: str) -> Callable[..., Decorator]:
    """Return what declares an option under a heading, otherwise as `click.option` does."""
    return partial(click.option, cls=GroupedOption, heading=heading)
