//===- GpuCompiler.cpp - the GPU levels of an artifact --------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GpuCompiler.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "tenon/Codegen/Backend.h"
#include "tenon/Codegen/GpuProgram.h"
#include "tenon/Support/StableSort.h"
#include "tenon/Target/Gpu.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/IR/Module.h"

using namespace mlir;

namespace tenon {

llvm::Error GpuCompiler::addLevel(StringRef name) {
  auto target = resolveGpuTarget(name);
  if (!target)
    return target.takeError();
  levels.push_back({*target, nullptr, {}, {}, {}});
  stableSort(levels, [](const GpuLevel &x, const GpuLevel &y) {
    return std::pair(x.target.sm, StringRef(x.target.cpu)) <
           std::pair(y.target.sm, StringRef(y.target.cpu));
  });
  return llvm::Error::success();
}

static LogicalResult run(ModuleOp on,
                         llvm::function_ref<void(OpPassManager &)> fill) {
  PassManager pm(on.getContext());
  fill(pm);
  return pm.run(on);
}

TilingOptions GpuCompiler::withLevels(TilingOptions tiling) const {
  tiling.warpgroups = llvm::any_of(levels, [](const GpuLevel &level) {
    return hasWarpgroups(level.target);
  });
  return tiling;
}

LogicalResult GpuCompiler::cut(ModuleOp fused, const TilingOptions &tiling) {
  graph = fused.clone();
  return run(*graph, [&](OpPassManager &pm) {
    populateTiling(pm, gpuBackend(), tiling);
  });
}

/// All levels are launched alike, with the shared memory of the one that asks
/// for most; false: one takes other arguments.
static bool mergeLevel(Schedule &schedule, const Schedule &level) {
  for (auto [step, other] : llvm::zip_equal(schedule.steps, level.steps)) {
    KernelInfo &a = step.kernel;
    const KernelInfo &b = other.kernel;
    if (a.dims != b.dims || a.tasks != b.tasks ||
        a.scratchBytes != b.scratchBytes ||
        a.gpu.has_value() != b.gpu.has_value())
      return false;
    if (!a.gpu)
      continue;
    if (a.gpu->threads != b.gpu->threads || a.gpu->block != b.gpu->block ||
        a.gpu->taskScratch != b.gpu->taskScratch)
      return false;
    a.gpu->dynamicShared = std::max(a.gpu->dynamicShared, b.gpu->dynamicShared);
    // Levels without a copy engine have none.
    if (a.gpu->maps.empty())
      a.gpu->maps = b.gpu->maps;
    else if (!b.gpu->maps.empty() && a.gpu->maps != b.gpu->maps)
      return false;
  }
  return true;
}

/// Positions in memory are numbers of 32 bits, and a launch takes only so many.
LogicalResult GpuCompiler::checkSizes() {
  // Bytes of a launch's arguments, by PTX 8.0, and of a tensor map.
  constexpr size_t most = 4352, map = 128;
  for (const ScheduleStep &step : schedule.steps) {
    Location nodes =
        NameLoc::get(StringAttr::get(graph->getContext(), step.nodes));
    size_t bytes =
        8 * (step.buffers.size() + 2) + 4 * (step.kernel.dims.size() + 1);
    if (step.kernel.gpu && !step.kernel.gpu->maps.empty())
      bytes =
          llvm::alignTo(bytes, map / 2) + map * step.kernel.gpu->maps.size();
    if (bytes > most && step.kernel.gpu)
      return emitError(nodes) << "a GPU's kernel takes at most " << most
                              << " bytes of arguments, found " << bytes
                              << " for " << step.buffers.size() << " tensors";
    for (int number : step.buffers) {
      const ScheduleBuffer &buffer = schedule.buffers[number];
      auto elements = buffer.elements().constant();
      if (buffer.kind == ScheduleBuffer::Weight)
        elements = weightElements(buffer);
      if (elements && *elements > INT32_MAX)
        return emitError(nodes) << "a GPU's tensors have at most " << INT32_MAX
                                << " elements, found " << *elements;
    }
  }
  return success();
}

LogicalResult GpuCompiler::tile() {
  if (levels.empty())
    return success();
  for (auto [i, level] : llvm::enumerate(levels)) {
    level.kernels = ModuleOp::create(graph->getLoc());
    auto s = buildSchedule(*graph, *level.kernels, gpuBackend(), level.target);
    if (failed(s) || failed(level.kernels->verify()))
      return failure();
    if (i == 0)
      schedule = std::move(*s);
    else if (!mergeLevel(schedule, *s))
      return emitError(graph->getLoc())
             << "a kernel has other arguments at level " << level.target.name;
  }
  return checkSizes();
}

LogicalResult GpuCompiler::lowerToVectors() {
  for (GpuLevel &level : levels)
    if (failed(run(*level.kernels, populateVectorStage)))
      return failure();
  return success();
}

LogicalResult GpuCompiler::lowerToLLVM() {
  for (GpuLevel &level : levels)
    if (failed(run(*level.kernels, populateGpuBufferStage)))
      return failure();
  return success();
}

llvm::Error GpuCompiler::emitPtx(GpuLevel &level, int optLevel) {
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> module =
      translateModuleToLLVMIR(*level.kernels, context, "tenon");
  if (!module)
    return llvm::createStringError("translation to LLVM IR failed");
  if (llvm::Error error = prepareGpuModule(*module, level.target))
    return error;
  llvm::StringSet<> known;
  for (const ScheduleStep &step : schedule.steps)
    if (step.kernel.gpu && known.insert(step.kernel.symbol).second)
      addGpuEntry(*module, step.kernel, step.buffers.size());
  llvm::raw_string_ostream(level.llvm) << *module;
  auto ptx = tenon::emitPtx(*module, level.target, optLevel);
  if (!ptx)
    return ptx.takeError();
  level.ptx = std::move(*ptx);
  return llvm::Error::success();
}

llvm::Error GpuCompiler::emitPtx(int optLevel) {
  for (GpuLevel &level : levels)
    if (llvm::Error error = emitPtx(level, optLevel))
      return error;
  return llvm::Error::success();
}

llvm::Error GpuCompiler::assemble(StringRef ptxas, std::string &note) {
  auto program = findPtxas(ptxas);
  if (!program)
    return program.takeError();
  if (program->empty()) {
    if (ptxas.empty())
      note = "no ptxas on the PATH (--ptxas=FILE): the artifact's GPU code is "
             "PTX, which the driver assembles when it is loaded";
    return llvm::Error::success();
  }
  for (GpuLevel &level : levels) {
    auto cubin = assemblePtx(*program, level.ptx, level.target);
    if (!cubin)
      return cubin.takeError();
    level.cubin = std::move(*cubin);
  }
  return llvm::Error::success();
}

bool GpuCompiler::sharesWeights(const Schedule &other) const {
  auto weightsOf = [](const Schedule &s) {
    return llvm::make_filter_range(s.buffers, [](const ScheduleBuffer &b) {
      return b.kind == ScheduleBuffer::Weight;
    });
  };
  auto own = weightsOf(schedule), others = weightsOf(other);
  return std::equal(own.begin(), own.end(), others.begin(), others.end(),
                    [](const ScheduleBuffer &x, const ScheduleBuffer &y) {
                      return x.parts == y.parts;
                    });
}

GpuProgram GpuCompiler::getProgram() const {
  GpuProgram program{&schedule, planWeights(schedule), {}};
  auto add = [&](const GpuLevel &level, bool assembled) {
    program.images.push_back({level.target.cpu, level.target.sm, assembled,
                              assembled ? level.cubin : level.ptx});
  };
  for (const GpuLevel &level : llvm::reverse(levels))
    if (!level.cubin.empty())
      add(level, true);
  // The oldest PTX serves every later GPU, unless it is of one alone.
  size_t texts = 0;
  while (texts < levels.size() &&
         !llvm::isDigit(levels[texts++].target.cpu.back()))
    ;
  for (const GpuLevel &level :
       llvm::reverse(ArrayRef(levels).take_front(texts)))
    add(level, false);
  return program;
}

} // namespace tenon
