//===- Loops.h - what inner kernels are written with ------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Products by weights in a format are functions of their own, one for all
// layers: their loops, their names, and their calls.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_LOOPS_H
#define TENON_LIB_CODEGEN_CPU_LOOPS_H

#include "dialects/Tenon/IR/TenonFormat.h"
#include "lib/Codegen/Emit/KernelEmitter.h"
#include <array>

namespace tenon {

/// Does the level multiply bytes without saturating (VNNI)?
bool hasDotProducts(const TargetInfo &target);

/// Elements that are turned at once.
inline constexpr int64_t kQuad = 4;
/// Columns `column` to `column` + 3 of a matrix in memory whose rows lie so far
/// apart, a row on each lane: of rows [0, lanes) from `at` on.
std::array<mlir::Value, kQuad> loadTurned(LaneBuilder &L, mlir::Value memory,
                                          mlir::Value at, int64_t apart,
                                          int64_t column);
/// The same of eight columns and 16 rows, on as many lanes: fewer operations
/// for each.
std::array<mlir::Value, 2 * kQuad>
loadTurnedTwice(LaneBuilder &L, mlir::Value memory, mlir::Value at,
                int64_t apart, int64_t column);

/// The same i64 or vector of one register, of which LLVM knows nothing.
mlir::Value hide(LaneBuilder &L, mlir::Value x);
/// The same of an index.
mlir::Value hideIndex(LaneBuilder &L, mlir::Value index);

/// The bits of lanes of f32 rounded to bf16, at a level that multiplies these.
mlir::Value bitsOfBF16(LaneBuilder &L, mlir::Value x);

/// Writes the body of a function.
struct Loops {
  Loops(mlir::func::FuncOp func, const TargetInfo &target)
      : Loops(func, target, target.vectorBits / 32) {}
  Loops(mlir::func::FuncOp func, const TargetInfo &target, int64_t lanes)
      : b(func.getContext()), target(target), loc(func.getLoc()), lanes(lanes),
        L(b, loc, lanes), entry(func.getBody().front()) {
    b.setInsertionPointToStart(&entry);
  }
  mlir::OpBuilder b;
  const TargetInfo &target;
  mlir::Location loc;
  int64_t lanes; ///< dwords of a vector
  LaneBuilder L;
  mlir::Block &entry;

  mlir::Value argument(unsigned i) { return entry.getArgument(i); }
  mlir::VectorType vector(mlir::Type element, int64_t count) {
    return mlir::VectorType::get({count}, element);
  }
  mlir::Value plus(mlir::Value at, int64_t more) { return L.add(at, more); }
  /// A vector that lies in bytes.
  mlir::Value loadBytes(mlir::Value memory, mlir::Value at,
                        mlir::VectorType type);
  /// A vector of floats that lies in bytes, as f32.
  mlir::Value loadFloats(mlir::Value memory, mlir::Value at, mlir::Type type);
  /// `count` elements of a row, of `whole` bits together, again and again; as
  /// `type`.
  mlir::Value broadcastGroup(mlir::Value A, mlir::Value at, int64_t count,
                             unsigned whole, mlir::VectorType type);
  /// Asks for so many bytes that are read soon, over the ends of pages, where
  /// hardware stops. Few rows wait for little else than the weight.
  void fetchAhead(mlir::Value memory, mlir::Value at, int64_t bytes);
  /// Asks for such bytes at `at` that are read later, in the second cache.
  void fetchLater(mlir::Value memory, mlir::Value at, int64_t bytes);
  mlir::Value intrinsic(llvm::StringRef name, mlir::Type type,
                        mlir::ValueRange operands);
  /// sum + a * w, or the two one after the other where nothing fuses them.
  mlir::Value fma(mlir::Value a, mlir::Value w, mlir::Value sum);
  /// sum + the exact sums of pairs of i16.
  mlir::Value addPairs(mlir::Value a, mlir::Value w, mlir::Value sum);
  /// sum + the exact sums of four bytes without a sign times four with one.
  mlir::Value addDots(mlir::Value unsignedBytes, mlir::Value signedBytes,
                      mlir::Value sum);
  /// Sums of two neighbours each, of x and y behind one another.
  mlir::Value addHalves(mlir::Value x, mlir::Value y);
  llvm::SmallVector<mlir::Value>
  forLoop(mlir::Value lo, mlir::Value hi, int64_t step, mlir::ValueRange init,
          llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value,
                                                            mlir::ValueRange)>
              body);
};

/// "u4_b32_f16_u8".
std::string nameOf(FormatAttr format);
/// A private function of that name, and whether it is new.
std::pair<mlir::func::FuncOp, bool>
getFunction(mlir::ModuleOp module, const std::string &name,
            llvm::ArrayRef<mlir::Type> types);
/// A call of get(rows), rows in [1, mostRows], for the row count that is known
/// at run time.
void callForRows(KernelEmitter &e, mlir::Value rows, int64_t mostRows,
                 mlir::ValueRange operands,
                 llvm::function_ref<mlir::func::FuncOp(int64_t)> get);
/// A kernel of one panel or of panels side by side, which lie so far `apart`
/// in B; where B and C begin are such operands.
struct PanelCall {
  int64_t panels;
  mlir::Value apart;
  unsigned bAt, cAt;
  int64_t togetherRows = 1; ///< up to so many meet several panels at once
};
/// Calls of get(rows, panels), rows in [1, mostRows], for all panels: with
/// several at once `apart` is behind the operands. C is [panels][rows][32].
void callForPanels(
    KernelEmitter &e, mlir::Value rows, int64_t mostRows, const PanelCall &call,
    llvm::ArrayRef<mlir::Value> operands,
    llvm::function_ref<mlir::func::FuncOp(int64_t, int64_t)> get);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_LOOPS_H
