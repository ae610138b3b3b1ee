//===- joins.cpp - sequences that join and leave a state ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// usage: joins ARTIFACT THREADS ROUNDS|SECONDSs [ragged]
//
// A decoder, whose pasts are buffers (GroupQueryAttention: the mask's rows say
// how long each sequence is) or grow (the state says it), decodes up to 16
// sequences of random lengths in one state. At random steps sequences join
// (their prompt was run alone, or is the beginning of another's), roll back,
// and leave. A prompt takes any chunks. Every logit must have the bits that the
// sequence has alone, in a state of its own that took its prompt in one run.
// Meanwhile nothing is allocated, and the process does not grow. With `ragged`
// (an artifact of --ragged=all) the sequences share a pool of pages, and a run
// takes any number of tokens of each, chunks of prompts and single ones.
//===----------------------------------------------------------------------===//

#include "tenon/pages.h"
#include "watch.h"
#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>
#include <vector>

using namespace tenon::test;

namespace {

constexpr int64_t kSequences = 16, kCapacity = 64, kPrompt = 24;
constexpr int64_t kRows = 64, kPages = 32; // of a ragged run, of the pool

std::mt19937 draw(1);
int64_t below(int64_t n) { return int64_t(draw() % uint64_t(n)); }

/// A state in memory of its own, of `pages` that sequences share, if any.
struct State {
  State(const Artifact &artifact, int64_t sequences, int64_t pages = 0)
      : artifact(artifact) {
    tenon_error error;
    size_t bytes = 0;
    const tenon_model *model = artifact.library.model;
    if (pages ? tenon_paged_state_size(model, sequences, kCapacity, pages,
                                       &bytes, &error)
              : tenon_state_size(model, sequences, kCapacity, &bytes, &error))
      fail(error.message);
    memory.resize(bytes + 64, char(0xff));
    char *place = memory.data() + (-uintptr_t(memory.data()) & 63);
    if (pages ? tenon_init_paged_state(model, place, bytes, sequences,
                                       kCapacity, pages, &state, &error)
              : tenon_init_state(model, place, bytes, sequences, kCapacity,
                                 &state, &error))
      fail(error.message);
  }
  /// Makes a sequence the first rows of another.
  void copy(int64_t sequence, const State &from, int64_t other,
            int64_t length) {
    tenon_error error;
    if (tenon_copy_state(artifact.library.model, state, sequence, from.state,
                         other, length, &error))
      fail(error.message);
  }
  void setLength(int64_t length, int64_t sequence = TENON_ALL_ROWS) {
    tenon_error error;
    if (tenon_set_state_length(artifact.library.model, state, sequence, length,
                               &error))
      fail(error.message);
  }
  const Artifact &artifact;
  std::vector<char> memory;
  tenon_state *state = nullptr;
};

/// A context with room for `sequences` of up to `most` new tokens.
struct Runner {
  Runner(Artifact &artifact, int threads, int64_t sequences, int64_t most)
      : sequences(sequences) {
    tenon_error error;
    tenon_context_options options;
    TENON_INIT(options);
    options.threads = threads;
    options.flags = TENON_CONTEXT_OVERSUBSCRIBE;
    context = artifact.createContext(&options);
    auto find = [&](auto function, const char *name) {
      int32_t index = -1;
      if (function(artifact.library.model, name, &index, &error))
        fail(error.message);
      return index;
    };
    ids = find(tenon_find_input, "input_ids");
    mask = find(tenon_find_input, "attention_mask");
    logits = find(tenon_find_output, "logits");
    if (tenon_find_input(artifact.library.model, "position_ids", &positions,
                         &error))
      positions = -1; // the model counts itself
    tenon_port_info port;
    TENON_INIT(port);
    if (tenon_get_output_info(artifact.library.model, logits, &port, &error))
      fail(error.message);
    words = port.dim_values[2];
    idData.resize(size_t(sequences * most));
    maskData.resize(size_t(sequences * kCapacity));
    positionData.resize(idData.size());
    scores.resize(size_t(sequences * most * words));
    // For the longest; what is shorter fits.
    Dims dims = artifact.inputDims([&](const char *name) {
      std::string text = name;
      return text == "batch_size"        ? sequences
             : text == "sequence_length" ? most
             : text == "past_sequence_length" && positions >= 0
                 ? kCapacity - most
                 : kCapacity;
    });
    if (tenon_reserve(context, pointersTo(dims).data(), &error))
      fail(error.message);
  }
  ~Runner() { tenon_context_destroy(context); }

  /// Runs `tokens` new ones of each sequence; sequence s has `lengths[s]`
  /// behind them. In the mask those of pasts that grow stand on the right.
  /// `rows`: of which sequences of a pool they are.
  void run(State &state, int64_t tokens, const int64_t *lengths,
           const int64_t *rows = nullptr) {
    tenon_error error;
    int64_t total = *std::max_element(lengths, lengths + sequences) + tokens;
    for (int64_t s = 0; s < sequences; ++s)
      for (int64_t t = 0; t < total; ++t)
        maskData[size_t(s * total + t)] =
            (grows ? total - 1 - t : t) < lengths[s] + tokens;
    for (int64_t s = 0; s < sequences; ++s)
      for (int64_t t = 0; t < tokens; ++t)
        positionData[size_t(s * tokens + t)] = lengths[s] + t;
    int64_t idDims[] = {sequences, tokens}, maskDims[] = {sequences, total};
    if ((rows ? tenon_bind_sequences(context, state.state, rows, sequences,
                                     &error)
              : tenon_bind_state(context, state.state, &error)) ||
        tenon_bind_input(context, ids, TENON_I64, 2, idDims, idData.data(),
                         size_t(sequences * tokens) * 8, &error) ||
        tenon_bind_input(context, mask, TENON_I64, 2, maskDims, maskData.data(),
                         size_t(sequences * total) * 8, &error) ||
        (positions >= 0 &&
         tenon_bind_input(context, positions, TENON_I64, 2, idDims,
                          positionData.data(), size_t(sequences * tokens) * 8,
                          &error)) ||
        tenon_bind_output(context, logits, TENON_F32, 3, nullptr, scores.data(),
                          scores.size() * 4, &error) ||
        tenon_run(context, &error))
      fail(error.message);
  }
  const float *row(int64_t sequence, int64_t tokens, int64_t token) const {
    return scores.data() + (sequence * tokens + token) * words;
  }

  int64_t sequences, words = 0;
  bool grows = false;
  tenon_context *context = nullptr;
  int32_t ids, mask, positions, logits;
  std::vector<int64_t> idData, maskData, positionData;
  std::vector<float> scores;
};

struct Sequence {
  bool active = false;
  int64_t length = 0; // of tokens that are in the state
  int64_t tokens[kCapacity] = {};
};

long residentPages() {
  long pages = 0, skipped = 0;
  if (FILE *file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%ld %ld", &skipped, &pages) != 2)
      pages = -1;
    std::fclose(file);
  }
  return pages;
}

struct Test {
  Test(Artifact &artifact, int threads, bool ragged)
      : together(artifact, threads, ragged ? kRows : kSequences, 1),
        alone(artifact, 1, 1, kPrompt),
        all(artifact, kSequences, ragged ? kPages : 0), one(artifact, 1) {
    tenon_error error;
    tenon_state_info info;
    TENON_INIT(info);
    if (tenon_get_state_info(artifact.library.model, 0, &info, &error))
      fail(error.message);
    grows = together.grows = alone.grows = info.grows;
    for (int64_t s = 0; s < kSequences; ++s)
      own.emplace_back(artifact, 1);
  }

  /// The sequence's tokens up to `length`, in a state of its own, at most so
  /// many in one run.
  void runAlone(State &state, const Sequence &sequence, int64_t first,
                int64_t length, int64_t most = kPrompt) {
    if (grows)
      state.setLength(first);
    for (int64_t tokens; first < length; first += tokens) {
      tokens = std::min(length - first, most);
      std::copy_n(sequence.tokens + first, tokens, alone.idData.begin());
      alone.run(state, tokens, &first);
      last = alone.row(0, tokens, tokens - 1);
    }
  }
  void join(int64_t s) {
    Sequence &sequence = sequences[s];
    sequence.active = true;
    int64_t other = below(kSequences), shared = 0;
    if (other != s && sequences[other].active && below(2)) {
      // A prompt that begins as another's text does.
      shared = 1 + below(sequences[other].length);
      std::copy_n(sequences[other].tokens, shared, sequence.tokens);
      all.copy(s, all, other, shared);
      sequence.length = shared;
      ++prefixes;
    } else {
      sequence.length = 1 + below(kPrompt);
      for (int64_t t = 0; t < sequence.length; ++t)
        sequence.tokens[t] = below(100);
      runAlone(one, sequence, 0, sequence.length, 1 + below(kPrompt));
      all.copy(s, one, 0, sequence.length);
    }
    runAlone(own[size_t(s)], sequence, 0, sequence.length);
    ++joined;
  }
  void round() {
    for (int64_t s = 0; s < kSequences; ++s) {
      Sequence &sequence = sequences[s];
      if (!sequence.active && below(4) == 0)
        join(s);
      else if (sequence.active &&
               (sequence.length == kCapacity || below(24) == 0))
        sequence.active = false;
      else if (sequence.active && below(16) == 0)
        sequence.length = 1 + below(sequence.length); // rolled back
      if (grows)
        all.setLength(sequence.active ? sequence.length : 0, s);
    }
    int64_t lengths[kSequences];
    for (int64_t s = 0; s < kSequences; ++s) {
      Sequence &sequence = sequences[s];
      bool runs = sequence.active && sequence.length < kCapacity;
      lengths[s] = runs ? sequence.length : 0;
      if (grows && !runs)
        all.setLength(0, s);
      together.idData[size_t(s)] = 0;
      if (runs)
        together.idData[size_t(s)] = sequence.tokens[sequence.length] =
            below(100);
      else
        sequence.active = false;
    }
    together.run(all, 1, lengths);
    for (int64_t s = 0; s < kSequences; ++s) {
      Sequence &sequence = sequences[s];
      if (!sequence.active)
        continue;
      runAlone(own[size_t(s)], sequence, sequence.length, sequence.length + 1);
      if (std::memcmp(together.row(s, 1, 0), last,
                      size_t(together.words) * sizeof(float)))
        fail("sequence " + std::to_string(s) + " of length " +
             std::to_string(sequence.length) + " has other bits alone");
      ++sequence.length;
      ++compared;
    }
  }

  /// A run of any number of tokens of each sequence, a row each.
  void raggedRound() {
    int64_t rows = 0, first[kSequences], taken[kSequences];
    for (int64_t s = 0; s < kSequences; ++s) {
      Sequence &sequence = sequences[s];
      if (!sequence.active ? below(4) == 0
                           : sequence.length == kCapacity || below(24) == 0) {
        sequence.active = !sequence.active;
        sequence.length = 0;
        ++joined;
      } else if (sequence.length && below(16) == 0) {
        sequence.length = below(sequence.length);
        ++prefixes;
      }
      all.setLength(sequence.length, s);
      int64_t wanted = below(4) ? 1 : 1 + below(kPrompt);
      first[s] = rows;
      taken[s] =
          sequence.active
              ? std::min({wanted, kRows - rows, kCapacity - sequence.length})
              : 0;
      for (int64_t t = 0; t < taken[s]; ++t, ++rows) {
        int64_t at = sequence.length + t;
        together.idData[size_t(rows)] = sequence.tokens[at] = below(100);
        rowSequence[rows] = s;
        rowLength[rows] = at;
      }
    }
    if (!rows)
      return;
    together.sequences = rows;
    together.run(all, 1, rowLength, rowSequence);
    for (int64_t s = 0; s < kSequences; ++s) {
      Sequence &sequence = sequences[s];
      if (!taken[s])
        continue;
      runAlone(own[size_t(s)], sequence, sequence.length,
               sequence.length + taken[s]);
      for (int64_t t = 0; t < taken[s]; ++t)
        if (std::memcmp(together.row(first[s] + t, 1, 0),
                        alone.row(0, taken[s], t),
                        size_t(together.words) * sizeof(float)))
          fail("token " + std::to_string(t) + " of sequence " +
               std::to_string(s) + " of length " +
               std::to_string(sequence.length) + " has other bits alone");
      sequence.length += taken[s];
      compared += taken[s];
    }
  }

  Runner together, alone;
  State all, one;
  int64_t rowSequence[kRows], rowLength[kRows];
  std::vector<State> own;
  Sequence sequences[kSequences];
  const float *last = nullptr;
  bool grows = false;
  long joined = 0, prefixes = 0, compared = 0;
};

} // namespace

int main(int argc, char **argv) {
  bool ragged = argc == 5 && !std::strcmp(argv[4], "ragged");
  if (argc != 4 && !ragged)
    fail("usage: joins ARTIFACT THREADS ROUNDS|SECONDSs [ragged]");
  Artifact artifact(argv[1]);
  Test test(artifact, std::atoi(argv[2]), ragged);
  auto round = [&] { ragged ? test.raggedRound() : test.round(); };
  long wanted = std::atol(argv[3]), rounds = 0;
  bool timed = std::strchr(argv[3], 's');
  // What every page is touched by comes first: rounds of many lengths, until a
  // hundred in a row have touched no more.
  for (int i = 0, still = 0; i < 2000 && still < 100; ++i) {
    long was = residentPages();
    round();
    still = residentPages() > was ? 0 : still + 1;
  }
  long before = addressSpace(), resident = residentPages();
  using Clock = std::chrono::steady_clock;
  auto end = Clock::now() + std::chrono::seconds(wanted);
  watching = true;
  for (; timed ? Clock::now() < end : rounds < wanted; ++rounds)
    round();
  watching = false;
  if (calls)
    fail(std::string("a round called ") + culprit.load());
  if (long grown = addressSpace() - before)
    fail("the address space grew by " + std::to_string(grown) + " pages");
  if (long grown = residentPages() - resident; grown > 64)
    fail("the process grew by " + std::to_string(grown) + " pages");
  checkHooks();
  if (!test.prefixes || test.joined < rounds / 40)
    fail("too few sequences joined");
  std::printf("%ld rounds: %ld rows have their own bits, no allocation\n",
              rounds, test.compared);
  return 0;
}
