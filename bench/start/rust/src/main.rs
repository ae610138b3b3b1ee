// ===- main.rs - a Rust program that opens a model -------------------------===
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ===-----------------------------------------------------------------------===
use tenon::{Context, Model, Options};

const IDS: [i64; 8] = [101, 1996, 4937, 25126, 2006, 1996, 10682, 102];

fn main() -> tenon::Result<()> {
    let model = Model::open(std::env::args().nth(1).expect("a model"))?;
    let mut context = Context::new(&model, &Options { threads: 1, ..Options::default() })?;
    let (mask, types) = ([1i64; 8], [0i64; 8]);
    let (mut result, mut pooled) = (vec![0.0f32; 8 * 384], vec![0.0f32; 384]);
    let mut binding = context.bind();
    binding.input("input_ids", &[1, 8], &IDS)?.input("attention_mask", &[1, 8], &mask)?;
    binding.input("token_type_ids", &[1, 8], &types)?;
    binding.output("last_hidden_state", &mut result)?.output("pooler_output", &mut pooled)?;
    binding.run()?;
    println!("{:.3}", result[0]);
    // Until it has been measured.
    let _ = std::io::stdin().read_line(&mut String::new());
    Ok(())
}
