//! The headers of a request. The lines of the input are Host, Sec-Fetch-Site, Sec-Purpose, Origin and
//! Referer; a `$` in the last two stands for the host. A page is allowed only if a browser's parser
//! of URLs takes it for one of the same host and port.
#![forbid(unsafe_code)]
#![no_main]

use intermission::control::command::Method;
use intermission::control::origin::{refused, BrowserRefused, Headers, HostIs};
use libfuzzer_sys::fuzz_target;
use url::{Host, Url};

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(5, |byte| *byte == b'\n');
    let [host, sec_fetch_site, sec_purpose, origin, referer] =
        [(); 5].map(|()| lines.next().unwrap_or_default());
    let [origin, referer] = [origin, referer].map(|url| with_host(url, host));
    let (origin, referer) = (&origin[..], &referer[..]);
    let headers =
        Headers { sec_fetch_site, origin, referer, sec_purpose, host, ..Headers::default() };
    judged(&headers);
    // Each header alone, too: another one may hide what it does.
    judged(&Headers { origin, host, ..Headers::default() });
    judged(&Headers { referer, host, ..Headers::default() });
    own(&headers);
});

/// Why a page may not change anything, if the host is a name of the server.
fn foreign(headers: &Headers<'_>) -> Option<BrowserRefused> {
    refused(headers, Method::Post, HostIs::Own)
}

fn judged(headers: &Headers<'_>) {
    let Headers { sec_fetch_site, origin, referer, sec_purpose, host, .. } = *headers;
    let site = matches!(sec_fetch_site, b"" | b"same-origin" | b"none");
    let early = !sec_purpose.is_empty();
    match foreign(headers) {
        None => {
            assert!(site && !early);
            for url in [origin, referer].into_iter().filter(|url| !url.is_empty()) {
                same(url, host);
            }
        }
        Some(BrowserRefused::Foreign("Sec-Fetch-Site")) => assert!(!site),
        Some(BrowserRefused::Foreign("Origin")) => assert!(site && !origin.is_empty()),
        Some(BrowserRefused::Foreign("Referer")) => assert!(site && !referer.is_empty()),
        Some(BrowserRefused::Early("Sec-Purpose")) => assert!(site && early),
        Some(other) => panic!("{other:?}"),
    }
}

/// An allowed URL is one of this host. If the header Host is no host, the client is no browser.
fn same(url: &[u8], host: &[u8]) {
    assert!(!host.is_empty());
    let url = String::from_utf8_lossy(url);
    let scheme = url.split(':').next().unwrap();
    let Some(host) = place_of_host(scheme, host) else { return };
    assert_eq!(place(&url), Some(host), "{url:?}");
}

/// A page of this host may change something, whatever its path. Another port is another site.
fn own(headers: &Headers<'_>) {
    let &Headers { host, referer: path, .. } = headers;
    if place_of_host("http", host).is_none() {
        return;
    }
    for scheme in ["http://", "HTTPS://"] {
        let origin = [scheme.as_bytes(), &host.to_ascii_uppercase()].concat();
        let referer = [&origin, &b"/"[..], path].concat();
        let own =
            Headers { sec_fetch_site: b"none", origin: &origin, referer: &referer, ..*headers };
        assert!(matches!(foreign(&own), None | Some(BrowserRefused::Early(_))), "{own:?}");
        for more in [".evil.example", "@evil.example", ":1", "1"] {
            let origin = [&origin, more.as_bytes()].concat();
            let other = Headers { origin: &origin, ..own };
            assert_eq!(foreign(&other), Some(BrowserRefused::Foreign("Origin")), "{more}");
        }
    }
}

fn with_host(url: &[u8], host: &[u8]) -> Vec<u8> {
    url.split(|byte| *byte == b'$').collect::<Vec<_>>().join(host)
}

type Where = (Host<String>, u16);

/// The host and port of a URL. None if it is no URL, or names a user.
fn place(url: &str) -> Option<Where> {
    let url = Url::parse(url).ok()?;
    let no_user = url.username().is_empty() && url.password().is_none();
    no_user.then_some((url.host()?.to_owned(), url.port_or_known_default()?))
}

/// The same of a header Host: a name or an address as in RFC 3986, perhaps with a port.
fn place_of_host(scheme: &str, host: &[u8]) -> Option<Where> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!&'()*+,;=:[]".contains(byte);
    let host = core::str::from_utf8(host).ok().filter(|host| host.bytes().all(|b| plain(&b)))?;
    place(&format!("{scheme}://{host}/"))
}
