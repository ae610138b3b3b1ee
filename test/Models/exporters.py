#===- exporters.py - the ways to write a family as ONNX --------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""The exporters that exports.py knows.

dynamoN     torch.onnx.export of a torch.export program, opset N
scriptN     the older TorchScript exporter, opset N
transformersN   transformers' own exporter (version 5)
optimum     Optimum's (with transformers 4.57 only)
genai, genai-int4   onnxruntime-genai's model builder

A suffix -f16 or -bf16 converts the model first. What starts with `ort`, `int8`
or `nbits` rewrites an exported model: ort-X optimises X's models for
transformers, int8-dynamic-X, int8-qdq-X, int8-qop-X and nbits4-X quantise.
"""

import copy
import os
import re
import shutil

import numpy as np
import onnx
import torch
import transformers as tf

import families as zoo
from generate import strip_metadata

EXAMPLE = dict(batch=2, seq=4, past=3, memory=6)


class Plain(torch.nn.Module):
    """A model called with named tensors in a fixed order."""

    def __init__(self, model, names, outputs):
        super().__init__()
        self.model, self.names, self.outputs = model, names, outputs

    def forward(self, *tensors):
        result = self.model(**dict(zip(self.names, tensors)), return_dict=True)
        return tuple(getattr(result, name) for name in self.outputs)


def cache_of(tensors):
    """A cache of keys and values in layers' order."""
    cache = tf.DynamicCache()
    for layer in range(len(tensors) // 2):
        cache.update(tensors[2 * layer], tensors[2 * layer + 1], layer)
    return cache


def tensors_of(cache):
    return [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]


class Causal(torch.nn.Module):
    """A decoder with its cache as flat tensors."""

    def __init__(self, model, names):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *tensors):
        count = len(self.names)
        named = dict(zip(self.names, tensors))
        result = self.model(**named, past_key_values=cache_of(tensors[count:]), use_cache=True)
        return (result.logits, *tensors_of(result.past_key_values))


class Decoder(torch.nn.Module):
    """The decoder of an encoder-decoder, with or without its own cache."""

    def __init__(self, model, masked, past):
        super().__init__()
        self.model, self.masked, self.past = model, masked, past

    def forward(self, *tensors):
        extra = {"attention_mask": tensors[0]} if self.masked else {}
        hidden, decoder_ids, *tensors = tensors[self.masked :]
        memory = tf.modeling_outputs.BaseModelOutput(last_hidden_state=hidden)
        if self.past:
            half = len(tensors) // 2
            cache = tf.EncoderDecoderCache(cache_of(tensors[:half]), cache_of(tensors[half:]))
            extra["past_key_values"] = cache
        result = self.model(encoder_outputs=memory, decoder_input_ids=decoder_ids, use_cache=self.past, **extra)
        if not self.past:
            return result.logits
        return (result.logits, *tensors_of(result.past_key_values.self_attention_cache))


def ids(*shape):
    return torch.randint(3, zoo.VOCAB, shape)


def graphs(name, dtype):
    """(model's name, module, {input: (tensor, {axis: dim})}, outputs)."""
    family = zoo.FAMILIES[name]
    model = zoo.build(name).to(dtype)
    batch, seq, past, memory = (EXAMPLE[k] for k in ("batch", "seq", "past", "memory"))
    dims = {0: "batch_size", 1: "sequence_length"}
    if family.kind == "text":
        inputs = {"input_ids": (ids(batch, seq), dims), "attention_mask": (torch.ones(batch, seq, dtype=torch.long), dims)}
        if name.startswith(("bert", "albert", "electra", "deberta", "nomic")):
            inputs["token_type_ids"] = (torch.randint(0, 2, (batch, seq)), dims)
        inputs["attention_mask"][0][1, -1] = 0
        outputs = outputs_of(model, inputs)
        yield name, Plain(model, list(inputs), outputs), inputs, outputs
    elif family.kind in ("image", "both"):
        inputs = {"pixel_values": (torch.randn(batch, *family.shape, dtype=dtype), {0: "batch_size"})}
        if family.kind == "both":
            text = {0: "text_batch_size", 1: "sequence_length"}
            inputs = {"input_ids": (ids(batch + 1, seq), text), **inputs,
                      "attention_mask": (torch.ones(batch + 1, seq, dtype=torch.long), text)}
        outputs = outputs_of(model, inputs)
        yield name, Plain(model, list(inputs), outputs), inputs, outputs
    elif family.kind == "wave":
        inputs = {"input_values": (torch.randn(batch, 520, dtype=dtype), dims)}
        yield name, Plain(model, list(inputs), ["logits"]), inputs, ["logits"]
    elif family.kind == "causal":
        yield causal_graph(name, model, dtype, batch, seq, past)
    else:
        yield from encoder_decoder_graphs(name, family, model, dtype, batch, seq, past, memory)


def outputs_of(model, inputs):
    with torch.no_grad():
        result = model(**{k: v for k, (v, _) in inputs.items()}, return_dict=True)
    return [k for k, v in result.items() if isinstance(v, torch.Tensor)]


def cache_tensors(model, batch, length, dtype):
    """Keys and values as the model itself makes them."""
    with torch.no_grad():
        if length is None:
            return []
        cache = model(ids(batch, length), use_cache=True).past_key_values
    return [t.to(dtype) for t in tensors_of(cache)]


def causal_graph(name, model, dtype, batch, seq, past):
    if hasattr(model, "set_experts_implementation"):
        try:
            model.set_experts_implementation("batched_mm")
        except Exception:  # a dense model
            pass
    dims = {0: "batch_size", 1: "sequence_length"}
    inputs = {"input_ids": (ids(batch, seq), dims),
              "attention_mask": (torch.ones(batch, past + seq, dtype=torch.long), {0: "batch_size", 1: "past_sequence_length + sequence_length"})}
    if name not in ("bloom", "falcon", "opt"):
        positions = torch.arange(past, past + seq).expand(batch, seq).contiguous()
        inputs["position_ids"] = (positions, dims)
    module = Causal(model, list(inputs))
    outputs = ["logits"]
    for index, tensor in enumerate(cache_tensors(model, batch, past, dtype)):
        which = f"{index // 2}.{('key', 'value')[index % 2]}"
        inputs[f"past_key_values.{which}"] = (tensor, {0: "batch_size", 2: "past_sequence_length"})
        outputs.append(f"present.{which}")
    return name, module, inputs, outputs


def encoder_decoder_graphs(name, family, model, dtype, batch, seq, past, memory):
    dims = {0: "batch_size", 1: "encoder_sequence_length"}
    if family.shape:
        inputs = {"input_features": (torch.randn(batch, *family.shape, dtype=dtype), {0: "batch_size"})}
    else:
        inputs = {"input_ids": (ids(batch, memory), dims), "attention_mask": (torch.ones(batch, memory, dtype=torch.long), dims)}
    encoder = model.get_encoder()
    with torch.no_grad():
        hidden = encoder(**{k: v for k, (v, _) in inputs.items()}).last_hidden_state
    yield f"{name}-encoder", Plain(encoder, list(inputs), ["last_hidden_state"]), inputs, ["last_hidden_state"]

    dims = {0: "batch_size", 1: "decoder_sequence_length"}
    common = {}
    if not family.shape:
        common["encoder_attention_mask"] = inputs["attention_mask"]
    common["encoder_hidden_states"] = (hidden, {0: "batch_size"} if family.shape else {0: "batch_size", 1: "encoder_sequence_length"})
    common["input_ids"] = (ids(batch, seq), dims)
    masked = not family.shape
    yield f"{name}-decoder", Decoder(model, masked, False), common, ["logits"]

    with torch.no_grad():
        result = model(encoder_outputs=(hidden,), decoder_input_ids=ids(batch, past), use_cache=True).past_key_values
    inputs, outputs = dict(common), ["logits"]
    for side, cache, length in (("decoder", result.self_attention_cache, "past_sequence_length"),
                                ("encoder", result.cross_attention_cache, "encoder_sequence_length")):
        for index, tensor in enumerate(tensors_of(cache)):
            which = f"{index // 2}.{side}.{('key', 'value')[index % 2]}"
            axes = {0: "batch_size"} if family.shape and side == "encoder" else {0: "batch_size", 2: length}
            inputs[f"past_key_values.{which}"] = (tensor, axes)
            if side == "decoder":
                outputs.append(f"present.{which}")
    yield f"{name}-decoder-past", Decoder(model, masked, True), inputs, outputs


def with_torch(family, base, opset, script, dtype):
    made = []
    for name, module, inputs, outputs in graphs(family, dtype):
        folder = os.path.join(base, name)
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "model.onnx")
        tensors = tuple(tensor for tensor, _ in inputs.values())
        axes = {key: dims for key, (_, dims) in inputs.items()}
        common = dict(input_names=list(inputs), output_names=outputs, opset_version=opset, verbose=False)
        with torch.no_grad():
            if script:
                torch.onnx.export(module, tensors, path, dynamo=False, dynamic_axes=axes, **common)
            else:
                # A sum of two names is for the document only.
                shapes = tuple({axis: torch.export.Dim.DYNAMIC for axis in dims} for dims in axes.values())
                torch.onnx.export(module, tensors, path, dynamo=True, dynamic_shapes=(shapes,), external_data=False, **common)
        strip_metadata(path)
        made.append(name)
    return made


def with_transformers(family, base, opset, dtype):
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

    model = zoo.build(family).to(dtype)
    spec = zoo.FAMILIES[family]
    batch, seq, past, memory = (EXAMPLE[k] for k in ("batch", "seq", "past", "memory"))
    if spec.kind == "causal":
        with torch.no_grad():
            cache = model(ids(batch, past), use_cache=True).past_key_values
        inputs = {"input_ids": ids(batch, seq), "attention_mask": torch.ones(batch, past + seq, dtype=torch.long), "past_key_values": cache}
    elif spec.kind == "encoder-decoder":
        inputs = {"decoder_input_ids": ids(batch, seq)}
        if spec.shape:
            inputs["input_features"] = torch.randn(batch, *spec.shape, dtype=dtype)
        else:
            inputs.update(input_ids=ids(batch, memory), attention_mask=torch.ones(batch, memory, dtype=torch.long))
    else:
        inputs = {key: tensor for key, (tensor, _) in next(graphs(family, dtype))[2].items()}
    config = OnnxConfig(dynamic=True, opset_version=opset)
    exported = OnnxExporter().export(model, inputs, config=config)
    folder = os.path.join(base, family)
    os.makedirs(folder, exist_ok=True)
    import onnx_ir

    path = os.path.join(folder, "model.onnx")
    onnx_ir.save(exported.program, path)
    strip_metadata(path)
    return [family]


def with_optimum(family, base):
    from optimum.exporters.onnx import onnx_export_from_model

    spec = zoo.FAMILIES[family]
    scratch = os.path.join(base, f".{family}")
    shutil.rmtree(scratch, ignore_errors=True)
    extra = dict(sequence_length=EXAMPLE["seq"], height=spec.shape[-2], width=spec.shape[-1]) if spec.kind in ("image", "both") else {}
    if spec.kind == "wave":
        extra = dict(audio_sequence_length=520)
    elif spec.shape and spec.kind == "encoder-decoder":
        extra = dict(feature_size=spec.shape[0], nb_max_frames=spec.shape[1])
    onnx_export_from_model(zoo.build(family), scratch, task=spec.task, do_validation=False, no_post_process=True, **extra)
    made = []
    for file in sorted(os.listdir(scratch)):
        if file.endswith(".onnx"):
            stem = file[: -len(".onnx")]
            name = family if stem == "model" else f"{family}-{stem.removesuffix('_model').replace('_', '-').replace('with-past', 'past')}"
            os.makedirs(os.path.join(base, name), exist_ok=True)
            shutil.move(os.path.join(scratch, file), os.path.join(base, name, "model.onnx"))
            if os.path.exists(os.path.join(scratch, file + "_data")):
                shutil.move(os.path.join(scratch, file + "_data"), os.path.join(base, name, file + "_data"))
            made.append(name)
    shutil.rmtree(scratch)
    return made


def sources(family, exporter, out):
    """The models that another exporter made of the family."""
    base = os.path.join(out, exporter)
    names = [name for name in sorted(os.listdir(base))
             if (name == family or re.fullmatch(re.escape(family) + "-(encoder|decoder|decoder-past)", name))
             and os.path.exists(os.path.join(base, name, "model.onnx"))]
    if not names:
        raise ValueError(f"{exporter} has no {family}")
    return [(name, os.path.join(base, name, "model.onnx")) for name in names]


def rewrite(family, base, origin, out, apply):
    made = []
    for name, source in sources(family, origin, out):
        folder = os.path.join(base, name)
        os.makedirs(folder, exist_ok=True)
        apply(source, os.path.join(folder, "model.onnx"), name)
        made.append(name)
    return made


ORT_TYPES = {"bert": "bert", "roberta": "bert", "distilbert": "bert", "vit": "vit", "gpt2": "gpt2", "bart": "bart", "t5": "t5",
             "clip-text": "clip", "clip": "clip", "whisper": "bart", "phi": "phi"}


def optimise(family):
    def apply(source, target, _):
        from onnxruntime.transformers import optimizer

        model = optimizer.optimize_model(source, model_type=ORT_TYPES.get(family, "bert"), num_heads=zoo.HEADS,
                                         hidden_size=zoo.WIDTH, opt_level=0, only_onnxruntime=False)
        model.save_model_to_file(target)

    return apply


def half(source, target, _):
    from onnxruntime.transformers import float16

    model = float16.convert_float_to_float16(onnx.load(source), keep_io_types=False)
    onnx.save(model, target)


class Calibration:
    """The first input set again and again."""

    def __init__(self, source):
        folder = os.path.dirname(source)
        self.left = [dict(np.load(os.path.join(folder, f"inputs_{k}.npz"))) for k in (0, 2)]

    def get_next(self):
        return self.left.pop() if self.left else None


def quantise(kind):
    def apply(source, target, _):
        from onnxruntime import quantization as q
        from onnxruntime.quantization.calibrate import CalibrationDataReader

        if kind == "dynamic":
            q.quantize_dynamic(source, target, weight_type=q.QuantType.QInt8)
            return
        reader = type("Reader", (Calibration, CalibrationDataReader), {})(source)
        form = q.QuantFormat.QDQ if kind == "qdq" else q.QuantFormat.QOperator
        prepared = target + ".prepared"
        q.shape_inference.quant_pre_process(source, prepared, skip_symbolic_shape=True, skip_optimization=True)
        q.quantize_static(prepared, target, reader, quant_format=form, per_channel=kind == "qdq",
                          activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8)
        os.remove(prepared)

    return apply


def four_bits(source, target, _):
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(onnx.load(source), block_size=16, is_symmetric=False, accuracy_level=0)
    quantizer.process()
    quantizer.model.save_model_to_file(target)


def with_genai(family, base, precision):
    """onnxruntime-genai's model builder, from a saved checkpoint."""
    import tokenizers
    from onnxruntime_genai.models import builder

    scratch = os.path.join(base, f".{family}")
    shutil.rmtree(scratch, ignore_errors=True)
    source, cache = os.path.join(scratch, "source"), os.path.join(scratch, "cache")
    target = os.path.join(scratch, "out")
    os.makedirs(cache)
    zoo.build(family).save_pretrained(source)
    words = {f"w{i}": i for i in range(zoo.VOCAB)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="w0"))
    tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="w2", pad_token="w0").save_pretrained(source)
    options = builder.parse_extra_options("", source, target, precision, "cpu", cache, [])
    builder.create_model("", source, target, precision, "cpu", cache, **options)
    folder = os.path.join(base, family)
    os.makedirs(folder, exist_ok=True)
    model = onnx.load(os.path.join(target, "model.onnx"))
    onnx.save(model, os.path.join(folder, "model.onnx"))
    shutil.rmtree(scratch)
    return [family]


def export(family, exporter, base, out):
    """Write the family's models below `base`; returns their names."""
    dtype = torch.float32
    match = re.fullmatch(r"(dynamo|script|transformers)(\d+)(-f16|-bf16)?", exporter)
    if match:
        dtype = {None: torch.float32, "-f16": torch.float16, "-bf16": torch.bfloat16}[match[3]]
        if match[1] == "transformers":
            return with_transformers(family, base, int(match[2]), dtype)
        return with_torch(family, base, int(match[2]), match[1] == "script", dtype)
    if exporter == "optimum":
        return with_optimum(family, base)
    if exporter.startswith("genai"):
        return with_genai(family, base, {"genai": "fp32", "genai-int4": "int4", "genai-f16": "fp16"}[exporter])
    for prefix, apply in (("ort-f16-", half), ("ort-", optimise(family)), ("int8-dynamic-", quantise("dynamic")),
                          ("int8-qdq-", quantise("qdq")), ("int8-qop-", quantise("qop")), ("nbits4-", four_bits)):
        if exporter.startswith(prefix):
            return rewrite(family, base, exporter.removeprefix(prefix), out, apply)
    raise ValueError(f"unknown exporter '{exporter}'")
