//===- Schedule.cpp - from tenon.kernel ops to kernels and steps ----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Check.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/PackB.h"
#include "dialects/Tenon/IR/Ops/PackWeight.h"
#include "dialects/Tenon/IR/Ops/ReadDims.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/StorePages.h"
#include "dialects/Tenon/IR/TenonControl.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Form/Demand.h"
#include "lib/Codegen/Form/PackedWeight.h"
#include "lib/Codegen/Program/InputUses.h"
#include "lib/Codegen/Program/LoopBounds.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AsmState.h"
#include "tenon/Codegen/Backend.h"
#include "tenon/abi.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace tenon {

namespace {

void collectNames(Location loc, SmallVectorImpl<StringRef> &names) {
  if (auto name = dyn_cast<NameLoc>(loc)) {
    if (!llvm::is_contained(names, name.getName().getValue()))
      names.push_back(name.getName().getValue());
  } else if (auto fused = dyn_cast<FusedLoc>(loc)) {
    for (Location l : fused.getLocations())
      collectNames(l, names);
  }
}

std::string namesOf(Location loc) {
  SmallVector<StringRef> names;
  collectNames(loc, names);
  return llvm::join(names, ", ");
}

/// The text that makes two kernels one: the op without its locations, operand
/// names and result numbers.
std::string textOf(KernelOp kernel) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << stringifyKernelKind(kernel.getKind()) << ' ' << kernel.getTilingAttr()
     << ' ';
  // For all ops: each would number and verify the whole kernel for itself.
  AsmState state(kernel, OpPrintingFlags().useLocalScope().assumeVerified());
  for (Operation &op : kernel.getBody().front()) {
    op.print(os, state);
    os << '\n';
  }
  for (Type t : kernel.getBody().front().getArgumentTypes())
    os << t << ' ';
  return text;
}

struct Builder {
  Builder(ModuleOp module, ModuleOp kernels, const Backend &backend,
          const TargetInfo &target, const KernelDims &knownDims)
      : module(module), kernels(kernels), backend(backend), target(target),
        knownDims(knownDims) {}

  ModuleOp module, kernels;
  const Backend &backend;
  const TargetInfo &target;
  const KernelDims &knownDims;
  Schedule s;
  DenseMap<Value, int> bufferOf;
  llvm::StringMap<int> known; // text of a kernel -> index in `emitted`
  std::vector<KernelInfo> emitted;
  std::vector<std::optional<SecondHalf>> halves; // of each
  std::vector<int> weights;                      // their buffers
  DenseMap<Operation *, int> stepOf;             // a kernel's first one
  Demand *demand = nullptr;                      // of the block that is listed

  int addBuffer(ScheduleBuffer buffer) {
    s.buffers.push_back(std::move(buffer));
    return s.buffers.size() - 1;
  }
  std::vector<SymExpr> dimsOf(Value v) {
    SmallVector<SymExpr> d = getDims(v);
    return {d.begin(), d.end()};
  }
  FailureOr<SchedulePort> port(Value v, DictionaryAttr attrs,
                               const Twine &fallback);
  int weight(std::vector<WeightPart> parts) {
    for (int id : weights)
      if (s.buffers[id].parts == parts)
        return id;
    ScheduleBuffer w;
    w.kind = ScheduleBuffer::Weight;
    w.elementType = parts.front().elementType;
    w.parts = std::move(parts);
    weights.push_back(addBuffer(std::move(w)));
    return weights.back();
  }
  std::optional<WeightPart> packedWeight(Value v);
  /// What is written to `v` goes to this buffer; of a merge, in both branches.
  void assign(Value v, int id);
  FailureOr<int> bufferFor(Value v);
  FailureOr<int> emitKernel(KernelOp kernel);
  LogicalResult addStep(KernelOp kernel);
  LogicalResult addElements(ReadDimsOp read);
  int newBuffer(Value v, const SymExpr &guard);
  LogicalResult addLoop(LoopOp loop);
  LogicalResult addBlock(Block &block);
  void shareScratch(MergeOp merge);
  LogicalResult addDefault(BlockArgument arg, Attribute attr,
                           SchedulePort &port);
  LogicalResult addStates(func::FuncOp main);
  LogicalResult copyAt(ScheduleControl &control, int step, Value from, int to,
                       bool row);
  void addSizes(LoopOp loop, ScheduleControl &begin, ScheduleControl &next);
  LogicalResult run();
};

/// `attrs` are the argument's or result's. One of bytes that carries
/// "tenon.packed" is a tensor of that type to the outside.
FailureOr<SchedulePort> Builder::port(Value v, DictionaryAttr attrs,
                                      const Twine &fallback) {
  SchedulePort p;
  auto name = attrs ? attrs.getAs<StringAttr>("tenon.name") : StringAttr();
  auto packed = attrs ? attrs.getAs<TypeAttr>("tenon.packed") : TypeAttr();
  p.name = name ? name.str() : fallback.str();
  auto own = cast<RankedTensorType>(v.getType());
  auto type = packed ? dyn_cast<RankedTensorType>(packed.getValue()) : own;
  // What is outside must take the bytes that the kernels read and write.
  bool fits = type && isSupportedElementType(type.getElementType()) &&
              isPackedType(type.getElementType()) == bool(packed);
  if (fits && packed) {
    SymExpr perByte = 8 / storedBits(type.getElementType());
    fits = own.getElementType().isUnsignedInteger(8) && own.getRank() == 1 &&
           getDims(own)[0] == SymExpr::apply(SymExpr::Fn::CeilDiv,
                                             productOf(getDims(type)), perByte);
  }
  if (!fits)
    return emitError(v.getLoc(), "a tensor of packed elements enters and "
                                 "leaves @main as bytes with tenon.packed: "
                                 "found ")
           << own;
  p.elementType = type.getElementType();
  SmallVector<SymExpr> dims = getDims(type);
  // Memory may have more room than what is told of it.
  if (auto told = attrs ? attrs.getAs<DimsAttr>("tenon.dims") : DimsAttr())
    dims = told.getSymExprs();
  p.dims.assign(dims.begin(), dims.end());
  return p;
}

void Builder::assign(Value v, int id) {
  while (auto r = v.getDefiningOp<ReshapeOp>())
    v = r.getInput();
  bufferOf[v] = id;
  if (auto merge = v.getDefiningOp<MergeOp>()) {
    assign(merge.getOnTrue(), id);
    assign(merge.getOnFalse(), id);
  }
}

/// nullopt where an operand is no constant.
static std::optional<WeightPart> formattedWeight(PackWeightOp pack) {
  WeightPart part;
  auto matrix = [](Value v, Attribute at, WeightMatrix &to) {
    auto constant = v ? v.getDefiningOp<ConstantOp>() : nullptr;
    if (constant)
      to = {constant.getValue(), at};
    return !v || constant;
  };
  if (!matrix(pack.getCodes(), pack.getCodesAtAttr(), part.codes) ||
      !matrix(pack.getScale(), pack.getScaleAtAttr(), part.scale) ||
      !matrix(pack.getZero(), pack.getZeroAtAttr(), part.zero))
    return std::nullopt;
  part.weight = part.codes.constant;
  part.layout.kind = WeightLayout::Formatted;
  part.layout.K = pack.getK();
  part.layout.N = pack.getN();
  part.elementType = getElementTypeOrSelf(pack.getResult().getType());
  part.format = pack.getFormatAttr();
  return part;
}

/// What a pack_b of a constant (or of a reshaped one) lies in memory as.
std::optional<WeightPart> Builder::packedWeight(Value v) {
  if (auto pack = v.getDefiningOp<PackWeightOp>())
    return formattedWeight(pack);
  auto pack = v.getDefiningOp<PackBOp>();
  if (!pack)
    return std::nullopt;
  ConstantOp constant = packedConstant(pack);
  if (!constant)
    return std::nullopt;
  auto type = cast<RankedTensorType>(pack.getInput().getType());
  WeightLayout layout;
  layout.kind = WeightLayout::PackedB;
  layout.transposed = pack.getTransposed();
  int64_t r = type.getRank();
  layout.K = type.getDimSize(r - 2);
  layout.N = type.getDimSize(r - 1);
  if (layout.transposed)
    std::swap(layout.K, layout.N);
  for (int64_t d : type.getShape().drop_back(2))
    layout.batch *= d;
  return WeightPart{constant.getValue(), layout,
                    Float32Type::get(module.getContext())};
}

FailureOr<int> Builder::bufferFor(Value v) {
  if (auto it = bufferOf.find(v); it != bufferOf.end())
    return it->second;
  Operation *op = v.getDefiningOp();
  FailureOr<int> id = failure();
  if (auto reshape = dyn_cast_or_null<ReshapeOp>(op)) {
    id = bufferFor(reshape.getInput());
  } else if (auto constant = dyn_cast_or_null<ConstantOp>(op)) {
    id = weight({{constant.getValue(), {}, getElementTypeOrSelf(v.getType())}});
  } else if (auto concat = dyn_cast_or_null<ConcatOp>(op)) {
    std::vector<WeightPart> parts;
    for (Value o : concat.getInputs())
      if (std::optional<WeightPart> part = packedWeight(o))
        parts.push_back(*part);
    if (parts.size() == concat.getInputs().size())
      id = weight(std::move(parts));
  } else if (std::optional<WeightPart> part = packedWeight(v)) {
    id = weight({*part});
  }
  if (failed(id))
    return emitError(v.getLoc(), "this value has no place in memory after "
                                 "tenon-form-kernels: ")
           << (op ? op->getName().getStringRef() : StringRef("an argument"));
  bufferOf[v] = *id;
  return id;
}

FailureOr<int> Builder::emitKernel(KernelOp kernel) {
  std::string text = textOf(kernel);
  auto [it, fresh] = known.try_emplace(text, (int)emitted.size());
  if (!fresh)
    return it->second;
  std::string symbol = (stringifyKernelKind(kernel.getKind()) + Twine("_") +
                        Twine((int)emitted.size()))
                           .str();
  FailureOr<KernelInfo> info = backend.emitKernel(
      kernel, kernels, symbol, target, knownDims.lookup(symbol));
  if (failed(info))
    return failure();
  std::string second = symbol + Backend::secondHalf.str();
  auto half = backend.emitSecondHalf(kernel, kernels, second, target,
                                     knownDims.lookup(second));
  if (failed(half))
    return failure();
  emitted.push_back(*info);
  halves.push_back(*half);
  if (!llvm::is_contained(s.kernels, info->symbol)) // the runtime's can be
    s.kernels.push_back(info->symbol);
  if (*half)
    s.kernels.push_back((*half)->kernel.symbol);
  return (int)emitted.size() - 1;
}

/// The symbol that is 0 where an append leaves the new rows to the
/// tenon.store_pages that reads it; nullopt: it always takes them.
static std::optional<SymExpr> carriedByPages(KernelOp kernel) {
  if (!isa_and_nonnull<AppendOp>(kernel.getRoot()))
    return std::nullopt;
  for (Operation *user : kernel->getUsers())
    if (auto other = dyn_cast<KernelOp>(user))
      if (auto store = dyn_cast_or_null<StorePagesOp>(other.getRoot()))
        return SymExpr::parse(store.getCarried().str());
  return std::nullopt;
}

LogicalResult Builder::addStep(KernelOp kernel) {
  FailureOr<int> k = emitKernel(kernel);
  if (failed(k))
    return failure();
  ScheduleStep step;
  step.kernel = emitted[*k];
  step.nodes = namesOf(kernel.getLoc());
  step.guard = demand->of(kernel).expr();
  if (auto carried = carriedByPages(kernel))
    step.guard = step.guard * *carried;
  const std::optional<SecondHalf> &half = halves[*k];
  int number = s.steps.size(), last = half ? number + 1 : number;
  stepOf[kernel] = number;
  SmallVector<Value> inputs(kernel.getInputs());
  if (step.kernel.native) { // its own order, where one is given twice too
    inputs.clear();
    for (Value v : kernel.getBody().front().front().getOperands())
      inputs.push_back(
          kernel.getInputs()[cast<BlockArgument>(v).getArgNumber()]);
  }
  for (Value v : inputs) {
    FailureOr<int> id = bufferFor(v);
    if (failed(id))
      return failure();
    s.buffers[*id].last = last;
    step.buffers.push_back(*id);
  }
  for (Value v : kernel.getResults()) {
    auto it = bufferOf.find(v); // an output has its buffer already
    int id;
    if (it != bufferOf.end()) {
      id = it->second;
    } else {
      ScheduleBuffer buffer;
      buffer.elementType = getElementTypeOrSelf(v.getType());
      buffer.dims = dimsOf(v);
      buffer.guard = step.guard;
      if (auto store = dyn_cast_or_null<StorePagesOp>(kernel.getRoot())) {
        // Else it is the input's memory.
        auto input = dyn_cast<BlockArgument>(store.getInput());
        if (!input)
          return store.emitOpError("expected an input in memory");
        buffer.guard =
            buffer.guard * SymExpr::parse(store.getCarried().str()).value_or(1);
        buffer.index = 1 + step.buffers[input.getArgNumber()];
      }
      id = addBuffer(std::move(buffer));
      bufferOf[v] = id;
    }
    s.buffers[id].first = std::min(s.buffers[id].first, number);
    s.buffers[id].last = std::max(s.buffers[id].last, last);
    step.buffers.push_back(id);
  }
  if (!half) {
    s.steps.push_back(std::move(step));
    return success();
  }
  ScheduleBuffer memory;
  memory.elementType = half->element;
  memory.dims = {half->elements};
  memory.guard = step.guard;
  memory.first = number;
  memory.last = last;
  step.buffers.push_back(addBuffer(std::move(memory)));
  s.steps.push_back(step);
  step.kernel = half->kernel;
  s.steps.push_back(std::move(step));
  return success();
}

LogicalResult Builder::addElements(ReadDimsOp read) {
  StringRef name = read.getName();
  auto isOther = [&](const auto &other) { return other.name == name; };
  if (llvm::any_of(s.elements, isOther) || llvm::any_of(s.controls, isOther))
    return read.emitOpError("names its elements like another: ") << name;
  auto type = cast<RankedTensorType>(read.getInput().getType());
  auto argument = dyn_cast<BlockArgument>(read.getInput());
  if (argument && isa<func::FuncOp>(argument.getOwner()->getParentOp())) {
    s.elements.push_back(
        {name.str(), int(argument.getArgNumber()), type.getNumElements()});
    return success();
  }
  FailureOr<int> id = bufferFor(read.getInput());
  if (failed(id))
    return failure();
  ScheduleControl r;
  r.kind = TENON_CONTROL_READ;
  r.name = name.str();
  r.buffer = *id;
  r.step = s.steps.size();
  r.count = type.getNumElements();
  // Steps between the one that computes it and this must not write there; in a
  // body, nor steps of the iterations before.
  s.buffers[*id].last = std::max(s.buffers[*id].last, r.step);
  if (read.getBound())
    r.bound = SymExpr::parse(read.getBound()->str());
  if (read.getWhen())
    r.guard = SymExpr::parse(read.getWhen()->str()).value_or(1);
  s.controls.push_back(std::move(r));
  return success();
}

int Builder::newBuffer(Value v, const SymExpr &guard) {
  ScheduleBuffer buffer;
  buffer.elementType = getElementTypeOrSelf(v.getType());
  buffer.dims = dimsOf(v);
  buffer.guard = guard;
  return addBuffer(std::move(buffer));
}

/// To `control`, that memory `to` gets `from` where it is at `step`; behind
/// what is there, if it is a row.
LogicalResult Builder::copyAt(ScheduleControl &control, int step, Value from,
                              int to, bool row) {
  FailureOr<int> id = bufferFor(from);
  if (failed(id))
    return failure();
  control.copies.push_back({*id, to, productOf(getDims(from)), row});
  s.buffers[*id].last = std::max(s.buffers[*id].last, step);
  return success();
}

/// The sizes that iterations change: before the first one, and behind each.
void Builder::addSizes(LoopOp loop, ScheduleControl &begin,
                       ScheduleControl &next) {
  auto bounds = boundsOfChangingDims(loop);
  for (auto [i, place] : llvm::enumerate(loop.changingDims())) {
    auto dimOf = [&](Value v) { return getDims(v)[place.dim]; };
    ScheduleControl::Size size = {LoopOp::sizeInside(loop.getName(), i),
                                  LoopOp::sizeBehind(loop.getName(), i),
                                  dimOf(loop.initialHanded()[place.value]),
                                  bounds[i]};
    begin.sizes.push_back(size);
    size.value = dimOf(loop.yieldedHanded()[place.value]);
    next.sizes.push_back(size);
  }
}

LogicalResult Builder::addLoop(LoopOp loop) {
  Block &body = loop.getBody().front();
  unsigned first = loop.getConditional() ? 1 : 0, handed = loop.numHanded();
  auto rows = loop.getResults().drop_front(handed);
  ScheduleControl begin;
  begin.kind = TENON_CONTROL_LOOP;
  begin.step = s.steps.size();
  begin.name = loop.getName().str();
  begin.guard = demand->of(loop).expr();
  begin.bound = SymExpr::apply(
      SymExpr::Fn::Max, SymExpr::parse(loop.getTrips().str()).value_or(0), 0);
  ScheduleControl next = begin;
  next.kind = TENON_CONTROL_NEXT;
  next.guard = 1;

  // The memory that an iteration's values are handed on in, and the rows'.
  std::vector<int> own;
  auto copy = [&](ScheduleControl &control, Value from, int to, bool row) {
    return copyAt(control, begin.step, from, to, row);
  };
  addSizes(loop, begin, next);
  begin.buffer = newBuffer(body.getArgument(0), begin.guard);
  bufferOf[body.getArgument(0)] = begin.buffer;
  own.push_back(begin.buffer);
  if (first) {
    begin.condition = newBuffer(loop.getInputs().front(), begin.guard);
    own.push_back(begin.condition);
    if (failed(copy(begin, loop.getInputs().front(), begin.condition, false)))
      return failure();
  }
  for (unsigned i = 0; i < handed; ++i) {
    // Room for the largest that an iteration may begin with; the last value is
    // one that the next iteration would have.
    int id = newBuffer(body.getArgument(i + 1), begin.guard);
    own.push_back(id);
    if (failed(copy(begin, loop.getInputs()[first + i], id, false)))
      return failure();
    bufferOf[body.getArgument(i + 1)] = bufferOf[loop.getResult(i)] = id;
  }
  for (Value v : rows) {
    own.push_back(newBuffer(v, begin.guard));
    bufferOf[v] = own.back();
  }
  int at = s.controls.size(), before = s.buffers.size();
  next.buffer = begin.buffer;
  next.condition = begin.condition;
  next.partner = at;
  s.controls.push_back(begin);
  Demand *outer = demand;
  LogicalResult added = addBlock(body);
  demand = outer;
  if (failed(added))
    return failure();

  auto yield = cast<YieldOp>(body.getTerminator());
  next.step = s.steps.size();
  int last = next.step > begin.step ? next.step - 1 : begin.step;
  for (auto [i, v] : llvm::enumerate(yield.getValues())) {
    bool isRow = i >= first + handed;
    int to = i < first ? begin.condition : own[1 + i];
    if (failed(copy(next, v, to, isRow)))
      return failure();
    int &live = s.buffers[next.copies.back().from].last;
    live = std::max(live, last);
  }
  for (int id : own) {
    s.buffers[id].first = std::min(s.buffers[id].first, begin.step);
    s.buffers[id].last = std::max(s.buffers[id].last, last);
  }
  // What an iteration reads from before the loop the next one reads too.
  for (int id = 0; id < before; ++id)
    if (s.buffers[id].first <= begin.step && s.buffers[id].last >= begin.step)
      s.buffers[id].last = std::max(s.buffers[id].last, last);
  s.controls[at].partner = s.controls.size();
  s.controls.push_back(std::move(next));
  return success();
}

/// Memory that is reserved for the largest dims is enough for all others, of
/// which some may take the other one of two kernels.
void Builder::shareScratch(MergeOp merge) {
  auto onTrue = stepOf.find(merge.getOnTrue().getDefiningOp()),
       onFalse = stepOf.find(merge.getOnFalse().getDefiningOp());
  if (onTrue == stepOf.end() || onFalse == stepOf.end())
    return;
  SymExpr &one = s.steps[onTrue->second].kernel.scratchBytes,
          &other = s.steps[onFalse->second].kernel.scratchBytes;
  one = other = SymExpr::apply(SymExpr::Fn::Max, one, other);
}

LogicalResult Builder::addBlock(Block &block) {
  Demand guards(block);
  demand = &guards;
  // From the last merge to the first: one that feeds another shares its memory.
  for (Operation &op : llvm::reverse(block))
    if (auto merge = dyn_cast<MergeOp>(op); merge && !bufferOf.count(merge))
      assign(merge, newBuffer(merge, demand->of(merge).expr()));
  for (Operation &op : block) {
    if (auto kernel = dyn_cast<KernelOp>(op)) {
      if (failed(addStep(kernel)))
        return failure();
    } else if (auto loop = dyn_cast<LoopOp>(op)) {
      if (failed(addLoop(loop)))
        return failure();
    } else if (auto check = dyn_cast<CheckOp>(op)) {
      ScheduleCheck c;
      c.kind = (uint32_t)check.getKind();
      c.lhs = SymExpr::parse(check.getLhs().str()).value_or(0);
      c.rhs = SymExpr::parse(check.getRhs().str()).value_or(0);
      c.reason = namesOf(check.getLoc());
      if (auto hint = check->getAttrOfType<StringAttr>("tenon.hint"))
        c.reason += (": " + hint.getValue()).str();
      if (check.getWhen())
        c.guard = SymExpr::parse(check.getWhen()->str()).value_or(1);
      s.checks.push_back(std::move(c));
    } else if (auto read = dyn_cast<ReadDimsOp>(op)) {
      if (failed(addElements(read)))
        return failure();
    } else if (auto merge = dyn_cast<MergeOp>(op)) {
      shareScratch(merge);
    } else if (!isa<ConstantOp, ReshapeOp, YieldOp, func::ReturnOp>(op) &&
               !isPackedWeight(&op)) {
      return op.emitError("expected only kernels after tenon-form-kernels");
    }
    auto name = op.getAttrOfType<StringAttr>("tenon.value");
    if (!name || op.getNumResults() != 1 ||
        !isa<func::FuncOp>(op.getParentOp()))
      continue;
    FailureOr<int> id = bufferFor(op.getResult(0));
    if (failed(id))
      return failure();
    if (s.buffers[*id].kind == ScheduleBuffer::Arena)
      s.buffers[*id].last = INT32_MAX; // kept until the next run
    s.values.push_back(
        {name.str(), *id, dimsOf(op.getResult(0)), demand->of(&op).expr()});
  }
  return success();
}

/// What stands for an input that is not given is a weight as it is.
LogicalResult Builder::addDefault(BlockArgument arg, Attribute attr,
                                  SchedulePort &port) {
  auto value = dyn_cast<ElementsAttr>(attr);
  auto type = value ? dyn_cast<RankedTensorType>(value.getType()) : nullptr;
  auto own = cast<RankedTensorType>(arg.getType());
  if (!type || type.getElementType() != own.getElementType() ||
      failed(verifyCompatibleShape(type.getShape(), own.getShape())))
    return emitError(arg.getLoc(), "expected tenon.default to be a constant of "
                                   "the input's type, found ")
           << attr;
  // Packed elements are bytes inside, and their dims known.
  bool packed = isPackedType(port.elementType);
  SmallVector<SymExpr> dims = getDims(type);
  port.defaultDims.assign(dims.begin(), dims.end());
  if (packed)
    port.defaultDims = port.dims;
  for (const SymExpr &dim : port.defaultDims)
    if (!dim.isConstant())
      return emitError(arg.getLoc(), "expected static dims of packed elements "
                                     "that have a tenon.default, found ")
             << dim.str();
  WeightPart part;
  part.weight = value;
  part.elementType = type.getElementType();
  port.defaultBuffer = weight({part});
  return success();
}

/// What tenon-find-state says of the inputs.
LogicalResult Builder::addStates(func::FuncOp main) {
  std::vector<ScheduleState> refused;
  for (BlockArgument arg : main.getArguments()) {
    unsigned i = arg.getArgNumber();
    ScheduleState state;
    state.input = i;
    if (auto why = main.getArgAttrOfType<StringAttr>(i, "tenon.stateless")) {
      state.reason = why.str();
      refused.push_back(std::move(state));
    }
    auto found = main.getArgAttrOfType<DictionaryAttr>(i, "tenon.state");
    if (!found)
      continue;
    auto number = [&](StringRef name) {
      auto value = found.getAs<IntegerAttr>(name);
      return value ? value.getInt() : -1;
    };
    int rank = cast<RankedTensorType>(arg.getType()).getRank();
    auto text = [&](StringRef name) {
      auto value = found.getAs<StringAttr>(name);
      return value ? value.str() : std::string();
    };
    state.axis = number("axis");
    state.output = number("output");
    state.panels = bool(found.get("panels"));
    if (auto pages = found.getAs<TypeAttr>("pages"))
      state.pages = pages.getValue();
    state.table = text("table");
    state.lengths = text("lengths");
    state.carried = text("carried");
    state.capacity = text("capacity");
    if (found.get("replaced")) {
      state.carried.clear();
      state.length = number("most");
      if (state.axis >= rank || state.output < 0 ||
          state.output >= int(main.getNumResults()))
        return emitError(arg.getLoc(), "expected a tenon.state that is "
                                       "replaced to name its output; found ")
               << found;
      s.states.push_back(std::move(state));
      continue;
    }
    auto length = SymExpr::parse(text("length"));
    if (state.axis < 1 || state.axis >= rank || state.output < 0 ||
        state.output >= int(main.getNumResults()) || state.carried.empty() ||
        (!state.capacity.empty() && !length))
      return emitError(arg.getLoc(), "expected tenon.state to name axis, "
                                     "output, carried and, with a capacity, "
                                     "length; found ")
             << found;
    state.length = length.value_or(0);
    s.states.push_back(std::move(state));
  }
  llvm::append_range(s.states, refused);
  return success();
}

LogicalResult Builder::run() {
  auto main = module.lookupSymbol<func::FuncOp>("main");
  if (!main || main.isExternal())
    return module.emitError("expected a function @main with a body");
  if (auto name = module->getAttrOfType<StringAttr>("tenon.model_name"))
    s.modelName = name.str();
  for (BlockArgument arg : main.getArguments()) {
    unsigned i = arg.getArgNumber();
    FailureOr<SchedulePort> p =
        port(arg, main.getArgAttrDict(i), "input" + Twine(i));
    if (failed(p))
      return failure();
    if (isa<IntegerType>(p->elementType)) {
      InputUses uses = usesOfInput(arg);
      p->idBound = uses.idBound;
      p->isMask = uses.isMask;
    }
    ScheduleBuffer buffer;
    buffer.kind = ScheduleBuffer::Input;
    buffer.elementType = getElementTypeOrSelf(arg.getType());
    buffer.dims = dimsOf(arg);
    buffer.index = i;
    bufferOf[arg] = addBuffer(std::move(buffer));
    if (Attribute value = main.getArgAttr(i, "tenon.default"))
      if (failed(addDefault(arg, value, *p)))
        return failure();
    s.inputs.push_back(std::move(*p));
  }
  auto ret = cast<func::ReturnOp>(main.getBody().front().getTerminator());
  for (auto [i, v] : llvm::enumerate(ret.getOperands())) {
    FailureOr<SchedulePort> p =
        port(v, main.getResultAttrDict(i), "output" + Twine(i));
    if (failed(p))
      return failure();
    ScheduleBuffer buffer;
    buffer.kind = ScheduleBuffer::Output;
    buffer.elementType = getElementTypeOrSelf(v.getType());
    buffer.dims = dimsOf(v);
    buffer.index = i;
    Value source = v;
    while (auto r = source.getDefiningOp<ReshapeOp>())
      source = r.getInput();
    if (!isa_and_nonnull<KernelOp, MergeOp>(source.getDefiningOp()) ||
        bufferOf.count(source))
      return ret.emitError("result ")
             << i << " is not a kernel's own: run tenon-form-kernels first";
    assign(source, addBuffer(std::move(buffer)));
    s.outputs.push_back(std::move(*p));
  }
  if (failed(addStates(main)))
    return failure();
  return addBlock(main.getBody().front());
}

} // namespace

FailureOr<Schedule> buildSchedule(ModuleOp module, ModuleOp kernels,
                                  const Backend &backend,
                                  const TargetInfo &target,
                                  const KernelDims &known) {
  Builder builder(module, kernels, backend, target, known);
  if (failed(builder.run()))
    return failure();
  return std::move(builder.s);
}

} // namespace tenon
