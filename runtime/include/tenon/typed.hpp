//===- tenon/typed.hpp - what `tenon compile --header` writes ---*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Tensors by type, for the classes in the headers of compiled models. An
// argument of another element type, and one that is left out, do not compile:
// there are no conversions between elements, and no tensor by default.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TYPED_HPP
#define TENON_TYPED_HPP

#include "tenon/tenon.hpp"
#include "tenon/typed.h"

#include <concepts>
#include <iterator>
#include <ranges>

namespace tenon {

/// Elements that C++ has no type for, as their bits.
struct Float16 {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};
/// A code of 8 bits, or a byte of packed ones.
template <tenon_dtype DType>
struct Code {
  uint8_t bits;
};

/// May memory of U be bound as one of T?
template <typename T, typename U>
inline constexpr bool isElement = std::same_as<T, U>;
#if defined(__STDCPP_FLOAT16_T__) ||                                          \
    (defined(__clang__) && defined(__FLT16_MANT_DIG__))
template <>
inline constexpr bool isElement<Float16, _Float16> = true;
#endif

/// One dim, which has to be given.
class Dim {
public:
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  constexpr Dim(T value) : value(static_cast<int64_t>(value)) {}
  constexpr operator int64_t() const { return value; }

private:
  int64_t value;
};

template <typename R, typename T>
concept TensorOf =
    std::ranges::contiguous_range<R> && std::ranges::sized_range<R> &&
    isElement<T, std::remove_cv_t<
                     std::remove_reference_t<std::ranges::range_reference_t<R>>>>;

/// The elements of an input: a vector, array or span of T, or one T. They stay
/// the caller's.
template <typename T>
class In {
public:
  template <typename R>
    requires TensorOf<const R &, T>
  In(const R &range)
      : first(std::ranges::data(range)),
        size(std::ranges::size(range) * sizeof(T)) {}
  template <typename U>
    requires isElement<T, U>
  In(const U &element) : first(&element), size(sizeof(T)) {}

  const void *data() const { return first; }
  size_t bytes() const { return size; }

private:
  const void *first;
  size_t size;
};

/// An input with a default, which serves where none is given.
template <typename T>
class OptionalIn {
public:
  OptionalIn() = default;
  template <typename R>
    requires std::constructible_from<In<T>, const R &>
  OptionalIn(const R &range) : input(In<T>(range)) {}

  explicit operator bool() const { return input.has_value(); }
  const void *data() const { return input ? input->data() : nullptr; }
  size_t bytes() const { return input ? input->bytes() : 0; }

private:
  std::optional<In<T>> input;
};

/// Room for the elements of an output.
template <typename T>
class Out {
public:
  template <typename R>
    requires TensorOf<R &, T> &&
             (!std::is_const_v<std::remove_reference_t<
                  std::ranges::range_reference_t<R &>>>)
  Out(R &&range)
      : first(std::ranges::data(range)),
        size(std::ranges::size(range) * sizeof(T)) {}
  template <typename U>
    requires isElement<T, U>
  Out(U &element) : first(&element), size(sizeof(T)) {}

  void *data() const { return first; }
  size_t bytes() const { return size; }

private:
  void *first;
  size_t size;
};

} // namespace tenon

#endif // TENON_TYPED_HPP
