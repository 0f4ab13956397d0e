//! The crate's only unsafe code: mappings of huge pages.
//!
//! - A [`Window`] is one page of a file that is being filled, mapped to be written.
//! - [`Preferred`] is the node on which this thread had better get its pages.
//! - [`scan`] finds the populated pages of a file: it asks the kernel to put each into a fresh mapping, and never
//!   touches it.
// UNSAFETY: files of huge pages can be written through mappings alone, and what is populated is told by ioctls on
// mappings. No safe interface exists for either.
#![expect(unsafe_code, reason = "mappings of huge pages, and ioctls and system calls about them")]

mod fault;
mod policy;
mod scan;
mod window;

pub(super) use policy::Preferred;
pub(super) use scan::scan;
pub(super) use window::Window;
