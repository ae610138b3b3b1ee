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
#include "lib/Codegen/Form/ConstantView.h"
#include "lib/Codegen/Form/PairSums.h"
#include "lib/Codegen/Lanes/LaneBuilder.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "tenon/Codegen/Program.h"
#include "tenon/Support/Half.h"
#include "llvm/ADT/APFloat.h"

using namespace mlir;

namespace tenon {

static constexpr uint64_t kAlignment = 64;

static uint64_t elementBytes(Type t) {
  return std::max(1u, storageType(t).getIntOrFloatBitWidth() / 8);
}

static uint64_t bytesOf(const WeightPart &w) {
  if (w.layout.kind == WeightLayout::Formatted)
    return (w.layout.N + 31) / 32 *
           cast<FormatAttr>(w.format).bytesOfPanel(w.layout.K);
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

namespace {

/// Writes a weight in its format, a panel at a time.
struct FormatWriter {
  const WeightPart &part;
  Sink sink;
  FormatAttr format = cast<FormatAttr>(part.format);
  int64_t K = part.layout.K, N = part.layout.N;
  int64_t group = format.rowsOfGroup();
  /// Of a block; those of integers have nothing between them.
  int64_t rows = format.isInteger()
                     ? llvm::alignTo(std::max<int64_t>(K, 1), group)
                     : format.rowsOfBlock(K);
  std::optional<MatrixReader> codes = {}, scale = {}, zero = {};
  std::vector<uint8_t> panel = {};

  llvm::Error open(const WeightMatrix &matrix,
                   std::optional<MatrixReader> &reader) {
    if (!matrix.constant)
      return llvm::Error::success();
    auto opened =
        MatrixReader::open(matrix.constant, cast<MatrixAttr>(matrix.at));
    if (!opened)
      return opened.takeError();
    reader = std::move(*opened);
    return llvm::Error::success();
  }
  void put(uint8_t *to, float value, Type type) {
    if (!type.isF16()) {
      memcpy(to, &value, 4);
      return;
    }
    uint16_t bits = roundToHalf(value, /*toF16=*/true);
    memcpy(to, &bits, 2);
  }
  bool isSigned(const WeightMatrix &m) const {
    return !cast<MatrixAttr>(m.at).getElement().isUnsignedInteger();
  }
  /// Codes are stored without a sign, integers with one.
  int64_t shiftOfCodes() const {
    if (format.isInteger())
      return isSigned(part.codes) ? 0 : -128;
    return isSigned(part.codes) ? int64_t(1) << (format.getBits() - 1) : 0;
  }
  bool hasBytesInRows() const;
  void writeColumn(int64_t n, int64_t column);
  void writeBytes(int64_t n, int64_t columns);
  void writeRows(uint8_t *at, int64_t n, int64_t column, int64_t k0,
                 int64_t end, int64_t shift);
  void mark();
  void writeLists();
  llvm::Error run();
};

} // namespace

/// Bytes that lie elsewhere than their neighbours of a column, or are others:
/// read a row at a time, as they mostly lie, not each from a line of its own.
bool FormatWriter::hasBytesInRows() const {
  return format.getBits() == 8 && codes->columnsAt(0, 0).first &&
         (shiftOfCodes() != 0 || !codes->bytesAt(0, 0, 8));
}

void FormatWriter::writeColumn(int64_t n, int64_t column) {
  bool inRows = hasBytesInRows();
  int64_t shift = shiftOfCodes();
  for (int64_t k0 = 0, block = 0; k0 < K; k0 += rows, ++block) {
    uint8_t *at = panel.data() + block * format.bytesOfBlock(K);
    if (scale) {
      Type type = format.getScale();
      put(at + column * type.getIntOrFloatBitWidth() / 8,
          scale->number(block, n), type);
      at += format.bytesOfScales();
    }
    if (zero) {
      if (format.getZero().isF32())
        put(at + column * 4, zero->number(block, n), format.getZero());
      else
        at[column] =
            zero->integer(block, n) + (isSigned(part.zero) ? shift : 0);
      at += format.bytesOfHeader() - format.bytesOfScales();
    }
    if (!inRows)
      writeRows(at, n, column, k0, std::min(K, k0 + rows), shift);
  }
}

/// The codes of the panel's columns, from n on.
void FormatWriter::writeBytes(int64_t n, int64_t columns) {
  int64_t header = format.bytesOfHeader(), ofBlock = format.bytesOfBlock(K),
          ofGroup = format.bytesOfGroup(), shift = shiftOfCodes();
  for (int64_t k = 0; k < K; ++k) {
    int64_t row = k % rows;
    uint8_t *to = panel.data() + k / rows * ofBlock + header +
                  row / group * ofGroup + row % group;
    auto [from, apart] = codes->columnsAt(k, n);
    for (int64_t column = 0; column < columns; ++column)
      to[column * group] = from[column * apart] + shift;
  }
}

/// Rows [k0, end) of a column to the groups of a block.
void FormatWriter::writeRows(uint8_t *at, int64_t n, int64_t column, int64_t k0,
                             int64_t end, int64_t shift) {
  int64_t bits = format.getBits(), bytes = group * bits / 8;
  int64_t k = k0, step = format.bytesOfGroup();
  at += column * bytes;
  MatrixAttr stored = cast<MatrixAttr>(part.codes.at);
  bool rounds = bits == 16 && stored.getElement() != format.getElement();
  // What multiplies them takes denormals for zeros, or is to have its bits.
  bool flushes = format.getRows() && format.getRows().isBF16();
  // Most groups lie in the model as they do here.
  const uint8_t *source =
      bits < 16 && shift == 0 ? codes->bytesAt(k0, n, bits) : nullptr;
  for (; source && k + group <= end; k += group, at += step, source += bytes)
    bytes == 4 ? (void)memcpy(at, source, 4) : (void)(*at = *source);
  for (; k < end; k += group, at += step)
    for (int64_t row = 0; row < std::min(group, end - k); ++row) {
      if (bits == 16) {
        uint16_t half;
        if (rounds)
          half = roundToHalf(codes->number(k + row, n),
                             format.getElement().isF16());
        else
          memcpy(&half, codes->at(k + row, n), 2);
        if (flushes && !(half & 0x7f80))
          half &= 0x8000;
        memcpy(at + row * 2, &half, 2);
      } else {
        at[row * bits / 8] |= uint8_t(codes->integer(k + row, n) + shift)
                              << (row * bits % 8);
      }
    }
}

/// The blocks of integers whose products i16 may not hold.
void FormatWriter::mark() {
  int64_t inBlock = format.getBlock(), blocks = K / inBlock,
          ofBlock = format.bytesOfBlock(K);
  uint8_t *marks = panel.data() + blocks * ofBlock;
  for (int64_t block = 0; block < blocks; ++block)
    for (int64_t column = 0; column < 32; ++column) {
      auto *at = reinterpret_cast<const int8_t *>(panel.data()) +
                 block * ofBlock + column * group;
      bool fits = fitsPairs(at, inBlock / group, format.bytesOfGroup());
      marks[block] |= !fits << column / kMarkedColumns;
    }
}

/// How the groups of integers are added.
void FormatWriter::writeLists() {
  int64_t ofGroup = format.bytesOfGroup();
  auto *codes = reinterpret_cast<const int8_t *>(panel.data());
  uint8_t *to = panel.data() + llvm::divideCeil(K, group) * ofGroup;
  for (int64_t k = 0; k < K; k += kRowsOfList)
    for (int64_t column = 0; column < 32; column += kColumnsOfList) {
      PairList list = listPairs(
          codes + k / group * ofGroup + column * group,
          llvm::divideCeil(std::min(K - k, kRowsOfList), group), ofGroup);
      const uint8_t counts[] = {list.quads, list.triples, list.pairs, 0};
      memcpy(to, list.start.data(), sizeof(list.start));
      memcpy(to + sizeof(list.start), counts, sizeof(counts));
      to = llvm::copy(list.groups, to + kListHeader);
    }
}

llvm::Error FormatWriter::run() {
  for (auto [matrix, reader] :
       {std::pair{&part.codes, &codes}, std::pair{&part.scale, &scale},
        std::pair{&part.zero, &zero}})
    if (auto e = open(*matrix, *reader))
      return e;
  panel.resize(format.bytesOfPanel(K));
  for (int64_t n = 0; n < N; n += 32) {
    std::fill(panel.begin(), panel.end(), 0);
    int64_t columns = std::min<int64_t>(32, N - n);
    for (int64_t column = 0; column < columns; ++column)
      writeColumn(n + column, column);
    if (hasBytesInRows())
      writeBytes(n, columns);
    if (format.hasLists())
      writeLists();
    else if (format.isInteger() && format.getBlock())
      mark();
    if (auto e = sink({(const char *)panel.data(), panel.size()}))
      return e;
  }
  return llvm::Error::success();
}

static llvm::Error writePart(const WeightPart &w, Sink sink) {
  if (w.layout.kind == WeightLayout::Formatted)
    return FormatWriter{w, sink}.run();
  std::vector<char> copy;
  auto data = rawData(w.weight, copy);
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
