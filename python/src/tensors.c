/*===- tensors.c - memory of Python objects as tensors ----------------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===----------------------------------------------------------------------===*/
#include "tensors.h"

#include <stdlib.h>

/* ---- DLPack, as far as it is used here ----------------------------------- */

typedef struct DLDevice {
  int32_t device_type, device_id;
} DLDevice;
typedef struct DLDataType {
  uint8_t code, bits;
  uint16_t lanes;
} DLDataType;
typedef struct DLTensor {
  void *data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t *shape, *strides; /* in elements; NULL: row-major */
  uint64_t byte_offset;
} DLTensor;
typedef struct DLManagedTensor {
  DLTensor dl_tensor;
  void *manager_ctx;
  void (*deleter)(struct DLManagedTensor *self);
} DLManagedTensor;

enum { DL_CPU = 1 };
enum { DL_INT = 0, DL_UINT = 1, DL_FLOAT = 2, DL_BFLOAT = 4, DL_BOOL = 6 };

static DLDataType dl_type(tenon_dtype dtype) {
  DLDataType type = {DL_UINT, 8, 1}; /* codes, and bytes of packed ones */
  switch (dtype) {
  case TENON_F16: case TENON_F32: case TENON_F64:
    type.code = DL_FLOAT;
    break;
  case TENON_BF16:
    type.code = DL_BFLOAT;
    break;
  case TENON_I8: case TENON_I16: case TENON_I32: case TENON_I64:
    type.code = DL_INT;
    break;
  case TENON_BOOL:
    type.code = DL_BOOL;
    break;
  case TENON_U16: case TENON_U32: case TENON_U64:
    break;
  default:
    return type;
  }
  type.bits = (uint8_t)tenon_dtype_bits(dtype);
  return type;
}

/* 0: one that models do not have. */
static int from_dl_type(DLDataType type) {
  static const tenon_dtype all[] = {TENON_F16, TENON_F32,  TENON_F64, TENON_BF16,
                                    TENON_I8,  TENON_I16,  TENON_I32, TENON_I64,
                                    TENON_U8,  TENON_U16,  TENON_U32, TENON_U64,
                                    TENON_BOOL};
  size_t i;
  for (i = 0; i < sizeof all / sizeof all[0]; ++i) {
    DLDataType mine = dl_type(all[i]);
    if (mine.code == type.code && mine.bits == type.bits && type.lanes == 1)
      return all[i];
  }
  return 0;
}

/* ---- the buffer protocol's formats ---------------------------------------- */

static const char *format_of(tenon_dtype dtype) {
  switch (dtype) {
  case TENON_F16: return "e";
  case TENON_F32: return "f";
  case TENON_F64: return "d";
  case TENON_I8: return "b";
  case TENON_I16: return "h";
  case TENON_I32: return "i";
  case TENON_I64: return "q";
  case TENON_U16: case TENON_BF16: return "H";
  case TENON_U32: return "I";
  case TENON_U64: return "Q";
  case TENON_BOOL: return "?";
  default: return "B";
  }
}

static int from_format(const char *format, Py_ssize_t itemsize) {
  if (!format)
    return TENON_U8;
  if (*format == '@' || *format == '=' || *format == '<')
    ++format;
  if (!*format || format[1])
    return 0;
  switch (*format) {
  case '?': return TENON_BOOL;
  case 'e': return TENON_F16;
  case 'f': return TENON_F32;
  case 'd': return TENON_F64;
  case 'b': case 'h': case 'i': case 'l': case 'q': case 'n':
    return itemsize == 1   ? TENON_I8
           : itemsize == 2 ? TENON_I16
           : itemsize == 4 ? TENON_I32
                           : TENON_I64;
  case 'B': case 'H': case 'I': case 'L': case 'Q': case 'N': case 'c':
    return itemsize == 1   ? TENON_U8
           : itemsize == 2 ? TENON_U16
           : itemsize == 4 ? TENON_U32
                           : TENON_U64;
  }
  return 0;
}

/* ---- borrowing ------------------------------------------------------------- */

static int borrow_buffer(PyObject *object, int dtype, int writable,
                         const char *what, Borrowed *result) {
  int flags = PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0);
  int d, own;
  Py_buffer *buffer = &result->buffer;
  if (PyObject_GetBuffer(object, buffer, flags) != 0)
    return -1;
  result->has_buffer = 1;
  own = from_format(buffer->format, buffer->itemsize);
  if (!dtype && !own) {
    PyErr_Format(PyExc_TypeError, "%s: elements of format '%s' have no dtype",
                 what, buffer->format);
    return -1;
  }
  if (buffer->ndim > MAX_RANK) {
    PyErr_Format(PyExc_ValueError, "%s: it has %d dims", what, buffer->ndim);
    return -1;
  }
  result->dtype = (tenon_dtype)(dtype ? dtype : own);
  result->rank = buffer->ndim;
  for (d = 0; d < buffer->ndim; ++d)
    result->dims[d] = buffer->shape[d];
  result->data = buffer->buf;
  result->bytes = (size_t)buffer->len;
  return 0;
}

static int borrow_dlpack(PyObject *object, int dtype, const char *what,
                         Borrowed *result) {
  PyObject *capsule = PyObject_CallMethod(object, "__dlpack__", NULL);
  DLManagedTensor *managed;
  DLTensor *tensor;
  int64_t elements = 1;
  int own, d;
  if (!capsule)
    return -1;
  managed = (DLManagedTensor *)PyCapsule_GetPointer(capsule, "dltensor");
  if (!managed || PyCapsule_SetName(capsule, "used_dltensor") != 0) {
    Py_DECREF(capsule);
    return -1;
  }
  Py_DECREF(capsule);
  result->managed = managed; /* ours from here on */
  tensor = &managed->dl_tensor;
  own = from_dl_type(tensor->dtype);
  if (tensor->device.device_type != DL_CPU) {
    PyErr_Format(PyExc_ValueError, "%s: it is not in the CPU's memory", what);
    return -1;
  }
  if (!own || tensor->ndim > MAX_RANK) {
    PyErr_Format(PyExc_TypeError, "%s: DLPack's type %d of %d bits, %d dims",
                 what, tensor->dtype.code, tensor->dtype.bits, tensor->ndim);
    return -1;
  }
  for (d = tensor->ndim - 1; d >= 0; --d) {
    if (tensor->strides && tensor->shape[d] > 1 &&
        tensor->strides[d] != elements) {
      PyErr_Format(PyExc_ValueError, "%s: it is not contiguous", what);
      return -1;
    }
    elements *= tensor->shape[d];
  }
  result->dtype = (tenon_dtype)(dtype ? dtype : own);
  result->rank = tensor->ndim;
  for (d = 0; d < tensor->ndim; ++d)
    result->dims[d] = tensor->shape[d];
  result->data = (char *)tensor->data + tensor->byte_offset;
  result->bytes = tenon_tensor_bytes((tenon_dtype)own, (size_t)elements);
  return 0;
}

int borrow(PyObject *object, int dtype, int writable, const char *what,
           Borrowed *result) {
  int status;
  memset(result, 0, sizeof *result);
  if (PyObject_CheckBuffer(object))
    status = borrow_buffer(object, dtype, writable, what, result);
  else if (PyObject_HasAttrString(object, "__dlpack__"))
    status = borrow_dlpack(object, dtype, what, result);
  else {
    PyErr_Format(PyExc_TypeError,
                 "%s: expected an array (the buffer protocol or __dlpack__), "
                 "found %R",
                 what, (PyObject *)Py_TYPE(object));
    status = -1;
  }
  if (status)
    release_borrowed(result);
  return status;
}

void release_borrowed(Borrowed *borrowed) {
  DLManagedTensor *managed = (DLManagedTensor *)borrowed->managed;
  if (borrowed->has_buffer)
    PyBuffer_Release(&borrowed->buffer);
  if (managed && managed->deleter)
    managed->deleter(managed);
  borrowed->has_buffer = 0;
  borrowed->managed = NULL;
}

/* ---- results ---------------------------------------------------------------- */

void set_dims(Tensor *tensor, const int64_t *dims) {
  size_t item = tenon_dtype_bytes(tensor->dtype);
  Py_ssize_t stride = (Py_ssize_t)item;
  size_t elements = 1;
  int32_t d;
  for (d = tensor->rank - 1; d >= 0; --d) {
    tensor->dims[d] = dims[d];
    tensor->shape[d] = (Py_ssize_t)dims[d];
    tensor->strides[d] = stride;
    stride *= dims[d];
    elements *= (size_t)dims[d];
  }
  tensor->bytes = tenon_tensor_bytes(tensor->dtype, elements);
}

Tensor *new_tensor(PyTypeObject *type, tenon_dtype dtype, int32_t rank,
                   const int64_t *dims) {
  allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
  size_t elements = 1, bytes;
  int32_t d;
  Tensor *tensor;
  for (d = 0; d < rank; ++d)
    if (dims[d] < 0 ||
        __builtin_mul_overflow(elements, (size_t)dims[d], &elements) ||
        elements > (size_t)PY_SSIZE_T_MAX / 16) {
      PyErr_NoMemory();
      return NULL;
    }
  tensor = (Tensor *)allocate(type, 0);
  if (!tensor)
    return NULL;
  tensor->dtype = dtype;
  tensor->rank = rank;
  bytes = (tenon_tensor_bytes(dtype, elements) + 127) / 64 * 64;
  tensor->data = aligned_alloc(64, bytes);
  if (!tensor->data) {
    Py_DECREF((PyObject *)tensor);
    PyErr_NoMemory();
    return NULL;
  }
  set_dims(tensor, dims);
  return tensor;
}

static void tensor_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
  free(((Tensor *)self)->data);
  release(self);
  Py_DECREF(type);
}

static int tensor_getbuffer(PyObject *self, Py_buffer *view, int flags) {
  Tensor *tensor = (Tensor *)self;
  int packed = tenon_dtype_bits(tensor->dtype) < 8;
  (void)flags; /* row-major and writable: fits any request */
  memset(view, 0, sizeof *view);
  view->buf = tensor->data;
  view->obj = self;
  Py_INCREF(self);
  view->len = (Py_ssize_t)tensor->bytes;
  view->itemsize = (Py_ssize_t)tenon_dtype_bytes(tensor->dtype);
  view->format = (char *)format_of(tensor->dtype);
  /* Packed elements have no strides of their own: bytes. */
  view->ndim = packed ? 1 : tensor->rank;
  view->shape = packed ? &view->len : tensor->shape;
  view->strides = packed ? &view->itemsize : tensor->strides;
  return 0;
}

typedef struct Exported {
  DLManagedTensor managed;
  int64_t dims[MAX_RANK];
} Exported;

static void delete_exported(DLManagedTensor *managed) {
  PyGILState_STATE state = PyGILState_Ensure();
  Py_DECREF((PyObject *)managed->manager_ctx);
  PyGILState_Release(state);
  free(managed);
}

static void delete_capsule(PyObject *capsule) {
  DLManagedTensor *managed;
  if (!PyCapsule_IsValid(capsule, "dltensor"))
    return; /* a consumer took it */
  managed = (DLManagedTensor *)PyCapsule_GetPointer(capsule, "dltensor");
  managed->deleter(managed);
}

static PyObject *tensor_dlpack(PyObject *self, PyObject *args,
                               PyObject *keywords) {
  Tensor *tensor = (Tensor *)self;
  Exported *exported = (Exported *)calloc(1, sizeof *exported);
  PyObject *capsule;
  (void)args, (void)keywords; /* stream, max_version, ...: hints */
  if (!exported)
    return PyErr_NoMemory();
  memcpy(exported->dims, tensor->dims, sizeof exported->dims);
  exported->managed.dl_tensor.data = tensor->data;
  exported->managed.dl_tensor.device.device_type = DL_CPU;
  exported->managed.dl_tensor.ndim = tensor->rank;
  exported->managed.dl_tensor.dtype = dl_type(tensor->dtype);
  exported->managed.dl_tensor.shape = exported->dims;
  if (tenon_dtype_bits(tensor->dtype) < 8) {
    exported->managed.dl_tensor.ndim = 1;
    exported->dims[0] = (int64_t)tensor->bytes;
  }
  exported->managed.manager_ctx = self;
  exported->managed.deleter = delete_exported;
  capsule = PyCapsule_New(&exported->managed, "dltensor", delete_capsule);
  if (capsule)
    Py_INCREF(self);
  else
    free(exported);
  return capsule;
}

static PyObject *tensor_dlpack_device(PyObject *self, PyObject *ignored) {
  (void)self, (void)ignored;
  return Py_BuildValue("(ii)", DL_CPU, 0);
}

static PyObject *tensor_dtype(PyObject *self, void *ignored) {
  (void)ignored;
  return PyUnicode_FromString(tenon_dtype_name(((Tensor *)self)->dtype));
}

static PyObject *tensor_shape(PyObject *self, void *ignored) {
  Tensor *tensor = (Tensor *)self;
  PyObject *shape = PyTuple_New(tensor->rank);
  int32_t d;
  (void)ignored;
  for (d = 0; shape && d < tensor->rank; ++d) {
    PyObject *dim = PyLong_FromLongLong(tensor->dims[d]);
    if (!dim || PyTuple_SetItem(shape, d, dim) != 0) {
      Py_DECREF(shape);
      return NULL;
    }
  }
  return shape;
}

static PyMethodDef tensor_methods[] = {
    {"__dlpack__", (PyCFunction)(void (*)(void))tensor_dlpack,
     METH_VARARGS | METH_KEYWORDS, "The tensor as a DLPack capsule; no copy."},
    {"__dlpack_device__", tensor_dlpack_device, METH_NOARGS, "The CPU."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef tensor_properties[] = {
    {"dtype", tensor_dtype, NULL, "The element type, as in 'f32'.", NULL},
    {"shape", tensor_shape, NULL, "The dims.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot tensor_slots[] = {
    {Py_tp_dealloc, (void *)tensor_dealloc},
    {Py_tp_methods, tensor_methods},
    {Py_tp_getset, tensor_properties},
    {Py_bf_getbuffer, (void *)tensor_getbuffer},
    {Py_tp_doc, "A result in memory of its own: the buffer protocol, DLPack."},
    {0, NULL}};

PyType_Spec tensor_spec = {"tenon._tenon.Tensor", sizeof(Tensor), 0,
                           Py_TPFLAGS_DEFAULT |
                               Py_TPFLAGS_DISALLOW_INSTANTIATION,
                           tensor_slots};
