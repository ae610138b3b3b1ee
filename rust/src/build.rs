// ===- build.rs - compiling models in build scripts ------------------------===
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ===-----------------------------------------------------------------------===
//! For build scripts: compiles a model with the installed `tenon` and links it.
//!
//! ```no_run
//! // build.rs, with `tenon` under [build-dependencies]
//! tenon::build::Model::new("models/minilm.onnx")
//!     .name("minilm")
//!     .option("--target=x86-64-v2,x86-64-v3")
//!     .link();
//! ```
//!
//! The program then has it as `tenon::linked_model!(tenon_model_minilm)`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A model to compile.
#[derive(Clone, Debug)]
pub struct Model {
    source: PathBuf,
    name: String,
    options: Vec<String>,
    depends: Vec<PathBuf>,
    compiler: PathBuf,
}

impl Model {
    /// A path relative to the package, as everything in a build script. The name
    /// is the file's, until another one is given.
    pub fn new(source: impl Into<PathBuf>) -> Model {
        let source = source.into();
        let stem = source.file_stem().map_or(String::new(), |stem| stem.to_string_lossy().into());
        Model {
            name: stem,
            source,
            options: Vec::new(),
            depends: Vec::new(),
            compiler: env::var_os("TENON").map_or_else(|| "tenon".into(), PathBuf::from),
        }
    }

    /// The model's name, and its symbol's: `tenon_model_NAME`, with every
    /// character that is no letter or digit as `_`.
    pub fn name(mut self, name: impl Into<String>) -> Model {
        self.name = name.into();
        self
    }

    /// An option of `tenon compile`.
    pub fn option(mut self, option: impl Into<String>) -> Model {
        self.options.push(option.into());
        self
    }

    /// A file that the model consists of besides its .onnx file.
    pub fn depends(mut self, file: impl Into<PathBuf>) -> Model {
        self.depends.push(file.into());
        self
    }

    /// The compiler; otherwise $TENON, or `tenon` on PATH.
    pub fn compiler(mut self, program: impl Into<PathBuf>) -> Model {
        self.compiler = program.into();
        self
    }

    /// Compiles to `output`, a .so, .o or .a; the message of the compiler where
    /// it fails.
    pub fn compile(&self, output: &Path) -> Result<(), String> {
        let done = Command::new(&self.compiler)
            .arg("compile")
            .arg(&self.source)
            .arg("-o")
            .arg(output)
            .arg(format!("--name={}", self.name))
            .args(&self.options)
            .output()
            .map_err(|why| format!("cannot run '{}': {why}", self.compiler.display()))?;
        if done.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&done.stderr).trim_end().to_string())
    }

    /// Compiles to an archive in OUT_DIR and tells Cargo to link it. Ends the
    /// build script with the compiler's message where that fails.
    pub fn link(&self) {
        let folder = PathBuf::from(env::var_os("OUT_DIR").expect("OUT_DIR, as Cargo sets it"));
        println!("cargo:rerun-if-env-changed=TENON");
        for file in [&self.source].into_iter().chain(&self.depends) {
            println!("cargo:rerun-if-changed={}", file.display());
        }
        // A name that no other library has.
        let library = format!("tenon_model_{}", symbol_part(&self.name));
        if let Err(message) = self.compile(&folder.join(format!("lib{library}.a"))) {
            eprintln!("{message}");
            std::process::exit(1);
        }
        println!("cargo:rustc-link-search=native={}", folder.display());
        println!("cargo:rustc-link-lib=static={library}");
    }
}

fn symbol_part(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
