//===- SharedMemory.cpp - memory of a block's threads ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Gpu/SharedMemory.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace tenon {

static constexpr auto kGlobal = unsigned(NVVM::NVVMMemorySpace::Global);
static constexpr auto kShared = unsigned(NVVM::NVVMMemorySpace::Shared);

SharedArray::SharedArray(KernelLoops &e, StringRef name, Type element,
                         int64_t count, int64_t alignment, bool asked)
    : e(e), element(element) {
  ModuleOp module = e.module();
  constexpr int64_t most = 48 << 10;
  int64_t bytes = count * std::max(8u, element.getIntOrFloatBitWidth()) / 8;
  bool isOwn = bytes <= most && !asked;
  if (!isOwn)
    e.info.gpu->dynamicShared = bytes;
  if (!module.lookupSymbol(name)) {
    OpBuilder b(module.getBodyRegion());
    auto type = LLVM::LLVMArrayType::get(element, isOwn ? count : 0);
    auto global = LLVM::GlobalOp::create(b, e.L.loc, type, /*isConstant=*/false,
                                         isOwn ? LLVM::Linkage::Internal
                                               : LLVM::Linkage::External,
                                         name, Attribute(), alignment, kShared);
    if (isOwn) {
      b.createBlock(&global.getInitializerRegion());
      Value none = LLVM::UndefOp::create(b, e.L.loc, type);
      LLVM::ReturnOp::create(b, e.L.loc, none);
    }
  }
  base = LLVM::AddressOfOp::create(
      e.b, e.L.loc, LLVM::LLVMPointerType::get(e.b.getContext(), kShared),
      name);
}

Value SharedArray::at(Value position) const {
  Value i =
      arith::IndexCastOp::create(e.b, e.L.loc, e.b.getI32Type(), position);
  return LLVM::GEPOp::create(e.b, e.L.loc, base.getType(), element, base,
                             ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(i)});
}

static unsigned bytesOf(Type type) {
  auto v = dyn_cast<VectorType>(type);
  return (v ? v.getNumElements() : 1) *
         std::max(8u, getElementTypeOrSelf(type).getIntOrFloatBitWidth()) / 8;
}

Value SharedArray::load(Type type, Value position) const {
  return LLVM::LoadOp::create(e.b, e.L.loc, type, at(position), bytesOf(type));
}

void SharedArray::store(Value v, Value position) const {
  LLVM::StoreOp::create(e.b, e.L.loc, v, at(position), bytesOf(v.getType()));
}

void copyAsync(KernelEmitter &e, const SharedArray &into, Value at, Value from,
               Type type, Value position, Value inside) {
  OpBuilder &b = e.b;
  LaneBuilder &L = e.L;
  Value safe = arith::IndexCastOp::create(
      b, L.loc, b.getI32Type(), L.select(inside, position, L.index(0)));
  Value source =
      LLVM::GEPOp::create(b, L.loc, from.getType(), type, from,
                          ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(safe)});
  Value bytes = L.select(inside, L.constantInt(b.getI32Type(), 16),
                         L.constantInt(b.getI32Type(), 0));
  NVVM::CpAsyncOp::create(b, L.loc, into.at(at), source, 16,
                          NVVM::LoadCacheModifierKind::CG, bytes);
}

void closeCopies(KernelEmitter &e) {
  NVVM::CpAsyncCommitGroupOp::create(e.b, e.L.loc);
}

void awaitCopies(KernelEmitter &e, int64_t left) {
  NVVM::CpAsyncWaitGroupOp::create(e.b, e.L.loc, uint32_t(left));
}

void Mbarriers::create(Value at, int64_t arrivals) {
  NVVM::MBarrierInitOp::create(e.b, e.L.loc, memory.at(at),
                               e.L.constantInt(e.b.getI32Type(), arrivals),
                               Value());
}

void Mbarriers::arrive(Value at) {
  NVVM::MBarrierArriveOp::create(e.b, e.L.loc, e.b.getI64Type(), memory.at(at),
                                 Value());
}

void Mbarriers::arriveAfterCopies(Value at) {
  NVVM::CpAsyncMBarrierArriveOp::create(e.b, e.L.loc, memory.at(at),
                                        /*noinc=*/true);
}

void Mbarriers::arriveExpecting(Value at, int64_t bytes) {
  NVVM::MBarrierArriveExpectTxOp::create(
      e.b, e.L.loc, Type(), memory.at(at),
      e.L.constantInt(e.b.getI32Type(), bytes), NVVM::MemScopeKind::CTA,
      /*relaxed=*/false, /*predicate=*/Value());
}

void Mbarriers::fence() { NVVM::FenceMbarrierInitOp::create(e.b, e.L.loc); }

void Mbarriers::copyBox(Value to, Value map, ValueRange position, Value at) {
  OpBuilder &b = e.b;
  // A block is a cluster of its own.
  Value cluster = LLVM::AddrSpaceCastOp::create(
      b, e.L.loc,
      LLVM::LLVMPointerType::get(
          b.getContext(), unsigned(NVVM::NVVMMemorySpace::SharedCluster)),
      memory.at(to));
  SmallVector<Value> coordinates;
  for (Value v : position)
    coordinates.push_back(
        arith::IndexCastOp::create(b, e.L.loc, b.getI32Type(), v));
  NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp::create(
      b, e.L.loc, cluster, map, coordinates, memory.at(at),
      /*im2colOffsets=*/ValueRange(), /*multicastMask=*/Value(),
      /*l2CacheHint=*/Value(), NVVM::TMALoadMode::TILE, /*isCTAOnly=*/false,
      /*group=*/NVVM::CTAGroupKindAttr(), /*predicate=*/Value());
}

void Mbarriers::await(Value at, Value parity) {
  LaneBuilder &L = e.L;
  Type i1 = e.b.getI1Type();
  Value address = memory.at(at);
  Value phase =
      arith::IndexCastOp::create(e.b, L.loc, e.b.getI32Type(), parity);
  e.whileLoop(
      L.constantInt(i1, 0), [&](Value done) { return L.no(done); },
      [&](Value) -> Value {
        return NVVM::MBarrierTryWaitOp::create(e.b, L.loc, i1, address, phase,
                                               Value());
      });
}

void emitBarrier(KernelLoops &e) { NVVM::Barrier0Op::create(e.b, e.L.loc); }

void emitBarrier(KernelLoops &e, int64_t number, int64_t threads) {
  Type i32 = e.b.getI32Type();
  NVVM::BarrierOp::create(
      e.b, e.L.loc, TypeRange{}, e.L.constantInt(i32, number),
      e.L.constantInt(i32, threads), NVVM::BarrierReductionAttr(), Value());
}

void fenceAsyncProxy(KernelEmitter &e) {
  NVVM::FenceProxyOp::create(
      e.b, e.L.loc, NVVM::ProxyKind::async_shared,
      NVVM::SharedSpaceAttr::get(e.b.getContext(),
                                 NVVM::SharedSpace::shared_cta));
}

void fenceDevice(KernelEmitter &e) {
  LLVM::FenceOp::create(e.b, e.L.loc, LLVM::AtomicOrdering::acq_rel, "device");
}

Value countAround(KernelEmitter &e, Value memory, Value position, Value last) {
  OpBuilder &b = e.b;
  Type i32 = b.getI32Type();
  Value from = globalPointer(e, memory);
  Value at = arith::IndexCastOp::create(b, e.L.loc, i32, position);
  Value address = LLVM::GEPOp::create(b, e.L.loc, from.getType(), i32, from,
                                      ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(at)});
  return LLVM::AtomicRMWOp::create(
      b, e.L.loc, LLVM::AtomicBinOp::uinc_wrap, address,
      arith::IndexCastOp::create(b, e.L.loc, i32, last),
      LLVM::AtomicOrdering::monotonic, "device");
}

Value emitBarrierAny(KernelEmitter &e, Value condition) {
  OpBuilder &b = e.b;
  Type i32 = b.getI32Type();
  auto any = NVVM::BarrierReductionAttr::get(b.getContext(),
                                             NVVM::BarrierReduction::OR);
  Value own = arith::ExtUIOp::create(b, e.L.loc, i32, condition);
  auto barrier = NVVM::BarrierOp::create(b, e.L.loc, TypeRange{i32}, Value(),
                                         Value(), any, own);
  return e.L.ne(barrier->getResult(0), e.L.constantInt(i32, 0));
}

void emitWarpBarrier(KernelEmitter &e) {
  Value all = e.L.constantInt(e.b.getI32Type(), -1);
  NVVM::SyncWarpOp::create(e.b, e.L.loc, all);
}

Value threadIndex(KernelLoops &e) {
  Value thread = NVVM::ThreadIdXOp::create(e.b, e.L.loc, e.b.getI32Type());
  return arith::IndexCastOp::create(e.b, e.L.loc, e.b.getIndexType(), thread);
}

/// A memref becomes a struct (GpuToLLVM.cpp), whose second field that is.
Value globalPointer(KernelEmitter &e, Value memory) {
  MLIRContext *context = e.b.getContext();
  auto pointer = LLVM::LLVMPointerType::get(context);
  auto one = LLVM::LLVMArrayType::get(e.b.getI32Type(), 1);
  auto type = LLVM::LLVMStructType::getLiteral(
      context, {pointer, pointer, e.b.getI32Type(), one, one});
  Value fields = UnrealizedConversionCastOp::create(e.b, e.L.loc, type, memory)
                     .getResult(0);
  Value begin = LLVM::ExtractValueOp::create(e.b, e.L.loc, fields, 1);
  return LLVM::AddrSpaceCastOp::create(
      e.b, e.L.loc, LLVM::LLVMPointerType::get(context, kGlobal), begin);
}

Value loadNumber(KernelEmitter &e, Value from, Type type, Value position,
                 Value inside) {
  LaneBuilder &L = e.L;
  if (inside)
    position = L.select(inside, position, L.index(0));
  Value at = arith::IndexCastOp::create(e.b, L.loc, e.b.getI32Type(), position);
  Value address = LLVM::GEPOp::create(e.b, L.loc, from.getType(), type, from,
                                      ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(at)});
  Value x = LLVM::LoadOp::create(e.b, L.loc, type, address, bytesOf(type));
  return inside ? L.select(inside, x, L.constant(type, 0)) : x;
}

Value loadGlobal(KernelEmitter &e, Value from, Type type, Value bytes) {
  Value at = arith::IndexCastOp::create(e.b, e.L.loc, e.b.getI32Type(), bytes);
  Value address =
      LLVM::GEPOp::create(e.b, e.L.loc, from.getType(), e.b.getI8Type(), from,
                          ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(at)});
  return LLVM::LoadOp::create(e.b, e.L.loc, type, address, bytesOf(type));
}

} // namespace tenon
