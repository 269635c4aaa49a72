import os
from pathlib import Path

import pytest

from edge_mri_bench.figures import machine as module
from edge_mri_bench.figures.machine import machine, revision, versions
from edge_mri_bench.figures.pinning import pinned


def test_the_machine_is_known_again_and_a_quota_makes_it_another(monkeypatch, tmp_path):
    first, again = machine(), machine()
    assert first["fingerprint"] == again["fingerprint"]
    assert first["cpu"]
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    monkeypatch.setattr(module, "_QUOTA", tmp_path / "cpu.max")
    limited = machine()
    assert limited["quota"] == "50000 100000"
    assert limited["fingerprint"] != first["fingerprint"]


def test_no_record_names_the_host_or_a_person():
    text = str(machine())
    for name in (os.uname().nodename, str(Path.home())):
        assert name not in text


def test_versions_tell_what_is_not_installed(monkeypatch):
    monkeypatch.setattr(module, "_PACKAGES", ("numpy", "no-such-package"))
    found = versions()
    assert found["numpy"]
    assert found["no-such-package"] is None


def test_outside_git_there_is_no_revision(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "__file__", str(tmp_path / "machine.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert revision() is None


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system cannot pin")
def test_pinning_holds_and_is_undone():
    before = os.sched_getaffinity(0)
    with pinned(1) as cores:
        assert os.sched_getaffinity(0) == set(cores)
        assert len(cores) == 1
        with pinned(2) as more:
            assert more is None  # one core cannot be two
    assert os.sched_getaffinity(0) == before
