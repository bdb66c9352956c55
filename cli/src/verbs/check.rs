//! `check`: can a pause be afforded now?
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde_json::json;

use super::together::each;
use crate::args::Check;
use crate::check::guard::guard;
use crate::check::{judge, line, Line, Planned, Verdict};
use crate::client::Target;
use crate::config::{choose, Wrong};
use crate::exit::Exit;
use crate::fleets::named;

pub async fn run(args: &Check) -> Result<Exit, Wrong> {
    let targets = choose(&named(&args.hosts).await?)?.targets;
    let planned = Planned { pause: args.pause, wait: args.wait };
    let sample = args.sample;
    let all = each(&targets, move |target| async move { look(&target, sample, planned).await });
    let (mut exit, mut text) = (Exit::OK, String::new());
    for (target, lines) in targets.iter().zip(all.await) {
        let lines = lines.unwrap_or_default();
        if lines.is_empty() || lines.iter().any(|line| line.verdict == Verdict::Fault) {
            exit = Exit::FAULT;
        }
        text.push_str(&told(target, &lines, args.json));
    }
    // A reader that is gone does not want it.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    Ok(exit)
}

async fn look(target: &Target, sample: Duration, planned: Planned) -> Vec<Line> {
    let first = match target.status().await {
        Ok(first) => first,
        Err(failure) => return vec![line("endpoint", Verdict::Fault, failure.text)],
    };
    let begin = Instant::now();
    let guarded = guard(target).await;
    tokio::time::sleep(sample.saturating_sub(begin.elapsed())).await;
    let mut lines = match target.status().await {
        Ok(second) => judge(&first, &second, begin.elapsed(), planned),
        Err(failure) => vec![line("endpoint", Verdict::Fault, failure.text)],
    };
    lines.push(guarded);
    lines
}

fn told(target: &Target, lines: &[Line], is_json: bool) -> String {
    let one = |line: &Line| match is_json {
        true => {
            let value = json!({
                "host": target.address.name,
                "app": target.app,
                "check": line.about,
                "verdict": line.verdict.word(),
                "text": line.text,
            });
            format!("{value}\n")
        }
        false => format!("  {:<5}  {:<10}  {}\n", line.verdict.word(), line.about, line.text),
    };
    let lines: String = lines.iter().map(one).collect();
    match is_json {
        true => lines,
        false => format!("{}\n{lines}", target.name()),
    }
}
