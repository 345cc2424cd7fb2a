//! How the access point comes to its credentials: kept from before, or handed out by the price-tag service.
//!
//! ```text
//! kept for this store and name ──▶ use them
//! PUT {url}/api/v1/stores/{store}/access-points/{device} ──2xx──▶ keep and use them
//!      ▲         │ unreachable, 5xx, 404 (no such store yet), 408, 425, 429
//!      └─backoff─┘                                       any other answer cannot heal: the program ends
//! ```

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use service_kit::clock::Clock;
use service_kit::config::Secret;
use service_kit::random;
use tracing::{info, warn};
use wire::ClientId;

use crate::config::{Credentials, Enrolment};
use crate::store::{KeptCredentials, Store, StoreError};

const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_LAST: Duration = Duration::from_secs(30);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Most octets of an answer that are looked at.
const ANSWER_CHARS_MAX: usize = 300;

/// Why there are no credentials, and will be none.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The service says no.
    #[error("the price-tag service refuses to enrol `{device}` in store `{store}`: {status}, {detail}")]
    Refused {
        /// Which store.
        store: String,
        /// Under which name.
        device: String,
        /// Its answer.
        status: StatusCode,
        /// Its reason.
        detail: String,
    },
    /// The service's answer cannot be read.
    #[error("the answer of the price-tag service holds no credentials")]
    Answer(#[source] reqwest::Error),
    /// The HTTP client cannot be made.
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
    /// The credentials cannot be kept.
    #[error("the credentials cannot be kept")]
    Store(#[from] StoreError),
}

#[derive(Deserialize)]
struct HandedOut {
    client_id: ClientId,
    username: String,
    password: String,
}

/// What a refusal says (RFC 9457).
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    title: Option<String>,
}

enum Attempt {
    Enrolled(HandedOut),
    /// It may go better next time.
    NotNow(String),
}

/// The credentials; tries until there are some.
pub async fn credentials(
    enrolment: &Enrolment,
    store: &Store,
    clock: &Clock,
) -> Result<Credentials, EnrolError> {
    if let Some(kept) = store.credentials()?.filter(|kept| is_for(kept, enrolment)) {
        return Ok(credentials_of(kept));
    }
    let client = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build().map_err(EnrolError::Client)?;
    let mut backoff = BACKOFF_FIRST;
    loop {
        match ask(&client, enrolment).await? {
            Attempt::Enrolled(HandedOut { client_id, username, password }) => {
                info!(client.id = %client_id, store = enrolment.store, "enrolled");
                let (store_id, device) = (enrolment.store.clone(), enrolment.device.to_string());
                let kept = KeptCredentials { store: store_id, device, client_id, username, password };
                store.keep_credentials(&kept)?;
                return Ok(credentials_of(kept));
            }
            Attempt::NotNow(cause) => {
                warn!(url = enrolment.url, cause, "not enrolled yet, trying again");
                let jitter = random::below(u64::try_from(backoff.as_millis()).unwrap_or(0) / 2);
                clock.sleep(backoff + Duration::from_millis(jitter)).await;
                backoff = (backoff * 2).min(BACKOFF_LAST);
            }
        }
    }
}

fn is_for(kept: &KeptCredentials, enrolment: &Enrolment) -> bool {
    kept.store == enrolment.store && kept.device == enrolment.device.as_str()
}

fn credentials_of(kept: KeptCredentials) -> Credentials {
    let KeptCredentials { client_id, username, password, .. } = kept;
    Credentials { client_id, username, password: Secret::new(password) }
}

async fn ask(client: &reqwest::Client, enrolment: &Enrolment) -> Result<Attempt, EnrolError> {
    let Enrolment { url, token, store, device } = enrolment;
    let url = format!("{url}/api/v1/stores/{store}/access-points/{device}");
    let response = match client.put(url).bearer_auth(token.reveal()).send().await {
        Ok(response) => response,
        Err(error) => return Ok(Attempt::NotNow(chain(&error))),
    };
    let status = response.status();
    if status.is_success() {
        return response.json().await.map(Attempt::Enrolled).map_err(EnrolError::Answer);
    }
    let text = response.text().await.unwrap_or_default();
    let refusal: Refusal = serde_json::from_str(&text).unwrap_or_default();
    let detail = refusal.detail.or(refusal.title).unwrap_or_else(|| "without a reason".to_owned());
    let detail: String = detail.chars().take(ANSWER_CHARS_MAX).collect();
    if may_heal(status) {
        return Ok(Attempt::NotNow(format!("{status}, {detail}")));
    }
    Err(EnrolError::Refused { store: store.clone(), device: device.to_string(), status, detail })
}

/// 404: the store has not been made yet. Access points are often up before their shop is.
fn may_heal(status: StatusCode) -> bool {
    let passing = [
        StatusCode::NOT_FOUND,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    status.is_server_error() || passing.contains(&status)
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
