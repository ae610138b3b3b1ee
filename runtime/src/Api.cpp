//===- Api.cpp - the function table of tenon.h ----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The entry points validate whatever the application hands in; what lies behind
// them may rely on it. `tenon_runtime_api` is the runtime's one name: the
// object that an artifact exports points to it.
//
//===----------------------------------------------------------------------===//
#include "Context.h"
#include "Cpu.h"
#include "Device.h"
#include "State.h"

#include <string.h>

using namespace tenon::rt;

namespace {

/// Copies as much of `full` as the caller's struct has room for.
template <typename Info>
tenon_status give(Info *info, Info &full, tenon_error *error) {
  if (!info)
    return fail(error, TENON_INVALID_ARGUMENT, "the info pointer is NULL");
  if (info->size <= sizeof info->size)
    return fail(error, TENON_INVALID_ARGUMENT, "info.size is ",
                uint64_t(info->size), ": set it with TENON_INIT");
  full.size = info->size;
  memcpy(info, &full, full.size < sizeof full ? full.size : sizeof full);
  return TENON_OK;
}

tenon_status checkIndex(const char *what, int32_t index, int32_t count,
                        tenon_error *error) {
  if (index >= 0 && index < count)
    return TENON_OK;
  return fail(error, TENON_INVALID_ARGUMENT, what, " ", index,
              " does not exist: the model has ", count);
}

//===----------------------------------------------------------------------===//
// Questions to a model
//===----------------------------------------------------------------------===//

tenon_status modelInfo(const tenon_model *model, tenon_model_info *info,
                       tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  if (!program)
    return status;
  tenon_model_info full = {};
  full.name = program->model_name;
  full.compiler_version = program->compiler_version;
  full.glibc_floor = program->glibc_floor;
  full.weights_bytes = program->weights_bytes;
  full.weights_file = program->weights ? nullptr : program->weights_file;
  full.api_version = TENON_API_VERSION;
  full.abi_version = program->abi_version;
  full.num_inputs = program->num_inputs;
  full.num_outputs = program->num_outputs;
  full.num_ranges = program->num_ranges;
  full.num_checks = program->num_checks;
  full.num_levels = program->num_levels;
  full.num_steps = program->num_steps;
  full.num_values = program->num_values;
  full.num_buffers = program->num_buffers;
  full.num_gpu_images = program->num_gpus ? program->gpu->num_images : 0;
  full.gpu_host_nodes = program->num_gpus ? program->gpu->host_nodes : nullptr;
  full.num_states = program->num_states;
  full.num_stateless = program->num_stateless;
  full.precision = program->precision;
  full.slow = model->slow;
  return give(info, full, error);
}

tenon_status gpuImageInfo(const tenon_model *model, int32_t index,
                          tenon_gpu_image_info *info, tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  int32_t count = program && program->num_gpus ? program->gpu->num_images : 0;
  if (!program || (status = checkIndex("GPU image", index, count, error)))
    return status;
  const tenon_image &image = program->gpu->images[index];
  tenon_gpu_image_info full = {0, image.name, image.kind == TENON_IMAGE_CUBIN,
                               image.bytes};
  return give(info, full, error);
}

/// Of input or output `index`, as `kind` says.
tenon_status portInfo(const tenon_program &program, tenon_port_kind kind,
                      int32_t index, tenon_port_info *info,
                      tenon_error *error) {
  bool input = kind == TENON_PORT_INPUT;
  const tenon_port &port =
      input ? program.inputs[index] : program.outputs[index];
  tenon_port_info full = {};
  full.name = port.name;
  full.dtype = tenon_dtype(port.dtype);
  full.rank = port.rank;
  full.dim_names = port.dim_names;
  full.dim_values = port.dim_values;
  full.dims_kind = TENON_DIMS_STATIC;
  for (int32_t d = 0; d < port.rank; ++d)
    if (port.dim_values[d] < 0)
      full.dims_kind =
          port.from_values ? TENON_DIMS_FROM_DATA : TENON_DIMS_FROM_INPUTS;
  full.id_bound = port.id_bound;
  full.is_mask = port.is_mask;
  full.is_optional = port.default_buffer != 0;
  full.kind = kind;
  for (int32_t s = 0; s < program.num_states; ++s)
    if ((input ? program.states[s].input : program.states[s].output) == index)
      full.kind = TENON_PORT_STATE, full.state = s;
  return give(info, full, error);
}

tenon_status inputInfo(const tenon_model *model, int32_t index,
                       tenon_port_info *info, tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  if (!program ||
      (status = checkIndex("input", index, program->num_inputs, error)))
    return status;
  return portInfo(*program, TENON_PORT_INPUT, index, info, error);
}

tenon_status outputInfo(const tenon_model *model, int32_t index,
                        tenon_port_info *info, tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  if (!program ||
      (status = checkIndex("output", index, program->num_outputs, error)))
    return status;
  return portInfo(*program, TENON_PORT_OUTPUT, index, info, error);
}

tenon_status rangeInfo(const tenon_model *model, int32_t index,
                       tenon_range_info *info, tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  if (!program ||
      (status = checkIndex("range", index, program->num_ranges, error)))
    return status;
  const tenon_dim_range &range = program->ranges[index];
  tenon_range_info full = {0, range.name, range.lo, range.hi};
  return give(info, full, error);
}

tenon_status checkInfo(const tenon_model *model, int32_t index,
                       tenon_check_info *info, tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  if (!program ||
      (status = checkIndex("check", index, program->num_checks, error)))
    return status;
  const tenon_check &check = program->checks[index];
  tenon_check_info full = {0, tenon_relation(check.kind), check.lhs_text,
                           check.rhs_text, check.reason};
  return give(info, full, error);
}

tenon_status levelInfo(const tenon_model *model, int32_t index,
                       tenon_level_info *info, tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  if (!program ||
      (status = checkIndex("level", index, program->num_levels, error)))
    return status;
  const tenon_level &level = program->levels[index];
  tenon_level_info full = {};
  full.name = level.name;
  uint64_t missing = level.features & ~cpuFeatures();
  full.supported = missing == 0;
  Text features(full.features, sizeof full.features);
  addFeatureNames(features, level.features);
  Text lacking(full.missing, sizeof full.missing);
  addFeatureNames(lacking, missing);
  return give(info, full, error);
}

tenon_status stateInfo(const tenon_model *model, int32_t index,
                       tenon_state_info *info, tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  if (!program || (status = checkIndex(
                       "state", index,
                       program->num_states + program->num_stateless, error)))
    return status;
  const tenon_state_pair &state = program->states[index];
  tenon_state_info full = {};
  full.input = state.input;
  full.output = state.output;
  full.axis = state.axis;
  full.grows = state.grows;
  full.panel_rows = state.panels ? TENON_PANEL_ROWS : 0;
  full.reason = state.reason;
  full.replaced = state.replaced;
  full.sequences = state.sequences;
  full.most = state.most;
  if (!state.reason) {
    const tenon_port &port = program->inputs[state.input];
    full.format = tenon_dtype(state.pages ? state.pages : port.dtype);
    full.page_rows = state.pages ? TENON_PANEL_ROWS : 0;
    full.row_bytes = stateRowBytes(*program, index);
  }
  return give(info, full, error);
}

tenon_status poolInfo(const tenon_model *model, const tenon_state *state,
                      tenon_pool_info *info, tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, state, error, &status);
  if (!program)
    return status;
  const auto &header = *reinterpret_cast<const StateHeader *>(state);
  tenon_pool_info full = {};
  full.sequences = header.rows;
  full.capacity = header.capacity;
  for (int32_t s = 0; header.pool && s < program->num_states; ++s)
    full.page_bytes += pageBytes(*program, s);
  if (header.pool) {
    full.pages = header.pool;
    full.free_pages = freePages(header);
    full.page_rows = TENON_PANEL_ROWS;
  }
  return give(info, full, error);
}

tenon_status valueInfo(const tenon_model *model, int32_t index,
                       tenon_value_info *info, tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  if (!program ||
      (status = checkIndex("value", index, program->num_values, error)))
    return status;
  const tenon_value &value = program->values[index];
  tenon_value_info full = {0, value.name,
                           tenon_dtype(program->buffers[value.buffer].dtype),
                           value.rank};
  return give(info, full, error);
}

template <typename Item>
tenon_status findNamed(const char *what, const Item *items, int32_t count,
                       const char *name, int32_t *index, tenon_error *error) {
  if (!name || !index)
    return fail(error, TENON_INVALID_ARGUMENT,
                name ? "the result pointer is NULL" : "the name is NULL");
  for (int32_t i = 0; i < count; ++i)
    if (sameText(items[i].name, name)) {
      *index = i;
      return TENON_OK;
    }
  if (!error)
    return TENON_INVALID_ARGUMENT;
  Text text(error->message, sizeof error->message);
  text.add("the model has no ").add(what).add(" '").add(name).add('\'');
  for (int32_t i = 0; i < count && i < 16; ++i)
    text.add(i ? "', '" : "; it has '").add(items[i].name);
  if (count)
    text.add(count > 16 ? "', ..." : "'");
  return TENON_INVALID_ARGUMENT;
}

tenon_status findInput(const tenon_model *model, const char *name,
                       int32_t *index, tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  return program ? findNamed("input", program->inputs, program->num_inputs,
                             name, index, error)
                 : status;
}

tenon_status findOutput(const tenon_model *model, const char *name,
                        int32_t *index, tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  return program ? findNamed("output", program->outputs, program->num_outputs,
                             name, index, error)
                 : status;
}

tenon_status findValue(const tenon_model *model, const char *name,
                       int32_t *index, tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  if (program && program->num_values == 0)
    return fail(error, TENON_INVALID_ARGUMENT,
                "the artifact names no inner values: compile it with "
                "--debug-values");
  return program ? findNamed("inner value", program->values,
                             program->num_values, name, index, error)
                 : status;
}

//===----------------------------------------------------------------------===//
// Contexts
//===----------------------------------------------------------------------===//

tenon_status contextInfo(tenon_context *handle, tenon_context_info *info,
                         tenon_error *error) {
  Hold context(handle, error);
  if (context.status())
    return context.status();
  tenon_context_info full = {};
  full.threads = context->threads;
  full.level = context->level ? context->level->name : nullptr;
  full.device = context->level ? "cpu" : nullptr;
  if (context->driver) {
    DeviceInfo device = context->driver->info(context->device);
    full.level = device.image;
    full.device = device.name;
  }
  full.device_note = *context->deviceNote ? context->deviceNote : nullptr;
  full.workspace_bytes = context->workspaceBytes;
  full.context_bytes = context->blockBytes;
  full.weights_path = context->weights.path;
  full.run_ns = context->runNs;
  full.prepare_ns = context->prepareNs;
  full.control_ns = context->controlNs;
  full.wait_ns = context->waitNs, full.barriers = context->barriers;
  return give(info, full, error);
}

/// The dims that a caller gave, with those of optional inputs that were not.
const int64_t *const *complete(Context &context,
                               const int64_t *const *inputDims) {
  if (!inputDims)
    return nullptr;     // which is refused
  takeLengths(context); // runs and the caller change it
  for (int32_t i = 0; i < context.program->num_inputs; ++i) {
    bool bound = (context.program->inputs[i].default_buffer ||
                  (context.state && context.stateOfInput[i])) &&
                 !inputDims[i];
    context.inputDims[i] = bound ? context.inputs[i].dims : inputDims[i];
  }
  return context.inputDims;
}

/// Evaluates dims in the context's second set of slots, from the values of
/// those inputs that are bound.
tenon_status evaluateQuery(Context &context, const int64_t *const *inputDims,
                           tenon_error *error) {
  for (int32_t i = 0; i < context.program->num_inputs; ++i)
    context.inputData[i] = context.inputs[i].data;
  const RunValues *run = nullptr;
  if (const auto count = size_t(context.program->num_run_values)) {
    run = &context.run;
    memset(run->known, 0, count);
  }
  return evaluateDims(*context.program, inputDims, context.querySlots, error,
                      context.inputData, context.queryMissing, run,
                      context.stateView);
}

const Plan *planQuery(Context &context, const int64_t *const *inputDims,
                      tenon_status *status, tenon_error *error) {
  inputDims = complete(context, inputDims);
  if ((*status = evaluateQuery(context, inputDims, error)))
    return nullptr;
  const tenon_program &program = *context.program;
  int32_t lacks = kRunValues;
  auto take = [&](int32_t slot) {
    if (int32_t other = context.queryMissing[slot]; other >= 0 && other < lacks)
      lacks = other;
  };
  for (int32_t i = 0; i < context.numArena; ++i)
    take(program.buffers[context.arenaBuffers[i]].elements);
  for (int32_t s = 0; s < context.numSteps; ++s)
    if (program.steps[s].scratch >= 0)
      take(program.steps[s].scratch);
  if (lacks != kRunValues) {
    *status = fail(error, TENON_NOT_BOUND,
                   "the workspace depends on the values "
                   "of input '",
                   program.inputs[lacks].name, "': bind it first");
    return nullptr;
  }
  return planFor(context, inputDims, context.querySlots, status, error);
}

tenon_status workspaceSize(tenon_context *handle,
                           const int64_t *const *inputDims, size_t *bytes,
                           tenon_error *error) {
  Hold context(handle, error);
  if (context.status())
    return context.status();
  if (!bytes)
    return fail(error, TENON_INVALID_ARGUMENT, "the result pointer is NULL");
  tenon_status status;
  if (const Plan *plan = planQuery(*context, inputDims, &status, error))
    *bytes = plan->total(context->threads);
  return status;
}

/// A call that asks for the dims of an output.
tenon_status checkDimsOf(const tenon_program &program, int32_t output,
                         const int64_t *dims, tenon_error *error) {
  if (tenon_status status =
          checkIndex("output", output, program.num_outputs, error))
    return status;
  if (program.outputs[output].rank && !dims)
    return fail(error, TENON_INVALID_ARGUMENT, "the result pointer is NULL");
  return TENON_OK;
}

tenon_status outputDims(tenon_context *handle, const int64_t *const *inputDims,
                        int32_t index, int64_t *dims, tenon_error *error) {
  Hold context(handle, error);
  if (context.status())
    return context.status();
  const tenon_program &program = *context->program;
  if (tenon_status status = checkDimsOf(program, index, dims, error))
    return status;
  const tenon_port &port = program.outputs[index];
  if (tenon_status status =
          evaluateQuery(*context, complete(*context, inputDims), error))
    return status;
  for (int32_t d = 0; d < port.rank; ++d) {
    if (int32_t lacks = context->queryMissing[port.dims[d]];
        lacks >= 0 && lacks != kRunValues)
      return fail(error, TENON_NOT_BOUND, "output '", port.name, "': dim ", d,
                  " (", port.dim_names[d], ") depends on the values of input '",
                  program.inputs[lacks].name, "': bind it first");
    dims[d] = context->querySlots[port.dims[d]];
  }
  return TENON_OK;
}

tenon_status reserve(tenon_context *handle, const int64_t *const *inputDims,
                     tenon_error *error) {
  Hold context(handle, error);
  if (context.status())
    return context.status();
  tenon_status status;
  const Plan *plan = planQuery(*context, inputDims, &status, error);
  if (!plan)
    return status;
  if ((status =
           reserveWorkspace(*context, plan->total(context->threads), error)))
    return status;
  rememberReserved(*context, *plan);
  return TENON_OK;
}

tenon_status setWorkspaceEntry(tenon_context *handle, void *memory,
                               size_t bytes, tenon_error *error) {
  Hold context(handle, error);
  return context.status() ? context.status()
                          : setWorkspace(*context, memory, bytes, error);
}

//===----------------------------------------------------------------------===//
// Binding
//===----------------------------------------------------------------------===//

/// Checks a tensor against its port. `what` is "input" or "output".
tenon_status checkTensor(const char *what, const tenon_port &port,
                         tenon_dtype dtype, int32_t rank, const int64_t *dims,
                         bool anyDims, const void *data, uint64_t bytes,
                         tenon_error *error) {
  if (dtype != tenon_dtype(port.dtype))
    return fail(error, TENON_INVALID_TENSOR, what, " '", port.name,
                "': its dtype is ", dtypeName(dtype), ", expected ",
                dtypeName(port.dtype));
  if (rank != port.rank)
    return fail(error, TENON_INVALID_TENSOR, what, " '", port.name,
                "': its rank is ", rank, ", expected ", port.rank);
  uint64_t alignment = tenon_dtype_bytes(dtype);
  if (reinterpret_cast<uintptr_t>(data) % alignment)
    return fail(error, TENON_INVALID_TENSOR, what, " '", port.name,
                "': its data is not aligned to ", alignment, " bytes");
  if (anyDims)
    return TENON_OK;
  int64_t elements = 1;
  bool overflow = false, empty = false;
  for (int32_t d = 0; d < rank; ++d) {
    int64_t expected = port.dim_values[d];
    if (expected >= 0 && dims[d] != expected)
      return fail(error, TENON_INVALID_TENSOR, what, " '", port.name, "': dim ",
                  d, " is ", dims[d], ", expected ", expected);
    if (dims[d] < 0)
      return fail(error, TENON_INVALID_TENSOR, what, " '", port.name, "': dim ",
                  d, " (", port.dim_names[d], ") is ", dims[d],
                  ", expected 0 or more");
    empty |= dims[d] == 0;
    overflow |= __builtin_mul_overflow(elements, dims[d], &elements);
  }
  int64_t needed = empty ? 0 : overflow ? -1 : bytesOf(elements, port.dtype);
  if (needed < 0)
    return fail(error, TENON_INVALID_TENSOR, what, " '", port.name,
                "': its dims are too large");
  if (bytes < uint64_t(needed))
    return fail(error, TENON_INVALID_TENSOR, what, " '", port.name, "' has ",
                bytes, " bytes, expected ", needed);
  if (needed && !data)
    return fail(error, TENON_INVALID_TENSOR, what, " '", port.name,
                "': its data is NULL");
  return TENON_OK;
}

/// Can the context use memory at that place? `what` and `port` are whose it is.
tenon_status checkPlace(const Context &context, const char *what,
                        const tenon_port &port, tenon_place place,
                        const void *data, tenon_error *error) {
  if (place == TENON_ON_HOST)
    return TENON_OK;
  if (place != TENON_ON_DEVICE)
    return fail(error, TENON_INVALID_ARGUMENT, what, " '", port.name,
                "': its place is ", int32_t(place),
                ", expected TENON_ON_HOST or TENON_ON_DEVICE");
  if (!context.driver)
    return fail(error, TENON_INVALID_ARGUMENT, what, " '", port.name,
                "': its memory is a GPU's, and the context runs on the CPU");
  return context.driver->checkMemory(context.device, what, port.name, data,
                                     error);
}

/// Do dims depend on the values of this input?
bool givesDims(const tenon_program &program, int32_t input) {
  for (int32_t i = 0; i < program.num_exprs; ++i)
    if (program.exprs[i].op == TENON_EXPR_INPUT_VALUE &&
        program.exprs[i].a == input)
      return true;
  return false;
}

tenon_status bindInputAt(tenon_context *handle, int32_t index,
                         tenon_place place, tenon_dtype dtype, int32_t rank,
                         const int64_t *dims, const void *data, size_t bytes,
                         tenon_error *error) {
  Hold context(handle, error);
  if (context.status())
    return context.status();
  const tenon_program &program = *context->program;
  if (tenon_status status =
          checkIndex("input", index, program.num_inputs, error))
    return status;
  const tenon_port &port = program.inputs[index];
  if (context->state && context->stateOfInput[index])
    return fail(error, TENON_INVALID_ARGUMENT, "input '", port.name,
                "' is held by the bound state");
  if (!dims && !data && port.default_buffer) {
    bindDefault(*context, index);
    context->stale = context->dirty = true;
    context->ran = false;
    return TENON_OK;
  }
  if (!dims && port.rank && rank == port.rank)
    return fail(error, TENON_INVALID_ARGUMENT, "input '", port.name,
                "': its dims are NULL");
  if (tenon_status status = checkTensor("input", port, dtype, rank, dims, false,
                                        data, bytes, error))
    return status;
  if (tenon_status status =
          checkPlace(*context, "input", port, place, data, error))
    return status;
  if (place == TENON_ON_DEVICE && givesDims(program, index))
    return fail(error, TENON_INVALID_ARGUMENT, "input '", port.name,
                "': dims depend on its values, which the host must have");
  Binding &binding = context->inputs[index];
  bool changed = !binding.bound;
  for (int32_t d = 0; d < rank; ++d) {
    changed |= binding.dims[d] != dims[d];
    binding.dims[d] = dims[d];
  }
  binding.data = const_cast<void *>(data);
  binding.bytes = bytes;
  binding.bound = true;
  binding.onDevice = place == TENON_ON_DEVICE;
  context->stale |= changed;
  context->dirty = true;
  context->ran = false;
  return TENON_OK;
}

tenon_status bindInput(tenon_context *handle, int32_t index, tenon_dtype dtype,
                       int32_t rank, const int64_t *dims, const void *data,
                       size_t bytes, tenon_error *error) {
  return bindInputAt(handle, index, TENON_ON_HOST, dtype, rank, dims, data,
                     bytes, error);
}

tenon_status bindOutputAt(tenon_context *handle, int32_t index,
                          tenon_place place, tenon_dtype dtype, int32_t rank,
                          const int64_t *dims, void *data, size_t bytes,
                          tenon_error *error) {
  Hold context(handle, error);
  if (context.status())
    return context.status();
  const tenon_program &program = *context->program;
  if (tenon_status status =
          checkIndex("output", index, program.num_outputs, error))
    return status;
  const tenon_port &port = program.outputs[index];
  if (context->state && context->stateOfOutput[index])
    return fail(error, TENON_INVALID_ARGUMENT, "output '", port.name,
                "' is held by the bound state");
  bool anyDims = !dims;
  if (tenon_status status = checkTensor("output", port, dtype, rank, dims,
                                        anyDims, data, bytes, error))
    return status;
  if (tenon_status status =
          checkPlace(*context, "output", port, place, data, error))
    return status;
  Binding &binding = context->outputs[index];
  for (int32_t d = 0; d < rank; ++d)
    binding.dims[d] = anyDims ? -1 : dims[d];
  binding.data = data;
  binding.bytes = bytes;
  binding.bound = true;
  binding.anyDims = anyDims;
  binding.onDevice = place == TENON_ON_DEVICE;
  context->dirty = true;
  context->ran = false;
  return TENON_OK;
}

tenon_status bindOutput(tenon_context *handle, int32_t index, tenon_dtype dtype,
                        int32_t rank, const int64_t *dims, void *data,
                        size_t bytes, tenon_error *error) {
  return bindOutputAt(handle, index, TENON_ON_HOST, dtype, rank, dims, data,
                      bytes, error);
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

tenon_status run(tenon_context *handle, tenon_error *error) {
  Hold context(handle, error);
  return context.status() ? context.status() : runContext(*context, error);
}

tenon_status stepInfo(tenon_context *handle, int32_t index,
                      tenon_step_info *info, tenon_error *error) {
  Hold context(handle, error);
  if (context.status())
    return context.status();
  if (tenon_status status = checkIndex("step", index, context->numSteps, error))
    return status;
  const tenon_step &step = context->program->steps[index];
  const StepState &state = context->steps[index];
  tenon_step_info full = {};
  full.kernel = step.name;
  full.nodes = step.nodes;
  full.tasks = state.tasks;
  full.cost = state.cost;
  full.threads = state.threads;
  full.start_ns = state.startNs;
  full.time_ns = state.timeNs;
  full.last_ns = state.lastNs;
  full.calls = state.calls;
  for (int32_t i = 0; i < step.num_buffers; ++i) {
    const tenon_buffer &buffer = context->program->buffers[step.buffers[i]];
    if (buffer.elements < 0)
      continue;
    int64_t bytes = bytesOf(context->slots[buffer.elements], buffer.dtype);
    if (bytes <= 0)
      continue;
    full.bytes += uint64_t(bytes);
    if (buffer.kind == TENON_BUFFER_WEIGHT)
      full.weight_bytes += uint64_t(bytes);
  }
  return give(info, full, error);
}

tenon_status bufferInfo(tenon_context *handle, int32_t index,
                        tenon_buffer_info *info, tenon_error *error) {
  Hold context(handle, error);
  if (context.status())
    return context.status();
  const tenon_program &program = *context->program;
  if (tenon_status status =
          checkIndex("buffer", index, program.num_buffers, error))
    return status;
  const tenon_buffer &buffer = program.buffers[index];
  tenon_buffer_info full = {};
  full.memory = tenon_memory(buffer.kind);
  full.dtype = tenon_dtype(buffer.dtype);
  full.first_step = full.last_step = -1;
  for (int32_t s = 0; s < program.num_steps; ++s)
    for (int32_t i = 0; i < program.steps[s].num_buffers; ++i)
      if (program.steps[s].buffers[i] == index) {
        if (full.first_step < 0)
          full.first_step = s;
        full.last_step = s;
      }
  // A weight's size is there before a run.
  int64_t elements = 0;
  if (buffer.elements >= 0) {
    const tenon_expr &size = program.exprs[buffer.elements];
    elements = context->ran                  ? context->slots[buffer.elements]
               : size.op == TENON_EXPR_CONST ? size.imm
                                             : 0;
  }
  int64_t bytes = bytesOf(elements, buffer.dtype);
  full.format = program.formats ? program.formats[index] : nullptr;
  full.bytes = bytes > 0 ? uint64_t(bytes) : 0;
  if (buffer.kind == TENON_BUFFER_WEIGHT)
    full.offset = uint64_t(buffer.offset);
  for (int32_t i = 0; context->plan && i < context->numArena; ++i)
    if (context->arenaBuffers[i] == index) {
      full.offset = context->plan->offsets[i];
      full.first_step = context->lives[i].first;
      full.last_step = context->lives[i].last;
    }
  return give(info, full, error);
}

/// Without Hold: it is for another thread than the one that runs.
tenon_status cancelRun(tenon_context *handle, tenon_error *error) {
  if (!handle)
    return fail(error, TENON_INVALID_ARGUMENT, "the context is NULL");
  __atomic_store_n(&reinterpret_cast<Context *>(handle)->cancelled, 1,
                   __ATOMIC_RELAXED);
  return TENON_OK;
}

tenon_status valueData(tenon_context *handle, int32_t index, int64_t *dims,
                       const void **data, tenon_error *error) {
  Hold context(handle, error);
  if (context.status())
    return context.status();
  const tenon_program &program = *context->program;
  if (tenon_status status =
          checkIndex("value", index, program.num_values, error))
    return status;
  const tenon_value &value = program.values[index];
  if (!data || (value.rank && !dims))
    return fail(error, TENON_INVALID_ARGUMENT, "a result pointer is NULL");
  if (!context->ran)
    return fail(error, TENON_NOT_BOUND, "value '", value.name,
                "': the model has not run with what is bound now");
  if (isLeftOut(value.guard, context->slots))
    return fail(error, TENON_NOT_BOUND, "value '", value.name,
                "' belongs to a branch that was not taken");
  for (int32_t d = 0; d < value.rank; ++d)
    dims[d] = context->slots[value.dims[d]];
  *data = context->pointers[value.buffer];
  return context->driver
             ? context->driver->value(*context, value.buffer, data, error)
             : TENON_OK;
}

tenon_status lastOutputDims(tenon_context *handle, int32_t index, int64_t *dims,
                            tenon_error *error) {
  Hold context(handle, error);
  if (context.status())
    return context.status();
  const tenon_program &program = *context->program;
  if (tenon_status status = checkDimsOf(program, index, dims, error))
    return status;
  const tenon_port &port = program.outputs[index];
  bool known = context->ran || context->tooSmall;
  for (int32_t d = 0; d < port.rank && known; ++d)
    known = !program.num_run_values || context->missing[port.dims[d]] < 0;
  if (!known)
    return fail(error, TENON_NOT_BOUND, "output '", port.name,
                "': its dims are not known, the model has not run with what is "
                "bound now");
  for (int32_t d = 0; d < port.rank; ++d)
    dims[d] = context->slots[port.dims[d]];
  return TENON_OK;
}

} // namespace

extern "C" {
extern __attribute__((visibility("hidden"))) const tenon_api tenon_runtime_api;
const tenon_api tenon_runtime_api = {
    sizeof(tenon_api), TENON_API_VERSION,
    modelInfo,         inputInfo,
    outputInfo,        rangeInfo,
    checkInfo,         levelInfo,
    valueInfo,         findInput,
    findOutput,        findValue,
    createContext,     destroyContext,
    contextInfo,       workspaceSize,
    outputDims,        reserve,
    setWorkspaceEntry, bindInput,
    bindOutput,        run,
    stepInfo,          valueData,
    lastOutputDims,    bufferInfo,
    cancelRun,         gpuImageInfo,
    bindInputAt,       bindOutputAt,
    stateInfo,         stateSize,
    initState,         stateLength,
    setStateLength,    copyState,
    stateData,         bindState,
    pagedStateSize,    initPagedState,
    poolInfo,          bindSequences,
    shareState,        setStatePages,
    statePages,
};
}
