// ===- element.rs - element types ------------------------------------------===
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ===-----------------------------------------------------------------------===
use crate::ffi;

/// A tensor's element type; the numbers are ONNX's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum DType {
    F32 = 1,
    U8 = 2,
    I8 = 3,
    U16 = 4,
    I16 = 5,
    I32 = 6,
    I64 = 7,
    Bool = 9,
    F16 = 10,
    F64 = 11,
    U32 = 12,
    U64 = 13,
    BF16 = 16,
    F8E4M3FN = 17,
    F8E4M3FNUZ = 18,
    F8E5M2 = 19,
    F8E5M2FNUZ = 20,
    U4 = 21,
    I4 = 22,
    F4E2M1 = 23,
    F8E8M0 = 24,
    U2 = 25,
    I2 = 26,
}

impl DType {
    /// All of them, with Tenon's names.
    const NAMES: [(DType, &'static str); 23] = [
        (DType::F32, "f32"),
        (DType::U8, "u8"),
        (DType::I8, "i8"),
        (DType::U16, "u16"),
        (DType::I16, "i16"),
        (DType::I32, "i32"),
        (DType::I64, "i64"),
        (DType::Bool, "bool"),
        (DType::F16, "f16"),
        (DType::F64, "f64"),
        (DType::U32, "u32"),
        (DType::U64, "u64"),
        (DType::BF16, "bf16"),
        (DType::F8E4M3FN, "f8e4m3fn"),
        (DType::F8E4M3FNUZ, "f8e4m3fnuz"),
        (DType::F8E5M2, "f8e5m2"),
        (DType::F8E5M2FNUZ, "f8e5m2fnuz"),
        (DType::U4, "u4"),
        (DType::I4, "i4"),
        (DType::F4E2M1, "f4e2m1"),
        (DType::F8E8M0, "f8e8m0"),
        (DType::U2, "u2"),
        (DType::I2, "i2"),
    ];

    pub(crate) fn of(code: ffi::DType) -> Option<DType> {
        DType::NAMES.iter().map(|row| row.0).find(|dtype| *dtype as i32 == code)
    }

    /// "f32".
    pub fn name(self) -> &'static str {
        DType::NAMES.iter().find(|row| row.0 == self).map_or("unknown", |row| row.1)
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that a tensor's memory may consist of.
pub trait Element: sealed::Sealed + Copy + 'static {
    /// The types of tensors that it serves as, the first its own.
    const DTYPES: &'static [DType];
}

macro_rules! element {
    ($($type:ty: $($dtype:ident),+;)+) => {$(
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const DTYPES: &'static [DType] = &[$(DType::$dtype),+];
        }
    )+};
}

/// The bits of an f16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct F16(pub u16);

/// The bits of a bf16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct BF16(pub u16);

/// A code of 8 bits, or a byte of packed ones: the elements in order, the lowest
/// bits of a byte first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Code(pub u8);

element! {
    f32: F32;
    f64: F64;
    i8: I8;
    i16: I16;
    i32: I32;
    i64: I64;
    u8: U8;
    u16: U16;
    u32: U32;
    u64: U64;
    bool: Bool;
    F16: F16;
    BF16: BF16;
    Code: F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, U4, I4, F4E2M1, U2, I2;
}
