#!/usr/bin/env python3
#===- precision.py - what --precision does to whole models -----------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""The six small models of test/Models in each precision, against themselves in f32.

f16 runs as it is compiled. bf16 runs where the CPU has AVX-512; elsewhere both
operands of each product by a weight are rounded by nodes of the model, which is
the same but for the order of additions. int8-act is the model with weights of
four bits (blocks of 32, the nearest code) against the same file computed
exactly. Prints the table of docs/Precision.md: of all outputs of all input sets
together the cosine, and the largest difference over the largest number.

usage: precision.py [--tenon PATH]
"""

import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "test", "Models")
sys.path.insert(0, MODELS)
from formats import pack  # noqa: E402
from tool import Checks, load_arrays  # noqa: E402

NAMES = ["minilm", "bert", "gpt2", "vit", "llama", "whisper-encoder"]
FLAGS = open("/proc/cpuinfo", encoding="ascii").read()
HAS_AVX512 = all(f" avx512{part}" in FLAGS for part in ("f", "bw", "cd", "dq", "vl"))


def is_product(node, weights):
    """By a weight, which is the second operand."""
    return node.op_type in ("MatMul", "Gemm", "Conv") and len(node.input) > 1 and node.input[1] in weights


def round_operands(model):
    """Rounds both operands of each product by a weight to bf16."""
    graph, nodes = model.graph, []
    weights = {w.name for w in graph.initializer}
    for index, node in enumerate(graph.node):
        if is_product(node, weights):
            for i in range(2):
                narrow, wide = f"narrow_{index}_{i}", f"wide_{index}_{i}"
                nodes.append(helper.make_node("Cast", [node.input[i]], [narrow], to=TensorProto.BFLOAT16))
                nodes.append(helper.make_node("Cast", [narrow], [wide], to=TensorProto.FLOAT))
                node.input[i] = wide
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def quantize_weights(model, block=32):
    """MatMulNBits of four bits for each MatMul by a matrix."""
    graph = model.graph
    weights = {w.name: w for w in graph.initializer}
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in weights or len(weights[node.input[1]].dims) != 2:
            continue
        w = numpy_helper.to_array(weights[node.input[1]]).T
        n, k = w.shape
        blocks = np.pad(w, [(0, 0), (0, -k % block)]).reshape(n, -1, block)
        largest = np.take_along_axis(blocks, np.abs(blocks).argmax(-1)[..., None], -1)
        scale = np.where(largest == 0, 1, largest / -8).astype(np.float32)
        codes = np.clip(np.rint(blocks / scale) + 8, 0, 15).astype(np.uint8)
        name = f"{node.output[0]}_codes"
        graph.initializer.extend([numpy_helper.from_array(pack(codes, 4), name), numpy_helper.from_array(scale[..., 0], name + "_scale")])
        node.op_type, node.domain = "MatMulNBits", "com.microsoft"
        del node.input[1:]
        node.input.extend([name, name + "_scale"])
        node.attribute.extend(helper.make_attribute(key, value) for key, value in (("K", k), ("N", n), ("bits", 4), ("block_size", block)))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def compare(found, expected):
    """(cosine, largest difference over the largest number) of all outputs together."""
    x = np.concatenate([value.ravel().astype(np.float64) for value in found])
    y = np.concatenate([value.ravel().astype(np.float64) for value in expected])
    return x @ y / np.linalg.norm(x) / np.linalg.norm(y), np.abs(x - y).max() / np.abs(y).max()


def main():
    checks = Checks(__doc__.splitlines()[0])
    tool = checks.tool()

    def outputs(model, folder, *options):
        artifact, _ = tool.compile(model, "-O", 1, *options)
        sets = sum(name.startswith("inputs_") for name in os.listdir(folder))
        found = []
        for i in range(sets):
            results = tool.run(artifact, load_arrays(os.path.join(folder, f"inputs_{i}.npz")))
            found += [results[name] for name in sorted(results)]
        return found

    def saved(path, change):
        model = onnx.load(path)
        change(model)
        changed = tool.file("changed.onnx")
        onnx.save(model, changed)
        return changed

    print("| model | f16 | bf16 | int8-act, weights of 4 bits |\n|---|---|---|---|")
    for name in NAMES:
        folder = os.path.join(MODELS, name)
        path = os.path.join(folder, "model.onnx")
        exact = outputs(path, folder)
        cells = [compare(outputs(path, folder, "--precision=f16"), exact)]
        bf16 = outputs(path, folder, "--precision=bf16") if HAS_AVX512 else outputs(saved(path, round_operands), folder)
        cells.append(compare(bf16, exact))
        coded = saved(path, quantize_weights)
        cells.append(compare(outputs(coded, folder, "--precision=int8-act"), outputs(coded, folder)))
        text = [f"{cosine:.7f}, {worst:.1e}" if worst else "none: its products are Gemm" for cosine, worst in cells]
        print(f"| {name} | {' | '.join(text)} |", flush=True)


if __name__ == "__main__":
    main()
