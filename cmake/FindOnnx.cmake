# Finds ONNX's C++ library, built by cmake/build-onnx.sh into TENON_DEPS_DIR,
# and makes the target Tenon::onnx. Its generated protobuf headers need the
# same ONNX_NAMESPACE and ONNX_ML that the library was built with.

set(TENON_ONNX_VERSION 1.23.2)
set(TENON_ONNX_DIR "${TENON_DEPS_DIR}/onnx-${TENON_ONNX_VERSION}" CACHE PATH
  "Where ONNX's C++ library ${TENON_ONNX_VERSION} is installed")

if(EXISTS "${TENON_ONNX_DIR}/lib/libonnx.a")
  find_package(Protobuf REQUIRED)
  add_library(Tenon::onnx INTERFACE IMPORTED)
  target_include_directories(Tenon::onnx SYSTEM INTERFACE
    "${TENON_ONNX_DIR}/include")
  target_compile_definitions(Tenon::onnx INTERFACE
    ONNX_ML=1 ONNX_NAMESPACE=onnx __STDC_FORMAT_MACROS)
  # onnx and onnx_proto name each other's symbols; the operator schemas are
  # registered by static constructors, which the schema getters reach.
  target_link_libraries(Tenon::onnx INTERFACE
    "${TENON_ONNX_DIR}/lib/libonnx.a"
    "${TENON_ONNX_DIR}/lib/libonnx_proto.a"
    protobuf::libprotobuf)
  message(STATUS "ONNX ${TENON_ONNX_VERSION} in ${TENON_ONNX_DIR}")
else()
  message(FATAL_ERROR
    "Tenon needs ONNX's C++ library ${TENON_ONNX_VERSION} in "
    "${TENON_ONNX_DIR}, found none. Run `make deps`.")
endif()
