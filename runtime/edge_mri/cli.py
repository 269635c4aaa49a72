"""The command line: a table of commands, each imported only when it runs.

`edge-mri --help` reads the table alone. A command whose optional dependency is missing answers
with the line to type; every `EdgeMriError` becomes one line on stderr and its exit code, and so
does what other packages and the system are to blame for (`edge_mri.process.causes`).
"""

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from typing import Any, NoReturn

import click

from edge_mri import __version__
from edge_mri.errors import EdgeMriError, MissingExtraError
from edge_mri.process.interrupts import Interrupts
from edge_mri.terminal.printable import printable
from edge_mri.terminal.standard_streams import let_go, standard_streams

# What the process exits with, beside 0, 1 and 2 of the commands: as shells report a signal, and
# what sysexits.h calls EX_SOFTWARE for what only a fault of the program explains.
INTERRUPTED, CLOSED_PIPE, BROKEN = 130, 141, 70


@dataclass(frozen=True)
class Row:
    """Where a command lives, its line in `--help`, and the extra it needs, if any."""

    module: str
    help: str
    extra: str | None = None


COMMANDS = {
    "infer": Row("edge_mri.commands.infer", "Classify images, folders, volumes and URLs."),
    "info": Row(
        "edge_mri.commands.info", "Show a model's labels, thresholds, licence and training."
    ),
    "check": Row(
        "edge_mri.commands.check", "Test the installation: compare answers with stored ones."
    ),
    "serve": Row("edge_mri.commands.serve", "Classify over HTTP and in a browser.", "serve"),
    "node": Row(
        "edge_mri.commands.node",
        "Receive DICOM from a scanner, classify it, send results back.",
        "node",
    ),
    "sign": Row("edge_mri.commands.sign", "Sign a model for devices that require it.", "sign"),
    "phantom": Row("edge_mri.commands.phantom", "Draw labelled head phantoms to test with."),
    "audit": Row("edge_mri_train.commands.audit", "Find leaks and faults in image sets.", "data"),
    "split": Row("edge_mri_train.commands.split", "Split image sets without leaks.", "data"),
    "train": Row("edge_mri_train.commands.train", "Train a classifier.", "train"),
    "evaluate": Row("edge_mri_train.commands.evaluate", "Evaluate a model.", "data"),
    "export": Row("edge_mri_export.commands.export", "Export a checkpoint as ONNX.", "export"),
    "benchmark": Row(
        "edge_mri_bench.commands.benchmark",
        "Measure a model's speed here against PyTorch and other tools.",
        "bench",
    ),
    "verify": Row(
        "edge_mri_export.commands.verify",
        "Check a model file: hash, signature, graph and answers.",
        "export",
    ),
}

# The modules that each extra of pyproject.toml brings, its own first.
_DATA = ("sklearn", "faiss", "jinja2", "matplotlib", "PIL", "scipy")
_TRAIN = ("torch", "torchvision", *_DATA)
_EXPORT = ("onnx", "onnxscript", *_TRAIN)
_DICOM = ("pydicom", "jpeg_ls", "pylibjpeg", "openjpeg")
_BENCH = ("onnx", "packaging", *_DATA)
EXTRAS = {
    "data": _DATA,
    "train": _TRAIN,
    "export": _EXPORT,
    "bench": _BENCH,
    "node": ("pynetdicom", "highdicom", *_DICOM),
    "dicom": _DICOM,
    "cloud": ("fsspec", "s3fs", "aiobotocore", "botocore", "aiohttp", "pyarrow"),
    "ray": ("ray", "pyarrow"),
    "serve": ("starlette", "uvicorn", "python_multipart", "prometheus_client", "anyio", "h11"),
    "sign": ("cryptography",),
    "timm": ("timm", "safetensors"),
}


class _Failure(click.ClickException):
    def __init__(self, error: EdgeMriError) -> None:
        super().__init__(printable(str(error)))
        self.exit_code = error.exit_code  # type: ignore[misc]  # click calls it a class variable


class _TableGroup(click.Group):
    _interrupts = Interrupts()

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        ctx.invoked_subcommand = cmd_name  # click says so too, when it has been imported
        with redirect_stdout(StringIO()):  # OpenCV would say there what it lacks
            command: click.Command = import_module(COMMANDS[cmd_name].module).command
        self._interrupts.heed()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.help) for name, row in COMMANDS.items()])

    def main(self, *arguments: Any, **options: Any) -> Any:
        with standard_streams(), Interrupts() as self._interrupts:
            try:
                return super().main(*arguments, **options)
            except EdgeMriError as error:  # what click itself prints finds no room
                _Failure(error).show()
                raise SystemExit(error.exit_code) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            self._end_interrupted(ctx)
        except BrokenPipeError:  # the reader has seen enough
            let_go(sys.stdout)
            ctx.exit(CLOSED_PIPE)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except EdgeMriError as error:
            raise _Failure(error) from error
        except Exception as error:
            if self._interrupts.came:  # a package made of it what it liked
                self._end_interrupted(ctx)
            cause = _missing(ctx.invoked_subcommand or "", error)
            if cause is not None:
                raise _Failure(cause) from error
            import traceback

            traceback.print_exc()
            click.echo("This is a fault of edge-mri itself: please report it.", err=True)
            ctx.exit(BROKEN)

    def _end_interrupted(self, ctx: click.Context) -> NoReturn:
        click.echo("Interrupted.", err=True)
        ctx.exit(INTERRUPTED)


def _missing(command: str, error: Exception) -> EdgeMriError | None:
    """Say which extra brings a missing module, or what else is wrong beside edge-mri, if it is."""
    from edge_mri.process.causes import cause_of, is_found

    name = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    module = name.partition(".")[0]
    if module and (module == name or not is_found(module)):
        row = COMMANDS.get(command)
        for extra in ([row.extra] if row and row.extra else []) + list(EXTRAS):
            if module in EXTRAS[extra]:
                return MissingExtraError(command, extra, module)
    return cause_of(error)


@click.group(
    cls=_TableGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="For research use. Not a diagnostic device.",
)
@click.version_option(__version__, prog_name="edge-mri")
def main() -> None:
    """Train, quantise and run small classifiers of brain MR slices."""
