//! Guest physical addresses: what lies where.
//!
//! ```text
//!  0           2 MiB            low                4 GiB             4 GiB + high
//!  |-- boot ---|---- data ------|   . . gap . .    |----- data ------|
//! ```
//!
//! - **Boot** holds what [`super::image`] makes. It is as long as one large page of the guest's page tables.
//! - **Data** pages are numbered through both regions. Page `i` belongs to vCPU `i % vcpus`: its **share**.
//! - The **gap** ends at 4 GiB, so that the local APIC (at `0xFEE0_0000`) is not covered by memory.

/// Bytes of a page.
pub(super) const PAGE: u64 = 4096;
/// [`PAGE`] as a length.
pub(super) const PAGE_BYTES: usize = 4096;
const _: () = assert!(PAGE_BYTES as u64 == PAGE);
/// Bytes at the start of memory that the image takes.
pub(super) const BOOT: u64 = 2 << 20;
/// Where the second region begins.
const HIGH: u64 = 4 << 30;
/// The first region is at most so long: what is below the local APIC, in round numbers.
const LOW_MAX: u64 = 2 << 30;
/// Memory comes in multiples of this: both regions then consist of large pages.
const GRANULE: u64 = 4 << 20;
/// The most memory that the page tables in [`BOOT`] can map: one page of them for each GiB.
const MEMORY_MAX: u64 = 128 << 30;
/// Two regions of which the first has more than the image.
const MEMORY_MIN: u64 = 8 << 20;
/// The most vCPUs: each has a digit of its own in the serial output.
pub(crate) const VCPUS_MAX: u32 = 16;

/// Where the program begins.
pub(crate) const CODE: u64 = 0x10_0000;
/// Where the handler of the doorbell's interrupt begins.
pub(super) const HANDLER: u64 = 0x10_1000;
const BOARDS: u64 = 0x11_0000;
const STACKS: u64 = 0x13_0000;

/// Which memory a guest has, and how many vCPUs share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    low: u64,
    high: u64,
    vcpus: u32,
}

/// Why there is no such guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LayoutError {
    /// The size is not one that the two regions can have.
    #[error("memory comes in multiples of 4 MiB, from 8 MiB to 128 GiB: {bytes} bytes are not possible")]
    Memory {
        /// What was asked for.
        bytes: u64,
    },
    /// So many vCPUs, or none, have no shares.
    #[error("a guest has 1 to {VCPUS_MAX} vCPUs, not {vcpus}")]
    Vcpus {
        /// What was asked for.
        vcpus: u32,
    },
}

/// The pages of one vCPU, in the order of their addresses: its share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    layout: Layout,
    /// Whose it is.
    pub(crate) vcpu: u32,
    /// How many pages.
    pub(crate) pages: u64,
    /// From step to step the vCPU goes so many pages further, round and round: it has no factor in common with `pages`.
    pub(crate) stride: u64,
    /// `stride * inverse` is 1, modulo `pages`.
    pub(super) inverse: u64,
}

/// The page in which a vCPU keeps its books. The offsets are in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Board {
    /// Its address.
    pub(crate) at: u64,
}

impl Board {
    /// Steps so far. Written after the step's word.
    pub(crate) const COUNTER: u64 = 0;
    /// Doorbell interrupts so far.
    pub(crate) const INTERRUPTS: u64 = 8;
    /// The time stamp counter when it was read last.
    pub(crate) const TIME: u64 = 16;
    /// How often it had gone backwards.
    pub(crate) const BACKWARDS: u64 = 24;
    /// The widest step between two readings.
    pub(crate) const WIDEST: u64 = 32;
    /// Bytes from here on are constants, or as the base pattern left them.
    pub(super) const CONSTANTS: u64 = 40;
    /// The length of the gap, for the program.
    pub(super) const GAP: u64 = 40;
    /// The digit that names the vCPU in the serial output.
    pub(super) const DIGIT: u64 = 48;

    /// The board of a vCPU.
    pub(crate) const fn of(vcpu: u32) -> Self {
        Self { at: BOARDS + PAGE * vcpu as u64 }
    }
}

impl Layout {
    /// Half of the memory low, as far as it goes, and the rest high.
    ///
    /// # Errors
    ///
    /// [`LayoutError`].
    pub(crate) fn new(bytes: u64, vcpus: u32) -> Result<Self, LayoutError> {
        if !(1..=VCPUS_MAX).contains(&vcpus) {
            return Err(LayoutError::Vcpus { vcpus });
        }
        if !(MEMORY_MIN..=MEMORY_MAX).contains(&bytes) || !bytes.is_multiple_of(GRANULE) {
            return Err(LayoutError::Memory { bytes });
        }
        let low = (bytes / 2).min(LOW_MAX);
        Ok(Self { low, high: bytes - low, vcpus })
    }

    /// All bytes of it.
    pub(crate) const fn bytes(&self) -> u64 {
        self.low + self.high
    }

    /// How many vCPUs.
    pub(crate) const fn vcpus(&self) -> u32 {
        self.vcpus
    }

    /// First address and bytes of each region, ascending.
    pub(crate) const fn regions(&self) -> [(u64, u64); 2] {
        [(0, self.low), (HIGH, self.high)]
    }

    /// Addresses below this are mapped one to one by the guest's page tables.
    pub(super) const fn mapped(&self) -> u64 {
        HIGH + self.high
    }

    /// The first address past the low data pages, and the bytes from there to the first high one.
    pub(super) const fn gap(&self) -> (u64, u64) {
        (self.low, HIGH - self.low)
    }

    /// The top of a vCPU's stack, one page. Only interrupts write there.
    pub(super) const fn stack_top(vcpu: u32) -> u64 {
        STACKS + PAGE * (vcpu as u64 + 1)
    }

    /// The share of a vCPU.
    pub(crate) fn share(&self, vcpu: u32) -> Share {
        let data = (self.bytes() - BOOT) / PAGE;
        let (vcpus, nth) = (u64::from(self.vcpus), u64::from(vcpu));
        let pages = (data - nth).div_ceil(vcpus);
        // About the golden section: neighbours in time are far apart in memory.
        // The next prime is not far: at most `pages` are looked at.
        let stride = (pages * 618 / 1000..pages).find(|stride| gcd(*stride, pages) == 1).unwrap_or(1);
        Share { layout: *self, vcpu, pages, stride, inverse: inverse(stride, pages) }
    }
}

impl Share {
    /// The address of the first page.
    pub(super) const fn first(&self) -> u64 {
        BOOT + PAGE * self.vcpu as u64
    }

    /// Bytes from one page to the next, where there is no gap between them.
    pub(super) const fn spacing(&self) -> u64 {
        PAGE * self.layout.vcpus as u64
    }

    /// The address of page `nth`.
    pub(crate) const fn page(&self, nth: u64) -> u64 {
        let at = self.first() + nth * self.spacing();
        let (end, gap) = self.layout.gap();
        if at < end { at } else { at + gap }
    }
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The inverse of `a` modulo `modulus`, with which it has no factor in common.
fn inverse(a: u64, modulus: u64) -> u64 {
    let (mut old, mut new) = ((i128::from(a), 1i128), (i128::from(modulus), 0i128));
    while new.0 != 0 {
        let quotient = old.0 / new.0;
        (old, new) = (new, (old.0 - quotient * new.0, old.1 - quotient * new.1));
    }
    u64::try_from(old.1.rem_euclid(i128::from(modulus))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn shares_are_disjoint_and_cover_all_data_pages() {
        for (bytes, vcpus) in [(8 << 20, 1), (8 << 20, 3), (12 << 20, 16)] {
            let layout = Layout::new(bytes, vcpus).unwrap();
            let mut pages = BTreeSet::new();
            for share in (0..vcpus).map(|vcpu| layout.share(vcpu)) {
                for nth in 0..share.pages {
                    let at = share.page(nth);
                    assert!(pages.insert(at), "{at:#x} twice");
                }
                assert_eq!(share.stride * share.inverse % share.pages, 1);
            }
            let [(_, low), (high_at, high)] = layout.regions();
            let all = (BOOT..low).chain(high_at..high_at + high).step_by(4096);
            assert!(all.filter(|at| at.is_multiple_of(PAGE)).eq(pages), "{layout:?}");
        }
    }

    #[test]
    fn sizes_and_counts_that_cannot_be_are_refused() {
        for bytes in [0, 4 << 20, (64 << 20) + 4096, 256 << 30] {
            assert_eq!(Layout::new(bytes, 2), Err(LayoutError::Memory { bytes }));
        }
        for vcpus in [0, VCPUS_MAX + 1] {
            assert_eq!(Layout::new(64 << 20, vcpus), Err(LayoutError::Vcpus { vcpus }));
        }
        let large = Layout::new(8 << 30, 2).unwrap();
        assert_eq!(large.regions(), [(0, 2 << 30), (4 << 30, 6 << 30)]);
    }
}
