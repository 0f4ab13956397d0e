//! Whose file is this, and can it travel?

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::ToString as _;

use luo_core::{CopyWhen, Copying, Travel, Verdict};
use luo_kho::ByteLen;
use luo_kho::carrier::DescriptorKind;

use crate::copy::populated;
use crate::options::Options;
use crate::pool::{Need, Placement};
use crate::port::Sort;
use crate::{BLOCK_BYTES, HostError, HugetlbError, Port, Seals, Status};

/// The descriptor that a carrier would have to take.
pub const DESCRIPTOR: DescriptorKind = DescriptorKind("hugetlb");
/// The descriptor of a stand-in: a memfd of ordinary pages.
pub const STAND_IN: DescriptorKind = DescriptorKind("memfd");

/// Files of huge pages are ours, with seals and flags that can be given to a copy, and no broken memory under them.
pub(crate) fn judge<P: Port>(port: &P, file: &P::File) -> Verdict {
    let no = |reason: Cow<'static, str>| Verdict::MineButNo { reason };
    match port.sort(file) {
        Ok(Sort::Other) => return Verdict::NotMine,
        Ok(Sort::Unfit { reason }) => return no(reason),
        Ok(Sort::Huge) => {}
        Err(error) => return no(not_looked_at(&error.into())),
    }
    match fit(port, file) {
        Ok(None) => Verdict::Mine,
        Ok(Some(reason)) => no(reason),
        Err(error @ HugetlbError::Poisoned { .. }) => no(format!("{error}").into()),
        Err(error) => no(not_looked_at(&error)),
    }
}

fn not_looked_at(error: &HugetlbError) -> Cow<'static, str> {
    format!("it could not be looked at: {error}").into()
}

/// Why it cannot travel.
fn fit<P: Port>(port: &P, file: &P::File) -> Result<Option<Cow<'static, str>>, HugetlbError> {
    let attributes = port.look(file)?;
    let unknown = attributes.seals.unknown();
    if unknown != Seals::NONE {
        return Ok(Some(HugetlbError::StrangeSeals { seals: unknown }.to_string().into()));
    }
    if attributes.status.contains(Status::UNKNOWN) {
        return Ok(Some("its descriptor has status flags that this build does not know".into()));
    }
    port.place(file)?;
    let page_size = port.page_size(file)?;
    match populated(port, &port.open(file)?, page_size, &attributes) {
        // Where pages cannot be searched for, a file can go by reference all the same.
        Ok(_) | Err(HugetlbError::Host(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a copy of the file takes from the successor's pool, against what this host's has.
///
/// # Errors
///
/// [`HugetlbError::Poisoned`], or the host's.
pub(crate) fn need<P: Port>(port: &P, options: &Options<P>, file: &P::File) -> Result<Need, HugetlbError> {
    let page_size = port.page_size(file)?;
    let runs = populated(port, &port.open(file)?, page_size, &port.look(file)?)?;
    let placement = Placement::of(&runs);
    let pool = port.pools()?.into_iter().find(|pool| pool.page_size == page_size);
    let given_back = if options.freeing.is_some() { placement.pages() } else { 0 };
    Ok(Need { page_size, placement, pool, given_back, given_back_to: options.freeing })
}

/// By reference where the carrier can. What a copy would move is no more than the host keeps for the file.
pub(crate) fn travel<P: Port>(port: &P, options: &Options<P>, file: &P::File) -> Travel {
    let bytes = port.look(file).map_or(0, |attributes| attributes.blocks.saturating_mul(BLOCK_BYTES));
    let cannot = |reason: Cow<'static, str>| Copying::Cannot { reason };
    let bond = port.bonds(file).map_err(HostError::into);
    let copy = match (options.copy, bond.and_then(|bond| Ok((bond, need(port, options, file)?)))) {
        (CopyWhen::Never, _) => cannot("this handler was told never to copy".into()),
        (_, Err(error)) => cannot(not_looked_at(&error)),
        (_, Ok((Some(bond), _))) => cannot(format!("a copy cannot have its {bond}").into()),
        (CopyWhen::Needed, Ok((None, need))) => Copying::CanWith { needs: format!("{need}").into() },
        (CopyWhen::Always, Ok((None, need))) => {
            Copying::Will { reason: format!("this handler was told always to copy; {need}").into() }
        }
    };
    Travel { descriptor: DESCRIPTOR, bytes: ByteLen::new(bytes), copy }
}
