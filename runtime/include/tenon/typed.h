/*===- tenon/typed.h - what `tenon compile --header` writes, in C -----------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * The headers of compiled models include this: what they have in common.
 *===----------------------------------------------------------------------===*/
#ifndef TENON_TYPED_H
#define TENON_TYPED_H

#include "tenon/tenon.h"

/* Sizes of tensors are constant expressions in C++. */
#ifdef __cplusplus
#define TENON_CONSTEXPR constexpr
extern "C" {
#else
#define TENON_CONSTEXPR static inline
#endif

/* The functions of dims, as the compiler means them: division rounds down, and
 * by 0 gives 0. */
TENON_CONSTEXPR int64_t tenon_floordiv(int64_t a, int64_t b) {
  return b == 0 ? 0 : a / b - (a % b != 0 && (a < 0) != (b < 0));
}
TENON_CONSTEXPR int64_t tenon_ceildiv(int64_t a, int64_t b) {
  return b == 0 ? 0 : a / b + (a % b != 0 && (a < 0) == (b < 0));
}
TENON_CONSTEXPR int64_t tenon_mod(int64_t a, int64_t b) {
  return b == 0 ? 0 : a - tenon_floordiv(a, b) * b;
}
TENON_CONSTEXPR int64_t tenon_min(int64_t a, int64_t b) {
  return a < b ? a : b;
}
TENON_CONSTEXPR int64_t tenon_max(int64_t a, int64_t b) {
  return a > b ? a : b;
}
TENON_CONSTEXPR int64_t tenon_bcast(int64_t a, int64_t b) {
  return a == 1 ? b : a;
}

/* An input or output as the header knows it; static_dims[d] is -1 for a dim
 * that is chosen at run time. */
typedef struct tenon_typed_port {
  const char *name;
  tenon_dtype dtype;
  int32_t rank;
  const int64_t *static_dims;
} tenon_typed_port;

/* Is this port of the model the one that the header was made of? */
static inline tenon_status tenon_typed_port_check(const tenon_port_info *found,
                                                  const tenon_typed_port *port,
                                                  tenon_error *error) {
  int32_t d;
  int same = strcmp(found->name, port->name) == 0 &&
             found->dtype == port->dtype && found->rank == port->rank;
  for (d = 0; same && d < port->rank; ++d)
    same = found->dim_values[d] == port->static_dims[d];
  return same ? TENON_OK
              : tenon_fail(error, TENON_VERSION_MISMATCH, "the model's '",
                           found->name,
                           "' is not as its header says: compile the model and "
                           "its header again",
                           0);
}

/* Is the model the one that the header was made of? */
static inline tenon_status
tenon_typed_check(const tenon_model *model, int32_t num_inputs,
                  const tenon_typed_port *inputs, int32_t num_outputs,
                  const tenon_typed_port *outputs, tenon_error *error) {
  tenon_model_info info;
  tenon_port_info port;
  tenon_status status;
  int32_t i;
  TENON_INIT(info);
  TENON_INIT(port);
  status = tenon_get_model_info(model, &info, error);
  if (!status &&
      (info.num_inputs != num_inputs || info.num_outputs != num_outputs))
    status = tenon_fail(error, TENON_VERSION_MISMATCH, "the model '", info.name,
                        "' has not as many inputs and outputs as its header",
                        0);
  for (i = 0; !status && i < num_inputs; ++i) {
    status = tenon_get_input_info(model, i, &port, error);
    if (!status)
      status = tenon_typed_port_check(&port, &inputs[i], error);
  }
  for (i = 0; !status && i < num_outputs; ++i) {
    status = tenon_get_output_info(model, i, &port, error);
    if (!status)
      status = tenon_typed_port_check(&port, &outputs[i], error);
  }
  return status;
}

/* The elements of an output where its dims are no simple function of others. */
static inline tenon_status tenon_typed_elements(tenon_context *context,
                                                const int64_t *const *input_dims,
                                                int32_t output,
                                                int64_t *elements,
                                                tenon_error *error) {
  int64_t dims[16];
  int32_t d;
  tenon_port_info port;
  tenon_status status;
  TENON_INIT(port);
  *elements = 1;
  status = tenon_get_output_info(tenon_context_model(context), output, &port,
                                 error);
  if (!status && port.rank > (int32_t)(sizeof dims / sizeof dims[0]))
    status = tenon_fail(error, TENON_INVALID_TENSOR, "output '", port.name,
                        "' has too many dims", 0);
  if (!status)
    status = tenon_output_dims(context, input_dims, output, dims, error);
  for (d = 0; !status && d < port.rank; ++d)
    *elements *= dims[d];
  return status;
}

#ifdef __cplusplus
}
#endif
#endif /* TENON_TYPED_H */
