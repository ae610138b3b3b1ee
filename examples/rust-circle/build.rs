// ===- build.rs - compiles the model that main.rs is linked with -----------===
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ===-----------------------------------------------------------------------===
fn main() {
    tenon::build::Model::new("../c-minimal/circle.onnxtxt").link();
}
