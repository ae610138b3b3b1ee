//===- noalloc.cpp - a run allocates nothing ------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// usage: noalloc ARTIFACT THREADS dim=N[,dim=N]...
//
// Counts the allocations made inside tenon_run: the first run, a run after each
// change of dims (each further argument) and runs with the first dims again.
// Inputs are ones. Everything is reserved for all dims beforehand, so that the
// largest come in any order.
//===----------------------------------------------------------------------===//

#include "watch.h"
#include <map>
#include <vector>

using namespace tenon::test;

namespace {
/// Parses "batch=2,seq=16".
std::map<std::string, int64_t> parse(const char *text) {
  std::map<std::string, int64_t> values;
  std::string rest = text;
  while (!rest.empty()) {
    size_t comma = rest.find(',');
    std::string item = rest.substr(0, comma);
    size_t equal = item.find('=');
    if (equal == std::string::npos)
      fail("expected dim=N, found '" + item + "'");
    values[item.substr(0, equal)] = std::atoll(item.c_str() + equal + 1);
    rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
  }
  return values;
}

/// One set of dims with the memory that it is bound to.
struct Shape {
  Dims inputDims;
  std::vector<const int64_t *> pointers;
  std::vector<std::vector<char>> inputs, outputs;
};
} // namespace

// Long: one scenario, in order.
int main(int argc, char **argv) {
  if (argc < 4)
    fail("usage: noalloc ARTIFACT THREADS dim=N[,dim=N]...");
  tenon_error error;
  Artifact artifact(argv[1]);
  const tenon_model_info &model = artifact.info;
  tenon_library &library = artifact.library;
  tenon_context_options options;
  TENON_INIT(options);
  options.threads = std::atoi(argv[2]);
  options.flags = TENON_CONTEXT_OVERSUBSCRIBE;
  tenon_context *context = artifact.createContext(&options);

  std::vector<Shape> shapes(argc - 3);
  for (int s = 0; s < argc - 3; ++s) {
    auto values = parse(argv[s + 3]);
    Shape &shape = shapes[s];
    shape.inputDims = artifact.inputDims([&](const char *name) {
      if (!values.count(name))
        fail(std::string("no value for dim '") + name + "'");
      return values[name];
    });
    shape.pointers = pointersTo(shape.inputDims);
    for (int i = 0; i < model.num_inputs; ++i) {
      tenon_dtype dtype = artifact.inputs[i].dtype;
      int64_t elements = 1;
      for (int64_t dim : shape.inputDims[i])
        elements *= dim;
      std::vector<char> data(elements * tenon_dtype_bytes(dtype) + 1);
      for (int64_t e = 0; e < elements; ++e) {
        if (dtype == TENON_F32)
          reinterpret_cast<float *>(data.data())[e] = 1;
        else if (dtype == TENON_I64)
          reinterpret_cast<int64_t *>(data.data())[e] = 1;
      }
      shape.inputs.push_back(std::move(data));
    }
    size_t bytes = 0;
    if (tenon_workspace_size(context, shape.pointers.data(), &bytes, &error))
      fail(error.message);
    std::printf("%s: workspace %zu bytes\n", argv[s + 3], bytes);
    for (int i = 0; i < model.num_outputs; ++i) {
      tenon_port_info port;
      TENON_INIT(port);
      if (tenon_get_output_info(library.model, i, &port, &error))
        fail(error.message);
      std::vector<int64_t> dims(port.rank + 1);
      if (tenon_output_dims(context, shape.pointers.data(), i, dims.data(),
                            &error))
        fail(error.message);
      int64_t elements = 1;
      for (int d = 0; d < port.rank; ++d)
        elements *= dims[d];
      shape.outputs.emplace_back(elements * tenon_dtype_bytes(port.dtype) + 1);
    }
    if (tenon_reserve(context, shape.pointers.data(), &error))
      fail(error.message);
  }

  // Each shape in turn, then all of them again.
  std::fflush(stdout);
  long before = addressSpace();
  for (size_t turn = 0; turn < 2 * shapes.size(); ++turn) {
    Shape &shape = shapes[turn % shapes.size()];
    watching = true;
    for (int i = 0; i < model.num_inputs; ++i) {
      tenon_port_info port;
      TENON_INIT(port);
      tenon_get_input_info(library.model, i, &port, &error);
      if (tenon_bind_input(context, i, port.dtype, port.rank,
                           shape.inputDims[i].data(), shape.inputs[i].data(),
                           shape.inputs[i].size() - 1, &error))
        fail(error.message);
    }
    for (int i = 0; i < model.num_outputs; ++i) {
      tenon_port_info port;
      TENON_INIT(port);
      tenon_get_output_info(library.model, i, &port, &error);
      if (tenon_bind_output(context, i, port.dtype, port.rank, nullptr,
                            shape.outputs[i].data(),
                            shape.outputs[i].size() - 1, &error))
        fail(error.message);
    }
    tenon_status status = tenon_run(context, &error);
    watching = false;
    if (status)
      fail(error.message);
    if (calls)
      fail(std::string("run ") + std::to_string(turn + 1) + " called " +
           culprit.load() + " (" + std::to_string(calls.load()) + " calls)");
  }
  long after = addressSpace();
  if (before != after)
    fail("the address space grew by " + std::to_string(after - before) +
         " pages");
  checkHooks();
  std::printf("%zu runs, no allocation\n", 2 * shapes.size());
  tenon_context_destroy(context);
  return 0;
}
