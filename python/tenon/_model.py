# ===- _model.py - an artifact as an object -------------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Models and their inputs and outputs."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union, overload

from . import _tenon

PathLike = Union[str, "os.PathLike[str]"]

# As onnxruntime calls element types.
_ONNX_NAMES = {
    "f32": "float",
    "f64": "double",
    "f16": "float16",
    "bf16": "bfloat16",
    "bool": "bool",
    "f8e4m3fn": "float8e4m3fn",
    "f8e4m3fnuz": "float8e4m3fnuz",
    "f8e5m2": "float8e5m2",
    "f8e5m2fnuz": "float8e5m2fnuz",
    "f8e8m0": "float8e8m0",
    "f4e2m1": "float4e2m1",
}
# Types that NumPy lacks, as the package ml_dtypes calls them.
_ML_DTYPES = {
    "bf16": "bfloat16",
    "f8e4m3fn": "float8_e4m3fn",
    "f8e4m3fnuz": "float8_e4m3fnuz",
    "f8e5m2": "float8_e5m2",
    "f8e5m2fnuz": "float8_e5m2fnuz",
    "f8e8m0": "float8_e8m0fnu",
}
_PACKED_BITS = {"u4": 4, "i4": 4, "f4e2m1": 4, "u2": 2, "i2": 2}


@dataclass(frozen=True)
class Port:
    """An input or an output."""

    name: str
    shape: list[int | str]
    """Numbers, and the names or formulas of dims that each run chooses."""
    dtype: str
    """Tenon's name: "f32", "i64", "bf16"."""
    is_optional: bool = False
    """An input with a default, which serves where none is given."""
    is_mask: bool = False
    id_bound: int = 0
    """Above 0: ids, which must be in [-id_bound, id_bound)."""
    code: int = 0
    """ONNX's number of the type."""

    @property
    def type(self) -> str:
        """As onnxruntime writes it: "tensor(float)"."""
        name = _ONNX_NAMES.get(self.dtype)
        if name is None:
            kind = "uint" if self.dtype[0] == "u" else "int"
            name = kind + self.dtype[1:]
        return f"tensor({name})"

    def __str__(self) -> str:
        dims = ", ".join(map(str, self.shape))
        return f"{self.name}: {self.dtype} [{dims}]"


def _port(found: dict[str, Any]) -> Port:
    return Port(
        name=found["name"],
        shape=found["dims"],
        dtype=found["dtype"],
        is_optional=found["is_optional"],
        is_mask=found["is_mask"],
        id_bound=found["id_bound"],
        code=found["code"],
    )


def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def _feed(port: Port, array: Any) -> tuple[Any, ...]:
    """What the C part binds: an object with memory, the type to take its
    elements for, 0 for their own, and dims that are not the memory's. Copies
    only what has no such memory: lists, numbers, arrays that are not
    contiguous, packed types."""
    numpy = _numpy()
    if numpy is None:
        return array, 0
    if isinstance(array, (int, float, bool, list, tuple, numpy.generic)):
        array = numpy.asarray(array, _numpy_name(port.dtype))
    if not isinstance(array, numpy.ndarray):
        return array, 0
    if port.dtype in _PACKED_BITS:
        return _pack(numpy, port, array), port.code, array.shape
    if not array.flags.c_contiguous:
        # Unlike ascontiguousarray this keeps a scalar one.
        array = numpy.array(array, order="C")
    if array.dtype.kind == "V" or array.dtype.name in _ML_DTYPES.values():
        expected = _ML_DTYPES.get(port.dtype)
        if array.dtype.name not in (expected, f"void{8 * array.dtype.itemsize}"):
            raise TypeError(
                f"input '{port.name}': its elements are {array.dtype.name}, "
                f"expected {port.dtype}"
            )
        bits = numpy.uint16 if array.dtype.itemsize == 2 else numpy.uint8
        return array.view(bits), port.code
    if port.dtype in _ML_DTYPES and array.dtype.name in ("uint8", "uint16"):
        return array, port.code  # the codes themselves
    return array, 0


def _numpy_name(dtype: str) -> str | None:
    if dtype in ("f16", "f32", "f64"):
        return "float" + dtype[1:]
    if dtype == "bool":
        return "bool"
    if dtype[0] in "ui" and dtype not in _PACKED_BITS:
        return ("uint" if dtype[0] == "u" else "int") + dtype[1:]
    return None


def _pack(numpy: Any, port: Port, array: Any) -> Any:
    """One code a byte to the bits that a packed tensor has."""
    bits = _PACKED_BITS[port.dtype]
    codes = array.reshape(-1).view(numpy.uint8) & ((1 << bits) - 1)
    per_byte = 8 // bits
    padded = numpy.zeros(-(-codes.size // per_byte) * per_byte, numpy.uint8)
    padded[: codes.size] = codes
    shifts = numpy.arange(per_byte, dtype=numpy.uint8) * bits
    return (padded.reshape(-1, per_byte) << shifts).sum(1, dtype=numpy.uint8)


def _unpack(numpy: Any, port: Port, tensor: Any) -> Any:
    bits = _PACKED_BITS[port.dtype]
    shifts = numpy.arange(8 // bits, dtype=numpy.uint8) * bits
    codes = (numpy.asarray(tensor)[:, None] >> shifts) & ((1 << bits) - 1)
    count = 1
    for dim in tensor.shape:
        count *= dim
    codes = codes.reshape(-1)[:count].reshape(tensor.shape)
    if port.dtype in ("i4", "i2"):
        sign = 1 << (bits - 1)
        return (codes.astype(numpy.int8) ^ sign) - numpy.int8(sign)
    return codes


class Model:
    """A compiled model, opened. Any number of threads may run it at once; each
    has a context of its own, made when it first does."""

    def __init__(
        self,
        path: PathLike,
        *,
        threads: int = 0,
        level: str | None = None,
        weights: PathLike | None = None,
        verify: bool = False,
        profile: bool = False,
        spin_us: int = 0,
    ):
        """threads: that a run uses, the calling one included; 0: as many as the
        process may use. level: "x86-64-v2", ...; None: the best that the CPU
        has. weights: their file, where it is not beside the artifact. verify:
        compare the file with its checksum first."""
        self._library = _tenon.Library(path, verify)
        self._options = {
            "threads": threads,
            "level": level,
            "weights": None if weights is None else os.fspath(weights),
            "profile": profile,
            "spin_us": spin_us,
        }
        self._info = self._library.info()
        self._inputs = [_port(found) for found in self._library.inputs()]
        self._outputs = [_port(found) for found in self._library.outputs()]
        self._local = threading.local()
        self.path = os.fspath(path)
        # What cannot run says so now.
        self._context()

    @property
    def name(self) -> str:
        return self._info["name"]

    @property
    def compiler_version(self) -> str:
        return self._info["compiler_version"]

    @property
    def levels(self) -> dict[str, bool]:
        """Instruction sets that it has code for, and whether the CPU has them."""
        return dict(self._info["levels"])

    @property
    def checks(self) -> list[str]:
        """What must hold of the dims: "seq <= 512"."""
        return list(self._info["checks"])

    @property
    def weights_bytes(self) -> int:
        return self._info["weights_bytes"]

    def get_inputs(self) -> list[Port]:
        return list(self._inputs)

    def get_outputs(self) -> list[Port]:
        return list(self._outputs)

    @overload
    def run(
        self, feeds: Mapping[str, Any], /, *, out: Mapping[str, Any] | None = None
    ) -> dict[str, Any]: ...
    @overload
    def run(
        self,
        names: Sequence[str] | None,
        feeds: Mapping[str, Any],
        /,
        *,
        out: Mapping[str, Any] | None = None,
    ) -> list[Any]: ...
    def run(self, *arguments: Any, out: Mapping[str, Any] | None = None) -> Any:
        """run(feeds) gives a dict of all outputs; run(names, feeds) a list of
        those, or of all for None, as onnxruntime does. `out` has arrays that
        outputs are written to instead of new ones."""
        if len(arguments) not in (1, 2):
            raise TypeError("run takes feeds, or names and feeds")
        feeds = arguments[-1]
        names = arguments[0] if len(arguments) == 2 else None
        by_name = {port.name: at for at, port in enumerate(self._outputs)}
        for name in [*(names or ()), *(out or ())]:
            if name not in by_name:
                raise KeyError(
                    f"the model has no output '{name}'; it has {', '.join(by_name)}"
                )
        inputs = [
            (None, 0) if feeds.get(port.name) is None else _feed(port, feeds[port.name])
            for port in self._inputs
        ]
        for port, feed in zip(self._inputs, inputs):
            if feed[0] is None and not port.is_optional:
                raise KeyError(f"input is missing: {port}")
        unknown = set(feeds) - {port.name for port in self._inputs}
        if unknown:
            known = ", ".join(port.name for port in self._inputs)
            raise KeyError(
                f"the model has no input '{sorted(unknown)[0]}'; it has {known}"
            )
        given = out or {}
        outputs = [(given.get(port.name), 0) for port in self._outputs]
        results = self._context().run(inputs, outputs)
        arrays = [
            result if port.name in given else _array(port, result)
            for port, result in zip(self._outputs, results)
        ]
        if len(arguments) == 1:
            return dict(zip(by_name, arrays))
        return arrays if names is None else [arrays[by_name[name]] for name in names]

    def profile(self) -> list[dict[str, Any]]:
        """The kernels of this thread's last run, each with its nodes, time and
        bytes; times need Model(..., profile=True)."""
        return self._context().steps()

    def context_info(self) -> dict[str, Any]:
        """Threads, level and memory of this thread's context."""
        return self._context().info()

    def _context(self) -> Any:
        local = self._local
        if not hasattr(local, "context"):
            local.context = _tenon.Context(self._library, **self._options)
        return local.context

    def __repr__(self) -> str:
        inputs = ", ".join(map(str, self._inputs))
        outputs = ", ".join(map(str, self._outputs))
        return f"<tenon.Model {self.name}: {inputs} -> {outputs}>"

    def _repr_html_(self) -> str:
        import html

        def rows(kind: str, ports: list[Port]) -> str:
            text = ""
            for port in ports:
                notes = []
                if port.id_bound:
                    notes.append(f"ids below {port.id_bound}")
                if port.is_mask:
                    notes.append("mask")
                if port.is_optional:
                    notes.append("optional")
                cells = [kind, port.name, port.dtype]
                cells += [" × ".join(map(str, port.shape)) or "scalar"]
                cells += [", ".join(notes)]
                text += "<tr>" + "".join(
                    f"<td style='text-align:left'>{html.escape(cell)}</td>"
                    for cell in cells
                )
                text += "</tr>"
            return text

        about = f"{self.compiler_version}, {self.weights_bytes} bytes of weights"
        levels = ", ".join(self.levels)
        return (
            f"<div><b>{html.escape(self.name)}</b> "
            f"<span style='opacity:.7'>{html.escape(about)}; {html.escape(levels)}"
            "</span><table><thead><tr><th></th><th>name</th><th>type</th>"
            "<th>dims</th><th></th></tr></thead><tbody>"
            + rows("input", self._inputs)
            + rows("output", self._outputs)
            + "</tbody></table></div>"
        )


def _array(port: Port, tensor: Any) -> Any:
    """A result as a NumPy array over the same memory; where there is no NumPy,
    the tensor itself."""
    numpy = _numpy()
    if numpy is None:
        return tensor
    if port.dtype in _PACKED_BITS:
        return _unpack(numpy, port, tensor)
    array = numpy.asarray(tensor)
    if port.dtype in _ML_DTYPES:
        try:
            import ml_dtypes
        except ImportError:
            return array  # the codes
        return array.view(getattr(ml_dtypes, _ML_DTYPES[port.dtype]))
    return array
