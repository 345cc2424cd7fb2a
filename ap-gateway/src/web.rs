//! What is behind the URLs.

use std::sync::Arc;

use service_kit::clock::Clock;
use service_kit::problem::Problem;
use tokio::sync::{mpsc, oneshot, watch};
use wire::tag::TagId;

use crate::shell::Question;
use crate::status::{Status, TagView};

/// Style and script of the page.
pub mod assets;
/// Telling the service what every tag shows.
pub mod hello;
/// The page for people.
pub mod page;
/// How the access point is.
pub mod status;
/// How its tags are.
pub mod tags;

/// What handlers work with.
#[derive(Debug)]
pub struct App {
    /// The picture of the last turn.
    pub status: watch::Receiver<Arc<Status>>,
    /// The way to the shell.
    pub questions: mpsc::Sender<Question>,
    /// The time.
    pub clock: Clock,
}

impl App {
    /// The tags after one, at most `limit`.
    pub async fn tags(&self, after: Option<TagId>, limit: usize) -> Result<Vec<TagView>, Problem> {
        let (reply, answer) = oneshot::channel();
        self.ask(Question::Tags { after, limit, reply }).await?;
        answer.await.map_err(|_| stopping())
    }

    /// Asks the shell for something.
    pub async fn ask(&self, question: Question) -> Result<(), Problem> {
        self.questions.send(question).await.map_err(|_| stopping())
    }
}

fn stopping() -> Problem {
    Problem::unavailable("stopping", "the access point is stopping; try again in a moment")
}
