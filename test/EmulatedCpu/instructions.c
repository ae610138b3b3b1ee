//===- instructions.c - what wide levels have and AVX2 lacks ----*- C -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// After the pseudocode of Intel's manuals (Software Developer's Manual, volume
// 2; Architecture Instruction Set Extensions, chapter 3, for tiles), element by
// element, with no thought of speed. A function has the name of LLVM's
// intrinsic; a vector is a place in memory, the result's the first.
//
// A product of two bf16 is exact in f32 but for its exponent, and fused here as
// the manuals have it; operands that are denormal count as zeros and results
// become zeros. MXCSR has no part in that.
//
//===----------------------------------------------------------------------===//
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

//===----------------------------------------------------------------------===//
// Floats
//===----------------------------------------------------------------------===//

static uint32_t bitsOf(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static float ofBits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static float flushed(float x) {
  uint32_t bits = bitsOf(x);
  return ofBits(bits & 0x7f800000 ? bits : bits & 0x80000000);
}

static float wide(uint16_t bf16) {
  return flushed(ofBits((uint32_t)bf16 << 16));
}

static float fma32(float a, float b, float sum) {
  return flushed(__builtin_fmaf(a, b, flushed(sum)));
}

/// VDPBF16PS: of each pair the odd element comes first.
void llvm_x86_avx512bf16_dpbf16ps_512(float *result, const float *sum,
                                      const uint16_t *a, const uint16_t *b) {
  for (int i = 0; i < 16; ++i) {
    float s = fma32(wide(a[2 * i + 1]), wide(b[2 * i + 1]), sum[i]);
    result[i] = fma32(wide(a[2 * i]), wide(b[2 * i]), s);
  }
}

/// VCVTNEPS2BF16: to nearest even; a denormal becomes zero, a NaN quiet.
void llvm_x86_avx512bf16_cvtneps2bf16_512(uint16_t *result, const float *x) {
  for (int i = 0; i < 16; ++i) {
    uint32_t bits = bitsOf(flushed(x[i]));
    if ((bits & 0x7fffffff) > 0x7f800000)
      result[i] = (uint16_t)(bits >> 16 | 0x40);
    else
      result[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
}

/// VPERMPS.
void llvm_x86_avx512_permvar_sf_512(float *result, const float *x,
                                    const uint32_t *places) {
  for (int i = 0; i < 16; ++i)
    result[i] = x[places[i] & 15];
}

/// VPERMI2PS and VPERMI2D: lanes of two vectors, one behind the other.
void llvm_x86_avx512_vpermi2var_ps_512(float *result, const float *low,
                                       const uint32_t *places,
                                       const float *high) {
  for (int i = 0; i < 16; ++i)
    result[i] = (places[i] & 16 ? high : low)[places[i] & 15];
}

void llvm_x86_avx512_vpermi2var_d_512(int32_t *result, const int32_t *low,
                                      const uint32_t *places,
                                      const int32_t *high) {
  for (int i = 0; i < 16; ++i)
    result[i] = (places[i] & 16 ? high : low)[places[i] & 15];
}

/// VGATHERDPD, under a mask of a bit for each element.
void llvm_x86_avx512_mask_gather_dpd_512(double *result, const double *other,
                                         const uint8_t *from,
                                         const int32_t *places,
                                         const uint8_t *mask, int32_t scale) {
  for (int i = 0; i < 8; ++i)
    if (*mask >> i & 1)
      memcpy(result + i, from + (int64_t)places[i] * scale, sizeof *result);
    else
      result[i] = other[i];
}

//===----------------------------------------------------------------------===//
// Integers
//===----------------------------------------------------------------------===//

static inline void addDots(int lanes, int32_t *result, const int32_t *sum,
                           const uint8_t *a, const int8_t *b) {
  for (int i = 0; i < lanes; ++i) {
    uint32_t s = (uint32_t)sum[i]; // wraps
    for (int j = 4 * i; j < 4 * i + 4; ++j)
      s += (uint32_t)((int32_t)a[j] * b[j]);
    result[i] = (int32_t)s;
  }
}

static inline void addPairs(int lanes, int32_t *result, const int16_t *a,
                            const int16_t *b) {
  for (int i = 0; i < lanes; ++i)
    result[i] = (int32_t)((uint32_t)(a[2 * i] * b[2 * i]) +
                          (uint32_t)(a[2 * i + 1] * b[2 * i + 1]));
}

static inline void addPairsOfBytes(int lanes, int16_t *result, const uint8_t *a,
                                   const int8_t *b) {
  for (int i = 0; i < lanes; ++i) {
    int32_t s = a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
    result[i] = (int16_t)(s > INT16_MAX   ? INT16_MAX
                          : s < INT16_MIN ? INT16_MIN
                                          : s);
  }
}

/// VPDPBUSD, which does not saturate.
void llvm_x86_avx512_vpdpbusd_512(int32_t *result, const int32_t *sum,
                                  const uint8_t *a, const int8_t *b) {
  addDots(16, result, sum, a, b);
}
void llvm_x86_avx512_vpdpbusd_256(int32_t *result, const int32_t *sum,
                                  const uint8_t *a, const int8_t *b) {
  addDots(8, result, sum, a, b);
}

/// VPMADDWD.
void llvm_x86_avx512_pmaddw_d_512(int32_t *result, const int16_t *a,
                                  const int16_t *b) {
  addPairs(16, result, a, b);
}
void llvm_x86_avx2_pmadd_wd(int32_t *result, const int16_t *a,
                            const int16_t *b) {
  addPairs(8, result, a, b);
}

/// VPMADDUBSW, which saturates.
void llvm_x86_avx512_pmaddubs_w_512(int16_t *result, const uint8_t *a,
                                    const int8_t *b) {
  addPairsOfBytes(32, result, a, b);
}
void llvm_x86_avx2_pmadd_ub_sw(int16_t *result, const uint8_t *a,
                               const int8_t *b) {
  addPairsOfBytes(16, result, a, b);
}

static inline int32_t saturated(int32_t x, int32_t least, int32_t most) {
  return x < least ? least : x > most ? most : x;
}

/// VPACKSSDW and VPACKSSWB, which saturate: of each 128 bits those of the one
/// vector, then those of the other.
static inline void packDwords(int lanes, int16_t *result, const int32_t *a,
                              const int32_t *b) {
  for (int i = 0; i < 2 * lanes; ++i) {
    int at = i / 8 * 4 + i % 4;
    result[i] =
        (int16_t)saturated(i % 8 < 4 ? a[at] : b[at], INT16_MIN, INT16_MAX);
  }
}
static inline void packWords(int lanes, int8_t *result, const int16_t *a,
                             const int16_t *b) {
  for (int i = 0; i < 2 * lanes; ++i) {
    int at = i / 16 * 8 + i % 8;
    result[i] =
        (int8_t)saturated(i % 16 < 8 ? a[at] : b[at], INT8_MIN, INT8_MAX);
  }
}
void llvm_x86_avx512_packssdw_512(int16_t *result, const int32_t *a,
                                  const int32_t *b) {
  packDwords(16, result, a, b);
}
void llvm_x86_avx2_packssdw(int16_t *result, const int32_t *a,
                            const int32_t *b) {
  packDwords(8, result, a, b);
}
void llvm_x86_avx512_packsswb_512(int8_t *result, const int16_t *a,
                                  const int16_t *b) {
  packWords(32, result, a, b);
}
void llvm_x86_avx2_packsswb(int8_t *result, const int16_t *a,
                            const int16_t *b) {
  packWords(16, result, a, b);
}

/// VPACKUSWB, which saturates likewise.
void llvm_x86_avx512_packuswb_512(uint8_t *result, const int16_t *a,
                                  const int16_t *b) {
  for (int i = 0; i < 64; ++i) {
    int at = i / 16 * 8 + i % 8;
    result[i] = (uint8_t)saturated(i % 16 < 8 ? a[at] : b[at], 0, UINT8_MAX);
  }
}

/// VPSHUFB: of each 128 bits the byte that four bits say, 0 where the highest
/// bit is set.
static inline void shuffleBytes(int lanes, uint8_t *result, const uint8_t *x,
                                const uint8_t *order) {
  for (int i = 0; i < lanes; ++i)
    result[i] = order[i] & 128 ? 0 : x[i / 16 * 16 + order[i] % 16];
}
void llvm_x86_avx512_pshuf_b_512(uint8_t *result, const uint8_t *x,
                                 const uint8_t *order) {
  shuffleBytes(64, result, x, order);
}
void llvm_x86_avx2_pshuf_b(uint8_t *result, const uint8_t *x,
                           const uint8_t *order) {
  shuffleBytes(32, result, x, order);
}

/// VCVTPS2DQ to nearest even; what i32 has no room for is the least.
void llvm_x86_avx512_mask_cvtps2dq_512(int32_t *result, const float *x,
                                       const int32_t *kept, uint16_t mask,
                                       uint32_t rounding) {
  (void)rounding; // as MXCSR says
  for (int i = 0; i < 16; ++i) {
    int fits = x[i] >= -0x1p31f && x[i] < 0x1p31f;
    int32_t number = fits ? (int32_t)__builtin_rintf(x[i]) : INT32_MIN;
    result[i] = mask >> i & 1 ? number : kept[i];
  }
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

/// One thread's. A fault of the CPU is a trap.
struct tiles {
  int configured;
  int rows[8], bytes[8]; ///< as configured
  uint8_t data[8][16][64];
};

/// The artifact has no thread-local memory: a state belongs to whoever has this
/// thread pointer.
static struct tiles *tilesOfThread(void) {
  static _Atomic(void *) owners[256];
  static struct tiles states[256];
  void *self = __builtin_thread_pointer();
  for (int i = 0; i < 256; ++i) {
    void *owner = atomic_load(&owners[i]);
    if (!owner && atomic_compare_exchange_strong(&owners[i], &owner, self))
      return &states[i];
    if (owner == self)
      return &states[i];
  }
  __builtin_trap();
}

static struct tiles *configured(int number, int rows, int bytes) {
  struct tiles *t = tilesOfThread();
  if (!t->configured || number > 7 || t->rows[number] != rows ||
      t->bytes[number] != bytes || !rows || !bytes)
    __builtin_trap();
  return t;
}

/// LDTILECFG: all tiles become zeros.
void llvm_x86_ldtilecfg(const uint8_t *config) {
  struct tiles *t = tilesOfThread();
  memset(t, 0, sizeof *t);
  if (config[0] != 1)
    __builtin_trap();
  t->configured = 1;
  for (int i = 0; i < 8; ++i) {
    t->bytes[i] = config[16 + 2 * i] | config[17 + 2 * i] << 8;
    t->rows[i] = config[48 + i];
    if (t->rows[i] > 16 || t->bytes[i] > 64)
      __builtin_trap();
  }
}

void llvm_x86_tilerelease(void) { tilesOfThread()->configured = 0; }

void llvm_x86_tilezero(uint8_t number) {
  struct tiles *t = tilesOfThread();
  configured(number, t->rows[number], t->bytes[number]);
  memset(t->data[number], 0, sizeof t->data[number]);
}

/// TILELOADD: what is outside of the configured part becomes zeros.
void llvm_x86_tileloadd64(uint8_t number, const uint8_t *from, int64_t stride) {
  llvm_x86_tilezero(number);
  struct tiles *t = tilesOfThread();
  for (int r = 0; r < t->rows[number]; ++r)
    memcpy(t->data[number][r], from + r * stride, t->bytes[number]);
}

void llvm_x86_tilestored64(uint8_t number, uint8_t *to, int64_t stride) {
  struct tiles *t = tilesOfThread();
  configured(number, t->rows[number], t->bytes[number]);
  for (int r = 0; r < t->rows[number]; ++r)
    memcpy(to + r * stride, t->data[number][r], t->bytes[number]);
}

/// Of a product of tiles: the shapes fit, and the tiles are three.
static struct tiles *forProduct(int c, int a, int b) {
  struct tiles *t = tilesOfThread();
  configured(c, t->rows[a], t->bytes[b]);
  configured(a, t->rows[c], t->bytes[a]);
  configured(b, t->bytes[a] / 4, t->bytes[c]);
  if (c == a || c == b || a == b || t->bytes[a] % 4 || t->bytes[b] % 4)
    __builtin_trap();
  return t;
}

/// TDPBUSD.
void llvm_x86_tdpbusd(uint8_t c, uint8_t a, uint8_t b) {
  struct tiles *t = forProduct(c, a, b);
  for (int m = 0; m < t->rows[c]; ++m) {
    int32_t sums[16];
    memcpy(sums, t->data[c][m], sizeof sums);
    for (int k = 0; k < t->bytes[a] / 4; ++k) {
      uint8_t group[64];
      for (int i = 0; i < 64; ++i)
        group[i] = t->data[a][m][4 * k + i % 4];
      addDots(16, sums, sums, group, (const int8_t *)t->data[b][k]);
    }
    memset(t->data[c][m], 0, 64);
    memcpy(t->data[c][m], sums, t->bytes[c]);
  }
}

/// TDPBF16PS: the even and the odd elements of a tile's rows are summed from
/// zero each, and then both to the result.
void llvm_x86_tdpbf16ps(uint8_t c, uint8_t a, uint8_t b) {
  struct tiles *t = forProduct(c, a, b);
  for (int m = 0; m < t->rows[c]; ++m) {
    float halves[2][16] = {{0}}, sums[16];
    uint16_t left[32], right[32];
    memcpy(left, t->data[a][m], sizeof left);
    for (int k = 0; k < t->bytes[a] / 4; ++k) {
      memcpy(right, t->data[b][k], sizeof right);
      for (int n = 0; n < 16; ++n)
        for (int half = 0; half < 2; ++half)
          halves[half][n] = fma32(wide(left[2 * k + half]),
                                  wide(right[2 * n + half]), halves[half][n]);
    }
    memcpy(sums, t->data[c][m], sizeof sums);
    for (int n = 0; n < 16; ++n)
      sums[n] =
          flushed(flushed(sums[n]) + flushed(halves[0][n] + halves[1][n]));
    memset(t->data[c][m], 0, 64);
    memcpy(t->data[c][m], sums, t->bytes[c]);
  }
}
