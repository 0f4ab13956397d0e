//! From which node a thread gets its pages: `set_mempolicy(2)`.

use core::ffi::{c_int, c_ulong};
use core::ptr;

use crate::Node;

/// `MPOL_PREFERRED`.
const PREFERRED: c_int = 1;
/// Nodes in a mask: as many as Linux can have.
const NODES: usize = 1024;
/// The kernel takes a whole register of them.
const NO_FLAGS: c_ulong = 0;
const BITS: usize = c_ulong::BITS as usize;

type Mask = [c_ulong; NODES / BITS];

/// This thread prefers a node, until it is dropped.
#[derive(Debug)]
pub(in crate::linux) struct Preferred {
    mode: c_int,
    mask: Mask,
}

impl Preferred {
    /// `None` where there is no such choice.
    pub(in crate::linux) fn node(Node(node): Node) -> Option<Self> {
        let node = usize::try_from(node).ok()?;
        let mut before = Self { mode: 0, mask: [0; NODES / BITS] };
        // SAFETY: the kernel writes a mode and a mask of as many bits as it is told, and nothing else.
        let told = unsafe {
            libc::syscall(
                libc::SYS_get_mempolicy,
                &raw mut before.mode,
                before.mask.as_mut_ptr(),
                NODES,
                ptr::null::<()>(),
                NO_FLAGS,
            )
        };
        let mut mask: Mask = [0; NODES / BITS];
        *mask.get_mut(node / BITS)? |= 1 << (node % BITS);
        (told == 0 && set(PREFERRED, &mask)).then_some(before)
    }
}

impl Drop for Preferred {
    fn drop(&mut self) {
        // It was this thread's policy a moment ago.
        set(self.mode, &self.mask);
    }
}

fn set(mode: c_int, mask: &Mask) -> bool {
    // SAFETY: the kernel reads a mask of as many bits as it is told; later allocations of this thread come from other
    // nodes.
    unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask.as_ptr(), NODES) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_ends() {
        let mode = || {
            let mut mode: c_int = -1;
            // SAFETY: as above, without a mask.
            let told = unsafe {
                libc::syscall(
                    libc::SYS_get_mempolicy,
                    &raw mut mode,
                    ptr::null::<c_ulong>(),
                    0usize,
                    ptr::null::<()>(),
                    NO_FLAGS,
                )
            };
            (told == 0).then_some(mode)
        };
        let Some(before) = mode() else {
            std::println!("SKIPPED: a_preference_ends: this kernel has no policies");
            return;
        };
        let preferred = Preferred::node(Node(0));
        assert_eq!((preferred.is_some(), mode()), (true, Some(PREFERRED)));
        drop(preferred);
        assert_eq!(mode(), Some(before));
        assert!(Preferred::node(Node::UNKNOWN).is_none());
    }
}
