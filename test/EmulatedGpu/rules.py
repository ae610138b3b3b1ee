#!/usr/bin/env python3
# ===- rules.py - instructions of one thread against values by hand -------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Runs single instructions of the emulated GPU on values computed by hand.

A case is an instruction, its operands' kinds (results, ':', sources) and rows
of sources and results: h, w, l are 16, 32, 64 bits, e, f, g are floats of 16,
32, 64 bits, p is a predicate. All cases are kernels of one module. With the
other tests of this folder every mnemonic that the device knows has a case.

usage: rules.py [SUBSTRING...]
"""

import math
import re
import sys

import gpu as emulated
import numpy as np

NAN, INF = math.nan, math.inf
QNAN = 0x7FFFFFFF
M32, M64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF

CASES = [
    # Integers: wrapping, halves, carries.
    ("add.s32 $0, $1, $2;", "w:ww", [(1, 2, 3), (0x7FFFFFFF, 1, 0x80000000), (M32, 1, 0)]),
    ("add.u16 $0, $1, $2;", "h:hh", [(0xFFFF, 2, 1)]),
    ("add.s64 $0, $1, $2;", "l:ll", [(M64, 1, 0), (M32, 1, 1 << 32)]),
    ("add.sat.s32 $0, $1, $2;", "w:ww", [(0x7FFFFFFF, 1, 0x7FFFFFFF), (0x80000000, M32, 0x80000000), (5, 6, 11)]),
    ("add.u16x2 $0, $1, $2;", "w:ww", [(0x0001FFFF, 0x00020001, 0x00030000)]),
    ("sub.s32 $0, $1, $2;", "w:ww", [(1, 2, M32), (0x80000000, 1, 0x7FFFFFFF)]),
    ("sub.s16 $0, $1, $2;", "h:hh", [(0, 1, 0xFFFF)]),
    ("sub.u64 $0, $1, $2;", "l:ll", [(0, 1, M64)]),
    ("sub.sat.s32 $0, $1, $2;", "w:ww", [(0x80000000, 1, 0x80000000), (0x7FFFFFFF, M32, 0x7FFFFFFF)]),
    ("add.cc.u32 %r9, $1, $2; addc.u32 $0, $3, 0;", "w:www", [(M32, 1, 5, 6), (1, 1, 5, 5)]),
    ("add.cc.u64 %d9, $1, $2; addc.u64 $0, $3, 0;", "l:lll", [(M64, 1, 5, 6), (1, 1, 5, 5)]),
    ("sub.cc.u32 %r9, $1, $2; subc.u32 $0, $3, 0;", "w:www", [(0, 1, 5, 4), (1, 1, 5, 5)]),
    ("mul.lo.s32 $0, $1, $2;", "w:ww", [(0x10000, 0x10000, 0), (M32, M32, 1), (7, 6, 42)]),
    ("mul.lo.u16 $0, $1, $2;", "h:hh", [(0xFFFF, 0xFFFF, 1), (300, 300, 90000 & 0xFFFF)]),
    ("mul.lo.s64 $0, $1, $2;", "l:ll", [(1 << 32, 1 << 32, 0), (M64, 5, M64 - 4)]),
    ("mul.hi.u32 $0, $1, $2;", "w:ww", [(M32, M32, 0xFFFFFFFE), (1 << 31, 2, 1)]),
    ("mul.hi.s32 $0, $1, $2;", "w:ww", [(M32, M32, 0), (M32, 1, M32), (0x40000000, 8, 2)]),
    ("mul.hi.u64 $0, $1, $2;", "l:ll", [(M64, M64, M64 - 1)]),
    ("mul.hi.s64 $0, $1, $2;", "l:ll", [(M64, 1, M64), (1 << 62, 8, 2)]),
    ("mul.hi.u16 $0, $1, $2;", "h:hh", [(0xFFFF, 0xFFFF, 0xFFFE)]),
    ("mul.wide.u32 $0, $1, $2;", "l:ww", [(M32, M32, 0xFFFFFFFE00000001)]),
    ("mul.wide.s32 $0, $1, $2;", "l:ww", [(M32, 5, M64 - 4), (0x80000000, 0x80000000, 1 << 62)]),
    ("mul.wide.s16 $0, $1, $2;", "w:hh", [(0xFFFF, 3, M32 - 2)]),
    ("mul.wide.u16 $0, $1, $2;", "w:hh", [(0xFFFF, 0xFFFF, 0xFFFE0001)]),
    ("mul24.lo.u32 $0, $1, $2;", "w:ww", [(0xFF000003, 5, 15)]),
    ("mul24.lo.s32 $0, $1, $2;", "w:ww", [(0x00FFFFFF, 5, M32 - 4)]),
    ("mad.lo.s32 $0, $1, $2, $3;", "w:www", [(3, 4, 5, 17), (M32, 2, 1, M32)]),
    ("mad.lo.u64 $0, $1, $2, $3;", "l:lll", [(1 << 40, 1 << 20, 7, (1 << 60) + 7)]),
    ("mad.hi.u32 $0, $1, $2, $3;", "w:www", [(M32, M32, 1, M32)]),
    ("mad.wide.u32 $0, $1, $2, $3;", "l:wwl", [(M32, 2, 1, 0x1FFFFFFFF)]),
    ("mad.wide.s32 $0, $1, $2, $3;", "l:wwl", [(M32, 2, 1, M64)]),
    ("div.s32 $0, $1, $2;", "w:ww", [(7, 2, 3), (M32 - 6, 2, M32 - 2), (0x80000000, M32, 0x80000000)]),
    ("div.u32 $0, $1, $2;", "w:ww", [(M32, 2, 0x7FFFFFFF)]),
    ("div.u16 $0, $1, $2;", "h:hh", [(0xFFFF, 256, 255)]),
    ("div.s64 $0, $1, $2;", "l:ll", [(M64 - 9, 3, M64 - 2), (1 << 40, 1 << 20, 1 << 20)]),
    ("div.u64 $0, $1, $2;", "l:ll", [(M64, 16, M64 >> 4)]),
    ("rem.s32 $0, $1, $2;", "w:ww", [(7, 3, 1), (M32 - 6, 3, M32), (7, M32 - 2, 1), (0x80000000, M32, 0)]),
    ("rem.u32 $0, $1, $2;", "w:ww", [(M32, 10, 5)]),
    ("rem.s64 $0, $1, $2;", "l:ll", [(M64 - 6, 4, M64 - 2)]),
    ("rem.u64 $0, $1, $2;", "l:ll", [(M64, 10, 5)]),
    ("min.s32 $0, $1, $2;", "w:ww", [(M32, 1, M32), (3, 2, 2)]),
    ("min.u32 $0, $1, $2;", "w:ww", [(M32, 1, 1)]),
    ("min.s16x2 $0, $1, $2;", "w:ww", [(0xFFFF0005, 0x00010004, 0xFFFF0004)]),
    ("min.relu.s32 $0, $1, $2;", "w:ww", [(M32, 1, 0), (3, 2, 2)]),
    ("max.relu.s32 $0, $1, $2;", "w:ww", [(M32, M32 - 1, 0), (M32, 2, 2)]),
    ("min.relu.s16x2 $0, $1, $2;", "w:ww", [(0xFFFF0005, 0x00010004, 0x00000004)]),
    ("max.s64 $0, $1, $2;", "l:ll", [(M64, 1, 1)]),
    ("max.u64 $0, $1, $2;", "l:ll", [(M64, 1, M64)]),
    ("max.s16 $0, $1, $2;", "h:hh", [(0xFFFF, 0, 0)]),
    ("max.u16x2 $0, $1, $2;", "w:ww", [(0xFFFF0005, 0x00010004, 0xFFFF0005)]),
    ("abs.s32 $0, $1;", "w:w", [(M32, 1), (0x80000000, 0x80000000), (4, 4)]),
    ("abs.s64 $0, $1;", "l:l", [(M64, 1)]),
    ("neg.s32 $0, $1;", "w:w", [(1, M32), (0, 0)]),
    ("neg.s16 $0, $1;", "h:h", [(1, 0xFFFF)]),
    ("sad.s32 $0, $1, $2, $3;", "w:www", [(M32, 4, 10, 15), (4, M32, 10, 15)]),
    ("sad.u32 $0, $1, $2, $3;", "w:www", [(9, 4, 10, 15)]),
    ("dp4a.s32.s32 $0, $1, $2, $3;", "w:www", [(0xFF020304, 0x01010101, 0, 8), (0x80808080, 0x80808080, 1, 65537)]),
    ("dp4a.u32.s32 $0, $1, $2, $3;", "w:www", [(0xFF000000, 0xFF000000, 0, M32 - 254)]),
    # Bits.
    ("and.b32 $0, $1, $2;", "w:ww", [(0xF0F0, 0xFF00, 0xF000)]),
    ("and.b16 $0, $1, $2;", "h:hh", [(0xF0F0, 0xFF, 0xF0)]),
    ("or.b64 $0, $1, $2;", "l:ll", [(1 << 63, 1, (1 << 63) + 1)]),
    ("xor.b32 $0, $1, $2;", "w:ww", [(M32, 1, M32 - 1)]),
    ("not.b32 $0, $1;", "w:w", [(0xFF, 0xFFFFFF00)]),
    ("not.b64 $0, $1;", "l:l", [(0, M64)]),
    ("cnot.b32 $0, $1;", "w:w", [(0, 1), (7, 0)]),
    ("and.pred $0, $1, $2;", "p:pp", [(1, 1, 1), (1, 0, 0)]),
    ("or.pred $0, $1, !$2;", "p:pp", [(0, 0, 1), (0, 1, 0)]),
    ("xor.pred $0, $1, $2;", "p:pp", [(1, 1, 0), (1, 0, 1)]),
    ("not.pred $0, $1;", "p:p", [(1, 0), (0, 1)]),
    ("shl.b32 $0, $1, $2;", "w:ww", [(1, 31, 1 << 31), (1, 32, 0), (3, 1, 6)]),
    ("shl.b64 $0, $1, $2;", "l:lw", [(1, 63, 1 << 63), (1, 64, 0)]),
    ("shl.b16 $0, $1, $2;", "h:hw", [(1, 15, 0x8000), (3, 15, 0x8000), (1, 16, 0)]),
    ("shr.s32 $0, $1, $2;", "w:ww", [(0x80000000, 31, M32), (0x80000000, 40, M32), (8, 2, 2)]),
    ("shr.u32 $0, $1, $2;", "w:ww", [(0x80000000, 31, 1), (M32, 32, 0)]),
    ("shr.s64 $0, $1, $2;", "l:lw", [(1 << 63, 63, M64), (1 << 63, 99, M64)]),
    ("shr.s16 $0, $1, $2;", "h:hw", [(0x8000, 15, 0xFFFF)]),
    ("shf.l.wrap.b32 $0, $1, $2, $3;", "w:www", [(0x80000001, 0x2, 1, 5), (7, 9, 32, 9)]),
    ("shf.l.clamp.b32 $0, $1, $2, $3;", "w:www", [(7, 9, 32, 7), (7, 9, 40, 7)]),
    ("shf.r.wrap.b32 $0, $1, $2, $3;", "w:www", [(0x3, 0x1, 1, 0x80000001), (7, 9, 33, 0x80000003)]),
    ("shf.r.clamp.b32 $0, $1, $2, $3;", "w:www", [(7, 9, 32, 9), (7, 9, 64, 9)]),
    ("prmt.b32 $0, $1, $2, $3;", "w:www", [
        (0x33221100, 0x77665544, 0x7531, 0x77553311), (0x80, 0x7F, 0xC8C8, 0x00FF00FF), (0x33221100, 0, 0x0123, 0x00112233)]),
    ("prmt.b32.f4e $0, $1, $2, $3;", "w:www", [(0x33221100, 0x77665544, 1, 0x44332211)]),
    ("prmt.b32.b4e $0, $1, $2, $3;", "w:www", [(0x33221100, 0x77665544, 1, 0x66770011)]),
    ("prmt.b32.rc8 $0, $1, $2, $3;", "w:www", [(0x33221100, 0x77665544, 2, 0x22222222)]),
    ("prmt.b32.ecl $0, $1, $2, $3;", "w:www", [(0x33221100, 0x77665544, 1, 0x33221111)]),
    ("prmt.b32.ecr $0, $1, $2, $3;", "w:www", [(0x33221100, 0x77665544, 1, 0x11111100)]),
    ("prmt.b32.rc16 $0, $1, $2, $3;", "w:www", [(0x33221100, 0x77665544, 1, 0x33223322)]),
    ("bfe.u32 $0, $1, $2, $3;", "w:www", [
        (0xABCD1234, 8, 8, 0x12), (0xABCD1234, 0, 32, 0xABCD1234), (M32, 4, 0, 0), (M32, 40, 4, 0), (M32, 28, 8, 0xF)]),
    ("bfe.s32 $0, $1, $2, $3;", "w:www", [
        (0x00000F00, 8, 4, M32), (0x00000700, 8, 4, 7), (0x80000000, 28, 8, 0xFFFFFFF8), (0x80000000, 40, 4, M32)]),
    ("bfe.u64 $0, $1, $2, $3;", "l:lww", [(M64, 60, 4, 15), (1 << 40, 40, 1, 1)]),
    ("bfe.s64 $0, $1, $2, $3;", "l:lww", [(1 << 47, 40, 8, M64 - 127)]),
    ("bfi.b32 $0, $1, $2, $3, $4;", "w:wwww", [
        (0xF, 0, 8, 4, 0xF00), (0, M32, 8, 8, 0xFFFF00FF), (5, 7, 32, 4, 7), (5, 7, 4, 0, 7), (M32, 0, 28, 8, 0xF0000000)]),
    ("bfi.b64 $0, $1, $2, $3, $4;", "l:llww", [(3, 0, 62, 2, 3 << 62), (9, 0, 0, 64, 9)]),
    ("popc.b32 $0, $1;", "w:w", [(0xF0F0, 8), (0, 0)]),
    ("popc.b64 $0, $1;", "w:l", [(M64, 64)]),
    ("clz.b32 $0, $1;", "w:w", [(0, 32), (1, 31), (1 << 31, 0)]),
    ("clz.b64 $0, $1;", "w:l", [(0, 64), (1, 63)]),
    ("brev.b32 $0, $1;", "w:w", [(1, 1 << 31), (0xF, 0xF0000000)]),
    ("brev.b64 $0, $1;", "l:l", [(1, 1 << 63)]),
    ("bfind.u32 $0, $1;", "w:w", [(0, M32), (0x100, 8)]),
    ("bfind.s32 $0, $1;", "w:w", [(M32, M32), (0xFFFFFEFF, 8)]),
    ("bfind.shiftamt.u32 $0, $1;", "w:w", [(0x100, 23)]),
    ("lop3.b32 $0, $1, $2, $3, 0xE8;", "w:www", [(0b1100, 0b1010, 0b0110, 0b1110)]),
    ("lop3.b32 $0, $1, $2, $3, 0x1;", "w:www", [(0xF0F0F0F0, 0x0F0F0000, 0, 0x00000F0F)]),
    ("mov.b32 $0, $1;", "w:w", [(5, 5)]),
    ("mov.b32 $0, 0f3F800000;", "w:", [(0x3F800000,)]),
    ("mov.u32 $0, -5;", "w:", [(M32 - 4,)]),
    ("mov.b64 $0, {$1, $2};", "l:ww", [(1, 2, 0x200000001)]),
    ("mov.b64 {$0, $1}, $2;", "ww:l", [(0x200000001, 1, 2)]),
    ("mov.b32 {$0, _}, $1;", "h:w", [(0x20001, 1)]),
    ("mov.b32 $0, {$1, $2};", "w:hh", [(1, 2, 0x20001)]),
    ("mov.b64 $0, {$1, $2, $3, $4};", "l:hhhh", [(1, 2, 3, 4, 0x0004000300020001)]),
    ("mov.pred $0, $1;", "p:p", [(1, 1), (0, 0)]),
    ("mov.pred $0, 0;", "p:", [(0,)]),
    ("selp.b32 $0, $1, $2, $3;", "w:wwp", [(1, 2, 1, 1), (1, 2, 0, 2)]),
    ("selp.b64 $0, $1, $2, $3;", "l:llp", [(M64, 2, 1, M64)]),
    ("selp.b16 $0, $1, 7, $2;", "h:hp", [(1, 0, 7)]),
    ("@!$2 mov.b32 $0, $1; @$2 mov.b32 $0, 9;", "w:wp", [(4, 0, 4), (4, 1, 9)]),
    # Floating point.
    ("add.rn.f32 $0, $1, $2;", "f:ff", [(1.0, 2.0 ** -24, 1.0), (1.0, 3 * 2.0 ** -24, 1 + 2.0 ** -22), (INF, -INF, NAN)]),
    ("add.f64 $0, $1, $2;", "g:gg", [(0.1, 0.2, 0.30000000000000004)]),
    ("add.ftz.f32 $0, $1, $2;", "f:ff", [(2.0 ** -127, 2.0 ** -127, 0.0), (2.0 ** -126, 0.0, 2.0 ** -126)]),
    ("add.sat.f32 $0, $1, $2;", "f:ff", [(0.75, 0.5, 1.0), (-1.0, 0.5, 0.0), (NAN, 1.0, 0.0)]),
    ("sub.f32 $0, $1, $2;", "f:ff", [(1.0, 0.25, 0.75)]),
    ("sub.rn.f64 $0, $1, $2;", "g:gg", [(1.0, 2.0 ** -53, 1 - 2.0 ** -53)]),
    ("mul.rn.f32 $0, $1, $2;", "f:ff", [(1 + 2.0 ** -23, 1 + 2.0 ** -23, 1 + 2.0 ** -22), (1e38, 10.0, INF)]),
    ("mul.f64 $0, $1, $2;", "g:gg", [(3.0, 0.5, 1.5)]),
    ("fma.rn.f32 $0, $1, $2, $3;", "f:fff", [(1 + 2.0 ** -23, 1 + 2.0 ** -23, -1 - 2.0 ** -22, 2.0 ** -46)]),
    ("fma.rn.f64 $0, $1, $2, $3;", "g:ggg", [(1 + 2.0 ** -52, 1 + 2.0 ** -52, -1 - 2.0 ** -51, 2.0 ** -104)]),
    ("fma.rn.ftz.f32 $0, $1, $2, $3;", "f:fff", [(2.0 ** -100, 2.0 ** -30, 0.0, 0.0)]),
    ("fma.rn.sat.f32 $0, $1, $2, $3;", "f:fff", [(2.0, 2.0, 1.0, 1.0)]),
    ("mad.rn.f32 $0, $1, $2, $3;", "f:fff", [(2.0, 3.0, 1.0, 7.0)]),
    ("div.rn.f32 $0, $1, $2;", "f:ff", [(1.0, 3.0, 0.3333333432674408), (1.0, 0.0, INF)]),
    ("div.full.f32 $0, $1, $2;", "f:ff", [(1.0, 4.0, 0.25)]),
    ("div.rn.f64 $0, $1, $2;", "g:gg", [(1.0, 3.0, 1 / 3)]),
    ("sqrt.rn.f32 $0, $1;", "f:f", [(2.0, 1.4142135381698608), (-1.0, NAN)]),
    ("sqrt.rn.f64 $0, $1;", "g:g", [(2.0, 1.4142135623730951)]),
    ("rcp.rn.f32 $0, $1;", "f:f", [(4.0, 0.25), (-0.0, -INF)]),
    ("rcp.approx.ftz.f32 $0, $1;", "f:f", [(0.5, 2.0), (2.0 ** 127, 0.0)]),
    ("rcp.rn.f64 $0, $1;", "g:g", [(3.0, 1 / 3)]),
    ("rsqrt.approx.f32 $0, $1;", "f:f", [(4.0, 0.5), (0.0, INF)]),
    ("ex2.approx.f32 $0, $1;", "f:f", [(3.0, 8.0), (-INF, 0.0), (0.5, 1.4142135381698608)]),
    ("ex2.approx.ftz.f32 $0, $1;", "f:f", [(-127.0, 0.0)]),
    ("lg2.approx.f32 $0, $1;", "f:f", [(8.0, 3.0), (0.0, -INF)]),
    ("sin.approx.f32 $0, $1;", "f:f", [(0.0, 0.0), (1.0, 0.8414709568023682)]),
    ("cos.approx.f32 $0, $1;", "f:f", [(0.0, 1.0)]),
    ("tanh.approx.f32 $0, $1;", "f:f", [(0.0, 0.0), (INF, 1.0)]),
    ("min.f32 $0, $1, $2;", "f:ff", [(1.0, 2.0, 1.0), (NAN, 2.0, 2.0), (0.0, -0.0, -0.0), (-0.0, 0.0, -0.0)]),
    ("max.f32 $0, $1, $2;", "f:ff", [(1.0, NAN, 1.0), (-0.0, 0.0, 0.0)]),
    ("max.f32 $0, $1, $2;", "w:ww", [(0x7FC00000, 0x7F800001, QNAN)]),
    ("min.NaN.f32 $0, $1, $2;", "f:ff", [(1.0, NAN, NAN), (1.0, 2.0, 1.0)]),
    ("max.NaN.f32 $0, $1, $2;", "w:ww", [(0x7FC00000, 0x3F800000, QNAN)]),
    ("max.f64 $0, $1, $2;", "g:gg", [(1.0, NAN, 1.0), (3.0, 2.0, 3.0)]),
    ("abs.f32 $0, $1;", "f:f", [(-1.5, 1.5), (-0.0, 0.0)]),
    ("abs.ftz.f32 $0, $1;", "f:f", [(-(2.0 ** -127), 0.0)]),
    ("abs.f64 $0, $1;", "g:g", [(-1.5, 1.5)]),
    ("neg.f32 $0, $1;", "w:w", [(0x3F800000, 0xBF800000), (0, 0x80000000)]),
    ("neg.f64 $0, $1;", "g:g", [(-1.5, 1.5)]),
    ("copysign.f32 $0, $1, $2;", "f:ff", [(-1.0, 3.0, -3.0), (1.0, -3.0, 3.0)]),
    ("copysign.f64 $0, $1, $2;", "g:gg", [(-1.0, 3.0, -3.0)]),
    ("testp.finite.f32 $0, $1;", "p:f", [(1.0, 1), (INF, 0), (NAN, 0)]),
    ("testp.infinite.f32 $0, $1;", "p:f", [(-INF, 1), (1.0, 0)]),
    ("testp.number.f64 $0, $1;", "p:g", [(NAN, 0), (INF, 1)]),
    ("testp.notanumber.f32 $0, $1;", "p:f", [(NAN, 1)]),
    ("testp.normal.f32 $0, $1;", "p:f", [(2.0 ** -127, 0), (1.0, 1)]),
    ("testp.subnormal.f32 $0, $1;", "p:f", [(2.0 ** -127, 1), (0.0, 0)]),
    # 16-bit floats: one rounding, ties to even.
    ("add.rn.f16 $0, $1, $2;", "e:ee", [(1.0, 2.0 ** -11, 1.0), (1.0, 3 * 2.0 ** -11, 1 + 2.0 ** -9), (65504.0, 32.0, INF)]),
    ("sub.f16 $0, $1, $2;", "e:ee", [(1.0, 2.0 ** -12, 1.0), (2.0 ** -24, 2.0 ** -24, 0.0)]),
    ("mul.f16 $0, $1, $2;", "e:ee", [(2.0 ** -14, 0.5, 2.0 ** -15), (3.0, 5.0, 15.0)]),
    # 1025 * 1025 = 1050625; with -1050624 exactly 1. Rounded twice it is 0.
    ("fma.rn.f16 $0, $1, $2, $3;", "e:eee", [(1.0009765625, 1.0009765625, -1.001953125, 2.0 ** -20)]),
    ("fma.rn.relu.f16 $0, $1, $2, $3;", "e:eee", [(1.0, -2.0, 1.0, 0.0), (1.0, 2.0, 1.0, 3.0)]),
    ("neg.f16 $0, $1;", "h:h", [(0x3C00, 0xBC00)]),
    ("abs.f16 $0, $1;", "h:h", [(0xBC00, 0x3C00)]),
    ("min.f16 $0, $1, $2;", "h:hh", [(0x3C00, 0x4000, 0x3C00), (0x7E00, 0x4000, 0x4000)]),
    ("max.NaN.f16 $0, $1, $2;", "h:hh", [(0x7E00, 0x4000, 0x7FFF)]),
    ("add.f16x2 $0, $1, $2;", "w:ww", [(0x40003C00, 0x3C003C00, 0x42004000)]),
    ("mul.f16x2 $0, $1, $2;", "w:ww", [(0x40003C00, 0x40004000, 0x44004000)]),
    ("fma.rn.f16x2 $0, $1, $2, $3;", "w:www", [(0x40003C00, 0x3C003C00, 0x3C003C00, 0x42004000)]),
    ("ex2.approx.f16 $0, $1;", "e:e", [(3.0, 8.0)]),
    ("tanh.approx.f16 $0, $1;", "e:e", [(0.0, 0.0)]),
    ("add.bf16 $0, $1, $2;", "h:hh", [(0x3F80, 0x3B80, 0x3F80), (0x3F80, 0x3F80, 0x4000)]),
    ("fma.rn.bf16 $0, $1, $2, $3;", "h:hhh", [(0x3F80, 0x4000, 0x3F80, 0x4040), (0x3F81, 0x3F81, 0xBF82, 0x3880)]),
    ("fma.rn.bf16x2 $0, $1, $2, $3;", "w:www", [(0x3F804000, 0x3F803F80, 0, 0x3F804000)]),
    ("max.bf16x2 $0, $1, $2;", "w:ww", [(0x3F804000, 0x40003F80, 0x40004000)]),
    ("neg.bf16x2 $0, $1;", "w:w", [(0x3F804000, 0xBF80C000)]),
    # Comparisons.
    ("setp.lt.s32 $0, $1, $2;", "p:ww", [(M32, 0, 1), (0, M32, 0)]),
    ("setp.lt.u32 $0, $1, $2;", "p:ww", [(M32, 0, 0), (0, M32, 1)]),
    ("setp.ge.s64 $0, $1, $2;", "p:ll", [(M64, 0, 0), (0, 0, 1)]),
    ("setp.hi.u64 $0, $1, $2;", "p:ll", [(M64, 0, 1), (0, 0, 0)]),
    ("setp.eq.b16 $0, $1, $2;", "p:hh", [(7, 7, 1), (7, 8, 0)]),
    ("setp.ne.b32 $0, $1, 5;", "p:w", [(5, 0), (6, 1)]),
    ("setp.le.s16 $0, $1, $2;", "p:hh", [(0xFFFF, 0, 1)]),
    ("setp.gt.and.s32 $0, $1, $2, $3;", "p:wwp", [(2, 1, 1, 1), (2, 1, 0, 0)]),
    ("setp.gt.or.s32 $0, $1, $2, !$3;", "p:wwp", [(0, 1, 0, 1), (0, 1, 1, 0)]),
    ("setp.gt.xor.s32 $0, $1, $2, $3;", "p:wwp", [(2, 1, 1, 0)]),
    ("setp.lt.s32 $0|$1, $2, $3;", "pp:ww", [(1, 2, 1, 0), (2, 1, 0, 1)]),
    ("setp.lt.f32 $0, $1, $2;", "p:ff", [(1.0, 2.0, 1), (NAN, 2.0, 0)]),
    ("setp.ne.f32 $0, $1, $2;", "p:ff", [(1.0, 2.0, 1), (NAN, NAN, 0), (0.0, -0.0, 0)]),
    ("setp.neu.f32 $0, $1, $2;", "p:ff", [(NAN, NAN, 1), (1.0, 1.0, 0)]),
    ("setp.equ.f64 $0, $1, $2;", "p:gg", [(NAN, 1.0, 1), (1.0, 2.0, 0)]),
    ("setp.ltu.f32 $0, $1, $2;", "p:ff", [(NAN, 1.0, 1), (3.0, 2.0, 0)]),
    ("setp.leu.f32 $0, $1, $2;", "p:ff", [(2.0, 2.0, 1)]),
    ("setp.gtu.f32 $0, $1, $2;", "p:ff", [(1.0, 2.0, 0)]),
    ("setp.geu.f64 $0, $1, $2;", "p:gg", [(NAN, 2.0, 1)]),
    ("setp.num.f32 $0, $1, $2;", "p:ff", [(1.0, 2.0, 1), (NAN, 1.0, 0)]),
    ("setp.nan.f32 $0, $1, $2;", "p:ff", [(1.0, NAN, 1), (1.0, 2.0, 0)]),
    ("setp.eq.ftz.f32 $0, $1, $2;", "p:ff", [(2.0 ** -127, 0.0, 1)]),
    ("setp.gt.f16 $0, $1, $2;", "p:ee", [(2.0, 1.0, 1), (NAN, 1.0, 0)]),
    ("setp.gt.bf16 $0, $1, $2;", "p:hh", [(0x4000, 0x3F80, 1)]),
    ("setp.gt.f16x2 $0|$1, $2, $3;", "pp:ww", [(0x40003C00, 0x3C004000, 0, 1)]),
    # Conversions.
    ("cvt.s64.s32 $0, $1;", "l:w", [(M32, M64)]),
    ("cvt.u64.u32 $0, $1;", "l:w", [(M32, M32)]),
    ("cvt.u32.u64 $0, $1;", "w:l", [(0x1FFFFFFFF, M32)]),
    ("cvt.s32.s16 $0, $1;", "w:h", [(0x8000, 0xFFFF8000)]),
    ("cvt.u32.u16 $0, $1;", "w:h", [(0x8000, 0x8000)]),
    ("cvt.s32.s8 $0, $1;", "w:w", [(0x1280, 0xFFFFFF80), (0x127F, 0x7F)]),
    ("cvt.u32.u8 $0, $1;", "w:w", [(0x1280, 0x80)]),
    ("cvt.s16.s8 $0, $1;", "h:h", [(0x80, 0xFF80)]),
    ("cvt.s8.s32 $0, $1;", "h:w", [(0x180, 0xFF80), (0x17F, 0x7F)]),
    ("cvt.u8.u32 $0, $1;", "h:w", [(0x180, 0x80)]),
    ("cvt.s64.s8 $0, $1;", "l:l", [(0x80, M64 - 127)]),
    ("cvt.sat.s8.s32 $0, $1;", "h:w", [(300, 127), (M32 - 299, 0xFF80)]),
    ("cvt.sat.u8.s32 $0, $1;", "h:w", [(300, 255), (M32, 0)]),
    ("cvt.sat.s32.s64 $0, $1;", "w:l", [(1 << 40, 0x7FFFFFFF), (M64, M32)]),
    ("cvt.rn.f32.s32 $0, $1;", "f:w", [(16777217, 16777216.0), (M32, -1.0)]),
    ("cvt.rn.f32.u32 $0, $1;", "f:w", [(M32, 4294967296.0)]),
    ("cvt.rz.f32.u32 $0, $1;", "f:w", [(M32, 4294967040.0)]),
    ("cvt.rn.f32.s64 $0, $1;", "f:l", [((1 << 24) + 1, 16777216.0), (M64, -1.0)]),
    ("cvt.rn.f64.u64 $0, $1;", "g:l", [(M64, 18446744073709551616.0)]),
    ("cvt.rn.f64.s32 $0, $1;", "g:w", [(M32, -1.0)]),
    ("cvt.rn.f16.s32 $0, $1;", "e:w", [(2049, 2048.0), (70000, INF)]),
    ("cvt.rn.f32.u8 $0, $1;", "f:w", [(0x1FF, 255.0)]),
    ("cvt.rn.f32.s8 $0, $1;", "f:h", [(0xFF, -1.0)]),
    ("cvt.rzi.s32.f32 $0, $1;", "w:f", [(-1.75, M32), (3e9, 0x7FFFFFFF), (-3e9, 0x80000000), (NAN, 0)]),
    ("cvt.rni.s32.f32 $0, $1;", "w:f", [(2.5, 2), (3.5, 4), (-2.5, M32 - 1)]),
    ("cvt.rmi.s32.f32 $0, $1;", "w:f", [(-1.25, M32 - 1)]),
    ("cvt.rpi.s32.f32 $0, $1;", "w:f", [(1.25, 2)]),
    ("cvt.rzi.u32.f32 $0, $1;", "w:f", [(-1.0, 0), (5e9, M32)]),
    ("cvt.rzi.s64.f32 $0, $1;", "l:f", [(-1.75, M64), (NAN, 1 << 63), (1e30, (1 << 63) - 1)]),
    ("cvt.rzi.u64.f64 $0, $1;", "l:g", [(1e30, M64), (NAN, 1 << 63)]),
    ("cvt.rzi.s32.f64 $0, $1;", "w:g", [(NAN, 0x80000000), (-2.5, M32 - 1)]),
    ("cvt.rzi.s8.f32 $0, $1;", "h:f", [(200.0, 127), (-200.0, 0xFF80)]),
    ("cvt.rzi.s16.f32 $0, $1;", "h:f", [(-70000.0, 0x8000)]),
    ("cvt.rni.f32.f32 $0, $1;", "f:f", [(2.5, 2.0), (-0.25, -0.0), (3.5, 4.0)]),
    ("cvt.rmi.f32.f32 $0, $1;", "f:f", [(-0.5, -1.0)]),
    ("cvt.rpi.f64.f64 $0, $1;", "g:g", [(0.5, 1.0)]),
    ("cvt.rzi.f32.f32 $0, $1;", "f:f", [(-1.75, -1.0)]),
    ("cvt.sat.f32.f32 $0, $1;", "f:f", [(1.5, 1.0), (-1.0, 0.0), (NAN, 0.0), (0.25, 0.25)]),
    ("cvt.f64.f32 $0, $1;", "g:f", [(1.5, 1.5)]),
    ("cvt.rn.f32.f64 $0, $1;", "f:g", [(1 + 2.0 ** -24, 1.0), (1 + 3 * 2.0 ** -24, 1 + 2.0 ** -22), (1e300, INF)]),
    ("cvt.rz.f32.f64 $0, $1;", "f:g", [(1 + 3 * 2.0 ** -24, 1 + 2.0 ** -23), (1e300, 3.4028234663852886e38)]),
    ("cvt.rm.f32.f64 $0, $1;", "f:g", [(-1 - 2.0 ** -30, -1 - 2.0 ** -23)]),
    ("cvt.rp.f32.f64 $0, $1;", "f:g", [(1 + 2.0 ** -30, 1 + 2.0 ** -23)]),
    ("cvt.f32.f16 $0, $1;", "w:h", [(0x3C00, 0x3F800000), (0x0001, 0x33800000), (0xFC00, 0xFF800000)]),
    ("cvt.rn.f16.f32 $0, $1;", "h:f", [
        (1 + 2.0 ** -11, 0x3C00), (1 + 3 * 2.0 ** -11, 0x3C02), (65519.0, 0x7BFF), (65520.0, 0x7C00), (2.0 ** -25, 0),
        (3 * 2.0 ** -25, 0x0002), (2.0 ** -14 - 2.0 ** -25, 0x0400), (NAN, 0x7FFF), (-2.0, 0xC000)]),
    ("cvt.rz.f16.f32 $0, $1;", "h:f", [(1 + 3 * 2.0 ** -11, 0x3C01), (70000.0, 0x7BFF)]),
    ("cvt.rn.f16.f64 $0, $1;", "h:g", [(1 + 2.0 ** -11 + 2.0 ** -40, 0x3C01)]),
    ("cvt.f32.bf16 $0, $1;", "w:h", [(0x3F81, 0x3F810000)]),
    ("cvt.rn.bf16.f32 $0, $1;", "h:w", [
        (0x3F808000, 0x3F80), (0x3F818000, 0x3F82), (0x3F808001, 0x3F81), (0x7F7FFFFF, 0x7F80), (0x7FC00000, 0x7FFF)]),
    ("cvt.rz.bf16.f32 $0, $1;", "h:w", [(0x3F81FFFF, 0x3F81)]),
    ("cvt.rn.relu.bf16.f32 $0, $1;", "h:f", [(-1.0, 0), (2.0, 0x4000)]),
    ("cvt.rn.bf16.f16 $0, $1;", "h:h", [(0x3C00, 0x3F80)]),
    ("cvt.rna.tf32.f32 $0, $1;", "w:w", [(0x3F801000, 0x3F802000), (0x3F800FFF, 0x3F800000), (0xBF801000, 0xBF802000)]),
    ("cvt.rn.f16x2.f32 $0, $1, $2;", "w:ff", [(1.0, 2.0, 0x3C004000)]),
    ("cvt.rn.bf16x2.f32 $0, $1, $2;", "w:ff", [(1.0, 2.0, 0x3F804000)]),
    ("cvt.rn.satfinite.e4m3x2.f32 $0, $1, $2;", "h:ff", [(1.0, 1000.0, 0x387E), (2.0 ** -9, -0.5, 0x01B0)]),
    ("cvt.rn.satfinite.e5m2x2.f32 $0, $1, $2;", "h:ff", [(1.0, 1e6, 0x3C7B)]),
    ("cvt.rn.f16x2.e4m3x2 $0, $1;", "w:h", [(0x3801, 0x3C001800)]),
    ("cvt.rn.f16x2.e5m2x2 $0, $1;", "w:h", [(0x3C40, 0x3C004000)]),
    # Addresses and special registers.
    ("mov.u32 $0, %ntid.x;", "w:", [(32,)]),
    ("mov.u32 $0, %nctaid.x;", "w:", [(1,)]),
    ("mov.u32 $0, %ctaid.x;", "w:", [(0,)]),
    ("cvta.to.global.u64 $0, $1;", "l:l", [(0xD0000000001000, 0xD0000000001000)]),
    ("cvta.shared.u64 %d9, $1; cvta.to.shared.u64 $0, %d9;", "l:l", [(1024, 1024)]),
    ("cvta.local.u64 %d9, $1; isspacep.local $0, %d9;", "p:l", [(16, 1)]),
    ("cvta.shared.u64 %d9, $1; isspacep.global $0, %d9;", "p:l", [(1024, 0)]),
    ("isspacep.shared $0, $1;", "p:l", [(0xD0000000001000, 0)]),
]

WIDTH = {"h": 16, "e": 16, "w": 32, "f": 32, "l": 64, "g": 64, "p": 32}
REGISTER = {"h": "%h", "e": "%h", "w": "%r", "f": "%r", "l": "%d", "g": "%d", "p": "%p"}


def bits_of(value, kind):
    if kind == "e":
        return int(np.float16(value).view(np.uint16))
    if kind == "f":
        return int(np.float32(value).view(np.uint32))
    if kind == "g":
        return int(np.float64(value).view(np.uint64))
    return value


def is_nan(bits, kind):
    exponent, sign = {"e": (0x7C00, 0x8000), "f": (0x7F800000, 1 << 31), "g": (0x7FF << 52, 1 << 63)}[kind]
    return bits & ~sign > exponent


def kernel_of(number, text, kinds):
    """A kernel whose thread t takes its sources from row t and stores its results there."""
    results, sources = kinds.split(":")
    names, lines, stores = [], [], []
    for place, kind in enumerate(results + sources):
        name = f"{REGISTER[kind]}{place + 16}"
        names.append(name)
        at = 8 * place
        if place < len(results):
            if kind == "p":
                lines.append(f"  mov.pred {name}, 0;")
                stores.append(f"  selp.b32 %r1, 1, 0, {name};\n  st.global.b32 [%d1+{at}], %r1;")
            else:
                lines.append(f"  mov.b{WIDTH[kind]} {name}, 0;")
                stores.append(f"  st.global.b{WIDTH[kind]} [%d1+{at}], {name};")
        elif kind == "p":
            lines.append(f"  ld.global.b32 %r1, [%d1+{at}];\n  setp.ne.b32 {name}, %r1, 0;")
        else:
            lines.append(f"  ld.global.b{WIDTH[kind]} {name}, [%d1+{at}];")
    code = re.sub(r"\$(\d)", lambda m: names[int(m[1])], text)
    body = "\n".join([f"  mad.wide.u32 %d1, %t, {8 * len(names)}, %q0;", *lines, "  " + code, *stores])
    return emulated.entry(f"case{number}", body, 1)


def check(device, function, text, kinds, rows):
    """What is wrong with a case, or nothing."""
    results, sources = kinds.split(":")
    values = np.zeros((32, len(results) + len(sources)), np.uint64)
    for row, line in enumerate(rows):
        for place, kind in enumerate(sources):
            values[row, len(results) + place] = bits_of(line[place], kind)
    for row in range(len(rows), 32):  # the other lanes do the last row again
        values[row] = values[len(rows) - 1]
    device.reset(quiet=False)
    buffer = device.put(values)
    device.launch(function, 1, 32, [buffer])
    device.synchronize()
    found = device.get(buffer, values.shape, np.uint64)
    device.free(buffer)
    for row, line in enumerate(rows):
        for place, kind in enumerate(results):
            expected = bits_of(line[len(sources) + place], kind)
            value = int(found[row, place]) & ((1 << WIDTH[kind]) - 1)
            if kind in "efg" and is_nan(expected, kind) and is_nan(value, kind):
                continue
            if value != expected:
                yield f"{text} of {line[:len(sources)]}: {value:#x}, expected {expected:#x}"


def main():
    chosen = [c for c in CASES if not sys.argv[1:] or any(a in c[0] for a in sys.argv[1:])]
    device = emulated.Gpu()
    kernels = "".join(kernel_of(number, text, kinds) for number, (text, kinds, _) in enumerate(chosen))
    module = device.load(emulated.HEADER.replace("sm_80", "sm_90") + kernels)
    wrong = 0
    for number, (text, kinds, rows) in enumerate(chosen):
        for problem in check(device, device.function(module, f"case{number}"), text, kinds, rows):
            wrong += 1
            print("FAIL", problem)
    print(f"{len(chosen)} instructions, {sum(len(c[2]) for c in chosen)} rows, {wrong} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
