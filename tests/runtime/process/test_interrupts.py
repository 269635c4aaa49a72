"""Ctrl-C while a command starts, while it works, and a second time."""

import os
import signal
import subprocess
import sys

import click
import pytest

from edge_mri.process.interrupts import Interrupts

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals as POSIX has them")

# A package whose import is interrupted, and that makes of it what onnxruntime's does.
INTERRUPTED_IMPORT = """
import os, signal, sys, time
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)
            except KeyboardInterrupt:
                raise ImportError("initialization failed", name=name)
sys.meta_path.insert(0, Interrupted())
from edge_mri.__main__ import main
sys.argv = ["edge-mri", "info"]
main()
"""

DEAF = """
import ctypes, os, signal, time, click
from edge_mri import cli
import edge_mri.commands.info
@click.command("info")
def deaf():
    for _ in range(2):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            ctypes.CDLL(None).sleep(5)  # native code, which hears nothing
            time.sleep(0)
        except KeyboardInterrupt:
            print("first", flush=True)
edge_mri.commands.info.command = deaf
cli.main(["info"])
"""


# A signal that comes when the command has ended, before its handler is taken away.
LATE = """
import signal, sys
from edge_mri.process.interrupts import Interrupts
leave, left = Interrupts.__exit__, []
def late(self, *told):
    left.append(self)
    if len(left) == 1:
        signal.raise_signal(signal.SIGINT)
    return leave(self, *told)
Interrupts.__exit__ = late
from edge_mri.__main__ import main
sys.argv = ["edge-mri", "info"]
main()
"""


def test_before_anything_has_begun_an_interrupt_is_no_traceback(process):
    code = "import signal; import edge_mri.__main__; signal.raise_signal(signal.SIGINT)"
    assert process("-c", code) == (-signal.SIGINT, "", "")


def test_an_interrupt_behind_the_end_of_a_command_is_no_traceback(process):
    code, out, error = process("-c", LATE)
    assert (code, bool(out), error) == (130, True, "")


@pytest.mark.parametrize("package", ["click", "onnxruntime", "cv2", "edge_mri.commands.info"])
def test_an_interrupt_while_a_command_is_imported_ends_it_by_the_signal(process, package):
    code = INTERRUPTED_IMPORT.replace("sys.argv[1]:", f"{package!r}:", 1)
    assert process("-c", code) == (-signal.SIGINT, "", "")


def test_what_a_package_makes_of_an_interrupt_is_one(command, monkeypatch):
    @click.command("info")
    def misled() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("initialization failed") from None

    monkeypatch.setattr("edge_mri.commands.info.command", misled)
    assert command("info") == (130, "", "Interrupted.\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interrupt_ends_the_process_whatever_the_first_came_to(process):
    assert process("-c", DEAF) == (-signal.SIGINT, "first\n", "")


def test_an_interrupt_that_is_ignored_stays_so(environment):
    ended = subprocess.run(
        [sys.executable, "-c", DEAF.replace("range(2)", "()").replace("time.sleep(5)", "")],
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        check=False,
    )
    assert ended.returncode == 0
    with Interrupts() as inner:
        inner.heed()
        assert signal.getsignal(signal.SIGINT) == inner._take
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
