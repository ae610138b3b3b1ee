//===- Features.cpp - feature extraction and heads of classifiers ---------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Abs.h"
#include "dialects/Tenon/IR/Ops/Neg.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "lib/Import/Onnx/Node/Registry.h"
#include "llvm/ADT/STLExtras.h"
#include <cmath>

using namespace mlir;

namespace tenon::onnximport {

/// x[..., indices]; a vector gives one row.
static void arrayFeatureExtractor(NodeImporter &n) {
  Value x = n.in(0);
  int64_t rank = n.rank(x);
  if (rank == 0) {
    n.error("expected an input of rank 1 or more, found a scalar");
    return;
  }
  Value at = n.reshape(n.in(1), {productOf(n.dims(n.in(1)))});
  Value y = n.gather(x, at, rank - 1);
  n.out(0, rank == 1 ? n.unsqueeze(y, {0}) : y);
}

static void binarizer(NodeImporter &n) {
  Value x = n.in(0);
  Value above = n.compareScalar(CompareKind::gt, x, n.getFloat("threshold", 0));
  n.out(0, n.cast(above, NodeImporter::elem(x)));
}

//===----------------------------------------------------------------------===//
// Rows of features: what stands before and behind a model of scikit-learn
//===----------------------------------------------------------------------===//

/// Numbers of an attribute as x has them: one for all, or one per feature,
/// which are the last dim.
static Value perFeature(NodeImporter &n, StringRef name, Value x) {
  SmallVector<float> numbers = n.getFloats(name);
  if (n.failed())
    return nullptr;
  if (numbers.empty())
    return n.error(name + " is missing");
  if (numbers.size() == 1)
    return n.scalarLike(numbers.front(), x);
  if (n.rank(x) == 0)
    return n.error("expected an input of rank 1 or 2, found a scalar");
  n.checkEqual(n.dims(x).back(), SymExpr(int64_t(numbers.size())));
  return n.cast(n.constant(DenseElementsAttr::get(
                    RankedTensorType::get({int64_t(numbers.size())},
                                          n.builder.getF32Type()),
                    ArrayRef<float>(numbers))),
                n.elem(x));
}

/// In f64 where the input is, else in f32.
static Value features(NodeImporter &n) {
  Value x = n.in(0);
  if (n.elem(x).isF64())
    return x;
  return n.cast(x, n.builder.getF32Type());
}

static void scaler(NodeImporter &n) {
  Value x = features(n);
  Value y =
      n.mul(n.sub(x, perFeature(n, "offset", x)), perFeature(n, "scale", x));
  n.out(0, n.cast(y, n.builder.getF32Type()));
}

/// Rows by their largest element or by a norm, but for those where it is 0.
static void normalizer(NodeImporter &n) {
  Value x = features(n);
  if (n.failed())
    return;
  int64_t rank = n.rank(x);
  if (rank < 1 || rank > 2) {
    n.error("expected an input of rank 1 or 2, found rank " + Twine(rank));
    return;
  }
  std::string norm = n.getString("norm", "MAX");
  Value by;
  if (norm == "MAX")
    by = n.reduce(ReduceKind::max, x, {rank - 1});
  else if (norm == "L1")
    by = n.reduce(ReduceKind::sum, n.make<AbsOp>({x}), {rank - 1});
  else if (norm == "L2")
    by = n.sqrt(n.reduce(ReduceKind::sum, n.mul(x, x), {rank - 1}));
  else
    n.error("norm must be MAX, L1 or L2, found '" + norm + "'");
  Value none = n.compareScalar(CompareKind::eq, by, 0);
  Value y = n.div(x, n.select(none, n.scalarLike(1, by), by));
  n.out(0, n.cast(y, n.builder.getF32Type()));
}

static void imputer(NodeImporter &n) {
  Value x = n.in(0), missing, instead;
  if (n.isFloat(x)) {
    double replaced = n.getFloat("replaced_value_float", 0);
    missing = std::isnan(replaced)
                  ? n.compare(CompareKind::ne, x, x)
                  : n.compareScalar(CompareKind::eq, x, replaced);
    instead = perFeature(n, "imputed_value_floats", x);
  } else {
    Ints numbers = n.getInts("imputed_value_int64s").value_or(Ints());
    if (numbers.empty() || n.rank(x) == 0) {
      n.error("expected imputed_value_int64s and an input of rank 1 or more");
      return;
    }
    if (numbers.size() > 1)
      n.checkEqual(n.dims(x).back(), SymExpr(int64_t(numbers.size())));
    Value replaced = n.ints({n.getInt("replaced_value_int64", 0)});
    missing = n.compare(CompareKind::eq, x, n.cast(replaced, n.elem(x)));
    instead = n.cast(n.ints(numbers), n.elem(x));
  }
  n.out(0, n.select(missing, instead, x));
}

/// An input as a matrix of f32; a vector is one row.
static Value rowsOf(NodeImporter &n, unsigned input) {
  Value x = n.cast(n.in(input), n.builder.getF32Type());
  if (!x || n.failed())
    return nullptr;
  if (n.rank(x) == 1)
    return n.unsqueeze(x, {0});
  return n.rank(x) == 2
             ? x
             : n.error("expected inputs of rank 1 or 2, found rank " +
                       Twine(n.rank(x)));
}

static void featureVectorizer(NodeImporter &n) {
  Ints sizes = n.getInts("inputdimensions").value_or(Ints());
  SmallVector<Value> parts;
  for (unsigned i = 0; i < n.numInputs(); ++i) {
    parts.push_back(rowsOf(n, i));
    if (parts.back() && i < sizes.size())
      n.checkEqual(n.dims(parts.back()).back(), SymExpr(sizes[i]));
  }
  n.out(0, n.concat(parts, 1));
}

//===----------------------------------------------------------------------===//
// TfIdfVectorizer
//===----------------------------------------------------------------------===//

namespace {
/// The pool's n-grams of one length, and the number of the first.
struct Grams {
  int64_t length, first, count;
  ArrayRef<int64_t> items;
};

struct TfIdf {
  NodeImporter &n;
  Ints counts, indexes, pool;
  SmallVector<float> weights;
  int64_t shortest = 0, longest = 0, skips = 0, size = 0;

  bool read();
  SmallVector<Grams> grams() const;
  Value countOf(Value rows, const Grams &grams);
  Value total(Value rows);
};
} // namespace

bool TfIdf::read() {
  counts = n.getInts("ngram_counts").value_or(Ints());
  indexes = n.getInts("ngram_indexes").value_or(Ints());
  pool = n.getInts("pool_int64s").value_or(Ints());
  weights = n.getFloats("weights");
  shortest = n.getInt("min_gram_length", 1);
  longest = n.getInt("max_gram_length", 1);
  skips = n.getInt("max_skip_count", 0);
  if (n.hasAttr("pool_strings")) {
    n.error("pool_strings are not supported: expected pool_int64s");
    return false;
  }
  bool sorted = llvm::is_sorted(counts) && !counts.empty() &&
                counts.front() >= 0 && counts.back() <= int64_t(pool.size());
  if (!sorted || shortest < 1 || longest < shortest || skips < 0 ||
      longest > int64_t(counts.size())) {
    n.error("ngram_counts, pool_int64s and the gram lengths do not fit");
    return false;
  }
  int64_t total = 0;
  for (const Grams &g : grams())
    total = std::max(total, g.first + g.count);
  if (indexes.empty() || total > int64_t(indexes.size()) ||
      llvm::any_of(indexes,
                   [](int64_t i) { return i < 0 || i >= INT32_MAX; })) {
    n.error("ngram_indexes must have an index of 0 or more for each of the " +
            Twine(total) + " n-grams, found " + Twine(indexes.size()));
    return false;
  }
  size = *llvm::max_element(indexes) + 1;
  if (weights.empty())
    return true;
  if (weights.size() != indexes.size()) {
    n.error("expected " + Twine(indexes.size()) + " weights, found " +
            Twine(weights.size()));
    return false;
  }
  // Given in the pool's order, used by column.
  SmallVector<float> byColumn(size, 0);
  for (auto [index, weight] : llvm::zip(indexes, weights))
    byColumn[index] = weight;
  weights = byColumn;
  return true;
}

/// Those of the wanted lengths.
SmallVector<Grams> TfIdf::grams() const {
  SmallVector<Grams> result;
  int64_t first = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    int64_t length = i + 1, from = counts[i];
    int64_t to = length < int64_t(counts.size()) ? counts[length] : pool.size();
    int64_t count = (to - from) / length;
    if (count > 0 && length >= shortest && length <= longest)
      result.push_back({length, first, count,
                        ArrayRef<int64_t>(pool).slice(from, count * length)});
    first += count;
  }
  return result;
}

/// [rows, count]: how often each n-gram occurs, its items `distance` apart for
/// every distance up to the skips allowed.
Value TfIdf::countOf(Value rows, const Grams &g) {
  Dims dims = n.dims(rows);
  Type f32 = n.builder.getF32Type();
  Value sum;
  int64_t distances = g.length == 1 ? 1 : skips + 1;
  for (int64_t distance = 1; distance <= distances; ++distance) {
    SymExpr places = dims[1] - SymExpr((g.length - 1) * distance);
    if (places.constant().value_or(1) <= 0)
      break; // the row is too short, and shorter yet for longer distances
    if (!places.isNonNegative())
      places = SymExpr::apply(SymExpr::Fn::Max, places, SymExpr(0));
    Value hit;
    for (int64_t k = 0; k < g.length; ++k) {
      Ints wanted;
      for (int64_t i = 0; i < g.count; ++i)
        wanted.push_back(g.items[i * g.length + k]);
      Value part = n.slice(rows, 1, SymExpr(k * distance), places);
      Value same =
          n.compare(CompareKind::eq, n.unsqueeze(part, {2}), n.ints(wanted));
      hit = hit ? n.andOp(hit, same) : same;
    }
    Value found = n.reduce(ReduceKind::sum, n.cast(hit, f32), {1},
                           /*keepdims=*/false);
    sum = sum ? n.add(sum, found) : found;
  }
  return sum ? sum : n.broadcast(n.scalar(0, f32), {dims[0], SymExpr(g.count)});
}

/// [rows, size]: the counts at their indexes; several n-grams may share one.
Value TfIdf::total(Value rows) {
  Dims dims = n.dims(rows);
  Value none =
      n.broadcast(n.scalar(0, n.builder.getF32Type()), {dims[0], SymExpr(1)});
  SmallVector<Value> parts = {none};
  SmallVector<Ints> sources(size); // columns of the parts, joined
  int64_t column = 1;
  for (const Grams &g : grams()) {
    parts.push_back(countOf(rows, g));
    for (int64_t i = 0; i < g.count; ++i)
      sources[indexes[g.first + i]].push_back(column++);
  }
  Value joined = n.concat(parts, 1), sum;
  for (size_t level = 0;; ++level) {
    Ints at;
    bool any = false;
    for (const Ints &columns : sources) {
      any |= level < columns.size();
      at.push_back(level < columns.size() ? columns[level] : 0);
    }
    if (level > 0 && !any)
      return sum;
    Value part = n.gather(joined, n.ints(at), 1);
    sum = sum ? n.add(sum, part) : part;
  }
}

static void tfIdfVectorizer(NodeImporter &n) {
  Value x = n.in(0);
  int64_t rank = n.rank(x);
  if (rank != 1 && rank != 2) {
    n.error("expected an input of rank 1 or 2, found " + Twine(rank));
    return;
  }
  TfIdf t{n, {}, {}, {}, {}};
  if (!t.read())
    return;
  Value rows = n.cast(x, n.builder.getI64Type());
  rows = rank == 1 ? n.unsqueeze(rows, {0}) : rows;
  Value y = t.total(rows);
  std::string mode = n.getString("mode", "");
  Value weights;
  if (!t.weights.empty()) {
    weights = n.constant(DenseElementsAttr::get(
        RankedTensorType::get({t.size}, n.builder.getF32Type()),
        ArrayRef<float>(t.weights)));
  }
  if (mode == "IDF")
    y = n.cast(n.compareScalar(CompareKind::gt, y, 0), n.builder.getF32Type());
  else if (mode != "TF" && mode != "TFIDF")
    n.error("mode must be TF, IDF or TFIDF, found '" + mode + "'");
  if (mode != "TF" && weights)
    y = n.mul(y, weights);
  n.out(0, rank == 1 ? n.reshape(y, {SymExpr(t.size)}) : y);
}

//===----------------------------------------------------------------------===//
// MelWeightMatrix
//===----------------------------------------------------------------------===//

/// Triangles over the bins of a spectrum, evenly spaced on the mel scale.
static void melWeightMatrix(NodeImporter &n) {
  std::optional<Dims> bins = n.knownDims(n.in(0), "num_mel_bins");
  std::optional<Dims> length = n.knownDims(n.in(1), "dft_length");
  if (!bins || !length || bins->size() != 1 || length->size() != 1) {
    n.error("num_mel_bins and dft_length must be scalars");
    return;
  }
  SymExpr count = bins->front(), dft = length->front();
  n.checkNonNegative(count);
  n.checkNonNegative(dft);
  Type f64 = n.builder.getF64Type(), i64 = n.builder.getI64Type();
  constexpr double perMel = 2.302585092994045684 / 2595;
  auto toMel = [&](Value hertz) {
    Value v = n.mulScalar(n.reshape(n.cast(hertz, f64), {}), 1.0 / 700);
    return n.mulScalar(n.log(n.addScalar(v, 1)), 1 / perMel);
  };
  auto size = [&](const SymExpr &e) {
    return n.cast(n.dimScalar(e, i64), f64);
  };
  SymExpr edges = count + SymExpr(2);
  Value low = toMel(n.in(3)), high = toMel(n.in(4));
  Value step = n.div(n.sub(high, low), size(edges));
  Value mel = n.add(n.mul(n.cast(n.iota(edges, i64), f64), step), low);
  Value hertz =
      n.mulScalar(n.addScalar(n.exp(n.mulScalar(mel, perMel)), -1), 700);
  Value rate = n.reshape(n.cast(n.in(2), f64), {});
  Value at =
      n.make<FloorOp>({n.div(n.mul(hertz, size(dft + SymExpr(1))), rate)});
  Value left = n.slice(at, 0, SymExpr(0), count);
  Value centre = n.slice(at, 0, SymExpr(1), count);
  Value right = n.slice(at, 0, SymExpr(2), count);
  SymExpr rows = SymExpr::apply(SymExpr::Fn::FloorDiv, dft, 2) + SymExpr(1);
  Value row = n.unsqueeze(n.cast(n.iota(rows, i64), f64), {1});
  Value zero = n.scalar(0, f64), one = n.scalar(1, f64);
  auto isRow = [&](CompareKind kind, Value edge) {
    return n.compare(kind, row, edge);
  };
  Value rise = n.sub(centre, left), fall = n.sub(right, centre);
  Value rising =
      n.andOp(isRow(CompareKind::ge, left), isRow(CompareKind::le, centre));
  Value up = n.select(rising, n.div(n.sub(row, left), rise), zero);
  Value peak = n.select(isRow(CompareKind::eq, centre), one, zero);
  up = n.select(n.compare(CompareKind::eq, rise, zero), peak, up);
  Value falling = n.andOp(
      n.andOp(isRow(CompareKind::ge, centre), isRow(CompareKind::lt, right)),
      n.compare(CompareKind::gt, fall, zero));
  Value y = n.select(falling, n.div(n.sub(right, row), fall), up);
  n.out(0, n.cast(y, n.elementType(n.getInt("output_datatype", 1))));
}

//===----------------------------------------------------------------------===//
// Heads of classifiers
//===----------------------------------------------------------------------===//

/// exp over the sum along the last dim; scores of 0 count for nothing.
static Value softmaxWithoutZeros(NodeImporter &n, Value s) {
  constexpr double none = 1e-7;
  int64_t last = n.rank(s) - 1;
  Value most = n.reduce(ReduceKind::max, s, {last});
  Value isZero = n.compareScalar(CompareKind::le, n.make<AbsOp>({s}), none);
  Value power = n.exp(n.sub(s, most));
  Value sum = n.reduce(ReduceKind::sum,
                       n.select(isZero, n.scalarLike(0, s), power), {last});
  Value rest = n.mul(s, n.exp(n.make<NegOp>({most})));
  return n.div(n.select(isZero, rest, power), sum);
}

/// Where the normal distribution has so much below it, by Winitzki's formula
/// for the inverse of erf, as onnxruntime has it.
static Value probit(NodeImporter &n, Value s) {
  constexpr double a = 0.147, pi = 3.14159;
  Value x = n.addScalar(n.mulScalar(s, 2), -1);
  Value one = n.scalarLike(1, x);
  Value log = n.log(n.mul(n.sub(one, x), n.add(one, x)));
  Value v = n.addScalar(n.mulScalar(log, 0.5), 2 / (pi * a));
  Value root = n.sqrt(n.sub(n.mul(v, v), n.mulScalar(log, 1 / a)));
  Value size = n.sqrt(n.sub(root, v));
  Value sign = n.select(n.compareScalar(CompareKind::lt, x, 0),
                        n.scalarLike(-1, x), one);
  return n.mulScalar(n.mul(sign, size), 1.41421356);
}

/// A linear model's scores as they leave it; null after an error.
static Value transformScores(NodeImporter &n, Value scores) {
  std::string kind = n.getString("post_transform", "NONE");
  if (kind == "NONE")
    return scores;
  if (kind == "LOGISTIC")
    return n.make<SigmoidOp>({scores});
  if (kind == "SOFTMAX")
    return n.softmaxLast(scores);
  if (kind == "SOFTMAX_ZERO")
    return softmaxWithoutZeros(n, scores);
  if (kind == "PROBIT")
    return probit(n, scores);
  return n.error("post_transform must be NONE, LOGISTIC, SOFTMAX, "
                 "SOFTMAX_ZERO or PROBIT, found '" +
                 kind + "'");
}

/// A linear model's scores of the input's rows: [N, scores] in f32; null after
/// an error.
static Value linearScores(NodeImporter &n, Value x, int64_t scores,
                          ArrayRef<float> weights, ArrayRef<float> bias) {
  auto table = [&](ArrayRef<int64_t> dims, ArrayRef<float> numbers) {
    return n.constant(DenseElementsAttr::get(
        RankedTensorType::get(dims, n.builder.getF32Type()), numbers));
  };
  Value y =
      n.matmul(x, table({scores, int64_t(weights.size()) / scores}, weights),
               /*transposeA=*/false, /*transposeB=*/true);
  return bias.empty() ? y : n.add(y, table({scores}, bias));
}

static void linearRegressor(NodeImporter &n) {
  Value x = rowsOf(n, 0);
  SmallVector<float> weights = n.getFloats("coefficients");
  SmallVector<float> biases = n.getFloats("intercepts");
  int64_t targets = n.getInt("targets", 1), count = weights.size();
  if (targets < 1 || count == 0 || count % targets != 0 ||
      (!biases.empty() && int64_t(biases.size()) != targets)) {
    n.error("expected coefficients and intercepts for " + Twine(targets) +
            " targets, found " + Twine(count) + " and " + Twine(biases.size()));
    return;
  }
  std::string post = n.getString("post_transform", "NONE");
  if (post != "NONE" && post != "LOGISTIC" && post != "SOFTMAX") {
    n.error("post_transform must be NONE, LOGISTIC or SOFTMAX, found '" + post +
            "'");
    return;
  }
  n.out(0, transformScores(n, linearScores(n, x, targets, weights, biases)));
}

/// A classifier has as many scores as its coefficients and the features say;
/// null after an error.
static Value classScores(NodeImporter &n) {
  Value x = rowsOf(n, 0);
  if (!x)
    return x;
  std::optional<int64_t> features = n.dims(x)[1].constant();
  SmallVector<float> weights = n.getFloats("coefficients"),
                     bias = n.getFloats("intercepts");
  int64_t all = weights.size();
  if (!features || *features == 0 || all == 0 || all % *features != 0)
    return n.error("expected coefficients for each score and each of the "
                   "input's features, found " +
                   Twine(all) + " for the dim '" + n.dims(x)[1].str() + "'");
  int64_t scores = all / *features;
  if (!bias.empty() && int64_t(bias.size()) != scores)
    return n.error("expected " + Twine(scores) + " intercepts, found " +
                   Twine(bias.size()));
  return linearScores(n, x, scores, weights, bias);
}

static void linearClassifier(NodeImporter &n) {
  std::optional<Ints> labels = n.getInts("classlabels_ints");
  if (!n.getStrings("classlabels_strings").empty()) {
    n.error("labels that are strings are not supported: expected "
            "classlabels_ints");
    return;
  }
  Value scores = classScores(n);
  if (!scores)
    return;
  int64_t count = *n.dims(scores)[1].constant();
  Ints names = labels.value_or(count == 1 ? Ints{0, 1} : Ints());
  if (int64_t(names.size()) != std::max<int64_t>(count, 2)) {
    n.error("expected " + Twine(std::max<int64_t>(count, 2)) +
            " classlabels_ints, found " + Twine(names.size()));
    return;
  }
  Value best;
  if (count == 1) // of two classes the second one's
    best = n.cast(n.squeeze(n.compareScalar(CompareKind::gt, scores, 0), {1}),
                  n.builder.getI64Type());
  else
    best = n.make<ArgReduceOp>(
        {scores}, {n.named("axis", n.builder.getI64IntegerAttr(1))});
  n.out(0, n.gather(n.ints(names), best, 0));

  std::string kind = n.getString("post_transform", "NONE");
  if (count == 1 && StringRef(kind).starts_with("SOFTMAX"))
    kind = "NONE"; // of one score, as onnxruntime has it; so below
  if (count > 1 || !labels) {
    n.out(1,
          count > 1 || kind == "PROBIT" ? transformScores(n, scores) : scores);
    return;
  }
  if (kind == "PROBIT") {
    n.error("PROBIT of one score for two labels is not defined");
    return;
  }
  // The first class has what the second leaves.
  if (kind == "NONE")
    n.out(1, n.concat({n.sub(n.scalarLike(1, scores), scores), scores}, 1));
  else
    n.out(1,
          transformScores(n, n.concat({n.make<NegOp>({scores}), scores}, 1)));
}

void registerFeatures(Registry &r) {
  r.add("ai.onnx.ml", "ArrayFeatureExtractor", 1, arrayFeatureExtractor);
  r.add("ai.onnx.ml", "Binarizer", 1, binarizer);
  r.add("ai.onnx.ml", "FeatureVectorizer", 1, featureVectorizer);
  r.add("ai.onnx.ml", "Imputer", 1, imputer);
  r.add("ai.onnx.ml", "LinearClassifier", 1, linearClassifier);
  r.add("ai.onnx.ml", "LinearRegressor", 1, linearRegressor);
  r.add("ai.onnx.ml", "Normalizer", 1, normalizer);
  r.add("ai.onnx.ml", "Scaler", 1, scaler);
  r.add("TfIdfVectorizer", 9, tfIdfVectorizer);
  r.add("MelWeightMatrix", 17, melWeightMatrix);
}

} // namespace tenon::onnximport
