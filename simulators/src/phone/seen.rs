//! ● What somebody who watches a phone sees.

use std::time::Duration;

use wire::call::{CallId, ErrorCode, Reason, UserId};

/// What somebody who watches a phone sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It is welcome at the manager.
    Online,
    /// It has lost its connection.
    Offline,
    /// It calls.
    Dials {
        /// Whom.
        callee: UserId,
    },
    /// A phone of the callee rings.
    RingsThere,
    /// It rings.
    Rings {
        /// For which call.
        call: CallId,
        /// Who calls.
        caller: UserId,
    },
    /// It stops ringing.
    StopsRinging {
        /// For which call.
        call: CallId,
        /// Why; none: its own time was up.
        reason: Option<Reason>,
    },
    /// Somebody answers it.
    Answers {
        /// Which call.
        call: CallId,
    },
    /// It is in a call.
    Talks {
        /// Which.
        call: CallId,
    },
    /// Its call is over.
    Ends {
        /// Which; none: the manager never named it.
        call: Option<CallId>,
        /// Why; none: the manager does not know the call any more.
        reason: Option<Reason>,
        /// How long it talked.
        talked: Duration,
    },
    /// The manager refused something.
    Refused {
        /// For programs.
        code: ErrorCode,
        /// For people.
        detail: String,
    },
    /// It ignores a message.
    Ignores(Ignored),
}

/// Why a phone ignores a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ignored {
    /// It came after its `exp`.
    Expired,
    /// It came before.
    Duplicate,
    /// It is older than what is known.
    Stale,
    /// It would ring before the welcome.
    Unwelcome,
    /// The call was left.
    Left,
    /// An answer to an earlier hello.
    OldWelcome,
}
