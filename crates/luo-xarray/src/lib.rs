#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod array;
pub mod serial;
pub mod page_map;

pub use array::{
    Ascending, Block, Cursor, CursorMut, Direction, Entry, Linear, Mark, Marks, Refused, Spread, Uniform,
    XArray, XArrayError,
};
