#!/usr/bin/env python3
#===- convnets.py - well-known convolutional networks, beside two peers ----===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Measures Tenon, onnxruntime and OpenVINO on networks of convolutions.

usage: convnets.py [options] [NAME or FILE.onnx...]

Builds each network with onnx.helper, as torch exports it, with random weights,
and measures it as realfiles.py does: the engines take short turns, one after
the other, each at its best settings for so many threads and in f32; the least
time of each counts. Prints a row per network and number of threads. A file of
any other network, of f32 inputs, is measured as it is; dims that it leaves
open are 1.
"""

import argparse
import os

import numpy as np
import onnxruntime
import realfiles
from onnx import TensorProto, helper, load, numpy_helper, save

F = np.float32


class Net:
    """A graph that grows node by node; values are names."""

    def __init__(self, shape):
        self.nodes, self.weights, self.shape = [], [], shape
        self.rng = np.random.default_rng(7)

    def op(self, kind, *inputs, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def random(self, *shape, fan=None):
        scale = np.sqrt(2 / fan) if fan else 0.1
        return self.constant((self.rng.standard_normal(shape) * scale).astype(F))

    def number(self, value):
        return self.constant(F(value))

    def ints(self, *values):
        return self.constant(np.array(values, np.int64))

    def conv(self, x, cin, cout, size, stride=1, pad=None, group=1, rank=2, bias=True):
        pad = size // 2 if pad is None else pad
        weight = self.random(cout, cin // group, *[size] * rank, fan=cin // group * size**rank)
        inputs = [x, weight] + ([self.random(cout)] if bias else [])
        return self.op(
            "Conv", *inputs, kernel_shape=[size] * rank, strides=[stride] * rank, pads=[pad] * 2 * rank, group=group
        )

    def linear(self, x, cin, cout):
        y = self.op("MatMul", x, self.random(cin, cout, fan=cin))
        return self.op("Add", self.random(cout), y)

    def gemm(self, x, cin, cout):
        return self.op("Gemm", x, self.random(cout, cin, fan=cin), self.random(cout), transB=1)

    def relu(self, x):
        return self.op("Relu", x)

    def silu(self, x):
        return self.op("Mul", x, self.op("Sigmoid", x))

    def hswish(self, x):
        return self.op("HardSwish", x)

    def gelu(self, x):
        e = self.op("Erf", self.op("Div", x, self.number(np.sqrt(2))))
        y = self.op("Mul", x, self.op("Add", e, self.number(1)))
        return self.op("Mul", y, self.number(0.5))

    def layer_norm(self, x, size):
        return self.op("LayerNormalization", x, self.random(size), self.random(size), axis=-1, epsilon=1e-6)

    def group_norm(self, x, channels, groups, image):
        """As torch's exporter writes it, of [1, channels, image...]."""
        y = self.op("Reshape", x, self.ints(0, groups, -1))
        y = self.op("InstanceNormalization", y, self.constant(np.ones(groups, F)), self.constant(np.zeros(groups, F)))
        y = self.op("Reshape", y, self.ints(1, channels, *image))
        ones = [1] * len(image)
        y = self.op("Mul", y, self.random(channels, *ones))
        return self.op("Add", y, self.random(channels, *ones))

    def squeeze(self, x, channels, inner, gate):
        """Squeeze and excite."""
        s = self.op("GlobalAveragePool", x)
        s = self.conv(s, channels, inner, 1)
        s = self.conv(gate[0](s), inner, channels, 1)
        return self.op("Mul", x, gate[1](s))

    def classify(self, x, channels, classes=1000):
        x = self.op("Flatten", self.op("GlobalAveragePool", x))
        return self.gemm(x, channels, classes)

    def transpose(self, x, *perm):
        return self.op("Transpose", x, perm=list(perm))

    def save(self, y, path):
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)]
        self.nodes.append(helper.make_node("Identity", [y], ["y"]))
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
        graph = helper.make_graph(self.nodes, "net", inputs, outputs, self.weights)
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def resnet50(groups=1, base=64):
    n = Net([1, 3, 224, 224])
    x = n.relu(n.conv("x", 3, 64, 7, 2))
    x = n.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for width, count, first in (64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2):
        for i in range(count):
            stride = first if i == 0 else 1
            inner = width * base * groups // 64
            y = n.relu(n.conv(x, channels, inner, 1))
            y = n.relu(n.conv(y, inner, inner, 3, stride, group=groups))
            y = n.conv(y, inner, 4 * width, 1)
            if i == 0:
                x = n.conv(x, channels, 4 * width, 1, stride)
            x = n.relu(n.op("Add", y, x))
            channels = 4 * width
    return n, n.classify(x, channels)


def regnet(widths, counts, of_group, squeezed=False):
    n = Net([1, 3, 224, 224])
    x, cin = n.relu(n.conv("x", 3, 32, 3, 2)), 32
    for width, count in zip(widths, counts):
        for i in range(count):
            stride = 2 if i == 0 else 1
            y = n.relu(n.conv(x, cin, width, 1))
            y = n.relu(n.conv(y, width, width, 3, stride, group=width // of_group))
            if squeezed:
                y = n.squeeze(y, width, cin // 4, (n.relu, lambda v: n.op("Sigmoid", v)))
            y = n.conv(y, width, width, 1)
            if i == 0:
                x = n.conv(x, cin, width, 1, stride)
            x, cin = n.relu(n.op("Add", y, x)), width
    return n, n.classify(x, cin)


def shufflenet_v2():
    n = Net([1, 3, 224, 224])
    x = n.relu(n.conv("x", 3, 24, 3, 2))
    x, cin, side = n.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4), 24, 56
    for width, count in (116, 4), (232, 8), (464, 4):
        half, side = width // 2, side // 2
        for i in range(count):
            stride = 2 if i == 0 else 1
            if i == 0:
                y = n.conv(x, cin, cin, 3, 2, group=cin)
                rest, z = n.relu(n.conv(y, cin, half, 1)), x
            else:
                rest, z = n.op("Split", x, n.ints(half, half), outputs=2, axis=1)
            inputs = cin if i == 0 else half
            z = n.relu(n.conv(z, inputs, half, 1))
            z = n.relu(n.conv(n.conv(z, half, half, 3, stride, group=half), half, half, 1))
            x = n.op("Reshape", n.op("Concat", rest, z, axis=1), n.ints(1, 2, half, side, side))
            x = n.op("Reshape", n.transpose(x, 0, 2, 1, 3, 4), n.ints(1, width, side, side))
        cin = width
    return n, n.classify(n.relu(n.conv(x, cin, 1024, 1)), 1024)


def mobilenet_v3_large():
    n = Net([1, 3, 224, 224])
    x, cin = n.hswish(n.conv("x", 3, 16, 3, 2)), 16

    def hsigmoid(v):
        return n.op("HardSigmoid", v, alpha=1 / 6, beta=0.5)

    for size, inner, cout, squeezed, act, stride in (
        (3, 16, 16, 0, n.relu, 1),
        (3, 64, 24, 0, n.relu, 2),
        (3, 72, 24, 0, n.relu, 1),
        (5, 72, 40, 24, n.relu, 2),
        (5, 120, 40, 32, n.relu, 1),
        (5, 120, 40, 32, n.relu, 1),
        (3, 240, 80, 0, n.hswish, 2),
        (3, 200, 80, 0, n.hswish, 1),
        (3, 184, 80, 0, n.hswish, 1),
        (3, 184, 80, 0, n.hswish, 1),
        (3, 480, 112, 120, n.hswish, 1),
        (3, 672, 112, 168, n.hswish, 1),
        (5, 672, 160, 168, n.hswish, 2),
        (5, 960, 160, 240, n.hswish, 1),
        (5, 960, 160, 240, n.hswish, 1),
    ):
        y = act(n.conv(x, cin, inner, 1)) if inner != cin else x
        y = act(n.conv(y, inner, inner, size, stride, group=inner))
        if squeezed:
            y = n.squeeze(y, inner, squeezed, (n.relu, hsigmoid))
        y = n.conv(y, inner, cout, 1)
        x = n.op("Add", y, x) if stride == 1 and cin == cout else y
        cin = cout
    x = n.hswish(n.conv(x, cin, 960, 1))
    x = n.op("Flatten", n.op("GlobalAveragePool", x))
    return n, n.gemm(n.hswish(n.gemm(x, 960, 1280)), 1280, 1000)


def efficientnet_b0():
    n = Net([1, 3, 224, 224])
    x, cin = n.silu(n.conv("x", 3, 32, 3, 2)), 32

    def sigmoid(v):
        return n.op("Sigmoid", v)

    for factor, size, first, cout, count in (
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, 320, 1),
    ):
        for i in range(count):
            stride, inner = first if i == 0 else 1, cin * factor
            y = n.silu(n.conv(x, cin, inner, 1)) if factor > 1 else x
            y = n.silu(n.conv(y, inner, inner, size, stride, group=inner))
            y = n.squeeze(y, inner, cin // 4, (n.silu, sigmoid))
            y = n.conv(y, inner, cout, 1)
            x = n.op("Add", y, x) if stride == 1 and cin == cout else y
            cin = cout
    return n, n.classify(n.silu(n.conv(x, cin, 1280, 1)), 1280)


def convnext_tiny():
    n = Net([1, 3, 224, 224])

    def norm(x, channels):
        return n.transpose(n.layer_norm(n.transpose(x, 0, 2, 3, 1), channels), 0, 3, 1, 2)

    x, channels = norm(n.conv("x", 3, 96, 4, 4, 0), 96), 96
    for width, count in (96, 3), (192, 3), (384, 9), (768, 3):
        if width != channels:
            x, channels = n.conv(norm(x, channels), channels, width, 2, 2, 0), width
        for _ in range(count):
            y = n.transpose(n.conv(x, width, width, 7, group=width), 0, 2, 3, 1)
            y = n.linear(n.layer_norm(y, width), width, 4 * width)
            y = n.linear(n.gelu(y), 4 * width, width)
            y = n.transpose(n.op("Mul", y, n.random(width)), 0, 3, 1, 2)
            x = n.op("Add", y, x)
    x = n.layer_norm(n.transpose(n.op("GlobalAveragePool", x), 0, 2, 3, 1), channels)
    return n, n.gemm(n.op("Flatten", x), channels, 1000)


def yolov8n(size=320):
    n = Net([1, 3, size, size])

    def block(x, cin, cout, kernel=3, stride=1):
        return n.silu(n.conv(x, cin, cout, kernel, stride))

    def c2f(x, cin, cout, count, shortcut):
        half = cout // 2
        y = block(x, cin, cout, 1)
        parts = n.op("Split", y, n.ints(half, half), outputs=2, axis=1)
        for _ in range(count):
            last = parts[-1]
            y = block(block(last, half, half), half, half)
            parts.append(n.op("Add", last, y) if shortcut else y)
        return block(n.op("Concat", *parts, axis=1), half * len(parts), cout, 1)

    def grow(x):
        return n.op("Resize", x, "", n.constant(np.array([1, 1, 2, 2], F)), mode="nearest",
                    coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip

    def join(*parts):
        return n.op("Concat", *parts, axis=1)

    x = block(block("x", 3, 16, 3, 2), 16, 32, 3, 2)
    x = c2f(x, 32, 32, 1, True)
    p3 = c2f(block(x, 32, 64, 3, 2), 64, 64, 2, True)
    p4 = c2f(block(p3, 64, 128, 3, 2), 128, 128, 2, True)
    x = c2f(block(p4, 128, 256, 3, 2), 256, 256, 1, True)
    pools = [block(x, 256, 128, 1)]
    for _ in range(3):
        pools.append(n.op("MaxPool", pools[-1], kernel_shape=[5, 5], strides=[1, 1], pads=[2] * 4))
    p5 = block(join(*pools), 512, 256, 1)
    n4 = c2f(join(grow(p5), p4), 384, 128, 1, False)
    n3 = c2f(join(grow(n4), p3), 192, 64, 1, False)
    m4 = c2f(join(block(n3, 64, 64, 3, 2), n4), 192, 128, 1, False)
    m5 = c2f(join(block(m4, 128, 128, 3, 2), p5), 384, 256, 1, False)
    levels, cells = [], sum((size // s) ** 2 for s in (8, 16, 32))
    for x, channels in (n3, 64), (m4, 128), (m5, 256):
        boxes = n.conv(block(block(x, channels, 64), 64, 64), 64, 64, 1)
        classes = n.conv(block(block(x, channels, 80), 80, 80), 80, 80, 1)
        levels.append(n.op("Reshape", join(boxes, classes), n.ints(1, 144, -1)))
    boxes, classes = n.op("Split", n.op("Concat", *levels, axis=2), n.ints(64, 80), outputs=2, axis=1)
    boxes = n.transpose(n.op("Reshape", boxes, n.ints(1, 4, 16, cells)), 0, 2, 1, 3)
    boxes = n.conv(n.op("Softmax", boxes, axis=1), 16, 1, 1, bias=False)
    boxes = n.op("Reshape", boxes, n.ints(1, 4, cells))
    low, high = n.op("Split", boxes, n.ints(2, 2), outputs=2, axis=1)
    anchors = n.random(1, 2, cells)
    low, high = n.op("Sub", anchors, low), n.op("Add", anchors, high)
    middle = n.op("Div", n.op("Add", low, high), n.number(2))
    boxes = n.op("Mul", n.op("Concat", middle, n.op("Sub", high, low), axis=1), n.random(1, cells))
    return n, n.op("Concat", boxes, n.op("Sigmoid", classes), axis=1)


def wav2vec2_front():
    n = Net([1, 1, 16000])
    x, cin, length = "x", 1, 16000
    for i, (size, stride) in enumerate([(10, 5)] + [(3, 2)] * 4 + [(2, 2)] * 2):
        x = n.conv(x, cin, 512, size, stride, 0, rank=1, bias=False)
        cin, length = 512, (length - size) // stride + 1
        if i == 0:
            x = n.group_norm(x, 512, 512, [length])
        x = n.gelu(x)
    x = n.layer_norm(n.transpose(x, 0, 2, 1), 512)
    return n, n.linear(x, 512, 768)


def conformer_front(frames=400, width=256):
    n = Net([1, 1, frames, 80])
    x = n.relu(n.conv("x", 1, width, 3, 2))
    x = n.relu(n.conv(x, width, width, 3, 2))
    x = n.op("Reshape", n.transpose(x, 0, 2, 1, 3), n.ints(1, frames // 4, width * 20))
    x = n.linear(x, width * 20, width)
    y = n.transpose(n.layer_norm(x, width), 0, 2, 1)
    y = n.conv(y, width, 2 * width, 1, rank=1)
    value, gate = n.op("Split", y, n.ints(width, width), outputs=2, axis=1)
    y = n.op("Mul", value, n.op("Sigmoid", gate))
    y = n.silu(n.conv(y, width, width, 31, group=width, rank=1))
    y = n.transpose(n.conv(y, width, width, 1, rank=1), 0, 2, 1)
    return n, n.op("Add", x, y)


def unet(base=64, size=64):
    """Of Stable Diffusion's shape, at a fifth of its width and half its depth."""
    n = Net([1, 4, size, size])

    def residual(x, cin, cout, side):
        y = n.conv(n.silu(n.group_norm(x, cin, 32, [side, side])), cin, cout, 3)
        y = n.op("Add", y, n.random(1, cout, 1, 1))  # of the time step
        y = n.conv(n.silu(n.group_norm(y, cout, 32, [side, side])), cout, cout, 3)
        return n.op("Add", n.conv(x, cin, cout, 1) if cin != cout else x, y)

    def attend(x, width, side, heads=4):
        y = n.conv(n.group_norm(x, width, 32, [side, side]), width, width, 1)
        y = n.op("Reshape", n.transpose(y, 0, 2, 3, 1), n.ints(1, side * side, width))
        z = n.layer_norm(y, width)

        def split(v):
            return n.op("Reshape", n.linear(v, width, width), n.ints(1, side * side, heads, width // heads))

        q, k = n.transpose(split(z), 0, 2, 1, 3), n.transpose(split(z), 0, 2, 3, 1)
        v = n.transpose(split(z), 0, 2, 1, 3)
        scores = n.op("Mul", n.op("MatMul", q, k), n.number((width // heads) ** -0.5))
        z = n.transpose(n.op("MatMul", n.op("Softmax", scores, axis=-1), v), 0, 2, 1, 3)
        y = n.op("Add", n.linear(n.op("Reshape", z, n.ints(1, side * side, width)), width, width), y)
        y = n.op("Add", n.linear(n.gelu(n.linear(n.layer_norm(y, width), width, 4 * width)), 4 * width, width), y)
        y = n.transpose(n.op("Reshape", y, n.ints(1, side, side, width)), 0, 3, 1, 2)
        return n.op("Add", n.conv(y, width, width, 1), x)

    x, cin, side, kept = n.conv("x", 4, base, 3), base, size, []
    for level, factor in enumerate((1, 2, 4, 4)):
        x, cin = residual(x, cin, base * factor, side), base * factor
        if level in (1, 2):
            x = attend(x, cin, side)
        kept.append((x, cin))
        if level < 3:
            x, side = n.conv(x, cin, cin, 3, 2), side // 2
    x = residual(attend(residual(x, cin, cin, side), cin, side), cin, cin, side)
    for level, factor in reversed(list(enumerate((1, 2, 4, 4)))):
        skip, channels = kept[level]
        x = residual(n.op("Concat", x, skip, axis=1), cin + channels, base * factor, side)
        cin = base * factor
        if level in (1, 2):
            x = attend(x, cin, side)
        if level:
            x = n.op("Resize", x, "", n.constant(np.array([1, 1, 2, 2], F)), mode="nearest",
                     coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
            x, side = n.conv(x, cin, cin, 3), side * 2
    return n, n.conv(n.silu(n.group_norm(x, cin, 32, [side, side])), cin, 4, 3)


NETS = {
    "resnet50": resnet50,
    "resnext50-32x4d": lambda: resnet50(groups=32, base=4),
    "regnet-x-400mf": lambda: regnet((32, 64, 160, 400), (1, 2, 7, 12), 16),
    "regnet-x-1.6gf": lambda: regnet((72, 168, 408, 912), (2, 4, 10, 2), 24),
    "regnet-y-400mf": lambda: regnet((48, 104, 208, 440), (1, 3, 6, 6), 8, squeezed=True),
    "shufflenet-v2": shufflenet_v2,
    "mobilenet-v3-large": mobilenet_v3_large,
    "efficientnet-b0": efficientnet_b0,
    "convnext-tiny": convnext_tiny,
    "yolov8n": yolov8n,
    "wav2vec2-front": wav2vec2_front,
    "conformer-front": conformer_front,
    "unet": unet,
}


def start(about, folder):
    """The command line's options, and the table that they ask for or None."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--folder", default=folder, help="of models and artifacts")
    parser.add_argument("--build", action="store_true", help="the models alone")
    realfiles.add_options(parser)
    options = parser.parse_args()
    options.artifacts = options.folder
    os.makedirs(options.folder, exist_ok=True)
    onnxruntime.set_default_logger_severity(3)
    return options, None if options.build else realfiles.Table(options)


def inputs_of(path):
    graph = load(path, load_external_data=False).graph
    given = {weight.name for weight in graph.initializer}
    dims = {v.name: v.type.tensor_type.shape.dim for v in graph.input if v.name not in given}
    return {name: (F, tuple(d.dim_value or 1 for d in own)) for name, own in dims.items()}


def main():
    options, table = start(__doc__, "/tmp/tenon-convnets")
    for path in filter(lambda name: name.endswith(".onnx"), options.names):
        if table:
            table.add(os.path.basename(path)[:-5], path, inputs_of(path))
    for name, make in NETS.items():
        if options.names and name not in options.names:
            continue
        path = os.path.join(options.folder, f"{name}.onnx")
        net, y = make()
        if not (options.reuse and os.path.exists(path)):
            net.save(y, path)
        if table:
            table.add(name, path, {"x": (F, net.shape)})
    if table:
        table.finish()


if __name__ == "__main__":
    main()
