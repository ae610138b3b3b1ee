//===- Predict.cpp - what a GPU could do at best --------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Predict.h"
#include "GpuImage.h"
#include "tenon/abi.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace tenon {

/// NVIDIA's data sheets, of the SXM forms where there are several.
static constexpr GpuSheet kSheets[] = {
    {"a100", "A100 80 GB", 80, 108, 64, 32, 164 << 10, 2039, 19.5, 156, 312,
     624},
    {"l4", "L4", 89, 58, 48, 24, 100 << 10, 300, 30.3, 60, 121, 242},
    {"h100", "H100", 90, 132, 64, 32, 228 << 10, 3350, 66.9, 494.7, 989.4,
     1978.9},
    {"h200", "H200", 90, 132, 64, 32, 228 << 10, 4800, 66.9, 494.7, 989.4,
     1978.9},
};

Expected<const GpuSheet *> findGpuSheet(StringRef name) {
  for (const GpuSheet &sheet : kSheets)
    if (sheet.name == name)
      return &sheet;
  return createStringError(
      "unknown GPU '" + name + "': expected " +
      join(map_range(kSheets, [](const GpuSheet &s) { return s.name; }), ", "));
}

namespace {

using Slots = std::vector<std::optional<int64_t>>;

/// The value of an expression; none where it depends on what a run reads, or on
/// floats, which come of such values alone.
std::optional<int64_t> evaluate(const tenon_expr &x, const Slots &slots,
                                ArrayRef<std::vector<int64_t>> inputDims) {
  switch (x.op) {
  case TENON_EXPR_CONST:
    return x.imm;
  case TENON_EXPR_INPUT_DIM:
    return inputDims[size_t(x.a)][size_t(x.b)];
  case TENON_EXPR_STATE_CARRIED: // there is no state
    return 1;
  case TENON_EXPR_STATE_PAGES:
  case TENON_EXPR_STATE_LENGTHS:
    return 0;
  case TENON_EXPR_STATE_CAPACITY:
    return slots[size_t(x.a)];
  case TENON_EXPR_SELECT: {
    std::optional<int64_t> condition = slots[size_t(x.a)];
    if (!condition)
      return std::nullopt;
    return slots[size_t(*condition ? x.b : int32_t(x.imm))];
  }
  default:
    break;
  }
  bool binary = (x.op >= TENON_EXPR_ADD && x.op <= TENON_EXPR_LE) ||
                x.op == TENON_EXPR_QUOT;
  if (!binary || !slots[size_t(x.a)] || !slots[size_t(x.b)])
    return std::nullopt;
  int64_t a = *slots[size_t(x.a)], b = *slots[size_t(x.b)];
  switch (x.op) {
  case TENON_EXPR_ADD:
    return a + b;
  case TENON_EXPR_SUB:
    return a - b;
  case TENON_EXPR_MUL:
    return a * b;
  case TENON_EXPR_FLOORDIV:
    return b ? divideFloorSigned(a, b) : 0;
  case TENON_EXPR_CEILDIV:
    return b ? divideCeilSigned(a, b) : 0;
  case TENON_EXPR_MOD:
    return b ? a - divideFloorSigned(a, b) * b : 0;
  case TENON_EXPR_QUOT:
    return b ? a / b : 0;
  case TENON_EXPR_MIN:
    return std::min(a, b);
  case TENON_EXPR_MAX:
    return std::max(a, b);
  case TENON_EXPR_BCAST:
    return a == 1 ? b : a;
  case TENON_EXPR_EQ:
    return a == b;
  case TENON_EXPR_NE:
    return a != b;
  case TENON_EXPR_LT:
    return a < b;
  case TENON_EXPR_LE:
    return a <= b;
  default:
    return std::nullopt;
  }
}

double operationsASecond(const GpuSheet &gpu, int32_t products) {
  switch (products) {
  case TENON_PRODUCTS_TF32X3:
    return gpu.tf32 / 3;
  case TENON_PRODUCTS_TF32:
    return gpu.tf32;
  case TENON_PRODUCTS_BF16:
  case TENON_PRODUCTS_F16:
    return gpu.half;
  case TENON_PRODUCTS_I8:
    return gpu.integer;
  default:
    return gpu.f32;
  }
}

/// How many blocks a multiprocessor has at a time.
int64_t residentBlocks(const GpuSheet &gpu, const PredictedKernel &kernel) {
  constexpr int64_t registers = 65536, ofWarp = 256, reserved = 1024;
  int64_t warps = divideCeil(std::max<int64_t>(kernel.threads, 1), 32);
  int64_t most = std::min(gpu.blocks, gpu.warps / warps);
  if (kernel.registers)
    most = std::min<int64_t>(
        most, registers / ofWarp / (divideCeil(kernel.registers * 32, ofWarp)) /
                  warps);
  return std::min<int64_t>(most,
                           gpu.sharedBytes / (kernel.sharedBytes + reserved));
}

struct Predictor {
  const OpenArtifact &artifact;
  const tenon_gpu &tables;
  const GpuSheet &gpu;
  Prediction result = {};
  GpuCode code = {};
  Slots slots = {};
  MapVector<StringRef, PredictedKernel> kernels = {};

  Error evaluateDims();
  std::optional<int64_t> slot(int32_t i) const { return slots[size_t(i)]; }
  void add(const tenon_step &step);
  Error run();
};

Error Predictor::evaluateDims() {
  std::vector<std::vector<int64_t>> inputDims;
  for (const tenon_port_info &port : artifact.inputs) {
    auto dims = portDims(port, result.dims);
    if (!dims)
      return dims.takeError();
    inputDims.push_back(std::move(*dims));
  }
  const tenon_program &program = *tables.program;
  for (int32_t i = 0; i < program.num_exprs; ++i)
    slots.push_back(evaluate(program.exprs[i], slots, inputDims));
  return Error::success();
}

void Predictor::add(const tenon_step &step) {
  if (step.guard && slot(step.guard - 1) == 0)
    return;
  const tenon_gpu_kernel &launch = tables.kernels[step.kernel];
  if (launch.host) // not the GPU's
    return;
  std::optional<int64_t> tasks = slot(step.tasks), cost = slot(step.cost);
  double tensors = 0, weights = 0;
  for (int32_t i = 0; i < step.num_buffers && tasks; ++i) {
    const tenon_buffer &buffer = tables.program->buffers[step.buffers[i]];
    if (buffer.elements < 0)
      continue;
    auto elements = slot(buffer.elements);
    if (!elements) {
      tasks.reset();
      break;
    }
    (buffer.kind == TENON_BUFFER_WEIGHT ? weights : tensors) += double(
        tenon_tensor_bytes(tenon_dtype(buffer.dtype), size_t(*elements)));
  }
  if (!tasks || !cost) {
    ++result.unknown;
    return;
  }
  if (*tasks == 0)
    return;
  ++result.launches;
  PredictedKernel &kernel = kernels[step.name];
  if (kernel.calls++ == 0) {
    kernel.name = step.name;
    kernel.nodes = step.nodes ? step.nodes : "";
    kernel.threads = launch.threads;
    kernel.blocks =
        launch.block ? *tasks
                     : divideCeil(uint64_t(*tasks), uint64_t(launch.threads));
    if (auto found = code.kernels.find(launch.name);
        found != code.kernels.end()) {
      kernel.registers = found->second.registers;
      kernel.sharedBytes = found->second.sharedBytes;
    }
    kernel.sharedBytes += launch.shared;
    kernel.resident = residentBlocks(gpu, kernel);
    if (kernel.resident > 0)
      kernel.waves =
          double(kernel.blocks) / double(kernel.resident * gpu.multiprocessors);
    kernel.occupancy =
        double(kernel.resident * kernel.threads) / double(gpu.warps * 32);
  }
  // As a profile counts (Profile.cpp): of a large table some rows are read.
  bool product =
      kernel.name.starts_with("matmul") || kernel.name.starts_with("attention");
  double bytes = tensors + (product ? weights : std::min(weights, tensors));
  double operations = product ? 2 * double(*cost) : 0;
  double ofMemory = bytes / gpu.gbytes / 1e3,
         ofProducts =
             operations / operationsASecond(gpu, launch.products) / 1e6;
  kernel.bytes += bytes;
  kernel.operations += operations;
  kernel.leastUs += std::max(ofMemory, ofProducts);
  kernel.memoryBound = ofMemory >= ofProducts;
}

Error Predictor::run() {
  auto found = readGpuCode(tables, gpu.capability);
  if (!found)
    return found.takeError();
  code = std::move(*found);
  result.image = code.image;
  if (Error problem = evaluateDims())
    return problem;
  for (int32_t i = 0; i < tables.program->num_steps; ++i)
    add(tables.program->steps[i]);
  for (auto &[name, kernel] : kernels) {
    result.leastUs += kernel.leastUs;
    result.kernels.push_back(kernel);
  }
  llvm::sort(result.kernels, [](const auto &x, const auto &y) {
    return std::pair(-x.leastUs, x.name) < std::pair(-y.leastUs, y.name);
  });
  return Error::success();
}

} // namespace

Expected<Prediction> predict(const OpenArtifact &artifact, StringRef device,
                             DimValues dims) {
  auto gpu = findGpuSheet(device);
  if (!gpu)
    return gpu.takeError();
  const auto *program =
      static_cast<const tenon_program *>(artifact.model()->program);
  if (program->abi_version != TENON_ABI_VERSION)
    return createStringError("the artifact is of another version of Tenon: "
                             "compile the model again");
  if (!program->num_gpus)
    return createStringError("the artifact has no code for GPUs "
                             "(--target=nvptx:sm_90a)");
  Predictor predictor{artifact, *program->gpu, **gpu};
  predictor.result.gpu = *gpu;
  predictor.result.dims = std::move(dims);
  if (Error problem = predictor.run())
    return std::move(problem);
  return std::move(predictor.result);
}

void printPrediction(const Prediction &p, raw_ostream &out) {
  size_t width = 6;
  for (const PredictedKernel &kernel : p.kernels)
    width = std::max(width, std::min<size_t>(kernel.name.size(), 24));
  out << p.gpu->title << " by its data sheet, " << p.image << ":";
  for (const auto &[name, value] : p.dims)
    out << " " << name << "=" << value;
  out << "\n"
      << left_justify("kernel", width)
      << "  calls   blocks  thr  regs  shared  occup   waves        MB     "
         "GFLOP  least us  bound by\n";
  for (const PredictedKernel &k : p.kernels) {
    std::string registers = k.registers ? std::to_string(k.registers) : "?";
    out << left_justify(k.name.take_front(width), width)
        << format("  %5lld %8lld %4lld  %4s %7lld  %4.0f%% %7.2f  %8.2f  "
                  "%8.2f  %8.1f  %s\n",
                  (long long)k.calls, (long long)k.blocks, (long long)k.threads,
                  registers.c_str(), (long long)k.sharedBytes,
                  k.occupancy * 100, k.waves, k.bytes / 1e6, k.operations / 1e9,
                  k.leastUs, k.memoryBound ? "memory" : "products");
  }
  out << format("%lld launches, at least %.1f us on the GPU\n",
                (long long)p.launches, p.leastUs);
  if (p.unknown)
    out << p.unknown
        << " more calls have dims that depend on values: not counted\n";
}

void writePrediction(const Prediction &p, json::OStream &out) {
  out.attribute("gpu", p.gpu->title);
  out.attribute("image", p.image);
  out.attributeObject("dims", [&] {
    for (const auto &[name, value] : p.dims)
      out.attribute(name, value);
  });
  out.attribute("launches", p.launches);
  out.attribute("unknown_calls", p.unknown);
  out.attribute("least_us", p.leastUs);
  out.attributeArray("kernels", [&] {
    for (const PredictedKernel &k : p.kernels)
      out.object([&] {
        out.attribute("kernel", k.name);
        out.attribute("calls", k.calls);
        out.attribute("blocks", k.blocks);
        out.attribute("threads", k.threads);
        out.attribute("registers", k.registers);
        out.attribute("shared_bytes", k.sharedBytes);
        out.attribute("resident_blocks", k.resident);
        out.attribute("occupancy", k.occupancy);
        out.attribute("waves", k.waves);
        out.attribute("bytes", k.bytes);
        out.attribute("operations", k.operations);
        out.attribute("least_us", k.leastUs);
        out.attribute("bound", k.memoryBound ? "memory" : "products");
        out.attribute("nodes", json::fixUTF8(k.nodes));
      });
  });
}

} // namespace tenon
