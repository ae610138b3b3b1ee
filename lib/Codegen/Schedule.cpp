//===- Schedule.cpp - from tenon.kernel ops to kernels and steps ----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Demand.h"
#include "KernelEmitter.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "tenon/Codegen/Kernels.h"
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
  os << kernel.getKind() << ' ';
  for (Operation &op : kernel.getBody().front())
    op.print(os, OpPrintingFlags().useLocalScope().skipRegions(false)),
        os << '\n';
  for (Type t : kernel.getBody().front().getArgumentTypes())
    os << t << ' ';
  return text;
}

struct Builder {
  Builder(ModuleOp module, ModuleOp kernels, const TargetInfo &target)
      : module(module), kernels(kernels), target(target) {}

  ModuleOp module, kernels;
  const TargetInfo &target;
  Schedule s;
  DenseMap<Value, int> bufferOf;
  llvm::StringMap<int> known; // text of a kernel -> index in `emitted`
  std::vector<KernelInfo> emitted;
  std::vector<int> weights; // their buffers
  std::optional<Demand> demand;

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
  LogicalResult run();
  int64_t idBound(Value v, unsigned depth = 0);
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
  p.dims.assign(dims.begin(), dims.end());
  return p;
}

/// The smallest table that `v` is used as an index of; 0: none known.
int64_t Builder::idBound(Value v, unsigned depth) {
  int64_t bound = 0;
  auto take = [&](int64_t b) {
    if (b > 0 && (bound == 0 || b < bound))
      bound = b;
  };
  if (depth > 32)
    return 0;
  for (OpOperand &use : v.getUses()) {
    Operation *op = use.getOwner();
    if (auto kernel = dyn_cast<KernelOp>(op)) {
      Block &body = kernel.getBody().front();
      take(idBound(body.getArgument(use.getOperandNumber()), depth + 1));
    } else if (auto yield = dyn_cast<YieldOp>(op)) {
      auto kernel = cast<KernelOp>(yield->getParentOp());
      take(idBound(kernel.getResult(use.getOperandNumber()), depth + 1));
    } else if (auto gather = dyn_cast<GatherOp>(op)) {
      if (use.getOperandNumber() == 1)
        take(getDims(gather.getInput())[gather.getAxis()].constant().value_or(
            0));
    } else if (isa<CastOp, ReshapeOp, TransposeOp, BroadcastToOp, SliceOp>(
                   op)) {
      take(idBound(op->getResult(0), depth + 1));
    }
  }
  return bound;
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

/// What a pack_b of a constant (or of a reshaped one) lies in memory as.
std::optional<WeightPart> Builder::packedWeight(Value v) {
  auto pack = v.getDefiningOp<PackBOp>();
  if (!pack)
    return std::nullopt;
  Value source = pack.getInput();
  while (auto r = source.getDefiningOp<ReshapeOp>())
    source = r.getInput();
  auto constant = source.getDefiningOp<ConstantOp>();
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
  KernelInfo info;
  info.symbol =
      (kernel.getKind() + Twine("_") + Twine((int)emitted.size())).str();
  OpBuilder b(kernels.getContext());
  b.setInsertionPointToEnd(kernels.getBody());
  Type index = b.getIndexType();
  auto memref = [&](Type t) -> Type {
    return MemRefType::get({ShapedType::kDynamic}, storageType(t));
  };
  SmallVector<Type> types{index, index, memref(b.getI8Type()),
                          memref(b.getI64Type())};
  for (Value v : kernel.getInputs())
    types.push_back(memref(getElementTypeOrSelf(v.getType())));
  for (Value v : kernel.getResults())
    types.push_back(memref(getElementTypeOrSelf(v.getType())));
  auto func = func::FuncOp::create(b, kernel.getLoc(), info.symbol,
                                   b.getFunctionType(types, b.getI32Type()));
  func.addEntryBlock();
  KernelEmitter e(kernel, func, target, info);
  if (kernel.getKind() == "map")
    emitMapKernel(e);
  else if (kernel.getKind() == "row")
    emitRowKernel(e);
  else if (kernel.getKind() == "matmul")
    emitMatMulKernel(e);
  else if (kernel.getKind() == "attention")
    emitAttentionKernel(e);
  else if (kernel.getKind() == "scan")
    emitScanKernel(e);
  else if (kernel.getKind() == "scatter")
    emitScatterKernel(e);
  else if (kernel.getKind() == "top_k")
    emitTopKKernel(e);
  else if (kernel.getKind() == "recurrence")
    emitRecurrenceKernel(e);
  else
    return kernel.emitOpError("has unknown kind '")
           << kernel.getKind()
           << "', expected map, row, matmul, attention, scan, scatter, top_k "
              "or recurrence";
  e.finish();
  if (e.failed)
    return failure();
  emitted.push_back(info);
  s.kernels.push_back(info.symbol);
  return (int)emitted.size() - 1;
}

LogicalResult Builder::addStep(KernelOp kernel) {
  FailureOr<int> k = emitKernel(kernel);
  if (failed(k))
    return failure();
  ScheduleStep step;
  step.kernel = emitted[*k];
  step.nodes = namesOf(kernel.getLoc());
  step.guard = demand->of(kernel).expr();
  int number = s.steps.size();
  for (Value v : kernel.getInputs()) {
    FailureOr<int> id = bufferFor(v);
    if (failed(id))
      return failure();
    s.buffers[*id].last = number;
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
      id = addBuffer(std::move(buffer));
      bufferOf[v] = id;
    }
    s.buffers[id].first = std::min(s.buffers[id].first, number);
    s.buffers[id].last = std::max(s.buffers[id].last, number);
    step.buffers.push_back(id);
  }
  s.steps.push_back(std::move(step));
  return success();
}

LogicalResult Builder::addElements(ReadDimsOp read) {
  auto argument = dyn_cast<BlockArgument>(read.getInput());
  if (!argument)
    return read.emitOpError("expected an argument of @main");
  for (const ScheduleElements &other : s.elements)
    if (other.name == read.getName())
      return read.emitOpError("names its elements like another: ")
             << read.getName();
  auto type = cast<RankedTensorType>(argument.getType());
  s.elements.push_back({read.getName().str(), int(argument.getArgNumber()),
                        type.getNumElements()});
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
      p->idBound = idBound(arg);
      // What only gives dims is no mask.
      p->isMask = p->idBound == 0 &&
                  !llvm::all_of(arg.getUsers(),
                                [](auto *op) { return isa<ReadDimsOp>(op); });
    }
    ScheduleBuffer buffer;
    buffer.kind = ScheduleBuffer::Input;
    buffer.elementType = getElementTypeOrSelf(arg.getType());
    buffer.dims = dimsOf(arg);
    buffer.index = i;
    bufferOf[arg] = addBuffer(std::move(buffer));
    s.inputs.push_back(std::move(*p));
  }
  demand.emplace(main.getBody().front());
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
  // From the last merge to the first: one that feeds another shares its memory.
  for (Operation &op : llvm::reverse(main.getBody().front())) {
    auto merge = dyn_cast<MergeOp>(op);
    if (!merge || bufferOf.count(merge))
      continue;
    ScheduleBuffer buffer;
    buffer.elementType = getElementTypeOrSelf(merge.getType());
    buffer.dims = dimsOf(merge);
    buffer.guard = demand->of(merge).expr();
    assign(merge, addBuffer(std::move(buffer)));
  }
  for (Operation &op : main.getBody().front()) {
    if (auto kernel = dyn_cast<KernelOp>(op)) {
      if (failed(addStep(kernel)))
        return failure();
    } else if (auto check = dyn_cast<CheckOp>(op)) {
      ScheduleCheck c;
      c.kind = (uint32_t)check.getKind();
      c.lhs = SymExpr::parse(check.getLhs().str()).value_or(0);
      c.rhs = SymExpr::parse(check.getRhs().str()).value_or(0);
      c.reason = namesOf(check.getLoc());
      if (check.getWhen())
        c.guard = SymExpr::parse(check.getWhen()->str()).value_or(1);
      s.checks.push_back(std::move(c));
    } else if (auto read = dyn_cast<ReadDimsOp>(op)) {
      if (failed(addElements(read)))
        return failure();
    } else if (!isa<ConstantOp, ReshapeOp, PackBOp, ConcatOp, MergeOp,
                    func::ReturnOp>(op)) {
      return op.emitError("expected only kernels after tenon-form-kernels");
    }
    auto name = op.getAttrOfType<StringAttr>("tenon.value");
    if (!name || op.getNumResults() != 1)
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

} // namespace

FailureOr<Schedule> buildSchedule(ModuleOp module, ModuleOp kernels,
                                  const TargetInfo &target) {
  Builder builder(module, kernels, target);
  if (failed(builder.run()))
    return failure();
  return std::move(builder.s);
}

} // namespace tenon
