//! The tutorial as a list of **steps**: commands, files, and replacements in files. For whoever applies it.

/// What a block of the tutorial is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To be run.
    Run(String),
    /// Path and text.
    File(String, String),
    /// Path, what is there, and what takes its place.
    Replace(String, String, String),
}

/// Reads the blocks, and what the lines before them say: `**path**` alone is a file; with `instead of`, the block is
/// what is replaced by the next one.
pub(crate) fn steps(page: &str) -> Vec<Step> {
    let (mut steps, mut path, mut old) = (Vec::new(), None, None);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(found) = line.split("**`").nth(1).and_then(|rest| rest.split("`**").next()) {
            path = Some((found.to_owned(), line.ends_with("instead of")));
        }
        let Some(language) = line.strip_prefix("```") else { continue };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        let text = block.join("\n") + "\n";
        match (language, path.take(), old.take()) {
            ("sh", None, None) => steps.push(Step::Run(text)),
            (_, Some((path, false)), None) => steps.push(Step::File(path, text)),
            (_, Some((path, true)), None) => old = Some((path, text)),
            (_, None, Some((path, old))) => steps.push(Step::Replace(path, old, text)),
            (_, path, old) => panic!("what is this block for? {path:?} {old:?}\n{text}"),
        }
    }
    steps
}
