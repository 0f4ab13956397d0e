//! **Patterns**: what the pages of a file look like, as slots. Real ones come from `data/`: page-frame numbers of
//! memfds, as `/proc/self/pagemap` gives them.

use std::io::Read as _;

use anyhow::{Context as _, Result, bail};

/// What stands in a slot whose index has no page.
pub(crate) const HOLE: u64 = u64::MAX;
/// Pages of one real file.
const FILE: usize = 1 << 18;
/// Page-frame numbers of the next copy of a real file lie so much higher.
const COPY: u64 = 1 << 20;
/// Bits 0 to 54 of an entry of pagemap are the page-frame number; the flags above are no part of it.
const FRAME: u64 = (1 << 55) - 1;

/// One kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Pattern {
    /// One row
    Contiguous,
    /// 2 MiB blocks in random order
    Blocks,
    /// A real memfd with 8.9 pages per row, tiled
    Real8,
    /// A real memfd with 15.5 pages per row, most rows downwards, tiled
    Real15,
    /// Both real memfds, page by page in turn
    RealMixed,
    /// One row with 10 % of holes, at random
    Holes,
    /// One row with 10 % of holes, in runs of about 32
    HoleRuns,
    /// All frames in random order
    Random,
    /// 1 % of the pages, frames at random
    Sparse,
}

/// Numbers that look random and are the same each time.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        // splitmix64: public domain constants by Sebastiano Vigna.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

impl Pattern {
    pub(crate) const ALL: [Self; 9] = [
        Self::Contiguous,
        Self::Blocks,
        Self::Real8,
        Self::Real15,
        Self::RealMixed,
        Self::Holes,
        Self::HoleRuns,
        Self::Random,
        Self::Sparse,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Contiguous => "contiguous",
            Self::Blocks => "2 MiB blocks shuffled",
            Self::Real8 => "real, 8.9 pages a row",
            Self::Real15 => "real, 15.5 a row, down",
            Self::RealMixed => "both real, in turn",
            Self::Holes => "10 % holes",
            Self::HoleRuns => "10 % holes, runs of 32",
            Self::Random => "random",
            Self::Sparse => "1 % sparse",
        }
    }

    /// So many slots of it.
    pub(crate) fn slots(self, pages: usize) -> Result<Vec<u64>> {
        let mut dice = Dice(7);
        let line = || (0..pages as u64).map(|page| page + 0x10_0000);
        Ok(match self {
            Self::Contiguous => line().collect(),
            Self::Blocks => {
                let mut blocks: Vec<u64> = (0..pages as u64 / 512).collect();
                shuffle(&mut blocks, &mut dice);
                blocks
                    .iter()
                    .flat_map(|block| (0..512).map(move |page| (block + 2048) * 512 + page))
                    .collect()
            }
            Self::Real8 => tiled(&real(EIGHT)?, pages),
            Self::Real15 => tiled(&real(FIFTEEN)?, pages),
            Self::RealMixed => {
                let pairs = real(EIGHT)?.into_iter().zip(real(FIFTEEN)?);
                tiled(&pairs.flat_map(|(one, other)| [one, other]).collect::<Vec<_>>(), pages)
            }
            Self::Holes => line().map(|frame| if dice.below(10) == 0 { HOLE } else { frame }).collect(),
            Self::HoleRuns => {
                let mut slots: Vec<u64> = line().collect();
                let mut at = 0;
                while at < pages {
                    at += usize::try_from(1 + dice.below(576))?;
                    let len = usize::try_from(1 + dice.below(63))?;
                    slots.iter_mut().skip(at).take(len).for_each(|slot| *slot = HOLE);
                    at += len;
                }
                slots
            }
            Self::Random => {
                let mut slots: Vec<u64> = (0..pages as u64).collect();
                shuffle(&mut slots, &mut dice);
                slots
            }
            Self::Sparse => {
                let frames = pages as u64;
                (0..pages).map(|_| if dice.below(100) == 0 { dice.below(frames) } else { HOLE }).collect()
            }
        })
    }
}

const EIGHT: &[u8] = include_bytes!("../../data/runs-8.9.u64le.xz");
const FIFTEEN: &[u8] = include_bytes!("../../data/runs-15-descending.u64le.xz");

/// The page-frame numbers of a real file.
pub(crate) fn real(packed: &[u8]) -> Result<Vec<u64>> {
    let mut bytes = Vec::new();
    lzma_rust2::XzReader::new(packed, false).read_to_end(&mut bytes).context("unpacking a corpus")?;
    let (words, rest) = bytes.as_chunks();
    if words.len() != FILE || !rest.is_empty() {
        bail!("a corpus has {} bytes", bytes.len());
    }
    Ok(words.iter().map(|word| u64::from_le_bytes(*word) & FRAME).collect())
}

fn tiled(file: &[u64], pages: usize) -> Vec<u64> {
    let copies = (0..).flat_map(|copy: u64| file.iter().map(move |frame| frame + copy * COPY));
    copies.take(pages).collect()
}

fn shuffle(items: &mut [u64], dice: &mut Dice) {
    for at in (1..items.len()).rev() {
        items.swap(at, usize::try_from(dice.below(at as u64 + 1)).unwrap_or(0));
    }
}
