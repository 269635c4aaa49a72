"""The script for a person with a GPU: here on the CPU, and with what a GPU would miss."""

import json

import numpy as np
import pytest
import torch

import check_cuda
import cuda_items
from cuda_items import Check, Missed, NotRun

FIGURES = {"n": 3}


@pytest.fixture
def items(monkeypatch):
    """Put other items in the place of the real ones."""

    def put(**given) -> None:
        monkeypatch.setattr(check_cuda, "ITEMS", given)

    return put


def raised(error: Exception):
    """An item that ends so."""

    def item(check: Check) -> dict:
        raise error

    return item, False


def passed(check: Check) -> dict:
    """An item that passes."""
    return FIGURES


def document(tmp_path, *options: str) -> tuple[int, dict]:
    file = tmp_path / "found.json"
    code = check_cuda.main(["--json", str(file), *options])
    return code, json.loads(file.read_text())


@pytest.mark.parametrize(
    ("given", "code", "counts"),
    [
        ({"one": (passed, False)}, 0, {"pass": 1}),
        ({"one": (passed, False), "two": raised(NotRun("no"))}, 3, {"pass": 1, "not run": 1}),
        ({"one": raised(NotRun("no")), "two": raised(Missed("so far"))}, 1, None),
        ({"one": raised(RuntimeError("CUDA error: no kernel image"))}, 1, {"miss": 1}),
    ],
)
def test_the_exit_code_says_what_missed_and_what_was_not_run(items, tmp_path, given, code, counts):
    items(**given)
    found, values = document(tmp_path, "--device", "cpu")
    assert found == code
    assert counts is None or values["counts"] == counts
    assert [row["item"] for row in values["items"]] == list(given)
    last = values["items"][-1]
    assert last["reason"] or last["figures"] == FIGURES


def test_without_a_gpu_every_item_for_one_says_why_it_was_not_run(items, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    real = cuda_items.ITEMS
    items(**{name: (do, on_gpu) for name, (do, on_gpu) in real.items() if on_gpu})
    code, values = document(tmp_path)
    assert code == 3
    assert values["gpus"] == [] or torch.cuda.device_count()
    assert {row["reason"] for row in values["items"]} == {"PyTorch sees no GPU"}
    assert str(tmp_path) not in json.dumps(values)  # what is sent names no folder of a machine


def test_a_gpu_without_the_onnxruntime_for_it_is_told_what_to_install(monkeypatch, tmp_path):
    check = Check("cuda", tmp_path, None, 60)
    with pytest.raises(NotRun, match="install onnxruntime-gpu in its place"):
        check.open("int8", "cuda")
    with pytest.raises(NotRun, match="there is no fp16 file: the item `files` says why"):
        check.open("fp16", "cpu")


def test_what_has_no_time_left_is_not_run(items, tmp_path):
    items(one=(passed, False))
    code, values = document(tmp_path, "--device", "cpu", "--seconds", "0")
    assert code == 3
    assert values["items"][0]["reason"] == "the time was over"


def test_answers_that_change_are_a_miss(monkeypatch, tmp_path):
    check = Check("cpu", tmp_path, None, 60)
    item = cuda_items.parity("int8")
    assert item(check)["agreement"] == 1.0
    opened = []
    real = Check.open

    def other(self, precision, device):
        classifier = real(self, precision, device)
        opened.append(classifier)
        if len(opened) == 1:  # the device's
            run = classifier.graph.run
            classifier.graph.run = lambda names, batch: [
                np.roll(o, 3, 1) for o in run(names, batch)
            ]
        return classifier

    monkeypatch.setattr(Check, "open", other)
    with pytest.raises(Missed, match="the answer changes on") as caught:
        item(check)
    assert caught.value.figures["agreement"] < 1


def test_on_the_cpu_it_does_all_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(cuda_items, "BATCHES", (1, 4, 16))
    code, values = document(tmp_path, "--device", "cpu", "--seconds", "900")
    verdicts = {row["item"]: (row["verdict"], row["reason"]) for row in values["items"]}
    assert verdicts == dict.fromkeys(cuda_items.ITEMS, ("pass", "")), values
    assert code == 0
    figures = {row["item"]: row["figures"] for row in values["items"]}
    assert figures["provider"]["provider"] == "CPUExecutionProvider"
    assert list(figures["batches"]["images_per_s"]) == ["1", "4", "16"]
    assert figures["torchrun"]["processes"] == 2
