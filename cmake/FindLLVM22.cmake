# Finds LLVM, MLIR and lld of the one major version that Tenon is written for.

set(TENON_LLVM_MAJOR 22)

# A folder that was asked for is the one to judge. Otherwise the right version
# is looked for first, and any other only to say what was found.
if(LLVM_DIR)
  find_package(LLVM QUIET CONFIG)
else()
  find_package(LLVM ${TENON_LLVM_MAJOR} QUIET CONFIG
    HINTS "/usr/lib/llvm-${TENON_LLVM_MAJOR}/lib/cmake/llvm")
  if(NOT LLVM_FOUND)
    find_package(LLVM QUIET CONFIG)
  endif()
endif()
if(NOT LLVM_FOUND)
  message(FATAL_ERROR
    "Tenon needs LLVM ${TENON_LLVM_MAJOR}, found none. "
    "Run `make deps` or set LLVM_DIR and MLIR_DIR.")
elseif(NOT LLVM_VERSION_MAJOR EQUAL TENON_LLVM_MAJOR)
  message(FATAL_ERROR
    "Tenon needs LLVM ${TENON_LLVM_MAJOR}, found LLVM ${LLVM_PACKAGE_VERSION} "
    "in ${LLVM_DIR}. Run `make deps` or set LLVM_DIR and MLIR_DIR.")
endif()

set(tenon_llvm_version "${LLVM_PACKAGE_VERSION}")
find_package(MLIR QUIET CONFIG HINTS "${LLVM_LIBRARY_DIR}/cmake/mlir")
if(NOT MLIR_FOUND)
  message(FATAL_ERROR
    "Tenon needs MLIR ${TENON_LLVM_MAJOR} beside LLVM ${tenon_llvm_version} in "
    "${LLVM_LIBRARY_DIR}, found none. Run `make deps` or set MLIR_DIR.")
elseif(NOT MLIR_INCLUDE_DIRS MATCHES "${LLVM_INSTALL_PREFIX}/")
  message(FATAL_ERROR
    "Tenon needs MLIR of the same installation as LLVM "
    "(${LLVM_INSTALL_PREFIX}), found ${MLIR_DIR}.")
endif()

find_library(TENON_LLD_ELF lldELF HINTS "${LLVM_LIBRARY_DIR}" NO_DEFAULT_PATH)
find_library(TENON_LLD_COMMON lldCommon
  HINTS "${LLVM_LIBRARY_DIR}" NO_DEFAULT_PATH)
if(NOT TENON_LLD_ELF OR NOT TENON_LLD_COMMON)
  message(FATAL_ERROR
    "Tenon needs lld's libraries (liblld-${TENON_LLVM_MAJOR}-dev) in "
    "${LLVM_LIBRARY_DIR}, found none. Run `make deps`.")
endif()
find_package(ZLIB REQUIRED)
find_library(TENON_ZSTD zstd REQUIRED)

# The tools of that LLVM, for the runtime's bitcode and for the tests.
foreach(tool clang clang++ llvm-link ld.lld mlir-tblgen opt)
  string(MAKE_C_IDENTIFIER "TENON_${tool}" var)
  string(TOUPPER "${var}" var)
  if(tool STREQUAL "clang")
    set(var TENON_CLANG_C)
  endif()
  if(tool STREQUAL "clang++")
    set(var TENON_BITCODE_CLANG)
  endif()
  find_program(${var} ${tool} HINTS "${LLVM_TOOLS_BINARY_DIR}"
    NO_DEFAULT_PATH REQUIRED)
endforeach()

message(STATUS "LLVM and MLIR ${LLVM_PACKAGE_VERSION} in ${LLVM_INSTALL_PREFIX}")
list(APPEND CMAKE_MODULE_PATH "${MLIR_CMAKE_DIR}" "${LLVM_CMAKE_DIR}")
include(TableGen)
include(AddLLVM)
include(AddMLIR)
