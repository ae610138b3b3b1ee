//===- tenon/tenon.hpp - compiled models in C++20 ---------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// tenon.h with ownership and spans; header-only. Nothing throws: calls return a
// Status or a Result. Where exceptions are on, orThrow() turns a failure into
// one.
//
//   auto library = tenon::Library::open("minilm.so");
//   if (!library)
//     return fail(library.message());
//   auto context = tenon::Context::create(library->model(), {.threads = 2});
//   std::vector<int64_t> dims = {1, 128};
//   context->reserve({dims, dims, dims});
//   context->bindInput("input_ids", dims, std::span(ids));
//   ...
//   context->bindOutput("last_hidden_state", std::span(hidden));
//   if (tenon::Status status = context->run(); !status)
//     return fail(status.message());
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TENON_HPP
#define TENON_TENON_HPP

#if __cplusplus <= 201703L
#error "tenon/tenon.hpp needs C++20: compile with -std=c++20, or use tenon/tenon.h"
#else

#include "tenon/tenon.h"

#include <cstddef>
#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>
#if defined(__cpp_exceptions)
#include <stdexcept>
#endif

namespace tenon {

using Dims = std::vector<int64_t>;

/// A status code with its message; true when all is well.
class [[nodiscard]] Status {
public:
  Status() = default;
  Status(tenon_status code, const tenon_error &error)
      : status(code), text(code ? error.message : "") {}

  explicit operator bool() const { return status == TENON_OK; }
  tenon_status code() const { return status; }
  const std::string &message() const { return text; }
#if defined(__cpp_exceptions)
  void orThrow() const {
    if (status)
      throw std::runtime_error(text);
  }
#endif

private:
  tenon_status status = TENON_OK;
  std::string text;
};

/// A value, or the status that says why there is none. Reading the value of a
/// failed result ends the program.
template <typename T>
class [[nodiscard]] Result {
public:
  Result(T value) : stored(std::move(value)) {}
  Result(Status status) : why(std::move(status)) {}

  explicit operator bool() const { return stored.has_value(); }
  const Status &status() const { return why; }
  const std::string &message() const { return why.message(); }
  T &operator*() { return checked(); }
  T *operator->() { return &checked(); }
  T take() { return std::move(checked()); }
#if defined(__cpp_exceptions)
  T orThrow() && {
    why.orThrow();
    return take();
  }
#endif

private:
  T &checked() {
    if (!stored)
      std::abort();
    return *stored;
  }
  std::optional<T> stored;
  Status why;
};

/// The element type of a C++ type. f16 and bf16 have none: bind them with an
/// explicit dtype.
template <typename T>
constexpr tenon_dtype dtypeOf() {
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_same_v<U, bool>)
    return TENON_BOOL;
  else if constexpr (std::is_same_v<U, float>)
    return TENON_F32;
  else if constexpr (std::is_same_v<U, double>)
    return TENON_F64;
  else {
    static_assert(std::is_integral_v<U>, "no tenon_dtype for this type");
    constexpr bool isSigned = std::is_signed_v<U>;
    if constexpr (sizeof(U) == 1)
      return isSigned ? TENON_I8 : TENON_U8;
    else if constexpr (sizeof(U) == 2)
      return isSigned ? TENON_I16 : TENON_U16;
    else if constexpr (sizeof(U) == 4)
      return isSigned ? TENON_I32 : TENON_U32;
    else
      return isSigned ? TENON_I64 : TENON_U64;
  }
}

/// An input or output of a model.
struct Port {
  std::string name;
  tenon_dtype dtype;
  std::vector<std::string> dimNames;
  Dims dimValues; // -1: known only at run time
  tenon_dims_kind dimsKind;
  int64_t idBound;
  bool isMask;
  bool isOptional; // an input that need not be bound
  tenon_port_kind kind = TENON_PORT_INPUT;
  int32_t state = 0; // which of Model::states, if it is one
};

/// A past and its present; see tenon_state_info.
struct StatePair {
  int32_t input, output, axis;
  bool grows;
  std::string reason; // empty, or why there is none
  tenon_dtype format; // what its memory holds
  int64_t rowBytes;   // that a row of one sequence takes
  bool replaced = false;
  int32_t sequences = 0;
  int64_t most = 0;
};

/// A compiled model: a pointer to what its artifact exports. Cheap to copy; the
/// artifact must stay loaded.
class Model {
public:
  Model(const tenon_model *model) : model(model) {}
  Model(const tenon_model &model) : model(&model) {}
  const tenon_model *get() const { return model; }

  Result<tenon_model_info> info() const {
    tenon_model_info info;
    tenon_error error;
    TENON_INIT(info);
    if (auto code = tenon_get_model_info(model, &info, &error))
      return Status(code, error);
    return info;
  }
  Result<std::vector<Port>> inputs() const {
    return ports(&tenon_model_info::num_inputs, tenon_get_input_info);
  }
  Result<std::vector<Port>> outputs() const {
    return ports(&tenon_model_info::num_outputs, tenon_get_output_info);
  }
  /// Those with a reason are none.
  Result<std::vector<StatePair>> states() const {
    auto info = this->info();
    if (!info)
      return info.status();
    std::vector<StatePair> result;
    for (int32_t i = 0; i < info->num_states + info->num_stateless; ++i) {
      tenon_state_info state;
      tenon_error error;
      TENON_INIT(state);
      if (auto code = tenon_get_state_info(model, i, &state, &error))
        return Status(code, error);
      result.push_back({state.input, state.output, state.axis, state.grows != 0,
                        state.reason ? state.reason : "", state.format,
                        state.row_bytes, state.replaced != 0, state.sequences,
                        state.most});
    }
    return result;
  }

private:
  template <typename Getter>
  Result<std::vector<Port>> ports(int32_t tenon_model_info::*count,
                                  Getter get) const {
    auto info = this->info();
    if (!info)
      return info.status();
    std::vector<Port> result;
    for (int32_t i = 0; i < (*info).*count; ++i) {
      tenon_port_info port;
      tenon_error error;
      TENON_INIT(port);
      if (auto code = get(model, i, &port, &error))
        return Status(code, error);
      result.push_back({port.name,
                        port.dtype,
                        {port.dim_names, port.dim_names + port.rank},
                        {port.dim_values, port.dim_values + port.rank},
                        port.dims_kind,
                        port.id_bound,
                        port.is_mask != 0,
                        port.is_optional != 0,
                        tenon_port_kind(port.kind),
                        port.state});
    }
    return result;
  }
  const tenon_model *model;
};

#ifndef TENON_NO_LOADER
/// A loaded artifact; destroy the contexts of its model first.
class Library {
public:
  /// `flags` are TENON_LIBRARY_*.
  static Result<Library> open(const std::string &path, uint32_t flags = 0) {
    Library library;
    tenon_error error;
    tenon_library_options options;
    TENON_INIT(options);
    options.flags = flags;
    if (auto code = tenon_library_open_with(path.c_str(), &options,
                                            &library.library, &error))
      return Status(code, error);
    return library;
  }
  Library(Library &&other) noexcept
      : library(std::exchange(other.library, {})) {}
  Library &operator=(Library &&other) noexcept {
    std::swap(library, other.library);
    return *this;
  }
  ~Library() { tenon_library_close(&library); }

  Model model() const { return library.model; }

private:
  Library() = default;
  tenon_library library = {};
};
#endif

/// A model's pasts in memory of its own; see tenon_init_state. Outlives the
/// binding.
class State {
public:
  static Result<State> create(Model model, int64_t sequences,
                              int64_t capacity) {
    tenon_error error;
    size_t bytes = 0;
    if (auto code =
            tenon_state_size(model.get(), sequences, capacity, &bytes, &error))
      return Status(code, error);
    State state(model.get());
    void *place = state.allocate(bytes);
    if (!place)
      return outOfMemory();
    if (auto code = tenon_init_state(model.get(), place, bytes, sequences,
                                     capacity, &state.state, &error))
      return Status(code, error);
    return state;
  }
  /// Whose sequences share `pages` pages; see pages.h.
  static Result<State> createPaged(Model model, int64_t sequences,
                                   int64_t capacity, int64_t pages) {
    tenon_error error;
    size_t bytes = 0;
    if (auto code = tenon_paged_state_size(model.get(), sequences, capacity,
                                           pages, &bytes, &error))
      return Status(code, error);
    State state(model.get());
    void *place = state.allocate(bytes);
    if (!place)
      return outOfMemory();
    if (auto code =
            tenon_init_paged_state(model.get(), place, bytes, sequences,
                                   capacity, pages, &state.state, &error))
      return Status(code, error);
    return state;
  }
  State(State &&other) noexcept
      : model(other.model), memory(std::exchange(other.memory, nullptr)),
        state(std::exchange(other.state, nullptr)) {}
  State &operator=(State &&other) noexcept {
    std::swap(model, other.model);
    std::swap(memory, other.memory);
    std::swap(state, other.state);
    return *this;
  }
  ~State() { std::free(memory); }
  tenon_state *get() const { return state; }

  Result<int64_t> length(int64_t sequence = 0) const {
    int64_t length = 0;
    tenon_error error;
    if (auto code = tenon_state_length(model, state, sequence, &length, &error))
      return Status(code, error);
    return length;
  }
  /// Rolls sequences back; 0 empties them.
  Status setLength(int64_t length, int64_t sequence = TENON_ALL_ROWS) {
    tenon_error error;
    auto code = tenon_set_state_length(model, state, sequence, length, &error);
    return Status(code, error);
  }
  /// Makes a sequence the first rows of another's.
  Status copy(int64_t sequence, const State &from, int64_t fromSequence,
              int64_t length) {
    tenon_error error;
    auto code = tenon_copy_state(model, state, sequence, from.state,
                                 fromSequence, length, &error);
    return Status(code, error);
  }
  /// The same of this paged state: whole pages are shared.
  Status share(int64_t sequence, int64_t from, int64_t length) {
    tenon_error error;
    auto code =
        tenon_share_state(model, state, sequence, from, length, &error);
    return Status(code, error);
  }
  /// Gives a sequence of a paged state its pages.
  Status setPages(int64_t sequence, std::span<const int32_t> pages) {
    tenon_error error;
    auto code = tenon_set_state_pages(model, state, sequence, pages.data(),
                                      int64_t(pages.size()), &error);
    return Status(code, error);
  }
  Result<std::vector<int32_t>> pages(int64_t sequence) const {
    tenon_error error;
    int64_t count = 0;
    std::vector<int32_t> pages;
    auto code =
        tenon_state_pages(model, state, sequence, nullptr, 0, &count, &error);
    if (!code) {
      pages.resize(size_t(count));
      code = tenon_state_pages(model, state, sequence, pages.data(), count,
                               &count, &error);
    }
    if (code)
      return Status(code, error);
    return pages;
  }
  Result<tenon_pool_info> pool() const {
    tenon_pool_info info;
    tenon_error error;
    TENON_INIT(info);
    if (auto code = tenon_get_pool_info(model, state, &info, &error))
      return Status(code, error);
    return info;
  }

private:
  explicit State(const tenon_model *model) : model(model) {}
  /// 64-byte aligned; untouched pages cost nothing.
  void *allocate(size_t bytes) {
    memory = std::calloc(bytes + 63, 1);
    auto place = reinterpret_cast<uintptr_t>(memory);
    return memory ? static_cast<char *>(memory) + (-place & 63) : nullptr;
  }
  static Status outOfMemory() {
    return Status(TENON_OUT_OF_MEMORY,
                  {"out of memory: the state could not be allocated"});
  }
  const tenon_model *model;
  void *memory = nullptr;
  tenon_state *state = nullptr;
};

/// What Context::create takes; see tenon_context_options.
struct ContextOptions {
  int32_t threads = 0;
  int32_t spinMicroseconds = 0;
  std::string level = {};
  uint32_t flags = 0;
  tenon_parallel_for executor = nullptr;
  void *executorUser = nullptr;
  std::string weightsPath = {};
  tenon_allocate allocate = nullptr; // with release, or neither
  tenon_release release = nullptr;
  void *allocatorUser = nullptr;
};

/// A kernel call and how its last run went. The texts are the model's.
struct Step {
  std::string_view kernel, nodes;
  int64_t tasks, cost;
  int32_t threads;
  uint64_t startNanoseconds, nanoseconds; // with TENON_CONTEXT_PROFILE
  uint64_t bytes, weightBytes;
};

/// The state of running a model. One call at a time.
class Context {
public:
  static Result<Context> create(Model model, const ContextOptions &given = {}) {
    tenon_context_options options;
    TENON_INIT(options);
    options.threads = given.threads;
    options.spin_us = given.spinMicroseconds;
    options.level = given.level.empty() ? nullptr : given.level.c_str();
    options.flags = given.flags;
    options.executor = given.executor;
    options.executor_user = given.executorUser;
    options.weights_path =
        given.weightsPath.empty() ? nullptr : given.weightsPath.c_str();
    options.allocate = given.allocate;
    options.release = given.release;
    options.allocator_user = given.allocatorUser;
    return createFrom(model, options);
  }
  /// With all that the C API can set. A name of its own: `{.threads = 1}` would
  /// fit both structs.
  static Result<Context> createFrom(Model model,
                                    const tenon_context_options &options) {
    Context context;
    tenon_error error;
    if (auto code = tenon_context_create(model.get(), &options,
                                         &context.context, &error))
      return Status(code, error);
    return context;
  }
  Context(Context &&other) noexcept
      : context(std::exchange(other.context, nullptr)) {}
  Context &operator=(Context &&other) noexcept {
    std::swap(context, other.context);
    return *this;
  }
  ~Context() { tenon_context_destroy(context); }
  tenon_context *get() const { return context; }
  Model model() const { return tenon_context_model(context); }

  Result<tenon_context_info> info() const {
    tenon_context_info info;
    tenon_error error;
    TENON_INIT(info);
    if (auto code = tenon_get_context_info(context, &info, &error))
      return Status(code, error);
    return info;
  }

  /// Dims are given per input, in the model's order; none for an optional one
  /// as it is bound now.
  Result<size_t> workspaceSize(const std::vector<Dims> &inputDims) const {
    size_t bytes = 0;
    tenon_error error;
    std::vector<const int64_t *> pointers;
    if (auto status = pointTo(inputDims, pointers); !status)
      return status;
    if (auto code =
            tenon_workspace_size(context, pointers.data(), &bytes, &error))
      return Status(code, error);
    return bytes;
  }
  Result<Dims> outputDims(const std::vector<Dims> &inputDims,
                          int32_t output) const {
    std::vector<const int64_t *> pointers;
    if (auto status = pointTo(inputDims, pointers); !status)
      return status;
    return dimsOf(output, [&](int64_t *dims, tenon_error *error) {
      return tenon_output_dims(context, pointers.data(), output, dims, error);
    });
  }
  /// As the last run computed them; see tenon_last_output_dims.
  Result<Dims> lastOutputDims(int32_t output) const {
    return dimsOf(output, [&](int64_t *dims, tenon_error *error) {
      return tenon_last_output_dims(context, output, dims, error);
    });
  }
  Result<Dims> lastOutputDims(const char *name) const {
    tenon_error error;
    int32_t index = -1;
    if (auto code = tenon_find_output(model().get(), name, &index, &error))
      return Status(code, error);
    return lastOutputDims(index);
  }
  Status reserve(const std::vector<Dims> &inputDims) {
    std::vector<const int64_t *> pointers;
    if (auto status = pointTo(inputDims, pointers); !status)
      return status;
    tenon_error error;
    return {tenon_reserve(context, pointers.data(), &error), error};
  }
  Status setWorkspace(std::span<std::byte> memory) {
    tenon_error error;
    return {tenon_set_workspace(context, memory.data(), memory.size(), &error),
            error};
  }

  /// The data stays the caller's and must outlive the runs.
  template <typename T, size_t N>
  Status bindInput(const char *name, std::span<const int64_t> dims,
                   std::span<T, N> data) {
    return bindInput(name, dtypeOf<T>(), dims, data.data(), data.size_bytes());
  }
  Status bindInput(const char *name, tenon_dtype dtype,
                   std::span<const int64_t> dims, const void *data,
                   size_t bytes) {
    tenon_error error;
    return {tenon_bind_input_named(context, name, dtype,
                                   static_cast<int32_t>(dims.size()),
                                   dims.data(), data, bytes, &error),
            error};
  }
  /// The output takes the dims that follow from the inputs.
  template <typename T, size_t N>
  Status bindOutput(const char *name, std::span<T, N> data) {
    return bindOutput(name, dtypeOf<T>(), data.data(), data.size_bytes());
  }
  Status bindOutput(const char *name, tenon_dtype dtype, void *data,
                    size_t bytes) {
    tenon_error error;
    int32_t index = -1;
    tenon_port_info port;
    TENON_INIT(port);
    tenon_status code = tenon_find_output(model().get(), name, &index, &error);
    if (!code)
      code = tenon_get_output_info(model().get(), index, &port, &error);
    if (!code)
      code = tenon_bind_output(context, index, dtype, port.rank, nullptr, data,
                               bytes, &error);
    return {code, error};
  }

  /// Until the next call; the state must live as long.
  Status bindState(State &state) {
    tenon_error error;
    return {tenon_bind_state(context, state.get(), &error), error};
  }
  /// Of a paged state; both must live as long, and stay as they are.
  Status bindSequences(State &state, std::span<const int64_t> sequences) {
    tenon_error error;
    return {tenon_bind_sequences(context, state.get(), sequences.data(),
                                 int64_t(sequences.size()), &error),
            error};
  }
  Status unbindState() {
    tenon_error error;
    return {tenon_bind_state(context, nullptr, &error), error};
  }

  Status run() {
    tenon_error error;
    return {tenon_run(context, &error), error};
  }
  /// Ends the run that is in progress on another thread; see tenon_cancel.
  Status cancel() const {
    tenon_error error;
    return {tenon_cancel(context, &error), error};
  }
  /// What the last run did, in order.
  Result<std::vector<Step>> steps() const {
    auto info = model().info();
    if (!info)
      return info.status();
    std::vector<Step> result;
    for (int32_t i = 0; i < info->num_steps; ++i) {
      tenon_step_info step;
      tenon_error error;
      TENON_INIT(step);
      if (auto code = tenon_get_step_info(context, i, &step, &error))
        return Status(code, error);
      result.push_back({step.kernel, step.nodes, step.tasks, step.cost,
                        step.threads, step.start_ns, step.time_ns, step.bytes,
                        step.weight_bytes});
    }
    return result;
  }

private:
  Context() = default;

  template <typename Getter>
  Result<Dims> dimsOf(int32_t output, Getter get) const {
    tenon_error error;
    tenon_port_info port;
    TENON_INIT(port);
    if (auto code = tenon_get_output_info(model().get(), output, &port, &error))
      return Status(code, error);
    Dims dims(static_cast<size_t>(port.rank));
    if (auto code = get(dims.data(), &error))
      return Status(code, error);
    return dims;
  }

  /// The C API reads as many dims as each input's rank says.
  Status pointTo(const std::vector<Dims> &inputDims,
                 std::vector<const int64_t *> &pointers) const {
    tenon_error error;
    auto inputs = model().inputs();
    if (!inputs)
      return inputs.status();
    if (inputDims.size() != inputs->size()) {
      return {tenon_fail(&error, TENON_INVALID_ARGUMENT, "dims are given for ",
                         std::to_string(inputDims.size()).c_str(),
                         " inputs, the model has ",
                         std::to_string(inputs->size()).c_str()),
              error};
    }
    for (size_t i = 0; i < inputDims.size(); ++i) {
      const Port &port = (*inputs)[i];
      if (port.isOptional && inputDims[i].empty()) {
        pointers.push_back(nullptr);
        continue;
      }
      if (inputDims[i].size() != port.dimValues.size())
        return {tenon_fail(&error, TENON_INVALID_TENSOR, "input '",
                           port.name.c_str(), "': the rank is not ",
                           std::to_string(port.dimValues.size()).c_str()),
                error};
      pointers.push_back(inputDims[i].data());
    }
    return {};
  }

  tenon_context *context = nullptr;
};

} // namespace tenon

#endif // C++20
#endif // TENON_TENON_HPP
