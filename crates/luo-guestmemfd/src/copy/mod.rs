//! Copying a file's contents: into preserved memory and out of it again, or straight into a new file.
//!
//! - The **store** is what prepare reserves: a [`PageStore`](luo_xarray::page_map::PageStore). Freeze takes no memory.
//! - A [`Stretch`] is neighbouring pages that exist and are reached in the same way: by the host, or by the embedder's
//!   [`PrivateMemory`](crate::PrivateMemory).
//!
//! KVM keeps no dirty log of slots that are bound to a guest_memfd, so nobody knows what was written while the guest
//! ran: all copying lies in freeze or, on the far side, between adoption and commit.

mod present;
mod save;
mod make;
#[cfg(test)]
mod tests;

pub(crate) use make::{Home, anew, from_store};
pub(crate) use present::{Stretch, present_pages};
pub(crate) use save::Saving;
