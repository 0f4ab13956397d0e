//! Promise: memory that a guest has to itself is refused before anything is paused, with the reason, and nothing is
//! lost; unless its embedder has the means to export it.
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

use luo_core::conformance::{Ground, SimGround};
use luo_core::{Luo, Registry, Token};
use luo_guestmemfd::sim::{SimGuestMemfd, SimHost};
use luo_guestmemfd::{Binding, DESCRIPTOR, Flags, GuestMemfds, Sharing, VmType};
use luo_tests::guestmemfd::{SimFixture, Vault, cross};
use luo_tests::session;

const FILE: Token = Token(0);

/// 16 pages of which some are there, from guest frame 0x100 on.
fn guest(host: &SimHost, flags: Flags) -> SimGuestMemfd {
    let file = host.guest_memfd(None, 16, flags);
    file.told().bind(Binding { slot: 0, frame: 0x100, page: 0, count: 16 }).unwrap();
    for page in [0u64, 1, 9] {
        file.write_at(page * 4096, b"a secret");
    }
    file
}

/// A program on this host; private memory is exported, or not.
fn registry(host: &SimHost, exports: bool) -> Registry {
    let vm = host.vm(VmType(0));
    let handler = GuestMemfds::new(host.clone()).in_vm(move || Ok(vm.clone()));
    let handler = if exports { handler.private_memory(|file| Some(Vault::open(file))) } else { handler };
    let mut registry = Registry::new();
    registry.handler(handler).unwrap();
    registry
}

fn preserve<G: Ground>(luo: &mut Luo<G::Kho>, file: &SimGuestMemfd) -> Result<(), String> {
    luo.open_session(session("vm")).unwrap();
    luo.preserve(session("vm"), FILE, file.clone()).map_err(|stuck| stuck.error.to_string())
}

fn update<G: Ground>(
    ground: &G,
    host: &SimHost,
    file: &SimGuestMemfd,
    exports: bool,
    meanwhile: impl FnOnce(),
) -> Result<SimGuestMemfd, String> {
    let near = |luo: &mut Luo<G::Kho>| preserve::<G>(luo, file);
    let crossed = cross(
        ground,
        |_| registry(host, exports),
        near,
        meanwhile,
        |adopted| adopted.retrieve(session("vm"), FILE).map_err(|error| error.to_string()),
    );
    crossed.map(|crossed| crossed.arrived)
}

fn never() {
    panic!("the guest was told to stop");
}

#[test]
fn a_file_that_the_host_cannot_read_is_refused_when_it_is_preserved() {
    for (flags, why) in [
        (Flags::NONE, "made with no flags: without MMAP the host cannot map it"),
        (Flags::INIT_SHARED, "made with INIT_SHARED: without MMAP the host cannot map it"),
        (Flags::MMAP, "made with MMAP: without INIT_SHARED the host may not touch its pages"),
    ] {
        let host = SimHost::new();
        let file = guest(&host, flags);
        let before = SimFixture::portrait_of(&file);
        let error = update(&SimGround::exec(), &host, &file, false, never).unwrap_err();
        assert!(
            error.contains(why) && error.contains("no other virtual machine can be bound to it"),
            "{error}"
        );
        assert_eq!(SimFixture::portrait_of(&file), before);
    }
}

#[test]
fn private_pages_are_refused_with_their_number() {
    let host = SimHost::new();
    let file = guest(&host, Flags::OPEN);
    file.told().share(0x108..0x10C, Sharing::Private).unwrap();
    let error = update(&SimGround::exec(), &host, &file, false, never).unwrap_err();
    assert!(error.contains("4 of its pages are private to the guest: the host cannot read them"), "{error}");
}

/// Pages that become private while the update is prepared are noticed in freeze: the guest goes on where it is, and the
/// update can be tried again when they are shared.
#[test]
fn pages_that_become_private_at_the_last_moment_are_refused_and_nothing_is_lost() {
    for ground in [SimGround::exec(), SimGround::exec().refusing(DESCRIPTOR, "they stay")] {
        let host = SimHost::new();
        let file = guest(&host, Flags::OPEN);
        let hide = || file.told().share(0x101..0x102, Sharing::Private).unwrap();
        let error = update(&ground, &host, &file, false, hide).unwrap_err();
        assert!(error.contains("failed to freeze: 1 of its pages are private"), "{error}");
        file.told().share(0x101..0x102, Sharing::Shared).unwrap();
        let before = SimFixture::portrait_of(&file);
        let after = update(&ground, &host, &file, false, || ()).unwrap();
        assert_eq!(SimFixture::portrait_of(&after), before);
    }
}

/// A kexec leaves nothing of the old memory: what crosses is what was exported.
#[test]
fn an_embedder_that_exports_private_memory_carries_it_everywhere() {
    for flags in [Flags::OPEN, Flags::MMAP, Flags::NONE] {
        let host = SimHost::new();
        let file = guest(&host, flags);
        file.told().share(0x101..0x105, Sharing::Private).unwrap();
        let late = || {
            file.write_at(2 * 4096, b"written late");
            file.punch(0..1);
        };
        let after = update(&SimGround::kexec(), &host, &file, true, late).unwrap();
        assert_ne!(after.memory().number(), file.memory().number());
        assert_eq!(SimFixture::portrait_of(&after), SimFixture::portrait_of(&file));
    }
}

#[test]
fn the_plan_says_before_anything_is_paused_what_is_exported_and_what_is_blocked() {
    let plan = |exports: bool| {
        let (host, ground) = (SimHost::new(), SimGround::exec());
        let file = guest(&host, Flags::OPEN);
        let founded = Luo::found(ground.found().unwrap(), registry(&host, exports));
        let (mut luo, _owned) = founded.map_err(|stuck| stuck.error).unwrap();
        preserve::<SimGround>(&mut luo, &file).unwrap();
        // The guest takes them back after the file was preserved.
        file.told().share(0x101..0x105, Sharing::Private).unwrap();
        let carrier = ground.carrier(Box::new(|| Ok(())));
        luo.plan(&[&*carrier], None).to_string()
    };
    let (blocked, exported) = (plan(false), plan(true));
    assert!(blocked.contains("blocked: 4 of its pages are private to the guest"), "{blocked}");
    assert!(exported.contains("by copy of") && exported.contains("the embedder exports"), "{exported}");
    assert!(exported.contains("ms of pause at 1073 MB/s"), "{exported}");
}
