#!/usr/bin/env python3
#===- quantnets.py - quantised convolutional networks, beside two peers ----===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Measures Tenon, onnxruntime and OpenVINO on networks of bytes.

usage: quantnets.py [options] [NAME...]

Takes networks of convnets.py, with random weights, through onnxruntime's
quantize_static in the forms that people ship, and measures each file as
realfiles.py does: the engines take short turns, one after the other; the least
time of each counts. What is left in floats OpenVINO computes in f32. A NAME is
a network's, or a file's: NETWORK.FORM. Prints a row per file and number of
threads.
"""

import os

import convnets
import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

S8, U8 = QuantType.QInt8, QuantType.QUInt8
QDQ, OPERATORS = QuantFormat.QDQ, QuantFormat.QOperator
FORMS = {
    "s8": dict(quant_format=QDQ, activation_type=S8, weight_type=S8),  # what quantize_static does by itself
    "s8-channel": dict(quant_format=QDQ, activation_type=S8, weight_type=S8, per_channel=True),
    "u8-channel": dict(quant_format=QDQ, activation_type=U8, weight_type=S8, per_channel=True),
    "u8-reduced": dict(quant_format=QDQ, activation_type=U8, weight_type=S8, per_channel=True, reduce_range=True),
    "operators": dict(quant_format=OPERATORS, activation_type=U8, weight_type=S8, per_channel=True),
}


def mobilenet_v2():
    n = convnets.Net([1, 3, 224, 224])

    def relu6(x):
        return n.op("Clip", x, n.number(0), n.number(6))

    x, cin = relu6(n.conv("x", 3, 32, 3, 2)), 32
    for factor, cout, count, first in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for i in range(count):
            stride, inner = first if i == 0 else 1, cin * factor
            y = relu6(n.conv(x, cin, inner, 1)) if factor > 1 else x
            y = relu6(n.conv(y, inner, inner, 3, stride, group=inner))
            y = n.conv(y, inner, cout, 1)
            x = n.op("Add", y, x) if stride == 1 and cin == cout else y
            cin = cout
    return n, n.classify(relu6(n.conv(x, cin, 1280, 1)), 1280)


def unet_block():
    """The first two levels of a U-Net of medical images, and the way back."""
    n = convnets.Net([1, 64, 64, 64])

    def block(x, cin, cout):
        return n.relu(n.conv(n.relu(n.conv(x, cin, cout, 3)), cout, cout, 3))

    fine = block("x", 64, 64)
    x = block(n.op("MaxPool", fine, kernel_shape=[2, 2], strides=[2, 2]), 64, 128)
    x = n.op("Resize", x, "", n.constant(np.array([1, 1, 2, 2], np.float32)), mode="nearest",
             coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
    x = n.op("Concat", fine, n.conv(x, 128, 64, 1), axis=1)
    return n, n.conv(block(x, 128, 64), 64, 4, 1)


NETS = {
    "resnet50": convnets.resnet50,
    "mobilenet-v2": mobilenet_v2,
    "mobilenet-v3-large": convnets.mobilenet_v3_large,
    "yolov8n": convnets.yolov8n,
    "unet-block": unet_block,
}


class Images(CalibrationDataReader):
    def __init__(self, shape):
        rng = np.random.default_rng(3)
        self.feeds = iter([{"x": (rng.standard_normal(shape) * 0.5).astype(np.float32)} for _ in range(2)])

    def get_next(self):
        return next(self.feeds, None)


def build(folder, name, form, make):
    """The quantised file's path and its input's shape."""
    net, y = make()
    floats, path = os.path.join(folder, f"{name}.onnx"), os.path.join(folder, f"{name}.{form}.onnx")
    if not os.path.exists(floats):
        net.save(y, floats)
    if not os.path.exists(path):
        quantize_static(floats, path, Images(net.shape), **FORMS[form])
    return path, net.shape


def main():
    options, table = convnets.start(__doc__, "/tmp/tenon-quantnets")
    for name, make in NETS.items():
        for form in FORMS:
            if options.names and not {name, f"{name}.{form}"} & set(options.names):
                continue
            path, shape = build(options.folder, name, form, make)
            if table:
                table.add(f"{name}.{form}", path, {"x": (np.float32, shape)})
    if table:
        table.finish()


if __name__ == "__main__":
    main()
