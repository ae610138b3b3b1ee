#!/bin/sh
# ===- gpu.sh - Tenon beside PyTorch on one GPU ----------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
# usage: gpu.sh pack FOLDER [--tiny] [--arch sm_90a] [--ptxas FILE]
#                           [--model NAME=FILE.onnx]...
#        gpu.sh run FOLDER [--seconds 420] [--emulated FOLDER_OF_LIBCUDA]
#
# `pack` needs tenon on the PATH (TENON) and Python with onnx: it fills FOLDER
# with artifacts, inputs, expected outputs and these two scripts. FOLDER goes to
# the machine with the GPU, where `run` needs the driver, NumPy and PyTorch, and
# takes at most --seconds: what does not come to its turn is named. With
# --emulated it needs neither, and times nothing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
case "${1:-}" in
pack | run) exec "${PYTHON:-python3}" "$here/gpu.py" "$@" ;;
*)
  sed -n '/^# usage/,/^set/{/^set/!s/^# \{0,1\}//p}' "$0" >&2
  exit 2
  ;;
esac
