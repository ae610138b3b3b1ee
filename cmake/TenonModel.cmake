# tenon_add_model(NAME MODEL model.onnx [SHARED] [DEPENDS file ...]
#                 [OPTIONS option ...])
#
# Compiles an ONNX model with `tenon compile`, as part of `all`, and makes the
# imported library NAME from it: a static one, or with SHARED one that programs
# may also load themselves. Both define tenon_model_NAME (every character of the
# name that C does not allow as _): TENON_DECLARE_MODEL(NAME) declares it, and a
# target that links NAME finds tenon/tenon.h. Two models of one name in one
# program are an error. OPTIONS go to `tenon compile` as they are; DEPENDS names
# what the model consists of besides its .onnx file (external weights).
#
#   tenon_add_model(minilm MODEL minilm/model.onnx
#     DEPENDS minilm/model.safetensors OPTIONS --target=x86-64-v3)
#   target_link_libraries(app PRIVATE minilm)
#
# It also finds NAME.h, the model's own header (`tenon compile --header`), in
# which dims, inputs and outputs are arguments by name and type.
#
# The target's property TENON_ARTIFACT is the file itself, TENON_WEIGHTS the file
# of its weights where OPTIONS has --weights=file. A target that needs the file
# and does not link it depends on NAME-artifact.
#
# tenon_install_model(NAME [DESTINATION folder] [COMPONENT component])
#
# Installs that file, and its weights' file beside it; without DESTINATION to
# CMAKE_INSTALL_LIBDIR, or lib. As for any library, a program that links a
# shared model finds it there by its INSTALL_RPATH, "$ORIGIN/../lib"; nothing of
# the build tree stays in it.

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
    set(kind SHARED)
    set(artifact "${CMAKE_CURRENT_BINARY_DIR}/${name}.so")
    list(PREPEND ARG_OPTIONS "--soname=${name}.so")
  else()
    set(kind STATIC)
    set(artifact "${CMAKE_CURRENT_BINARY_DIR}/${name}.a")
  endif()
  set(headers "${CMAKE_CURRENT_BINARY_DIR}/${name}-include")
  file(MAKE_DIRECTORY "${headers}")
  set(weights)
  if("--weights=file" IN_LIST ARG_OPTIONS)
    set(weights "${artifact}.weights")
  endif()

  add_custom_command(OUTPUT "${artifact}"
    BYPRODUCTS ${weights} "${headers}/${name}.h"
    COMMAND Tenon::tenon compile "${ARG_MODEL}" -o "${artifact}"
      "--name=${name}" "--header=${headers}/${name}.h" ${ARG_OPTIONS}
    DEPENDS ${depends} Tenon::tenon
    COMMENT "Compiling the model ${name}"
    VERBATIM)
  add_custom_target(${name}-artifact ALL DEPENDS "${artifact}")

  add_library(${name} ${kind} IMPORTED GLOBAL)
  add_dependencies(${name} ${name}-artifact)
  target_link_libraries(${name} INTERFACE Tenon::headers)
  target_include_directories(${name} INTERFACE "${headers}")
  set_target_properties(${name} PROPERTIES
    IMPORTED_LOCATION "${artifact}"
    TENON_ARTIFACT "${artifact}"
    TENON_WEIGHTS "${weights}")
  if(ARG_SHARED)
    set_target_properties(${name} PROPERTIES IMPORTED_SONAME "${name}.so")
  else()
    find_package(Threads REQUIRED)
    set_target_properties(${name} PROPERTIES
      IMPORTED_LINK_INTERFACE_LANGUAGES C)
    target_link_libraries(${name} INTERFACE Threads::Threads m)
  endif()

  # Linkers take the first of two shared libraries or archives that define a
  # symbol and say nothing: CMake compares what the models of a program claim.
  string(REGEX REPLACE "[^A-Za-z0-9]" "_" symbol "tenon_model_${name}")
  set_target_properties(${name} PROPERTIES
    INTERFACE_${symbol} "${artifact}"
    COMPATIBLE_INTERFACE_STRING "${symbol}")
endfunction()

function(tenon_install_model name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "DESTINATION;COMPONENT" "")
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "tenon_install_model(${name}): unknown arguments: "
      "${ARG_UNPARSED_ARGUMENTS}")
  endif()
  get_target_property(artifact ${name} TENON_ARTIFACT)
  get_target_property(weights ${name} TENON_WEIGHTS)
  if(NOT artifact)
    message(FATAL_ERROR
      "tenon_install_model(${name}): tenon_add_model made no such target")
  endif()
  if(NOT ARG_DESTINATION)
    set(ARG_DESTINATION lib)
    if(CMAKE_INSTALL_LIBDIR)
      set(ARG_DESTINATION "${CMAKE_INSTALL_LIBDIR}")
    endif()
  endif()
  set(component)
  if(ARG_COMPONENT)
    set(component COMPONENT "${ARG_COMPONENT}")
  endif()
  install(PROGRAMS "${artifact}" DESTINATION "${ARG_DESTINATION}" ${component})
  if(weights)
    install(FILES "${weights}" DESTINATION "${ARG_DESTINATION}" ${component})
  endif()
endfunction()
