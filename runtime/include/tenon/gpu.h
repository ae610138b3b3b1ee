/*===- tenon/gpu.h - what concerns GPUs alone -------------------------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * Included by tenon.h.
 *===----------------------------------------------------------------------===*/
#ifndef TENON_GPU_H
#define TENON_GPU_H

#include "tenon/tenon.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An artifact older than this function has none: num_gpu_images is 0. */
static inline tenon_status tenon_get_gpu_image_info(const tenon_model *model,
                                                    int32_t index,
                                                    tenon_gpu_image_info *info,
                                                    tenon_error *error) {
  tenon_status status = tenon_model_check(model, error);
  if (!status && model->api->size <= offsetof(tenon_api, gpu_image_info))
    return tenon_older("tenon_get_gpu_image_info", error);
  return status ? status
                : model->api->gpu_image_info(model, index, info, error);
}

/* tenon_bind_input for memory at another place: with TENON_ON_DEVICE the
 * caller's own on the GPU, aligned to 16 bytes, which a run uses where it is.
 * What writes an input has to be over when the run begins, or in the stream that
 * the context was given (tenon_context_options.stream), behind which the run is
 * then put, and which outlives the context; a run is over when it returns. An
 * input whose values give dims must be the host's. */
static inline tenon_status
tenon_bind_input_at(tenon_context *context, int32_t index, tenon_place place,
                    tenon_dtype dtype, int32_t rank, const int64_t *dims,
                    const void *data, size_t bytes, tenon_error *error) {
  TENON_CALL_SINCE(bind_input_at, "tenon_bind_input_at", index, place, dtype,
                   rank, dims, data, bytes, error);
}
static inline tenon_status
tenon_bind_output_at(tenon_context *context, int32_t index, tenon_place place,
                     tenon_dtype dtype, int32_t rank, const int64_t *dims,
                     void *data, size_t bytes, tenon_error *error) {
  TENON_CALL_SINCE(bind_output_at, "tenon_bind_output_at", index, place, dtype,
                   rank, dims, data, bytes, error);
}

#ifdef __cplusplus
}
#endif

#endif /* TENON_GPU_H */
