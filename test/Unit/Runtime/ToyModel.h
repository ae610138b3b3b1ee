//===- ToyModel.h - a program written by hand -------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the compiler would emit for a small model, with kernels in C++:
//
//   ids i64 [batch, seq]  ──► gather ──► rows f32 [batch, seq, 4]
//   mask i64 [batch, seq] ─────────────► scale ──► scaled [batch, seq, 4]
//                                        sum ────► out f32 [batch, 4]
//
// with seq <= 512 relied on by a position table.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TEST_TOYMODEL_H
#define TENON_TEST_TOYMODEL_H

#include "tenon/abi.h"
#include "tenon/tenon.h"
#include <cstring>
#include <deque>
#include <string>
#include <vector>

extern "C" const tenon_api tenon_runtime_api;

namespace toy {

constexpr int64_t kRows = 10, kWidth = 4, kMaxSeq = 512;

inline int32_t gather(void *const *bufs, const int64_t *, int64_t begin,
                      int64_t end, tenon_task *task) {
  const auto *ids = static_cast<const int64_t *>(bufs[0]);
  const auto *table = static_cast<const float *>(bufs[1]);
  auto *rows = static_cast<float *>(bufs[2]);
  for (int64_t i = begin; i < end; ++i) {
    int64_t id = ids[i];
    if (id < -kRows || id >= kRows) {
      task->error_value = id;
      task->error_limit = kRows;
      return TENON_KERNEL_INDEX_OUT_OF_RANGE;
    }
    if (id < 0)
      id += kRows;
    std::memcpy(rows + i * kWidth, table + id * kWidth, kWidth * sizeof(float));
  }
  return TENON_KERNEL_OK;
}

inline int32_t scale(void *const *bufs, const int64_t *, int64_t begin,
                     int64_t end, tenon_task *task) {
  const auto *mask = static_cast<const int64_t *>(bufs[0]);
  const auto *rows = static_cast<const float *>(bufs[1]);
  auto *scaled = static_cast<float *>(bufs[2]);
  auto *scratch = static_cast<float *>(task->scratch);
  for (int64_t i = begin; i < end; ++i)
    for (int64_t w = 0; w < kWidth; ++w) {
      scratch[w] = rows[i * kWidth + w] * float(mask[i]);
      scaled[i * kWidth + w] = scratch[w];
    }
  return TENON_KERNEL_OK;
}

inline int32_t sum(void *const *bufs, const int64_t *dims, int64_t begin,
                   int64_t end, tenon_task *) {
  const auto *scaled = static_cast<const float *>(bufs[0]);
  auto *out = static_cast<float *>(bufs[1]);
  int64_t seq = dims[0];
  for (int64_t b = begin; b < end; ++b)
    for (int64_t w = 0; w < kWidth; ++w) {
      float total = 0;
      for (int64_t s = 0; s < seq; ++s)
        total += scaled[(b * seq + s) * kWidth + w];
      out[b * kWidth + w] = total;
    }
  return TENON_KERNEL_OK;
}

/// Tables that grow while a program is written down; `finish` points the
/// program at them.
struct Builder {
  std::deque<std::vector<int32_t>> lists;
  std::vector<tenon_expr> exprs;
  std::vector<tenon_check> checks;
  std::vector<tenon_buffer> buffers;
  std::vector<tenon_step> steps;
  std::vector<tenon_port> inputs, outputs;
  std::vector<tenon_value> values;
  std::vector<tenon_control> controls;
  std::deque<std::vector<tenon_copy>> copies;
  std::vector<tenon_dim_range> ranges;
  std::vector<tenon_kernel> kernels;
  std::vector<tenon_level> levels;
  std::deque<std::vector<const char *>> names;
  std::deque<std::vector<int64_t>> statics;
  tenon_program program = {};
  tenon_model model = {};

  int32_t expr(int32_t op, int32_t a, int32_t b, int64_t imm = 0) {
    exprs.push_back({op, a, b, 0, imm});
    return int32_t(exprs.size()) - 1;
  }
  int32_t constant(int64_t value) {
    return expr(TENON_EXPR_CONST, 0, 0, value);
  }
  int32_t inputDim(int32_t input, int32_t dim) {
    return expr(TENON_EXPR_INPUT_DIM, input, dim);
  }
  const int32_t *list(std::vector<int32_t> items) {
    lists.push_back(std::move(items));
    return lists.back().data();
  }
  tenon_port port(const char *name, int32_t dtype, std::vector<int32_t> dims,
                  std::vector<const char *> dimNames) {
    statics.emplace_back();
    for (int32_t slot : dims)
      statics.back().push_back(
          exprs[slot].op == TENON_EXPR_CONST ? exprs[slot].imm : -1);
    names.push_back(std::move(dimNames));
    int32_t rank = int32_t(dims.size());
    return {name,
            dtype,
            rank,
            list(std::move(dims)),
            names.back().data(),
            statics.back().data(),
            0,
            0,
            0,
            0,
            0,
            nullptr};
  }
  int32_t arena(int32_t elements, int32_t first, int32_t last,
                int32_t dtype = TENON_ABI_F32) {
    buffers.push_back({TENON_BUFFER_ARENA, dtype, 0, elements, first, last, 0});
    return int32_t(buffers.size()) - 1;
  }
  void step(const char *name, const char *nodes, std::vector<int32_t> bufs,
            std::vector<int32_t> dims, int32_t tasks, int32_t cost,
            int32_t scratch, tenon_kernel kernel) {
    int32_t numBuffers = int32_t(bufs.size()), numDims = int32_t(dims.size());
    kernels.push_back(kernel);
    steps.push_back({name, nodes, list(std::move(bufs)), list(std::move(dims)),
                     numBuffers, numDims, tasks, cost, scratch,
                     int32_t(kernels.size()) - 1, 0, 0});
  }
  const tenon_model *finish() {
    if (levels.empty())
      levels.push_back({"baseline", 0, kernels.data()});
    for (tenon_level &level : levels)
      level.kernels = kernels.data();
    program.magic = TENON_ABI_MAGIC;
    program.abi_version = TENON_ABI_VERSION;
    program.model_name = "toy";
    program.compiler_version = "test";
    program.precision = "f32";
    program.glibc_floor = "2.31";
    auto set = [](auto *&pointer, int32_t &count, auto &table) {
      pointer = table.data();
      count = int32_t(table.size());
    };
    set(program.inputs, program.num_inputs, inputs);
    set(program.outputs, program.num_outputs, outputs);
    set(program.exprs, program.num_exprs, exprs);
    set(program.checks, program.num_checks, checks);
    set(program.buffers, program.num_buffers, buffers);
    set(program.steps, program.num_steps, steps);
    set(program.levels, program.num_levels, levels);
    set(program.values, program.num_values, values);
    set(program.ranges, program.num_ranges, ranges);
    set(program.controls, program.num_controls, controls);
    model = {TENON_MODEL_MAGIC,
             TENON_API_VERSION,
             &tenon_runtime_api,
             &program,
             nullptr,
             0};
    return &model;
  }
};

/// The model of the banner. `cost` is each step's cost per task.
struct Toy : Builder {
  std::vector<float> table;

  explicit Toy(int64_t cost = 100000, bool embedded = true) {
    for (int64_t i = 0; i < kRows * kWidth; ++i)
      table.push_back(float(i) * 0.37f - 3);
    int32_t batch = inputDim(0, 0), seq = inputDim(0, 1);
    int32_t width = constant(kWidth), maxSeq = constant(kMaxSeq);
    int32_t tokens = expr(TENON_EXPR_MUL, batch, seq);
    int32_t elements = expr(TENON_EXPR_MUL, tokens, width);
    int32_t outElements = expr(TENON_EXPR_MUL, batch, width);
    int32_t perTask = constant(cost);
    int32_t total = expr(TENON_EXPR_MUL, tokens, perTask);
    int32_t scratch = constant(kWidth * sizeof(float));
    int32_t none = constant(0);

    inputs = {port("ids", TENON_ABI_I64, {batch, seq}, {"batch", "seq"}),
              port("mask", TENON_ABI_I64, {batch, seq}, {"batch", "seq"})};
    inputs[0].id_bound = kRows;
    inputs[1].is_mask = 1;
    outputs = {port("out", TENON_ABI_F32, {batch, width}, {"batch", "4"})};
    checks.push_back({TENON_CHECK_LE, seq, maxSeq, 0, "seq", "512",
                      "the position table of node '/embeddings/Slice'"});
    buffers = {{TENON_BUFFER_INPUT, TENON_ABI_I64, 0, tokens, 0, 0, 0},
               {TENON_BUFFER_INPUT, TENON_ABI_I64, 1, tokens, 0, 0, 0},
               {TENON_BUFFER_OUTPUT, TENON_ABI_F32, 0, outElements, 0, 0, 0},
               {TENON_BUFFER_WEIGHT, TENON_ABI_F32, 0, -1, 0, 0, 0}};
    int32_t rows = arena(elements, 0, 1), scaled = arena(elements, 1, 2);
    step("k_gather", "/embeddings/Gather", {0, 3, rows}, {}, tokens, total,
         none, gather);
    step("k_scale", "/Mul", {1, rows, scaled}, {}, tokens, total, scratch,
         scale);
    step("k_sum", "/ReduceSum,/Identity", {scaled, 2}, {seq}, batch, total,
         none, sum);
    values.push_back(
        {"/Mul_output_0", scaled, 3, list({batch, seq, width}), 0, 0});
    program.weights_bytes = table.size() * sizeof(float);
    if (embedded)
      program.weights = reinterpret_cast<const uint8_t *>(table.data());
    finish();
  }

  std::vector<float> expected(const std::vector<int64_t> &ids,
                              const std::vector<int64_t> &mask, int64_t batch,
                              int64_t seq) const {
    std::vector<float> out(batch * kWidth);
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t w = 0; w < kWidth; ++w)
        for (int64_t s = 0; s < seq; ++s) {
          int64_t id = ids[b * seq + s];
          out[b * kWidth + w] +=
              table[(id < 0 ? id + kRows : id) * kWidth + w] *
              float(mask[b * seq + s]);
        }
    return out;
  }
};

/// A context that is destroyed with the scope.
struct Scoped {
  tenon_context *context = nullptr;
  tenon_error error = {};
  tenon_status status;
  explicit Scoped(const tenon_model *model,
                  const tenon_context_options *options = nullptr) {
    status = tenon_context_create(model, options, &context, &error);
  }
  ~Scoped() { tenon_context_destroy(context); }
  Scoped(const Scoped &) = delete;
  operator tenon_context *() const { return context; }
};

inline tenon_context_options threadOptions(int32_t threads) {
  tenon_context_options options;
  TENON_INIT(options);
  options.threads = threads;
  options.flags = TENON_CONTEXT_OVERSUBSCRIBE;
  return options;
}

/// Inputs and output of the toy model for some dims.
struct Tensors {
  int64_t batch, seq;
  std::vector<int64_t> ids, mask;
  std::vector<float> out;
  int64_t dims[2], outDims[2];
  const int64_t *inputDims[2] = {dims, dims};

  Tensors(int64_t batch, int64_t seq) : batch(batch), seq(seq) {
    for (int64_t i = 0; i < batch * seq; ++i) {
      ids.push_back((i * 7 + 3) % (2 * kRows) - kRows);
      mask.push_back(i % 3 != 1);
    }
    out.assign(batch * kWidth, -77.0f);
    dims[0] = batch, dims[1] = seq;
    outDims[0] = batch, outDims[1] = kWidth;
  }
  Tensors(const Tensors &) = delete;

  tenon_status bind(tenon_context *context, tenon_error *error) {
    if (tenon_status status =
            tenon_bind_input(context, 0, TENON_I64, 2, dims, ids.data(),
                             ids.size() * sizeof(int64_t), error))
      return status;
    if (tenon_status status =
            tenon_bind_input(context, 1, TENON_I64, 2, dims, mask.data(),
                             mask.size() * sizeof(int64_t), error))
      return status;
    return tenon_bind_output(context, 0, TENON_F32, 2, outDims, out.data(),
                             out.size() * sizeof(float), error);
  }
};

} // namespace toy

#endif // TENON_TEST_TOYMODEL_H
