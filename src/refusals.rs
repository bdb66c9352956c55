//! What nginx says of a directive that it refuses for another reason than its value's form.
#![forbid(unsafe_code)]

use core::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::product::Product;

/// Why a directive is refused. It is displayed as a sentence that names the directive.
#[derive(Debug)]
pub enum Refusal<'a> {
    /// A control endpoint in a location of a kind that it cannot be in.
    ControlMisplaced { location: &'a [u8] },
    /// The state file cannot be in its folder.
    StateFolder { file: &'a [u8], unfit: UnfitFolder },
    /// This nginx keeps the settings of a module of its own in another way than is known.
    AwayUnknown { module: &'a [u8] },
    /// The running nginx has other structures than the one that the module was built for.
    OtherProduct { built_for: Product<'a>, running: Product<'a> },
}

/// Why a folder cannot have a state file.
#[derive(Debug)]
pub enum UnfitFolder {
    Missing(PathBuf, io::Error),
    /// Another user could put another file in the place of ours.
    Open(PathBuf),
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ControlMisplaced { location } => write!(
                f,
                "\"intermission_control\" directive is not allowed in location \"{}\": \
                 it must be in a prefix or \"=\" location",
                location.escape_ascii()
            ),
            Self::StateFolder { file, unfit } => {
                write!(f, "\"intermission_state_file\" \"{}\": {unfit}", file.escape_ascii())
            }
            Self::AwayUnknown { module } => write!(
                f,
                "\"intermission_away\" does not know the {} of this nginx: remove the directive",
                module.escape_ascii()
            ),
            Self::OtherProduct { built_for, running } => write!(
                f,
                "intermission was built for {built_for}, but this is {running}, which has other \
                 structures: build the module with the sources of {running}"
            ),
        }
    }
}

impl fmt::Display for UnfitFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(folder, error) => {
                write!(f, "the folder \"{}\" cannot be used: {error}", printable(folder))
            }
            Self::Open(folder) => write!(
                f,
                "the folder \"{}\" must belong to root, and no other user may write to it",
                printable(folder)
            ),
        }
    }
}

fn printable(path: &Path) -> impl fmt::Display + '_ {
    path.as_os_str().as_bytes().escape_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_directive_and_what_is_wrong() {
        let open = UnfitFolder::Open("/tmp".into());
        let error = io::Error::other("it is gone");
        let missing = UnfitFolder::Missing("/no\"ne".into(), error);
        let all = [
            (
                Refusal::ControlMisplaced { location: b"~ \\.php$" },
                "\"intermission_control\" directive is not allowed in location \"~ \\\\.php$\": \
                 it must be in a prefix or \"=\" location",
            ),
            (
                Refusal::StateFolder { file: b"/tmp/state", unfit: open },
                "\"intermission_state_file\" \"/tmp/state\": the folder \"/tmp\" must belong to \
                 root, and no other user may write to it",
            ),
            (
                Refusal::StateFolder { file: b"/no\"ne/state", unfit: missing },
                "\"intermission_state_file\" \"/no\\\"ne/state\": the folder \"/no\\\"ne\" \
                 cannot be used: it is gone",
            ),
            (
                Refusal::OtherProduct {
                    built_for: Product { name: "nginx", version: "1.27.1" },
                    running: Product { name: "openresty", version: "1.27.1.2" },
                },
                "intermission was built for nginx/1.27.1, but this is openresty/1.27.1.2, which has \
                 other structures: build the module with the sources of openresty/1.27.1.2",
            ),
            (
                Refusal::AwayUnknown { module: b"ngx_http_proxy_module" },
                "\"intermission_away\" does not know the ngx_http_proxy_module of this nginx: \
                 remove the directive",
            ),
        ];
        for (refusal, text) in all {
            assert_eq!(refusal.to_string(), text);
        }
    }
}
