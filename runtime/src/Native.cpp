//===- Native.cpp - kernels that are not emitted --------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What sorts or searches depends on the data from one element to the next and
// gains nothing from being compiled for one model: these kernels have one task
// and serve every model. The compiler lists them like its own; an artifact
// keeps those that its model uses.
//
// Results have the size of the largest outcome; the last element is the number
// of those that count, which the run reads before it goes on.
//
//===----------------------------------------------------------------------===//
#include "Native.h"

#include <string.h>

namespace {

//===----------------------------------------------------------------------===//
// Order
//===----------------------------------------------------------------------===//

/// Sorts order[0, count) by `before`, which is a strict order; equal items stay
/// as they are. `other` has the same size.
template <typename Before>
void stableSort(int64_t *order, int64_t *other, int64_t count, Before before) {
  int64_t *from = order, *to = other;
  for (int64_t width = 1; width < count; width *= 2) {
    for (int64_t begin = 0; begin < count; begin += 2 * width) {
      int64_t middle = begin + width < count ? begin + width : count;
      int64_t end = begin + 2 * width < count ? begin + 2 * width : count;
      int64_t a = begin, b = middle;
      for (int64_t at = begin; at < end; ++at) {
        bool second = a == middle || (b < end && before(from[b], from[a]));
        to[at] = from[second ? b++ : a++];
      }
    }
    int64_t *swap = from;
    from = to;
    to = swap;
  }
  if (from != order)
    memcpy(order, from, size_t(count) * sizeof *order);
}

float halfToFloat(uint16_t bits) {
  uint32_t sign = uint32_t(bits & 0x8000) << 16;
  uint32_t exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  float value;
  if (exponent == 0) {
    value = float(mantissa) * 0x1p-24f;
    return sign ? -value : value;
  }
  uint32_t wide =
      sign | ((exponent == 31 ? 255 : exponent + 112) << 23) | (mantissa << 13);
  memcpy(&value, &wide, sizeof value);
  return value;
}

struct Half {
  uint16_t bits;
  operator float() const { return halfToFloat(bits); }
};
struct BFloat {
  uint16_t bits;
  operator float() const {
    uint32_t wide = uint32_t(bits) << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
  }
};

/// -1, 0 or 1; NaNs are equal to each other and above all else.
template <typename T>
int compareNumbers(T a, T b) {
  if (a < b)
    return -1;
  if (a > b)
    return 1;
  if (a == b)
    return 0;
  return int(a != a) - int(b != b);
}

template <typename T, typename As = T>
int compareRows(const void *data, int64_t width, int64_t i, int64_t j) {
  const T *a = static_cast<const T *>(data) + i * width;
  const T *b = static_cast<const T *>(data) + j * width;
  for (int64_t k = 0; k < width; ++k)
    if (int order = compareNumbers<As>(As(a[k]), As(b[k])))
      return order;
  return 0;
}

using CompareRows = int (*)(const void *, int64_t, int64_t, int64_t);
CompareRows compareFor(int64_t dtype) {
  switch (dtype) {
  case TENON_ABI_F32:
    return compareRows<float>;
  case TENON_ABI_F64:
    return compareRows<double>;
  case TENON_ABI_F16:
    return compareRows<Half, float>;
  case TENON_ABI_BF16:
    return compareRows<BFloat, float>;
  case TENON_ABI_I8:
    return compareRows<int8_t>;
  case TENON_ABI_I16:
    return compareRows<int16_t>;
  case TENON_ABI_I32:
    return compareRows<int32_t>;
  case TENON_ABI_U16:
    return compareRows<uint16_t>;
  case TENON_ABI_U32:
    return compareRows<uint32_t>;
  case TENON_ABI_U64:
    return compareRows<uint64_t>;
  case TENON_ABI_I64:
    return compareRows<int64_t>;
  default:
    return compareRows<uint8_t>; // bools too
  }
}

//===----------------------------------------------------------------------===//
// Boxes
//===----------------------------------------------------------------------===//

struct Box {
  float left, top, right, bottom;
  float area() const { return (right - left) * (bottom - top); }
};

float smaller(float a, float b) { return b < a ? b : a; }
float larger(float a, float b) { return b > a ? b : a; }

Box boxOf(const float *at, bool centered) {
  if (centered) {
    float halfWidth = at[2] / 2, halfHeight = at[3] / 2;
    return {at[0] - halfWidth, at[1] - halfHeight, at[0] + halfWidth,
            at[1] + halfHeight};
  }
  return {smaller(at[1], at[3]), smaller(at[0], at[2]), larger(at[1], at[3]),
          larger(at[0], at[2])};
}

bool overlaps(const Box &a, const Box &b, float threshold) {
  float width = smaller(a.right, b.right) - larger(a.left, b.left);
  float height = smaller(a.bottom, b.bottom) - larger(a.top, b.top);
  if (!(width > 0) || !(height > 0))
    return false;
  float common = width * height, all = a.area() + b.area() - common;
  if (!(a.area() > 0) || !(b.area() > 0) || !(all > 0))
    return false;
  return common / all > threshold;
}

} // namespace

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

int32_t tenon_native_compact(void *const *bufs, const int64_t *dims, int64_t,
                             int64_t, tenon_task *) {
  auto *flags = static_cast<const uint8_t *>(bufs[0]);
  auto *result = static_cast<int64_t *>(bufs[1]);
  int64_t count = dims[0], found = 0;
  for (int64_t i = 0; i < count; ++i)
    if (flags[i])
      result[found++] = i;
  for (int64_t i = found; i < count; ++i)
    result[i] = 0;
  result[count] = found;
  return TENON_KERNEL_OK;
}

int32_t tenon_native_unique(void *const *bufs, const int64_t *dims, int64_t,
                            int64_t, tenon_task *task) {
  const void *items = bufs[0];
  int64_t count = dims[0], width = dims[1];
  CompareRows compare = compareFor(dims[2]);
  bool sorted = dims[3];
  auto *first = static_cast<int64_t *>(bufs[1]);
  int64_t *counts = first + count, *inverse = counts + count;
  auto *order = static_cast<int64_t *>(task->scratch);
  int64_t *other = order + count;
  for (int64_t i = 0; i < count; ++i) {
    order[i] = i;
    first[i] = counts[i] = 0;
  }
  stableSort(order, other, count, [&](int64_t a, int64_t b) {
    return compare(items, width, a, b) < 0;
  });
  // Equal items stand together, in their order: a group begins with its first.
  int64_t groups = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (i == 0 || compare(items, width, order[i - 1], order[i]) != 0)
      first[groups++] = order[i];
    inverse[order[i]] = groups - 1;
  }
  if (!sorted) {
    for (int64_t g = 0; g < groups; ++g)
      order[g] = g;
    stableSort(order, other, groups,
               [&](int64_t a, int64_t b) { return first[a] < first[b]; });
    for (int64_t g = 0; g < groups; ++g)
      other[order[g]] = g; // where group order[g] goes
    for (int64_t i = 0; i < count; ++i)
      inverse[i] = other[inverse[i]];
    for (int64_t i = count - 1; i >= 0; --i)
      first[inverse[i]] = i;
  }
  for (int64_t i = 0; i < count; ++i)
    ++counts[inverse[i]];
  inverse[count] = groups;
  return TENON_KERNEL_OK;
}

int32_t tenon_native_nms(void *const *bufs, const int64_t *dims, int64_t,
                         int64_t, tenon_task *task) {
  auto *boxes = static_cast<const float *>(bufs[0]);
  auto *scores = static_cast<const float *>(bufs[1]);
  float overlap = *static_cast<const float *>(bufs[2]);
  float least = *static_cast<const float *>(bufs[3]);
  auto *result = static_cast<int64_t *>(bufs[4]);
  int64_t batches = dims[0], classes = dims[1], count = dims[2];
  int64_t most = dims[3], capacity = (dims[4] - 1) / 3, found = 0;
  bool centered = dims[5];
  auto *order = static_cast<int64_t *>(task->scratch);
  int64_t *other = order + count;
  for (int64_t batch = 0; batch < batches; ++batch)
    for (int64_t kind = 0; kind < classes; ++kind) {
      const float *score = scores + (batch * classes + kind) * count;
      const float *box = boxes + batch * count * 4;
      int64_t candidates = 0, begin = found;
      for (int64_t i = 0; i < count; ++i)
        if (score[i] > least)
          order[candidates++] = i;
      stableSort(order, other, candidates,
                 [&](int64_t a, int64_t b) { return score[a] > score[b]; });
      for (int64_t i = 0; i < candidates; ++i) {
        if (found - begin >= most || found >= capacity)
          break;
        Box mine = boxOf(box + order[i] * 4, centered);
        bool suppressed = false;
        for (int64_t s = begin; s < found && !suppressed; ++s)
          suppressed = overlaps(
              mine, boxOf(box + result[3 * s + 2] * 4, centered), overlap);
        if (suppressed)
          continue;
        result[3 * found] = batch;
        result[3 * found + 1] = kind;
        result[3 * found + 2] = order[i];
        ++found;
      }
    }
  for (int64_t i = 3 * found; i < 3 * capacity; ++i)
    result[i] = 0;
  result[3 * capacity] = found;
  return TENON_KERNEL_OK;
}
