//===- Einsum.cpp - Einstein sums as matrix products ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Operands are joined from the left. For a pair, each label is in one of four
// roles: batch (both operands, needed later), contracted (both, not needed
// later), free on the left, free on the right. Transposed and joined to
// [batch, left, contracted] and [batch, contracted, right], the pair is one
// matmul. Labels that only one operand has and nobody needs are summed first.
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Node/Registry.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include <map>

using namespace mlir;

namespace tenon::onnximport {

namespace {
/// Labels are letters; the dims under an ellipsis get ones from 128 up, the
/// last dim first, so that operands' ellipses align at the right.
using Labels = SmallVector<unsigned>;

struct Term {
  Value value;
  Labels labels;
};
} // namespace

static bool contains(ArrayRef<unsigned> labels, unsigned label) {
  return llvm::is_contained(labels, label);
}

/// The labels of one operand; nullopt after an error.
static std::optional<Labels> parseTerm(NodeImporter &n, StringRef text,
                                       size_t ellipsisRank) {
  Labels labels;
  for (size_t i = 0; i < text.size(); ++i) {
    if (llvm::isAlpha(text[i])) {
      labels.push_back(text[i]);
    } else if (text.substr(i).starts_with("...")) {
      for (size_t d = ellipsisRank; d-- > 0;)
        labels.push_back(128 + d);
      i += 2;
    } else if (text[i] != ' ') {
      n.error("the equation has an unexpected '" + Twine(text[i]) + "'");
      return std::nullopt;
    }
  }
  return labels;
}

/// Sums over what nobody else needs.
static Term dropUnneeded(NodeImporter &n, Term term,
                         ArrayRef<unsigned> needed) {
  Ints axes;
  Labels kept;
  for (auto [i, label] : llvm::enumerate(term.labels))
    if (contains(needed, label))
      kept.push_back(label);
    else
      axes.push_back(i);
  if (!axes.empty())
    term.value = n.reduce(ReduceKind::sum, term.value, axes, false);
  return {term.value, kept};
}

static Value permuted(NodeImporter &n, const Term &term,
                      ArrayRef<unsigned> order) {
  Ints perm;
  for (unsigned label : order)
    perm.push_back(llvm::find(term.labels, label) - term.labels.begin());
  return n.transpose(term.value, perm);
}

/// The term with a dim of 1 for each label that it lacks.
static Term widened(NodeImporter &n, Term term, ArrayRef<unsigned> labels) {
  for (unsigned label : labels)
    if (!contains(term.labels, label)) {
      term.value = n.unsqueeze(term.value, {0});
      term.labels.insert(term.labels.begin(), label);
    }
  return term;
}

/// A label that occurs twice in a term stands for the diagonal of its two dims:
/// joined, every (size + 1)-th element.
static Term diagonal(NodeImporter &n, Term term) {
  for (size_t i = 0; i < term.labels.size(); ++i) {
    size_t j = i + 1;
    while (j < term.labels.size() && term.labels[j] != term.labels[i])
      ++j;
    if (j == term.labels.size() || n.failed())
      continue;
    Dims dims = n.dims(term.value);
    Ints perm;
    Dims joined;
    Labels labels;
    for (size_t d = 0; d < dims.size(); ++d)
      if (d != i && d != j) {
        perm.push_back(d);
        joined.push_back(dims[d]);
        labels.push_back(term.labels[d]);
      }
    perm.append({int64_t(i), int64_t(j)});
    n.checkEqual(dims[i], dims[j]);
    joined.push_back(dims[i] * dims[j]);
    labels.push_back(term.labels[i]);
    Type i64 = n.builder.getI64Type();
    Value at =
        n.mul(n.iota(dims[i], i64), n.dimScalar(dims[i] + SymExpr(1), i64));
    Value flat = n.reshape(n.transpose(term.value, perm), joined);
    term = {n.gather(flat, at, joined.size() - 1), labels};
    i = size_t(-1); // from the front: a label may occur three times
  }
  return term;
}

static Term multiply(NodeImporter &n, Term a, Term b,
                     ArrayRef<unsigned> needed) {
  Labels own = a.labels;
  own.append(b.labels.begin(), b.labels.end());
  auto neededBy = [&](const Term &other) {
    Labels all(needed);
    all.append(other.labels.begin(), other.labels.end());
    return all;
  };
  a = dropUnneeded(n, a, neededBy(b));
  b = dropUnneeded(n, b, neededBy(a));
  if (n.failed())
    return a;

  Labels batch, contracted, left, right;
  for (unsigned label : a.labels)
    (!contains(b.labels, label) ? left
     : contains(needed, label)  ? batch
                                : contracted)
        .push_back(label);
  for (unsigned label : b.labels)
    if (!contains(a.labels, label))
      right.push_back(label);

  if (contracted.empty()) { // no sum: an elementwise product
    Labels all = batch;
    all.append(left);
    all.append(right);
    Value x = permuted(n, widened(n, a, right), all);
    Value y = permuted(n, widened(n, b, left), all);
    return {n.mul(x, y), all};
  }

  auto order = [](std::initializer_list<ArrayRef<unsigned>> parts) {
    Labels all;
    for (ArrayRef<unsigned> part : parts)
      all.append(part.begin(), part.end());
    return all;
  };
  Value x = permuted(n, a, order({batch, left, contracted}));
  Value y = permuted(n, b, order({batch, contracted, right}));
  if (!x || !y)
    return {nullptr, {}};
  Dims dx = n.dims(x), dy = n.dims(y);
  ArrayRef<SymExpr> ax(dx), ay(dy);
  auto grouped = [&](ArrayRef<SymExpr> dims, size_t middle) {
    Dims to(dims.begin(), dims.begin() + batch.size());
    to.push_back(productOf(dims.slice(batch.size(), middle)));
    to.push_back(productOf(dims.drop_front(batch.size() + middle)));
    return to;
  };
  Value product = n.matmul(n.reshape(x, grouped(ax, left.size())),
                           n.reshape(y, grouped(ay, contracted.size())));
  if (!product)
    return {nullptr, {}};
  Dims result = n.dims(product);
  result.truncate(batch.size());
  result.append(dx.begin() + batch.size(),
                dx.begin() + batch.size() + left.size());
  result.append(dy.begin() + batch.size() + contracted.size(), dy.end());
  return {n.reshape(product, result), order({batch, left, right})};
}

/// Without "->" the result has the labels that occur once, in order.
static Labels implicitResult(ArrayRef<Labels> terms) {
  std::map<unsigned, int> counts;
  for (const Labels &labels : terms)
    for (unsigned label : labels)
      ++counts[label];
  Labels result;
  for (auto &[label, count] : llvm::reverse(counts))
    if (label >= 128)
      result.push_back(label);
  for (auto &[label, count] : counts)
    if (label < 128 && count == 1)
      result.push_back(label);
  return result;
}

static void einsum(NodeImporter &n) {
  std::string equation = n.getString("equation", "");
  auto [inputs, output] = StringRef(equation).split("->");
  bool isExplicit = StringRef(equation).contains("->");
  SmallVector<StringRef> texts;
  inputs.split(texts, ',');
  if (texts.size() != n.numInputs()) {
    n.error("the equation '" + equation + "' has " + Twine(texts.size()) +
            " terms for " + Twine(n.numInputs()) + " operands");
    return;
  }
  SmallVector<Term> terms;
  SmallVector<Labels> written;
  size_t ellipsis = 0;
  for (auto [i, text] : llvm::enumerate(texts)) {
    size_t letters = llvm::count_if(text, llvm::isAlpha);
    size_t rank = n.rank(n.in(i));
    size_t under = text.contains("...") && rank > letters ? rank - letters : 0;
    std::optional<Labels> labels = parseTerm(n, text, under);
    if (!labels)
      return;
    if (labels->size() != rank) {
      n.error("term '" + text + "' of the equation needs an operand of rank " +
              Twine(labels->size()) + ", found " + Twine(rank));
      return;
    }
    ellipsis = std::max(ellipsis, under);
    written.push_back(*labels);
    terms.push_back(diagonal(n, {n.in(i), *labels}));
  }
  std::optional<Labels> result = isExplicit
                                     ? parseTerm(n, output.trim(), ellipsis)
                                     : implicitResult(written);
  if (!result)
    return;
  Term sum = terms.front();
  for (size_t i = 1; i < terms.size() && !n.failed(); ++i) {
    Labels needed = *result;
    for (const Term &later : ArrayRef<Term>(terms).drop_front(i + 1))
      needed.append(later.labels.begin(), later.labels.end());
    sum = multiply(n, sum, terms[i], needed);
  }
  sum = dropUnneeded(n, sum, *result);
  for (unsigned label : *result)
    if (!n.failed() && !contains(sum.labels, label))
      n.error("the result's label occurs in no operand");
  if (!n.failed())
    n.out(0, permuted(n, sum, *result));
}

void registerEinsum(Registry &r) { r.add("Einsum", 12, einsum); }

} // namespace tenon::onnximport
