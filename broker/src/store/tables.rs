//! Tables beside the log: clients, sessions, subscriptions, wills, retained messages, the registry, tokens, devices,
//! users of the console.
//!
//! Keys and values are octets; the modules that own the rows encode them. One redb file, `tables.redb`.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::sync::locked;

/// One of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Client key u32 → JSON row.
    Clients,
    /// Client key u32, filter → QoS u8.
    Subscriptions,
    /// Client key u32 → JSON will.
    Wills,
    /// Instance, 0, topic → JSON head and payload.
    Retained,
    /// Instance → JSON rules.
    Registry,
    /// Instance, 0, token ID → JSON token.
    Tokens,
    /// Instance, 0, client ID → JSON device credential.
    Devices,
    /// Name → JSON user of the console.
    Users,
}

impl Table {
    const ALL: [Table; 8] = [
        Table::Clients,
        Table::Subscriptions,
        Table::Wills,
        Table::Retained,
        Table::Registry,
        Table::Tokens,
        Table::Devices,
        Table::Users,
    ];

    fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(match self {
            Table::Clients => "clients",
            Table::Subscriptions => "subscriptions",
            Table::Wills => "wills",
            Table::Retained => "retained",
            Table::Registry => "registry",
            Table::Tokens => "tokens",
            Table::Devices => "devices",
            Table::Users => "users",
        })
    }
}

/// A change of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// In which table.
    pub table: Table,
    /// Which row.
    pub key: Vec<u8>,
    /// Its content from here on; `None` deletes it.
    pub value: Option<Vec<u8>>,
}

impl RowChange {
    /// Writes a row.
    pub fn put(table: Table, key: Vec<u8>, value: Vec<u8>) -> Self {
        RowChange { table, key, value: Some(value) }
    }

    /// Deletes a row.
    pub fn delete(table: Table, key: Vec<u8>) -> Self {
        RowChange { table, key, value: None }
    }
}

/// Key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// The file of tables.
#[derive(Debug)]
pub struct Tables {
    path: PathBuf,
    /// `None` after a failure: it is opened, and so repaired, when it is needed again.
    database: Mutex<Option<Database>>,
}

impl Tables {
    /// Opens or creates the file.
    pub fn open(path: &Path) -> Result<Self, redb::Error> {
        let database = Database::create(path)?;
        let transaction = database.begin_write()?;
        for table in Table::ALL {
            transaction.open_table(table.definition())?;
        }
        transaction.commit()?;
        Ok(Tables { path: path.to_owned(), database: Mutex::new(Some(database)) })
    }

    /// Every row of a table, in order of key.
    pub fn rows(&self, table: Table) -> Result<Vec<Row>, redb::Error> {
        self.with(|database| {
            let transaction = database.begin_read()?;
            let opened = transaction.open_table(table.definition())?;
            let mut rows = Vec::new();
            for row in opened.iter()? {
                let (key, value) = row?;
                rows.push((key.value().to_vec(), value.value().to_vec()));
            }
            Ok(rows)
        })
    }

    /// Applies changes in order; they are on disk when it returns. When it fails none is, or all are.
    pub fn apply(&self, changes: &[&RowChange]) -> Result<(), redb::Error> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            for change in changes {
                let mut table = transaction.open_table(change.table.definition())?;
                match &change.value {
                    Some(value) => table.insert(change.key.as_slice(), value.as_slice())?,
                    None => table.remove(change.key.as_slice())?,
                };
            }
            transaction.commit()?;
            Ok(())
        })
    }

    /// redb takes nothing more after a failed write until its file is opened anew.
    fn with<T>(&self, apply: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        let mut held = locked(&self.database);
        let database = match held.take() {
            Some(database) => database,
            None => Database::create(&self.path)?,
        };
        let done = apply(&database)?;
        *held = Some(database);
        Ok(done)
    }
}
