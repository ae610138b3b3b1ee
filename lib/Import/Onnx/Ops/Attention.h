//===- Attention.h - steps that attention operators share -------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_ATTENTION_H
#define TENON_IMPORT_ONNX_ATTENTION_H

#include "lib/Import/Onnx/Node/Registry.h"

namespace tenon::onnximport {

/// [B, S, H*D] as [B, H, S, D].
mlir::Value splitHeads(NodeImporter &n, mlir::Value x, int64_t heads);
/// [B, H, S, D] as [B, S, H*D].
mlir::Value mergeHeads(NodeImporter &n, mlir::Value x);

/// q times scale, or by 1/sqrt(head size) where scale is 0.
mlir::Value scaleQueries(NodeImporter &n, mlir::Value q, double scale);

/// q [B,Hq,S,D] times k [B,Hkv,T,D] transposed: [B,Hq,S,T]. Query head h uses
/// key head h / (Hq/Hkv); the heads of a group share one product, so K is
/// never expanded.
mlir::Value groupedScores(NodeImporter &n, mlir::Value q, mlir::Value k);
/// probabilities [B,Hq,S,T] times v [B,Hkv,T,Dv]: [B,Hq,S,Dv].
mlir::Value groupedOutput(NodeImporter &n, mlir::Value p, mlir::Value v);

/// softcap * tanh(x / softcap); the identity for 0.
mlir::Value applySoftcap(NodeImporter &n, mlir::Value x, double softcap);

/// 0 where `allowed`, -inf (or `masked`) elsewhere, in this element type.
mlir::Value biasFromMask(NodeImporter &n, mlir::Value allowed,
                         mlir::Type elementType);
mlir::Value biasFromMask(NodeImporter &n, mlir::Value allowed,
                         mlir::Type elementType, double masked);

/// `old`, with zeros up to `length`, and in it row s of `fresh` where rows
/// [B or 1, s] says; none outside.
mlir::Value appendRows(NodeImporter &n, mlir::Value old, mlir::Value fresh,
                       mlir::Value rows, int64_t axis, const SymExpr &length);
/// Keys or values [B,H,length,D]: those of `fresh` [B,H,S,D] from position
/// `past` ([B] or [1], int64) on, but none from `until` ([B]) on, those of
/// `old` elsewhere, 0 where it ends.
mlir::Value appendKeys(NodeImporter &n, mlir::Value old, mlir::Value fresh,
                       mlir::Value past, const SymExpr &length,
                       mlir::Value until = {});

/// An integer that is known before a run, or read from an input then.
std::optional<SymExpr> knownScalar(NodeImporter &n, mlir::Value v);

/// The most negative finite value of a float type.
double lowestFinite(mlir::Type type);

/// Rotates the first `rotary` (0: all) elements of each head of x [B,H,S,D] by
/// cos and sin, which broadcast to [B,1,S,rotary/2].
mlir::Value rotate(NodeImporter &n, mlir::Value x, mlir::Value cos,
                   mlir::Value sin, int64_t rotary, bool interleaved);

/// A static dim's size; fails, naming `what`, where it is symbolic.
std::optional<int64_t> staticDim(NodeImporter &n, mlir::Value v, int64_t axis,
                                 llvm::StringRef what);

/// PagedAttention, beside the operators of contiguous caches.
void registerPagedAttention(Registry &r);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_ATTENTION_H
