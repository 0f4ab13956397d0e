//! The image: the first 2 MiB of memory, from which a guest boots.
//!
//! It enters the program in 64-bit mode, with everything mapped one to one by large pages. Accessed and dirty bits are
//! set from the start, in the page tables and in the segment descriptors, so that the processor has nothing to note and
//! the image stays as it is.

use super::layout::{BOOT, Board, CODE, HANDLER, Layout, PAGE, PAGE_BYTES};
use super::pattern::base;
use super::program::{self, AssembleError};

/// Page tables: the root, one table below it, and one page of large-page entries for each GiB.
pub(crate) const PAGE_TABLES: u64 = 0x1000;
const POINTERS: u64 = 0x2000;
const DIRECTORIES: u64 = 0x1_0000;
/// Segment descriptors: none, code, data.
pub(crate) const SEGMENTS: u64 = 0x3000;
/// Interrupt descriptors.
pub(crate) const INTERRUPTS: u64 = 0x4000;
/// The interrupt that the doorbell raises.
pub(crate) const VECTOR: u8 = 0x40;

/// Present, writable, accessed.
const TABLE: u64 = 0x23;
/// As [`TABLE`], and dirty, and a large page.
const LARGE_PAGE: u64 = 0xE3;
/// Flat 64-bit code, readable, accessed; flat data, writable, accessed.
const CODE_SEGMENT: u64 = 0x00AF_9B00_0000_FFFF;
const DATA_SEGMENT: u64 = 0x00CF_9300_0000_FFFF;

/// Memory that is being filled.
struct Image(Vec<u8>);

impl Image {
    fn bytes(&mut self, at: u64, bytes: &[u8]) {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let place = self.0.get_mut(start..).and_then(|rest| rest.get_mut(..bytes.len()));
        let Some(place) = place else { unreachable!("the image has room for all that is put into it") };
        place.copy_from_slice(bytes);
    }

    fn word(&mut self, at: u64, word: u64) {
        self.bytes(at, &word.to_le_bytes());
    }

    fn clear(&mut self, at: u64) {
        self.bytes(at, &[0; PAGE_BYTES]);
    }
}

/// The image of a guest of this layout.
///
/// # Errors
///
/// [`AssembleError`]: never, unless the program was changed.
pub(crate) fn boot_image(layout: &Layout) -> Result<Vec<u8>, AssembleError> {
    let mut image = Image((0..BOOT).step_by(8).flat_map(|at| base(at).to_le_bytes()).collect());
    page_tables(&mut image, layout);
    for (nth, segment) in [0, CODE_SEGMENT, DATA_SEGMENT].into_iter().enumerate() {
        image.word(SEGMENTS + 8 * nth as u64, segment);
    }
    image.clear(INTERRUPTS);
    let gate = INTERRUPTS + 16 * u64::from(VECTOR);
    // An interrupt gate: present, in the code segment (8).
    image.word(gate, (HANDLER & 0xFFFF) | 8 << 16 | 0x8E00 << 32 | (HANDLER >> 16 & 0xFFFF) << 48);
    image.word(gate + 8, HANDLER >> 32);
    image.bytes(CODE, &program::code()?);
    image.bytes(HANDLER, &program::handler()?);
    for vcpu in 0..layout.vcpus() {
        let board = Board::of(vcpu).at;
        image.clear(board);
        image.word(board + Board::GAP, layout.gap().1);
        image.word(board + Board::DIGIT, u64::from(digit(vcpu)));
        image.clear(Layout::stack_top(vcpu) - PAGE);
    }
    Ok(image.0)
}

/// The character that names a vCPU in the serial output.
pub(crate) fn digit(vcpu: u32) -> u8 {
    char::from_digit(vcpu, 16).map_or(b'?', |digit| digit as u8)
}

fn page_tables(image: &mut Image, layout: &Layout) {
    image.clear(PAGE_TABLES);
    image.clear(POINTERS);
    image.word(PAGE_TABLES, POINTERS | TABLE);
    for gib in 0..layout.mapped().div_ceil(1 << 30) {
        let directory = DIRECTORIES + PAGE * gib;
        image.word(POINTERS + 8 * gib, directory | TABLE);
        for entry in 0..512 {
            image.word(directory + 8 * entry, ((gib << 30) + (entry << 21)) | LARGE_PAGE);
        }
    }
}

/// Words of the image that the guest changes: each a range of addresses.
pub(super) fn changing(vcpu: u32) -> [core::ops::Range<u64>; 2] {
    let board = Board::of(vcpu).at;
    let stack = Layout::stack_top(vcpu);
    // An interrupt pushes five words: stack segment and pointer, flags, code segment, instruction pointer.
    [board..board + Board::CONSTANTS, stack - 40..stack]
}
