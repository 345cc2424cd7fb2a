//! Users and phones.

use serde::Serialize;
use sqlx::AnyConnection;
use utoipa::ToSchema;
use wire::call::UserId;
use wire::{DeviceId, Timestamp};

use super::{Store, StoreError, number, parsed, text_or_none, time, time_or_none};
use crate::switchboard::directory::Directory;

/// A user, as people look at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UserRow {
    /// Who.
    pub user: String,
    /// When it was added, in milliseconds since 1970.
    pub created_at: i64,
    /// How many phones it has.
    pub devices: u64,
}

/// A phone, as people look at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeviceRow {
    /// Its DeviceID.
    pub device: String,
    /// Whose.
    pub user: String,
    /// When it was registered, in milliseconds since 1970.
    pub created_at: i64,
    /// Its count of connects, when it said hello last.
    pub epoch: Option<i64>,
    /// When it said hello last.
    pub hello_at: Option<i64>,
    /// The live call it is part of.
    pub call: Option<String>,
    /// Where it stands in that call: `sent`, `acked`, `ringing`, `won`.
    pub state: Option<String>,
    /// Where that call stands: `inviting`, `alerting`, `active`.
    pub phase: Option<String>,
    /// Until when it is taken to be alive in that call.
    pub lease_until: Option<i64>,
}

pub(super) async fn put_user(
    conn: &mut AnyConnection,
    user: &UserId,
    secret_sha256: &str,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into users (user_id, secret_sha256, created_at) values ($1, $2, $3)
         on conflict (user_id) do update set secret_sha256 = excluded.secret_sha256",
    )
    .bind(user.as_str())
    .bind(secret_sha256)
    .bind(at.as_millis())
    .execute(conn)
    .await
    .map(drop)
}

pub(super) async fn add_device(
    conn: &mut AnyConnection,
    device: &DeviceId,
    (user, installation): (&UserId, &str),
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query("insert into devices (device_id, user_id, installation, created_at) values ($1, $2, $3, $4)")
        .bind(device.as_str())
        .bind(user.as_str())
        .bind(installation)
        .bind(at.as_millis())
        .execute(conn)
        .await
        .map(drop)
}

pub(super) async fn record_hello(
    conn: &mut AnyConnection,
    device: &DeviceId,
    epoch: u64,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query("update devices set epoch = $1, hello_at = $2 where device_id = $3")
        .bind(i64::try_from(epoch).unwrap_or(i64::MAX))
        .bind(at.as_millis())
        .bind(device.as_str())
        .execute(conn)
        .await
        .map(drop)
}

impl Store {
    pub(super) async fn directory(&self) -> Result<Directory, StoreError> {
        let failed = |e| StoreError::Sql("read users and phones", e);
        let mut directory = Directory::default();
        let users = sqlx::query("select user_id from users").fetch_all(&self.pool).await.map_err(failed)?;
        for row in &users {
            directory.add_user(parsed(row, "user_id")?);
        }
        let devices = sqlx::query("select device_id, user_id, installation from devices")
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        for row in &devices {
            let user = parsed(row, "user_id")?;
            directory.add_device(&user, parsed(row, "device_id")?, parsed(row, "installation")?);
        }
        Ok(directory)
    }

    /// The SHA-256 of a user's secret.
    pub async fn find_secret(&self, user: &UserId) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("select secret_sha256 from users where user_id = $1")
            .bind(user.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| StoreError::Sql("look up a user", e))?;
        row.map(|row| parsed(&row, "secret_sha256")).transpose()
    }

    /// Users by name, at most `limit`.
    pub async fn list_users(&self, limit: u32) -> Result<Vec<UserRow>, StoreError> {
        let rows = sqlx::query(
            "select u.user_id, u.created_at, count(d.device_id) as devices
             from users u left join devices d on d.user_id = u.user_id
             group by u.user_id, u.created_at order by u.user_id limit $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(|e| StoreError::Sql("list users", e))?;
        let read = |row| {
            Ok(UserRow {
                user: parsed(row, "user_id")?,
                created_at: time(row, "created_at")?.as_millis(),
                devices: number(row, "devices")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Phones by name, of one user or (empty) of all, at most `limit`.
    pub async fn list_devices(&self, user: &str, limit: u32) -> Result<Vec<DeviceRow>, StoreError> {
        let rows = sqlx::query(
            "select d.device_id, d.user_id, d.created_at, d.epoch, d.hello_at,
                    b.call_id, b.state, b.lease_until, b.phase
             from devices d
             left join (select b.device_id, b.call_id, b.state, b.lease_until, c.phase from branches b
                        join calls c on c.call_id = b.call_id
                        where c.phase <> 'ended' and b.state <> 'stopped') b on b.device_id = d.device_id
             where $1 = '' or d.user_id = $1
             order by d.device_id, b.state desc limit $2",
        )
        .bind(user)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(|e| StoreError::Sql("list phones", e))?;
        let mut devices = Vec::with_capacity(rows.len());
        for row in &rows {
            devices.push(DeviceRow {
                device: parsed(row, "device_id")?,
                user: parsed(row, "user_id")?,
                created_at: time(row, "created_at")?.as_millis(),
                epoch: time_or_none(row, "epoch")?.map(Timestamp::as_millis),
                hello_at: time_or_none(row, "hello_at")?.map(Timestamp::as_millis),
                call: text_or_none(row, "call_id")?,
                state: text_or_none(row, "state")?,
                phase: text_or_none(row, "phase")?,
                lease_until: time_or_none(row, "lease_until")?.map(Timestamp::as_millis),
            });
        }
        devices.dedup_by(|later, earlier| later.device == earlier.device);
        Ok(devices)
    }
}
