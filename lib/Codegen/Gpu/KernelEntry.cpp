//===- KernelEntry.cpp - what a GPU launches ------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "tenon/Codegen/GpuProgram.h"
#include "tenon/abi.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicsNVPTX.h"
#include "llvm/IR/Module.h"

using namespace llvm;

namespace tenon {

/// NVPTX's number of shared memory.
static constexpr unsigned kShared = 3;
/// Of a memref's arguments, and of a tensor map.
static constexpr size_t kFields = 5, kBytesOfMap = 128, kMapAlignment = 64;

namespace {

struct EntryWriter {
  Module &module;
  const KernelInfo &info;
  size_t numBuffers;
  const GpuLaunch &gpu = *info.gpu;
  LLVMContext &context = module.getContext();
  PointerType *pointer = PointerType::getUnqual(context);
  Type *i32 = Type::getInt32Ty(context), *i64 = Type::getInt64Ty(context);
  IRBuilder<> b{context};
  Function *entry = nullptr;
  size_t numMaps = 0;
  bool lendsRegisters = false;

  Value *error() { return entry->getArg(numBuffers); }
  Value *dim(size_t i) { return entry->getArg(numBuffers + 2 + i); }
  Value *tasks() { return dim(info.dims.size()); }
  Value *map(size_t i) { return dim(info.dims.size() + 1 + i); }
  Value *task();
  Value *scratch(Value *task);
  void create(const std::string &name);
  void write();
};

void EntryWriter::create(const std::string &name) {
  SmallVector<Type *> types(numBuffers + 2, pointer); // error, scratch
  types.append(info.dims.size() + 1, i32);            // tasks
  types.append(numMaps, pointer);
  entry = Function::Create(
      FunctionType::get(Type::getVoidTy(context), types, false),
      GlobalValue::ExternalLinkage, name, module);
  entry->setCallingConv(CallingConv::PTX_Kernel);
  entry->addFnAttr("nvvm.maxntid", std::to_string(gpu.threads));
  // Otherwise ptxas spills some bytes where one more block would fit without.
  // Warpgroups that lend each other registers begin with those of two blocks.
  entry->addFnAttr("nvvm.minctasm", lendsRegisters ? "2" : "1");
  for (size_t i = 0; i < numBuffers + 2; ++i) {
    entry->addParamAttr(i, Attribute::getWithAlignment(context, Align(16)));
    entry->addParamAttr(i, Attribute::NoAlias);
    if (i + 1 < numBuffers) // all but the result
      entry->addParamAttr(i, Attribute::ReadOnly);
  }
  // Maps are the launch's own bytes, and read where they lie.
  auto *bytes = ArrayType::get(b.getInt8Ty(), kBytesOfMap);
  for (unsigned i = types.size() - numMaps; i < types.size(); ++i) {
    entry->addParamAttr(i, Attribute::getWithByValType(context, bytes));
    entry->addParamAttr(
        i, Attribute::getWithAlignment(context, Align(kMapAlignment)));
    entry->addParamAttr(i, Attribute::get(context, "nvvm.grid_constant"));
  }
}

Value *EntryWriter::task() {
  auto read = [&](Intrinsic::ID id) { return b.CreateIntrinsic(i32, id, {}); };
  Value *block = read(Intrinsic::nvvm_read_ptx_sreg_ctaid_x);
  if (gpu.block)
    return block;
  Value *first = b.CreateNUWMul(block, b.getInt32(gpu.threads));
  return b.CreateNUWAdd(first, read(Intrinsic::nvvm_read_ptx_sreg_tid_x));
}

Value *EntryWriter::scratch(Value *task) {
  if (gpu.sharedBytes) {
    auto *type = ArrayType::get(b.getInt8Ty(), gpu.sharedBytes);
    auto *memory = new GlobalVariable(
        module, type, /*isConstant=*/false, GlobalValue::InternalLinkage,
        UndefValue::get(type), info.symbol + ".scratch", nullptr,
        GlobalValue::NotThreadLocal, kShared);
    memory->setAlignment(Align(64));
    return b.CreateAddrSpaceCast(memory, pointer);
  }
  Value *all = entry->getArg(numBuffers + 1);
  if (gpu.taskScratch == SymExpr(0))
    return all;
  all = b.CreateGEP(b.getInt8Ty(), all, b.getInt64(TENON_GPU_COUNTER_BYTES));
  Value *bytes;
  if (auto size = gpu.taskScratch.constant()) {
    bytes = b.getInt64(*size);
  } else {
    auto at = llvm::find(info.dims, gpu.taskScratch) - info.dims.begin();
    bytes = b.CreateZExt(dim(at), i64);
  }
  return b.CreateGEP(b.getInt8Ty(), all,
                     b.CreateNUWMul(b.CreateZExt(task, i64), bytes));
}

void EntryWriter::write() {
  Function *body = module.getFunction(info.symbol);
  std::string name = body->getName().str();
  body->setName(name + ".body");
  body->setLinkage(GlobalValue::InternalLinkage);
  body->addFnAttr(Attribute::AlwaysInline);
  numMaps =
      body->arg_size() - (2 + kFields * (numBuffers + 2) + info.dims.size());
  lendsRegisters = any_of(instructions(body), [](const Instruction &i) {
    auto *call = dyn_cast<CallBase>(&i);
    return call && call->getIntrinsicID() ==
                       Intrinsic::nvvm_setmaxnreg_inc_sync_aligned_u32;
  });
  create(name);
  auto block = [&] { return BasicBlock::Create(context, "", entry); };
  BasicBlock *start = block(), *run = block(), *done = block();
  b.SetInsertPoint(start);
  Value *number = task();
  b.CreateCondBr(b.CreateICmpULT(number, tasks()), run, done);
  b.SetInsertPoint(run);
  SmallVector<Value *> args{number, b.CreateNUWAdd(number, b.getInt32(1))};
  auto memory = [&](Value *p) {
    args.append({p, p, b.getInt32(0), b.getInt32(INT32_MAX), b.getInt32(1)});
  };
  memory(scratch(number));
  memory(error());
  for (size_t i = 0; i < numBuffers; ++i)
    memory(entry->getArg(i));
  for (size_t i = 0; i < numMaps; ++i)
    args.push_back(map(i));
  for (size_t i = 0; i < info.dims.size(); ++i)
    args.push_back(dim(i));
  b.CreateCall(body, args);
  b.CreateBr(done);
  b.SetInsertPoint(done);
  b.CreateRetVoid();
}

} // namespace

void addGpuEntry(Module &module, const KernelInfo &info, size_t numBuffers) {
  EntryWriter{module, info, numBuffers}.write();
}

} // namespace tenon
