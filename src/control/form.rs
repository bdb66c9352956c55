//! The parameters that a request brings: in its query, and in a form that is its body.
#![forbid(unsafe_code)]

use core::fmt;

use crate::text::{Text, TooLong};

/// The most bytes that a body may have.
pub const MAX_BODY: u64 = 8 << 10;

/// The parameters of a request, as its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'a> {
    /// The part of the URI behind the question mark.
    pub query: &'a [u8],
    /// The body, empty if it is not a form.
    pub form: &'a [u8],
}

/// A parameter's value, not decoded yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    bytes: &'a [u8],
    /// Whether `+` is a space.
    in_form: bool,
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    NotPercentEncoded,
    TooLong(TooLong),
}

/// Why a body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBody {
    TooLong,
    NoForm,
}

impl BadBody {
    /// What is wrong with a body of this length, in bytes, and with this header Content-Type.
    pub fn find(length: u64, content_type: Option<&[u8]>) -> Option<Self> {
        let media_type = content_type.and_then(|value| value.split(|byte| *byte == b';').next());
        let form = |value: &[u8]| {
            value.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        };
        match length {
            0 => None,
            _ if !media_type.is_some_and(form) => Some(Self::NoForm),
            length if length > MAX_BODY => Some(Self::TooLong),
            _ => None,
        }
    }

    /// The answer's status.
    pub fn status(self) -> u16 {
        match self {
            Self::TooLong => 413,
            Self::NoForm => 415,
        }
    }
}

impl fmt::Display for BadBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the body is longer than {MAX_BODY} bytes"),
            Self::NoForm => f.write_str(
                "the body must be application/x-www-form-urlencoded: \
                 send the parameters in such a form, or in the query",
            ),
        }
    }
}

impl<'a> Said<'a> {
    /// A request without a form.
    pub fn in_query(query: &'a [u8]) -> Self {
        Self { query, form: b"" }
    }

    /// The parameters, with their names not decoded. One without `=` has an empty value.
    pub fn parameters(self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
        let of = |part: &'a [u8], in_form| {
            let pairs = part.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
            pairs.map(move |pair| {
                let mut parts = pair.splitn(2, |byte| *byte == b'=');
                let name = parts.next().unwrap_or_default();
                (name, Value { bytes: parts.next().unwrap_or_default(), in_form })
            })
        };
        of(self.query, false).chain(of(self.form, true))
    }
}

impl Value<'_> {
    /// The decoded value.
    pub fn decode<const N: usize>(self) -> Result<Text<N>, Malformed> {
        let mut escapes = self.bytes.split(|byte| *byte == b'%').skip(1);
        let is_hex =
            |part: &[u8]| part.len() >= 2 && part.iter().take(2).all(u8::is_ascii_hexdigit);
        if !escapes.all(is_hex) {
            return Err(Malformed::NotPercentEncoded);
        }
        let mut text = Text::EMPTY;
        let mut parts = self.bytes.split(|byte| self.in_form && *byte == b'+').enumerate();
        let pushed = parts.try_for_each(|(at, part)| {
            let space = (at > 0).then_some(b' ');
            space
                .into_iter()
                .chain(percent_encoding::percent_decode(part))
                .try_for_each(|byte| text.push(byte))
        });
        pushed.map(|()| text).map_err(Malformed::TooLong)
    }

    /// Whether the decoded value is this.
    pub fn is(self, word: &[u8]) -> bool {
        self.decode::<16>().is_ok_and(|text| text.as_bytes() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<'a>(query: &'a str, form: &'a str) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = Said { query: query.as_bytes(), form: form.as_bytes() };
        let decoded = |value: Value<'_>| text(value.decode::<16>().unwrap().as_bytes());
        said.parameters().map(|(name, value)| (text(name), decoded(value))).collect()
    }

    #[test]
    fn a_plus_is_a_space_in_a_form_only() {
        let pair = |value: &str| ("a".to_string(), value.to_string());
        assert_eq!(values("a=b+c%20d%2B", ""), [pair("b+c d+")]);
        assert_eq!(values("", "a=b+c%20d%2B&&a=+"), [pair("b c d+"), pair(" ")]);
        assert_eq!(
            values("a=1", "a=2"),
            [pair("1"), pair("2")],
            "what stands in both is there twice"
        );
        assert_eq!(values("a", "a=x=y"), [pair(""), pair("x=y")]);
    }

    #[test]
    fn a_value_that_is_not_encoded_or_too_long_is_refused() {
        let decode = |form: &[u8]| {
            let said = Said { query: b"", form };
            said.parameters().next().unwrap().1.decode::<4>().err()
        };
        assert_eq!(decode(b"a=%4"), Some(Malformed::NotPercentEncoded));
        assert_eq!(decode(b"a=%+41"), Some(Malformed::NotPercentEncoded));
        assert_eq!(decode(b"a=++%41+"), None);
        assert_eq!(decode(b"a=+++++"), Some(Malformed::TooLong(TooLong { limit: 4 })));
    }

    #[test]
    fn a_body_is_a_short_form_or_empty() {
        let form = Some(&b"application/x-www-form-urlencoded"[..]);
        assert_eq!(BadBody::find(0, None), None);
        assert_eq!(BadBody::find(0, Some(b"application/json")), None);
        assert_eq!(BadBody::find(8192, form), None);
        assert_eq!(BadBody::find(8193, form), Some(BadBody::TooLong));
        let spelled = &b"Application/X-WWW-form-urlencoded ; charset=UTF-8"[..];
        assert_eq!(BadBody::find(1, Some(spelled)), None);
        for other in [
            None,
            Some(&b"application/json"[..]),
            Some(b"multipart/form-data; boundary=x"),
            Some(b""),
        ] {
            assert_eq!(BadBody::find(1, other), Some(BadBody::NoForm));
        }
    }
}
