//===- Signal.cpp - Fourier transforms and windows ------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A transform of length L is one real matrix product: real and imaginary parts
// are neighbours in memory, so row (j, p) and column (k, q) of the matrix hold
// what part p of element j adds to part q of element k,
//
//   cos(2 pi j k / L + (q - p) pi/2)           and -2 pi j k / L backwards
//
// Angles are counted in quarters of the smallest step, 4jk + L(q - p) modulo
// 4L, which is exact. Matrices of static dims are constants up to a size.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Mod.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "lib/Import/Onnx/Node/Axes.h"
#include "lib/Import/Onnx/Node/Registry.h"
#include <cmath>

using namespace mlir;

namespace tenon::onnximport {

namespace {

/// Constant matrices above this many elements are computed in each run.
constexpr int64_t kMaxConstant = int64_t(1) << 22;
constexpr double kPi = 3.14159265358979323846;

struct Transform {
  NodeImporter &n;
  SymExpr length;         ///< L
  bool inverse, onesided; ///< ONNX's attributes
  SymExpr rows{0};        ///< elements that are read
  SymExpr parts{0};       ///< of each: 1 (real) or 2

  bool toReal() const { return inverse && onesided; }
  SymExpr half() const {
    return SymExpr::apply(SymExpr::Fn::FloorDiv, length, SymExpr(2)) +
           SymExpr(1);
  }
  SymExpr columns() const { return onesided && !inverse ? half() : length; }
  int64_t outParts() const { return toReal() ? 1 : 2; }

  Value apply(Value x);

private:
  Value matrix(Type type);
  Value constantMatrix(Type type, int64_t J, int64_t P, int64_t K, int64_t L);
  Value computedMatrix(Type type);
};

/// Half a spectrum stands for the whole: what has a mirror image counts twice.
double mirrorWeight(int64_t j, int64_t L) {
  return j == 0 || 2 * j == L ? 1.0 : 2.0;
}

Value Transform::constantMatrix(Type type, int64_t J, int64_t P, int64_t K,
                                int64_t L) {
  int64_t Q = outParts();
  std::vector<double> turn(4 * L);
  for (int64_t a = 0; a < 4 * L; ++a)
    turn[a] = std::cos(kPi / 2 * double(a) / double(L));
  std::vector<double> values;
  values.reserve(J * P * K * Q);
  for (int64_t j = 0; j < J; ++j)
    for (int64_t p = 0; p < P; ++p)
      for (int64_t k = 0; k < K; ++k)
        for (int64_t q = 0; q < Q; ++q) {
          int64_t quarters = 4 * (j * k % L) * (inverse ? -1 : 1) + L * (q - p);
          double v = turn[((quarters % (4 * L)) + 4 * L) % (4 * L)];
          if (toReal())
            v *= mirrorWeight(j, L);
          values.push_back(inverse ? v / double(L) : v);
        }
  auto tensor = RankedTensorType::get({J * P, K * Q}, type);
  if (type.isF64())
    return n.constant(DenseElementsAttr::get(tensor, ArrayRef<double>(values)));
  std::vector<float> narrow(values.begin(), values.end());
  return n.constant(DenseElementsAttr::get(tensor, ArrayRef<float>(narrow)));
}

Value Transform::computedMatrix(Type type) {
  Type i64 = n.builder.getI64Type(), f64 = n.builder.getF64Type();
  SymExpr Q(outParts());
  auto along = [&](const SymExpr &size, int64_t dim) {
    Dims dims(4, SymExpr(1));
    dims[dim] = size;
    return n.reshape(n.iota(size, i64), dims);
  };
  Value j = along(rows, 0), p = along(parts, 1), k = along(columns(), 2),
        q = along(Q, 3);
  Value L = n.dimScalar(length, i64);
  // Modulo L first: 4jk alone might leave 64 bits.
  Value quarters =
      n.mulScalar(n.make<ModOp>({n.mul(j, k), L}), inverse ? -4 : 4);
  quarters = n.add(quarters, n.mul(L, n.sub(q, p)));
  quarters = n.make<ModOp>({quarters, n.mulScalar(L, 4)});
  Value size = n.cast(L, f64);
  Value v =
      n.make<CosOp>({n.div(n.mulScalar(n.cast(quarters, f64), kPi / 2), size)});
  if (toReal()) {
    Value twice = n.mulScalar(j, 2);
    Value alone = n.make<OrOp>({n.compareScalar(CompareKind::eq, j, 0),
                                n.compare(CompareKind::eq, twice, L)});
    v = n.mul(v, n.select(alone, n.scalar(1, f64), n.scalar(2, f64)));
  }
  if (inverse)
    v = n.div(v, size);
  return n.reshape(n.cast(v, type), {rows * parts, columns() * Q});
}

Value Transform::matrix(Type type) {
  std::optional<int64_t> J = rows.constant(), P = parts.constant(),
                         K = columns().constant(), L = length.constant();
  if (J && P && K && L && *L > 0 && *J * *P > 0 &&
      *J * *P <= kMaxConstant / (*K * outParts()) && *L <= kMaxConstant)
    return constantMatrix(type, *J, *P, *K, *L);
  return computedMatrix(type);
}

/// Of x [..., n, parts]: the result is [..., columns, outParts].
Value Transform::apply(Value x) {
  Dims dims = n.dims(x);
  Type type = NodeImporter::elem(x);
  parts = dims.back();
  n.checkNonNegative(length);
  n.checkNonNegative(parts - SymExpr(1));
  n.checkNonNegative(SymExpr(2) - parts);
  // Elements past the length are dropped; missing ones are 0 and left out.
  SymExpr wanted = toReal() ? half() : length;
  const SymExpr &given = dims[dims.size() - 2];
  rows = (wanted - given).isNonNegative() ? given
         : (given - wanted).isNonNegative()
             ? wanted
             : SymExpr::apply(SymExpr::Fn::Min, given, wanted);
  if (n.failed())
    return nullptr;
  Dims outer(dims.begin(), dims.end() - 2);
  x = n.slice(x, outer.size(), SymExpr(0), rows);
  bool narrow = type.isF16() || type.isBF16();
  Type compute = narrow ? Type(n.builder.getF32Type()) : type;
  x = n.reshape(n.cast(x, compute), {productOf(outer), rows * parts});
  Value y = n.cast(n.matmul(x, matrix(compute)), type);
  outer.append({columns(), SymExpr(outParts())});
  return n.reshape(y, outer);
}

/// A scalar operand as an expression of dims; nullopt after an error.
std::optional<SymExpr> knownScalar(NodeImporter &n, unsigned input,
                                   StringRef what) {
  std::optional<Dims> value = n.knownDims(n.in(input), what);
  if (value && value->size() == 1)
    return value->front();
  n.error("'" + what + "' must have one element");
  return std::nullopt;
}

} // namespace

static Value transformAlong(NodeImporter &n, Value x, int64_t axis) {
  int64_t rank = n.rank(x);
  Transform t{n, n.dims(x)[axis], n.getInt("inverse", 0) != 0,
              n.getInt("onesided", 0) != 0};
  if (t.toReal())
    t.length = (t.length - SymExpr(1)) * SymExpr(2);
  if (n.has(1)) {
    std::optional<SymExpr> length = knownScalar(n, 1, "dft_length");
    if (!length)
      return nullptr;
    t.length = *length;
  }
  Ints swap;
  for (int64_t i = 0; i < rank; ++i)
    swap.push_back(i);
  std::swap(swap[axis], swap[rank - 2]);
  return n.transpose(t.apply(n.transpose(x, swap)), swap);
}

/// The axis is an attribute, from opset 20 on an operand; never the last dim,
/// which holds the parts of a number. One that only a run knows is the second
/// of four dims.
static void dft(NodeImporter &n) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  int64_t rank = dims.size();
  std::optional<SymExpr> given(n.opset >= 20 ? -2 : n.getInt("axis", 1));
  if (n.has(2))
    given = knownScalar(n, 2, "axis");
  if (given && rank < 2)
    n.error("expected an input of rank 2 or more, found rank " + Twine(rank));
  if (!given || n.failed())
    return;
  RuntimeAxes chosen(n, {*given}, rank);
  if (n.failed())
    return;
  if (chosen.has(rank - 1) == SymExpr(1)) {
    n.error("axis " + Twine(rank - 1) +
            " holds the parts of a number: expected another");
    return;
  }
  n.checkEqual(chosen.has(rank - 1), SymExpr(0));
  for (int64_t axis = 0; axis < rank - 1; ++axis)
    if (chosen.has(axis) == SymExpr(1)) {
      n.out(0, transformAlong(n, x, axis));
      return;
    }
  Dims split = chosen.around(ArrayRef(dims).drop_back());
  split.push_back(dims.back());
  Value y = transformAlong(n, n.reshape(x, split), 1);
  if (n.failed())
    return;
  for (int64_t i = 0; i < rank - 1; ++i)
    dims[i] = chosen.valueOf(i, {n.dims(y)[1]}, dims[i]);
  dims.back() = n.dims(y)[3];
  n.out(0, n.reshape(y, dims));
}

static void stft(NodeImporter &n) {
  Value signal = n.in(0);
  // A real signal may be [batch, length], as onnxruntime takes it.
  if (n.rank(signal) == 2)
    signal = n.unsqueeze(signal, {2});
  Dims dims = n.dims(signal);
  if (dims.size() != 3) {
    n.error("expected a signal of rank 2 or 3, found rank " +
            Twine(dims.size()));
    return;
  }
  std::optional<SymExpr> step = knownScalar(n, 1, "frame_step");
  std::optional<SymExpr> length = dims[1];
  if (n.has(2))
    length = n.dims(n.in(2))[0];
  if (n.has(3))
    length = knownScalar(n, 3, "frame_length");
  if (!step || !length)
    return;
  n.checkNonNegative(*step - SymExpr(1));
  n.checkNonNegative(dims[1] - *length);
  SymExpr frames =
      SymExpr::apply(SymExpr::Fn::FloorDiv, dims[1] - *length, *step) +
      SymExpr(1);
  Type i64 = n.builder.getI64Type();
  Value first = n.mul(n.iota(frames, i64), n.dimScalar(*step, i64));
  Value at =
      n.add(n.unsqueeze(first, {1}), n.unsqueeze(n.iota(*length, i64), {0}));
  Value x = n.gather(signal, at, 1); // [batch, frames, length, parts]
  if (n.has(2))
    x = n.mul(x, n.unsqueeze(n.in(2), {1}));
  Transform t{n, *length, /*inverse=*/false, n.getInt("onesided", 1) != 0};
  if (!n.failed())
    n.out(0, t.apply(x));
}

//===----------------------------------------------------------------------===//
// Windows
//===----------------------------------------------------------------------===//

/// a0 - a1 cos(2 pi i / N) + a2 cos(4 pi i / N), in f64 and rounded once.
static void window(NodeImporter &n, double a0, double a1, double a2) {
  std::optional<SymExpr> size = knownScalar(n, 0, "size");
  Type type = n.elementType(n.getInt("output_datatype", 1));
  if (!size || n.failed())
    return;
  n.checkNonNegative(*size);
  Type i64 = n.builder.getI64Type(), f64 = n.builder.getF64Type();
  SymExpr period = *size - SymExpr(n.getInt("periodic", 1) ? 0 : 1);
  Value at = n.div(n.cast(n.iota(*size, i64), f64),
                   n.cast(n.dimScalar(period, i64), f64));
  auto wave = [&](double turns) {
    return n.make<CosOp>({n.mulScalar(at, 2 * kPi * turns)});
  };
  Value y = n.addScalar(n.mulScalar(wave(1), -a1), a0);
  if (a2 != 0)
    y = n.add(y, n.mulScalar(wave(2), a2));
  n.out(0, n.cast(y, type));
}

static void hannWindow(NodeImporter &n) { window(n, 0.5, 0.5, 0); }
static void hammingWindow(NodeImporter &n) {
  window(n, 25.0 / 46, 21.0 / 46, 0);
}
static void blackmanWindow(NodeImporter &n) { window(n, 0.42, 0.5, 0.08); }

void registerSignal(Registry &r) {
  r.add("DFT", 17, dft);
  r.add("STFT", 17, stft);
  r.add("HannWindow", 17, hannWindow);
  r.add("HammingWindow", 17, hammingWindow);
  r.add("BlackmanWindow", 17, blackmanWindow);
}

} // namespace tenon::onnximport
