//===- WinogradTransforms.cpp - sums around Winograd's products -----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Functions of their own, one for all layers, whose channels and columns lie on
// the lanes. A vector that would go past the last channel begins where it ends
// with it: some numbers are computed twice.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/WinogradTransforms.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Cpu/Loops.h"

using namespace mlir;

namespace tenon {

namespace {

constexpr int64_t kTile = kWinogradTile, kOutputs = kWinogradOutputs;

struct Transforms : Loops {
  using Loops::Loops;
  Type f32 = b.getF32Type();

  Value load(Value memory, Value at) {
    return L.load(memory, Idx{at, 1, 1, {}}, f32);
  }
  void store(Value v, Value memory, Value at) {
    L.store(v, memory, Idx{at, 1, 1, {}}, f32);
  }
  Value plus(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }
  Value less(Value x, Value y) { return arith::SubFOp::create(b, loc, x, y); }

  void forEach(Value count, function_ref<void(Value)> fn, int64_t step = 1) {
    forLoop(L.index(0), count, step, {}, [&](Value i, ValueRange) {
      fn(i);
      return SmallVector<Value>();
    });
  }
  void forVectors(Value count, function_ref<void(Value)> fn) {
    forEach(count, fn, lanes);
  }

  /// B^T of four numbers.
  std::array<Value, kTile> before(ArrayRef<Value> d) {
    return {less(d[0], d[2]), plus(d[1], d[2]), less(d[2], d[1]),
            less(d[1], d[3])};
  }
  /// A^T of four.
  std::array<Value, kOutputs> behind(ArrayRef<Value> m) {
    return {plus(plus(m[0], m[1]), m[2]), less(less(m[1], m[2]), m[3])};
  }

  /// What three taps in steps of 2 meet of five numbers.
  static constexpr int64_t kSteps = kWinogradStepsTile;
  std::array<Value, kSteps> beforeSteps(ArrayRef<Value> d) {
    return {less(d[0], d[2]), d[1], d[2], d[3], less(d[4], d[2])};
  }
  /// Number (y, x) of those, among all of a square.
  static int64_t placeOf(int64_t y, int64_t x) {
    auto partOf = [](int64_t i) {
      return *llvm::find_if(kWinogradParts, [i](const WinogradPart &part) {
        return i < part.first + part.count;
      });
    };
    WinogradPart rows = partOf(y), columns = partOf(x);
    return rows.first * kSteps + rows.count * columns.first +
           (y - rows.first) * columns.count + x - columns.first;
  }

  void stepsInput() {
    Value X = argument(0), at = argument(1), apart = argument(2),
          channels = argument(3), V = argument(4), vAt = argument(5);
    Value last = L.sub(channels, lanes);
    forEach(argument(6), [&](Value square) {
      Value from = L.add(at, L.mul(square, L.mul(channels, 2 * kOutputs))),
            to = L.add(vAt, L.mul(square, L.mul(channels, kSteps * kSteps)));
      forVectors(channels, [&](Value i) {
        Value c = L.min(i, last);
        auto row = [&](int64_t y) {
          SmallVector<Value> pixels;
          Value first = L.add(L.add(from, L.mul(apart, y)), c);
          for (int64_t x = 0; x < kSteps; ++x)
            pixels.push_back(load(X, L.add(first, L.mul(channels, x))));
          return pixels;
        };
        SmallVector<Value> middle = row(kSteps / 2);
        for (int64_t y = 0; y < kSteps; ++y) {
          SmallVector<Value> pixels = y == kSteps / 2 ? middle : row(y);
          for (int64_t x = 0; x < kSteps && y % (kSteps - 1) == 0; ++x)
            pixels[x] = less(pixels[x], middle[x]);
          for (auto [x, v] : llvm::enumerate(beforeSteps(pixels)))
            store(v, V, L.add(L.add(to, L.mul(channels, placeOf(y, x))), c));
        }
      });
    });
    func::ReturnOp::create(b, loc);
  }

  void stepsOutput() {
    Value M = argument(0), at = argument(1), matrix = argument(2),
          Y = argument(3), yAt = argument(4);
    constexpr int64_t parts = std::size(kWinogradParts), shared = 1;
    forVectors(argument(5), [&](Value c) {
      auto product = [&](int64_t y, int64_t x) {
        return load(M, L.add(L.add(at, L.mul(matrix, y * parts + x)), c));
      };
      Value both = product(shared, shared);
      Value ofRow[kOutputs], ofColumn[kOutputs];
      for (int64_t i = 0; i < kOutputs; ++i) {
        ofRow[i] = plus(product(2 * i, shared), both);
        ofColumn[i] = product(shared, 2 * i);
      }
      for (int64_t y = 0; y < kOutputs; ++y)
        for (int64_t x = 0; x < kOutputs; ++x)
          store(plus(product(2 * y, 2 * x), plus(ofRow[y], ofColumn[x])), Y,
                L.add(L.add(yAt, (y * kOutputs + x) * kPanelColumns), c));
    });
    func::ReturnOp::create(b, loc);
  }

  void input() { input(argument(3), L.mul(argument(3), kOutputs)); }
  void dilatedInput() { input(argument(8), argument(3)); }
  /// From one column to the next, and from one square.
  void input(Value across, Value further) {
    Value X = argument(0), at = argument(1), apart = argument(2),
          channels = argument(3), V = argument(4), vAt = argument(5),
          matrix = argument(7);
    Value last = L.sub(channels, lanes);
    forEach(argument(6), [&](Value square) {
      Value from = L.add(at, L.mul(square, further)),
            to = L.add(vAt, L.mul(square, channels));
      forVectors(channels, [&](Value i) {
        Value c = L.min(i, last);
        SmallVector<Value> sums(kWinogradMatrices);
        for (int64_t x = 0; x < kTile; ++x) {
          Value column = L.add(L.add(from, L.mul(across, x)), c);
          SmallVector<Value> pixels;
          for (int64_t y = 0; y < kTile; ++y)
            pixels.push_back(load(X, L.add(column, L.mul(apart, y))));
          for (auto [y, v] : llvm::enumerate(before(pixels)))
            sums[y * kTile + x] = v;
        }
        for (int64_t y = 0; y < kTile; ++y)
          for (auto [x, v] :
               llvm::enumerate(before(ArrayRef(sums).slice(y * kTile, kTile))))
            store(v, V, L.add(L.add(to, L.mul(matrix, y * kTile + x)), c));
      });
    });
    func::ReturnOp::create(b, loc);
  }

  void output() {
    Value M = argument(0), at = argument(1), matrix = argument(2),
          Y = argument(3), yAt = argument(4);
    forVectors(argument(5), [&](Value c) {
      SmallVector<Value> sums(kOutputs * kTile);
      for (int64_t x = 0; x < kTile; ++x) {
        SmallVector<Value> products;
        for (int64_t y = 0; y < kTile; ++y)
          products.push_back(
              load(M, L.add(L.add(at, L.mul(matrix, y * kTile + x)), c)));
        for (auto [y, v] : llvm::enumerate(behind(products)))
          sums[y * kTile + x] = v;
      }
      for (int64_t y = 0; y < kOutputs; ++y)
        for (auto [x, v] :
             llvm::enumerate(behind(ArrayRef(sums).slice(y * kTile, kTile))))
          store(v, Y, L.add(L.add(yAt, (y * kOutputs + x) * kPanelColumns), c));
    });
    func::ReturnOp::create(b, loc);
  }
};

} // namespace

/// func(X, at, apart, C, V, vAt, count), and so many more distances.
static func::FuncOp getInput(ModuleOp module, const TargetInfo &target,
                             StringRef name, size_t distances,
                             void (Transforms::*emit)()) {
  OpBuilder b(module.getContext());
  Type index = b.getIndexType(), memory = memoryType(b.getF32Type());
  SmallVector<Type> types{memory, index, index, index, memory, index, index};
  types.append(distances, index);
  auto [func, fresh] = getFunction(module, name.str(), types);
  if (fresh)
    (Transforms(func, target).*emit)();
  return func;
}

static func::FuncOp getOutput(ModuleOp module, const TargetInfo &target,
                              StringRef name, void (Transforms::*emit)()) {
  OpBuilder b(module.getContext());
  Type index = b.getIndexType(), memory = memoryType(b.getF32Type());
  auto [func, fresh] = getFunction(
      module, name.str(), {memory, index, index, memory, index, index});
  if (fresh)
    (Transforms(func, target).*emit)();
  return func;
}

func::FuncOp getWinogradInput(ModuleOp module, const TargetInfo &target) {
  return getInput(module, target, "winograd_input", /*distances=*/1,
                  &Transforms::input);
}

func::FuncOp getWinogradDilatedInput(ModuleOp module,
                                     const TargetInfo &target) {
  return getInput(module, target, "winograd_dilated_input", /*distances=*/2,
                  &Transforms::dilatedInput);
}

func::FuncOp getWinogradOutput(ModuleOp module, const TargetInfo &target) {
  return getOutput(module, target, "winograd_output", &Transforms::output);
}

func::FuncOp getWinogradStepsInput(ModuleOp module, const TargetInfo &target) {
  return getInput(module, target, "winograd_steps_input", /*distances=*/0,
                  &Transforms::stepsInput);
}

func::FuncOp getWinogradStepsOutput(ModuleOp module, const TargetInfo &target) {
  return getOutput(module, target, "winograd_steps_output",
                   &Transforms::stepsOutput);
}

} // namespace tenon
