//! Copying a file's contents into preserved memory, and making a file of them again.
//!
//! - The **store** is what prepare reserves: a [`PageStore`](luo_xarray::page_map::PageStore). Which pages are
//!   populated is known in freeze alone, and freeze takes no memory. Slots that no page took cross too and are freed
//!   with the others.
//! - A **round** copies what was written since the round before. Rounds are made in prepare, while users write; the
//!   last one is freeze's.
//!
//! How freeze knows what to copy:
//!
//! | | prepare | freeze |
//! |---|---|---|
//! | nobody can change the contents: sealed against writing and shrinking | copies all | looks whether the file is as it was |
//! | a dirty log | copies all, then rounds | copies what the log says; searches again if the number of pages is another |
//! | neither | reserves | copies all |

mod placing;
mod scan;
mod batch;
mod workers;
mod save;
mod make;
#[cfg(test)]
mod tests;

pub(crate) use make::make;
pub(crate) use save::{Hands, Saving};
