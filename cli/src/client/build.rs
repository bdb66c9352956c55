//! Makes the HTTP client of an endpoint.
#![forbid(unsafe_code)]

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{redirect, Certificate, Client, Identity};

use super::url::Address;
use super::{innermost, Access};

/// The error says what is wrong with the certificates or the headers.
pub(super) fn build(address: &Address, access: &Access) -> Result<Client, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &access.headers {
        let name =
            HeaderName::try_from(name).map_err(|_| format!("header \"{name}\" is no name"))?;
        let value = HeaderValue::try_from(value);
        let mut value =
            value.map_err(|_| format!("the value of header \"{name}\" is not valid"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .user_agent(concat!("intermission/", env!("CARGO_PKG_VERSION")))
        // Each call has a connection of its own: to drop the call closes it, and nginx sees that.
        .pool_max_idle_per_host(0)
        .connect_timeout(access.connect_timeout)
        .default_headers(headers);
    if address.url.scheme() == "https" {
        builder = builder.use_rustls_tls();
        if let Some(pem) = &access.ca {
            let certificates = Certificate::from_pem_bundle(pem).ok().filter(|all| !all.is_empty());
            builder = builder.tls_built_in_root_certs(false);
            for one in certificates.ok_or("the CA file has no certificate in PEM")? {
                builder = builder.add_root_certificate(one);
            }
        }
        if let Some(pem) = &access.identity {
            let identity = Identity::from_pem(pem);
            let identity = identity
                .map_err(|_| "the client certificate needs a certificate and its key, in PEM")?;
            builder = builder.identity(identity);
        }
    } else {
        builder = builder.tls_built_in_root_certs(false);
    }
    if let Some(socket) = &address.socket {
        builder = builder.unix_socket(socket.as_path());
    }
    builder.build().map_err(|error| innermost(&error))
}
