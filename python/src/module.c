/*===- module.c - the Python module tenon._tenon ----------------------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * The C API of tenon/tenon.h for the package's Python part: libraries, contexts
 * and runs on borrowed memory. Against CPython's stable ABI of 3.11.
 *===----------------------------------------------------------------------===*/
#include "tensors.h"

#include <stdlib.h>

/* Of the versions that glibc 2.28 has as well as today's: one wheel for both. */
#if defined(__x86_64__) && defined(__GLIBC__)
__asm__(".symver dlopen,dlopen@GLIBC_2.2.5");
__asm__(".symver dlsym,dlsym@GLIBC_2.2.5");
__asm__(".symver dlclose,dlclose@GLIBC_2.2.5");
__asm__(".symver dlerror,dlerror@GLIBC_2.2.5");
#endif

typedef struct State {
  PyObject *error; /* tenon.Error */
  PyObject *library_type, *context_type, *tensor_type;
} State;

/* Sets tenon.Error with the C message; its attribute `status` has the name of
 * the status. */
static PyObject *raise_status(State *state, tenon_status status,
                              const tenon_error *error) {
  PyObject *instance =
      PyObject_CallFunction(state->error, "s", error->message);
  PyObject *name = PyUnicode_FromString(tenon_status_name(status));
  if (instance && name &&
      PyObject_SetAttrString(instance, "status", name) == 0)
    PyErr_SetObject(state->error, instance);
  Py_XDECREF(instance);
  Py_XDECREF(name);
  return NULL;
}

/* ---- libraries --------------------------------------------------------------- */

typedef struct Library {
  PyObject_HEAD
  tenon_library library;
  int32_t num_inputs, num_outputs;
} Library;

static PyObject *library_new(PyTypeObject *type, PyObject *args,
                             PyObject *keywords) {
  static char *names[] = {"path", "verify", NULL};
  State *state = (State *)PyType_GetModuleState(type);
  allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
  PyObject *path = NULL;
  int verify = 0;
  tenon_library_options options;
  tenon_model_info info;
  tenon_error error;
  tenon_status status;
  Library *self;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "O&|p", names,
                                   PyUnicode_FSConverter, &path, &verify))
    return NULL;
  self = (Library *)allocate(type, 0);
  if (!self) {
    Py_DECREF(path);
    return NULL;
  }
  TENON_INIT(options);
  TENON_INIT(info);
  options.flags = verify ? TENON_LIBRARY_VERIFY : 0;
  Py_BEGIN_ALLOW_THREADS
  status = tenon_library_open_with(PyBytes_AsString(path), &options,
                                   &self->library, &error);
  Py_END_ALLOW_THREADS
  Py_DECREF(path);
  if (!status)
    status = tenon_get_model_info(self->library.model, &info, &error);
  if (status) {
    Py_DECREF((PyObject *)self);
    return raise_status(state, status, &error);
  }
  self->num_inputs = info.num_inputs;
  self->num_outputs = info.num_outputs;
  return (PyObject *)self;
}

static void library_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
  tenon_library_close(&((Library *)self)->library);
  release(self);
  Py_DECREF(type);
}

/* {"name": ..., "dims": [...], ...} */
static PyObject *port_dict(const tenon_port_info *port) {
  PyObject *dims = PyList_New(0), *result = NULL;
  int32_t d;
  for (d = 0; dims && d < port->rank; ++d) {
    PyObject *dim = port->dim_values[d] >= 0
                        ? PyLong_FromLongLong(port->dim_values[d])
                        : PyUnicode_FromString(port->dim_names[d]);
    if (!dim || PyList_Append(dims, dim) != 0)
      Py_CLEAR(dims);
    Py_XDECREF(dim);
  }
  if (dims)
    result = Py_BuildValue("{s:s,s:s,s:i,s:O,s:L,s:O,s:O,s:O}", "name",
                           port->name, "dtype", tenon_dtype_name(port->dtype),
                           "code", (int)port->dtype, "dims", dims, "id_bound",
                           (long long)port->id_bound, "is_mask",
                           port->is_mask ? Py_True : Py_False, "is_optional",
                           port->is_optional ? Py_True : Py_False, "from_data",
                           port->dims_kind == TENON_DIMS_FROM_DATA ? Py_True
                                                                   : Py_False);
  Py_XDECREF(dims);
  return result;
}

typedef tenon_status (*PortGetter)(const tenon_model *, int32_t,
                                   tenon_port_info *, tenon_error *);

static PyObject *ports(Library *self, PortGetter get, int32_t count) {
  State *state = (State *)PyType_GetModuleState(Py_TYPE((PyObject *)self));
  PyObject *list = PyList_New(0);
  int32_t i;
  for (i = 0; list && i < count; ++i) {
    tenon_port_info port;
    tenon_error error;
    tenon_status status;
    PyObject *item;
    TENON_INIT(port);
    status = get(self->library.model, i, &port, &error);
    if (status) {
      Py_DECREF(list);
      return raise_status(state, status, &error);
    }
    item = port_dict(&port);
    if (!item || PyList_Append(list, item) != 0)
      Py_CLEAR(list);
    Py_XDECREF(item);
  }
  return list;
}

static PyObject *library_inputs(PyObject *self, PyObject *ignored) {
  (void)ignored;
  return ports((Library *)self, tenon_get_input_info,
               ((Library *)self)->num_inputs);
}
static PyObject *library_outputs(PyObject *self, PyObject *ignored) {
  (void)ignored;
  return ports((Library *)self, tenon_get_output_info,
               ((Library *)self)->num_outputs);
}

static PyObject *library_info(PyObject *self, PyObject *ignored) {
  State *state = (State *)PyType_GetModuleState(Py_TYPE((PyObject *)self));
  const tenon_model *model = ((Library *)self)->library.model;
  tenon_model_info info;
  tenon_error error;
  tenon_status status;
  PyObject *levels, *checks, *result;
  int32_t i;
  (void)ignored;
  TENON_INIT(info);
  status = tenon_get_model_info(model, &info, &error);
  levels = PyList_New(0);
  checks = PyList_New(0);
  for (i = 0; !status && levels && i < info.num_levels; ++i) {
    tenon_level_info level;
    PyObject *item;
    TENON_INIT(level);
    status = tenon_get_level_info(model, i, &level, &error);
    if (status)
      break;
    item = Py_BuildValue("(sO)", level.name,
                         level.supported ? Py_True : Py_False);
    if (!item || PyList_Append(levels, item) != 0)
      Py_CLEAR(levels);
    Py_XDECREF(item);
  }
  for (i = 0; !status && checks && i < info.num_checks; ++i) {
    tenon_check_info check;
    PyObject *item;
    TENON_INIT(check);
    status = tenon_get_check_info(model, i, &check, &error);
    if (status)
      break;
    item = PyUnicode_FromFormat(
        check.relation == TENON_RELATION_EQUAL        ? "%s == %s"
        : check.relation == TENON_RELATION_LESS_EQUAL ? "%s <= %s"
                                                      : "%s == %s or 1",
        check.lhs, check.rhs);
    if (!item || PyList_Append(checks, item) != 0)
      Py_CLEAR(checks);
    Py_XDECREF(item);
  }
  if (status || !levels || !checks) {
    Py_XDECREF(levels);
    Py_XDECREF(checks);
    return status ? raise_status(state, status, &error) : NULL;
  }
  result = Py_BuildValue(
      "{s:s,s:s,s:s,s:K,s:z,s:i,s:N,s:N}", "name", info.name,
      "compiler_version", info.compiler_version, "glibc_floor",
      info.glibc_floor, "weights_bytes", (unsigned long long)info.weights_bytes,
      "weights_file", info.weights_file, "num_steps", (int)info.num_steps,
      "levels", levels, "checks", checks);
  return result;
}

static PyMethodDef library_methods[] = {
    {"inputs", library_inputs, METH_NOARGS, "A dict for each input."},
    {"outputs", library_outputs, METH_NOARGS, "A dict for each output."},
    {"info", library_info, METH_NOARGS, "What is known of the model."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot library_slots[] = {
    {Py_tp_new, (void *)library_new},
    {Py_tp_dealloc, (void *)library_dealloc},
    {Py_tp_methods, library_methods},
    {Py_tp_doc, "Library(path, verify=False): an artifact that is loaded."},
    {0, NULL}};
static PyType_Spec library_spec = {"tenon._tenon.Library", sizeof(Library), 0,
                                   Py_TPFLAGS_DEFAULT, library_slots};

/* ---- contexts ---------------------------------------------------------------- */

typedef struct Context {
  PyObject_HEAD
  Library *library; /* outlives the context */
  tenon_context *context;
} Context;

static PyObject *context_new(PyTypeObject *type, PyObject *args,
                             PyObject *keywords) {
  static char *names[] = {"library", "threads", "level", "weights",
                          "profile", "spin_us", NULL};
  State *state = (State *)PyType_GetModuleState(type);
  allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
  PyObject *library = NULL, *weights = NULL;
  int threads = 0, profile = 0, spin_us = 0;
  const char *level = NULL;
  tenon_context_options options;
  tenon_error error;
  tenon_status status;
  Context *self;
  TENON_INIT(options);
  if (!PyArg_ParseTupleAndKeywords(
          args, keywords, "O!|izOpi", names, state->library_type, &library,
          &threads, &level, &weights, &profile, &spin_us))
    return NULL;
  if (weights == Py_None)
    weights = NULL;
  if (weights && !PyUnicode_FSConverter(weights, &weights))
    return NULL;
  self = (Context *)allocate(type, 0);
  if (!self) {
    Py_XDECREF(weights);
    return NULL;
  }
  Py_INCREF(library);
  self->library = (Library *)library;
  options.threads = threads;
  options.level = level;
  options.spin_us = spin_us;
  options.flags = profile ? TENON_CONTEXT_PROFILE : 0;
  options.weights_path = weights ? PyBytes_AsString(weights) : NULL;
  Py_BEGIN_ALLOW_THREADS
  status = tenon_context_create(self->library->library.model, &options,
                                &self->context, &error);
  Py_END_ALLOW_THREADS
  Py_XDECREF(weights);
  if (status) {
    Py_DECREF((PyObject *)self);
    return raise_status(state, status, &error);
  }
  return (PyObject *)self;
}

static void context_dealloc(PyObject *object) {
  Context *self = (Context *)object;
  PyTypeObject *type = Py_TYPE(object);
  freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
  tenon_context_destroy(self->context);
  Py_XDECREF((PyObject *)self->library);
  release(object);
  Py_DECREF(type);
}

static PyObject *context_info(PyObject *object, PyObject *ignored) {
  State *state = (State *)PyType_GetModuleState(Py_TYPE(object));
  tenon_context_info info;
  tenon_error error;
  tenon_status status;
  (void)ignored;
  TENON_INIT(info);
  status = tenon_get_context_info(((Context *)object)->context, &info, &error);
  if (status)
    return raise_status(state, status, &error);
  return Py_BuildValue("{s:i,s:z,s:K,s:K,s:z,s:K}", "threads",
                       (int)info.threads, "level", info.level,
                       "workspace_bytes",
                       (unsigned long long)info.workspace_bytes, "context_bytes",
                       (unsigned long long)info.context_bytes, "weights_path",
                       info.weights_path, "run_ns",
                       (unsigned long long)info.run_ns);
}

static PyObject *context_steps(PyObject *object, PyObject *ignored) {
  State *state = (State *)PyType_GetModuleState(Py_TYPE(object));
  Context *self = (Context *)object;
  PyObject *list = PyList_New(0);
  tenon_model_info info;
  tenon_error error;
  tenon_status status;
  int32_t i;
  (void)ignored;
  TENON_INIT(info);
  status = tenon_get_model_info(self->library->library.model, &info, &error);
  for (i = 0; list && !status && i < info.num_steps; ++i) {
    tenon_step_info step;
    PyObject *item;
    TENON_INIT(step);
    status = tenon_get_step_info(self->context, i, &step, &error);
    if (status)
      break;
    item = Py_BuildValue("{s:s,s:s,s:K,s:L,s:K,s:i}", "kernel", step.kernel,
                         "nodes", step.nodes, "time_ns",
                         (unsigned long long)step.time_ns, "calls",
                         (long long)step.calls, "bytes",
                         (unsigned long long)step.bytes, "threads",
                         (int)step.threads);
    if (!item || PyList_Append(list, item) != 0)
      Py_CLEAR(list);
    Py_XDECREF(item);
  }
  if (status) {
    Py_XDECREF(list);
    return raise_status(state, status, &error);
  }
  return list;
}

/* One run: what it holds, released together whatever happens. */
typedef struct Run {
  State *state;
  Context *self;
  int32_t num_inputs, num_outputs;
  Borrowed *inputs, *outputs;
  const int64_t **input_dims;
  Tensor **results; /* those that the caller gave no memory for */
  int failed;       /* with an exception */
} Run;

static void end_run(Run *run) {
  int32_t i;
  for (i = 0; run->inputs && i < run->num_inputs; ++i)
    release_borrowed(&run->inputs[i]);
  for (i = 0; run->outputs && i < run->num_outputs; ++i)
    release_borrowed(&run->outputs[i]);
  for (i = 0; run->results && i < run->num_outputs; ++i)
    Py_XDECREF((PyObject *)run->results[i]);
  free(run->inputs);
  free(run->outputs);
  free(run->input_dims);
  free(run->results);
}

/* The i-th (array or None, dtype or 0[, dims]) of a list; 0: an exception. */
static int item_of(PyObject *list, int32_t i, PyObject **array, int *dtype,
                   PyObject **dims) {
  PyObject *item = PyList_GetItem(list, i);
  *dims = NULL;
  return item && PyArg_ParseTuple(item, "Oi|O!", array, dtype, &PyTuple_Type,
                                  dims);
}

/* The dims of packed elements, whose bytes have others; -1: an exception. */
static int take_dims(PyObject *dims, Borrowed *borrowed) {
  Py_ssize_t rank = PyTuple_Size(dims), d;
  if (rank > MAX_RANK) {
    PyErr_SetString(PyExc_ValueError, "too many dims");
    return -1;
  }
  borrowed->rank = (int32_t)rank;
  for (d = 0; d < rank; ++d)
    borrowed->dims[d] = PyLong_AsLongLong(PyTuple_GetItem(dims, d));
  return PyErr_Occurred() ? -1 : 0;
}

static tenon_status bind_inputs(Run *run, PyObject *list, tenon_error *error) {
  tenon_context *context = run->self->context;
  tenon_status status = TENON_OK;
  int32_t i;
  for (i = 0; !status && i < run->num_inputs; ++i) {
    Borrowed *input = &run->inputs[i];
    tenon_port_info port;
    PyObject *array, *dims;
    char what[256];
    int dtype;
    TENON_INIT(port);
    status = tenon_get_input_info(run->self->library->library.model, i, &port,
                                  error);
    if (status)
      break;
    if (!item_of(list, i, &array, &dtype, &dims)) {
      run->failed = 1;
      return TENON_OK;
    }
    if (array == Py_None) {
      status = tenon_bind_input(context, i, port.dtype, port.rank, NULL, NULL, 0,
                                error);
      continue;
    }
    PyOS_snprintf(what, sizeof what, "input '%s'", port.name);
    if (borrow(array, dtype, 0, what, input) != 0 ||
        (dims && take_dims(dims, input) != 0)) {
      run->failed = 1;
      return TENON_OK;
    }
    run->input_dims[i] = input->dims;
    status = tenon_bind_input(context, i, input->dtype, input->rank, input->dims,
                              input->data, input->bytes, error);
  }
  return status;
}

/* Workspace, and memory for outputs that nobody gave. */
static tenon_status make_room(Run *run, PyObject *list, tenon_error *error) {
  tenon_context *context = run->self->context;
  const tenon_model *model = run->self->library->library.model;
  tenon_status status = tenon_reserve(context, run->input_dims, error);
  int32_t i;
  for (i = 0; !status && i < run->num_outputs; ++i) {
    Borrowed *output = &run->outputs[i];
    tenon_port_info port;
    PyObject *array, *own;
    int64_t dims[MAX_RANK];
    char what[256];
    int dtype;
    TENON_INIT(port);
    status = tenon_get_output_info(model, i, &port, error);
    if (status || output->has_buffer || output->managed)
      continue; /* given, and bound before */
    if (!item_of(list, i, &array, &dtype, &own) || port.rank > MAX_RANK) {
      run->failed = 1;
      return TENON_OK;
    }
    if (array != Py_None) {
      PyOS_snprintf(what, sizeof what, "output '%s'", port.name);
      if (borrow(array, dtype, 1, what, output) != 0) {
        run->failed = 1;
        return TENON_OK;
      }
      status = tenon_bind_output(
          context, i, output->dtype, output->rank,
          port.dims_kind == TENON_DIMS_FROM_DATA ? NULL : output->dims,
          output->data, output->bytes, error);
      continue;
    }
    status = tenon_output_dims(context, run->input_dims, i, dims, error);
    if (status)
      break;
    Py_XDECREF((PyObject *)run->results[i]);
    run->results[i] = new_tensor((PyTypeObject *)run->state->tensor_type,
                                 port.dtype, port.rank, dims);
    if (!run->results[i]) {
      run->failed = 1;
      return TENON_OK;
    }
    status = tenon_bind_output(context, i, port.dtype, port.rank, NULL,
                               run->results[i]->data, run->results[i]->bytes,
                               error);
  }
  return status;
}

static PyObject *results_of(Run *run, PyObject *list, tenon_status *status,
                            tenon_error *error) {
  PyObject *result = PyList_New(run->num_outputs);
  int32_t i;
  for (i = 0; result && i < run->num_outputs; ++i) {
    int64_t dims[MAX_RANK];
    PyObject *array, *own;
    int dtype;
    *status = tenon_last_output_dims(run->self->context, i, dims, error);
    if (*status || !item_of(list, i, &array, &dtype, &own)) {
      Py_DECREF(result);
      return NULL;
    }
    if (run->results[i]) {
      set_dims(run->results[i], dims);
      array = (PyObject *)run->results[i];
    }
    Py_INCREF(array);
    PyList_SetItem(result, i, array);
  }
  return result;
}

static PyObject *context_run(PyObject *object, PyObject *args) {
  Context *self = (Context *)object;
  Run run = {0};
  PyObject *inputs, *outputs, *result = NULL;
  tenon_error error = {{0}};
  tenon_status status;
  int tries;
  run.state = (State *)PyType_GetModuleState(Py_TYPE(object));
  run.self = self;
  run.num_inputs = self->library->num_inputs;
  run.num_outputs = self->library->num_outputs;
  if (!PyArg_ParseTuple(args, "O!O!", &PyList_Type, &inputs, &PyList_Type,
                        &outputs))
    return NULL;
  if (PyList_Size(inputs) != run.num_inputs ||
      PyList_Size(outputs) != run.num_outputs) {
    PyErr_SetString(PyExc_ValueError, "a pair for each input and output");
    return NULL;
  }
  run.inputs = calloc((size_t)run.num_inputs + 1, sizeof *run.inputs);
  run.outputs = calloc((size_t)run.num_outputs + 1, sizeof *run.outputs);
  run.input_dims = calloc((size_t)run.num_inputs + 1, sizeof *run.input_dims);
  run.results = calloc((size_t)run.num_outputs + 1, sizeof *run.results);
  if (!run.inputs || !run.outputs || !run.input_dims || !run.results) {
    end_run(&run);
    return PyErr_NoMemory();
  }
  status = bind_inputs(&run, inputs, &error);
  /* A run that meets a number which nothing bounds before it may need more
   * room, and says so: each try meets more of them. */
  for (tries = 0; tries < 64 && !run.failed; ++tries) {
    if (!status)
      status = make_room(&run, outputs, &error);
    if (status || run.failed)
      break;
    Py_BEGIN_ALLOW_THREADS
    status = tenon_run(self->context, &error);
    Py_END_ALLOW_THREADS
    if (status != TENON_WORKSPACE_TOO_SMALL && status != TENON_OUTPUT_TOO_SMALL)
      break;
    if (tries < 63)
      status = TENON_OK;
  }
  if (!status && !run.failed)
    result = results_of(&run, outputs, &status, &error);
  if (status && !run.failed)
    raise_status(run.state, status, &error);
  end_run(&run);
  return result;
}

static PyMethodDef context_methods[] = {
    {"run", context_run, METH_VARARGS,
     "run(inputs, outputs): a list of (array or None, dtype or 0[, dims]) each."},
    {"info", context_info, METH_NOARGS, "Threads, level, memory."},
    {"steps", context_steps, METH_NOARGS, "What the last run did."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot context_slots[] = {
    {Py_tp_new, (void *)context_new},
    {Py_tp_dealloc, (void *)context_dealloc},
    {Py_tp_methods, context_methods},
    {Py_tp_doc, "Context(library, threads=0, level=None, weights=None, "
                "profile=False, spin_us=0)"},
    {0, NULL}};
static PyType_Spec context_spec = {"tenon._tenon.Context", sizeof(Context), 0,
                                   Py_TPFLAGS_DEFAULT, context_slots};

/* ---- the module ---------------------------------------------------------------- */

static PyObject *add_type(PyObject *module, PyType_Spec *spec) {
  PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
  if (type && PyModule_AddType(module, (PyTypeObject *)type) != 0)
    Py_CLEAR(type);
  return type;
}

static int module_exec(PyObject *module) {
  State *state = (State *)PyModule_GetState(module);
  state->error = PyErr_NewExceptionWithDoc(
      "tenon.Error",
      "What the C API reports; `status` has the name of its status.",
      PyExc_RuntimeError, NULL);
  if (!state->error || PyModule_AddObjectRef(module, "Error", state->error) != 0)
    return -1;
  state->library_type = add_type(module, &library_spec);
  state->context_type = add_type(module, &context_spec);
  state->tensor_type = add_type(module, &tensor_spec);
  return state->library_type && state->context_type && state->tensor_type ? 0
                                                                          : -1;
}

static void module_free(void *module) {
  State *state = (State *)PyModule_GetState((PyObject *)module);
  Py_CLEAR(state->error);
  Py_CLEAR(state->library_type);
  Py_CLEAR(state->context_type);
  Py_CLEAR(state->tensor_type);
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, (void *)module_exec},
                                          {0, NULL}};

static PyModuleDef module_def = {PyModuleDef_HEAD_INIT,
                                 "_tenon",
                                 "The C API of compiled models.",
                                 sizeof(State),
                                 NULL,
                                 module_slots,
                                 NULL,
                                 NULL,
                                 module_free};

PyMODINIT_FUNC PyInit__tenon(void) { return PyModuleDef_Init(&module_def); }
