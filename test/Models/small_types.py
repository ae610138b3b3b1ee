#!/usr/bin/env python3
#===- small_types.py - types of 8 bits and less against ONNX's reference ---===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Converts every float16, every code of each small type and floats around all
ties, when running and when compiling, and compares the bits with ONNX's own
conversions; then moves, quantises and dequantises such tensors.

usage: small_types.py [--tenon PATH] [--part N/M] [SUBSTRING...]
"""

import functools
import json
import warnings

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.ops.op_cast import cast_to

from batch import Graph, check_graphs
from tool import Checks, Failure

FLOATS = ["FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "FLOAT4E2M1"]
INTEGERS = ["INT4", "UINT4", "INT2", "UINT2"]
LEVELS = ["x86-64-v2", "native"]


def dtype(name):
    return helper.tensor_dtype_to_np_dtype(getattr(TensorProto, name))


def bits(array):
    """An array's bits as unsigned integers, NaNs all alike."""
    array = np.ascontiguousarray(array)
    if array.dtype in (np.float16, np.float32):
        array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
    return array.view(f"u{array.dtype.itemsize}")


def codes(name):
    count = {"4": 16, "2": 4}.get(name[-1] if name in INTEGERS else "8", 256)
    if name == "FLOAT4E2M1":
        count = 16
    return np.arange(count, dtype=np.uint8).view(dtype(name))


def floats_around_ties():
    """float32 at and beside every tie of the small types; special values."""
    at = np.arange(0, 1 << 32, 1 << 19, dtype=np.uint64)
    every = np.concatenate([at, at + 1, at + (1 << 32) - 1]).astype(np.uint32)
    return every.view(np.float32)


class Casts:
    """One model of Cast nodes: (output, input array's name, target, attributes)."""

    def __init__(self):
        self.inputs, self.rows = {}, []

    def add(self, source, to, **attributes):
        self.rows.append((f"y{len(self.rows)}", source, to, attributes))

    def model(self, constant):
        graph_inputs, weights, nodes, outputs = [], [], [], []
        for name, array in self.inputs.items():
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            if constant:
                weights.append(numpy_helper.from_array(array, name))
            else:
                graph_inputs.append(helper.make_tensor_value_info(name, kind, array.shape))
        for name, source, to, attributes in self.rows:
            to = getattr(TensorProto, to)
            nodes.append(helper.make_node("Cast", [source], [name], to=to, **attributes))
            outputs.append(helper.make_tensor_value_info(name, to, self.inputs[source].shape))
        graph = helper.make_graph(nodes, "casts", graph_inputs, outputs, weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=13)

    def check(self, tool, constant, *options):
        path = tool.file("casts.onnx")
        onnx.save(self.model(constant), path)
        artifact, _ = tool.compile(path, *options)
        found = tool.run(artifact, {} if constant else self.inputs)
        for name, source, to, attributes in self.rows:
            x, got = self.inputs[source], found[name]
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                want = cast_to(
                    x,
                    getattr(TensorProto, to),
                    attributes.get("saturate", 1) != 0,
                    attributes.get("round_mode", "up"),
                )
            differs = np.flatnonzero(bits(got).reshape(-1) != bits(want).reshape(-1))
            if differs.size:
                at = differs[0]
                raise Failure(
                    f"Cast of {source} to {to} {attributes} {options}: {differs.size} differ, the first at "
                    f"{x.flat[at]!r}: {bits(got).flat[at]:#x}, expected {bits(want).flat[at]:#x}"
                )


def casts(constant):
    made = Casts()
    sources = {
        "f16": np.arange(1 << 16, dtype=np.uint16).view(np.float16),
        "f32": floats_around_ties(),
    }
    if constant:  # what is folded when compiling is not large
        sources = {
            f"{name}_{part}": array[part * 4096 : (part + 1) * 4096]
            for name, array in sources.items()
            for part in (range(0, 6, 2) if name == "f32" else [])
        }
        sources["ties"] = floats_around_ties().reshape(3, -1)[:, 1000:2300].reshape(-1)
    for name, array in sources.items():
        made.inputs[name] = array
        for to in FLOATS:
            made.add(name, to)
            made.add(name, to, saturate=0)
        for mode in ("up", "down", "nearest"):
            made.add(name, "FLOAT8E8M0", round_mode=mode)
            made.add(name, "FLOAT8E8M0", round_mode=mode, saturate=0)
    # Outside these ranges the result is undefined.
    made.inputs["some"] = np.array([-9, -8, -2.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 7, 9, 15], np.float32)
    made.inputs["whole"] = np.arange(-300, 301, 7, dtype=np.int32)
    made.inputs["byte"] = np.arange(256, dtype=np.uint8)
    for to in INTEGERS:
        for source in ("some", "whole", "byte"):
            made.add(source, to)
    made.inputs["large"] = np.array([-(2**31), -65505, -257, 0, 4097, 65519, 65520, 2**31 - 1], np.int32)
    for source in ("whole", "large", "byte"):
        made.add(source, "FLOAT16")
        made.add(source, "BFLOAT16")
    for name in [*FLOATS, "FLOAT8E8M0", *INTEGERS]:
        made.inputs[name] = codes(name)
        for to in ("FLOAT", "FLOAT16", "BOOL") if name != "FLOAT8E8M0" else ("FLOAT", "FLOAT16"):
            made.add(name, to)
    for name in INTEGERS:
        for to in ("INT8", "UINT8", "INT32", "INT64"):
            made.add(name, to)
    for name in FLOATS[:4]:
        for to in FLOATS[:4]:
            if name != to:
                made.add(name, to, saturate=0)
    return made


GRAPHS = []


def graph(name, text, *sets, opset=25):
    """A graph `(inputs) => (outputs) <weights> { nodes }` and its inputs."""
    GRAPHS.append((name, text, sets, opset))


def numbers(kind, *shape, seed=0):
    made = np.random.default_rng([seed, *shape]).integers(0, 256, shape, dtype=np.uint8)
    return (made & (len(codes(kind)) - 1)).view(dtype(kind)) if kind in INTEGERS + ["FLOAT4E2M1"] else made.view(dtype(kind))


def real(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng([seed, *shape]).standard_normal(shape)).astype(np.float32)


for kind in ["int4", "uint4", "int2", "uint2", "float4e2m1", "float8e4m3fn", "float8e5m2fnuz", "float8e8m0"]:
    KIND = kind.upper()
    # Sizes whose last byte is not full, more than one vector, none at all.
    sizes = [(3, 5), (7, 37), (2, 64), (1, 1), (0, 4), (129, 33)]
    graph(f"{kind} passes", f"({kind}[n,m] x) => ({kind}[n,m] y) {{ y = Identity (x) }}", *({"x": numbers(KIND, *s)} for s in sizes))
    graph(f"{kind} moves", f"({kind}[n,m] x) => ({kind}[m,n] y, {kind}[k] z) <int64[1] all = {{-1}}> {{ y = Transpose (x)  z = Reshape (y, all) }}", *({"x": numbers(KIND, *s)} for s in sizes))
    graph(
        f"{kind} is cut and joined",
        f"({kind}[n,6] x, {kind}[m,6] y, int64[k] i) => ({kind}[p,6] z, {kind}[k,6] g, {kind}[n,3] s)"
        "<int64[1] one = {1}, int64[1] six = {6}, int64[1] two = {2}>"
        "{ z = Concat <axis = 0> (x, y)  g = Gather <axis = 0> (x, i)  s = Slice (x, one, six, one, two) }",
        {"x": numbers(KIND, 5, 6), "y": numbers(KIND, 3, 6, seed=1), "i": np.array([4, 0, -1])},
        {"x": numbers(KIND, 19, 6), "y": numbers(KIND, 0, 6), "i": np.array([], np.int64)},
    )
for kind in ["int4", "uint4", "int2", "uint2", "float4e2m1", "float8e4m3fn", "float8e5m2"]:
    KIND = kind.upper()
    type_number = getattr(TensorProto, KIND)
    graph(
        f"quantize to {kind}",
        f"(float[n,m] x, float s) => ({kind}[n,m] y) {{ y = QuantizeLinear <output_dtype = {type_number}> (x, s) }}",
        *({"x": real(*s, scale=9), "s": np.float32(1.5)} for s in [(3, 5), (31, 17), (0, 3)]),
    )
    graph(
        f"quantize to {kind} by rows",
        f"(float[n,m] x, float[n] s, {kind}[n] z) => ({kind}[n,m] y) {{ y = QuantizeLinear <axis = 0> (x, s, z) }}",
        {"x": real(4, 9, scale=9), "s": np.array([1, 2, 0.5, 4], np.float32), "z": np.zeros(4, dtype(KIND))},
    )
    graph(
        f"dequantize {kind} in blocks",
        f"({kind}[n,m] x, float[n,b] s) => (float[n,m] y) {{ y = DequantizeLinear <axis = 1, block_size = 4> (x, s) }}",
        {"x": numbers(KIND, 3, 8), "s": real(3, 2)},
        {"x": numbers(KIND, 5, 12), "s": real(5, 3)},
    )
graph(
    "scales of e8m0",
    "(float8e4m3fn[n,8] x, float8e8m0[n,2] s) => (float[n,8] y) { y = DequantizeLinear <axis = 1, block_size = 4, output_dtype = 1> (x, s) }",
    {"x": numbers("FLOAT8E4M3FN", 3, 8) , "s": np.arange(120, 126, dtype=np.uint8).view(dtype("FLOAT8E8M0")).reshape(3, 2)},
)
graph(
    "constants of a shape",
    "(float[a,b] x) => (int4[a,b] y) { n = Shape (x)  y = ConstantOfShape <value = int4[1] {-3}> (n) }",
    {"x": real(3, 3)},
)
NANS = np.array([0x7F800001, 0xFF812345, 0x7FC00000, 0x80000000, 1, 0x3F800000], np.uint32)
graph("bits of a float32", "(float[n] x) => (uint32[n] y) { y = BitCast <to = 12> (x) }", {"x": NANS.view(np.float32)}, opset=26)
graph("bits to a float32", "(uint32[n] x) => (float[n] y) { y = BitCast <to = 1> (x) }", {"x": NANS}, opset=26)
EVERY = np.arange(1 << 16, dtype=np.uint16)
graph("bits of a float16", "(float16[n] x) => (int16[n] y) { y = BitCast <to = 5> (x) }", {"x": EVERY.view(np.float16)}, opset=26)
graph("bits to a float16", "(uint16[n] x) => (float16[n] y) { y = BitCast <to = 10> (x) }", {"x": EVERY}, opset=26)
graph("bits of a float8", "(float8e5m2[n] x) => (uint8[n] y) { y = BitCast <to = 2> (x) }", {"x": codes("FLOAT8E5M2")}, opset=26)
graph("bits of an int4", "(int4[n] x) => (uint4[n] y, float4e2m1[n] z) { y = BitCast <to = 21> (x)  z = BitCast <to = 23> (x) }", {"x": codes("INT4")}, opset=26)


def same(found, expected):
    if found.shape != expected.shape:
        return f"shape {found.shape}, expected {expected.shape}"
    if found.dtype.kind == "f" and expected.dtype == found.dtype and found.dtype.itemsize == 4 and not np.isnan(expected).any():
        if not np.allclose(found, expected, rtol=1e-6, atol=0):
            return f"{found}, expected {expected}"
        return None
    wrong = np.count_nonzero(found.view(f"u{found.dtype.itemsize}") != expected.view(f"u{expected.dtype.itemsize}"))
    return f"{wrong} elements differ: {found}, expected {expected}" if wrong else None


def case_graph(name, text, sets, opset):
    """A row of GRAPHS for check_graphs."""
    model = onnx.parser.parse_model(f'<ir_version: 13, opset_import: ["" : {opset}]> test {text}')
    reference = ReferenceEvaluator(model)

    @functools.cache
    def expect(number):
        with np.errstate(all="ignore"):
            return reference.run(None, sets[number])

    def judge(number, _, found):
        for output, want in zip(model.graph.output, expect(number)):
            problem = same(found[output.name], np.asarray(want))
            if problem:
                raise Failure(f"set {number}: output {output.name}: {problem}")

    return Graph(name, model, sets, judge)


def runs(tool, artifact, _, feeds):
    for number, inputs in enumerate(feeds):
        for threads in (1, 3):
            yield number, tool.run(artifact, inputs, threads)


def check_large_weight(tool):
    """A large weight of 4 bits keeps them in the artifact."""
    weight = numbers("INT4", 512, 1024)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["d"], axis=0),
        helper.make_node("Add", ["x", "d"], ["y"]),
    ]
    made = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [512, 1024])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [512, 1024])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(real(512), "s")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 25)], ir_version=13)
    path = tool.file("large.onnx")
    onnx.save(model, path)
    artifact, _ = tool.compile(path)
    x = real(512, 1024, seed=3)
    found = tool.run(artifact, {"x": x}, 2)["y"]
    expected = x + weight.astype(np.float32) * real(512)[:, None]
    if not np.array_equal(found, expected):
        raise Failure("a large int4 weight is dequantised wrongly")
    info = tool.expect_success("inspect", artifact, "--json").stdout
    size = json.loads(info)["weights_bytes"]
    if size > 512 * 1024 // 2 + 512 * 4 + 4096:
        raise Failure(f"512 * 1024 numbers of 4 bits take {size} bytes")


def main():
    checks = Checks(__doc__)
    tool = checks.tool()
    for level in LEVELS:
        checks.attempt(f"casts, {level}", lambda: casts(False).check(tool, False, "--target", level))
    checks.attempt("casts of constants", lambda: casts(True).check(tool, True))
    check_graphs(checks, tool, [case_graph(*row) for row in GRAPHS], "-O1", runs=runs)
    checks.attempt("large weight", check_large_weight, tool)
    checks.finish()


if __name__ == "__main__":
    main()
