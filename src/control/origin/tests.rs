//! Which requests may change something.
#![forbid(unsafe_code)]

use super::*;

const HOST: Headers<'_> = Headers {
    sec_fetch_site: b"",
    origin: b"",
    referer: b"",
    sec_purpose: b"",
    purpose: b"",
    x_purpose: b"",
    x_moz: b"",
    user_agent: b"",
    host: b"app.example:8080",
};

/// With any method, for a host that is a name of the server.
fn foreign(headers: &Headers<'_>) -> Option<BrowserRefused> {
    let refusals = [Method::Get, Method::Post].map(|method| refused(headers, method, HostIs::Own));
    assert_eq!(refusals[0], refusals[1]);
    refusals[0]
}

#[test]
fn other_clients_than_browsers_are_not_hindered() {
    for user_agent in ["", "curl/8.5.0", "Wget/1.21", "python-requests/2.31 (like Mozilla/5.0)"] {
        let script = Headers { user_agent: user_agent.as_bytes(), ..HOST };
        assert_eq!(refused(&script, Method::Get, HostIs::Other), None);
        assert_eq!(refused(&Headers { host: b"", ..script }, Method::Get, HostIs::Other), None);
    }
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
fn a_page_of_another_site_may_not_act() {
    for site in ["cross-site", "same-site", "anything"] {
        let other = Headers { sec_fetch_site: site.as_bytes(), ..HOST };
        assert_eq!(foreign(&other), Some(BrowserRefused::Foreign("Sec-Fetch-Site")));
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
        assert_eq!(foreign(&other), Some(BrowserRefused::Foreign("Origin")), "{url}");
        let other = Headers { referer: url.as_bytes(), ..HOST };
        assert_eq!(foreign(&other), Some(BrowserRefused::Foreign("Referer")), "{url}");
    }
    let ports = Headers { host: b"a.example:443", origin: b"http://a.example:443:80", ..HOST };
    assert_eq!(foreign(&ports), Some(BrowserRefused::Foreign("Origin")), "no URL, and of no host");
    let nameless = Headers { host: b"", origin: b"http://", ..HOST };
    assert_eq!(foreign(&nameless), Some(BrowserRefused::Foreign("Origin")));
}

#[test]
fn a_browser_that_fetches_in_advance_changes_nothing() {
    for value in [&b"prefetch"[..], b"Prefetch;prerender", b"prefetch;anonymous-client-ip"] {
        let early = Headers { sec_purpose: value, ..HOST };
        assert_eq!(foreign(&early), Some(BrowserRefused::Early("Sec-Purpose")));
    }
    let early = |headers| foreign(&headers);
    let purpose = Headers { purpose: b"prefetch", ..HOST };
    assert_eq!(early(purpose), Some(BrowserRefused::Early("Purpose")));
    let preview = Headers { x_purpose: b"preview", ..HOST };
    assert_eq!(early(preview), Some(BrowserRefused::Early("X-Purpose")));
    let moz = Headers { x_moz: b"prefetch", sec_fetch_site: b"same-origin", ..HOST };
    assert_eq!(early(moz), Some(BrowserRefused::Early("X-Moz")));
}

#[test]
fn a_get_of_a_browser_that_does_not_say_its_page_changes_nothing() {
    let silent = Headers { user_agent: b"Mozilla/5.0 (X11) Chrome/120", ..HOST };
    assert_eq!(refused(&silent, Method::Get, HostIs::Own), Some(BrowserRefused::Unknown));
    assert_eq!(
        refused(&silent, Method::Post, HostIs::Own),
        None,
        "a POST says its Origin where it is foreign"
    );
    let typed = Headers { sec_fetch_site: b"none", ..silent };
    assert_eq!(refused(&typed, Method::Get, HostIs::Own), None);
}

#[test]
fn a_browser_is_refused_for_a_host_that_is_not_a_server_name() {
    let browser = Headers { user_agent: b"Mozilla/5.0", origin: b"http://evil.example", ..HOST };
    let evil = Headers { host: b"evil.example", ..browser };
    for one in [evil, Headers { user_agent: b"", ..evil }] {
        assert_eq!(refused(&one, Method::Post, HostIs::Other), Some(BrowserRefused::Rebound));
        assert_eq!(refused(&one, Method::Post, HostIs::Own), None);
    }
    for host in ["127.0.0.1", "10.0.0.1:8080", "[::1]", "[fe80::1]:81", "LOCALHOST:80"] {
        let origin = format!("http://{host}");
        let own = Headers { host: host.as_bytes(), origin: origin.as_bytes(), ..browser };
        assert_eq!(refused(&own, Method::Post, HostIs::Other), None, "{host}");
    }
    for host in ["127.0.0.1.evil.example", "localhost.evil", "1.2.3", "[evil]", "127.0.0.1:evil"] {
        let origin = format!("http://{host}");
        let own = Headers { host: host.as_bytes(), origin: origin.as_bytes(), ..browser };
        assert_eq!(
            refused(&own, Method::Post, HostIs::Other),
            Some(BrowserRefused::Rebound),
            "{host}"
        );
    }
}

#[test]
fn server_names_match_as_in_nginx() {
    for (server_name, host) in [
        ("a.example", "a.example"),
        ("*.a.example", "b.a.example"),
        ("*.a.example", "c.b.a.example"),
        (".a.example", "a.example"),
        (".a.example", "b.a.example"),
        ("mail.*", "mail.a.example"),
    ] {
        assert!(is_server_name(server_name.as_bytes(), host.as_bytes()), "{server_name} {host}");
    }
    for (server_name, host) in [
        ("", ""),
        ("", "a"),
        ("_", "a"),
        ("*.a.example", "a.example"),
        ("*.a.example", ".a.example"),
        ("*.a.example", "ba.example"),
        (".a.example", "ba.example"),
        ("mail.*", "mail."),
        ("mail.*", "mail"),
        ("mail.*", "mailx.a"),
        ("a.example", "evil.example"),
    ] {
        assert!(!is_server_name(server_name.as_bytes(), host.as_bytes()), "{server_name} {host}");
    }
}
