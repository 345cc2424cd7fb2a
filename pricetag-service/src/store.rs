//! What is on disk: one SQL text for SQLite and PostgreSQL, through `sqlx::Any`.
//!
//! Functions take a connection, so that a caller decides what belongs into one transaction. The writer has one
//! connection and begins its transactions as writers (`BEGIN IMMEDIATE` on SQLite, where a reader cannot become one);
//! pages and the API read beside it.

/// Tags and access points as people see them.
pub mod devices;
/// Rendered faces.
pub mod faces;
/// The till feed as tills read it.
pub mod feed;
/// Reading them back at the start.
pub mod load;
/// Operations: writing, reading back, and as people see them.
pub mod operations;
/// Stores, products and changes as people see them.
pub mod prices;
/// Deleting the rows of what is gone.
mod remove;
/// Values of a row, parsed.
mod row;
/// Tasks and their history as people see them.
pub mod tasks;
/// States and approvals as texts.
pub mod words;
/// Writing the rows of the shop.
pub mod write;

/// Every function on every database.
#[cfg(test)]
mod contract;

use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::MigrateError;
use sqlx::{AnyConnection, AnyPool, Executor};

/// Connections that read.
const READERS_MAX: u32 = 4;
/// How long a connection may be waited for.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Set on every SQLite connection; the others are its defaults with sqlx (foreign keys on, busy time-out 5 s).
const SQLITE_PRAGMAS: &str =
    "pragma journal_mode = wal; pragma synchronous = full; pragma busy_timeout = 5000;";

/// Why something could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached.
    #[error("database cannot be opened")]
    Open(#[source] sqlx::Error),
    /// It cannot be brought to this version.
    #[error("database cannot be migrated")]
    Migrate(#[source] MigrateError),
    /// A statement failed.
    #[error("database refused a statement")]
    Sql(#[from] sqlx::Error),
    /// A value is not what this program writes.
    #[error("column `{column}` holds `{value}`, which this program did not write")]
    Value {
        /// Which column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
}

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    writer: AnyPool,
    readers: AnyPool,
    begin: &'static str,
    begin_snapshot: &'static str,
}

impl Database {
    /// Opens it and brings it to this program's version.
    pub async fn open(url: &str) -> Result<Database, StoreError> {
        sqlx::any::install_default_drivers();
        let is_sqlite = url.starts_with("sqlite:");
        let writer = connect(url, 1, is_sqlite).await?;
        sqlx::migrate!("./migrations").run(&writer).await.map_err(StoreError::Migrate)?;
        let readers = connect(url, READERS_MAX, is_sqlite).await?;
        let begin = if is_sqlite { "begin immediate" } else { "begin" };
        // SQLite's readers see the database as it was at their first statement.
        let begin_snapshot =
            if is_sqlite { "begin" } else { "begin isolation level repeatable read read only" };
        Ok(Database { writer, readers, begin, begin_snapshot })
    }

    /// A transaction that writes; there is one at a time.
    pub async fn begin(&self) -> Result<sqlx::Transaction<'static, sqlx::Any>, StoreError> {
        Ok(self.writer.begin_with(self.begin).await?)
    }

    /// A connection that reads.
    pub async fn reader(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Any>, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    /// Several statements that all read one moment; it ends when dropped.
    pub async fn snapshot(&self) -> Result<sqlx::Transaction<'static, sqlx::Any>, StoreError> {
        Ok(self.readers.begin_with(self.begin_snapshot).await?)
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

async fn connect(url: &str, connections_max: u32, is_sqlite: bool) -> Result<AnyPool, StoreError> {
    let options = AnyPoolOptions::new().max_connections(connections_max).acquire_timeout(ACQUIRE_TIMEOUT);
    let options = options.after_connect(move |connection, _| Box::pin(prepare(connection, is_sqlite)));
    options.connect(url).await.map_err(StoreError::Open)
}

async fn prepare(connection: &mut AnyConnection, is_sqlite: bool) -> Result<(), sqlx::Error> {
    if is_sqlite {
        connection.execute(SQLITE_PRAGMAS).await?;
    }
    Ok(())
}
