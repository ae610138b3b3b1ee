# Compile and link flags of every target but the runtime's bitcode.

include_directories(
  "${PROJECT_SOURCE_DIR}"
  "${PROJECT_SOURCE_DIR}/include"
  "${PROJECT_SOURCE_DIR}/runtime/include"
  "${PROJECT_BINARY_DIR}"
  "${PROJECT_BINARY_DIR}/include")
include_directories(SYSTEM ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
separate_arguments(LLVM_DEFINITIONS_LIST NATIVE_COMMAND "${LLVM_DEFINITIONS}")
add_definitions(${LLVM_DEFINITIONS_LIST})

add_compile_options(
  "$<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions>"
  -fdata-sections -ffunction-sections
  -Wall -Wextra -Wno-unused-parameter)
# Whether typeid exists must agree with the LLVM that is linked.
if(NOT LLVM_ENABLE_RTTI)
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>")
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  add_compile_options(-Wno-gnu-zero-variadic-macro-arguments
    "$<$<COMPILE_LANGUAGE:CXX>:-fvisibility-inlines-hidden>"
    "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
endif()
if(TENON_ENABLE_WERROR)
  # Aggregates are initialised by their first fields on purpose, and
  # std::stable_sort of GCC 12's library uses what C++20 deprecates.
  add_compile_options(-Werror -Wno-error=missing-field-initializers
    "$<$<COMPILE_LANGUAGE:CXX>:-Wno-error=deprecated-declarations>")
endif()
if(TENON_ENABLE_ASSERTIONS)
  add_compile_options(-UNDEBUG)
endif()
if(TENON_SANITIZE)
  add_compile_options("-fsanitize=${TENON_SANITIZE}" -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  add_link_options("-fsanitize=${TENON_SANITIZE}")
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  add_link_options(-fuse-ld=lld)
endif()
add_link_options(-Wl,--gc-sections)
