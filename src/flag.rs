//! A boolean in shared memory.
#![forbid(unsafe_code)]

/// Off where all bytes are zero.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flag(u32);

impl Flag {
    pub const OFF: Self = Self(0);
    pub const ON: Self = Self(1);

    /// Whatever is not zero is on.
    pub fn is_on(self) -> bool {
        self.0 != 0
    }

    /// Whether it was on; it is off from now on.
    pub fn take(&mut self) -> bool {
        core::mem::take(self).is_on()
    }
}

impl From<bool> for Flag {
    fn from(on: bool) -> Self {
        Self(u32::from(on))
    }
}
