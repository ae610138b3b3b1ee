# Installs the compiler, the API headers and the CMake package: with it,
# find_package(Tenon) gives Tenon::headers, Tenon::tenon and tenon_add_model().
# pkg-config knows the headers as tenon.
#
# Two components, which `make deb` makes packages of: `compiler`, and `dev` with
# what programs are built with.

include(CMakePackageConfigHelpers)
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/Tenon")

install(TARGETS TenonHeaders EXPORT TenonTargets COMPONENT dev)
foreach(tool tenon tenon-opt)
  # LLVM and MLIR stay where they are: the installed tools keep the path.
  set_target_properties(${tool} PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS ${tool} EXPORT TenonTargets COMPONENT compiler)
endforeach()
add_executable(Tenon::tenon ALIAS tenon)

install(DIRECTORY "${PROJECT_SOURCE_DIR}/runtime/include/tenon"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT dev
  FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp"
  PATTERN "abi.h" EXCLUDE) # between compiler and runtime only

install(EXPORT TenonTargets NAMESPACE Tenon:: DESTINATION "${package_dir}"
  COMPONENT dev)
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/TenonConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/TenonConfig.cmake" INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/TenonConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/TenonConfig.cmake"
  "${PROJECT_BINARY_DIR}/TenonConfigVersion.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/TenonModel.cmake"
  DESTINATION "${package_dir}" COMPONENT dev)

set(pc_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
  BASE_DIRECTORY "${CMAKE_INSTALL_PREFIX}/${pc_dir}"
  OUTPUT_VARIABLE tenon_pc_prefix)
configure_file("${PROJECT_SOURCE_DIR}/cmake/tenon.pc.in"
  "${PROJECT_BINARY_DIR}/tenon.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/tenon.pc" DESTINATION "${pc_dir}"
  COMPONENT dev)
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" "${PROJECT_SOURCE_DIR}/CHANGELOG.md"
  DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT compiler)

# Debian's packages: tenon, and libtenon-dev for building programs.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME tenon)
set(CPACK_PACKAGE_VENDOR Tenon)
set(CPACK_PACKAGE_CONTACT "Tenon's developers <tenon@example.org>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL compiler dev)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE gzip)
set(CPACK_DEBIAN_COMPILER_PACKAGE_NAME tenon)
set(CPACK_DEBIAN_COMPILER_PACKAGE_SECTION devel)
set(CPACK_DEBIAN_DEV_PACKAGE_NAME libtenon-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "tenon (= ${PROJECT_VERSION})")
set(CPACK_COMPONENT_COMPILER_DESCRIPTION
  "Compiles ONNX models to shared libraries, objects and archives.")
set(CPACK_COMPONENT_DEV_DESCRIPTION
  "Headers, and the packages for CMake and pkg-config, to use compiled models.")
# Which libraries the compiler needs is asked of its file.
find_program(TENON_SHLIBDEPS dpkg-shlibdeps)
if(TENON_SHLIBDEPS)
  set(CPACK_DEBIAN_COMPILER_PACKAGE_SHLIBDEPS ON)
else()
  set(CPACK_DEBIAN_COMPILER_PACKAGE_DEPENDS
    "libllvm${TENON_LLVM_MAJOR}, libmlir-${TENON_LLVM_MAJOR}")
endif()
include(CPack)
