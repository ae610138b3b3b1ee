//===- TensorMaps.cpp - copies of boxes of tensors ------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// cp.async.bulk.tensor: a box of a tensor that a map describes comes to shared
// memory, row after row, with 0 for what is outside of the tensor. What the
// driver writes into a map is its own; here it is this struct.
//
//===----------------------------------------------------------------------===//
#include "Driver.h"
#include "Rules.h"
#include <algorithm>

using namespace emu;

namespace {

constexpr uint32_t kMostDims = 5, kMapBytes = 128;
constexpr uint64_t kMagic = 0x70616d726f736e74; // "tnsormap"

struct TensorMap {
  uint64_t magic, address;
  uint64_t dims[kMostDims], strides[kMostDims]; // of the first one an element
  uint16_t box[kMostDims];
  uint8_t rank, span; // of the swizzle in bytes, or 0
};
static_assert(sizeof(TensorMap) <= kMapBytes);

/// The map at a generic address; false, after a report, where there is none.
bool readMap(Warp &w, const Instruction &i, uint32_t lane, uint64_t at,
             TensorMap &map) {
  uint8_t bytes[kMapBytes];
  for (uint32_t part = 0; part < kMapBytes; part += 64) {
    uint8_t *from =
        locate(w, i, lane, Space::Generic, at + part, 64, Access::Read);
    if (!from)
      return false;
    memcpy(bytes + part, from, 64);
  }
  memcpy(&map, bytes, sizeof map);
  if (map.magic == kMagic)
    return true;
  report(w, i, lane, "there is no tensor map", /*stops=*/true);
  return false;
}

/// What of the box at `first` lies in the tensor, a row at a time.
std::vector<CopyPiece> piecesOf(const TensorMap &map, const int32_t *first) {
  std::vector<CopyPiece> pieces;
  uint32_t rows = 1;
  for (uint32_t d = 1; d < map.rank; ++d)
    rows *= map.box[d];
  int64_t begin = std::max<int64_t>(first[0], 0),
          end = std::min(int64_t(first[0]) + map.box[0], int64_t(map.dims[0]));
  for (uint32_t row = 0; row < rows && begin < end; ++row) {
    uint64_t from = map.address + uint64_t(begin) * map.strides[0];
    bool inside = true;
    for (uint32_t d = 1, rest = row; d < map.rank; ++d) {
      int64_t index = int64_t(first[d]) + rest % map.box[d];
      rest /= map.box[d];
      inside &= index >= 0 && index < int64_t(map.dims[d]);
      from += uint64_t(index) * map.strides[d];
    }
    uint64_t at = uint64_t(row) * map.box[0] + uint64_t(begin - first[0]);
    if (inside)
      pieces.push_back({uint32_t(at * map.strides[0]),
                        uint32_t(uint64_t(end - begin) * map.strides[0]),
                        from});
  }
  return pieces;
}

/// a: destination; x: dims; the list has registers and offsets of the map and
/// of the mbarrier (and the latter's bytes), then the coordinates' registers.
void copyBox(Warp &w, const Instruction &i) {
  const uint32_t *list = &w.kernel->lists[i.list];
  eachLane(w, [&](uint32_t lane) {
    if (w.launch->aborted)
      return;
    uint64_t to = sharedAddress(addressOf(w, i, lane));
    uint64_t mapAt =
        (list[0] ? w.reg<uint64_t>(list[0])[lane] : kParamWindow) + list[1];
    uint64_t barrierAt = addressOf(w, list + 2, lane);
    TensorMap map;
    if (!readMap(w, i, lane, mapAt, map))
      return;
    if (to % 128 || map.rank != i.x) {
      report(w, i, lane,
             to % 128 ? "a box whose destination is misaligned: no multiple of "
                        "128"
                      : "a box of other dims than its map",
             /*stops=*/true);
      return;
    }
    int32_t first[kMostDims];
    uint32_t bytes = map.strides[0];
    for (uint32_t d = 0; d < map.rank; ++d) {
      first[d] = w.reg<int32_t>(list[5 + d])[lane];
      bytes *= map.box[d];
    }
    // Whoever has the map has the tensor.
    if (Allocation *memory = w.launch->device->memory.find(map.address))
      if (auto &given = w.launch->arguments;
          std::find(given.begin(), given.end(), memory->base) == given.end())
        given.push_back(memory->base);
    BulkCopy copy = {uint32_t(to),
                     bytes,
                     uint32_t(sharedAddress(barrierAt)),
                     w.index,
                     lane,
                     map.span ? map.span / 16u - 1 : 0,
                     piecesOf(map, first)};
    Instruction own = i; // a pointer to the tensor is the launch's, too
    own.owners = ownersAt(*w.launch, map.address);
    for (const CopyPiece &piece : copy.pieces) {
      bool whole = piece.from % 16 == 0 && piece.bytes % 16 == 0;
      if (!isReadable(w, own, lane, piece, whole ? 16 : map.strides[0]))
        return;
    }
    beginBulkCopy(w, i, std::move(copy));
  });
}

} // namespace

void emu::decodeTensorCopy(Decoder &d) {
  int rank = d.oneOf({"1d", "2d", "3d", "4d", "5d"}) + 1;
  d.has("tile");
  bool toShared = d.has("shared::cluster") || d.has("shared::cta");
  if (!rank || !toShared || !d.has("global") ||
      !d.has("mbarrier::complete_tx::bytes") || !d.expectOperands(3, 3))
    return d.fail("no rule for this copy of a tensor");
  addressOperand(d, d.operand(0));
  std::string_view source = d.operand(1);
  if (source.size() < 2 || source.front() != '[' || source.back() != ']')
    return d.fail("no tensor map");
  auto parts = splitOperands(source.substr(1, source.size() - 2));
  auto coordinates = parts.size() == 2 ? d.elements(parts[1])
                                       : std::vector<std::string_view>();
  if (coordinates.size() != size_t(rank))
    return d.fail("other coordinates than dims");
  Address map = d.address("[" + std::string(parts[0]) + "]"),
          barrier = d.address(d.operand(2));
  if (map.base ? map.baseBytes != 8 : !map.isParameter)
    return d.fail("a tensor map at no generic address");
  std::vector<uint32_t> list = {map.base, uint32_t(map.offset), barrier.base,
                                barrier.baseBytes, uint32_t(barrier.offset)};
  for (std::string_view name : coordinates)
    list.push_back(d.sourceOf(name, 4));
  d.inst.list = d.list(list);
  d.inst.x = rank;
  d.inst.run = copyBox;
}

/// Types are numbers of CUDA's: what is needed of one is its size.
EMU_API cuTensorMapEncodeTiled(void *result, int type, unsigned rank,
                               void *address, const uint64_t *dims,
                               const uint64_t *strides, const unsigned *box,
                               const unsigned *each, int interleave,
                               int swizzle, int promotion, int fill) {
  EMU_CALL();
  static const uint8_t sizes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4};
  static const uint8_t spans[] = {0, 32, 64, 128};
  if (driver().device.sm < 90)
    return NotSupported;
  uint64_t base = reinterpret_cast<uint64_t>(address);
  if (reinterpret_cast<uint64_t>(result) % 64 || type < 0 || type > 11 ||
      rank < 1 || rank > kMostDims || base % 16 || swizzle < 0 || swizzle > 3 ||
      promotion < 0 || promotion > 3)
    return InvalidValue;
  if (interleave || fill) // there are rules for neither
    return NotSupported;
  TensorMap map = {kMagic, base, {}, {}, {}, uint8_t(rank), spans[swizzle]};
  map.strides[0] = sizes[type];
  for (unsigned d = 0; d < rank; ++d) {
    if (!dims[d] || dims[d] > 1ull << 32 || !box[d] || box[d] > 256)
      return InvalidValue;
    if (each[d] != 1)
      return NotSupported;
    map.dims[d] = dims[d];
    map.box[d] = box[d];
    if (d && (strides[d - 1] % 16 || !strides[d - 1] ||
              strides[d - 1] >= 1ull << 40))
      return InvalidValue;
    if (d)
      map.strides[d] = strides[d - 1];
  }
  uint32_t row = box[0] * sizes[type];
  if (row % 16 || (map.span && row > map.span))
    return InvalidValue;
  if (map.span && row != map.span) // rows lie a span apart then
    return NotSupported;
  memset(result, 0, kMapBytes);
  memcpy(result, &map, sizeof map);
  return Success;
}
