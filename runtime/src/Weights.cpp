//===- Weights.cpp - the weights file, mapped once per process ------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Weights.h"
#include "tenon/checksum.h"

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

/// The file that holds `address`, from the kernel's table of maps: dladdr would
/// need libdl on older systems. False when unknown.
bool fileOf(const void *address, char *out, size_t capacity) {
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
      if (!path || strlen(path) + 1 > capacity)
        break;
      memcpy(out, path, strlen(path) + 1);
      found = true;
    }
  close(file);
  return found;
}

bool isThere(const char *path) {
  return access(path, F_OK) == 0 || errno != ENOENT;
}

/// Where the weights are when nobody says: beside the artifact, under its own
/// name (it may have been renamed with its weights) or else the one that they
/// were compiled to.
tenon_status findWeights(const tenon_program &program, char *out,
                         size_t capacity, tenon_error *error) {
  if (!program.weights_file)
    return fail(error, TENON_IO_ERROR, "model '", program.model_name,
                "' has no weights: the artifact was damaged");
  if (!fileOf(&program, out, capacity))
    return fail(error, TENON_IO_ERROR,
                "the artifact's folder is unknown: give the path of '",
                program.weights_file, "' in the options' weights_path");
  size_t length = strlen(out);
  char *name = strrchr(out, '/') + 1;
  size_t needed = size_t(name - out) + strlen(program.weights_file) + 1;
  if (length + strlen(TENON_WEIGHTS_SUFFIX) + 1 > capacity || needed > capacity)
    return fail(error, TENON_IO_ERROR, "the weights file's path is too long");
  Text(out + length, capacity - length).add(TENON_WEIGHTS_SUFFIX);
  if (isThere(out))
    return TENON_OK;
  Text(name, capacity - size_t(name - out)).add(program.weights_file);
  if (isThere(out))
    return TENON_OK;
  return fail(error, TENON_IO_ERROR, "weights file '", out,
              "': cannot open it: no such file; the options' weights_path can "
              "name another");
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

/// Reads all weights.
tenon_status verify(const tenon_program &program, const Weights &weights,
                    tenon_error *error) {
  tenon_blake3 state;
  uint8_t hash[sizeof program.weights_hash];
  tenon_blake3_init(&state);
  tenon_blake3_update(&state, weights.data, size_t(program.weights_bytes));
  tenon_blake3_final(&state, hash);
  if (memcmp(hash, program.weights_hash, sizeof hash) == 0)
    return TENON_OK;
  return fail(error, TENON_IO_ERROR, "the weights of model '",
              program.model_name, "'", weights.path ? " in '" : "",
              weights.path ? weights.path : "", weights.path ? "'" : "",
              " are damaged: their checksum is not the one that was compiled");
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
                                    const char *path, bool verified,
                                    Weights &weights, tenon_error *error) {
  weights = Weights();
  if (program.weights_bytes == 0)
    return TENON_OK;
  if (program.weights) {
    weights.data = program.weights;
    return verified ? verify(program, weights, error) : TENON_OK;
  }
  char beside[4096];
  if (!path) {
    if (tenon_status status =
            findWeights(program, beside, sizeof beside, error))
      return status;
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
  if (!status && verified && (status = verify(program, weights, error)))
    closeWeights(weights);
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
