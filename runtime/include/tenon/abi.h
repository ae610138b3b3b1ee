/*===- tenon/abi.h - what the compiler writes and the runtime reads ---------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * The compiler emits one constant `tenon_program` per model; the runtime, which
 * is linked into the same artifact, interprets it. Applications never include
 * this header: their API is tenon.h. Any change here bumps TENON_ABI_VERSION.
 *
 * All quantities that depend on input dims, or on the values of inputs that
 * give dims, are numbered *slots* of one int64 array, filled by a small program
 * (`exprs`) in order. Slot k is the value of exprs[k]; operands always name
 * smaller slots. A *guard* is 1 + a slot that is 0 where something is left out;
 * 0 stands for no guard.
 *===----------------------------------------------------------------------===*/
#ifndef TENON_ABI_H
#define TENON_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TENON_ABI_MAGIC 0x4e4f4e45u /* "ENON" */
#define TENON_ABI_VERSION 9u
#define TENON_MAX_RANK 8

/* Element types; the values are part of tenon.h as well (tenon_dtype). */
enum {
  TENON_ABI_F32 = 1, TENON_ABI_U8 = 2, TENON_ABI_I8 = 3, TENON_ABI_U16 = 4,
  TENON_ABI_I16 = 5, TENON_ABI_I32 = 6, TENON_ABI_I64 = 7, TENON_ABI_BOOL = 9,
  TENON_ABI_F16 = 10, TENON_ABI_F64 = 11, TENON_ABI_U32 = 12,
  TENON_ABI_U64 = 13, TENON_ABI_BF16 = 16, TENON_ABI_F8E4M3FN = 17,
  TENON_ABI_F8E4M3FNUZ = 18, TENON_ABI_F8E5M2 = 19, TENON_ABI_F8E5M2FNUZ = 20,
  TENON_ABI_F8E8M0 = 24, /* = onnx::TensorProto_DataType */
  /* Packed: of ports only. Their buffers are of bytes; inner ones hold an
   * element a byte and are TENON_ABI_I8 or TENON_ABI_U8. */
  TENON_ABI_U4 = 21, TENON_ABI_I4 = 22, TENON_ABI_F4E2M1 = 23,
  TENON_ABI_U2 = 25, TENON_ABI_I2 = 26
};

/* ---- dim expressions ---------------------------------------------------- */
enum tenon_expr_op {
  TENON_EXPR_CONST = 0, /* imm */
  TENON_EXPR_INPUT_DIM, /* dim `b` of input `a` */
  TENON_EXPR_ADD,       /* slot a + slot b */
  TENON_EXPR_SUB,
  TENON_EXPR_MUL,
  TENON_EXPR_FLOORDIV, /* rounds towards -inf; by 0 gives 0 */
  TENON_EXPR_CEILDIV,
  TENON_EXPR_MOD, /* sign of the divisor; by 0 gives 0 */
  TENON_EXPR_MIN,
  TENON_EXPR_MAX,
  TENON_EXPR_BCAST, /* a == 1 ? b : a  (a check asserts that it is legal) */
  TENON_EXPR_EQ,    /* the comparisons give 0 or 1 */
  TENON_EXPR_NE,
  TENON_EXPR_LT,
  TENON_EXPR_LE,
  TENON_EXPR_SELECT,      /* slot a != 0 ? slot b : slot imm */
  TENON_EXPR_INPUT_VALUE, /* element `imm` of input `a`, whose dims are static */
  /* The bits of a double: slots a and b, an element of a float input. */
  TENON_EXPR_FADD,
  TENON_EXPR_FSUB,
  TENON_EXPR_FMUL,
  TENON_EXPR_FDIV,
  TENON_EXPR_F32,   /* a rounded to float */
  TENON_EXPR_FLOAT, /* of the integer a */
  TENON_EXPR_FLOOR, /* to an integer; INT64_MIN for NaN, saturated */
  TENON_EXPR_CEIL,
  TENON_EXPR_TRUNC,
  TENON_EXPR_RUN_VALUE, /* number `imm` of those that the run reads; a: 1 + the
                           slot that bounds it from above (0 from below), or 0;
                           b: 1 + the slot that it begins with, or 0 */
  TENON_EXPR_QUOT,      /* rounds towards zero; by 0 gives 0 */
  /* Of states (below): is there none, so that a run copies what it carries on?
   * And how many rows their memory has; slot a without a state. */
  TENON_EXPR_STATE_CARRIED,
  TENON_EXPR_STATE_CAPACITY,
  /* The address of an i32 for each of a state's sequences and of its pages: where
   * in the pool that lies. Before it an i32 for each row of a run, the first one
   * last: which sequence that is. 0: row i is sequence i, with its own pages. */
  TENON_EXPR_STATE_PAGES,
  /* The address of an i32 for each row of a run: how many of its sequence's rows
   * come before it. 0: as many in all. A program without it takes sequences of one length. */
  TENON_EXPR_STATE_LENGTHS
};
typedef struct tenon_expr {
  int32_t op;
  int32_t a, b;
  int32_t reserved;
  int64_t imm;
} tenon_expr;

/* ---- entry checks: what compilation relied on --------------------------- */
enum tenon_check_kind {
  TENON_CHECK_EQ = 0, /* lhs == rhs */
  TENON_CHECK_LE,     /* lhs <= rhs */
  TENON_CHECK_BCAST   /* lhs == rhs or either is 1 */
};
typedef struct tenon_check {
  int32_t kind;
  int32_t lhs, rhs; /* slots */
  int32_t guard;
  const char *lhs_text, *rhs_text; /* "seq", "512" */
  const char *reason;              /* node or input that relies on it */
} tenon_check;

/* ---- buffers ------------------------------------------------------------ */
enum tenon_buffer_kind {
  TENON_BUFFER_INPUT = 0, /* index = input number */
  TENON_BUFFER_OUTPUT,    /* index = output number */
  TENON_BUFFER_WEIGHT,    /* offset = byte offset in the weights blob */
  TENON_BUFFER_ARENA      /* placed by the planner, live first..last (steps) */
};
typedef struct tenon_buffer {
  int32_t kind;
  int32_t dtype;
  int32_t index; /* ARENA: 1 + the buffer that stands for it in a run with a
                    state, or 0 */
  int32_t elements; /* slot: their number; -1: a weight's, not told */
  int32_t first, last;
  int64_t offset;
} tenon_buffer;

/* ---- kernels ------------------------------------------------------------ */
/* Per-thread state handed to a kernel. */
typedef struct tenon_task {
  void *scratch;       /* step's scratch bytes, 64-byte aligned */
  int64_t error_value; /* set with a nonzero result: the offending index ... */
  int64_t error_limit; /* ... and the bound that it breaks */
} tenon_task;

enum { TENON_KERNEL_OK = 0, TENON_KERNEL_INDEX_OUT_OF_RANGE = 1 };

/* Runs tasks [begin, end). bufs and dims are the step's own, in its order. */
typedef int32_t (*tenon_kernel)(void *const *bufs, const int64_t *dims,
                                int64_t begin, int64_t end, tenon_task *task);

typedef struct tenon_step {
  const char *name;  /* kernel symbol, for profiles */
  const char *nodes; /* ONNX node names, comma separated, for messages */
  const int32_t *buffers;
  const int32_t *dims; /* slots */
  int32_t num_buffers, num_dims;
  int32_t tasks;   /* slot: number of tasks */
  int32_t cost;    /* slot: rough cost of the whole step in FMAs or 4 bytes */
  int32_t scratch; /* slot: scratch bytes per thread */
  int32_t kernel;  /* index into tenon_level.kernels */
  int32_t guard;   /* skipped where it is 0 */
  int32_t reserved;
} tenon_step;

/* One table per ISA level, best first; the runtime takes the first that the
 * CPU supports. `features` is a set of TENON_FEATURE_* bits. */
typedef struct tenon_level {
  const char *name; /* "x86-64-v3" */
  uint64_t features;
  const tenon_kernel *kernels;
} tenon_level;

#define TENON_FEATURE_SSE42 (1ull << 0)  /* x86-64-v2 as a whole */
#define TENON_FEATURE_AVX (1ull << 1)
#define TENON_FEATURE_AVX2 (1ull << 2)
#define TENON_FEATURE_FMA (1ull << 3)
#define TENON_FEATURE_F16C (1ull << 4)
#define TENON_FEATURE_BMI2 (1ull << 5) /* BMI1, BMI2, LZCNT, MOVBE */
#define TENON_FEATURE_AVX512F (1ull << 6)
#define TENON_FEATURE_AVX512BW (1ull << 7)
#define TENON_FEATURE_AVX512CD (1ull << 8)
#define TENON_FEATURE_AVX512DQ (1ull << 9)
#define TENON_FEATURE_AVX512VL (1ull << 10)
#define TENON_FEATURE_AVX512VNNI (1ull << 11)
#define TENON_FEATURE_AVX512BF16 (1ull << 12)
#define TENON_FEATURE_AVX512FP16 (1ull << 13)
#define TENON_FEATURE_AVXVNNI (1ull << 14)
/* Tiles, which the OS gives a process that asks for them. */
#define TENON_FEATURE_AMX_INT8 (1ull << 15)
#define TENON_FEATURE_AMX_BF16 (1ull << 16)

/* ---- signature ---------------------------------------------------------- */
typedef struct tenon_port {
  const char *name;
  int32_t dtype;
  int32_t rank;
  const int32_t *dims;          /* slots */
  const char *const *dim_names; /* "batch", "384"; an expression's text */
  const int64_t *dim_values;    /* the static value, or -1 */
  int64_t id_bound;    /* > 0: an index input, its values are in [-n, n) */
  int32_t is_mask;     /* integer or bool input used as a 0/1 mask */
  int32_t from_values; /* an output whose dims depend on inputs' values */
  /* Of an input that need not be bound: 1 + the buffer, a weight, that then
   * stands for it, and its dims. 0: it has to be bound. */
  int32_t default_buffer, reserved;
  const int64_t *default_dims;
} tenon_port;

#define TENON_PANEL_ROWS 32 /* of a page */

/* A past and its present: an input and an output that may be one memory, in
 * which a run writes the new rows alone. Dim 0 counts sequences, `axis` their
 * rows. One that grows holds as many rows as the input's dim says and has room
 * for more; any other is a buffer of that many, of which the model's own inputs
 * say what is in use.
 *
 * One that is `replaced` is made anew by each run: its memory has room for two
 * tensors, of which a run reads one and writes the other. Dim `sequences` counts
 * sequences. Along `axis` (-1: all dims stay) it has as many rows as the run
 * before has written, `most` or fewer, the same for all sequences. */
typedef struct tenon_state_pair {
  int32_t input, output; /* output -1: no state, for this reason */
  int32_t axis, grows;
  int32_t panels; /* its pages are panels: [size, rows], not [rows, size] */
  int32_t pages;  /* 0; or the dtype of what its memory holds, in pages of
                     TENON_PANEL_ROWS. Of I8 the rows' scales, f32, come first. */
  const char *reason;
  int32_t replaced, sequences;
  int64_t most; /* of one that grows: rows that a new one looks back at; 0: all */
} tenon_state_pair;

/* A named inner value, with --debug-values only. */
typedef struct tenon_value {
  const char *name;
  int32_t buffer, rank;
  const int32_t *dims; /* slots */
  int32_t guard, reserved;
} tenon_value;

/* ---- what the run decides ------------------------------------------------ */
enum tenon_control_kind {
  TENON_CONTROL_READ = 0, /* the buffer's elements become run values */
  TENON_CONTROL_LOOP,     /* the steps up to the partner's are a loop's body */
  TENON_CONTROL_NEXT      /* the end of the partner's body */
};
/* Elements of one buffer copied to another; of a row, behind those of the
 * iterations before. */
typedef struct tenon_copy {
  int32_t from, to;
  int32_t elements; /* slot */
  int32_t row;
} tenon_copy;
/* Done when the steps before `step` are; in order. What depends on a run value
 * is known from then on, and of use only to later steps. A loop first makes its
 * copies. Its run values are: value - 1, how many iterations there were; value,
 * the number of this one, which is also in the buffer (i64); then the sizes of
 * dims that iterations change, which become `sizes` at the beginning and, at the
 * end of the body, for the next iteration; then those that are read in the body.
 * From `value` on these are `count` in all, and forgotten at the body's end.
 * What the sizes are behind the loop stands before value - 1, in their order. */
typedef struct tenon_control {
  int32_t kind;
  int32_t step;
  int32_t guard; /* left out: the values become 0, a loop has no iterations */
  int32_t buffer;
  int32_t value, count; /* the run values that it sets */
  int32_t trips;        /* slot: the most iterations */
  int32_t condition;    /* a buffer of one bool: is there another one? or -1 */
  int32_t partner;      /* control */
  int32_t num_copies;
  const tenon_copy *copies;
  const int32_t *sizes; /* slots */
  int32_t num_sizes, reserved;
} tenon_control;

typedef struct tenon_dim_range { /* a declared --dim name=lo..hi */
  const char *name;
  int64_t lo, hi; /* hi = INT64_MAX when open */
  int32_t slot, reserved;
} tenon_dim_range;

/* ---- GPUs ---------------------------------------------------------------- */
enum tenon_image_kind {
  TENON_IMAGE_PTX = 0, /* text, for GPUs of this capability and later ones */
  TENON_IMAGE_CUBIN    /* for this capability and later ones of its major */
};
/* The GPU's kernels for one architecture. */
typedef struct tenon_image {
  const char *name; /* "sm_90a" */
  int32_t kind;
  int32_t capability; /* ten times major.minor; of a name that ends in a letter
                       * the GPU must have just that */
  const void *data;
  uint64_t bytes;
} tenon_image;

/* What a kernel's tensor cores multiply; TF32X3: each f32 is two of tf32. */
enum tenon_products {
  TENON_PRODUCTS_NONE = 0,
  TENON_PRODUCTS_TF32X3,
  TENON_PRODUCTS_TF32,
  TENON_PRODUCTS_BF16,
  TENON_PRODUCTS_F16,
  TENON_PRODUCTS_I8
};

/* A step's kernel on a GPU: the entry `name` of each image, with the arguments
 *   buffers..., error record, scratch (64 bits each), dims..., tasks (32 bits),
 *   maps... (128 bytes each, of images that have them).
 * Where `host` is not 0, a function of the runtime instead. An image with a
 * variable of this name and TENON_GPU_GRID has a kernel whose blocks go from
 * task to task: it need not be launched with more than run at a time. */
#define TENON_GPU_GRID "_grid"
typedef struct tenon_gpu_kernel {
  const char *name;
  tenon_kernel host;
  int32_t block;    /* a task is a block's; else a thread's */
  int32_t threads;  /* of a block */
  int32_t shared;   /* bytes of dynamic shared memory of a block */
  int32_t products; /* TENON_PRODUCTS_* */
} tenon_gpu_kernel;

/* A row-major tensor of which a GPU's copy engine brings boxes to shared memory:
 * what CUDA's driver makes a tensor map of, with a swizzle of 128 bytes. The
 * innermost dim is the first; one below 0 is -1 - a dim of the step. */
typedef struct tenon_gpu_map {
  int32_t buffer; /* of the step's */
  int32_t bytes;  /* of an element: 2 or 4 */
  int64_t dims[3];
  int32_t box[3];
  int32_t reserved;
} tenon_gpu_map;
/* Of a kernel; images for GPUs of TENON_GPU_MAPS and later ones take them. */
#define TENON_GPU_MAPS 90
typedef struct tenon_gpu_maps {
  const tenon_gpu_map *maps;
  int64_t count;
} tenon_gpu_maps;

/* A step's scratch memory on a GPU begins with so many bytes that are 0 when a
 * step begins and again when it ends: blocks count in them. */
#define TENON_GPU_COUNTER_BYTES 16384

/* What an error record of a GPU's step holds; zeros: no error. One lies at a
 * multiple of its size, as kernels may store two numbers at once. */
typedef struct tenon_gpu_error {
  int64_t value, limit, code; /* as in tenon_task; TENON_KERNEL_* */
  int64_t reserved;
} tenon_gpu_error;

/* A model on GPUs. Its program has the ports and weights of the one that refers
 * to it, but steps of its own, whose `kernel` is an index into `kernels` and
 * whose `scratch` is that of all tasks at once; no levels. */
typedef struct tenon_gpu {
  const struct tenon_program *program;
  const tenon_image *images; /* best first */
  const tenon_gpu_kernel *kernels;
  int32_t num_images, num_kernels;
  const char *host_nodes; /* that `host` kernels compute, comma separated */
  const void *driver;     /* the runtime's part that runs it */
  const tenon_gpu_maps *maps; /* of each kernel */
} tenon_gpu;

typedef struct tenon_program {
  uint32_t magic, abi_version;
  const char *model_name, *compiler_version, *glibc_floor;
  const char *precision; /* of products by weights, "f32" */
  /* Of each buffer that is a weight in panels of bytes what they hold, "ui4
   * block 32 scale f16"; else 0. All 0: there is none. */
  const char *const *formats;
  const tenon_port *inputs, *outputs;
  const tenon_expr *exprs;
  const tenon_check *checks;
  const tenon_buffer *buffers;
  const tenon_step *steps;
  const tenon_level *levels;
  const tenon_value *values;
  const tenon_dim_range *ranges;
  int32_t num_inputs, num_outputs, num_exprs, num_checks, num_buffers,
      num_steps, num_levels, num_values, num_ranges, num_controls;
  /* Weights: embedded (weights != 0) or in a file beside the artifact. */
  const uint8_t *weights;
  uint64_t weights_bytes;
  const char *weights_file; /* file name, or 0 */
  uint8_t weights_hash[32]; /* BLAKE3 of the blob; zeros without one */
  const tenon_control *controls;
  int32_t num_run_values;
  int32_t num_states;
  const tenon_state_pair *states; /* then those with a reason: */
  int32_t num_stateless;
  int32_t num_gpus; /* 0 or 1: */
  const tenon_gpu *gpu; /* there only where num_gpus is not 0 */
} tenon_program;

/* ---- what the artifact exports ------------------------------------------ */
/* Two shared libraries on one link line may define one name. When the first is
 * loaded it looks for the other, and if there is one the files are named here. */
typedef struct tenon_twin {
  const char *file, *other;
} tenon_twin;

/* One object per artifact, the only thing exported: `tenon_model_<name>`, so
 * that several link together, and in a .so also `tenon_model`, for who loads
 * it. tenon.h declares its type, struct tenon_model; its layout is
 *
 *   uint32_t magic = TENON_MODEL_MAGIC;
 *   uint32_t api_version = TENON_API_VERSION;
 *   const void *api = &tenon_runtime_api;   // hidden, defined by the runtime
 *   const void *program = &<the tenon_program>;
 *   const void *twin = &<the tenon_twin>;   // in a .so; else 0
 *   const char *const *slow;  // tenon_model_info's; 0 in older artifacts
 */
#define TENON_MODEL_MAGIC 0x4d4e4554u /* "TENM" */
#define TENON_API_VERSION 1u

/* ---- the weights file (--weights=file) ----------------------------------- */
/* This header, zeros up to TENON_WEIGHTS_BLOB_OFFSET, then the blob: offset 0
 * of the blob is offset TENON_WEIGHTS_BLOB_OFFSET of the file, and the file ends
 * with the blob. Little-endian. The runtime maps the file read-only and shared;
 * it refuses one whose size or hash is not the program's. */
#define TENON_WEIGHTS_MAGIC "TENONWGT" /* 8 bytes, no terminator */
#define TENON_WEIGHTS_SUFFIX ".weights" /* behind the artifact's name */
#define TENON_WEIGHTS_VERSION 1u
#define TENON_WEIGHTS_BLOB_OFFSET 4096
typedef struct tenon_weights_header {
  char magic[8];
  uint32_t version, reserved;
  uint64_t bytes;   /* of the blob */
  uint8_t hash[32]; /* BLAKE3 of the blob */
} tenon_weights_header;

#ifdef __cplusplus
}
#endif
#endif
