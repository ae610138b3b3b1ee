#!/usr/bin/env bash
# Installs the Debian packages that Tenon is built from and tested with, where
# they are missing. Needs root or sudo only when something is missing.
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
set -euo pipefail

packages=(
  # LLVM, and the compiler of the same release
  llvm-22-dev llvm-22-tools libmlir-22-dev mlir-22-tools liblld-22-dev
  clang-22 lld-22 clang-format-22 libclang-rt-22-dev
  # building
  cmake ninja-build ccache make g++ git
  # libraries
  libprotobuf-dev protobuf-compiler zlib1g-dev libzstd-dev libicu-dev
  libgtest-dev
  # Python environment
  python3 python3-venv unzip
  # runs the levels that this machine's CPU lacks
  qemu-user
)

# What some tests need, and skip where it is not there: installed along with the
# others, never a reason to call apt-get.
optional=(python3-dev)

missing=()
for package in "${packages[@]}"; do
  if [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) \
        != installed ]]; then
    missing+=("$package")
  fi
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "error: missing Debian packages, and neither root nor sudo to" \
         "install them: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
for package in "${optional[@]}"; do
  apt-cache show "$package" >/dev/null 2>&1 && missing+=("$package")
done
"${as_root[@]}" apt-get install -y -qq --no-install-recommends \
  "${missing[@]}" >/dev/null
