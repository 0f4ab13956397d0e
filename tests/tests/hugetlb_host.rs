//! Promise: what no machine should have to show is shown on the simulated one: broken memory, pages on several nodes,
//! and the pools of a kernel that knows at boot how many pages are preserved.
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

use luo_core::conformance::{Ground, SimGround};
use luo_core::{Irrevocable, Luo, Registry, Token};
use luo_hugetlb::sim::{SimHost, SimHuge};
use luo_hugetlb::{
    DESCRIPTOR, FreeTo, HugetlbFiles, Node, NodeCount, NodePages, PageSize, Strandings, counted_kind,
};
use luo_kho::carrier::CarrierError;
use luo_tests::hugetlb::SMALL;
use luo_tests::session;

const PAGE: u64 = SMALL.bytes();

fn said<T, E: std::fmt::Display>(result: Result<T, E>) -> String {
    result.err().unwrap().to_string()
}

fn registry(handler: HugetlbFiles<SimHost>) -> Registry {
    let mut registry = Registry::new();
    handler.register_counting(&mut registry).unwrap();
    registry
}

/// A program on this ground that holds these files, under tokens from 0 on.
fn program(
    ground: &SimGround,
    handler: HugetlbFiles<SimHost>,
    files: &[&SimHuge],
) -> (Luo<luo_kho::sim::SimKho>, luo_kho::Owned) {
    let (mut luo, owned) =
        Luo::found(ground.found().unwrap(), registry(handler)).map_err(|stuck| stuck.error).unwrap();
    luo.open_session(session("vm")).unwrap();
    for (token, file) in (0..).map(Token).zip(files) {
        luo.preserve(session("vm"), token, SimHuge::clone(file)).map_err(|stuck| stuck.error).unwrap();
    }
    (luo, owned)
}

fn filled(host: &SimHost, name: &str, size: PageSize, pages: &[(u64, u32)]) -> SimHuge {
    let file = host.memfd(name, size);
    file.resize((pages.iter().map(|(page, _)| page + 1).max().unwrap_or_default()) * size.bytes()).unwrap();
    for (page, node) in pages {
        host.prefer(*node);
        file.write_at(page * size.bytes(), &page.to_le_bytes()).unwrap();
    }
    file
}

#[test]
fn a_poisoned_page_is_refused_with_its_offset_before_anything_is_paused() {
    let host = SimHost::new(&[(SMALL, &[8, 0])]);
    let file = filled(&host, "guest", SMALL, &[(0, 0), (5, 0)]);
    let ground = SimGround::exec();
    let reason = format!("the page of 16 KiB at byte {:#x} is poisoned", 5 * PAGE);

    file.poison(5);
    let (mut luo, _owned) = program(&ground, HugetlbFiles::new(host.clone()), &[]);
    let refused = luo.preserve(session("vm"), Token(0), file.clone()).map_err(|stuck| stuck.error);
    assert!(said(refused).contains(&reason));

    // Broken when it was preserved already: by reference and by copy, plan and prepare say so.
    let file = filled(&host, "guest", SMALL, &[(0, 0), (5, 0)]);
    for ground in [SimGround::exec(), SimGround::exec().refusing(DESCRIPTOR, "huge pages stay")] {
        let (mut luo, _owned) = program(&ground, HugetlbFiles::new(host.clone()), &[&file]);
        let mut carrier = ground.carrier(Box::new(|| Ok(())));
        file.poison(5);
        assert!(luo.plan(&[&*carrier], None).to_string().contains(&format!("blocked: {reason}")));
        let refused = said(luo.prepare(&mut *carrier).map(drop));
        assert!(refused.contains("failed to prepare") && refused.contains(&reason), "{refused}");
        // The page is given up, and the file can travel.
        file.discard(5..6).unwrap();
        drop(luo.prepare(&mut *carrier).unwrap());
        file.write_at(5 * PAGE, b"new").unwrap();
    }
}

#[test]
fn memory_that_breaks_between_prepare_and_freeze_is_refused_by_a_copy() {
    let host = SimHost::new(&[(SMALL, &[8])]);
    let file = filled(&host, "guest", SMALL, &[(0, 0), (2, 0)]);
    let ground = SimGround::kexec().refusing(DESCRIPTOR, "huge pages stay");
    let (mut luo, owned) = program(&ground, HugetlbFiles::new(host.clone()), &[&file]);
    let mut carrier = ground.carrier(Box::new(|| Ok(())));
    let prepared = luo.prepare(&mut *carrier).unwrap();
    file.poison(2);
    let refused = said(prepared.freeze(owned).map(drop).map_err(|stuck| stuck.error));
    assert!(
        refused.contains("failed to freeze") && refused.contains("at byte 0x8000 is poisoned"),
        "{refused}"
    );
}

#[test]
fn plan_names_every_node() {
    let host = SimHost::new(&[(SMALL, &[4, 3])]);
    let file = filled(&host, "guest", SMALL, &[(0, 0), (1, 1), (2, 1), (9, 0)]);
    let ground = SimGround::kexec().refusing(DESCRIPTOR, "huge pages stay");
    let (luo, _owned) = program(&ground, HugetlbFiles::new(host.clone()), &[&file]);
    let carrier = ground.carrier(Box::new(|| Ok(())));
    let plan = luo.plan(&[&*carrier], None).to_string();
    let needs = "huge pages stay; a copy needs 4 pages of 16 KiB, node 0: 2, free 2, node 1: 2, free 1; \
                 3 are free and not reserved; 1 will be missing";
    assert!(plan.contains(needs), "{plan}");
}

/// A kernel was configured to have 8 and 4 pages. Of its predecessor's files one is retrieved and one discarded.
#[test]
fn a_pool_takes_fewer_pages_at_boot_and_has_what_it_was_configured_to_in_the_end() {
    let large = PageSize::MIB_2;
    let old = SimHost::new(&[(SMALL, &[8, 4]), (large, &[2, 0])]);
    let wanted = filled(&old, "wanted", SMALL, &[(0, 0), (1, 0), (2, 1)]);
    let unwanted = filled(&old, "unwanted", SMALL, &[(4, 1)]);
    let other = filled(&old, "other size", large, &[(0, 0)]);
    let ground = SimGround::exec();
    let (mut luo, owned) = program(&ground, HugetlbFiles::new(old.clone()), &[&wanted, &unwanted, &other]);

    let new = SimHost::booted(&[(SMALL, &[8, 4]), (large, &[2, 0])]);
    let far = registry_of(&new);
    let pool = |size| new.pools_now().into_iter().find(|pool| pool.page_size == size).unwrap();
    let node = |node, total, free| NodePages { node: Node(node), total, free };
    let mut kept = None;
    {
        let mut carrier = ground.carrier(Box::new(|| {
            let mut adopted = Luo::adopt(ground.successor()?, far()).map_err(|stuck| stuck.error).unwrap();
            let file: SimHuge = adopted.retrieve(session("vm"), Token(0)).unwrap();
            // 3 + 1 pages of the one size are there already: the pool took so many less, and has those of the first
            // file.
            assert_eq!(pool(SMALL).nodes, [node(0, 8, 6), node(1, 3, 2)]);
            let (updated, _owned) = adopted.commit().map_err(|stuck| stuck.error).unwrap();
            updated
                .finish_discarding(
                    &[(session("vm"), Token(1)), (session("vm"), Token(2))],
                    Irrevocable::knowingly(),
                )
                .map_err(|error| CarrierError::Refused { reason: error.to_string() })?;
            kept = Some(file);
            Ok(())
        }));
        let frozen = luo.prepare(&mut *carrier).unwrap().freeze(owned).map_err(|stuck| stuck.error).unwrap();
        let _departed = frozen.hand_over().unwrap();
    }
    drop((wanted, unwanted, other, luo));
    assert_eq!(pool(SMALL).nodes, [node(0, 8, 6), node(1, 4, 3)], "what nobody wanted is free");
    assert_eq!(pool(large).nodes[0].free, pool(large).nodes[0].total);
    drop(kept);
    assert_eq!(pool(SMALL).nodes, [node(0, 8, 8), node(1, 4, 4)], "as configured");
}

fn registry_of(host: &SimHost) -> impl Fn() -> Registry + use<> {
    let host = host.clone();
    move || registry(HugetlbFiles::new(host.clone()))
}

#[test]
fn each_size_has_its_own_count() {
    assert_eq!(counted_kind(SMALL).to_string(), "hugetlb-16kB");
    assert_eq!(counted_kind(PageSize::GIB_1).to_string(), "hugetlb-1048576kB");
    let booted = luo_hugetlb::boot(&[(0, 2)], &[NodeCount { node: 0, kept: 3, copied: 1 }]);
    assert_eq!((booted[0].allocate, booted[0].surplus), (0, 1));
}

/// What is stranded on a host that has room again is brought back; until then plan and prepare know.
#[test]
fn stranded_pages_wait_for_room() {
    let host = SimHost::new(&[(SMALL, &[3])]);
    let file = filled(&host, "guest", SMALL, &[(0, 0), (1, 0), (2, 0)]);
    let ground = SimGround::exec().refusing(DESCRIPTOR, "huge pages stay");
    let handler = HugetlbFiles::new(host.clone()).freeing(FreeTo::Pool, Irrevocable::knowingly());
    let strandings: Strandings<SimHost> = handler.strandings();
    let (mut luo, owned) = program(&ground, handler, &[&file]);
    {
        let mut carrier = ground.carrier(Box::new(|| {
            assert_eq!(host.take_away(SMALL, 2), 2);
            Err(CarrierError::Refused { reason: "not today".to_owned() })
        }));
        let frozen = luo.prepare(&mut *carrier).unwrap().freeze(owned).map_err(|stuck| stuck.error).unwrap();
        drop(frozen.hand_over().unwrap_err());
    }
    assert_eq!(strandings.pages().iter().map(|(_, pages)| *pages).collect::<Vec<_>>(), [2]);
    host.give_back(SMALL, 2);
    assert_eq!(strandings.bring_back(), 0);
    for page in 0..3u64 {
        let mut word = [0; 8];
        file.read_at(page * PAGE, &mut word);
        assert_eq!(u64::from_le_bytes(word), page);
    }
}
