// ===- lib.rs - compiled models in Rust ------------------------------------===
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ===-----------------------------------------------------------------------===
//! Runs models that Tenon
//! compiled ahead of time. An artifact carries its runtime, so this crate links
//! nothing and depends on nothing: it is the artifact's table of functions with
//! Rust's types around it.
//!
//! ```no_run
//! # fn main() -> tenon::Result<()> {
//! let model = tenon::Model::open("minilm.so")?;
//! let mut context = tenon::Context::new(&model, &tenon::Options::default())?;
//! let ids = [101i64, 7592, 2088, 102];
//! let (mask, types) = ([1i64; 4], [0i64; 4]);
//! let mut hidden = vec![0f32; 4 * 384];
//! let mut pooled = vec![0f32; 384];
//! let mut binding = context.bind();
//! binding
//!     .input("input_ids", &[1, 4], &ids)?
//!     .input("attention_mask", &[1, 4], &mask)?
//!     .input("token_type_ids", &[1, 4], &types)?
//!     .output("last_hidden_state", &mut hidden)?
//!     .output("pooler_output", &mut pooled)?;
//! binding.run()?;
//! # Ok(())
//! # }
//! ```
//!
//! A model that is linked into the program, by [`build::Model::link`] in its build
//! script, is [`linked_model!`]`(tenon_model_NAME)`.
#![warn(missing_docs)]

pub mod build;
mod context;
mod element;
mod error;
#[doc(hidden)]
#[allow(missing_docs)]
pub mod ffi;
mod library;
mod model;

pub use context::{Binding, Context, Options};
pub use element::{Code, DType, Element, BF16, F16};
pub use error::{Error, Result, Status};
pub use model::{Dim, Model, Port};

/// The model behind a symbol that the program is linked with, as a
/// [`Result`]`<`[`Model`]`>`.
#[macro_export]
macro_rules! linked_model {
    ($symbol:ident) => {{
        extern "C" {
            static $symbol: $crate::ffi::Model;
        }
        unsafe { $crate::Model::from_raw(&$symbol) }
    }};
}
