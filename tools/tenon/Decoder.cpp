//===- Decoder.cpp - a decoder that keeps its pasts in a state ------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Decoder.h"
#include "RandomTensor.h"

#include "tenon/Support/SymExpr.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/Twine.h"

using namespace llvm;

namespace tenon {

//===----------------------------------------------------------------------===//
// What inputs and dims are
//===----------------------------------------------------------------------===//

static bool isFloat(tenon_dtype dtype) {
  return dtype == TENON_F32 || dtype == TENON_F64 || dtype == TENON_F16 ||
         dtype == TENON_BF16;
}

Decoder::Role Decoder::roleOf(size_t index) const {
  if (holdsInput(artifact, index))
    return Role::held;
  const tenon_port_info &port = artifact.inputs[index];
  std::string lower = StringRef(port.name).lower();
  StringRef text(lower);
  // An encoder's side of the model has lengths of its own.
  if (text.contains("encoder"))
    return Role::other;
  if (port.is_mask || text.contains("mask"))
    return Role::mask;
  if (isFloat(port.dtype) || port.dtype == TENON_BOOL)
    return Role::other;
  if (text.contains("position"))
    return Role::positions;
  if (port.rank <= 1) {
    if (text.contains("seqlens"))
      return Role::last;
    if (text.contains("total"))
      return Role::total;
    if (text.contains("past"))
      return Role::past;
    if (text.starts_with("output_rows"))
      return Role::rows;
    return Role::other;
  }
  return port.id_bound > 0 || text.contains("ids") ? Role::ids : Role::other;
}

void Decoder::name(const tenon_port_info &port, int32_t dim,
                   std::set<std::string> &names) {
  if (dim < 0 || dim >= port.rank || port.dim_values[dim] >= 0)
    return;
  auto expr = SymExpr::parse(port.dim_names[dim]);
  auto symbol = expr ? expr->asSymbol() : std::nullopt;
  if (!symbol)
    return;
  for (const auto *known :
       {&batchDims, &roomDims, &pastDims, &rowDims, &totalDims})
    if (known->count(*symbol))
      return;
  names.insert(*symbol);
}

/// The states first: theirs are certain.
Error Decoder::nameDims() {
  for (const tenon_state_info &state : artifact.states) {
    if (state.reason)
      continue;
    const tenon_port_info &past = artifact.inputs[state.input];
    const tenon_port_info &present = artifact.outputs[state.output];
    name(past, state.sequences, batchDims);
    if (state.replaced) {
      if (state.axis >= 0 && past.dim_values[state.axis] < 0)
        dims[past.dim_names[state.axis]] = state.most;
      continue;
    }
    name(past, state.axis, state.grows ? pastDims : roomDims);
    auto before = SymExpr::parse(past.dim_names[state.axis]);
    auto after = SymExpr::parse(present.dim_names[state.axis]);
    if (!state.grows || !before || !after)
      continue;
    SymExpr added = *after - *before;
    if (auto number = added.constant(); number && *number > 0)
      fixedRows = *number;
    if (auto symbol = added.asSymbol())
      rowDims.insert(*symbol);
  }
  for (Role role : {Role::ids, Role::positions, Role::mask, Role::last,
                    Role::rows, Role::other})
    for (auto [i, port] : enumerate(artifact.inputs)) {
      if (inputs[i].role != role)
        continue;
      int32_t end = port.rank - 1;
      bool ofSequences = role == Role::last || role == Role::rows;
      if (ofSequences || end > 0)
        name(port, role == Role::positions ? end - 1 : 0, batchDims);
      if (role == Role::mask && port.rank == 4)
        name(port, 2, rowDims);
      if (!ofSequences && role != Role::other)
        name(port, end, role == Role::mask ? totalDims : rowDims);
      if (role == Role::ids && port.dim_values[end] > 0)
        fixedRows = port.dim_values[end];
    }
  for (const auto *names :
       {&batchDims, &roomDims, &pastDims, &rowDims, &totalDims})
    for (const std::string &symbol : *names)
      if (dims.count(symbol))
        return createStringError("--dim " + symbol +
                                 ": --sequences and --context say what it is");
  std::vector<Tensor> given;
  for (Input &input : inputs)
    given.push_back({input.tensor.dtype, input.tensor.dims, nullptr, nullptr, 0,
                     input.tensor.given});
  if (Error problem = chooseDims(artifact, given, dims))
    return problem;
  for (const std::string &symbol : batchDims)
    dims[symbol] = options.sequences;
  for (const std::string &symbol : roomDims)
    dims[symbol] = memory->capacity;
  return Error::success();
}

Expected<std::vector<int64_t>> Decoder::shapeOf(size_t index, int64_t past,
                                                int64_t rows) const {
  if (inputs[index].tensor.given)
    return inputs[index].tensor.dims;
  DimValues all = dims;
  for (const std::string &symbol : pastDims)
    all[symbol] = past;
  for (const std::string &symbol : rowDims)
    all[symbol] = rows;
  for (const std::string &symbol : totalDims)
    all[symbol] = past + rows;
  return portDims(artifact.inputs[index], all);
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

int64_t Decoder::valueOf(Role role, size_t element, ArrayRef<int64_t> shape,
                         int64_t rows) const {
  switch (role) {
  case Role::positions:
    return length + int64_t(element) % std::max<int64_t>(shape.back(), 1);
  case Role::last:
    return length + rows - 1;
  case Role::total:
    return length + rows;
  case Role::past:
    return length;
  case Role::rows:
    return int64_t(element);
  default:
    return 1;
  }
}

/// Ids are random, masks let everything through: what is added to scores is 0,
/// what is multiplied or chosen by is 1.
Error Decoder::fill(size_t index, ArrayRef<int64_t> shape, int64_t rows) {
  Input &input = inputs[index];
  const tenon_port_info &port = artifact.inputs[index];
  if (input.role == Role::other && input.filledFor == shape.vec())
    return Error::success();
  size_t elements = 1;
  for (int64_t dim : shape)
    elements *= size_t(dim);
  if (!input.tensor.data ||
      input.tensor.bytes < tenon_tensor_bytes(port.dtype, elements)) {
    // Room for the longest that there will be, so that it is made once.
    auto most = shapeOf(index, options.capacity - rows, rows);
    if (!most)
      return most.takeError();
    auto made = makeTensor(port.dtype, *most);
    if (!made)
      return made.takeError();
    input.tensor = std::move(*made);
  }
  if (tenon_tensor_bytes(port.dtype, elements) > input.tensor.bytes)
    return createStringError("input '" + Twine(port.name) +
                             "' would be longer than the capacity allows");
  Tensor view;
  view.dtype = port.dtype;
  view.dims = shape.vec();
  view.data = input.tensor.data;
  view.bytes = tenon_tensor_bytes(port.dtype, elements);
  Random random(uint64_t(length) * artifact.inputs.size() + index + 1);
  size_t element = 0;
  auto integer = [&] {
    if (input.role == Role::ids)
      return random.below(port.id_bound > 0 ? port.id_bound : 100);
    return valueOf(input.role, element++, shape, rows);
  };
  auto real = [&] {
    return input.role == Role::mask ? double(port.is_mask) : random.normal();
  };
  fillTensor(view, random, real, integer);
  input.filledFor = shape.vec();
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Runs
//===----------------------------------------------------------------------===//

Expected<std::unique_ptr<Decoder>>
Decoder::create(const OpenArtifact &artifact, const DecoderOptions &options,
                std::vector<Tensor> given) {
  std::unique_ptr<Decoder> decoder(new Decoder(artifact, options));
  auto memory =
      StateMemory::create(artifact, options.sequences, options.capacity);
  if (!memory)
    return memory.takeError();
  decoder->memory = std::move(*memory);
  decoder->inputs.resize(artifact.inputs.size());
  for (size_t i = 0; i < given.size(); ++i) {
    Input &input = decoder->inputs[i];
    input.role = decoder->roleOf(i);
    if (given[i].given && input.role == Role::held)
      return createStringError("input '" + Twine(artifact.inputs[i].name) +
                               "' is held by the state");
    if (given[i].given)
      input.role = Role::other;
    input.tensor = std::move(given[i]);
  }
  if (Error problem = decoder->nameDims())
    return std::move(problem);
  auto context = Session::createContext(artifact, options.session);
  if (!context)
    return context.takeError();
  decoder->context = *context;
  tenon_error error;
  TENON_INIT(decoder->info);
  if (tenon_bind_state(decoder->context, decoder->memory->state, &error) ||
      tenon_get_context_info(decoder->context, &decoder->info, &error))
    return apiError(error);
  return decoder;
}

Error Decoder::reserve(int64_t rows) {
  std::vector<std::vector<int64_t>> shapes;
  std::vector<const int64_t *> pointers;
  for (auto [i, port] : enumerate(artifact.inputs)) {
    auto shape = shapeOf(i, options.capacity - rows, rows);
    if (!shape)
      return shape.takeError();
    shapes.push_back(std::move(*shape));
    bool left = port.is_optional && !inputs[i].tensor.given;
    pointers.push_back(left ? nullptr : shapes.back().data());
  }
  tenon_error error;
  return tenon_reserve(context, pointers.data(), &error) ? apiError(error)
                                                         : Error::success();
}

Error Decoder::bindOutputs(ArrayRef<const int64_t *> shapes) {
  outputs.resize(artifact.outputs.size());
  tenon_error error;
  for (auto [i, port] : enumerate(artifact.outputs)) {
    if (holdsOutput(artifact, i))
      continue;
    std::vector<int64_t> shape(port.rank);
    if (tenon_output_dims(context, shapes.data(), int32_t(i), shape.data(),
                          &error))
      return apiError(error);
    size_t elements = 1;
    for (int64_t dim : shape)
      elements *= size_t(dim);
    Tensor &output = outputs[i];
    if (!output.data ||
        output.bytes < tenon_tensor_bytes(port.dtype, elements)) {
      auto made = makeTensor(port.dtype, shape);
      if (!made)
        return made.takeError();
      output = std::move(*made);
    }
    if (tenon_bind_output(context, int32_t(i), port.dtype, port.rank, nullptr,
                          output.data, output.bytes, &error))
      return apiError(error);
  }
  return Error::success();
}

Error Decoder::prepare(int64_t rows) {
  std::vector<std::vector<int64_t>> shapes(inputs.size());
  std::vector<const int64_t *> pointers(inputs.size());
  tenon_error error;
  for (auto [i, port] : enumerate(artifact.inputs)) {
    Input &input = inputs[i];
    if (input.role == Role::held || (port.is_optional && !input.tensor.given))
      continue;
    auto shape = shapeOf(i, length, rows);
    if (!shape)
      return shape.takeError();
    shapes[i] = std::move(*shape);
    pointers[i] = shapes[i].data();
    if (!input.tensor.given)
      if (Error problem = fill(i, shapes[i], rows))
        return problem;
    size_t elements = 1;
    for (int64_t dim : shapes[i])
      elements *= size_t(dim);
    if (tenon_bind_input(context, int32_t(i), port.dtype, port.rank,
                         shapes[i].data(), input.tensor.data,
                         tenon_tensor_bytes(port.dtype, elements), &error))
      return apiError(error);
  }
  pending = rows;
  return bindOutputs(pointers);
}

Error Decoder::run() {
  tenon_error error;
  tenon_status status = tenon_run(context, &error);
  if (status)
    return apiError(error);
  length += pending;
  return Error::success();
}

/// A state that is bound may be on a GPU.
Error Decoder::withState(function_ref<void(char *)> use) {
  tenon_error error;
  if (tenon_bind_state(context, nullptr, &error))
    return apiError(error);
  use(reinterpret_cast<char *>(memory->state));
  return tenon_bind_state(context, memory->state, &error) ? apiError(error)
                                                          : Error::success();
}

Error Decoder::keep() {
  // Rows can be forgotten; what was replaced is gone.
  if (!bytesPerSequence(artifact))
    return Error::success();
  return withState(
      [&](char *data) { kept.assign(data, data + memory->bytes); });
}

Error Decoder::rollBack(int64_t to) {
  tenon_error error;
  length = to;
  if (!kept.empty())
    return withState([&](char *data) { llvm::copy(kept, data); });
  for (const tenon_state_info &state : artifact.states)
    if (!state.reason && state.grows) {
      if (tenon_set_state_length(artifact.model(), memory->state,
                                 TENON_ALL_ROWS, to, &error))
        return apiError(error);
      break;
    }
  return Error::success();
}

} // namespace tenon
