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

STAGES = dict(hidden_sizes=[8, 16], depths=[1, 1])


def vision_more():
    """Vision models beyond the usual transformers."""
    return {
        "convnext": image(plain(tf.ConvNextForImageClassification, tf.ConvNextConfig, num_stages=2, patch_size=4, **STAGES),
                          "image-classification"),
        "convnextv2": image(plain(tf.ConvNextV2ForImageClassification, tf.ConvNextV2Config, num_stages=2, patch_size=4, **STAGES),
                            "image-classification"),
        "regnet": image(plain(tf.RegNetForImageClassification, tf.RegNetConfig, embedding_size=8, groups_width=4, **STAGES),
                        "image-classification"),
        "mobilevit": image(plain(tf.MobileViTForImageClassification, tf.MobileViTConfig, image_size=64, hidden_sizes=[16, 24, 32],
                                 neck_hidden_sizes=[8, 8, 16, 24, 32, 40, 40], num_attention_heads=2), "image-classification", 64),
        "mobilenet-v2": image(plain(tf.MobileNetV2ForImageClassification, tf.MobileNetV2Config, depth_multiplier=0.25, image_size=64),
                              "image-classification", 64),
        "efficientnet": image(plain(tf.EfficientNetForImageClassification, tf.EfficientNetConfig, image_size=64, width_coefficient=0.1,
                                    depth_coefficient=0.1, hidden_dim=64, depth_divisor=4), "image-classification", 64),
        "poolformer": image(plain(tf.PoolFormerForImageClassification, tf.PoolFormerConfig, num_encoder_blocks=2, depths=[1, 1],
                                  hidden_sizes=[8, 16], patch_sizes=[7, 3], strides=[4, 2], padding=[2, 1]), "image-classification"),
        "pvt": image(plain(tf.PvtForImageClassification, tf.PvtConfig, image_size=64, num_encoder_blocks=2, depths=[1, 1],
                           sequence_reduction_ratios=[4, 2], hidden_sizes=[16, 32], patch_sizes=[4, 2], strides=[4, 2],
                           num_attention_heads=[1, 2], mlp_ratios=[2, 2]), "image-classification", 64),
        "swinv2": image(plain(tf.Swinv2ForImageClassification, tf.Swinv2Config, image_size=32, patch_size=2, embed_dim=16, depths=[2, 2],
                              num_heads=[2, 4], window_size=4), "image-classification"),
        "yolos": image(plain(tf.YolosForObjectDetection, tf.YolosConfig, num_detection_tokens=5, **{**IMAGE, "image_size": [32, 32]}),
                       "object-detection"),
        "dpt": image(plain(tf.DPTForDepthEstimation, tf.DPTConfig, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 16, 16],
                           fusion_hidden_size=8, **{**IMAGE, "num_hidden_layers": 4}), "depth-estimation"),
        "glpn": image(plain(tf.GLPNForDepthEstimation, tf.GLPNConfig, num_encoder_blocks=4, depths=[1, 1, 1, 1],
                            sr_ratios=[8, 4, 2, 1], hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1, 1, 2, 2],
                            mlp_ratios=[2, 2, 2, 2], decoder_hidden_size=16), "depth-estimation", 64),
        "dinov2-registers": image(plain(tf.Dinov2WithRegistersModel, tf.Dinov2WithRegistersConfig, **IMAGE)),
        "hiera": image(plain(tf.HieraForImageClassification, tf.HieraConfig, image_size=[32, 32], patch_size=[3, 3], patch_stride=[2, 2],
                             patch_padding=[1, 1], embed_dim=8, depths=[1, 2], num_heads=[1, 2], masked_unit_size=[4, 4],
                             query_stride=[2, 2], num_query_pool=1), "image-classification"),
        "levit": image(plain(tf.LevitForImageClassification, tf.LevitConfig, image_size=64, hidden_sizes=[16, 24, 32],
                             num_attention_heads=[2, 3, 4], depths=[1, 1, 1], key_dim=[8, 8, 8]), "image-classification", 64),
        "vit-msn": image(plain(tf.ViTMSNModel, tf.ViTMSNConfig, **IMAGE)),
    }


def encoders_more():
    """Encoders with mechanisms of their own."""
    return {
        "mobilebert": text(make(tf.MobileBertModel, tf.MobileBertConfig, embedding_size=16, true_hidden_size=16,
                                intra_bottleneck_size=16, num_feedforward_networks=2)),
        "squeezebert": text(make(tf.SqueezeBertModel, tf.SqueezeBertConfig, embedding_size=WIDTH)),
        "convbert": text(make(tf.ConvBertModel, tf.ConvBertConfig, embedding_size=WIDTH, conv_kernel_size=3, head_ratio=2)),
        "roformer": text(make(tf.RoFormerModel, tf.RoFormerConfig, embedding_size=WIDTH)),
        "xlm": text(plain(tf.XLMModel, tf.XLMConfig, vocab_size=VOCAB, emb_dim=WIDTH, n_layers=2, n_heads=HEADS,
                          max_position_embeddings=POSITIONS)),
        "flaubert": text(plain(tf.FlaubertModel, tf.FlaubertConfig, vocab_size=VOCAB, emb_dim=WIDTH, n_layers=2, n_heads=HEADS,
                               max_position_embeddings=POSITIONS)),
        "ernie": text(make(tf.ErnieModel, tf.ErnieConfig)),
        "rembert": text(make(tf.RemBertModel, tf.RemBertConfig, input_embedding_size=16, output_embedding_size=16)),
        "ibert": text(make(tf.IBertModel, tf.IBertConfig)),
        "nystromformer": text(make(tf.NystromformerModel, tf.NystromformerConfig, num_landmarks=64, segment_means_seq_len=64)),
        "fnet": text(make(tf.FNetModel, tf.FNetConfig)),
        "funnel": text(plain(tf.FunnelBaseModel, tf.FunnelConfig, vocab_size=VOCAB, block_sizes=[1, 1], d_model=WIDTH, n_head=HEADS,
                             d_head=8, d_inner=64)),
        "xlnet": text(plain(tf.XLNetModel, tf.XLNetConfig, vocab_size=VOCAB, d_model=WIDTH, n_layer=2, n_head=HEADS, d_inner=64)),
        "gte-tokens": Family(make(tf.RobertaForTokenClassification, tf.RobertaConfig), "text", "token-classification"),
        "deberta-classifier": Family(make(tf.DebertaV2ForSequenceClassification, tf.DebertaV2Config, relative_attention=True,
                                          position_buckets=16, pos_att_type=["p2c", "c2p"], position_biased_input=False,
                                          share_att_key=True, norm_rel_ebd="layer_norm"), "text", "text-classification"),
        "modernbert-masked": Family(make(tf.ModernBertForMaskedLM, tf.ModernBertConfig, num_hidden_layers=3, global_attn_every_n_layers=2,
                                         local_attention=8, cls_token_id=1, sep_token_id=2), "text", "fill-mask"),
    }


def speech_more():
    """Speech models beyond the usual ones."""
    return {
        "wavlm": Family(plain(tf.WavLMForCTC, tf.WavLMConfig, num_buckets=16, max_bucket_distance=32, **WAVE), "wave",
                        "automatic-speech-recognition"),
        "data2vec-audio": Family(plain(tf.Data2VecAudioForCTC, tf.Data2VecAudioConfig, **{**WAVE, "num_conv_pos_embeddings": 3}),
                                 "wave", "automatic-speech-recognition"),
        "wav2vec2-large": Family(plain(tf.Wav2Vec2ForCTC, tf.Wav2Vec2Config, feat_extract_norm="layer", do_stable_layer_norm=True, **WAVE),
                                 "wave", "automatic-speech-recognition"),
        "wav2vec2-classifier": Family(plain(tf.Wav2Vec2ForSequenceClassification, tf.Wav2Vec2Config, classifier_proj_size=16, **WAVE),
                                      "wave", "audio-classification"),
        "wav2vec2-conformer": Family(plain(tf.Wav2Vec2ConformerForCTC, tf.Wav2Vec2ConformerConfig,
                                           position_embeddings_type="relative", **WAVE), "wave", "automatic-speech-recognition"),
    }


def decoders_more():
    """Decoders with mechanisms of their own."""
    return {
        "codegen": causal(plain(tf.CodeGenForCausalLM, tf.CodeGenConfig, vocab_size=VOCAB, n_positions=POSITIONS, n_embd=WIDTH, n_layer=2,
                                n_head=HEADS, rotary_dim=4, **TOKENS)),
        "gpt-bigcode": causal(plain(tf.GPTBigCodeForCausalLM, tf.GPTBigCodeConfig, vocab_size=VOCAB, n_positions=POSITIONS, n_embd=WIDTH,
                                    n_layer=2, n_head=HEADS, **TOKENS)),
        "mpt": causal(plain(tf.MptForCausalLM, tf.MptConfig, vocab_size=VOCAB, d_model=WIDTH, n_heads=HEADS, n_layers=2,
                            max_seq_len=POSITIONS)),
        "biogpt": causal(make(tf.BioGptForCausalLM, tf.BioGptConfig)),
        "xglm": causal(plain(tf.XGLMForCausalLM, tf.XGLMConfig, vocab_size=VOCAB, d_model=WIDTH, ffn_dim=64, num_layers=2,
                             attention_heads=HEADS, max_position_embeddings=POSITIONS, **TOKENS)),
        "falcon-new": causal(make(tf.FalconForCausalLM, tf.FalconConfig, new_decoder_architecture=True, num_kv_heads=2, bias=False)),
        "falcon-alibi": causal(make(tf.FalconForCausalLM, tf.FalconConfig, new_decoder_architecture=False, multi_query=False,
                                    parallel_attn=False, bias=True, alibi=True)),
        "cohere": causal(make(tf.CohereForCausalLM, tf.CohereConfig, **GROUPED)),
        "nemotron": causal(make(tf.NemotronForCausalLM, tf.NemotronConfig, **GROUPED)),
        "starcoder2": causal(make(tf.Starcoder2ForCausalLM, tf.Starcoder2Config, sliding_window=8, **GROUPED)),
        "olmo": causal(make(tf.OlmoForCausalLM, tf.OlmoConfig, **GROUPED)),
        "glm": causal(make(tf.GlmForCausalLM, tf.GlmConfig, head_dim=8, **GROUPED)),
        "smollm3": causal(make(tf.SmolLM3ForCausalLM, tf.SmolLM3Config, **GROUPED)),
        "helium": causal(make(tf.HeliumForCausalLM, tf.HeliumConfig, head_dim=8, **GROUPED)),
        "persimmon": causal(make(tf.PersimmonForCausalLM, tf.PersimmonConfig)),
        "gpt-oss": causal(make(tf.GptOssForCausalLM, tf.GptOssConfig, num_local_experts=4, num_experts_per_tok=2, sliding_window=8,
                               head_dim=8, **GROUPED)),
        "olmoe": causal(make(tf.OlmoeForCausalLM, tf.OlmoeConfig, num_experts=4, num_experts_per_tok=2, **GROUPED)),
        "phimoe": causal(make(tf.PhimoeForCausalLM, tf.PhimoeConfig, num_local_experts=4, num_experts_per_tok=2, **GROUPED)),
        "granitemoe": causal(make(tf.GraniteMoeForCausalLM, tf.GraniteMoeConfig, num_local_experts=4, num_experts_per_tok=2, **GROUPED)),
        "deepseek-v3": causal(make(tf.DeepseekV3ForCausalLM, tf.DeepseekV3Config, moe_intermediate_size=24, n_routed_experts=4,
                                   num_experts_per_tok=2, n_group=2, topk_group=1, q_lora_rank=16, kv_lora_rank=16, qk_rope_head_dim=4,
                                   qk_nope_head_dim=8, v_head_dim=8, first_k_dense_replace=1, num_key_value_heads=HEADS)),
        "mbart": Family(plain(tf.MBartForConditionalGeneration, tf.MBartConfig, **SEQ2SEQ), "encoder-decoder",
                        "text2text-generation-with-past"),
        "m2m100": Family(plain(tf.M2M100ForConditionalGeneration, tf.M2M100Config, **SEQ2SEQ), "encoder-decoder",
                         "text2text-generation-with-past"),
        "pegasus": Family(plain(tf.PegasusForConditionalGeneration, tf.PegasusConfig, **SEQ2SEQ), "encoder-decoder",
                          "text2text-generation-with-past"),
        "blenderbot": Family(plain(tf.BlenderbotForConditionalGeneration, tf.BlenderbotConfig, **SEQ2SEQ), "encoder-decoder",
                             "text2text-generation-with-past"),
        "mt5": Family(plain(tf.MT5ForConditionalGeneration, tf.MT5Config, vocab_size=VOCAB, d_model=WIDTH, d_kv=8, d_ff=64, num_layers=2,
                            num_heads=HEADS, relative_attention_num_buckets=8, relative_attention_max_distance=20,
                            decoder_start_token_id=0, pad_token_id=0, eos_token_id=1), "encoder-decoder", "text2text-generation-with-past"),
    }


def others():
    """Whatever else exports: relatives of the above and detectors."""
    resnet = dict(embedding_size=8, hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], layer_type="basic")
    detector = dict(use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, d_model=WIDTH, num_queries=5, encoder_layers=1,
                    decoder_layers=1, encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, encoder_ffn_dim=32, decoder_ffn_dim=32)
    return {
        "bigbird-full": text(make(tf.BigBirdModel, tf.BigBirdConfig, attention_type="original_full")),
        "megatron-bert": text(make(tf.MegatronBertModel, tf.MegatronBertConfig)),
        "splinter": text(make(tf.SplinterModel, tf.SplinterConfig)),
        "xmod": text(make(tf.XmodModel, tf.XmodConfig, languages=["en_XX"], default_language="en_XX")),
        "data2vec-text": text(make(tf.Data2VecTextModel, tf.Data2VecTextConfig)),
        "roberta-prelayernorm": text(make(tf.RobertaPreLayerNormModel, tf.RobertaPreLayerNormConfig)),
        "layoutlm": text(make(tf.LayoutLMModel, tf.LayoutLMConfig)),
        "roc-bert": text(make(tf.RoCBertModel, tf.RoCBertConfig, pronunciation_vocab_size=20, shape_vocab_size=20,
                              pronunciation_embed_dim=8, shape_embed_dim=8)),
        "mra": text(make(tf.MraModel, tf.MraConfig)),
        "yoso": text(make(tf.YosoModel, tf.YosoConfig, use_expectation=True)),
        "xlm-roberta-xl": text(make(tf.XLMRobertaXLModel, tf.XLMRobertaXLConfig)),
        "bert-qa": text(make(tf.BertForQuestionAnswering, tf.BertConfig)),
        "electra-disc": text(make(tf.ElectraForPreTraining, tf.ElectraConfig, embedding_size=16)),
        "openai-gpt": text(plain(tf.OpenAIGPTModel, tf.OpenAIGPTConfig, vocab_size=VOCAB, n_positions=POSITIONS, n_embd=WIDTH, n_layer=2,
                                 n_head=HEADS)),
        "ctrl": causal(plain(tf.CTRLLMHeadModel, tf.CTRLConfig, vocab_size=VOCAB, n_positions=POSITIONS, n_embd=WIDTH, dff=64, n_layer=2,
                             n_head=HEADS)),
        "focalnet": image(plain(tf.FocalNetModel, tf.FocalNetConfig, image_size=32, embed_dim=8, depths=[1, 1], hidden_sizes=[8, 16],
                                focal_levels=[2, 2], focal_windows=[3, 3])),
        "pvt-v2": image(plain(tf.PvtV2Model, tf.PvtV2Config, image_size=64, depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 24, 32],
                              num_attention_heads=[1, 2, 3, 4]), size=64),
        "mobilevitv2": image(plain(tf.MobileViTV2Model, tf.MobileViTV2Config, image_size=64, width_multiplier=0.25), size=64),
        "detr": image(plain(tf.DetrModel, tf.DetrConfig, backbone_config=tf.ResNetConfig(out_features=["stage4"], **resnet), **detector),
                      size=64),
        "upernet": image(plain(tf.UperNetForSemanticSegmentation, tf.UperNetConfig, use_pretrained_backbone=False,
                               backbone_config=tf.ConvNextConfig(num_stages=4, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1],
                               out_features=["stage1", "stage2", "stage3", "stage4"]), hidden_size=16, auxiliary_in_channels=16,
                               auxiliary_channels=8), size=64),
        "depth-anything": image(plain(tf.DepthAnythingForDepthEstimation, tf.DepthAnythingConfig,
                                      backbone_config=tf.Dinov2Config(hidden_size=WIDTH, num_hidden_layers=4, num_attention_heads=4,
                                      image_size=28, patch_size=14, out_indices=[1, 2, 3, 4], reshape_hidden_states=False,
                                      apply_layernorm=True), reassemble_hidden_size=WIDTH, neck_hidden_sizes=[8, 8, 16, 16],
                                      fusion_hidden_size=8, head_hidden_size=4), size=28),
        "ijepa": image(plain(tf.IJepaModel, tf.IJepaConfig, **IMAGE)),
        "deformable-detr": image(plain(tf.DeformableDetrModel, tf.DeformableDetrConfig,
                                       backbone_config=tf.ResNetConfig(out_features=["stage2", "stage3", "stage4"], **resnet),
                                       num_feature_levels=4, **detector), size=64),
        "sew": Family(plain(tf.SEWForCTC, tf.SEWConfig, squeeze_factor=2, **WAVE), "wave", "automatic-speech-recognition"),
        "sew-d": Family(plain(tf.SEWDForCTC, tf.SEWDConfig, squeeze_factor=2, max_position_embeddings=64, position_buckets=16, **WAVE),
                        "wave", "automatic-speech-recognition"),
        "unispeech": Family(plain(tf.UniSpeechForCTC, tf.UniSpeechConfig, **WAVE), "wave", "automatic-speech-recognition"),
        "cohere2": causal(make(tf.Cohere2ForCausalLM, tf.Cohere2Config, sliding_window=8, **GROUPED)),
        "glm4": causal(make(tf.Glm4ForCausalLM, tf.Glm4Config, head_dim=8, **GROUPED)),
        "ernie4_5": causal(make(tf.Ernie4_5ForCausalLM, tf.Ernie4_5Config, head_dim=8, **GROUPED)),
        "exaone4": causal(make(tf.Exaone4ForCausalLM, tf.Exaone4Config, sliding_window=8, sliding_window_pattern=2, head_dim=8, **GROUPED)),
        "arcee": causal(make(tf.ArceeForCausalLM, tf.ArceeConfig, **GROUPED)),
        "diffllama": causal(make(tf.DiffLlamaForCausalLM, tf.DiffLlamaConfig, **GROUPED)),
        "bitnet": causal(make(tf.BitNetForCausalLM, tf.BitNetConfig, **GROUPED)),
        "plbart": Family(plain(tf.PLBartForConditionalGeneration, tf.PLBartConfig, **SEQ2SEQ), "encoder-decoder",
                         "text2text-generation-with-past"),
        "bigbird-pegasus": Family(plain(tf.BigBirdPegasusForConditionalGeneration, tf.BigBirdPegasusConfig,
                                        attention_type="original_full", **SEQ2SEQ), "encoder-decoder", "text2text-generation-with-past"),
        "umt5": Family(plain(tf.UMT5ForConditionalGeneration, tf.UMT5Config, vocab_size=VOCAB, d_model=WIDTH, d_kv=8, d_ff=64,
                             num_layers=2, num_heads=HEADS, relative_attention_num_buckets=8, relative_attention_max_distance=20,
                             decoder_start_token_id=0, pad_token_id=0, eos_token_id=1), "encoder-decoder",
                             "text2text-generation-with-past"),
    }


FAMILIES.update({**encoders_more(), **vision_more(), **speech_more(), **decoders_more(), **others()})


def head_size(name):
    """Of keys, where an exporter leaves it symbolic."""
    return 16 if name in ("qwen3", "qwen3-moe", "gemma", "gemma2", "gemma3") else WIDTH // HEADS


def build(name):
    """The family's model, the same at every call."""
    torch.manual_seed(0)
    model = FAMILIES[name].build()
    return unit_gain(model, sum(map(ord, name)))
