//! The chain: the frames that name an array's frames.
//!
//! The **head**, whose address is the array's name, says how large the array is and holds the first entries. What
//! does not fit there stands in **chunks**, one frame each, of which the head names the first and each the next.
//! Every one but the last is full. Both are blocks, with a header of 16 bytes (`block.rs`), and little-endian.
//!
//! | head | bytes | field | | chunk | bytes | field |
//! |---|---|---|---|---|---|---|
//! | 16 | 8 | bytes in the items | | 16 | 8 | name of the array |
//! | 24 | 8 | items | | 24 | 8 | position in the chain, from 0 |
//! | 32 | 8 | bytes in one item | | 32 | 8 | address of the next chunk, or 0 |
//! | 40 | 4 | CRC32C of the items | | 40 | 8 | entries here, 1 to 506 |
//! | 44 | 4 | 1 if that sum was written, else 0 | | 48 | 8 each | entries |
//! | 48 | 8 | frames that hold items | | | | |
//! | 56 | 8 | entries in head and chunks | | | | |
//! | 64 | 8 | chunks | | | | |
//! | 72 | 8 | address of the first chunk, or 0 | | | | |
//! | 80 | 8 each | entries, at most 502 | | | | |
//!
//! # Reading hostile bytes
//!
//! The head's numbers must fit each other and the span of the memory before anything is allocated. Chunks are read
//! by number, never until an end turns up: each says whose it is and where it stands, so that a cycle, a shortcut
//! or a stranger's chunk is an error at the first wrong one. Time and memory are bounded by chunks that are really
//! there, are preserved, and have a correct checksum.

use alloc::vec::Vec;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::extents::{ENTRY_FRAMES, Extents, decode};
use crate::block::{BlockHeader, BlockKind, check_preserved, preserved_frame};
use crate::{BadBlock, ByteLen, FRAME_SIZE, FrameRange, Memory, Name, Pfn, PhysAddr, StoreError};

pub(super) const HEAD: BlockKind =
    BlockKind { what: "head of an array", magic: u32::from_le_bytes(*b"LUOA"), version: 1 };
pub(super) const CHUNK: BlockKind =
    BlockKind { what: "chunk of an array", magic: u32::from_le_bytes(*b"LUOC"), version: 1 };

/// Entries that fit in a head.
pub(super) const HEAD_ENTRIES: usize = (FRAME_SIZE - size_of::<Head>()) / size_of::<U64>();
/// Entries that fit in a chunk.
pub(super) const CHUNK_ENTRIES: usize = (FRAME_SIZE - size_of::<Chunk>()) / size_of::<U64>();

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Head {
    header: [u8; size_of::<BlockHeader>()],
    bytes: U64,
    items: U64,
    item_size: U64,
    sum: U32,
    summed: U32,
    frames: U64,
    entries: U64,
    chunks: U64,
    first_chunk: U64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Chunk {
    header: [u8; size_of::<BlockHeader>()],
    array: U64,
    position: U64,
    next: U64,
    entries: U64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Head>() == 80 && size_of::<Chunk>() == 48);
    assert!(offset_of!(Head, bytes) == 16 && offset_of!(Head, items) == 24);
    assert!(offset_of!(Head, item_size) == 32 && offset_of!(Head, sum) == 40);
    assert!(offset_of!(Head, summed) == 44 && offset_of!(Head, frames) == 48);
    assert!(offset_of!(Head, entries) == 56 && offset_of!(Head, chunks) == 64);
    assert!(offset_of!(Head, first_chunk) == 72);
    assert!(offset_of!(Chunk, array) == 16 && offset_of!(Chunk, position) == 24);
    assert!(offset_of!(Chunk, next) == 32 && offset_of!(Chunk, entries) == 40);
    assert!(HEAD_ENTRIES == 502 && CHUNK_ENTRIES == 506);
};

/// What a head says, believed: the numbers fit each other and the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) items: u64,
    pub(super) item_size: u64,
    /// The checksum of the items, if it was written.
    pub(super) sum: Option<u32>,
    pub(super) frames: u64,
    pub(super) entries: u64,
    pub(super) chunks: u64,
    pub(super) first_chunk: Option<Name>,
}

/// A chain as it was read.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) totals: Totals,
    pub(super) chunks: Vec<Pfn>,
    pub(super) extents: Extents,
}

/// Chunks needed for so many entries.
pub(super) fn chunks_for(entries: u64) -> u64 {
    entries.saturating_sub(HEAD_ENTRIES as u64).div_ceil(CHUNK_ENTRIES as u64)
}

impl Totals {
    /// The head's block, with the first of `entries`.
    pub(super) fn encode_head(&self, entries: &mut impl Iterator<Item = u64>) -> Vec<u8> {
        let Self { items, item_size, sum, frames, entries: entry_count, chunks, first_chunk } = *self;
        let head = Head {
            header: [0; _],
            bytes: (items * item_size).into(),
            items: items.into(),
            item_size: item_size.into(),
            sum: sum.unwrap_or(0).into(),
            summed: u32::from(sum.is_some()).into(),
            frames: frames.into(),
            entries: entry_count.into(),
            chunks: chunks.into(),
            first_chunk: first_chunk.map_or(0, Name::get).into(),
        };
        let mut block = head.as_bytes().to_vec();
        block.extend(entries.take(HEAD_ENTRIES).flat_map(u64::to_le_bytes));
        HEAD.seal(&mut block);
        block
    }

    /// Checks everything that can be checked before the chain is followed.
    fn decode(head: &Head, item_size: u64, span: FrameRange) -> Result<Self, &'static str> {
        let Head {
            header: _,
            bytes,
            items,
            item_size: size,
            sum,
            summed,
            frames,
            entries,
            chunks,
            first_chunk,
        } = head;
        let (items, frames, entries, chunks) = (items.get(), frames.get(), entries.get(), chunks.get());
        if size.get() != item_size {
            return Err("its items have another size");
        }
        if items == 0 || items.checked_mul(item_size) != Some(bytes.get()) {
            return Err("its length is not that of its items");
        }
        if frames != ByteLen::new(bytes.get()).frames().get() {
            return Err("its frames are not those that the items need");
        }
        let all = frames.checked_add(chunks).and_then(|sum| sum.checked_add(1));
        if all.is_none_or(|all| all > span.count().get()) {
            return Err("it takes more frames than the memory has");
        }
        if !(frames.div_ceil(ENTRY_FRAMES)..=frames).contains(&entries) {
            return Err("its entries cannot name its frames");
        }
        if chunks != chunks_for(entries) {
            return Err("its chunks are not those that the entries need");
        }
        let sum = match summed.get() {
            0 if sum.get() == 0 => None,
            1 => Some(sum.get()),
            _ => return Err("the mark of its checksum is neither 0 nor 1"),
        };
        let first_chunk = link(first_chunk.get(), chunks > 0)?;
        Ok(Self { items, item_size, sum, frames, entries, chunks, first_chunk })
    }
}

/// The chunk's block, with the next of `entries`; there is at least one.
pub(super) fn encode_chunk(
    array: Name,
    position: u64,
    next: Option<Name>,
    entries: &mut impl Iterator<Item = u64>,
) -> Vec<u8> {
    let entries: Vec<u64> = entries.take(CHUNK_ENTRIES).collect();
    let chunk = Chunk {
        header: [0; _],
        array: array.get().into(),
        position: position.into(),
        next: next.map_or(0, Name::get).into(),
        entries: (entries.len() as u64).into(),
    };
    let mut block = chunk.as_bytes().to_vec();
    block.extend(entries.into_iter().flat_map(u64::to_le_bytes));
    CHUNK.seal(&mut block);
    block
}

/// The head's block as it stands, with another checksum of the items.
///
/// # Errors
///
/// Those of reading the head.
pub(super) fn with_sum<M: Memory + ?Sized>(memory: &M, name: Name, sum: u32) -> Result<Vec<u8>, StoreError> {
    let mut block = HEAD.open(preserved_frame(memory, name.frame())?, name.addr())?.to_vec();
    let (head, _) = Head::mut_from_prefix(&mut block)
        .map_err(|_| HEAD.impossible(name.addr(), "it is shorter than its fields"))?;
    head.sum = sum.into();
    head.summed = 1.into();
    HEAD.seal(&mut block);
    Ok(block)
}

/// An address that must, or must not, be there.
fn link(address: u64, wanted: bool) -> Result<Option<Name>, &'static str> {
    match (address, wanted) {
        (0, false) => Ok(None),
        (_, false) => Err("it names a chunk behind the last"),
        (address, true) => Name::new(address).map(Some).ok_or("it names no frame as the next chunk"),
    }
}

/// Reads the chain that begins with the head `name`.
///
/// # Errors
///
/// [`StoreError::Bad`] if the bytes are not those of an array of such items; [`StoreError::Kho`] if frames that
/// they name do not exist or are not preserved, or the memory's.
pub(super) fn read<M: Memory + ?Sized>(memory: &M, name: Name, item_size: u64) -> Result<Chain, StoreError> {
    let block = HEAD.open(preserved_frame(memory, name.frame())?, name.addr())?;
    let bad = |why| HEAD.impossible(name.addr(), why);
    let (head, entries) = Head::ref_from_prefix(block).map_err(|_| bad("it is shorter than its fields"))?;
    let totals = Totals::decode(head, item_size, memory.span()).map_err(bad)?;
    let mut reader = Reader { memory, totals, left: totals.entries, extents: Extents::default() };
    reader.entries(entries, HEAD_ENTRIES).map_err(bad)?;
    let chunks = reader.chunks(name)?;
    let Reader { extents, .. } = reader;
    if extents.frames() != totals.frames {
        return Err(bad("its entries name fewer frames than it has").into());
    }
    check_frames(memory, name, &chunks, &extents)?;
    Ok(Chain { totals, chunks, extents })
}

struct Reader<'m, M: ?Sized> {
    memory: &'m M,
    totals: Totals,
    /// Entries not read yet.
    left: u64,
    extents: Extents,
}

impl<M: Memory + ?Sized> Reader<'_, M> {
    /// Reads the entries of one block, which is full or the last.
    fn entries(&mut self, bytes: &[u8], room: usize) -> Result<(), &'static str> {
        let wrong = "it does not hold as many entries as belong into it";
        let entries = <[U64]>::ref_from_bytes(bytes).map_err(|_| wrong)?;
        let count = entries.len() as u64;
        if count != self.left.min(room as u64) {
            return Err(wrong);
        }
        for entry in entries {
            let frames = decode(entry.get()).ok_or("an entry names frames that cannot be")?;
            if self.extents.frames() + frames.count().get() > self.totals.frames {
                return Err("its entries name more frames than it has");
            }
            self.extents.push(frames);
        }
        self.left -= count;
        Ok(())
    }

    fn chunks(&mut self, array: Name) -> Result<Vec<Pfn>, StoreError> {
        let mut chunks = Vec::new();
        let mut next = self.totals.first_chunk;
        for position in 0..self.totals.chunks {
            let Some(name) = next else {
                unreachable!("`link` gives an address wherever a chunk is to follow")
            };
            next = self.chunk(name, array, position)?;
            chunks.push(name.frame());
        }
        Ok(chunks)
    }

    /// Reads one chunk and says which is next.
    fn chunk(&mut self, name: Name, array: Name, position: u64) -> Result<Option<Name>, StoreError> {
        let block = CHUNK.open(preserved_frame(self.memory, name.frame())?, name.addr())?;
        let bad = |why| CHUNK.impossible(name.addr(), why);
        let (chunk, entries) =
            Chunk::ref_from_prefix(block).map_err(|_| bad("it is shorter than its fields"))?;
        let Chunk { header: _, array: of, position: stands, next, entries: count } = chunk;
        if of.get() != array.get() {
            return Err(bad("it belongs to another array").into());
        }
        if stands.get() != position {
            return Err(bad("it stands at another position of the chain").into());
        }
        if count.get() != (entries.len() / size_of::<U64>()) as u64 {
            return Err(bad("its count is not that of its entries").into());
        }
        self.entries(entries, CHUNK_ENTRIES).map_err(bad)?;
        Ok(link(next.get(), position + 1 < self.totals.chunks).map_err(bad)?)
    }
}

/// Every frame exists, is preserved, and serves once.
fn check_frames<M: Memory + ?Sized>(
    memory: &M,
    name: Name,
    chunks: &[Pfn],
    extents: &Extents,
) -> Result<(), StoreError> {
    for &range in extents.ranges() {
        check_preserved(memory, range)?;
    }
    let chain = chunks.iter().copied().chain([name.frame()]).map(Pfn::as_range);
    let mut all: Vec<FrameRange> = chain.chain(extents.ranges().iter().copied()).collect();
    all.sort_unstable();
    let meet = |pair: &[FrameRange]| matches!(pair, [one, next] if one.intersection(*next).is_some());
    if all.windows(2).any(meet) {
        return Err(HEAD.impossible(name.addr(), "a frame serves twice in it").into());
    }
    Ok(())
}

/// What [`PreservedArray::verify`](super::PreservedArray::verify) says of an array without a checksum.
pub(super) fn unsealed(name: Name) -> BadBlock {
    HEAD.impossible(name.addr(), "no checksum was written since the items were")
}

/// What it says of items that do not agree with theirs.
pub(super) fn wrong_sum(name: Name, found: u32, computed: u32) -> BadBlock {
    let at: PhysAddr = name.addr();
    BadBlock::Checksum { what: "items of an array", at, found, computed }
}
