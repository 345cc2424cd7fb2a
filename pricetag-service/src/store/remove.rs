//! Deleting the rows of what is gone, and of everything that was kept about it.

use sqlx::{AnyConnection, query};
use wire::tag::TagId;
use wire::till::{StoreId, TillId};

use super::StoreError;
use crate::names::ProductKey;
use crate::shop::words::Thing;

/// A till is gone.
pub(super) async fn till(db: &mut AnyConnection, store: &StoreId, till: &TillId) -> Result<(), StoreError> {
    query("delete from tills where store = $1 and till = $2")
        .bind(store.as_str())
        .bind(till.as_str())
        .execute(db)
        .await?;
    Ok(())
}

/// This is gone.
pub(super) async fn thing(db: &mut AnyConnection, thing: &Thing) -> Result<(), StoreError> {
    match thing {
        Thing::Store(store) => {
            for statement in ["delete from till_feed where store = $1", "delete from stores where store = $1"]
            {
                query(statement).bind(store.as_str()).execute(&mut *db).await?;
            }
            Ok(())
        }
        Thing::AccessPoint(_, device) => {
            query("delete from access_points where device = $1").bind(device.as_str()).execute(db).await?;
            Ok(())
        }
        Thing::Tag(id) => tag(db, *id).await,
        Thing::Product(key) => product(db, key).await,
    }
}

async fn tag(db: &mut AnyConnection, tag: TagId) -> Result<(), StoreError> {
    for statement in [
        "delete from operation_transitions where operation in (select operation from operations where tag = $1)",
        "delete from operations where tag = $1",
        "delete from transitions where task in (select task from tasks where tag = $1)",
        "delete from tasks where tag = $1",
        "delete from sent_faces where tag = $1",
        "delete from confirmations where tag = $1",
        "delete from tag_health where tag = $1",
        "delete from tags where tag = $1",
    ] {
        query(statement).bind(tag.to_string()).execute(&mut *db).await?;
    }
    Ok(())
}

/// Its entries in the till feed stay, so that positions keep their meaning; no till is served them any more.
async fn product(db: &mut AnyConnection, key: &ProductKey) -> Result<(), StoreError> {
    for statement in [
        "delete from transitions where task in (select task from tasks where store = $1 and product = $2)",
        "delete from tasks where store = $1 and product = $2",
        "update till_feed set change = null where store = $1 and product = $2",
        "delete from changes where store = $1 and product = $2",
        "delete from products where store = $1 and product = $2",
    ] {
        let statement = query(statement).bind(key.store.as_str()).bind(key.product.as_str());
        statement.execute(&mut *db).await?;
    }
    Ok(())
}
