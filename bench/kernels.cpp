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
// or `-`, and the row counts to measure. One thread.
//
// Beside Tenon: OpenBLAS, which has no epilogue; oneDNN with the weights in the
// layout that it asks for and the bias (and GELU, by its tanh form) as its own
// epilogue; and, for M = 1, a loop that reads the weights' bytes, the bound
// there. They run in turns of a fraction of a millisecond, each between two
// runs of a loop of multiply-adds on registers: the speed of a virtual
// machine's core changes from one millisecond to the next, and ratios are
// between neighbours. A loop that loads as well (FmaLoop.h) says whether the
// core was left alone meanwhile.
//
// Counters are medians over a repetition's turns: `flop` Tenon's FLOP/s, `peak`
// that of the limit's instruction on registers; `share` Tenon's part of the
// peak, `alone` the same over those turns in which the core was left alone
// (absent: none); `product` that of the steps that hold the product, of a
// format without those that quantise rows; `openblas`, `onednn`, `read` the
// ratios to them; `added` what the epilogue adds to the plain artifact, in
// cycles of the peak's clock for each element.
//===----------------------------------------------------------------------===//

#include "../tools/tenon/FmaLoop.h"
#include "tenon/loader.h"
#include "tenon/profile.h"
#include "tenon/tenon.h"
#include <algorithm>
#include <benchmark/benchmark.h>
#include <cblas.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <immintrin.h>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr int kTurns = 15; // in a repetition

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
  std::string artifact, plain, epilogue, limit;
  int64_t M, N, K;
  std::string name() const {
    std::ostringstream s;
    s << N << 'x' << K << '/' << epilogue << '/' << M;
    return s.str();
  }
  double flop() const { return 2.0 * M * N * K; }
  bool isFormat() const {
    return epilogue != "bias" && epilogue != "gelu" && epilogue != "residual";
  }
};

/// A context of an artifact, its inputs and output bound.
class Artifact {
public:
  Artifact(const std::string &path, const Problem &p)
      : x(p.M * p.K), y(p.M * p.N), r(p.M * p.N) {
    tenon_context_options options;
    TENON_INIT(options);
    options.threads = 1;
    options.flags = p.isFormat() ? TENON_CONTEXT_PROFILE : 0;
    if (tenon_library_open(path.c_str(), &library, &error) ||
        tenon_context_create(library.model, &options, &context, &error))
      fail(error.message);
    int64_t in[2] = {p.M, p.K}, out[2] = {p.M, p.N};
    const int64_t *dims[] = {in, out};
    tenon_port_info input, output;
    TENON_INIT(input);
    TENON_INIT(output);
    if (tenon_get_input_info(library.model, 0, &input, &error) ||
        tenon_get_output_info(library.model, 0, &output, &error))
      fail(error.message);
    // Of bytes those of the floats are as random as any.
    auto sizeOf = [](tenon_dtype type) {
      return type == TENON_F32 || type == TENON_I32 ? 4 : 1;
    };
    if (tenon_reserve(context, dims, &error) ||
        tenon_bind_input(context, 0, input.dtype, 2, in, x.get(),
                         x.n * sizeOf(input.dtype), &error) ||
        (p.epilogue == "residual" &&
         tenon_bind_input(context, 1, TENON_F32, 2, out, r.get(), r.n * 4,
                          &error)) ||
        tenon_bind_output(context, 0, output.dtype, 2, out, y.get(),
                          y.n * sizeOf(output.dtype), &error))
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
  /// The last run's step that has the most to do.
  double secondsOfProduct() {
    tenon_model_info model;
    TENON_INIT(model);
    if (tenon_get_model_info(library.model, &model, &error))
      fail(error.message);
    tenon_step_info most, step;
    TENON_INIT(most);
    for (int32_t i = 0; i < model.num_steps; ++i) {
      TENON_INIT(step);
      if (tenon_get_step_info(context, i, &step, &error))
        fail(error.message);
      if (step.cost > most.cost)
        most = step;
    }
    return most.time_ns * 1e-9;
  }

private:
  tenon_error error;
  tenon_library library;
  tenon_context *context = nullptr;
  Floats x, y, r;
};

double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

double median(std::vector<double> values) {
  auto middle = values.begin() + values.size() / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// NARROW: the artifacts are for AVX2, whatever the CPU has.
const bool wide = __builtin_cpu_supports("avx512f") && !std::getenv("NARROW");
const double flopPerInstruction = wide ? 32 : 16;

/// A loop of an instruction, sixteen of which are independent.
struct Limit {
  void (*loop)(long);
  double opsOfLane;
  double now() const {
    constexpr long kIterations = 3000;
    double begin = ::now();
    loop(kIterations);
    return kIterations * FMA_ACCUMULATORS * (wide ? 16 : 8) * opsOfLane /
           (::now() - begin);
  }
};

const Limit fmas{wide ? fma_loop_512 : fma_loop_256, 2};

Limit limitOf(const std::string &name) {
  if (name == "fma")
    return fmas;
  if (name == "vpdpbusd")
    return {wide ? dot_i8_loop_512 : dot_i8_loop_256, 8};
  if (name == "vdpbf16ps" && wide)
    return {dot_bf16_loop_512, 4};
  fail("no loop of '" + name + "'");
}

/// Multiply-adds with loads.
double peakWithLoads() {
  alignas(64) static const char line[64] = {};
  constexpr long kIterations = 3000;
  double begin = now();
  wide ? fma_load_loop_512(kIterations, line)
       : fma_load_loop_256(kIterations, line);
  return kIterations * FMA_LOAD_ACCUMULATORS * flopPerInstruction /
         (now() - begin);
}

/// One engine's part of a turn.
struct Sample {
  double seconds, peak;
  bool alone;
};

template <typename Run>
Sample sample(Run &&run, double flop, const Limit &limit = fmas) {
  constexpr double kSeconds = 1e-4, kLeast = 0.97;
  run(); // what the other engines left in the caches
  double peaks[2], floats[2], loads[2];
  peaks[0] = limit.now();
  floats[0] = fmas.now();
  loads[0] = peakWithLoads();
  const int runs = std::max(1, int(kSeconds * peaks[0] / flop));
  double begin = now();
  for (int i = 0; i < runs; ++i)
    run();
  double seconds = (now() - begin) / runs;
  loads[1] = peakWithLoads();
  floats[1] = fmas.now();
  peaks[1] = limit.now();
  double peak = (peaks[0] + peaks[1]) / 2;
  double ofFloats = (floats[0] + floats[1]) / 2;
  bool alone = std::min(loads[0], loads[1]) >= kLeast * ofFloats &&
               std::min(floats[0], floats[1]) >= kLeast * ofFloats &&
               std::min(peaks[0], peaks[1]) >= kLeast * peak;
  return {seconds, peak, alone};
}

/// A product by another library.
using Engine = std::function<void()>;

Engine openBlas(const Problem &p) {
  auto x = std::make_shared<Floats>(p.M * p.K);
  auto w = std::make_shared<Floats>(p.K * p.N);
  auto y = std::make_shared<Floats>(p.M * p.N);
  return [=] {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, p.M, p.N, p.K, 1,
                x->get(), p.K, w->get(), p.N, 0, y->get(), p.N);
  };
}

Engine oneDnn(const Problem &p) {
  using namespace dnnl;
  using dt = memory::data_type;
  using tag = memory::format_tag;
  static engine cpu(engine::kind::cpu, 0);
  stream queue(cpu);
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
  Floats weights(p.K * p.N);
  memory plain({{p.K, p.N}, dt::f32, tag::ab}, cpu, weights.get());
  memory packed(pd.weights_desc(), cpu);
  reorder(plain, packed).execute(queue, plain, packed);
  queue.wait();
  auto data = std::make_shared<std::vector<Floats>>(); // that args point to
  auto operand = [&](const memory::desc &desc, size_t n) {
    data->emplace_back(n);
    return memory(desc, cpu, data->back().get());
  };
  std::unordered_map<int, memory> args{{DNNL_ARG_SRC, operand(xd, p.M * p.K)},
                                       {DNNL_ARG_WEIGHTS, packed},
                                       {DNNL_ARG_BIAS, operand(bd, p.N)},
                                       {DNNL_ARG_DST, operand(yd, p.M * p.N)}};
  if (p.epilogue == "residual")
    args[DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1] =
        operand(yd, p.M * p.N);
  return [=, data = data, primitive = matmul(pd)]() mutable {
    primitive.execute(queue, args);
    queue.wait();
  };
}

__attribute__((target("avx"))) void read(const Floats &w) {
  __m256 s[8] = {};
  const float *f = w.get();
  for (size_t i = 0; i + 64 <= w.n; i += 64)
    for (int j = 0; j < 8; ++j)
      s[j] = _mm256_or_ps(s[j], _mm256_load_ps(f + i + 8 * j));
  for (int j = 0; j < 8; ++j)
    benchmark::DoNotOptimize(s[j]);
}

Engine reader(const Problem &p) {
  auto w = std::make_shared<Floats>(p.K * p.N);
  return [=] { read(*w); };
}

void runProduct(benchmark::State &state, const Problem &p) {
  Artifact artifact(p.artifact, p);
  std::unique_ptr<Artifact> plain;
  std::vector<std::pair<const char *, Engine>> others;
  const Limit limit = limitOf(p.limit);
  if (p.epilogue == "bias")
    others.emplace_back("openblas", openBlas(p));
  if (!p.isFormat())
    others.emplace_back("onednn", oneDnn(p));
  if (p.M == 1)
    others.emplace_back("read", reader(p));
  if (p.plain != "-") {
    plain = std::make_unique<Artifact>(p.plain, p);
    others.emplace_back("added", [&] { plain->run(); });
  }
  std::vector<double> flop, peak, share, alone, product;
  std::vector<std::vector<double>> ratios(others.size());
  size_t turn = 0;
  for (auto _ : state) {
    // Not always the same one first.
    std::vector<Sample> samples(others.size() + 1);
    for (size_t i = 0; i < samples.size(); ++i) {
      size_t which = (turn + i) % samples.size();
      samples[which] = which ? sample(others[which - 1].second, p.flop())
                             : sample([&] { artifact.run(); }, p.flop(), limit);
    }
    ++turn;
    const Sample &own = samples[0];
    flop.push_back(p.flop() / own.seconds);
    peak.push_back(own.peak);
    share.push_back(flop.back() / own.peak);
    if (own.alone)
      alone.push_back(share.back());
    if (own.alone && p.isFormat())
      product.push_back(p.flop() / artifact.secondsOfProduct() / own.peak);
    for (size_t i = 0; i < others.size(); ++i) {
      const Sample &other = samples[i + 1];
      bool isAdded = std::string_view(others[i].first) == "added";
      // Cycles: seconds at the speed of the peak, two instructions in each.
      double perElement = 1 / (2 * flopPerInstruction * double(p.M * p.N));
      ratios[i].push_back(
          isAdded ? (own.seconds * own.peak - other.seconds * other.peak) *
                        perElement
                  : other.seconds * other.peak / (own.seconds * own.peak));
    }
  }
  state.counters["flop"] = median(flop);
  state.counters["peak"] = median(peak);
  state.counters["share"] = median(share);
  if (!alone.empty())
    state.counters["alone"] = median(alone);
  if (!product.empty())
    state.counters["product"] = median(product);
  for (size_t i = 0; i < others.size(); ++i)
    state.counters[others[i].first] = median(ratios[i]);
}

} // namespace

int main(int argc, char **argv) {
  benchmark::Initialize(&argc, argv);
  if (argc != 2)
    fail("usage: kernels LISTING [Google Benchmark's options]");
  openblas_set_num_threads(1);
  std::ifstream listing(argv[1]);
  std::string line;
  while (std::getline(listing, line)) {
    std::istringstream words(line);
    Problem p;
    words >> p.artifact >> p.plain >> p.N >> p.K >> p.epilogue >> p.limit;
    while (words >> p.M)
      benchmark::RegisterBenchmark(p.name().c_str(), [=](benchmark::State &s) {
        runProduct(s, p);
      })->Iterations(kTurns);
  }
  benchmark::RunSpecifiedBenchmarks();
}
