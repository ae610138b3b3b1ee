# ===- claims.py - every block of the documentation is checked ------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Says for every fenced block of the documentation what keeps it true.

    claims.py ROOT FILE...

 - run: a test of test/Docs or test/Examples extracts it (docs.py extract)
 - quoted: tablegen, c++ and cmake, and any other code, that stands in a source
   that is built; a line of ... skips some
 - parsed: mlir that tenon-opt takes; a type alone as well
 - commands: sh and console; targets of make, commands and options of Tenon's
   tools, files of the tree and options of its scripts exist
 - generated: of a file that a tool writes
 - text: a drawing or what a program prints

A block that is none of these, or does not hold, is listed and an error.
"""

import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from functools import lru_cache
from pathlib import Path

from docs import BLOCK, is_dead, read_sources, unquoted

FOLDERS = ("cmake", "dialects", "examples", "include", "lib", "runtime", "test",
           "tools")
SUFFIXES = {".c", ".cpp", ".h", ".hpp", ".onnxtxt", ".py", ".td", ".txt",
            ".cmake", ".rs"}
# Programs that are not the tree's.
FOREIGN = set(
    """apt-get bash c++ cargo cat cc cd clang clang++ clang-22 clang++-22 cmake cp
    diff echo env export FileCheck gdb git gpg head ldd less lit ls mkdir mv
    ninja nm objdump perf pip pip3 python python3 readelf rm sort strip sudo
    tail taskset time uniq wc which""".split()
)
EXTRACT = re.compile(r"docs\.py\s+extract\s+(\S+)\s+(\S+)((?:\s+\d+)*)")


def find_runs(root):
    """(file, language) -> numbers of the blocks that tests extract; none of
    them: all."""
    runs = {}
    for folder in ("test/Docs", "test/Examples", "test/Package"):
        for test in sorted((root / folder).glob("*.test")):
            # Continuation lines are one.
            text = re.sub(r"\\\nRUN:", " ", test.read_text(encoding="utf-8"))
            for language, name, numbers in EXTRACT.findall(text):
                name = name.replace("%source_dir/", "").strip("'\"")
                if not numbers.split():
                    runs[name, language] = None
                elif runs.setdefault((name, language), set()) is not None:
                    runs[name, language] |= set(map(int, numbers.split()))
    return runs


@lru_cache(None)
def output_of(*command):
    done = subprocess.run(
        command, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def has_option(help_text, word):
    option = re.escape(word.split("=")[0])
    return re.search(rf"(?<![\w-])-?{option}(?![\w-])", help_text) is not None


def wrong_command(root, words):
    """What of one command does not exist, or an empty string."""
    while words and re.match(r"^\w+=", words[0]):
        words = words[1:]
    if words and words[0] in {"env", "time", "sudo"}:
        return wrong_command(root, words[1:])
    if not words:
        return ""
    program, rest = words[0], words[1:]
    for word in words:
        if is_dead(root, word):
            return f"no file '{word}'"
    options = [word for word in rest if re.match(r"^--?[A-Za-z]", word)]
    name = program.split("/")[-1]
    if name == "make":
        makefile = (root / "Makefile").read_text(encoding="utf-8")
        for word in rest:
            if not word.startswith("-") and "=" not in word:
                if not re.search(rf"^{re.escape(word)}:", makefile, re.M):
                    return f"make has no target '{word}'"
        return ""
    if name in {"tenon", "tenon-opt"}:
        command = [name]
        if name == "tenon":
            command += [word for word in rest[:1] if word.isalpha()]
            if len(command) > 1 and not re.search(
                rf"^\s+{command[1]} ", output_of("tenon", "--help"), re.M
            ):
                return f"tenon has no command '{command[1]}'"
        text = output_of(*command, "--help")
        for word in options:
            if word not in {"-o", "-"} and not has_option(text, word):
                if not re.match(r"^-O[0-3]?$", word):
                    return f"{' '.join(command)} has no option '{word}'"
        return ""
    scripts = [word for word in words if word.endswith((".py", ".sh"))]
    if scripts and (root / scripts[0]).is_file():
        text = (root / scripts[0]).read_text(encoding="utf-8")
        for word in words[words.index(scripts[0]) + 1 :]:
            if word.startswith("--") and word.split("=")[0] not in text:
                return f"{scripts[0]} has no option '{word}'"
        return ""
    own = program.startswith(("./", "build/", "$", "build-"))
    if name in FOREIGN or own or (root / program).is_file():
        return ""
    examples = [folder.name for folder in (root / "examples").iterdir()]
    if name in examples:
        return ""
    return f"no known program '{program}'"


def wrong_commands(root, language, body):
    lines = re.sub(r"\\\n", " ", body).splitlines()
    if language == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
        if not lines:
            yield "no line begins with '$ '"
    for line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
        lexer.commenters = "#"
        lexer.whitespace_split = True
        words = []
        for word in [*lexer, ";"]:
            if not re.match(r"^[|&;()]+$", word):
                words.append(word)
                continue
            if problem := wrong_command(root, words):
                yield problem
            words = []


def parse_mlir(body):
    """tenon-opt's complaint about a piece of MLIR, or an empty string."""
    if re.match(r"^\s*(tensor|memref|vector)<", body):
        body = f"func.func private @f({body.strip()})"
    done = subprocess.run(
        ["tenon-opt", "--split-input-file", "-o", "/dev/null", "-"],
        input=body,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stderr.strip().split("\n")[0]


class Claims:
    def __init__(self, root):
        self.root = root
        self.runs = find_runs(root)
        self.sources = read_sources(root, FOLDERS, SUFFIXES)

    def claim(self, name, generated, language, number, body):
        """(what keeps the block true, or None; the problem)"""
        if (name, language) in self.runs:
            numbers = self.runs[name, language]
            if numbers is None or number in numbers:
                return "run", ""
        # What a pass makes of what is no IR by itself.
        if generated and "// becomes\n" in body:
            return "generated", ""
        if language == "mlir":
            return "parsed", parse_mlir(body)
        if generated:
            return "generated", ""
        if language in {"sh", "console"}:
            return "commands", "; ".join(
                wrong_commands(self.root, language, body)
            )
        if language == "text":
            known = FOREIGN | {"make", "tenon", "tenon-opt"}
            for line in body.splitlines():
                words = line.split() or [""]
                if words[0] == "$" or words[0] in known:
                    return "text", f"a command: '{line}'"
            return "text", ""
        if not language:
            return None, "it has no language"
        return "quoted", "; ".join(
            f"not in a source: '{line}'"
            for line in unquoted(body, self.sources)
        )


def main():
    root = Path(sys.argv[1]).resolve()
    claims = Claims(root)
    ways, problems = Counter(), 0
    for file in sys.argv[2:]:
        path = Path(file).resolve()
        name = os.path.relpath(path, root)
        text = path.read_text(encoding="utf-8")
        generated = text.startswith("<!-- Autogenerated")
        numbers = Counter()
        for match in BLOCK.finditer(text):
            language = match[1].strip()
            numbers[language] += 1
            way, problem = claims.claim(
                name, generated, language, numbers[language], match[2]
            )
            if problem:
                line = text.count("\n", 0, match.start()) + 1
                print(f"{name}:{line}: {problem}")
                problems += 1
            else:
                ways[way] += 1
        if "\n```" in BLOCK.sub("", text):
            print(f"{name}: a block does not end")
            problems += 1
    print(", ".join(f"{count} {way}" for way, count in sorted(ways.items())))
    print(f"{problems} unclaimed blocks in {len(sys.argv) - 2} files")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
