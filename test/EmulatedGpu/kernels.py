# ===- kernels.py - whole kernels by hand ---------------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Kernels in the shapes that the emitters have, to plant faults in.

Each has its PTX, its inputs, its launch and what NumPy makes of the inputs.
"""

import numpy as np

HEADER = ".version 8.0\n.target sm_80\n.address_size 64\n"


def softmax():
    """A row a block of 128 threads: two reductions by shuffles and shared partials."""

    def reduce(operation):
        steps = "".join(
            f"  shfl.sync.bfly.b32 %r11, %r10, {distance}, 31, -1;\n  {operation}.f32 %r10, %r10, %r11;\n"
            for distance in (16, 8, 4, 2, 1)
        )
        return steps + f"""  @%lead st.shared.b32 [%slot], %r10;
  bar.sync 0;
  ld.shared.v4.b32 {{%r12, %r13, %r14, %r15}}, [partials];
  {operation}.f32 %r10, %r12, %r13;
  {operation}.f32 %r11, %r14, %r15;
  {operation}.f32 %r10, %r10, %r11;
"""

    loop = """  mov.u32 %i, %t;
${0}:
  setp.ge.u32 %p0, %i, %n;
  @%p0 bra $END{0};
  mad.wide.u32 %d2, %i, 4, %d0;
  ld.global.nc.b32 %r11, [%d2];
{1}  add.u32 %i, %i, 128;
  bra ${0};
$END{0}:
"""
    text = HEADER + """
.visible .entry softmax(.param .u64 x, .param .u64 y, .param .u32 width)
.maxntid 128
{
  .reg .pred %p<4>, %lead;
  .reg .b32 %r<20>, %t, %n, %i, %slot;
  .reg .b64 %d<8>;
  .shared .align 16 .b8 partials[16];
  ld.param.b64 %d0, [x];
  ld.param.b64 %d1, [y];
  ld.param.b32 %n, [width];
  mov.u32 %t, %tid.x;
  mov.u32 %r0, %ctaid.x;
  mul.lo.u32 %r1, %r0, %n;
  mul.wide.u32 %d3, %r1, 4;
  add.u64 %d0, %d0, %d3;
  add.u64 %d1, %d1, %d3;
  shr.u32 %r2, %t, 5;
  and.b32 %r3, %t, 31;
  setp.eq.u32 %lead, %r3, 0;
  mov.u32 %slot, partials;
  mad.lo.u32 %slot, %r2, 4, %slot;
  mov.b32 %r10, 0fFF800000;
""" + loop.format("MAX", "  max.f32 %r10, %r10, %r11;\n") + reduce("max") + """  mov.b32 %r16, %r10;
  bar.sync 0;
  mov.b32 %r10, 0f00000000;
""" + loop.format("SUM", """  sub.f32 %r11, %r11, %r16;
  mul.f32 %r11, %r11, 0f3FB8AA3B;
  ex2.approx.f32 %r11, %r11;
  add.f32 %r10, %r10, %r11;
  mad.wide.u32 %d4, %i, 4, %d1;
  st.global.b32 [%d4], %r11;
""") + reduce("add") + """  mov.b32 %r17, %r10;
""" + loop.format("DIV", """  mad.wide.u32 %d4, %i, 4, %d1;
  ld.global.b32 %r11, [%d4];
  div.rn.f32 %r11, %r11, %r17;
  st.global.b32 [%d4], %r11;
""") + "  ret;\n}\n"
    x = np.random.default_rng(3).standard_normal((3, 300)).astype(np.float32)
    e = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    return {
        "name": "softmax", "ptx": text, "inputs": [x], "output": x.shape, "expected": e / e.sum(axis=1, keepdims=True),
        "scalars": [np.uint32(300)], "grid": 3, "block": 128, "shared": 0,
    }


def matmul():
    """32 x 8 tiles of a product, two warps, a ring of three stages filled by cp.async, tf32 mma."""
    stage, b_at = 2560, 2048

    def issue(step):
        """Copies of step %r20 of K into the stage at %r21."""
        text = "".join(f"""  add.u32 %r22, %t, {64 * j};
  shr.u32 %r23, %r22, 2;
  and.b32 %r24, %r22, 3;
  mad.lo.u32 %r25, %r23, 64, %r21;
  mad.lo.u32 %r25, %r24, 16, %r25;
  add.u32 %r26, %r23, %r5;
  setp.lt.u32 %p1, %r26, %m;
  selp.b32 %r27, 16, 0, %p1;
  selp.b32 %r26, %r26, 0, %p1;
  mul.lo.u32 %r28, %r26, %k;
  mad.lo.u32 %r28, %r20, 16, %r28;
  mad.lo.u32 %r28, %r24, 4, %r28;
  mad.wide.u32 %d4, %r28, 4, %d0;
  cp.async.cg.shared.global [%r25], [%d4], 16, %r27;
""" for j in range(2))
        return text + f"""  setp.ge.u32 %p2, %t, 32;
  @%p2 bra $ISSUED{step};
  shr.u32 %r23, %t, 1;
  and.b32 %r24, %t, 1;
  mad.lo.u32 %r25, %r23, 32, %r21;
  mad.lo.u32 %r25, %r24, 16, %r25;
  mad.lo.u32 %r28, %r20, 16, %r23;
  mul.lo.u32 %r28, %r28, 8;
  mad.lo.u32 %r28, %r24, 4, %r28;
  mad.wide.u32 %d6, %r28, 4, %d1;
  cp.async.cg.shared.global [%r25+{b_at}], [%d6], 16;
$ISSUED{step}:
"""

    multiply = "".join(f"""  ld.shared.b32 %r30, [%r40+{32 * part}];
  ld.shared.b32 %r31, [%r40+{32 * part + 512}];
  ld.shared.b32 %r32, [%r40+{32 * part + 16}];
  ld.shared.b32 %r33, [%r40+{32 * part + 528}];
  ld.shared.b32 %r34, [%r41+{256 * part}];
  ld.shared.b32 %r35, [%r41+{256 * part + 128}];
  mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {{%r36, %r37, %r38, %r39}}, {{%r30, %r31, %r32, %r33}}, {{%r34, %r35}}, {{%r36, %r37, %r38, %r39}};
""" for part in range(2))
    text = HEADER + f"""
.visible .entry matmul(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 rows, .param .u32 depth)
{{
  .reg .pred %p<8>;
  .reg .b32 %r<64>, %t, %m, %k;
  .reg .b64 %d<8>;
  .shared .align 16 .b8 ring[{3 * stage}];
  ld.param.b64 %d0, [a];
  ld.param.b64 %d1, [b];
  ld.param.b64 %d2, [c];
  ld.param.b32 %m, [rows];
  ld.param.b32 %k, [depth];
  mov.u32 %t, %tid.x;
  mov.u32 %r5, %ctaid.x;
  shl.b32 %r5, %r5, 5;
  shr.u32 %r1, %t, 5;
  and.b32 %r2, %t, 31;
  shr.u32 %r3, %r2, 2;
  and.b32 %r4, %r2, 3;
  shr.u32 %r6, %k, 4;
  mov.b32 %r36, 0;
  mov.b32 %r37, 0;
  mov.b32 %r38, 0;
  mov.b32 %r39, 0;
  mov.u32 %r20, 0;
  mov.u32 %r21, ring;
{issue(0)}  cp.async.commit_group;
  mov.u32 %r20, 1;
  add.u32 %r21, %r21, {stage};
{issue(1)}  cp.async.commit_group;
  mov.u32 %r7, 0;
  mov.u32 %r8, 0;
  mov.u32 %r9, 2;
$LOOP:
  cp.async.wait_group 1;
  bar.sync 0;
  add.u32 %r20, %r7, 2;
  setp.ge.u32 %p3, %r20, %r6;
  @%p3 bra $NONE;
  mov.u32 %r21, ring;
  mad.lo.u32 %r21, %r9, {stage}, %r21;
{issue(2)}$NONE:
  cp.async.commit_group;
  mov.u32 %r42, ring;
  mad.lo.u32 %r42, %r8, {stage}, %r42;
  shl.b32 %r43, %r1, 4;
  add.u32 %r43, %r43, %r3;
  mad.lo.u32 %r40, %r43, 64, %r42;
  mad.lo.u32 %r40, %r4, 4, %r40;
  mad.lo.u32 %r41, %r4, 32, %r42;
  mad.lo.u32 %r41, %r3, 4, %r41;
  add.u32 %r41, %r41, {b_at};
{multiply}  add.u32 %r8, %r8, 1;
  setp.eq.u32 %p4, %r8, 3;
  selp.b32 %r8, 0, %r8, %p4;
  add.u32 %r9, %r9, 1;
  setp.eq.u32 %p4, %r9, 3;
  selp.b32 %r9, 0, %r9, %p4;
  add.u32 %r7, %r7, 1;
  setp.lt.u32 %p5, %r7, %r6;
  @%p5 bra $LOOP;
  shl.b32 %r43, %r1, 4;
  add.u32 %r43, %r43, %r3;
  add.u32 %r43, %r43, %r5;
  shl.b32 %r44, %r43, 3;
  mad.lo.u32 %r44, %r4, 2, %r44;
  mad.wide.u32 %d5, %r44, 4, %d2;
  setp.lt.u32 %p6, %r43, %m;
  @%p6 st.global.v2.b32 [%d5], {{%r36, %r37}};
  add.u32 %r43, %r43, 8;
  setp.lt.u32 %p7, %r43, %m;
  @%p7 st.global.v2.b32 [%d5+256], {{%r38, %r39}};
  ret;
}}
"""
    rng = np.random.default_rng(4)
    a, b = rng.integers(-4, 5, (43, 112)), rng.integers(-4, 5, (112, 8))
    return {
        "name": "matmul", "ptx": text, "inputs": [a.astype(np.float32), b.astype(np.float32)], "output": (43, 8),
        "expected": a @ b, "scalars": [np.uint32(43), np.uint32(112)], "grid": 2, "block": 64, "shared": 0,
    }


def warpgroup():
    """64 x 16 by products of a warpgroup, out of a ring of two stages that a second one fills by cp.async."""
    sums = ", ".join(f"%s{i}" for i in range(8))
    loads = "".join(f"  ld.global.nc.b32 %a{4 * part + 2 * half + row}, [%d{4 + row}+{32 * part + 16 * half}];\n"
                    for part in range(4) for half in range(2) for row in range(2))
    products = "".join(f"""  add.u64 %d6, %d7, {2 * part};
  wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {{{sums}}}, {{%a{4 * part}, %a{4 * part + 1}, %a{4 * part + 2}, %a{4 * part + 3}}}, %d6, 1, 1, 1, 0;
""" for part in range(4))
    text = HEADER.replace("sm_80", "sm_90a") + f"""
.extern .shared .align 1024 .b8 stages[];
.visible .entry warpgroup(.param .u64 w, .param .u64 x, .param .u64 y, .param .u32 steps)
{{
  .reg .pred %p<8>;
  .reg .b32 %r<32>, %a<16>, %s<8>, %t, %n, %i, %stage, %parity, %full, %empty, %width;
  .reg .b64 %d<12>;
  ld.param.b64 %d0, [w];
  ld.param.b64 %d1, [x];
  ld.param.b64 %d2, [y];
  ld.param.b32 %n, [steps];
  mov.u32 %t, %tid.x;
  mov.u32 %full, stages;
  add.u32 %full, %full, 4096;
  add.u32 %empty, %full, 16;
  shl.b32 %width, %n, 7;
  setp.eq.u32 %p0, %t, 0;
  @%p0 mbarrier.init.shared.b64 [%full], 128;
  @%p0 mbarrier.init.shared.b64 [%full+8], 128;
  @%p0 mbarrier.init.shared.b64 [%empty], 128;
  @%p0 mbarrier.init.shared.b64 [%empty+8], 128;
  bar.sync 0;
  mov.u32 %i, 0;
  setp.lt.u32 %p1, %t, 128;
  @%p1 bra $MULTIPLY;
  sub.u32 %r0, %t, 128;
  shr.u32 %r1, %r0, 3;
  and.b32 %r2, %r0, 7;
  and.b32 %r3, %r1, 7;
  xor.b32 %r3, %r2, %r3;
  shl.b32 %r4, %r1, 7;
  mad.lo.u32 %r4, %r3, 16, %r4;
  mov.u32 %r5, stages;
  add.u32 %r4, %r4, %r5;
  mul.lo.u32 %r6, %r1, %width;
  mad.lo.u32 %r6, %r2, 16, %r6;
  cvt.u64.u32 %d3, %r6;
  add.u64 %d3, %d1, %d3;
$FILL:
  and.b32 %stage, %i, 1;
  shr.u32 %parity, %i, 1;
  not.b32 %parity, %parity;
  and.b32 %parity, %parity, 1;
  mad.lo.u32 %r7, %stage, 8, %empty;
$FREE:
  mbarrier.try_wait.parity.shared.b64 %p2, [%r7], %parity;
  @!%p2 bra $FREE;
  mad.lo.u32 %r8, %stage, 2048, %r4;
  cp.async.cg.shared.global [%r8], [%d3], 16;
  add.u64 %d3, %d3, 128;
  mad.lo.u32 %r9, %stage, 8, %full;
  cp.async.mbarrier.arrive.noinc.shared.b64 [%r9];
  add.u32 %i, %i, 1;
  setp.lt.u32 %p3, %i, %n;
  @%p3 bra $FILL;
  bra $DONE;
$MULTIPLY:
  shr.u32 %r10, %t, 5;
  and.b32 %r11, %t, 31;
  shr.u32 %r12, %r11, 2;
  and.b32 %r13, %r11, 3;
  mad.lo.u32 %r14, %r10, 16, %r12;
  mul.lo.u32 %r15, %r14, %width;
  mad.lo.u32 %r15, %r13, 4, %r15;
  cvt.u64.u32 %d4, %r15;
  add.u64 %d4, %d0, %d4;
  shl.b32 %r16, %width, 3;
  cvt.u64.u32 %d5, %r16;
  add.u64 %d5, %d4, %d5;
{"".join(f"  mov.b32 %s{i}, 0;{chr(10)}" for i in range(8))}$NEXT:
  and.b32 %stage, %i, 1;
  shr.u32 %parity, %i, 1;
  and.b32 %parity, %parity, 1;
  mad.lo.u32 %r9, %stage, 8, %full;
$ARRIVES:
  mbarrier.try_wait.parity.shared.b64 %p2, [%r9], %parity;
  @!%p2 bra $ARRIVES;
  fence.proxy.async.shared::cta;
{loads}  mov.u32 %r17, stages;
  mad.lo.u32 %r17, %stage, 2048, %r17;
  shr.u32 %r17, %r17, 4;
  cvt.u64.u32 %d7, %r17;
  or.b64 %d7, %d7, {1 << 62 | 64 << 32 | 1 << 16};
  wgmma.fence.sync.aligned;
{products}$NEXT2:
  wgmma.commit_group.sync.aligned;
  wgmma.wait_group.sync.aligned 0;
  mad.lo.u32 %r7, %stage, 8, %empty;
  mbarrier.arrive.shared.b64 _, [%r7];
  add.u64 %d4, %d4, 128;
  add.u64 %d5, %d5, 128;
  add.u32 %i, %i, 1;
  setp.lt.u32 %p3, %i, %n;
  @%p3 bra $NEXT;
  shl.b32 %r18, %r14, 4;
  mad.lo.u32 %r18, %r13, 2, %r18;
  mad.wide.u32 %d8, %r18, 4, %d2;
  st.global.v2.b32 [%d8], {{%s0, %s1}};
  st.global.v2.b32 [%d8+512], {{%s2, %s3}};
  st.global.v2.b32 [%d8+32], {{%s4, %s5}};
  st.global.v2.b32 [%d8+544], {{%s6, %s7}};
$DONE:
  ret;
}}
"""
    rng = np.random.default_rng(7)
    w, x = rng.integers(-3, 4, (64, 320)), rng.integers(-3, 4, (16, 320))

    def halves(values):
        return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)

    return {
        "name": "warpgroup", "ptx": text, "inputs": [halves(w), halves(x)], "output": (64, 16), "expected": w @ x.T,
        "scalars": [np.uint32(5)], "grid": 1, "block": 256, "shared": 4096 + 32,
    }


def blocks():
    """Four blocks leave a row each; the one that counts last adds the rows up in order."""
    text = HEADER + """
.visible .entry blocks(.param .u64 x, .param .u64 room, .param .u64 y)
.maxntid 64
{
  .reg .pred %p<4>, %lead;
  .reg .b32 %r<16>, %t;
  .reg .b64 %d<8>;
  .shared .align 4 .b8 flag[4];
  ld.param.b64 %d0, [x];
  ld.param.b64 %d1, [room];
  ld.param.b64 %d2, [y];
  mov.u32 %t, %tid.x;
  mov.u32 %r0, %ctaid.x;
  mad.lo.u32 %r1, %r0, 64, %t;
  mad.wide.u32 %d3, %r1, 4, %d0;
  ld.global.nc.b32 %r2, [%d3];
  add.s32 %r2, %r2, 1;
  mad.wide.u32 %d4, %r1, 4, %d1;
  st.global.b32 [%d4+16], %r2;
  bar.sync 0;
  setp.eq.u32 %lead, %t, 0;
  @!%lead bra $COUNTED;
  fence.acq_rel.gpu;
  atom.global.inc.u32 %r3, [%d1], 3;
  fence.acq_rel.gpu;
  st.shared.b32 [flag], %r3;
$COUNTED:
  bar.sync 0;
  ld.shared.b32 %r4, [flag];
  setp.ne.u32 %p1, %r4, 3;
  @%p1 ret;
  mad.wide.u32 %d5, %t, 4, %d1;
  ld.global.b32 %r5, [%d5+16];
  ld.global.b32 %r6, [%d5+272];
  ld.global.b32 %r7, [%d5+528];
  ld.global.b32 %r8, [%d5+784];
  add.s32 %r5, %r5, %r6;
  add.s32 %r5, %r5, %r7;
  add.s32 %r5, %r5, %r8;
  mad.wide.u32 %d6, %t, 4, %d2;
  st.global.b32 [%d6], %r5;
  ret;
}
"""
    x = np.random.default_rng(8).integers(-100, 100, (4, 64)).astype(np.int32)
    return {
        "name": "blocks", "ptx": text, "inputs": [x, np.zeros(4 + 256, np.int32)], "output": (64,),
        "expected": x.sum(axis=0) + 4, "dtype": np.int32, "scalars": [], "grid": 4, "block": 64, "shared": 0,
    }


def ring():
    """A warp that copies in bulk and two that add up, over a ring of two stages with full and empty mbarriers."""
    text = HEADER + """
.extern .shared .align 16 .b8 dynamic[];
.visible .entry ring(.param .u64 x, .param .u64 y, .param .u32 steps)
{
  .reg .pred %p<8>, %lead;
  .reg .b32 %r<32>, %t, %n, %full, %empty, %room, %i, %stage, %parity;
  .reg .b64 %d<8>;
  ld.param.b64 %d0, [x];
  ld.param.b64 %d1, [y];
  ld.param.b32 %n, [steps];
  mov.u32 %t, %tid.x;
  mov.u32 %full, dynamic;
  add.u32 %empty, %full, 16;
  add.u32 %room, %full, 32;
  setp.eq.u32 %lead, %t, 0;
  @%lead mbarrier.init.shared.b64 [%full], 1;
  @%lead mbarrier.init.shared.b64 [%full+8], 1;
  @%lead mbarrier.init.shared.b64 [%empty], 64;
  @%lead mbarrier.init.shared.b64 [%empty+8], 64;
  fence.mbarrier_init.release.cluster;
  bar.sync 0;
  mov.u32 %i, 0;
  mov.u32 %stage, 0;
  mov.u32 %parity, 0;
  mov.b32 %r10, 0;
  setp.ge.u32 %p0, %t, 32;
  @%p0 bra $CONSUME;
  @!%lead bra $DONE;
$PRODUCE:
  mad.lo.u32 %r1, %stage, 8, %empty;
  xor.b32 %r2, %parity, 1;
$FREE:
  mbarrier.try_wait.parity.shared.b64 %p1, [%r1], %r2;
  @!%p1 bra $FREE;
  mad.lo.u32 %r3, %stage, 8, %full;
  mbarrier.arrive.expect_tx.shared.b64 _, [%r3], 256;
  mad.lo.u32 %r4, %stage, 256, %room;
  mad.wide.u32 %d2, %i, 256, %d0;
  cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r4], [%d2], 256, [%r3];
  add.u32 %i, %i, 1;
  xor.b32 %stage, %stage, 1;
  setp.eq.u32 %p2, %stage, 0;
  @%p2 xor.b32 %parity, %parity, 1;
  setp.lt.u32 %p3, %i, %n;
  @%p3 bra $PRODUCE;
  bra $DONE;
$CONSUME:
  sub.u32 %r5, %t, 32;
$NEXT:
  mad.lo.u32 %r3, %stage, 8, %full;
$ARRIVES:
  mbarrier.try_wait.parity.shared.b64 %p1, [%r3], %parity;
  @!%p1 bra $ARRIVES;
  mad.lo.u32 %r4, %stage, 256, %room;
  mad.lo.u32 %r6, %r5, 4, %r4;
  ld.shared.b32 %r7, [%r6];
  add.s32 %r10, %r10, %r7;
  mad.lo.u32 %r1, %stage, 8, %empty;
  mbarrier.arrive.shared.b64 _, [%r1];
  add.u32 %i, %i, 1;
  xor.b32 %stage, %stage, 1;
  setp.eq.u32 %p2, %stage, 0;
  @%p2 xor.b32 %parity, %parity, 1;
  setp.lt.u32 %p3, %i, %n;
  @%p3 bra $NEXT;
  mad.wide.u32 %d3, %r5, 4, %d1;
  st.global.b32 [%d3], %r10;
$DONE:
  ret;
}
"""
    x = np.random.default_rng(5).integers(-100, 100, (9, 64)).astype(np.int32)
    return {
        "name": "ring", "ptx": text, "inputs": [x], "output": (64,), "expected": x.sum(axis=0), "dtype": np.int32,
        "scalars": [np.uint32(9)], "grid": 1, "block": 96, "shared": 32 + 512,
    }


def boxes():
    """The columns of a tensor of 68 rows added up, eight rows at a time, as the copy engine brings them in swizzled boxes."""
    text = HEADER.replace("sm_80", "sm_90a") + """
.extern .shared .align 1024 .b8 stages[];
.visible .entry boxes(.param .u64 y, .param .u32 steps, .param .align 64 .b8 map[128])
{
  .reg .pred %p<8>, %lead;
  .reg .b32 %r<32>, %t, %n, %full, %empty, %i, %stage, %parity;
  .reg .b64 %d<8>, %map;
  ld.param.b64 %d1, [y];
  ld.param.b32 %n, [steps];
  mov.b64 %d0, map;
  cvta.param.u64 %map, %d0;
  mov.u32 %t, %tid.x;
  mov.u32 %full, stages;
  add.u32 %full, %full, 2048;
  add.u32 %empty, %full, 16;
  setp.eq.u32 %lead, %t, 0;
  @!%lead bra $MADE;
  mbarrier.init.shared.b64 [%full], 1;
  mbarrier.init.shared.b64 [%full+8], 1;
  mbarrier.init.shared.b64 [%empty], 32;
  mbarrier.init.shared.b64 [%empty+8], 32;
  fence.mbarrier_init.release.cluster;
$MADE:
  bar.sync 0;
  mov.u32 %i, 0;
  mov.b32 %r10, 0;
  setp.lt.u32 %p0, %t, 32;
  @%p0 bra $ADD;
  setp.ne.u32 %p1, %t, 32;
  @%p1 bra $DONE;
$BRING:
  and.b32 %stage, %i, 1;
  shr.u32 %parity, %i, 1;
  not.b32 %parity, %parity;
  and.b32 %parity, %parity, 1;
  mad.lo.u32 %r1, %stage, 8, %empty;
$FREE:
  mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r1], %parity;
  @!%p2 bra $FREE;
  mad.lo.u32 %r2, %stage, 8, %full;
  mov.u32 %r3, stages;
  mad.lo.u32 %r3, %stage, 1024, %r3;
  shl.b32 %r4, %i, 3;
  mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 1024;
  cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r3], [%map, {0, %r4}], [%r2];
  add.u32 %i, %i, 1;
  setp.lt.u32 %p3, %i, %n;
  @%p3 bra $BRING;
  bra $DONE;
$ADD:
  and.b32 %stage, %i, 1;
  shr.u32 %parity, %i, 1;
  and.b32 %parity, %parity, 1;
  mad.lo.u32 %r2, %stage, 8, %full;
$ARRIVES:
  mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r2], %parity;
  @!%p2 bra $ARRIVES;
  mov.u32 %r5, 0;
$ROW:
  shr.u32 %r6, %t, 2;
  xor.b32 %r6, %r6, %r5;
  and.b32 %r7, %t, 3;
  mad.lo.u32 %r6, %r6, 4, %r7;
  mad.lo.u32 %r8, %r5, 32, %r6;
  mov.u32 %r3, stages;
  mad.lo.u32 %r3, %stage, 1024, %r3;
  mad.lo.u32 %r8, %r8, 4, %r3;
  ld.shared.b32 %r9, [%r8];
  add.s32 %r10, %r10, %r9;
  add.u32 %r5, %r5, 1;
  setp.lt.u32 %p4, %r5, 8;
  @%p4 bra $ROW;
  mad.lo.u32 %r1, %stage, 8, %empty;
  mbarrier.arrive.shared.b64 _, [%r1];
  add.u32 %i, %i, 1;
  setp.lt.u32 %p3, %i, %n;
  @%p3 bra $ADD;
  mad.wide.u32 %d3, %t, 4, %d1;
  st.global.b32 [%d3], %r10;
$DONE:
  ret;
}
"""
    x = np.random.default_rng(9).integers(-100, 100, (68, 32)).astype(np.int32)
    return {
        "name": "boxes", "ptx": text, "maps": [(x, (32, 68), (32, 8))], "inputs": [], "output": (32,), "expected": x.sum(axis=0),
        "dtype": np.int32, "scalars": [np.uint32(9)], "grid": 1, "block": 64, "shared": 2048 + 32,
    }


def grid():
    """Two blocks go over five tiles: a thread copies parts in bulk, two warps add up, over a ring of four stages that goes on from
    tile to tile. Two rows of sums have one room, whence the other warp's are stored."""
    text = HEADER + """
.extern .shared .align 16 .b8 dynamic[];
.visible .entry grid(.param .u64 x, .param .u64 y, .param .u32 tiles)
{
  .reg .pred %p<8>, %lead;
  .reg .b32 %r<32>, %t, %n, %full, %empty, %room, %sums, %i, %tile, %blocks, %number, %stage, %parity;
  .reg .b64 %d<8>;
  ld.param.b64 %d0, [x];
  ld.param.b64 %d1, [y];
  ld.param.b32 %n, [tiles];
  mov.u32 %t, %tid.x;
  mov.u32 %tile, %ctaid.x;
  mov.u32 %blocks, %nctaid.x;
  mov.u32 %full, dynamic;
  add.u32 %empty, %full, 32;
  add.u32 %room, %full, 64;
  add.u32 %sums, %full, 1088;
  setp.eq.u32 %lead, %t, 0;
  @%lead mbarrier.init.shared.b64 [%full], 1;
  @%lead mbarrier.init.shared.b64 [%full+8], 1;
  @%lead mbarrier.init.shared.b64 [%full+16], 1;
  @%lead mbarrier.init.shared.b64 [%full+24], 1;
  @%lead mbarrier.init.shared.b64 [%empty], 64;
  @%lead mbarrier.init.shared.b64 [%empty+8], 64;
  @%lead mbarrier.init.shared.b64 [%empty+16], 64;
  @%lead mbarrier.init.shared.b64 [%empty+24], 64;
  fence.mbarrier_init.release.cluster;
  bar.sync 0;
  mov.u32 %number, 0;
  setp.ge.u32 %p0, %t, 32;
  @%p0 bra $MULTIPLY;
  @!%lead bra $DONE;
$FILL:
  mov.u32 %i, 0;
$STEP:
  and.b32 %stage, %number, 3;
  shr.u32 %parity, %number, 2;
  not.b32 %parity, %parity;
  and.b32 %parity, %parity, 1;
  mad.lo.u32 %r1, %stage, 8, %empty;
$FREE:
  mbarrier.try_wait.parity.shared.b64 %p1, [%r1], %parity;
  @!%p1 bra $FREE;
  mad.lo.u32 %r3, %stage, 8, %full;
  mbarrier.arrive.expect_tx.shared.b64 _, [%r3], 256;
  mad.lo.u32 %r4, %stage, 256, %room;
  mad.lo.u32 %r5, %tile, 3, %i;
  mad.wide.u32 %d2, %r5, 256, %d0;
  cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r4], [%d2], 256, [%r3];
  add.u32 %number, %number, 1;
  add.u32 %i, %i, 1;
  setp.lt.u32 %p2, %i, 3;
  @%p2 bra $STEP;
  add.u32 %tile, %tile, %blocks;
  setp.lt.u32 %p3, %tile, %n;
  @%p3 bra $FILL;
  bra $DONE;
$MULTIPLY:
  sub.u32 %r6, %t, 32;
  mad.lo.u32 %r7, %r6, 4, %sums;
  xor.b32 %r8, %r6, 32;
  mad.lo.u32 %r8, %r8, 4, %sums;
$NEXT:
  mov.u32 %i, 0;
  mov.b32 %r10, 0;
  mov.b32 %r11, 0;
$PART:
  and.b32 %stage, %number, 3;
  shr.u32 %parity, %number, 2;
  and.b32 %parity, %parity, 1;
  mad.lo.u32 %r3, %stage, 8, %full;
$ARRIVES:
  mbarrier.try_wait.parity.shared.b64 %p1, [%r3], %parity;
  @!%p1 bra $ARRIVES;
  mad.lo.u32 %r4, %stage, 256, %room;
  mad.lo.u32 %r9, %r6, 4, %r4;
  ld.shared.b32 %r12, [%r9];
  add.s32 %r10, %r10, %r12;
  mad.lo.s32 %r11, %r12, %r12, %r11;
  mad.lo.u32 %r1, %stage, 8, %empty;
  mbarrier.arrive.shared.b64 _, [%r1];
  add.u32 %number, %number, 1;
  add.u32 %i, %i, 1;
  setp.lt.u32 %p2, %i, 3;
  @%p2 bra $PART;
  bar.sync 1, 64;
  st.shared.b32 [%r7], %r10;
  bar.sync 1, 64;
  ld.shared.b32 %r13, [%r8];
  mad.lo.u32 %r14, %tile, 128, %r6;
  mad.wide.u32 %d3, %r14, 4, %d1;
  st.global.b32 [%d3], %r13;
  bar.sync 1, 64;
  st.shared.b32 [%r7], %r11;
  bar.sync 1, 64;
  ld.shared.b32 %r13, [%r8];
  st.global.b32 [%d3+256], %r13;
  add.u32 %tile, %tile, %blocks;
  setp.lt.u32 %p3, %tile, %n;
  @%p3 bra $NEXT;
$DONE:
  ret;
}
"""
    x = np.random.default_rng(10).integers(-100, 100, (5, 3, 64)).astype(np.int32)
    other = np.arange(64) ^ 32
    return {
        "name": "grid", "ptx": text, "inputs": [x], "output": (5, 128),
        "expected": np.concatenate([x.sum(axis=1)[:, other], (x * x).sum(axis=1)[:, other]], axis=1), "dtype": np.int32,
        "scalars": [np.uint32(5)], "grid": 2, "block": 96, "shared": 1088 + 256,
    }
