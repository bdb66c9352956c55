//! The verb that a request names, and the methods by which it may be asked for.
#![forbid(unsafe_code)]

/// Where the control endpoint is.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The location's name.
    pub location: &'a [u8],
    /// Whether it is a `=` location.
    pub exact: bool,
}

/// A verb of the control endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Status,
    Enable,
    Disable,
    Stop,
    Apps,
    Metrics,
    Dashboard,
    /// The dashboard's script.
    Script,
    /// The dashboard's style sheet.
    Style,
}

/// A request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Other,
}

/// The methods by which an endpoint lets callers change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    ByGetOrPost,
    ByPost,
}

impl Verb {
    /// The verb that `uri` names: the part behind the name of a prefix location, or the last
    /// segment in a `=` location.
    pub fn at(place: Place<'_>, uri: &[u8]) -> Option<Self> {
        let name = if place.exact {
            uri.rsplit(|byte| *byte == b'/').next().filter(|name| !name.is_empty())?
        } else {
            let rest = uri.strip_prefix(place.location)?;
            match rest {
                b"" => rest,
                rest if place.location.ends_with(b"/") => rest,
                rest => rest.strip_prefix(b"/")?,
            }
        };
        match name {
            b"" => Some(Self::Dashboard),
            b"dashboard.js" if !place.exact => Some(Self::Script),
            b"dashboard.css" if !place.exact => Some(Self::Style),
            b"apps" => Some(Self::Apps),
            b"metrics" => Some(Self::Metrics),
            b"status" => Some(Self::Status),
            b"enable" => Some(Self::Enable),
            b"disable" => Some(Self::Disable),
            b"stop" => Some(Self::Stop),
            _ => None,
        }
    }

    /// Whether it changes anything.
    pub fn changes(self) -> bool {
        matches!(self, Self::Enable | Self::Disable | Self::Stop)
    }

    /// The methods that are allowed for it, as the header Allow says them.
    pub fn methods(self, changes: Changes) -> &'static str {
        match (self.changes(), changes) {
            (false, _) => "GET, HEAD",
            (true, Changes::ByGetOrPost) => "GET, POST",
            (true, Changes::ByPost) => "POST",
        }
    }

    /// Whether this method is allowed for it.
    pub fn allows(self, method: Method, changes: Changes) -> bool {
        match method {
            Method::Get => !self.changes() || changes == Changes::ByGetOrPost,
            Method::Head => !self.changes(),
            Method::Post => self.changes(),
            Method::Other => false,
        }
    }
}
