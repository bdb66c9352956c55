//! Whether the state file keeps the pauses; and if not, why.
#![forbid(unsafe_code)]

use core::fmt;
use std::io;

/// What the status says of the state file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// No state file is configured.
    #[default]
    Off,
    /// The last write reached the disk.
    Good,
    Bad(Problem),
}

/// Why the file does not keep the pauses. The numbers are the operating system's error numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    Link,
    NotRegular,
    Owner,
    Names,
    Mode,
    Foreign,
    Unopened(i32),
    Unread(i32),
    Unwritten(i32),
    Locked,
    TooLarge,
    Removed,
}

impl Health {
    /// As a word of shared memory. [`Health::Off`] is 0.
    pub fn pack(self) -> u64 {
        let (kind, number) = match self {
            Self::Off => (0, 0),
            Self::Good => (1, 0),
            Self::Bad(Problem::Link) => (2, 0),
            Self::Bad(Problem::NotRegular) => (3, 0),
            Self::Bad(Problem::Owner) => (4, 0),
            Self::Bad(Problem::Names) => (5, 0),
            Self::Bad(Problem::Mode) => (6, 0),
            Self::Bad(Problem::Foreign) => (7, 0),
            Self::Bad(Problem::Unopened(number)) => (8, number),
            Self::Bad(Problem::Unread(number)) => (9, number),
            Self::Bad(Problem::Unwritten(number)) => (10, number),
            Self::Bad(Problem::Locked) => (11, 0),
            Self::Bad(Problem::TooLarge) => (12, 0),
            Self::Bad(Problem::Removed) => (13, 0),
        };
        kind | u64::from(number.cast_unsigned()) << 32
    }

    /// Reads such a word. An unknown one is [`Health::Off`].
    pub fn unpack(word: u64) -> Self {
        let number = ((word >> 32) as u32).cast_signed();
        let problem = match word as u32 {
            1 => return Self::Good,
            2 => Problem::Link,
            3 => Problem::NotRegular,
            4 => Problem::Owner,
            5 => Problem::Names,
            6 => Problem::Mode,
            7 => Problem::Foreign,
            8 => Problem::Unopened(number),
            9 => Problem::Unread(number),
            10 => Problem::Unwritten(number),
            11 => Problem::Locked,
            12 => Problem::TooLarge,
            13 => Problem::Removed,
            _ => return Self::Off,
        };
        Self::Bad(problem)
    }

    /// False if a state file is configured and does not keep the pauses.
    pub fn is_fine(self) -> bool {
        !matches!(self, Self::Bad(_))
    }
}

/// As the status shows it: `off`, `ok`, or what is wrong.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Good => f.write_str("ok"),
            Self::Bad(problem) => problem.fmt(f),
        }
    }
}

impl Problem {
    fn unusable(&self) -> Option<&'static str> {
        Some(match self {
            Self::Link => "it is a symbolic link",
            Self::NotRegular => "it is not a regular file",
            Self::Owner => "it does not belong to the user that started nginx",
            Self::Names => "it has more than one hard link",
            Self::Mode => "other users may read or write it (its mode must be 600)",
            _ => return None,
        })
    }
}

/// Finishes a sentence that begins with the name of the file.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = self.unusable() {
            return write!(f, "cannot be used: {why}: a restart forgets the pauses");
        }
        let error = |number: &i32| io::Error::from_raw_os_error(*number);
        match self {
            Self::Foreign => f.write_str(
                "is not a state file: it is not changed, and a restart forgets the pauses; choose \
                 another path",
            ),
            Self::Unopened(number) => {
                write!(f, "cannot be used: {}: a restart forgets the pauses", error(number))
            }
            Self::Unread(number) => {
                write!(f, "cannot be read: {}: no pause is restored", error(number))
            }
            Self::Unwritten(number) => {
                write!(f, "cannot be written: {}: a restart may forget pauses", error(number))
            }
            Self::Locked => f.write_str(
                "cannot be written: another process has locked it: a restart may forget pauses",
            ),
            Self::TooLarge => f.write_str(
                "cannot be written: there are too many pauses: a restart may forget some",
            ),
            _ => f.write_str("was removed or replaced: a restart forgets pauses; reload nginx"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_health_comes_back_whole_from_its_word() {
        for word in 0..20 {
            let health = Health::unpack(word | 28 << 32);
            assert_eq!(Health::unpack(health.pack()), health);
        }
        assert_eq!(Health::unpack(0), Health::Off);
        let full = Health::Bad(Problem::Unwritten(28));
        assert_eq!(Health::unpack(full.pack()), full);
        assert!(full.to_string().starts_with("cannot be written: No space left"), "{full}");
    }
}
