//! Whether another site's page, in a browser, sent a request.
#![forbid(unsafe_code)]

/// What a browser says of where a request comes from; empty where it sent none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    /// Fetch Metadata, <https://www.w3.org/TR/fetch-metadata/>
    pub sec_fetch_site: &'a [u8],
    /// RFC 6454
    pub origin: &'a [u8],
    pub referer: &'a [u8],
    pub sec_purpose: &'a [u8],
    /// The name, and where it is not the usual one the port, by which the client called nginx.
    pub host: &'a [u8],
}

/// The header that says so, if one does. Whoever sends none of them is no browser.
pub fn foreign(headers: &Headers<'_>) -> Option<&'static str> {
    let Headers { sec_fetch_site, origin, referer, sec_purpose, host } = *headers;
    if ![&b""[..], b"same-origin", b"none"].contains(&sec_fetch_site) {
        Some("Sec-Fetch-Site")
    } else if !origin.is_empty() && !is_of(host, origin) {
        Some("Origin")
    } else if !referer.is_empty() && !is_of(host, referer) {
        Some("Referer")
    } else if sec_purpose.to_ascii_lowercase().starts_with(b"prefetch") {
        Some("Sec-Purpose")
    } else {
        None
    }
}

/// Whether a URL is one of this host. Its scheme is not compared: nginx may stand behind what
/// speaks TLS for it.
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

/// The host, where this is its port. What has two ports is no URL, and stays what it is.
fn strip_port<'a>(authority: &'a [u8], port: &[u8]) -> &'a [u8] {
    let is_name = |name: &&[u8]| !name.contains(&b':') || name.ends_with(b"]");
    authority.strip_suffix(port).filter(is_name).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Headers<'_> = Headers {
        sec_fetch_site: b"",
        origin: b"",
        referer: b"",
        sec_purpose: b"",
        host: b"app.example:8080",
    };

    #[test]
    fn whoever_is_no_browser_is_not_hindered() {
        assert_eq!(foreign(&HOST), None);
        assert_eq!(foreign(&Headers::default()), None);
    }

    #[test]
    fn a_page_of_this_host_may_act() {
        for site in ["same-origin", "none"] {
            let own = Headers {
                sec_fetch_site: site.as_bytes(),
                origin: b"http://App.Example:8080",
                referer: b"https://app.example:8080/_intermission?a=//b",
                ..HOST
            };
            assert_eq!(foreign(&own), None, "{site}");
        }
        for (host, origin) in [
            ("a.example", "http://a.example:80"),
            ("a.example:443", "https://a.example"),
            ("[::1]:81", "http://[::1]:81"),
            ("[::1]", "http://[::1]"),
        ] {
            let own = Headers { host: host.as_bytes(), origin: origin.as_bytes(), ..HOST };
            assert_eq!(foreign(&own), None, "{host} {origin}");
        }
    }

    #[test]
    fn a_page_of_another_site_may_not() {
        for site in ["cross-site", "same-site", "anything"] {
            let other = Headers { sec_fetch_site: site.as_bytes(), ..HOST };
            assert_eq!(foreign(&other), Some("Sec-Fetch-Site"));
        }
        for url in [
            "null",
            "http://app.example",
            "http://app.example:8081",
            "https://evil.example:8080",
            "http://app.example:8080.evil.example",
            "http://app.example:8080@evil.example/",
            "http://evil.example\\@app.example:8080",
            "ftp://app.example:8080",
            "//app.example:8080",
            "http://",
            "x",
        ] {
            let other = Headers { origin: url.as_bytes(), ..HOST };
            assert_eq!(foreign(&other), Some("Origin"), "{url}");
            let other = Headers { referer: url.as_bytes(), ..HOST };
            assert_eq!(foreign(&other), Some("Referer"), "{url}");
        }
        let ports = Headers { host: b"a.example:443", origin: b"http://a.example:443:80", ..HOST };
        assert_eq!(foreign(&ports), Some("Origin"), "no URL, and of no host");
        let nameless = Headers { host: b"", origin: b"http://", ..HOST };
        assert_eq!(foreign(&nameless), Some("Origin"));
    }

    #[test]
    fn what_a_browser_fetches_before_anybody_asked_changes_nothing() {
        for purpose in ["prefetch", "Prefetch;prerender", "prefetch;anonymous-client-ip"] {
            let early = Headers { sec_purpose: purpose.as_bytes(), ..HOST };
            assert_eq!(foreign(&early), Some("Sec-Purpose"));
        }
    }
}
