//! Finding the populated pages of a file, and their nodes.

use alloc::vec;
use alloc::vec::Vec;
use core::ffi::{c_int, c_void};
use core::ptr;
use std::os::fd::BorrowedFd;

use luo_kho::ByteLen;

use super::fault::{Found, Mapping};
use crate::pool::Run;
use crate::{HugetlbError, Node, PageSize};

/// So much of a file is mapped at once: 1 TiB, a small part of the 128 TiB that a process has.
const MAPPED_MAX: u64 = 1 << 40;
/// Pages whose nodes are asked for at once.
const ASKED_MAX: u64 = 1024;

/// The populated pages among the first `pages`, ascending; no more than `kept` are searched for.
///
/// # Errors
///
/// [`HugetlbError::Poisoned`], or the kernel's.
pub(in crate::linux) fn scan(
    file: BorrowedFd<'_>,
    page_size: PageSize,
    pages: u64,
    kept: u64,
) -> Result<Vec<Run>, HugetlbError> {
    let (mut runs, mut found) = (Vec::new(), 0);
    let at_once = (MAPPED_MAX / page_size.bytes()).max(1);
    let mut first = 0;
    while first < pages && found < kept {
        let count = at_once.min(pages - first);
        let mapping = Mapping::new(file, first * page_size.bytes(), count * page_size.bytes())?;
        let mut page = 0;
        while page < count && found < kept {
            match mapping.find(page * page_size.bytes(), (count - page) * page_size.bytes())? {
                Found::Pages(bytes) => {
                    let some = (bytes / page_size.bytes()).max(1);
                    note(&mut runs, &mapping, first, page..page + some, page_size);
                    page += some;
                    found += some;
                }
                Found::Hole => page += 1,
                Found::Broken => {
                    return Err(HugetlbError::Poisoned {
                        offset: (first + page) * page_size.bytes(),
                        page_size,
                    });
                }
            }
        }
        first += count;
    }
    Ok(runs)
}

/// Adds pages of a mapping, which begins at page `first` of the file, with their nodes.
fn note(
    runs: &mut Vec<Run>,
    mapping: &Mapping,
    first: u64,
    pages: core::ops::Range<u64>,
    page_size: PageSize,
) {
    let mut from = pages.start;
    while from < pages.end {
        let to = pages.end.min(from + ASKED_MAX);
        let addresses: Vec<_> = (from..to).map(|page| mapping.address(page * page_size.bytes())).collect();
        for (page, node) in (first + from..).zip(nodes(&addresses)) {
            match runs.last_mut() {
                Some(run) if run.pages.end == page && run.node == node => run.pages.end += 1,
                _ => runs.push(Run { pages: page..page + 1, node }),
            }
        }
        from = to;
    }
}

/// On which nodes the pages at these addresses are. Nothing is moved.
fn nodes(addresses: &[*const c_void]) -> Vec<Node> {
    let mut status: Vec<c_int> = vec![-1; addresses.len()];
    // SAFETY: the kernel reads as many addresses as it is told, writes as many numbers, and, without nodes to move to,
    // moves nothing. The addresses are not touched.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_move_pages,
            0,
            ByteLen::of(addresses.len()).get(),
            addresses.as_ptr(),
            ptr::null::<c_int>(),
            status.as_mut_ptr(),
            0,
        )
    };
    // A kernel without nodes does not know the call: all its memory is one.
    let node = |status: c_int| match u32::try_from(status) {
        _ if answer < 0 => Node(0),
        Ok(node) => Node(node),
        Err(_) => Node::UNKNOWN,
    };
    status.into_iter().map(node).collect()
}
