# ===- overlay.py - does what docs/AddAPass.md says -----------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Builds a tenon-opt with one more graph pass, beside the tree.

    overlay.py SOURCE BUILD Pass.td Pass.cpp OUT

A copy of the room's Passes.td includes the declaration; the pass is compiled as
the build compiles its neighbours (compile_commands.json), together with a main
function that registers it, and linked with the build's libraries.
"""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOM = "dialects/Tenon/Transforms"
NEIGHBOUR = f"{ROOM}/FuseSilu.cpp"
MAIN = """
#include "dialects/Tenon/IR/TenonDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  registry.insert<tenon::TenonDialect, mlir::func::FuncDialect>();
  mlir::registerPass([] { return tenon::create%sPass(); });
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "overlay", registry));
}
"""


def compile_command(build, source):
    """How the build compiles `source`: the words before and after its name."""
    commands = json.loads((build / "compile_commands.json").read_text())
    entry = next(c for c in commands if c["file"].endswith(source))
    words = shlex.split(entry["command"])
    del words[words.index("-o") : words.index("-o") + 2]
    del words[words.index("-c") : words.index("-c") + 2]
    if "ccache" in words[0]:
        del words[0]
    return words, entry["directory"]


def main():
    source, build = Path(sys.argv[1]), Path(sys.argv[2])
    declaration, implementation = sys.argv[3:5]
    out = Path(sys.argv[5]).resolve()
    tblgen = shutil.which("mlir-tblgen")
    words, directory = compile_command(build, NEIGHBOUR)

    room = out.parent / "overlay" / ROOM
    room.mkdir(parents=True, exist_ok=True)
    name = Path(declaration).stem
    shutil.copy(declaration, room)
    td = (source / ROOM / "Passes.td").read_text(encoding="utf-8")
    before, end, after = td.rpartition("#endif")
    (room / "Passes.td").write_text(
        f'{before}include "{ROOM}/{name}.td"\n{end}{after}'
    )
    overlay = ["-I", str(out.parent / "overlay")]
    includes = [word for word in words if word.startswith("-I")]
    if "-isystem" in words:
        includes.append("-I" + words[words.index("-isystem") + 1])
    for file, group in ((name, name), ("Passes", "TenonTransforms")):
        subprocess.run(
            [tblgen, "-gen-pass-decls", f"-name={group}", *overlay, *includes,
             str(room / f"{file}.td"), "-o", str(room / f"{file}.h.inc")],
            check=True, cwd=directory,
        )

    unit = out.with_suffix(".cpp")
    unit.write_text(
        f'#include "{Path(implementation).resolve()}"\n' + MAIN % name
    )
    libraries = [build / "lib" / f"libTenon{name}.a"
                 for name in ("Transforms", "IR", "Support")]
    llvm = Path(tblgen).resolve().parent.parent / "lib"
    subprocess.run(
        [words[0], *overlay, *words[1:], str(unit),
         "-fuse-ld=lld", "-Wl,--gc-sections", *map(str, libraries),
         f"-L{llvm}", f"-Wl,-rpath,{llvm}", "-lMLIR", "-lLLVM",
         "-o", str(out)],
        check=True, cwd=directory,
    )


if __name__ == "__main__":
    main()
