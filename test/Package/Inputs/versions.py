# ===- versions.py - one version everywhere -------------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""versions.py SOURCE BUILD: the version of CMakeLists.txt is that of the tools,
the packages for CMake, pkg-config and Python, the crate and the change log."""

import re
import subprocess
import sys
from pathlib import Path

source, build = map(Path, sys.argv[1:])


def find(pattern, path):
    found = re.search(pattern, Path(path).read_text(encoding="utf-8"), re.M)
    assert found, f"{path}: no version"
    return found[1]


def printed(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


version = find(r"^  VERSION ([0-9.]+)$", source / "CMakeLists.txt")
others = {
    "tenon --version": printed("tenon", "--version").split()[1],
    "CHANGELOG.md": find(r"^## ([0-9.]+)", source / "CHANGELOG.md"),
    "rust/Cargo.toml": find(r'^version = "(.*)"', source / "rust" / "Cargo.toml"),
    "TenonConfigVersion.cmake": find(
        r'PACKAGE_VERSION "(.*)"', build / "TenonConfigVersion.cmake"
    ),
    "tenon.pc": find(r"^Version: (.*)$", build / "tenon.pc"),
}
package = build / "python" / "tenon" / "_version.py"
if package.exists():
    others["the Python package"] = find(r'"(.*)"', package)
wrong = {name: found for name, found in others.items() if found != version}
assert not wrong, f"not {version}: {wrong}"
print(f"{version}, {len(others)} times")
