#!/usr/bin/env python3
#===- shipped.py - what files out of packages hold, cut down ---------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Small forms of what shipped models hold and exporters' tests do not.

usage: shipped.py [--tenon PATH] [SUBSTRING...]

Recurrent cells with other activations and with quantised weights, signals of
rank 2, branches of two ranks, dims of -1, loops that stop far before their
bound, graphs without a name. onnxruntime is the judge, on one thread (see Recurrent.cpp).
"""

import itertools

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from tool import Checks, Failure, file_name

F32, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
node, port = helper.make_node, helper.make_tensor_value_info


def rand(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def ints(low, high, *shape, dtype=np.int64, seed=0):
    return np.random.default_rng([seed, *shape]).integers(low, high, shape).astype(dtype)


def model(nodes, inputs, outputs, weights, opset=17):
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "shipped", inputs, outputs, weights)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def save(tool, made):
    path = tool.file("model.onnx")
    onnx.save(made, path)
    return path


def reference(made, feeds):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def compare(tool, made, *sets, atol=1e-5):
    artifact, _ = tool.compile(save(tool, made), "-O", "0")
    for feeds in sets:
        got = tool.run(artifact, feeds)
        for output, want in zip(made.graph.output, reference(made, feeds)):
            value = got[file_name(output.name)]
            if value.shape != want.shape or not np.allclose(value, want, atol=atol, rtol=1e-4):
                raise Failure(f"{output.name} is {value.shape} {value.ravel()[:6]}, expected {want.shape} {want.ravel()[:6]}")


def refuse(tool, made, *parts):
    result = tool.call("compile", save(tool, made), "-o", tool.file("never.so"))
    said = tool.call("check", tool.file("model.onnx"))
    for text in (result.stderr, said.stderr):
        if result.returncode != 1 or said.returncode != 1 or not all(part in text for part in parts):
            raise Failure(f"exit codes {result.returncode}, {said.returncode}, {text!r}, expected {parts}")


#===------------------------------------------------------------------------===#
# Recurrent cells
#===------------------------------------------------------------------------===#

HIDDEN, WIDTH = 5, 4
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
CELLS = {
    "lstm": ("LSTM", {"activations": ["Sigmoid", "Tanh", "Tanh"]}),
    "lower": ("LSTM", {"activations": ["sigmoid", "tanh", "tanh"] * 2, "direction": "bidirectional"}),
    "hard": ("LSTM", {"activations": ["HardSigmoid", "Tanh", "Relu"], "direction": "reverse"}),
    "given": ("LSTM", {"activations": ["HardSigmoid", "LeakyRelu", "Tanh"], "activation_alpha": [0.3, 0.1], "activation_beta": [0.4]}),
    "line": ("LSTM", {"activations": ["Affine", "ScaledTanh", "Elu"], "activation_alpha": [0.2, 0.9, 0.7], "activation_beta": [0.5, 0.8]}),
    "soft": ("LSTM", {"activations": ["Softsign", "Softplus", "ThresholdedRelu"], "activation_alpha": [0.3]}),
    "clip": ("LSTM", {"activations": ["Sigmoid", "Tanh", "Tanh"], "clip": 0.5}),
    "peep": ("LSTM", {"peephole": True, "direction": "bidirectional", "clip": 0.6}),
    "coupled": ("LSTM", {"peephole": True, "input_forget": 1}),
    "resets": ("GRU", {"direction": "bidirectional", "hidden": 19}),
    "gru": ("GRU", {"activations": ["HardSigmoid", "Softsign"]}),
    "linear": ("GRU", {"activations": ["Sigmoid", "Relu"] * 2, "linear_before_reset": 1, "clip": 0.4, "direction": "bidirectional"}),
    "rnn": ("RNN", {"activations": ["Relu"]}),
    "twice": ("RNN", {"activations": ["Elu", "LeakyRelu"], "activation_alpha": [0.5, 0.2], "direction": "bidirectional", "clip": 0.9}),
}


def cell(name, op, attributes):
    """The node, its outputs and its weights."""
    attributes = dict(attributes)
    hidden, peephole = attributes.pop("hidden", HIDDEN), attributes.pop("peephole", False)
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    rows = GATES[op] * hidden
    weights = {f"{name}_w": rand(directions, rows, WIDTH), f"{name}_r": rand(directions, rows, hidden), f"{name}_b": rand(directions, 2 * rows)}
    inputs = ["x", *weights]
    if peephole:
        weights[f"{name}_p"] = rand(directions, 3 * hidden)
        inputs += ["", "", "", f"{name}_p"]
    made = node(op, inputs, [f"{name}_y", f"{name}_h"], hidden_size=hidden, **attributes)
    outputs = [port(f"{name}_y", F32, ["s", directions, "n", hidden]), port(f"{name}_h", F32, [directions, "n", hidden])]
    return [made], outputs, weights


def quantized(name, dtype, zero, channels, hidden=HIDDEN, **attributes):
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    columns = 4 * hidden
    low, high = (-127, 128) if dtype == np.int8 else (0, 256)
    scale = (directions, columns) if channels else (directions,)
    weights = {
        f"{name}_w": ints(low, high, directions, WIDTH, columns, dtype=dtype),
        f"{name}_r": ints(low, high, directions, hidden, columns, dtype=dtype),
        f"{name}_b": rand(directions, 2 * columns),
        f"{name}_ws": 0.01 + 0.005 * np.random.default_rng(1).random(scale, np.float32),
        f"{name}_wz": np.full(scale, zero, dtype),
        f"{name}_rs": 0.01 + 0.005 * np.random.default_rng(2).random(scale, np.float32),
        f"{name}_rz": np.full(scale, zero, dtype),
    }
    names = list(weights)
    made = node("DynamicQuantizeLSTM", ["x", *names[:3], "", "", "", "", *names[3:]], [f"{name}_y", f"{name}_h", f"{name}_c"],
                hidden_size=hidden, domain="com.microsoft", **attributes)
    outputs = [port(f"{name}_{o}", F32, ["s", directions, "n", hidden] if o == "y" else [directions, "n", hidden]) for o in "yhc"]
    return [made], outputs, weights


def as_u8(x):
    """DynamicQuantizeLinear: numbers less their zero point, and the scale."""
    low, high = np.float32(min(x.min(), 0)), np.float32(max(x.max(), 0))
    scale = (high - low) / np.float32(255) or np.float32(1)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    return np.clip(np.rint(x / scale) + zero, 0, 255).astype(np.int64) - int(zero), scale


def exact_lstm(x, weights, name, direction):
    """DynamicQuantizeLSTM in exact integers: onnxruntime's products of u8 and
    i8 saturate on a CPU without VNNI."""

    def times(values, kind):
        numbers, scale = as_u8(values)
        w, zero = weights[f"{name}_{kind}"][direction].astype(np.int64), weights[f"{name}_{kind}z"][direction].astype(np.int64)
        return (numbers @ (w - zero)).astype(np.float32) * (scale * weights[f"{name}_{kind}s"][direction])

    steps, batch, width = x.shape
    bias = weights[f"{name}_b"][direction].reshape(2, -1).sum(0)
    gates = times(x.reshape(-1, width), "w").reshape(steps, batch, -1)
    h = c = np.zeros((batch, weights[f"{name}_r"].shape[1]), np.float32)
    rows = []
    sigmoid = lambda v: 1 / (1 + np.exp(-v))
    for step in range(steps):
        i, o, f, g = np.split(gates[step] + times(h, "r") + bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        rows.append(h)
    return np.stack(rows), h, c


def together(parts):
    """One model of several, for one compilation."""
    nodes, outputs, weights = [], [], {}
    for more_nodes, more_outputs, more_weights in parts:
        nodes += more_nodes
        outputs += more_outputs
        weights.update(more_weights)
    return model(nodes, [port("x", F32, ["s", "n", WIDTH])], outputs, weights)


def sequences(*shapes):
    return [{"x": rand(steps, batch, WIDTH, seed=7)} for steps, batch in shapes]


def check_cells(tool):
    compare(tool, together(cell(name, *what) for name, what in CELLS.items()), *sequences((3, 2), (7, 1)))


def check_parts(tool):
    """Steps that threads share have the same bits on any number of them."""
    parts = [
        cell("lstm", "LSTM", {"hidden": 128, "peephole": True, "direction": "bidirectional"}),
        cell("lens", "LSTM", {"hidden": 128, "direction": "reverse"}),
        cell("gru", "GRU", {"hidden": 256}),
        cell("rnn", "RNN", {"hidden": 512}),
    ]
    parts[1][0][0].input.append("lens")
    made = together(parts)
    made.graph.input.append(port("lens", TensorProto.INT32, ["n"]))
    for weight in made.graph.initializer:  # else errors grow from step to step
        value = numpy_helper.to_array(weight)
        weight.CopyFrom(numpy_helper.from_array(value / np.float32(np.sqrt(value.shape[-1])), weight.name))
    artifact, _ = tool.compile(save(tool, made), "-O0")
    for feeds in sequences((6, 1), (1, 2), (5, 7)):
        feeds["lens"] = np.arange(feeds["x"].shape[1], dtype=np.int32) % (len(feeds["x"]) + 1)
        found = [tool.run(artifact, feeds, threads=threads) for threads in (1, 2, 3)]
        for output, want in zip(made.graph.output, reference(made, feeds)):
            one, *others = (got[file_name(output.name)] for got in found)
            if not np.allclose(one, want, atol=1e-5, rtol=1e-4):
                raise Failure(f"{output.name} is {one.ravel()[:6]}, expected {want.ravel()[:6]}")
            if any(one.tobytes() != other.tobytes() for other in others):
                raise Failure(f"{output.name} depends on the threads")


def check_quantized(tool, levels=("native",)):
    """Of 20 and 28 units the weight's rows and columns are whole vectors of bytes,
    and some more."""
    parts = {
        "i8": quantized("i8", np.int8, 0, channels=False),
        "i8c": quantized("i8c", np.int8, 0, channels=True),
        "i8w": quantized("i8w", np.int8, 0, channels=True, hidden=20),
        "u8": quantized("u8", np.uint8, 128, channels=True, hidden=28, direction="bidirectional"),
        "u8t": quantized("u8t", np.uint8, 120, channels=False, direction="bidirectional", clip=2.0, activations=["HardSigmoid", "Tanh", "Relu"] * 2),
    }
    made = together(parts.values())
    artifact, _ = tool.compile(save(tool, made), "-O0", f"--target={','.join(levels)}")
    for level, feeds in itertools.product(levels, sequences((4, 1), (1, 1), (9, 3), (2, 6))):
        got, x = tool.run(artifact, feeds, **({} if level == "native" else {"level": level})), feeds["x"]
        want = dict(zip((output.name for output in made.graph.output), reference(made, feeds)))
        for name in ("i8", "i8c", "i8w", "u8"):
            y, h, c = exact_lstm(x, parts[name][2], name, 0)
            want |= {f"{name}_y": y[:, None], f"{name}_h": h[None], f"{name}_c": c[None]}
            if name == "u8":
                y2, h2, c2 = (v[::-1] if v.ndim > 2 else v for v in exact_lstm(x[::-1], parts[name][2], name, 1))
                want |= {"u8_y": np.stack([y, y2], 1), "u8_h": np.stack([h, h2]), "u8_c": np.stack([c, c2])}
        for name, value in want.items():
            # A number at the edge of two steps may fall to either side.
            if value.shape != got[name].shape or np.abs(value - got[name]).max() > 1e-2:
                raise Failure(f"{name} is {got[name].ravel()[:6]}, expected {value.ravel()[:6]}")


def check_special_values(tool):
    """No number comes of bytes whose range holds an infinity or NaN."""
    widths = {"narrow": 5, "wide": 20}
    parts = [quantized(name, np.int8, 0, channels=True, hidden=hidden) for name, hidden in widths.items()]
    for (name, _), ((made,), _, _) in zip(widths.items(), parts):
        made.input[5] = f"{name}_state"
    made = together(parts)
    made.graph.node.append(node("DynamicQuantizeLinear", ["v"], ["codes", "scale", "zero"]))
    made.graph.input.extend([port("v", F32, ["m"]), *(port(f"{name}_state", F32, [1, "n", hidden]) for name, hidden in widths.items())])
    made.graph.output.extend([port("codes", TensorProto.UINT8, ["m"]), port("scale", F32, []), port("zero", TensorProto.UINT8, [])])
    artifact, _ = tool.compile(save(tool, made), "-O0")
    for values in ([0, -0.0], [], [-2.5], [3.5], [1e-44], [1, np.inf, -2], [1, -np.inf], [1, np.nan, -2, 3]):
        v = np.array(values, np.float32)
        feeds = {"x": rand(3, 2, WIDTH), "v": v}
        for name, hidden in widths.items():
            feeds[f"{name}_state"] = rand(1, 2, hidden)
            feeds[f"{name}_state"][0, 1, 3] = v.sum()
        got, finite = tool.run(artifact, feeds), np.isfinite(v.sum())
        codes, scale = as_u8(v) if finite and v.any() else (np.zeros(len(v)), np.abs(v.sum()) or 1)
        right = np.array_equal(got["scale"], scale, equal_nan=True)
        right &= not finite or np.array_equal(got["codes"].astype(int) - int(got["zero"]), codes)
        for name in widths:
            right &= np.all(np.isfinite(got[f"{name}_y"]) if finite else np.isnan(got[f"{name}_y"]))
        if not right:
            raise Failure(f"of {values}: {got['codes']} {got['scale']} {got['zero']}, then {[got[f'{name}_y'].ravel()[:6] for name in widths]}")


def check_dequantized(tool):
    """Weights of DequantizeLinear: of all steps, and of a step's product."""
    nodes, outputs, weights = [], [], {"scale": np.float32(0.01)}
    for name, op, dtype, zero, attributes in (
        ("two", "LSTM", np.uint8, 120, {"direction": "bidirectional"}),
        ("one", "GRU", np.int8, 0, {}),
        ("step", "LSTM", np.int8, -3, {"hidden": 520}),
    ):
        (made,), ports, own = cell(name, op, attributes)
        for kind in "wr":
            at, span = f"{name}_{kind}", np.iinfo(dtype)
            own[f"{at}_codes"] = ints(span.min, span.max + 1, *own.pop(at).shape, dtype=dtype)
            own[f"{at}_zero"] = np.asarray(zero, dtype)
            nodes.append(node("DequantizeLinear", [f"{at}_codes", "scale", f"{at}_zero"], [at]))
        nodes, outputs, weights = [*nodes, made], outputs + ports, weights | own
    compare(tool, model(nodes, [port("x", F32, ["s", "n", WIDTH])], outputs, weights), *sequences((3, 2), (4, 1)), atol=5e-5)


def check_unknown_activation(tool):
    refuse(tool, together([cell("odd", "GRU", {"activations": ["Sigmoid", "Gelu"]})]), "ai.onnx::GRU, opset 17", "the activation 'Gelu' is not supported")
    refuse(tool, together([cell("few", "LSTM", {"activations": ["Sigmoid", "Tanh"]})]), "expected 3 activations, found 2")


#===------------------------------------------------------------------------===#
# Signals, ranks, dims
#===------------------------------------------------------------------------===#


def check_stft(tool):
    nodes = [node("STFT", ["x", "step", "w"], ["y"], onesided=1), node("STFT", ["x", "step", "", "n"], ["z"], onesided=1)]
    outputs = [port("y", F32, ["batch", "frames", 9, 2]), port("z", F32, ["batch", "others", 7, 2])]
    made = model(nodes, [port("x", F32, ["batch", "length"])], outputs,
                 {"step": np.int64(8), "w": np.hanning(16).astype(np.float32), "n": np.int64(12)})
    compare(tool, made, {"x": rand(1, 64)}, {"x": rand(2, 80)}, atol=1e-4)


def squeezed(rank, after):
    """torch's squeeze of dim 1 of [batch, k, 4]: an If that decides the rank."""

    def branch(name, made):
        return helper.make_graph([made], name, [], [port(made.output[0], F32, None)])

    nodes = [
        node("Shape", ["x"], ["s"], start=1, end=2), node("Squeeze", ["s"], ["d"]), node("Equal", ["d", "one"], ["c"]),
        node("If", ["c"], ["h"], name="squeeze", then_branch=branch("t", node("Squeeze", ["x", "axis"], ["a"])),
             else_branch=branch("e", node("Identity", ["x"], ["b"]))),
        *after,
    ]
    return model(nodes, [port("x", F32, ["batch", "k", 4])], [port("z", F32, None if rank is None else [f"d{i}" for i in range(rank)])],
                 {"one": np.int64(1), "axis": np.array([1]), "w": rand(4, 3), "cube": rand(2, 3, 4)}, opset=18)


def check_ranks(tool):
    product = [node("MatMul", ["h", "w"], ["z"])]
    compare(tool, squeezed(2, product), {"x": rand(5, 1, 4)}, {"x": rand(1, 1, 4)})
    compare(tool, squeezed(3, product), {"x": rand(5, 2, 4)}, {"x": rand(2, 3, 4)})
    # No declaration, but a node that takes one of the ranks alone.
    compare(tool, squeezed(None, [node("Gemm", ["h", "w"], ["z"])]), {"x": rand(5, 1, 4)})
    refuse(tool, squeezed(None, product), "node 'squeeze' (ai.onnx::If, opset 18)", "its branches differ in rank", "--dim k=1")
    refuse(tool, squeezed(2, [node("Exp", ["x"], ["e"]), node("Gemm", ["e", "w"], ["z"])]), "ai.onnx::Gemm")


def check_choice_is_checked(tool):
    artifact, _ = tool.compile(save(tool, squeezed(2, [node("MatMul", ["h", "w"], ["z"])])), "-O", "0")
    np.save(tool.file("x.npy"), rand(5, 2, 4))
    result = tool.call("run", artifact, "--input", f"x={tool.file('x.npy')}", "--output-dir", tool.file("out"))
    if result.returncode != 1 or "dim 1 (k) is 2, expected 1, because of squeeze: compile with --dim k=N" not in result.stderr:
        raise Failure(f"exit code {result.returncode}, {result.stderr!r}")


def squeeze_all(*declared):
    return model([node("Squeeze", ["x"], ["h"]), node("MatMul", ["h", "w"], ["y"])], [port("x", F32, ["batch", 1, 6, 4])],
                 [port("y", F32, declared or None)], {"w": rand(4, 3)})


def check_squeeze(tool):
    compare(tool, squeeze_all("batch", 6, 3), {"x": rand(3, 1, 6, 4)})
    compare(tool, squeeze_all(6, 3), {"x": rand(1, 1, 6, 4)})
    said = tool.call("check", save(tool, squeeze_all())).stderr
    if "relies on eq(batch,1) being 0: for another compile with --dim batch=1" not in said:
        raise Failure(f"check says {said!r}")
    artifact, _ = tool.compile(save(tool, squeeze_all()), "-O", "0")
    np.save(tool.file("x.npy"), rand(1, 1, 6, 4))
    result = tool.call("run", artifact, "--input", f"x={tool.file('x.npy')}", "--output-dir", tool.file("out"))
    if result.returncode != 1 or "compile with --dim batch=1" not in result.stderr:
        raise Failure(f"exit code {result.returncode}, {result.stderr!r}")


def check_dims(tool):
    made = model([node("Concat", ["x", "z", "u", "v"], ["y"], axis=0)], [port(name, F32, [dim, 2]) for name, dim in zip("xzuv", ("-1", -1, "?", "?"))],
                 [port("y", F32, [-1, 2])], {})
    compare(tool, made, {"x": rand(3, 2), "z": rand(5, 2), "u": rand(1, 2), "v": rand(2, 2)})
    # 0 rows are no 6 elements; of onnxruntime no such input is taken.
    made = model([node("Reshape", ["x", "shape"], ["y"])], [port("x", F32, [0, 3])], [port("y", F32, [3, 2])], {"shape": np.array([3, 2])})
    artifact, _ = tool.compile(save(tool, made), "-O", "0")
    if not np.array_equal(tool.run(artifact, {"x": rand(2, 3)})["y"], rand(2, 3).reshape(3, 2)):
        raise Failure("a dim of 0 that is unknown")


def check_careless(tool):
    """No name of the graph, a key of metadata twice, an initializer that is no input before IR version 4."""
    made = model([node("MatMul", ["x", "w"], ["y"])], [port("x", F32, ["n", 4])], [port("y", F32, ["n", 3])], {"w": rand(4, 3)}, opset=8)
    made.ir_version, made.graph.name = 3, ""
    for value in "ab":
        made.metadata_props.add(key="by", value=value)
    compare(tool, made, {"x": rand(2, 4)})


def check_data(tool):
    """Tensors with data in two fields, or with some but no element; strings that nobody reads."""
    ofw, none = helper.make_tensor("w", F32, [3], [1, 2, 3]), helper.make_tensor("none", F32, [0], [])
    ofv, fact = helper.make_tensor("v", F32, [3], [1, 2, 3]), helper.make_tensor("fact", TensorProto.STRING, [1], ["a"])
    ofw.int32_data.extend([4, 5, 6])
    ofv.raw_data = np.array([7, 8, 9], np.float32).tobytes()
    none.float_data.append(1)
    made = model([node("Identity", ["fact"], ["noted"]), node("Constant", [], ["by"], value_string="b"), node("Identity", ["by"], ["again"]),
                  node("Constant", [], ["u"], value=ofv), node("Add", ["x", "w"], ["a"]), node("Mul", ["a", "v"], ["b"]), node("Mul", ["b", "u"], ["y"])],
                 [port("x", F32, ["n", 3])], [port("y", F32, ["n", 3])], {})
    made.graph.initializer.extend([ofw, ofv, none, fact])
    compare(tool, made, {"x": rand(2, 3)})


def check_loops(tool):
    """Rows are collected under a bound that no memory holds; a condition ends it."""
    body = helper.make_graph(
        [node("Mul", ["v", "two"], ["v2"]), node("ReduceMax", ["v2"], ["most"], keepdims=0), node("Less", ["most", "limit"], ["on"]),
         node("Concat", ["all", "v2"], ["more"], axis=0), node("Identity", ["v2"], ["row"])],
        "body", [port("i", I64, []), port("c", BOOL, []), port("v", F32, [2]), port("all", F32, ["n"])],
        [port("on", BOOL, []), port("v2", F32, [2]), port("more", F32, ["m"]), port("row", F32, [2])])
    made = model([node("Loop", ["M", "yes", "v0", "v0"], ["y", "all_y", "rows"], body=body)],
                 [port("M", I64, []), port("v0", F32, [2]), port("limit", F32, [])],
                 [port("y", F32, [2]), port("all_y", F32, ["a"]), port("rows", F32, ["t", 2])], {"two": np.float32(2), "yes": np.bool_(True)})
    feeds = {"v0": np.array([1, 3], np.float32), "limit": np.array(100, np.float32)}
    compare(tool, made, *({"M": np.array(bound), **feeds} for bound in (3, 10**6, 10**7, 2**31, 10**12, 2**62, 2**63 - 1)))


def check_flags(tool):
    """As Paddle's exporter makes loops: a flag, handed on, that one branch of an If gives without dims and the other one with a dim; a result
    that begins as one number, which nobody reads."""
    done = helper.make_graph([node("Constant", [], ["t"], value=numpy_helper.from_array(np.array([True])))], "done", [], [port("t", BOOL, None)])
    same = helper.make_graph([node("Identity", ["was"], ["e"])], "same", [], [port("e", BOOL, None)])
    body = helper.make_graph(
        [node("Mul", ["v", "two"], ["v2"]), node("ReduceMax", ["v2"], ["most"], keepdims=0), node("Greater", ["most", "limit"], ["over"]),
         node("If", ["over"], ["now"], then_branch=done, else_branch=same), node("Not", ["now"], ["on"]),
         node("Reshape", ["v", "rows"], ["last"])],
        "body", [port("i", I64, []), port("c", BOOL, []), port("v", F32, [2]), port("was", BOOL, []), port("unread", F32, None)],
        [port("on", BOOL, None), port("v2", F32, [2]), port("now", BOOL, None), port("last", F32, None)])
    made = model([node("Loop", ["M", "yes", "v0", "no", "two"], ["y", "end", "z"], body=body)],
                 [port("M", I64, []), port("v0", F32, [2]), port("limit", F32, [])], [port("y", F32, [2]), port("z", F32, [1, 2])],
                 {"two": np.float32(2), "yes": np.bool_(True), "no": np.bool_(False), "rows": np.array([1, 2])})
    for limit in (5, 100):
        compare(tool, made, {"M": np.array(9), "v0": np.array([1, 3], np.float32), "limit": np.array(limit, np.float32)})


def half_network(halves):
    """As networks are exported in halves: an expanded block with squeeze-and-excite, a residual sum, what normalisation in f32 leaves, a pool, a
    branch that is resized and joined, and a product of what is left."""
    def weights(seed, *shape):
        return (rand(*shape, seed=seed) / np.sqrt(np.prod(shape[1:]))).astype(halves)
    w = {"w0": weights(0, 24, 3, 3, 3), "w1": weights(1, 24, 24, 3, 3), "b1": weights(2, 24), "w2": weights(3, 40, 24, 1, 1), "wd": weights(4, 40, 1, 3, 3),
         "s1": weights(5, 8, 40, 1, 1), "s2": weights(6, 40, 8, 1, 1), "w3": weights(7, 24, 40, 1, 1), "m": rand(24, 1, 1, seed=8), "w4": weights(9, 17, 48, 3, 3),
         "wg": weights(10, 48, 4, 3, 3), "f": weights(11, 17, 5), "two": np.array([1, 1, 2, 2], np.float32), "axes": np.array([2, 3])}
    pads = [1, 1, 1, 1]
    to = helper.np_dtype_to_tensor_dtype(np.dtype(halves))
    nodes = [
        node("Conv", ["x", "w0"], ["a"], pads=pads, strides=[2, 2]), node("Relu", ["a"], ["ar"]), node("Conv", ["ar", "w1", "b1"], ["b"], pads=pads),
        node("Sigmoid", ["b"], ["bs"]), node("Mul", ["b", "bs"], ["bm"]), node("Add", ["bm", "ar"], ["c"]),
        node("Conv", ["c", "w2"], ["d"]), node("Relu", ["d"], ["dr"]), node("Conv", ["dr", "wd"], ["e"], pads=pads, group=40),
        node("GlobalAveragePool", ["e"], ["g"]), node("Conv", ["g", "s1"], ["g1"]), node("Relu", ["g1"], ["g2"]), node("Conv", ["g2", "s2"], ["g3"]),
        node("Sigmoid", ["g3"], ["g4"]), node("Mul", ["e", "g4"], ["h"]), node("Conv", ["h", "w3"], ["i"]), node("Add", ["i", "c"], ["j"]),
        node("Cast", ["j"], ["j32"], to=F32), node("Mul", ["j32", "m"], ["k32"]), node("Cast", ["k32"], ["k"], to=to),
        node("MaxPool", ["k"], ["p"], kernel_shape=[2, 2], strides=[2, 2]), node("Resize", ["p", "", "two"], ["u"], mode="nearest"), node("Concat", ["u", "k"], ["v"], axis=1),
        node("Conv", ["v", "wg"], ["vg"], pads=pads, group=12), node("Conv", ["vg", "w4"], ["y"], pads=pads),
        node("ReduceMean", ["y"], ["o"], axes=[2, 3], keepdims=0), node("MatMul", ["o", "f"], ["z"]),
    ]
    made = model(nodes, [port("x", to, ["n", 3, "h", "w"])], [port("y", to, ["n", 17, "p", "q"]), port("z", to, ["n", 5])], w)
    return made


def check_half_networks(tool):
    # A sum in another order is another half now and then, a step of 2^-9 at 4, and 20 operators follow one another.
    made = half_network(np.float16)
    feeds = [{"x": rand(n, 3, h, w).astype(np.float16)} for n, h, w in ((1, 8, 8), (2, 36, 20))]
    compare(tool, made, *feeds, atol=8 * 2**-9)
    for level in ("x86-64-v2", "x86-64-v3"):
        artifact, _ = tool.compile(save(tool, made), "-O", "0", "--target", level)
        got = tool.run(artifact, feeds[1])
        for output, want in zip(made.graph.output, reference(made, feeds[1])):
            if not np.allclose(got[output.name], want, atol=8 * 2**-9):
                raise Failure(f"{level}: {output.name} differs by {np.abs(got[output.name].astype(np.float32) - want).max()}")


def main():
    checks = Checks(__doc__.split("\n", maxsplit=1)[0])
    tool = checks.tool()
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            checks.attempt(name.removeprefix("check_"), check, tool)
    checks.finish()


if __name__ == "__main__":
    main()
