//! A file is found under its token as long as it is preserved or retrieved, whatever it has become meanwhile: also one
//! that its handler would not take today.

use luo_core::{PreserveError, Token};
use luo_tests::{Build, By, Host, STAYS, nobody, session};

#[test]
fn one_that_could_not_be_preserved_today_is_still_known() {
    let host = Host::new();
    let mut old = host.found(&Build::standard());
    let file = host.note("nailed down later");
    old.preserve("s", 7, &file);
    file.change(|contents| contents.flags = STAYS);
    assert_eq!(old.luo.token_of(session("s"), &file), Some(Token(7)));
    let again = old.luo.preserve(session("s"), Token(8), file.clone()).unwrap_err();
    assert!(matches!(again.error, PreserveError::CannotTravel { .. }), "{again}");
    assert_eq!(old.luo.token_of(session("s"), &host.file("alien", "")), None);

    // It was preserved while it could travel, and crosses; on the far side it is known as well.
    let mut new = old.update(By::Kexec, &Build::standard());
    let file = new.retrieve("s", 7).unwrap();
    assert_eq!(file.contents().flags, STAYS);
    assert_eq!(new.updated.luo().token_of(session("s"), &file), Some(Token(7)));
    let program = new.finish().unwrap();
    assert_eq!(program.luo.token_of(session("s"), &file), None, "its update is over");
    program.assert_clean();
}

#[test]
fn those_that_depend_on_it_find_it() {
    let host = Host::new();
    let mut old = host.found(&Build::plain());
    let (file, other) = (host.note("depends"), host.note("nailed down later"));
    file.depend_on(&other);
    old.preserve("s", 1, &file);
    old.preserve("s", 2, &other);
    other.change(|contents| contents.flags = STAYS);
    old.prepare_and_cancel(&mut nobody());
    let mut new = old.update(By::Exec, &Build::plain());
    assert_eq!(new.retrieve("s", 1).unwrap().depends_on()[0].bytes(), b"nailed down later");
    new.retrieve_all();
    new.finish().unwrap().assert_clean();
}
