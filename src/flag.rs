//! A boolean in shared memory.
#![forbid(unsafe_code)]

/// Off if all its bytes are zero.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flag(u32);

impl Flag {
    pub const OFF: Self = Self(0);
    pub const ON: Self = Self(1);

    pub fn is_on(self) -> bool {
        self.0 != 0
    }

    /// Turns it off. Returns whether it was on.
    pub fn take(&mut self) -> bool {
        core::mem::take(self).is_on()
    }
}

impl From<bool> for Flag {
    fn from(on: bool) -> Self {
        Self(u32::from(on))
    }
}
