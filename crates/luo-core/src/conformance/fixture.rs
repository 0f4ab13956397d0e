//! What the author of a handler brings along: a **fixture**.
//!
//! - The **host** is what the handler talks to: a kernel, or a simulation of one. Both sides of an update are on it.
//! - A **portrait** is all of a file that its user can observe, in a form that can be compared.
//! - A **baseline** is all that a leak would change: references, pins, descriptors, objects that live.

use alloc::vec::Vec;
use core::fmt::Debug;

use crate::{FileHandler, Registry, Version};

/// The files of a fixture's handler.
pub type FileOf<F> = <<F as Fixture>::Handler as FileHandler>::File;

/// The two programs of an update. In a law they may be one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The program that hands over.
    Near,
    /// The program that takes over.
    Far,
}

/// A handler, files for it, and a host that can be looked into and told to fail.
///
/// No method has a default body. Where the handler or its host has nothing of the kind, the answer is an empty list,
/// 0 or `false`; a law that then has no case is reported as skipped.
pub trait Fixture {
    /// The handler that is tried.
    type Handler: FileHandler;
    /// All of a file that its user can observe.
    type Portrait: PartialEq + Debug;
    /// All that a leak would change.
    type Baseline: PartialEq + Debug;

    /// Begins anew. Called before each case, when every file of the case before has been dropped.
    fn renew(&mut self);

    /// The handler as the program of this side registers it. Called many times in a case.
    fn handler(&mut self, side: Side) -> Self::Handler;

    /// Registers what the handler leans on: shared objects.
    fn company(&mut self, side: Side, registry: &mut Registry);

    /// How many files [`file`](Self::file) can make that differ in kind: contents, sizes, flags, and every edge that
    /// the author knows of. At least one; two or more let the laws about neighbours have cases.
    fn files(&self) -> usize;

    /// Makes a file, number `nth` of [`files`](Self::files), as its user would have it before an update. The same
    /// each time, apart from what the host decides.
    fn file(&mut self, nth: usize) -> FileOf<Self>;

    /// The same file by the host's own way: another descriptor, another path. A clone where there is no other way.
    fn another_reference(&mut self, file: &FileOf<Self>) -> FileOf<Self>;

    /// Files that are the handler's, but cannot travel.
    fn refused(&mut self) -> Vec<FileOf<Self>>;

    /// Files that have the type of the handler's files and are somebody else's.
    fn strangers(&mut self) -> Vec<FileOf<Self>>;

    /// Draws the part of the file that a payload of `version` carries. Changes nothing.
    fn portrait(&mut self, file: &FileOf<Self>, version: Version) -> Self::Portrait;

    /// What there is on the host now.
    fn baseline(&mut self) -> Self::Baseline;

    /// How many changes [`change`](Self::change) knows.
    fn changes(&self) -> usize;

    /// Changes a file as its user would, in the way number `which` of [`changes`](Self::changes). `false` if the host
    /// does not allow it, now or with this file. What it changed must be seen in a portrait of the newest version.
    fn change(&mut self, file: &FileOf<Self>, which: usize) -> bool;

    /// From now on the host call with number `nth`, from 0, fails, once. Calls that undo what another did are not
    /// counted: by contract they cannot fail.
    fn arm(&mut self, nth: u64);

    /// No host call fails any more. Whether one did since [`arm`](Self::arm).
    fn disarm(&mut self) -> bool;
}
