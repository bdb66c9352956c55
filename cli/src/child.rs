//! The command that runs while all is paused.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use rustix::fs::{access, Access};
use rustix::process::{kill_process, Pid};
use tokio::process::{Child, Command};

use crate::plan::event::{Exit, NotStarted, Signal};

/// The statuses that a shell has for these cases.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Fails if the command cannot be found, or not be run: it is better to know before a pause.
pub fn find(command: &[OsString]) -> Result<(), NotStarted> {
    let name = command.first().cloned().unwrap_or_default();
    let not_found = || NotStarted {
        exit: NOT_FOUND,
        text: format!("{}: command not found", name.to_string_lossy()),
    };
    let is_runnable = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if name.as_bytes().contains(&b'/') {
        let path = Path::new(&name);
        return match (path.exists(), is_runnable(path)) {
            (false, _) => Err(not_found()),
            (true, true) => Ok(()),
            (true, false) => Err(NotStarted {
                exit: CANNOT_RUN,
                text: format!("{}: this is no program, or may not be run", path.display()),
            }),
        };
    }
    let folders = std::env::var_os("PATH").unwrap_or_else(|| OsStr::new("/bin:/usr/bin").into());
    let found = std::env::split_paths(&folders).any(|folder| is_runnable(&folder.join(&name)));
    found.then_some(()).ok_or_else(not_found)
}

/// Starts the command in this process's own group, on its terminal, with its stdin, stdout and
/// stderr.
pub fn start(command: &[OsString], variables: &[(&str, String)]) -> Result<Child, NotStarted> {
    let (name, arguments) = match command.split_first() {
        Some((name, arguments)) => (name.clone(), arguments),
        None => (OsString::new(), command),
    };
    let variables = variables.iter().map(|(name, value)| (*name, value.as_str()));
    let started = Command::new(&name).args(arguments).envs(variables).kill_on_drop(false).spawn();
    started.map_err(|error| NotStarted {
        exit: if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN },
        text: format!("{}: {error}", name.to_string_lossy()),
    })
}

/// Sends it a signal, unless it is gone.
pub fn signal(child: &Child, Signal(number): Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let signal = rustix::process::Signal::from_named_raw(number);
    if let (Some(pid), Some(signal)) = (pid, signal) {
        // It may have ended meanwhile.
        let _ = kill_process(pid, signal);
    }
}

/// How it ended.
pub fn exit(status: io::Result<ExitStatus>) -> Exit {
    let Ok(status) = status else { return Exit::Status(u8::MAX) };
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Status(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, signal) => Exit::Killed(Signal(signal.unwrap_or(0))),
    }
}
