# Installs the compiler, the API headers and the CMake package: with it,
# find_package(Tenon) gives Tenon::headers, Tenon::tenon and tenon_add_model().

include(CMakePackageConfigHelpers)
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/Tenon")

install(TARGETS TenonHeaders EXPORT TenonTargets)
foreach(tool tenon tenon-opt)
  # LLVM and MLIR stay where they are: the installed tools keep the path.
  set_target_properties(${tool} PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS ${tool} EXPORT TenonTargets)
endforeach()
add_executable(Tenon::tenon ALIAS tenon)

install(DIRECTORY "${PROJECT_SOURCE_DIR}/runtime/include/tenon"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp"
  PATTERN "abi.h" EXCLUDE) # between compiler and runtime only

install(EXPORT TenonTargets NAMESPACE Tenon:: DESTINATION "${package_dir}")
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/TenonConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/TenonConfig.cmake" INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/TenonConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/TenonConfig.cmake"
  "${PROJECT_BINARY_DIR}/TenonConfigVersion.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/TenonModel.cmake"
  DESTINATION "${package_dir}")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE"
  DESTINATION "${CMAKE_INSTALL_DOCDIR}")
