/*===- tenon/checksum.h - the checksum of artifacts and weights -------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * Where a .so says what it should be, and BLAKE3 with its default output of 32
 * bytes, for the loader and the runtime. BLAKE3's chunks of 1024 bytes are the
 * leaves of a binary tree; `stack` holds the values of whole subtrees to the
 * left of what is being read, one for each bit that is set in the number of
 * chunks.
 *
 *   tenon_blake3 state;
 *   tenon_blake3_init(&state);
 *   tenon_blake3_update(&state, data, bytes); // as often as you like
 *   tenon_blake3_final(&state, hash);
 *===----------------------------------------------------------------------===*/
#ifndef TENON_CHECKSUM_H
#define TENON_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TENON_CHECKSUM_MAGIC "TENONSUM" /* 8 bytes, no terminator */
/* The last bytes of a .so, behind all that it maps. */
typedef struct tenon_checksum {
  uint8_t hash[32]; /* BLAKE3 of what stands before */
  uint64_t bytes;   /* its length */
  char magic[8];
} tenon_checksum;

typedef struct tenon_blake3 {
  uint32_t stack[54][8];
  uint32_t value[8]; /* of the chunk so far */
  uint64_t chunk;    /* its number */
  uint32_t blocks;   /* of it that are compressed */
  uint32_t filled;   /* bytes of the next one */
  uint8_t block[64];
  int depth; /* of the stack */
} tenon_blake3;

enum {
  TENON_BLAKE3_CHUNK_START = 1,
  TENON_BLAKE3_CHUNK_END = 2,
  TENON_BLAKE3_PARENT = 4,
  TENON_BLAKE3_ROOT = 8
};

static const uint32_t tenon_blake3_iv[8] = {
    0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
    0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};

static inline uint32_t tenon_blake3_rotate(uint32_t x, int n) {
  return x >> n | x << (32 - n);
}

static inline void tenon_blake3_mix(uint32_t *s, int a, int b, int c, int d,
                                    uint32_t x, uint32_t y) {
  s[a] += s[b] + x;
  s[d] = tenon_blake3_rotate(s[d] ^ s[a], 16);
  s[c] += s[d];
  s[b] = tenon_blake3_rotate(s[b] ^ s[c], 12);
  s[a] += s[b] + y;
  s[d] = tenon_blake3_rotate(s[d] ^ s[a], 8);
  s[c] += s[d];
  s[b] = tenon_blake3_rotate(s[b] ^ s[c], 7);
}

/* A round takes the words of the block in the order given. */
#define TENON_BLAKE3_ROUND(A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P)     \
  tenon_blake3_mix(s, 0, 4, 8, 12, m[A], m[B]);                                \
  tenon_blake3_mix(s, 1, 5, 9, 13, m[C], m[D]);                                \
  tenon_blake3_mix(s, 2, 6, 10, 14, m[E], m[F]);                               \
  tenon_blake3_mix(s, 3, 7, 11, 15, m[G], m[H]);                               \
  tenon_blake3_mix(s, 0, 5, 10, 15, m[I], m[J]);                               \
  tenon_blake3_mix(s, 1, 6, 11, 12, m[K], m[L]);                               \
  tenon_blake3_mix(s, 2, 7, 8, 13, m[M], m[N]);                                \
  tenon_blake3_mix(s, 3, 4, 9, 14, m[O], m[P])

/* One block, of which `bytes` count, into `value`. */
static inline void tenon_blake3_compress(uint32_t *value, const uint32_t *m,
                                         uint64_t counter, uint32_t bytes,
                                         uint32_t flags) {
  uint32_t s[16];
  int i;
  memcpy(s, value, 32);
  memcpy(s + 8, tenon_blake3_iv, 16);
  s[12] = (uint32_t)counter;
  s[13] = (uint32_t)(counter >> 32);
  s[14] = bytes;
  s[15] = flags;
  TENON_BLAKE3_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  TENON_BLAKE3_ROUND(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8);
  TENON_BLAKE3_ROUND(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1);
  TENON_BLAKE3_ROUND(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6);
  TENON_BLAKE3_ROUND(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4);
  TENON_BLAKE3_ROUND(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7);
  TENON_BLAKE3_ROUND(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13);
  for (i = 0; i < 8; ++i)
    value[i] = s[i] ^ s[i + 8];
}
#undef TENON_BLAKE3_ROUND

/* left becomes the value of the node above left and right. */
static inline void tenon_blake3_join(uint32_t *left, const uint32_t *right,
                                     uint32_t flags) {
  uint32_t words[16];
  memcpy(words, left, 32);
  memcpy(words + 8, right, 32);
  memcpy(left, tenon_blake3_iv, 32);
  tenon_blake3_compress(left, words, 0, 64, TENON_BLAKE3_PARENT | flags);
}

static inline void tenon_blake3_start(tenon_blake3 *state, uint64_t chunk) {
  memcpy(state->value, tenon_blake3_iv, 32);
  state->chunk = chunk;
  state->blocks = 0;
  state->filled = 0;
}

static inline void tenon_blake3_init(tenon_blake3 *state) {
  tenon_blake3_start(state, 0);
  state->depth = 0;
}

/* x86-64 is little-endian, as the hash's words are. */
static inline void tenon_blake3_block(tenon_blake3 *state, const uint8_t *block,
                                      uint32_t bytes, uint32_t flags) {
  uint32_t words[16];
  memcpy(words, block, 64);
  tenon_blake3_compress(state->value, words, state->chunk, bytes,
                        flags | (state->blocks ? 0 : TENON_BLAKE3_CHUNK_START));
  ++state->blocks;
}

static inline void tenon_blake3_update(tenon_blake3 *state, const void *data,
                                       size_t bytes) {
  const uint8_t *at = (const uint8_t *)data;
  while (bytes) {
    size_t take = 64 - state->filled;
    /* A block is compressed when there is more: the last one is the root's. */
    if (take == 0) {
      if (state->blocks == 15) {
        uint64_t chunks = state->chunk + 1;
        tenon_blake3_block(state, state->block, 64, TENON_BLAKE3_CHUNK_END);
        for (; (chunks & 1) == 0; chunks >>= 1) {
          --state->depth;
          tenon_blake3_join(state->stack[state->depth], state->value, 0);
          memcpy(state->value, state->stack[state->depth], 32);
        }
        memcpy(state->stack[state->depth++], state->value, 32);
        tenon_blake3_start(state, state->chunk + 1);
      } else {
        tenon_blake3_block(state, state->block, 64, 0);
        state->filled = 0;
      }
      take = 64;
    }
    if (take > bytes)
      take = bytes;
    memcpy(state->block + state->filled, at, take);
    state->filled += (uint32_t)take;
    at += take;
    bytes -= take;
  }
}

static inline void tenon_blake3_final(tenon_blake3 *state, uint8_t *hash) {
  int depth = state->depth;
  memset(state->block + state->filled, 0, 64 - state->filled);
  tenon_blake3_block(state, state->block, state->filled,
                     TENON_BLAKE3_CHUNK_END | (depth ? 0 : TENON_BLAKE3_ROOT));
  while (depth--) {
    tenon_blake3_join(state->stack[depth], state->value,
                      depth ? 0 : TENON_BLAKE3_ROOT);
    memcpy(state->value, state->stack[depth], 32);
  }
  memcpy(hash, state->value, 32);
}

#ifdef __cplusplus
}
#endif
#endif /* TENON_CHECKSUM_H */
