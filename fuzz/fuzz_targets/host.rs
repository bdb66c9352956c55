//! A server's name and a host: two lines of the input. A browser may change something if the host is an
//! address or localhost, which another site cannot redirect, or a name of the server.
#![forbid(unsafe_code)]
#![no_main]

use intermission::control::command::Method;
use intermission::control::origin::{is_server_name, refused, BrowserRefused, Headers, HostIs};
use libfuzzer_sys::fuzz_target;
use url::{Host, Url};

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(2, |byte| *byte == b'\n');
    let [server_name, host] = [(); 2].map(|()| lines.next().unwrap_or_default());
    assert_eq!(is_server_name(server_name, host), is_name(server_name, host));
    let browser = Headers { user_agent: b"Mozilla/5.0", host, ..Headers::default() };
    match refused(&browser, Method::Post, HostIs::Other) {
        None => assert!(is_fixed(host), "{:?}", String::from_utf8_lossy(host)),
        Some(refusal) => assert_eq!(refusal, BrowserRefused::Rebound),
    }
    assert_eq!(refused(&browser, Method::Post, HostIs::Own), None);
    assert_eq!(refused(&Headers { host, ..Headers::default() }, Method::Get, HostIs::Other), None);
});

fn is_name(server_name: &[u8], host: &[u8]) -> bool {
    let behind = |end: &[u8]| host.len() > end.len() && host.ends_with(end);
    match server_name {
        _ if host.is_empty() => false,
        [b'*', end @ ..] => end.len() > 1 && behind(end),
        [b'.', name @ ..] => host == name || behind(server_name),
        [start @ .., b'*'] => {
            start.len() > 1 && host.len() > start.len() && host.starts_with(start)
        }
        name => host == name,
    }
}

/// Whether a browser takes the host for an address or localhost, or for no host at all.
fn is_fixed(host: &[u8]) -> bool {
    let Ok(url) = Url::parse(&format!("http://{}/", String::from_utf8_lossy(host))) else {
        return true;
    };
    match url.host() {
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        Some(Host::Domain(name)) => name == "localhost",
        None => true,
    }
}
