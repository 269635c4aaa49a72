"""What several test packages share: the real images, where they are, and a folder of phantoms."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_mri.phantom import PhantomConfig, write_phantoms


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of the tests' own, for this process and its children."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real image sets: the folder in EDGE_MRI_DATA, with nickparvar/, artemis/, …"""
    value = os.environ.get("EDGE_MRI_DATA")
    if value is None:
        pytest.skip("needs the real image sets: set EDGE_MRI_DATA to their folder")
    folder = Path(value)
    assert (folder / "nickparvar").is_dir(), f"EDGE_MRI_DATA={value} holds no nickparvar/"
    return folder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 48 phantoms, four a class, 96 px PNG."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, PhantomConfig(count=4, size_px=96, seed=1, format="png"))
    return folder
