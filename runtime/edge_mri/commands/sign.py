"""`edge-mri sign`: put a signature into a model file, or make the keys for it."""

import os
from pathlib import Path
from typing import Any

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_mri.commands.options import PATH, path_option
from edge_mri.errors import OptionError, OutputError, SignatureError
from edge_mri.golden.values import rename_golden
from edge_mri.model.contract import Contract
from edge_mri.model.onnx_file import OnnxFile
from edge_mri.model.signature import fingerprint, sign
from edge_mri.storage.atomic import atomic_path
from edge_mri.storage.regular_file import read_regular

_MAX_KEY_BYTES = 2**16


@click.command("sign")
@click.argument("model", required=False, type=PATH)
@path_option("--key", metavar="KEY.pem", help="The private key, Ed25519 in PEM.")
@path_option(
    "--new-key",
    metavar="KEY.pem",
    help="Create a private key, and KEY.pub beside it; sign nothing.",
)
def command(model: Path | None, key: Path | None, new_key: Path | None) -> None:
    """Sign MODEL, in its file, for devices that only run signed models.

    Such devices set --require-signature KEY.pub or EDGE_MRI_REQUIRE_SIGNATURE. The signature
    covers graph, weights and contract. Golden values beside MODEL stay valid.
    """
    if new_key is not None:
        if model is not None or key is not None:
            raise OptionError("--new-key signs nothing: it does not go with MODEL and --key")
        click.echo(_make_keys(new_key))
        return
    if model is None or key is None:
        raise OptionError("expected MODEL and --key KEY.pem; --new-key KEY.pem makes a key")
    file = OnnxFile.read(model)
    contract = Contract.from_metadata(file.metadata)
    file.expecting(contract).check()
    data, signer = sign(file, _private_key(key))
    with atomic_path(model) as temporary:
        temporary.write_bytes(data)
    rename_golden(model, file.sha256, OnnxFile(model, data).sha256)
    click.echo(f"{model} is signed with {signer}")


def _private_key(path: Path) -> Any:
    expected = "expected an Ed25519 private key in PEM, as `edge-mri sign --new-key` writes it"
    try:
        text = read_regular(path, _MAX_KEY_BYTES)
    except OSError as error:
        raise SignatureError(f"cannot read the key {path}: {error.strerror or error}") from error
    try:
        key = serialization.load_pem_private_key(text, None)
    except TypeError:  # it is encrypted
        phrase = click.prompt(f"Passphrase of {path}", hide_input=True, err=True)
        try:
            key = serialization.load_pem_private_key(text, phrase.encode())
        except ValueError as error:
            raise SignatureError(f"that is not the passphrase of {path}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{path} is no private key; {expected}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError(f"{path} is a private key of another kind; {expected}")
    return key


def _make_keys(path: Path) -> str:
    """Write a new private key that only this user may read, and the public one beside it."""
    public_path = path.with_suffix(".pub")
    if public_path == path:
        raise OptionError(f"{path} is where the public key goes; name the private one KEY.pem")
    key = Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    for target, text, mode in ((path, private, 0o600), (public_path, public, 0o644)):
        try:
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except OSError as error:  # also where there is one: a key is never written over
            raise OutputError.of(target, error) from error
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
    return (
        f"private key {path}: keep it where models are made\n"
        f"public key  {public_path}: {fingerprint(key.public_key().public_bytes_raw())}"
    )
