//! A host that is updated again and again is the same after every update: nothing leaks, nothing is forgotten.

use luo_kho::FrameCount;
use luo_kho::sim::{Fragmentation, MachineConfig};
use luo_tests::{Build, By, Contents, Host, SimFile, session};

const GENERATIONS: u64 = 100;

#[test]
fn memory_is_flat_and_contents_go_on() {
    let ways =
        [Fragmentation::Contiguous, Fragmentation::Single, Fragmentation::Descending, Fragmentation::Random];
    for fragmentation in ways {
        let config = MachineConfig::default().frames(FrameCount::new(512).unwrap());
        let host = Host::with(config.fragmentation(fragmentation).seed(7));
        let mut program = host.found(&Build::standard());
        let mut files: Vec<SimFile> = (0..4u8).map(|number| host.note([number; 5000])).collect();
        files[0].depend_on(&files[3]);
        let mut contents: Vec<Contents> = files.iter().map(SimFile::contents).collect();
        let mut taken = Vec::new();
        for generation in 1..=GENERATIONS {
            for (token, file) in (0..).zip(&files) {
                program.preserve(if token < 2 { "a" } else { "b" }, token, file);
            }
            program.luo.close_session(session("b")).unwrap();
            program.preserve("a", 2, &files[2]);
            program.preserve("a", 3, &files[3]);
            let by = if generation % 2 == 0 { By::Exec } else { By::Kexec };
            program.vcpus[0].tick();
            let mut new = program.update(by, &Build::standard());
            files = new.retrieve_all();
            assert_eq!(files.iter().map(SimFile::contents).collect::<Vec<_>>(), contents);
            assert!(files[0].depends_on()[0].is(&files[3]));
            taken.push(luo_tests::frame_count(&new.updated.luo().memory().census().unwrap().allocated));
            program = new.finish().unwrap();
            program.assert_clean();
            assert_eq!(host.machine.generation(), generation);
            assert_eq!(program.vcpus[0].ticks(), generation);
            // The guest goes on, and leaves a trace.
            for (file, contents) in files.iter().zip(&mut contents) {
                file.change(|live| {
                    (live.bytes[17], live.position) = (generation.to_le_bytes()[0], generation);
                });
                *contents = file.contents();
            }
        }
        assert!(taken.windows(2).all(|pair| pair[0] == pair[1]), "{fragmentation:?}: {taken:?}");
    }
}
