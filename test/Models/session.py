#===- session.py - several runs in one context -----------------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""An artifact's C API, for what the tool's single runs do not show: memory that
was planned for one run and is used by the next."""

import ctypes

import numpy as np
from onnx import helper

from tool import Failure, file_name

# The functions of tenon_api in their order, without those that describe ports.
FUNCTIONS = {"model_info": 0, "output_info": 2, "find_input": 7, "find_output": 8, "context_create": 10, "context_destroy": 11, "output_dims": 14,
             "reserve": 15, "bind_input": 17, "bind_output": 18, "run": 19, "last_output_dims": 22, "state_info": 28,
             "state_size": 29, "init_state": 30, "state_length": 31, "set_state_length": 32, "copy_state": 33, "state_data": 34,
             "bind_state": 35, "paged_state_size": 36, "init_paged_state": 37, "pool_info": 38, "bind_sequences": 39, "share_state": 40,
             "set_state_pages": 41, "state_pages": 42}
OVERSUBSCRIBE = 2  # TENON_CONTEXT_OVERSUBSCRIBE
WORKSPACE_TOO_SMALL, OUTPUT_TOO_SMALL = 6, 12
HELD = object()  # an input that the bound state holds


class Options(ctypes.Structure):
    """tenon_context_options."""

    _fields_ = [("size", ctypes.c_size_t), ("flags", ctypes.c_uint32), ("threads", ctypes.c_int32),
                ("spin_us", ctypes.c_int32), ("level", ctypes.c_char_p), ("rest", ctypes.c_void_p * 8), ("device", ctypes.c_char_p),
                ("stream", ctypes.c_void_p)]


class ModelInfo(ctypes.Structure):
    """tenon_model_info."""

    _fields_ = [("size", ctypes.c_size_t), ("names", ctypes.c_char_p * 3), ("weights_bytes", ctypes.c_uint64),
                ("weights_file", ctypes.c_char_p), ("versions", ctypes.c_uint32 * 2), ("inputs", ctypes.c_int32),
                ("outputs", ctypes.c_int32), ("rest", ctypes.c_int32 * 7), ("host_nodes", ctypes.c_char_p),
                ("states", ctypes.c_int32), ("stateless", ctypes.c_int32)]


class PortInfo(ctypes.Structure):
    """tenon_port_info."""

    _fields_ = [("size", ctypes.c_size_t), ("name", ctypes.c_char_p), ("dtype", ctypes.c_int32), ("rank", ctypes.c_int32),
                ("rest", ctypes.c_void_p * 5)]


class Session:
    """One context of an artifact."""

    def __init__(self, artifact, threads=1, device=None, stream=None, level=None):
        self.library = ctypes.CDLL(artifact)
        self.model = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.in_dll(self.library, "tenon_model")))
        self.table = ctypes.cast(self.model.value + 8, ctypes.POINTER(ctypes.c_void_p))[0]
        self.error = ctypes.create_string_buffer(4096)
        self.context = ctypes.c_void_p()
        self.attempts = 0  # of the last run
        options = Options(size=ctypes.sizeof(Options), flags=OVERSUBSCRIBE, threads=threads,
                          device=device.encode() if device else None, stream=stream, level=level.encode() if level else None)
        self.check(self.call("context_create", self.model, ctypes.byref(options), ctypes.byref(self.context)))

    def close(self):
        address = ctypes.cast(self.table + 8, ctypes.POINTER(ctypes.c_void_p))[FUNCTIONS["context_destroy"]]
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)(self.context)

    def call(self, name, *arguments):
        """The status; every function but the last takes the error last."""
        address = ctypes.cast(self.table + 8, ctypes.POINTER(ctypes.c_void_p))[FUNCTIONS[name]]
        return ctypes.CFUNCTYPE(ctypes.c_int)(address)(*arguments, self.error)

    def check(self, status):
        if status:
            raise Failure(f"status {status}: {self.error.value.decode()}")

    def index(self, function, name):
        found = ctypes.c_int32()
        self.check(self.call(function, self.model, name.encode(), ctypes.byref(found)))
        return found.value

    def outputs(self):
        """The rank and dtype of each output by name."""
        model, port, ports = ModelInfo(size=ctypes.sizeof(ModelInfo)), PortInfo(size=ctypes.sizeof(PortInfo)), {}
        self.check(self.call("model_info", self.model, ctypes.byref(model)))
        for index in range(model.outputs):
            self.check(self.call("output_info", self.model, index, ctypes.byref(port)))
            ports[port.name.decode()] = (port.rank, np.dtype(helper.tensor_dtype_to_np_dtype(port.dtype)))
        return ports

    def run_named(self, inputs):
        """As Tool.run: every output, by its file's name."""
        return {file_name(name): value for name, value in self.run(inputs, self.outputs()).items()}

    def run(self, inputs, outputs, spare=0):
        """`inputs`: None for an optional one that is to have its default.
        `outputs`: the rank and dtype of each by name. `spare`: bytes that each
        output has beyond what it can need."""
        dims, kept = {}, []
        for name, value in inputs.items():
            if value is HELD:
                dims[self.index("find_input", name)] = ctypes.c_void_p()
                continue
            if value is None:
                index = self.index("find_input", name)
                dims[index] = ctypes.c_void_p()
                self.check(self.call("bind_input", self.context, index, 0, 0, None, None, ctypes.c_size_t(0)))
                continue
            value = np.array(value, order="C")  # not ascontiguousarray: that makes scalars vectors
            shape = (ctypes.c_int64 * max(value.ndim, 1))(*value.shape)
            index = self.index("find_input", name)
            dims[index] = ctypes.cast(shape, ctypes.c_void_p)
            kept += [value, shape]
            self.check(self.call("bind_input", self.context, index, helper.np_dtype_to_tensor_dtype(value.dtype), value.ndim,
                                 shape, ctypes.c_void_p(value.ctypes.data), ctypes.c_size_t(value.nbytes)))
        table = (ctypes.c_void_p * max(len(dims), 1))(*(dims[i].value for i in range(len(dims))))
        memory = {}

        def make_room():
            self.check(self.call("reserve", self.context, table))
            for name, (rank, dtype) in outputs.items():
                index = self.index("find_output", name)
                shape = (ctypes.c_int64 * max(rank, 1))()
                self.check(self.call("output_dims", self.context, table, index, shape))
                size = int(np.prod(shape[:rank], dtype=np.int64)) * dtype.itemsize + spare
                memory[name] = np.full(size + 64, 0xAA, np.uint8)
                self.check(self.call("bind_output", self.context, index, helper.np_dtype_to_tensor_dtype(dtype), rank, None,
                                     ctypes.c_void_p(memory[name].ctypes.data), ctypes.c_size_t(size)))

        make_room()
        status = self.call("run", self.context)
        self.attempts = 1
        while status in (WORKSPACE_TOO_SMALL, OUTPUT_TOO_SMALL) and self.attempts < 64:
            make_room()
            status = self.call("run", self.context)
            self.attempts += 1
        self.check(status)
        result = {}
        for name, (rank, dtype) in outputs.items():
            shape = (ctypes.c_int64 * max(rank, 1))()
            self.check(self.call("last_output_dims", self.context, self.index("find_output", name), shape))
            count = int(np.prod(shape[:rank], dtype=np.int64))
            data = memory[name]
            if not (data[-64:] == 0xAA).all():
                raise Failure(f"'{name}': the run wrote beyond its memory")
            result[name] = data[: count * dtype.itemsize].view(dtype).reshape(shape[:rank])
        return result
