// ===- context.rs - running a model ----------------------------------------===
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ===-----------------------------------------------------------------------===
use crate::element::{DType, Element};
use crate::error::{call, text, Error, Result, Status};
use crate::ffi;
use crate::model::{Dim, Model};
use std::ffi::CString;
use std::marker::PhantomData;
use std::mem::{size_of, size_of_val, zeroed};
use std::os::raw::c_void;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::ptr::{null, null_mut};
use std::time::Duration;

/// How a context runs.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Threads of a run, the calling one included; 0: as many as the process may
    /// use, which is also the upper limit.
    pub threads: i32,
    /// The instruction set, "x86-64-v3"; none: the best that the CPU has.
    pub level: Option<String>,
    /// The weights' file, where it is not beside the artifact.
    pub weights: Option<PathBuf>,
    /// How long an idle thread spins before it parks; none: a millisecond.
    pub spin: Option<Duration>,
    /// Record the time of each run.
    pub profile: bool,
    /// Compare the weights with their checksum first.
    pub verify: bool,
}

/// The state of running a model: its threads and its workspace. It can go from
/// thread to thread and serves one call at a time, for which it is borrowed
/// mutably; threads that run at once have a context each.
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<tenon::Context>();
/// ```
pub struct Context {
    // Before the model, which may unload its library.
    main: Raw,
    /// Is never bound, so that its answers depend on dims alone.
    query: Raw,
    model: Model,
    /// Stands for inputs that an earlier binding gave and took away.
    blanks: Vec<Vec<u64>>,
    used: bool,
}

struct Raw {
    context: *mut ffi::Context,
    api: &'static ffi::Api,
}

// Nothing in a context belongs to a thread.
unsafe impl Send for Raw {}

impl Drop for Raw {
    fn drop(&mut self) {
        unsafe { (self.api.context_destroy)(self.context) };
    }
}

impl Raw {
    fn create(model: &Model, options: &ffi::ContextOptions) -> Result<Raw> {
        let mut context = null_mut();
        let api = model.api();
        call(|error| unsafe { (api.context_create)(model.raw(), options, &mut context, error) })?;
        Ok(Raw { context, api })
    }
}

fn c_string(bytes: impl Into<Vec<u8>>) -> Result<CString> {
    CString::new(bytes)
        .map_err(|_| Error::new(Status::InvalidArgument, "a text has a zero byte in it"))
}

impl Context {
    /// Allocates what runs need, but for the workspace, and starts its threads.
    pub fn new(model: &Model, options: &Options) -> Result<Context> {
        let level = options.level.as_deref().map(c_string).transpose()?;
        let weights = match &options.weights {
            Some(path) => Some(c_string(path.clone().into_os_string().into_vec())?),
            None => None,
        };
        let mut raw: ffi::ContextOptions = unsafe { zeroed() };
        raw.size = size_of::<ffi::ContextOptions>();
        raw.threads = options.threads;
        raw.level = level.as_ref().map_or(null(), |text| text.as_ptr());
        raw.weights_path = weights.as_ref().map_or(null(), |text| text.as_ptr());
        raw.spin_us = match options.spin {
            None => 0,
            Some(time) if time.as_micros() == 0 => -1,
            Some(time) => time.as_micros().min(i32::MAX as u128) as i32,
        };
        raw.flags = if options.profile { ffi::CONTEXT_PROFILE } else { 0 }
            | if options.verify { ffi::CONTEXT_VERIFY } else { 0 };
        let main = Raw::create(model, &raw)?;
        let mut info: ffi::ContextInfo = unsafe { zeroed() };
        info.size = size_of::<ffi::ContextInfo>();
        call(|error| unsafe { (main.api.context_info)(main.context, &mut info, error) })?;
        // As many threads as the other one has: each needs scratch memory.
        let mut query: ffi::ContextOptions = unsafe { zeroed() };
        query.size = size_of::<ffi::ContextOptions>();
        query.threads = info.threads;
        query.flags = ffi::CONTEXT_QUERY_ONLY | ffi::CONTEXT_OVERSUBSCRIBE;
        let query = Raw::create(model, &query)?;
        Ok(Context { main, query, model: model.clone(), blanks: Vec::new(), used: false })
    }

    /// The model that it runs.
    pub fn model(&self) -> &Model {
        &self.model
    }

    fn info(&self) -> Result<ffi::ContextInfo> {
        let mut info: ffi::ContextInfo = unsafe { zeroed() };
        info.size = size_of::<ffi::ContextInfo>();
        call(|error| unsafe { (self.main.api.context_info)(self.main.context, &mut info, error) })?;
        Ok(info)
    }

    /// Threads that a run uses at most.
    pub fn threads(&self) -> i32 {
        self.info().map_or(0, |info| info.threads)
    }

    /// The instruction set that was taken.
    pub fn level(&self) -> String {
        self.info().map_or(String::new(), |info| unsafe { text(info.level) })
    }

    /// How long the last run took, with [`Options::profile`].
    pub fn run_time(&self) -> Duration {
        Duration::from_nanos(self.info().map_or(0, |info| info.run_ns))
    }

    /// Each input's dims in the model's order, none for an optional one.
    fn pointers(&self, dims: &[&[i64]]) -> Result<Vec<*const i64>> {
        let inputs = self.model.inputs();
        if dims.len() != inputs.len() {
            return Err(Error::new(
                Status::InvalidArgument,
                format!(
                    "dims are given for {} inputs, the model has {}",
                    dims.len(),
                    inputs.len()
                ),
            ));
        }
        dims.iter()
            .zip(inputs)
            .map(|(dims, port)| {
                if port.is_optional && dims.is_empty() {
                    Ok(null())
                } else if dims.len() == port.dims.len() {
                    Ok(dims.as_ptr())
                } else {
                    Err(Error::new(
                        Status::InvalidTensor,
                        format!("input '{}': the rank is not {}", port.name, port.dims.len()),
                    ))
                }
            })
            .collect()
    }

    /// Bytes of workspace that inputs of these dims need. Fails where dims
    /// depend on what an input *is*: bind it, and run.
    pub fn workspace_size(&self, dims: &[&[i64]]) -> Result<usize> {
        let pointers = self.pointers(dims)?;
        let mut bytes = 0;
        call(|error| unsafe {
            (self.query.api.workspace_size)(
                self.query.context,
                pointers.as_ptr(),
                &mut bytes,
                error,
            )
        })?;
        Ok(bytes)
    }

    /// The dims of an output for inputs of these dims; likewise.
    pub fn output_dims(&self, dims: &[&[i64]], output: &str) -> Result<Vec<i64>> {
        let pointers = self.pointers(dims)?;
        let index = Model::find(self.model.outputs(), "output", output)?;
        let mut result = vec![0; self.model.outputs()[index].dims.len()];
        call(|error| unsafe {
            (self.query.api.output_dims)(
                self.query.context,
                pointers.as_ptr(),
                index as i32,
                result.as_mut_ptr(),
                error,
            )
        })?;
        Ok(result)
    }

    /// Makes the workspace large enough for inputs of these dims, so that runs
    /// with them, or smaller ones, allocate nothing.
    pub fn reserve(&mut self, dims: &[&[i64]]) -> Result<()> {
        self.workspace_size(dims)?;
        self.blank_inputs()?;
        let pointers = self.pointers(dims)?;
        call(|error| unsafe {
            (self.main.api.reserve)(self.main.context, pointers.as_ptr(), error)
        })
    }

    /// What was bound last may be gone, and the runtime reads those inputs that
    /// dims can depend on: all of them have fixed dims.
    fn blank_inputs(&mut self) -> Result<()> {
        if !self.used {
            return Ok(());
        }
        let (raw, model) = (&self.main, &self.model);
        self.blanks.clear();
        for (i, port) in model.inputs().iter().enumerate() {
            let fixed: Option<Vec<i64>> = port
                .dims
                .iter()
                .map(|dim| match dim {
                    Dim::Fixed(value) => Some(*value),
                    Dim::Named(_) => None,
                })
                .collect();
            let dims = match fixed {
                Some(dims) => dims,
                None => continue,
            };
            let elements = dims.iter().product::<i64>().max(1) as usize;
            let blank = vec![0u64; if port.is_optional { 0 } else { elements }];
            let (own, data): (*const i64, *const c_void) = if port.is_optional {
                (null(), null())
            } else {
                (dims.as_ptr(), blank.as_ptr().cast())
            };
            call(|error| unsafe {
                (raw.api.bind_input)(
                    raw.context,
                    i as i32,
                    port.dtype as i32,
                    dims.len() as i32,
                    own,
                    data,
                    blank.len() * 8,
                    error,
                )
            })?;
            self.blanks.push(blank);
        }
        self.used = false;
        Ok(())
    }

    /// Begins a run: inputs and outputs are borrowed until the binding is gone.
    pub fn bind(&mut self) -> Binding<'_, '_> {
        self.used = true;
        let inputs = vec![None; self.model.inputs().len()];
        let outputs = vec![false; self.model.outputs().len()];
        Binding { context: self, inputs, outputs, tensors: PhantomData }
    }
}

/// Inputs and outputs of runs. It holds what it was given: memory that is freed
/// or changed too early does not compile.
///
/// ```compile_fail
/// fn run(context: &mut tenon::Context, y: &mut [f32]) -> tenon::Result<()> {
///     let mut binding = context.bind();
///     {
///         let x = vec![1.0f32; 8];
///         binding.input("x", &[8], &x)?;
///     }
///     binding.output("y", y)?;
///     binding.run()
/// }
/// ```
pub struct Binding<'context, 'tensors> {
    context: &'context mut Context,
    /// The dims of what is bound.
    inputs: Vec<Option<Vec<i64>>>,
    outputs: Vec<bool>,
    tensors: PhantomData<&'tensors mut ()>,
}

impl<'tensors> Binding<'_, 'tensors> {
    /// Gives an input; it is only read.
    pub fn input<T: Element>(
        &mut self,
        name: &str,
        dims: &[i64],
        data: &'tensors [T],
    ) -> Result<&mut Self> {
        let index = Model::find(self.context.model.inputs(), "input", name)?;
        let port = &self.context.model.inputs()[index];
        let dtype = type_for::<T>(port.dtype);
        let raw = &self.context.main;
        call(|error| unsafe {
            (raw.api.bind_input)(
                raw.context,
                index as i32,
                dtype as i32,
                dims.len() as i32,
                dims.as_ptr(),
                data.as_ptr().cast(),
                size_of_val(data),
                error,
            )
        })?;
        self.inputs[index] = Some(dims.to_vec());
        Ok(self)
    }

    /// Gives the memory that an output is written to; its dims follow from the
    /// inputs.
    pub fn output<T: Element>(&mut self, name: &str, data: &'tensors mut [T]) -> Result<&mut Self> {
        let index = Model::find(self.context.model.outputs(), "output", name)?;
        let port = &self.context.model.outputs()[index];
        let dtype = type_for::<T>(port.dtype);
        let raw = &self.context.main;
        call(|error| unsafe {
            (raw.api.bind_output)(
                raw.context,
                index as i32,
                dtype as i32,
                port.dims.len() as i32,
                null(),
                data.as_mut_ptr().cast(),
                size_of_val(data),
                error,
            )
        })?;
        self.outputs[index] = true;
        Ok(self)
    }

    /// What an earlier binding gave must not be read: all of it is replaced.
    fn complete(&mut self) -> Result<Vec<*const i64>> {
        let raw = &self.context.main;
        let mut pointers = Vec::with_capacity(self.inputs.len());
        for (i, port) in self.context.model.inputs().iter().enumerate() {
            match &self.inputs[i] {
                Some(dims) => pointers.push(dims.as_ptr()),
                None if port.is_optional => {
                    call(|error| unsafe {
                        (raw.api.bind_input)(
                            raw.context,
                            i as i32,
                            port.dtype as i32,
                            port.dims.len() as i32,
                            null(),
                            null(),
                            0,
                            error,
                        )
                    })?;
                    pointers.push(null());
                }
                None => {
                    return Err(Error::new(
                        Status::NotBound,
                        format!("input is missing: {port}"),
                    ))
                }
            }
        }
        Ok(pointers)
    }

    /// The dims that an output will have, once all inputs are given: the most
    /// that they can be, where the data decides.
    pub fn output_dims(&mut self, name: &str) -> Result<Vec<i64>> {
        let index = Model::find(self.context.model.outputs(), "output", name)?;
        let pointers = self.complete()?;
        let mut dims = vec![0; self.context.model.outputs()[index].dims.len()];
        let raw = &self.context.main;
        call(|error| unsafe {
            (raw.api.output_dims)(
                raw.context,
                pointers.as_ptr(),
                index as i32,
                dims.as_mut_ptr(),
                error,
            )
        })?;
        Ok(dims)
    }

    /// Runs the model. Makes the workspace larger where that is needed; in a
    /// context that was reserved for such dims nothing is allocated.
    pub fn run(&mut self) -> Result<()> {
        let pointers = self.complete()?;
        for (bound, port) in self.outputs.iter().zip(self.context.model.outputs()) {
            if !bound {
                return Err(Error::new(
                    Status::NotBound,
                    format!("output is missing: {port}"),
                ));
            }
        }
        let raw = &self.context.main;
        let mut result = Ok(());
        // A run that meets a number which nothing bounds before it may need more
        // room, and says so: each try meets more of them.
        for _ in 0..64 {
            call(|error| unsafe { (raw.api.reserve)(raw.context, pointers.as_ptr(), error) })?;
            result = call(|error| unsafe { (raw.api.run)(raw.context, error) });
            match &result {
                Err(error) if error.status() == Status::WorkspaceTooSmall => continue,
                _ => break,
            }
        }
        result
    }

    /// An output's dims as the last run computed them.
    pub fn last_output_dims(&self, name: &str) -> Result<Vec<i64>> {
        let index = Model::find(self.context.model.outputs(), "output", name)?;
        let mut dims = vec![0; self.context.model.outputs()[index].dims.len()];
        let raw = &self.context.main;
        call(|error| unsafe {
            (raw.api.last_output_dims)(raw.context, index as i32, dims.as_mut_ptr(), error)
        })?;
        Ok(dims)
    }
}

/// The port's type where T serves as it, or else T's own, which the C API then
/// refuses with its message.
fn type_for<T: Element>(port: DType) -> DType {
    *T::DTYPES.iter().find(|dtype| **dtype == port).unwrap_or(&T::DTYPES[0])
}
