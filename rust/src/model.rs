// ===- model.rs - models and their inputs and outputs ----------------------===
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ===-----------------------------------------------------------------------===
use crate::element::DType;
use crate::error::{call, text, Error, Result, Status};
use crate::ffi;
use crate::library::Library;
use std::fmt;
use std::mem::{size_of, zeroed};
use std::path::Path;
use std::sync::Arc;

/// A dim of an input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Known since the model was compiled.
    Fixed(i64),
    /// A name or a formula of names, which each run chooses: "batch".
    Named(String),
}

/// An input or an output.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Port {
    /// As the ONNX model calls it.
    pub name: String,
    /// Of its elements.
    pub dtype: DType,
    /// Row-major.
    pub dims: Vec<Dim>,
    /// Above 0: ids, which must be in `-id_bound..id_bound`.
    pub id_bound: i64,
    /// Used as a mask of 0 and 1.
    pub is_mask: bool,
    /// An input with a default, which serves where none is given.
    pub is_optional: bool,
}

impl fmt::Display for Port {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} [", self.name, self.dtype.name())?;
        for (i, dim) in self.dims.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            match dim {
                Dim::Fixed(value) => write!(out, "{comma}{value}")?,
                Dim::Named(name) => write!(out, "{comma}{name}")?,
            }
        }
        out.write_str("]")
    }
}

/// A compiled model. It never changes: any number of contexts on any threads
/// share it. A clone is the same model.
#[derive(Clone, Debug)]
pub struct Model {
    raw: &'static ffi::Model,
    inputs: Arc<Vec<Port>>,
    outputs: Arc<Vec<Port>>,
    // Dropped last; `raw` points into it.
    _library: Option<Arc<Library>>,
}

impl fmt::Debug for ffi::Model {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "tenon_model at {:p}", self)
    }
}

impl Model {
    /// Opens an artifact, a `.so` of `tenon compile`.
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        let (library, raw) = Library::open(path.as_ref())?;
        // As long as the library is held.
        Model::make(unsafe { &*raw }, Some(Arc::new(library)))
    }

    /// A model that is linked into the program, by [`linked_model!`].
    ///
    /// [`linked_model!`]: crate::linked_model
    ///
    /// # Safety
    /// It is what an artifact of Tenon exports.
    pub unsafe fn from_raw(raw: &'static ffi::Model) -> Result<Model> {
        Model::make(raw, None)
    }

    fn make(raw: &'static ffi::Model, library: Option<Arc<Library>>) -> Result<Model> {
        if raw.magic != ffi::MAGIC {
            return Err(Error::new(
                Status::VersionMismatch,
                "this is not a model compiled by Tenon",
            ));
        }
        if raw.api_version != ffi::API_VERSION
            || raw.api.is_null()
            || (unsafe { (*raw.api).size } as usize) < size_of::<ffi::Api>()
        {
            return Err(Error::new(
                Status::VersionMismatch,
                format!(
                    "the artifact has API version {}, this crate expects {}: compile the model again",
                    raw.api_version,
                    ffi::API_VERSION
                ),
            ));
        }
        let mut model = Model {
            raw,
            inputs: Arc::default(),
            outputs: Arc::default(),
            _library: library,
        };
        let info = model.info()?;
        let api = model.api();
        let ports = |count: i32, ask: unsafe extern "C" fn(_, i32, _, _) -> i32| {
            (0..count).map(|i| port(raw, i, ask)).collect::<Result<Vec<Port>>>()
        };
        model.inputs = Arc::new(ports(info.num_inputs, api.input_info)?);
        model.outputs = Arc::new(ports(info.num_outputs, api.output_info)?);
        Ok(model)
    }

    pub(crate) fn raw(&self) -> *const ffi::Model {
        self.raw
    }

    pub(crate) fn api(&self) -> &'static ffi::Api {
        // Checked to be there when the model was made.
        unsafe { &*self.raw.api }
    }

    fn info(&self) -> Result<ffi::ModelInfo> {
        let mut info: ffi::ModelInfo = unsafe { zeroed() };
        info.size = size_of::<ffi::ModelInfo>();
        call(|error| unsafe { (self.api().model_info)(self.raw, &mut info, error) })?;
        Ok(info)
    }

    /// The model's name.
    pub fn name(&self) -> String {
        self.info().map_or(String::new(), |info| unsafe { text(info.name) })
    }

    /// "tenon 0.1.0".
    pub fn compiler_version(&self) -> String {
        self.info().map_or(String::new(), |info| unsafe { text(info.compiler_version) })
    }

    /// In order.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// In order.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    pub(crate) fn find(ports: &[Port], kind: &str, name: &str) -> Result<usize> {
        ports.iter().position(|port| port.name == name).ok_or_else(|| {
            let known: Vec<&str> = ports.iter().map(|port| port.name.as_str()).collect();
            Error::new(
                Status::InvalidArgument,
                format!("the model has no {kind} '{name}'; it has {}", known.join(", ")),
            )
        })
    }
}

fn port(
    model: &'static ffi::Model,
    index: i32,
    ask: unsafe extern "C" fn(*const ffi::Model, i32, *mut ffi::PortInfo, *mut ffi::Error) -> i32,
) -> Result<Port> {
    let mut info: ffi::PortInfo = unsafe { zeroed() };
    info.size = size_of::<ffi::PortInfo>();
    call(|error| unsafe { ask(model, index, &mut info, error) })?;
    let name = unsafe { text(info.name) };
    let dtype = DType::of(info.dtype).ok_or_else(|| {
        Error::new(
            Status::VersionMismatch,
            format!("'{name}' has an element type that this crate does not know"),
        )
    })?;
    let dims = (0..info.rank as usize)
        .map(|d| unsafe {
            match *info.dim_values.add(d) {
                value if value >= 0 => Dim::Fixed(value),
                _ => Dim::Named(text(*info.dim_names.add(d))),
            }
        })
        .collect();
    Ok(Port {
        name,
        dtype,
        dims,
        id_bound: info.id_bound,
        is_mask: info.is_mask != 0,
        is_optional: info.is_optional != 0,
    })
}
