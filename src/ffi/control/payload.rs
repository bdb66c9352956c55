//! A control request's body.

use crate::control::form::BadBody;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::{body, pointers, Failed};

/// The body, if it is a form; empty if there is none. A subrequest has none of its own.
pub(crate) fn form(r: Request) -> Result<Result<Vec<u8>, BadBody>, Failed> {
    if !r.is_main() {
        return Ok(Ok(Vec::new()));
    }
    let content_type = pointers::content_type(&r.headers_in);
    if let Some(bad) =
        BadBody::find(body::length(&r), content_type.map(|line| line.value.as_bytes()))
    {
        return Ok(Err(bad));
    }
    body::bytes(&r).map(Ok)
}
