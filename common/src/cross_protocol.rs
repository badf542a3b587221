//! Requests of HTTP. A web page can have a browser send them to any port that the browser reaches, with a body of the page's
//! choice, whose lines would run as commands. As in Redis, POST and the header `Host:` end the connection, and nothing
//! behind them runs.

use std::fmt::Display;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::platform::clock;
use crate::resp::Args;

/// Between two warnings, in milliseconds: whoever tries once tries often.
const WARNED_EVERY_MS: i64 = 60_000;

static NEXT_WARNING: AtomicI64 = AtomicI64::new(0);

/// Whether a request is a line of HTTP that no client of ours sends.
#[must_use]
pub fn is_http(args: &Args<'_>) -> bool {
    let name = args.at(0).split(|byte| *byte == 0).next().unwrap_or_default();
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// Warns, once a minute at most, that a peer has sent such a line and is closed.
#[cold]
pub fn warn(peer: impl Display) {
    let now = clock::now_ms();
    if NEXT_WARNING.load(Ordering::Relaxed) <= now {
        NEXT_WARNING.store(now + WARNED_EVERY_MS, Ordering::Relaxed);
        tracing::warn!(
            "client {peer} closed: it sent POST or Host:, as a browser does that is used to attack this server \
             (cross protocol scripting)"
        );
    }
}
