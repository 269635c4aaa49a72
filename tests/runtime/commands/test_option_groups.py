import click
import pytest

from edge_mri.commands.infer import command as infer_command
from edge_mri.commands.option_groups import GroupedCommand, GroupedOption, grouped
from edge_mri.errors import OptionError
from edge_mri.inference import InferConfig


def test_help_lists_options_under_their_headings(command):
    text = command("infer", "--help").out
    headings = ("Answers:", "What is written:", "How it runs:", "Limits:", "Options:")
    places = [text.index(heading) for heading in headings]
    assert places == sorted(places)
    assert (
        places[1]
        < text.index("\n  --resume ")
        < places[2]
        < text.index("\n  --threads N")
        < places[3]
    )
    assert "PATH" not in text[places[0] :]


def test_every_option_of_infer_has_a_heading():
    options = [one for one in infer_command.params if isinstance(one, click.Option)]
    assert all(isinstance(one, GroupedOption) for one in options)
    names = {one.name for one in infer_command.params}
    named_by_output = {"dataset"}
    assert names == set(InferConfig.__dataclass_fields__) - named_by_output


def test_an_option_without_a_heading_comes_last(capsys):
    @click.command(cls=GroupedCommand)
    @click.option("--plain")
    @grouped("Special")("--special")
    def some() -> None:
        """Do nothing."""

    some(["--help"], standalone_mode=False)
    text = capsys.readouterr().out
    assert text.index("Special:") < text.index("--special") < text.index("Options:")
    assert text.index("Options:") < text.index("--plain")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"resume": True}, "--resume needs --output FILE and --format jsonl or csv"),
        ({"engine": "ray", "report": "x"}, "--report is drawn here: it does not go with"),
    ],
)
def test_a_run_refuses_what_does_not_go_together(asked, reason):
    with pytest.raises(OptionError, match=reason):
        InferConfig(paths=(), **asked)
