# Embeds the runtime's objects and the glibc stubs into the compiler: the
# library TenonEmbeddedFiles defines tenon/Target/EmbeddedFiles.h.
#
# The stubs are shared libraries that define nothing but names and versions.
# A model is linked against them instead of the build machine's glibc, so that
# it asks for the oldest version of every symbol, whatever that machine has.
# Each is made from its version script: cmake/glibc-stubs/<soname>.map.

set(embed_dir "${PROJECT_BINARY_DIR}/embed")
file(MAKE_DIRECTORY "${embed_dir}")
file(GLOB maps CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/cmake/glibc-stubs/*.map")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${maps})

set(files ${TENON_RUNTIME_OBJECTS})
set(names)
foreach(map IN LISTS maps)
  cmake_path(GET map STEM LAST_ONLY soname)
  file(STRINGS "${map}" lines)
  set(asm "# Made from ${soname}.map.\n.text\n")
  foreach(line IN LISTS lines)
    # A symbol's line is its name and a semicolon; STRINGS made it a list.
    string(STRIP "${line}" line)
    if(line MATCHES "^([A-Za-z_][A-Za-z0-9_]*);?$")
      string(APPEND asm
        ".globl ${CMAKE_MATCH_1}\n.type ${CMAKE_MATCH_1},@function\n"
        "${CMAKE_MATCH_1}: ret\n.size ${CMAKE_MATCH_1}, 1\n")
    endif()
  endforeach()
  string(APPEND asm ".section .note.GNU-stack,\"\",@progbits\n")
  tenon_write_if_changed("${embed_dir}/${soname}.s" "${asm}")
  set(stub "${embed_dir}/${soname}")
  add_custom_command(OUTPUT "${stub}"
    COMMAND "${TENON_CLANG_C}" --target=x86_64-linux-gnu
      -c "${embed_dir}/${soname}.s" -o "${embed_dir}/${soname}.o"
    COMMAND "${TENON_LD_LLD}" -shared --soname=${soname} --hash-style=gnu
      "--version-script=${map}" --build-id=none -z noseparate-code
      "${embed_dir}/${soname}.o" -o "${stub}"
    DEPENDS "${embed_dir}/${soname}.s" "${map}"
    COMMENT "Making the stub of ${soname}"
    VERBATIM)
  list(APPEND files "${stub}")
  list(APPEND names "${soname}")
endforeach()

# One assembly file that includes all of them, and the C++ that names them.
set(asm ".section .rodata,\"a\",@progbits\n")
set(decls)
set(rows)
set(index 0)
foreach(file IN LISTS files)
  string(APPEND asm
    ".balign 16\n.globl tenon_embedded_${index}\n"
    "tenon_embedded_${index}:\n.incbin \"${file}\"\n"
    ".globl tenon_embedded_${index}_end\ntenon_embedded_${index}_end:\n"
    ".byte 0\n")
  string(APPEND decls
    "extern const char tenon_embedded_${index}[];\n"
    "extern const char tenon_embedded_${index}_end[];\n")
  math(EXPR index "${index} + 1")
endforeach()
string(APPEND asm ".section .note.GNU-stack,\"\",@progbits\n")
set(index 0)
set(runtime_rows)
foreach(object IN LISTS TENON_RUNTIME_OBJECTS)
  string(APPEND runtime_rows
    "      text(tenon_embedded_${index}, tenon_embedded_${index}_end),\n")
  math(EXPR index "${index} + 1")
endforeach()
foreach(name IN LISTS names)
  string(APPEND rows
    "      {\"${name}\", text(tenon_embedded_${index}, "
    "tenon_embedded_${index}_end)},\n")
  math(EXPR index "${index} + 1")
endforeach()
tenon_write_if_changed("${embed_dir}/EmbeddedFiles.S" "${asm}")
tenon_write_if_changed("${embed_dir}/EmbeddedFiles.cpp"
"// Made by cmake/TenonEmbed.cmake.
#include \"tenon/Target/EmbeddedFiles.h\"

extern \"C\" {
${decls}}

static llvm::StringRef text(const char *begin, const char *end) {
  return llvm::StringRef(begin, end - begin);
}

llvm::ArrayRef<llvm::StringRef> tenon::getRuntimeObjects() {
  static const llvm::StringRef objects[] = {
${runtime_rows}  };
  return objects;
}

llvm::ArrayRef<tenon::EmbeddedFile> tenon::getGlibcStubs() {
  static const EmbeddedFile stubs[] = {
${rows}  };
  return stubs;
}
")
set_source_files_properties("${embed_dir}/EmbeddedFiles.S" PROPERTIES
  OBJECT_DEPENDS "${files}")
add_library(TenonEmbeddedFiles STATIC
  "${embed_dir}/EmbeddedFiles.S" "${embed_dir}/EmbeddedFiles.cpp")
add_dependencies(TenonEmbeddedFiles TenonRuntimeObjects)
target_link_libraries(TenonEmbeddedFiles PUBLIC LLVM)
