"""Files of arrays and plain values, kept without pickles and with a digest that is checked when they are read.

A file is a NumPy archive. Its entry `about` is JSON that says how the content is put together, its entry `sha256` the digest of
all others. Content is made of dictionaries, lists, tuples, dataclasses of a known class, tables, arrays, numbers and text.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from benchmarks.data.store.atomic_files import atomic

DAMAGED = (
    OSError,
    MemoryError,  # of a shape that the file declares
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    EOFError,
    RuntimeError,
    SyntaxError,
    TokenError,  # of the header of an array
    BadZipFile,
    zlib.error,
)
"""What reading a damaged archive raises; `NotImplementedError` and `RecursionError` are a `RuntimeError`."""


class Damaged(ValueError):
    """A file that is not what was written."""


def put(path: Path, content: Any) -> None:
    """Write content whole or not at all; raises `StoreError`."""
    arrays: list[np.ndarray] = []
    about = np.frombuffer(json.dumps(_flatten(content, arrays)).encode(), dtype=np.uint8)
    entries = {f"a{number}": array for number, array in enumerate(arrays)} | {"about": about}
    with atomic(path) as handle:
        np.savez(handle, **entries, sha256=_digest(entries))  # type: ignore[arg-type]


def get(path: Path, *classes: type) -> Any:
    """Read what `put` wrote, with the dataclasses that may be in it.

    Raises `FileNotFoundError` where there is no file, and `Damaged` for one that cannot be read or has another digest.
    """
    entries = read_arrays(path)
    try:
        if entries.pop("sha256").tobytes() != _digest(entries).tobytes():
            raise Damaged(f"{path} is damaged: its digest is another than when it was written.")
        return _restore(json.loads(entries["about"].tobytes()), entries, {c.__name__: c for c in classes})
    except Damaged:
        raise
    except DAMAGED as error:
        raise Damaged(f"{path} is damaged: {type(error).__name__}: {error}.") from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of a NumPy archive, none of which may be a pickle; no digest is compared.

    Raises `FileNotFoundError` where there is no file, and `Damaged` for one that cannot be read or has a part that is no array.
    """
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            found = {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise
    except DAMAGED as error:
        raise Damaged(f"{path} is damaged: {type(error).__name__}: {error}.") from error
    if other := [name for name, value in found.items() if not isinstance(value, np.ndarray)]:  # NumPy gives its bytes
        raise Damaged(f"{path} is damaged: its part '{other[0]}' is no array.")
    return found


def _digest(entries: Mapping[str, np.ndarray]) -> np.ndarray:
    """Hash names, types, shapes and values of arrays, as bytes in an array."""
    hasher = hashlib.sha256()
    for name, array in sorted(entries.items()):
        hasher.update(f"{name} {array.dtype.str} {array.shape};".encode())
        hasher.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)  # without a copy
    return np.frombuffer(hasher.digest(), dtype=np.uint8)


def _flatten(value: Any, arrays: list[np.ndarray]) -> Any:
    """Return JSON in which every array, put into `arrays`, is replaced by its number."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, np.ndarray):
        return {"objects": _flatten(value.ravel().tolist(), arrays), "shape": value.shape}
    if isinstance(value, pd.DataFrame):
        columns = [[str(name), _flatten(value[name].to_numpy(), arrays)] for name in value]
        return {"table": columns, "rows": len(value)}
    if is_dataclass(value):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
        return {"class": type(value).__name__, "fields": _flatten(parts, arrays)}
    if isinstance(value, Mapping):
        return {"map": [[_flatten(key, arrays), _flatten(own, arrays)] for key, own in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_flatten(own, arrays) for own in value]}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"A {type(value).__name__} cannot be kept; expected arrays, tables, plain values and their collections."
    )


def _restore(value: Any, arrays: Mapping[str, np.ndarray], classes: Mapping[str, type]) -> Any:
    """Turn JSON back into the content that it describes."""
    if not isinstance(value, dict):
        return value
    kind = next(iter(value))
    own = value[kind]
    if kind == "array":
        return arrays[f"a{own}"]
    if kind == "objects":
        found = np.empty(len(items := _restore(own, arrays, classes)), dtype=object)
        found[:] = items
        return found.reshape(value["shape"])
    if kind == "table":
        columns = {name: _restore(column, arrays, classes) for name, column in own}
        return pd.DataFrame(columns, index=pd.RangeIndex(value["rows"]))
    if kind == "class":
        return classes[own](**_restore(value["fields"], arrays, classes))
    if kind == "map":
        return {_restore(key, arrays, classes): _restore(one, arrays, classes) for key, one in own}
    return {"list": list, "tuple": tuple}[kind](_restore(one, arrays, classes) for one in own)
