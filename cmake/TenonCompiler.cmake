# Picks the compiler, the linker and the compiler cache before project().
#
# Tenon is built by the clang of the LLVM that it links: the runtime is
# compiled to that LLVM's bitcode anyway. CXX, CC or -DCMAKE_CXX_COMPILER
# still choose another compiler.

if(NOT DEFINED CMAKE_C_COMPILER AND NOT DEFINED ENV{CC})
  find_program(TENON_CLANG clang-22 HINTS /usr/lib/llvm-22/bin)
  if(TENON_CLANG)
    set(CMAKE_C_COMPILER "${TENON_CLANG}")
  endif()
endif()
if(NOT DEFINED CMAKE_CXX_COMPILER AND NOT DEFINED ENV{CXX})
  find_program(TENON_CLANGXX clang++-22 HINTS /usr/lib/llvm-22/bin)
  if(TENON_CLANGXX)
    set(CMAKE_CXX_COMPILER "${TENON_CLANGXX}")
  endif()
endif()

find_program(TENON_CCACHE ccache)
if(TENON_CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  # With a precompiled header ccache must be told to trust its contents.
  set(CMAKE_C_COMPILER_LAUNCHER "${TENON_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env
    "CCACHE_SLOPPINESS=pch_defines,time_macros" "${TENON_CCACHE}")
endif()
