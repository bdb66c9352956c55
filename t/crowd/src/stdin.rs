//! Reads standard input line by line, on a thread of its own, because epoll refuses files and /dev/null.

use std::io::BufRead;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Go,
    Leave,
    Stop,
    Closed,
}

/// Calls `hear` with each word that comes, and with `Closed` at the end. Other lines are skipped.
pub(crate) fn listen(mut hear: impl FnMut(Word) + Send + 'static) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            match line.as_deref().map(str::trim) {
                Ok("go") => hear(Word::Go),
                Ok("leave") => hear(Word::Leave),
                Ok("stop") => hear(Word::Stop),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        hear(Word::Closed);
    });
}
