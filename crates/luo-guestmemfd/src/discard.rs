//! Nobody wants the file any more: what carried it is claimed, so that it can be released.

use luo_core::{Record, RetrieveScope};
use luo_xarray::page_map::PageStore;

use crate::abi::{Form, Payload};

/// Claims what can be found. What a damaged record does not name is released with the rest at the end of finish.
pub(crate) fn discard(record: &Record<'_>, scope: &mut RetrieveScope<'_>) {
    let Ok(Payload { form, .. }) = Payload::decode(record) else { return };
    match form {
        Form::Segment(segment) => drop(scope.memory().reclaim(segment)),
        Form::Store(names) => drop(PageStore::restore(scope.memory(), &names)),
    }
}
