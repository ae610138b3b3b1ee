//===- CacheCodes.cpp - key and value caches of codes ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Contrib/CacheCodes.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "lib/Import/Onnx/Contrib/PackedWeights.h"

using namespace mlir;

namespace tenon::onnximport {

std::optional<CacheCodes> CacheCodes::of(NodeImporter &n, StringRef attr,
                                         unsigned cache, unsigned scale,
                                         Value fresh) {
  auto fail = [&](const Twine &message) {
    n.error(message);
    return std::nullopt;
  };
  CacheCodes codes;
  std::string kind = n.getString(attr, "NONE");
  Dims dims = n.dims(fresh);
  if (kind == "NONE") {
    if (n.has(scale))
      return fail(attr + " is NONE, and input " + Twine(scale) +
                  " is a scale: expected one of both");
    return codes;
  }
  if (kind != "PER_TENSOR" && kind != "PER_CHANNEL")
    return fail("expected NONE, PER_TENSOR or PER_CHANNEL in " + attr +
                ", found " + kind);
  if (!n.requireInputs({cache, scale}))
    return std::nullopt;
  codes.bits = n.getInt("kv_cache_bit_width", 8);
  Type held = NodeImporter::elem(n.in(cache));
  if (!(codes.bits == 8 && held.isSignlessInteger(8)) &&
      !(codes.bits == 4 && held.isUnsignedInteger(8)))
    return fail("expected a cache of int8 for a kv_cache_bit_width of 8, or of "
                "uint8 for 4, found a bit width of " +
                Twine(codes.bits));
  if (codes.bits == 4 && !dims[3].divideExactly(SymExpr(2)))
    return fail("a cache of 4 bits needs heads of an even size, found " +
                dims[3].str());
  Dims spread;
  if (kind == "PER_CHANNEL")
    spread = {SymExpr(1), dims[1], SymExpr(1), dims[3]};
  codes.scale = n.cast(n.reshape(n.in(scale), spread), n.builder.getF32Type());
  if (n.failed())
    return std::nullopt;
  return codes;
}

Value CacheCodes::encode(NodeImporter &n, Value x) const {
  if (!scale || !x)
    return x;
  Value v = n.make<RoundOp>({n.div(n.cast(x, n.builder.getF32Type()), scale)});
  double least = -double(int64_t(1) << (bits - 1));
  v = n.max(v, n.scalarLike(least, v));
  v = n.min(v, n.scalarLike(-least - 1, v));
  if (!v || bits == 8)
    return n.cast(v, n.builder.getIntegerType(8));
  Dims pairs = n.dims(v);
  pairs.back() = *pairs.back().divideExactly(SymExpr(2));
  pairs.push_back(SymExpr(2));
  v = n.reshape(n.addScalar(v, -least), pairs);
  auto half = [&](int64_t at) {
    return n.squeeze(n.slice(v, 4, SymExpr(at), SymExpr(1)), {4});
  };
  return n.cast(n.add(half(0), n.mulScalar(half(1), 16)),
                n.builder.getIntegerType(8, /*isSigned=*/false));
}

Value CacheCodes::decode(NodeImporter &n, Value codes) const {
  if (!scale)
    return codes;
  Value v = n.cast(unpackBits(n, codes, bits), n.builder.getF32Type());
  return n.mul(bits == 8 ? v : n.addScalar(v, -8), scale);
}

} // namespace tenon::onnximport
