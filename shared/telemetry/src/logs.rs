//! Log lines on standard error. While a call runs, each line carries its trace, its span and its tenant.
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use uuid::Uuid;

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be `text` or `json`".to_owned()),
        }
    }
}

/// The call that a log line belongs to.
#[derive(Clone, Copy, Debug)]
pub struct CallIds {
    /// W3C trace id.
    pub trace_id: u128,
    /// Id of the call's span, whether it is recorded or not.
    pub span_id: u64,
    /// The tenant of a verified caller.
    pub tenant: Option<Uuid>,
}

/// Finds the call that runs now.
pub type CurrentCall = fn() -> Option<CallIds>;

pub(crate) fn layer<S>(format: LogFormat, filter: Targets, current: CurrentCall) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // What is logged decides nothing about what is traced, and spans are no log lines.
    let filter = filter.and(filter_fn(is_event));
    tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .event_format(Line { format, current })
        .with_filter(filter)
}

fn is_event(metadata: &tracing::Metadata<'_>) -> bool {
    metadata.is_event()
}

struct Line {
    format: LogFormat,
    current: CurrentCall,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let call = (self.current)();
        match self.format {
            LogFormat::Json => json(&mut line, event, call),
            LogFormat::Text => {
                let metadata = event.metadata();
                SystemTime.format_time(&mut line)?;
                write!(line, " {:>5} {}: ", metadata.level(), metadata.target())?;
                context.format_fields(line.by_ref(), event)?;
                if let Some(call) = call {
                    write!(line, " trace_id={:032x} span_id={:016x}", call.trace_id, call.span_id)?;
                    if let Some(tenant) = call.tenant {
                        write!(line, " tenant.id={tenant}")?;
                    }
                }
                writeln!(line)
            }
        }
    }
}

fn json(line: &mut Writer<'_>, event: &Event<'_>, call: Option<CallIds>) -> fmt::Result {
    let mut time = String::new();
    SystemTime.format_time(&mut Writer::new(&mut time))?;
    let mut fields = Fields(Map::new());
    fields.put("timestamp", time);
    fields.put("level", event.metadata().level().as_str());
    fields.put("target", event.metadata().target());
    if let Some(call) = call {
        fields.put("trace_id", format!("{:032x}", call.trace_id));
        fields.put("span_id", format!("{:016x}", call.span_id));
        if let Some(tenant) = call.tenant {
            fields.put("tenant.id", tenant.to_string());
        }
    }
    event.record(&mut fields);
    writeln!(line, "{}", Value::Object(fields.0))
}

struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no test panics in it").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn line_of(format: LogFormat, current: CurrentCall) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .event_format(Line { format, current })
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            tracing::warn!(answer = 42, name = %"a \"b\"", "said");
        });
        let bytes = kept.0.lock().expect("no test panics in it").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "it stands for a `CurrentCall`, which may find none"
    )]
    fn some_call() -> Option<CallIds> {
        Some(CallIds {
            trace_id: 0xabc,
            span_id: 0xdef,
            tenant: Some(Uuid::nil()),
        })
    }

    #[test]
    fn a_line_carries_the_call_that_runs() {
        let line = line_of(LogFormat::Json, some_call);
        let line: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["trace_id"], "00000000000000000000000000000abc");
        assert_eq!(line["span_id"], "0000000000000def");
        assert_eq!(line["tenant.id"], Uuid::nil().to_string());
        assert_eq!(
            (&line["answer"], &line["name"]),
            (&Value::from(42), &Value::from("a \"b\""))
        );
        assert_eq!((&line["level"], &line["message"]), (&"WARN".into(), &"said".into()));
        let line = line_of(LogFormat::Text, some_call);
        assert!(line.contains("trace_id=00000000000000000000000000000abc"), "{line}");
    }

    #[test]
    fn a_line_outside_a_call_says_nothing_of_one() {
        let line = line_of(LogFormat::Json, || None);
        assert!(!line.contains("trace_id") && line.ends_with("}\n"), "{line}");
    }
}
