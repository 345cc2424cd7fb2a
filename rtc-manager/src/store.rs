//! The database: users, phones, calls, timelines, call detail records.
//!
//! One SQL text for SQLite and PostgreSQL. Only the exchange writes, one transaction per batch; everybody may read.
//! On SQLite a commit is synced to the disk before it returns.

use std::path::Path;

use sqlx::any::{AnyPoolOptions, AnyRow, install_default_drivers};
use sqlx::migrate::MigrateError;
use sqlx::{AnyConnection, AnyPool, Connection, Executor, Row as _};
use wire::Timestamp;

use crate::call::Call;
use crate::switchboard::Row;
use crate::switchboard::directory::Directory;

/// Calls as they are: writing and restoring.
mod calls;
/// Deleting what ended long ago.
mod deletion;
/// Users and phones.
pub mod people;
/// Calls as people look at them: lists, timelines, call detail records.
pub mod records;
/// How enums are spelt in columns.
mod words;

/// Connections at once; one of them writes.
const CONNECTIONS_MAX: u32 = 5;

/// Why the database could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be opened.
    #[error("database `{0}` cannot be opened")]
    Open(String, #[source] sqlx::Error),
    /// Its folder cannot be made.
    #[error("no folder for the database `{0}`")]
    Folder(String, #[source] std::io::Error),
    /// Its tables cannot be brought up to date.
    #[error("the tables cannot be brought up to date")]
    Migrate(#[source] MigrateError),
    /// A statement failed.
    #[error("the database cannot {0}")]
    Sql(&'static str, #[source] sqlx::Error),
    /// A row holds what nobody wrote.
    #[error("the database holds `{1}` where {0} belongs")]
    Corrupt(&'static str, String),
}

/// Everything a restart needs.
#[derive(Debug)]
pub struct Saved {
    /// Users and their phones.
    pub directory: Directory,
    /// Calls that were alive or remembered.
    pub calls: Vec<Call>,
    /// Since when nothing was heard.
    pub deaf_since: Timestamp,
}

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: AnyPool,
    begin: &'static str,
}

impl Store {
    /// Opens the database behind a URL and brings its tables up to date; a SQLite file is made when missing.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        install_default_drivers();
        let sqlite = url.strip_prefix("sqlite:");
        let full_url = match sqlite {
            Some(path) if !path.contains("mode=") => {
                make_folder(url, path)?;
                format!("{url}{}mode=rwc", if path.contains('?') { '&' } else { '?' })
            }
            Some(_) | None => url.to_owned(),
        };
        let options = AnyPoolOptions::new().max_connections(CONNECTIONS_MAX);
        let options = if sqlite.is_some() {
            options.after_connect(|conn, _| Box::pin(sync_commits(conn)))
        } else {
            options
        };
        let pool = options.connect(&full_url).await.map_err(|e| StoreError::Open(url.to_owned(), e))?;
        sqlx::migrate!().run(&pool).await.map_err(StoreError::Migrate)?;
        let begin = if sqlite.is_some() { "BEGIN IMMEDIATE" } else { "BEGIN" };
        Ok(Store { pool, begin })
    }

    /// Writes rows in one transaction: all of them or none.
    pub async fn write(&self, rows: &[Row]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let failed = |e| StoreError::Sql("write", e);
        let mut conn = self.pool.acquire().await.map_err(failed)?;
        let mut transaction = conn.begin_with(self.begin).await.map_err(failed)?;
        for row in rows {
            write_row(&mut transaction, row).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    /// Reads what a restart needs.
    pub async fn load(&self) -> Result<Saved, StoreError> {
        let deaf_since = self.deaf_since().await?;
        let directory = self.directory().await?;
        let calls = self.remembered_calls(deaf_since).await?;
        Ok(Saved { directory, calls, deaf_since })
    }

    /// What was written down, or else when the last step was.
    async fn deaf_since(&self) -> Result<Timestamp, StoreError> {
        let failed = |e| StoreError::Sql("tell since when it is deaf", e);
        let row = sqlx::query(
            "select (select deaf_since from hearing where id = 1) as since, (select max(at) from transitions) as last",
        )
        .fetch_one(&self.pool)
        .await
        .map_err(failed)?;
        let since = row.try_get::<Option<i64>, _>("since").map_err(failed)?;
        let last = row.try_get::<Option<i64>, _>("last").map_err(failed)?;
        Ok(Timestamp::from_millis(since.or(last).unwrap_or(0)))
    }
}

/// `sqlite:data/calls.db` needs `data`.
fn make_folder(url: &str, path: &str) -> Result<(), StoreError> {
    let file = path.trim_start_matches("//").split('?').next().unwrap_or_default();
    match Path::new(file).parent() {
        Some(folder) => std::fs::create_dir_all(folder).map_err(|e| StoreError::Folder(url.to_owned(), e)),
        None => Ok(()),
    }
}

async fn sync_commits(conn: &mut AnyConnection) -> Result<(), sqlx::Error> {
    conn.execute("pragma journal_mode = wal").await?;
    conn.execute("pragma synchronous = full").await?;
    conn.execute("pragma busy_timeout = 5000").await?;
    Ok(())
}

async fn write_row(conn: &mut AnyConnection, row: &Row) -> Result<(), sqlx::Error> {
    match row {
        Row::User { user, secret_sha256, at } => people::put_user(conn, user, secret_sha256, *at).await,
        Row::Device { device, user, installation, at } => {
            people::add_device(conn, device, (user, installation), *at).await
        }
        Row::Hello { device, epoch, at } => people::record_hello(conn, device, *epoch, *at).await,
        Row::Call(change) => calls::write(conn, change).await,
        Row::DeafSince(since) => sqlx::query(
            "insert into hearing (id, deaf_since) values (1, $1)
                 on conflict (id) do update set deaf_since = excluded.deaf_since",
        )
        .bind(since.map(Timestamp::as_millis))
        .execute(conn)
        .await
        .map(drop),
    }
}

/// A column that must hold a timestamp.
fn time(row: &AnyRow, column: &'static str) -> Result<Timestamp, StoreError> {
    let millis = row.try_get::<i64, _>(column).map_err(|e| StoreError::Sql("read a time", e))?;
    Ok(Timestamp::from_millis(millis))
}

/// A column that may hold a timestamp.
fn time_or_none(row: &AnyRow, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    let millis = row.try_get::<Option<i64>, _>(column).map_err(|e| StoreError::Sql("read a time", e))?;
    Ok(millis.map(Timestamp::from_millis))
}

/// A column that must hold an identifier or another word.
fn parsed<T: std::str::FromStr>(row: &AnyRow, column: &'static str) -> Result<T, StoreError> {
    let text = row.try_get::<String, _>(column).map_err(|e| StoreError::Sql("read a text", e))?;
    text.parse().map_err(|_| StoreError::Corrupt(column, text))
}

/// A column that may hold a text.
fn text_or_none(row: &AnyRow, column: &'static str) -> Result<Option<String>, StoreError> {
    row.try_get(column).map_err(|e| StoreError::Sql("read a text", e))
}

/// A column that must hold a number that is not negative.
fn number<T: TryFrom<i64>>(row: &AnyRow, column: &'static str) -> Result<T, StoreError> {
    let number = row.try_get::<i64, _>(column).map_err(|e| StoreError::Sql("read a number", e))?;
    T::try_from(number).map_err(|_| StoreError::Corrupt(column, number.to_string()))
}
