//===- Artifact.cpp - writing .so, .o and .a files ------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The layouts, with the weights at a page's start behind everything else:
//
//   .so   what lld linked | pad | weights | checksum
//                                              a PT_LOAD and a section say so
//   .o    the object     | pad | weights       a section says so
//   .a    magic | symbol table | header | the .o
//
//===----------------------------------------------------------------------===//

#include "tenon/Target/Artifact.h"
#include "ElfImage.h"
#include "Linker.h"
#include "UndefinedSymbols.h"
#include "tenon/Support/OutputFile.h"
#include "tenon/abi.h"
#include "tenon/checksum.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/BLAKE3.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include <fstream>

using namespace llvm;
using namespace tenon;

namespace {

/// Streams the weights to the end of the file, a huge page at a time: file
/// systems keep what is written at once in one page of their cache.
Error appendWeights(OutputFile &file, const WeightsSource &weights) {
  uint64_t left = weights.size;
  std::vector<char> page;
  auto flush = [&] {
    Error error = file.append(page);
    page.clear();
    return error;
  };
  Error error = weights.write([&](ArrayRef<char> chunk) -> Error {
    if (chunk.size() > left)
      return createStringError("internal error: more weights than announced");
    left -= chunk.size();
    while (!chunk.empty()) {
      uint64_t room = kHugePage - (file.position + page.size()) % kHugePage;
      ArrayRef<char> part = chunk.take_front(room);
      page.insert(page.end(), part.begin(), part.end());
      chunk = chunk.drop_front(part.size());
      if (part.size() == room)
        if (Error error = flush())
          return error;
    }
    return Error::success();
  });
  if (error)
    return error;
  if (left)
    return createStringError("internal error: fewer weights than announced");
  return flush();
}

Error writeWeightsFile(OutputFile &file, const ArtifactOptions &options,
                       const WeightsSource &weights) {
  if (Error error = file.create(weightsPath(options.output)))
    return error;
  tenon_weights_header header = {};
  memcpy(header.magic, TENON_WEIGHTS_MAGIC, sizeof header.magic);
  header.version = TENON_WEIGHTS_VERSION;
  header.bytes = weights.size;
  memcpy(header.hash, options.weightsHash.data(), sizeof header.hash);
  ArrayRef<char> bytes(reinterpret_cast<const char *>(&header), sizeof header);
  if (Error error = file.append(bytes))
    return error;
  if (Error error = file.padTo(TENON_WEIGHTS_BLOB_OFFSET))
    return error;
  return appendWeights(file, weights);
}

/// Removes the weights' file that an earlier compilation to the same name
/// left, which nothing reads any more.
void removeStaleWeights(StringRef output) {
  std::string path = weightsPath(output);
  char magic[8] = {};
  std::ifstream(path, std::ios::binary).read(magic, sizeof magic);
  if (memcmp(magic, TENON_WEIGHTS_MAGIC, sizeof magic) == 0)
    (void)sys::fs::remove(path);
}

/// Lets `fn` read and change an image in memory.
Error patch(MutableArrayRef<char> image,
            function_ref<Error(ReadAt, WriteAt)> fn) {
  return fn(
      [&](MutableArrayRef<char> data, uint64_t at) -> Error {
        if (at > image.size() || data.size() > image.size() - at)
          return createStringError("internal error: truncated image");
        memcpy(data.data(), image.data() + at, data.size());
        return Error::success();
      },
      [&](ArrayRef<char> data, uint64_t at) -> Error {
        memcpy(image.data() + at, data.data(), data.size());
        return Error::success();
      });
}

/// Appends the linked library or the object, weights included.
Error appendImage(OutputFile &file, StringRef image,
                  const WeightsSource *weights) {
  if (!weights)
    return file.append(arrayRefFromStringRef<char>(image));
  SmallString<0> patched(image);
  uint64_t offset = 0;
  Error error = patch({patched.data(), patched.size()},
                      [&](ReadAt read, WriteAt write) -> Error {
                        auto place = placeWeights(read, write, weights->size,
                                                  patched.size());
                        if (!place)
                          return place.takeError();
                        offset = *place;
                        return Error::success();
                      });
  if (error)
    return error;
  uint64_t begin = file.position;
  if ((error = file.append(patched)))
    return error;
  if ((error = file.padTo(begin + offset)))
    return error;
  return appendWeights(file, *weights);
}

/// Appends the library and, behind all that it maps, a hash of it. No header
/// tells of that: the loader asks for the last bytes.
Error appendWithChecksum(OutputFile &file, StringRef library,
                         const WeightsSource *weights) {
  BLAKE3 hasher;
  file.observer = [&](ArrayRef<char> data) {
    hasher.update(toStringRef(data));
  };
  Error error = appendImage(file, library, weights);
  file.observer = nullptr;
  if (error)
    return error;
  BLAKE3Result<32> hash;
  hasher.final(hash);
  tenon_checksum checksum = {};
  memcpy(checksum.hash, hash.data(), sizeof checksum.hash);
  checksum.bytes = file.position;
  memcpy(checksum.magic, TENON_CHECKSUM_MAGIC, sizeof checksum.magic);
  return file.append(
      ArrayRef(reinterpret_cast<const char *>(&checksum), sizeof checksum));
}

/// A member's header, without date or owner.
Error appendMemberHeader(OutputFile &file, StringRef name, uint64_t size) {
  if (size > 9999999999)
    return createStringError("an archive's member holds at most 9999999999 "
                             "bytes; use a .so or --weights=file");
  std::string text;
  raw_string_ostream os(text);
  os << left_justify(name, 16) << left_justify("0", 12) << left_justify("0", 6)
     << left_justify("0", 6) << left_justify("644", 8)
     << left_justify(std::to_string(size), 10) << "`\n";
  return file.append(text);
}

/// By hand, as LLVM's writer would hold the member in memory.
Error writeArchive(OutputFile &file, const ArtifactOptions &options,
                   StringRef object, const WeightsSource *weights) {
  if (Error error = file.create(options.output))
    return error;
  if (Error error = file.append(StringRef("!<arch>\n")))
    return error;
  // Symbol table: the number of symbols, each one's member, the names.
  std::string table(8, 0);
  table += options.exportedSymbol;
  table += '\0';
  if (table.size() % 2)
    table += '\0';
  uint64_t member = 8 + 60 + table.size();
  support::endian::write32be(table.data(), 1);
  support::endian::write32be(table.data() + 4, member);
  if (Error error = appendMemberHeader(file, "/", table.size()))
    return error;
  if (Error error = file.append(table))
    return error;
  uint64_t size =
      weights ? alignTo(object.size(), kPage) + weights->size : object.size();
  if (Error error = appendMemberHeader(file, "tenon_model.o/", size))
    return error;
  if (Error error = appendImage(file, object, weights))
    return error;
  return size % 2 ? file.append(StringRef("\n")) : Error::success();
}

Error writeKind(OutputFile &file, const ArtifactOptions &options,
                StringRef object, const WeightsSource *weights) {
  switch (options.kind) {
  case ArtifactKind::SharedLibrary: {
    Expected<std::string> library = linkSharedLibrary(object, options);
    if (!library)
      return library.takeError();
    if (Error error = patch({library->data(), library->size()}, sizeAliases))
      return error;
    if (Error error = file.create(options.output, /*executable=*/true))
      return error;
    return appendWithChecksum(file, *library, weights);
  }
  case ArtifactKind::Object:
    if (Error error = file.create(options.output))
      return error;
    return appendImage(file, object, weights);
  case ArtifactKind::Archive:
    return writeArchive(file, options, object, weights);
  }
  llvm_unreachable("all kinds are handled");
}

} // namespace

std::optional<ArtifactKind> tenon::artifactKindFromPath(StringRef path) {
  return StringSwitch<std::optional<ArtifactKind>>(sys::path::extension(path))
      .Case(".so", ArtifactKind::SharedLibrary)
      .Case(".o", ArtifactKind::Object)
      .Case(".a", ArtifactKind::Archive)
      .Default(std::nullopt);
}

std::string tenon::weightsPath(StringRef output) {
  return (output + ".weights").str();
}

Expected<WeightsHash> tenon::hashWeights(const WeightsSource &weights) {
  BLAKE3 hasher;
  uint64_t size = 0;
  if (weights.size) {
    Error error = weights.write([&](ArrayRef<char> chunk) {
      hasher.update(toStringRef(ArrayRef(
          reinterpret_cast<const uint8_t *>(chunk.data()), chunk.size())));
      size += chunk.size();
      return Error::success();
    });
    if (error)
      return std::move(error);
  }
  if (size != weights.size)
    return createStringError("internal error: the weights' size is wrong");
  WeightsHash hash;
  hasher.final(hash);
  return hash;
}

Error tenon::writeArtifact(const ArtifactOptions &options,
                           ArrayRef<StringRef> objects,
                           const WeightsSource &weights) {
  Expected<SmallString<0>> object =
      mergeObjects(objects, options.exportedSymbol);
  if (!object)
    return object.takeError();
  // Whatever is undefined now will be asked for where the model runs.
  if (Error error = checkUndefinedSymbols(StringRef(*object)))
    return error;
  Expected<uint64_t> section = weightsSectionSize(*object);
  if (!section)
    return section.takeError();
  bool embed = weights.size != 0 && !options.weightsInFile;
  if (*section != (embed ? weights.size : 0))
    return createStringError("internal error: the object expects " +
                             Twine(*section) + " bytes of weights, not " +
                             Twine(embed ? weights.size : 0));
  const WeightsSource *embedded = embed ? &weights : nullptr;

  OutputFile file, weightsFile;
  if (Error error = writeKind(file, options, *object, embedded))
    return error;
  // Both files are complete before either gets its name.
  bool external = options.weightsInFile && weights.size != 0;
  if (external) {
    if (Error error = writeWeightsFile(weightsFile, options, weights))
      return error;
    if (Error error = weightsFile.commit())
      return error;
  }
  if (Error error = file.commit())
    return error;
  if (!external)
    removeStaleWeights(options.output);
  return Error::success();
}
