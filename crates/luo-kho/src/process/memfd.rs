//! Making memfds that live as long as somebody holds them, here and across a kexec.
//!
//! - `F_SEAL_SHRINK` from creation: whoever maps the file cannot be cut off.
//! - `MFD_EXEC` is asked for explicitly where the kernel knows it (6.3). Where the administrator made `MFD_NOEXEC_SEAL`
//!   the default, a memfd would get that seal, and with it Linux 7.3 gives it back write-sealed after a kexec.

use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::Errno;

use super::error::host;
use crate::KhoError;

/// A memfd of so many bytes, all of them holes, closed on exec and sealed against shrinking.
///
/// # Errors
///
/// [`KhoError::Host`].
pub(super) fn create(name: &str, bytes: u64) -> Result<OwnedFd, KhoError> {
    let plain = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let made = memfd_create(name, plain | MemfdFlags::EXEC);
    let file = match made {
        // EINVAL: an older kernel. EACCES: the administrator allows none but MFD_NOEXEC_SEAL.
        Err(Errno::INVAL | Errno::ACCESS) => memfd_create(name, plain),
        made => made,
    };
    let file = file.map_err(host("memfd_create"))?;
    ftruncate(&file, bytes).map_err(host("ftruncate"))?;
    fcntl_add_seals(&file, SealFlags::SHRINK).map_err(host("fcntl(F_ADD_SEALS)"))?;
    Ok(file)
}
