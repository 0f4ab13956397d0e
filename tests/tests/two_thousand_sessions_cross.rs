//! Two thousand empty sessions cross: the kernel's `luo_stress_sessions`.

use luo_tests::{Build, By, Host, session};

#[test]
fn two_thousand_names_arrive_in_order() {
    let host = Host::new();
    let mut old = host.found(&Build::standard());
    let names: Vec<_> = (0..2000).map(|number| session(&format!("session-{number}"))).collect();
    for name in &names {
        old.luo.open_session(*name).unwrap();
    }
    let mut new = old.update(By::Kexec, &Build::standard());
    assert_eq!(new.updated.sessions().collect::<Vec<_>>(), names);
    for name in &names[..1000] {
        new.updated.finish_session(*name).unwrap();
    }
    new.finish().unwrap().assert_clean();
}
