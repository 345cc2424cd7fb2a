//! The manager's API, as far as phones use it.

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use service_kit::clock::Clock;
use service_kit::config::Secret;
use wire::Timestamp;
use wire::call::UserId;
use wire::registration::{RegisterDevice, RegisteredDevice};

/// How long an answer may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a manager that is starting is asked whether it is ready.
const READY_POLL: Duration = Duration::from_millis(200);
/// Most characters of a refusal that are repeated.
const DETAIL_CHARS_MAX: usize = 300;

/// Why there is no answer, or not the one asked for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody answered, or nothing that can be read.
    #[error("no answer from the call manager")]
    Unreachable(#[source] reqwest::Error),
    /// The manager says no.
    #[error("the call manager refuses: {status}, {detail}")]
    Refused {
        /// Its answer.
        status: StatusCode,
        /// Its reason.
        detail: String,
    },
    /// It did not become ready.
    #[error("the call manager at {0} does not become ready")]
    NotReady(String),
    /// It made no secret.
    #[error("the call manager made no secret for `{0}`")]
    NoSecret(UserId),
}

/// The manager's API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ManagerApi {
    url: String,
    token: Secret,
    client: reqwest::Client,
}

#[derive(Deserialize)]
struct UserAnswer {
    secret: Option<String>,
}

impl ManagerApi {
    /// The API at `http://…`; the token is for adding users.
    pub fn new(url: &str, token: Secret) -> Result<Self, ApiError> {
        let client = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build();
        let url = url.trim_end_matches('/').to_owned();
        Ok(ManagerApi { url, token, client: client.map_err(ApiError::Unreachable)? })
    }

    /// Returns once the manager is ready, or fails at the deadline.
    pub async fn until_ready(&self, clock: &Clock, deadline: Timestamp) -> Result<(), ApiError> {
        let url = format!("{}/readyz", self.url);
        loop {
            let answer = self.client.get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if clock.now() >= deadline {
                return Err(ApiError::NotReady(self.url.clone()));
            }
            clock.sleep(READY_POLL).await;
        }
    }

    /// Adds a user and returns the secret its phones register with; a known user gets a new one.
    pub async fn add_user(&self, user: &UserId) -> Result<Secret, ApiError> {
        let url = format!("{}/api/v1/users/{user}", self.url);
        let put = |query: &str| self.client.put(format!("{url}{query}")).bearer_auth(self.token.reveal());
        let answer: UserAnswer = ask(put("")).await?;
        let answer = if answer.secret.is_none() { ask(put("?rotate=true")).await? } else { answer };
        answer.secret.map(Secret::new).ok_or_else(|| ApiError::NoSecret(user.clone()))
    }

    /// Registers a phone; the same installation always gets the same client ID.
    pub async fn register(
        &self,
        user: &UserId,
        secret: &Secret,
        installation: &str,
    ) -> Result<RegisteredDevice, ApiError> {
        let request = RegisterDevice {
            user: user.clone(),
            user_secret: secret.reveal().to_owned(),
            installation: installation.to_owned(),
        };
        ask(self.client.post(format!("{}/api/v1/devices", self.url)).json(&request)).await
    }
}

async fn ask<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, ApiError> {
    let answer = request.send().await.map_err(ApiError::Unreachable)?;
    let status = answer.status();
    if status.is_success() {
        return answer.json().await.map_err(ApiError::Unreachable);
    }
    let detail = answer.text().await.unwrap_or_default();
    Err(ApiError::Refused { status, detail: detail.chars().take(DETAIL_CHARS_MAX).collect() })
}
