//! Whether memory is what the counters say it is; filling it to begin with; hashing it.
//!
//! All of it is compared, byte for byte, but for the few words of the image that tell how far the guest is: those are
//! read, and reported. vCPUs have to be stopped. One may have stopped between a step's word and its counter: then that
//! one word may have its new value already.

use vm_memory::{Bytes as _, GuestAddress, GuestMemoryError, GuestMemoryMmap};

use super::image::{boot_image, changing};
use super::layout::{BOOT, Board, Layout, PAGE_BYTES, Share};
use super::pattern::{Step, page_after};
use super::program::AssembleError;

/// Mismatches that are reported one by one.
const REPORTED: usize = 4;
/// Words of a page.
const WORDS: usize = 512;
/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;

/// What a vCPU's board says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    /// Steps.
    pub(crate) counter: u64,
    /// Doorbell interrupts.
    pub(crate) interrupts: u64,
    /// How often its clock went backwards.
    pub(crate) backwards: u64,
    /// The widest step of its clock, in cycles.
    pub(crate) widest: u64,
}

/// A word that is not what it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// Its address.
    pub(crate) at: u64,
    /// What is there.
    pub(crate) found: u64,
    /// What has to be there.
    pub(crate) expected: u64,
}

/// What looking at all of memory came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// Bytes that were compared.
    pub(crate) compared: u64,
    /// Words that are wrong.
    pub(crate) wrong: u64,
    /// The first of them.
    pub(crate) first: Vec<Mismatch>,
    /// What each vCPU's board says.
    pub(crate) books: Vec<Books>,
}

/// Why memory could not be looked at or filled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    /// It is not all there.
    #[error("guest memory cannot be reached: {0}")]
    Memory(#[from] GuestMemoryError),
    /// There is nothing to compare with.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
}

/// Reads the board of a vCPU.
///
/// # Errors
///
/// [`LookError::Memory`].
pub(crate) fn books(memory: &GuestMemoryMmap, vcpu: u32) -> Result<Books, LookError> {
    let word = |offset| memory.read_obj::<u64>(GuestAddress(Board::of(vcpu).at + offset));
    Ok(Books {
        counter: word(Board::COUNTER)?,
        interrupts: word(Board::INTERRUPTS)?,
        backwards: word(Board::BACKWARDS)?,
        widest: word(Board::WIDEST)?,
    })
}

/// Puts the base pattern and the image into fresh memory.
///
/// # Errors
///
/// [`LookError`].
pub(crate) fn fill(memory: &GuestMemoryMmap, layout: &Layout) -> Result<(), LookError> {
    memory.write_slice(&boot_image(layout)?, GuestAddress(0))?;
    in_parallel(layout, |share, nth, words| {
        page_after(share, nth, 0, words);
        memory.write_slice(&bytes_of(words), GuestAddress(share.page(nth)))?;
        Ok(())
    })?;
    Ok(())
}

/// Compares all of memory with what the counters in it say.
///
/// # Errors
///
/// [`LookError`]; what is found in memory is no error.
pub(crate) fn verify(memory: &GuestMemoryMmap, layout: &Layout) -> Result<Findings, LookError> {
    let books: Vec<_> = (0..layout.vcpus()).map(|vcpu| books(memory, vcpu)).collect::<Result<_, _>>()?;
    let mut findings = Findings { books: books.clone(), ..Findings::default() };
    compare_image(memory, layout, &mut findings)?;
    let counter = |vcpu: u32| books.get(vcpu as usize).map_or(0, |books| books.counter);
    let parts = in_parallel_with(layout, Findings::default, |part, share, nth, words| {
        let counter = counter(share.vcpu);
        page_after(share, nth, counter, words);
        let mut bytes = [0; PAGE_BYTES];
        memory.read_slice(&mut bytes, GuestAddress(share.page(nth)))?;
        let under_way = Step::nth(share, counter.wrapping_add(1));
        part.compare(share.page(nth), &bytes, &bytes_of(words), Some(under_way));
        Ok(())
    })?;
    for part in parts {
        findings.add(part);
    }
    Ok(findings)
}

/// A hash of each region: vCPUs have to be stopped.
///
/// # Errors
///
/// [`LookError::Memory`].
pub(crate) fn hash(memory: &GuestMemoryMmap, layout: &Layout) -> Result<Vec<u32>, LookError> {
    let mut bytes = vec![0; CHUNK];
    let mut hashes = Vec::new();
    for (start, len) in layout.regions() {
        let mut hash = 0;
        for at in (start..start + len).step_by(CHUNK) {
            memory.read_slice(&mut bytes, GuestAddress(at))?;
            hash = crc32c::crc32c_append(hash, &bytes);
        }
        hashes.push(hash);
    }
    Ok(hashes)
}

fn compare_image(
    memory: &GuestMemoryMmap,
    layout: &Layout,
    findings: &mut Findings,
) -> Result<(), LookError> {
    let mut expected = boot_image(layout)?;
    let mut found = vec![0; expected.len()];
    memory.read_slice(&mut found, GuestAddress(0))?;
    for range in (0..layout.vcpus()).flat_map(changing) {
        let range = usize::try_from(range.start).unwrap_or(0)..usize::try_from(range.end).unwrap_or(0);
        let places = (expected.get_mut(range.clone()), found.get(range));
        if let (Some(expected), Some(found)) = places {
            expected.copy_from_slice(found);
        }
    }
    findings.compare(0, &found, &expected, None);
    Ok(())
}

impl Findings {
    fn compare(&mut self, start: u64, found: &[u8], expected: &[u8], under_way: Option<Step>) {
        self.compared += found.len() as u64;
        if found == expected {
            return;
        }
        let words = found.as_chunks::<8>().0.iter().zip(expected.as_chunks::<8>().0);
        for (at, (found, expected)) in (start..).step_by(8).zip(words) {
            let (found, expected) = (u64::from_le_bytes(*found), u64::from_le_bytes(*expected));
            if found == expected || under_way == Some(Step { at, value: found }) {
                continue;
            }
            self.wrong += 1;
            if self.first.len() < REPORTED {
                self.first.push(Mismatch { at, found, expected });
            }
        }
    }

    fn add(&mut self, part: Self) {
        let Self { compared, wrong, first, books: _ } = part;
        self.compared += compared;
        self.wrong += wrong;
        self.first.extend(first);
        self.first.truncate(REPORTED);
    }
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn in_parallel(
    layout: &Layout,
    work: impl Fn(&Share, u64, &mut [u64]) -> Result<(), LookError> + Sync,
) -> Result<(), LookError> {
    in_parallel_with(layout, || (), |(), share, nth, words| work(share, nth, words)).map(drop)
}

/// Does something with each data page, on as many threads as there are processors; each has something of its own.
fn in_parallel_with<T: Send>(
    layout: &Layout,
    own: impl Fn() -> T + Sync,
    work: impl Fn(&mut T, &Share, u64, &mut [u64]) -> Result<(), LookError> + Sync,
) -> Result<Vec<T>, LookError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let part = |thread: u64| {
        let (mut mine, mut words) = (own(), [0; WORDS]);
        for share in (0..layout.vcpus()).map(|vcpu| layout.share(vcpu)) {
            let each = share.pages.div_ceil(threads);
            for nth in (thread * each..share.pages).take(usize::try_from(each).unwrap_or(usize::MAX)) {
                work(&mut mine, &share, nth, &mut words)?;
            }
        }
        Ok(mine)
    };
    std::thread::scope(|scope| {
        let part = &part;
        let started: Vec<_> = (0..threads).map(|thread| scope.spawn(move || part(thread))).collect();
        started
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

const _: () = assert!(BOOT.is_multiple_of(CHUNK as u64));
