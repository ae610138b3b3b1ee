# ===- docs.py - keeping the documentation true ---------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Takes code out of Markdown files and checks the paths that they name.

    docs.py extract LANGUAGE FILE [N...]  print the ```LANGUAGE blocks, in order,
                                          or those of these numbers, from 1
    docs.py paths ROOT FILE...       names of files and links that lead nowhere
    docs.py quotes ROOT FILE...      blocks of tablegen and c++ that the sources
                                     do not contain; a line of ... skips some
"""

import re
import sys
from pathlib import Path

BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
# What a path in the tree looks like; * stands for any part of a name.
PATH = re.compile(r"^[\w.*-]+(/[\w.*+-]+)+/?$")


def extract(language, path, numbers=()):
    text = Path(path).read_text(encoding="utf-8")
    blocks = [body for name, body in BLOCK.findall(text) if name == language]
    if not blocks:
        sys.exit(f"{path}: no block of {language}")
    if numbers:
        blocks = [blocks[int(number) - 1] for number in numbers]
    print("\n".join(blocks), end="")


def is_dead(root, word):
    """Whether a word looks like a path of the tree and is none."""
    # Only a word whose first part is one of the tree's folders is a path:
    # `batch/seq` or `application/json` is not.
    # Nor is what a build makes.
    folders = {entry.name for entry in root.iterdir() if entry.is_dir()}
    folders -= {"build", ".deps"}
    return (
        PATH.match(word) is not None
        and word.split("/")[0] in folders
        and not any(root.glob(word.rstrip("/")))
    )


def missing(root, path):
    """What `path` names that is not there."""
    text = BLOCK.sub("", path.read_text(encoding="utf-8"))
    for word in CODE.findall(text):
        if is_dead(root, word):
            yield word
    for link in LINK.findall(text):
        if "://" not in link and not (path.parent / link).exists():
            yield link


def squeeze(text):
    return " ".join(text.split())


def read_sources(root, folders, suffixes):
    """The sources in these folders, each as one line."""
    return [
        squeeze(file.read_text(encoding="utf-8"))
        for folder in folders
        for file in (root / folder).rglob("*.*")
        if file.suffix in suffixes
    ]


def unquoted(body, sources):
    """The first lines of a block's pieces that are in none of the sources."""
    for piece in re.split(r"^\s*\.\.\.$", body, flags=re.MULTILINE):
        if not any(squeeze(piece) in source for source in sources):
            yield piece.strip().split("\n")[0]


def misquoted(root, path):
    """The pieces of quoted source that are not in the sources."""
    sources = read_sources(
        root, ("dialects", "include", "lib", "tools"), {".cpp", ".h", ".td"}
    )
    for language, body in BLOCK.findall(path.read_text(encoding="utf-8")):
        if language in {"tablegen", "c++"}:
            yield from unquoted(body, sources)


CHECKS = {
    "paths": (missing, "dead paths"),
    "quotes": (misquoted, "misquotations"),
}


def main():
    if len(sys.argv) >= 4 and sys.argv[1] == "extract":
        extract(sys.argv[2], sys.argv[3], sys.argv[4:])
        return 0
    if len(sys.argv) < 4 or sys.argv[1] not in CHECKS:
        sys.exit(__doc__)
    check, what = CHECKS[sys.argv[1]]
    root = Path(sys.argv[2])
    count = 0
    for name in sys.argv[3:]:
        for word in check(root, Path(name)):
            print(f"{name}: not there: {word}")
            count += 1
    print(f"{count} {what} in {len(sys.argv) - 3} files")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
