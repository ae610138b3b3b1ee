//===- host.cpp - one case of one artifact, one fresh process -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// usage: host ARTIFACT --threads N --runs K [--warmup K] [--output-dir DIR]
//             [--level NAME] [--against N] NAME=FILE.npy...
//
// Tenon's counterpart of worker.py: a C++ program that knows the artifact by
// tenon.h alone. Prints one line of JSON with the same fields; its clock starts
// before dlopen. --against runs another context with that many threads in turns
// with the first, after everything else, and adds the median ratio of its time
// to the first's ("speed_up"); and, of the same turns, that of a fixed number
// of multiply-adds on registers split among as many threads ("peak_speed_up").
//===----------------------------------------------------------------------===//

#include "../tools/tenon/FmaLoop.h"
#include "tenon/tenon.h"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

namespace {
[[noreturn]] void fail(const std::string &message) {
  std::fprintf(stderr, "host: error: %s\n", message.c_str());
  std::exit(1);
}

double now() {
  using namespace std::chrono;
  return duration<double, std::milli>(steady_clock::now().time_since_epoch())
      .count();
}

/// Milliseconds for what takes one thread about 5 ms of multiply-adds, split
/// among `threads`, which have all done the same just before.
double peakTime(int threads) {
  constexpr long kIterations = 1500000;
  std::atomic<int> arrived = 0;
  auto multiply = [&] {
    if (__builtin_cpu_supports("avx512f"))
      fma_loop_512(kIterations / threads);
    else if (__builtin_cpu_supports("fma"))
      fma_loop_256(kIterations / threads);
  };
  auto meet = [&](int time) {
    ++arrived;
    while (arrived < threads * time) {
    }
  };
  double begin = 0, end = 0;
  auto work = [&](bool timed) {
    multiply();
    meet(1);
    if (timed)
      begin = now();
    multiply();
    meet(2);
    if (timed)
      end = now();
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i)
    others.emplace_back(work, false);
  work(true);
  for (std::thread &other : others)
    other.join();
  return end - begin;
}

/// A .npy file: C order, little-endian, of a kind that the header names.
struct Array {
  std::vector<int64_t> dims;
  std::vector<char> bytes;
};

Array readArray(const std::string &path) {
  std::ifstream stream(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(stream)),
                   std::istreambuf_iterator<char>());
  if (text.size() < 10 || text.compare(0, 6, "\x93NUMPY") != 0 || text[6] != 1)
    fail("'" + path + "' is not a version 1 .npy file");
  size_t length = static_cast<unsigned char>(text[8]) +
                  256u * static_cast<unsigned char>(text[9]);
  std::string header = text.substr(10, length);
  if (header.find("'fortran_order': False") == std::string::npos)
    fail("'" + path + "' is not in C order");
  Array array;
  size_t at = header.find("'shape': (");
  if (at == std::string::npos)
    fail("'" + path + "' has no shape");
  const char *cursor = header.c_str() + at + 10;
  while (*cursor && *cursor != ')') {
    char *end;
    long value = std::strtol(cursor, &end, 10);
    if (end == cursor) {
      ++cursor;
      continue;
    }
    array.dims.push_back(value);
    cursor = end;
  }
  array.bytes.assign(text.begin() + 10 + length, text.end());
  return array;
}

void writeArray(const std::string &path, tenon_dtype dtype,
                const std::vector<int64_t> &dims,
                const std::vector<char> &bytes) {
  const char *kind = dtype == TENON_F32   ? "<f4"
                     : dtype == TENON_I64 ? "<i8"
                     : dtype == TENON_F16 ? "<f2"
                                          : nullptr;
  if (!kind)
    fail("cannot write outputs of type " +
         std::string(tenon_dtype_name(dtype)));
  std::string header = "{'descr': '" + std::string(kind) +
                       "', 'fortran_order': False, 'shape': (";
  for (int64_t dim : dims)
    header += std::to_string(dim) + ", ";
  header += "), }";
  while ((10 + header.size() + 1) % 64)
    header += ' ';
  header += '\n';
  std::ofstream stream(path, std::ios::binary);
  stream.write("\x93NUMPY\x01\x00", 8);
  char length[2] = {static_cast<char>(header.size() & 255),
                    static_cast<char>(header.size() >> 8)};
  stream.write(length, 2);
  stream << header;
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!stream)
    fail("cannot write '" + path + "'");
}

/// A field of /proc/self/status in kB.
long memory(const char *field) {
  std::ifstream stream("/proc/self/status");
  for (std::string line; std::getline(stream, line);)
    if (line.compare(0, std::strlen(field), field) == 0)
      return std::atol(line.c_str() + std::strlen(field) + 1);
  return 0;
}
} // namespace

// Long: one measurement, from the command line to its line of JSON; all steps
// share what the first ones opened and bound.
int main(int argc, char **argv) {
  std::string artifact, outputDir, level;
  int threads = 1, runs = 20, warmup = 3, against = 0;
  std::vector<std::pair<std::string, std::string>> files;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    auto value = [&]() -> std::string {
      if (i + 1 >= argc)
        fail(word + " needs a value");
      return argv[++i];
    };
    if (word == "--threads")
      threads = std::atoi(value().c_str());
    else if (word == "--runs")
      runs = std::atoi(value().c_str());
    else if (word == "--warmup")
      warmup = std::atoi(value().c_str());
    else if (word == "--against")
      against = std::atoi(value().c_str());
    else if (word == "--output-dir")
      outputDir = value();
    else if (word == "--level")
      level = value();
    else if (size_t equal = word.find('='); equal != std::string::npos)
      files.emplace_back(word.substr(0, equal), word.substr(equal + 1));
    else
      artifact = word;
  }
  if (artifact.empty())
    fail("usage: host ARTIFACT --threads N --runs K NAME=FILE.npy...");
  std::vector<Array> arrays;
  for (auto &[name, path] : files)
    arrays.push_back(readArray(path));
  long anonymousBefore = memory("RssAnon");

  double start = now();
  tenon_error error;
  tenon_library library;
  if (tenon_library_open(artifact.c_str(), &library, &error))
    fail(error.message);
  auto create = [&](int threads) {
    tenon_context_options options;
    TENON_INIT(options);
    options.threads = threads;
    options.level = level.empty() ? nullptr : level.c_str();
    tenon_context *context = nullptr;
    if (tenon_context_create(library.model, &options, &context, &error))
      fail(error.message);
    return context;
  };
  tenon_context *context = create(threads);
  double created = now();

  tenon_model_info model;
  TENON_INIT(model);
  if (tenon_get_model_info(library.model, &model, &error))
    fail(error.message);
  std::vector<const int64_t *> inputDims(model.num_inputs);
  auto bindInputs = [&](tenon_context *context) {
    for (size_t k = 0; k < files.size(); ++k) {
      int32_t index = 0;
      if (tenon_find_input(library.model, files[k].first.c_str(), &index,
                           &error))
        fail(error.message);
      tenon_port_info port;
      TENON_INIT(port);
      if (tenon_get_input_info(library.model, index, &port, &error))
        fail(error.message);
      inputDims[index] = arrays[k].dims.data();
      if (tenon_bind_input(context, index, port.dtype,
                           static_cast<int32_t>(arrays[k].dims.size()),
                           arrays[k].dims.data(), arrays[k].bytes.data(),
                           arrays[k].bytes.size(), &error))
        fail(error.message);
    }
  };
  bindInputs(context);
  size_t workspace = 0;
  if (tenon_workspace_size(context, inputDims.data(), &workspace, &error) ||
      tenon_reserve(context, inputDims.data(), &error))
    fail(error.message);
  std::vector<std::vector<int64_t>> outputDims(model.num_outputs);
  std::vector<std::vector<char>> outputs(model.num_outputs);
  std::vector<tenon_port_info> ports(model.num_outputs);
  size_t ioBytes = 0;
  for (int i = 0; i < model.num_outputs; ++i) {
    TENON_INIT(ports[i]);
    if (tenon_get_output_info(library.model, i, &ports[i], &error))
      fail(error.message);
    outputDims[i].resize(ports[i].rank);
    if (tenon_output_dims(context, inputDims.data(), i, outputDims[i].data(),
                          &error))
      fail(error.message);
    size_t bytes = tenon_dtype_bytes(ports[i].dtype);
    for (int64_t dim : outputDims[i])
      bytes *= static_cast<size_t>(dim);
    outputs[i].resize(bytes);
    ioBytes += bytes;
  }
  auto bindOutputs = [&](tenon_context *context) {
    for (int i = 0; i < model.num_outputs; ++i)
      if (tenon_bind_output(context, i, ports[i].dtype, ports[i].rank,
                            outputDims[i].data(), outputs[i].data(),
                            outputs[i].size(), &error))
        fail(error.message);
  };
  bindOutputs(context);
  if (tenon_run(context, &error))
    fail(error.message);
  double first = now();
  for (int i = 0; i < warmup; ++i)
    if (tenon_run(context, &error))
      fail(error.message);
  auto timed = [&](tenon_context *context) {
    double begin = now();
    if (tenon_run(context, &error))
      fail(error.message);
    return now() - begin;
  };
  std::vector<double> times;
  times.reserve(runs);
  for (int i = 0; i < runs; ++i)
    times.push_back(timed(context));

  long anonymous = memory("RssAnon");
  if (!outputDir.empty())
    for (int i = 0; i < model.num_outputs; ++i)
      writeArray(outputDir + "/" + std::to_string(i) + ".npy", ports[i].dtype,
                 outputDims[i], outputs[i]);
  tenon_context_info info;
  TENON_INIT(info);
  if (tenon_get_context_info(context, &info, &error))
    fail(error.message);
  std::printf("{\"engine\": \"tenon\", \"create_ms\": %.4f, "
              "\"first_output_ms\": %.4f, \"level\": \"%s\", "
              "\"workspace_bytes\": %zu, \"output_bytes\": %zu, "
              "\"weights_bytes\": %llu, \"rss_anon_kb\": %ld, "
              "\"rss_anon_added_kb\": %ld, \"rss_file_kb\": %ld, "
              "\"peak_rss_kb\": %ld, \"outputs\": [",
              created - start, first - start, info.level ? info.level : "",
              workspace, ioBytes,
              static_cast<unsigned long long>(model.weights_bytes), anonymous,
              anonymous - anonymousBefore, memory("RssFile"), memory("VmHWM"));
  for (int i = 0; i < model.num_outputs; ++i)
    std::printf("%s\"%s\"", i ? ", " : "", ports[i].name);
  std::printf("], \"times_ms\": [");
  for (size_t i = 0; i < times.size(); ++i)
    std::printf("%s%.5f", i ? ", " : "", times[i]);
  std::printf("]");
  if (against) {
    tenon_context *other = create(against);
    bindInputs(other);
    if (tenon_reserve(other, inputDims.data(), &error))
      fail(error.message);
    bindOutputs(other);
    timed(other);
    std::vector<double> ratios, peaks;
    for (int i = 0; i < runs; ++i) {
      // The context's own threads still spin when it has just run: twice.
      timed(context);
      double own = timed(context);
      timed(other);
      ratios.push_back(timed(other) / own);
      own = peakTime(threads);
      peaks.push_back(peakTime(against) / own);
    }
    auto median = [](std::vector<double> &values) {
      auto middle = values.begin() + values.size() / 2;
      std::nth_element(values.begin(), middle, values.end());
      return *middle;
    };
    std::printf(", \"speed_up\": %.4f, \"peak_speed_up\": %.4f", median(ratios),
                median(peaks));
    tenon_context_destroy(other);
  }
  std::printf("}\n");
  tenon_context_destroy(context);
  tenon_library_close(&library);
  return 0;
}
