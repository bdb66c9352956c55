//! Signals, and where each came from.
#![forbid(unsafe_code)]

use std::io;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::exfiltrator::origin::{Origin, WithOrigin};
use signal_hook::iterator::SignalsInfo;
use signal_hook::low_level::siginfo::Cause;
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};

use crate::config::Wrong;
use crate::exit::Exit;
use crate::plan::event::{Sender, Signal};

/// From now on these signals do not end this process, but are heard here. A signal that was ignored when
/// this process started stays so: `nohup` works for the command, too. `so` is what an error says beyond
/// that they cannot be heard.
pub fn listen(more: &[i32], so: &str) -> Result<UnboundedReceiver<(Signal, Sender)>, Wrong> {
    let (to, heard) = unbounded_channel();
    send(to, more).map_err(|error| Wrong {
        exit: Exit(71),
        text: format!("cannot listen to signals: {error}{so}"),
    })?;
    Ok(heard)
}

fn send(to: UnboundedSender<(Signal, Sender)>, more: &[i32]) -> io::Result<()> {
    let ignored = ignored();
    let all = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];
    let heard =
        all.into_iter().chain(more.iter().copied()).filter(|signal| ignored & bit(*signal) == 0);
    let mut signals = SignalsInfo::<WithOrigin>::new(heard)?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for origin in signals.forever() {
            if to.send((Signal(origin.signal), sender(&origin))).is_err() {
                break;
            }
        }
    })?;
    Ok(())
}

fn sender(origin: &Origin) -> Sender {
    match origin.cause {
        Cause::Kernel => Sender::Terminal,
        _ => Sender::Process,
    }
}

fn bit(signal: i32) -> u64 {
    u32::try_from(signal - 1).ok().and_then(|shift| 1_u64.checked_shl(shift)).unwrap_or(0)
}

/// The signals that this process ignores, as the kernel tells it.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
