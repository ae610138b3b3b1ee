//===- Weights.cpp - tensors of the model as attributes -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Node/Weights.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "lib/Import/Onnx/Library/OnnxLibrary.h"
#include "lib/Import/Onnx/Node/NodeImporter.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinDialect.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "onnx/onnx_pb.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace mlir;

namespace tenon::onnximport {

/// Above this a constant is a resource that points at its bytes.
static constexpr size_t maxInlineBytes = 1024;

class MappedFile {
public:
  /// Null, with a message, where the file cannot be mapped.
  static std::shared_ptr<MappedFile> open(const std::string &path,
                                          std::string &message) {
    // Opening a pipe must not wait for one who writes.
    int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    if (fd < 0 || ::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
      message = "cannot open external data '" + path +
                "': " + (fd < 0 ? strerror(errno) : "not a regular file");
      if (fd >= 0)
        ::close(fd);
      return nullptr;
    }
    auto file = std::make_shared<MappedFile>();
    file->size = info.st_size;
    if (file->size != 0) {
      void *data = ::mmap(nullptr, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
      if (data == MAP_FAILED) {
        message = "cannot map external data '" + path + "': " + strerror(errno);
        ::close(fd);
        return nullptr;
      }
      file->data = static_cast<const char *>(data);
    }
    ::close(fd);
    return file;
  }
  ~MappedFile() {
    if (data)
      ::munmap(const_cast<char *>(data), size);
  }

  const char *data = nullptr;
  size_t size = 0;
};

Type builtinType(MLIRContext *context, int32_t onnxType) {
  using T = onnx::TensorProto;
  Builder b(context);
  switch (onnxType) {
  case T::FLOAT:
    return b.getF32Type();
  case T::DOUBLE:
    return b.getF64Type();
  case T::FLOAT16:
    return b.getF16Type();
  case T::BFLOAT16:
    return b.getBF16Type();
  case T::BOOL:
    return b.getI1Type();
  case T::INT8:
    return b.getIntegerType(8);
  case T::INT16:
    return b.getIntegerType(16);
  case T::INT32:
    return b.getIntegerType(32);
  case T::INT64:
    return b.getIntegerType(64);
  case T::UINT8:
    return b.getIntegerType(8, false);
  case T::UINT16:
    return b.getIntegerType(16, false);
  case T::UINT32:
    return b.getIntegerType(32, false);
  case T::UINT64:
    return b.getIntegerType(64, false);
  case T::INT4:
    return b.getIntegerType(4);
  case T::UINT4:
    return b.getIntegerType(4, false);
  case T::INT2:
    return b.getIntegerType(2);
  case T::UINT2:
    return b.getIntegerType(2, false);
  case T::FLOAT8E4M3FN:
    return b.getType<Float8E4M3FNType>();
  case T::FLOAT8E4M3FNUZ:
    return b.getType<Float8E4M3FNUZType>();
  case T::FLOAT8E5M2:
    return b.getType<Float8E5M2Type>();
  case T::FLOAT8E5M2FNUZ:
    return b.getType<Float8E5M2FNUZType>();
  case T::FLOAT8E8M0:
    return b.getType<Float8E8M0FNUType>();
  case T::FLOAT4E2M1:
    return b.getType<Float4E2M1FNType>();
  default:
    return {};
  }
}

//===----------------------------------------------------------------------===//
// External data
//===----------------------------------------------------------------------===//

std::string externalLocation(const onnx::TensorProto &tensor) {
  for (const auto &entry : tensor.external_data())
    if (entry.key() == "location")
      return entry.value();
  return "";
}

std::string Weights::whyUnreadable(const onnx::TensorProto &tensor) const {
  return tensor.data_location() == onnx::TensorProto::EXTERNAL
             ? unreadable.lookup(externalLocation(tensor))
             : "";
}

bool Weights::external(const onnx::TensorProto &tensor, size_t size,
                       Bytes &bytes, std::string &message) {
  std::string location;
  uint64_t offset = 0, length = size;
  for (const auto &entry : tensor.external_data()) {
    llvm::StringRef value(entry.value());
    if (entry.key() == "location")
      location = entry.value();
    else if ((entry.key() == "offset" && value.getAsInteger(10, offset)) ||
             (entry.key() == "length" && value.getAsInteger(10, length))) {
      message = "external data's " + entry.key() + " is no number: '" +
                entry.value() + "'";
      return false;
    }
  }
  // A model must not make the compiler read files elsewhere.
  bool escapes = location.empty() || llvm::sys::path::is_absolute(location);
  for (auto it = llvm::sys::path::begin(location),
            end = llvm::sys::path::end(location);
       it != end; ++it)
    escapes |= *it == "..";
  if (escapes) {
    message =
        "external data '" + location + "' must lie in the model's directory";
    return false;
  }
  if (length != size) {
    message = "external data '" + location + "' has length " +
              std::to_string(length) + ": expected " + std::to_string(size) +
              " bytes";
    return false;
  }
  std::shared_ptr<MappedFile> &file = files[location];
  if (!file) {
    llvm::SmallString<256> path(directory);
    llvm::sys::path::append(path, location);
    file = MappedFile::open(path.str().str(), message);
    if (!file) {
      unreadable[location] = message;
      return false;
    }
  }
  if (offset > file->size || size > file->size - offset) {
    message = "external data '" + location + "' is too short: expected " +
              std::to_string(size) + " bytes at offset " +
              std::to_string(offset) + ", found a file of " +
              std::to_string(file->size) + " bytes";
    unreadable[location] = message;
    return false;
  }
  bytes = {file->data + offset, size, file};
  return true;
}

//===----------------------------------------------------------------------===//
// Data inside the model file
//===----------------------------------------------------------------------===//

/// Packs a typed field (one number per element) into the element's width.
template <typename Field>
static std::shared_ptr<std::vector<char>> pack(const Field &field,
                                               size_t elementSize) {
  auto packed = std::make_shared<std::vector<char>>(field.size() * elementSize);
  char *to = packed->data();
  for (auto value : field) {
    std::memcpy(to, &value, elementSize); // little-endian: the low bytes
    to += elementSize;
  }
  return packed;
}

bool Weights::inlined(const onnx::TensorProto &tensor, size_t size,
                      size_t elementSize, Bytes &bytes, std::string &message) {
  using T = onnx::TensorProto;
  if (tensor.has_raw_data()) {
    const std::string &raw = tensor.raw_data();
    bytes = {raw.data(), raw.size(), model};
  } else {
    std::shared_ptr<std::vector<char>> packed;
    switch (tensor.data_type()) {
    case T::FLOAT:
      packed = pack(tensor.float_data(), elementSize);
      break;
    case T::DOUBLE:
      packed = pack(tensor.double_data(), elementSize);
      break;
    case T::INT64:
      packed = pack(tensor.int64_data(), elementSize);
      break;
    case T::UINT32:
    case T::UINT64:
      packed = pack(tensor.uint64_data(), elementSize);
      break;
    default: // of packed types each number is a byte
      packed = pack(tensor.int32_data(), elementSize);
      break;
    }
    bytes = {packed->data(), packed->size(), packed};
  }
  if (bytes.size == size)
    return true;
  bool inBytes = isPackedType(builtinType(context, tensor.data_type()));
  message = "expected " + std::to_string(size / elementSize) +
            (inBytes ? " bytes" : " elements") + ", found " +
            std::to_string(bytes.size / elementSize);
  return false;
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

/// A small tensor of a packed type, an attribute of single elements.
static DenseElementsAttr unpack(RankedTensorType type, const char *data) {
  Type element = type.getElementType();
  unsigned bits = storedBits(element), perByte = 8 / bits;
  auto floating = dyn_cast<FloatType>(element);
  llvm::SmallVector<Attribute> values;
  for (int64_t i = 0, e = type.getNumElements(); i < e; ++i) {
    unsigned byte = uint8_t(data[i / perByte]) >> (i % perByte * bits);
    APInt code(bits, byte & ((1u << bits) - 1));
    if (floating)
      values.push_back(
          FloatAttr::get(element, APFloat(floating.getFloatSemantics(), code)));
    else
      values.push_back(IntegerAttr::get(element, code));
  }
  return DenseElementsAttr::get(type, values);
}

Value createTensor(OpBuilder &builder, Location loc, const TensorAttr &tensor) {
  FailureOr<ConstantOp> constant = tryCreate<ConstantOp>(
      builder, loc, {}, {builder.getNamedAttr("value", tensor.value)});
  if (failed(constant))
    return nullptr;
  if (tensor.value.getType() == tensor.type)
    return *constant;
  return unpackTensor(builder, loc, *constant, tensor.type);
}

TensorAttr Weights::get(const onnx::TensorProto &tensor, std::string &message) {
  std::string name =
      tensor.name().empty() ? "a constant" : "'" + tensor.name() + "'";
  auto fail = [&](const std::string &what) -> TensorAttr {
    message = "tensor " + name + ": " + what;
    return {};
  };
  Type elementType = builtinType(context, tensor.data_type());
  if (!elementType)
    return fail("data type " + dataTypeName(tensor.data_type()) +
                " is not supported");
  if (tensor.dims_size() > 8)
    return fail("rank " + std::to_string(tensor.dims_size()) +
                " is not supported: expected at most 8");
  llvm::SmallVector<int64_t> shape(tensor.dims().begin(), tensor.dims().end());
  size_t count = 1, size;
  unsigned width = storedBits(elementType);
  size_t elementSize = std::max(1u, width / 8);
  for (int64_t dim : shape)
    if (dim < 0 || __builtin_mul_overflow(count, size_t(dim), &count))
      return fail("invalid dims");
  if (width < 8)
    size = count / (8 / width) + (count % (8 / width) != 0);
  else if (__builtin_mul_overflow(count, elementSize, &size))
    return fail("too large");

  Bytes bytes;
  std::string problem;
  bool isExternal = tensor.data_location() == onnx::TensorProto::EXTERNAL;
  if (!(isExternal ? external(tensor, size, bytes, problem)
                   : inlined(tensor, size, elementSize, bytes, problem)))
    return fail(problem);

  auto type = RankedTensorType::get(shape, elementType);
  if (size > maxInlineBytes) {
    // The deleter owns what keeps the bytes alive.
    AsmResourceBlob blob = UnmanagedAsmResourceBlob::allocateWithAlign(
        llvm::ArrayRef<char>(bytes.data, bytes.size), elementSize,
        [keepAlive = bytes.keepAlive](void *, size_t, size_t) {});
    auto &manager = DenseResourceElementsHandle::getManagerInterface(context);
    auto stored = width < 8
                      ? RankedTensorType::get(
                            {int64_t(size)},
                            IntegerType::get(context, 8, IntegerType::Unsigned))
                      : type;
    return {DenseResourceElementsAttr::get(
                stored, manager.insert(tensor.name().empty() ? "constant"
                                                             : tensor.name(),
                                       std::move(blob))),
            type};
  }
  if (count == 0)
    return {DenseElementsAttr::get(type, llvm::ArrayRef<Attribute>()), type};
  if (width < 8)
    return {unpack(type, bytes.data), type};
  if (elementType.isInteger(1)) {
    llvm::SmallVector<bool> bools;
    for (size_t i = 0; i < count; ++i)
      bools.push_back(bytes.data[i] != 0);
    return {DenseElementsAttr::get(type, llvm::ArrayRef<bool>(bools)), type};
  }
  // getFromRawBuffer wants aligned elements.
  llvm::SmallVector<uint64_t> aligned(size / 8 + 1);
  std::memcpy(aligned.data(), bytes.data, size);
  llvm::ArrayRef<char> raw(reinterpret_cast<char *>(aligned.data()), size);
  return {DenseElementsAttr::getFromRawBuffer(type, raw), type};
}

} // namespace tenon::onnximport
