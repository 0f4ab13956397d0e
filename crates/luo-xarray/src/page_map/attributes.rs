//! Order and flags, as one number.

use core::ops::BitOr;

use luo_kho::Order;

/// What is known of a page besides its place: 12 bits.
///
/// Two are named here; the others belong to the handler of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageFlags(u16);

/// Order and flags of a folio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) order: Order,
    pub(super) flags: PageFlags,
}

/// The flags stand above the order.
const FLAGS_SHIFT: u32 = 8;

impl PageFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Was written since its contents were last saved elsewhere.
    pub const DIRTY: Self = Self(1);
    /// Holds the file's contents: it was filled, or zeroed.
    pub const UPTODATE: Self = Self(1 << 1);
    /// How many bits there are.
    pub const BITS: u32 = 12;

    /// `None` if more than the lowest 12 bits are set.
    pub const fn from_bits(bits: u16) -> Option<Self> {
        if bits >> Self::BITS == 0 { Some(Self(bits)) } else { None }
    }

    /// The bits.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for PageFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Attributes {
    /// What the header of an empty map says.
    pub(super) const NONE: Self = Self { order: Order::ZERO, flags: PageFlags::NONE };

    pub(super) fn encode(self) -> u32 {
        let Self { order, flags } = self;
        u32::from(order.get()) | u32::from(flags.bits()) << FLAGS_SHIFT
    }

    /// `None` if there is no such order or flag.
    pub(super) fn decode(number: u64) -> Option<Self> {
        let order = u8::try_from(number & ((1 << FLAGS_SHIFT) - 1)).ok()?;
        let flags = u16::try_from(number >> FLAGS_SHIFT).ok()?;
        Some(Self { order: Order::new(order)?, flags: PageFlags::from_bits(flags)? })
    }
}
