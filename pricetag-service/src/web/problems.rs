//! Refusals and failures as Problems.

use axum::http::StatusCode;
use service_kit::problem::Problem;

use crate::engine::desk::{CommandError, StepError};
use crate::shop::words::Refusal;
use crate::store::StoreError;

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let detail = refusal.to_string();
        let (status, kind) = match refusal {
            Refusal::UnknownStore(_) => (StatusCode::NOT_FOUND, "store-not-found"),
            Refusal::UnknownAccessPoint(..) => (StatusCode::NOT_FOUND, "access-point-not-found"),
            Refusal::UnknownTag(_) => (StatusCode::NOT_FOUND, "tag-not-found"),
            Refusal::UnknownProduct(_) => (StatusCode::NOT_FOUND, "product-not-found"),
            Refusal::UnknownTill(..) => (StatusCode::NOT_FOUND, "till-not-found"),
            Refusal::ChangeNotRunning(_) => (StatusCode::CONFLICT, "change-not-running"),
            Refusal::OperationNotRunning(_) => (StatusCode::CONFLICT, "operation-not-running"),
            Refusal::PriceJump { .. } => (StatusCode::CONFLICT, "price-jump"),
            Refusal::StillNeeded { .. } => (StatusCode::CONFLICT, "still-needed"),
            Refusal::BadTime(..) => (StatusCode::UNPROCESSABLE_ENTITY, "bad-effective-at"),
            Refusal::TooManyPlanned(_) => (StatusCode::CONFLICT, "too-many-planned"),
            Refusal::NameNeeded(_) => (StatusCode::UNPROCESSABLE_ENTITY, "name-needed"),
            Refusal::SamePerson(_) => (StatusCode::CONFLICT, "same-person"),
            Refusal::PausedAlready(_) => (StatusCode::CONFLICT, "paused-already"),
            Refusal::FrozenAlready(..) => (StatusCode::CONFLICT, "frozen-already"),
            Refusal::NoApprovalAwaited(_) => (StatusCode::CONFLICT, "no-approval-awaited"),
            Refusal::PriceUnchanged(_) => (StatusCode::CONFLICT, "price-unchanged"),
            Refusal::OtherStore(..) => (StatusCode::CONFLICT, "other-store"),
            Refusal::CurrencyFixed(_) => (StatusCode::CONFLICT, "currency-fixed"),
            Refusal::TagRemoved(_) => (StatusCode::CONFLICT, "tag-removed"),
            Refusal::BeyondHead { .. } => (StatusCode::CONFLICT, "beyond-head"),
        };
        Problem::new(status, kind, detail)
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Problem {
        match error {
            CommandError::Refused(refusal) => refusal.into(),
            CommandError::NotStored(StepError::Audit(_)) => Problem::unavailable(
                "audit-unavailable",
                "the audit log cannot be written, so nothing was changed",
            ),
            CommandError::NotStored(StepError::Store(_)) => Problem::unavailable(
                "database-unavailable",
                "the database cannot be written, so nothing was changed",
            ),
            CommandError::Busy => Problem::unavailable("busy", "too many commands are waiting; try again"),
            CommandError::Stopping => Problem::unavailable("stopping", "the program is stopping"),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        Problem::internal(&error)
    }
}
