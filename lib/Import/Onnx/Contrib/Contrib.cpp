//===- Contrib.cpp - com.microsoft's products and activations -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonMath.h"
#include "lib/Import/Onnx/Ops/MatMul.h"

using namespace mlir;

namespace tenon::onnximport {

//===----------------------------------------------------------------------===//
// Activations with a bias
//===----------------------------------------------------------------------===//

static Value withBias(NodeImporter &n) {
  return n.has(1) ? n.add(n.in(0), n.in(1)) : n.in(0);
}

static void gelu(NodeImporter &n) {
  if (n.requireInputs({0}))
    n.out(0, n.make<GeluOp>({withBias(n)}));
}

static void fastGelu(NodeImporter &n) {
  if (n.requireInputs({0}))
    n.out(0, n.make<GeluOp>({withBias(n)}, {n.flag("approximate")}));
}

/// (x + bias) of two halves: the left times gelu of the right.
static void biasSplitGelu(NodeImporter &n) {
  if (!n.requireInputs({0, 1}))
    return;
  Value x = n.add(n.in(0), n.in(1));
  if (n.failed() || n.rank(x) == 0)
    return;
  int64_t last = n.rank(x) - 1;
  std::optional<SymExpr> half = n.dims(x)[last].divideExactly(SymExpr(2));
  if (!half) {
    n.error("expected an even last dim, found " + n.dims(x)[last].str());
    return;
  }
  Value right = n.make<GeluOp>({n.slice(x, last, *half, *half)});
  n.out(0, n.mul(n.slice(x, last, SymExpr(0), *half), right));
}

static void biasAdd(NodeImporter &n) {
  if (n.requireInputs({0, 1, 2}))
    n.out(0, n.add(n.add(n.in(0), n.in(1)), n.in(2)));
}

/// softmax(x + bias) over all dims from `axis` on.
static void biasSoftmax(NodeImporter &n) {
  if (!n.requireInputs({0, 1}))
    return;
  Value x = n.in(0), sum = n.add(x, n.in(1));
  int64_t axis = n.axis(n.getInt("axis", 1), n.rank(x));
  if (n.failed())
    return;
  if (n.rank(x) != n.rank(n.in(1))) {
    n.error("expected a bias of rank " + Twine(n.rank(x)) + ", found " +
            Twine(n.rank(n.in(1))));
    return;
  }
  Dims dims = n.dims(sum);
  ArrayRef<SymExpr> all(dims);
  Value flat = n.reshape(
      sum, {productOf(all.take_front(axis)), productOf(all.drop_front(axis))});
  n.out(0, n.reshape(n.softmaxLast(flat), dims));
}

/// z * sigmoid(z) with z = scale * x.
static void scaledSilu(NodeImporter &n) {
  if (!n.requireInputs({0}))
    return;
  Value x = n.in(0);
  Value z =
      n.has(1) ? n.mul(x, n.cast(n.reshape(n.in(1), {}), NodeImporter::elem(x)))
               : n.mulScalar(x, n.getFloat("alpha", 1));
  n.out(0, n.make<SiluOp>({z}));
}

/// x + y * gate.
static void gatedAdd(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 2}))
    return;
  if (n.has(3)) {
    n.error("gate_weight is not supported");
    return;
  }
  n.out(0, n.add(n.in(0), n.mul(n.in(1), n.in(2))));
}

static void quickGelu(NodeImporter &n) {
  if (!n.requireInputs({0}))
    return;
  Value x = n.in(0);
  double alpha = n.getFloat("alpha", 1.702f);
  n.out(0, n.mul(x, n.make<SigmoidOp>({n.mulScalar(x, alpha)})));
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// Swaps the last two dims.
static Value transposed(NodeImporter &n, Value x) {
  Ints perm;
  for (int64_t i = 0, e = n.rank(x); i < e; ++i)
    perm.push_back(i);
  if (perm.size() < 2)
    return x;
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return n.transpose(x, perm);
}

/// With transBatch, the first dim lies between the other batch dims and the
/// last dim.
static Value batchTransposed(NodeImporter &n, Value x) {
  Ints perm;
  for (int64_t i = 1, e = n.rank(x); i + 1 < e; ++i)
    perm.push_back(i);
  perm.push_back(0);
  if (n.rank(x) < 2)
    return x;
  perm.push_back(n.rank(x) - 1);
  return n.transpose(x, perm);
}

static Value fusedProduct(NodeImporter &n) {
  if (!n.requireInputs({0, 1}))
    return nullptr;
  Value a = n.in(0), b = n.in(1);
  if (n.getInt("transBatchA", 0))
    a = batchTransposed(n, a);
  if (n.getInt("transBatchB", 0))
    b = batchTransposed(n, b);
  bool ta = n.getInt("transA", 0), tb = n.getInt("transB", 0);
  Value y;
  if (n.rank(a) >= 2 && n.rank(b) >= 2)
    y = n.matmul(a, b, ta, tb);
  else
    y = numpyMatMul(n, ta ? transposed(n, a) : a, tb ? transposed(n, b) : b);
  return n.mulScalar(y, n.getFloat("alpha", 1));
}

/// The activation that an attribute names; `parameters` are its alpha and
/// beta, as far as given.
static Value activated(NodeImporter &n, Value y, StringRef kind,
                       ArrayRef<float> parameters) {
  auto parameter = [&](size_t i, double otherwise) {
    return i < parameters.size() ? double(parameters[i]) : otherwise;
  };
  if (!y || kind.empty())
    return y;
  if (kind == "Relu")
    return n.max(y, n.scalarLike(0, y));
  if (kind == "Tanh")
    return n.make<TanhOp>({y});
  if (kind == "Sigmoid")
    return n.make<SigmoidOp>({y});
  if (kind == "LeakyRelu")
    return n.select(n.compareScalar(CompareKind::lt, y, 0),
                    n.mulScalar(y, parameter(0, 0.01f)), y);
  if (kind == "Clip")
    return n.min(n.max(y, n.scalarLike(parameter(0, 0), y)),
                 n.scalarLike(parameter(1, 0), y));
  if (kind == "HardSigmoid") {
    Value line =
        n.addScalar(n.mulScalar(y, parameter(0, 0.2f)), parameter(1, 0.5f));
    return n.max(n.min(line, n.scalarLike(1, y)), n.scalarLike(0, y));
  }
  return n.error("activation '" + kind + "' is not supported");
}

static void fusedMatMul(NodeImporter &n) { n.out(0, fusedProduct(n)); }

static void fusedMatMulActivation(NodeImporter &n) {
  SmallVector<float> parameters;
  for (const char *name : {"activation_alpha", "activation_beta"})
    if (n.hasAttr(name))
      parameters.push_back(float(n.getFloat(name, 0)));
  n.out(0, activated(n, fusedProduct(n), n.getString("activation", ""),
                     parameters));
}

static void gemmFastGelu(NodeImporter &n) {
  if (!n.requireInputs({0, 1}))
    return;
  Value y = numpyMatMul(n, n.in(0), n.in(1));
  if (n.has(2))
    y = n.add(y, n.in(2));
  n.out(0, n.make<GeluOp>({y}, {n.flag("approximate")}));
}

/// activation(conv(x, w) + bias + z).
static void fusedConv(NodeImporter &n) {
  if (!n.requireInputs({0, 1}))
    return;
  Value y = importAs(n, "Conv", {n.in(0), n.in(1), n.in(2)});
  if (n.has(3))
    y = n.add(y, n.in(3));
  SmallVector<float> parameters = n.getFloats("activation_params");
  n.out(0, activated(n, y, n.getString("activation", ""), parameters));
}

/// Gemm and an activation, as the transformer optimizer writes it.
static void fusedGemm(NodeImporter &n) {
  if (!n.requireInputs({0, 1}))
    return;
  Value y =
      n.matmul(n.in(0), n.in(1), n.getInt("transA", 0), n.getInt("transB", 0));
  y = n.mulScalar(y, n.getFloat("alpha", 1));
  if (n.has(2))
    y = n.add(y, n.mulScalar(n.in(2), n.getFloat("beta", 1)));
  SmallVector<float> parameters;
  for (const char *name : {"activation_alpha", "activation_beta"})
    if (n.hasAttr(name))
      parameters.push_back(float(n.getFloat(name, 0)));
  n.out(0, activated(n, y, n.getString("activation", ""), parameters));
}

//===----------------------------------------------------------------------===//
// What ONNX has too
//===----------------------------------------------------------------------===//

/// The same as ONNX's operator of that name.
static void sameAsStandard(NodeImporter &n) {
  SmallVector<Value> operands;
  for (unsigned i = 0; i < n.numInputs(); ++i)
    operands.push_back(n.in(i));
  n.out(0, importAs(n, n.opType(), operands));
}

static void expandDims(NodeImporter &n) {
  if (!n.requireInputs({0, 1}))
    return;
  std::optional<Ints> at = n.constInts(n.in(1), "axis");
  if (!at || at->size() != 1) {
    n.error("expected one axis");
    return;
  }
  n.out(0, n.unsqueeze(n.in(0), *at));
}

void registerContrib(Registry &r) {
  const char *ms = "com.microsoft";
  r.add(ms, "Gelu", 1, gelu);
  r.add(ms, "BiasGelu", 1, gelu);
  r.add(ms, "FastGelu", 1, fastGelu);
  r.add(ms, "QuickGelu", 1, quickGelu);
  r.add(ms, "BiasSplitGelu", 1, biasSplitGelu);
  r.add(ms, "BiasAdd", 1, biasAdd);
  r.add(ms, "BiasSoftmax", 1, biasSoftmax);
  r.add(ms, "ScaledSiLU", 1, scaledSilu);
  r.add(ms, "GatedAdd", 1, gatedAdd);
  r.add(ms, "FusedMatMul", 1, fusedMatMul);
  r.add(ms, "TransposeMatMul", 1, fusedMatMul);
  r.add(ms, "FusedMatMulActivation", 1, fusedMatMulActivation);
  r.add(ms, "FusedGemm", 1, fusedGemm);
  r.add(ms, "GemmFastGelu", 1, gemmFastGelu);
  r.add(ms, "FusedConv", 1, fusedConv);
  for (const char *op : {"Trilu", "Pad", "Range", "GatherND", "GridSample"})
    r.add(ms, op, 1, sameAsStandard);
  r.add(ms, "ExpandDims", 1, expandDims);
}

} // namespace tenon::onnximport
