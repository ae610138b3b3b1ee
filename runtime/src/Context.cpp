//===- Context.cpp - making contexts and their plans ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A context is one block of memory: the object and all tables that a run may
// need, sized from the program. Nothing else is allocated but the workspace,
// and that only by tenon_reserve.
//
//===----------------------------------------------------------------------===//
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "Context.h"
#include "Cpu.h"
#include "Device.h"
#include "State.h"

#include <string.h>
#include <sys/mman.h>

using namespace tenon::rt;

namespace {

constexpr int32_t kDefaultSpinMicroseconds = 1000;
constexpr int32_t kMaxThreads = 1024;
constexpr size_t kPage = 4096;

void *mapMemory(void *, size_t bytes, size_t) {
  void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return nullptr;
  if (bytes >= size_t(4) << 20)
    madvise(memory, bytes, MADV_HUGEPAGE); // a hint: its failure is no matter
  return memory;
}

void unmapMemory(void *, void *memory, size_t bytes) { munmap(memory, bytes); }

/// Hands out parts of one block. With a null base it only counts.
class Layout {
public:
  explicit Layout(void *base) : base(static_cast<uint8_t *>(base)) {}
  template <typename T>
  void take(T *&table, size_t count) {
    constexpr size_t alignment = alignof(T) > 8 ? alignof(T) : 8;
    used = (used + alignment - 1) & ~(alignment - 1);
    if (base)
      table = reinterpret_cast<T *>(base + used);
    used += count * sizeof(T);
  }
  size_t bytes() const { return used; }

private:
  uint8_t *base;
  size_t used = 0;
};

/// Does a dim of the program depend on the expression in this slot?
bool isRead(const tenon_program &program, int32_t slot) {
  auto any = [&](const int32_t *slots, int32_t count) {
    for (int32_t i = 0; i < count; ++i)
      if (slots[i] == slot)
        return true;
    return false;
  };
  for (int32_t i = 0; i < program.num_exprs; ++i) {
    const tenon_expr &expr = program.exprs[i];
    bool leaf = expr.op == TENON_EXPR_CONST ||
                expr.op == TENON_EXPR_INPUT_DIM ||
                expr.op == TENON_EXPR_INPUT_VALUE;
    int32_t own = expr.op == TENON_EXPR_RUN_VALUE ? slot + 1 : slot;
    if (!leaf && (expr.a == own || expr.b == own ||
                  (expr.op == TENON_EXPR_SELECT && expr.imm == slot)))
      return true;
  }
  for (int32_t i = 0; i < program.num_steps; ++i) {
    const tenon_step &step = program.steps[i];
    if (step.tasks == slot || step.cost == slot || step.scratch == slot ||
        step.guard == slot + 1 || any(step.dims, step.num_dims))
      return true;
  }
  for (int32_t i = 0; i < program.num_buffers; ++i)
    if (program.buffers[i].elements == slot)
      return true;
  for (int32_t i = 0; i < program.num_checks; ++i) {
    const tenon_check &check = program.checks[i];
    if (check.lhs == slot || check.rhs == slot || check.guard == slot + 1)
      return true;
  }
  for (int32_t i = 0; i < program.num_outputs; ++i)
    if (any(program.outputs[i].dims, program.outputs[i].rank))
      return true;
  for (int32_t i = 0; i < program.num_values; ++i)
    if (program.values[i].guard == slot + 1 ||
        any(program.values[i].dims, program.values[i].rank))
      return true;
  for (int32_t i = 0; i < program.num_controls; ++i) {
    const tenon_control &control = program.controls[i];
    if (control.guard == slot + 1 || control.trips == slot ||
        any(control.sizes, control.num_sizes))
      return true;
    for (int32_t c = 0; c < control.num_copies; ++c)
      if (control.copies[c].elements == slot)
        return true;
  }
  return false;
}

/// Is this the end of a loop's body in which nothing is read, and on whose
/// iterations no dim depends?
bool isSteady(const tenon_program &program, const tenon_control &control) {
  if (control.kind != TENON_CONTROL_NEXT)
    return false;
  const tenon_control &loop = program.controls[control.partner];
  if (loop.count != 1 || loop.num_sizes)
    return false;
  for (int32_t i = 0; i < program.num_exprs; ++i)
    if (program.exprs[i].op == TENON_EXPR_RUN_VALUE &&
        program.exprs[i].imm == loop.value && isRead(program, i))
      return false;
  return true;
}

/// Places the context's tables; the counts in `counts` are known already.
void layOut(Layout &layout, Context &counts, Context &context) {
  const tenon_program &program = *counts.program;
  auto buffers = size_t(counts.numArena);
  auto steps = size_t(counts.numSteps);
  layout.take(context.slots, size_t(program.num_exprs));
  layout.take(context.querySlots, size_t(program.num_exprs));
  layout.take(context.queryMissing, size_t(program.num_exprs));
  auto read = size_t(program.num_run_values);
  size_t unknown = read ? size_t(program.num_exprs) : 0;
  layout.take(context.missing, unknown);
  layout.take(context.run.least, unknown);
  layout.take(context.run.most, unknown);
  layout.take(context.run.values, read);
  layout.take(context.run.known, read);
  layout.take(context.run.lowest, read);
  layout.take(context.run.highest, read);
  layout.take(context.inputDims, size_t(program.num_inputs));
  layout.take(context.inputData, size_t(program.num_inputs));
  layout.take(context.inputs, size_t(program.num_inputs));
  layout.take(context.outputs, size_t(program.num_outputs));
  layout.take(context.steady, size_t(program.num_controls));
  layout.take(context.stateOfInput, size_t(program.num_inputs));
  layout.take(context.stateOfOutput, size_t(program.num_outputs));
  layout.take(context.arenaBuffers, buffers);
  layout.take(context.valueSlots, size_t(counts.numValues));
  layout.take(context.lives, buffers);
  layout.take(context.pointers, size_t(program.num_buffers));
  layout.take(context.steps, steps);
  for (size_t s = 0; s < steps; ++s) {
    const tenon_step &step = program.steps[s];
    StepState none, &state = context.steps ? context.steps[s] : none;
    layout.take(state.buffers, size_t(step.num_buffers));
    layout.take(state.dims, size_t(step.num_dims));
  }
  layout.take(context.threadStates, size_t(counts.threads));
  layout.take(context.done, steps);
  layout.take(context.targets, steps);
  layout.take(context.claims,
              steps * size_t(counts.threads) * kSlicesPerThread);
  layout.take(context.workers, size_t(counts.threads));
  layout.take(context.tables.order, buffers);
  layout.take(context.tables.placed, buffers);
  layout.take(context.tables.offsets, buffers);
  layout.take(context.tables.live, steps + 1);
  layout.take(context.tables.steps, steps + 1);
  layout.take(context.plans, kRecentPlans + kReservedPlans);
  for (int32_t i = 0; i < kRecentPlans + kReservedPlans; ++i) {
    Plan none, &plan = context.plans ? context.plans[i] : none;
    layout.take(plan.dims, size_t(counts.totalRank + counts.numValues));
    layout.take(plan.offsets, buffers);
    layout.take(plan.sizes, buffers);
  }
}

/// The level, or the one that does without its slow features and is the same
/// otherwise.
const tenon_level &fasterLevel(const tenon_program &program,
                               const tenon_level &level) {
  uint64_t without = level.features & ~slowFeatures();
  for (int32_t i = 0; i < program.num_levels; ++i)
    if (program.levels[i].features == without)
      return program.levels[i];
  return level;
}

tenon_status chooseLevel(const tenon_program &program, const char *wanted,
                         const tenon_level **result, tenon_error *error) {
  uint64_t missing = 0; // of the nearest level
  const tenon_level *nearest = nullptr;
  for (int32_t i = 0; i < program.num_levels; ++i) {
    const tenon_level &level = program.levels[i];
    if (wanted && !sameText(level.name, wanted))
      continue;
    missing = level.features & ~usableFeatures(level.features);
    if (missing == 0) {
      *result = wanted ? &level : &fasterLevel(program, level);
      return TENON_OK;
    }
    nearest = &level;
  }
  if (!nearest && !wanted)
    return fail(error, TENON_UNSUPPORTED_CPU,
                "the artifact holds no code for a CPU");
  if (!error)
    return nearest ? TENON_UNSUPPORTED_CPU : TENON_INVALID_ARGUMENT;
  Text text(error->message, sizeof error->message);
  if (nearest) {
    text.add("this CPU lacks ");
    addFeatureNames(text, missing);
    text.add(", needed by the artifact's level '").add(nearest->name).add('\'');
    if (!wanted && program.num_levels > 1)
      text.add(", the lowest that it holds");
    return TENON_UNSUPPORTED_CPU;
  }
  text.add("the artifact has no level '").add(wanted).add("'; it holds ");
  for (int32_t i = 0; i < program.num_levels; ++i)
    text.add(i ? ", " : "").add(program.levels[i].name);
  return TENON_INVALID_ARGUMENT;
}

/// What options.device says: CUDA's number of a GPU, whichever is possible, or
/// none.
struct DeviceChoice {
  bool wanted, required;
  int32_t ordinal;
};

tenon_status parseDevice(const tenon_context_options &options,
                         DeviceChoice &choice, tenon_error *error) {
  const char *text = options.device;
  choice = {false, false, 0};
  if (!text || sameText(text, "auto")) {
    choice.wanted = !options.level; // a level is a CPU's then
    return TENON_OK;
  }
  if (sameText(text, "cpu"))
    return TENON_OK;
  const char *at = text;
  for (const char *name = "cuda"; *name && *at == *name; ++name)
    ++at;
  bool valid = at == text + 4 && (!*at || (*at == ':' && at[1]));
  for (const char *digit = at + 1; valid && *at && *digit; ++digit) {
    valid = *digit >= '0' && *digit <= '9' && choice.ordinal < 10000;
    choice.ordinal = choice.ordinal * 10 + (*digit - '0');
  }
  choice.wanted = choice.required = true;
  if (valid)
    return TENON_OK;
  return fail(error, TENON_INVALID_ARGUMENT, "options.device is '", text,
              "', expected auto, cpu, cuda or cuda:N");
}

/// Takes the device that is wanted, or says in `counts` why there is none and
/// the CPU serves.
tenon_status openDevice(const tenon_program &host,
                        const tenon_context_options &options,
                        const DeviceChoice &choice, Context &counts,
                        tenon_error *error) {
  if (choice.required && !host.num_gpus)
    return fail(error, TENON_INVALID_ARGUMENT,
                "the artifact has no code for a GPU: compile it with "
                "--target=nvptx:sm_80");
  if (!choice.wanted || !host.num_gpus)
    return TENON_OK;
  const tenon_gpu &gpu = *host.gpu;
  if (options.flags & TENON_CONTEXT_QUERY_ONLY) {
    counts.program = choice.required ? gpu.program : counts.program;
    return TENON_OK;
  }
  auto *driver = static_cast<const DeviceDriver *>(gpu.driver);
  tenon_error problem;
  problem.message[0] = 0;
  tenon_status status =
      driver->open(gpu, choice.ordinal, options.level, options.stream,
                   counts.weights.data, &counts.device, &problem);
  if (!status) {
    counts.driver = driver;
    counts.program = gpu.program;
    counts.threads = 1;
    return TENON_OK;
  }
  if (choice.required || !host.num_levels)
    return fail(error, status, problem.message);
  Text(counts.deviceNote, sizeof counts.deviceNote).add(problem.message);
  return TENON_OK;
}

tenon_status checkOptions(const tenon_context_options &options,
                          tenon_error *error) {
  if (options.threads < 0 || options.threads > kMaxThreads)
    return fail(error, TENON_INVALID_ARGUMENT, "options.threads is ",
                options.threads, ", expected 0..", kMaxThreads);
  if (!options.allocate != !options.release)
    return fail(error, TENON_INVALID_ARGUMENT,
                "options: set both allocate and release, or neither");
  return TENON_OK;
}

int32_t threadsFor(const tenon_context_options &options) {
  if (options.threads == 1)
    return 1;
  if (options.flags & TENON_CONTEXT_OVERSUBSCRIBE && options.threads)
    return options.threads;
  int32_t usable = usableThreads();
  if (usable > kMaxThreads)
    usable = kMaxThreads;
  return options.threads && options.threads < usable ? options.threads : usable;
}

/// What the caller gives, as far as its version of the struct goes.
tenon_status readOptions(const tenon_context_options *given,
                         tenon_context_options &options, tenon_error *error) {
  memset(&options, 0, sizeof options);
  if (given && given->size < sizeof options.size + sizeof options.flags)
    return fail(error, TENON_INVALID_ARGUMENT, "options.size is ",
                uint64_t(given->size), ": set it with TENON_INIT");
  if (given)
    memcpy(&options, given,
           given->size < sizeof options ? given->size : sizeof options);
  if (tenon_status status = checkOptions(options, error))
    return status;
  if (!options.allocate) {
    options.allocate = mapMemory;
    options.release = unmapMemory;
  }
  return TENON_OK;
}

void keepOptions(Context &context, const tenon_context_options &options) {
  context.flags = options.flags;
  context.executor = options.executor;
  context.executorUser = options.executor_user;
  context.allocate = options.allocate;
  context.release = options.release;
  context.allocatorUser = options.allocator_user;
}

/// How many entries the tables have whose size the program does not say.
void countTables(Context &counts) {
  const tenon_program &program = *counts.program;
  counts.numSteps = program.num_steps;
  for (int32_t i = 0; i < program.num_buffers; ++i)
    counts.numArena += program.buffers[i].kind == TENON_BUFFER_ARENA;
  for (int32_t i = 0; i < program.num_inputs; ++i)
    counts.totalRank += program.inputs[i].rank;
  for (int32_t i = 0; i < program.num_exprs; ++i)
    counts.numValues += program.exprs[i].op == TENON_EXPR_INPUT_VALUE;
}

/// What tables hold for as long as the context lives.
void fillTables(Context &context) {
  const tenon_program &program = *context.program;
  for (int32_t i = 0; i < program.num_states; ++i) {
    context.stateOfInput[program.states[i].input] = 1 + i;
    context.stateOfOutput[program.states[i].output] = 1 + i;
  }
  int32_t values = 0;
  for (int32_t i = 0; i < program.num_exprs; ++i)
    if (program.exprs[i].op == TENON_EXPR_INPUT_VALUE)
      context.valueSlots[values++] = i;
  int32_t arena = 0;
  for (int32_t i = 0; i < program.num_buffers; ++i) {
    const tenon_buffer &buffer = program.buffers[i];
    if (buffer.kind != TENON_BUFFER_ARENA)
      continue;
    context.arenaBuffers[arena] = i;
    int32_t steps = context.numSteps ? context.numSteps : 1;
    int32_t first = buffer.first < 0 ? 0 : buffer.first;
    int32_t last = buffer.last < steps ? buffer.last : steps - 1;
    context.lives[arena++] = {first < last ? first : last, last};
  }

  // Values that can be looked at after the run keep their memory to its end.
  for (int32_t v = 0; v < program.num_values; ++v)
    for (int32_t i = 0; i < arena; ++i)
      if (context.arenaBuffers[i] == program.values[v].buffer &&
          context.numSteps)
        context.lives[i].last = context.numSteps - 1;

  for (int32_t i = 0; i < program.num_controls; ++i)
    context.steady[i] = isSteady(program, program.controls[i]);
}

void startPool(Context &context, const tenon_context_options &options) {
  if (!context.level || context.executor || context.threads <= 1)
    return;
  int32_t spin = options.spin_us == 0  ? kDefaultSpinMicroseconds
                 : options.spin_us < 0 ? 0
                                       : options.spin_us;
  context.pool.start(context.workers, context.threads, spin);
  context.poolStarted = true;
  context.threads = context.pool.threads();
}

} // namespace

tenon_status tenon::rt::createContext(const tenon_model *model,
                                      const tenon_context_options *given,
                                      tenon_context **result,
                                      tenon_error *error) {
  if (!result)
    return fail(error, TENON_INVALID_ARGUMENT, "the result pointer is NULL");
  *result = nullptr;
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  if (!program)
    return status;
  tenon_context_options options;
  if ((status = readOptions(given, options, error)))
    return status;
  bool queryOnly = options.flags & TENON_CONTEXT_QUERY_ONLY;
  DeviceChoice choice;
  if ((status = parseDevice(options, choice, error)))
    return status;
  Context counts;
  memset(static_cast<void *>(&counts), 0, sizeof counts);
  counts.program = program;
  counts.threads = threadsFor(options);
  bool verified = options.flags & TENON_CONTEXT_VERIFY;
  if (!queryOnly || verified)
    if ((status = openWeights(*program, options.weights_path, verified,
                              counts.weights, error)))
      return status;
  if ((status = openDevice(*program, options, choice, counts, error)) ||
      (!queryOnly && !counts.driver &&
       (status = chooseLevel(*program, options.level, &counts.level, error)))) {
    closeWeights(counts.weights);
    return status;
  }
  program = counts.program;
  countTables(counts);
  Layout count(nullptr);
  Context *context = nullptr;
  count.take(context, 1);
  layOut(count, counts, counts);
  size_t bytes = (count.bytes() + kPage - 1) & ~(kPage - 1);
  void *block = options.allocate(options.allocator_user, bytes, 64);
  if (!block || reinterpret_cast<uintptr_t>(block) % 64) {
    if (block)
      options.release(options.allocator_user, block, bytes);
    if (counts.driver)
      counts.driver->close(counts.device);
    closeWeights(counts.weights);
    return block ? fail(error, TENON_INVALID_ARGUMENT,
                        "options.allocate returned memory that is not 64-byte "
                        "aligned")
                 : fail(error, TENON_OUT_OF_MEMORY,
                        "out of memory: the context needs ", uint64_t(bytes),
                        " bytes");
  }
  // A fresh map is zero already; touching it all would cost resident memory.
  if (options.allocate != mapMemory)
    memset(block, 0, bytes);
  Layout layout(block);
  layout.take(context, 1);
  memcpy(static_cast<void *>(context), &counts, sizeof counts);
  layOut(layout, counts, *context);
  context->head = {model->api, model};
  keepOptions(*context, options);
  context->blockBytes = bytes;
  context->stale = true;
  for (int32_t i = 0; i < program->num_inputs; ++i)
    if (program->inputs[i].default_buffer)
      bindDefault(*context, i);
  fillTables(*context);
  auto *handle = reinterpret_cast<tenon_context *>(context);
  if (options.workspace &&
      (status = setWorkspace(*context, options.workspace,
                             options.workspace_bytes, error))) {
    destroyContext(handle);
    return status;
  }
  startPool(*context, options);
  *result = handle;
  return TENON_OK;
}

/// Gives back what the context allocated.
static void releaseWorkspace(Context &context) {
  if (!context.ownsWorkspace)
    return;
  if (context.driver)
    context.driver->release(context.device, context.workspace);
  else
    context.release(context.allocatorUser, context.workspace,
                    context.workspaceBytes);
}

void tenon::rt::destroyContext(tenon_context *handle) {
  auto *context = reinterpret_cast<Context *>(handle);
  if (!context)
    return;
  if (context->poolStarted)
    context->pool.stop();
  closeWeights(context->weights);
  releaseWorkspace(*context);
  if (context->driver) {
    releaseDeviceState(*context);
    context->driver->close(context->device);
  }
  context->release(context->allocatorUser, context, context->blockBytes);
}

void tenon::rt::bindDefault(Context &context, int32_t input) {
  const tenon_program &program = *context.program;
  const tenon_port &port = program.inputs[input];
  Binding &binding = context.inputs[input];
  // Without a map of the weights' file the values are not known.
  const uint8_t *weights =
      context.weights.data ? context.weights.data : program.weights;
  int64_t elements = 1;
  for (int32_t d = 0; d < port.rank; ++d) {
    binding.dims[d] = port.default_dims[d];
    elements *= port.default_dims[d];
  }
  binding.data =
      weights ? const_cast<uint8_t *>(
                    weights + program.buffers[port.default_buffer - 1].offset)
              : nullptr;
  binding.bytes = uint64_t(bytesOf(elements, port.dtype));
  binding.bound = true;
  binding.onDevice = false;
}

//===----------------------------------------------------------------------===//
// Workspace
//===----------------------------------------------------------------------===//

tenon_status tenon::rt::setWorkspace(Context &context, void *memory,
                                     uint64_t bytes, tenon_error *error) {
  if (reinterpret_cast<uintptr_t>(memory) % kAlignment)
    return fail(error, TENON_INVALID_ARGUMENT,
                "the workspace is not 64-byte aligned");
  releaseWorkspace(context);
  context.ownsWorkspace = false;
  context.workspace = static_cast<uint8_t *>(memory);
  context.workspaceBytes = memory ? bytes : 0;
  context.dirty = true;
  context.ran = false;
  return TENON_OK;
}

tenon_status tenon::rt::reserveWorkspace(Context &context, uint64_t bytes,
                                         tenon_error *error) {
  if (bytes <= context.workspaceBytes)
    return TENON_OK;
  if (context.workspace && !context.ownsWorkspace)
    return fail(error, TENON_WORKSPACE_TOO_SMALL, "the workspace has ",
                context.workspaceBytes, " bytes, these dims need ", bytes);
  setWorkspace(context, nullptr, 0, nullptr);
  bytes = (bytes + kPage - 1) & ~(kPage - 1);
  void *memory = nullptr;
  if (context.driver) {
    if (tenon_status status =
            context.driver->allocate(context.device, bytes, &memory, error))
      return status;
    setWorkspace(context, memory, bytes, nullptr);
    context.ownsWorkspace = true;
    return TENON_OK;
  }
  memory = context.allocate(context.allocatorUser, bytes, kAlignment);
  if (!memory)
    return fail(error, TENON_OUT_OF_MEMORY,
                "out of memory: the workspace needs ", bytes, " bytes");
  if (reinterpret_cast<uintptr_t>(memory) % kAlignment) {
    context.release(context.allocatorUser, memory, bytes);
    return fail(error, TENON_INVALID_ARGUMENT,
                "options.allocate returned memory that is not 64-byte aligned");
  }
  setWorkspace(context, memory, bytes, nullptr);
  context.ownsWorkspace = true;
  return TENON_OK;
}
