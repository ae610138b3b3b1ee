/*===- tensors.h - memory of Python objects as tensors ----------------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===----------------------------------------------------------------------===*/
#ifndef TENON_PYTHON_TENSORS_H
#define TENON_PYTHON_TENSORS_H

/* Buffers are part of the stable ABI from 3.11 on. */
#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <tenon/tenon.h>

enum { MAX_RANK = 16 };

/* An object's memory, held until released: no element is copied. */
typedef struct Borrowed {
  tenon_dtype dtype;
  int32_t rank;
  int64_t dims[MAX_RANK];
  void *data;
  size_t bytes;
  Py_buffer buffer; /* one of the two */
  int has_buffer;
  void *managed; /* a DLManagedTensor */
} Borrowed;

/* Takes an object that has the buffer protocol or __dlpack__. `dtype`, where it
 * is not 0, is what its elements are taken for; else their own type. `what`
 * names it in messages. Returns 0, or -1 with an exception. */
int borrow(PyObject *object, int dtype, int writable, const char *what,
           Borrowed *result);
void release_borrowed(Borrowed *borrowed);

/* A result: memory of its own, with the buffer protocol and __dlpack__. */
typedef struct Tensor {
  PyObject_HEAD
  tenon_dtype dtype;
  int32_t rank;
  int64_t dims[MAX_RANK];
  Py_ssize_t shape[MAX_RANK], strides[MAX_RANK];
  size_t bytes;
  void *data;
} Tensor;

extern PyType_Spec tensor_spec;
/* Room for a tensor of these dims, 64-byte aligned; NULL with an exception. */
Tensor *new_tensor(PyTypeObject *type, tenon_dtype dtype, int32_t rank,
                   const int64_t *dims);
/* Its dims, no more elements than there is room for. */
void set_dims(Tensor *tensor, const int64_t *dims);

#endif
