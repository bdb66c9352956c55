//! HTTP/1.1 as far as this program needs it: heads, and where bodies end.

use httparse::{Header, Status};

const MAX_HEADERS: usize = 64;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

pub(crate) struct RequestHead {
    pub(crate) target: String,
    pub(crate) position: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    pub(crate) no_answer_body: bool,
    pub(crate) body: Body,
}

/// The head at the front of `input`, and its length. None while it is not whole.
pub(crate) fn request_head(input: &[u8]) -> Result<Option<(usize, RequestHead)>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let Status::Complete(length) = request.parse(input).map_err(|_| Malformed)? else {
        return Ok(None);
    };
    let head = RequestHead {
        target: request.path.unwrap_or_default().to_owned(),
        position: header(request.headers, "x-position"),
        id: header(request.headers, "x-id"),
        keep_alive: keeps_alive(request.version, request.headers),
        upgrade: header(request.headers, "upgrade").is_some(),
        no_answer_body: request.method == Some("HEAD"),
        body: Body::new(framing(request.headers)?.unwrap_or(Framing::Sized(0))),
    };
    Ok(Some((length, head)))
}

pub(crate) struct AnswerHead {
    pub(crate) status: u16,
    pub(crate) seq: Option<u64>,
    pub(crate) retry_after: Option<String>,
    pub(crate) keep_alive: bool,
    pub(crate) body: Body,
}

/// As [`request_head`], for a response. `no_body`: the request was a HEAD.
pub(crate) fn answer_head(
    input: &[u8],
    no_body: bool,
) -> Result<Option<(usize, AnswerHead)>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let Status::Complete(length) = answer.parse(input).map_err(|_| Malformed)? else {
        return Ok(None);
    };
    let status = answer.code.ok_or(Malformed)?;
    let framing = if no_body || status < 200 || status == 204 || status == 304 {
        Framing::Sized(0)
    } else {
        framing(answer.headers)?.unwrap_or(Framing::UntilClose)
    };
    let head = AnswerHead {
        status,
        seq: header(answer.headers, "x-seq").and_then(|seq| seq.parse().ok()),
        retry_after: header(answer.headers, "retry-after"),
        keep_alive: keeps_alive(answer.version, answer.headers),
        body: Body::new(framing),
    };
    Ok(Some((length, head)))
}

fn header(headers: &[Header], name: &str) -> Option<String> {
    let found = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    Some(String::from_utf8_lossy(found.value).into_owned())
}

fn keeps_alive(version: Option<u8>, headers: &[Header]) -> bool {
    match header(headers, "connection") {
        Some(value) if value.eq_ignore_ascii_case("close") => false,
        Some(value) if value.eq_ignore_ascii_case("keep-alive") => true,
        _ => version == Some(1),
    }
}

fn framing(headers: &[Header]) -> Result<Option<Framing>, Malformed> {
    if header(headers, "transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        return Ok(Some(Framing::Chunked(Chunk::Size(0))));
    }
    match header(headers, "content-length") {
        Some(length) => length.parse().map(|n| Some(Framing::Sized(n))).map_err(|_| Malformed),
        None => Ok(None),
    }
}

/// A body that is being read.
pub(crate) struct Body {
    framing: Framing,
    /// Bytes of content seen so far.
    pub(crate) length: u64,
}

enum Framing {
    /// This many bytes are missing.
    Sized(u64),
    Chunked(Chunk),
    UntilClose,
}

#[derive(Clone, Copy)]
enum Chunk {
    Size(u64),
    SizeLine(u64),
    Data(u64),
    DataEnd,
    /// In a line of the trailer: this many bytes of it have come.
    Trailer(usize),
    Over,
}

impl Body {
    fn new(framing: Framing) -> Self {
        Self { framing, length: 0 }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.framing, Framing::Sized(0) | Framing::Chunked(Chunk::Over))
    }

    /// Whether this body ends with the connection.
    pub(crate) fn ends_with_connection(&self) -> bool {
        matches!(self.framing, Framing::UntilClose)
    }

    /// Reads this body's part from the front of `input`. Returns the length of the part.
    pub(crate) fn take(&mut self, input: &[u8]) -> Result<usize, Malformed> {
        match &mut self.framing {
            Framing::UntilClose => {
                self.length += input.len() as u64;
                Ok(input.len())
            }
            Framing::Sized(missing) => {
                let taken = (*missing).min(input.len() as u64);
                *missing -= taken;
                self.length += taken;
                Ok(taken as usize)
            }
            Framing::Chunked(chunk) => {
                let mut at = 0;
                while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
                    if matches!(chunk, Chunk::Over) {
                        break;
                    }
                    let (taken, content) = chunk.step(rest)?;
                    at += taken;
                    self.length += content;
                }
                Ok(at)
            }
        }
    }
}

impl Chunk {
    /// One step over `input`, which must not be empty. Returns how many bytes it took, and how many of them are content.
    fn step(&mut self, input: &[u8]) -> Result<(usize, u64), Malformed> {
        let byte = input.first().copied().ok_or(Malformed)?;
        *self = match *self {
            Self::Data(missing) => {
                let taken = missing.min(input.len() as u64);
                *self = if taken == missing { Self::DataEnd } else { Self::Data(missing - taken) };
                return Ok((taken as usize, taken));
            }
            Self::Size(size) => match (byte as char).to_digit(16) {
                Some(digit) if size < 1 << 56 => Self::Size(size * 16 + u64::from(digit)),
                Some(_) => return Err(Malformed),
                None if matches!(byte, b'\r' | b';' | b' ') => Self::SizeLine(size),
                None => return Err(Malformed),
            },
            Self::SizeLine(0) if byte == b'\n' => Self::Trailer(0),
            Self::SizeLine(size) if byte == b'\n' => Self::Data(size),
            Self::SizeLine(size) => Self::SizeLine(size),
            Self::DataEnd if byte == b'\n' => Self::Size(0),
            Self::DataEnd if byte == b'\r' => Self::DataEnd,
            Self::DataEnd => return Err(Malformed),
            Self::Trailer(0) if byte == b'\n' => Self::Over,
            Self::Trailer(_) if byte == b'\n' => Self::Trailer(0),
            Self::Trailer(seen) if byte == b'\r' => Self::Trailer(seen),
            Self::Trailer(seen) => Self::Trailer(seen + 1),
            Self::Over => return Err(Malformed),
        };
        Ok((1, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> (usize, AnswerHead) {
        answer_head(text.as_bytes(), false).unwrap().unwrap()
    }

    #[test]
    fn a_chunked_body_ends_where_it_ends_however_it_is_cut() {
        let text = b"4\r\nWiki\r\n6;x=y\r\npedia \r\n0\r\nA: b\r\n\r\nnext";
        for cut in 0..text.len() {
            let mut body = Body::new(Framing::Chunked(Chunk::Size(0)));
            let (head, tail) = text.split_at(cut);
            let mut taken = body.take(head).unwrap();
            if taken == head.len() {
                taken += body.take(tail).unwrap();
            }
            assert_eq!((taken, body.length, body.is_over()), (text.len() - 4, 10, true), "{cut}");
        }
    }

    #[test]
    fn a_bad_chunk_is_malformed() {
        for text in ["x\r\n", "1\r\nabc", "fffffffffffffffff\r\n"] {
            let mut body = Body::new(Framing::Chunked(Chunk::Size(0)));
            assert_eq!(body.take(text.as_bytes()), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn a_sized_body_leaves_what_follows() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Seq: 7\r\n\r\n";
        let (length, mut head) = answer(text);
        assert_eq!((length, head.seq, head.keep_alive), (text.len(), Some(7), true));
        assert_eq!(head.body.take(b"abcd"), Ok(3));
        assert!(head.body.is_over());
    }

    #[test]
    fn an_answer_without_a_length_ends_with_the_connection() {
        let (_, mut head) = answer("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        assert!(head.body.ends_with_connection() && !head.keep_alive);
        assert_eq!(head.body.take(b"abc"), Ok(3));
        assert!(!head.body.is_over());
        assert!(answer("HTTP/1.1 304 Not Modified\r\n\r\n").1.body.is_over());
    }

    #[test]
    fn a_request_head_names_its_position_and_id() {
        let text = b"GET /a HTTP/1.0\r\nX-Position: 3\r\nx-id: 9\r\n\r\n";
        assert!(matches!(request_head(&text[..20]), Ok(None)));
        let (length, head) = request_head(text).unwrap().unwrap();
        assert_eq!((length, head.target.as_str()), (text.len(), "/a"));
        assert_eq!((head.position.as_deref(), head.id.as_deref()), (Some("3"), Some("9")));
        assert!(!head.keep_alive && head.body.is_over());
    }
}
