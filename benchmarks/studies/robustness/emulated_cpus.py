"""CPUs that this machine emulates with Debian's qemu-user, each with a Python that runs edge-mri.

An x86-64 without VNNI runs this Python and its packages. ARM64 gets Debian's Python and the aarch64
wheels, fetched into a folder; nothing else of the machine is changed. What they are asked is
`portability.py`.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import edge_mri

# Newer ones crash on import under the qemu 7.2 of Debian 12; the real boards run them.
_ARM_ONNXRUNTIME = "onnxruntime==1.23.2"
_ARM_PACKAGES = (
    "python3.11",
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libbz2-1.0",
    "libc6",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libssl3",
    "libstdc++6",
    "zlib1g",
)
_ARM_TAGS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")


class UnavailableError(Exception):
    """An emulator, or what it needs, cannot be had here."""


@dataclass(frozen=True)
class Cpu:
    """A way to run Python.

    Attributes:
        name: For people.
        command: What stands before the interpreter's arguments.
        packages: Folders with the packages it can use.
    """

    name: str
    command: tuple[str, ...]
    packages: tuple[str, ...]


def native() -> Cpu:
    """Return this machine's own CPU."""
    return Cpu("native", (os.path.realpath(sys.executable),), _own_packages())


def haswell() -> Cpu:
    """Return an x86-64 with AVX2, without AVX-512 and VNNI."""
    return Cpu(
        "Haswell (qemu)",
        (_emulator("qemu-x86_64"), "-cpu", "Haswell", os.path.realpath(sys.executable)),
        _own_packages(),
    )


def cortex_a72(cache: Path) -> Cpu:
    """Return the CPU of a Raspberry Pi 4, with a Python of its own below `cache`."""
    emulator = _emulator("qemu-aarch64")
    root, site = cache / "root", cache / "site"
    python = root / "usr" / "bin" / "python3.11"
    if not python.exists():
        _fetch_arm_python(cache, root)
    if not (site / "onnxruntime").is_dir():
        _fetch_arm_wheels(site)
    return Cpu(
        "Cortex-A72 (qemu)",
        (emulator, "-cpu", "cortex-a72", "-L", str(root), str(python)),
        # Its own packages first: where edge_mri is installed, this machine's lie beside it.
        (str(site), str(Path(edge_mri.__file__).parents[1])),
    )


KNOWN: dict[str, Callable[[Path], Cpu]] = {
    "haswell": lambda cache: haswell(),
    "cortex-a72": cortex_a72,
}


def _own_packages() -> tuple[str, ...]:
    return tuple(entry for entry in sys.path if entry and Path(entry).is_dir())


def _emulator(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise UnavailableError(f"{name} is not installed; on Debian: apt-get install qemu-user")
    return found


def _fetch_arm_python(cache: Path, root: Path) -> None:
    """Unpack Debian's arm64 Python; apt works in folders of its own and changes nothing else."""
    state = cache / "apt"
    for part in ("lists/partial", "cache/archives/partial", "packages"):
        (state / part).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    options = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "",
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "Dir::State::lists": state / "lists",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    _run([*apt, "update"], state)
    _run([*apt, "download", *_ARM_PACKAGES], state / "packages")
    for package in (state / "packages").glob("*.deb"):
        _run(["dpkg-deb", "-x", str(package), str(root)], state)


def _fetch_arm_wheels(site: Path) -> None:
    tags = [word for tag in _ARM_TAGS for word in ("--platform", f"{tag}_aarch64")]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:", *tags]
    wanted = [_ARM_ONNXRUNTIME, "numpy", "opencv-python-headless", "click"]
    _run([*pip, "--python-version", "3.11", "--target", str(site), *wanted], site.parent)


def _run(command: list[str], folder: Path) -> None:
    try:
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UnavailableError(f"{command[0]} cannot be run: {error.strerror}") from error
    if ended.returncode:
        last = "\n".join(ended.stderr.splitlines()[-3:])
        raise UnavailableError(f"{' '.join(command[:2])} ended with {ended.returncode}: {last}")
