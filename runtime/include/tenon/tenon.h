/*===- tenon/tenon.h - the C API of compiled models ------------------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * The whole API, for C99 and C++. A compiled model exports one object, a
 * `tenon_model`, that points to a table of functions; the functions of this
 * header are inline calls through that table, so there is no library to link.
 *
 *   tenon_library library;              // or TENON_DECLARE_MODEL(name) and
 *   tenon_error error;                  // &tenon_model_name, linked in
 *   tenon_context *context;
 *   if (tenon_library_open("minilm.so", &library, &error) ||
 *       tenon_context_create(library.model, NULL, &context, &error))
 *     return fail(error.message);
 *   int64_t dims[2] = {1, 128};         // batch, seq
 *   const int64_t *input_dims[] = {dims, dims, dims};
 *   tenon_reserve(context, input_dims, &error);
 *   tenon_bind_input(context, 0, TENON_I64, 2, dims, ids, sizeof ids, &error);
 *   ...
 *   tenon_bind_output(context, 0, TENON_F32, 3, out_dims, out, bytes, &error);
 *   tenon_run(context, &error);
 *
 * Conventions
 * - Every function that can fail returns a tenon_status; TENON_OK is 0. Its
 *   last argument receives a message that names what is wrong, what was
 *   expected and what was found; it may be NULL. Nothing throws, prints, exits.
 * - Structs that the caller hands in carry `size = sizeof(struct)` as their
 *   first field, so that later versions can append fields. TENON_INIT sets it.
 * - Tensors are contiguous, row-major, owned by the caller, aligned to their
 *   element size. Dims count elements; `bytes` count bytes; times are in the
 *   unit that the field's name ends with.
 * - Types of 4 and 2 bits are packed as in ONNX: the elements in order, the
 *   lowest bits of a byte first, without gaps between rows. What is left over
 *   in the last byte is ignored in inputs and 0 in outputs.
 * - A model is immutable: any number of contexts on any threads share it. A
 *   context serves one call at a time (a second one gets TENON_BUSY).
 * - Strings and arrays handed out belong to the model and live as long as it.
 *===----------------------------------------------------------------------===*/
#ifndef TENON_TENON_H
#define TENON_TENON_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TENON_MODEL_MAGIC 0x4d4e4554u /* "TENM" */
/* Grows only when an old application could not use a new artifact, or the other
 * way round: docs/Compatibility.md. */
#define TENON_API_VERSION 1u

/* ---- types -------------------------------------------------------------- */

typedef enum tenon_status {
  TENON_OK = 0,
  TENON_INVALID_ARGUMENT = 1,     /* NULL, an index or a name out of place */
  TENON_INVALID_TENSOR = 2,       /* wrong dtype, rank, dims, size, alignment */
  TENON_CHECK_FAILED = 3,         /* dims break what the compiler relied on */
  TENON_NOT_BOUND = 4,            /* run before every input and output is bound */
  TENON_INDEX_OUT_OF_RANGE = 5,   /* an index in the data, found while running */
  TENON_WORKSPACE_TOO_SMALL = 6,  /* reserve more; the message says how much */
  TENON_OUT_OF_MEMORY = 7,
  TENON_UNSUPPORTED_CPU = 8,      /* the message names the missing feature */
  TENON_VERSION_MISMATCH = 9,     /* artifact and header or runtime differ */
  TENON_IO_ERROR = 10,            /* artifact or weights file */
  TENON_BUSY = 11,                /* the context, or the state, is in use */
  TENON_OUTPUT_TOO_SMALL = 12,    /* tenon_last_output_dims says what it needs */
  TENON_CANCELLED = 13,           /* tenon_cancel ended the run */
  TENON_DEVICE_ERROR = 14,        /* no GPU that would do, or it failed; the
                                     message has its driver's words */
  TENON_STATE_FULL = 15,          /* more rows than the state has room for */
  TENON_INVALID_STATE = 16        /* not one of this model, or of such a length */
} tenon_status;

typedef struct tenon_error {
  char message[512]; /* always terminated */
} tenon_error;

/* Element types; the numbers are ONNX's. TENON_BOOL is one byte, 0 or 1. */
typedef enum tenon_dtype {
  TENON_F32 = 1,
  TENON_U8 = 2,
  TENON_I8 = 3,
  TENON_U16 = 4,
  TENON_I16 = 5,
  TENON_I32 = 6,
  TENON_I64 = 7,
  TENON_BOOL = 9,
  TENON_F16 = 10,
  TENON_F64 = 11,
  TENON_U32 = 12,
  TENON_U64 = 13,
  TENON_BF16 = 16,
  TENON_F8E4M3FN = 17,
  TENON_F8E4M3FNUZ = 18,
  TENON_F8E5M2 = 19,
  TENON_F8E5M2FNUZ = 20,
  TENON_U4 = 21,
  TENON_I4 = 22,
  TENON_F4E2M1 = 23,
  TENON_F8E8M0 = 24,
  TENON_U2 = 25,
  TENON_I2 = 26
} tenon_dtype;

/* Where a tensor's memory is. */
typedef enum tenon_place {
  TENON_ON_HOST = 0,
  TENON_ON_DEVICE = 1 /* the GPU that the context runs on */
} tenon_place;

typedef struct tenon_model_info {
  size_t size;
  const char *name;             /* of the model */
  const char *compiler_version; /* "tenon 0.1.0" */
  const char *glibc_floor;      /* oldest glibc that serves, "2.31" */
  uint64_t weights_bytes;
  const char *weights_file; /* NULL when the weights are in the artifact */
  uint32_t api_version, abi_version;
  int32_t num_inputs, num_outputs, num_ranges, num_checks, num_levels,
      num_steps, num_values, num_buffers;
  int32_t num_gpu_images; /* 0: no code for GPUs */
  /* ONNX nodes, comma separated, that the host computes in a run on a GPU,
   * between copies; empty or NULL: none. */
  const char *gpu_host_nodes;
  int32_t num_states, num_stateless; /* pasts that a state can hold, or not */
  /* What products by weights were asked to be computed in: "f32", "bf16",
   * "f16" or "int8-act". */
  const char *precision;
  const char *const *slow; /* work without a fast kernel: texts, then a NULL */
} tenon_model_info;

/* How an output's dims come about. */
typedef enum tenon_dims_kind {
  TENON_DIMS_STATIC = 0,
  TENON_DIMS_FROM_INPUTS = 1, /* tenon_output_dims computes them */
  TENON_DIMS_FROM_DATA = 2    /* likewise, once the inputs are bound whose
                                 values they depend on */
} tenon_dims_kind;

typedef struct tenon_port_info { /* an input or an output */
  size_t size;
  const char *name;
  tenon_dtype dtype;
  int32_t rank;
  const char *const *dim_names; /* "batch", "seq + past", "384" */
  const int64_t *dim_values;    /* the static value, or -1 */
  tenon_dims_kind dims_kind;
  int64_t id_bound; /* > 0: an index input, its values must be in [-n, n) */
  int32_t is_mask;  /* nonzero: used as a 0/1 mask */
  int32_t is_optional; /* nonzero: an input with a default, which serves until
                          one is bound */
  int32_t kind, state; /* tenon_port_kind; of a state which (tenon/state.h) */
} tenon_port_info;

typedef struct tenon_range_info { /* a dim's declared range */
  size_t size;
  const char *name;
  int64_t lo, hi; /* hi = INT64_MAX: open */
} tenon_range_info;

typedef enum tenon_relation {
  TENON_RELATION_EQUAL = 0,
  TENON_RELATION_LESS_EQUAL = 1,
  TENON_RELATION_BROADCAST = 2 /* equal, or one of them is 1 */
} tenon_relation;

typedef struct tenon_check_info { /* what compilation relied on */
  size_t size;
  tenon_relation relation;
  const char *lhs, *rhs; /* "seq", "512" */
  const char *reason;    /* node or input that relies on it */
} tenon_check_info;

typedef struct tenon_level_info { /* code for one instruction-set level */
  size_t size;
  const char *name;  /* "x86-64-v3" */
  int32_t supported; /* by this CPU */
  char features[256]; /* that it needs, "avx2, fma" */
  char missing[256];  /* of those, what this CPU or its OS lacks */
} tenon_level_info;

typedef struct tenon_gpu_image_info { /* code for one architecture of GPUs */
  size_t size;
  const char *name;  /* "sm_90a" */
  int32_t assembled; /* 0: PTX, which the driver assembles */
  uint64_t bytes;
} tenon_gpu_image_info;

typedef struct tenon_step_info { /* a kernel call and its last run */
  size_t size;
  const char *kernel;
  const char *nodes; /* ONNX node names that it computes */
  int64_t tasks, cost;
  int32_t threads;
  uint64_t start_ns; /* of the last call since the run began; this and the other
                        times with TENON_CONTEXT_PROFILE */
  uint64_t time_ns;  /* of all calls: a loop's body has many */
  uint64_t bytes;        /* of the tensors and weights that it works on */
  uint64_t weight_bytes; /* of the weights among them */
  uint64_t last_ns;      /* of the last call */
  int64_t calls;         /* 0: in a branch that the run did not take */
} tenon_step_info;

typedef enum tenon_memory {
  TENON_MEMORY_INPUT = 0,
  TENON_MEMORY_OUTPUT = 1,
  TENON_MEMORY_WEIGHTS = 2,
  TENON_MEMORY_WORKSPACE = 3
} tenon_memory;

typedef struct tenon_buffer_info { /* a tensor that steps work on */
  size_t size;
  tenon_memory memory;
  tenon_dtype dtype;
  uint64_t bytes;
  uint64_t offset; /* in the workspace or the weights */
  int32_t first_step, last_step; /* that use it; -1: none */
  /* Of a weight that products read in a format of its own what that is, "ui4
   * block 32 scale f16"; else NULL. "by" says what the product rounds its other
   * operand to. */
  const char *format;
} tenon_buffer_info;

typedef struct tenon_context_info {
  size_t size;
  int32_t threads;   /* that run uses at most, the caller's included */
  const char *level; /* NULL with TENON_CONTEXT_QUERY_ONLY */
  uint64_t workspace_bytes; /* reserved or handed in */
  uint64_t context_bytes;   /* the context's own tables */
  const char *weights_path; /* of the mapped file; NULL when embedded */
  /* Of the last run, with TENON_CONTEXT_PROFILE. What the steps' times and the
   * latter two leave of run_ns is spent between steps, on waking threads. */
  uint64_t run_ns;
  uint64_t prepare_ns; /* dims, checks, memory */
  uint64_t control_ns; /* loops and branches: deciding, handing values on */
  const char *device; /* "cpu", or the GPU's name; its level is an image */
  const char *device_note; /* why no GPU is used although there is code for
                              one and the options would have it; else NULL */
  /* Of the last run, with TENON_CONTEXT_PROFILE and the context's own threads:
   * how often they waited for each other at the end of steps, and for how long,
   * all threads' waits added up. The steps' times include these waits. */
  uint64_t wait_ns;
  int64_t barriers;
} tenon_context_info;

typedef struct tenon_model tenon_model;     /* one per artifact, read-only */
typedef struct tenon_context tenon_context; /* what running it needs */
typedef struct tenon_state tenon_state;     /* pasts, in the caller's memory */
typedef struct tenon_state_info tenon_state_info; /* state.h */
typedef struct tenon_pool_info tenon_pool_info;   /* pages.h */
typedef struct tenon_value_info tenon_value_info; /* profile.h */

/* ---- context options ---------------------------------------------------- */

/* The caller's executor. It calls body(argument, i) once for each i in
 * [0, count), on any threads, at once or one after another, and returns when
 * all calls have returned. It must not throw. */
typedef void (*tenon_body)(void *argument, int32_t index);
typedef void (*tenon_parallel_for)(void *user, int32_t count, tenon_body body,
                                   void *argument);
/* allocate returns NULL when out of memory; alignment is a power of two. */
typedef void *(*tenon_allocate)(void *user, size_t bytes, size_t alignment);
typedef void (*tenon_release)(void *user, void *memory, size_t bytes);

enum {
  /* No code is chosen, no weights are mapped, no threads started: the context
   * answers questions about dims and workspace, on any CPU. */
  TENON_CONTEXT_QUERY_ONLY = 1u << 0,
  /* Takes `threads` as it is, even above what the process may use. */
  TENON_CONTEXT_OVERSUBSCRIBE = 1u << 1,
  /* Records the times of steps and of the run (costs clock reads in each). */
  TENON_CONTEXT_PROFILE = 1u << 2,
  /* Compares the weights with their checksum, which reads them all: embedded
   * ones as they are in memory, a file's, with TENON_CONTEXT_QUERY_ONLY too. */
  TENON_CONTEXT_VERIFY = 1u << 3
};

#define TENON_NO_SPIN (-1)

typedef struct tenon_context_options {
  size_t size;
  uint32_t flags; /* TENON_CONTEXT_* */
  /* Threads that a run uses, the calling one included. 0: as many as the
   * process may use (its affinity, its cgroup's quota), which is also the upper
   * limit. With an executor: into how many parts a step is cut at most. */
  int32_t threads;
  /* How long an idle thread spins before it parks, in microseconds; 0 is the
   * default, 1000; TENON_NO_SPIN parks at once. */
  int32_t spin_us;
  const char *level;           /* "x86-64-v3"; NULL: the best that the CPU has */
  tenon_parallel_for executor; /* NULL: own threads */
  void *executor_user;
  tenon_allocate allocate; /* NULL: malloc, and mmap for the workspace */
  tenon_release release;   /* together with allocate, or neither */
  void *allocator_user;
  void *workspace; /* caller's, 64-byte aligned; NULL: tenon_reserve allocates */
  size_t workspace_bytes;
  /* NULL: beside the artifact, its own name with .weights or else
   * model_info.weights_file. */
  const char *weights_path;
  /* NULL or "auto": a GPU where the artifact has code for one that is there, no
   * `level` is asked for, and CUDA's driver works, else the CPU. "cpu". "cuda"
   * or "cuda:1": the GPU of that number, or an error that says why not; `level`
   * is then an image, "sm_90a". The workspace is memory of the GPU, a caller's
   * as well. Inputs and outputs are copied by the run, but for those that
   * tenon_bind_input_at and tenon_bind_output_at say to be there. */
  const char *device;
  void *stream; /* of a GPU, a CUstream, for runs (gpu.h); NULL: an own one */
} tenon_context_options;

/* ---- the function table -------------------------------------------------- */

/* New functions are appended; `size` tells which are there. Call the inline
 * functions below instead. */
typedef struct tenon_api {
  uint32_t size, version;
  tenon_status (*model_info)(const tenon_model *, tenon_model_info *,
                             tenon_error *);
  tenon_status (*input_info)(const tenon_model *, int32_t, tenon_port_info *,
                             tenon_error *);
  tenon_status (*output_info)(const tenon_model *, int32_t, tenon_port_info *,
                              tenon_error *);
  tenon_status (*range_info)(const tenon_model *, int32_t, tenon_range_info *,
                             tenon_error *);
  tenon_status (*check_info)(const tenon_model *, int32_t, tenon_check_info *,
                             tenon_error *);
  tenon_status (*level_info)(const tenon_model *, int32_t, tenon_level_info *,
                             tenon_error *);
  tenon_status (*value_info)(const tenon_model *, int32_t, tenon_value_info *,
                             tenon_error *);
  tenon_status (*find_input)(const tenon_model *, const char *, int32_t *,
                             tenon_error *);
  tenon_status (*find_output)(const tenon_model *, const char *, int32_t *,
                              tenon_error *);
  tenon_status (*find_value)(const tenon_model *, const char *, int32_t *,
                             tenon_error *);
  tenon_status (*context_create)(const tenon_model *,
                                 const tenon_context_options *,
                                 tenon_context **, tenon_error *);
  void (*context_destroy)(tenon_context *);
  tenon_status (*context_info)(tenon_context *, tenon_context_info *,
                               tenon_error *);
  tenon_status (*workspace_size)(tenon_context *, const int64_t *const *,
                                 size_t *, tenon_error *);
  tenon_status (*output_dims)(tenon_context *, const int64_t *const *, int32_t,
                              int64_t *, tenon_error *);
  tenon_status (*reserve)(tenon_context *, const int64_t *const *,
                          tenon_error *);
  tenon_status (*set_workspace)(tenon_context *, void *, size_t, tenon_error *);
  tenon_status (*bind_input)(tenon_context *, int32_t, tenon_dtype, int32_t,
                             const int64_t *, const void *, size_t,
                             tenon_error *);
  tenon_status (*bind_output)(tenon_context *, int32_t, tenon_dtype, int32_t,
                              const int64_t *, void *, size_t, tenon_error *);
  tenon_status (*run)(tenon_context *, tenon_error *);
  tenon_status (*step_info)(tenon_context *, int32_t, tenon_step_info *,
                            tenon_error *);
  tenon_status (*value_data)(tenon_context *, int32_t, int64_t *, const void **,
                             tenon_error *);
  tenon_status (*last_output_dims)(tenon_context *, int32_t, int64_t *,
                                   tenon_error *);
  tenon_status (*buffer_info)(tenon_context *, int32_t, tenon_buffer_info *,
                              tenon_error *);
  tenon_status (*cancel)(tenon_context *, tenon_error *);
  tenon_status (*gpu_image_info)(const tenon_model *, int32_t,
                                 tenon_gpu_image_info *, tenon_error *);
  tenon_status (*bind_input_at)(tenon_context *, int32_t, tenon_place,
                                tenon_dtype, int32_t, const int64_t *,
                                const void *, size_t, tenon_error *);
  tenon_status (*bind_output_at)(tenon_context *, int32_t, tenon_place,
                                 tenon_dtype, int32_t, const int64_t *, void *,
                                 size_t, tenon_error *);
  tenon_status (*state_info)(const tenon_model *, int32_t, tenon_state_info *,
                             tenon_error *);
  tenon_status (*state_size)(const tenon_model *, int64_t, int64_t, size_t *,
                             tenon_error *);
  tenon_status (*init_state)(const tenon_model *, void *, size_t, int64_t,
                             int64_t, tenon_state **, tenon_error *);
  tenon_status (*state_length)(const tenon_model *, const tenon_state *,
                               int64_t, int64_t *, tenon_error *);
  tenon_status (*set_state_length)(const tenon_model *, tenon_state *, int64_t,
                                   int64_t, tenon_error *);
  tenon_status (*copy_state)(const tenon_model *, tenon_state *, int64_t,
                             const tenon_state *, int64_t, int64_t,
                             tenon_error *);
  tenon_status (*state_data)(const tenon_model *, const tenon_state *, int32_t,
                             int64_t *, const void **, tenon_error *);
  tenon_status (*bind_state)(tenon_context *, tenon_state *, tenon_error *);
  tenon_status (*paged_state_size)(const tenon_model *, int64_t, int64_t,
                                   int64_t, size_t *, tenon_error *);
  tenon_status (*init_paged_state)(const tenon_model *, void *, size_t, int64_t,
                                   int64_t, int64_t, tenon_state **,
                                   tenon_error *);
  tenon_status (*pool_info)(const tenon_model *, const tenon_state *,
                            tenon_pool_info *, tenon_error *);
  tenon_status (*bind_sequences)(tenon_context *, tenon_state *,
                                 const int64_t *, int64_t, tenon_error *);
  tenon_status (*share_state)(const tenon_model *, tenon_state *, int64_t,
                              int64_t, int64_t, tenon_error *);
  tenon_status (*set_state_pages)(const tenon_model *, tenon_state *, int64_t,
                                  const int32_t *, int64_t, tenon_error *);
  tenon_status (*state_pages)(const tenon_model *, const tenon_state *, int64_t,
                              int32_t *, int64_t, int64_t *, tenon_error *);
} tenon_api;

/* What an artifact exports. */
struct tenon_model {
  uint32_t magic, api_version;
  const tenon_api *api;
  const void *program, *twin; /* twin: NULL but in shared libraries */
  const char *const *slow; /* as in tenon_model_info */
};

/* Declares a model that is on the link line, in an .o, .a or .so, by the name
 * that it was compiled with: TENON_DECLARE_MODEL(minilm); then
 * &tenon_model_minilm. TENON_DECLARE_SHARED_MODEL does so for the one .so of a
 * program, whatever the model's name; a second one would be the first again. */
#ifdef __cplusplus
#define TENON_DECLARE_MODEL(NAME)                                              \
  extern "C" const struct tenon_model tenon_model_##NAME
#define TENON_DECLARE_SHARED_MODEL(VARIABLE)                                   \
  enum { tenon_two_shared_models_need_TENON_DECLARE_MODEL };                   \
  extern "C" const struct tenon_model VARIABLE __asm__("tenon_model")
#else
#define TENON_DECLARE_MODEL(NAME)                                              \
  extern const struct tenon_model tenon_model_##NAME
#define TENON_DECLARE_SHARED_MODEL(VARIABLE)                                   \
  enum { tenon_two_shared_models_need_TENON_DECLARE_MODEL };                   \
  extern const struct tenon_model VARIABLE __asm__("tenon_model")
#endif

/* Zeroes a struct of this header and sets its size:
 * tenon_port_info info; TENON_INIT(info); */
#define TENON_INIT(STRUCT)                                                     \
  (memset(&(STRUCT), 0, sizeof(STRUCT)), (STRUCT).size = sizeof(STRUCT))

/* ---- helpers ------------------------------------------------------------- */

/* Sets `error` to up to four texts, one after the other; returns `status`. */
static inline tenon_status tenon_fail(tenon_error *error, tenon_status status,
                                      const char *a, const char *b,
                                      const char *c, const char *d) {
  if (error) {
    const char *parts[4];
    size_t length = 0;
    int i;
    parts[0] = a, parts[1] = b, parts[2] = c, parts[3] = d;
    for (i = 0; i < 4; ++i) {
      const char *text = parts[i];
      while (text && *text && length + 1 < sizeof error->message)
        error->message[length++] = *text++;
    }
    error->message[length] = 0;
  }
  return status;
}
static inline tenon_status tenon_older(const char *function,
                                       tenon_error *error) {
  return tenon_fail(error, TENON_VERSION_MISMATCH, "the artifact is older than ",
                    function, 0, 0);
}

static inline const char *tenon_status_name(tenon_status status) {
  switch (status) {
  case TENON_OK: return "ok";
  case TENON_INVALID_ARGUMENT: return "invalid argument";
  case TENON_INVALID_TENSOR: return "invalid tensor";
  case TENON_CHECK_FAILED: return "check failed";
  case TENON_NOT_BOUND: return "not bound";
  case TENON_INDEX_OUT_OF_RANGE: return "index out of range";
  case TENON_WORKSPACE_TOO_SMALL: return "workspace too small";
  case TENON_OUT_OF_MEMORY: return "out of memory";
  case TENON_UNSUPPORTED_CPU: return "unsupported CPU";
  case TENON_VERSION_MISMATCH: return "version mismatch";
  case TENON_IO_ERROR: return "I/O error";
  case TENON_BUSY: return "busy";
  case TENON_OUTPUT_TOO_SMALL: return "output too small";
  case TENON_CANCELLED: return "cancelled";
  case TENON_DEVICE_ERROR: return "device error";
  case TENON_STATE_FULL: return "state full";
  case TENON_INVALID_STATE: return "invalid state";
  }
  return "unknown status";
}

/* Bits of one element; 0 for an unknown dtype. */
static inline size_t tenon_dtype_bits(tenon_dtype dtype) {
  switch (dtype) {
  case TENON_U2: case TENON_I2: return 2;
  case TENON_U4: case TENON_I4: case TENON_F4E2M1: return 4;
  case TENON_U8: case TENON_I8: case TENON_BOOL: case TENON_F8E4M3FN:
  case TENON_F8E4M3FNUZ: case TENON_F8E5M2: case TENON_F8E5M2FNUZ:
  case TENON_F8E8M0: return 8;
  case TENON_U16: case TENON_I16: case TENON_F16: case TENON_BF16: return 16;
  case TENON_F32: case TENON_I32: case TENON_U32: return 32;
  case TENON_I64: case TENON_F64: case TENON_U64: return 64;
  }
  return 0;
}

/* Bytes of one element, 1 for the packed types; 0 for an unknown dtype. */
static inline size_t tenon_dtype_bytes(tenon_dtype dtype) {
  return (tenon_dtype_bits(dtype) + 7) / 8;
}

/* Bytes of a tensor with so many elements. */
static inline size_t tenon_tensor_bytes(tenon_dtype dtype, size_t elements) {
  size_t bits = tenon_dtype_bits(dtype);
  if (bits == 0 || bits >= 8)
    return elements * (bits / 8);
  return elements / (8 / bits) + (elements % (8 / bits) != 0);
}

static inline const char *tenon_dtype_name(tenon_dtype dtype) {
  switch (dtype) {
  case TENON_F32: return "f32";
  case TENON_U8: return "u8";
  case TENON_I8: return "i8";
  case TENON_U16: return "u16";
  case TENON_I16: return "i16";
  case TENON_I32: return "i32";
  case TENON_I64: return "i64";
  case TENON_BOOL: return "bool";
  case TENON_F16: return "f16";
  case TENON_F64: return "f64";
  case TENON_U32: return "u32";
  case TENON_U64: return "u64";
  case TENON_BF16: return "bf16";
  case TENON_F8E4M3FN: return "f8e4m3fn";
  case TENON_F8E4M3FNUZ: return "f8e4m3fnuz";
  case TENON_F8E5M2: return "f8e5m2";
  case TENON_F8E5M2FNUZ: return "f8e5m2fnuz";
  case TENON_F8E8M0: return "f8e8m0";
  case TENON_U4: return "u4";
  case TENON_I4: return "i4";
  case TENON_F4E2M1: return "f4e2m1";
  case TENON_U2: return "u2";
  case TENON_I2: return "i2";
  }
  return "unknown";
}

/* TENON_OK when `model` is one that this header can call. Every function below
 * that takes a model does this first. */
static inline tenon_status tenon_model_check(const tenon_model *model,
                                             tenon_error *error) {
  char found[12];
  uint32_t version;
  int at = 11;
  if (!model)
    return tenon_fail(error, TENON_INVALID_ARGUMENT, "the model is NULL", 0, 0,
                      0);
  if (model->magic != TENON_MODEL_MAGIC)
    return tenon_fail(error, TENON_VERSION_MISMATCH,
                      "this is not a model compiled by Tenon", 0, 0, 0);
  /* The first table ended there; what is newer is asked for when it is used. */
  if (model->api_version != TENON_API_VERSION || !model->api ||
      model->api->size < offsetof(tenon_api, last_output_dims)) {
    version = model->api_version;
    found[at] = 0;
    do
      found[--at] = (char)('0' + version % 10);
    while (version /= 10);
    return tenon_fail(error, TENON_VERSION_MISMATCH,
                      "the artifact has API version ", found + at,
                      ", this program expects 1: compile the model again", 0);
  }
  return TENON_OK;
}

/* ---- questions to a model ------------------------------------------------- */

static inline tenon_status tenon_get_model_info(const tenon_model *model,
                                                tenon_model_info *info,
                                                tenon_error *error) {
  tenon_status status = tenon_model_check(model, error);
  return status ? status : model->api->model_info(model, info, error);
}
static inline tenon_status tenon_get_input_info(const tenon_model *model,
                                                int32_t index,
                                                tenon_port_info *info,
                                                tenon_error *error) {
  tenon_status status = tenon_model_check(model, error);
  return status ? status : model->api->input_info(model, index, info, error);
}
static inline tenon_status tenon_get_output_info(const tenon_model *model,
                                                 int32_t index,
                                                 tenon_port_info *info,
                                                 tenon_error *error) {
  tenon_status status = tenon_model_check(model, error);
  return status ? status : model->api->output_info(model, index, info, error);
}
static inline tenon_status tenon_get_range_info(const tenon_model *model,
                                                int32_t index,
                                                tenon_range_info *info,
                                                tenon_error *error) {
  tenon_status status = tenon_model_check(model, error);
  return status ? status : model->api->range_info(model, index, info, error);
}
static inline tenon_status tenon_get_check_info(const tenon_model *model,
                                                int32_t index,
                                                tenon_check_info *info,
                                                tenon_error *error) {
  tenon_status status = tenon_model_check(model, error);
  return status ? status : model->api->check_info(model, index, info, error);
}
static inline tenon_status tenon_get_level_info(const tenon_model *model,
                                                int32_t index,
                                                tenon_level_info *info,
                                                tenon_error *error) {
  tenon_status status = tenon_model_check(model, error);
  return status ? status : model->api->level_info(model, index, info, error);
}
/* The number of the input or output called `name`. */
static inline tenon_status tenon_find_input(const tenon_model *model,
                                            const char *name, int32_t *index,
                                            tenon_error *error) {
  tenon_status status = tenon_model_check(model, error);
  return status ? status : model->api->find_input(model, name, index, error);
}
static inline tenon_status tenon_find_output(const tenon_model *model,
                                             const char *name, int32_t *index,
                                             tenon_error *error) {
  tenon_status status = tenon_model_check(model, error);
  return status ? status : model->api->find_output(model, name, index, error);
}

/* ---- contexts -------------------------------------------------------------- */

/* What a context points to begins with this. */
struct tenon_context_head {
  const tenon_api *api;
  const tenon_model *model;
};
static inline const tenon_api *tenon_context_api(const tenon_context *context) {
  return ((const struct tenon_context_head *)(const void *)context)->api;
}
#define TENON_CALL(FUNCTION, ...)                                              \
  return context ? tenon_context_api(context)->FUNCTION(context, __VA_ARGS__)  \
                 : tenon_fail(error, TENON_INVALID_ARGUMENT,                   \
                              "the context is NULL", 0, 0, 0)
/* The same of a function SINCE which artifacts have it. */
#define TENON_CALL_SINCE(FUNCTION, SINCE, ...)                                 \
  if (context &&                                                               \
      tenon_context_api(context)->size <= offsetof(tenon_api, FUNCTION))       \
    return tenon_older(SINCE, error);                                          \
  TENON_CALL(FUNCTION, __VA_ARGS__)

/* Options may be NULL. Everything that a run needs besides the workspace is
 * allocated here: tables, threads, the map of a weights file. */
static inline tenon_status
tenon_context_create(const tenon_model *model,
                     const tenon_context_options *options,
                     tenon_context **context, tenon_error *error) {
  tenon_status status = tenon_model_check(model, error);
  return status ? status
                : model->api->context_create(model, options, context, error);
}
/* NULL is fine. Not while a run is in progress. */
static inline void tenon_context_destroy(tenon_context *context) {
  if (context)
    tenon_context_api(context)->context_destroy(context);
}
static inline const tenon_model *
tenon_context_model(const tenon_context *context) {
  return context
             ? ((const struct tenon_context_head *)(const void *)context)->model
             : 0;
}
static inline tenon_status tenon_get_context_info(tenon_context *context,
                                                  tenon_context_info *info,
                                                  tenon_error *error) {
  TENON_CALL(context_info, info, error);
}
/* Workspace that inputs of these dims need: input_dims[i] are input i's dims
 * (NULL for one of rank 0, and for an optional one as it is bound now). Once
 * larger dims are reserved, smaller ones never need more than those.
 *
 * Where dims depend on an input's values (a shape, the number of repeats), this
 * function and the next two take them from what is bound now, and answer
 * TENON_NOT_BOUND, naming the input, when it is not. A run reads them again: it
 * can need more workspace than was reserved for other values. */
static inline tenon_status
tenon_workspace_size(tenon_context *context, const int64_t *const *input_dims,
                     size_t *bytes, tenon_error *error) {
  TENON_CALL(workspace_size, input_dims, bytes, error);
}
/* Dims of an output for inputs of these dims; `dims` has room for its rank. */
static inline tenon_status
tenon_output_dims(tenon_context *context, const int64_t *const *input_dims,
                  int32_t output, int64_t *dims, tenon_error *error) {
  TENON_CALL(output_dims, input_dims, output, dims, error);
}
/* Makes the workspace large enough for inputs of these dims: allocates, or
 * checks that the one handed in is. A run with these dims, or with dims that
 * make no buffer larger, then allocates nothing. */
static inline tenon_status tenon_reserve(tenon_context *context,
                                         const int64_t *const *input_dims,
                                         tenon_error *error) {
  TENON_CALL(reserve, input_dims, error);
}
/* Hands in another workspace, 64-byte aligned; NULL takes it back. */
static inline tenon_status tenon_set_workspace(tenon_context *context,
                                               void *workspace, size_t bytes,
                                               tenon_error *error) {
  TENON_CALL(set_workspace, workspace, bytes, error);
}
/* Binds caller-owned memory until the next bind. The dims are copied; `bytes`
 * is the memory's size, at least the tensor's. Inputs are only read. An
 * optional input takes its default again where dims and data are NULL. */
static inline tenon_status
tenon_bind_input(tenon_context *context, int32_t index, tenon_dtype dtype,
                 int32_t rank, const int64_t *dims, const void *data,
                 size_t bytes, tenon_error *error) {
  TENON_CALL(bind_input, index, dtype, rank, dims, data, bytes, error);
}
/* The same for an output, which may share memory with no input or other output.
 * dims = NULL takes the dims that follow from the inputs; the run then checks
 * that `bytes` suffice. */
static inline tenon_status
tenon_bind_output(tenon_context *context, int32_t index, tenon_dtype dtype,
                  int32_t rank, const int64_t *dims, void *data, size_t bytes,
                  tenon_error *error) {
  TENON_CALL(bind_output, index, dtype, rank, dims, data, bytes, error);
}
/* Dims of an output as the last run computed them; `dims` has room for its rank.
 * Of use where they come from what the run computes (the positions that NonZero
 * finds): tenon_output_dims then says the most that they can be. Bind that much
 * memory with dims = NULL, run, and ask here. With less memory the run may end
 * with TENON_OUTPUT_TOO_SMALL, and this function says what was needed.
 *
 * Where nothing bounds such a number before the run (the limit of a Range), the
 * context plans for the largest that it has seen. A run that meets a larger one
 * begins again within the same workspace if that suffices; else it ends with
 * TENON_WORKSPACE_TOO_SMALL, and tenon_reserve with the same dims then makes
 * room for it. */
static inline tenon_status tenon_last_output_dims(tenon_context *context,
                                                  int32_t output, int64_t *dims,
                                                  tenon_error *error) {
  TENON_CALL_SINCE(last_output_dims, "tenon_last_output_dims", output, dims,
                   error);
}
/* Runs the model; on an error the outputs' contents are unspecified. Allocates
 * nothing; with one thread it takes no lock and makes no system call. */
static inline tenon_status tenon_run(tenon_context *context,
                                     tenon_error *error) {
  TENON_CALL(run, error);
}
/* Ends the run that is in progress, if any: it returns TENON_CANCELLED when the
 * parts of kernels that have begun are done. From any thread, and from a signal
 * handler. The context can run again. */
static inline tenon_status tenon_cancel(tenon_context *context,
                                        tenon_error *error) {
  TENON_CALL_SINCE(cancel, "tenon_cancel", error);
}

/* By name. */
static inline tenon_status
tenon_bind_input_named(tenon_context *context, const char *name,
                       tenon_dtype dtype, int32_t rank, const int64_t *dims,
                       const void *data, size_t bytes, tenon_error *error) {
  int32_t index = -1;
  tenon_status status =
      tenon_find_input(tenon_context_model(context), name, &index, error);
  return status ? status
                : tenon_bind_input(context, index, dtype, rank, dims, data,
                                   bytes, error);
}
static inline tenon_status
tenon_bind_output_named(tenon_context *context, const char *name,
                        tenon_dtype dtype, int32_t rank, const int64_t *dims,
                        void *data, size_t bytes, tenon_error *error) {
  int32_t index = -1;
  tenon_status status =
      tenon_find_output(tenon_context_model(context), name, &index, error);
  return status ? status
                : tenon_bind_output(context, index, dtype, rank, dims, data,
                                    bytes, error);
}

#ifdef __cplusplus
}
#endif

#include "tenon/gpu.h"
#include "tenon/profile.h"
#include "tenon/state.h"
#include "tenon/pages.h"
#ifndef TENON_NO_LOADER
#include "tenon/loader.h"
#endif

#endif /* TENON_TENON_H */
