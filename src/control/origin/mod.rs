//! Whether a page of another site may have sent a request, through an operator's browser.
#![forbid(unsafe_code)]

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::control::command::Method;

/// The headers that say where a request comes from; empty if the request does not have them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    /// Fetch Metadata, <https://www.w3.org/TR/fetch-metadata/>
    pub sec_fetch_site: &'a [u8],
    /// RFC 6454
    pub origin: &'a [u8],
    pub referer: &'a [u8],
    /// A browser that fetches in advance says so in one of these.
    pub sec_purpose: &'a [u8],
    pub purpose: &'a [u8],
    pub x_purpose: &'a [u8],
    pub x_moz: &'a [u8],
    pub user_agent: &'a [u8],
    /// The name by which the client called nginx, with the port unless that is the usual one.
    pub host: &'a [u8],
}

/// Why a request may not change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrowserRefused {
    /// This header says that a page of another site sent it.
    Foreign(&'static str),
    /// This header says that the browser sent it in advance.
    Early(&'static str),
    /// A browser sent it and does not say from which page.
    Unknown,
    /// A browser sent it to a host that is not a name of the server.
    Rebound,
}

impl fmt::Display for BrowserRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(header) => write!(
                f,
                "the header \"{header}\" says that a page of another site sent this request: \
                 nothing was changed; use the dashboard or curl"
            ),
            Self::Early(header) => write!(
                f,
                "the header \"{header}\" says that the browser sent this request in advance, \
                 perhaps for a page of another site: nothing was changed; repeat it"
            ),
            Self::Unknown => f.write_str(
                "a browser sent this request and does not say from which page: nothing was \
                 changed; use the dashboard's buttons, curl, POST or https",
            ),
            Self::Rebound => f.write_str(
                "a browser sent this request to a host that is not a \"server_name\" of this \
                 server: nothing was changed; add the host to \"server_name\", or use the address \
                 or curl",
            ),
        }
    }
}

/// Whether the request's host is a name of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostIs {
    /// One of the server's names.
    Own,
    Other,
}

/// Why a request of a browser may not change anything. Returns None if it may; other clients always
/// may.
pub fn refused(headers: &Headers<'_>, method: Method, host_is: HostIs) -> Option<BrowserRefused> {
    let Headers { sec_fetch_site, origin, referer, host, .. } = *headers;
    let early = [
        ("Sec-Purpose", headers.sec_purpose),
        ("Purpose", headers.purpose),
        ("X-Purpose", headers.x_purpose),
        ("X-Moz", headers.x_moz),
    ];
    let says_where = [sec_fetch_site, origin, referer].iter().any(|value| !value.is_empty());
    let browser = says_where || starts_with(headers.user_agent, b"Mozilla/");
    if ![&b""[..], b"same-origin", b"none"].contains(&sec_fetch_site) {
        Some(BrowserRefused::Foreign("Sec-Fetch-Site"))
    } else if !origin.is_empty() && !is_of(host, origin) {
        Some(BrowserRefused::Foreign("Origin"))
    } else if !referer.is_empty() && !is_of(host, referer) {
        Some(BrowserRefused::Foreign("Referer"))
    } else if let Some((name, _)) = early.iter().find(|(_, value)| !value.is_empty()) {
        Some(BrowserRefused::Early(name))
    } else if browser && host_is == HostIs::Other && !cannot_be_rebound(host) {
        Some(BrowserRefused::Rebound)
    } else if browser && method == Method::Get && !says_where {
        Some(BrowserRefused::Unknown)
    } else {
        None
    }
}

/// Whether a host, as the header Host has it, is an address or localhost: nobody can make such a
/// name point to another machine.
fn cannot_be_rebound(host: &[u8]) -> bool {
    let (name, port) = match host.iter().rposition(|byte| *byte == b':') {
        Some(at) if !host.ends_with(b"]") => host.split_at_checked(at).unwrap_or((host, b"")),
        _ => (host, &b""[..]),
    };
    let inside = name.strip_prefix(b"[").and_then(|name| name.strip_suffix(b"]"));
    let text = |bytes| core::str::from_utf8(bytes).ok();
    let address = match inside {
        Some(inside) => text(inside).is_some_and(|text| text.parse::<Ipv6Addr>().is_ok()),
        None => text(name).is_some_and(|text| text.parse::<Ipv4Addr>().is_ok()),
    };
    let port = port.strip_prefix(b":").unwrap_or(port);
    port.iter().all(u8::is_ascii_digit) && (address || name.eq_ignore_ascii_case(b"localhost"))
}

/// Whether a host in lower case, without port and last point, is this `server_name`: a name,
/// `*.name`, `.name` or `name.*`. nginx itself matches regular expressions.
pub fn is_server_name(server_name: &[u8], host: &[u8]) -> bool {
    if host.is_empty() {
        return false;
    }
    if let Some(parent) = server_name.strip_prefix(b"*") {
        return parent.len() > 1 && host.len() > parent.len() && host.ends_with(parent);
    }
    if let Some(name) = server_name.strip_prefix(b".") {
        return host == name || (host.len() > server_name.len() && host.ends_with(server_name));
    }
    match server_name.strip_suffix(b"*") {
        Some(start) => start.len() > 1 && host.len() > start.len() && host.starts_with(start),
        None => host == server_name,
    }
}

/// Whether a URL is one of this host. The scheme is not compared: a proxy in front of nginx may
/// speak TLS for it.
fn is_of(host: &[u8], url: &[u8]) -> bool {
    let (usual_port, rest) = match url {
        url if starts_with(url, b"https://") => (&b":443"[..], url.get(8..)),
        url if starts_with(url, b"http://") => (&b":80"[..], url.get(7..)),
        _ => return false,
    };
    let rest = rest.unwrap_or_default();
    let end = rest.iter().position(|byte| b"/?#\\".contains(byte)).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    let without_port = |name| strip_port(name, usual_port);
    !host.is_empty() && without_port(authority).eq_ignore_ascii_case(without_port(host))
}

fn starts_with(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start))
}

/// The host without this port. A URL with two ports is malformed, and stays as it is.
fn strip_port<'a>(authority: &'a [u8], port: &[u8]) -> &'a [u8] {
    let is_name = |name: &&[u8]| !name.contains(&b':') || name.ends_with(b"]");
    authority.strip_suffix(port).filter(is_name).unwrap_or(authority)
}

#[cfg(test)]
mod tests;
