//===- Sequence.cpp - sequences and optionals -----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Exporters write lists of tensors for split, chunk, unbind and for appending
// in loops. Their lengths follow from what is known when importing
// (Sequences.h), so that nothing of them is left but the tensors.
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Node/Registry.h"
#include "lib/Import/Onnx/Node/Sequences.h"

using namespace mlir;

namespace tenon::onnximport {

namespace {

/// Pieces that a tensor may be split into: more are no program any more.
constexpr int64_t kMaxPieces = 4096;

using Values = SmallVector<Value>;

/// The position that operand `i` gives, from 0 to `end`; `otherwise` where it
/// is absent. nullopt after an error.
std::optional<int64_t> position(NodeImporter &n, unsigned i, int64_t end,
                                int64_t otherwise) {
  if (!n.has(i))
    return otherwise;
  if (!isTensor(n.in(i))) {
    n.error("the position is no tensor");
    return std::nullopt;
  }
  std::optional<Ints> given = n.constInts(n.in(i), "position");
  if (!given)
    return std::nullopt;
  if (given->size() != 1) {
    n.error("position must have one element, found " + Twine(given->size()));
    return std::nullopt;
  }
  int64_t at = given->front() < 0 ? given->front() + end : given->front();
  // Insertion counts negative positions from the element at the end, too.
  if (at >= 0 && at <= end)
    return at;
  n.error("position " + Twine(given->front()) + " is outside a sequence of " +
          Twine(end));
  return std::nullopt;
}

/// The same where an element must be there.
std::optional<int64_t> element(NodeImporter &n, unsigned i, int64_t size,
                               int64_t otherwise) {
  std::optional<int64_t> at = position(n, i, size, otherwise);
  if (!at || (*at >= 0 && *at < size))
    return at;
  n.error("there is no element " + Twine(*at) + " in a sequence of " +
          Twine(size));
  return std::nullopt;
}

void sequenceEmpty(NodeImporter &n) { n.out(0, makeSequence(n, {})); }

void sequenceConstruct(NodeImporter &n) {
  Values elements;
  for (unsigned i = 0; i < n.numInputs(); ++i) {
    if (!n.requireInputs({i}))
      return;
    if (!isTensor(n.in(i))) {
      n.error("input " + Twine(i) + " is no tensor");
      return;
    }
    elements.push_back(n.in(i));
  }
  n.out(0, makeSequence(n, elements));
}

void sequenceInsert(NodeImporter &n) {
  std::optional<Values> elements = elementsOf(n, 0);
  if (!elements || !n.requireInputs({1}))
    return;
  if (!isTensor(n.in(1))) {
    n.error("input 1 is no tensor");
    return;
  }
  int64_t size = elements->size();
  if (auto at = position(n, 2, size, size)) {
    elements->insert(elements->begin() + *at, n.in(1));
    n.out(0, makeSequence(n, *elements));
  }
}

void sequenceErase(NodeImporter &n) {
  std::optional<Values> elements = elementsOf(n, 0);
  if (!elements)
    return;
  int64_t size = elements->size();
  std::optional<int64_t> at = element(n, 1, size, size - 1);
  if (!at)
    return;
  elements->erase(elements->begin() + *at);
  n.out(0, makeSequence(n, *elements));
}

void sequenceAt(NodeImporter &n) {
  std::optional<Values> elements = elementsOf(n, 0);
  if (!elements || !n.requireInputs({1}))
    return;
  int64_t size = elements->size();
  bool alike = isTensor(n.in(1)) && llvm::all_of(*elements, [&](Value v) {
                 return v.getType() == elements->front().getType();
               });
  const KnownValue *known = n.known(n.in(1));
  bool isKnown = known && known->elements.size() == 1 &&
                 known->elements.front().constant();
  if (!isKnown && size > 0 && alike) {
    // Whichever it is, it has these dims.
    Values rows;
    for (Value v : *elements)
      rows.push_back(n.unsqueeze(v, {0}));
    n.out(0, n.failed()
                 ? nullptr
                 : n.gather(n.concat(rows, 0), n.reshape(n.in(1), {}), 0));
    return;
  }
  if (std::optional<int64_t> at = element(n, 1, size, 0))
    n.out(0, (*elements)[*at]);
}

void sequenceLength(NodeImporter &n) {
  if (std::optional<Values> elements = elementsOf(n, 0))
    n.out(0, n.dimScalar(SymExpr(int64_t(elements->size())),
                         n.builder.getI64Type()));
}

/// The sizes of the pieces along a dim; nullopt after an error.
std::optional<Dims> pieces(NodeImporter &n, const SymExpr &dim) {
  std::optional<Dims> given;
  if (n.has(1)) {
    given = n.knownDims(n.in(1), "split");
    if (!given)
      return std::nullopt;
    if (n.rank(n.in(1)) > 0) {
      SymExpr sum(0);
      for (const SymExpr &size : *given) {
        n.checkNonNegative(size);
        sum = sum + size;
      }
      n.checkEqual(sum, dim);
      return given;
    }
  }
  std::optional<int64_t> size = given ? given->front().constant() : 1;
  std::optional<int64_t> whole = dim.constant();
  if (!size || !whole) {
    n.error("into how many pieces the dim is split must be known when "
            "compiling: it is " +
            dim.str() + ", in pieces of " +
            (given ? given->front().str() : std::string("1")) +
            "; --dim can fix it");
    return std::nullopt;
  }
  if (*size <= 0 || (*whole + *size - 1) / *size > kMaxPieces) {
    n.error("a dim of " + Twine(*whole) + " in pieces of " + Twine(*size) +
            ": expected at most " + Twine(kMaxPieces) + " pieces");
    return std::nullopt;
  }
  Dims sizes;
  for (int64_t at = 0; at < *whole; at += *size)
    sizes.push_back(SymExpr(std::min(*size, *whole - at)));
  return sizes;
}

void splitToSequence(NodeImporter &n) {
  Value x = n.in(0);
  int64_t axis = n.axis(n.getInt("axis", 0), n.rank(x));
  if (n.failed())
    return;
  std::optional<Dims> sizes = pieces(n, n.dims(x)[axis]);
  if (!sizes)
    return;
  // Pieces of one lose their dim unless sizes were given.
  bool drops = !n.has(1) && n.getInt("keepdims", 1) == 0;
  Values elements;
  SymExpr at(0);
  for (const SymExpr &size : *sizes) {
    Value piece = n.slice(x, axis, at, size);
    elements.push_back(drops ? n.squeeze(piece, {axis}) : piece);
    at = at + size;
  }
  n.out(0, makeSequence(n, elements));
}

void concatFromSequence(NodeImporter &n) {
  std::optional<Values> elements = elementsOf(n, 0);
  if (!elements)
    return;
  if (elements->empty()) {
    n.error("the sequence is empty: expected one tensor or more");
    return;
  }
  bool adds = n.getInt("new_axis", 0) != 0;
  int64_t axis =
      n.axis(n.getInt("axis", 0), n.rank(elements->front()) + (adds ? 1 : 0));
  if (n.failed())
    return;
  if (adds)
    for (Value &v : *elements)
      v = n.unsqueeze(v, {axis});
  if (!n.failed())
    n.out(0, n.concat(*elements, axis));
}

/// The body of each element; what is no sequence goes to every one.
void sequenceMap(NodeImporter &n) {
  const auto *body = n.getGraph("body");
  std::optional<Values> first = elementsOf(n, 0);
  if (!body)
    n.error("the body is missing");
  if (!first || n.failed())
    return;
  SmallVector<Values> inputs, outputs(n.numOutputs());
  for (unsigned i = 0; i < n.numInputs(); ++i) {
    if (!n.requireInputs({i}))
      return;
    if (isTensor(n.in(i))) {
      inputs.push_back(Values(first->size(), n.in(i)));
      continue;
    }
    std::optional<Values> elements = elementsOf(n, i);
    if (elements && elements->size() != first->size())
      n.error("the sequences have " + Twine(first->size()) + " and " +
              Twine(elements->size()) + " elements");
    if (n.failed())
      return;
    inputs.push_back(*elements);
  }
  for (size_t at = 0; at < first->size(); ++at) {
    Values given, results;
    for (const Values &input : inputs)
      given.push_back(input[at]);
    std::string message;
    if (!n.state.inlineGraph(*body, given, results, message) ||
        results.size() < outputs.size() || !llvm::all_of(results, isTensor)) {
      n.error(message.empty() ? "the body cannot be imported" : message);
      return;
    }
    for (auto [output, result] : llvm::zip(outputs, results))
      output.push_back(result);
  }
  for (auto [i, output] : llvm::enumerate(outputs))
    n.out(i, makeSequence(n, output));
}

//===----------------------------------------------------------------------===//
// Optionals
//===----------------------------------------------------------------------===//

void optional(NodeImporter &n) { n.out(0, n.has(0) ? n.in(0) : makeAbsent(n)); }

void optionalHasElement(NodeImporter &n) {
  n.out(0, n.scalar(n.has(0) && !isAbsent(n.in(0)), n.builder.getI1Type()));
}

void optionalGetElement(NodeImporter &n) {
  if (!n.requireInputs({0}))
    return;
  if (isAbsent(n.in(0)))
    n.error("the optional has no value");
  else
    n.out(0, n.in(0));
}

} // namespace

void registerSequence(Registry &r) {
  r.addOfSequences("SequenceEmpty", 11, sequenceEmpty);
  r.addOfSequences("SequenceConstruct", 11, sequenceConstruct);
  r.addOfSequences("SequenceInsert", 11, sequenceInsert);
  r.addOfSequences("SequenceErase", 11, sequenceErase);
  r.addOfSequences("SequenceAt", 11, sequenceAt);
  r.addOfSequences("SequenceLength", 11, sequenceLength);
  r.addOfSequences("SequenceMap", 17, sequenceMap);
  r.add("SplitToSequence", 11, splitToSequence);
  r.addOfSequences("ConcatFromSequence", 11, concatFromSequence);
  r.addOfSequences("Optional", 15, optional);
  r.addOfSequences("OptionalHasElement", 15, optionalHasElement);
  r.addOfSequences("OptionalGetElement", 15, optionalGetElement);
}

} // namespace tenon::onnximport
