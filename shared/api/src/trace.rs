//! Where a call stands in its trace: callers get the trace's id with every error, logs and further calls carry it.
use std::fmt;

/// Longest `tracestate` that is passed on; the specification asks for at least as much.
const LONGEST_STATE: usize = 512;

/// A W3C trace id: 16 bytes, never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

/// Where a call stands in its trace, as the header `traceparent` says it (W3C Trace Context, level 1, version 00).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span that further calls are children of; never zero.
    pub span_id: u64,
    /// Whether spans of this trace are recorded.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent`; anything malformed is as good as none. A later version may say more after the flags.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let sizes = (version.len(), trace.len(), span.len(), flags.len());
        let hex = [version, trace, span, flags]
            .iter()
            .all(|part| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
        if sizes != (2, 32, 16, 2) || !hex || version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let trace_id = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
        let span_id = u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(Self {
            trace_id: TraceId(trace_id),
            span_id,
            sampled: flags & 1 == 1,
        })
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{}-{:016x}-{:02x}",
            self.trace_id,
            self.span_id,
            u8::from(self.sampled)
        )
    }
}

/// A caller's `tracestate` as it may be passed on: entries with commas between, all of them or, beyond 512 bytes, none.
pub fn parse_state<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Box<str>> {
    let entries = headers.flat_map(|header| header.split(','));
    let entries: Vec<&str> = entries.map(str::trim).filter(|entry| !entry.is_empty()).collect();
    let state = entries.join(",");
    let fits = !state.is_empty() && state.len() <= LONGEST_STATE && entries.iter().all(|entry| entry.contains('='));
    fits.then(|| state.into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_written_or_ignored() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(TraceContext::parse(header).expect("well-formed").to_string(), header);
        let zero = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        for bad in [
            "",
            "00-1-2-01",
            zero,
            &header.replace("00-", "ff-"),
            &header.replace('4', "x"),
            &header.to_uppercase(),
            &format!("{header}-more"),
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
        let later = format!("{}-more", header.replacen("00-", "01-", 1));
        assert!(TraceContext::parse(&later).is_some_and(|context| context.sampled));
    }

    #[test]
    fn a_tracestate_is_passed_on_whole_or_not_at_all() {
        let parse = |headers: &[&str]| parse_state(headers.iter().copied());
        assert_eq!(parse(&["a=1, b=2", "c=3"]).as_deref(), Some("a=1,b=2,c=3"));
        assert_eq!(parse(&[""]), None);
        assert_eq!(parse(&["no entry"]), None);
        assert_eq!(parse(&[&format!("a={}", "x".repeat(LONGEST_STATE))]), None);
    }
}
