//===- Kernels.h - emitted kernels and their schedule -----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_KERNELS_H
#define TENON_CODEGEN_KERNELS_H

#include "mlir/IR/BuiltinOps.h"
#include "tenon/Support/SymExpr.h"
#include "llvm/ADT/StringMap.h"
#include <array>
#include <optional>

namespace tenon {

class Backend;
struct TargetInfo;

/// A tensor, row-major, of which a GPU's copy engine brings boxes to shared
/// memory (abi.h: tenon_gpu_map). The innermost dim is the first.
struct TensorMap {
  int64_t buffer = 0; ///< of the kernel's, inputs first
  int64_t bytes = 0;  ///< of an element
  std::array<SymExpr, 3> dims;
  std::array<int64_t, 3> box;
  bool operator==(const TensorMap &) const = default;
};

/// How a kernel runs on a GPU.
struct GpuLaunch {
  bool block = false;        ///< a task is a block's, else a thread's
  int64_t threads = 0;       ///< of a block
  int64_t sharedBytes = 0;   ///< a block's scratch in shared memory
  int64_t dynamicShared = 0; ///< what the kernel asks for beside it
  int32_t products = 0;      ///< of tensor cores (abi.h: TENON_PRODUCTS_*)
  SymExpr taskScratch = 0;   ///< bytes of each task in a step's scratch memory
  std::vector<TensorMap> maps = {}; ///< of levels that have a copy engine
};

/// What the runtime must know to call an emitted kernel.
struct KernelInfo {
  std::string symbol;
  /// The expressions whose values the kernel takes, in order.
  std::vector<SymExpr> dims;
  SymExpr tasks = 1;
  SymExpr cost = 1;
  SymExpr scratchBytes = 0; ///< of a thread; on a GPU of all tasks
  /// A function of the runtime, not of the kernels' module.
  bool native = false;
  std::optional<GpuLaunch> gpu;
};

/// How a weight's bytes are laid out in the artifact.
struct WeightLayout {
  enum Kind {
    Plain,     ///< row-major as in the model
    PackedB,   ///< [batch][ceil(N/32)][K][32], N padded with zeros
    Formatted, ///< panels of #tenon.format, see WeightPart::format
  } kind = Plain;
  bool transposed = false; ///< PackedB: the tensor is [.., N, K]
  int64_t batch = 1, K = 0, N = 0;
  bool operator==(const WeightLayout &) const = default;
};

/// A constant, and where in it a matrix lies (#tenon.matrix).
struct WeightMatrix {
  mlir::ElementsAttr constant;
  mlir::Attribute at;
  bool operator==(const WeightMatrix &) const = default;
};

/// A constant of the model in a weight.
struct WeightPart {
  mlir::ElementsAttr weight;
  WeightLayout layout;
  mlir::Type elementType;
  mlir::Attribute format = {}; ///< Formatted: #tenon.format
  WeightMatrix codes = {}, scale = {}, zero = {};
  bool operator==(const WeightPart &) const = default;
};

/// A buffer of the program (abi.h: tenon_buffer).
struct ScheduleBuffer {
  enum Kind { Input, Output, Weight, Arena } kind = Arena;
  mlir::Type elementType;
  std::vector<SymExpr> dims;
  /// Number of the input or output; of an arena's, 1 + the buffer that stands
  /// for it in a run with a state, or 0.
  int64_t index = 0;
  /// Weight: what lies there, one after the other.
  std::vector<WeightPart> parts;
  int first = INT32_MAX, last = -1; ///< steps
  SymExpr guard = 1; ///< 0 where it is not needed, and takes no memory
  SymExpr elements() const {
    SymExpr n = guard;
    for (const SymExpr &d : dims)
      n = n * d;
    return n;
  }
};

struct ScheduleStep {
  std::string nodes;
  KernelInfo kernel; ///< with the dims of this call
  std::vector<int> buffers;
  SymExpr guard = 1; ///< 0 where it is skipped
};

struct SchedulePort {
  std::string name;
  mlir::Type elementType;
  std::vector<SymExpr> dims;
  int64_t idBound = 0;
  bool isMask = false;
  /// Of an input that need not be given: the weight that then stands for it.
  int defaultBuffer = -1;
  std::vector<SymExpr> defaultDims = {};
};

struct ScheduleCheck {
  uint32_t kind = 0;
  SymExpr lhs, rhs;
  std::string reason;
  SymExpr guard = 1;
};

/// An input whose elements are symbols: "name[0]", "name[1]", ...
struct ScheduleElements {
  std::string name;
  int input = 0;
  int64_t count = 0;
};

/// What the run decides between two steps (abi.h: tenon_control): a buffer's
/// elements become symbols, or a loop begins or goes on.
struct ScheduleControl {
  int kind = 0;
  std::string name; ///< of the symbols: name[0], name[1], ...
  int buffer = 0, step = 0;
  int64_t count = 0;
  std::optional<SymExpr> bound; ///< of the symbols; the iterations
  SymExpr guard = 1;
  int condition = -1, partner = 0;
  struct Copy {
    int from, to;
    SymExpr elements;
    bool row; ///< of the iteration
  };
  std::vector<Copy> copies;
  /// A dim that iterations of a loop change.
  struct Size {
    SymExpr inside, behind; ///< its symbols
    SymExpr value; ///< at the beginning or, in a NEXT, for the next iteration
    std::optional<SymExpr> bound;
  };
  std::vector<Size> sizes;
};

/// A past and its present, which may share their memory (abi.h:
/// tenon_state_pair); or, with a reason, an input that is no past.
struct ScheduleState {
  int input = 0, output = -1, axis = 0;
  std::string carried;  ///< a symbol: 1 where rows are copied; none: replaced
  std::string capacity; ///< a symbol, of one that grows: rows that there are
  SymExpr length;       ///< and are without a state; of one replaced, at most
  bool panels = false;  ///< its memory holds panels
  mlir::Type pages;     ///< or pages: what of; else null
  std::string table;    ///< a symbol: where they lie
  std::string lengths; ///< a symbol: what each sequence has; none: all the same
  std::string reason;
};

struct ScheduleValue {
  std::string name;
  int buffer = 0;
  std::vector<SymExpr> dims;
  SymExpr guard = 1;
};

/// The whole program of a model, and the module that holds its kernels as
/// func.func on memrefs.
struct Schedule {
  std::string modelName;
  std::vector<SchedulePort> inputs, outputs;
  std::vector<ScheduleElements> elements;
  std::vector<ScheduleControl> controls;
  std::vector<ScheduleState> states; ///< those with a reason last
  std::vector<ScheduleCheck> checks;
  std::vector<ScheduleBuffer> buffers;
  std::vector<ScheduleStep> steps;
  std::vector<ScheduleValue> values;
  std::vector<std::string> kernels; ///< distinct symbols, in order
};

/// The dims that kernels take, by symbol.
using KernelDims = llvm::StringMap<std::vector<SymExpr>>;

/// Emits every tenon.kernel of @main into `kernels` (kernels that print alike
/// once) and lists the steps. Kernels take the known dims first. Fails after an
/// error that names the op.
mlir::FailureOr<Schedule> buildSchedule(mlir::ModuleOp module,
                                        mlir::ModuleOp kernels,
                                        const Backend &backend,
                                        const TargetInfo &target,
                                        const KernelDims &known = {});

/// An operation that is predicted to reach less than a tenth of what the
/// machine can do.
struct SlowWork {
  mlir::Operation *op;
  int64_t percent; ///< of its roofline
  std::string reason;
};
/// Those of a graph of kernels: products and reductions without loops of their
/// own, each element of which is computed where it is asked for, and patches
/// that are.
std::vector<SlowWork> findSlowWork(mlir::ModuleOp graph);
/// "tenon.matmul of node 'product': tensor<...>".
std::string describe(const SlowWork &work);

} // namespace tenon

#endif // TENON_CODEGEN_KERNELS_H
