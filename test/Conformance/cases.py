# ===- cases.py - ONNX's own cases, in three modes ------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Collects the cases and writes each as a folder that the host reads."""

import hashlib
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MODES = ["static", "symbolic", "constant"]

# Inputs whose values decide shapes: they keep their rank and length in the
# symbolic mode.
SHAPE_INPUTS = {
    "AffineGrid": [1],
    "CenterCropPad": [1],
    "Col2Im": [1, 2],
    "ConstantOfShape": [0],
    "DFT": [1, 2],
    "Expand": [1],
    "MaxUnpool": [2],
    "OneHot": [1],
    "Pad": [1, 3],
    "Range": [0, 1, 2],
    **{f"Reduce{kind}": [1] for kind in "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare".split()},
    "Reshape": [1],
    "Resize": [1, 2, 3],
    "STFT": [1, 3],
    "Slice": [1, 2, 3, 4],
    "Split": [1],
    "Squeeze": [1],
    "Tile": [1],
    "TopK": [1],
    "Unsqueeze": [1],
    "Upsample": [1],
}


# Sets of small models that onnx ships beside the node cases.
MODEL_SETS = ["simple", "pytorch-operator", "pytorch-converted"]

# Operands that broadcast, and how many of their last dims do not.
BROADCASTS = {
    op: {0: 0, 1: 0}
    for op in (
        "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual "
        "Less LessOrEqual Mod Mul Or Pow Sub Xor"
    ).split()
}
BROADCASTS |= {op: {0: 0, 1: 0, 2: 0} for op in "Max Mean Min Sum Where".split()}
BROADCASTS |= {
    "Attention": {3: 2},
    "Clip": {},
    "Gemm": {2: 0},
    "LayerNormalization": {1: 0, 2: 0},
    "MatMul": {0: 2, 1: 2},
    "MatMulInteger": {0: 2, 1: 2},
    "PRelu": {1: 0},
    "RMSNormalization": {1: 0},
}


@dataclass
class Case:
    name: str
    operator: str
    model: onnx.ModelProto
    inputs: list = field(default_factory=list)
    outputs: list = field(default_factory=list)
    rtol: float = 1e-3
    atol: float = 1e-7
    # Further inputs for the symbolic mode, and what they give.
    reruns: list = field(default_factory=list)

    @property
    def bucket(self):
        """A fifth of all cases, by the name alone."""
        return hashlib.sha256(self.name.encode()).digest()[0] % 5


def load_tensor(path):
    """A tensor of a file; None for a sequence or an optional."""
    tensor = TensorProto()
    try:
        tensor.ParseFromString(path.read_bytes())
        return tensor if tensor.data_type else None
    except Exception:  # protobuf's own error is not importable by one name
        return None


def collect_models():
    """The cases of the sets that onnx ships as files."""
    data = Path(onnx.backend.test.__file__).parent / "data"
    cases = {}
    for group in MODEL_SETS:
        for path in sorted((data / group).glob("*/model.onnx")):
            model = onnx.load(path)
            for values in sorted(path.parent.glob("test_data_set_*")):
                number = values.name.rsplit("_", 1)[1]
                name = f"{group}.{path.parent.name}" + ("" if number == "0" else "." + number)
                count = {
                    kind: len(list(values.glob(f"{kind}_*.pb"))) for kind in ("input", "output")
                }
                arrays = {
                    kind: [load_tensor(values / f"{kind}_{i}.pb") for i in range(count[kind])]
                    for kind in count
                }
                cases[name] = Case(name, "", model, arrays["input"], arrays["output"])
    return cases


def collect():
    """Every case, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        found = collect_testcases(None)
    cases = {}
    for test in found:
        inputs, outputs = test.data_sets[0]
        cases[test.name] = Case(
            test.name, "", test.model, list(inputs), list(outputs), test.rtol, test.atol
        )
    cases |= collect_models()
    for case in cases.values():
        case.operator = operator_of(case, cases)
    return dict(sorted(cases.items()))


def base_of(case, cases):
    """The case that a function body was expanded from, or the case itself."""
    name = case.name
    while "_expanded" in name:
        name = name[: name.rindex("_expanded")]
        if name in cases:
            return cases[name]
    return case


def operator_of(case, cases):
    node = base_of(case, cases).model.graph.node[0]
    return (node.domain + "." if node.domain not in ("", "ai.onnx") else "") + node.op_type


def unjudged_reason(case):
    """Why a case needs what Tenon does not aim for, or None."""
    graph = case.model.graph
    kinds = [value.type.WhichOneof("value") for value in [*graph.input, *graph.output]]
    types = {v.type.tensor_type.elem_type for v in [*graph.input, *graph.output]}
    operators = {node.op_type for node in graph.node}
    if any(node.domain == "ai.onnx.preview.training" for node in graph.node):
        return "training"
    if "ImageDecoder" in operators:
        return "image decoding"
    if "Gradient" in operators:
        return "training"
    if any(name.startswith("TreeEnsemble") for name in operators):
        return "trees"
    if any(kind in ("sequence_type", "optional_type") for kind in kinds) or any(
        name.startswith(("Sequence", "Optional", "ConcatFromSequence", "SplitToSequence"))
        for name in operators
    ):
        return "sequences and optionals"
    if TensorProto.STRING in types or any(name.startswith("String") for name in operators):
        return "strings"
    if any(name.startswith(("Bernoulli", "Random")) for name in operators) or (
        case.name.startswith("test_training_dropout") and "zero_ratio" not in case.name
    ):
        return "random"
    return None


def shape_inputs(case, cases):
    """Names of a case's inputs that carry shapes."""
    return inputs_at(SHAPE_INPUTS, case, cases)


def index_tuples(case, cases):
    """Names of a case's inputs whose last dim is a tuple of indices."""
    return inputs_at({"GatherND": [1], "ScatterND": [1]}, case, cases)


def inputs_at(table, case, cases):
    """Names of the inputs that `table` lists for the operators."""
    base = base_of(case, cases).model.graph
    positions = {value.name: i for i, value in enumerate(base.input)}
    names = {
        node.input[i]
        for node in base.node
        for i in table.get(node.op_type, [])
        if i < len(node.input)
    }
    taken = {positions[name] for name in names if name in positions}
    return {value.name for i, value in enumerate(case.model.graph.input) if i in taken}


def data_inputs(graph):
    """The inputs without those that have a value in the model."""
    given = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in given]


def in_mode(case, mode, cases):
    """The case's model in a mode, and which inputs it still takes."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    if mode == "static":
        return model, list(zip(data_inputs(graph), case.inputs, strict=False))
    # What the shapes follow from has changed.
    del graph.value_info[:]
    if mode == "constant":
        for value, array in zip(data_inputs(graph), case.inputs, strict=False):
            graph.initializer.append(tensor_of(array, value))
        del graph.input[:]
        # Before version 4 an initialiser had to be an input as well.
        model.ir_version = max(model.ir_version, 4)
        return model, []
    kept = shape_inputs(case, cases)
    tuples = index_tuples(case, cases)
    for i, value in enumerate(data_inputs(graph)):
        if value.name in kept:
            continue
        dims = value.type.tensor_type.shape.dim
        for j, dim in enumerate(dims):
            # The length of index tuples decides the result's rank.
            if dim.dim_value > 1 and not (value.name in tuples and j + 1 == len(dims)):
                dim.dim_param = f"d{i}_{j}"
    for value in graph.output:
        if value.type.WhichOneof("value") == "tensor_type":
            value.type.tensor_type.ClearField("shape")
    return model, list(zip(data_inputs(graph), case.inputs, strict=False))


def with_unit_dims(case, cases):
    """The case's inputs with the dims of one broadcast operand made 1, for each
    such operand; what they give is ONNX's reference evaluator's to say."""
    base = base_of(case, cases).model.graph
    inputs = data_inputs(case.model.graph)
    names = [value.name for value in inputs]
    if len(base.node) != 1 or base.node[0].op_type not in BROADCASTS:
        return []
    arrays = [
        numpy_helper.to_array(x) if isinstance(x, TensorProto) else np.asarray(x)
        for x in case.inputs
    ]
    found = []
    for position, inner in BROADCASTS[base.node[0].op_type].items():
        name = base.node[0].input[position] if position < len(base.node[0].input) else ""
        if name not in names or len(found) == 2:
            continue
        at = names.index(name)
        outer = arrays[at].ndim - inner
        if not any(dim > 1 for dim in arrays[at].shape[: max(outer, 0)]):
            continue
        narrow = arrays[at][tuple([slice(0, 1)] * outer)]
        found.append([*arrays[:at], narrow, *arrays[at + 1 :]])
    return found


def add_reruns(case, cases):
    """Fills in the further inputs for the symbolic mode."""
    from onnx.reference import ReferenceEvaluator

    inputs = data_inputs(case.model.graph)
    for arrays in with_unit_dims(case, cases):
        feeds = {value.name: array for value, array in zip(inputs, arrays, strict=False)}
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                outputs = ReferenceEvaluator(case.model).run(None, feeds)
        except Exception:  # whatever the evaluator cannot judge
            continue
        case.reruns.append((arrays, outputs))


def tensor_of(array, value):
    if isinstance(array, TensorProto):
        tensor = onnx.TensorProto()
        tensor.CopyFrom(array)
    else:
        tensor = numpy_helper.from_array(np.asarray(array))
    tensor.name = value.name
    # Some cases give their float8 and 4-bit inputs as plain bytes.
    tensor.data_type = value.type.tensor_type.elem_type
    return tensor


def raw_bytes(tensor):
    if tensor.HasField("raw_data"):
        return tensor.raw_data
    return numpy_helper.from_array(numpy_helper.to_array(tensor)).raw_data


def write(case, mode, cases, directory):
    """Writes a case's folder; the host finds everything in it."""
    directory.mkdir(parents=True)
    model, inputs = in_mode(case, mode, cases)
    (directory / "model.onnx").write_bytes(model.SerializeToString())
    write_inputs(directory, 0, inputs)
    if mode == "symbolic":
        for number, (arrays, _) in enumerate(case.reruns, 1):
            values = [value for value, _ in inputs]
            write_inputs(directory, number, list(zip(values, arrays, strict=False)))


def write_inputs(directory, number, inputs):
    lines = []
    for i, (value, array) in enumerate(inputs):
        tensor = tensor_of(array, value)
        file = f"input{number}.{i}.bin"
        (directory / file).write_bytes(raw_bytes(tensor))
        dims = ",".join(map(str, tensor.dims))
        lines.append(f"{value.name}\t{tensor.data_type}\t{dims}\t{file}\n")
    (directory / f"inputs{number}").write_text("".join(lines))


def read_outputs(directory, number, detail):
    """The arrays that the host reported as `dtype:d0,d1;...`."""
    arrays = []
    for i, text in enumerate(detail.split(";")):
        dtype, dims = text.split(":")
        data = (directory / f"output{number}.{i}.bin").read_bytes()
        tensor = TensorProto(data_type=int(dtype), raw_data=data)
        tensor.dims.extend(int(dim) for dim in dims.split(",") if dim)
        arrays.append(numpy_helper.to_array(tensor))
    return arrays


def as_comparable(array):
    """numpy's comparisons do not know the small types."""
    if array.dtype.kind not in "biufc":
        return array.astype(np.float32)
    return array


# Relative steps between neighbours of the 16-bit types. Some cases ask for less
# than one, which no order of rounding but the reference's own can give.
STEP = {"bfloat16": 2.0**-7, "float16": 2.0**-10}


def close(actual, expected, rtol, atol):
    """None, or how two arrays differ."""
    try:
        np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)
    except AssertionError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return "; ".join(lines[1:5])
    return None


def judge_runs(case, directory, detail):
    """The outcome of a case that ran: the worst of its runs."""
    kinds = ["pass", "rounding", "wrong"]
    kind, text = "pass", ""
    expected = [case.outputs, *(outputs for _, outputs in case.reruns)]
    for number, run in enumerate(detail.split("|")):
        found = read_outputs(directory, number, run)
        here, about = judge(case, expected[number], found)
        if kinds.index(here) > kinds.index(kind):
            kind, text = here, ("" if number == 0 else f"with size-1 dims ({number}): ") + about
    return kind, text


def judge(case, outputs, found):
    """The outcome of one run, and what there is to say about it: pass, rounding
    (outside the tolerance, but by no more than two steps of a 16-bit type, or
    four of f32 at the output's largest value) or wrong."""
    kind, detail = "pass", ""
    types = [value.type.tensor_type.elem_type for value in case.model.graph.output]
    for i, (expected, actual) in enumerate(zip(outputs, found, strict=True)):
        if isinstance(expected, TensorProto):
            expected = numpy_helper.to_array(expected)
        expected = np.asarray(expected)
        name = case.model.graph.output[i].name
        if expected.shape != actual.shape:
            return "wrong", f"output {name}: shape {actual.shape}, expected {expected.shape}"
        dtype = helper.tensor_dtype_to_np_dtype(types[i])
        if actual.dtype != dtype:
            return "wrong", f"output {name}: type {actual.dtype}, expected {dtype}"
        a, b = as_comparable(actual), as_comparable(expected)
        differs = close(a, b, case.rtol, case.atol)
        if not differs:
            continue
        if dtype == np.float32 and np.isfinite(a).all() and np.isfinite(b).all():
            # Sums that cancel: the expected value is itself a rounding error.
            if np.abs(a - b).max() <= 4 * np.finfo(dtype).eps * np.abs(b).max():
                kind, detail = "rounding", f"output {name}: within four steps of the largest value"
                continue
        step = STEP.get(str(dtype), 0)
        if not step or close(a, b, 2 * step, 2 * step):
            return "wrong", f"output {name}: {differs}"
        kind, detail = "rounding", f"output {name}: within two steps of {dtype}"
    return kind, detail
