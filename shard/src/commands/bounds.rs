//! Ranges that clients give as two offsets, negative ones counting from the end.

/// The elements `start..=end` of a sequence of `length`, as a half-open range; empty ranges are
/// `None`. Offsets beyond the ends are clamped, as GETRANGE, LRANGE and ZRANGE do.
#[must_use]
pub fn clamp(start: i64, end: i64, length: usize) -> Option<(usize, usize)> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let from_end = |offset: i64| if offset < 0 { offset.saturating_add(length).max(0) } else { offset };
    if end < 0 && end.saturating_add(length) < 0 {
        return None;
    }
    let (start, end) = (from_end(start), from_end(end).min(length - 1));
    (start <= end && start < length).then(|| (start as usize, end as usize + 1))
}

#[cfg(test)]
mod tests {
    use super::clamp;

    #[test]
    fn offsets_are_clamped_and_count_from_the_end() {
        assert_eq!(clamp(0, -1, 5), Some((0, 5)));
        assert_eq!(clamp(-3, -2, 5), Some((2, 4)));
        assert_eq!(clamp(-100, 100, 5), Some((0, 5)));
        assert_eq!(clamp(3, 1, 5), None);
        assert_eq!(clamp(5, 9, 5), None);
        assert_eq!(clamp(0, -6, 5), None);
        assert_eq!(clamp(0, -1, 0), None);
        assert_eq!(clamp(i64::MIN, i64::MAX, 5), Some((0, 5)));
    }
}
