//! After a successor has taken over, the predecessor lets go of everything and asks nobody for anything more: its files
//! are the successor's too, and what a handler does to keep one, seals for example, would reach across.

use luo_core::{PreserveError, State, Token};
use luo_tests::{Build, By, Host, carrier, nobody, session};

#[test]
fn nothing_is_preserved_or_prepared_any_more() {
    let host = Host::new();
    let (mut old, build) = (host.found(&Build::standard()), Build::standard());
    let file = host.note("goes over");
    old.preserve("s", 1, &file);
    let mut arrived = None;
    let mut far = carrier(By::Exec, |_| host.arrive(&build, &mut arrived));
    let frozen = old.luo.prepare(&mut *far).unwrap().freeze(host.guest.leave(old.party)).unwrap();
    let _departed = frozen.hand_over().unwrap();
    drop(far);
    assert_eq!((old.luo.state(), old.luo.sessions().count(), file.pins()), (State::Departed, 0, 0));

    let asked = host.journal.entries().len();
    let name = session("s");
    old.luo.open_session(name).unwrap();
    let stuck = old.luo.preserve(name, Token(1), file.clone()).unwrap_err();
    assert!(matches!(stuck.error, PreserveError::Departed { token: Token(1), .. }), "{stuck}");
    assert!(stuck.kept.is(&file) && file.pins() == 0);
    let error = old.luo.prepare(&mut nobody()).unwrap_err().to_string();
    assert!(
        error.ends_with("not possible in state departed: the memory belongs to a successor: exit"),
        "{error}"
    );
    drop(old);
    assert_eq!(host.journal.since(asked), []);

    let mut new = arrived.unwrap();
    assert_eq!(new.retrieve("s", 1).unwrap().bytes(), b"goes over");
    new.finish().unwrap().assert_clean();
}
