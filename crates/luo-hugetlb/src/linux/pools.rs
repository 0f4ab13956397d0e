//! The kernel's pools, as `/sys` shows them.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::pool::{NodePages, Pool};
use crate::{HostError, Node, PageSize};

/// Where the kernel shows itself.
pub(super) const SYS: &str = "/sys";

pub(super) fn refused(call: &'static str) -> impl Fn(io::Error) -> HostError {
    move |error| HostError { call, errno: error.raw_os_error().unwrap_or_default() }
}

/// Every pool, by page size, ascending. None, if the kernel knows no huge pages.
pub(super) fn read(sys: &Path) -> Result<Vec<Pool>, HostError> {
    let refused = refused("read(/sys/kernel/mm/hugepages)");
    let entries = match fs::read_dir(sys.join("kernel/mm/hugepages")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(refused(error)),
    };
    let mut pools = Vec::new();
    for entry in entries {
        let folder = entry.map_err(&refused)?.path();
        let Some(page_size) = size_in(&folder) else { continue };
        let number = |name: &str| number(&folder.join(name)).map_err(&refused);
        let surplus = number("surplus_hugepages")?;
        pools.push(Pool {
            page_size,
            nodes: nodes(sys, page_size, &folder).map_err(&refused)?,
            reserved: number("resv_hugepages")?,
            overcommit: number("nr_overcommit_hugepages")?.saturating_sub(surplus),
        });
    }
    pools.sort_unstable_by_key(|pool| pool.page_size);
    Ok(pools)
}

/// Where the kernel counts the pages of a size on all nodes.
pub(super) fn count_of(sys: &Path, page_size: PageSize) -> PathBuf {
    sys.join("kernel/mm/hugepages").join(folder_of(page_size)).join("nr_hugepages")
}

/// What the folder of a size is called, as [`size_in`] reads it.
fn folder_of(page_size: PageSize) -> String {
    format!("hugepages-{}kB", page_size.bytes() >> 10)
}

/// Adds pages to a pool, or takes them from it. By how many it changed. What the pool has beyond its own pages, as an
/// overcommitted one does, is not counted: the kernel is told how many pages are the pool's own.
pub(super) fn resize(sys: &Path, page_size: PageSize, node: Node, by: i64) -> io::Result<u64> {
    let of_node = sys.join(format!("devices/system/node/node{}/hugepages", node.0));
    let of_node = of_node.join(folder_of(page_size)).join("nr_hugepages");
    let path = if of_node.exists() { of_node } else { count_of(sys, page_size) };
    let own = || -> io::Result<u64> {
        let surplus = number(&path.with_file_name("surplus_hugepages"))?;
        Ok(number(&path)?.saturating_sub(surplus))
    };
    let before = own()?;
    fs::write(&path, format!("{}", before.saturating_add_signed(by)))?;
    Ok(own()?.abs_diff(before))
}

/// A kernel that knows no nodes has one.
fn nodes(sys: &Path, page_size: PageSize, global: &Path) -> io::Result<Vec<NodePages>> {
    let pages = |node, folder: &Path| -> io::Result<NodePages> {
        let (total, free) = (number(&folder.join("nr_hugepages"))?, number(&folder.join("free_hugepages"))?);
        Ok(NodePages { node, total, free })
    };
    let mut nodes = Vec::new();
    let entries = fs::read_dir(sys.join("devices/system/node"));
    for folder in entries.into_iter().flatten().flatten().map(|entry| entry.path()) {
        let name =
            folder.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("node"));
        let Some(node) = name.and_then(|number| number.parse().ok()) else { continue };
        let folder = folder.join("hugepages").join(folder_of(page_size));
        if folder.exists() {
            nodes.push(pages(Node(node), &folder)?);
        }
    }
    nodes.sort_unstable_by_key(|pages| pages.node);
    if nodes.is_empty() { Ok(vec![pages(Node(0), global)?]) } else { Ok(nodes) }
}

/// The size in a name like `hugepages-2048kB`.
fn size_in(folder: &Path) -> Option<PageSize> {
    let name = folder.file_name()?.to_str()?;
    let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    PageSize::new(kib.checked_mul(1024)?)
}

fn number(path: &PathBuf) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    text.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that is gone at the end.
    struct Sys(PathBuf);

    impl Sys {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("luo-hugetlb-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn with(self, folder: &str, files: &[(&str, u64)]) -> Self {
            let folder = self.0.join(folder);
            fs::create_dir_all(&folder).unwrap();
            for (name, number) in files {
                fs::write(folder.join(name), format!("{number}\n")).unwrap();
            }
            self
        }
    }

    impl Drop for Sys {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    const GLOBAL: [(&str, u64); 5] = [
        ("nr_hugepages", 9),
        ("free_hugepages", 7),
        ("resv_hugepages", 2),
        ("nr_overcommit_hugepages", 4),
        ("surplus_hugepages", 1),
    ];

    #[test]
    fn every_size_is_found_with_its_nodes() {
        let sys = Sys::new("sizes")
            .with("kernel/mm/hugepages/hugepages-1048576kB", &GLOBAL)
            .with("kernel/mm/hugepages/hugepages-64kB", &GLOBAL)
            .with(
                "devices/system/node/node1/hugepages/hugepages-64kB",
                &[("nr_hugepages", 3), ("free_hugepages", 1)],
            )
            .with(
                "devices/system/node/node0/hugepages/hugepages-64kB",
                &[("nr_hugepages", 6), ("free_hugepages", 6)],
            )
            .with("devices/system/node/power", &[]);
        let pools = read(&sys.0).unwrap();
        let node = |node, total, free| NodePages { node: Node(node), total, free };
        let small = Pool {
            page_size: PageSize::new(64 << 10).unwrap(),
            nodes: vec![node(0, 6, 6), node(1, 3, 1)],
            reserved: 2,
            overcommit: 3,
        };
        assert_eq!(small.unreserved(), 5);
        let large = Pool { page_size: PageSize::GIB_1, nodes: vec![node(0, 9, 7)], ..small.clone() };
        assert_eq!(pools, [small, large]);
    }

    #[test]
    fn a_kernel_without_huge_pages_has_no_pools() {
        let sys = Sys::new("none");
        assert_eq!(read(&sys.0), Ok(vec![]));
    }

    #[test]
    fn a_pool_is_resized_on_its_node() {
        let sys = Sys::new("resize").with("kernel/mm/hugepages/hugepages-2048kB", &GLOBAL).with(
            "devices/system/node/node1/hugepages/hugepages-2048kB",
            &[("nr_hugepages", 3), ("surplus_hugepages", 0)],
        );
        let read = |path: &str| -> String { fs::read_to_string(sys.0.join(path)).unwrap() };
        assert_eq!(resize(&sys.0, PageSize::MIB_2, Node(1), -1).unwrap(), 1);
        assert_eq!(read("devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages"), "2");
        // A kernel would show one more, its surplus, than was written.
        resize(&sys.0, PageSize::MIB_2, Node::UNKNOWN, 2).unwrap();
        let own = read("kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
        assert_eq!(own, "10", "one of the nine is surplus, and is not made the pool's own");
    }
}
