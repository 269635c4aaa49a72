"""Whose models a device runs: signed by the key that is required, or refused in one line."""

import builtins
import json
import re
import stat
import sys
from pathlib import Path

import pytest

from edge_mri.classifier import SHIPPED_MODEL, Classifier
from edge_mri.errors import MissingExtraError, SignatureError
from edge_mri.golden.values import golden_path
from edge_mri.model.content_hash import HASH_KEY, SIGNATURE_KEY, _without, with_hash, with_signature
from edge_mri.model.onnx_file import OnnxFile
from edge_mri.model.signature import VARIABLE, required_signature

SECOND = SHIPPED_MODEL.read_bytes()
PLAIN = _without(SECOND, (HASH_KEY,)).replace(b'"schema_version": 2', b'"schema_version": 1', 1)


@pytest.fixture
def model(tmp_path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(SECOND)
    return path


class TestWithCryptography:
    """What signing and verifying do."""

    @pytest.fixture(autouse=True)
    def _needs(self):
        pytest.importorskip("cryptography", reason="signs with the package cryptography")

    @pytest.fixture
    def key(self, command, tmp_path) -> Path:
        path = tmp_path / "key.pem"
        assert command("sign", "--new-key", path).code == 0
        return path

    @pytest.fixture
    def signed(self, command, key, model) -> Path:
        ended = command("sign", model, "--key", key)
        assert ended.code == 0, ended.err
        assert re.fullmatch(
            rf"{re.escape(str(model))} is signed with SHA256:[\w+/]{{43}}\n", ended.out
        )
        return model

    @pytest.mark.parametrize("version", ["first", "second"])
    def test_a_signed_model_runs_where_its_key_is_required(
        self, command, key, model, picture, version
    ):
        model.write_bytes(SECOND if version == "second" else PLAIN)
        asked = ("--require-signature", key.with_suffix(".pub"))
        assert command("sign", model, "--key", key).code == 0
        assert command("infer", picture, "--model", model, *asked).code == 0
        assert command("info", model, *asked).code == 0
        assert command("check", model, "--write", *asked).code == 0
        assert command("check", model, *asked).code == 0
        assert Classifier.load(model, require_signature=asked[1]).predict(picture).status

    def test_keys_are_made_for_the_owner_alone_and_never_written_over(self, command, key):
        before = key.read_bytes()
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert key.with_suffix(".pub").read_text().startswith("-----BEGIN PUBLIC KEY-----")
        ended = command("sign", "--new-key", key)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(f"Error: cannot write {key}: File exists")
        assert key.read_bytes() == before

    @pytest.mark.parametrize("spoil", ["unsigned", "another key", "contract", "node", "signature"])
    @pytest.mark.parametrize("by_variable", [False, True])
    def test_any_other_model_is_refused_in_a_line(
        self, command, key, signed, picture, tmp_path, monkeypatch, spoil, by_variable
    ):
        public = key.with_suffix(".pub")
        if spoil == "unsigned":
            signed.write_bytes(SECOND)
            said = f"{signed} is not signed, and a signature by {public} is required; "
        elif spoil == "another key":
            other = tmp_path / "other.pem"
            command("sign", "--new-key", other)
            command("sign", signed, "--key", other)
            said = f"{signed} is signed with another key: SHA256:"
        elif spoil == "signature":
            entry = OnnxFile.read(signed).metadata[SIGNATURE_KEY]
            scheme, holder, _ = entry.split(" ")
            signed.write_bytes(with_signature(SECOND, f"{scheme} {holder} {'A' * 86}=="))
            said = f"{signed} was edited after it was signed: its signature is not valid for what"
        else:
            old, new = {
                "contract": (rb'("tumor_threshold": 0\.)\d', rb"\g<1>9"),
                "node": (rb"laterals\.1\.weight_quantized", b"laterals.0.weight_quantized"),
            }[spoil]
            entry = OnnxFile.read(signed).metadata[SIGNATURE_KEY]
            edited = re.sub(old, new, SECOND, count=1)
            # As somebody would who knows how: with the hash made anew.
            signed.write_bytes(with_signature(with_hash(edited), entry))
            said = f"{signed} was edited after it was signed: its signature is not valid for what"
        asked = () if by_variable else ("--require-signature", public)
        if by_variable:
            monkeypatch.setenv(VARIABLE, str(public))
        for arguments in (("infer", picture, "--model", signed), ("info", signed)):
            ended = command(*arguments, *asked)
            assert (ended.code, ended.out) == (2, "")
            assert ended.err.startswith(f"Error: {said}")
            assert len(ended.err.splitlines()) == 1
        assert command("check", signed, *asked).code == 2

    @pytest.mark.parametrize("by_variable", [False, True])
    def test_verify_refuses_it_too(self, command, key, model, monkeypatch, by_variable):
        pytest.importorskip("onnxscript", reason="verify needs the extra export")
        public = key.with_suffix(".pub")
        if by_variable:
            monkeypatch.setenv(VARIABLE, str(public))
        asked = () if by_variable else ("--require-signature", public)
        ended = command("verify", model, *asked)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(f"Error: {model} is not signed, and a signature by ")
        assert command("sign", model, "--key", key).code == 0
        ended = command("verify", model, *asked)
        assert ended.code == 0
        assert re.search(r"^ok +signature +by SHA256:", ended.out, re.M)

    def test_a_device_that_asks_for_signatures_does_not_run_the_model_that_ships(
        self, command, key, picture, monkeypatch
    ):
        monkeypatch.setenv(VARIABLE, str(key.with_suffix(".pub")))
        ended = command("infer", picture)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(f"Error: {SHIPPED_MODEL} is not signed")

    def test_golden_values_beside_a_model_go_with_it(self, command, key, model):
        assert command("check", model, "--write").code == 0
        before = json.loads(golden_path(model).read_text())
        assert command("sign", model, "--key", key).code == 0
        after = json.loads(golden_path(model).read_text())
        assert before.pop("model_sha256") != after.pop("model_sha256")
        assert before == after
        assert command("check", model).code == 0

    def test_golden_values_of_another_model_stay_as_they_are(self, command, key, model):
        other = (
            golden_path(SHIPPED_MODEL)
            .read_text()
            .replace('"model_sha256": "', '"model_sha256": "0')
        )
        golden_path(model).write_text(other)
        before = golden_path(model).read_bytes()
        assert command("sign", model, "--key", key).code == 0
        assert golden_path(model).read_bytes() == before

    def test_signing_again_takes_the_place_of_the_first(self, command, key, signed):
        once = signed.read_bytes()
        assert command("sign", signed, "--key", key).code == 0
        assert signed.read_bytes() == once

    def test_a_model_that_was_edited_is_not_signed(self, command, key, model):
        edited = SECOND.replace(b"Not a diagnostic", b"But a diagnostic")
        model.write_bytes(edited)
        ended = command("sign", model, "--key", key)
        assert ended.code == 2
        assert ended.err.startswith(f"Error: {model} was edited or damaged after its export: ")
        assert model.read_bytes() == edited

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (None, "cannot read the key {}: No such file or directory"),
            (b"", "{} is no public key; expected an Ed25519 public key in PEM"),
            (b"ssh-ed25519 AAAA", "{} is no public key; expected an Ed25519 public key in PEM"),
            (b"-----BEGIN PUBLIC KEY-----\n", "{} is no public key; expected"),
            (b"\0" * 2**17, "cannot read the key {}: it has 131,072 bytes, the limit is 65,536"),
        ],
    )
    def test_what_is_no_key_is_refused(self, signed, tmp_path, content, said):
        path = tmp_path / "wrong.pub"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SignatureError) as refusal:
            Classifier.load(signed, require_signature=path)
        assert str(refusal.value).startswith(said.format(path))

    def test_the_private_key_and_keys_of_another_kind_are_refused(self, command, signed, key):
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        with pytest.raises(SignatureError, match="is no public key"):
            Classifier.load(signed, require_signature=key)
        assert (
            "is no private key"
            in command("sign", signed, "--key", f"{key.with_suffix('.pub')}").err
        )
        other = ec.generate_private_key(ec.SECP256R1())
        pem = serialization.Encoding.PEM
        public, private = key.with_name("ec.pub"), key.with_name("ec.pem")
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        public.write_bytes(other.public_key().public_bytes(pem, spki))
        private.write_bytes(
            other.private_bytes(
                pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        with pytest.raises(SignatureError, match="is a public key of another kind"):
            Classifier.load(signed, require_signature=public)
        assert "is a private key of another kind" in command("sign", signed, "--key", private).err

    @pytest.mark.parametrize(
        "entry", ["", "ed25519", "ed25519 AAAA AAAA", "rsa x y", "ed25519  ", "\N{SNOWMAN}" * 9]
    )
    def test_a_signature_that_cannot_be_read_is_none(self, key, model, entry):
        model.write_bytes(with_signature(SECOND, entry))
        with pytest.raises(SignatureError, match="holds a signature that cannot be read"):
            Classifier.load(model, require_signature=key.with_suffix(".pub"))

    @pytest.mark.parametrize("options", [(), ("model.onnx",), ("--key", "key.pem")])
    def test_what_is_missing_is_said(self, command, options):
        ended = command("sign", *options)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err == (
            "Error: expected MODEL and --key KEY.pem; --new-key KEY.pem makes a key\n"
        )


def without_cryptography(monkeypatch) -> None:
    original = builtins.__import__

    def importing(name, *arguments, **settings):
        if name.partition(".")[0] == "cryptography":
            raise ModuleNotFoundError("No module named 'cryptography'", name="cryptography")
        return original(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", importing)
    for name in [one for one in sys.modules if one.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "edge_mri.commands.sign", raising=False)


def test_without_the_extra_it_is_said_what_to_type(command, model, picture, monkeypatch):
    without_cryptography(monkeypatch)
    line = "needs cryptography, which is not installed; type: pip install 'edge-mri[sign]' "
    for arguments in (
        ("sign", model, "--key", "key.pem"),
        ("infer", picture, "--require-signature", "key.pub"),
        ("info", "--require-signature", "key.pub"),
    ):
        ended = command(*arguments)
        assert (ended.code, ended.out) == (2, "")
        assert line in ended.err
        assert len(ended.err.splitlines()) == 1
    monkeypatch.setenv(VARIABLE, "key.pub")
    with pytest.raises(MissingExtraError, match="needs cryptography"):
        Classifier.load(model)


def test_an_empty_variable_lets_nothing_run(command, picture, monkeypatch):
    monkeypatch.setenv(VARIABLE, " ")
    ended = command("infer", picture)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"Error: {VARIABLE} is empty; expected the path of a public key, or unset it\n"
    )


def test_what_is_asked_for_goes_before_the_variable():
    assert required_signature("a.pub", {VARIABLE: "b.pub"}) == Path("a.pub")
    assert required_signature(None, {VARIABLE: "b.pub"}) == Path("b.pub")
    assert required_signature(None, {}) is None
