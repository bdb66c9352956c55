//! Joins the dashboard into one page, and names its style and script in the policy sent with it.
#![forbid(unsafe_code)]

use std::path::Path;
use std::{env, fs, io};

use base64::prelude::{Engine, BASE64_STANDARD};
use sha2::{Digest, Sha256};

/// Writes dashboard.html and dashboard.csp into OUT_DIR.
pub(crate) fn embed() -> io::Result<()> {
    println!("cargo::rerun-if-changed=src/dashboard");
    let source = |name| fs::read_to_string(Path::new("src/dashboard").join(name));
    let (html, style, script) = (source("page.html")?, source("page.css")?, source("page.js")?);
    let page = place(&place(&html, "/*STYLE*/", &style)?, "/*SCRIPT*/", &script)?;
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(&script),
        hash(&style)
    );
    let out = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    fs::write(Path::new(&out).join("dashboard.html"), page)?;
    fs::write(Path::new(&out).join("dashboard.csp"), policy)
}

fn place(page: &str, mark: &str, text: &str) -> io::Result<String> {
    match page.split_once(mark) {
        Some((before, after)) => Ok([before, text, after].concat()),
        None => Err(io::Error::other(format!("page.html: no {mark}"))),
    }
}

/// As a policy names a script or style that stands in the page.
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}
