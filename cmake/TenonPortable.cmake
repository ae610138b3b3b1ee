# tenon-portable: the compiler that the Python wheel carries. LLVM, MLIR, lld,
# protobuf and the C++ library are inside, of LLVM's targets the two that Tenon
# has; it asks for nothing but glibc. Not a part of `all`: `make wheel` makes it.
#
# A linker takes of an archive what is needed, so all of LLVM's and MLIR's are
# named, by their files: as targets they would bring the shared libraries along
# that the tools are linked with.

file(GLOB archives
  "${LLVM_LIBRARY_DIR}/libMLIR*.a" "${LLVM_LIBRARY_DIR}/libLLVM*.a")
set(others)
foreach(name protobuf z zstd)
  find_library(TENON_STATIC_${name} lib${name}.a)
  list(APPEND others "${TENON_STATIC_${name}}")
endforeach()
if(NOT archives OR "${others}" MATCHES "NOTFOUND")
  message(STATUS "No tenon-portable: a static library is missing")
  return()
endif()

set(rooms)
foreach(room TenonPipelines TenonImportOnnx TenonCodegen TenonTarget TenonNvptx
    TenonTransforms TenonIR TenonSupport TenonEmbeddedFiles)
  list(APPEND rooms "$<TARGET_FILE:${room}>")
endforeach()
# lld initialises every target of LLVM for its LTO, and Debian's names Polly too,
# a package of its own. A model's objects are machine code: all but Tenon's two
# targets are nothing here.
set(absent "#include <cstdlib>\nvoid getPollyPluginInfo() { std::abort(); }\n")
set(targets ${LLVM_TARGETS_TO_BUILD} ${LLVM_EXPERIMENTAL_TARGETS_TO_BUILD})
list(REMOVE_ITEM targets X86 NVPTX)
foreach(target IN LISTS targets)
  foreach(part TargetInfo Target TargetMC AsmPrinter AsmParser)
    string(APPEND absent "extern \"C\" void LLVMInitialize${target}${part}() {}\n")
  endforeach()
endforeach()
tenon_write_if_changed("${PROJECT_BINARY_DIR}/AbsentTargets.cpp" "${absent}")
add_executable(tenon-portable EXCLUDE_FROM_ALL
  $<TARGET_OBJECTS:tenon> "${PROJECT_BINARY_DIR}/AbsentTargets.cpp")
add_dependencies(tenon-portable tenon)
set_target_properties(tenon-portable PROPERTIES LINKER_LANGUAGE CXX)
target_link_libraries(tenon-portable PRIVATE
  -Wl,--start-group ${rooms} "${TENON_LLD_ELF}" "${TENON_LLD_COMMON}"
  ${archives} "${TENON_ONNX_DIR}/lib/libonnx.a"
  "${TENON_ONNX_DIR}/lib/libonnx_proto.a" ${others} -Wl,--end-group
  ${CMAKE_DL_LIBS} m)
target_link_options(tenon-portable PRIVATE
  -static-libstdc++ -static-libgcc -Wl,-s)
