# ===- wheel.py - the wheel, built and tried -------------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""wheel.py --tenon COMPILER FOLDER: builds the wheel into FOLDER and uses it in a
new virtual environment, in which there is nothing else. Needs scikit-build-core
in this Python; downloads nothing."""

import argparse
import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The oldest glibc that the wheel may ask for, and what says so.
GLIBC = (2, 28)
TAG = "manylinux_2_28_x86_64"
TRY = """
import array, tenon
tenon.compile(%r, "scale.so", options=["-O0"])
model = tenon.Model("scale.so", threads=1)
x = memoryview(array.array("f", range(6))).cast("B").cast("f", [2, 3])
print(memoryview(model.run({"x": x})["y"]).tolist(), tenon.__version__)
"""
TEXT = b"""<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 3] x) => (float[n, 3] y) <float[3] s = {1, 2, 3}> { y = Mul (x, s) }"""


def run(*command, **named):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, **named
    )
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}{command[0]} ended with {done.returncode}")
    return done.stdout


def glibc_of(library):
    """The newest version of glibc's symbols in the bytes of a library."""
    versions = re.findall(rb"\bGLIBC_(\d+)\.(\d+)", library)
    return max((tuple(map(int, version)) for version in versions), default=(2, 0))


def retag(wheel):
    """Gives a wheel for this machine the tag of the glibc that it really needs."""
    with zipfile.ZipFile(wheel) as source:
        files = {name: source.read(name) for name in source.namelist()}
    for name, data in files.items():
        if name.endswith(".so") and glibc_of(data) > GLIBC:
            sys.exit(f"{name} needs glibc {glibc_of(data)}, expected {GLIBC} at most")
    info = next(name for name in files if name.endswith(".dist-info/WHEEL"))
    files[info] = re.sub(rb"-linux_x86_64$", b"-" + TAG.encode(), files[info], flags=re.M)
    digest = base64.urlsafe_b64encode(hashlib.sha256(files[info]).digest()).rstrip(b"=")
    record = info.replace("WHEEL", "RECORD")
    line = f"{info},sha256={digest.decode()},{len(files[info])}"
    lines = files[record].decode().splitlines()
    lines = [line if old.startswith(info + ",") else old for old in lines]
    files[record] = ("\n".join(lines) + "\n").encode()
    result = wheel.with_name(wheel.name.replace("linux_x86_64", TAG))
    with zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in files.items():
            target.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    if result != wheel:
        wheel.unlink()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenon", required=True, type=Path)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    folder = args.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-build-isolation", "--no-deps", "--no-index",
        "--wheel-dir", folder, ROOT / "python")
    wheel = retag(next(folder.glob("tenon-*-cp311-abi3-linux_x86_64.whl")))

    environment = folder / "environment"
    run(sys.executable, "-m", "venv", environment)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "--disable-pip-version-check", "install", "--no-index", wheel)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    clean["PATH"] = f"{args.tenon.resolve().parent}:{clean['PATH']}"
    printed = run(python, "-c", TRY % TEXT, cwd=folder, env=clean)
    version = run(python, "-m", "tenon", "--version", env=clean).split()[1]
    assert printed.split("]] ") == ["[[0.0, 2.0, 6.0], [3.0, 8.0, 15.0", f"{version}\n"], printed
    shutil.rmtree(environment)
    print(f"{wheel.name}: {wheel.stat().st_size} bytes, installed and run")


if __name__ == "__main__":
    main()
