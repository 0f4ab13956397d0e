//! The file that is carried, and its handler. **Pages** are a sparse array of words, shared by all who hold a clone,
//! as the pages of a memfd are. Their record is a list of pairs: the index, then the word, 8 bytes each.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use luo_core::{
    Copying, FileHandler, FreezeScope, Identity, Kind, PrepareScope, Record, Refusal, RetrieveScope, Travel,
    Verdict, Version, VersionRange,
};
use luo_kho::ByteLen;
use luo_kho::carrier::DescriptorKind;
use luo_xarray::XArray;

/// The file.
#[derive(Clone, Debug)]
pub(crate) struct Pages(Arc<XArray<u64>>);

/// Carries pages.
pub(crate) struct PagesHandler;

const KIND: Kind = Kind::literal("pages");
const VERSION: Version = Version(1);

impl Pages {
    pub(crate) fn new(words: impl IntoIterator<Item = (u64, u64)>) -> Self {
        Self(Arc::new(words.into_iter().collect()))
    }

    pub(crate) fn words(&self) -> &XArray<u64> {
        &self.0
    }

    fn payload(&self) -> Vec<u8> {
        let pairs = self.0.iter().flat_map(|entry| [entry.block.first(), *entry.value]);
        pairs.flat_map(u64::to_le_bytes).collect()
    }
}

impl FileHandler for PagesHandler {
    type File = Pages;
    type Held = ();

    fn kind(&self) -> Kind {
        KIND
    }

    fn reads(&self) -> VersionRange {
        VersionRange::only(VERSION)
    }

    fn writes(&self) -> Vec<Version> {
        vec![VERSION]
    }

    fn leans_on(&self) -> Vec<Kind> {
        Vec::new()
    }

    fn judge(&self, _file: &Pages) -> Verdict {
        Verdict::Mine
    }

    fn identity(&self, file: &Pages) -> Identity {
        Identity(Arc::as_ptr(&file.0).addr() as u128)
    }

    fn travel(&self, file: &Pages) -> Travel {
        let bytes = ByteLen::of(file.payload().len());
        Travel { descriptor: DescriptorKind("pages"), bytes, copy: Copying::Can }
    }

    fn preserve(&self, _file: &Pages) -> Result<(), Refusal> {
        Ok(())
    }

    fn survey(&self, _file: &Pages, _held: &mut ()) -> Result<(), Refusal> {
        Ok(())
    }

    fn prepare(&self, file: &Pages, _held: &mut (), scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        // Nobody changes pages that are shared, so that what is true now is true when the guest has stopped.
        Ok(scope.put(VERSION, &file.payload())?)
    }

    fn cancel(&self, _file: &Pages, _held: &mut ()) {}

    fn freeze(&self, _file: &Pages, _held: &mut (), _scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    fn unfreeze(&self, _file: &Pages, _held: &mut ()) {}

    fn depart(&self, _file: Pages, _held: ()) {}

    fn retrieve(&self, record: &Record<'_>, _scope: &mut RetrieveScope<'_>) -> Result<Pages, Refusal> {
        let (words, []) = record.payload.as_chunks::<8>() else {
            return Err(Refusal::because("the record is not made of words"));
        };
        let (pairs, []) = words.as_chunks::<2>() else {
            return Err(Refusal::because("the record is not made of pairs"));
        };
        Ok(Pages::new(pairs.iter().map(|pair| (u64::from_le_bytes(pair[0]), u64::from_le_bytes(pair[1])))))
    }

    fn can_finish(&self, _record: &Record<'_>, _file: &Pages) -> Result<(), Refusal> {
        Ok(())
    }

    fn finish(&self, _record: &Record<'_>, _file: &Pages) {}

    fn discard(&self, _record: &Record<'_>, _scope: &mut RetrieveScope<'_>) {}
}
