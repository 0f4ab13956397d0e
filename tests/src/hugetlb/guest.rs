//! Real files of huge pages as tests use them, and updates of a program that holds some.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};

use luo_core::{Irrevocable, Registry};
use luo_hugetlb::{
    Attributes, BLOCK_BYTES, DESCRIPTOR, FreeTo, HugetlbFile, HugetlbFiles, Linux, PageSize, Place, Port, Run,
};
use luo_kho::FRAME_BYTES;

use super::PAGE;
use crate::journey::{Came, Journey, Stations};
use crate::memfd::ProcessGround;

/// How files cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The carrier takes them.
    Reference,
    /// It cannot.
    Copy,
    /// It cannot, and pages are freed as they are copied.
    Free,
}

/// A file with what its users do with it.
#[derive(Debug)]
pub struct Guest(pub HugetlbFile);

/// All of it that a user can observe, but the numbers of inodes.
pub type Portrait = (PageSize, Option<Place>, Attributes, Vec<(Range<u64>, Contents)>);

/// The bytes of a page, of which nobody wants to read all.
#[derive(Clone, PartialEq, Eq)]
pub struct Contents(Vec<u8>);

impl Way {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reference, Self::Copy, Self::Free];
    /// Those that make another file.
    pub const COPIES: [Self; 2] = [Self::Copy, Self::Free];

    /// A handler that goes this way.
    pub fn handler(self) -> HugetlbFiles<Linux> {
        let handler = HugetlbFiles::new(Linux::new());
        match self {
            Self::Reference | Self::Copy => handler,
            Self::Free => handler.freeing(FreeTo::Pool, Irrevocable::knowingly()),
        }
    }

    /// Memory and a carrier that make it go this way.
    pub fn ground(self) -> ProcessGround {
        match self {
            Self::Reference => ProcessGround::new(),
            Self::Copy | Self::Free => ProcessGround::new().refusing_kind(DESCRIPTOR, "huge pages stay"),
        }
    }
}

impl Guest {
    /// A new one of so many pages of 2 MiB, all of them holes.
    pub fn new(pages: u64) -> Self {
        Self(HugetlbFile::create("guest", pages * PAGE, PageSize::MIB_2).expect("a memfd of 2 MiB pages"))
    }

    /// With these pages filled.
    pub fn filled(pages: u64, populated: &[u64]) -> Self {
        let guest = Self::new(pages);
        for page in populated {
            guest.fill(*page);
        }
        guest
    }

    /// Opened again, in another way.
    pub fn reopen(&self, options: &std::fs::OpenOptions) -> HugetlbFile {
        let path = format!("/proc/self/fd/{}", self.0.as_fd().as_raw_fd());
        let file: File = options.open(path).expect("its owner may");
        file.into()
    }

    /// Fills a page with what can be told again from its number.
    pub fn fill(&self, page: u64) {
        store(&self.0, page * PAGE, &pattern(page, PageSize::MIB_2));
    }
}

/// What [`Guest::fill`] writes.
fn pattern(page: u64, page_size: PageSize) -> Vec<u8> {
    let frames = page_size.bytes() / FRAME_BYTES;
    let word = |frame: u64| (page << 40 | frame).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
    (0..frames).flat_map(|frame| word(frame).repeat(512)).collect()
}

/// Whether these pages hold what [`Guest::fill`] wrote, and no others are populated.
pub fn holds(file: &HugetlbFile, populated: &[u64]) -> bool {
    let found: Vec<u64> = runs(file).into_iter().flat_map(|run| run.pages).collect();
    let size = Linux::new().page_size(file).expect("it has huge pages");
    found == populated
        && populated.iter().all(|page| load(file, page * size.bytes(), size) == pattern(*page, size))
}

fn load(file: &HugetlbFile, at: u64, size: PageSize) -> Vec<u8> {
    let reader = Linux::new().open(file).expect("its owner may read it");
    let mut bytes = vec![0; usize::try_from(size.bytes()).expect("a page of a test fits into memory")];
    Linux::new().read(&reader, at, &mut bytes).expect("it can be read");
    bytes
}

/// Writes as a mapping does: a page is populated first.
pub(super) fn store(file: &HugetlbFile, at: u64, bytes: &[u8]) {
    let (port, size) = (Linux::new(), Linux::new().page_size(file).expect("it has huge pages"));
    let draft = port.refill(file, size).expect("its owner may write it");
    assert!(port.populate(&draft, at / size.bytes(), None).expect("it may be written"), "a page can be had");
    port.write(&draft, at, bytes).expect("it was populated");
}

/// All that a user can ask for.
pub fn look(file: &HugetlbFile) -> Attributes {
    Linux::new().look(file).expect("it is open")
}

/// The populated pages.
pub fn runs(file: &HugetlbFile) -> Vec<Run> {
    let port = Linux::new();
    let (attributes, size) = (look(file), port.page_size(file).expect("it has huge pages"));
    let reader = port.open(file).expect("its owner may read it");
    let kept = attributes.blocks * BLOCK_BYTES / size.bytes();
    port.scan(&reader, size, size.pages(attributes.size), kept).expect("it can be searched")
}

/// All of it.
pub fn portrait(file: &HugetlbFile) -> Portrait {
    let port = Linux::new();
    let size = port.page_size(file).expect("it has huge pages");
    let place = match port.place(file).expect("it is somewhere") {
        memfd @ Place::Memfd(_) => Some(memfd),
        Place::Mounted { .. } => None,
    };
    let contents = runs(file)
        .into_iter()
        .flat_map(|run| run.pages)
        .map(|page| (page..page + 1, Contents(load(file, page * size.bytes(), size))));
    (size, place, Attributes { blocks: 0, ..look(file) }, contents.collect())
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes that begin with {:?}", self.0.len(), self.0.get(..32))
    }
}

/// An update of a program with handlers of this make.
pub fn journey(way: Way, handler: impl Fn() -> HugetlbFiles<Linux> + 'static) -> Journey {
    Journey::new(way.ground(), move || {
        let mut registry = Registry::new();
        registry.handler(handler()).expect("one handler of huge pages");
        registry
    })
}

/// Takes one file across. `meanwhile` happens between prepare and freeze.
///
/// # Errors
///
/// What stood in the way, in words.
pub fn update(way: Way, file: &HugetlbFile, meanwhile: impl FnOnce()) -> Result<HugetlbFile, String> {
    let stations = Stations { meanwhile: Box::new(meanwhile), ..Stations::default() };
    let Came { files, .. } =
        journey(way, move || way.handler()).cross(std::slice::from_ref(file), stations)?;
    files.into_iter().next().ok_or_else(|| "no file arrived".to_owned())
}
