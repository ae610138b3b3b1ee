// ===- error.rs - what can go wrong ----------------------------------------===
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ===-----------------------------------------------------------------------===
use crate::ffi;
use std::ffi::CStr;
use std::fmt;

/// What kind of mistake it was; the numbers of `tenon_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// An index or a name out of place.
    InvalidArgument,
    /// Wrong type, rank, dims, size or alignment.
    InvalidTensor,
    /// Dims break what the compiler relied on.
    CheckFailed,
    /// An input or output is not bound.
    NotBound,
    /// An index in the data, found while running.
    IndexOutOfRange,
    /// More workspace is needed.
    WorkspaceTooSmall,
    /// There is no more memory.
    OutOfMemory,
    /// The message names the missing feature.
    UnsupportedCpu,
    /// The artifact and this crate differ.
    VersionMismatch,
    /// The artifact or its weights' file.
    Io,
    /// The context is in use.
    Busy,
    /// The data has more results than the output has room for.
    OutputTooSmall,
    /// One that this crate does not know.
    Unknown(i32),
}

impl Status {
    fn of(code: ffi::Status) -> Status {
        match code {
            1 => Status::InvalidArgument,
            2 => Status::InvalidTensor,
            3 => Status::CheckFailed,
            4 => Status::NotBound,
            5 => Status::IndexOutOfRange,
            6 => Status::WorkspaceTooSmall,
            7 => Status::OutOfMemory,
            8 => Status::UnsupportedCpu,
            9 => Status::VersionMismatch,
            10 => Status::Io,
            11 => Status::Busy,
            12 => Status::OutputTooSmall,
            other => Status::Unknown(other),
        }
    }
}

/// A failed call: its status, and a message that names what is wrong, what was
/// expected and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    status: Status,
    message: String,
}

/// A value, or the error of the call that should have given it.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Error {
        Error { status, message: message.into() }
    }

    /// Which kind of mistake it was.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The message alone.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Calls the C API, which writes a message where it fails.
pub(crate) fn call(function: impl FnOnce(*mut ffi::Error) -> ffi::Status) -> Result<()> {
    let mut error = ffi::Error { message: [0; 512] };
    match function(&mut error) {
        0 => Ok(()),
        // The message is always terminated.
        code => Err(Error::new(Status::of(code), unsafe { text(error.message.as_ptr()) })),
    }
}

/// A C string of the model, or "" for none.
///
/// # Safety
/// It is NULL or terminated.
pub(crate) unsafe fn text(from: *const std::os::raw::c_char) -> String {
    if from.is_null() {
        return String::new();
    }
    CStr::from_ptr(from).to_string_lossy().into_owned()
}
