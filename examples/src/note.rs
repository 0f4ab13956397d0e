//! A note, and its handler.

use std::sync::{Arc, Mutex, PoisonError};

use luo_core::{
    Copying, FileHandler, FreezeScope, Identity, Kind, PrepareScope, Record, Refusal, RetrieveScope, Travel,
    Verdict, Version, VersionRange,
};
use luo_kho::carrier::DescriptorKind;
use luo_kho::{ByteLen, Name, PreservedArray};

/// A text that several parts of a program share. Clones are the same note.
#[derive(Clone, Debug)]
pub struct Note(Arc<Mutex<String>>);

/// Carries notes.
#[derive(Debug)]
pub struct NoteHandler;

impl Note {
    /// A note that says `text`.
    pub fn new(text: &str) -> Self {
        Self(Arc::new(Mutex::new(text.to_owned())))
    }

    /// What it says.
    pub fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds to what it says.
    pub fn append(&self, text: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
    }
}

/// The longest text, in bytes, that is carried: freeze writes into what prepare set aside.
const TEXT_MAX: u64 = 4096;

impl FileHandler for NoteHandler {
    type File = Note;
    type Held = Option<PreservedArray<u8>>;

    fn kind(&self) -> Kind {
        Kind::literal("note")
    }

    fn reads(&self) -> VersionRange {
        VersionRange::only(Version(1))
    }

    fn writes(&self) -> Vec<Version> {
        vec![Version(1)]
    }

    fn leans_on(&self) -> Vec<Kind> {
        Vec::new()
    }

    fn judge(&self, file: &Note) -> Verdict {
        if file.text().len() as u64 <= TEXT_MAX {
            Verdict::Mine
        } else {
            Verdict::MineButNo { reason: "the text is longer than 4096 bytes".into() }
        }
    }

    fn identity(&self, file: &Note) -> Identity {
        Identity(Arc::as_ptr(&file.0).addr() as u128)
    }

    fn travel(&self, file: &Note) -> Travel {
        Travel {
            descriptor: DescriptorKind("note"),
            bytes: ByteLen::of(file.text().len()),
            copy: Copying::Can,
        }
    }

    fn preserve(&self, _file: &Note) -> Result<Self::Held, Refusal> {
        Ok(None)
    }

    fn survey(&self, _file: &Note, _held: &mut Self::Held) -> Result<(), Refusal> {
        Ok(())
    }

    fn prepare(
        &self,
        _file: &Note,
        held: &mut Self::Held,
        scope: &mut PrepareScope<'_>,
    ) -> Result<(), Refusal> {
        // Room for the longest text; the name of the array and the length of the text are the payload.
        *held = Some(PreservedArray::alloc(scope.memory(), TEXT_MAX)?);
        scope.reserve(Version(1), ByteLen::new(16))?;
        Ok(())
    }

    fn cancel(&self, _file: &Note, held: &mut Self::Held) {
        // The orchestrator gives the frames back.
        *held = None;
    }

    fn freeze(&self, file: &Note, held: &mut Self::Held, scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        let Some(array) = held else { return Err(Refusal::because("freeze came before prepare")) };
        let text = file.text();
        array.write(scope.memory(), 0, text.as_bytes())?;
        array.seal(scope.memory())?;
        let (name, len) = (array.name().get(), text.len() as u64);
        scope.put(Version(1), &[name.to_le_bytes(), len.to_le_bytes()].concat())?;
        Ok(())
    }

    fn unfreeze(&self, _file: &Note, _held: &mut Self::Held) {}

    fn depart(&self, _file: Note, _held: Self::Held) {}

    fn retrieve(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<Note, Refusal> {
        let (array, len) = open(record, scope)?;
        let mut bytes = vec![0; len];
        array.read(scope.memory(), 0, &mut bytes)?;
        let text = String::from_utf8(bytes).map_err(Refusal::new)?;
        Ok(Note::new(&text))
    }

    fn can_finish(&self, _record: &Record<'_>, _file: &Note) -> Result<(), Refusal> {
        Ok(())
    }

    fn finish(&self, _record: &Record<'_>, _file: &Note) {}

    fn discard(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) {
        // Reclaims the array, so that the orchestrator can free it. One that cannot be read has nothing to reclaim.
        let _ = open(record, scope);
    }
}

/// The array that a payload names, reclaimed, and the length of the text in it. The payload is hostile.
fn open(record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<(PreservedArray<u8>, usize), Refusal> {
    let words = record.payload.as_chunks::<8>();
    let ([name, len], []) = words else { return Err(Refusal::because("the payload is not two words")) };
    let name =
        Name::new(u64::from_le_bytes(*name)).ok_or_else(|| Refusal::because("the payload names no frame"))?;
    let len = u64::from_le_bytes(*len);
    let array = PreservedArray::<u8>::restore(scope.memory(), name)?;
    // Before anything is read: a length that arrived is not believed either.
    if array.len() != TEXT_MAX || len > TEXT_MAX {
        return Err(Refusal::because("no note is as long as this one"));
    }
    array.verify(scope.memory())?;
    Ok((array, ByteLen::new(len).as_usize()))
}
