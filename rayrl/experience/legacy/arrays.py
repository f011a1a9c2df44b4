"""What stands in for NumPy and PyTorch while a foreign pickle is read: arrays are built from bytes alone.

None of NumPy's or PyTorch's own functions for pickles is called: those trust what they are given.
"""

from __future__ import annotations

import io
import math
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NUMBERS = {"f": "248", "i": "1248", "u": "1248", "b": "1"}
_CODES = {f"{kind}{size}" for kind, sizes in _NUMBERS.items() for size in sizes}
_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}
"""Element type of each class of PyTorch's typed storages."""
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_TORCH_PROTOCOL = 1001


class RefusedError(pickle.UnpicklingError):
    """A pickle does, or holds, what is not taken; the file's name stands before the message, a phrase."""


class Sealed(type):
    """A class whose attributes a pickle cannot set."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise RefusedError(f"sets the attribute {name!r} of a class")


class Maker:
    """A function that a pickle may call, and can do nothing else with."""

    __slots__ = ("_make",)
    _make: Any

    def __init__(self, make: Any) -> None:
        object.__setattr__(self, "_make", make)

    def __call__(self, *arguments: Any) -> Any:
        """Calls the function."""
        return self._make(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise RefusedError(f"sets the attribute {name!r} of a function")


class Marker(metaclass=Sealed):
    """A class of NumPy or PyTorch that a pickle names, and that only its name is needed of."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Dtype(metaclass=Sealed):
    """An element type: numbers and booleans alone."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any, *_: Any) -> None:
        if code not in _CODES:
            raise RefusedError(f"has an array of dtype {str(code)[:40]!r}, where numbers are due")
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        if (
            len(state) < 5
            or state[1] not in ("<", ">", "|", "=")
            or any(part is not None for part in state[2:5])
        ):
            raise RefusedError("has an array of a structured dtype, where numbers are due")
        self.order = state[1]

    @property
    def numpy(self) -> np.dtype[Any]:
        """As NumPy's."""
        made: np.dtype[Any] = np.dtype(self.order.replace("|", "<") + self.code)
        return made


class Array(metaclass=Sealed):
    """An array while it is built; ``values`` once it is.

    NumPy makes an empty one first, and gives it its contents by BUILD.
    """

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        self.values = from_bytes(data, dtype, shape, "F" if fortran else "C")


def reconstruct(*_: Any) -> Array:
    """``numpy.core.multiarray._reconstruct``."""
    return Array()


def from_buffer(data: Any, dtype: Any, shape: Any, order: Any = "C") -> Array:
    """``numpy.core.numeric._frombuffer``, of protocol 5."""
    made = Array()
    made.values = from_bytes(data, dtype, shape, order)
    return made


def scalar(dtype: Any, data: Any) -> Any:
    """``numpy.core.multiarray.scalar``, as a number of Python."""
    return from_bytes(data, dtype, (), "C").item()


def from_bytes(data: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    """An array over bytes, after checking that they are as many as it needs."""
    if not isinstance(dtype, Dtype) or not isinstance(data, bytes | bytearray) or order not in ("C", "F"):
        raise RefusedError("has an array that is not made of plain bytes")
    kind, sizes = dtype.numpy, _sizes(shape)
    if math.prod(sizes) * kind.itemsize != len(data):
        raise RefusedError(f"has an array of shape {sizes} in {len(data)} bytes")
    return np.frombuffer(data, kind).reshape(sizes, order=order)


def tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Array:
    """``torch._utils._rebuild_tensor_v2``, of a contiguous tensor."""
    sizes, strides = _sizes(size), _sizes(stride)
    if not isinstance(storage, np.ndarray) or not isinstance(offset, int) or len(sizes) != len(strides):
        raise RefusedError("has a tensor without a storage")
    due = [math.prod(sizes[i + 1 :]) for i in range(len(sizes))]
    if any(s != d for s, d, n in zip(strides, due, sizes, strict=True) if n > 1):
        raise RefusedError(f"has a tensor of shape {sizes} that is not contiguous")
    if not 0 <= offset <= offset + math.prod(sizes) <= len(storage):
        raise RefusedError(f"has a tensor of shape {sizes} beyond the {len(storage)} values stored")
    made = Array()
    made.values = storage[offset : offset + math.prod(sizes)].reshape(sizes)
    return made


def storage(data: Any) -> NDArray[Any]:
    """``torch.storage._load_from_bytes``: five small pickles, and after them the values.

    Those are a magic number, the format's version, facts of the system, the storage (by a persistent id:
    class, key, device, length) and the list of keys; then the length again as int64, and the values.
    """
    if not isinstance(data, bytes):
        raise RefusedError("has a storage that is not made of bytes")
    file = io.BytesIO(data)
    magic, version, system, found, _ = (_StorageUnpickler(file).load() for _ in range(5))
    little = isinstance(system, dict) and system.get("little_endian") is True
    if (magic, version) != (_TORCH_MAGIC, _TORCH_PROTOCOL) or not little or not isinstance(found, tuple):
        raise RefusedError("has a storage of an unknown format")
    dtype, count = found
    begin = file.tell() + 8
    if data[begin - 8 : begin] != count.to_bytes(8, "little") or len(data) != begin + count * dtype.itemsize:
        raise RefusedError("has a storage of another length than it says")
    return np.frombuffer(data, dtype, count, begin)


class _StorageUnpickler(pickle.Unpickler):
    """Reads the small pickles of a storage, which name nothing but its class."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return Marker(name)
        raise RefusedError(f"names {module}.{name} within a storage")

    def persistent_load(self, pid: Any) -> Any:
        match pid:
            case ("storage", Marker(name=name), str(), str(), int(count), *_) if 0 <= count < 1 << 48:
                return np.dtype(_STORAGES[name]), count
        raise RefusedError("has a storage of an unknown form")


def _sizes(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or not all(type(size) is int and 0 <= size < 1 << 48 for size in shape):
        raise RefusedError("has an array without a shape")
    return shape
