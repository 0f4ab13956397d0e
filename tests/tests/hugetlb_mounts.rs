//! Promise: files on a mounted hugetlbfs cross with their mount and path; a copy takes its path over when the update is
//! finished, and never what lies there and is not the file that was copied.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

use std::fs::{self, File, OpenOptions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use luo_hugetlb::{HugetlbFile, Linux, PageSize, Place, Port};
use luo_tests::hugetlb::{Guest, PAGE, Way, borrow, holds, journey, look, mounted, update};
use luo_tests::journey::Stations;

const TWO: PageSize = PageSize::MIB_2;

/// A file of four pages with two of them filled.
fn made(path: &Path) -> Guest {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
    file.set_len(4 * PAGE).unwrap();
    let guest = Guest(file.into());
    guest.fill(1);
    guest.fill(3);
    guest
}

fn inode(file: &HugetlbFile) -> u64 {
    file.to_file().unwrap().metadata().unwrap().ino()
}

fn place(file: &HugetlbFile) -> (Vec<u8>, Option<Vec<u8>>) {
    match Linux::new().place(file).unwrap() {
        Place::Mounted { mount, path, .. } => {
            (mount.as_bytes().to_vec(), path.map(|path| path.as_bytes().to_vec()))
        }
        Place::Memfd(name) => panic!("{name} is below no mount"),
    }
}

#[test]
fn a_named_file_crosses_with_its_mount_and_path() {
    let test = "a_named_file_crosses_with_its_mount_and_path";
    let Some(_pages) = borrow(test, TWO, 4) else { return };
    mounted(test, TWO, "", |mount| {
        fs::create_dir(mount.join("vm 42")).unwrap();
        let path = mount.join("vm 42/ram");
        let expected = (mount.as_os_str().as_bytes().to_vec(), Some(b"vm 42/ram".to_vec()));
        for way in Way::ALL {
            let guest = made(&path);
            assert_eq!(place(&guest.0), expected);
            let after = update(way, &guest.0, || ()).unwrap();
            assert!(holds(&after, &[1, 3]), "{way:?}");
            assert_eq!(place(&after), expected, "{way:?}");
            assert_eq!(fs::metadata(&path).unwrap().ino(), inode(&after), "{way:?}");
            assert_eq!(inode(&after) == inode(&guest.0), way == Way::Reference);
            // Once more, from what arrived.
            drop(guest);
            let again = update(way, &after, || ()).unwrap();
            assert_eq!((place(&again), holds(&again, &[1, 3])), (expected.clone(), true), "{way:?}");
            fs::remove_file(&path).unwrap();
        }
    });
}

#[test]
fn before_the_commit_a_copy_is_under_no_path() {
    let test = "before_the_commit_a_copy_is_under_no_path";
    let Some(pages) = borrow(test, TWO, 4) else { return };
    mounted(test, TWO, "", |mount| {
        let path = mount.join("ram");
        let guest = made(&path);
        let number = inode(&guest.0);
        let stations = Stations {
            retrieved: Box::new(|files: &[HugetlbFile]| {
                assert_eq!((place(&files[0]).1, fs::metadata(&path).unwrap().ino()), (None, number));
            }),
            ..Stations::default()
        };
        let journey = journey(Way::Copy, || Way::Copy.handler());
        let came = journey.cross(std::slice::from_ref(&guest.0), stations).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode(&came.files[0]));
        assert_eq!(fs::read_dir(mount).unwrap().count(), 1, "nothing else was left there");
        drop((guest, came));
        fs::remove_file(&path).unwrap();
        assert_eq!(pages.unreserved(), Some(4));
    });
}

#[test]
fn what_somebody_else_put_under_the_path_stays_there() {
    let test = "what_somebody_else_put_under_the_path_stays_there";
    let Some(_pages) = borrow(test, TWO, 4) else { return };
    mounted(test, TWO, "", |mount| {
        let path = mount.join("ram");
        let guest = made(&path);
        let mut other = 0;
        let stations = Stations {
            committed: Box::new(|_: &[HugetlbFile]| {
                fs::rename(&path, mount.join("moved")).unwrap();
                other = File::create_new(&path).unwrap().metadata().unwrap().ino();
            }),
            ..Stations::default()
        };
        let journey = journey(Way::Copy, || Way::Copy.handler());
        let came = journey.cross(std::slice::from_ref(&guest.0), stations).unwrap();
        assert!(holds(&came.files[0], &[1, 3]));
        assert_eq!((fs::metadata(&path).unwrap().ino(), place(&came.files[0]).1), (other, None));
    });
}

/// A program ended after it had given the copy a name beside the path, and before it had the path.
#[test]
fn what_a_program_left_beside_the_path_is_not_in_the_way() {
    let test = "what_a_program_left_beside_the_path_is_not_in_the_way";
    let Some(_pages) = borrow(test, TWO, 4) else { return };
    mounted(test, TWO, "", |mount| {
        let path = mount.join("ram");
        let guest = made(&path);
        let number = inode(&guest.0);
        let of_another = mount.join(format!(".luo-0-{number}"));
        File::create_new(&of_another).unwrap();
        File::create_new(mount.join(format!(".luo-{}-{number}", std::process::id()))).unwrap();
        let after = update(Way::Copy, &guest.0, || ()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode(&after));
        assert!(of_another.exists(), "that of another program stays");
        assert_eq!(fs::read_dir(mount).unwrap().count(), 2);
    });
}

/// Many programs unlink the file as soon as they have it.
#[test]
fn an_unlinked_file_crosses() {
    let test = "an_unlinked_file_crosses";
    let Some(_pages) = borrow(test, TWO, 4) else { return };
    mounted(test, TWO, "", |mount| {
        for way in Way::ALL {
            let guest = made(&mount.join("ram"));
            fs::remove_file(mount.join("ram")).unwrap();
            let after = update(way, &guest.0, || ()).unwrap();
            assert!(holds(&after, &[1, 3]), "{way:?}");
            assert_eq!(place(&after), (mount.as_os_str().as_bytes().to_vec(), None));
            assert_eq!(fs::read_dir(mount).unwrap().count(), 0);
        }
    });
}

#[test]
fn a_file_that_is_renamed_after_prepare_keeps_its_new_path() {
    let test = "a_file_that_is_renamed_after_prepare_keeps_its_new_path";
    let Some(_pages) = borrow(test, TWO, 4) else { return };
    mounted(test, TWO, "", |mount| {
        for way in Way::ALL {
            let guest = made(&mount.join("ram"));
            let longer = "n".repeat(255);
            let rename = || fs::rename(mount.join("ram"), mount.join(&longer)).unwrap();
            let after = update(way, &guest.0, rename).unwrap();
            assert_eq!(place(&after).1, Some(longer.clone().into_bytes()), "{way:?}");
            assert_eq!(fs::read_dir(mount).unwrap().count(), 1);
            fs::remove_file(mount.join(&longer)).unwrap();
        }
    });
}

/// The kernel's RFC takes no files of mounts with a quota. By reference nothing changes; a copy is made within the
/// quota.
#[test]
fn the_quota_of_a_mount_holds_and_is_told() {
    let test = "the_quota_of_a_mount_holds_and_is_told";
    let Some(_pages) = borrow(test, TWO, 6) else { return };
    mounted(test, TWO, ",size=6M", |mount| {
        let path = mount.join("ram");
        let guest = made(&path);
        assert!(holds(&update(Way::Reference, &guest.0, || ()).unwrap(), &[1, 3]));
        let refused = update(Way::Copy, &guest.0, || ()).unwrap_err();
        assert!(refused.contains("2 pages of 2048 KiB are needed, 1 can be had"), "{refused}");
        assert!(holds(&guest.0, &[1, 3]));
        let after = update(Way::Free, &guest.0, || ()).unwrap();
        assert!(holds(&after, &[1, 3]), "what it gives back is enough");
    });
}

#[test]
fn a_copy_whose_mount_is_gone_is_refused_with_the_mount() {
    let test = "a_copy_whose_mount_is_gone_is_refused_with_the_mount";
    let Some(_pages) = borrow(test, TWO, 4) else { return };
    mounted(test, TWO, "", |mount| {
        let guest = made(&mount.join("ram"));
        let gone = || rustix::mount::unmount(mount, rustix::mount::UnmountFlags::DETACH).unwrap();
        let stations = Stations { frozen: Box::new(gone), ..Stations::default() };
        let journey = journey(Way::Copy, || Way::Copy.handler());
        let refused = journey.cross(std::slice::from_ref(&guest.0), stations).unwrap_err();
        let said = format!("no file system with pages of 2048 KiB is mounted at `{}`", mount.display());
        assert!(refused.contains(&said), "{refused}");
        assert!(holds(&guest.0, &[1, 3]) && look(&guest.0).size == 4 * PAGE);
        // So that there is something to unmount at the end.
        let none = rustix::mount::MountFlags::empty();
        rustix::mount::mount("none", mount, "hugetlbfs", none, None::<&std::ffi::CStr>).unwrap();
    });
}
