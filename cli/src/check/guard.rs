//! Is the control endpoint guarded? Tried from outside, as far as that can be done from here.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};

use super::{line, Line, Verdict};
use crate::client::Target;

/// Whether clients from elsewhere can use the endpoint.
pub async fn guard(target: &Target) -> Line {
    if target.address.socket.is_some() {
        return line("guard", Verdict::Good, "a Unix socket: the file's owner and mode guard it");
    }
    if target.has_secret() {
        return match target.without_secret().await {
            true => fault("it answers without the password or the certificate, too"),
            false => line(
                "guard",
                Verdict::Good,
                "it answers only with the password, header or certificate",
            ),
        };
    }
    let Some((here, port)) = address(target) else {
        return line("guard", Verdict::Unknown, "its address is not known");
    };
    let from = source(SocketAddr::new(here, port));
    if from != Some(here) {
        let text = "it answers this machine; whether it answers others cannot be seen from here";
        return line("guard", Verdict::Unknown, text);
    }
    // Any address of the documentation: nothing is sent there.
    let outside = source(SocketAddr::from(([192, 0, 2, 1], 9)));
    match outside.filter(|outside| *outside != here && !outside.is_loopback()) {
        None => line("guard", Verdict::Unknown, "this machine has no other address to try it from"),
        Some(outside) => match target.answers_at(outside).await {
            true => {
                fault(&format!("any client that reaches {outside} port {port} can pause the app"))
            }
            false => line("guard", Verdict::Good, format!("it does not answer at {outside}")),
        },
    }
}

fn fault(text: &str) -> Line {
    line("guard", Verdict::Fault, format!("{text}: set allow and deny, or auth_basic"))
}

fn address(target: &Target) -> Option<(IpAddr, u16)> {
    let url = &target.address.url;
    let port = url.port_or_known_default()?;
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    let first = (host, port).to_socket_addrs().ok()?.next()?;
    Some((first.ip(), port))
}

/// The address that this machine would send from. Nothing is sent.
fn source(to: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(to).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}
