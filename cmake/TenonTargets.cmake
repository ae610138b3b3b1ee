# Functions that make Tenon's targets.

# Writes `content` unless the file holds it already: configuring again must
# not rebuild what did not change.
function(tenon_write_if_changed path content)
  if(EXISTS "${path}")
    file(READ "${path}" old)
    if(old STREQUAL content)
      return()
    endif()
  endif()
  file(WRITE "${path}" "${content}")
endfunction()

# Warns of each .cpp file of a folder that the list leaves out: the linker would
# only name the functions that are missing.
function(tenon_check_sources folder)
  file(GLOB present CONFIGURE_DEPENDS
    RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}" "${folder}/*.cpp")
  list(REMOVE_ITEM present ${ARGN})
  foreach(file IN LISTS present)
    message(WARNING
      "${file} is not listed in ${CMAKE_CURRENT_SOURCE_DIR}/CMakeLists.txt")
  endforeach()
endfunction()

# One precompiled header serves every room that is written against MLIR: a
# pass's source file takes nine CPU seconds without it and two with it. Of our
# own headers it has what nearly all of them include, but no group of ops. What
# it includes is a matter of speed only; every file names what it uses.
if(TENON_ENABLE_PCH)
  tenon_write_if_changed("${PROJECT_BINARY_DIR}/TenonPch.cpp" "")
  add_library(TenonPch OBJECT "${PROJECT_BINARY_DIR}/TenonPch.cpp")
  target_precompile_headers(TenonPch PRIVATE
    <mlir/Dialect/Arith/IR/Arith.h>
    <mlir/Dialect/Func/IR/FuncOps.h>
    <mlir/Dialect/LLVMIR/LLVMDialect.h>
    <mlir/Dialect/Math/IR/Math.h>
    <mlir/Dialect/MemRef/IR/MemRef.h>
    <mlir/Dialect/SCF/IR/SCF.h>
    <mlir/Dialect/Vector/IR/VectorOps.h>
    <mlir/IR/PatternMatch.h>
    <mlir/Pass/Pass.h>
    <mlir/Transforms/GreedyPatternRewriteDriver.h>
    <llvm/Support/Error.h>
    "${PROJECT_SOURCE_DIR}/dialects/Tenon/IR/TenonOpBase.h")
  add_dependencies(TenonPch TenonIRBaseIncGen TenonInterfacesIncGen)
endif()

# tenon_add_library(NAME SOURCES a.cpp ... [PCH] [LINK lib ...]
#                   [DEPENDS target ...])
#
# One static library per room; PCH gives it the precompiled header.
function(tenon_add_library name)
  cmake_parse_arguments(ARG "PCH" "" "SOURCES;LINK;DEPENDS" ${ARGN})
  tenon_check_sources(. ${ARG_SOURCES})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
  if(ARG_PCH AND TENON_ENABLE_PCH)
    target_precompile_headers(${name} REUSE_FROM TenonPch)
  endif()
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
endfunction()

# tenon_tablegen(TARGET TD file.td OUTPUT_DIR dir GEN name flags ... [GEN ...])
#
# Runs mlir-tblgen once per GEN group: `GEN Ops.h.inc -gen-op-decls`.
function(tenon_tablegen target)
  cmake_parse_arguments(ARG "" "TD;OUTPUT_DIR" "" ${ARGN})
  file(MAKE_DIRECTORY "${ARG_OUTPUT_DIR}")
  set(outputs)
  set(name)
  set(flags)
  foreach(word IN LISTS ARG_UNPARSED_ARGUMENTS ITEMS GEN)
    if(word STREQUAL "GEN")
      if(name)
        set(output "${ARG_OUTPUT_DIR}/${name}")
        add_custom_command(OUTPUT "${output}"
          COMMAND "${TENON_MLIR_TBLGEN}" ${flags} "${ARG_TD}"
            "-I${PROJECT_SOURCE_DIR}" "-I${PROJECT_SOURCE_DIR}/include"
            "-I${MLIR_INCLUDE_DIRS}"
            --write-if-changed -o "${output}" -d "${output}.d"
          DEPENDS "${ARG_TD}" "${TENON_MLIR_TBLGEN}"
          DEPFILE "${output}.d"
          COMMENT "Generating ${name}"
          VERBATIM)
        list(APPEND outputs "${output}")
      endif()
      set(name)
      set(flags)
    elseif(NOT name)
      set(name "${word}")
    else()
      list(APPEND flags "${word}")
    endif()
  endforeach()
  add_custom_target(${target} DEPENDS ${outputs})
endfunction()

# tenon_pass_tablegen(TARGET TD Passes.td OUTPUT_DIR dir ROOM name
#                     PASSES [Folder/]Name ...)
#
# Passes.h.inc makes and registers all passes of the room. A pass's own source
# includes what is generated of Name.td alone: Name.h.inc, in the build folder's
# counterpart of the source's.
function(tenon_pass_tablegen target)
  cmake_parse_arguments(ARG "" "TD;OUTPUT_DIR;ROOM" "PASSES" ${ARGN})
  tenon_tablegen(${target}
    TD "${ARG_TD}"
    OUTPUT_DIR "${ARG_OUTPUT_DIR}"
    GEN Passes.h.inc -gen-pass-decls -name=${ARG_ROOM})
  foreach(pass IN LISTS ARG_PASSES)
    cmake_path(GET pass FILENAME name)
    cmake_path(GET pass PARENT_PATH folder)
    tenon_tablegen(Tenon${name}IncGen
      TD "${CMAKE_CURRENT_SOURCE_DIR}/${pass}.td"
      OUTPUT_DIR "${CMAKE_CURRENT_BINARY_DIR}/${folder}"
      GEN ${name}.h.inc -gen-pass-decls -name=${name})
    add_dependencies(${target} Tenon${name}IncGen)
  endforeach()
endfunction()
