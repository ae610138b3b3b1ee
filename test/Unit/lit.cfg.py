# ===- lit.cfg.py - how lit runs the GoogleTest programs ------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #

import os

import lit.formats

config.name = "Tenon-Unit"
config.test_exec_root = os.path.join(config.tenon_build_dir, "test", "Unit")
config.test_source_root = config.test_exec_root
config.test_format = lit.formats.GoogleTest(".", "Tests")
