//! Whether a client prefers JSON to text, by the header Accept: RFC 9110, 12.5.1.
#![forbid(unsafe_code)]

/// Whether these lines name `application/json`, with a higher q than `text/plain`.
pub fn prefers_json<'a>(lines: impl Iterator<Item = &'a [u8]>) -> bool {
    let (mut json, mut text) = (Preference::default(), Preference::default());
    for range in lines.flat_map(|line| unquoted(line, b',')) {
        let Some((media_range, q)) = parse(range) else { continue };
        json.note(media_range, q, [b"application/json", b"application/*"]);
        text.note(media_range, q, [b"text/plain", b"text/*"]);
    }
    json.named.is_some_and(|named| named > text.q())
}

/// The q of a media type, in thousandths, by each kind of range that matches it.
#[derive(Default)]
struct Preference {
    named: Option<u16>,
    kind: Option<u16>,
    any: Option<u16>,
}

impl Preference {
    fn note(&mut self, media_range: &[u8], q: u16, [name, kind]: [&[u8]; 2]) {
        let place = match media_range {
            b"*/*" => &mut self.any,
            range if range.eq_ignore_ascii_case(kind) => &mut self.kind,
            range if range.eq_ignore_ascii_case(name) => &mut self.named,
            _ => return,
        };
        *place = (*place).max(Some(q));
    }

    /// The most specific range counts.
    fn q(&self) -> u16 {
        self.named.or(self.kind).or(self.any).unwrap_or(0)
    }
}

/// A media range without its parameters, and its q. Returns None if the q is malformed.
fn parse(range: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = unquoted(range, b';').map(<[u8]>::trim_ascii);
    let media_range = parts.next()?;
    let mut q = 1000;
    for parameter in parts {
        if let Some(value) = parameter.strip_prefix(b"q=").or(parameter.strip_prefix(b"Q=")) {
            q = thousandths(value)?;
            break;
        }
    }
    Some((media_range, q))
}

/// From 0 to 1, with at most three decimals.
fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, rest) = value.split_first()?;
    let digits = match rest {
        b"" => rest,
        rest => rest.strip_prefix(b".")?,
    };
    if digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let padded = digits.iter().copied().chain([b'0'; 3]).take(3);
    let fraction = padded.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match whole {
        b'0' => Some(fraction),
        b'1' if fraction == 0 => Some(1000),
        _ => None,
    }
}

/// The parts between these bytes, outside of quotes.
fn unquoted(text: &[u8], byte: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |one| {
        let was_escaped = core::mem::take(&mut escaped);
        match one {
            _ if was_escaped => {}
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => return *one == byte && !quoted,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn likes(lines: &[&str]) -> bool {
        prefers_json(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn json_goes_to_clients_that_name_and_prefer_it() {
        for lines in [
            &["application/json"][..],
            &["Application/JSON;charset=utf-8"],
            &["text/plain;q=0.5, application/json;q=0.501"],
            &["application/json, */*;q=0.5"],
            &["text/html, application/json;q=0.9, text/plain;q=0"],
            &["text/*;q=0.1,application/json ; q=0.2"],
            &["text/plain;q=0.5", "application/json"],
            &["application/json;v=\"a,b;q=0\""],
            &["application/json;q=0.1", "application/json"],
            &["text/plain;q=0.4, text/*;q=0.9, application/json;q=0.5"],
        ] {
            assert!(likes(lines), "{lines:?}");
        }
    }

    #[test]
    fn text_goes_to_all_others() {
        for lines in [
            &[][..],
            &[""],
            &["*/*"],
            &["application/*"],
            &["application/jsonl"],
            &["application/json-seq, x/application/json"],
            &["text/plain;version=0.0.4, application/json;q=0"],
            &["application/json;q=0"],
            &["application/json, text/plain"],
            &["application/json, */*"],
            &["application/json;q=0.5, text/*"],
            &["application/json;q=0.5", "text/plain"],
            &["application/json;q=2"],
            &["application/json;q=x"],
            &["x/y;a=\"application/json\""],
            &["x/y;a=\", application/json"],
        ] {
            assert!(!likes(lines), "{lines:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_panics(lines: Vec<Vec<u8>>) {
            let _ = prefers_json(lines.iter().map(Vec::as_slice));
        }
    }
}
