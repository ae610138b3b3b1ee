# ===- _compiler.py - running the compiler --------------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""The compiler is a program, `tenon`: it takes gigabytes and all cores for a
while, which no interpreter should have inside."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Union

PathLike = Union[str, "os.PathLike[str]"]
Number = Union[int, float, bool]


class CompileError(RuntimeError):
    """A model that cannot be compiled; the message is the compiler's."""


def compiler_path() -> str:
    """The compiler that the package carries, or the one on PATH."""
    here = Path(__file__).resolve().parent
    for carried in (here / "bin" / "tenon", here.parents[1] / "bin" / "tenon"):
        if os.access(carried, os.X_OK) and carried.is_file():
            return str(carried)
    import shutil

    if found := shutil.which("tenon"):
        return found
    raise CompileError(
        "the compiler is not there: install Tenon, or put `tenon` on PATH"
    )


def _message(text: str, command: str) -> str:
    """The compiler's message without its own name in front."""
    lines = [line for line in text.splitlines() if line.strip()]
    for at, line in enumerate(lines):
        for kind in ("error: ", "internal error: "):
            if line.startswith(f"tenon {command}: {kind}"):
                first = line.split(kind, 1)[1]
                return "\n".join([first, *lines[at + 1 :]])
    return "\n".join(lines)


def _call(command: str, words: Sequence[str], data: bytes = b"") -> Any:
    # Here, so that a program which only runs models starts sooner.
    import subprocess

    return subprocess.run(
        [compiler_path(), command, *words],
        input=data,
        capture_output=True,
        check=False,
        env={**os.environ, "TENON_PYTHON": sys.executable},
    )


def _value_text(value: Number | Sequence[Number]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    return ",".join(_value_text(one) for one in value)


def compile(
    model: Any,
    output: PathLike,
    *,
    target: str | Sequence[str] | None = None,
    dims: Mapping[str, int | str | tuple[int, int]] | None = None,
    values: Mapping[str, Number | Sequence[Number]] | None = None,
    weights: str | None = None,
    name: str | None = None,
    header: PathLike | None = None,
    options: Sequence[str] = (),
) -> Path:
    """Compiles a model to a .so, .o or .a, and says where it is.

    model:   a path, an onnx.ModelProto, or the bytes of one
    target:  "native", "x86-64-v3", ..., or several of them
    dims:    what a dim is: a number, or a range as (lo, hi) or "lo..hi"
    values:  what an input always is
    weights: "embed", or "file" for a file beside the output
    header:  where to write the model's own C and C++ header
    options: anything else of `tenon compile --help`
    """
    data = b""
    if hasattr(model, "SerializeToString"):
        source, data = "-", model.SerializeToString()
    elif isinstance(model, (bytes, bytearray, memoryview)):
        source, data = "-", bytes(model)
    else:
        source = os.fspath(model)
    words = [source, "-o", os.fspath(output)]
    if target is not None:
        targets = [target] if isinstance(target, str) else list(target)
        words.append("--target=" + ",".join(targets))
    for dim, value in (dims or {}).items():
        if isinstance(value, tuple):
            value = f"{value[0]}..{value[1]}"
        words.append(f"--dim={dim}={value}")
    for port, numbers in (values or {}).items():
        words.append(f"--value={port}={_value_text(numbers)}")
    if weights is not None:
        words.append(f"--weights={weights}")
    if name is not None:
        words.append(f"--name={name}")
    if header is not None:
        words.append(f"--header={os.fspath(header)}")
    done = _call("compile", [*words, *options], data)
    if done.returncode != 0:
        text = _message(done.stderr.decode("utf-8", "replace"), "compile")
        raise CompileError(text or f"tenon compile ended with {done.returncode}")
    return Path(output)


def compare(
    model: PathLike,
    artifact: PathLike,
    inputs: Mapping[str, Any] | None = None,
    *,
    dims: Mapping[str, int] | None = None,
    tolerance: float = 1e-4,
    threads: int = 1,
) -> dict[str, Any]:
    """Runs a model in onnxruntime, here, beside its artifact, and gives what
    `tenon compare --json` says: whether they agree, and the values that differ
    most. Inputs that are not given are made up."""
    words = [os.fspath(model), os.fspath(artifact), "--json"]
    words += [f"--tolerance={tolerance}", f"--threads={threads}"]
    words += [f"--dim={dim}={value}" for dim, value in (dims or {}).items()]
    import json
    import tempfile

    with tempfile.TemporaryDirectory(prefix="tenon-") as folder:
        if inputs:
            import numpy

            for number, (port, array) in enumerate(inputs.items()):
                file = os.path.join(folder, f"{number}.npy")
                numpy.save(file, numpy.asarray(array))
                words.append(f"--input={port}={file}")
        done = _call("compare", words)
    # Exit code 1 is both a difference and a mistake; only one prints JSON.
    try:
        return json.loads(done.stdout)
    except ValueError:
        text = done.stderr.decode("utf-8", "replace")
        raise CompileError(_message(text, "compare")) from None
