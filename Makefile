# The menu. Each line with ## is an entry; CMake does the work.
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

BUILD  ?= build
DEPS   ?= .deps
PREFIX ?= /usr/local
JOBS   ?= $(shell nproc)
LEVEL  ?=
PYTHON := $(DEPS)/venv/bin/python
MINILM := $(DEPS)/models/minilm
FUZZ_SECONDS ?= 300
FUZZ_SEED ?= 1

RUN_TESTS = $(PYTHON) test/run.py --lit $(DEPS)/venv/bin/lit --jobs $(JOBS) \
  $(if $(LEVEL),--level $(LEVEL))

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help deps configure build demo check check-all check-asan conformance \
  conformance-gpu fuzz bench install wheel deb format docs clean

help: ## show this menu
	@echo 'usage: make TARGET [BUILD=dir] [DEPS=dir] [JOBS=n] [LEVEL=x86-64-v2|v3|v4]'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | \
	  expand -t 14

deps: ## install Debian packages, make the Python environment, build ONNX
	@cmake/install-packages.sh
	@cmake/setup-python.sh $(DEPS)
	@cmake/build-onnx.sh $(DEPS) $(JOBS)

configure: deps
	@cmake -G Ninja -S . -B $(BUILD) -DCMAKE_BUILD_TYPE=Release \
	  -DTENON_DEPS_DIR=$(abspath $(DEPS)) -DTENON_INCLUDE_EXAMPLES=ON \
	  >$(BUILD)-configure.log 2>&1 || { cat $(BUILD)-configure.log; exit 1; }
	@mv $(BUILD)-configure.log $(BUILD)/configure.log

build: configure ## build the compiler, the runtime and the tools
	@ninja -C $(BUILD) -j $(JOBS)

demo: build ## compile MiniLM with its real weights and search with it
	$(BUILD)/bin/tenon compile $(MINILM)/model.onnx -o $(BUILD)/minilm.so
	@ninja -C $(BUILD) minilm-search
	$(BUILD)/bin/minilm-search --vocab $(MINILM)/vocab.txt \
	  'The cat sleeps on the sofa.' 'A kitten naps on the couch.' \
	  'Interest rates rose again.' 'The central bank tightened its policy.'
	$(BUILD)/bin/minilm-search --vocab $(MINILM)/vocab.txt --top 3 \
	  --file examples/semantic-search/sentences.txt \
	  --query 'How do I keep bread fresh?'

check: configure ## build everything and run all tests
	@ninja -C $(BUILD) -j $(JOBS) all tenon-test-depends
	@$(RUN_TESTS) $(BUILD)/test

check-all: configure ## the same, and the long campaigns of random variations
	@ninja -C $(BUILD) -j $(JOBS) all tenon-test-depends
	@$(RUN_TESTS) --long $(BUILD)/test

check-asan: deps ## the same with address and undefined-behaviour sanitizers
	@cmake --preset asan-ubsan -DTENON_DEPS_DIR=$(abspath $(DEPS)) >/dev/null
	@ninja -C build-asan -j $(JOBS) all tenon-test-depends
	@$(RUN_TESTS) build-asan/test

conformance: configure ## run ONNX's operator suite, write docs/OnnxSupport.md
	@ninja -C $(BUILD) -j $(JOBS) tenon tenon-conformance
	@$(PYTHON) test/Conformance/run.py -j $(JOBS) --opt 0 \
	  --target native --target x86-64-v2 --target x86-64-v3 \
	  --tenon $(BUILD)/bin/tenon --host $(BUILD)/test/Conformance/host --report docs/OnnxSupport.md

conformance-gpu: configure ## run ONNX's operator suite on the emulated GPU
	@ninja -C $(BUILD) -j $(JOBS) tenon-conformance tenon-emulated-gpu
	@LD_LIBRARY_PATH=$(abspath $(BUILD))/test/EmulatedGpu $(PYTHON) \
	  test/Conformance/run.py -j $(JOBS) --opt 0 --target nvptx:sm_80 \
	  --mode static --xfail test/EmulatedGpu/conformance.txt \
	  --host $(BUILD)/test/Conformance/host

fuzz: configure ## check mutated models for FUZZ_SECONDS=300 of CPU time
	@ninja -C $(BUILD) -j $(JOBS) tenon-fuzz
	@$(PYTHON) test/Fuzz/corpus.py $(BUILD)/test/Fuzz/corpus
	@$(BUILD)/test/Fuzz/fuzz -seed=$(FUZZ_SEED) -seconds=$(FUZZ_SECONDS) \
	  -compile-every=50 -keep=$(BUILD)/test/Fuzz/faults \
	  $(BUILD)/test/Fuzz/corpus test/Import test/Fuzz/Inputs

bench: build ## measure against ONNX Runtime on this machine
	@$(PYTHON) bench/run.py --tenon $(BUILD)/bin/tenon --models $(DEPS)/models

install: build ## install the compiler and its CMake package under PREFIX
	@cmake --install $(BUILD) --prefix $(PREFIX)

wheel: build ## build the Python wheels, test them in clean environments
	@ninja -C $(BUILD) tenon-portable
	@$(PYTHON) test/Python/wheel.py --tenon $(BUILD)/bin/tenon \
	  --carry $(BUILD)/bin/tenon-portable $(BUILD)/wheel

deb: build ## build the Debian packages tenon and libtenon-dev
	@cd $(BUILD) && cpack -G DEB -B deb >deb.log || { cat deb.log; exit 1; }
	@ls -l $(BUILD)/deb/*.deb

docs: configure ## write what of docs/ is made from .td files and headers
	@ninja -C $(BUILD) tenon-update-docs
	@cd runtime/include/tenon && python3 ../../../docs/api_reference.py \
	  tenon.h gpu.h profile.h state.h pages.h loader.h tenon.hpp typed.hpp >../../../docs/Api.md

format: ## format every C++ source with clang-format 22
	@git ls-files '*.cpp' '*.h' | xargs clang-format-22 -i

clean: ## remove the build folder, keep the dependencies
	@rm -rf $(BUILD)
