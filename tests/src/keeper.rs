//! The keeper: the handler of simulated files. It copies their bytes into preserved arrays.
//!
//! Prepare takes the array and writes the bytes as they are then; the guest goes on changing them; freeze writes what
//! is different, and nothing if nothing is. The length of a file is fixed by prepare. Every shared object that a keeper
//! leans on counts the files that were prepared, and on the far side those that were made again.

use core::ops::RangeInclusive;

use luo_core::{
    Copying, FileHandler, FreezeScope, Identity, Kind, PrepareScope, Record, Refusal, RetrieveScope, Token,
    Travel, Verdict, Version, VersionRange,
};
use luo_kho::carrier::Conveyance::{ByReference, Refused};
use luo_kho::carrier::DescriptorKind;
use luo_kho::checksum::crc32c;
use luo_kho::{ByteLen, Name, PreservedArray};

use crate::file::{Contents, NO_COPY, Pin, STAYS, SimFile};
use crate::journal::{Act, Pen, Who};
use crate::mischief;
use crate::payload::FileRecord;
use crate::pool::{Pool, Share};

/// The descriptor by which simulated files are known to carriers.
pub const SIM_FILE: DescriptorKind = DescriptorKind("sim-file");

/// A file says with this flag that its dependencies are looked up by freeze and not before.
pub const LATE: u32 = 1 << 29;

/// A file with this flag makes its writer lie: it says that the file depends on the token that its position names,
/// and looks nothing up.
pub const LIAR: u32 = 1 << 28;

/// A file with this flag has a handler that tries what it must not, and panics if it gets away with it.
pub const NAUGHTY: u32 = 1 << 27;

/// Files with this flag whose positions agree are told apart by nobody: their handler takes each for the same file.
pub const TWIN: u32 = 1 << 26;

/// What a build speaks of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speech {
    /// The kind.
    pub kind: Kind,
    /// The versions that it reads.
    pub reads: VersionRange,
    /// The versions that it writes, newest first.
    pub writes: Vec<Version>,
}

/// The handler of one kind of simulated file.
#[derive(Debug)]
pub struct Keeper {
    speech: Speech,
    leans_on: Vec<Kind>,
    pen: Pen,
}

/// A preserved file. Dropping it unpreserves.
#[derive(Debug)]
pub struct Held {
    who: Who,
    pen: Pen,
    departed: bool,
    surveyed: bool,
    taken: Option<Taken>,
    _pin: Pin,
}

/// What prepare took.
#[derive(Debug)]
struct Taken {
    array: Option<PreservedArray<u8>>,
    /// What stands in the array; `None` if it was written and that failed.
    bytes: Option<Vec<u8>>,
    /// What prepare put down.
    prepared: (Contents, Vec<u64>),
    _shares: Vec<Share>,
}

impl Speech {
    /// Reads these versions and writes them too.
    pub fn new(kind: &str, versions: RangeInclusive<u16>) -> Self {
        let kind = Kind::new(kind).expect("a test names its kinds well");
        let (oldest, newest) = (Version(*versions.start()), Version(*versions.end()));
        let reads = VersionRange::new(oldest, newest).expect("a range is not empty");
        Self { kind, reads, writes: versions.rev().map(Version).collect() }
    }
}

impl Taken {
    fn bring_up_to_date(&mut self, bytes: &[u8], scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        let Some(array) = &mut self.array else { return Ok(()) };
        if self.bytes.as_deref() != Some(bytes) {
            self.bytes = None;
            array.write(scope.memory(), 0, bytes)?;
            array.seal(scope.memory())?;
            self.bytes = Some(bytes.to_vec());
        }
        Ok(())
    }
}

impl Keeper {
    /// For files of this kind, in these versions, that lean on these shared objects.
    pub fn new(speech: Speech, leans_on: Vec<Kind>, pen: Pen) -> Self {
        Self { speech, leans_on, pen }
    }

    fn write_all(
        held: &Taken,
        file: &SimFile,
        depends_on: Vec<u64>,
        versions: &[Version],
        mut put: impl FnMut(Version, &[u8]) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let Contents { bytes, position, flags } = file.contents();
        let record = FileRecord {
            mark: file.mark(),
            array: held.array.as_ref().map_or(0, |array| array.name().get()),
            len: bytes.len() as u64,
            position,
            crc: crc32c(&bytes),
            flags,
            depends_on: if flags & LIAR == 0 { depends_on } else { vec![position] },
        };
        versions.iter().try_for_each(|version| put(*version, &record.encode(*version)?))
    }
}

impl FileHandler for Keeper {
    type File = SimFile;
    type Held = Held;

    fn kind(&self) -> Kind {
        self.speech.kind
    }

    fn reads(&self) -> VersionRange {
        self.speech.reads
    }

    fn writes(&self) -> Vec<Version> {
        self.speech.writes.clone()
    }

    fn leans_on(&self) -> Vec<Kind> {
        self.leans_on.clone()
    }

    fn judge(&self, file: &SimFile) -> Verdict {
        if file.kind() != self.speech.kind {
            Verdict::NotMine
        } else if file.contents().flags & STAYS != 0 {
            Verdict::MineButNo { reason: "it is nailed down".into() }
        } else {
            Verdict::Mine
        }
    }

    fn identity(&self, file: &SimFile) -> Identity {
        self.pen.identify();
        match file.contents() {
            Contents { position, flags, .. } if flags & TWIN != 0 => Identity(position.into()),
            _ => file.identity(),
        }
    }

    fn travel(&self, file: &SimFile) -> Travel {
        let Contents { bytes, flags, .. } = file.contents();
        let copy = match flags & NO_COPY {
            0 => Copying::Can,
            _ => Copying::Cannot { reason: "its contents cannot be copied".into() },
        };
        Travel { descriptor: SIM_FILE, bytes: ByteLen::of(bytes.len()), copy }
    }

    fn preserve(&self, file: &SimFile) -> Result<Held, Refusal> {
        let who = Who::File(file.mark());
        let pin = self.pen.ask(who, Act::Preserve, || Ok(file.pin()))?;
        let pen = self.pen.clone();
        Ok(Held { who, pen, departed: false, surveyed: false, taken: None, _pin: pin })
    }

    fn survey(&self, _file: &SimFile, held: &mut Held) -> Result<(), Refusal> {
        self.pen.ask(held.who, Act::Survey, || Ok(()))?;
        held.surveyed = true;
        Ok(())
    }

    fn prepare(&self, file: &SimFile, held: &mut Held, scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        assert!(held.surveyed && held.taken.is_none(), "a file is surveyed before it is prepared, once");
        let taken = self.pen.ask(held.who, Act::Prepare, || {
            // It copies in any case; that it asked is remembered.
            let (ByReference | Refused { .. }) = scope.conveys(SIM_FILE);
            let contents = file.contents();
            let Contents { bytes, flags, .. } = contents.clone();
            if flags & NAUGHTY != 0 {
                mischief::in_prepare(scope.memory())?;
            }
            let array = if bytes.is_empty() {
                None
            } else {
                Some(PreservedArray::from_bytes(scope.memory(), &bytes)?)
            };
            let mut shares = Vec::new();
            for kind in &self.leans_on {
                shares.push(scope.shared::<Pool>(*kind)?.share());
            }
            let mut depends_on = Vec::new();
            if flags & LATE == 0 {
                for other in file.depends_on() {
                    depends_on.push(scope.token_of(&other)?.0);
                }
            }
            let prepared = (contents, depends_on.clone());
            let taken = Taken { array, bytes: Some(bytes), prepared, _shares: shares };
            let versions = scope.versions().to_vec();
            for version in &versions {
                scope.reserve(*version, ByteLen::of(FileRecord::room(*version)))?;
            }
            Self::write_all(&taken, file, depends_on, &versions, |version, payload| {
                Ok(scope.put(version, payload)?)
            })?;
            Ok(taken)
        })?;
        held.taken = Some(taken);
        Ok(())
    }

    fn cancel(&self, _file: &SimFile, held: &mut Held) {
        assert!(held.taken.take().is_some(), "what is cancelled was prepared");
        self.pen.tell(held.who, Act::Cancel);
    }

    fn freeze(&self, file: &SimFile, held: &mut Held, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        let Held { who, taken, .. } = held;
        let Some(taken) = taken else { panic!("what is frozen was prepared") };
        self.pen.ask(*who, Act::Freeze, || {
            let contents = file.contents();
            if contents.bytes.len() != taken.prepared.0.bytes.len() {
                return Err(Refusal::because("it was resized after it was prepared"));
            }
            if contents.flags & NAUGHTY != 0 {
                mischief::in_freeze(scope.memory(), taken.array.as_ref())?;
            }
            taken.bring_up_to_date(&contents.bytes, scope)?;
            for kind in &self.leans_on {
                // Looking is not counting: this share is given back at once.
                let _looked = scope.shared::<Pool>(*kind)?.share();
            }
            let mut depends_on = Vec::new();
            for other in file.depends_on() {
                depends_on.push(scope.token_of(&other)?.0);
            }
            let now = (contents, depends_on);
            if now == taken.prepared {
                return Ok(());
            }
            let versions = scope.versions().to_vec();
            Self::write_all(
                taken,
                file,
                now.1,
                &versions,
                |version, payload| Ok(scope.put(version, payload)?),
            )
        })
    }

    fn unfreeze(&self, _file: &SimFile, held: &mut Held) {
        self.pen.tell(held.who, Act::Unfreeze);
    }

    fn depart(&self, _file: SimFile, mut held: Held) {
        held.departed = true;
        self.pen.tell(held.who, Act::Depart);
    }

    fn retrieve(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<SimFile, Refusal> {
        let known = FileRecord::decode(record.version, record.payload)?;
        self.pen.ask(Who::File(known.mark), Act::Retrieve, || {
            let bytes = match Name::new(known.array) {
                None if known.array == 0 && known.len == 0 => Vec::new(),
                None => return Err(Refusal::because("the array has no name")),
                Some(name) => {
                    let array = PreservedArray::<u8>::restore(scope.memory(), name)?;
                    if known.flags & NAUGHTY != 0 {
                        mischief::in_retrieve(scope.memory(), &array)?;
                    }
                    array.to_vec(scope.memory())?
                }
            };
            if bytes.len() as u64 != known.len || crc32c(&bytes) != known.crc {
                return Err(Refusal::because("its bytes are not what was written"));
            }
            let contents = Contents { bytes, position: known.position, flags: known.flags };
            let file = SimFile::new(self.speech.kind.as_str(), known.mark, contents);
            for token in &known.depends_on {
                file.depend_on(&scope.file::<SimFile>(Token(*token))?);
            }
            for kind in &self.leans_on {
                scope.shared::<Pool>(*kind)?.arrive(known.mark)?;
            }
            Ok(file)
        })
    }

    fn can_finish(&self, _record: &Record<'_>, file: &SimFile) -> Result<(), Refusal> {
        let who = Who::File(file.mark());
        self.pen.ask(who, Act::CanFinish, || {
            if self.pen.is_busy(who) { Err(Refusal::because("it is still busy")) } else { Ok(()) }
        })
    }

    fn finish(&self, _record: &Record<'_>, file: &SimFile) {
        self.pen.tell(Who::File(file.mark()), Act::Finish);
    }

    fn discard(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) {
        // What cannot be read is released with everything that nobody claimed.
        let Ok(known) = FileRecord::decode(record.version, record.payload) else { return };
        self.pen.tell(Who::File(known.mark), Act::Discard);
        if let Some(name) = Name::new(known.array) {
            let _ = PreservedArray::<u8>::restore(scope.memory(), name);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.departed {
            self.pen.tell(self.who, Act::Unpreserve);
        }
    }
}
