//! Progress: a bar on a terminal, plain lines otherwise.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

/// A plain line is printed each time another part of as many is done.
const PARTS: usize = 4;

/// Shows how far something has come.
pub(super) struct Screen {
    what: &'static str,
    all: usize,
    began: Instant,
    bar: Option<ProgressBar>,
    parts: Cell<usize>,
}

impl Screen {
    pub(super) fn new(what: &'static str, all: usize) -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::new(all as u64).with_prefix(what);
            match ProgressStyle::with_template("{prefix:<10} {wide_bar} {pos:>5}/{len}  {elapsed}") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self { what, all, began: Instant::now(), bar, parts: Cell::new(0) }
    }

    /// Shows that `count` are done.
    pub(super) fn show(&self, count: usize) {
        match &self.bar {
            Some(bar) => bar.set_position(count as u64),
            None => {
                let part = count * PARTS / self.all;
                if part > self.parts.get() {
                    self.parts.set(part);
                    println!("{:<10} {count:>5}/{}  {:.1?}", self.what, self.all, self.began.elapsed());
                }
            }
        }
    }

    /// Says something without disturbing the bar.
    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => println!("{text}"),
        }
    }

    /// Shows that everything is done, and leaves it standing.
    pub(super) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}
