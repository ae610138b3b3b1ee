#!/usr/bin/env python3
# ===- collectives.py - instructions of many threads ----------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Shuffles, votes, barriers, atomics, memory, matrices and asynchronous copies
of the emulated GPU, against values by hand; whole numbers make sums exact.

usage: collectives.py [SUBSTRING...]
"""

import re
import sys

import gpu as emulated
import numpy as np
import rules

LANES = np.arange(32)
FULL = 0xFFFFFFFF

# Every thread's 32-bit result %r0 goes to the one output.
STORE = "  mad.wide.u32 %d0, %t, 4, %q0;\n  st.global.b32 [%d0], %r0;"


def bits(mask):
    return np.array([mask >> lane & 1 for lane in range(32)])


def simple():
    """Bodies that set %r0 from %t, and what a warp's lanes get."""
    shuffle = "  add.u32 %r1, %t, 100;\n  shfl.sync.{} %r0|%p0, %r1, {}, {}, -1;"
    valid = shuffle + "\n  selp.b32 %r0, 1, 0, %p0;"
    yield "shfl.bfly", shuffle.format("bfly.b32", 5, 31), (LANES ^ 5) + 100
    yield "shfl.idx", shuffle.format("idx.b32", 7, 31), np.full(32, 107)
    yield "shfl.idx of lanes", shuffle.format("idx.b32", "%t", 31), LANES + 100
    yield "shfl.down", shuffle.format("down.b32", 4, 31), np.where(LANES < 28, LANES + 104, LANES + 100)
    yield "shfl.up", shuffle.format("up.b32", 4, 0), np.where(LANES >= 4, LANES + 96, LANES + 100)
    yield "shfl.down, 8 lanes", shuffle.format("down.b32", 1, 0x181F), np.where(LANES % 8 < 7, LANES + 101, LANES + 100)
    yield "shfl.idx, 8 lanes", shuffle.format("idx.b32", 2, 0x181F), LANES // 8 * 8 + 102
    yield "shfl.down's predicate", valid.format("down.b32", 4, 31), (LANES < 28) * 1
    yield "shfl.up's predicate", valid.format("up.b32", 1, 0), (LANES >= 1) * 1
    yield "vote.any", "  setp.eq.u32 %p0, %t, 9;\n  vote.sync.any.pred %p1, %p0, -1;\n  selp.b32 %r0, 1, 0, %p1;", np.ones(32)
    yield "vote.all", "  setp.eq.u32 %p0, %t, 9;\n  vote.sync.all.pred %p1, %p0, -1;\n  selp.b32 %r0, 1, 0, %p1;", np.zeros(32)
    yield "vote.all of not", "  setp.gt.u32 %p0, %t, 40;\n  vote.sync.all.pred %p1, !%p0, -1;\n  selp.b32 %r0, 1, 0, %p1;", np.ones(32)
    yield "vote.uni", "  setp.eq.u32 %p0, %t, 9;\n  vote.sync.uni.pred %p1, %p0, -1;\n  selp.b32 %r0, 1, 0, %p1;", np.zeros(32)
    yield "vote.ballot", "  setp.lt.u32 %p0, %t, 9;\n  vote.sync.ballot.b32 %r0, %p0, -1;", np.full(32, 0x1FF)
    yield "vote of some", ("  setp.lt.u32 %p0, %t, 8;\n  mov.u32 %r0, 0;\n  @!%p0 bra $OUT;\n"
                           "  vote.sync.ballot.b32 %r0, %p0, 255;\n$OUT:\n"), np.where(LANES < 8, 255, 0)
    yield "redux.add", "  redux.sync.add.s32 %r0, %t, -1;", np.full(32, 496)
    yield "redux.max", "  redux.sync.max.u32 %r0, %t, -1;", np.full(32, 31)
    yield "redux.min", "  sub.u32 %r1, %t, 5;\n  redux.sync.min.s32 %r0, %r1, -1;", np.full(32, FULL - 4)
    yield "redux.and", "  or.b32 %r1, %t, 64;\n  redux.sync.and.b32 %r0, %r1, -1;", np.full(32, 64)
    yield "redux.or", "  redux.sync.or.b32 %r0, %t, -1;", np.full(32, 31)
    yield "redux.xor", "  redux.sync.xor.b32 %r0, %t, -1;", np.zeros(32)
    yield "match.any", "  and.b32 %r1, %t, 1;\n  match.any.sync.b32 %r0, %r1, -1;", np.where(LANES % 2, 0xAAAAAAAA, 0x55555555)
    yield "activemask", "  mov.u32 %r0, 0;\n  setp.gt.u32 %p0, %t, 15;\n  @%p0 activemask.b32 %r0;", np.where(LANES > 15, 0xFFFF0000, 0)
    yield "elect", "  elect.sync %r1|%p0, -1;\n  selp.b32 %r0, 1, %r1, %p0;", (LANES == 0) * 1
    yield "lane masks", ("  mov.u32 %r1, %lanemask_lt;\n  mov.u32 %r2, %lanemask_ge;\n  add.u32 %r3, %r1, %r2;\n"
                         "  mov.u32 %r4, %laneid;\n  add.u32 %r0, %r3, %r4;"), (LANES + FULL) & FULL
    yield "branches meet again", ("  mov.u32 %r0, 0;\n  mov.u32 %r1, 0;\n$LOOP:\n  add.u32 %r0, %r0, %r1;\n  add.u32 %r1, %r1, 1;\n"
                                  "  setp.le.u32 %p0, %r1, %t;\n  @%p0 bra $LOOP;\n"
                                  "  shfl.sync.bfly.b32 %r0, %r0, 1, 31, -1;"), (LANES ^ 1) * ((LANES ^ 1) + 1) // 2
    yield "brx.idx", ("  and.b32 %r1, %t, 3;\n$TABLE: .branchtargets $A, $B, $C, $B;\n  brx.idx %r1, $TABLE;\n"
                      "$A:\n  mov.u32 %r0, 10;\n  bra $END;\n$B:\n  mov.u32 %r0, 20;\n  bra $END;\n$C:\n  mov.u32 %r0, 30;\n$END:\n"),\
        np.array([10, 20, 30, 20])[LANES % 4]
    yield "some end early", "  mov.u32 %r0, 7;\n  setp.gt.u32 %p0, %t, 40;\n  @%p0 exit;\n  @%p0 trap;", np.full(32, 7)
    yield "hints", ("  prefetch.global.L2 [%q0];\n  prefetchu.L1 [%q0];\n  fence.acq_rel.gpu;\n  membar.gl;\n  nanosleep.u32 20;\n  bar.warp.sync -1;\n"
                    "  mov.u32 %r0, 3;"), np.full(32, 3)
    yield "launch hints", "  griddepcontrol.wait;\n  mov.u32 %r0, 4;", np.full(32, 4)
    yield "local memory", ("  mov.u64 %d1, spot;\n  cvta.local.u64 %d2, %d1;\n  mul.wide.u32 %d3, %t, 4;\n  and.b64 %d3, %d3, 12;\n"
                           "  add.u64 %d2, %d2, %d3;\n  st.b32 [%d2], %t;\n  ld.local.b32 %r1, [spot+4];\n"
                           "  and.b32 %r2, %t, 3;\n  setp.eq.u32 %p0, %r2, 1;\n  selp.b32 %r0, %r1, 5, %p0;"),\
        np.where(LANES % 4 == 1, LANES, 5)
    yield "scopes", ("  { .reg .b32 %r1; mov.u32 %r1, 9; { .reg .b32 %r1; mov.u32 %r1, 8; } mov.u32 %r0, %r1; }"), np.full(32, 9)
    yield "constants of the module", "  and.b32 %r1, %t, 3;\n  mul.wide.u32 %d1, %r1, 4;\n  mov.u64 %d2, table;\n  add.u64 %d1, %d1, %d2;\n  ld.const.b32 %r0, [%d1];", \
        np.array([1, 2, 3, 4])[LANES % 4]


def memory_body():
    """Loads and stores of all widths, through shared memory by generic and by own addresses."""
    return """
  mul.wide.u32 %d0, %t, 16;
  add.u64 %d1, %q0, %d0;
  ld.global.nc.v4.b32 {%r0, %r1, %r2, %r3}, [%d1];
  ld.global.v2.b64 {%d4, %d5}, [%d1];
  ld.global.s8 %r4, [%d1+3];
  ld.global.u8 %r5, [%d1+3];
  ld.global.s16 %h0, [%d1+6];
  ldu.global.b8 %h1, [%d1+7];
  mov.u64 %d2, room;
  cvta.shared.u64 %d3, %d2;
  add.u64 %d3, %d3, %d0;
  st.v4.b32 [%d3], {%r3, %r2, %r1, %r0};
  ld.b64 %d6, [%d3+8];
  mov.u32 %r8, room;
  mad.lo.u32 %r8, %t, 16, %r8;
  ld.shared.v2.b32 {%r9, %r10}, [%r8];
  st.shared.b8 [%r8+5], %r9;
  ld.shared.b32 %r11, [%r8+4];
  cvt.u32.u16 %r6, %h0;
  cvt.u32.u16 %r7, %h1;
  mul.wide.u32 %d0, %t, 64;
  add.u64 %d1, %q1, %d0;
  st.global.v4.b32 [%d1], {%r4, %r5, %r6, %r7};
  st.global.v2.b32 [%d1+16], {%r9, %r11};
  st.global.b64 [%d1+24], %d4;
  st.global.v2.b64 [%d1+32], {%d5, %d6};
  st.global.b16 [%d1+48], %h1;
  st.global.b8 [%d1+50], %r5;
  mov.b32 %r12, 0;
  st.global.b8 [%d1+51], %r12;
  st.global.b32 [%d1+52], %r12;
  st.global.b64 [%d1+56], 0;
"""


def check_memory(device):
    rng = np.random.default_rng(1)
    raw = rng.integers(0, 256, (32, 16), dtype=np.uint8)
    found = emulated.run(device, memory_body(), [raw], [((32, 64), np.uint8)], extra=".shared .align 16 .b8 room[512];")
    expect = np.zeros((32, 64), np.uint8)
    words = raw.view("<u4")
    expect.view("<i4")[:, 0] = raw[:, 3].view(np.int8)
    expect.view("<u4")[:, 1] = raw[:, 3]
    expect.view("<u4")[:, 2] = raw.view("<u2")[:, 3]
    expect.view("<u4")[:, 3] = raw[:, 7]
    expect.view("<u4")[:, 4] = words[:, 3]
    expect.view("<u4")[:, 5] = words[:, 2] & 0xFFFF00FF | (words[:, 3] & 0xFF) << 8
    expect.view("<u8")[:, 3:5] = raw.view("<u8")
    expect.view("<u4")[:, 10] = words[:, 1]
    expect.view("<u4")[:, 11] = words[:, 0]
    expect.view("<u2")[:, 24] = raw[:, 7]
    expect[:, 50] = raw[:, 3]
    return same(found, [expect])


def check_atomics(device):
    """Thread t brings t - 16 to one place per operation."""
    signed = LANES - 16
    places = [("add.s32", "%r1", signed.sum()), ("min.s32", "%r1", -16), ("max.s32", "%r1", 15),
              ("and.b32", "%r1", np.bitwise_and.reduce(signed)), ("or.b32", "%r1", np.bitwise_or.reduce(signed)),
              ("xor.b32", "%r1", np.bitwise_xor.reduce(signed)), ("exch.b32", "%r1", None),
              ("add.f32", "%r4", np.float32(signed.sum()).view(np.int32)),
              ("inc.u32", "9", 2),  # 32 steps among 0 to 9
              ("dec.u32", "9", 8)]
    body = "  sub.u32 %r1, %t, 16;\n  cvt.rn.f32.s32 %r4, %r1;\n"
    for place, (operation, value, _) in enumerate(places):
        to = "red.global." + operation if place % 2 and place < 6 else f"atom.global.{operation} %r2,"
        body += f"  {to} [%q0+{4 * place}], {value};\n"
    body += """  atom.global.cas.b32 %r3, [%q0+40], 0, 77;
  atom.global.add.u64 %d1, [%q0+48], 3;
  atom.global.add.f64 %d2, [%q0+56], 0d3FF0000000000000;
  bar.warp.sync -1;
  mad.wide.u32 %d3, %t, 4, %q1;
  st.global.b32 [%d3+64], %r3;
  setp.lt.u32 %p0, %t, 16;
  mad.wide.u32 %d4, %t, 4, %q0;
  @%p0 ld.global.b32 %r5, [%d4];
  @%p0 st.global.b32 [%d3], %r5;
"""
    start = np.zeros(16, np.int32)
    start[3] = -1
    found = emulated.run(device, body, [start], [(48, np.int32)])
    if isinstance(found, str):
        return found
    values, winners = found[0][:16], found[0][16:]
    for place, (operation, _, expected) in enumerate(places):
        if expected is not None and values[place] != expected:
            return f"{operation}: {values[place]}, expected {expected}"
    if values[6] not in signed or values[10] != 77 or sorted(winners) != [0] + [77] * 31:
        return f"exch {values[6]}, cas {values[10]} {winners}"
    if values[12:14].view(np.int64)[0] != 96 or values[14:16].view(np.float64)[0] != 32.0:
        return "64 bits"
    return None


def check_barriers(device):
    """Two warps exchange through shared memory; bar.red counts; a named barrier of two of three warps."""
    body = """
  mov.u32 %r1, room;
  mad.lo.u32 %r2, %t, 4, %r1;
  st.shared.b32 [%r2], %t;
  bar.sync 0;
  xor.b32 %r3, %t, 32;
  setp.lt.u32 %p0, %t, 64;
  mad.lo.u32 %r4, %r3, 4, %r1;
  @%p0 ld.shared.b32 %r5, [%r4];
  @!%p0 mov.u32 %r5, %t;
  setp.lt.u32 %p1, %t, 10;
  barrier.cta.red.popc.aligned.u32 %r6, 0, %p1;
  bar.red.and.pred %p2, 1, %p0;
  bar.red.or.pred %p3, 1, %p1;
  selp.b32 %r7, 100, 0, %p2;
  selp.b32 %r8, 1000, 0, %p3;
  setp.ge.u32 %p4, %t, 64;
  @%p4 bra $LAST;
  @%p0 bar.sync 2, 64;
$LAST:
  @%p4 bar.arrive 3, 96;
  @%p0 bar.sync 3, 96;
  mad.lo.u32 %r9, %r6, 10000, %r5;
  add.u32 %r9, %r9, %r7;
  add.u32 %r0, %r9, %r8;
"""
    threads = np.arange(96)
    expected = np.where(threads < 64, threads ^ 32, threads) + 10 * 10000 + 1000
    for seed in (1, 2, 3):
        found = emulated.run(device, body + STORE, [], [(96, np.uint32)], threads=96, seed=seed,
                             extra=".shared .align 4 .b8 room[384];")
        if wrong := same(found, [expected]):
            return wrong
    return None


def same(found, expected):
    if isinstance(found, str):
        return found
    for left, right in zip(found, expected, strict=True):
        if not np.array_equal(left, np.asarray(right).astype(left.dtype)):
            at = np.argwhere(left != np.asarray(right).astype(left.dtype))[0]
            return f"at {at}: {left[tuple(at)]}, expected {np.asarray(right)[tuple(at)]}"
    return None


def check_matrices(device):
    """ldmatrix and stmatrix: lane l holds row l / 4, columns 2 (l % 4) and the next."""
    data = np.arange(4 * 64, dtype=np.uint16).reshape(4, 8, 8)
    group, place = LANES // 4, LANES % 4
    for trans in ("", ".trans"):
        for count in (1, 2, 4):
            registers = ", ".join(f"%r{16 + i}" for i in range(count))
            body = f"""
  mov.u32 %r1, room;
  mul.wide.u32 %d0, %t, 16;
  add.u64 %d1, %q0, %d0;
  ld.global.v4.b32 {{%r2, %r3, %r4, %r5}}, [%d1];
  mad.lo.u32 %r6, %t, 16, %r1;
  st.shared.v4.b32 [%r6], {{%r2, %r3, %r4, %r5}};
  bar.warp.sync -1;
  ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 {{{registers}}}, [%r6];
  stmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 [%r6+512], {{{registers}}};
  bar.warp.sync -1;
  setp.lt.u32 %p0, %t, {8 * count};
  @%p0 ld.shared.v4.b32 {{%r2, %r3, %r4, %r5}}, [%r6+512];
  add.u64 %d2, %q2, %d0;
  st.global.v4.b32 [%d2], {{%r2, %r3, %r4, %r5}};
  mad.wide.u32 %d4, %t, {4 * count}, %q1;
"""
            body += "".join(f"  st.global.b32 [%d4+{4 * i}], %r{16 + i};\n" for i in range(count))
            found = emulated.run(device, body, [data], [((32, count), np.uint32), (data.shape, np.uint16)],
                                 extra=".shared .align 16 .b8 room[1024];")
            if isinstance(found, str):
                return found
            for matrix in range(count):
                m = data[matrix].T if trans else data[matrix]
                expected = m[group, 2 * place].astype(np.uint32) | m[group, 2 * place + 1].astype(np.uint32) << 16
                if not np.array_equal(found[0][:, matrix], expected):
                    return f"ldmatrix.x{count}{trans}, matrix {matrix}"
            if not np.array_equal(found[1], data):
                return f"stmatrix.x{count}{trans}"
    return None


def fragments(matrix, rows_first, per_word):
    """The registers of an operand as the manual draws them: a's rows (or b's columns) by group, k by place."""
    m = matrix if rows_first else matrix.T  # b like a, of eight rows
    group, place = LANES // 4, LANES % 4
    registers = []
    for k in range(0, m.shape[1], 4 * per_word):
        for row in range(0, m.shape[0], 8):
            word = np.zeros(32, np.uint32)
            for element in range(per_word):
                code = m[row + group, k + place * per_word + element].astype(np.uint32)
                word |= code << np.uint32(element * 32 // per_word)
            registers.append(word)
    return registers


def encode(values, kind):
    if kind in ("s8", "u8"):
        return values.astype(np.int8).view(np.uint8)
    if kind == "f16":
        return values.astype(np.float16).view(np.uint16)
    word = values.astype(np.float32).view(np.uint32)
    if kind == "bf16":
        return (word >> 16).astype(np.uint16)
    if kind in ("e4m3", "e5m2"):  # whole numbers up to 3
        table = {"e4m3": [0, 0x38, 0x40, 0x44], "e5m2": [0, 0x3C, 0x40, 0x42]}[kind]
        return (np.array(table)[np.abs(values)] | np.where(values < 0, 0x80, 0)).astype(np.uint8)
    return word | 0x1FFF  # tf32: the last bits are not looked at


def check_mma(device):
    rng = np.random.default_rng(2)
    shapes = [("m16n8k4", "tf32", "f32"), ("m16n8k8", "tf32", "f32"), ("m16n8k8", "f16", "f32"), ("m16n8k16", "f16", "f32"),
              ("m16n8k16", "f16", "f16"), ("m16n8k8", "bf16", "f32"), ("m16n8k16", "bf16", "f32"), ("m16n8k16", "s8", "s32"),
              ("m16n8k32", "s8", "s32"), ("m16n8k32", "u8", "s32"), ("m16n8k32", "e4m3", "f32"), ("m16n8k32", "e5m2", "f32")]
    for shape, kind, result in shapes:
        k = int(shape.rsplit("k", 1)[1])
        low = 0 if kind == "u8" else -3
        a, b, c = (rng.integers(low, 4, s) for s in ((16, k), (k, 8), (16, 8)))
        per_word = {"tf32": 1, "f16": 2, "bf16": 2}.get(kind, 4)
        words = fragments(encode(a, kind), True, per_word) + fragments(encode(b, kind), False, per_word)
        group, place = LANES // 4, LANES % 4
        wide = c.astype(np.float32).view(np.uint32) if result == "f32" else c.astype(np.int32).view(np.uint32)
        if result == "f16":
            half = c.astype(np.float16).view(np.uint16).astype(np.uint32)
            words += [half[group + 8 * r, 2 * place] | half[group + 8 * r, 2 * place + 1] << 16 for r in range(2)]
        else:
            words += [wide[group + 8 * (r // 2), 2 * place + r % 2] for r in range(4)]
        regs_c = 2 if result == "f16" else 4
        regs_a = 16 * k // (32 * per_word)
        names = [f"%r{16 + i}" for i in range(len(words))]
        pick = lambda begin, count: "{" + ", ".join(names[begin:begin + count]) + "}"
        loads = "".join(f"  ld.global.b32 {name}, [%d0+{128 * i}];\n" for i, name in enumerate(names))
        sat = ".satfinite" if kind == "s8" and k == 32 else ""
        body = "  mad.wide.u32 %d0, %t, 4, %q0;\n  mad.wide.u32 %d1, %t, 4, %q1;\n" + loads
        body += (f"  mma.sync.aligned.{shape}.row.col{sat}.{result}.{kind}.{kind}.{result} {pick(regs_a + regs_a // 2, regs_c)}, "
                 f"{pick(0, regs_a)}, {pick(regs_a, regs_a // 2)}, {pick(regs_a + regs_a // 2, regs_c)};\n")
        body += "".join(f"  st.global.b32 [%d1+{128 * i}], {name};\n" for i, name in enumerate(names[-regs_c:]))
        found = emulated.run(device, body, [np.stack(words)], [((regs_c, 32), np.uint32)])
        if isinstance(found, str):
            return f"{shape}.{kind}: {found}"
        product = a @ b + c
        d = np.zeros((16, 8))
        for r in range(regs_c):
            word = found[0][r]
            if result == "f16":
                for e in range(2):
                    d[group + 8 * r, 2 * place + e] = (word >> 16 * e).astype(np.uint16).view(np.float16)
            else:
                d[group + 8 * (r // 2), 2 * place + r % 2] = word.view(np.float32 if result == "f32" else np.int32)
        if not np.array_equal(d, product):
            return f"{shape}.{kind}.{result}: off by {np.abs(d - product).max()}"
    return None


def check_async(device):
    """cp.async with zero fill, two groups; then a bulk copy that an mbarrier counts."""
    body = """
  mov.u32 %r1, room;
  mad.lo.u32 %r2, %t, 16, %r1;
  mul.wide.u32 %d0, %t, 16;
  add.u64 %d1, %q0, %d0;
  setp.lt.u32 %p0, %t, 20;
  selp.b32 %r3, 16, 4, %p0;
  cp.async.cg.shared.global [%r2], [%d1], 16, %r3;
  cp.async.commit_group;
  cp.async.ca.shared.global [%r2+512], [%d1+4], 4;
  cp.async.commit_group;
  cp.async.wait_group 1;
  bar.sync 0;
  ld.shared.v4.b32 {%r4, %r5, %r6, %r7}, [%r2];
  add.u64 %d2, %q1, %d0;
  st.global.v4.b32 [%d2], {%r4, %r5, %r6, %r7};
  cp.async.wait_all;
  ld.shared.b32 %r8, [%r2+512];
  st.global.b32 [%d2+512], %r8;
  mov.b32 %r9, 0;
  st.global.b32 [%d2+516], %r9;
  st.global.b64 [%d2+520], 0;
"""
    raw = np.arange(128, dtype=np.uint32).reshape(32, 4) + 1
    expected = np.zeros((64, 4), np.uint32)
    expected[:32] = np.where((LANES < 20)[:, None] | (np.arange(4) == 0), raw, 0)
    expected[32:, 0] = raw[:, 1]
    found = emulated.run(device, body, [raw], [((64, 4), np.uint32)], extra=".shared .align 16 .b8 room[1024];")
    if wrong := same(found, [expected]):
        return wrong
    body = """
  mov.u32 %r1, room;
  mov.u32 %r2, bar;
  mov.b32 %r20, 0;
  setp.eq.u32 %p0, %t, 0;
  @%p0 mbarrier.init.shared.b64 [%r2], 1;
  @%p0 mbarrier.init.shared.b64 [%r2+8], 64;
  fence.proxy.async.shared::cta;
  bar.sync 0;
$AGAIN:
  @!%p0 bra $WAIT;
  mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 512;
  cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%q0], 512, [%r2];
$WAIT:
  mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r2], %r20;
  @!%p1 bra $WAIT;
  mad.lo.u32 %r3, %t, 8, %r1;
  ld.shared.b64 %d3, [%r3];
  mbarrier.arrive.shared.b64 %d4, [%r2+8];
$SPIN:
  mbarrier.test_wait.shared.b64 %p2, [%r2+8], %d4;
  @!%p2 bra $SPIN;
  xor.b32 %r20, %r20, 1;
  setp.eq.u32 %p3, %r20, 1;
  @%p3 bra $AGAIN;
  mad.wide.u32 %d5, %t, 8, %q1;
  st.global.b64 [%d5], %d3;
  bar.sync 0;
  @%p0 mbarrier.inval.shared.b64 [%r2];
"""
    for seed in range(4):
        found = emulated.run(device, body, [raw], [((32, 4), np.uint32)], threads=64, seed=seed,
                             extra=".shared .align 16 .b8 room[512]; .shared .align 8 .b8 bar[16];")
        if wrong := same(found, [raw]):
            return f"seed {seed}: {wrong}"
    return None


def box_body(first, count, threads):
    """A box at `first` of the map that %q0 points to; its bytes go to %q1."""
    return f"""
  mov.u32 %r1, room;
  mov.u32 %r2, bar;
  setp.eq.u32 %p0, %t, 0;
  @!%p0 bra $WAIT;
  mbarrier.init.shared.b64 [%r2], 1;
  fence.mbarrier_init.release.cluster;
  mov.u32 %r3, {first[2] & FULL};
  mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], {count};
  cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r1], [%q0, {{{first[0]}, {first[1]}, %r3}}], [%r2];
$WAIT:
  bar.sync 0;
$SPIN:
  mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r2], 0;
  @!%p1 bra $SPIN;
  mov.u32 %r4, %t;
$COPY:
  mad.lo.u32 %r5, %r4, 4, %r1;
  ld.shared.b32 %r6, [%r5];
  mad.wide.u32 %d0, %r4, 4, %q1;
  st.global.b32 [%d0], %r6;
  add.u32 %r4, %r4, {threads};
  setp.lt.u32 %p2, %r4, {count // 4};
  @%p2 bra $COPY;
"""


def check_boxes(device):
    """Boxes of tensors: what is outside is 0, on every side; each swizzle; the map in memory and among the parameters."""
    data = np.arange(1, 1 + 3 * 20 * 40, dtype=np.uint16).reshape(3, 20, 40)
    address = device.put(data)
    cases = [(1, (64, 8, 1), 3, (0, 0, 0)), (1, (64, 16, 1), 3, (-9, 7, 2)), (1, (64, 8, 2), 3, (30, 17, 1)), (1, (32, 8, 1), 2, (3, -5, 0)),
             (1, (16, 8, 2), 1, (24, 5, -1)), (1, (24, 8, 1), 0, (1, 1, 1)), (2, (32, 8, 1), 3, (0, 19, 0)), (2, (32, 8, 1), 3, (-40, 3, 0))]
    for kind, box, swizzle, first in cases:
        values = data if kind == 1 else data.view(np.uint32)
        mapped = device.tensor_map(address, kind, values.shape[::-1], box, swizzle)
        count, span = int(np.prod(box)) * values.itemsize, {0: 16, 1: 32, 2: 64, 3: 128}[swizzle]
        expected = np.zeros(box[::-1], values.dtype)
        for at in np.ndindex(expected.shape):
            place = tuple(a + f for a, f in zip(at, first[::-1], strict=True))
            if all(0 <= p < n for p, n in zip(place, values.shape, strict=True)):
                expected[at] = values[place]
        rows = expected.view(np.uint8).reshape(-1, box[0] * values.itemsize)
        image = rows.reshape(-1) if swizzle == 0 else swizzled(rows, span)
        found = emulated.run(device, box_body(first, count, 64), [mapped], [((count,), np.uint8)], threads=64, seed=len(cases), header=emulated.HOPPER,
                             extra=f".shared .align 1024 .b8 room[{count}]; .shared .align 8 .b8 bar[8];")
        if wrong := same(found, [image]):
            return f"{box} at {first}, swizzle {swizzle}: {wrong}"
    device.free(address)
    return None


def swizzled(rows, span):
    """Rows of bytes as wgmma reads them, eight at a time: blocks of 16 bytes, exchanged as the manual draws it."""
    count, width = rows.shape
    eights = rows.reshape(count // 8, 8, width // 16, 16)
    if span == 16:  # blocks of eight rows lie together
        return eights.transpose(0, 2, 1, 3).reshape(-1)
    image = np.zeros_like(eights)
    for row in range(8):
        for block in range(span // 16):
            image[:, row, block ^ row // (128 // span)] = eights[:, row, block]
    return image.reshape(-1)


def check_wgmma(device):
    """64 x n x 32 bytes of K in every swizzle, of which a matrix may have more K than is multiplied; A in registers and in shared memory."""
    rng = np.random.default_rng(6)
    cases = [("tf32", 16, 128, 64), ("bf16", 8, 128, 96), ("f16", 24, 64, 32), ("bf16", 136, 128, 0), ("f16", 256, 32, 0),
             ("tf32", 8, 16, 0)]
    for described, (kind, n, span, first) in [(False, c) for c in cases] + [(True, c) for c in cases]:
        per_word = 1 if kind == "tf32" else 2
        k, width = 8 * per_word, max(span, 32)
        a, c = rng.integers(-3, 4, (64, k)), rng.integers(-3, 4, (64, n))
        whole = rng.integers(-3, 4, (n, width // 4 * per_word))
        b = whole[:, first // 4 * per_word:][:, :k]
        image = swizzled(np.ascontiguousarray(encode(whole, kind)).view(np.uint8), span)
        left_at = -(-len(image) // 1024) * 1024
        if described:
            rows = np.zeros((64, width // 4 * per_word), np.int64)
            rows[:, first // 4 * per_word:][:, :k] = a
            rows = swizzled(np.ascontiguousarray(encode(rows, kind)).view(np.uint8), span)
            image = np.concatenate([image, np.zeros(left_at - len(image), np.uint8), rows])
        left = np.concatenate([np.stack(fragments(encode(a[16 * w:16 * w + 16], kind), True, per_word)) for w in range(4)], axis=1)
        group, place = LANES // 4, LANES % 4
        at = [(group + 8 * (r // 2 % 2), r // 4 * 8 + place * 2 + r % 2) for r in range(n // 2)]
        sums = np.stack([np.concatenate([c[16 * w + row, column] for w in range(4)]) for row, column in at]).astype(np.float32)
        regs = [f"%r{16 + i}" for i in range(n // 2)]
        factors = [f"%r{8 + i}" for i in range(4)]
        strides = (256 >> 4) << 32 | (128 >> 4) << 16 if span == 16 else (8 * span >> 4) << 32
        fields = {16: 0, 128: 1, 64: 2, 32: 3}[span] << 62 | strides
        body = "  mad.wide.u32 %d0, %t, 4, %q1;\n  mad.wide.u32 %d1, %t, 4, %q2;\n  mad.wide.u32 %d6, %t, 4, %q3;\n"
        body += "".join(f"  ld.global.b32 {name}, [%d0+{512 * i}];\n" for i, name in enumerate(factors))
        body += "".join(f"  ld.global.b32 {name}, [%d1+{512 * i}];\n" for i, name in enumerate(regs))
        factor = "%d4" if described else f"{{{', '.join(factors)}}}"
        more = "" if per_word == 1 else ", 0, 0" if described else ", 0"
        body += f"""  mov.u32 %r1, room;
  mov.u32 %r2, %t;
$COPY:
  setp.ge.u32 %p0, %r2, {len(image) // 4};
  @%p0 bra $COPIED;
  mad.wide.u32 %d2, %r2, 4, %q0;
  ld.global.b32 %r3, [%d2];
  mad.lo.u32 %r4, %r2, 4, %r1;
  st.shared.b32 [%r4], %r3;
  add.u32 %r2, %r2, 128;
  bra $COPY;
$COPIED:
  bar.sync 0;
  fence.proxy.async.shared::cta;
  add.u32 %r1, %r1, {first};
  shr.u32 %r1, %r1, 4;
  cvt.u64.u32 %d3, %r1;
  or.b64 %d3, %d3, {fields};
  add.u64 %d4, %d3, {left_at >> 4};
  wgmma.fence.sync.aligned;
  wgmma.mma_async.sync.aligned.m64n{n}k{k}.f32.{kind}.{kind} {{{", ".join(regs)}}}, {factor}, %d3, 1, 1, 1{more};
  wgmma.commit_group.sync.aligned;
  wgmma.wait_group.sync.aligned 0;
"""
        body += "".join(f"  st.global.b32 [%d6+{512 * i}], {name};\n" for i, name in enumerate(regs))
        found = emulated.run(device, body, [image, left, sums], [((n // 2, 128), np.float32)], threads=128, registers=160,
                             header=emulated.HOPPER, extra=f".shared .align 1024 .b8 room[{len(image)}];")
        product = a @ b.T + c
        expected = np.stack([np.concatenate([product[16 * w + row, column] for w in range(4)]) for row, column in at])
        if wrong := same(found, [expected]):
            return f"{kind}, {n} columns, {span} bytes{', A described' if described else ''}: {wrong}"
        unfenced = emulated.run(device, body.replace("  fence.proxy.async.shared::cta;\n", ""), [image, left, sums], [((n // 2, 128), np.float32)],
                                threads=128, registers=160, header=emulated.HOPPER, extra=f".shared .align 1024 .b8 room[{len(image)}];")
        if "no fence.proxy.async" not in str(unfenced):
            return f"{kind}, without the fence: {unfenced}"
    return None


def check_owners(device):
    """Buffers side by side in one allocation: an access lies in that of the pointer which its address comes of."""
    copy = """
  mad.wide.u32 %d0, %t, 4, %q0;
  mad.wide.u32 %d1, %t, 4, %q1;
  ld.global.b32 %r0, [%d0];
  st.global.b32 [%d1], %r0;
"""
    load = "  ld.global.b32 %r0, [%d0];\n"
    room = "  mov.u32 %r1, room;\n  mad.lo.u32 %r2, %t, 4, %r1;\n"
    copies = {
        "cp.async": room + "  cp.async.ca.shared.global [%r2], [%d0], 4;\n  cp.async.wait_all;\n  ld.shared.b32 %r0, [%r2];\n",
        "atom": "  atom.global.add.u32 %r0, [%d0], 0;\n",
        "a pointer from memory": "  ld.global.b64 %d2, [%q2];\n  mad.wide.u32 %d5, %t, 4, %d2;\n" + load.replace("%d0", "%d5"),
        "one of two pointers": "  setp.lt.u32 %p0, %t, 16;\n  selp.b64 %d2, %q0, %q2, %p0;\n  mad.wide.u32 %d5, %t, 4, %d2;\n" + load.replace("%d0", "%d5"),
        "a loop": "  mov.b64 %d0, %q0;\n  mov.b32 %r3, %t;\n$NEXT:\n  setp.eq.u32 %p0, %r3, 0;\n  @%p0 bra $DONE;\n  add.s64 %d0, %d0, 4;\n"
                  "  sub.u32 %r3, %r3, 1;\n  bra $NEXT;\n$DONE:\n" + load,
    }
    own = " lie outside the 128 bytes of parameter 0"
    cases = [("right", copy, None), ("written before", copy.replace("[%d1]", "[%d1+-4]"), "offset -4 lie outside the 128 bytes of parameter 1"),
             ("read behind", copy.replace("%d0];", "%d0+4];"), "offset 128" + own),
             ("written behind", copy.replace("[%d1]", "[%d1+4]"), "offset 128 lie outside the 128 bytes of parameter 1"),
             ("another's bytes are read", copy.replace("[%d0]", "[%d1]"), "never written")]
    cases += [(name, copy.replace(load, text), None) for name, text in copies.items()]
    cases += [(f"{name}, behind", copy.replace(load, text.replace("[%d0]", "[%d0+128]").replace("[%d5]", "[%d5+384]")),
               "outside every buffer" if "pointer" in name else own) for name, text in copies.items()]
    data = np.arange(128, dtype=np.uint32)
    arena = device.put(data)
    tensor = device.tensor_map(arena, 2, (32, 1, 1), (32, 1, 1), 3)
    wrong_map = device.tensor_map(arena, 2, (32, 2, 1), (32, 1, 1), 3)
    held = device.put(tensor), device.put(wrong_map)
    given = [arena, arena + 128, arena + 256]
    told = [(128, False), (128, True), (128, False)]
    box = [held[0], arena + 128, arena]
    cases = [(name, body, due, given, told) for name, body, due in cases]
    cases += [
        ("nothing is told", cases[3][1], None, given, []),
        ("two that overlap", copy, "parameter 1, whose bytes are nobody's yet, overlaps parameter 0", [arena, arena + 64, arena + 256], told),
        ("a box", box_body((0, 0, 0), 128, 32), None, box, told),
        ("a box of a map that is too large", box_body((0, 1, 0), 128, 32), "lie outside the 128 bytes of parameter 2", [held[1], *box[1:]], told),
    ]
    for name, body, due, pointers, owners in cases:
        device.reset()
        target = data.copy()
        target[64:66] = np.array([arena], np.uint64).view(np.uint32)
        device.call("cuMemcpyHtoD_v2", emulated.ctypes.c_uint64(arena), target.ctypes.data_as(emulated.ctypes.c_void_p), emulated.ctypes.c_size_t(512))
        module = device.load(emulated.HOPPER + emulated.entry("k", body, 3, 32, extra=".shared .align 1024 .b8 room[128]; .shared .align 8 .b8 bar[8];"))
        report = ""
        try:
            device.launch(device.function(module, "k"), 1, 32, pointers, owners=owners)
            device.synchronize()
            found = device.get(arena + 128, 32, np.uint32)
        except emulated.CudaError:
            report = device.report()[1]
        device.reset()
        device.call("cuModuleUnload", module)
        if bool(report) != bool(due) or (due and due not in report):
            return f"{name}: {report or 'nothing'}, expected {due}"
        expected = target[:32]
        if name == "one of two pointers":
            expected = np.concatenate([target[:16], target[80:96]])
        if name == "nothing is told":
            expected = np.concatenate([target[32:33], target[:31]])
        if not due and (wrong := same([found], [expected])):
            return f"{name}: {wrong}"
    device.free(arena, *held)
    return None


def check_arrivals(device):
    """Threads that arrive once their copies are done, among those that an mbarrier expects or beside them."""
    for noinc, expected in ((".noinc", 64), ("", 64)):
        body = f"""
  mov.u32 %r1, room;
  mov.u32 %r2, bar;
  setp.eq.u32 %p0, %t, 0;
  @%p0 mbarrier.init.shared.b64 [%r2], {expected};
  bar.sync 0;
  mad.lo.u32 %r3, %t, 4, %r1;
  mad.wide.u32 %d0, %t, 4, %q0;
  cp.async.ca.shared.global [%r3], [%d0], 4;
  cp.async.mbarrier.arrive{noinc}.shared::cta.b64 [%r2];
  {"" if noinc else "mbarrier.arrive.shared.b64 _, [%r2];"}
$WAIT:
  mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r2], 0;
  @!%p1 bra $WAIT;
  xor.b32 %r4, %r3, 4;
  ld.shared.b32 %r0, [%r4];
  mad.wide.u32 %d1, %t, 4, %q1;
  st.global.b32 [%d1], %r0;
"""
        data = np.arange(64, dtype=np.uint32) * 3
        for seed in range(4):
            found = emulated.run(device, body, [data], [((64,), np.uint32)], threads=64, seed=seed,
                                 extra=".shared .align 16 .b8 room[256]; .shared .align 8 .b8 bar[8];")
            if wrong := same(found, [data[np.arange(64) ^ 1]]):
                return f"{noinc or 'counted'}, seed {seed}: {wrong}"
    return None


def check_registers(device):
    """A warpgroup takes what the other one gives back, and no more; all of its warps do."""
    body = """
  setp.lt.u32 %p0, %t, 128;
  @%p0 bra $TAKE;
  setmaxnreg.dec.sync.aligned.u32 72;
  bra $DONE;
$TAKE:
  setmaxnreg.inc.sync.aligned.u32 184;
$DONE:
  bar.sync 0;
  mov.u32 %r0, 5;
"""
    blocks = ".maxntid 256\n.minnctapersm 2"
    cases = [(body, blocks, None), (body, ".maxnreg 128", None), (body.replace("184", "192"), blocks, "deadlock:.*for registers"),
             (body.replace("72", "136"), blocks, "has 128 registers, and is to have 136"),
             (body.replace("184", "120"), blocks, "has 128 registers, and is to have 120"),
             (body, ".maxntid 256", "nothing says how many"),
             (body.replace("%p0 bra $TAKE;", "%p0 bra $TAKE;\n  setp.gt.u32 %p1, %t, 223;\n  @%p1 bra $DONE;").replace("184", "136"), blocks, "differ in setmaxnreg")]
    for text, directives, due in cases:
        for seed in range(3):
            found = emulated.run(device, text + STORE, [], [(256, np.uint32)], threads=256, seed=seed, header=emulated.HOPPER,
                                 directives=directives)
            if due and not (isinstance(found, str) and re.search(due, found)):
                return f"seed {seed}: {found}, expected '{due}'"
            if not due and (wrong := same(found, [np.full(256, 5)])):
                return f"seed {seed}: {wrong}"
    return None


def check_gaps(device):
    """A vector load may cover an element that nobody wrote, as long as nobody looks at it."""
    body = """
  mul.wide.u32 %d0, %t, 16;
  add.u64 %d1, %q1, %d0;
  st.global.b32 [%d1], %t;
  st.global.v2.b32 [%d1+8], {%t, %t};
  ld.global.v4.b32 {%r1, %r2, %r3, %r4}, [%d1];
  add.u32 %r5, %r1, %SECOND;
  mov.b32 %r2, %r5;
  st.global.b32 [%d1+4], %r2;
"""
    expected = np.repeat(LANES[:, None], 4, axis=1)
    expected[:, 1] *= 2
    found = emulated.run(device, body.replace("%SECOND", "%r3"), [LANES], [((32, 4), np.int32)])
    if wrong := same(found, [expected]):
        return wrong
    found = emulated.run(device, body.replace("%SECOND", "%r2"), [LANES], [((32, 4), np.int32)])
    return None if "a register is read whose value" in found else f"used: {found}"


def check_mnemonics(device):
    """Every mnemonic with a rule is in one of these tests or in one of rules.py."""
    seen = device.seen | emulated.mnemonics(";".join(case[0] for case in rules.CASES))
    missing = sorted(set(device.lib.tenonEmuMnemonics().decode().split()) - seen)
    return f"no test of {', '.join(missing)}" if missing else None


def main():
    device = emulated.Gpu()
    wanted = sys.argv[1:]
    wrong = count = 0

    def judge(name, problem):
        nonlocal wrong, count
        count += 1
        if problem:
            wrong += 1
            print(f"FAIL {name}: {problem}")

    header = emulated.HEADER + ".global .align 4 .b32 table[4] = {1, 2, 3, 4};\n"
    for name, body, expected in simple():
        if not wanted or any(w in name for w in wanted):
            found = emulated.run(device, body + "\n" + STORE, [], [(32, np.uint32)], header=header,
                                 extra=".local .align 4 .b8 spot[16];")
            judge(name, same(found, [np.asarray(expected)]))
    for check in (check_memory, check_atomics, check_barriers, check_matrices, check_mma, check_wgmma, check_async, check_boxes, check_owners, check_arrivals, check_registers, check_gaps):
        if not wanted or any(w in check.__name__ for w in wanted):
            judge(check.__name__, check(device))
    if not wanted:
        judge("mnemonics", check_mnemonics(device))
    print(f"{count} checks, {wrong} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
