//! The simplest handler that keeps all laws, to try the conformance kit with.
//!
//! - An [`EchoFile`] is bytes and a **cursor** into them, on an [`EchoHost`] that counts files and **pins**: a pinned
//!   file cannot go away.
//! - [`Echo`] carries it by copy: the bytes in a preserved array, which the payload names. Version 1 has no cursor.
//!
//! | version | payload, little-endian u64 |
//! |---|---|
//! | 1 | name of the array, 0 for no bytes; bytes |
//! | 2 | the same; cursor |

use std::sync::Arc;

use luo_core::conformance::{Fixture, Side};
use luo_core::{
    Copying, FileHandler, FreezeScope, Identity, Kind, PrepareScope, Record, Refusal, Registry,
    RetrieveScope, Travel, Verdict, Version, VersionRange,
};
use luo_kho::carrier::DescriptorKind;
use luo_kho::{ByteLen, Memory, Name, PreservedArray, StoreError};
use parking_lot::Mutex;

/// Where files live. Clones name the same host.
#[derive(Clone, Debug, Default)]
pub struct EchoHost(Arc<Mutex<HostState>>);

#[derive(Debug, Default)]
struct HostState {
    made: u128,
    counts: Counts,
    /// Calls that succeed before one fails.
    fuse: Option<u64>,
    fired: bool,
}

/// What there is on a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files that somebody has a reference to.
    pub files: u64,
    /// Pins.
    pub pins: u64,
}

/// A host call that failed because the test said so.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the host refused to {call}")]
pub struct HostRefused {
    call: &'static str,
}

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where its user goes on reading.
    pub cursor: u64,
}

/// What a file is to [`Echo`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nature {
    /// A file as any other.
    #[default]
    Ordinary,
    /// Locked: it cannot travel.
    Locked,
    /// Somebody else's.
    Foreign,
}

/// A file. Clones are references to the same one.
#[derive(Clone, Debug)]
pub struct EchoFile(Arc<Inode>);

#[derive(Debug)]
struct Inode {
    host: EchoHost,
    number: u128,
    nature: Nature,
    contents: Mutex<Contents>,
}

/// Keeps a file from going away. Dropping it lets go.
#[derive(Debug)]
pub struct Pin(EchoHost);

impl EchoHost {
    fn call(&self, call: &'static str) -> Result<(), HostRefused> {
        let mut state = self.0.lock();
        match state.fuse {
            Some(0) => {
                state.fuse = None;
                state.fired = true;
                Err(HostRefused { call })
            }
            Some(left) => {
                state.fuse = Some(left - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What there is.
    pub fn counts(&self) -> Counts {
        self.0.lock().counts
    }

    /// The call with number `nth` from now on fails, once.
    pub fn arm(&self, nth: u64) {
        let mut state = self.0.lock();
        state.fuse = Some(nth);
        state.fired = false;
    }

    /// No call fails any more. Whether one did.
    pub fn disarm(&self) -> bool {
        let mut state = self.0.lock();
        state.fuse = None;
        core::mem::take(&mut state.fired)
    }

    /// Makes a file.
    ///
    /// # Errors
    ///
    /// If it is the call that fails.
    pub fn create(&self, contents: Contents, nature: Nature) -> Result<EchoFile, HostRefused> {
        self.call("create a file")?;
        let mut state = self.0.lock();
        state.made += 1;
        state.counts.files += 1;
        let (host, number) = (self.clone(), state.made);
        Ok(EchoFile(Arc::new(Inode { host, number, nature, contents: Mutex::new(contents) })))
    }

    /// Pins a file.
    ///
    /// # Errors
    ///
    /// If it is the call that fails.
    pub fn pin(&self) -> Result<Pin, HostRefused> {
        self.call("pin a file")?;
        self.0.lock().counts.pins += 1;
        Ok(Pin(self.clone()))
    }
}

impl EchoFile {
    /// As its user reads it.
    pub fn contents(&self) -> Contents {
        self.0.contents.lock().clone()
    }

    /// As its user writes it.
    pub fn set(&self, contents: Contents) {
        *self.0.contents.lock() = contents;
    }

    /// Its number on the host.
    pub fn number(&self) -> u128 {
        self.0.number
    }

    /// As the handler reads it, by a call that may fail.
    ///
    /// # Errors
    ///
    /// If it is the call that fails.
    pub fn read(&self) -> Result<Contents, HostRefused> {
        self.0.host.call("read a file")?;
        Ok(self.contents())
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        self.host.0.lock().counts.files -= 1;
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.0.lock().counts.pins -= 1;
    }
}

/// Carries [`EchoFile`]s.
#[derive(Clone, Debug)]
pub struct Echo {
    host: EchoHost,
}

/// What [`Echo`] keeps of a file.
#[derive(Debug)]
pub struct EchoHeld {
    _pin: Pin,
    /// `None` unless it is prepared and there are bytes.
    array: Option<PreservedArray<u8>>,
}

/// The version without a cursor.
pub const BARE: Version = Version(1);
/// The version with a cursor.
pub const WITH_CURSOR: Version = Version(2);

/// What a payload says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The array; `None` for a file without bytes.
    pub array: Option<Name>,
    /// Bytes in the file.
    pub len: u64,
    /// 0 in version 1.
    pub cursor: u64,
}

impl Payload {
    /// The payload in this version.
    pub fn encode(self, version: Version) -> Vec<u8> {
        let Self { array, len, cursor } = self;
        let mut bytes = Vec::with_capacity(24);
        bytes.extend_from_slice(&array.map_or(0, Name::get).to_le_bytes());
        bytes.extend_from_slice(&len.to_le_bytes());
        if version >= WITH_CURSOR {
            bytes.extend_from_slice(&cursor.to_le_bytes());
        }
        bytes
    }

    /// Takes a payload that arrived.
    ///
    /// # Errors
    ///
    /// For bytes that no writer of this version puts down.
    pub fn decode(record: &Record<'_>) -> Result<Self, Refusal> {
        let (words, rest) = record.payload.as_chunks();
        let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
        let mut next = || words.next().ok_or(Refusal::because("the payload is too short"));
        let (array, len) = (next()?, next()?);
        let cursor = if record.version >= WITH_CURSOR { next()? } else { 0 };
        if !rest.is_empty() || next().is_ok() {
            return Err(Refusal::because("the payload is too long"));
        }
        let named = Name::new(array);
        if named.is_some() != (len > 0) || (named.is_none() && array != 0) {
            return Err(Refusal::because("array and length disagree"));
        }
        Ok(Self { array: named, len, cursor })
    }

    /// Reclaims the array and reads it.
    ///
    /// # Errors
    ///
    /// If the array is not what the payload says, or the memory fails.
    pub fn restore(self, memory: &mut dyn Memory) -> Result<Contents, Refusal> {
        let Some(name) = self.array else { return Ok(Contents { bytes: Vec::new(), cursor: self.cursor }) };
        let array = PreservedArray::<u8>::restore(memory, name)?;
        if array.len() != self.len {
            return Err(Refusal::because("array and length disagree"));
        }
        array.verify(memory)?;
        Ok(Contents { bytes: array.to_vec(memory)?, cursor: self.cursor })
    }
}

impl Echo {
    /// On this host.
    pub fn new(host: &EchoHost) -> Self {
        Self { host: host.clone() }
    }
}

impl EchoHeld {
    /// What is to be put down for a file with these contents.
    pub fn payload(&self, contents: &Contents) -> Payload {
        Payload {
            array: self.array.as_ref().map(PreservedArray::name),
            len: ByteLen::of(contents.bytes.len()).get(),
            cursor: contents.cursor,
        }
    }
}

impl FileHandler for Echo {
    type File = EchoFile;
    type Held = EchoHeld;

    fn kind(&self) -> Kind {
        Kind::literal("echo")
    }

    fn reads(&self) -> VersionRange {
        VersionRange::up_to(WITH_CURSOR)
    }

    fn writes(&self) -> Vec<Version> {
        vec![WITH_CURSOR, BARE]
    }

    fn leans_on(&self) -> Vec<Kind> {
        Vec::new()
    }

    fn judge(&self, file: &EchoFile) -> Verdict {
        match file.0.nature {
            Nature::Ordinary => Verdict::Mine,
            Nature::Locked => Verdict::MineButNo { reason: "the file is locked".into() },
            Nature::Foreign => Verdict::NotMine,
        }
    }

    fn identity(&self, file: &EchoFile) -> Identity {
        Identity(file.number())
    }

    fn travel(&self, file: &EchoFile) -> Travel {
        let bytes = ByteLen::of(file.contents().bytes.len());
        let copy = Copying::Will { reason: "an echo has no frames of its own".into() };
        Travel { descriptor: DescriptorKind("echo"), bytes, copy }
    }

    fn preserve(&self, _file: &EchoFile) -> Result<EchoHeld, Refusal> {
        let pin = self.host.pin().map_err(Refusal::new)?;
        Ok(EchoHeld { _pin: pin, array: None })
    }

    fn survey(&self, _file: &EchoFile, _held: &mut EchoHeld) -> Result<(), Refusal> {
        Ok(())
    }

    fn prepare(
        &self,
        file: &EchoFile,
        held: &mut EchoHeld,
        scope: &mut PrepareScope<'_>,
    ) -> Result<(), Refusal> {
        let contents = file.read().map_err(Refusal::new)?;
        held.array = match &*contents.bytes {
            [] => None,
            bytes => Some(PreservedArray::from_bytes(scope.memory(), bytes)?),
        };
        for version in scope.versions().to_vec() {
            scope.put(version, &held.payload(&contents).encode(version))?;
        }
        Ok(())
    }

    fn cancel(&self, _file: &EchoFile, held: &mut EchoHeld) {
        held.array = None;
    }

    fn freeze(
        &self,
        file: &EchoFile,
        held: &mut EchoHeld,
        scope: &mut FreezeScope<'_>,
    ) -> Result<(), Refusal> {
        let contents = file.read().map_err(Refusal::new)?;
        let room = held.array.as_ref().map_or(0, PreservedArray::len);
        if ByteLen::of(contents.bytes.len()).get() != room {
            return Err(Refusal::because("the file changed its length since it was prepared"));
        }
        if let Some(array) = &mut held.array {
            array.write(scope.memory(), 0, &contents.bytes)?;
            array.seal(scope.memory())?;
        }
        for version in scope.versions().to_vec() {
            scope.put(version, &held.payload(&contents).encode(version))?;
        }
        Ok(())
    }

    fn unfreeze(&self, _file: &EchoFile, _held: &mut EchoHeld) {}

    fn depart(&self, file: EchoFile, held: EchoHeld) {
        drop((file, held));
    }

    fn retrieve(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<EchoFile, Refusal> {
        let contents = Payload::decode(record)?.restore(scope.memory())?;
        self.host.create(contents, Nature::Ordinary).map_err(Refusal::new)
    }

    fn can_finish(&self, _record: &Record<'_>, _file: &EchoFile) -> Result<(), Refusal> {
        Ok(())
    }

    fn finish(&self, _record: &Record<'_>, _file: &EchoFile) {}

    fn discard(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) {
        let reclaim = |name| PreservedArray::<u8>::restore(scope.memory(), name);
        // What cannot be read is swept up by the finish of the whole update.
        let _found: Option<Result<_, StoreError>> =
            Payload::decode(record).ok().and_then(|payload| payload.array).map(reclaim);
    }
}

/// Tries a handler of [`EchoFile`]s.
#[derive(Debug)]
pub struct EchoFixture<M> {
    host: EchoHost,
    make: M,
    lengths: Vec<usize>,
}

impl<M> EchoFixture<M> {
    /// The handler is made anew whenever a program wants one.
    pub fn new(make: M) -> Self {
        Self { host: EchoHost::default(), make, lengths: LENGTHS.to_vec() }
    }

    /// With files of these lengths.
    #[must_use]
    pub fn lengths(mut self, lengths: impl Into<Vec<usize>>) -> Self {
        self.lengths = lengths.into();
        self
    }

    fn made(&self, bytes: Vec<u8>, cursor: u64, nature: Nature) -> EchoFile {
        self.host.create(Contents { bytes, cursor }, nature).expect("nothing is armed while files are made")
    }
}

/// Lengths around the edges of words, frames and runs of frames.
const LENGTHS: [usize; 5] = [0, 1, 24, 4096, 3 * 4096 + 5];

impl<H, M> Fixture for EchoFixture<M>
where
    H: FileHandler<File = EchoFile>,
    M: FnMut(&EchoHost) -> H,
{
    type Handler = H;
    type Portrait = (Vec<u8>, Option<u64>);
    type Baseline = Counts;

    fn renew(&mut self) {
        self.host = EchoHost::default();
    }

    fn handler(&mut self, _side: Side) -> H {
        (self.make)(&self.host)
    }

    fn company(&mut self, _side: Side, _registry: &mut Registry) {}

    fn files(&self) -> usize {
        self.lengths.len()
    }

    fn file(&mut self, nth: usize) -> EchoFile {
        let len = self.lengths.get(nth).copied().unwrap_or_default();
        let bytes = (0..len).map(|at| u8::try_from(at % 251).unwrap_or(0)).collect();
        self.made(bytes, ByteLen::of(nth).get() * 3, Nature::Ordinary)
    }

    fn another_reference(&mut self, file: &EchoFile) -> EchoFile {
        file.clone()
    }

    fn refused(&mut self) -> Vec<EchoFile> {
        vec![self.made(vec![1, 2, 3], 0, Nature::Locked)]
    }

    fn strangers(&mut self) -> Vec<EchoFile> {
        vec![self.made(vec![4], 0, Nature::Foreign)]
    }

    fn portrait(&mut self, file: &EchoFile, version: Version) -> Self::Portrait {
        let Contents { bytes, cursor } = file.contents();
        (bytes, (version >= WITH_CURSOR).then_some(cursor))
    }

    fn baseline(&mut self) -> Counts {
        self.host.counts()
    }

    fn changes(&self) -> usize {
        3
    }

    fn change(&mut self, file: &EchoFile, which: usize) -> bool {
        let mut contents = file.contents();
        match which {
            0 => contents.cursor += 1,
            1 => contents.bytes.push(7),
            _ => match contents.bytes.last_mut() {
                Some(byte) => *byte ^= 0xFF,
                None => return false,
            },
        }
        file.set(contents);
        true
    }

    fn arm(&mut self, nth: u64) {
        self.host.arm(nth);
    }

    fn disarm(&mut self) -> bool {
        self.host.disarm()
    }
}
