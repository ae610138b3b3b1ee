#===- families.py - the transformer families that exports.py exports -------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Tiny random configurations of the families that people export.

Each family is a model whose weights are scaled to unit gain, so that a lost
mask, rotation or scale shows in the outputs, and the kind of its inputs. The
constructors work with transformers 4.57 (which Optimum needs) and 5.
"""

import dataclasses
import math
import os
import typing

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
import transformers as tf

VOCAB, WIDTH, HEADS, LAYERS, POSITIONS = 101, 32, 4, 2, 64


@dataclasses.dataclass
class Family:
    """One model: its constructor and what goes in.

    `kind` is one of text, image, both, features, wave, causal, encoder-decoder.
    `task` is what Optimum calls it.
    """

    build: typing.Callable
    kind: str
    task: str
    shape: tuple = ()  # of one image or one spectrogram


def unit_gain(model, seed):
    """Rescale all weights so that every layer keeps the variance of its input."""
    generator = torch.Generator().manual_seed(seed)
    owners = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            owners[id(parameter)] = (type(module).__name__, name)
    for path, parameter in model.named_parameters():
        owner, name = owners[id(parameter)]
        noise = torch.randn(parameter.shape, generator=generator)
        if "Norm" in owner and name == "weight":
            value = 1 + 0.2 * noise
        elif "Embedding" in owner:
            value = noise
        elif "Conv1D" in owner and parameter.ndim == 2:  # stored [in, out]
            value = noise / math.sqrt(parameter.shape[0])
        elif parameter.ndim == 3 and "onv" not in owner and "expert" in path.lower():
            value = noise / math.sqrt(parameter.shape[-1])
        elif parameter.ndim >= 2 and ("Linear" in owner or "onv" in owner or name == "weight"):
            value = noise / math.sqrt(parameter[0].numel())
        elif parameter.ndim >= 2:  # tables of positions, class tokens, queries
            value = noise
        else:
            value = 0.2 * noise
        # Queries a little stronger than unit: attention has to choose.
        if any(part in path for part in ("q_proj.weight", "query.weight", "query_proj.weight", "q_lin.weight", ".q.weight")):
            value = 2 * value
        with torch.no_grad():
            parameter.copy_(value)
    if getattr(model.config, "tie_word_embeddings", False):
        model.tie_weights()
    return model.eval()


def config(kind, **changes):
    """A configuration of `kind` at the size of this file, by BERT's names."""
    base = dict(
        vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=64, max_position_embeddings=POSITIONS, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )
    base.update(changes)
    return kind(**base)


def make(model, kind, **changes):
    return lambda: model(config(kind, **changes))


def plain(model, kind, **fields):
    """For configurations with names of their own."""
    return lambda: model(kind(**fields))


TOKENS = dict(pad_token_id=0, bos_token_id=1, eos_token_id=2)
SEQ2SEQ = dict(
    vocab_size=VOCAB, d_model=WIDTH, encoder_layers=2, decoder_layers=2, encoder_attention_heads=HEADS,
    decoder_attention_heads=HEADS, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=POSITIONS,
    decoder_start_token_id=1, forced_eos_token_id=2, **TOKENS,
)
IMAGE = dict(
    hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=64, image_size=32, patch_size=8
)
WAVE = dict(
    vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=64,
    conv_dim=(16, 16, 16), conv_kernel=(10, 3, 2), conv_stride=(5, 2, 2), num_feat_extract_layers=3,
    num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, **TOKENS,
)
GROUPED = dict(num_key_value_heads=2)
HALF = dict(head_dim=16)


def clip():
    text = dict(hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=64,
                vocab_size=VOCAB, max_position_embeddings=POSITIONS, **TOKENS)
    return tf.CLIPModel(tf.CLIPConfig(text_config=text, vision_config=IMAGE, projection_dim=24))


def siglip():
    text = dict(hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=64,
                vocab_size=VOCAB, max_position_embeddings=POSITIONS, **TOKENS)
    return tf.SiglipModel(tf.SiglipConfig(text_config=text, vision_config=IMAGE))


def text(build):
    return Family(build, "text", "feature-extraction")


def image(build, task="feature-extraction", size=32):
    return Family(build, "image", task, (3, size, size))


def causal(build):
    return Family(build, "causal", "text-generation-with-past")


def swin():
    return tf.SwinForImageClassification(tf.SwinConfig(
        image_size=32, patch_size=2, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4))


def segformer():
    return tf.SegformerForSemanticSegmentation(tf.SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[16, 32], patch_sizes=[7, 3], strides=[4, 2],
        num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=24))


FAMILIES = {
    # Encoders.
    "bert": text(make(tf.BertModel, tf.BertConfig)),
    "bert-classifier": Family(make(tf.BertForSequenceClassification, tf.BertConfig), "text", "text-classification"),
    "bert-masked": Family(make(tf.BertForMaskedLM, tf.BertConfig), "text", "fill-mask"),
    "roberta": text(make(tf.RobertaModel, tf.RobertaConfig)),
    "xlm-roberta": text(make(tf.XLMRobertaModel, tf.XLMRobertaConfig)),
    "distilbert": text(plain(tf.DistilBertModel, tf.DistilBertConfig, vocab_size=VOCAB, dim=WIDTH, n_layers=2, n_heads=HEADS,
                             hidden_dim=64, max_position_embeddings=POSITIONS, pad_token_id=0)),
    "mpnet": text(make(tf.MPNetModel, tf.MPNetConfig)),
    "albert": text(make(tf.AlbertModel, tf.AlbertConfig, embedding_size=16)),
    "electra": text(make(tf.ElectraModel, tf.ElectraConfig, embedding_size=16)),
    "deberta-v2": text(make(tf.DebertaV2Model, tf.DebertaV2Config, relative_attention=True, position_buckets=16,
                            norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"],
                            position_biased_input=False, max_relative_positions=-1)),
    "deberta": text(make(tf.DebertaModel, tf.DebertaConfig, relative_attention=True, pos_att_type=["p2c", "c2p"],
                         position_biased_input=False)),
    "modernbert": text(make(tf.ModernBertModel, tf.ModernBertConfig, num_hidden_layers=3, global_attn_every_n_layers=2,
                            local_attention=8, cls_token_id=1, sep_token_id=2)),
    "esm": text(make(tf.EsmModel, tf.EsmConfig, position_embedding_type="rotary", mask_token_id=3, token_dropout=True)),
    "camembert": text(make(tf.CamembertModel, tf.CamembertConfig)),
    "nomic-like-qa": Family(make(tf.BertForQuestionAnswering, tf.BertConfig), "text", "question-answering"),
    # Vision.
    "vit": image(plain(tf.ViTModel, tf.ViTConfig, **IMAGE)),
    "vit-classifier": image(plain(tf.ViTForImageClassification, tf.ViTConfig, **IMAGE), "image-classification"),
    "deit": image(plain(tf.DeiTModel, tf.DeiTConfig, **IMAGE)),
    "beit": image(plain(tf.BeitModel, tf.BeitConfig, vocab_size=VOCAB, use_relative_position_bias=True, **IMAGE)),
    "swin": image(swin, "image-classification"),
    "dinov2": image(plain(tf.Dinov2Model, tf.Dinov2Config, **{**IMAGE, "image_size": 32})),
    "segformer": image(segformer, "semantic-segmentation", 64),
    "clip-vision": image(plain(tf.CLIPVisionModel, tf.CLIPVisionConfig, **IMAGE)),
    "siglip-vision": image(plain(tf.SiglipVisionModel, tf.SiglipVisionConfig, **IMAGE)),
    "clip-text": text(make(tf.CLIPTextModel, tf.CLIPTextConfig)),
    "clip": Family(clip, "both", "zero-shot-image-classification", (3, 32, 32)),
    "siglip": Family(siglip, "both", "zero-shot-image-classification", (3, 32, 32)),
    "resnet": image(plain(tf.ResNetForImageClassification, tf.ResNetConfig, embedding_size=8, hidden_sizes=[8, 16],
                          depths=[1, 1], layer_type="basic"), "image-classification"),
    # Speech.
    "wav2vec2": Family(plain(tf.Wav2Vec2ForCTC, tf.Wav2Vec2Config, **WAVE), "wave", "automatic-speech-recognition"),
    "hubert": Family(plain(tf.HubertForCTC, tf.HubertConfig, **WAVE), "wave", "automatic-speech-recognition"),
    "whisper": Family(plain(
        tf.WhisperForConditionalGeneration, tf.WhisperConfig, num_mel_bins=16, max_source_positions=30, max_target_positions=POSITIONS,
        **{k: v for k, v in SEQ2SEQ.items() if k != "max_position_embeddings"}),
        "encoder-decoder", "automatic-speech-recognition-with-past", (16, 60)),
    # Encoder-decoders.
    "t5": Family(plain(tf.T5ForConditionalGeneration, tf.T5Config, vocab_size=VOCAB, d_model=WIDTH, d_kv=8, d_ff=64, num_layers=2,
                       num_heads=HEADS, relative_attention_num_buckets=8, relative_attention_max_distance=20,
                       decoder_start_token_id=0, pad_token_id=0, eos_token_id=1), "encoder-decoder", "text2text-generation-with-past"),
    "bart": Family(plain(tf.BartForConditionalGeneration, tf.BartConfig, **SEQ2SEQ), "encoder-decoder",
                   "text2text-generation-with-past"),
    "marian": Family(plain(tf.MarianMTModel, tf.MarianConfig, **{**SEQ2SEQ, "decoder_start_token_id": 0}), "encoder-decoder",
                     "text2text-generation-with-past"),
    # Decoders.
    "gpt2": causal(plain(tf.GPT2LMHeadModel, tf.GPT2Config, vocab_size=VOCAB, n_positions=POSITIONS, n_embd=WIDTH, n_layer=2,
                         n_head=HEADS, bos_token_id=1, eos_token_id=2)),
    "gpt-neox": causal(make(tf.GPTNeoXForCausalLM, tf.GPTNeoXConfig)),
    "gpt-neo": causal(plain(tf.GPTNeoForCausalLM, tf.GPTNeoConfig, vocab_size=VOCAB, hidden_size=WIDTH, num_layers=2, num_heads=HEADS,
                            attention_types=[[["global", "local"], 1]], window_size=4, max_position_embeddings=POSITIONS,
                            intermediate_size=64, bos_token_id=1, eos_token_id=2)),
    "gptj": causal(plain(tf.GPTJForCausalLM, tf.GPTJConfig, vocab_size=VOCAB, n_positions=POSITIONS, n_embd=WIDTH, n_layer=2,
                         n_head=HEADS, rotary_dim=4, bos_token_id=1, eos_token_id=2)),
    "opt": causal(plain(tf.OPTForCausalLM, tf.OPTConfig, vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=2, ffn_dim=64,
                        num_attention_heads=HEADS, max_position_embeddings=POSITIONS, word_embed_proj_dim=WIDTH, **TOKENS)),
    "bloom": causal(plain(tf.BloomForCausalLM, tf.BloomConfig, vocab_size=VOCAB, hidden_size=WIDTH, n_layer=2, n_head=HEADS, **TOKENS)),
    "falcon": causal(make(tf.FalconForCausalLM, tf.FalconConfig, new_decoder_architecture=False, multi_query=True,
                          parallel_attn=True, bias=False, alibi=False)),
    "llama": causal(make(tf.LlamaForCausalLM, tf.LlamaConfig, **GROUPED)),
    "mistral": causal(make(tf.MistralForCausalLM, tf.MistralConfig, sliding_window=8, **GROUPED)),
    "qwen2": causal(make(tf.Qwen2ForCausalLM, tf.Qwen2Config, **GROUPED)),
    "qwen3": causal(make(tf.Qwen3ForCausalLM, tf.Qwen3Config, **GROUPED, **HALF)),
    "gemma": causal(make(tf.GemmaForCausalLM, tf.GemmaConfig, **GROUPED, **HALF)),
    "gemma2": causal(make(tf.Gemma2ForCausalLM, tf.Gemma2Config, sliding_window=8, query_pre_attn_scalar=16, **GROUPED, **HALF)),
    "gemma3": causal(make(tf.Gemma3ForCausalLM, tf.Gemma3TextConfig, sliding_window=8, query_pre_attn_scalar=16,
                          **GROUPED, **HALF)),
    "phi": causal(make(tf.PhiForCausalLM, tf.PhiConfig)),
    "phi3": causal(make(tf.Phi3ForCausalLM, tf.Phi3Config, sliding_window=None, **GROUPED)),
    "stablelm": causal(make(tf.StableLmForCausalLM, tf.StableLmConfig, **GROUPED)),
    "olmo2": causal(make(tf.Olmo2ForCausalLM, tf.Olmo2Config, **GROUPED)),
    "granite": causal(make(tf.GraniteForCausalLM, tf.GraniteConfig, **GROUPED)),
    "mixtral": causal(make(tf.MixtralForCausalLM, tf.MixtralConfig, num_local_experts=4, num_experts_per_tok=2, **GROUPED)),
    "qwen2-moe": causal(make(tf.Qwen2MoeForCausalLM, tf.Qwen2MoeConfig, num_experts=4, num_experts_per_tok=2,
                             moe_intermediate_size=24, shared_expert_intermediate_size=48, **GROUPED)),
    "qwen3-moe": causal(make(tf.Qwen3MoeForCausalLM, tf.Qwen3MoeConfig, num_experts=4, num_experts_per_tok=2,
                             moe_intermediate_size=24, **GROUPED, **HALF)),
}


def build(name):
    """The family's model, the same at every call."""
    torch.manual_seed(0)
    model = FAMILIES[name].build()
    return unit_gain(model, sum(map(ord, name)))
