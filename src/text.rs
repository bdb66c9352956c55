//! Byte strings of bounded length, as they lie in shared memory, and how texts and counts are printed.
#![forbid(unsafe_code)]

use core::fmt;

use percent_encoding::{percent_encode, AsciiSet, NON_ALPHANUMERIC};
use serde::{Serialize, Serializer};

/// Up to `N` bytes of any value. All zero is the empty text.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    len: u32,
    bytes: [u8; N],
}

/// An app's name: the value of `$app_name`. The default app's is empty.
pub type AppName = Text<128>;
/// Why an app is paused: the parameter `reason=`.
pub type Reason = Text<256>;
/// A client's address, or what a caller gives as `by=`.
pub type Address = Text<64>;

/// A count of what the noun names: "1 request", "2 requests".
#[derive(Clone, Copy, Debug)]
pub struct Counted<N>(pub N, pub &'static str);

impl<N: fmt::Display + From<u8> + PartialEq> fmt::Display for Counted<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == N::from(1) { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}

/// A value that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// How many bytes fit.
    pub limit: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "is longer than {} bytes", self.limit)
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> Text<N> {
    pub const EMPTY: Self = Self { len: 0, bytes: [0; N] };

    /// Copies `from`. Fails if it is longer than `N` bytes.
    pub fn new(from: &[u8]) -> Result<Self, TooLong> {
        let mut text = Self::EMPTY;
        text.bytes.get_mut(..from.len()).ok_or(TooLong { limit: N })?.copy_from_slice(from);
        text.len = from.len() as u32;
        Ok(text)
    }

    /// Copies the first `N` bytes of `from`, or all of it if it is shorter.
    pub fn front_of(from: &[u8]) -> Self {
        let front = from.get(..N).unwrap_or(from);
        Self::new(front).unwrap_or(Self::EMPTY)
    }

    /// Adds a byte at the end. Fails if `N` are there already.
    pub fn push(&mut self, byte: u8) -> Result<(), TooLong> {
        let next = self.bytes.get_mut(self.len as usize).ok_or(TooLong { limit: N })?;
        *next = byte;
        self.len += 1;
        Ok(())
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len as usize).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Fails if the text does not fit; its beginning is written then.
impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().try_for_each(|byte| self.push(byte)).map_err(|_| fmt::Error)
    }
}

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const N: usize> Eq for Text<N> {}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As log lines show it: printable ASCII as it is; all other bytes, quotes and backslashes escaped.
impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_bytes().escape_ascii(), f)
    }
}

/// Whether two texts are the same. Most are short: so no function is called for them.
#[inline(always)]
pub fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && match a.len() {
            0..4 => a.iter().zip(b).all(|(a, b)| a == b),
            4..8 => ends(a).map(u32::from_ne_bytes) == ends(b).map(u32::from_ne_bytes),
            8..=16 => ends(a).map(u64::from_ne_bytes) == ends(b).map(u64::from_ne_bytes),
            _ => a == b,
        }
}

/// The first `N` bytes and the last `N`; 0 if there are fewer.
#[inline(always)]
fn ends<const N: usize>(text: &[u8]) -> [[u8; N]; 2] {
    [text.first_chunk(), text.last_chunk()].map(|end| end.copied().unwrap_or([0; N]))
}

/// An app, as a sentence names it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a>(pub &'a AppName);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("the default app")
        } else {
            write!(f, "app \"{}\"", self.0)
        }
    }
}

/// A caller, as a sentence names it: in quotes if it could be read as more than a name.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a>(pub &'a Address);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".:@_/+-".contains(byte);
        match self.0.as_bytes().iter().all(plain) {
            true => self.0.fmt(f),
            false => write!(f, "\"{}\"", self.0),
        }
    }
}

/// As JSON shows it: U+FFFD in place of bytes that are not UTF-8.
impl<const N: usize> Serialize for Text<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Lossy(self.as_bytes()))
    }
}

/// Bytes as UTF-8, with U+FFFD in place of those that are not.
#[derive(Clone, Copy, Debug)]
pub struct Lossy<'a>(pub &'a [u8]);

impl fmt::Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

/// Bytes that stand in a header as they are: RFC 3986's unreserved ones, and the slash.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The value of a response header: all other bytes are percent-encoded.
pub fn header_value(bytes: &[u8]) -> impl fmt::Display + '_ {
    percent_encode(bytes, PLAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_is_refused() {
        assert_eq!(Text::<4>::new(b"abcd").map(|t| t.as_bytes().len()), Ok(4));
        assert_eq!(Text::<4>::new(b"abcde"), Err(TooLong { limit: 4 }));
        assert!(AppName::EMPTY.is_empty());
    }

    #[test]
    fn each_byte_of_a_text_counts() {
        for length in 0..40 {
            let text = vec![b'a'; length];
            assert!(is_same(&text, &text.clone()));
            assert!(!is_same(&text, &vec![b'a'; length + 1]));
            for at in 0..length {
                let mut other = text.clone();
                other[at] = b'b';
                assert!(!is_same(&text, &other), "{length} bytes, another one at {at}");
            }
        }
    }

    #[test]
    fn no_byte_of_a_name_can_break_a_log_line_a_header_or_json() {
        let name = AppName::new(b"a\"b\n\xff").unwrap();
        assert_eq!(name.to_string(), "a\\\"b\\n\\xff");
        assert_eq!(header_value(name.as_bytes()).to_string(), "a%22b%0A%FF");
        assert_eq!(Lossy(name.as_bytes()).to_string(), "a\"b\n\u{fffd}");
    }

    #[test]
    fn a_caller_that_could_be_read_as_more_than_a_name_is_quoted() {
        let who = |name: &str| Who(&Address::new(name.as_bytes()).unwrap()).to_string();
        assert_eq!(who("alice@db-1.example"), "alice@db-1.example");
        assert_eq!(who("::1"), "::1");
        assert_eq!(who("al, pause 7\n"), "\"al, pause 7\\n\"");
    }
}
