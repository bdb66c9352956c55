//! How a verb is answered that was carried out.
#![forbid(unsafe_code)]

use crate::control::{Format, Method};

/// What a verb did that may change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It changed something.
    Changed,
    /// All is as it was, and nothing else was asked for.
    AsItWas,
    /// All is as it was, and something else was asked for.
    NotChanged,
}

impl Done {
    /// The answer's status. A GET that gets text is answered as the original does, unless there is
    /// something to say; many clients take a 304 for an error.
    pub fn status(self, method: Method, format: Format) -> u16 {
        match (self, method, format) {
            (Self::AsItWas, Method::Get, Format::Text) => 304,
            _ => 200,
        }
    }

    /// Whether anything changed.
    pub fn changed(self) -> bool {
        self == Self::Changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_get_is_answered_304_where_all_is_as_it_was() {
        let status = |done: Done, method| {
            (done.status(method, Format::Text), done.status(method, Format::Json))
        };
        assert_eq!(status(Done::AsItWas, Method::Get), (304, 200));
        assert_eq!(status(Done::AsItWas, Method::Post), (200, 200));
        for done in [Done::Changed, Done::NotChanged] {
            assert_eq!(status(done, Method::Get), (200, 200));
            assert_eq!(status(done, Method::Post), (200, 200));
        }
    }
}
