//===- EmitTest.cpp - targets, levels and guarded stages ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tenon/Target/Emit.h"
#include "tenon/abi.h"
#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"
#include <cstdlib>

using namespace llvm;
using namespace tenon;

namespace {

TEST(Target, LevelsAreWhatTheirNamesSay) {
  TargetInfo v2 = cantFail(resolveTarget("x86-64-v2"));
  EXPECT_EQ(v2.featureBits, TENON_FEATURE_SSE42);
  EXPECT_EQ(v2.vectorBits, 128u);
  EXPECT_FALSE(v2.hasFma);
  TargetInfo v3 = cantFail(resolveTarget("x86-64-v3"));
  EXPECT_TRUE(v3.has(TENON_FEATURE_AVX2 | TENON_FEATURE_FMA |
                     TENON_FEATURE_BMI2 | TENON_FEATURE_F16C));
  EXPECT_FALSE(v3.has(TENON_FEATURE_AVX512F));
  EXPECT_EQ(v3.vectorBits, 256u);
  EXPECT_EQ(v3.numVectorRegs, 16u);
  EXPECT_NE(v3.features.find("-avx512f"), std::string::npos);
  TargetInfo v4 = cantFail(resolveTarget("x86-64-v4"));
  EXPECT_TRUE(v4.has(TENON_FEATURE_AVX512BW | TENON_FEATURE_AVX512VL));
  EXPECT_FALSE(v4.has(TENON_FEATURE_AVX512VNNI));
  EXPECT_EQ(v4.vectorBits, 512u);
  EXPECT_EQ(v4.numVectorRegs, 32u);
  TargetInfo spr = cantFail(resolveTarget("sapphirerapids"));
  EXPECT_TRUE(spr.has(TENON_FEATURE_AVX512FP16 | TENON_FEATURE_AVX512BF16));
  EXPECT_EQ(spr.cpu, "sapphirerapids");
  EXPECT_TRUE(spr.has(TENON_FEATURE_AMX_INT8 | TENON_FEATURE_AMX_BF16));
  // What a CPU with tiles always has comes along.
  TargetInfo amx = cantFail(resolveTarget("x86-64-v4+amx-int8"));
  EXPECT_TRUE(amx.has(TENON_FEATURE_AMX_INT8 | TENON_FEATURE_AVX512VNNI));
  EXPECT_FALSE(amx.has(TENON_FEATURE_AMX_BF16));
}

TEST(Target, UnknownNamesListTheValidOnes) {
  std::string message = toString(resolveTarget("x86-64-v9").takeError());
  EXPECT_NE(message.find("unknown target 'x86-64-v9'"), std::string::npos);
  EXPECT_NE(message.find("x86-64-v3"), std::string::npos);
  EXPECT_NE(message.find("znver4"), std::string::npos);
  EXPECT_TRUE(errorToBool(resolveTarget("").takeError()));
  message = toString(resolveTarget("core2").takeError());
  EXPECT_NE(message.find("lacks SSE4.2"), std::string::npos) << message;
}

TEST(Target, NativeUsesWhatCpuidShows) {
  Expected<TargetInfo> native = resolveTarget("native");
  if (!native) {
    consumeError(native.takeError());
    GTEST_SKIP() << "this machine is below x86-64-v2";
  }
  EXPECT_EQ(native->has(TENON_FEATURE_AVX2),
            bool(__builtin_cpu_supports("avx2")));
  EXPECT_EQ(native->has(TENON_FEATURE_AVX512F),
            bool(__builtin_cpu_supports("avx512f")));
}

TEST(Target, NativeMultipliesByWhatIsFaster) {
  Expected<TargetInfo> native = resolveTarget("native");
  if (!native || native->vectorBits < 512) {
    consumeError(native.takeError());
    GTEST_SKIP() << "this machine has no AVX-512";
  }
  // Intel's cores that multiply bf16 by tiles, without these.
  bool slow = __builtin_cpu_is("intel") &&
              native->has(TENON_FEATURE_AVX512FP16) &&
              !native->has(TENON_FEATURE_AMX_BF16);
  EXPECT_FALSE(slow && native->multipliesBF16);
  EXPECT_TRUE(cantFail(resolveTarget("native+avx512bf16")).multipliesBF16);
}

/// One kernel, once per level, in one module.
std::string assemblyOf(StringRef body, ArrayRef<StringRef> levels) {
  std::string text;
  for (auto [index, level] : enumerate(levels))
    text += "define void @kernel" + std::to_string(index) +
            "(ptr %a, ptr %b) {\n" + body.str() + "ret void\n}\n";
  text += "declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, "
          "<16 x float>)\n";
  LLVMContext context;
  SMDiagnostic diagnostic;
  std::unique_ptr<Module> module =
      parseAssemblyString(text, diagnostic, context);
  if (!module)
    return "does not parse: " + diagnostic.getMessage().str();
  for (auto [index, level] : enumerate(levels))
    setTargetAttributes(*module->getFunction("kernel" + std::to_string(index)),
                        cantFail(resolveTarget(level)));
  cantFail(prepareModule(*module));
  std::string result;
  raw_string_ostream os(result);
  cantFail(emitAssembly(*module, EmitOptions(), os));
  return result;
}

const char fmaBody[] = R"(
  %x = load <16 x float>, ptr %a, align 4
  %y = call <16 x float> @llvm.fma.v16f32(<16 x float> %x, <16 x float> %x, <16 x float> %x)
  store <16 x float> %y, ptr %b, align 4
)";

TEST(Emit, EachKernelHasItsOwnLevel) {
  std::string text =
      assemblyOf(fmaBody, {"x86-64-v2", "x86-64-v3", "sapphirerapids"});
  auto part = [&](int index) {
    size_t begin = text.find("kernel" + std::to_string(index) + ":");
    return StringRef(text).slice(begin, text.find(".size", begin));
  };
  // No FMA: multiplied and added, not called for.
  EXPECT_TRUE(part(0).contains("mulps")) << text;
  EXPECT_FALSE(part(0).contains("ymm"));
  EXPECT_FALSE(part(0).contains("call"));
  EXPECT_TRUE(part(1).contains("vfmadd"));
  EXPECT_TRUE(part(1).contains("ymm"));
  EXPECT_FALSE(part(1).contains("zmm"));
  // Though its tuning prefers 256 bits.
  EXPECT_TRUE(part(2).contains("zmm"));
}

/// bf16 in every kind of operation that code generation takes apart where the
/// target has no registers for it.
const char bfloatBody[] = R"(
  %x = load <7 x float>, ptr %a, align 4
  %n = fptrunc <7 x float> %x to <7 x bfloat>
  %m = call <7 x bfloat> @llvm.masked.load.v7bf16.p0(ptr align 2 %b, <7 x i1> <i1 1, i1 1, i1 0, i1 1, i1 0, i1 1, i1 1>, <7 x bfloat> splat (bfloat 1.5))
  %c = fcmp olt <7 x bfloat> %n, %m
  %s = select <7 x i1> %c, <7 x bfloat> %n, <7 x bfloat> %m
  %f = fneg <7 x bfloat> %s
  %h = shufflevector <7 x bfloat> %f, <7 x bfloat> %n, <7 x i32> <i32 6, i32 1, i32 8, i32 3, i32 4, i32 13, i32 0>
  %e = extractelement <7 x bfloat> %h, i64 2
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %j, %loop ]
  %p = phi bfloat [ %e, %0 ], [ %r, %loop ]
  %q = fadd bfloat %p, 1.0
  %r = call bfloat @llvm.maximum.bf16(bfloat %q, bfloat 2.0)
  %j = add i64 %i, 1
  %d = icmp eq i64 %j, 9
  br i1 %d, label %end, label %loop
end:
  %k = fptosi bfloat %r to i32
  %l = sitofp i32 %k to bfloat
  %g = insertelement <7 x bfloat> %h, bfloat %l, i64 5
  call void @llvm.masked.store.v7bf16.p0(<7 x bfloat> %g, ptr align 2 %b, <7 x i1> <i1 1, i1 1, i1 0, i1 1, i1 0, i1 1, i1 1>)
)";

TEST(Emit, SmallFloatsCallNothing) {
  for (StringRef type : {"bfloat", "half"}) {
    std::string body = bfloatBody;
    StringRef suffix = type == "half" ? "f16" : "bf16";
    for (auto [from, to] :
         {std::pair<StringRef, StringRef>{"bfloat", type},
          {"v7bf16", suffix == "f16" ? "v7f16" : "v7bf16"},
          {"maximum.bf16", suffix == "f16" ? "maximum.f16" : "maximum.bf16"}})
      for (size_t at = 0; (at = body.find(from, at)) != std::string::npos;
           at += to.size())
        body.replace(at, from.size(), to);
    std::string text =
        assemblyOf(body, {"x86-64-v2", "x86-64-v3", "x86-64-v4", "cooperlake"});
    EXPECT_TRUE(StringRef(text).contains("kernel3:")) << text;
    EXPECT_FALSE(StringRef(text).contains("call")) << text;
    EXPECT_FALSE(StringRef(text).contains("sfbf2")) << text;
    EXPECT_FALSE(StringRef(text).contains("sfhf2")) << text;
  }
}

TEST(Emit, InvalidModulesAreErrors) {
  LLVMContext context;
  SMDiagnostic diagnostic;
  std::unique_ptr<Module> module =
      parseAssemblyString("@tenon_weights_blob = external hidden constant i8\n"
                          "@table = constant ptr @tenon_weights_blob\n",
                          diagnostic, context);
  cantFail(prepareModule(*module));
  SmallVector<char> object;
  std::string message = toString(emitObject(*module, EmitOptions(), object));
  EXPECT_NE(message.find("has no weights"), std::string::npos) << message;
}

[[gnu::noinline]] int recurse(volatile int *n) {
  volatile char frame[4096];
  frame[0] = char(*n);
  *n = *n + 1;
  return *n < 0 ? 0 : recurse(n) + frame[0];
}

TEST(Guard, FailuresNameTheirStage) {
  unsetenv("TENON_NO_GUARD");
  std::string message;
  EXPECT_TRUE(runGuarded("fine", [] {}, message));
  EXPECT_FALSE(runGuarded("abort", [] { std::abort(); }, message));
  EXPECT_NE(message.find("internal failure in stage 'abort'"),
            std::string::npos)
      << message;
  EXPECT_FALSE(runGuarded(
      "null", [] { *static_cast<int *volatile *>(nullptr) = nullptr; },
      message));
  EXPECT_NE(message.find("'null'"), std::string::npos) << message;
  EXPECT_FALSE(runGuarded(
      "fatal", [] { report_fatal_error("the reason", false); }, message));
  EXPECT_EQ(message, "internal failure in stage 'fatal': the reason");
  EXPECT_FALSE(runGuarded(
      "deep",
      [] {
        volatile int n = 0;
        recurse(&n);
      },
      message));
  EXPECT_NE(message.find("'deep'"), std::string::npos) << message;
  // And work goes on.
  EXPECT_TRUE(runGuarded("after", [] {}, message));
}

TEST(Guard, CoversThreads) {
  unsetenv("TENON_NO_GUARD");
  std::string message;
  std::vector<int> calls(100);
  EXPECT_TRUE(runGuarded(
      "parts",
      [&] { forEachGuarded(calls.size(), 4, [&](size_t i) { ++calls[i]; }); },
      message));
  EXPECT_EQ(calls, std::vector<int>(calls.size(), 1));
  for (unsigned threads : {1, 4}) {
    EXPECT_FALSE(runGuarded(
        "parts",
        [&] {
          forEachGuarded(10, threads, [](size_t i) {
            if (i == 3)
              report_fatal_error("part 3", false);
          });
        },
        message));
    EXPECT_EQ(message, "internal failure in stage 'parts': part 3");
    EXPECT_FALSE(runGuarded(
        "deep",
        [&] {
          forEachGuarded(10, threads, [](size_t) {
            volatile int n = 0;
            recurse(&n);
          });
        },
        message));
    EXPECT_NE(message.find("'deep': Segm"), std::string::npos) << message;
  }
}

} // namespace
