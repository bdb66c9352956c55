//! Tries whether an endpoint answers callers that it should not answer.
#![forbid(unsafe_code)]

use std::net::IpAddr;

use reqwest::header::HOST;
use reqwest::{Client, RequestBuilder};

use super::{read, Target};

impl Target {
    /// Whether a caller is known by a password, a certificate or a header.
    pub fn has_secret(&self) -> bool {
        self.bare.is_some()
    }

    /// Whether it answers a caller that has none of these.
    pub async fn without_secret(&self) -> bool {
        match &self.bare {
            Some(client) => self.answers(client.get(self.address.verb("status"))).await,
            None => false,
        }
    }

    /// Whether it answers at this address of the machine, to a caller from there. The request says
    /// the usual host, so that it reaches the same server of nginx.
    pub async fn answers_at(&self, address: IpAddr) -> bool {
        let mut url = self.address.verb("status");
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let is_set = url.set_ip_host(address).is_ok();
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .danger_accept_invalid_certs(true)
            .local_address(address)
            .build();
        match client {
            Ok(client) if is_set => self.answers(client.get(url).header(HOST, host)).await,
            _ => false,
        }
    }

    async fn answers(&self, request: RequestBuilder) -> bool {
        let answer = request.timeout(self.answer_timeout).send().await;
        match answer {
            Ok(answer) => read(answer).await.is_ok_and(|raw| raw.is_marked),
            Err(_) => false,
        }
    }
}
