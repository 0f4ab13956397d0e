//! Whose file is this, and can it travel?

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

use luo_core::{Copying, Travel, Verdict};
use luo_kho::carrier::DescriptorKind;
use luo_kho::{ByteLen, FRAME_BYTES};

use crate::copy::present_pages;
use crate::options::{Options, pause};
use crate::port::Sort;
use crate::{Facts, Flags, HostError, Port, Retrieve};

/// The descriptor that a carrier would have to take.
pub const DESCRIPTOR: DescriptorKind = DescriptorKind("guest_memfd");

/// What is a guest_memfd is ours, with flags that can be given to a copy and contents that can be read.
pub(crate) fn judge<P: Port>(port: &P, options: &Options<P>, file: &P::File) -> Verdict {
    let no = |reason: Cow<'static, str>| Verdict::MineButNo { reason };
    let looked = |error: HostError| no(format!("it could not be looked at: {error}").into());
    match port.sort(file) {
        Ok(Sort::Other) => return Verdict::NotMine,
        Ok(Sort::GuestMemfd) => {}
        Err(error) => return looked(error),
    }
    if let Err(error) = port.look(file) {
        return looked(error);
    }
    let facts = port.facts(file);
    let unknown = facts.flags().unknown();
    if unknown != Flags::NONE {
        return no(
            format!("it was made with flags {:#x}, which this build does not know", unknown.bits()).into()
        );
    }
    match hidden(&facts) {
        Some(why) if options.private_of(file).is_none() => no(why.into()),
        _ => Verdict::Mine,
    }
}

/// Why the host cannot read all of it, if it cannot.
pub(crate) fn hidden(facts: &Facts) -> Option<String> {
    let closed = "and no other virtual machine can be bound to it";
    let missing = [(Flags::MMAP, "cannot map it"), (Flags::INIT_SHARED, "may not touch its pages")];
    for (flag, what) in missing {
        if !facts.flags().contains(flag) {
            return Some(format!(
                "it was made with {}: without {flag} the host {what}, {closed}",
                facts.flags()
            ));
        }
    }
    let pages: u64 = facts.hidden().iter().map(|run| run.end - run.start).sum();
    (pages > 0).then(|| {
        format!("{pages} of its pages are private to the guest: the host cannot read them, {closed}")
    })
}

/// By reference where the carrier can, unless somebody wants a copy or only a copy can carry it. What a copy would move
/// is no more than the pages that exist.
pub(crate) fn travel<P: Port>(port: &P, options: &Options<P>, file: &P::File) -> Travel {
    let facts = port.facts(file);
    let (pages, copy) = match present_pages(port, options, file, &facts) {
        Err(error) => (0, Copying::Cannot { reason: format!("it could not be looked at: {error}").into() }),
        Ok(pages) => (pages, copying(options, &facts, || pause(pages, port.bytes_per_second()))),
    };
    Travel { descriptor: DESCRIPTOR, bytes: ByteLen::new(pages.saturating_mul(FRAME_BYTES)), copy }
}

fn copying<P: Port>(options: &Options<P>, facts: &Facts, pause: impl FnOnce() -> String) -> Copying {
    if let Some(why) = hidden(facts) {
        let why = format!("the embedder exports what the host cannot read: {why}; {}", pause());
        return Copying::Will { reason: why.into() };
    }
    match options.retrieve {
        Retrieve::MapOld => Copying::CanWith { needs: pause().into() },
        Retrieve::CopyIntoNew => {
            let why = "the successor copies it into a guest_memfd of the new virtual machine";
            Copying::Will { reason: format!("{why}: {}", pause()).into() }
        }
    }
}

/// The error of a later step for what [`hidden`] says.
pub(crate) fn refuse_hidden(facts: &Facts) -> Result<(), crate::GuestMemfdError> {
    match hidden(facts) {
        Some(why) => Err(crate::GuestMemfdError::Hidden { why }),
        None => Ok(()),
    }
}
