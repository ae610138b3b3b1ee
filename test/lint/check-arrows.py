#!/usr/bin/env python3
# ===- check-arrows.py - which room may include which ---------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Checks every #include and td include against the arrows between rooms.

    tools -> Pipelines -> {Import, Codegen, Target, Transforms} -> IR -> Support

Of the rooms in braces only Codegen knows others: it asks Target what the
machine has, and runs after Transforms. Inside Codegen (its public headers are
"Codegen") the rooms are

    Cpu -> Emit -> Lanes -> Math;  Cpu, Program -> Form;  Program -> Lanes

so the schedule reaches emitters through tenon/Codegen/Backend.h alone, and
inside Import they are

    Model -> Node -> Library;  Contrib -> Ops -> Control -> Node The runtime includes nothing from the
compiler; the compiler sees of the runtime only tenon/abi.h and checksum.h, and
the tools its public headers too. Prints one line per forbidden include, and
exits 1 if there is any.
"""

import re
import sys
from pathlib import Path

# Room -> what it may include besides itself.
IR = {"Support", "IR"}
STAGE = IR | {"Abi"}
NODES = STAGE | {"Import", "Import/Library", "Import/Node"}
CODEGEN = STAGE | {"Codegen", "Transforms", "Target"}
ARROWS = {
    "Support": {"Abi"},
    "IR": IR | {"Abi"},
    "Transforms": STAGE,
    "Import": STAGE,
    "Import/Library": STAGE | {"Import"},
    "Import/Node": STAGE | {"Import", "Import/Library"},
    "Import/Control": NODES,
    "Import/Ops": NODES | {"Import/Control"},
    "Import/Contrib": NODES | {"Import/Control", "Import/Ops"},
    "Import/Model": NODES,
    "Codegen": CODEGEN,
    "Codegen/Passes": {"Codegen/Math", "Codegen/Emit", "Codegen/Form", "Codegen/Gpu"},
    "Codegen/Math": CODEGEN,
    "Codegen/Lanes": CODEGEN | {"Codegen/Math"},
    "Codegen/Emit": CODEGEN | {"Codegen/Lanes"},
    "Codegen/Form": CODEGEN,
    "Codegen/Cpu": CODEGEN | {"Codegen/Emit", "Codegen/Lanes", "Codegen/Form"},
    "Codegen/Gpu": CODEGEN | {"Codegen/Emit", "Codegen/Lanes", "Codegen/Form"},
    "Codegen/Program": CODEGEN | {"Codegen/Form", "Codegen/Lanes"},
    "Target": STAGE,
    "Pipelines": STAGE | {"Transforms", "Import", "Codegen", "Target"},
    "Runtime": {"Abi", "Api"},
    "Abi": set(),
    "Api": {"Abi"},
    "Examples": {"Api"},
}
ARROWS["Tools"] = ARROWS["Pipelines"] | {"Pipelines", "Api"}
ARROWS["Unit"] = ARROWS["Tools"] | {"Runtime", "Tools", "Codegen/Math"}

# Longest prefix first: where a file lives, or what an include names.
ROOMS = [
    ("runtime/include/tenon/abi.h", "Abi"),
    ("runtime/include/tenon/checksum.h", "Abi"),
    ("runtime/include/tenon/", "Api"),
    ("runtime/", "Runtime"),
    ("dialects/Tenon/IR/", "IR"),
    ("dialects/Tenon/Transforms/", "Transforms"),
    ("include/tenon/Support/", "Support"),
    ("include/tenon/Import/", "Import"),
    ("include/tenon/Codegen/Passes.td", "Codegen/Passes"),
    ("include/tenon/Codegen/", "Codegen"),
    ("include/tenon/Target/", "Target"),
    ("include/tenon/Pipelines/", "Pipelines"),
    ("lib/Support/", "Support"),
    ("lib/Import/Onnx/Library/", "Import/Library"),
    ("lib/Import/Onnx/Node/", "Import/Node"),
    ("lib/Import/Onnx/Control/", "Import/Control"),
    ("lib/Import/Onnx/Ops/", "Import/Ops"),
    ("lib/Import/Onnx/Contrib/", "Import/Contrib"),
    ("lib/Import/Onnx/Model/", "Import/Model"),
    ("lib/Codegen/Math/", "Codegen/Math"),
    ("lib/Codegen/Lanes/", "Codegen/Lanes"),
    ("lib/Codegen/Emit/", "Codegen/Emit"),
    ("lib/Codegen/Form/", "Codegen/Form"),
    ("lib/Codegen/Cpu/", "Codegen/Cpu"),
    ("lib/Codegen/Gpu/", "Codegen/Gpu"),
    ("lib/Codegen/Program/", "Codegen/Program"),
    ("lib/Target/", "Target"),
    ("lib/Pipelines/", "Pipelines"),
    ("tools/", "Tools"),
    ("examples/", "Examples"),
    ("python/", "Examples"),
    ("test/Unit/", "Unit"),
]
INCLUDE_ROOTS = ["", "include/", "runtime/include/", "runtime/src/", "lib/"]
INCLUDE = re.compile(r'\s*#\s*include\s+["<]([^">]+)[">]')
TD_INCLUDE = re.compile(r'\s*include\s+"([^"]+)"')
SUFFIXES = {".h", ".hpp", ".cpp", ".c", ".td"}
OUTSIDE_RUNTIME = ("llvm/", "mlir/", "lld/", "onnx/", "google/")
STDLIB_OK = {"cstddef", "cstdint", "new", "initializer_list", "type_traits"}


def room_of(path):
    return next((room for prefix, room in ROOMS if path.startswith(prefix)), None)


def target_of(root, source, name):
    """The repository path that an include names; None for outside headers."""
    beside = (source.parent / name).resolve()
    if beside.is_file() and beside.is_relative_to(root):
        return beside.relative_to(root).as_posix()
    for prefix in INCLUDE_ROOTS:
        if (root / prefix / name).is_file():
            return prefix + name
    # A generated header: its folder is what counts.
    if name.startswith("dialects/"):
        return name
    return "include/" + name if name.startswith("tenon/") else None


def check(root, source, path):
    room = room_of(path)
    if room is None:
        return
    lines = source.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        match = (TD_INCLUDE if path.endswith(".td") else INCLUDE).match(line)
        if not match:
            continue
        name = match.group(1)
        where = f"{path}:{number}"
        if room in ("Runtime", "Abi", "Api"):
            if name.startswith(OUTSIDE_RUNTIME):
                yield f"{where}: the runtime must not include {name}"
            elif (
                match.group(0).endswith(">")
                and "." not in name
                and "/" not in name
                and name not in STDLIB_OK
                and not path.endswith(".hpp")
            ):
                yield f"{where}: the runtime must not use libstdc++'s <{name}>"
        target = target_of(root, source, name)
        other = room_of(target) if target else None
        if other and other != room and other not in ARROWS[room]:
            yield f"{where}: {room} must not include {other}'s {name}"


def main():
    root = Path(sys.argv[1]).resolve()
    errors = []
    for folder in ("dialects", "include", "lib", "runtime", "tools", "examples",
                   "python", "test/Unit"):
        for source in sorted((root / folder).rglob("*")):
            if source.suffix in SUFFIXES and source.is_file():
                path = source.relative_to(root).as_posix()
                errors += check(root, source, path)
    for error in errors:
        print("error:", error)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
