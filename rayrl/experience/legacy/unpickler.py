"""Reading a foreign pickle with an allow-list of exact globals, in the process that is made for it."""

from __future__ import annotations

import pickle
import pickletools
from collections import OrderedDict, defaultdict, deque
from pathlib import Path
from typing import Any, BinaryIO

from rayrl.experience.legacy import arrays
from rayrl.experience.legacy.arrays import RefusedError


class NotAllowedError(RefusedError):
    """A pickle names something that is not on the list.

    Args:
        module: where it would be.
        name: its name there.
    """

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name
        super().__init__(f"names {module}.{name}, which is not allowed")


class TrajectoryInfo(metaclass=arrays.Sealed):
    """Stands in for the dataclass of the same name in a pickled replay buffer: its fields alone."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.fields = dict(state) if isinstance(state, dict) else {}


def _encode(text: Any, encoding: Any) -> bytes:
    """Bytes as protocols before 3 write them."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise RefusedError("encodes text")
    return text.encode("latin-1")


def _make_object(kind: Any, *_: Any) -> Any:
    """``copyreg._reconstructor``, of what stands in for a class."""
    if kind is not TrajectoryInfo:
        raise RefusedError("makes an object of a class that is not allowed")
    return TrajectoryInfo()


ALLOWED: dict[str, Any] = {
    "active_rlhf.data.buffers.TrajectoryInfo": TrajectoryInfo,
    "builtins.bytearray": bytearray,
    "builtins.dict": dict,
    "builtins.float": float,
    "builtins.frozenset": frozenset,
    "builtins.int": int,
    "builtins.list": list,
    "builtins.object": arrays.Marker("object"),
    "builtins.set": set,
    "builtins.str": str,
    "builtins.tuple": tuple,
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": defaultdict,
    "collections.deque": deque,
    "_codecs.encode": arrays.Maker(_encode),
    "copyreg._reconstructor": arrays.Maker(_make_object),
    "numpy.ndarray": arrays.Marker("ndarray"),
    "numpy.dtype": arrays.Maker(arrays.Dtype),
    "torch._utils._rebuild_tensor_v2": arrays.Maker(arrays.tensor),
    "torch.storage._load_from_bytes": arrays.Maker(arrays.storage),
    **{
        f"numpy.{core}.{name}": arrays.Maker(make)
        for core in ("core", "_core")
        for name, make in (
            ("multiarray._reconstruct", arrays.reconstruct),
            ("multiarray.scalar", arrays.scalar),
            ("numeric._frombuffer", arrays.from_buffer),
        )
    },
}
"""What a pickle may name, and what it gets: containers, and stand-ins that build arrays from bytes."""


_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""What protocols before 3 call modules."""


class RestrictedUnpickler(pickle.Unpickler):
    """Knows the globals of ``ALLOWED``, by their exact names, and no others; no persistent ids."""

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a global.

        Raises:
            NotAllowedError: it is not on the list.
        """
        full = f"{_PYTHON_2.get(module, module)}.{name}"
        if full not in ALLOWED:
            raise NotAllowedError(module, name)
        return ALLOWED[full]

    def persistent_load(self, pid: Any) -> Any:
        """Refuses: what lies outside of the file is not read."""
        raise RefusedError("refers to something outside of the file (a persistent id)")


def read_pickle(path: Path) -> Any:
    """The object in a pickle, of containers, numbers, texts, ``Array`` and ``TrajectoryInfo``.

    Raises:
        RefusedError: saying what is wrong with the file, in a phrase that its name stands before.
    """
    with path.open("rb") as file:
        head = file.peek(4)[:4]
        if head == b"PK\x03\x04":
            raise RefusedError("is a zip archive, as torch.save writes, and no plain pickle")
        try:
            return RestrictedUnpickler(file).load()
        except NotAllowedError as error:
            file.seek(0)
            raise RefusedError(str(error) + _place(file, error)) from error
        except (RefusedError, MemoryError):
            raise
        except Exception as error:
            # A damaged pickle makes the unpickler raise nearly anything.
            begun = head[:1] == pickle.PROTO
            if begun and (isinstance(error, EOFError) or "truncated" in str(error)):
                raise RefusedError("is cut short") from error
            said = f"{type(error).__name__}: {str(error)[:200]}" if str(error) else type(error).__name__
            raise RefusedError(f"is no pickle, or a damaged one: {said}") from error


def _place(file: BinaryIO, wanted: NotAllowedError) -> str:
    """Opcode and byte of the first place where a global is named, as far as it can be told unrun."""
    strings: list[str] = []
    memo: dict[Any, str] = {}
    try:
        for opcode, argument, position in pickletools.genops(file):
            match opcode.name:
                case "GLOBAL" | "INST":
                    named = tuple(str(argument).split(" ", 1))
                case "STACK_GLOBAL":
                    named = tuple(strings[-2:])
                case "MEMOIZE":
                    memo[len(memo)] = strings[-1] if strings else ""
                    continue
                case "PUT" | "BINPUT" | "LONG_BINPUT":
                    memo[argument] = strings[-1] if strings else ""
                    continue
                case "GET" | "BINGET" | "LONG_BINGET":
                    strings.append(memo.get(argument, ""))
                    continue
                case _:
                    if isinstance(argument, str):
                        strings.append(argument)
                    continue
            if named == (wanted.module, wanted.name):
                return f" (opcode {opcode.name} at byte {position})"
    except ValueError:
        # The file goes wrong after the place where reading it stopped.
        return ""
    return ""
