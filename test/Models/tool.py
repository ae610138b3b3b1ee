#===- tool.py - how the model tests call the tenon tool --------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Thin wrappers around `tenon compile` and `tenon run`."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import ml_dtypes
import numpy as np


class Failure(Exception):
    """A test's finding, with what it takes to understand it."""


class Checks:
    """Named checks, those that the command line selects, and their count."""

    def __init__(self, description):
        self.parser = argparse.ArgumentParser(description=description)
        self.parser.add_argument("--tenon", help="the tool under test (default: $TENON, then the PATH)")
        self.parser.add_argument("--part", default="1/1", metavar="N/M", help="only the N-th of M parts of the checks")
        self.parser.add_argument("only", nargs="*", metavar="SUBSTRING")
        self.options = None
        self.seen = self.passed = self.failed = 0

    def tool(self):
        """Reads the command line."""
        self.options = self.parser.parse_args()
        return Tool(self.options.tenon)

    def wants(self, name):
        """Whether the command line selects the next check, which has this name."""
        if self.options.only and not any(text in name for text in self.options.only):
            return False
        part, parts = map(int, self.options.part.split("/"))
        self.seen += 1
        return self.seen % parts == part % parts

    def record(self, name, problem):
        """Counts a check, and says what is wrong if something is."""
        if problem is None:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAIL {name}: {problem}", flush=True)

    def attempt(self, name, check, *values):
        if not self.wants(name):
            return
        try:
            check(*values)
            self.record(name, None)
        except Failure as failure:
            self.record(name, failure)

    def finish(self):
        """Prints the count and ends the program."""
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed or not self.passed else 0)


class Tool:
    """One tenon binary and a scratch folder that goes when the test ends."""

    # What the artifacts of a test of levels hold: all that this machine can run.
    levels = ["x86-64-v2", "x86-64-v3"] + (["x86-64-v4"] if " avx512vl " in open("/proc/cpuinfo", encoding="ascii").read() else [])

    def __init__(self, path=None, emulator=()):
        self.emulator = list(emulator)
        self.path = path or os.environ.get("TENON") or shutil.which("tenon")
        if not self.path:
            raise Failure("no tenon on the PATH; set TENON")
        self.scratch = tempfile.TemporaryDirectory(prefix="tenon-models-")
        self.count = 0

    def file(self, name):
        """A path in the scratch folder."""
        return os.path.join(self.scratch.name, name)

    def folder(self):
        """A new empty folder."""
        self.count += 1
        path = self.file(f"dir{self.count}")
        os.mkdir(path)
        return path

    def call(self, *args, timeout=600):
        """The completed process, its streams as text."""
        return subprocess.run(
            [*self.emulator, self.path, *map(str, args)], capture_output=True, text=True, timeout=timeout, check=False
        )

    def expect_success(self, *args):
        result = self.call(*args)
        if result.returncode != 0:
            raise Failure(f"{' '.join(map(str, args))}\nexit code {result.returncode}\n{result.stderr}")
        return result

    def compile(self, model, *options):
        """Compile to a new artifact; returns its path and the seconds it took."""
        self.count += 1
        artifact = self.file(f"model{self.count}.so")
        start = time.monotonic()
        self.expect_success("compile", model, "-o", artifact, *options)
        return artifact, time.monotonic() - start

    def run(self, artifact, inputs, threads=1, *, level=None):
        """Run an artifact on numpy arrays; returns {output name: array}.

        Output names come back as file names: other characters become '_'.
        """
        folder = self.folder()
        options = []
        for index, (name, value) in enumerate(inputs.items()):
            path = os.path.join(folder, f"in{index}.npy")
            np.save(path, value)
            options += ["--input", f"{name}={path}"]
        if level:
            options += ["--level", level]
        output = os.path.join(folder, "out")
        self.expect_success(
            "run", artifact, *options, "--output-dir", output, "--threads", threads, "--oversubscribe"
        )
        result = {}
        for name in os.listdir(output):
            result[name[: -len(".npy")]] = typed(np.load(os.path.join(output, name)))
        shutil.rmtree(folder)
        return result


def typed(array):
    """An array of a file: to numpy bfloat16 is any two bytes."""
    return array.view(ml_dtypes.bfloat16) if array.dtype == "V2" else array


def load_arrays(path):
    """The arrays of an .npz file by name."""
    with np.load(path) as file:
        return {name: typed(file[name]) for name in file}


def file_name(name):
    """The name under which `tenon run` stores an output, without .npy."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)
