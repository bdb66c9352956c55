//! How the answer to a request is written.
#![forbid(unsafe_code)]

use super::verb::Verb;
use crate::control::accept::prefers_json;
use crate::control::form::Said;

/// How the answer to a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    pub format: Format,
    pub detail: Detail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

/// How much a text says of an app's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The original's words.
    Original,
    /// Further lines.
    More,
}

impl Manner {
    /// The format is what the parameter `format` says, else what the lines of the header Accept
    /// prefer. The metrics and the dashboard do not look at Accept. Parameters beside `format` make
    /// a text longer.
    pub fn of<'a>(
        verb: Option<Verb>,
        said: Said<'_>,
        accept: impl Iterator<Item = &'a [u8]>,
    ) -> Self {
        let asked = |word: &[u8]| {
            said.parameters().any(|(name, value)| name == b"format" && value.is(word))
        };
        let looks =
            !matches!(verb, Some(Verb::Metrics | Verb::Dashboard | Verb::Script | Verb::Style));
        let is_json = asked(b"json") || (!asked(b"text") && looks && prefers_json(accept));
        let is_longer = said.parameters().any(|(name, _)| name != b"format");
        Self {
            format: if is_json { Format::Json } else { Format::Text },
            detail: if is_longer { Detail::More } else { Detail::Original },
        }
    }
}
