//===- kernels.cpp - one matrix product against OpenBLAS and oneDNN -------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// usage: kernels LISTING [Google Benchmark's options]
//
// Each line of LISTING is `ARTIFACT PLAIN N K EPILOGUE M...`: an artifact that
// computes [M,K] x [K,N] with a dynamic M, one that adds no more than a bias,
// or
// `-`, and the row counts to measure. One thread. Where there is a plain one,
// "added" runs both in turns: the median of the differences, in cycles of the
// peak's clock for each element. Beside Tenon: OpenBLAS, which has no epilogue;
// oneDNN with the weights in the layout that it asks for and the bias (and
// GELU, by its tanh form) as its own epilogue; a loop of multiply-adds on
// registers ("peak"); and a loop that reads the weights' bytes ("read"), the
// bound for M = 1.
//===----------------------------------------------------------------------===//

#include "../tools/tenon/FmaLoop.h"
#include "tenon/loader.h"
#include "tenon/tenon.h"
#include <algorithm>
#include <benchmark/benchmark.h>
#include <cblas.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <immintrin.h>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace {

[[noreturn]] void fail(const std::string &message) {
  std::fprintf(stderr, "kernels: error: %s\n", message.c_str());
  std::exit(1);
}

/// Random floats, 64-byte aligned.
struct Floats {
  explicit Floats(size_t n) : n(n) {
    p.reset(
        static_cast<float *>(std::aligned_alloc(64, (n * 4 + 63) & ~63ull)));
    std::minstd_rand engine(7);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (size_t i = 0; i < n; ++i)
      p.get()[i] = uniform(engine);
  }
  struct Free {
    void operator()(float *f) const { std::free(f); }
  };
  std::unique_ptr<float, Free> p;
  size_t n;
  float *get() const { return p.get(); }
};

struct Problem {
  std::string artifact, plain, epilogue;
  int64_t M, N, K;
  std::string name(const char *engine) const {
    std::ostringstream s;
    s << engine << '/' << N << 'x' << K << '/' << epilogue << '/' << M;
    return s.str();
  }
  double flop() const { return 2.0 * M * N * K; }
};

void count(benchmark::State &state, const Problem &p) {
  state.counters["flop"] = benchmark::Counter(
      p.flop(), benchmark::Counter::kIsIterationInvariantRate);
}

/// A context of an artifact, its inputs and output bound.
class Artifact {
public:
  Artifact(const std::string &path, const Problem &p)
      : x(p.M * p.K), y(p.M * p.N), r(p.M * p.N) {
    tenon_context_options options;
    TENON_INIT(options);
    options.threads = 1;
    if (tenon_library_open(path.c_str(), &library, &error) ||
        tenon_context_create(library.model, &options, &context, &error))
      fail(error.message);
    int64_t in[2] = {p.M, p.K}, out[2] = {p.M, p.N};
    const int64_t *dims[] = {in, out};
    if (tenon_reserve(context, dims, &error) ||
        tenon_bind_input(context, 0, TENON_F32, 2, in, x.get(), x.n * 4,
                         &error) ||
        (p.epilogue == "residual" &&
         tenon_bind_input(context, 1, TENON_F32, 2, out, r.get(), r.n * 4,
                          &error)) ||
        tenon_bind_output(context, 0, TENON_F32, 2, out, y.get(), y.n * 4,
                          &error))
      fail(error.message);
  }
  ~Artifact() {
    tenon_context_destroy(context);
    tenon_library_close(&library);
  }
  Artifact(const Artifact &) = delete;
  Artifact &operator=(const Artifact &) = delete;
  void run() {
    if (tenon_run(context, &error))
      fail(error.message);
  }

private:
  tenon_error error;
  tenon_library library;
  tenon_context *context = nullptr;
  Floats x, y, r;
};

void runTenon(benchmark::State &state, const Problem &p) {
  Artifact artifact(p.artifact, p);
  for (auto _ : state)
    artifact.run();
  count(state, p);
}

double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// Multiply-adds in a row; two start in a cycle.
void runPeakLoop(long iterations) {
  if (__builtin_cpu_supports("avx512f"))
    fma_loop_512(iterations);
  else
    fma_loop_256(iterations);
}

/// Seconds of the second of two runs.
double seconds(Artifact &artifact) {
  artifact.run();
  double begin = now();
  artifact.run();
  return now() - begin;
}

void runAdded(benchmark::State &state, const Problem &p) {
  Artifact plain(p.plain, p), whole(p.artifact, p);
  std::vector<double> differences;
  double clock = 0;
  for (auto _ : state) {
    constexpr long kIterations = 2000;
    double begin = now();
    runPeakLoop(kIterations);
    clock =
        std::max(clock, kIterations * (FMA_ACCUMULATORS / 2) / (now() - begin));
    // In turns, so that neither always comes second.
    bool wholeFirst = differences.size() % 2;
    double first = seconds(wholeFirst ? whole : plain);
    double second = seconds(wholeFirst ? plain : whole);
    differences.push_back(wholeFirst ? first - second : second - first);
  }
  auto middle = differences.begin() + differences.size() / 2;
  std::nth_element(differences.begin(), middle, differences.end());
  state.counters["cycles"] = *middle * clock / double(p.M * p.N);
}

void runOpenBlas(benchmark::State &state, const Problem &p) {
  Floats x(p.M * p.K), w(p.K * p.N), y(p.M * p.N);
  for (auto _ : state) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, p.M, p.N, p.K, 1,
                x.get(), p.K, w.get(), p.N, 0, y.get(), p.N);
    benchmark::ClobberMemory();
  }
  count(state, p);
}

void runOneDnn(benchmark::State &state, const Problem &p) {
  using namespace dnnl;
  using dt = memory::data_type;
  using tag = memory::format_tag;
  static engine cpu(engine::kind::cpu, 0);
  stream queue(cpu);
  Floats x(p.M * p.K), w(p.K * p.N), y(p.M * p.N), b(p.N), r(p.M * p.N);
  memory::desc xd({p.M, p.K}, dt::f32, tag::ab),
      wd({p.K, p.N}, dt::f32, tag::any), yd({p.M, p.N}, dt::f32, tag::ab),
      bd({1, p.N}, dt::f32, tag::ab);
  post_ops post;
  if (p.epilogue == "gelu")
    post.append_eltwise(1, algorithm::eltwise_gelu_erf, 0, 0);
  if (p.epilogue == "residual")
    post.append_binary(algorithm::binary_add, yd);
  primitive_attr attr;
  attr.set_post_ops(post);
  matmul::primitive_desc pd(matmul::desc(xd, wd, bd, yd), attr, cpu);
  memory plain({{p.K, p.N}, dt::f32, tag::ab}, cpu, w.get());
  memory packed(pd.weights_desc(), cpu);
  reorder(plain, packed).execute(queue, plain, packed);
  queue.wait();
  matmul primitive(pd);
  std::unordered_map<int, memory> args{
      {DNNL_ARG_SRC, memory(xd, cpu, x.get())},
      {DNNL_ARG_WEIGHTS, packed},
      {DNNL_ARG_BIAS, memory(bd, cpu, b.get())},
      {DNNL_ARG_DST, memory(yd, cpu, y.get())}};
  if (p.epilogue == "residual")
    args[DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1] =
        memory(yd, cpu, r.get());
  for (auto _ : state) {
    primitive.execute(queue, args);
    queue.wait();
  }
  count(state, p);
}

void runPeak(benchmark::State &state) {
  bool wide = __builtin_cpu_supports("avx512f");
  constexpr long kIterations = 20000;
  for (auto _ : state)
    runPeakLoop(kIterations);
  state.counters["flop"] =
      benchmark::Counter(2.0 * FMA_ACCUMULATORS * (wide ? 16 : 8) * kIterations,
                         benchmark::Counter::kIsIterationInvariantRate);
}

__attribute__((target("avx"))) void runRead(benchmark::State &state,
                                            const Problem &p) {
  Floats w(p.K * p.N);
  for (auto _ : state) {
    __m256 s[8] = {};
    const float *f = w.get();
    for (size_t i = 0; i + 64 <= w.n; i += 64)
      for (int j = 0; j < 8; ++j)
        s[j] = _mm256_or_ps(s[j], _mm256_load_ps(f + i + 8 * j));
    for (int j = 0; j < 8; ++j)
      benchmark::DoNotOptimize(s[j]);
  }
  count(state, p);
}

} // namespace

int main(int argc, char **argv) {
  benchmark::Initialize(&argc, argv);
  if (argc != 2)
    fail("usage: kernels LISTING [Google Benchmark's options]");
  openblas_set_num_threads(1);
  std::ifstream listing(argv[1]);
  std::string line;
  benchmark::RegisterBenchmark("peak", runPeak);
  while (std::getline(listing, line)) {
    std::istringstream words(line);
    Problem p;
    words >> p.artifact >> p.plain >> p.N >> p.K >> p.epilogue;
    while (words >> p.M) {
      auto add = [&](const char *engine, auto fn) {
        return benchmark::RegisterBenchmark(
            p.name(engine).c_str(), [=](benchmark::State &s) { fn(s, p); });
      };
      add("tenon", runTenon);
      if (p.epilogue == "bias")
        add("openblas", runOpenBlas);
      add("onednn", runOneDnn);
      if (p.plain != "-")
        add("added", runAdded)->Iterations(101);
      if (p.M == 1)
        add("read", runRead);
    }
  }
  benchmark::RunSpecifiedBenchmarks();
}
