"""Options that the commands of several packages declare alike."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from edge_mri.errors import ModelNotFoundError, OptionError
from edge_mri.images.pixels.limits import VARIABLES, Limits
from edge_mri.model.providers import DEVICES
from edge_mri.model.signature import OPTION, VARIABLE
from edge_mri.remote.url import Place, Url, is_url


class _Path(click.Path):
    """A path with a name: an empty one, of a variable that is not set, would be this folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if not os.fspath(value):
            raise OptionError(f"{_name(param)} is empty; expected a path")
        if is_url(os.fsdecode(value)):
            raise OptionError(
                f"{_name(param)} is {Url(os.fsdecode(value))}; expected a path of this machine "
                "(a folder whose name looks like that: behind ./)"
            )
        return Path(os.fsdecode(super().convert(value, param, ctx)))


class _Place(_Path):
    """A path, or a URL: what is behind one is for its user to find out."""

    def convert(  # type: ignore[override]
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Place:
        if is_url(os.fsdecode(value)):
            return Url(os.fsdecode(value))
        return super().convert(value, param, ctx)


class DatasetPlace(NamedTuple):
    """Where a dataset is to be."""

    place: Place


class _Output(_Place):
    """A file, or a dataset: a folder whose name ends with a slash, or a URL."""

    def convert(  # type: ignore[override]
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | DatasetPlace:
        place = super().convert(value, param, ctx)
        if isinstance(place, Url) or os.fsdecode(value).endswith(_SLASHES):
            return DatasetPlace(place)
        return place


class _ModelFile(_Path):
    """A model file that is there, for a parameter that may be left out."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = super().convert(value, param, ctx)
        name = param.opts[0] if isinstance(param, click.Option) else "MODEL"
        leave_out = f"leave {name} out for the packaged model"
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise ModelNotFoundError(path, leave_out) from error
        if stat.S_ISDIR(mode):
            raise ModelNotFoundError(path, f"it is a folder; name an ONNX file, or {leave_out}")
        return path


def _name(param: click.Parameter | None) -> str:
    """Return what the user knows a parameter by."""
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return param.human_readable_name.strip("[]…") if param else "PATH"


_SLASHES = tuple(one for one in (os.sep, os.altsep) if one)
PATH = _Path(path_type=Path)
PLACE = _Place(path_type=Path)
OUTPUT = _Output(path_type=Path)
MODEL = _ModelFile(path_type=Path)

_LIMITS = {
    "max_pixels": "Refuse an image or a volume with more pixels.",
    "max_bytes": "Refuse a file with more bytes.",
    "max_frames": "Stop reading a file after N images (pages, frames, slices). These keep their "
    "records, and an `error` record follows.",
    "max_decoded_bytes": "As --max-frames, after N bytes of images, 1 byte per pixel.",
    "max_seconds": "As --max-frames, after N seconds of CPU time for decoding.",
}

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
        help="auto: CUDA if it works, else the CPU.",
    )


def signature_option(declare: Callable[..., Decorator] = click.option) -> Decorator:
    """Declare `--require-signature`; its variable is read wherever a model is opened."""
    return declare(
        OPTION,
        type=PATH,
        metavar="KEY.pub",
        help="Run only models signed with the private key that belongs to KEY.pub.  "
        f"[env: {VARIABLE}]",
    )


def limit_options(declare: Callable[..., Decorator] = click.option) -> Decorator:
    """Declare an option for each of `Limits`, where they are to be under a heading as above."""

    def declared(function: Callable[..., Any]) -> Callable[..., Any]:
        for name, told in reversed(_LIMITS.items()):
            function = declare(
                f"--{name.replace('_', '-')}",
                type=click.IntRange(1),
                default=getattr(Limits, name),
                metavar="N",
                show_default=True,
                envvar=VARIABLES[name],
                show_envvar=True,
                help=told,
            )(function)
        return function

    return declared


def seed_option(help: str) -> Decorator:
    """Declare `--seed`; `help` says what depends on it."""
    return click.option("--seed", type=int, default=0, metavar="N", show_default=True, help=help)
