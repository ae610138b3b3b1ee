# tenon_add_model(NAME MODEL model.onnx [SHARED] [DEPENDS file ...]
#                 [OPTIONS option ...])
#
# Compiles an ONNX model with `tenon compile` and makes the library NAME from
# it: a static one, whose symbol is tenon_model_NAME (TENON_DECLARE_MODEL), or a
# shared one, which programs may also load themselves. OPTIONS go to `tenon compile` as they are; DEPENDS names what the model consists of
# besides its .onnx file (external weights). A target that links NAME finds
# tenon/tenon.h. The file itself is the target's property TENON_ARTIFACT.
#
#   tenon_add_model(minilm MODEL minilm/model.onnx
#     DEPENDS minilm/model.safetensors OPTIONS --target=x86-64-v3)
#   target_link_libraries(app PRIVATE minilm)

function(tenon_add_model name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "SHARED" "MODEL" "DEPENDS;OPTIONS")
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR
      "tenon_add_model(${name}): unknown arguments: ${ARG_UNPARSED_ARGUMENTS}")
  elseif(NOT ARG_MODEL)
    message(FATAL_ERROR "tenon_add_model(${name}): MODEL is missing")
  endif()

  cmake_path(ABSOLUTE_PATH ARG_MODEL NORMALIZE)
  set(depends "${ARG_MODEL}")
  foreach(file IN LISTS ARG_DEPENDS)
    cmake_path(ABSOLUTE_PATH file NORMALIZE)
    list(APPEND depends "${file}")
  endforeach()
  if(ARG_SHARED)
    set(artifact "${CMAKE_CURRENT_BINARY_DIR}/${name}.so")
  else()
    set(artifact "${CMAKE_CURRENT_BINARY_DIR}/${name}.a")
  endif()

  add_custom_command(OUTPUT "${artifact}"
    COMMAND Tenon::tenon compile "${ARG_MODEL}" -o "${artifact}"
      "--name=${name}" ${ARG_OPTIONS}
    DEPENDS ${depends} Tenon::tenon
    COMMENT "Compiling the model ${name}"
    VERBATIM)
  add_custom_target(${name}-artifact DEPENDS "${artifact}")

  find_package(Threads REQUIRED)
  add_library(${name} INTERFACE)
  add_dependencies(${name} ${name}-artifact)
  target_link_libraries(${name} INTERFACE Tenon::headers Threads::Threads m)
  set_target_properties(${name} PROPERTIES
    INTERFACE_LINK_DEPENDS "${artifact}")
  if(ARG_SHARED)
    # Artifacts have no soname, so that their bytes do not depend on their
    # name: -l: records the file's name alone, which the rpath then finds.
    target_link_libraries(${name} INTERFACE "-l:${name}.so")
    target_link_options(${name} INTERFACE
      "-L${CMAKE_CURRENT_BINARY_DIR}"
      "LINKER:-rpath,${CMAKE_CURRENT_BINARY_DIR}")
  else()
    target_link_libraries(${name} INTERFACE "${artifact}")
  endif()
  set_target_properties(${name} PROPERTIES TENON_ARTIFACT "${artifact}")
endfunction()
