//! The payloads of the simulated participants: words of 8 bytes, little-endian, in versions.
//!
//! | version | words of a file |
//! |---|---|
//! | 1 | mark, array, length, position, checksum |
//! | 2 | those, flags, number of dependencies, a token for each |
//! | n > 2 | as 2, and n - 2 words that are 0 |
//!
//! That of a subsystem or a shared object names a preserved array with one word in it, and has n - 1 words that are 0
//! in version n.

use luo_core::{Record, Refusal, RetrieveScope, Version};
use luo_kho::{ByteLen, Name, PreservedArray};

/// Tokens that fit into a record: more than any scenario has.
pub const DEPENDENCIES_MAX: usize = 8;

/// A file, as it is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileRecord {
    /// Its mark.
    pub mark: u64,
    /// The name of the array that holds its bytes; 0 for none.
    pub array: u64,
    /// How many bytes there are.
    pub len: u64,
    /// Its position.
    pub position: u64,
    /// The checksum of its bytes.
    pub crc: u32,
    /// Its flags. Version 1 has none.
    pub flags: u32,
    /// The tokens of the files it depends on. Version 1 has none.
    pub depends_on: Vec<u64>,
}

impl FileRecord {
    /// The payload in this version.
    ///
    /// # Errors
    ///
    /// Version 1 cannot say on what a file depends.
    pub fn encode(&self, version: Version) -> Result<Vec<u8>, Refusal> {
        let Self { mark, array, len, position, crc, flags, depends_on } = self;
        let mut words = vec![*mark, *array, *len, *position, u64::from(*crc)];
        if version == Version(1) {
            if !depends_on.is_empty() {
                return Err(Refusal::because("version 1 cannot say on what a file depends"));
            }
        } else {
            words.extend([u64::from(*flags), depends_on.len() as u64]);
            words.extend(depends_on);
            words.extend((2..version.0).map(|_| 0));
        }
        Ok(bytes_of(&words))
    }

    /// The longest payload in this version.
    pub fn room(version: Version) -> usize {
        if version == Version(1) { 40 } else { 56 + 8 * DEPENDENCIES_MAX + 8 * usize::from(version.0 - 2) }
    }

    /// From a payload of this version.
    ///
    /// # Errors
    ///
    /// The payload is not one.
    pub fn decode(version: Version, payload: &[u8]) -> Result<Self, Refusal> {
        let bad = || Refusal::because("the payload is not that of a file");
        let mut words = words_of(payload).ok_or_else(bad)?.into_iter();
        let mut next = || words.next().ok_or_else(bad);
        let mut record =
            Self { mark: next()?, array: next()?, len: next()?, position: next()?, ..Self::default() };
        record.crc = u32::try_from(next()?).map_err(|_| bad())?;
        if version > Version(1) {
            record.flags = u32::try_from(next()?).map_err(|_| bad())?;
            let count = next()?;
            if count > DEPENDENCIES_MAX as u64 {
                return Err(bad());
            }
            for _ in 0..count {
                record.depends_on.push(next()?);
            }
            for _ in 2..version.0 {
                if next()? != 0 {
                    return Err(bad());
                }
            }
        }
        if next().is_ok() { Err(bad()) } else { Ok(record) }
    }
}

/// How long the payload is that names an array in this version.
pub(crate) fn named_len(version: Version) -> ByteLen {
    ByteLen::of(8 * usize::from(version.0))
}

/// The payload that names an array in this version.
pub(crate) fn name_payload(version: Version, array: &PreservedArray<u8>) -> Vec<u8> {
    let mut words = vec![array.name().get()];
    words.extend((1..version.0).map(|_| 0));
    bytes_of(&words)
}

/// The word in the array that a payload names. The array is claimed.
pub(crate) fn one_word(record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<u64, Refusal> {
    let words = words_of(record.payload).filter(|words| words.len() == usize::from(record.version.0));
    let name = words.and_then(|words| Name::new(*words.first()?));
    let name = name.ok_or_else(|| Refusal::because("the payload does not name an array"))?;
    let array = PreservedArray::<u8>::restore(scope.memory(), name)?;
    array.verify(scope.memory())?;
    let words = words_of(&array.to_vec(scope.memory())?).unwrap_or_default();
    match words[..] {
        [word] => Ok(word),
        _ => Err(Refusal::because("the array does not hold one word")),
    }
}

/// Words as bytes.
pub fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Bytes as words; `None` if they are no whole number of them.
pub fn words_of(bytes: &[u8]) -> Option<Vec<u64>> {
    let (words, rest) = bytes.as_chunks();
    rest.is_empty().then(|| words.iter().map(|word| u64::from_le_bytes(*word)).collect())
}
