# Functions that make Tenon's targets.

# tenon_add_library(NAME SOURCES a.cpp ... [LINK lib ...] [DEPENDS target ...])
#
# One static library per room. A room without sources becomes an empty
# interface library, so that others may name it.
function(tenon_add_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;DEPENDS" ${ARGN})
  if(NOT ARG_SOURCES)
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${ARG_LINK})
    return()
  endif()
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
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
