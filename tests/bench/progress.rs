//! What the driver does at the moment, on standard error.
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// One line.
pub fn say(line: &str) {
    eprintln!("{line}");
}

/// A bar of `length` steps; nothing where nobody looks at a screen.
pub fn bar(what: &'static str, length: u64) -> ProgressBar {
    let template = "  {msg} {bar:40} {pos}/{len}  {elapsed}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(length).with_style(style).with_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
