// ===- ffi.rs - tenon.h for Rust -------------------------------------------===
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ===-----------------------------------------------------------------------===
//! The C API as it lies in memory: `runtime/include/tenon/tenon.h`. The header's
//! functions are inline calls through a table, so the table is all there is.
//! Tables and structs only ever grow at their ends, and say how large they are.

use std::os::raw::{c_char, c_void};

pub const MAGIC: u32 = 0x4d4e_4554;
pub const API_VERSION: u32 = 1;

pub const CONTEXT_QUERY_ONLY: u32 = 1 << 0;
pub const CONTEXT_OVERSUBSCRIBE: u32 = 1 << 1;
pub const CONTEXT_PROFILE: u32 = 1 << 2;
pub const CONTEXT_VERIFY: u32 = 1 << 3;

pub type Status = i32;
pub type DType = i32;

#[repr(C)]
pub struct Error {
    pub message: [c_char; 512],
}

#[repr(C)]
pub struct ModelInfo {
    pub size: usize,
    pub name: *const c_char,
    pub compiler_version: *const c_char,
    pub glibc_floor: *const c_char,
    pub weights_bytes: u64,
    pub weights_file: *const c_char,
    pub api_version: u32,
    pub abi_version: u32,
    pub num_inputs: i32,
    pub num_outputs: i32,
    pub num_ranges: i32,
    pub num_checks: i32,
    pub num_levels: i32,
    pub num_steps: i32,
    pub num_values: i32,
}

#[repr(C)]
pub struct PortInfo {
    pub size: usize,
    pub name: *const c_char,
    pub dtype: DType,
    pub rank: i32,
    pub dim_names: *const *const c_char,
    pub dim_values: *const i64,
    pub dims_kind: i32,
    pub id_bound: i64,
    pub is_mask: i32,
    pub is_optional: i32,
}

#[repr(C)]
pub struct ContextInfo {
    pub size: usize,
    pub threads: i32,
    pub level: *const c_char,
    pub workspace_bytes: u64,
    pub context_bytes: u64,
    pub weights_path: *const c_char,
    pub run_ns: u64,
    pub prepare_ns: u64,
    pub control_ns: u64,
}

#[repr(C)]
pub struct ContextOptions {
    pub size: usize,
    pub flags: u32,
    pub threads: i32,
    pub spin_us: i32,
    pub level: *const c_char,
    pub executor: Option<unsafe extern "C" fn()>,
    pub executor_user: *mut c_void,
    pub allocate: Option<unsafe extern "C" fn()>,
    pub release: Option<unsafe extern "C" fn()>,
    pub allocator_user: *mut c_void,
    pub workspace: *mut c_void,
    pub workspace_bytes: usize,
    pub weights_path: *const c_char,
}

/// What an artifact exports.
#[repr(C)]
pub struct Model {
    pub magic: u32,
    pub api_version: u32,
    pub api: *const Api,
    pub program: *const c_void,
    pub twin: *const c_void,
    pub slow: *const *const c_char,
}

// A model is read-only data.
unsafe impl Sync for Model {}

#[repr(C)]
pub struct Context {
    opaque: [u8; 0],
}

/// A question with a number as its subject.
type Ask<T> = unsafe extern "C" fn(*const Model, i32, *mut T, *mut Error) -> Status;
type Find = unsafe extern "C" fn(*const Model, *const c_char, *mut i32, *mut Error) -> Status;
type Unused = unsafe extern "C" fn();

#[repr(C)]
pub struct Api {
    pub size: u32,
    pub version: u32,
    pub model_info: unsafe extern "C" fn(*const Model, *mut ModelInfo, *mut Error) -> Status,
    pub input_info: Ask<PortInfo>,
    pub output_info: Ask<PortInfo>,
    pub range_info: Unused,
    pub check_info: Unused,
    pub level_info: Unused,
    pub value_info: Unused,
    pub find_input: Find,
    pub find_output: Find,
    pub find_value: Find,
    pub context_create: unsafe extern "C" fn(
        *const Model,
        *const ContextOptions,
        *mut *mut Context,
        *mut Error,
    ) -> Status,
    pub context_destroy: unsafe extern "C" fn(*mut Context),
    pub context_info: unsafe extern "C" fn(*mut Context, *mut ContextInfo, *mut Error) -> Status,
    pub workspace_size:
        unsafe extern "C" fn(*mut Context, *const *const i64, *mut usize, *mut Error) -> Status,
    pub output_dims:
        unsafe extern "C" fn(*mut Context, *const *const i64, i32, *mut i64, *mut Error) -> Status,
    pub reserve: unsafe extern "C" fn(*mut Context, *const *const i64, *mut Error) -> Status,
    pub set_workspace:
        unsafe extern "C" fn(*mut Context, *mut c_void, usize, *mut Error) -> Status,
    pub bind_input: unsafe extern "C" fn(
        *mut Context,
        i32,
        DType,
        i32,
        *const i64,
        *const c_void,
        usize,
        *mut Error,
    ) -> Status,
    pub bind_output: unsafe extern "C" fn(
        *mut Context,
        i32,
        DType,
        i32,
        *const i64,
        *mut c_void,
        usize,
        *mut Error,
    ) -> Status,
    pub run: unsafe extern "C" fn(*mut Context, *mut Error) -> Status,
    pub step_info: Unused,
    pub value_data: Unused,
    pub last_output_dims:
        unsafe extern "C" fn(*mut Context, i32, *mut i64, *mut Error) -> Status,
}

extern "C" {
    pub fn dlopen(path: *const c_char, flags: i32) -> *mut c_void;
    pub fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    pub fn dlclose(handle: *mut c_void) -> i32;
    pub fn dlerror() -> *const c_char;
}

pub const RTLD_NOW: i32 = 2;
