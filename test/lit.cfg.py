# ===- lit.cfg.py - how lit runs the tests --------------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #

import glob
import os
import shutil
import subprocess

import lit.formats

config.name = "Tenon"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test", ".onnxtxt"]
config.excludes = ["Inputs", "Unit", "lit.cfg.py", "run.py"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.tenon_build_dir, "test")

# The tools under test first, then LLVM's: FileCheck, not, split-file.
config.environment["PATH"] = os.pathsep.join(
    [
        os.path.join(config.tenon_build_dir, "bin"),
        config.llvm_tools_dir,
        config.environment.get("PATH", ""),
    ]
)
config.environment["FILECHECK_OPTS"] = "-enable-var-scope"
config.environment["PYTHONPATH"] = config.test_source_root
config.environment["PYTHONDONTWRITEBYTECODE"] = "1"
config.environment["TENON_PYTHON"] = config.python
config.environment["LC_ALL"] = "C.UTF-8"
for name in ("HOME", "TENON_TARGET", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
    if name in os.environ:
        config.environment[name] = os.environ[name]

config.substitutions += [
    ("%python", config.python),
    ("%cxx", config.cxx),
    ("%cc", config.cc),
    ("%cmake", config.cmake),
    ("%source_dir", config.tenon_source_dir),
    ("%build_dir", config.tenon_build_dir),
    ("%deps_dir", config.tenon_deps_dir),
    ("%minilm", os.path.join(config.tenon_deps_dir, "models", "minilm")),
    ("%runtime_include",
     os.path.join(config.tenon_source_dir, "runtime", "include")),
]

# What a test may ask for with REQUIRES.
if os.path.exists(
    os.path.join(config.tenon_deps_dir, "models", "minilm", "model.safetensors")
):
    config.available_features.add("minilm")
# NVIDIA's assembler, which `make deps` unpacks where it can.
ptxas = os.path.join(config.tenon_deps_dir, "cuda", "ptxas")
if not os.access(ptxas, os.X_OK):
    ptxas = shutil.which("ptxas")
if ptxas:
    config.available_features.add("ptxas")
    config.substitutions.append(("%ptxas", ptxas))
if shutil.which("tenon", path=config.environment["PATH"]):
    config.available_features.add("tenon")
if os.path.exists(
    os.path.join(config.tenon_build_dir, "python", "tenon", "_tenon.abi3.so")
):
    config.available_features.add("python-package")
if os.path.exists("/usr/lib/x86_64-linux-gnu/libc.a"):
    config.available_features.add("static-libc")
if glob.glob(
    os.path.join(
        os.path.dirname(config.python),
        "../lib/python3*/site-packages/scikit_build_core",
    )
):
    config.available_features.add("scikit-build-core")
if shutil.which("dpkg-deb"):
    config.available_features.add("dpkg-deb")
for program in ("cargo", "chromium", "debootstrap", "musl-gcc"):
    if shutil.which(program):
        config.available_features.add(program)
if shutil.which("qemu-x86_64"):
    config.available_features.add("qemu-x86_64")
if os.geteuid() == 0:
    config.available_features.add("root")
# A namespace of mounts, in which /proc can be covered.
if shutil.which("unshare") and not subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/proc"],
        capture_output=True).returncode:
    config.available_features.add("unshare")
if lit_config.params.get("long"):
    config.available_features.add("long")
if config.sanitize:
    config.available_features.add("sanitizer")
try:
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        flags = next((x for x in cpuinfo if x.startswith("flags")), "").split()
except OSError:
    flags = []
if "avx2" in flags and "fma" in flags:
    config.available_features.add("x86-64-v3")
if "avx512f" in flags and "avx512vl" in flags:
    config.available_features.add("x86-64-v4")
