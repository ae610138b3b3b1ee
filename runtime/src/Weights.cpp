//===- Weights.cpp - the weights file, mapped once per process ------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Weights.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

using namespace tenon::rt;

namespace {

/// One open map. An executable may link several models, and one copy of the
/// runtime may then serve them all, so maps are kept by path.
struct Mapping {
  char path[4096];
  void *memory;
  size_t bytes;
  int32_t shares;
  Mapping *next;
};

pthread_mutex_t gMutex = PTHREAD_MUTEX_INITIALIZER;
Mapping *gMappings = nullptr;

/// Whether a line of /proc/self/maps, "lo-hi perms offset device inode   path",
/// is about `address`.
bool isAbout(const char *line, const void *address) {
  uintptr_t bounds[2] = {0, 0};
  for (uintptr_t &bound : bounds) {
    for (;; ++line) {
      int digit = *line >= '0' && *line <= '9'   ? *line - '0'
                  : *line >= 'a' && *line <= 'f' ? *line - 'a' + 10
                                                 : -1;
      if (digit < 0)
        break;
      bound = bound << 4 | uintptr_t(digit);
    }
    if (*line)
      ++line;
  }
  auto target = reinterpret_cast<uintptr_t>(address);
  return target >= bounds[0] && target < bounds[1];
}

/// The folder of the file that holds `address`, '/' included, from the kernel's
/// table of maps: dladdr would need libdl on older systems. False when unknown.
bool folderOf(const void *address, char *out, size_t capacity) {
  int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return false;
  char line[4096 + 256], buffer[2048];
  size_t length = 0;
  bool over = false, found = false;
  for (ssize_t got; !over && (got = read(file, buffer, sizeof buffer)) > 0;)
    for (ssize_t i = 0; i < got && !over; ++i) {
      if (buffer[i] != '\n') {
        if (length + 1 < sizeof line)
          line[length++] = buffer[i];
        continue;
      }
      line[length] = 0;
      length = 0;
      if (!isAbout(line, address))
        continue;
      over = true; // the one line, whether it names a file or not
      const char *path = strchr(line, '/');
      const char *slash = path ? strrchr(path, '/') : nullptr;
      if (!slash || size_t(slash + 2 - path) > capacity)
        break;
      memcpy(out, path, size_t(slash + 1 - path));
      out[slash + 1 - path] = 0;
      found = true;
    }
  close(file);
  return found;
}

const char *reasonOf(int number) {
  switch (number) {
  case ENOENT:
    return "no such file";
  case EACCES:
    return "permission denied";
  case EISDIR:
    return "it is a folder";
  case EMFILE:
    return "too many open files";
  case ENOMEM:
    return "out of memory";
  default:
    return nullptr;
  }
}

tenon_status failSystem(tenon_error *error, const char *what, const char *path,
                        int number) {
  if (const char *reason = reasonOf(number))
    return fail(error, TENON_IO_ERROR, "weights file '", path, "': ", what,
                ": ", reason);
  return fail(error, TENON_IO_ERROR, "weights file '", path, "': ", what,
              ": error ", number);
}

tenon_status checkFile(const tenon_program &program, int file, const char *path,
                       tenon_error *error) {
  tenon_weights_header header;
  off_t length = lseek(file, 0, SEEK_END);
  if (length < 0)
    return failSystem(error, "cannot read its length", path, errno);
  if (length < off_t(sizeof header) ||
      pread(file, &header, sizeof header, 0) != ssize_t(sizeof header) ||
      memcmp(header.magic, TENON_WEIGHTS_MAGIC, sizeof header.magic) != 0)
    return fail(error, TENON_IO_ERROR, "'", path,
                "' is not a weights file written by Tenon");
  if (header.version != TENON_WEIGHTS_VERSION)
    return fail(error, TENON_VERSION_MISMATCH, "weights file '", path,
                "': its version is ", header.version, ", expected ",
                TENON_WEIGHTS_VERSION);
  uint64_t expected = program.weights_bytes + TENON_WEIGHTS_BLOB_OFFSET;
  if (header.bytes != program.weights_bytes || uint64_t(length) != expected)
    return fail(error, TENON_IO_ERROR, "weights file '", path, "' has ",
                int64_t(length), " bytes, expected ", expected);
  if (memcmp(header.hash, program.weights_hash, sizeof header.hash) != 0)
    return fail(error, TENON_IO_ERROR, "weights file '", path,
                "' belongs to another compilation: its hash is not the one "
                "that model '",
                program.model_name, "' expects");
  return TENON_OK;
}

tenon_status mapFile(const tenon_program &program, const char *path,
                     Mapping **result, tenon_error *error) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return failSystem(error, "cannot open it", path, errno);
  tenon_status status = checkFile(program, file, path, error);
  void *memory = MAP_FAILED;
  size_t bytes = size_t(program.weights_bytes) + TENON_WEIGHTS_BLOB_OFFSET;
  if (!status) {
    memory = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED)
      status = failSystem(error, "cannot map it", path, errno);
  }
  close(file);
  if (status)
    return status;
  void *block = mmap(nullptr, sizeof(Mapping), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED) {
    munmap(memory, bytes);
    return fail(error, TENON_OUT_OF_MEMORY, "out of memory");
  }
  auto *mapping = static_cast<Mapping *>(block);
  Text(mapping->path, sizeof mapping->path).add(path);
  mapping->memory = memory;
  mapping->bytes = bytes;
  mapping->next = gMappings;
  gMappings = mapping;
  *result = mapping;
  return TENON_OK;
}

} // namespace

tenon_status tenon::rt::openWeights(const tenon_program &program,
                                    const char *path, Weights &weights,
                                    tenon_error *error) {
  weights = Weights();
  if (program.weights || program.weights_bytes == 0) {
    weights.data = program.weights;
    return TENON_OK;
  }
  char beside[4096];
  if (!path) {
    if (!program.weights_file)
      return fail(error, TENON_IO_ERROR, "model '", program.model_name,
                  "' has no weights: the artifact was damaged");
    if (!folderOf(&program, beside, sizeof beside))
      return fail(error, TENON_IO_ERROR,
                  "the artifact's folder is unknown: give the path of '",
                  program.weights_file, "' in the options' weights_path");
    size_t length = strlen(beside);
    if (length + strlen(program.weights_file) + 1 > sizeof beside)
      return fail(error, TENON_IO_ERROR, "the weights file's path is too long");
    Text(beside + length, sizeof beside - length).add(program.weights_file);
    path = beside;
  } else if (strlen(path) + 1 > sizeof beside) {
    return fail(error, TENON_IO_ERROR, "the weights file's path is too long");
  }

  pthread_mutex_lock(&gMutex);
  tenon_status status = TENON_OK;
  Mapping *mapping = gMappings;
  while (mapping &&
         !(sameText(mapping->path, path) &&
           memcmp(static_cast<tenon_weights_header *>(mapping->memory)->hash,
                  program.weights_hash, 32) == 0 &&
           mapping->bytes == program.weights_bytes + TENON_WEIGHTS_BLOB_OFFSET))
    mapping = mapping->next;
  if (!mapping)
    status = mapFile(program, path, &mapping, error);
  if (!status) {
    ++mapping->shares;
    weights.mapping = mapping;
    weights.path = mapping->path;
    weights.data = static_cast<const uint8_t *>(mapping->memory) +
                   TENON_WEIGHTS_BLOB_OFFSET;
  }
  pthread_mutex_unlock(&gMutex);
  return status;
}

void tenon::rt::closeWeights(Weights &weights) {
  auto *mapping = static_cast<Mapping *>(weights.mapping);
  weights = Weights();
  if (!mapping)
    return;
  pthread_mutex_lock(&gMutex);
  if (--mapping->shares == 0) {
    Mapping **link = &gMappings;
    while (*link != mapping)
      link = &(*link)->next;
    *link = mapping->next;
    munmap(mapping->memory, mapping->bytes);
    munmap(mapping, sizeof(Mapping));
  }
  pthread_mutex_unlock(&gMutex);
}
