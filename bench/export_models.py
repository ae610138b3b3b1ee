#!/usr/bin/env python3
#===- export_models.py - make the benchmark's models -----------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Exports the full-size architectures that have no packaged weights.

usage: export_models.py [--models DIR] [--venv DIR] [NAME...]

Writes DIR/NAME/model.onnx with its weights beside it, for bert-base, gpt2,
vit-base, whisper-tiny-encoder and llama-135m. Their weights are random (speed
does not depend on them) and their batch and sequence are symbolic dims. Sets
torch and transformers up in a virtual environment of their own: several GB,
for a benchmark machine only. MiniLM is not among them: `make deps` fetches it.
"""

import argparse
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DEPS = os.path.join(os.path.dirname(HERE), ".deps")
NAMES = ["bert-base", "gpt2", "vit-base", "whisper-tiny-encoder", "llama-135m"]


def build(name):
    """The torch model, example inputs, dynamic dims and output names."""
    import torch
    import transformers as tf

    batch, seq = "batch", "seq"  # names, not Dims: some graphs admit no batch of 1
    text = {0: batch, 1: seq}
    ids = torch.randint(0, 1000, (2, 16))
    if name == "bert-base":
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
        return tf.BertModel(tf.BertConfig()), inputs, {k: text for k in inputs}, ["last_hidden_state", "pooler_output"]
    if name == "gpt2":
        return tf.GPT2LMHeadModel(tf.GPT2Config(use_cache=False)), {"input_ids": ids}, {"input_ids": text}, ["logits"]
    if name == "llama-135m":
        config = tf.LlamaConfig(
            vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
            num_key_value_heads=3, tie_word_embeddings=True, max_position_embeddings=2048, use_cache=False,
        )
        return tf.LlamaForCausalLM(config), {"input_ids": ids}, {"input_ids": text}, ["logits"]
    if name == "vit-base":
        pixels = {"pixel_values": torch.randn(2, 3, 224, 224)}
        outputs = ["last_hidden_state", "pooler_output"]
        return tf.ViTModel(tf.ViTConfig()), pixels, {"pixel_values": {0: batch}}, outputs
    features = {"input_features": torch.randn(1, 80, 3000)}
    return tf.WhisperModel(tf.WhisperConfig()).encoder, features, None, ["last_hidden_state"]


def export(name, folder):
    import torch

    torch.manual_seed(0)
    model, inputs, dynamic, outputs = build(name)
    os.makedirs(folder, exist_ok=True)
    start = time.monotonic()
    torch.onnx.export(
        model.eval(), (), os.path.join(folder, "model.onnx"), kwargs=inputs, dynamo=True, input_names=list(inputs),
        output_names=outputs, dynamic_shapes=dynamic, opset_version=20, external_data=True, verbose=False,
    )
    print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=os.path.join(DEPS, "models"))
    parser.add_argument("--venv", default=os.path.join(DEPS, "torch"))
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    args = parser.parse_args()
    for name in args.names:
        if name not in NAMES:
            sys.exit(f"unknown model '{name}'; known: {', '.join(NAMES)}")
    if args.inside:
        export(args.names[0], os.path.join(args.models, args.names[0]))
        return
    python = os.path.join(args.venv, "bin", "python")
    if not os.path.exists(python):
        print(f"setting up torch in {args.venv} (several GB)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", args.venv], check=True)
    packages = ["torch", "transformers", "onnx", "onnxscript", "numpy"]
    subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    for name in args.names or NAMES:
        # A process each: a Llama in memory is enough at a time.
        command = [python, os.path.abspath(__file__), "--inside", "--models", args.models, name]
        subprocess.run(command, check=True, env=environment)


if __name__ == "__main__":
    main()
