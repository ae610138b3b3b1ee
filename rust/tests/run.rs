// ===- run.rs - models from Rust -------------------------------------------===
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ===-----------------------------------------------------------------------===
//! Compiles a model with the compiler that $TENON names.
use std::path::PathBuf;
use std::sync::Once;
use tenon::{Context, Dim, Model, Options, Status, F16};

const TEXT: &str = r#"
<ir_version: 8, opset_import: ["" : 17]>
many (float[n, 3] x, int64[k] ids, float16[n] h, bool[n] on, float[3] scale = {1, 2, 3})
  => (float[n, 3] y, float16[n] h2, bool[n] off, int64[1, found] places, float[k, 2] rows)
<float[4, 2] table = {0, 1, 2, 3, 4, 5, 6, 7}> {
  y = Mul (x, scale)
  h2 = Add (h, h)
  off = Not (on)
  places = NonZero (on)
  rows = Gather (table, ids)
}
"#;

fn model() -> Model {
    static COMPILED: Once = Once::new();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let output = folder.join("many.so");
    COMPILED.call_once(|| {
        let source = folder.join("many.onnxtxt");
        std::fs::write(&source, TEXT).unwrap();
        tenon::build::Model::new(&source).option("-O0").compile(&output).unwrap();
    });
    Model::open(output).unwrap()
}

#[test]
fn says_what_it_takes() {
    let model = model();
    assert_eq!(model.name(), "many");
    let x = &model.inputs()[0];
    assert_eq!(x.to_string(), "x: f32 [n, 3]");
    assert_eq!(x.dims, [Dim::Named("n".into()), Dim::Fixed(3)]);
    assert_eq!(model.inputs()[1].id_bound, 4);
    assert!(model.inputs()[4].is_optional);
    assert!(model.compiler_version().starts_with("tenon "));
}

#[test]
fn runs_on_threads_of_its_own() {
    let model = model();
    let workers: Vec<_> = (1..4usize)
        .map(|n| {
            let model = model.clone();
            std::thread::spawn(move || {
                let mut context = Context::new(&model, &Options::default()).unwrap();
                for _ in 0..3 {
                    run(&mut context, n);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
}

fn run(context: &mut Context, n: usize) {
    let rows = n as i64;
    let x: Vec<f32> = (0..3 * n).map(|i| i as f32).collect();
    let h = vec![F16(0x3c00); n];
    let on: Vec<bool> = (0..n).map(|i| i % 2 == 0).collect();
    let (mut y, mut h2) = (vec![0f32; 3 * n], vec![F16(0); n]);
    let (mut off, mut places, mut table) = (vec![false; n], vec![0i64; n], [0f32; 4]);
    let mut binding = context.bind();
    binding
        .input("x", &[rows, 3], &x)
        .and_then(|b| b.input("ids", &[2], &[3i64, 0]))
        .and_then(|b| b.input("h", &[rows], &h))
        .and_then(|b| b.input("on", &[rows], &on))
        .and_then(|b| b.output("y", &mut y))
        .and_then(|b| b.output("h2", &mut h2))
        .and_then(|b| b.output("off", &mut off))
        .and_then(|b| b.output("places", &mut places))
        .and_then(|b| b.output("rows", &mut table))
        .unwrap();
    assert_eq!(binding.output_dims("places").unwrap(), [1, rows]);
    binding.run().unwrap();
    assert_eq!(binding.last_output_dims("places").unwrap(), [1, (rows + 1) / 2]);
    for (i, value) in y.iter().enumerate() {
        assert_eq!(*value, (i * (i % 3 + 1)) as f32);
    }
    assert!(h2.iter().all(|value| *value == F16(0x4000)));
    assert!(off.iter().zip(&on).all(|(off, on)| off != on));
    assert_eq!(table, [6.0, 7.0, 0.0, 1.0]);
}

#[test]
fn mistakes_are_errors() {
    let model = model();
    let mut context = Context::new(&model, &Options { threads: 1, ..Options::default() }).unwrap();
    assert_eq!(context.threads(), 1);
    let dims: [&[i64]; 5] = [&[4, 3], &[1], &[4], &[4], &[]];
    assert!(context.workspace_size(&dims[..4]).is_err());
    context.reserve(&dims).unwrap();
    assert_eq!(context.output_dims(&dims, "rows").unwrap(), [1, 2]);

    let x = [0f32; 12];
    let mut binding = context.bind();
    let error = binding.input("z", &[4, 3], &x).err().unwrap();
    assert_eq!(error.message(), "the model has no input 'z'; it has x, ids, h, on, scale");
    let error = binding.input("x", &[4, 3], &[0f64; 12]).err().unwrap();
    assert_eq!(error.status(), Status::InvalidTensor);
    assert!(error.message().contains("'x'"), "{error}");
    let error = binding.input("x", &[4, 3], &x[..11]).err().unwrap();
    assert_eq!(error.status(), Status::InvalidTensor);
    binding.input("x", &[4, 3], &x).unwrap();
    let error = binding.run().err().unwrap();
    assert_eq!(error.message(), "input is missing: ids: i64 [k]");
    drop(binding);
    run(&mut context, 2);
    // What the run above bound is gone, and is not read.
    assert_eq!(context.bind().run().err().unwrap().status(), Status::NotBound);

    let error = Model::open("none.so").err().unwrap();
    assert!(error.message().starts_with("cannot open 'none.so'"), "{error}");
    let error = Model::open("Cargo.toml").err().unwrap();
    assert_eq!(error.message(), "cannot load 'Cargo.toml': not a shared library");
    assert_eq!(error.status(), Status::Io);
    let build = tenon::build::Model::new("none.onnx");
    assert!(build.compile(std::path::Path::new("no.so")).unwrap_err().contains("none.onnx"));
}
