//! A set of offsets into a pattern, as a matcher without backtracking needs it.
#![forbid(unsafe_code)]

/// A set of offsets into a pattern.
#[derive(Clone, Copy, Default)]
pub(super) struct Offsets([u64; Self::WORDS]);

impl Offsets {
    const WORDS: usize = 16;
    pub(super) const COUNT: usize = Self::WORDS * 64;

    pub(super) fn add(&mut self, offset: usize) {
        if let Some(word) = self.0.get_mut(offset / 64) {
            *word |= 1 << (offset % 64);
        }
    }

    /// The first offset in the set that is not less than this one.
    pub(super) fn first_from(&self, offset: usize) -> Option<usize> {
        let first = offset / 64;
        let mut mask = u64::MAX << (offset % 64);
        for (index, word) in self.0.iter().enumerate().skip(first) {
            let bits = word & mask;
            if bits != 0 {
                return Some(
                    index.saturating_mul(64).saturating_add(bits.trailing_zeros() as usize),
                );
            }
            mask = u64::MAX;
        }
        None
    }
}
