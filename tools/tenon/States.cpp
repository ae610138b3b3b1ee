//===- States.cpp - a decoder's pasts, for the tools ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "States.h"

#include "tenon/Support/OutputFile.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>
#include <cstring>

using namespace llvm;

namespace tenon {

bool hasStates(const OpenArtifact &artifact) {
  return any_of(artifact.states,
                [](const tenon_state_info &state) { return !state.reason; });
}

bool holdsInput(const OpenArtifact &artifact, size_t input) {
  return any_of(artifact.states, [&](const tenon_state_info &state) {
    return !state.reason && size_t(state.input) == input;
  });
}

bool holdsOutput(const OpenArtifact &artifact, size_t output) {
  return any_of(artifact.states, [&](const tenon_state_info &state) {
    return !state.reason && size_t(state.output) == output;
  });
}

static int64_t bytesOfAll(const OpenArtifact &artifact, bool replaced) {
  int64_t bytes = 0;
  for (const tenon_state_info &state : artifact.states)
    if (!state.reason && (state.replaced != 0) == replaced)
      bytes += state.row_bytes;
  return bytes;
}

int64_t bytesPerToken(const OpenArtifact &artifact) {
  return bytesOfAll(artifact, false);
}

int64_t bytesPerSequence(const OpenArtifact &artifact) {
  return bytesOfAll(artifact, true);
}

int64_t mostRows(const OpenArtifact &artifact, int64_t sequences,
                 uint64_t bytes) {
  auto fits = [&](int64_t rows) {
    size_t needed = 0;
    return !tenon_state_size(artifact.model(), sequences, rows, &needed,
                             nullptr) &&
           needed <= bytes;
  };
  int64_t most = 0;
  for (int64_t step = int64_t(1) << 30; step; step /= 2)
    if (fits(most + step))
      most += step;
  return most;
}

//===----------------------------------------------------------------------===//
// What inspect says
//===----------------------------------------------------------------------===//

/// As --kv names it, or the input's element type.
static StringRef formatName(const tenon_state_info &state) {
  return state.format == TENON_I8 ? "int8" : tenon_dtype_name(state.format);
}

void printStates(const OpenArtifact &artifact, const MemoryQuestion &memory,
                 raw_ostream &out) {
  if (artifact.states.empty())
    return;
  out << "\nstates\n";
  for (const tenon_state_info &state : artifact.states) {
    out << "  " << artifact.inputs[state.input].name;
    if (state.reason) {
      out << ": none, " << state.reason << "\n";
      continue;
    }
    out << " -> " << artifact.outputs[state.output].name << ": ";
    if (state.replaced) {
      out << "replaced by each run, ";
      if (state.axis >= 0)
        out << "at most " << state.most << " rows along dim " << state.axis
            << ", ";
      out << formatName(state) << ", " << state.row_bytes
          << " bytes a sequence\n";
      continue;
    }
    out << (state.grows ? "grows" : "a buffer") << " along dim " << state.axis
        << ", " << formatName(state) << ", " << state.row_bytes
        << " bytes a row";
    if (state.most)
      out << ", a new one looks back at " << state.most;
    out << "\n";
  }
  if (!hasStates(artifact))
    return;
  out << "  in all " << bytesPerToken(artifact)
      << " bytes a token of each sequence";
  if (int64_t bytes = bytesPerSequence(artifact))
    out << ", and " << bytes << " of each";
  out << "\n";
  if (memory.bytes && bytesPerToken(artifact))
    out << "  " << memory.bytes << " bytes have room for "
        << mostRows(artifact, memory.sequences, memory.bytes)
        << " tokens of each of " << memory.sequences << " sequence"
        << (memory.sequences == 1 ? "" : "s") << "\n";
}

void writeStates(const OpenArtifact &artifact, const MemoryQuestion &memory,
                 json::OStream &out) {
  out.attributeArray("states", [&] {
    for (const tenon_state_info &state : artifact.states)
      if (!state.reason)
        out.object([&] {
          out.attribute("input",
                        json::fixUTF8(artifact.inputs[state.input].name));
          out.attribute("output",
                        json::fixUTF8(artifact.outputs[state.output].name));
          out.attribute("axis", state.axis);
          out.attribute("grows", state.grows != 0);
          out.attribute("format", formatName(state));
          out.attribute("replaced", state.replaced != 0);
          if (state.replaced && state.axis >= 0)
            out.attribute("most_rows", state.most);
          if (state.grows && state.most)
            out.attribute("window", state.most);
          out.attribute(state.replaced ? "bytes_per_sequence" : "bytes_per_row",
                        state.row_bytes);
        });
  });
  out.attributeArray("stateless", [&] {
    for (const tenon_state_info &state : artifact.states)
      if (state.reason)
        out.object([&] {
          out.attribute("input",
                        json::fixUTF8(artifact.inputs[state.input].name));
          out.attribute("reason", json::fixUTF8(state.reason));
        });
  });
  if (!hasStates(artifact))
    return;
  out.attribute("bytes_per_token", bytesPerToken(artifact));
  if (int64_t bytes = bytesPerSequence(artifact))
    out.attribute("bytes_per_sequence", bytes);
  if (memory.bytes && bytesPerToken(artifact))
    out.attributeObject("capacity", [&] {
      out.attribute("bytes", memory.bytes);
      out.attribute("sequences", memory.sequences);
      out.attribute("rows", mostRows(artifact, memory.sequences, memory.bytes));
    });
}

Expected<uint64_t> parseBytes(StringRef option, StringRef text) {
  StringRef digits = text;
  unsigned shift = digits.consume_back("G")   ? 30
                   : digits.consume_back("M") ? 20
                   : digits.consume_back("K") ? 10
                                              : 0;
  uint64_t number = 0;
  if (digits.getAsInteger(10, number) || number == 0 ||
      number > (INT64_MAX >> shift))
    return createStringError(option + "=" + text +
                             ": expected a number of bytes, or one that ends "
                             "in K, M or G");
  return number << shift;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Expected<char *> StateMemory::allocate(size_t size) {
  // Untouched pages cost nothing, and whatever is written to a file is zero.
  memory.reset(std::calloc(size + 63, 1));
  if (!memory)
    return createStringError("out of memory for a state of " + Twine(size) +
                             " bytes");
  auto place = reinterpret_cast<uintptr_t>(memory.get());
  return static_cast<char *>(memory.get()) + (-place & 63);
}

Expected<StateMemory> StateMemory::create(const OpenArtifact &artifact,
                                          int64_t sequences, int64_t capacity) {
  StateMemory result;
  tenon_error error;
  if (tenon_state_size(artifact.model(), sequences, capacity, &result.bytes,
                       &error))
    return apiError(error);
  auto place = result.allocate(result.bytes);
  if (!place)
    return place.takeError();
  if (tenon_init_state(artifact.model(), *place, result.bytes, sequences,
                       capacity, &result.state, &error))
    return apiError(error);
  result.sequences = sequences;
  result.capacity = capacity;
  return result;
}

/// The header says how much memory it is of, and how long the sequences are:
/// what lies in a file may say anything.
Error StateMemory::checkRead(const OpenArtifact &artifact) {
  tenon_error error;
  // Where every axis is static the state has no capacity of its own.
  int64_t room = INT64_MAX;
  capacity = 1;
  for (auto [i, info] : enumerate(artifact.states)) {
    const tenon_port_info &port = artifact.inputs[info.input];
    std::vector<int64_t> dims(port.rank);
    const void *data = nullptr;
    if (info.reason)
      continue;
    if (tenon_state_data(artifact.model(), state, int32_t(i), dims.data(),
                         &data, &error))
      return apiError(error);
    sequences = dims[info.sequences];
    if (info.replaced)
      continue;
    room = std::min(room, dims[info.axis]);
    if (port.dim_values[info.axis] < 0)
      capacity = dims[info.axis];
  }
  size_t needed = 0;
  if (tenon_state_size(artifact.model(), sequences, capacity, &needed, &error))
    return apiError(error);
  if (needed != bytes)
    return createStringError("it has " + Twine(bytes) +
                             " bytes, expected the " + Twine(needed) +
                             " of a state of " + Twine(sequences) +
                             " sequences of " + Twine(capacity) + " rows");
  for (int64_t row = 0; row < sequences; ++row) {
    int64_t length = 0;
    if (tenon_state_length(artifact.model(), state, row, &length, &error))
      return apiError(error);
    if (length < 0 || length > room)
      return createStringError("sequence " + Twine(row) + " has " +
                               Twine(length) + " rows, expected 0.." +
                               Twine(room));
  }
  return Error::success();
}

Expected<StateMemory> StateMemory::read(const OpenArtifact &artifact,
                                        StringRef path) {
  auto file = MemoryBuffer::getFile(path, /*IsText=*/false,
                                    /*RequiresNullTerminator=*/false);
  if (!file)
    return createStringError("cannot read '" + path +
                             "': " + file.getError().message());
  StateMemory result;
  result.bytes = (*file)->getBufferSize();
  // A header at least, for what is too short to be one.
  auto place = result.allocate(std::max<size_t>(result.bytes, 64));
  if (!place)
    return place.takeError();
  std::memcpy(*place, (*file)->getBufferStart(), result.bytes);
  result.state = reinterpret_cast<tenon_state *>(*place);
  if (Error problem = result.checkRead(artifact))
    return createStringError("'" + path + "' is no state of the artifact: " +
                             toString(std::move(problem)));
  return result;
}

Error StateMemory::write(StringRef path) const {
  return writeOutputFile(path, [&](raw_ostream &out) {
    out.write(reinterpret_cast<const char *>(state), bytes);
    return Error::success();
  });
}

} // namespace tenon
