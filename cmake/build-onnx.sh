#!/usr/bin/env bash
# Builds ONNX's C++ library from its PyPI source distribution.
#
#   build-onnx.sh DEPS_DIR [JOBS]
#
# DEPS_DIR/venv must hold pip and cmake >= 3.26 (Debian 12's is 3.25). The
# library is installed into DEPS_DIR/onnx-VERSION; when it is there already,
# nothing is done. Takes five CPU minutes.
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
set -euo pipefail

version=1.23.2
deps=$(realpath "$1")
jobs=${2:-$(nproc)}
prefix="$deps/onnx-$version"
if [[ -f "$prefix/lib/libonnx.a" ]]; then
  echo "ONNX $version is in $prefix"
  exit 0
fi

work="$deps/build-onnx"
mkdir -p "$work"
cd "$work"

# --no-binary names onnx alone: its build requirements may come as wheels, or
# pip would build CMake itself from source.
if [[ ! -f "onnx-$version.tar.gz" ]]; then
  "$deps/venv/bin/python" -m pip download --quiet --no-deps \
    --no-binary onnx "onnx==$version" --dest .
fi
rm -rf "onnx-$version"
tar xzf "onnx-$version.tar.gz"

launcher=()
if command -v ccache >/dev/null; then
  launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache
            -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi

# The version of protobuf decides: Debian's library is shared, and ONNX's own
# protobuf must not be fetched. ONNX_ML and the namespace must agree with
# cmake/FindOnnx.cmake.
"$deps/venv/bin/cmake" -G Ninja -S "onnx-$version" -B build \
  -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_CXX_STANDARD=17 \
  -DCMAKE_POSITION_INDEPENDENT_CODE=ON \
  -DCMAKE_C_COMPILER=clang-22 -DCMAKE_CXX_COMPILER=clang++-22 \
  -DCMAKE_CXX_FLAGS="-ffunction-sections -fdata-sections" \
  "${launcher[@]}" \
  -DCMAKE_INSTALL_PREFIX="$prefix.partial" -DCMAKE_INSTALL_LIBDIR=lib \
  -DBUILD_SHARED_LIBS=OFF -DONNX_BUILD_TESTS=OFF -DONNX_BUILD_PYTHON=OFF \
  -DONNX_ML=ON -DONNX_NAMESPACE=onnx -DONNX_USE_PROTOBUF_SHARED_LIBS=ON \
  -DONNX_USE_LITE_PROTO=OFF -DONNX_WERROR=OFF \
  -DFETCHCONTENT_FULLY_DISCONNECTED=ON
"$deps/venv/bin/cmake" --build build --target install -- -j "$jobs"

# The library appears whole or not at all.
rm -rf "$prefix"
mv "$prefix.partial" "$prefix"
cd "$deps"
rm -rf "$work"
echo "ONNX $version is in $prefix"
