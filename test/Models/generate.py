#!/usr/bin/env python3
#===- generate.py - make the committed tiny models -------------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Exports the six architectures at tiny sizes, with inputs and outputs.

usage: generate.py [NAME...]

Run by hand, never by the tests: it needs torch, transformers, onnxscript, onnx
and onnxruntime. For each model it writes into this folder

    NAME/model.onnx       weights inside, well under 1.5 MB
    NAME/inputs_K.npz     every symbolic dim takes three or more values
    NAME/expected_K.npz   onnxruntime's outputs, its optimisations disabled

and the model's entry in manifest.json.

A test that compares outputs is worth nothing if the outputs barely depend on
what a compiler gets wrong. Freshly initialised transformers are like that:
their attention is almost uniform, so that a lost mask moves the result by less
than rounding does. All weights are therefore rescaled to unit gain, and the
script asserts with ablated copies of the torch model that removing the mask,
the causality, the rotation or the scale each moves the outputs by at least a
hundred times the tolerance.
"""

import copy
import dataclasses
import json
import math
import os
import sys
import typing

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import onnx
import onnxruntime as ort
import torch
import transformers as tf

HERE = os.path.dirname(os.path.abspath(__file__))
ATOL = RTOL = 2e-5
SENSITIVITY = 100
OPSET = 20

BATCH, SEQ = torch.export.Dim("batch"), torch.export.Dim("seq")
# (batch, seq, padding): seq 1, ragged sizes, sizes above a cache of tiles, and
# both sides of padding. "none" fills the mask with ones.
TEXT_SETS = [
    (1, 1, "none"),
    (2, 7, "right"),
    (3, 16, "left"),
    (2, 33, "both"),
    (1, 48, "none"),
]
PLAIN_SETS = [(b, s, "none") for b, s, _ in TEXT_SETS]


@dataclasses.dataclass
class Spec:
    """One model: how to build it, feed it and break it."""

    build: typing.Callable
    sets: list
    inputs: typing.Callable  # (set, rng) -> {name: array}
    dynamic: dict
    outputs: list
    ablations: list  # of "mask", "causality", "rotation", "scale"
    note: str


def unit_gain(model, seed):
    """Rescale all weights so that every layer keeps the variance of its input."""
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor, scale, mean=0.0):
        with torch.no_grad():
            tensor.copy_(mean + scale * torch.randn(tensor.shape, generator=generator))

    norms = (torch.nn.LayerNorm, tf.models.llama.modeling_llama.LlamaRMSNorm)
    conv1d = tf.pytorch_utils.Conv1D
    for module in model.modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d)):
            normal(module.weight, 1 / math.sqrt(module.weight[0].numel()))
        elif isinstance(module, conv1d):  # GPT-2 stores [in, out]
            normal(module.weight, 1 / math.sqrt(module.weight.shape[0]))
        elif isinstance(module, torch.nn.Embedding):
            normal(module.weight, 1.0)
        elif isinstance(module, norms):
            normal(module.weight, 0.2, 1.0)
        bias = getattr(module, "bias", None)
        if isinstance(bias, torch.nn.Parameter):
            normal(bias, 0.2)
    for name, parameter in model.named_parameters():
        if name.endswith(("cls_token", "position_embeddings")):
            normal(parameter, 1.0)
    # Queries and keys a little stronger than unit: attention has to choose.
    for name, parameter in model.named_parameters():
        if any(part in name for part in ("q_proj.weight", "query.weight")):
            with torch.no_grad():
                parameter.mul_(2)
    if getattr(model.config, "tie_word_embeddings", False):
        model.tie_weights()
    return model.eval()


def padding(batch, seq, kind):
    """A 0/1 mask; each row has a padding of its own and one valid token."""
    mask = np.ones((batch, seq), np.int64)
    for row in range(batch):
        count = min(1 + 2 * row + seq // 4, seq - 1)
        if kind in ("right", "both") and count:
            mask[row, seq - count :] = 0
        if kind in ("left", "both") and count:
            left = count if kind == "left" else min(row + 1, seq - count - 1)
            mask[row, :left] = 0
    return mask


def bert_inputs(vocab):
    def make(dims, rng):
        batch, seq, kind = dims
        ids = rng.integers(0, vocab, (batch, seq))
        ids[0, 0] = -1  # wraps to the last token, as ONNX's Gather says
        return {
            "input_ids": ids,
            "attention_mask": padding(batch, seq, kind),
            "token_type_ids": rng.integers(0, 2, (batch, seq)),
        }

    return make


def decoder_inputs(vocab, masked):
    def make(dims, rng):
        batch, seq, kind = dims
        inputs = {"input_ids": rng.integers(0, vocab, (batch, seq))}
        if masked:
            inputs["attention_mask"] = padding(batch, seq, kind)
        return inputs

    return make


def dense_inputs(name, shape):
    def make(dims, rng):
        return {name: rng.standard_normal((dims[0], *shape)).astype(np.float32)}

    return make


def text_dims(names):
    return {name: {0: BATCH, 1: SEQ} for name in names}


BERT_INPUTS = ["input_ids", "attention_mask", "token_type_ids"]
HIDDEN = ["last_hidden_state"]
POOLED = ["last_hidden_state", "pooler_output"]


def bert(**changes):
    config = dict(
        vocab_size=211, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=256, max_position_embeddings=64,
    )
    return lambda: tf.BertModel(tf.BertConfig(**{**config, **changes}))


def gpt2():
    return tf.GPT2LMHeadModel(
        tf.GPT2Config(vocab_size=193, n_positions=64, n_embd=48, n_layer=2, n_head=4, use_cache=False)
    )


def llama():
    return tf.LlamaForCausalLM(
        tf.LlamaConfig(
            vocab_size=197, hidden_size=72, intermediate_size=160, num_hidden_layers=2,
            num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=64,
            tie_word_embeddings=True, use_cache=False,
        )
    )


def vit():
    return tf.ViTModel(
        tf.ViTConfig(
            hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=160,
            image_size=32, patch_size=8,
        )
    )


def whisper():
    return tf.WhisperModel(
        tf.WhisperConfig(
            vocab_size=101, num_mel_bins=16, d_model=48, encoder_layers=2, encoder_attention_heads=3,
            encoder_ffn_dim=192, decoder_layers=1, decoder_attention_heads=3, decoder_ffn_dim=96,
            max_source_positions=30, max_target_positions=30, pad_token_id=0, bos_token_id=1,
            eos_token_id=2, decoder_start_token_id=1,
        )
    ).encoder


IMAGES = [(1,), (2,), (3,), (5,)]
SPECS = {
    "minilm": Spec(
        bert(hidden_size=48, num_hidden_layers=3, num_attention_heads=6, intermediate_size=192),
        TEXT_SETS, bert_inputs(211), text_dims(BERT_INPUTS), POOLED, ["mask", "scale"],
        "MiniLM's shape: narrow, many heads",
    ),
    "bert": Spec(
        bert(), TEXT_SETS, bert_inputs(211), text_dims(BERT_INPUTS), POOLED, ["mask", "scale"],
        "BERT-base's shape, with the pooler",
    ),
    "gpt2": Spec(
        gpt2, PLAIN_SETS, decoder_inputs(193, False), text_dims(["input_ids"]), ["logits"],
        ["causality", "scale"], "GPT-2, no mask input",
    ),
    "gpt2-mask": Spec(
        gpt2, TEXT_SETS, decoder_inputs(193, True), text_dims(["input_ids", "attention_mask"]), ["logits"],
        ["mask", "causality", "scale"], "GPT-2 with attention_mask, left and right padding",
    ),
    "llama": Spec(
        llama, PLAIN_SETS, decoder_inputs(197, False), text_dims(["input_ids"]), ["logits"],
        ["causality", "rotation", "scale"], "Llama: RMS norm, rotary embedding, grouped heads, SwiGLU",
    ),
    "llama-mask": Spec(
        llama, TEXT_SETS, decoder_inputs(197, True), text_dims(["input_ids", "attention_mask"]), ["logits"],
        ["mask", "causality", "rotation", "scale"], "Llama with attention_mask, left and right padding",
    ),
    "vit": Spec(
        vit, IMAGES, dense_inputs("pixel_values", (3, 32, 32)), {"pixel_values": {0: BATCH}}, POOLED,
        ["scale"], "ViT-base's shape: patch convolution, class token",
    ),
    "whisper-encoder": Spec(
        whisper, IMAGES, dense_inputs("input_features", (16, 60)), {"input_features": {0: BATCH}}, HIDDEN,
        ["scale"], "Whisper's encoder: two 1-d convolutions",
    ),
}


def call(model, inputs, names):
    """The torch model's outputs by name."""
    inputs = dict(inputs)
    if "input_ids" in inputs:  # torch does not wrap negative ids
        inputs["input_ids"] = inputs["input_ids"] % model.config.vocab_size
    with torch.no_grad():
        result = model(**{k: torch.as_tensor(np.asarray(v)) for k, v in inputs.items()})
    return {name: getattr(result, name).numpy() for name in names}


def ablate(model, kind, inputs):
    """The model and inputs without `kind`, or None where it cannot matter."""
    inputs = dict(inputs)
    model = copy.deepcopy(model)
    ids = inputs.get("input_ids")
    if kind == "mask":
        if (inputs["attention_mask"] == 1).all():
            return None
        inputs["attention_mask"] = np.ones_like(inputs["attention_mask"])
    elif kind == "causality":
        batch, seq = ids.shape
        mask = inputs.get("attention_mask", np.ones_like(ids))
        if seq == 1 or mask.sum() <= batch:
            return None
        # A mask of rank four is taken as it is, without the causal part.
        bias = np.where(mask[:, None, None, :] == 1, 0, -1e30).astype(np.float32)
        inputs["attention_mask"] = np.broadcast_to(bias, (batch, 1, seq, seq)).copy()
    elif kind == "rotation":
        if ids.shape[1] == 1:
            return None
        # sin 0 = 0 and cos 0 = 1: no rotation.
        model.model.rotary_emb.inv_freq.zero_()
    elif kind == "scale":
        if ids is not None and ids.shape[1] == 1:
            return None
        hit = False
        for module in model.modules():
            if isinstance(getattr(module, "scaling", None), float):
                module.scaling, hit = 1.0, True
        assert hit, "no attention scale found"
    return model, inputs


def check_sensitivity(name, spec, model, sets):
    """Assert that each ablation moves some output enough in every set it can."""
    for kind in spec.ablations:
        moved = []
        for inputs in sets:
            broken = ablate(model, kind, inputs)
            if broken is None:
                continue
            good = call(model, inputs, spec.outputs)
            bad = call(*broken, spec.outputs)
            mask = inputs.get("attention_mask")
            worst = 0.0
            for key in good:
                excess = np.abs(good[key] - bad[key]) / (ATOL + RTOL * np.abs(good[key]))
                # Padding's own rows say little: a lost mask must show in the
                # others. Only behind right padding causality hides it there.
                if mask is not None and excess.ndim == 3 and "causality" not in spec.ablations:
                    excess = excess[mask == 1]
                worst = max(worst, float(np.nan_to_num(excess).max()))
            moved.append(worst)
        assert moved, f"{name}: no input set exercises {kind}"
        assert min(moved) >= SENSITIVITY, f"{name}: removing the {kind} moves only {moved} tolerances"
        print(f"  without {kind}: {min(moved):.0f} to {max(moved):.0f} tolerances")


def reference_session(path, optimised):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def generate(name, spec, index):
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    torch.manual_seed(index)
    model = unit_gain(spec.build(), 1000 + index)
    rng = np.random.default_rng(index)
    sets = [spec.inputs(dims, rng) for dims in spec.sets]
    print(name, flush=True)
    check_sensitivity(name, spec, model, sets)

    # Export from a set whose dims are unlike each other and unlike 1.
    example = {k: torch.as_tensor(np.abs(v)) for k, v in sets[1].items()}
    path = os.path.join(folder, "model.onnx")
    torch.onnx.export(
        model, (), path, kwargs=example, dynamo=True, input_names=list(example), output_names=spec.outputs,
        dynamic_shapes=spec.dynamic, opset_version=OPSET, external_data=False, verbose=False,
    )
    strip_metadata(path)
    assert os.path.getsize(path) < 1.5e6, f"{name}: {os.path.getsize(path)} bytes"

    plain, optimised = reference_session(path, False), reference_session(path, True)
    noise = 0.0
    for k, inputs in enumerate(sets):
        expected = dict(zip(spec.outputs, plain.run(spec.outputs, inputs)))
        other = dict(zip(spec.outputs, optimised.run(spec.outputs, inputs)))
        for key, value in expected.items():
            assert np.isfinite(value).all(), f"{name}: {key} is not finite in set {k}"
            noise = max(noise, float((np.abs(value - other[key]) / (ATOL + RTOL * np.abs(value))).max()))
        np.savez_compressed(os.path.join(folder, f"inputs_{k}.npz"), **inputs)
        np.savez_compressed(os.path.join(folder, f"expected_{k}.npz"), **expected)
    print(f"  {os.path.getsize(path)} bytes; onnxruntime, optimised or not: {noise:.2f} tolerances apart")
    assert noise < 0.5, f"{name}: the tolerance is too near to rounding"
    return {
        "name": name,
        "file": f"{name}/model.onnx",
        "producer": f"pytorch {torch.__version__.partition('+')[0]}",
        "opset": OPSET,
        "atol": ATOL,
        "rtol": RTOL,
        "sets": len(sets),
        "batch": True,
        "expect": "pass",
        "note": spec.note,
    }


def strip_metadata(path):
    """Drop the exporter's stack traces: they hold paths and half of the bytes."""
    model = onnx.load(path)
    del model.metadata_props[:]
    model.graph.doc_string = model.doc_string = ""
    del model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    for function in model.functions:
        for node in function.node:
            del node.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def main():
    names = sys.argv[1:] or list(SPECS)
    unknown = [n for n in names if n not in SPECS]
    if unknown:
        sys.exit(f"unknown model '{unknown[0]}'; known: {', '.join(SPECS)}")
    manifest = os.path.join(HERE, "manifest.json")
    entries = {}
    if os.path.exists(manifest):
        with open(manifest, encoding="utf-8") as file:
            entries = {e["name"]: e for e in json.load(file)["models"]}
    for index, name in enumerate(SPECS):
        if name in names:
            entries[name] = generate(name, SPECS[name], index)
            with open(manifest, "w", encoding="utf-8") as file:
                json.dump({"models": list(entries.values())}, file, indent=1)
                file.write("\n")


if __name__ == "__main__":
    main()
