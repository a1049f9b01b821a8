//! The connection for one statement. In a call that is recorded, the statement gets a span by the OpenTelemetry
//! conventions for databases: with the text as it stands in our source, never with a value.
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use onekeel_api::Call;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Error, Execute, Executor, PgConnection, Postgres, SqlStr};
use tracing::{Span, field};

use crate::pool::Connections;
use crate::summary::summary;

/// Where the statements of a recorded call go; nothing in any other call.
#[derive(Clone, Debug)]
pub(crate) struct Recording(Option<Arc<PgConnectOptions>>);

impl Recording {
    pub fn of(connections: &Connections) -> Self {
        Self(Call::is_recorded().then(|| connections.options()))
    }

    /// A span for a statement that we name ourselves.
    pub fn span(&self, name: &'static str) -> Span {
        let Some(span) = self.unnamed() else {
            return Span::none();
        };
        describe(&span, name, name);
        span
    }

    fn unnamed(&self) -> Option<Span> {
        let server = self.0.as_deref()?;
        Some(tracing::info_span!(
            "db.statement",
            otel.name = field::Empty,
            otel.kind = "client",
            otel.status_code = field::Empty,
            db.system.name = "postgresql",
            db.namespace = server.get_database(),
            db.operation.name = field::Empty,
            db.query.summary = field::Empty,
            db.query.text = field::Empty,
            db.response.status_code = field::Empty,
            error.type = field::Empty,
            server.address = server.get_host(),
            server.port = i64::from(server.get_port()),
        ))
    }
}

fn describe(span: &Span, summary: &str, operation: &str) {
    span.record("otel.name", summary);
    span.record("db.query.summary", summary);
    span.record("db.operation.name", operation);
}

/// Marks the span of a statement that failed.
pub(crate) fn mark(span: &Span, error: &Error) {
    if span.is_none() {
        return;
    }
    span.record("otel.status_code", "error");
    match error {
        Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            span.record("db.response.status_code", &*code);
            span.record("error.type", &*code);
        }
        Error::Io(_) => drop(span.record("error.type", "io")),
        _ => drop(span.record("error.type", "_OTHER")),
    }
}

/// The connection, for exactly one statement: pass it to `execute`, `fetch_one` and their like.
#[derive(Debug)]
pub struct Statement<'c> {
    connection: &'c mut PgConnection,
    recording: Recording,
}

impl<'c> Statement<'c> {
    pub(crate) fn new(connection: &'c mut PgConnection, recording: Recording) -> Self {
        Self { connection, recording }
    }
}

impl Deref for Statement<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection
    }
}

impl DerefMut for Statement<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection
    }
}

impl<'c> Executor<'c> for Statement<'c> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let Some(span) = self.recording.unnamed() else {
            return self.connection.fetch_many(query);
        };
        let query = Seen {
            query,
            span: span.clone(),
        };
        // The span ends with the stream.
        let rows = self.connection.fetch_many(query);
        Box::pin(rows.inspect_err(move |error| mark(&span, error)))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let Some(span) = self.recording.unnamed() else {
            return self.connection.fetch_optional(query);
        };
        let query = Seen {
            query,
            span: span.clone(),
        };
        let row = self.connection.fetch_optional(query);
        Box::pin(async move { row.await.inspect_err(|error| mark(&span, error)) })
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        self.connection.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        self.connection.describe(sql)
    }
}

/// A query that tells its span what it is when it is sent.
struct Seen<E> {
    query: E,
    span: Span,
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Seen<E> {
    fn sql(self) -> SqlStr {
        let sql = self.query.sql();
        let summary = summary(sql.as_str());
        let operation = summary.split(' ').next().unwrap_or_default();
        describe(&self.span, &summary, operation);
        self.span.record("db.query.text", sql.as_str());
        sql
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.query.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.query.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.query.persistent()
    }
}
