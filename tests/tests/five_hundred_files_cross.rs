//! Five hundred files in one session cross, each with its own contents: the kernel's `luo_stress_files`.

use luo_tests::{Build, By, Host};

const FILES: u64 = 500;

#[test]
fn each_file_has_its_own_contents() {
    let host = Host::new();
    let mut old = host.found(&Build::standard());
    let files: Vec<_> = (0..FILES).map(|token| host.note(format!("file number {token}"))).collect();
    for (token, file) in (0..).zip(&files) {
        old.preserve("stress", token, file);
    }
    let mut new = old.update(By::Kexec, &Build::standard());
    // Backwards, and the even tokens first: any order will do.
    let backwards = || (0..FILES).rev();
    for token in backwards().filter(|token| token % 2 == 0).chain(backwards().filter(|token| token % 2 == 1))
    {
        let found = new.retrieve("stress", token).unwrap();
        assert_eq!(found.bytes(), format!("file number {token}").into_bytes());
    }
    new.finish().unwrap().assert_clean();
    assert!(files.iter().all(|file| (file.pins(), file.references()) == (0, 1)));
}
