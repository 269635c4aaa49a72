"""A hash over tensors and plain values, by which a checkpoint knows that it is whole.

What a zip's checksums guard is the bytes as they were stored; this guards what they mean, and it
travels with the values. It proves no origin: who can write the file can write its hash.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import torch

_MOST_PARTS = 1_000_000
_DEEPEST = 100
_BY_THEIR_NAMES = (bool, int, float, complex, bytes, torch.dtype, torch.device)


class UnfitValuesError(ValueError):
    """Values that no checkpoint holds: of another kind, too many, too deep, or larger than told."""


def digest(values: Any) -> str:
    """Return the SHA-256, hexadecimal, of nested dictionaries and lists of tensors and values.

    Names, their order, dtypes, shapes and bytes count; where a tensor lies in memory does not.

    Raises:
        UnfitValuesError: See `require_plain`.
    """
    state = hashlib.sha256()
    for part in _parts(values, 0):
        if isinstance(part, torch.Tensor):
            state.update(f"{part.dtype} {tuple(part.shape)} ".encode())
            state.update(part.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            state.update(part)
    return state.hexdigest()


def require_plain(values: Any, most_bytes: int) -> None:
    """Refuse what would take more memory than the file it was read from.

    Args:
        values: What a file held.
        most_bytes: Size of that file.

    Raises:
        UnfitValuesError: There are more than a million values or they lie more than 100 deep, one
            is no tensor, text, number or name of torch's, or a tensor is larger than the file.
    """
    for count, part in enumerate(_parts(values, 0)):
        if count > 2 * _MOST_PARTS:
            raise UnfitValuesError(f"it holds more than {_MOST_PARTS:,} values")
        if isinstance(part, torch.Tensor):
            _require_own_bytes(part, most_bytes)


def _require_own_bytes(tensor: torch.Tensor, most_bytes: int) -> None:
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise UnfitValuesError(f"it holds a tensor of another kind ({tensor.layout})")
    own = tensor.untyped_storage().nbytes()
    if tensor.numel() * tensor.element_size() > own or own > most_bytes:
        raise UnfitValuesError(f"it holds a tensor of {tuple(tensor.shape)} in fewer bytes")


def _parts(values: Any, depth: int) -> Iterator[bytes | torch.Tensor]:
    """Yield what is hashed: each value with its kind and length before it."""
    if depth > _DEEPEST:
        raise UnfitValuesError(f"its values lie more than {_DEEPEST} deep")
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, dict):
        yield b"dict %d " % len(values)
        for key, value in values.items():
            yield from _parts(key, depth + 1)
            yield from _parts(value, depth + 1)
    elif isinstance(values, list | tuple):
        yield b"%s %d " % (b"list" if isinstance(values, list) else b"tuple", len(values))
        for value in values:
            yield from _parts(value, depth + 1)
    elif isinstance(values, str):
        text = values.encode("utf-8", "surrogatepass")
        yield b"text %d " % len(text) + text
    elif values is None or isinstance(values, _BY_THEIR_NAMES):
        yield f"{type(values).__name__} {values!r} ".encode()
    else:
        raise UnfitValuesError(f"it holds a {type(values).__name__}")
