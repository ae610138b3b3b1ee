//===- Weights.cpp - the blob of packed weights ---------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Weights go from the mapped model file to the artifact through one buffer of
// at most a panel: nothing here grows with the model.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonOpBase.h"
#include "lib/Codegen/Lanes/LaneBuilder.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "tenon/Codegen/Program.h"
#include "llvm/ADT/APFloat.h"

using namespace mlir;

namespace tenon {

static constexpr uint64_t kAlignment = 64;

static uint64_t elementBytes(Type t) {
  return std::max(1u, storageType(t).getIntOrFloatBitWidth() / 8);
}

static uint64_t bytesOf(const WeightPart &w) {
  if (w.layout.kind == WeightLayout::PackedB)
    return w.layout.batch * ((w.layout.N + 31) / 32) * w.layout.K * 32 * 4;
  return w.weight.getNumElements() * elementBytes(w.elementType);
}

static uint64_t bytesOf(const ScheduleBuffer &buffer) {
  uint64_t bytes = 0;
  for (const WeightPart &part : buffer.parts)
    bytes += bytesOf(part);
  return bytes;
}

int64_t weightElements(const ScheduleBuffer &buffer) {
  return bytesOf(buffer) / elementBytes(buffer.elementType);
}

WeightsPlan planWeights(const Schedule &schedule) {
  WeightsPlan plan;
  for (const ScheduleBuffer &buffer : schedule.buffers) {
    plan.offsets.push_back(plan.bytes);
    if (buffer.kind == ScheduleBuffer::Weight)
      plan.bytes += llvm::alignTo(bytesOf(buffer), kAlignment);
  }
  return plan;
}

/// The elements in memory order, with a stride of 0 for splats. Small integer
/// and bool constants that MLIR keeps packed are expanded into `copy`.
static llvm::Expected<std::pair<const char *, uint64_t>>
rawData(const WeightPart &w, std::vector<char> &copy) {
  uint64_t bytes = elementBytes(w.weight.getElementType());
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(w.weight)) {
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    uint64_t need = resource.getNumElements() * bytes;
    if (!blob || blob->getData().size() < need)
      return llvm::createStringError("a weight's data is %zu bytes, expected "
                                     "%zu",
                                     blob ? blob->getData().size() : size_t(0),
                                     size_t(need));
    return std::pair{blob->getData().data(), bytes};
  }
  auto dense = dyn_cast<DenseElementsAttr>(w.weight);
  if (!dense)
    return llvm::createStringError("a weight is neither dense nor a resource");
  if (dense.getElementType().isInteger(1)) {
    for (bool v : dense.getValues<bool>())
      copy.push_back(v);
    return std::pair{(const char *)copy.data(), uint64_t(1)};
  }
  if (Type element = dense.getElementType();
      isPackedType(element) && element.isSignlessInteger()) {
    for (const APInt &v : dense.getValues<APInt>()) // with their sign
      copy.push_back(char(v.getSExtValue()));
    return std::pair{(const char *)copy.data(), uint64_t(1)};
  }
  return std::pair{dense.getRawData().data(), dense.isSplat() ? 0 : bytes};
}

static float toFloat(const char *p, Type t) {
  if (t.isF32()) {
    float f;
    memcpy(&f, p, 4);
    return f;
  }
  uint16_t bits;
  memcpy(&bits, p, 2);
  return APFloat(t.isF16() ? APFloat::IEEEhalf() : APFloat::BFloat(),
                 APInt(16, bits))
      .convertToDouble();
}

using Sink = llvm::function_ref<llvm::Error(llvm::ArrayRef<char>)>;

static llvm::Error writePacked(const WeightPart &w, const char *data,
                               uint64_t stride, Sink sink) {
  const WeightLayout &l = w.layout;
  Type type = w.weight.getElementType();
  int64_t panels = (l.N + 31) / 32;
  std::vector<float> panel(l.K * 32);
  for (int64_t b = 0; b < l.batch; ++b)
    for (int64_t p = 0; p < panels; ++p) {
      int64_t columns = std::min<int64_t>(32, l.N - p * 32);
      std::fill(panel.begin(), panel.end(), 0.0f);
      const char *base = data + (uint64_t)b * l.K * l.N * stride;
      auto put = [&](auto read) {
        if (l.transposed) {
          for (int64_t n = 0; n < columns; ++n) {
            const char *row = base + (uint64_t)((p * 32 + n) * l.K) * stride;
            for (int64_t k = 0; k < l.K; ++k)
              panel[k * 32 + n] = read(row + k * stride);
          }
        } else {
          for (int64_t k = 0; k < l.K; ++k) {
            const char *row = base + (uint64_t)(k * l.N + p * 32) * stride;
            for (int64_t n = 0; n < columns; ++n)
              panel[k * 32 + n] = read(row + n * stride);
          }
        }
      };
      if (type.isF32())
        put([](const char *q) {
          float f;
          memcpy(&f, q, 4);
          return f;
        });
      else
        put([&](const char *q) { return toFloat(q, type); });
      if (auto e = sink({(const char *)panel.data(), panel.size() * 4}))
        return e;
    }
  return llvm::Error::success();
}

static llvm::Error writePart(const WeightPart &w, Sink sink) {
  std::vector<char> copy;
  auto data = rawData(w, copy);
  if (!data)
    return data.takeError();
  auto [bytes, stride] = *data;
  if (w.layout.kind == WeightLayout::PackedB)
    return writePacked(w, bytes, stride, sink);
  uint64_t size = bytesOf(w);
  uint64_t piece = stride == 0 ? elementBytes(w.elementType) : 1 << 20;
  for (uint64_t i = 0; i < size; i += piece)
    if (auto e = sink({bytes + (stride == 0 ? 0 : i),
                       std::min<uint64_t>(piece, size - i)}))
      return e;
  return llvm::Error::success();
}

llvm::Error writeWeights(const Schedule &schedule, const WeightsPlan &plan,
                         Sink sink) {
  static const char zeros[kAlignment] = {};
  for (const ScheduleBuffer &w : schedule.buffers) {
    if (w.kind != ScheduleBuffer::Weight)
      continue;
    for (const WeightPart &part : w.parts)
      if (auto e = writePart(part, sink))
        return e;
    uint64_t size = bytesOf(w);
    if (auto e = sink({zeros, llvm::alignTo(size, kAlignment) - size}))
      return e;
  }
  return llvm::Error::success();
}

} // namespace tenon
