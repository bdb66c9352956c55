//! Asks the core whether a pause holds a request: health checks and privileged clients go by.

use nginx_sys::{NGX_HTTP_GET, NGX_HTTP_HEAD};

use super::complaints::{self, Complaint};
use crate::ffi::conf::MainConf;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::{evaluate, pointers};
use crate::log_lines::variables::BadValue;
use crate::request::admit::{self, Admission, Rules, Visit};
use crate::request::agent;

/// Whether a pause holds this request. Logs a pattern for privileged clients that is odd or too costly.
pub(crate) fn of(r: Request, main: &MainConf) -> Admission {
    let pattern = evaluate::variable(&r, main.variables.privileged_user_agent);
    let rules = Rules {
        health_check_path: evaluate::variable(&r, main.variables.health_check_path),
        privileged_user_agent: pattern,
    };
    if let Some(oddity) = agent::oddity(pattern) {
        complaints::write(r, Complaint::OddPattern, BadValue::OddPattern(pattern, oddity));
    }
    let header = pointers::user_agent(&r.headers_in);
    let admission = admit::admit(
        rules,
        Visit {
            only_reads: matches!(r.method as u32, NGX_HTTP_GET | NGX_HTTP_HEAD),
            uri: r.uri.as_bytes(),
            user_agent: header.map_or(&[], |header| header.value.as_bytes()),
        },
    );
    if admission == Admission::Undecided {
        complaints::write(r, Complaint::CostlyPattern, BadValue::CostlyPattern(pattern));
        return Admission::Usual;
    }
    admission
}
