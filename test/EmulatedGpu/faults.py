#!/usr/bin/env python3
# ===- faults.py - planted faults have to be seen -------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Plants faults in kernels and asks that the emulated GPU reports each.

A fault is a regular expression, what takes its place, and a part of the report
that is due, under every seed ("numbers" where wrong numbers are all there can
be). Without a fault the numbers are right and nothing is reported. --table
prints the table of docs/EmulatedGpu.md.

usage: faults.py [--table] [SUBSTRING...]
"""

import re
import sys

import gpu as emulated
import kernels
import numpy as np

SEEDS = (1, 2, 3)

# Kernel, fault, pattern, number of the hit, replacement, report; then what of
# the launch is changed.
FAULTS = [
    ("softmax", "the barrier after the first partials left out", r"bar\.sync 0;", 0, "", "race on shared|never written"),
    ("softmax", "the barrier before partials are used again left out", r"bar\.sync 0;", 1, "", "race on shared"),
    ("softmax", "the barrier after the second partials left out", r"bar\.sync 0;", 2, "", "race on shared"),
    ("softmax", "a barrier for the first lanes only", r"bar\.sync 0;", 0, "@%lead bar.sync 0;", "divergent"),
    ("softmax", "a warp returns before the barrier", r"bar\.sync 0;", 1,
     "setp.gt.u32 %p3, %t, 95; @%p3 ret; bar.sync 0;", "deadlock"),
    ("softmax", "some threads return before the barrier", r"bar\.sync 0;", 1,
     "setp.eq.u32 %p3, %t, 95; @%p3 ret; bar.sync 0;", "divergent"),
    ("softmax", "all warps write one partial", r"\[%slot\]", 0, "[partials]", "race on shared|never written"),
    ("softmax", "all lanes write the partial, before it is whole", r"shfl\.sync\.bfly\.b32 %r11, %r10, 16", 0,
     "st.shared.b32 [%slot], %t; shfl.sync.bfly.b32 %r11, %r10, 16", "race on shared"),
    ("softmax", "a shuffle of another distance", r"%r10, 16, 31", 1, "%r10, 8, 31", "numbers"),
    ("softmax", "a shuffle that leaves out half of the warp", r"16, 31, -1", 0, "16, 31, 65535", "leaves out|does not take part"),
    ("softmax", "a shuffle in a branch", r"shfl\.sync\.bfly\.b32 %r11, %r10, 16", 0,
     "@%lead shfl.sync.bfly.b32 %r11, %r10, 16", "divergent"),
    ("softmax", "the loop goes one too far", r"setp\.ge\.u32 %p0, %i, %n", 0, "setp.gt.u32 %p0, %i, %n", "outside every allocation"),
    ("softmax", "a store into the next row", r"st\.global\.b32 \[%d4\]", 0, "st.global.b32 [%d4+4]",
     "race on global|never written|outside"),
    ("softmax", "every block writes the first row", r"add\.u64 %d1, %d1, %d3", 0, "add.u64 %d1, %d1, 0", "race on global"),
    ("softmax", "a shared address behind the last byte", r"st\.shared\.b32 \[%slot\]", 0, "st.shared.b32 [%slot+8]",
     "outside the block's|never written"),
    ("softmax", "a load of four bytes at an odd address", r"ld\.global\.nc\.b32 %r11, \[%d2\]", 0,
     "ld.global.nc.b32 %r11, [%d2+2]", "misaligned"),
    ("softmax", "a vector load off by one element", r"\[partials\];", 0, "[partials+4];", "misaligned"),
    ("softmax", "a block too small for the partials", r"bar\.sync 0;", 0, "bar.sync 0;", "never written", {"block": 96}),
    ("softmax", "a block whose last warp is not whole", r"bar\.sync 0;", 0, "bar.sync 0;", "last warp is not whole", {"block": 112}),
    ("softmax", "a grid with a block too many", r"bar\.sync 0;", 0, "bar.sync 0;", "outside every allocation", {"grid": 4}),
    ("matmul", "the wait left out", r"cp\.async\.wait_group 1;", 0, "", "has not been waited for"),
    ("matmul", "a wait for one group too few", r"cp\.async\.wait_group 1;", 0, "cp.async.wait_group 2;", "has not been waited for"),
    ("matmul", "the barrier after the wait left out", r"bar\.sync 0;", 0, "", "has not been waited for|race on shared"),
    ("matmul", "the barrier before the wait", r"cp\.async\.wait_group 1;\n  bar\.sync 0;", 0,
     "bar.sync 0;\n  cp.async.wait_group 1;", "has not been waited for|race on shared"),
    ("matmul", "the wrong stage is read", r"mov\.u32 %r8, 0;", 0, "mov.u32 %r8, 1;", "has not been waited for|never written"),
    ("matmul", "a stage is filled that is still read", r"mov\.u32 %r9, 2;", 0, "mov.u32 %r9, 0;", "race on shared|not been waited"),
    ("matmul", "the commit of a stage left out", r"cp\.async\.commit_group;", 0, "", "has not been waited for"),
    ("matmul", "rows behind the last are read", r"selp\.b32 %r27, 16, 0, %p1;\n  selp\.b32 %r26, %r26, 0, %p1;", 0,
     "mov.b32 %r27, 16;", "outside every allocation"),
    ("matmul", "rows behind the last are written", r"@%p7 st\.global", 0, "st.global", "outside every allocation"),
    ("matmul", "a step too many", r"setp\.lt\.u32 %p5, %r7, %r6", 0, "setp.le.u32 %p5, %r7, %r6", "numbers"),
    ("matmul", "a step too few", r"shr\.u32 %r6, %k, 4;", 0, "shr.u32 %r6, %k, 4; sub.u32 %r6, %r6, 1;", "numbers"),
    ("matmul", "a copy to a misaligned place", r"\[%r25\], \[%d4\], 16, %r27", 0, "[%r25+8], [%d4], 16, %r27", "misaligned"),
    ("matmul", "an output is left out", r"@%p6 st\.global\.v2\.b32 \[%d5\], \{%r36, %r37\};", 0, "", "never written"),
    ("matmul", "fragments of b exchanged", r"\{%r34, %r35\}", 0, "{%r35, %r34}", "numbers"),
    ("ring", "the wait for a full stage left out", r"@!%p1 bra \$ARRIVES;", 0, "", "has not been waited for|never written|race|deadlock"),
    ("ring", "the wait for an empty stage left out", r"@!%p1 bra \$FREE;", 0, "", "race on shared|not been waited|more arrivals"),
    ("ring", "a stage is released before it is read", r"(ld\.shared\.b32 %r7, \[%r6\];)(.*?)(mbarrier\.arrive\.shared\.b64 _, \[%r1\];)", 0,
     r"mad.lo.u32 %r1, %stage, 8, %empty; \3 \1\2", "race on shared|not been waited for"),
    ("ring", "the wrong parity", r"xor\.b32 %r2, %parity, 1;", 0, "mov.b32 %r2, %parity;", "deadlock"),
    ("ring", "an arrival left out", r"mbarrier\.arrive\.shared\.b64 _, \[%r1\];", 0, "", "deadlock"),
    ("ring", "half of the arrivals are expected", r"\[%empty\], 64", 0, "[%empty], 32", "race on shared|more arrivals|not been waited for|deadlock"),
    ("ring", "more bytes are expected than come", r"\[%r3\], 256;", 0, "[%r3], 272;", "deadlock"),
    ("ring", "the copy counts into the other mbarrier", r"256, \[%r3\]", 0, "256, [%full]", "deadlock|has not been waited for"),
    ("ring", "mbarriers are used before they exist", r"bar\.sync 0;", 0, "", "not initialised|never written|race on shared"),
    ("ring", "an mbarrier is written over", r"mov\.b32 %r10, 0;", 0, "mov.b32 %r10, 0; @%lead st.shared.b64 [%empty], 0;",
     "written over|race on shared"),
    ("ring", "a copy runs over the allocation", r"mad\.wide\.u32 %d2, %i, 256, %d0;", 0,
     "mad.wide.u32 %d2, %i, 272, %d0;", "outside every allocation"),
    ("warpgroup", "the wait for the products left out", r"wgmma\.wait_group\.sync\.aligned 0;", 0, "", "not been waited for"),
    ("warpgroup", "the products are no group", r"wgmma\.commit_group\.sync\.aligned;", 0, "", "not been waited for"),
    ("warpgroup", "a sum is looked at before the wait", r"wgmma\.commit_group\.sync\.aligned;", 0,
     "wgmma.commit_group.sync.aligned;\n  mov.b32 %r20, %s3;", "is read that a product"),
    ("warpgroup", "weights are overwritten before the wait", r"wgmma\.commit_group\.sync\.aligned;", 0,
     "wgmma.commit_group.sync.aligned;\n  mov.b32 %a5, 0;", "is written that a product"),
    ("warpgroup", "the fence of the registers left out", r"wgmma\.fence\.sync\.aligned;", 0, "", "last wgmma.fence"),
    ("warpgroup", "the fence between the proxies left out", r"fence\.proxy\.async\.shared::cta;", 0, "", "no fence.proxy.async"),
    ("warpgroup", "another swizzle is described", str(1 << 62 | 64 << 32 | 1 << 16), 0, str(2 << 62 | 64 << 32 | 1 << 16), "numbers"),
    ("warpgroup", "the copies are not swizzled", r"xor\.b32 %r3, %r2, %r3;", 0, "mov.b32 %r3, %r2;", "numbers"),
    ("warpgroup", "columns half as far apart", str(1 << 62 | 64 << 32 | 1 << 16), 0, str(1 << 62 | 32 << 32 | 1 << 16), "numbers"),
    ("warpgroup", "a matrix that begins within a swizzle", r"shr\.u32 %r17, %r17, 4;", 0,
     "add.u32 %r17, %r17, 128; shr.u32 %r17, %r17, 4;", "does not begin where its swizzle does"),
    ("warpgroup", "a stage is released before its products are done",
     r"(wgmma\.wait_group\.sync\.aligned 0;)(.*?)(mbarrier\.arrive\.shared\.b64 _, \[%r7\];)", 0, r"\2\3 \1", "race on shared|not been waited for"),
    ("warpgroup", "the arrival does not wait for the copies", r"cp\.async\.mbarrier\.arrive\.noinc\.shared\.b64 \[%r9\];", 0,
     "mbarrier.arrive.shared.b64 _, [%r9];", "not been waited for"),
    ("warpgroup", "the wait for a full stage left out", r"@!%p2 bra \$ARRIVES;", 0, "", "not been waited for|never written|race"),
    ("warpgroup", "a warp leaves out a product", r"wgmma\.fence\.sync\.aligned;", 0,
     "setp.gt.u32 %p4, %t, 95; @%p4 bra $NEXT2; wgmma.fence.sync.aligned;", "the warps of a warpgroup"),
    ("warpgroup", "a warpgroup of three warps", r"setp\.lt\.u32 %p1, %t, 128;", 0, "setp.lt.u32 %p1, %t, 128;",
     "not whole|deadlock", {"block": 96}),
    ("blocks", "the fence before the count left out", r"fence\.acq_rel\.gpu;", 0, "", "race on global"),
    ("blocks", "the fence behind the count left out", r"fence\.acq_rel\.gpu;", 1, "", "race on global"),
    ("blocks", "a fence of the block alone", r"fence\.acq_rel\.gpu;", 0, "fence.acq_rel.cta;", "race on global"),
    ("blocks", "the barrier before the count left out", r"bar\.sync 0;", 0, "", "race on global"),
    ("blocks", "the last but one adds up", r"setp\.ne\.u32 %p1, %r4, 3;", 0, "setp.ne.u32 %p1, %r4, 2;", "race on global"),
    ("ring", "the fence of the mbarriers left out", r"fence\.mbarrier_init\.release\.cluster;", 0, "", "the copy engine does not know"),
    ("ring", "threads write where a copy will, without a fence", r"mov\.b32 %r10, 0;", 0,
     "mov.b32 %r10, 0; @%lead st.shared.b32 [%room], 0;", "no fence.proxy.async"),
    ("boxes", "the wait for a full stage left out", r"@!%p2 bra \$ARRIVES;", 0, "", "not been waited for|never written|race"),
    ("boxes", "the wait for an empty stage left out", r"@!%p2 bra \$FREE;", 0, "", "race on shared|not been waited|more arrivals"),
    ("boxes", "the bytes of half a box are expected", r"\[%r2\], 1024;", 0, "[%r2], 512;", "not been waited for|deadlock"),
    ("boxes", "no bytes are expected", r"arrive\.expect_tx\.shared::cta\.b64 _, \[%r2\], 1024;", 0, "arrive.shared::cta.b64 _, [%r2];",
     "not been waited for|deadlock|never written"),
    ("boxes", "the fence of the mbarriers left out", r"fence\.mbarrier_init\.release\.cluster;", 0, "", "the copy engine does not know"),
    ("boxes", "another swizzle is read", r"xor\.b32 %r6, %r6, %r5;", 0, "", "numbers"),
    ("boxes", "another swizzle is written", r"bar\.sync 0;", 0, "bar.sync 0;", "numbers", {"swizzle": 0}),
    ("boxes", "a box at a misaligned place", r"mov\.u32 %r3, stages;", 0, "mov.u32 %r3, stages; add.u32 %r3, %r3, 16;", "misaligned"),
    ("boxes", "a box that is written over the mbarriers", r"mad\.lo\.u32 %r3, %stage, 1024, %r3;", 0,
     "mad.lo.u32 %r3, %stage, 1152, %r3;", "written over|race on shared|outside the block's"),
    ("boxes", "the next box's rows", r"shl\.b32 %r4, %i, 3;", 0, "shl.b32 %r4, %i, 3; add.u32 %r4, %r4, 8;", "numbers"),
    ("boxes", "a map of more rows than there are", r"bar\.sync 0;", 0, "bar.sync 0;", "outside every allocation", {"dims": (32, 69)}),
    ("boxes", "no map", r"\[%map, ", 0, "[%d1, ", "lie outside|no tensor map|never written|misaligned"),
    ("grid", "a tile's last stage is released before it is read",
     r"(ld\.shared\.b32 %r12, \[%r9\];)(.*?)(mbarrier\.arrive\.shared\.b64 _, \[%r1\];)", 0,
     r"mad.lo.u32 %r1, %stage, 8, %empty; setp.eq.u32 %p4, %i, 2; @%p4 \3 \1\2 @!%p4 \3", "race on shared|not been waited for"),
    ("grid", "who fills counts stages anew for each tile", r"\$FILL:", 0, "$FILL:\n  mov.u32 %number, 0;",
     "race on shared|not been waited for|more arrivals|deadlock"),
    ("grid", "who adds up counts stages anew for each tile", r"\$NEXT:", 0, "$NEXT:\n  mov.u32 %number, 0;",
     "race on shared|not been waited for|more arrivals|deadlock"),
    ("grid", "the next tile's stages are filled without a wait", r"@!%p1 bra \$FREE;", 0, "",
     "race on shared|not been waited for|more arrivals"),
    ("grid", "a tile's first stage is read without a wait", r"@!%p1 bra \$ARRIVES;", 0,
     "setp.eq.u32 %p4, %i, 0; or.pred %p1, %p1, %p4; @!%p1 bra $ARRIVES;", "race on shared|not been waited for|never written"),
    ("grid", "sums are stored where the last tile's are still read", r"bar\.sync 1, 64;", 0, "", "race on shared"),
    ("grid", "sums are read before they are stored", r"bar\.sync 1, 64;", 1, "", "race on shared|never written"),
    ("grid", "the next rows' sums are stored where others are still read", r"bar\.sync 1, 64;", 2, "", "race on shared"),
    ("grid", "the next rows' sums are read before they are stored", r"bar\.sync 1, 64;", 3, "", "race on shared"),
    ("grid", "sums of the tile before are added to", r"(\$NEXT:\n  mov\.u32 %i, 0;\n)(  mov\.b32 %r10, 0;\n)", 0, r"\2\1", "numbers"),
    ("grid", "blocks leave tiles out", r"mov\.u32 %blocks, %nctaid\.x;", 0, "mov.u32 %blocks, 3;", "never written"),
    ("grid", "who fills goes on by one", r"add\.u32 %tile, %tile, %blocks;", 0, "add.u32 %tile, %tile, 1;", "deadlock|numbers"),
    ("grid", "a tile too many is filled", r"setp\.lt\.u32 %p3, %tile, %n;", 0, "setp.le.u32 %p3, %tile, %n;", "outside every allocation"),
    ("softmax", "the loop goes one too far, between buffers", r"setp\.ge\.u32 %p0, %i, %n", 0, "setp.gt.u32 %p0, %i, %n",
     "outside the 3600 bytes", {"arena": True}),
    ("softmax", "partials are read where another buffer lies", r"ld\.global\.nc\.b32 %r11, \[%d2\]", 0,
     "ld.global.nc.b32 %r11, [%d2+3600]", "outside the 3600 bytes", {"arena": True}),
    ("matmul", "rows behind the last are read, between buffers", r"selp\.b32 %r27, 16, 0, %p1;\n  selp\.b32 %r26, %r26, 0, %p1;", 0,
     "mov.b32 %r27, 16;", r"outside the \d+ bytes", {"arena": True}),
    ("matmul", "rows behind the last are written, between buffers", r"@%p7 st\.global", 0, "st.global", r"outside the \d+ bytes",
     {"arena": True}),
    ("matmul", "an output is left out, where another buffer was", r"@%p6 st\.global\.v2\.b32 \[%d5\], \{%r36, %r37\};", 0, "", "never written",
     {"arena": True}),
    ("ring", "a copy runs over its buffer", r"mad\.wide\.u32 %d2, %i, 256, %d0;", 0, "mad.wide.u32 %d2, %i, 272, %d0;",
     r"outside the \d+ bytes", {"arena": True}),
    ("ring", "less shared memory than is used", r"bar\.sync 0;", 0, "bar.sync 0;", "outside the block's", {"shared": 32 + 256}),
]


def run(device, kernel, text, seed, changes):
    """(report or None, whether the numbers are right)"""
    how = kernel | changes
    device.reset(seed)
    module = device.load(text)
    function = device.function(module, kernel["name"], how["shared"])
    tensors = [device.put(a) for a, _, _ in kernel.get("maps", [])]
    maps = [device.tensor_map(at, 2, how.get("dims", dims), box, how.get("swizzle", 3))
            for at, (_, dims, box) in zip(tensors, kernel.get("maps", []), strict=True)]
    dtype = kernel.get("dtype", np.float32)
    count = int(np.prod(kernel["output"])) * 4
    owners = []
    if how.get("arena"):  # neighbours, the result where another buffer was
        data = [np.ascontiguousarray(a).tobytes() for a in kernel["inputs"]] + [b"?" * count, b"?" * 4096]
        places = np.cumsum([0] + [-(-len(part) // 16) * 16 for part in data]).tolist()
        whole = np.frombuffer(b"".join(part.ljust(end - begin, b"?") for part, begin, end in zip(data, places, places[1:])), np.uint8)
        arena = device.put(whole)
        *inputs, output = [arena + place for place in places[:-2]]
        held = [arena]
        owners = [(len(part), False) for part in data[:-2]] + [(count, True)]
    else:
        inputs = [device.put(a) for a in kernel["inputs"]]
        output = device.alloc(count)
        held = [*inputs, output]
    found = None
    try:
        device.launch(function, how["grid"], how["block"], [*inputs, output, *kernel["scalars"], *maps], how["shared"],
                      owners=owners)
        device.synchronize()
        found = device.get(output, kernel["output"], dtype)
    except emulated.CudaError as error:
        if not device.report()[0]:
            return str(error), False
    count, texts = device.report()
    device.reset()
    device.free(*held, *tensors)
    device.call("cuModuleUnload", module)
    right = found is not None and np.allclose(found, kernel["expected"], rtol=1e-5, atol=1e-6)
    return texts if count else None, right


def plant(text, pattern, number, replacement):
    hits = list(re.finditer(pattern, text, re.S))
    if number >= len(hits):
        raise ValueError(f"'{pattern}' is there {len(hits)} times")
    hit = hits[number]
    return text[: hit.start()] + hit.expand(replacement) + text[hit.end() :]


def main():
    arguments = [a for a in sys.argv[1:] if a != "--table"]
    table = "--table" in sys.argv
    device = emulated.Gpu()
    known = {k["name"]: k for k in (kernels.softmax(), kernels.matmul(), kernels.warpgroup(), kernels.blocks(), kernels.ring(), kernels.boxes(), kernels.grid())}
    missed = planted = 0
    for kernel in known.values():
        for seed in range(8):
            report, right = run(device, kernel, kernel["ptx"], seed, {"arena": seed % 2})
            if report or not right:
                missed += 1
                print(f"FAIL {kernel['name']} without a fault, seed {seed}: {report or 'other numbers'}")
    for name, fault, pattern, number, replacement, due, *rest in FAULTS:
        if arguments and not any(a in fault or a in name for a in arguments):
            continue
        planted += 1
        text = plant(known[name]["ptx"], pattern, number, replacement)
        seen = []
        for seed in SEEDS:
            report, right = run(device, known[name], text, seed, rest[0] if rest else {})
            caught = not right if due == "numbers" else bool(report and re.search(due, report))
            if not caught:
                missed += 1
                print(f"FAIL {name}, {fault}, seed {seed}: {report or ('no effect' if right else 'other numbers')}, due: {due}")
            seen.append(report or "other numbers")
        if table:
            print(f"| {name} | {fault} | {seen[0].splitlines()[0].split(' [')[0]} |")
    print(f"{planted} faults planted, {missed} missed")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
