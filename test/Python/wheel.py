# ===- wheel.py - the wheel, built and tried -------------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""wheel.py --tenon COMPILER [--carry COMPILER] FOLDER: builds the wheel into
FOLDER and uses it in a new virtual environment, in which there is nothing else;
--carry makes another one, with a compiler inside, which needs a newer glibc. pip
takes the one with the newest glibc that a machine has. Needs scikit-build-core in
this Python; downloads nothing."""

import argparse
import base64
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The oldest glibc that a wheel without a compiler asks for.
GLIBC = (2, 28)
# What of a program may be the machine's: glibc's files, and the kernel's.
SYSTEM = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1",
          "ld-linux-x86-64.so.2", "linux-vdso.so.1"}
COMPILER = "tenon/bin/tenon"
INSIDE = ["llvm-22-dev", "libprotobuf-dev", "zlib1g-dev", "libzstd-dev", "libgcc-12-dev"]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
TRY = """
import array, tenon
from tenon._compiler import compiler_path
print(compiler_path())
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


def read(wheel):
    with zipfile.ZipFile(wheel) as source:
        return {name: source.read(name) for name in source.namelist()}


def record(files, name):
    """Writes a file's line of RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=")
    path = next(name for name in files if name.endswith(".dist-info/RECORD"))
    lines = files[path].decode().splitlines()
    lines = [line for line in lines if not line.startswith(name + ",")]
    lines.insert(0, f"{name},sha256={digest.decode()},{len(files[name])}")
    files[path] = ("\n".join(lines) + "\n").encode()


def carry(files, compiler):
    """Puts a compiler where the package looks for one."""
    needed = {Path(line.split()[0]).name
              for line in run("ldd", compiler).splitlines() if line.strip()}
    if needed - SYSTEM:
        sys.exit(f"{compiler} needs {needed - SYSTEM}, expected glibc alone")
    files[COMPILER] = compiler.read_bytes()
    record(files, COMPILER)
    # Whose code is inside, as their packages say it.
    texts = [ROOT / "LICENSE"]
    texts += [Path("/usr/share/doc", package, "copyright") for package in INSIDE]
    terms = "tenon/bin/LICENSES.txt"
    files[terms] = b"\n".join(text.read_bytes() for text in texts if text.exists())
    record(files, terms)


def write(files, folder, name):
    """Writes a wheel under the tag of the glibc that its files really need."""
    needed = max(glibc_of(data) for data in files.values() if data[:4] == b"\x7fELF")
    tag = "manylinux_%d_%d_x86_64" % max(needed, GLIBC)
    info = next(name for name in files if name.endswith(".dist-info/WHEEL"))
    files[info] = re.sub(rb"-linux_x86_64$", b"-" + tag.encode(), files[info], flags=re.M)
    record(files, info)
    result = folder / name.replace("linux_x86_64", tag)
    with zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as target:
        for file, data in files.items():
            entry = zipfile.ZipInfo(file)
            mode = 0o755 if file == COMPILER else 0o644
            entry.external_attr = (stat.S_IFREG | mode) << 16
            target.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return result


def attempt(wheel, path, carried):
    """Uses a wheel where there is nothing else; `path` is PATH in front."""
    environment = wheel.parent / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    run(*PIP, "--python", python, "install", "--no-index", wheel)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    clean["PATH"] = f"{path}:/usr/bin:/bin"
    printed = run(python, "-c", TRY % TEXT, cwd=wheel.parent, env=clean)
    version = run(python, "-m", "tenon", "--version", env=clean).split()[1]
    inside = str(environment) in printed
    assert inside == carried, printed
    expected = ["[[0.0, 2.0, 6.0], [3.0, 8.0, 15.0", f"{version}\n"]
    assert printed.split("\n", 1)[1].split("]] ") == expected, printed
    shutil.rmtree(environment)
    print(f"{wheel.name}: {wheel.stat().st_size} bytes, installed and run")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenon", required=True, type=Path)
    parser.add_argument("--carry", type=Path, help="a compiler that needs glibc alone")
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    folder = args.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    run(*PIP, "wheel", "--no-build-isolation", "--no-deps", "--no-index",
        "--wheel-dir", folder, ROOT / "python")
    built = next(folder.glob("tenon-*-cp311-abi3-linux_x86_64.whl"))
    files = read(built)
    built.unlink()
    wheel = write(dict(files), folder, built.name)
    if "manylinux_%d_%d_" % GLIBC not in wheel.name:
        sys.exit(f"{wheel.name}: expected glibc {GLIBC} at most")
    attempt(wheel, args.tenon.resolve().parent, False)
    if args.carry:
        carry(files, args.carry.resolve())
        attempt(write(files, folder, built.name), folder, True)


if __name__ == "__main__":
    main()
