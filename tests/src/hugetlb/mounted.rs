//! A file system of huge pages, mounted where nobody but one test sees it.

use std::path::{Path, PathBuf};

use luo_hugetlb::PageSize;
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};

/// The mount, until it is dropped.
#[derive(Debug)]
pub struct Mounted(PathBuf);

/// Runs a test with a file system of huge pages, which nobody else sees; where that is not allowed, it says that the
/// test is skipped.
pub fn mounted(test: &str, page_size: PageSize, options: &str, run: impl FnOnce(&Path) + Send) {
    let folder = std::env::temp_dir().join(format!("luo-{test}-{}", std::process::id()));
    let options = format!("pagesize={}K{options}", page_size.bytes() >> 10);
    apart(test, || {
        std::fs::create_dir_all(&folder).map_err(|error| format!("no folder can be made: {error}"))?;
        let mounted = Mounted::new(&folder, "hugetlbfs", &options)?;
        run(&mounted.0);
        drop(mounted);
        let removed = std::fs::remove_dir(&folder);
        removed.unwrap_or_else(|error| panic!("{} was left behind: {error}", folder.display()));
        Ok(())
    });
}

/// Runs a test that sees nothing in this folder, nor do the programs that it starts; where that is not allowed, it says
/// that the test is skipped.
pub fn hidden(test: &str, folder: &str, run: impl FnOnce() + Send) {
    apart(test, || {
        let mounted = Mounted::new(folder.as_ref(), "tmpfs", "")?;
        run();
        drop(mounted);
        Ok(())
    });
}

/// Runs a test on a thread that has its mounts to itself.
fn apart(test: &str, run: impl FnOnce() -> Result<(), String> + Send) {
    let done = std::thread::scope(|scope| {
        let run = || {
            own_mounts()?;
            run()
        };
        let outcome: Result<(), String> = match scope.spawn(run).join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        outcome
    });
    if let Err(why) = done {
        println!("SKIPPED: {test}: {why}");
    }
}

fn refused(what: &'static str) -> impl Fn(rustix::io::Errno) -> String {
    move |error| format!("{what}: {error}")
}

fn own_mounts() -> Result<(), String> {
    let own = unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS);
    own.map_err(|error| format!("this user may not have mounts of its own: {error}"))?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(refused("mounts cannot be made private"))
}

impl Mounted {
    fn new(folder: &Path, file_system: &str, options: &str) -> Result<Self, String> {
        let options = std::ffi::CString::new(options).map_err(|error| error.to_string())?;
        let made = mount("none", folder, file_system, MountFlags::empty(), options.as_c_str());
        made.map_err(refused("nothing can be mounted"))?;
        Ok(Self(folder.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.0, UnmountFlags::DETACH) {
            println!("{} stays mounted for this thread: {error}", self.0.display());
        }
    }
}
