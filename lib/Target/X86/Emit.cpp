//===- Emit.cpp - from an LLVM module to an object ------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tenon/Target/Emit.h"
#include "ElfImage.h"
#include "LegalizeFloats.h"
#include "llvm/Analysis/LoopInfo.h"
#include "llvm/Analysis/ScalarEvolution.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/DiagnosticPrinter.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/Utils/ModuleUtils.h"

using namespace llvm;
using namespace tenon;

namespace {

constexpr StringLiteral kTriple = "x86_64-unknown-linux-gnu";

/// The section is born as a .bss one, the only kind that LLVM gives no bytes,
/// and then becomes read-only.
constexpr StringLiteral kBirthSection = ".bss.tenon_weights";
static_assert(kWeightsSection.size() <= kBirthSection.size());

Expected<std::unique_ptr<TargetMachine>> createMachine(int optLevel) {
  static bool initialized = [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    return true;
  }();
  (void)initialized;
  Triple triple(kTriple);
  std::string message;
  const Target *target = TargetRegistry::lookupTarget(triple, message);
  if (!target)
    return createStringError(message);
  TargetOptions options;
  options.AllowFPOpFusion = FPOpFusion::Strict;
  options.FunctionSections = true; // the linker drops what nothing calls
  auto level = CodeGenOpt::getLevel(optLevel);
  std::unique_ptr<TargetMachine> machine(target->createTargetMachine(
      triple, "x86-64", "", options, Reloc::PIC_, std::nullopt,
      level.value_or(CodeGenOptLevel::Aggressive)));
  if (!machine)
    return createStringError("LLVM has no code generator for " + kTriple);
  return machine;
}

/// Gives the weights' symbol its definition. Not before the optimizer has run:
/// it would read zeros through it.
Error defineWeights(Module &module, uint64_t bytes) {
  GlobalVariable *declared = module.getNamedGlobal(kWeightsSymbol);
  if (!declared)
    return Error::success(); // kept in a file
  if (!declared->isDeclaration())
    return createStringError("the module defines " + kWeightsSymbol);
  if (bytes == 0)
    return createStringError("the module uses " + kWeightsSymbol +
                             " but has no weights");
  auto *type = ArrayType::get(Type::getInt8Ty(module.getContext()), bytes);
  declared->setName("");
  auto *defined = new GlobalVariable(
      module, type, /*isConstant=*/false, GlobalValue::InternalLinkage,
      ConstantAggregateZero::get(type), kWeightsSymbol);
  defined->setSection(kBirthSection);
  defined->setAlignment(Align(4096));
  // The linker puts the weights behind .bss, so there has to be one.
  Type *byte = Type::getInt8Ty(module.getContext());
  auto *anchor = new GlobalVariable(
      module, byte, /*isConstant=*/false, GlobalValue::InternalLinkage,
      ConstantInt::get(byte, 0), "tenon_weights_anchor");
  appendToUsed(module, {anchor});
  declared->replaceAllUsesWith(defined);
  declared->eraseFromParent();
  return Error::success();
}

Error generate(Module &module, const EmitOptions &options,
               raw_pwrite_stream &os, CodeGenFileType type) {
  Expected<std::unique_ptr<TargetMachine>> machine =
      createMachine(options.optLevel);
  if (!machine)
    return machine.takeError();
  legacy::PassManager passes;
  if ((*machine)->addPassesToEmitFile(passes, os, nullptr, type))
    return createStringError("LLVM cannot write this kind of file");
  passes.run(module);
  return Error::success();
}

/// Collects what LLVM has to say about a module as an error.
struct ErrorCollector : DiagnosticHandler {
  explicit ErrorCollector(std::string &text) : text(text) {}
  bool handleDiagnostics(const DiagnosticInfo &info) override {
    if (info.getSeverity() != DS_Error)
      return true;
    raw_string_ostream os(text);
    DiagnosticPrinterRawOStream printer(os);
    info.print(printer);
    return true;
  }
  std::string &text;
};

/// Runs `fn` with the context's diagnostics turned into an error.
Error collectingErrors(Module &module, StringRef what,
                       function_ref<Error()> fn) {
  LLVMContext &context = module.getContext();
  std::string text;
  std::unique_ptr<DiagnosticHandler> old = context.getDiagnosticHandler();
  context.setDiagnosticHandler(std::make_unique<ErrorCollector>(text));
  Error error = fn();
  context.setDiagnosticHandler(std::move(old));
  if (!error && !text.empty())
    return createStringError(what + ": " + text);
  return error;
}

} // namespace

Error tenon::prepareModule(Module &module) {
  Expected<std::unique_ptr<TargetMachine>> machine = createMachine(2);
  if (!machine)
    return machine.takeError();
  module.setTargetTriple((*machine)->getTargetTriple());
  module.setDataLayout((*machine)->createDataLayout());
  module.setPICLevel(PICLevel::BigPIC);
  module.setSourceFileName("tenon");
  return Error::success();
}

/// Stores under a mask that leaves one lane are stores of it. LLVM 22 would
/// make them so behind a truncation that it has joined with them, and write the
/// four bytes of the lane of before (llvm/llvm-project#179489).
static void storeLonelyLanes(Module &module) {
  auto rewrite = [](IntrinsicInst *call) {
    auto *mask = dyn_cast<Constant>(call->getArgOperand(2));
    auto *type = dyn_cast<FixedVectorType>(call->getArgOperand(0)->getType());
    if (!mask || !type)
      return false;
    std::optional<unsigned> lane;
    for (unsigned i = 0; i < type->getNumElements(); ++i) {
      auto *bit = dyn_cast_or_null<ConstantInt>(mask->getAggregateElement(i));
      if (!bit || (bit->isOne() && lane))
        return false;
      if (bit->isOne())
        lane = i;
    }
    if (!lane)
      return false;
    IRBuilder<> b(call);
    Type *element = type->getElementType();
    uint64_t bytes = element->getPrimitiveSizeInBits() / 8;
    Align alignment =
        commonAlignment(call->getParamAlign(1).valueOrOne(), *lane * bytes);
    b.CreateAlignedStore(
        b.CreateExtractElement(call->getArgOperand(0), *lane),
        b.CreateConstGEP1_64(element, call->getArgOperand(1), *lane),
        alignment);
    return true;
  };
  for (Function &function : module)
    for (Instruction &instruction :
         make_early_inc_range(instructions(function)))
      if (auto *call = dyn_cast<IntrinsicInst>(&instruction);
          call && call->getIntrinsicID() == Intrinsic::masked_store &&
          rewrite(call))
        call->eraseFromParent();
}

/// Loops of kernels that unroll their own whose turns are not known are left as
/// they are. Of a loop over what is left, of three turns at most, or over two
/// vectors of columns, LLVM would make as many copies, half of a depthwise
/// kernel's code and compile time.
static void keepLoops(Module &module, FunctionAnalysisManager &analyses) {
  for (Function &function : module) {
    if (function.isDeclaration() || !function.hasFnAttribute(kKeepsLoops))
      continue;
    auto &evolution = analyses.getResult<ScalarEvolutionAnalysis>(function);
    for (Loop *loop :
         analyses.getResult<LoopAnalysis>(function).getLoopsInPreorder())
      if (evolution.getSmallConstantTripCount(loop) == 0)
        loop->setLoopAlreadyUnrolled();
  }
}

Error tenon::optimizeModule(Module &module, const EmitOptions &options) {
  Expected<std::unique_ptr<TargetMachine>> machine =
      createMachine(options.optLevel);
  if (!machine)
    return machine.takeError();
  std::string message;
  raw_string_ostream os(message);
  if (verifyModule(module, &os))
    return createStringError("the LLVM module is invalid: " + message);
  legalizeFloats(module);

  PipelineTuningOptions tuning;
  tuning.LoopVectorization = options.vectorize;
  tuning.LoopInterleaving = options.vectorize;
  tuning.SLPVectorization = options.vectorize;
  PassBuilder builder(machine->get(), tuning);
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager calls;
  ModuleAnalysisManager modules;
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(calls);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, calls, modules);
  keepLoops(module, functions);
  ModulePassManager passes;
  switch (options.optLevel) {
  case 0:
    passes = builder.buildO0DefaultPipeline(OptimizationLevel::O0);
    break;
  case 1:
    passes = builder.buildPerModuleDefaultPipeline(OptimizationLevel::O1);
    break;
  case 2:
    passes = builder.buildPerModuleDefaultPipeline(OptimizationLevel::O2);
    break;
  default:
    passes = builder.buildPerModuleDefaultPipeline(OptimizationLevel::O3);
    break;
  }
  return collectingErrors(module, "optimizing", [&] {
    passes.run(module, modules);
    storeLonelyLanes(module);
    return Error::success();
  });
}

Error tenon::emitObject(Module &module, const EmitOptions &options,
                        SmallVectorImpl<char> &object) {
  if (Error error = optimizeModule(module, options))
    return error;
  if (Error error = defineWeights(module, options.weightsBytes))
    return error;
  raw_svector_ostream os(object);
  Error error = collectingErrors(module, "generating code", [&] {
    return generate(module, options, os, CodeGenFileType::ObjectFile);
  });
  if (error)
    return error;
  return makeWeightsSectionReadOnly(object, kBirthSection);
}

Error tenon::emitAssembly(Module &module, const EmitOptions &options,
                          raw_ostream &out) {
  if (Error error = optimizeModule(module, options))
    return error;
  if (Error error = defineWeights(module, options.weightsBytes))
    return error;
  SmallString<0> text;
  raw_svector_ostream os(text);
  Error error = collectingErrors(module, "generating code", [&] {
    return generate(module, options, os, CodeGenFileType::AssemblyFile);
  });
  if (error)
    return error;
  out << text;
  return Error::success();
}
