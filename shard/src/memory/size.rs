//! Size classes of the allocator.

/// Bytes that jemalloc takes for a request of `size` bytes, for a quantum of 16 bytes: multiples of 16 up to 128 (8 for
/// the smallest), four classes for each doubling up to 32 KiB (its manual, "Size classes"), and whole pages above, as
/// the version we link has no size classes for large requests. 0 for nothing.
#[must_use]
#[inline]
pub const fn size_class(size: usize) -> usize {
    const LARGEST_CLASS: usize = 32 << 10;
    const PAGE: usize = 4 << 10;
    match size {
        0 => 0,
        1..=8 => 8,
        9..=128 => (size + 15) & !15,
        129..=LARGEST_CLASS => {
            let spacing = 1 << ((size - 1).ilog2() - 2);
            (size + spacing - 1) & !(spacing - 1)
        }
        _ => (size + PAGE - 1) & !(PAGE - 1),
    }
}
