//! Rule: a page about bytes tells what the code has. In `docs/*-format.md` a heading of the third level that is the
//! name of a record in code quotes is followed by a table `| offset | bytes | field |`: exactly the fields of the
//! `#[repr(C)]` struct of that name, in their order, with their sizes.

use syn::{Expr, ExprLit, Fields, Item, ItemStruct, Lit, Type};

use super::Finding;
use super::tree::{Source, Tree};

/// Offset, bytes, name.
type Row = (usize, usize, String);

pub(super) fn findings(tree: &Tree) -> Vec<Finding> {
    let pages = tree
        .sources
        .iter()
        .filter(|source| source.path.starts_with("docs/") && source.path.ends_with("-format.md"));
    pages.flat_map(|page| in_page(tree, page)).collect()
}

fn in_page(tree: &Tree, page: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut lines = page.lines().peekable();
    while let Some((line, text)) = lines.next() {
        let Some(name) = text.strip_prefix("### `").and_then(|rest| rest.strip_suffix('`')) else { continue };
        let mut told = Vec::new();
        while let Some((_, text)) = lines.next_if(|(_, text)| !text.starts_with('#')) {
            told.extend(row(text));
        }
        let found = record(tree, name).map(|record| fields(tree, record));
        if let Some(what) = difference(name, &told, found.as_deref()) {
            findings.push(Finding::at(&page.path, line, what));
        }
    }
    findings
}

fn row(line: &str) -> Option<Row> {
    let mut cells = line.strip_prefix("| ")?.split(" | ");
    let (offset, bytes) = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
    Some((offset, bytes, cells.next()?.to_owned()))
}

fn difference(name: &str, told: &[Row], found: Option<&[Row]>) -> Option<String> {
    let Some(found) = found else { return Some(format!("there is no record {name}")) };
    if told == found {
        return None;
    }
    let at = told.iter().zip(found).position(|(told, found)| told != found);
    let at = at.unwrap_or(told.len().min(found.len()));
    let say = |row: Option<&Row>| {
        row.map_or("nothing".to_owned(), |(at, bytes, name)| format!("{name} at {at}, {bytes} bytes"))
    };
    Some(format!("{name} is told to have {}, and has {}", say(told.get(at)), say(found.get(at))))
}

/// The struct of this name that is laid out as it is written.
fn record<'t>(tree: &'t Tree, name: &str) -> Option<&'t ItemStruct> {
    let structs = tree.rust().flat_map(|(_, rust)| &rust.file.items).filter_map(|item| match item {
        Item::Struct(item) => Some(item),
        _ => None,
    });
    let is_c = |item: &&ItemStruct| item.attrs.iter().any(|attribute| attribute.path().is_ident("repr"));
    structs.filter(is_c).find(|item| item.ident == name)
}

/// Records have no padding, which is asserted beside each.
fn fields(tree: &Tree, record: &ItemStruct) -> Vec<Row> {
    let Fields::Named(named) = &record.fields else { return Vec::new() };
    let mut at = 0;
    let field = |field: &syn::Field| {
        let bytes = size(tree, &field.ty).unwrap_or(0);
        at += bytes;
        (at - bytes, bytes, field.ident.as_ref().map(ToString::to_string).unwrap_or_default())
    };
    named.named.iter().map(field).collect()
}

fn size(tree: &Tree, of: &Type) -> Option<usize> {
    match of {
        Type::Path(path) => match path.path.segments.last()?.ident.to_string().as_str() {
            "u8" => Some(1),
            "U16" => Some(2),
            "U32" => Some(4),
            "U64" | "I64" => Some(8),
            other => {
                record(tree, other).map(|record| fields(tree, record).iter().map(|(_, bytes, _)| bytes).sum())
            }
        },
        Type::Array(array) => Some(size(tree, &array.elem)? * length(tree, &array.len)?),
        _ => None,
    }
}

/// `64`, or `size_of::<BlockHeader>()`.
fn length(tree: &Tree, of: &Expr) -> Option<usize> {
    match of {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse().ok(),
        Expr::Call(call) => {
            let Expr::Path(function) = &*call.func else { return None };
            let last = function.path.segments.last().filter(|segment| segment.ident == "size_of")?;
            let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
            match arguments.args.first()? {
                syn::GenericArgument::Type(of) => size(tree, of),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::planted::Planted;
    use super::*;

    const CODE: &str = "#[repr(C)]\nstruct Head {\n    header: [u8; size_of::<Header>()],\n    len: U64,\n    text: [u8; 47],\n}\n\
                        #[repr(C)]\nstruct Header {\n    magic: U32,\n    version: U16,\n    zero: U16,\n}\n";

    fn found(rows: &str) -> Vec<String> {
        let page = format!(
            "# Bytes\n\n### `Head`\n\n| offset | bytes | field | |\n|---|---|---|---|\n{rows}\n## More\n"
        );
        Planted::empty().with("a.rs", CODE).with("docs/x-format.md", page).findings(findings)
    }

    const RIGHT: &str = "| 0 | 8 | header | |\n| 8 | 8 | len | in bytes |\n| 16 | 47 | text | |\n";

    #[test]
    fn what_the_code_has_is_fine() {
        assert_eq!(found(RIGHT), [""; 0]);
    }

    #[test]
    fn another_size_name_or_number_of_fields_is_a_finding() {
        let wrong = found(&RIGHT.replace("| 8 | 8 | len |", "| 8 | 4 | len |"));
        assert_eq!(
            wrong,
            ["docs/x-format.md:3: Head is told to have len at 8, 4 bytes, and has len at 8, 8 bytes"]
        );
        assert_eq!(found(&RIGHT.replace("len", "length")).len(), 1);
        let short = found("| 0 | 8 | header | |\n| 8 | 8 | len | |\n");
        assert_eq!(short, ["docs/x-format.md:3: Head is told to have nothing, and has text at 16, 47 bytes"]);
    }

    #[test]
    fn a_record_that_is_nowhere_is_a_finding() {
        let planted = Planted::empty().with("docs/x-format.md", "### `Gone`\n");
        assert_eq!(planted.findings(findings), ["docs/x-format.md:1: there is no record Gone"]);
    }
}
