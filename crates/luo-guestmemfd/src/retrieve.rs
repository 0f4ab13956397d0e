//! Making the file again: it is found behind its segment, or made of its copy, for the machine that it is to serve.
//!
//! The machine comes first, whatever order the files are asked for in: the file asks for it by its token.

use luo_core::{Record, Refusal, RetrieveScope, Token};
use luo_kho::{ByteLen, FRAME_BYTES, FrameRange};
use luo_xarray::page_map::PageStore;

use crate::abi::{Form, Payload};
use crate::copy::Home;
use crate::options::Options;
use crate::port::Sort;
use crate::{Facts, GuestMemfdError, Port, Retrieve, copy};

pub(crate) fn retrieve<P: Port>(
    (port, options): (&P, &Options<P>),
    record: &Record<'_>,
    scope: &mut RetrieveScope<'_>,
) -> Result<P::File, Refusal> {
    let payload = Payload::decode(record).map_err(GuestMemfdError::Record)?;
    let Payload { close_on_exec, vm: token, form, facts } = payload;
    let vm = token.map(|token| machine::<P>(token, scope)).transpose()?;
    let facts = Facts::clone(&facts);
    let file = match form {
        Form::Segment(segment) => {
            scope.memory().reclaim(segment)?;
            found((port, options), scope, segment, vm, (facts, close_on_exec))
        }
        Form::Store(names) => {
            let store = PageStore::restore(scope.memory(), &names).map_err(GuestMemfdError::Store)?;
            let store = store.as_ref().map(|store| (store, &names));
            let home = home(options, vm)?;
            copy::from_store((port, options), scope.memory(), store, &home, (facts, close_on_exec))
        }
    };
    Ok(file?)
}

fn machine<P: Port>(token: Token, scope: &mut RetrieveScope<'_>) -> Result<P::Vm, GuestMemfdError> {
    scope.file(token).map_err(|cause| GuestMemfdError::NoVm { token, cause })
}

/// The machine in which a file is made anew: its own, or what the embedder gives to those that named none.
fn home<P: Port>(options: &Options<P>, vm: Option<P::Vm>) -> Result<Home<P::Vm>, GuestMemfdError> {
    if let Some(vm) = vm {
        return Ok(Home { vm, named: true });
    }
    let vm_for = options.vm_for.as_ref().ok_or(GuestMemfdError::VmUnknown)?;
    Ok(Home { vm: vm_for().map_err(GuestMemfdError::VmRefused)?, named: false })
}

/// The file behind the segment, if it still is what was written down; or a copy of it, if that is wanted.
fn found<P: Port>(
    (port, options): (&P, &Options<P>),
    scope: &mut RetrieveScope<'_>,
    segment: FrameRange,
    vm: Option<P::Vm>,
    (facts, close_on_exec): (Facts, bool),
) -> Result<P::File, GuestMemfdError> {
    let recorded = ByteLen::new(facts.pages().saturating_mul(FRAME_BYTES));
    let old = port.attached(scope.memory(), segment, vm.clone(), facts.clone(), close_on_exec)?;
    if port.sort(&old)? != Sort::GuestMemfd {
        return Err(GuestMemfdError::NotAGuestMemfd);
    }
    let size = ByteLen::new(port.look(&old)?.size);
    if size != recorded {
        return Err(GuestMemfdError::OtherSize { found: size, recorded });
    }
    match options.retrieve {
        Retrieve::MapOld => Ok(old),
        Retrieve::CopyIntoNew => copy::anew(port, &old, &home(options, vm)?, (facts, close_on_exec)),
    }
}
