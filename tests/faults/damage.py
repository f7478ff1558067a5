"""Ways to damage a file, each drawn at random: bytes, text, HDF5, sparse matrices, JSON, TOML, CSV, npz and zip files.

A damage changes the file in place and returns what it did, and what must follow: `ANY` documented outcome, a refusal
(`REFUSED`: the file contradicts itself), or the numbers of the undamaged file (`SAME`: its content is what it was).
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

ANY, REFUSED, SAME = "any", "refused", "same"
Done = tuple[str, str]
"""What was done, and what must follow."""
Damage = Callable[[Path, np.random.Generator], Done]


def _one(options: Sequence[Any], rng: np.random.Generator) -> Any:
    return options[int(rng.integers(0, len(options)))]


# --- bytes and text --------------------------------------------------------------------------------------------------


def flip_bytes(path: Path, rng: np.random.Generator) -> Done:
    """Change up to eight bytes, or one bit."""
    data = bytearray(path.read_bytes())
    places = rng.integers(0, max(1, len(data)), rng.integers(1, 9))[: len(data)]
    one_bit = len(places) == 1
    for place in places:
        data[place] ^= 1 << int(rng.integers(0, 8)) if one_bit else int(rng.integers(1, 256))
    path.write_bytes(data)
    return f"{len(places)} {'bit' if one_bit else 'bytes'} changed at {places.tolist()}", ANY


def cut(path: Path, rng: np.random.Generator) -> Done:
    """Cut the end off, or leave nothing."""
    data = path.read_bytes()
    size = 0 if rng.random() < 0.1 else int(rng.integers(0, max(1, len(data))))
    path.write_bytes(data[:size])
    return f"cut to {size} of {len(data)} bytes", ANY


def blank(path: Path, rng: np.random.Generator) -> Done:
    """Fill a stretch with zeros."""
    data = bytearray(path.read_bytes())
    low = int(rng.integers(0, max(1, len(data))))
    high = min(len(data), low + int(rng.integers(1, 4096)))
    data[low:high] = bytes(high - low)
    path.write_bytes(data)
    return f"bytes {low} to {high} are zero", ANY


def other_file(path: Path, rng: np.random.Generator) -> Done:
    """Put a file of another kind in its place."""
    held = io.BytesIO()
    kind = _one(["empty zip", "zip", "npz", "pickle", "gzip's first bytes", "folder", "text", "HDF5", "JSON"], rng)
    path.unlink()
    if kind == "folder":
        path.mkdir()
        return "a folder", ANY
    if kind == "HDF5":
        with h5py.File(path, "w") as file:
            file["X"] = np.arange(6.0).reshape(2, 3)
        return "another HDF5 file", ANY
    if kind in ("empty zip", "zip"):
        with zipfile.ZipFile(held, "w") as parts:
            if kind == "zip":
                parts.writestr("archive/data.pkl", pickle.dumps({"format": "other"}))
    elif kind == "npz":
        np.savez(held, values=np.zeros((2, 3)))
    texts = {
        "gzip's first bytes": b"\x1f\x8b\x08",
        "text": b"a text\n",
        "JSON": b"[1]",
        "pickle": pickle.dumps({"a": 1}),
    }
    path.write_bytes(texts.get(kind, held.getvalue()))
    return kind, ANY


TEXTS = (
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"a":' * 3000,
    b"nan",
    b"-1",
    b"1e400",
    b"9" * 5000,
    b'"',
    b"\n\n",
    b",,,,",
    "é|<script>".encode(),
    b"null",
    b"\x00",
    b"\\ud800",
)


def _text_of(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _put_text(path: Path, text: bytes) -> None:
    path.write_bytes(gzip.compress(text, 1) if path.suffix == ".gz" else text)


def change_text(path: Path, rng: np.random.Generator) -> Done:
    """Replace, double or leave out a stretch of text."""
    data = _text_of(path)
    low = int(rng.integers(0, max(1, len(data))))
    high = min(len(data), low + int(rng.integers(0, 40)))
    new = _one([*TEXTS, data[low:high] * 2, b""], rng)
    _put_text(path, data[:low] + new + data[high:])
    return f"bytes {low} to {high} became {new[:20]!r}", ANY


def recode(path: Path, rng: np.random.Generator) -> Done:
    """Write a text in another encoding, with Latin-1 letters in it."""
    text = path.read_text(encoding="utf-8", errors="replace")
    at = int(rng.integers(0, len(text) + 1))
    code = _one(["latin-1", "utf-16", "utf-8-sig"], rng)
    path.write_bytes((text[:at] + "é" + text[at:]).encode(code, errors="replace"))
    return f"written as {code}", ANY


def change_csv(path: Path, rng: np.random.Generator) -> Done:
    """Change a field, a column's name, or the number of fields of a row, in a table with commas, tabs or blanks."""
    lines = _text_of(path).decode().splitlines()
    separator = next((one for one in ",\t " if one in lines[-1]), ",")
    rows = [line.split(separator) for line in lines]
    row = 0 if rng.random() < 0.3 else int(rng.integers(0, len(rows)))
    column = int(rng.integers(0, len(rows[row])))
    how = _one(["field", "drop", "double", "row twice", "no rows", "column left out"], rng)
    if how == "field":
        rows[row][column] = _one(["", "nan", "-inf", "1e999", "odd", "True", "-1", "0", "é" * 10, "9" * 400, '"'], rng)
    elif how == "drop":
        del rows[row][column]
    elif how == "double":
        rows[row].insert(column, rows[row][column])
    elif how == "row twice":
        rows.append(rows[row])
    elif how == "no rows":
        rows = rows[:1]
    else:
        rows = [[field for n, field in enumerate(fields) if n != column] for fields in rows]
    _put_text(path, ("\n".join(map(separator.join, rows)) + "\n").encode())
    return f"{how}, row {row}, column {column}", ANY


ODD_VALUES = (None, -1, 1e308, float("nan"), True, "", "odd", [], {}, [None], {"odd": 1}, [[1]], 2**70, "\ud800")


def change_json(path: Path, rng: np.random.Generator) -> Done:
    """Put another value, or one of another shape, anywhere into a JSON file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    places: list[tuple[Any, Any]] = [(None, None)]
    waiting = [content]
    while waiting:
        item = waiting.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
        places += [(item, key) for key in keys]
        waiting += [item[key] for key in keys]
    holder, key = _one(places, rng)
    odd = _one(ODD_VALUES, rng)
    if holder is None:
        content = odd
    elif rng.random() < 0.25:
        del holder[key]
        odd = "left out"
    else:
        holder[key] = odd
    path.write_text(json.dumps(content), encoding="utf-8")
    return f"{key} is {odd!r}", ANY


def change_toml(path: Path, rng: np.random.Generator) -> Done:
    """Change a line of a TOML file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    at = int(rng.integers(0, len(lines)))
    odd = _one(
        ["x = [" + "[" * 5000, "name = 3", "a.b.c = 1", "[files]", "files = 1", "sets = []", "=", 'a = "\\ud800"'], rng
    )
    lines[at] = odd
    path.write_text("\n".join(lines), encoding="utf-8")
    return f"line {at} is {odd[:20]!r}", ANY


# --- HDF5 ------------------------------------------------------------------------------------------------------------


def change_hdf5(path: Path, rng: np.random.Generator) -> Done:
    """Change or leave out one dataset, group or attribute of an HDF5 file."""
    with h5py.File(path, "r+") as file:
        places: list[str] = []
        file.visit(places.append)
        place = _one(places, rng)
        item = file[place]
        attributes = list(item.attrs)
        if attributes and rng.random() < 0.3:
            name = _one(attributes, rng)
            del item.attrs[name]
            if rng.random() < 0.6:
                item.attrs[name] = _one(["odd", -1, np.array([3, -5]), "9.9.9", np.nan, np.array([2**40, 2**40])], rng)
            return f"attribute {name} of {place}", ANY
        if rng.random() < 0.15:
            del file[place]
            return f"{place} left out", ANY
        if rng.random() < 0.15:
            del file[place]
            file[place] = h5py.SoftLink(_one(["/", "/odd", f"/{place}"], rng))
            return f"{place} is a link", ANY
        if isinstance(item, h5py.Group):
            del file[place]
            file[place] = np.arange(3)
            return f"{place} is a dataset", ANY
        return f"{place}: {_change_dataset(file, place, item, rng)}", ANY


def attribute_that_never_ends(path: Path, rng: np.random.Generator) -> Done:
    """Blank the heap of an attribute's text: HDF5 2.0 looks for it for ever."""
    data = bytearray(path.read_bytes())
    heap = data.find(b"GCOL")
    data[heap + 2571 : heap + 2880] = bytes(309)
    path.write_bytes(data)
    return f"a part of the heap at byte {heap} is zero", ANY


def _change_dataset(file: h5py.File, place: str, item: h5py.Dataset, rng: np.random.Generator) -> str:
    values, attributes = item[()], dict(item.attrs)
    how = _one(["shorter", "longer", "turned", "value", "value", "text", "group", "huge"], rng)
    del file[place]
    if how == "group":
        file.create_group(place)
        return how
    if how == "huge":  # declared, and not one value of it written
        shape = (10**9, 10**3) if np.ndim(values) == 2 else (10**11,)
        dtype = item.dtype if item.dtype.kind in "iuf" else "S8"
        new = file.create_dataset(place, shape, dtype=dtype, chunks=(1000,) * len(shape))
    elif how == "value" and np.size(values) and np.issubdtype(np.asarray(values).dtype, np.number):
        odd = _one([np.nan, np.inf, -1, -(10**9), 2**31, 2**62, 1e30, 0.5], rng)
        changed = np.asarray(values, dtype=np.float64 if isinstance(odd, float) else np.int64).copy()
        changed.reshape(-1)[int(rng.integers(0, changed.size))] = odd
        how = f"a value is {odd}"
        if rng.random() < 0.7:
            with np.errstate(all="ignore"):
                changed = changed.astype(np.asarray(values).dtype)
        new = file.create_dataset(place, data=changed)
    elif np.ndim(values) and how != "text":
        shorter = values[: int(rng.integers(0, len(values) + 1))]
        longer = np.concatenate([values, values[: max(1, len(values) // 3)]])
        new = file.create_dataset(place, data={"shorter": shorter, "longer": longer}.get(how, values.T[None]))
    else:
        new, how = file.create_dataset(place, data=b"odd"), "one text"
    for name, value in attributes.items():
        with suppress(TypeError, ValueError, OSError):
            new.attrs[name] = value
    return how


def change_sparse(path: Path, rng: np.random.Generator, kind: str = "") -> Done:
    """Break the structure of a sparse X, or write the same matrix in another way; a `kind` of `STRUCTURE`, or any."""
    with h5py.File(path, "r+") as file:
        x = file["X"]
        parts = {name: x[name][:] for name in ("data", "indices", "indptr")}
        shape, layout = tuple(x.attrs["shape"]), str(x.attrs["encoding-type"])
        n_minor = int(shape[1] if layout == "csr_matrix" else shape[0])
        kind = kind or _one(list(STRUCTURE), rng)
        if kind == "wrong shape":
            x.attrs["shape"] = np.array(
                _one([(shape[0] + 1, shape[1]), (shape[0], 1), (2**40, shape[1]), (-1, 3)], rng)
            )
            return kind, REFUSED
        follows = STRUCTURE[kind](parts, n_minor, rng)
        for name, values in parts.items():
            del x[name]
            x.create_dataset(name, data=values)
    return kind, follows


Parts = dict[str, np.ndarray]


def _row(parts: Parts, rng: np.random.Generator) -> slice:
    """Choose a row with at least two entries."""
    rows = np.flatnonzero(np.diff(parts["indptr"]) > 1)
    row = int(_one(rows, rng))
    return slice(int(parts["indptr"][row]), int(parts["indptr"][row + 1]))


def _index_too_large(parts: Parts, n_minor: int, rng: np.random.Generator) -> str:
    parts["indices"][int(rng.integers(0, len(parts["indices"])))] = n_minor + _one([0, 1, 10**6], rng)
    return REFUSED


def _index_negative(parts: Parts, n_minor: int, rng: np.random.Generator) -> str:
    parts["indices"][int(rng.integers(0, len(parts["indices"])))] = _one([-1, -n_minor, -(2**31)], rng)
    return REFUSED


def _ends_odd(parts: Parts, n_minor: int, rng: np.random.Generator) -> str:
    ends = parts["indptr"] = parts["indptr"].astype(np.int64)
    inner = int(rng.integers(1, len(ends) - 1))
    ends[inner] = _one([-1, int(ends[-1]) + 1, 2**31, 2**62, -(2**62)], rng)
    return REFUSED


def _ends_short(parts: Parts, n_minor: int, rng: np.random.Generator) -> str:
    parts["indptr"] = parts["indptr"][: int(rng.integers(0, len(parts["indptr"])))]
    return REFUSED


def _ends_turned(parts: Parts, n_minor: int, rng: np.random.Generator) -> str:
    ends = parts["indptr"]
    row = int(_one(np.flatnonzero(np.diff(ends) > 0)[:-1], rng))
    ends[row], ends[row + 1] = ends[row + 1], ends[row]
    return REFUSED


def _starts_late(parts: Parts, n_minor: int, rng: np.random.Generator) -> str:
    parts["indptr"][0] = 1
    return REFUSED


def _ends_fractional(parts: Parts, n_minor: int, rng: np.random.Generator) -> str:
    parts["indptr"] = parts["indptr"] + 0.5
    return REFUSED


def _fewer_values(parts: Parts, n_minor: int, rng: np.random.Generator) -> str:
    name = _one(["data", "indices"], rng)
    parts[name] = parts[name][: int(rng.integers(0, len(parts[name])))]
    return REFUSED


def _unsorted(parts: Parts, n_minor: int, rng: np.random.Generator) -> str:
    row = _row(parts, rng)
    order = rng.permutation(row.stop - row.start)
    for name in ("data", "indices"):
        parts[name][row] = parts[name][row][order]
    return SAME


def _duplicate(parts: Parts, n_minor: int, rng: np.random.Generator) -> str:
    """Write an entry as two that add up to it."""
    at = int(rng.integers(0, len(parts["data"])))
    row = int(np.searchsorted(parts["indptr"], at, side="right")) - 1
    value = parts["data"][at]
    parts["data"] = np.insert(parts["data"], at, 0)
    parts["data"][at : at + 2] = (1, value - 1) if value > 1 else (0, value)
    parts["indices"] = np.insert(parts["indices"], at, parts["indices"][at])
    parts["indptr"][row + 1 :] += 1
    return SAME


def _wide_indices(parts: Parts, n_minor: int, rng: np.random.Generator) -> str:
    for name in ("indices", "indptr"):
        parts[name] = parts[name].astype(_one([np.int64, np.uint32, ">i4"], rng))
    return SAME


STRUCTURE: dict[str, Callable[[Parts, int, np.random.Generator], str]] = {
    "index too large": _index_too_large,
    "index negative": _index_negative,
    "row end out of range": _ends_odd,
    "too few row ends": _ends_short,
    "row ends fall": _ends_turned,
    "first row begins late": _starts_late,
    "row ends are fractions": _ends_fractional,
    "fewer values than row ends": _fewer_values,
    "unsorted": _unsorted,
    "an entry twice": _duplicate,
    "other types of integers": _wide_indices,
    "wrong shape": lambda parts, n_minor, rng: REFUSED,
}


# --- archives --------------------------------------------------------------------------------------------------------


def change_npz(path: Path, rng: np.random.Generator) -> Done:
    """Change, rename or leave out an array, or declare a size that it has not."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    name = _one(list(arrays), rng)
    how = _one(["left out", "shape", "type", "nan", "pickled", "huge", "renamed"], rng)
    value = arrays.pop(name)
    if how == "huge":
        _save(path, arrays)
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)}
        with zipfile.ZipFile(path, "a") as parts, parts.open(f"{name}.npy", "w") as part:
            np.lib.format.write_array_header_1_0(part, header)
        return f"{name}: {how}", ANY
    odd = {
        "shape": value[None] if value.ndim else np.zeros((3, 0)),
        "type": value.astype("S"),
        "nan": np.full(value.shape, np.nan),
        "pickled": np.array([{}], dtype=object),
    }
    arrays |= {f"{name}x": value} if how == "renamed" else {name: odd[how]} if how in odd else {}
    _save(path, arrays)
    return f"{name}: {how}", ANY


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as handle:
        np.savez(handle, **arrays)


def change_npy(path: Path, rng: np.random.Generator) -> Done:
    """Change a value, the type or the shape of a stored array, or write a header that is none or that promises more."""
    values = np.load(path)
    how = _one(["value", "type", "shape", "shorter", "turned", "pickled", "huge", "header", "archive"], rng)
    if how in ("huge", "header"):
        with path.open("wb") as file:
            if how == "huge":
                header = {"descr": values.dtype.str, "fortran_order": False, "shape": (10**6, 10**6)}
                np.lib.format.write_array_header_1_0(file, header)
            else:
                text = _one([b"{'descr': '<f4', (", b"[" * 60_000, b"{'shape': (1,", b"\xff", b""], rng) + b"\n"
                file.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
        return how, ANY
    if how == "value" and values.size:
        values.reshape(-1)[int(rng.integers(0, values.size))] += 1
    new = {
        "type": values.astype(_one([np.float64, np.int8, "S4", ">f4", bool], rng)),
        "shape": values[None],
        "shorter": values[: len(values) // 2],
        "turned": np.asfortranarray(values[::-1]),
        "pickled": np.array([{}], dtype=object),
    }.get(how, values)
    with path.open("wb") as file:
        (np.savez if how == "archive" else np.save)(file, new)
    return how, ANY


def change_zip(path: Path, rng: np.random.Generator) -> Done:
    """Leave out, blow up or exchange a member of a zip file, or write one twice; its checksums are right."""
    with zipfile.ZipFile(path) as parts:
        members = {name: parts.read(name) for name in parts.namelist()}
    name = _one(list(members), rng)
    how = _one(["left out", "zeros", "random", "exchanged", "bomb", "cut"], rng)
    data = members.pop(name)
    new = {
        "zeros": bytes(len(data)),
        "random": rng.bytes(len(data)),
        "exchanged": _one([*members.values(), b""], rng),
        "bomb": bytes(1 << 28),
        "cut": data[: len(data) // 2],
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if how == "bomb" else zipfile.ZIP_STORED) as parts:
        for other, content in (members | ({} if how == "left out" else {name: new[how]})).items():
            parts.writestr(other, content)
    return f"{name}: {how}", ANY


def change_model(path: Path, rng: np.random.Generator) -> Done:
    """Change one value of a file that torch reads: weights that are not finite or of another shape, fields of other kinds."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    holder, key = content, _one(list(content), rng)
    follows = ANY
    while isinstance(holder[key], dict) and holder[key] and rng.random() < 0.85:
        holder, key = holder[key], _one(list(holder[key]), rng)
    value = holder[key]
    if isinstance(value, torch.Tensor):
        how = _one(["nan", "inf", "shape", "type", "left out", "complex"], rng)
        if how in ("nan", "inf"):
            value.view(-1)[int(rng.integers(0, value.numel()))] = float(how)
            follows = REFUSED
        holder[key] = {"shape": value[None], "type": value.to(torch.int64), "complex": value.to(torch.complex64)}.get(
            how, value
        )
    else:
        how = _one(["left out", *ODD_VALUES[:-1]], rng)
        holder[key] = how
        if isinstance(value, str) and value.startswith("{") and rng.random() < 0.8:
            how, holder[key] = _change_nested(value, rng)
    if how == "left out":
        del holder[key]
    torch.save(content, path)
    return f"{key}: {how!r}", follows


def _change_nested(text: str, rng: np.random.Generator) -> tuple[str, str]:
    table = json.loads(text)
    name = _one(list(table), rng)
    table[name] = _one([*ODD_VALUES[:-1], 10**9, [1], ["a", "a"]], rng)
    return f"{name} is {table[name]!r}", json.dumps(table)


def pickle_instead(path: Path, rng: np.random.Generator) -> Done:
    """Write a pickle that runs code where it is loaded; it leaves a folder `ran` beside the file."""

    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.mkdir, (path.parent / "ran",)

    if rng.random() < 0.5:
        torch.save({"format": Runs()}, path)
    else:
        path.write_bytes(pickle.dumps(Runs()))
    return "a pickle that runs code", ANY


def damages(path: Path) -> list[Damage]:
    """List what can be done to a file, by its name; what fits its kind comes several times."""
    general: list[Damage] = [flip_bytes, flip_bytes, cut, blank, other_file]
    text: list[Damage] = [change_text, change_text, recode]
    own: dict[str, list[Damage]] = {
        ".h5ad": [change_hdf5] * 6,
        ".csv": [*text, *[change_csv] * 3],
        ".gz": [change_text, change_text, *[change_csv] * 4],
        ".json": [*text, *[change_json] * 3],
        ".toml": [*text, *[change_toml] * 3],
        ".gaf": text,
        ".gmt": [*text, change_csv],
        ".tsv": [*text, *[change_csv] * 3],
        ".txt": [*text, *[change_csv] * 3],
        ".npy": [change_npy] * 4,
        ".state": [change_model] * 6 + [change_zip] * 3 + [pickle_instead],
        ".npz": [change_npz] * 4 + [change_zip] * 2,
        ".pt": [change_model] * 6 + [change_zip] * 3 + [pickle_instead],
        ".joblib": [pickle_instead],
    }
    found = [*general, *own.get(path.suffix, [])]
    return [*found, *[change_sparse] * 8] if path.suffix == ".h5ad" and _is_sparse(path) else found


def _is_sparse(path: Path) -> bool:
    with h5py.File(path) as file:
        return isinstance(file.get("X"), h5py.Group)
