//===- Loops.cpp - bodies that are repeated -------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A loop whose number of iterations is known at import, and small, is written
// out: one copy of its body after the other, which everything fuses across. Any
// other becomes a tenon.loop (LoopBody.cpp).
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Control/Loops.h"
#include "dialects/Tenon/IR/Ops/Check.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "lib/Import/Onnx/Node/Registry.h"
#include "lib/Import/Onnx/Node/Sequences.h"
#include "onnx/onnx_pb.h"

using namespace mlir;

namespace tenon::onnximport {

namespace {

/// Beyond this a body's copies take longer to compile than they are worth.
constexpr int64_t kMaxNodes = 4096;
/// Fewer steps of a layer are written out.
constexpr int64_t kFewSteps = 8;

using Results = SmallVector<Value>;

/// A copy of an ONNX body with these inputs; `handed` is what the last one
/// handed on.
bool importBody(NodeImporter &n, const onnx::GraphProto &body,
                ArrayRef<Value> inputs, size_t expected, ArrayRef<Value> handed,
                SmallVectorImpl<Value> &results) {
  if (n.failed())
    return false;
  std::string message;
  if (!n.state.inlineGraph(body, inputs, results, message) ||
      results.size() != expected)
    n.error(message.empty() ? "the body cannot be imported" : message);
  // What is handed on may be a sequence, from the first iteration on.
  size_t first = expected - n.numOutputs();
  for (auto [i, v] : llvm::enumerate(results))
    if (bool isHanded = i >= first && i < first + handed.size();
        !n.failed() &&
        isTensor(v) != (!isHanded || isTensor(handed[i - first])))
      n.error("output " + Twine(i) + " of the body is " +
              (isTensor(v) ? "a tensor, expected a sequence"
                           : "a sequence, expected a tensor"));
  return !n.failed();
}

/// One copy of the body after the other. nullopt where whether the next comes
/// is not known.
std::optional<Results> writeOut(NodeImporter &n, const Repeated &r) {
  Block *block = n.builder.getInsertionBlock();
  Operation *before = block->empty() ? nullptr : &block->back();
  SmallVector<Value> handed(r.initial);
  SmallVector<SmallVector<Value>> rows(r.numRows);
  Type i64 = n.builder.getI64Type();
  for (int64_t at = 0; at < *r.trips.constant(); ++at) {
    SmallVector<Value> results;
    if (!r.body(n.dimScalar(SymExpr(at), i64), handed, results))
      return Results();
    ArrayRef<Value> rest = ArrayRef(results).drop_front(r.gives);
    handed.assign(rest.begin(), rest.begin() + handed.size());
    for (auto [list, value] : llvm::zip(rows, rest.drop_front(handed.size())))
      list.push_back(value);
    if (!r.gives)
      continue;
    std::optional<int64_t> goesOn = certainBool(n, results.front());
    if (goesOn == 0)
      break;
    if (goesOn)
      continue;
    // What was stated of dims on the way is not relied on any more.
    for (Operation *op = before ? before->getNextNode() : &block->front();
         op;) {
      Operation *next = op->getNextNode();
      if (isa<CheckOp>(op))
        op->erase();
      op = next;
    }
    return std::nullopt;
  }
  Results all(handed);
  for (SmallVector<Value> &list : rows) {
    for (Value &v : list)
      v = n.unsqueeze(v, {0});
    if (n.failed())
      return Results();
    all.push_back(n.concat(list, 0));
  }
  return n.failed() ? Results() : all;
}

} // namespace

Results repeat(NodeImporter &n, const Repeated &r) {
  if (n.failed())
    return {};
  bool tensors = llvm::all_of(r.initial, isTensor);
  std::optional<int64_t> trips = r.trips.constant();
  if (r.isLayer && tensors && trips && *trips >= kFewSteps)
    return makeLoop(n, r);
  if (trips && *trips > 0 && *trips <= kMaxNodes &&
      *trips * r.numNodes <= kMaxNodes)
    if (std::optional<Results> results = writeOut(n, r))
      return *results;
  if (!tensors && r.trips.constant() == 0 && !r.numRows)
    return Results(r.initial);
  if (!tensors)
    n.error("a sequence is handed from one iteration to the next: their number "
            "must be known when compiling, and small; found " +
            r.trips.str());
  return n.failed() ? Results() : makeLoop(n, r);
}

Value rowAt(NodeImporter &n, Value x, Value number, int64_t axis) {
  const KnownValue *known = n.known(number);
  if (!known)
    return n.gather(x, number, axis);
  return n.squeeze(n.slice(x, axis, known->elements[0], SymExpr(1)), {axis});
}

Value reversed(NodeImporter &n, Value v) {
  if (!v)
    return v;
  Dims to = n.dims(v), starts(to.size(), SymExpr(0));
  Ints steps(to.size(), 1);
  starts[0] = to[0] - SymExpr(1);
  steps[0] = -1;
  return n.make<SliceOp>(
      {v}, {n.named("starts", n.dimsAttr(starts)),
            n.named("steps", n.builder.getDenseI64ArrayAttr(steps)),
            n.named("dims", n.dimsAttr(to))});
}

namespace {

//===----------------------------------------------------------------------===//
// Loop
//===----------------------------------------------------------------------===//

/// Of the values that an iteration hands on: does the body give the i-th as it
/// was given? tf2onnx hands a layer's weights so.
SmallVector<bool> findUnchanged(NodeImporter &n, const onnx::GraphProto &body) {
  auto sourceOf = [&](const std::string &name) {
    for (const onnx::NodeProto &node : body.node())
      if (node.op_type() == "Identity" && node.input_size() == 1 &&
          node.output_size() == 1 && node.output(0) == name)
        return node.input(0);
    return name;
  };
  SmallVector<bool> unchanged;
  for (int i = 2; i < int(n.numInputs()); ++i)
    unchanged.push_back(i < body.input_size() && i - 1 < body.output_size() &&
                        n.has(i) && isa<RankedTensorType>(n.in(i).getType()) &&
                        sourceOf(body.output(i - 1).name()) ==
                            body.input(i).name());
  return unchanged;
}

void loop(NodeImporter &n) {
  const onnx::GraphProto *body = n.getGraph("body");
  if (!body || n.numInputs() < 2) {
    n.error("the body or an input is missing");
    return;
  }
  const onnx::GraphProto &graph = *body;
  Repeated r;
  r.numNodes = graph.node_size();
  r.gives = r.mayChange = true;
  r.trips = SymExpr(INT64_MAX);
  for (unsigned i = 0; i < 2; ++i) { // the number of iterations, the condition
    if (!n.has(i))
      continue;
    std::optional<Dims> given = n.knownDims(n.in(i), i ? "cond" : "M");
    if (given && given->size() != 1)
      n.error("the number of iterations and the condition have one element");
    if (n.failed())
      return;
    const SymExpr &value = given->front();
    r.trips = i == 0 ? value : SymExpr::select(value, r.trips, SymExpr(0));
  }
  // What stays is a value from outside: what the body makes of it alone is made
  // once.
  SmallVector<bool> unchanged = findUnchanged(n, graph);
  SmallVector<Value> given;
  for (unsigned i = 2; i < n.numInputs(); ++i) {
    if (!n.has(i)) {
      n.error("a handed value is missing");
      return;
    }
    given.push_back(n.in(i));
    if (!unchanged[i - 2])
      r.initial.push_back(n.in(i));
  }
  if (n.numOutputs() < given.size()) {
    n.error("expected " + Twine(given.size()) + " outputs or more, found " +
            Twine(n.numOutputs()));
    return;
  }
  r.numRows = n.numOutputs() - given.size();
  r.body = [&](Value number, ArrayRef<Value> handed,
               SmallVectorImpl<Value> &results) {
    SmallVector<Value> all;
    // A body may say that it takes these as vectors of one element.
    auto like = [&](int at, Value v) {
      if (at >= graph.input_size())
        return v;
      const auto &shape = graph.input(at).type().tensor_type().shape();
      return shape.dim_size() == 1 ? n.reshape(v, {SymExpr(1)}) : v;
    };
    all.push_back(like(0, number));
    all.push_back(like(1, n.scalar(1, n.builder.getI1Type())));
    auto next = handed.begin();
    for (auto [v, stays] : llvm::zip_equal(given, unchanged))
      all.push_back(stays ? v : *next++);
    SmallVector<Value> whole;
    if (!importBody(n, graph, all, 1 + given.size() + r.numRows,
                    ArrayRef(all).drop_front(2), whole))
      return false;
    for (auto [i, v] : llvm::enumerate(whole))
      if (i == 0 || i > given.size() || !unchanged[i - 1])
        results.push_back(v);
    return true;
  };
  Results results = repeat(n, r);
  if (results.empty() && (r.numRows || !r.initial.empty()))
    return; // after an error
  auto result = results.begin();
  for (unsigned i = 0; i < n.numOutputs(); ++i)
    n.out(i, i < given.size() && unchanged[i] ? given[i] : *result++);
}

//===----------------------------------------------------------------------===//
// Scan
//===----------------------------------------------------------------------===//

/// What Scan says of its i-th scanned input or output.
struct ScanPort {
  int64_t axis = 0;
  bool backward = false;
};

ScanPort scanPort(NodeImporter &n, StringRef kind, unsigned i, int64_t rank) {
  ScanPort port;
  Ints axes = n.getInts(("scan_" + kind + "_axes").str()).value_or(Ints());
  // Opset 8 only has directions, of the inputs.
  std::string name = n.opset < 9 && kind == "input"
                         ? "directions"
                         : ("scan_" + kind + "_directions").str();
  Ints ways = n.getInts(name).value_or(Ints());
  port.axis = i < axes.size() ? n.axis(axes[i], rank) : 0;
  port.backward = i < ways.size() && ways[i] == 1;
  return port;
}

/// One sequence: handed values, then scanned inputs.
Results scanOne(NodeImporter &n, const onnx::GraphProto &body,
                ArrayRef<Value> initial, ArrayRef<Value> scanned) {
  SmallVector<ScanPort> ports;
  std::optional<SymExpr> count;
  for (auto [i, x] : llvm::enumerate(scanned)) {
    if (n.rank(x) == 0)
      n.error("a scanned input needs a rank of 1 or more");
    if (n.failed())
      return {};
    ports.push_back(scanPort(n, "input", i, n.rank(x)));
    if (n.failed())
      return {};
    SymExpr size = n.dims(x)[ports.back().axis];
    if (count)
      n.checkEqual(*count, size);
    else
      count = size;
  }
  Repeated r;
  r.numNodes = body.node_size();
  // tenon-fuse-cells makes one op of all steps.
  r.isLayer = llvm::any_of(body.node(), [](const onnx::NodeProto &node) {
    return node.op_type() == "MatMul" || node.op_type() == "Gemm";
  });
  r.trips = *count;
  r.initial.assign(initial.begin(), initial.end());
  r.numRows = n.numOutputs() - initial.size();
  r.body = [&](Value number, ArrayRef<Value> handed,
               SmallVectorImpl<Value> &results) {
    SmallVector<Value> all(handed);
    for (auto [port, x] : llvm::zip(ports, scanned)) {
      Value at = number;
      if (port.backward)
        at = n.sub(n.dimScalar(*count - SymExpr(1), n.builder.getI64Type()),
                   number);
      all.push_back(rowAt(n, x, at, port.axis));
    }
    return importBody(n, body, all, handed.size() + r.numRows, handed, results);
  };
  Results results = repeat(n, r);
  for (size_t i = initial.size(); i < results.size(); ++i) {
    Value &v = results[i];
    ScanPort port = scanPort(n, "output", i - initial.size(), n.rank(v));
    if (n.failed())
      return {};
    if (port.backward)
      v = reversed(n, v);
    Ints perm; // the rows' dim goes from the front to the axis
    for (int64_t d = 1; d < n.rank(v); ++d)
      perm.push_back(d);
    perm.insert(perm.begin() + port.axis, 0);
    v = n.transpose(v, perm);
  }
  return n.failed() ? Results() : results;
}

/// The body, and how many of the inputs are scanned; null after an error.
const onnx::GraphProto *scanBody(NodeImporter &n, unsigned first,
                                 int64_t &scanned) {
  const onnx::GraphProto *body = n.getGraph("body");
  scanned = n.getInt("num_scan_inputs", 0);
  int64_t states = int64_t(n.numInputs()) - first - scanned;
  bool given = true;
  for (unsigned i = first; i < n.numInputs(); ++i)
    given &= n.has(i);
  if (body && scanned > 0 && states >= 0 && given &&
      int64_t(n.numOutputs()) >= states)
    return body;
  n.error("the body or num_scan_inputs does not fit");
  return nullptr;
}

void scan(NodeImporter &n) {
  int64_t scanned;
  const onnx::GraphProto *body = scanBody(n, 0, scanned);
  if (!body)
    return;
  SmallVector<Value> inputs;
  for (unsigned i = 0; i < n.numInputs(); ++i)
    inputs.push_back(n.in(i));
  Results results = scanOne(n, *body, ArrayRef(inputs).drop_back(scanned),
                            ArrayRef(inputs).take_back(scanned));
  for (auto [i, v] : llvm::enumerate(results))
    n.out(i, v);
}

/// Opset 8: every input and output has a batch in front, and the body is for
/// one sequence of it.
void scan8(NodeImporter &n) {
  int64_t scanned;
  const onnx::GraphProto *body = scanBody(n, 1, scanned);
  if (!body)
    return;
  if (n.has(0)) {
    n.error("sequence_lens is not supported: expected sequences of one length");
    return;
  }
  std::optional<int64_t> batch;
  if (n.rank(n.in(1)) > 0)
    batch = n.dims(n.in(1)).front().constant();
  if (!batch || *batch < 1 || *batch * body->node_size() > kMaxNodes) {
    n.error("the batch of a Scan of opset 8 must be static, 1 or more, and "
            "small");
    return;
  }
  SmallVector<SmallVector<Value>> stacked(n.numOutputs());
  for (int64_t b = 0; b < *batch; ++b) {
    SmallVector<Value> inputs;
    for (unsigned i = 1; i < n.numInputs(); ++i)
      inputs.push_back(
          n.squeeze(n.slice(n.in(i), 0, SymExpr(b), SymExpr(1)), {0}));
    if (n.failed())
      return;
    Results results = scanOne(n, *body, ArrayRef(inputs).drop_back(scanned),
                              ArrayRef(inputs).take_back(scanned));
    if (n.failed())
      return;
    for (auto [list, v] : llvm::zip(stacked, results))
      list.push_back(n.unsqueeze(v, {0}));
  }
  for (auto [i, list] : llvm::enumerate(stacked))
    if (!n.failed())
      n.out(i, n.concat(list, 0));
}

} // namespace

void registerLoops(Registry &r) {
  r.addOfSequences("Loop", 1, loop);
  r.add("Scan", 8, scan8);
  r.add("Scan", 9, scan);
}

} // namespace tenon::onnximport
