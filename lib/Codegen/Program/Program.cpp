//===- Program.cpp - the artifact's constant tables -----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The structs below mirror abi.h field by field; a change there is a change
// here, and of TENON_ABI_VERSION.
//
//===----------------------------------------------------------------------===//

#include "tenon/Codegen/Program.h"
#include "dialects/Tenon/IR/TenonOpBase.h"
#include "lib/Codegen/Program/ExprTable.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"
#include "llvm/Transforms/Utils/ModuleUtils.h"
#include <bit>
#include <charconv>

using namespace llvm;

namespace tenon {

int32_t dtypeOf(mlir::Type t) {
  if (t.isF32())
    return TENON_ABI_F32;
  if (t.isF64())
    return TENON_ABI_F64;
  if (t.isF16())
    return TENON_ABI_F16;
  if (t.isBF16())
    return TENON_ABI_BF16;
  if (tenon::smallFloatFormat(t))
    return llvm::TypeSwitch<mlir::Type, int32_t>(t)
        .Case([](mlir::Float8E4M3FNType) { return TENON_ABI_F8E4M3FN; })
        .Case([](mlir::Float8E4M3FNUZType) { return TENON_ABI_F8E4M3FNUZ; })
        .Case([](mlir::Float8E5M2Type) { return TENON_ABI_F8E5M2; })
        .Case([](mlir::Float8E5M2FNUZType) { return TENON_ABI_F8E5M2FNUZ; })
        .Case([](mlir::Float8E8M0FNUType) { return TENON_ABI_F8E8M0; })
        .Default([](mlir::Type) { return TENON_ABI_F4E2M1; });
  bool u = t.isUnsignedInteger();
  switch (t.getIntOrFloatBitWidth()) {
  case 1:
    return TENON_ABI_BOOL;
  case 2:
    return u ? TENON_ABI_U2 : TENON_ABI_I2;
  case 4:
    return u ? TENON_ABI_U4 : TENON_ABI_I4;
  case 8:
    return u ? TENON_ABI_U8 : TENON_ABI_I8;
  case 16:
    return u ? TENON_ABI_U16 : TENON_ABI_I16;
  case 32:
    return u ? TENON_ABI_U32 : TENON_ABI_I32;
  default:
    return u ? TENON_ABI_U64 : TENON_ABI_I64;
  }
}

/// A buffer's: inside the program packed types have a byte an element.
static int32_t storageOf(mlir::Type t) {
  if (!isPackedType(t))
    return dtypeOf(t);
  return t.isSignlessInteger() ? TENON_ABI_I8 : TENON_ABI_U8;
}

namespace {

FunctionType *kernelType(LLVMContext &ctx) {
  auto *ptr = PointerType::getUnqual(ctx);
  Type *i32 = Type::getInt32Ty(ctx), *i64 = Type::getInt64Ty(ctx);
  return FunctionType::get(i32, {ptr, ptr, i64, i64, ptr}, false);
}

/// Of another module of the same artifact.
GlobalValue *hidden(GlobalValue *value) {
  value->setVisibility(GlobalValue::HiddenVisibility);
  value->setDSOLocal(true);
  return value;
}

std::string entryName(const std::string &kernel) { return kernel + ".entry"; }

struct ProgramWriter {
  Module &module;
  const Schedule &s;
  const WeightsPlan &weights;
  const ProgramOptions &options;
  LLVMContext &ctx = module.getContext();
  Type *i8 = Type::getInt8Ty(ctx), *i32 = Type::getInt32Ty(ctx),
       *i64 = Type::getInt64Ty(ctx);
  PointerType *ptr = PointerType::getUnqual(ctx);
  ExprTable table = {};
  StringMap<Constant *> strings = {};

  Constant *c32(int64_t v) { return ConstantInt::get(i32, v, true); }
  Constant *c64(int64_t v) { return ConstantInt::get(i64, v, true); }
  Constant *null() { return ConstantPointerNull::get(ptr); }
  Constant *record(ArrayRef<Constant *> fields) {
    return ConstantStruct::getAnon(ctx, fields);
  }
  Constant *global(Constant *value, const Twine &name) {
    auto *g = new GlobalVariable(module, value->getType(), true,
                                 GlobalValue::InternalLinkage, value, name);
    g->setUnnamedAddr(GlobalValue::UnnamedAddr::Global);
    return g;
  }
  Constant *array(ArrayRef<Constant *> values, const Twine &name) {
    if (values.empty())
      return null();
    return global(
        ConstantArray::get(ArrayType::get(values[0]->getType(), values.size()),
                           values),
        name);
  }
  Constant *string(StringRef text) {
    Constant *&c = strings[text];
    if (!c)
      c = global(ConstantDataArray::getString(ctx, text), "str");
    return c;
  }
  template <typename T, typename F>
  Constant *list(const std::vector<T> &items, F fn, const Twine &name) {
    SmallVector<Constant *> values;
    for (const T &item : items)
      values.push_back(fn(item));
    return array(values, name);
  }
  Constant *slots(const std::vector<SymExpr> &dims) {
    return list(
        dims, [&](const SymExpr &d) { return c32(table.slot(d)); }, "slots");
  }
  /// 1 + its slot, or 0 for what is certain.
  Constant *guard(const SymExpr &e) {
    return c32(e == SymExpr(1) ? 0 : 1 + table.slot(e));
  }
  /// A side of a check, for people.
  std::string textOf(const SymExpr &e, const SymExpr &other) const;
  Constant *ports(const std::vector<SchedulePort> &ports, StringRef name);
  Constant *formatOf(const ScheduleBuffer &buffer);
  Constant *formats();
  Constant *checks();
  Constant *steps();
  Constant *buffers();
  Constant *values();
  Constant *ranges();
  Constant *controls(ArrayRef<int> numbers);
  int sequencesOf(const ScheduleState &state) const;
  Constant *states();
  Constant *exprs();
  Constant *levels();
  Constant *gpuKernels();
  Constant *gpuMaps();
  Expected<Constant *> gpu();
  /// A function of another module: a kernel's entry or the runtime's own.
  Constant *kernel(const std::string &name) {
    return hidden(cast<GlobalValue>(
        module.getOrInsertFunction(name, kernelType(ctx)).getCallee()));
  }
  /// The tenon_program.
  Expected<Constant *> write();
  Constant *twin();
  Constant *slow();
  Error run();
};

std::string ProgramWriter::textOf(const SymExpr &e,
                                  const SymExpr &other) const {
  // Beside an element of a float input, a constant is the bits of a double.
  std::optional<int64_t> bits = e.constant();
  std::optional<std::string> element = other.asSymbol();
  if (!bits || !element)
    return e.str();
  for (const ScheduleElements &elements : s.elements) {
    mlir::Type type = s.inputs[elements.input].elementType;
    if (!StringRef(*element).starts_with(elements.name + "[") ||
        !isa<mlir::FloatType>(type))
      continue;
    // As many digits as tell it from its neighbours.
    char text[32];
    auto value = std::bit_cast<double>(*bits);
    std::to_chars_result end =
        type.isF64() ? std::to_chars(text, std::end(text), value)
                     : std::to_chars(text, std::end(text), float(value));
    return std::string(text, end.ptr);
  }
  return e.str();
}

static bool isFormatted(const ScheduleBuffer &buffer) {
  return buffer.kind == ScheduleBuffer::Weight && !buffer.parts.empty() &&
         buffer.parts.front().format;
}

Constant *ProgramWriter::formatOf(const ScheduleBuffer &buffer) {
  if (!isFormatted(buffer))
    return null();
  std::string text;
  raw_string_ostream(text) << buffer.parts.front().format;
  StringRef inside = text; // of #tenon.format<...>
  return string(inside.split('<').second.rsplit('>').first);
}

Constant *ProgramWriter::ports(const std::vector<SchedulePort> &all,
                               StringRef name) {
  return list(
      all,
      [&](const SchedulePort &p) {
        Constant *names = list(
            p.dims, [&](const SymExpr &d) { return string(d.str()); }, "dims");
        Constant *values = list(
            p.dims,
            [&](const SymExpr &d) { return c64(d.constant().value_or(-1)); },
            "dims");
        return record(
            {string(p.name), c32(dtypeOf(p.elementType)), c32(p.dims.size()),
             slots(p.dims), names, values, c64(p.idBound), c32(p.isMask),
             c32(llvm::any_of(
                 p.dims, [](const SymExpr &d) { return d.hasElements(); })),
             c32(p.defaultBuffer + 1), c32(0),
             list(
                 p.defaultDims,
                 [&](const SymExpr &d) { return c64(*d.constant()); },
                 "dims")});
      },
      name);
}

Constant *ProgramWriter::steps() {
  StringMap<int> kernelIndex;
  for (auto [i, k] : llvm::enumerate(s.kernels))
    kernelIndex[k] = i;
  return list(
      s.steps,
      [&](const ScheduleStep &step) {
        const KernelInfo &k = step.kernel;
        Constant *buffers =
            list(step.buffers, [&](int b) { return c32(b); }, "buffers");
        return record({string(k.symbol), string(step.nodes), buffers,
                       slots(k.dims), c32(step.buffers.size()),
                       c32(k.dims.size()), c32(table.slot(k.tasks)),
                       c32(table.slot(k.cost)), c32(table.slot(k.scratchBytes)),
                       c32(kernelIndex[k.symbol]), guard(step.guard), c32(0)});
      },
      "steps");
}

Constant *ProgramWriter::levels() {
  StringSet<> native;
  for (const ScheduleStep &step : s.steps)
    if (step.kernel.native)
      native.insert(step.kernel.symbol);
  return list(
      options.levels,
      [&](const ProgramLevel &level) {
        Constant *kernels = list(
            s.kernels,
            [&](const std::string &k) {
              return kernel(native.contains(k) ? k
                                               : entryName(k + level.suffix));
            },
            "kernels");
        return record({string(level.name), c64(level.featureBits), kernels});
      },
      "levels");
}

Constant *ProgramWriter::gpuKernels() {
  StringMap<const ScheduleStep *> users;
  for (const ScheduleStep &step : s.steps)
    users.try_emplace(step.kernel.symbol, &step);
  return list(
      s.kernels,
      [&](const std::string &k) {
        const KernelInfo &info = users.lookup(k)->kernel;
        GpuLaunch launch = info.gpu.value_or(GpuLaunch());
        return record({string(k), info.native ? kernel(k) : null(),
                       c32(launch.block), c32(launch.threads),
                       c32(launch.dynamicShared), c32(launch.products)});
      },
      "gpu_kernels");
}

/// Of each kernel; dims that a run decides are found among the step's.
Constant *ProgramWriter::gpuMaps() {
  StringMap<const KernelInfo *> infos;
  for (const ScheduleStep &step : s.steps)
    infos.try_emplace(step.kernel.symbol, &step.kernel);
  return list(
      s.kernels,
      [&](const std::string &k) {
        const KernelInfo &info = *infos.lookup(k);
        auto dimOf = [&](const SymExpr &d) {
          return c64(d.constant().value_or(
              -1 - (llvm::find(info.dims, d) - info.dims.begin())));
        };
        std::vector<TensorMap> maps = info.gpu.value_or(GpuLaunch()).maps;
        Constant *all = list(
            maps,
            [&](const TensorMap &map) {
              const auto &[x, y, z] = map.dims;
              const auto &[i, j, l] = map.box;
              return record({c32(map.buffer), c32(map.bytes), dimOf(x),
                             dimOf(y), dimOf(z), c32(i), c32(j), c32(l),
                             c32(0)});
            },
            "maps");
        return record({all, c64(maps.size())});
      },
      "gpu_maps");
}

/// The tenon_gpu; the schedule's own program is another one.
Expected<Constant *> ProgramWriter::gpu() {
  Constant *images = list(
      options.gpu->images,
      [&](const GpuImage &image) {
        Constant *bytes =
            global(ConstantDataArray::getString(ctx, image.bytes), "image");
        return record(
            {string(image.name),
             c32(image.assembled ? TENON_IMAGE_CUBIN : TENON_IMAGE_PTX),
             c32(image.sm), bytes, c64(image.bytes.size())});
      },
      "images");
  const Schedule &other = *options.gpu->schedule;
  ProgramOptions of = options;
  of.gpu.reset();
  of.levels.clear();
  ProgramWriter writer{module, other, options.gpu->weights, of};
  Expected<Constant *> program = writer.write();
  if (!program)
    return program;
  SetVector<StringRef> hosts;
  for (const ScheduleStep &step : other.steps)
    if (step.kernel.native)
      hosts.insert(step.nodes);
  Constant *driver = hidden(
      cast<GlobalValue>(module.getOrInsertGlobal("tenon_cuda_driver", i8)));
  return global(
      record({*program, images, writer.gpuKernels(),
              c32(options.gpu->images.size()), c32(other.kernels.size()),
              string(join(hosts, ", ")), driver, writer.gpuMaps()}),
      "gpu");
}

Constant *ProgramWriter::checks() {
  return list(
      s.checks,
      [&](const ScheduleCheck &c) {
        return record({c32(c.kind), c32(table.slot(c.lhs)),
                       c32(table.slot(c.rhs)), guard(c.guard),
                       string(textOf(c.lhs, c.rhs)),
                       string(textOf(c.rhs, c.lhs)), string(c.reason)});
      },
      "checks");
}

/// Of each buffer, or null where none has one.
Constant *ProgramWriter::formats() {
  if (!any_of(s.buffers, isFormatted))
    return null();
  return list(
      s.buffers, [&](const ScheduleBuffer &b) { return formatOf(b); },
      "formats");
}

Constant *ProgramWriter::buffers() {
  int n = s.steps.size();
  size_t at = 0;
  return list(
      s.buffers,
      [&](const ScheduleBuffer &b) {
        bool weight = b.kind == ScheduleBuffer::Weight;
        int last = std::min(b.last, n);
        return record(
            {c32(b.kind), c32(storageOf(b.elementType)), c32(b.index),
             c32(table.slot(weight ? weightElements(b) : b.elements())),
             c32(b.first == INT32_MAX ? 0 : b.first), c32(std::max(last, 0)),
             c64(weight ? weights.offsets[at++] : (at++, 0))});
      },
      "buffers");
}

Constant *ProgramWriter::values() {
  return list(
      s.values,
      [&](const ScheduleValue &v) {
        return record({string(v.name), c32(v.buffer), c32(v.dims.size()),
                       slots(v.dims), guard(v.guard), c32(0)});
      },
      "values");
}

Constant *ProgramWriter::ranges() {
  return list(
      options.ranges,
      [&](const ProgramRange &r) {
        return record({string(r.name), c64(r.lo), c64(r.hi),
                       c32(table.slot(SymExpr::symbol(r.name))), c32(0)});
      },
      "ranges");
}

/// `numbers`: of each control the first number that it sets, as the table has
/// them, and behind them how many there are.
Constant *ProgramWriter::controls(ArrayRef<int> numbers) {
  size_t number = 0;
  return list(
      s.controls,
      [&](const ScheduleControl &c) {
        Constant *copies = list(
            c.copies,
            [&](const ScheduleControl::Copy &copy) {
              return record({c32(copy.from), c32(copy.to),
                             c32(table.slot(copy.elements)), c32(copy.row)});
            },
            "copies");
        std::vector<SymExpr> values;
        for (const ScheduleControl::Size &size : c.sizes)
          values.push_back(size.value);
        bool loop = c.kind == TENON_CONTROL_LOOP;
        int first = numbers[number++];
        if (loop) // behind the loop: the sizes, the iterations
          first += int(values.size()) + 1;
        int64_t count = loop ? numbers[c.partner] - first : c.count;
        return record({c32(c.kind), c32(c.step), guard(c.guard), c32(c.buffer),
                       c32(first), c32(count),
                       c32(c.bound ? table.slot(*c.bound) : -1),
                       c32(c.condition), c32(c.partner), c32(c.copies.size()),
                       copies, slots(values), c32(values.size()), c32(0)});
      },
      "controls");
}

/// Does each run make it anew?
static bool isReplaced(const ScheduleState &state) {
  return state.reason.empty() && state.carried.empty();
}

/// Which dim counts sequences. Of one that is replaced it is the one that is a
/// symbol or, where all are static, the first of the first two that is as long
/// as the first of an input that is no state.
int ProgramWriter::sequencesOf(const ScheduleState &state) const {
  if (!isReplaced(state))
    return 0;
  const std::vector<SymExpr> &dims = s.inputs[state.input].dims;
  for (int d = 0; d < int(dims.size()); ++d)
    if (d != state.axis && !dims[d].isConstant())
      return d;
  for (int i = 0; i < int(s.inputs.size()); ++i) {
    bool other = llvm::none_of(
        s.states, [&](const ScheduleState &state) { return state.input == i; });
    for (int d = 0; other && s.inputs[i].dims.size() > 1 && d < 2; ++d)
      if (d != state.axis && dims[d] == s.inputs[i].dims.front())
        return d;
  }
  return state.axis == 0 ? 1 : 0;
}

Constant *ProgramWriter::states() {
  return list(
      s.states,
      [&](const ScheduleState &state) {
        int64_t most = isReplaced(state) ? state.length.constant().value_or(0)
                       : state.pages && !state.capacity.empty() ? options.window
                                                                : 0;
        return record({c32(state.input), c32(state.output), c32(state.axis),
                       c32(!state.capacity.empty()), c32(state.panels),
                       c32(state.pages ? dtypeOf(state.pages) : 0),
                       state.reason.empty() ? null() : string(state.reason),
                       c32(isReplaced(state)), c32(sequencesOf(state)),
                       c64(most)});
      },
      "states");
}

Constant *ProgramWriter::exprs() {
  return list(
      table.exprs,
      [&](const tenon_expr &e) {
        return record({c32(e.op), c32(e.a), c32(e.b), c32(0), c64(e.imm)});
      },
      "exprs");
}

Expected<Constant *> ProgramWriter::write() {
  table.bindInputs(s.inputs);
  table.bindElements(s.elements);
  table.bindStates(s.states);
  std::vector<int> numbers = table.bindControls(s.controls);
  // The tables take slots, in this order; those of the expressions come last.
  Constant *inputTable = ports(s.inputs, "inputs");
  Constant *outputTable = ports(s.outputs, "outputs");
  Constant *checkTable = checks(), *formatTable = formats();
  Constant *stepTable = steps();
  Constant *bufferTable = buffers(), *valueTable = values();
  Constant *rangeTable = ranges(), *controlTable = controls(numbers);
  Constant *stateTable = states();
  if (!table.unbound.empty())
    return createStringError("dim '" + table.unbound[0] +
                             "' cannot be computed from the inputs' dims");
  Constant *exprTable = exprs();
  Constant *blob = null();
  if (weights.bytes && !options.weightsInFile)
    blob = module.getOrInsertGlobal("tenon_weights_blob", i8);
  SmallVector<Constant *> hash;
  for (uint8_t byte : options.weightsHash)
    hash.push_back(ConstantInt::get(i8, byte));
  Constant *levelTable = levels();
  int64_t found = llvm::count_if(
      s.states, [](const ScheduleState &t) { return t.reason.empty(); });
  SmallVector<Constant *> fields{
      c32(TENON_ABI_MAGIC),
      c32(TENON_ABI_VERSION),
      string(s.modelName),
      string(options.compilerVersion),
      string("2.17"),
      string(options.precision),
      formatTable,
      inputTable,
      outputTable,
      exprTable,
      checkTable,
      bufferTable,
      stepTable,
      levelTable,
      valueTable,
      rangeTable,
      c32(s.inputs.size()),
      c32(s.outputs.size()),
      c32(table.exprs.size()),
      c32(s.checks.size()),
      c32(s.buffers.size()),
      c32(s.steps.size()),
      c32(options.levels.size()),
      c32(s.values.size()),
      c32(options.ranges.size()),
      c32(s.controls.size()),
      blob,
      c64(weights.bytes),
      options.weightsInFile ? string(options.weightsFile) : null(),
      ConstantArray::get(ArrayType::get(i8, hash.size()), hash),
      controlTable,
      c32(numbers.back()),
      c32(found),
      stateTable,
      c32(s.states.size() - found),
      c32(options.gpu.has_value())};
  if (options.gpu) {
    Expected<Constant *> other = gpu();
    if (!other)
      return other;
    fields.push_back(*other);
  }
  return global(record(fields), "program");
}

/// Where a shared library notes, when it is loaded, what else has its name.
Constant *ProgramWriter::twin() {
  if (!options.shared)
    return null();
  Type *none = Type::getVoidTy(ctx);
  auto *type = StructType::get(ptr, ptr); // tenon_twin
  auto *twin =
      new GlobalVariable(module, type, false, GlobalValue::InternalLinkage,
                         Constant::getNullValue(type), "twin");
  FunctionCallee find =
      module.getOrInsertFunction("tenon_find_twin", none, ptr, ptr);
  hidden(cast<GlobalValue>(find.getCallee()));
  auto *load = Function::Create(FunctionType::get(none, false),
                                GlobalValue::InternalLinkage, "load", module);
  load->setDoesNotThrow();
  IRBuilder<> b(BasicBlock::Create(ctx, "", load));
  b.CreateCall(find, {string(options.exportedSymbol), twin});
  b.CreateRetVoid();
  auto *entry = new GlobalVariable(
      module, ptr, false, GlobalValue::InternalLinkage, load, "load.entry");
  entry->setSection(".init_array");
  appendToCompilerUsed(module, {entry});
  return twin;
}

/// Texts up to a null, so that no slow work is told from no answer.
Constant *ProgramWriter::slow() {
  SmallVector<Constant *> texts;
  for (const std::string &text : options.slow)
    texts.push_back(string(text));
  texts.push_back(null());
  return array(texts, "slow");
}

Error ProgramWriter::run() {
  Expected<Constant *> program = write();
  if (!program)
    return program.takeError();
  Constant *api = hidden(
      cast<GlobalValue>(module.getOrInsertGlobal("tenon_runtime_api", i8)));
  Constant *model = record({c32(TENON_MODEL_MAGIC), c32(TENON_API_VERSION), api,
                            *program, twin(), slow()});
  new GlobalVariable(module, model->getType(), true,
                     GlobalValue::ExternalLinkage, model,
                     options.exportedSymbol);
  return Error::success();
}

} // namespace

/// int32_t entry(void *const *bufs, const int64_t *dims, int64_t begin,
///               int64_t end, tenon_task *task)
/// spreads the arrays over the kernel's arguments, each memref<?xT> being
/// (allocated, aligned, offset, size, stride).
void addKernelEntry(Function &kernel, size_t numBuffers, size_t numDims) {
  LLVMContext &ctx = kernel.getContext();
  Type *i64 = Type::getInt64Ty(ctx);
  auto *ptr = PointerType::getUnqual(ctx);
  auto *f =
      Function::Create(kernelType(ctx), GlobalValue::ExternalLinkage,
                       entryName(kernel.getName().str()), kernel.getParent());
  f->copyAttributesFrom(&kernel);
  hidden(f);
  kernel.setLinkage(GlobalValue::InternalLinkage); // and default visibility
  kernel.addFnAttr(Attribute::AlwaysInline);
  Value *bufs = f->getArg(0), *dims = f->getArg(1), *task = f->getArg(4);
  IRBuilder<> b(BasicBlock::Create(ctx, "", f));
  auto *errorType = ArrayType::get(i64, 3); // value, limit, code
  Value *error = b.CreateAlloca(errorType);
  b.CreateStore(ConstantAggregateZero::get(errorType), error);
  SmallVector<Value *> args{f->getArg(2), f->getArg(3)};
  auto memref = [&](Value *p) {
    args.append({p, p, b.getInt64(0), b.getInt64(INT64_MAX), b.getInt64(1)});
  };
  memref(b.CreateLoad(ptr, task));
  memref(error);
  for (size_t i = 0; i < numBuffers; ++i)
    memref(b.CreateLoad(ptr, b.CreateConstGEP1_64(ptr, bufs, i)));
  for (size_t i = 0; i < numDims; ++i)
    args.push_back(b.CreateLoad(i64, b.CreateConstGEP1_64(i64, dims, i)));
  Value *code = b.CreateCall(&kernel, args);
  auto *bad = BasicBlock::Create(ctx, "", f),
       *done = BasicBlock::Create(ctx, "", f);
  b.CreateCondBr(b.CreateICmpEQ(code, b.getInt32(0)), done, bad);
  b.SetInsertPoint(bad);
  for (int i = 0; i < 2; ++i)
    b.CreateStore(b.CreateLoad(i64, b.CreateConstGEP1_64(i64, error, i)),
                  b.CreateConstGEP1_64(i64, task, 1 + i));
  b.CreateBr(done);
  b.SetInsertPoint(done);
  b.CreateRet(code);
}

Error emitProgram(Module &module, const Schedule &schedule,
                  const WeightsPlan &weights, const ProgramOptions &options) {
  return ProgramWriter{module, schedule, weights, options}.run();
}

} // namespace tenon
