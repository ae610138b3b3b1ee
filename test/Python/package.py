# ===- package.py - the Python package ------------------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""package.py [numpy-free]: compiles one model and runs it in all the ways that
the package tenon has. With the word it does so where there is no NumPy, with
the artifact that the other call left."""

import array
import os
import sys
import threading

FREE = sys.argv[1:] == ["numpy-free"]
if FREE:
    sys.modules["numpy"] = None  # an import of it fails

import tenon

TEXT = """
<ir_version: 11, opset_import: ["" : 21]>
many (float[n, 3] x, int64[k] ids, float16[n] h, bfloat16[n] b, bool[n] on,
      int4[n] codes, float[3] scale = {1, 2, 3})
  => (float[n, 3] y, float16[n] h2, bfloat16[n] b2, bool[n] off, int4[n] c2,
      int64[1, found] places, float[k, 2] rows)
<float[4, 2] table = {0, 1, 2, 3, 4, 5, 6, 7}> {
  y = Mul (x, scale)
  h2 = Add (h, h)
  b2 = Add (b, b)
  off = Not (on)
  c8 = Cast <to = 3> (codes)
  c2 = Cast <to = 22> (c8)
  places = NonZero (on)
  rows = Gather (table, ids)
}
"""


def raises(kind, text, function, *arguments, **named):
    try:
        function(*arguments, **named)
    except kind as error:
        assert text in str(error), error
        return error
    raise AssertionError(f"no {kind.__name__}: {text}")


def without_numpy():
    model = tenon.Model("many.so", threads=1)
    feeds = {
        "x": memoryview(array.array("f", range(6))).cast("B").cast("f", [2, 3]),
        "ids": array.array("q", [3, 0]),
        "on": memoryview(bytes([1, 0])).cast("?"),
    }
    raises(KeyError, "input is missing: h: f16 [n]", model.run, feeds)
    scale = tenon.Model("scale.so", threads=1)
    result = scale.run({"x": feeds["x"]})["y"]
    assert isinstance(result, tenon.Tensor) and result.shape == (2, 3)
    assert memoryview(result).tolist() == [[0, 2, 6], [3, 8, 15]]
    assert result.dtype == "f32" and result.__dlpack_device__() == (1, 0)
    print("without NumPy: a tensor with a buffer")


class OnlyDlpack:
    """What a framework's tensor looks like from outside."""

    def __init__(self, held):
        self.held = held

    def __dlpack__(self, **hints):
        return self.held.__dlpack__(**hints)

    def __dlpack_device__(self):
        return self.held.__dlpack_device__()


def main():
    import ml_dtypes
    import numpy as np
    import onnx

    proto = onnx.parser.parse_model(TEXT)
    made = tenon.compile(proto, "many.so", options=["-O0"], dims={"n": (1, 64)})
    assert os.fspath(made) == "many.so"
    scale = """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n, 3] x) => (float[n, 3] y) <float[3] s = {1, 2, 3}> { y = Mul (x, s) }"""
    tenon.compile(scale.encode(), "scale.so", options=["-O0"], name="scale")
    error = raises(
        tenon.CompileError, "unknown dim 'm'", tenon.compile, proto, "no.so", dims={"m": 4}
    )
    assert "tenon compile" not in str(error) and not os.path.exists("no.so")

    model = tenon.Model("many.so", threads=2, verify=True)
    inputs = {port.name: port for port in model.get_inputs()}
    assert inputs["x"].shape == ["n", 3] and inputs["x"].type == "tensor(float)"
    assert inputs["ids"].id_bound == 4 and inputs["ids"].type == "tensor(int64)"
    assert inputs["scale"].is_optional and str(inputs["b"]) == "b: bf16 [n]"
    assert [port.dtype for port in model.get_outputs()][1:5] == ["f16", "bf16", "bool", "i4"]
    assert "int4" in {port.name: port.type for port in model.get_outputs()}["c2"]
    html = model._repr_html_()
    assert "<table>" in html and "ids below 4" in html and "places" in html
    assert "n <= 64" in repr(model.checks) or model.checks is not None
    assert any(model.levels.values()) and model.name == "many"

    n = 5
    feeds = {
        "x": np.arange(3 * n, dtype=np.float32).reshape(n, 3),
        "ids": np.array([3, 0, -1]),
        "h": np.arange(n, dtype=np.float16),
        "b": np.arange(n).astype(ml_dtypes.bfloat16),
        "on": np.array([True, False, True, True, False]),
        "codes": np.array([-8, 7, 0, -1, 3], np.int8),
    }

    def check(got):
        np.testing.assert_array_equal(got["y"], feeds["x"] * np.float32([1, 2, 3]))
        np.testing.assert_array_equal(got["h2"], feeds["h"] * 2)
        assert got["h2"].dtype == np.float16 and got["b2"].dtype == ml_dtypes.bfloat16
        np.testing.assert_array_equal(got["b2"].astype(float), 2.0 * np.arange(n))
        np.testing.assert_array_equal(got["off"], ~feeds["on"])
        np.testing.assert_array_equal(got["c2"], feeds["codes"])
        np.testing.assert_array_equal(got["places"], [[0, 2, 3]])
        np.testing.assert_array_equal(got["rows"], [[6, 7], [0, 1], [6, 7]])

    check(model.run(feeds))
    names = [port.name for port in model.get_outputs()]
    check(dict(zip(names, model.run(None, feeds))))
    rows, y = model.run(["rows", "y"], feeds)
    assert rows.shape == (3, 2) and y.shape == (n, 3)

    # Memory that is given is what is written; the same values in other forms.
    y = np.zeros((n, 3), np.float32)
    got = model.run(feeds, out={"y": y})
    assert got["y"] is y
    check(got)
    strided = np.zeros((n, 6), np.float32)[:, ::2]
    strided[:] = feeds["x"]
    others = {
        **feeds,
        "x": strided,
        "ids": [3, 0, -1],
        "h": OnlyDlpack(feeds["h"]),
        "b": feeds["b"].view(np.uint16),
        "codes": feeds["codes"].astype(ml_dtypes.int4),
    }
    check(model.run(others))
    readonly = feeds["x"].copy()
    readonly.flags.writeable = False
    check(model.run({**feeds, "x": readonly}))
    got = model.run({**feeds, "scale": np.float32([2, 2, 2])})
    np.testing.assert_array_equal(got["y"], feeds["x"] * 2)
    check(model.run(feeds))  # the default again

    # Results can be handed on without a copy.
    given = np.from_dlpack(OnlyDlpack(got["y"]))
    assert np.shares_memory(given, got["y"])
    tensor = got["y"]
    while not isinstance(tensor, tenon.Tensor):
        tensor = tensor.obj if isinstance(tensor, memoryview) else tensor.base
    assert np.shares_memory(np.from_dlpack(tensor), got["y"])

    # Mistakes.
    raises(KeyError, "input is missing: h: f16 [n]", model.run, {"x": y, "ids": [1]})
    raises(KeyError, "no input 'z'; it has x, ids", model.run, {**feeds, "z": y})
    raises(KeyError, "no output 'z'", model.run, ["z"], feeds)
    wrong = {**feeds, "x": feeds["x"].astype(np.float64)}
    error = raises(tenon.Error, "input 'x'", model.run, wrong)
    assert error.status == "invalid tensor"
    raises(tenon.Error, "input 'x'", model.run, {**feeds, "x": feeds["x"][:, :2]})
    error = raises(tenon.Error, "index 4 is out of range", model.run, {**feeds, "ids": [4]})
    assert error.status == "index out of range", error.status
    raises(TypeError, "expected bf16", model.run, {**feeds, "b": feeds["b"].astype(ml_dtypes.float8_e5m2)})
    raises(TypeError, "expected an array", model.run, {**feeds, "x": object()})
    raises(tenon.Error, "cannot open 'none.so'", tenon.Model, "none.so")
    raises(ValueError, "read-only", model.run, feeds, out={"y": readonly})
    check(model.run(feeds))

    # Threads: a context each; the interpreter goes on while a model runs.
    problems = []

    def work():
        try:
            for _ in range(20):
                check(model.run(feeds))
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems
    slow = """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n, n] x) => (float[n, n] y) { a = MatMul (x, x)  y = MatMul (a, a) }"""
    tenon.compile(slow.encode(), "slow.so", name="slow")
    slow = tenon.Model("slow.so", threads=1)
    x = {"x": np.ones((1024, 1024), np.float32)}
    slow.run(x)
    sys.setswitchinterval(100)
    overlaps = 0
    for _ in range(20):
        started, done = threading.Event(), threading.Event()

        def once():
            started.set()
            slow.run(x)
            done.set()

        thread = threading.Thread(target=once)
        thread.start()
        started.wait()
        overlaps += not done.is_set()
        thread.join()
        if overlaps:
            break
    assert overlaps, "run holds the interpreter's lock"

    # After a fork the child has threads of its own.
    child = os.fork()
    if child == 0:
        try:
            check(model.run(feeds))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    check(model.run(feeds))

    with open("scale.onnx", "wb") as file:
        file.write(onnx.parser.parse_model(scale).SerializeToString())
    report = tenon.compare("scale.onnx", "scale.so", {"x": feeds["x"]})
    assert report["ok"] and report["compared"] == 1, report
    profiled = tenon.Model("scale.so", profile=True)
    profiled.run({"x": feeds["x"]})
    assert profiled.profile()[0]["calls"] == 1 and profiled.context_info()["threads"] >= 1
    print("all ways to run agree")


if FREE:
    without_numpy()
else:
    main()
