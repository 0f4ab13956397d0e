//! A **percentile** of measurements: the smallest of them that is not below so many percent of all.

/// The percentile; `None` if nothing was measured.
pub(crate) fn percentile(values: &[u64], percent: usize) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let many: Vec<_> = (1..=200).rev().collect();
        let found = [50, 90, 99, 100].map(|percent| percentile(&many, percent).unwrap());
        assert_eq!(found, [100, 180, 198, 200]);
        assert_eq!([1, 50, 100].map(|percent| percentile(&[7], percent)), [Some(7); 3]);
        assert_eq!(percentile(&[], 50), None);
    }
}
