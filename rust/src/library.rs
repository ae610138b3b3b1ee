// ===- library.rs - opening an artifact ------------------------------------===
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ===-----------------------------------------------------------------------===
use crate::error::{text, Error, Result, Status};
use crate::ffi;
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::raw::c_void;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A loaded shared library, unloaded when the last model of it is gone.
#[derive(Debug)]
pub(crate) struct Library {
    handle: *mut c_void,
}

// The handle is only used to close it.
unsafe impl Send for Library {}
unsafe impl Sync for Library {}

impl Drop for Library {
    fn drop(&mut self) {
        unsafe { ffi::dlclose(self.handle) };
    }
}

fn io(message: String) -> Error {
    Error::new(Status::Io, message)
}

fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes[at..at + size].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The dynamic loader maps what the program headers promise, and a truncated
/// file then kills the process: the promise is checked first.
fn probe(path: &Path) -> Result<()> {
    let shown = path.display();
    let mut file = File::open(path).map_err(|why| io(format!("cannot open '{shown}': {why}")))?;
    let length = file.metadata().map_err(|why| io(format!("'{shown}': {why}")))?.len();
    let mut header = [0u8; 64];
    let bad = |what: &str| Err(io(format!("cannot load '{shown}': {what}")));
    if file.read_exact(&mut header).is_err() || header[..4] != *b"\x7fELF" {
        return bad("not a shared library");
    }
    let (machine, kind) = (number(&header, 18, 2), number(&header, 16, 2));
    if header[4] != 2 || machine != 62 || kind != 3 || number(&header, 54, 2) != 56 {
        return bad("not a shared library for x86-64");
    }
    let (offset, count) = (number(&header, 32, 8), number(&header, 56, 2));
    let mut segments = vec![0u8; count as usize * 56];
    use std::io::{Seek, SeekFrom};
    if file.seek(SeekFrom::Start(offset)).is_err() || file.read_exact(&mut segments).is_err() {
        return bad("the file is truncated");
    }
    for segment in segments.chunks_exact(56) {
        let end = number(segment, 8, 8).checked_add(number(segment, 32, 8));
        if number(segment, 0, 4) == 1 && end.map_or(true, |end| end > length) {
            return bad("the file is truncated");
        }
    }
    Ok(())
}

impl Library {
    /// The library and the model that it exports.
    pub(crate) fn open(path: &Path) -> Result<(Library, *const ffi::Model)> {
        // dlopen would look for a name without '/' elsewhere.
        let full = if path.parent().map_or(true, |folder| folder.as_os_str().is_empty()) {
            Path::new(".").join(path)
        } else {
            path.to_path_buf()
        };
        let shown = path.display();
        probe(path)?;
        let name = CString::new(full.as_os_str().as_bytes())
            .map_err(|_| io(format!("'{shown}' has a zero byte in it")))?;
        let handle = unsafe { ffi::dlopen(name.as_ptr(), ffi::RTLD_NOW) };
        if handle.is_null() {
            return Err(io(format!("cannot load '{shown}': {}", unsafe { text(ffi::dlerror()) })));
        }
        let library = Library { handle };
        let model = unsafe { ffi::dlsym(handle, b"tenon_model\0".as_ptr().cast()) };
        if model.is_null() {
            return Err(Error::new(
                Status::VersionMismatch,
                format!("'{shown}' is not a model compiled by Tenon: it has no symbol tenon_model"),
            ));
        }
        Ok((library, model.cast()))
    }
}
