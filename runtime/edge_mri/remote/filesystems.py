"""Which file system of fsspec serves a URL, and with which patience.

fsspec, and what it needs for a scheme, is imported where the first URL is opened. Credentials come
from where the packages look for them: the environment, their configuration, the machine's role.
"""

import os
from importlib import import_module
from threading import Lock
from typing import Any

from edge_mri.errors import RemoteError
from edge_mri.remote.url import Url

_MODULES = {"s3": "s3fs", "s3a": "s3fs", "http": "aiohttp", "https": "aiohttp"}  # extra [cloud]
_CONNECT_S, _READ_S = 10, 60
_CONNECTIONS = 64
_opened: dict[Any, Any] = {}
_opening = Lock()


def filesystem(url: Url) -> Any:
    """Return fsspec's file system for a URL; one for all threads.

    Raises:
        RemoteError: What it needs is not installed, or the scheme is none.
    """
    if url.in_bucket and not url.names_bucket:
        raise RemoteError(
            url,
            "expected the name of a bucket behind ://; credentials belong into the "
            "environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    if url.scheme in ("file", "local"):
        path = url.address.partition("://")[2]
        raise RemoteError(url, f"it lies on this machine; name it by its path: {path}")
    for module in ("fsspec", _MODULES.get(url.scheme)):
        if module is not None:
            _require(url, module)
    import fsspec

    try:
        made = fsspec.get_filesystem_class(url.scheme)
        options = made._get_kwargs_from_urls(url.address)
        key = (os.getpid(), url.scheme, tuple(sorted(options.items())))
        with _opening:
            if key not in _opened:
                options |= _options(url, fsspec.config.conf)
                _opened[key] = made(use_listings_cache=False, skip_instance_cache=True, **options)
            return _opened[key]
    except ImportError as error:  # fsspec says what to install
        raise RemoteError(url, f"{url.scheme}:// needs another package: {error}") from error
    except ValueError as error:
        expected = "expected s3://, gs://, http://, https://, or another scheme that fsspec knows"
        raise RemoteError(url, f"{url.scheme}:// is not known; {expected}") from error


def path_in(fs: Any, url: Url) -> str:
    """Return what a file system knows a URL by."""
    return str(fs._strip_protocol(url.address))


def _require(url: Url, module: str) -> None:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        name = (error.name or module).partition(".")[0]
        reason = (
            f"{url.scheme}:// needs {name}, which is not installed; "
            "type: pip install 'edge-mri[cloud]' (in a checkout: pip install '.[cloud]')"
        )
        raise RemoteError(url, reason) from error


def _options(url: Url, configured: dict[str, Any]) -> dict[str, Any]:
    """Return how patient a connection is, where the configuration does not say."""
    if url.scheme in ("s3", "s3a"):
        config = {"connect_timeout": _CONNECT_S, "read_timeout": _READ_S}
        config |= {"max_pool_connections": _CONNECTIONS}
        theirs = configured.get(url.scheme, {}).get("config_kwargs", {})
        return {"config_kwargs": config | theirs}
    if url.is_web:
        from aiohttp import ClientTimeout

        timeout = ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S)
        client = {"timeout": timeout, "trust_env": True}
        return {"client_kwargs": client | configured.get(url.scheme, {}).get("client_kwargs", {})}
    return {}
