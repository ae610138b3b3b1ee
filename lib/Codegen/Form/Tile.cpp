//===- Tile.cpp - decide how each kernel is cut into tasks ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonKernel.h"
#include "mlir/Pass/Pass.h"
#include "tenon/Codegen/Backend.h"
#include "tenon/Codegen/Tilings.h"

using namespace mlir;

namespace tenon {
#define GEN_PASS_DECL_TILEPASS
#define GEN_PASS_DEF_TILEPASS
#include "lib/Codegen/Form/Tile.h.inc"

namespace {

struct TilePass : ::tenon::impl::TilePassBase<TilePass> {
  using TilePassBase::TilePassBase;

  void runOnOperation() override {
    const Backend *backend = findBackend(family);
    if (!backend) {
      getOperation().emitError("expected the family cpu or gpu, found ")
          << family;
      return signalPassFailure();
    }
    auto kind = symbolizeMmaProducts(products);
    if (!kind || kind == MmaProducts::i8) { // which integers alone have
      getOperation().emitError("expected products tf32x3, tf32, bf16 or f16, "
                               "found ")
          << products;
      return signalPassFailure();
    }
    machine = {l2Bytes, *kind, warpgroups};
    FailureOr<TilingFile> file = TilingFile();
    if (!from.empty())
      file = TilingFile::read(&getContext(), from);
    if (failed(file))
      return signalPassFailure();
    WalkResult result = getOperation().walk([&](KernelOp kernel) {
      if (TilingInterface own = kernel.getTilingAttr();
          own && own.getFamily() == family)
        return WalkResult::advance();
      kernel.removeTilingAttr();
      FailureOr<TilingInterface> tiling = file->find(kernel, family);
      if (failed(tiling))
        return WalkResult::interrupt();
      if (*tiling)
        ++numOverridden;
      else if ((*tiling = choose(*backend, kernel)))
        ++numChosen;
      if (*tiling)
        kernel.setTilingAttr(*tiling);
      return WalkResult::advance();
    });
    if (result.wasInterrupted())
      return signalPassFailure();
    file->warnOfUnused(family);
  }

  Machine machine;

  TilingInterface choose(const Backend &backend, KernelOp kernel) {
    SmallVector<TilingInterface> all = backend.candidates(kernel, machine);
    return all.empty() ? TilingInterface()
                       : all[std::min<size_t>(candidate, all.size() - 1)];
  }
};

} // namespace
} // namespace tenon
