// ===- main.rs - a Rust program with a model linked in ---------------------===
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ===-----------------------------------------------------------------------===
//! Says of each point on the command line whether it lies inside the unit
//! circle, in the opinion of a small network.
use tenon::{Context, Options};

fn classify(points: &[f32]) -> tenon::Result<Vec<f32>> {
    let model = tenon::linked_model!(tenon_model_circle)?;
    let mut context = Context::new(&model, &Options { threads: 1, ..Options::default() })?;
    let rows = points.len() / 2;
    let mut inside = vec![0.0f32; rows];
    let mut binding = context.bind();
    binding.input("point", &[rows as i64, 2], points)?.output("inside", &mut inside)?;
    binding.run()?;
    Ok(inside)
}

fn main() {
    let words = std::env::args().skip(1);
    let points: Vec<f32> = words.filter_map(|word| word.parse().ok()).collect();
    if points.is_empty() || points.len() % 2 != 0 {
        eprintln!("usage: rust-circle X Y [X Y]...");
        std::process::exit(1);
    }
    match classify(&points) {
        Ok(inside) => {
            for (point, inside) in points.chunks(2).zip(inside) {
                let place = if inside > 0.5 { "inside" } else { "outside" };
                println!("({}, {}) is {place}", point[0], point[1]);
            }
        }
        Err(error) => {
            eprintln!("rust-circle: error: {error}");
            std::process::exit(1);
        }
    }
}
