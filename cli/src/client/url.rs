//! Where an endpoint is, as operators write it.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use reqwest::Url;

/// The path of an endpoint whose URL has none.
const USUAL_PATH: &str = "/_intermission";

/// An endpoint's address: `http://host:port/path`, `https://…`, or `unix:/socket:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Without a slash at its end.
    pub url: Url,
    pub socket: Option<PathBuf>,
    /// As people know it.
    pub name: String,
}

impl Address {
    /// Reads what an operator wrote. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        // It may have a password in it.
        let shown = match text.split_once('@') {
            Some((_, rest)) => format!("…@{rest}"),
            None => text.to_owned(),
        };
        let wrong = |why: &str| format!("host \"{shown}\" {why}");
        if let Some(rest) = text.strip_prefix("http://unix:").or(text.strip_prefix("unix:")) {
            let (socket, path) = rest.split_once(':').unwrap_or((rest, ""));
            if !socket.starts_with('/') {
                return Err(wrong("must have the socket's whole path: unix:/run/x.sock:/path"));
            }
            let url = parse_url(&format!("http://localhost{path}")).map_err(|why| wrong(&why))?;
            let name = format!("unix:{socket}:{}", url.path());
            return Ok(Self { url, socket: Some(PathBuf::from(socket)), name });
        }
        let whole = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let url = parse_url(&whole).map_err(|why| wrong(&why))?;
        let name = url.to_string();
        Ok(Self { url, socket: None, name })
    }

    /// The URL of a verb.
    pub fn verb(&self, verb: &str) -> Url {
        let mut url = self.url.clone();
        let path = format!("{}/{verb}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }
}

fn parse_url(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must begin with http://, https:// or unix:".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not have a password in it: use the configuration file, or \
                    INTERMISSION_PASSWORD"
            .to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must end with the path of the control endpoint".to_owned());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(if path.is_empty() { USUAL_PATH } else { &path });
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verb(text: &str) -> String {
        Address::parse(text).unwrap().verb("status").to_string()
    }

    #[test]
    fn an_address_without_a_path_has_the_usual_one() {
        assert_eq!(verb("http://10.0.0.1:8081"), "http://10.0.0.1:8081/_intermission/status");
        assert_eq!(verb("10.0.0.1:8081"), "http://10.0.0.1:8081/_intermission/status");
        assert_eq!(verb("web1"), "http://web1/_intermission/status");
        assert_eq!(verb("https://a/pause/"), "https://a/pause/status");
    }

    #[test]
    fn a_socket_is_written_as_in_nginx() {
        let address = Address::parse("unix:/run/x.sock:/pause").unwrap();
        assert_eq!(address.socket.as_deref(), Some(std::path::Path::new("/run/x.sock")));
        assert_eq!(address.verb("stop").path(), "/pause/stop");
        assert_eq!(
            Address::parse("http://unix:/run/x.sock").unwrap().name,
            "unix:/run/x.sock:/_intermission"
        );
        assert!(Address::parse("unix:x.sock").is_err());
    }

    #[test]
    fn an_address_that_says_too_much_is_refused() {
        for text in ["ftp://a/", "http://a/?x", "http://me:secret@a/", "http://", "http://a b/"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
