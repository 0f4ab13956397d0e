//! What is known of a guest_memfd, apart from its contents.
//!
//! - A **page** is 4 KiB of the file, counted from its start; a **guest frame** is 4 KiB of what the guest sees.
//! - A [`Binding`] shows neighbouring pages to the guest as a slot of its memory.
//! - The [`Sharing`] of a guest frame says whether the host may touch it. What nobody said is as the file was made.
//! - [`Facts`] are all that. A descriptor tells none of it, so whoever makes the file has to **tell** them: [`Told`].

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{BitOr, Range};

use crate::SharingMap;
use crate::lock::Mutex;

/// Guest frames end here: a guest has at most 2^64 bytes.
pub const FRAMES_END: u64 = 1 << 52;
/// The most bindings of one file: `KVM_USER_MEM_SLOTS` in each of two address spaces (`include/linux/kvm_host.h`).
pub const BINDINGS_MAX: usize = 2 * 32764;

/// How a guest_memfd was made: the flags of `KVM_CREATE_GUEST_MEMFD`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u64);

/// Neighbouring pages that the guest sees as neighbouring frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The slot, as KVM numbers it: 16 bits of address space, 16 bits of slot.
    pub slot: u32,
    /// The first guest frame.
    pub frame: u64,
    /// The first page of the file.
    pub page: u64,
    /// How many.
    pub count: u64,
}

/// Who may touch a guest frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Guest and host.
    Shared,
    /// The guest alone.
    Private,
}

/// All that is known of one file, apart from its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    flags: Flags,
    pages: u64,
    /// Ascending by page.
    bindings: Vec<Binding>,
    sharing: SharingMap,
}

/// The facts of one file, as its users go on telling them.
#[derive(Debug)]
pub struct Told(Mutex<Arc<Facts>>);

/// Why something that was told cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TellError {
    /// A slot without pages.
    #[error("slot {slot:#x} has no pages")]
    NoPages {
        /// Which.
        slot: u32,
    },
    /// More pages than the file has.
    #[error("slot {slot:#x} ends at page {end}, the file has {pages}")]
    BeyondTheFile {
        /// Which.
        slot: u32,
        /// One past its last page; `u64::MAX` also for more.
        end: u64,
        /// Pages of the file.
        pages: u64,
    },
    /// More frames than a guest can have.
    #[error("guest frames from {frame:#x} on reach beyond the last one")]
    BeyondTheGuest {
        /// The first of them.
        frame: u64,
    },
    /// The slot, its frames or its pages are those of another binding.
    #[error(
        "slot {slot:#x} meets the binding of slot {other:#x}: one slot, one page and one guest frame are bound once"
    )]
    Overlap {
        /// Which.
        slot: u32,
        /// The other one's slot.
        other: u32,
    },
    /// More slots than KVM has.
    #[error("there are {BINDINGS_MAX} bindings already")]
    TooMany,
}

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);
    /// The host may map it: `GUEST_MEMFD_FLAG_MMAP`.
    pub const MMAP: Self = Self(1);
    /// Its pages are shared until somebody says otherwise: `GUEST_MEMFD_FLAG_INIT_SHARED`.
    pub const INIT_SHARED: Self = Self(1 << 1);
    /// Both: the host can read and write all of it.
    pub const OPEN: Self = Self(Self::MMAP.0 | Self::INIT_SHARED.0);
    /// All that this crate knows.
    pub const KNOWN: Self = Self::OPEN;

    /// These bits, known or not.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those that this crate does not know.
    #[must_use]
    pub const fn unknown(self) -> Self {
        Self(self.0 & !Self::KNOWN.0)
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Binding {
    /// Its pages.
    pub const fn pages(&self) -> Range<u64> {
        self.page..self.page.saturating_add(self.count)
    }

    /// Its guest frames.
    pub const fn frames(&self) -> Range<u64> {
        self.frame..self.frame.saturating_add(self.count)
    }

    /// Which of the guest's address spaces it is in: 1 is that of system management mode.
    pub const fn address_space(&self) -> u32 {
        self.slot >> 16
    }

    /// What has to hold of a binding by itself, in a file of so many pages.
    fn check(&self, pages: u64) -> Result<(), TellError> {
        let Self { slot, frame, count, .. } = *self;
        let end = self.pages().end;
        if count == 0 {
            return Err(TellError::NoPages { slot });
        }
        if end > pages {
            return Err(TellError::BeyondTheFile { slot, end, pages });
        }
        if self.frames().end > FRAMES_END { Err(TellError::BeyondTheGuest { frame }) } else { Ok(()) }
    }

    fn meets(&self, other: &Self) -> bool {
        let overlap = |one: Range<u64>, other: Range<u64>| one.start < other.end && other.start < one.end;
        let frames = self.address_space() == other.address_space() && overlap(self.frames(), other.frames());
        self.slot == other.slot || frames || overlap(self.pages(), other.pages())
    }
}

impl Facts {
    /// A file of so many pages, made with these flags, that is bound nowhere.
    pub fn new(flags: Flags, pages: u64) -> Self {
        Self { flags, pages, bindings: Vec::new(), sharing: SharingMap::default() }
    }

    /// How it was made.
    pub const fn flags(&self) -> Flags {
        self.flags
    }

    /// How many pages it has, holes included.
    pub const fn pages(&self) -> u64 {
        self.pages
    }

    /// Where the guest sees it: ascending by page.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// Who may touch which guest frame.
    pub const fn sharing(&self) -> &SharingMap {
        &self.sharing
    }

    /// Facts that somebody else wrote down. Bindings ascend by page.
    ///
    /// # Errors
    ///
    /// [`TellError`]: such bindings cannot be.
    pub(crate) fn assembled(
        flags: Flags,
        pages: u64,
        bindings: Vec<Binding>,
        sharing: SharingMap,
    ) -> Result<Self, TellError> {
        // Whoever wrote them could make every comparison of each with each last for ever: sorted, neighbours are
        // enough.
        let mut by_frame: Vec<_> = bindings.iter().collect();
        by_frame.sort_unstable_by_key(|binding| (binding.address_space(), binding.frame));
        let mut by_slot: Vec<_> = bindings.iter().collect();
        by_slot.sort_unstable_by_key(|binding| binding.slot);
        let met = |sorted: &[&Binding]| {
            let met = sorted.windows(2).find_map(|pair| match pair {
                [one, other] if one.meets(other) => Some((other.slot, one.slot)),
                _ => None,
            });
            met.map_or(Ok(()), |(slot, other)| Err(TellError::Overlap { slot, other }))
        };
        bindings.iter().try_for_each(|binding| binding.check(pages))?;
        met(&bindings.iter().collect::<Vec<_>>())?;
        met(&by_frame)?;
        met(&by_slot)?;
        Ok(Self { flags, pages, bindings, sharing })
    }

    /// The guest sees pages in a slot from now on.
    ///
    /// # Errors
    ///
    /// [`TellError`]: such a slot cannot be.
    pub fn bind(&mut self, binding: Binding) -> Result<(), TellError> {
        let (slot, Self { pages, bindings, .. }) = (binding.slot, self);
        binding.check(*pages)?;
        if let Some(other) = bindings.iter().find(|other| other.meets(&binding)) {
            return Err(TellError::Overlap { slot, other: other.slot });
        }
        if bindings.len() >= BINDINGS_MAX {
            return Err(TellError::TooMany);
        }
        let place = bindings.partition_point(|other| other.page < binding.page);
        bindings.insert(place, binding);
        Ok(())
    }

    /// The slot is gone. Whether there was one.
    pub fn unbind(&mut self, slot: u32) -> bool {
        let before = self.bindings.len();
        self.bindings.retain(|binding| binding.slot != slot);
        self.bindings.len() < before
    }

    /// Guest frames are for whom this says from now on.
    ///
    /// # Errors
    ///
    /// [`TellError::BeyondTheGuest`].
    pub fn share(&mut self, frames: Range<u64>, sharing: Sharing) -> Result<(), TellError> {
        if frames.end > FRAMES_END {
            return Err(TellError::BeyondTheGuest { frame: frames.start });
        }
        self.sharing.set(frames, sharing);
        Ok(())
    }

    /// The pages that the host cannot read: all of them, unless the file was made [`OPEN`](Flags::OPEN); else those
    /// that the guest has to itself. Ascending, not touching.
    pub fn hidden(&self) -> Vec<Range<u64>> {
        if !self.flags.contains(Flags::OPEN) {
            return core::iter::once(0..self.pages).collect();
        }
        let mut hidden: Vec<Range<u64>> = Vec::new();
        for binding in &self.bindings {
            for frames in self.sharing.private_within(binding.frames()) {
                let page = |frame: u64| binding.page + (frame - binding.frame);
                let pages = page(frames.start)..page(frames.end);
                match hidden.last_mut() {
                    Some(last) if last.end == pages.start => last.end = pages.end,
                    _ => hidden.push(pages),
                }
            }
        }
        hidden
    }
}

impl Told {
    /// These facts so far.
    pub fn new(facts: Facts) -> Self {
        Self(Mutex::new(Arc::new(facts)))
    }

    /// The facts as they are now. As long as nothing else is told, each call gives the same.
    pub fn facts(&self) -> Arc<Facts> {
        Arc::clone(&self.0.lock())
    }

    /// As [`Facts::bind`].
    ///
    /// # Errors
    ///
    /// As [`Facts::bind`].
    pub fn bind(&self, binding: Binding) -> Result<(), TellError> {
        Arc::make_mut(&mut self.0.lock()).bind(binding)
    }

    /// As [`Facts::unbind`].
    pub fn unbind(&self, slot: u32) -> bool {
        Arc::make_mut(&mut self.0.lock()).unbind(slot)
    }

    /// As [`Facts::share`].
    ///
    /// # Errors
    ///
    /// As [`Facts::share`].
    pub fn share(&self, frames: Range<u64>, sharing: Sharing) -> Result<(), TellError> {
        Arc::make_mut(&mut self.0.lock()).share(frames, sharing)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(Self::MMAP, "MMAP"), (Self::INIT_SHARED, "INIT_SHARED")];
        let known = names.iter().filter(|(flag, _)| self.contains(*flag));
        let mut before = "";
        for (_, name) in known {
            write!(f, "{before}{name}")?;
            before = "|";
        }
        match self.unknown() {
            Self::NONE if before.is_empty() => f.write_str("no flags"),
            Self::NONE => Ok(()),
            Self(unknown) => write!(f, "{before}{unknown:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Binding = Binding { slot: 1, frame: 0x100, page: 16, count: 16 };

    #[test]
    fn bindings_that_cannot_be_are_refused() {
        let mut facts = Facts::new(Flags::OPEN, 64);
        facts.bind(BOUND).unwrap();
        facts.bind(Binding { slot: 2, frame: 0x200, page: 0, ..BOUND }).unwrap();
        assert_eq!(facts.bindings().iter().map(|binding| binding.slot).collect::<Vec<_>>(), [2, 1]);
        let overlap = |other| TellError::Overlap { slot: 3, other };
        for (binding, error) in [
            (Binding { slot: 3, count: 0, ..BOUND }, TellError::NoPages { slot: 3 }),
            (
                Binding { slot: 3, page: 60, ..BOUND },
                TellError::BeyondTheFile { slot: 3, end: 76, pages: 64 },
            ),
            (
                Binding { slot: 3, page: 40, frame: FRAMES_END - 1, ..BOUND },
                TellError::BeyondTheGuest { frame: FRAMES_END - 1 },
            ),
            (Binding { slot: 3, page: 40, frame: 0x10F, count: 1 }, overlap(1)),
            (Binding { slot: 3, page: 15, frame: 0x300, count: 1 }, overlap(2)),
            (Binding { slot: 1, page: 40, frame: 0x300, count: 1 }, TellError::Overlap { slot: 1, other: 1 }),
        ] {
            assert_eq!(facts.bind(binding), Err(error));
        }
        // The same frames in another address space are other frames.
        facts.bind(Binding { slot: 0x1_0001, page: 40, ..BOUND }).unwrap();
        assert!(facts.unbind(1) && !facts.unbind(1));
        facts.bind(Binding { slot: 3, ..BOUND }).unwrap();
    }

    #[test]
    fn what_the_host_cannot_read_follows_from_flags_and_sharing() {
        let mut facts = Facts::new(Flags::OPEN, 64);
        facts.bind(BOUND).unwrap();
        assert!(facts.hidden().is_empty());
        facts.share(0..0x102, Sharing::Private).unwrap();
        facts.share(0x104..0x108, Sharing::Private).unwrap();
        facts.share(0x108..0x120, Sharing::Shared).unwrap();
        assert_eq!(facts.hidden(), [16..18, 20..24], "frames that are bound nowhere have no pages");
        for flags in [Flags::NONE, Flags::MMAP, Flags::INIT_SHARED] {
            let hidden = Facts::new(flags, 7).hidden();
            assert_eq!((hidden.len(), hidden.first()), (1, Some(&(0..7))));
        }
    }

    #[test]
    fn facts_are_the_same_until_something_is_told() {
        let told = Told::new(Facts::new(Flags::OPEN, 64));
        let before = told.facts();
        assert!(Arc::ptr_eq(&before, &told.facts()));
        told.bind(BOUND).unwrap();
        assert!(!Arc::ptr_eq(&before, &told.facts()) && before.bindings().is_empty());
    }

    #[test]
    fn flags_are_told_by_their_names() {
        let said = [0, 1, 3, 4, 5].map(|bits| alloc::format!("{}", Flags::from_bits(bits)));
        assert_eq!(said, ["no flags", "MMAP", "MMAP|INIT_SHARED", "0x4", "MMAP|0x4"]);
    }
}
