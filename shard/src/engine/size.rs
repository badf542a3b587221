//! Size classes of the allocator.

/// Bytes that jemalloc takes for a request of `size` bytes (its manual, "Size classes", for a
/// quantum of 16 bytes): multiples of 16 up to 128 (8 for the smallest), then four classes for each
/// doubling. 0 for nothing.
#[must_use]
#[inline]
pub const fn size_class(size: usize) -> usize {
    match size {
        0 => 0,
        1..=8 => 8,
        9..=128 => (size + 15) & !15,
        _ => {
            let doubling = usize::BITS - (size - 1).leading_zeros();
            let spacing = 1 << (doubling - 3);
            (size + spacing - 1) & !(spacing - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_the_allocator() {
        for size in (1..5000).chain((5000..200_000).step_by(977)) {
            assert!(size_class(size) >= size, "{size}");
            assert_eq!(size_class(size_class(size)), size_class(size), "{size}");
        }
        for (size, class) in
            [(1, 8), (16, 16), (17, 32), (129, 160), (160, 160), (161, 192), (1025, 1280), (16_385, 20_480)]
        {
            assert_eq!(size_class(size), class);
        }
    }
}
