#!/usr/bin/env python3
#===- bad_inputs.py - what bad input gets ----------------------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Feeds damaged models, wrong options and wrong inputs to the tools.

usage: bad_inputs.py [--tenon PATH] [SUBSTRING...]

Each case must end with exit code 1, exactly one error message that names the
thing, and no file where the output would have gone. With SUBSTRINGs only the
cases whose name contains one of them run.
"""

import os

import numpy as np
import onnx
from onnx import TensorProto, helper

from tool import Checks, Failure

HERE = os.path.dirname(os.path.abspath(__file__))
MINILM = os.path.join(HERE, "minilm", "model.onnx")  # 64 positions, 211 tokens


def model(nodes, inputs, outputs, initializers=(), opset=20, domains=()):
    """A model of `nodes`; inputs and outputs are (name, type, dims)."""
    graph = helper.make_graph(
        nodes,
        "bad",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        list(initializers),
    )
    opsets = [helper.make_opsetid("", opset)] + [helper.make_opsetid(d, 1) for d in domains]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


F32, I64 = TensorProto.FLOAT, TensorProto.INT64
X, Y = ("x", F32, ["n"]), ("y", F32, ["n"])


def external(location, length):
    """x + w where w's 4000 bytes are in another file."""
    tensor = TensorProto(name="w", data_type=F32, dims=[1000], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    return model(
        [helper.make_node("Add", ["x", "w"], ["y"], "add_w")],
        [("x", F32, [1000])],
        [("y", F32, [1000])],
        [tensor],
    )


def unsupported():
    node = helper.make_node("Frobnicate", ["x"], ["y"], "frob_node", domain="com.example")
    return model([node], [X], [Y], domains=["com.example"])


def unknown_default():
    return model([helper.make_node("NoSuchOperator", ["x"], ["y"], "odd_node")], [X], [Y])


def cyclic():
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"], "second"),
        helper.make_node("Relu", ["a"], ["y"], "third"),
    ]
    return model(nodes, [X], [Y])


def undefined_value():
    return model([helper.make_node("Add", ["x", "ghost"], ["y"], "adder")], [X], [Y])


def duplicate_value():
    nodes = [helper.make_node("Relu", ["x"], ["y"], "one"), helper.make_node("Tanh", ["x"], ["y"], "two")]
    return model(nodes, [X], [Y])


def mixed_types():
    node = helper.make_node("Add", ["x", "i"], ["y"], "mixed")
    return model([node], [X, ("i", I64, ["n"])], [Y])


def complex_type():
    kind = TensorProto.COMPLEX64
    return model([helper.make_node("Identity", ["x"], ["y"], "same")], [("x", kind, ["n"])], [("y", kind, ["n"])])


def string_type():
    kind = TensorProto.STRING
    return model([helper.make_node("Identity", ["x"], ["y"], "same")], [("x", kind, ["n"])], [("y", kind, ["n"])])


def bad_attribute():
    node = helper.make_node("Softmax", ["x"], ["y"], "soft", axis=7)
    return model([node], [X], [Y])


def wrong_dims():
    weights = helper.make_tensor("w", F32, [3, 2], [0.0] * 6)
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "product")
    return model([node], [("x", F32, ["n", 4])], [("y", F32, ["n", 2])], [weights])


def short_initializer():
    tensor = TensorProto(name="w", data_type=F32, dims=[100], raw_data=b"\0" * 40)
    return model([helper.make_node("Add", ["x", "w"], ["y"], "add_w")], [("x", F32, [100])], [("y", F32, [100])], [tensor])


def short_packed():
    """100 numbers of 4 bits are 50 bytes."""
    kind = TensorProto.INT4
    tensor = TensorProto(name="w", data_type=kind, dims=[100], raw_data=b"\0" * 100)
    node = helper.make_node("Concat", ["x", "w"], ["y"], "joined", axis=0)
    return model([node], [("x", kind, ["n"])], [("y", kind, ["m"])], [tensor], opset=25)


def bits_of_other_width():
    node = helper.make_node("BitCast", ["x"], ["y"], "bits", to=I64)
    return model([node], [X], [("y", I64, ["n"])], opset=26)


def odd_rounding():
    node = helper.make_node("Cast", ["x"], ["y"], "narrow", to=TensorProto.FLOAT8E8M0, round_mode="sideways")
    return model([node], [X], [("y", TensorProto.FLOAT8E8M0, ["n"])], opset=25)


def huge_dims():
    tensor = TensorProto(name="w", data_type=F32, dims=[2**40, 2**40], raw_data=b"\0" * 40)
    return model([helper.make_node("Add", ["x", "w"], ["y"], "add_w")], [X], [Y], [tensor])


def negative_dims():
    tensor = TensorProto(name="w", data_type=F32, dims=[-4], raw_data=b"\0" * 16)
    return model([helper.make_node("Add", ["x", "w"], ["y"], "add_w")], [X], [Y], [tensor])


def no_shape():
    result = model([helper.make_node("Relu", ["x"], ["y"], "relu")], [X], [Y])
    result.graph.input[0].type.tensor_type.ClearField("shape")
    return result


def no_opset():
    result = unknown_default()
    result.graph.node[0].op_type = "Relu"
    del result.opset_import[:]
    return result


def future_opset():
    return model([helper.make_node("Relu", ["x"], ["y"], "relu")], [X], [Y], opset=99)


def of_one_node(op, operands, result, domain="", **attributes):
    """The first operand is the model's input, the others are weights; None is left out."""
    names = [f"i{i}" if x is not None else "" for i, x in enumerate(operands)]
    given, *weights = ((n, helper.np_dtype_to_tensor_dtype(x.dtype), x) for n, x in zip(names, operands) if x is not None)
    node = helper.make_node(op, names, ["y"], "tested", domain=domain, **attributes)
    tensors = [helper.make_tensor(n, kind, x.shape, x.tobytes(), raw=True) for n, kind, x in weights]
    return model([node], [(given[0], given[1], given[2].shape)], [("y", result, None)], tensors, opset=21, domains=[domain] if domain else [])


def bad_parameters():
    """Scales and zero points that the operators' texts do not allow: (name, model, words)."""
    f32, half, u8, i8, i32 = (lambda *dims, kind=k: np.ones(dims, kind) for k in (np.float32, np.float16, np.uint8, np.int8, np.int32))
    byte, number, wide = TensorProto.UINT8, F32, TensorProto.INT32
    x, w, image, filters = u8(4, 6), i8(6, 5), u8(2, 3, 8, 8), i8(4, 3, 3, 3)
    types, one = ["zero point", "ui8", "i8"], ["one element"]
    for op, of, result in (("DequantizeLinear", x, number), ("QuantizeLinear", f32(4, 6), byte)):
        for name, scale, zero, words, attributes in (
            ("a zero point for each of one scale", f32(), u8(6), ["[]", "[6]"], {}),
            ("a scale for each of one zero point", f32(6), u8(), ["[6]", "[]"], {}),
            ("a scale too few", f32(5), u8(5), ["5", "6"], {}),
            ("a zero point too few", f32(6), u8(5), ["5", "6"], {}),
            ("a block too many", f32(4, 3), u8(4, 3), ["2", "3"], {"block_size": 3}),
            ("a row of blocks", f32(1, 2), u8(1, 2), ["1", "4"], {"block_size": 3}),
            ("a negative block", f32(4, 2), u8(4, 2), ["-3"], {"block_size": -3}),
            ("a scale of integers", u8(), u8(), ["float"], {}),
        ):
            yield f"{op}: {name}", of_one_node(op, [of, scale, zero], result, **attributes), words
    yield "a scale for each of one element", of_one_node("DequantizeLinear", [u8(4, 1), f32(5), u8(5)], number), ["5", "1"]
    yield "zero point of another type", of_one_node("DequantizeLinear", [x, f32(), i8()], number), types
    yield "zero point of floats", of_one_node("DequantizeLinear", [x, f32(), f32()], number), ["zero point", "ui8", "f32"]
    yield "codes of 64 bits", of_one_node("QuantizeLinear", [f32(4, 6), f32(), np.int64(3)], I64), ["type"]
    for name, zeros, words in (
        ("left zero point of another type", [i8(), i8()], types),
        ("right zero point of another type", [u8(), u8()], types),
        ("a zero point for each column of the left", [u8(1, 6), i8()], ["1"]),
        ("zero points for five rows of four", [u8(5), i8()], ["4", "5"]),
        ("a zero point for each row of the right", [u8(), i8(6, 1)], ["1"]),
        ("right zero points of more dims", [u8(), i8(2, 1, 5)], ["each column", "[2, 1, 5]"]),
    ):
        yield name, of_one_node("MatMulInteger", [x, w, *zeros], wide), words
    yield "integers that are floats", of_one_node("MatMulInteger", [f32(4, 6), w], wide), ["8 bits", "f32"]
    yield "five scales for one row", of_one_node("QLinearMatMul", [u8(1, 6), f32(5), u8(), w, f32(), i8(), f32(), u8()], byte), ["1", "5"]
    yield "a product's codes of 32 bits", of_one_node("QLinearMatMul", [x, f32(), u8(), w, f32(), i8(), f32(), i32()], wide), ["type"]
    yield "a zero point for each image", of_one_node("ConvInteger", [image, filters, u8(2), i8()], wide), one
    yield "zero points in rows", of_one_node("ConvInteger", [image, filters, u8(), i8(2, 2)], wide), ["rank 0 or 1"]
    for name, at, bad, words in (
        ("a scale for each image", 1, f32(2), one),
        ("an image's zero point of another type", 2, i8(), types),
        ("scales for three filters of four", 4, f32(3), ["3", "4"]),
        ("a scale for each result", 6, f32(2), one),
        ("one bias", 8, i32(1), ["bias"]),
        ("a bias of floats", 8, f32(4), ["bias"]),
    ):
        operands = [image, f32(), u8(), filters, f32(), i8(), f32(), u8(), i32(4)]
        operands[at] = bad
        yield name, of_one_node("QLinearConv", operands, byte), words
    ms = {"domain": "com.microsoft"}
    yield "a sum's zero point of floats", of_one_node("QLinearAdd", [x, f32(), f32(), x, f32(), u8(), f32(), u8()], byte, **ms), ["zero point", "f32"]
    yield "a sum's scale for each row", of_one_node("QLinearAdd", [x, f32(4), u8(4), x, f32(), u8(), f32(), u8()], byte, **ms), one
    yield "a zero point of a product for each row", of_one_node("QGemm", [x, f32(), u8(4), w, f32(), i8(), None, f32(), u8()], byte, **ms), one
    nbits = {"K": 64, "N": 5, "bits": 4, "block_size": 32, **ms}
    for name, scale, zero in (
        ("zero points a byte each", f32(5, 2), u8(5, 2)),
        ("zero points for four of five columns", f32(5, 2), u8(4, 1)),
        ("packed zero points with a sign", f32(5, 2), i8(5, 1)),
        ("float zero points for half of the blocks", f32(5, 2), f32(5, 1)),
        ("scales for half of the blocks", f32(5, 1), u8(5, 1)),
    ):
        yield name, of_one_node("MatMulNBits", [f32(4, 64), u8(5, 2, 16), scale, zero], number, **nbits), ["tested"]
    yield "products of no terms", of_one_node("MatMulNBits", [f32(4, 0), u8(5, 0, 16), f32(5, 0)], number, **{**nbits, "K": 0}), ["K"]
    gather = {"bits": 4, "block_size": 16, "gather_axis": 0, "quantize_axis": 1, **ms}
    for name, scale, zero, words in (
        ("gathered zero points of another type", f32(9, 2), i8(9, 1), types),
        ("gathered zero points a byte each", f32(9, 2), u8(9, 2), ["1", "2"]),
        ("gathered zero points for eight of nine rows", f32(9, 2), u8(8, 1), ["8", "9"]),
        ("gathered scales of integers", i8(9, 2), None, ["scale", "i8"]),
    ):
        yield name, of_one_node("GatherBlockQuantized", [u8(9, 16), np.zeros(2, np.int64), scale, zero], number, **gather), words
    experts = [f32(3, 16), f32(3, 2), u8(2, 32, 8), f32(2, 32), None, u8(2, 16, 16), f32(2, 16), None, None, None, None]
    for name, zeros, words in (("an expert's zero points of another type", i8(2, 16), types), ("an expert's zero points for half of its rows", u8(2, 8), ["tested"])):
        yield name, of_one_node("QMoE", [*experts, zeros], number, k=1, activation_type="relu", **ms), words


def bad_recurrences():
    """Parameters of recurrent layers, by a step alone and by several: (name, model, words)."""
    f32, i32 = (lambda *dims, kind=k: np.ones(dims, kind) for k in (np.float32, np.int32))
    for steps in (1, 3):
        good = [f32(steps, 2, 4), f32(1, 12, 4), f32(1, 12, 3), f32(1, 24), i32(2), f32(1, 2, 3), f32(1, 2, 3), f32(1, 9)]
        for name, at, bad, words in (
            ("a bias of integers", 3, i32(1, 24), ["'B'", "f32", "i32"]),
            ("a bias without directions", 3, f32(24), ["'B'", "rank 2", "1"]),
            ("half of a bias", 3, f32(1, 12), ["24", "12"]),
            ("a length for each direction", 4, i32(1, 2), ["sequence_lens", "rank 1", "2"]),
            ("an initial state of integers", 5, i32(1, 2, 3), ["states", "f32", "i32"]),
            ("an initial state without directions", 6, f32(2, 3), ["rank"]),
            ("a peephole for each unit", 7, f32(1, 3), ["9", "3"]),
            ("weights of three gates", 1, f32(1, 9, 4), ["12", "9"]),
        ):
            operands = list(good)
            operands[at] = bad
            yield f"{steps} steps: {name}", of_one_node("LSTM", operands, F32, hidden_size=3), words


def write_bytes(tool, name, data):
    path = tool.file(name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def save(tool, name, proto):
    return write_bytes(tool, name, proto.SerializeToString())


def compile_cases(tool):
    """(name, arguments after `compile`, what the message must name)."""
    with open(MINILM, "rb") as file:
        good = file.read()
    yield "missing file", [tool.file("absent.onnx")], ["absent.onnx"]
    yield "a folder", [tool.folder()], ["dir"]
    yield "empty file", [write_bytes(tool, "empty.onnx", b"")], ["empty.onnx"]
    yield "text file", [write_bytes(tool, "text.onnx", b"This is not a model.\n" * 50)], ["text.onnx"]
    for percent in (1, 30, 60, 99):
        path = write_bytes(tool, f"cut{percent}.onnx", good[: len(good) * percent // 100])
        yield f"truncated to {percent}%", [path], [f"cut{percent}.onnx"]
    yield "external data missing", [save(tool, "ext1.onnx", external("nowhere.bin", 4000))], ["nowhere.bin"]
    write_bytes(tool, "short.bin", b"\0" * 1999)
    yield "external data short", [save(tool, "ext2.onnx", external("short.bin", 4000))], ["short.bin"]
    write_bytes(tool, "full.bin", b"\0" * 4000)
    yield "external length wrong", [save(tool, "ext3.onnx", external("full.bin", 1000))], ["w"]
    yield "external path escapes", [save(tool, "ext4.onnx", external("../../etc/passwd", 4000))], ["passwd"]
    cases = {
        "unsupported domain": (unsupported, ["frob_node", "Frobnicate"]),
        "unknown operator": (unknown_default, ["NoSuchOperator"]),
        "cyclic graph": (cyclic, ["first"]),
        "undefined value": (undefined_value, ["ghost"]),
        "value defined twice": (duplicate_value, ["y"]),
        "mixed element types": (mixed_types, ["mixed"]),
        "complex numbers": (complex_type, ["complex64"]),
        "strings": (string_type, ["string"]),
        "axis out of range": (bad_attribute, ["soft"]),
        "dims that do not fit": (wrong_dims, ["product"]),
        "initializer too short": (short_initializer, ["w"]),
        "packed initializer with a byte an element": (short_packed, ["w", "50 bytes", "100"]),
        "bits of another width": (bits_of_other_width, ["bits", "32 bits", "i64"]),
        "unknown rounding": (odd_rounding, ["narrow", "sideways"]),
        "initializer too large": (huge_dims, ["w"]),
        "initializer of negative size": (negative_dims, ["w"]),
        "no opset": (no_opset, ["opset"]),
        "an input of any rank": (no_shape, ["'x' has no shape"]),
        "opset 99": (future_opset, ["99"]),
    }
    for number, (name, (make, words)) in enumerate(cases.items()):
        yield name, [save(tool, f"bad{number}.onnx", make())], words
    for number, (name, proto, words) in enumerate((*bad_parameters(), *bad_recurrences())):
        yield name, [save(tool, f"parameter{number}.onnx", proto)], words
    yield "unknown dim", [MINILM, "--dim", "sequence=16"], ["sequence"]
    yield "dim without a number", [MINILM, "--dim", "seq=many"], ["seq=many"]
    yield "negative dim", [MINILM, "--dim", "seq=-4"], ["seq=-4"]
    yield "empty range", [MINILM, "--dim", "seq=9..2"], ["seq=9..2"]
    yield "dim above the table", [MINILM, "--dim", "seq=65"], ["65", "64"]
    yield "unknown target", [MINILM, "--target=potato"], ["potato"]


def check_message(result, words):
    if result.returncode != 1:
        raise Failure(f"exit code {result.returncode}, expected 1\n{result.stderr}")
    count = result.stderr.count("error:")
    if count != 1:
        raise Failure(f"expected one error message, found {count}:\n{result.stderr}")
    missing = [word for word in words if word not in result.stderr]
    if missing:
        raise Failure(f"the message does not name '{missing[0]}':\n{result.stderr}")


def check_compile(tool, arguments, words):
    folder = tool.folder()
    result = tool.call("compile", *arguments, "-o", os.path.join(folder, "out.so"))
    check_message(result, words)
    if os.listdir(folder):
        raise Failure(f"left {os.listdir(folder)} behind")


def good_inputs(batch=2, seq=8):
    ones = np.ones((batch, seq), np.int64)
    return {"input_ids": ones, "attention_mask": ones, "token_type_ids": ones * 0}


def run_cases(tool, artifact):
    """(name, artifact, inputs or options, what the message must name)."""

    def change(**values):
        inputs = good_inputs()
        for key, value in values.items():
            if value is None:
                del inputs[key]
            else:
                inputs[key] = value
        return inputs

    ids = good_inputs()["input_ids"]
    yield "unknown input", artifact, change(bogus=ids), ["bogus"]
    yield "input missing", artifact, change(attention_mask=None), ["attention_mask"]
    yield "wrong element type", artifact, change(input_ids=ids.astype(np.int32)), ["input_ids", "int64", "int32"]
    yield "floats for ids", artifact, change(input_ids=ids.astype(np.float32)), ["input_ids", "float32"]
    yield "wrong rank", artifact, change(input_ids=ids[0]), ["input_ids", "rank"]
    yield "wrong seq", artifact, change(attention_mask=np.ones((2, 9), np.int64)), ["attention_mask"]
    yield "wrong batch", artifact, change(token_type_ids=np.ones((3, 8), np.int64)), ["token_type_ids"]
    yield "seq 65 of 64 positions", artifact, good_inputs(1, 65), ["65", "64"]
    yield "seq 600 of 64 positions", artifact, good_inputs(1, 600), ["600", "64"]
    for bad in (999999, 211, -212, 2**62, -(2**63)):
        wild = ids.copy()
        wild[1, 3] = bad
        yield f"token {bad}", artifact, change(input_ids=wild), [str(bad)]
    wild = ids * 0
    wild[0, 0] = 2
    yield "token type 2 of 2", artifact, change(token_type_ids=wild), ["2"]
    scatters = save(
        tool,
        "scatters.onnx",
        model(
            [
                helper.make_node("ScatterND", ["x", "i", "u"], ["y"], "by_tuple"),
                helper.make_node("ScatterElements", ["x", "j", "u"], ["z"], "by_element", reduction="add"),
            ],
            [("x", F32, ["n"]), ("i", I64, ["k", 1]), ("j", I64, ["k"]), ("u", F32, ["k"])],
            [("y", F32, ["n"]), ("z", F32, ["n"])],
        ),
    )
    scatters, _ = tool.compile(scatters)
    x, u, fine, wild = np.zeros(5, np.float32), np.ones(2, np.float32), np.array([-5, 4]), np.array([0, 5])
    yield "scatter outside", scatters, {"x": x, "u": u, "i": wild[:, None], "j": fine}, ["by_tuple", "5"]
    yield "scatter far before", scatters, {"x": x, "u": u, "i": fine[:, None], "j": -wild - 1}, ["by_element", "-6"]
    yield "scatter into nothing", scatters, {"x": x[:0], "u": u, "i": fine[:, None], "j": fine}, ["by_"]
    # Files that are not arrays, or not ones that can be bound.
    good = tool.file("good.npy")
    np.save(good, ids)
    with open(good, "rb") as file:
        data = file.read()
    wide = tool.file("bigendian.npy")
    np.save(wide, ids.astype(">i8"))

    def files(path):
        return ["--input", f"input_ids={path}", "--input", f"attention_mask={good}", "--input", f"token_type_ids={good}"]

    yield "input file missing", artifact, files(tool.file("absent.npy")), ["absent.npy"]
    yield "input file not npy", artifact, files(write_bytes(tool, "text.npy", b"hello" * 9)), ["text.npy"]
    yield "input file empty", artifact, files(write_bytes(tool, "none.npy", b"")), ["none.npy"]
    yield "input file cut", artifact, files(write_bytes(tool, "cut.npy", data[:-8])), ["cut.npy"]
    yield "input header cut", artifact, files(write_bytes(tool, "head.npy", data[:20])), ["head.npy"]
    yield "input big-endian", artifact, files(wide), ["bigendian.npy"]
    yield "input without '='", artifact, ["--input", "input_ids"], ["input_ids"]
    yield "thread count", artifact, [*files(good), "--threads", "-3"], ["-3"]
    with open(artifact, "rb") as file:
        library = file.read()
    cut = write_bytes(tool, "cut.so", library[: len(library) // 2])
    text = write_bytes(tool, "text.so", b"not a library\n")
    yield "artifact missing", tool.file("absent.so"), files(good), ["absent.so"]
    yield "artifact cut", cut, files(good), ["cut.so"]
    yield "artifact not a library", text, files(good), ["text.so"]
    yield "another library", "/lib/x86_64-linux-gnu/libm.so.6", files(good), ["libm.so.6"]


def check_run(tool, artifact, inputs, words):
    folder = tool.folder()
    output = os.path.join(folder, "out")
    options = inputs
    if isinstance(inputs, dict):
        options = []
        for number, (name, value) in enumerate(inputs.items()):
            path = tool.file(f"input{number}.npy")
            np.save(path, value)
            options += ["--input", f"{name}={path}"]
    result = tool.call("run", artifact, *options, "--output-dir", output)
    check_message(result, words)
    if os.path.isdir(output) and os.listdir(output):
        raise Failure(f"left {os.listdir(output)} behind")


def check_wrap(tool, artifact):
    """-1 is the last token, as ONNX's Gather says."""
    inputs = good_inputs()
    inputs["input_ids"] = np.full((2, 8), 210)
    last = tool.run(artifact, inputs)
    inputs["input_ids"] = np.full((2, 8), -1)
    wrapped = tool.run(artifact, inputs)
    for name, value in last.items():
        if value.tobytes() != wrapped[name].tobytes():
            raise Failure(f"'{name}' differs between token -1 and the last token")


def check_option(tool, artifact):
    """An option that is not there: the command line's own wording."""
    result = tool.call("compile", MINILM, "-o", artifact, "--frobnicate")
    if result.returncode != 1 or "frobnicate" not in result.stderr:
        raise Failure(f"exit code {result.returncode}\n{result.stderr}")


def check_unwritable(tool, artifact):
    """An output folder that is a file."""
    blocked = write_bytes(tool, "blocked", b"")
    options = []
    for number, (name, value) in enumerate(good_inputs().items()):
        path = tool.file(f"fine{number}.npy")
        np.save(path, value)
        options += ["--input", f"{name}={path}"]
    check_message(tool.call("run", artifact, *options, "--output-dir", blocked), ["blocked"])
    target = os.path.join(tool.file("absent-folder"), "out.so")
    check_message(tool.call("compile", MINILM, "-o", target), ["absent-folder"])


def main():
    checks = Checks("What bad input gets.")
    tool = checks.tool()
    for name, arguments, words in compile_cases(tool):
        checks.attempt(name, check_compile, tool, arguments, words)
    artifact, _ = tool.compile(MINILM)
    for name, path, inputs, words in run_cases(tool, artifact):
        checks.attempt(name, check_run, tool, path, inputs, words)
    checks.attempt("token -1 wraps", check_wrap, tool, artifact)
    checks.attempt("unknown option", check_option, tool, artifact)
    checks.attempt("unwritable output", check_unwritable, tool, artifact)
    checks.finish()


if __name__ == "__main__":
    main()
