//! Standard input by the line, on a thread of its own: epoll refuses files and /dev/null.

use std::io::BufRead;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Go,
    Leave,
    Closed,
}

/// Calls `hear` with each word that comes, `Closed` last. Lines that are no word are passed over.
pub(crate) fn listen(mut hear: impl FnMut(Word) + Send + 'static) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            match line.as_deref().map(str::trim) {
                Ok("go") => hear(Word::Go),
                Ok("leave") => hear(Word::Leave),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        hear(Word::Closed);
    });
}
