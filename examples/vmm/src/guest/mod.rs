//! The guest: a program that makes its own memory predictable.
//!
//! - The **layout** says which guest physical addresses there are, and which pages belong to which vCPU.
//! - The **pattern** is what memory holds before the first step, and what each **step** writes.
//! - The **image** is what the guest boots from: page tables, descriptor tables, code, and one board per vCPU.
//! - A **board** is one page in which a vCPU keeps its counter and what it saw of interrupts and time.
//!
//! A step increments the vCPU's counter and rewrites one word of one of its pages; which word, which page and what
//! value follow from the counter alone. So all of guest memory can be computed again from the counters: see
//! [`verify()`].

mod layout;
mod pattern;
mod image;
mod program;
mod verify;

pub(crate) use image::{INTERRUPTS, PAGE_TABLES, SEGMENTS, VECTOR, digit};
pub(crate) use layout::{Board, Layout, LayoutError, Share};
pub(crate) use pattern::{LINE_EVERY, SAMPLE_EVERY, WORD_STRIDE, value};
pub(crate) use program::{LINE_DIGITS, PORT, Registers, registers_of};
pub(crate) use verify::{Findings, LookError, books, fill, hash, verify};
