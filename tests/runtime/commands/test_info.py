import json

import pytest

from edge_mri import Contract, __version__
from edge_mri.classifier import SHIPPED_MODEL


def test_json_is_the_contract(command, classifier):
    ended = command("info", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert Contract.from_dict(json.loads(ended.out)) == classifier.contract


def test_words_tell_what_the_model_is_and_takes(command, classifier):
    ended = command("info")
    contract = classifier.contract
    size = contract.preprocess.size
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith(f"model          {contract.name} int8, ")
    assert lines[0].endswith(f" MB ({SHIPPED_MODEL})")
    assert "types          glioma, meningioma, pituitary, no_tumor" in lines
    assert "planes         axial, coronal, sagittal" in lines
    assert f"input          uint8 (N, 1, {size}, {size}); letterbox, halve-bilinear" in lines
    assert f"intended use   {contract.intended_use}" in lines
    assert f"licence        {contract.licence or 'not stated'}" in lines
    for title in ("quantization", "parity", "training"):
        assert any(line.startswith(f"{title:<15}") for line in lines)


def test_words_tell_when_it_answers(command, classifier):
    contract = classifier.contract
    lines = command("info").out.splitlines()
    first = f"answers        P(any tumour) from {contract.tumor_threshold:.3g} on is a tumour"
    start = lines.index(first)
    gate = contract.rejection
    assert f"as foreign: log odds above {gate.max_foreign:.3g}" in lines[start + 1]
    assert f"as unfamiliar: novelty above {gate.max_novelty:.3g}" in lines[start + 2]
    assert f"% of {gate.n:,} validation images answered" in lines[start + 4]


def test_words_keep_tables_and_long_values_apart(command, classifier):
    lines = command("info").out.splitlines()
    trials = classifier.contract.quantization["trials"]
    start = lines.index(f"{'':15}trials:") + 2  # behind the names of its columns
    table = lines[start - 1 : start + len(trials)]
    assert table[0].split()[:2] == list(trials[0])[:2]
    assert len({len(line) for line in table}) == 1
    for line, trial in zip(table[1:], trials, strict=True):
        assert line.startswith(f"{'':15}  {trial['recipe']}  ")
        assert f"  {trial['agreement']:.5g}  " in line
    assert f"{'':15}  epochs: {classifier.contract.training['config']['epochs']}" in lines


def test_a_model_without_planes_says_so(command, classifier, tmp_path, model):
    # The same file with other labels of the same length: twelve types in place of 4 x 3.
    old = json.dumps(classifier.contract.to_dict()["labels"]).encode()
    types = [f"t{number}" for number in range(12)]
    new = json.dumps({"types": types, "planes": []}, separators=(",", ":")).encode()
    assert model.count(old) == 1
    assert len(new) <= len(old)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.replace(old, new.ljust(len(old))))
    ended = command("info", path)
    assert ended.code == 0
    assert f"types          {', '.join(types)}\nplanes         not answered\n" in ended.out


def test_a_licence_that_nobody_stated_is_not_made_up(command, classifier, tmp_path, model):
    stated, none = f'"licence": "{classifier.contract.licence}"'.encode(), b'"licence": ""'
    assert stated in model  # once, or also as what its starting weights came with
    path = tmp_path / "model.onnx"
    path.write_bytes(model.replace(stated, none.ljust(len(stated))))
    assert "licence        not stated\n" in command("info", path).out


def test_the_version_that_wrote_the_model_is_told(command, classifier):
    assert f"written by     edge-mri {classifier.contract.toolkit_version}" in command("info").out
    assert classifier.contract.toolkit_version <= __version__


@pytest.mark.parametrize("name", ["missing.onnx", "a" * 300, "."])
@pytest.mark.parametrize(
    ("arguments", "left_out"),
    [(["info"], "MODEL"), (["check"], "MODEL"), (["infer", ".", "--model"], "--model")],
)
def test_a_missing_model_is_one_line_with_what_to_do(command, tmp_path, name, arguments, left_out):
    path = tmp_path / name
    said = "it is a folder; name an ONNX file, or " if name == "." else ""
    said += f"leave {left_out} out for the packaged model"
    ended = command(*arguments, path)
    assert ended == (2, "", f"Error: model file not found: {path}; {said}\n")
