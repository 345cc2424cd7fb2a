//! ● What one tag should show, and what it shows.
//!
//! ```text
//!          newer task              asks for parts              confirms · checks in showing it
//! nothing ───────────▶ wanted ─────────────────▶ wanted, begun ─────────────────────▶ Displayed
//!                        │ newer task                 │ newer task
//!                        ▼                            ▼
//!                     Outdated                     leaving ──confirms · checks in showing it──▶ Displayed
//!                                                     └──checks in showing another · begins the newer──▶ Outdated
//! wanted · leaving ──confirms that it cannot──▶ Failed         wanted ──tag shows a higher version──▶ Outdated
//! wanted · leaving ──tag leaves the roster────▶ Failed         wanted, not begun ──cancel──▶ nothing
//! ```
//! The newest version wins, in whatever order tasks come and however often. `newest` is the highest version ever
//! accepted or shown, so a wanted version is always above what the tag confirmed: no older face is ever offered.
//! A begun task that is overtaken is kept as `leaving` until the tag says which face it ended on, because the service
//! must know what a shopper may be seeing. A question that comes again gets the same answer again.

use serde::{Deserialize, Serialize};
use wire::Timestamp;
use wire::face::FaceHash;
use wire::radio::payload::Drawn;
use wire::tag::{Screen, TagId, TagReport, TagVersions, TaskFailure};

/// A face the tag is to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The service's id of the task.
    pub task: String,
    /// Its version.
    pub version: u64,
    /// The face.
    pub face: FaceHash,
    /// Whether the tag has begun to fetch it.
    pub begun: bool,
}

/// What a tag says it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The version; 0 when none.
    pub version: u64,
    /// The face.
    pub face: Option<FaceHash>,
    /// When it said so.
    pub at: Timestamp,
    /// Its battery then, in millivolts.
    pub battery_mv: u16,
}

/// A task that ended for good without being shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Failed {
    task: Task,
    reason: TaskFailure,
}

/// What a check-in led to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckedIn {
    /// Tasks that ended.
    pub reports: Vec<TagReport>,
    /// Whether there is something to store.
    pub is_change: bool,
    /// Whether the tag shows something that no task of ours explains.
    pub is_surprise: bool,
}

/// What a confirmation led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Confirmed {
    /// The task ended; possibly another with it.
    Ended(Vec<TagReport>),
    /// The tag said so before: our answer was lost.
    Repeated,
    /// It was never offered.
    Unknown,
}

/// One tag's tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskQueue {
    tag: TagId,
    /// Nothing before it was heard.
    shown: Option<Shown>,
    newest: u64,
    wanted: Option<Task>,
    leaving: Option<Task>,
    failed: Option<Failed>,
}

impl TaskQueue {
    /// Of a tag that is new here.
    pub fn new(tag: TagId) -> Self {
        TaskQueue { tag, shown: None, newest: 0, wanted: None, leaving: None, failed: None }
    }

    /// Whose they are.
    pub fn tag(&self) -> TagId {
        self.tag
    }

    /// The task that lies ready.
    pub fn wanted(&self) -> Option<&Task> {
        self.wanted.as_ref()
    }

    /// What the tag said last; nothing before it was heard.
    pub fn shown(&self) -> Option<&Shown> {
        self.shown.as_ref()
    }

    /// The tasks that have not ended.
    pub fn open(&self) -> impl Iterator<Item = &Task> {
        self.wanted.iter().chain(&self.leaving)
    }

    /// For the hello.
    pub fn versions(&self) -> TagVersions {
        let queued = self.wanted.as_ref().map_or(0, |task| task.version);
        let screen = match &self.shown {
            None => Screen::Unheard,
            Some(Shown { face: None, .. }) => Screen::Blank,
            Some(Shown { version, face: Some(face), .. }) => Screen::Shows { version: *version, face: *face },
        };
        TagVersions { tag: self.tag, screen, queued }
    }

    /// Whether the task would be stored rather than only answered.
    pub fn is_newer(&self, version: u64) -> bool {
        version > self.newest
    }

    /// Takes a task; what to report.
    pub fn add(&mut self, task: Task) -> Vec<TagReport> {
        if !self.is_newer(task.version) {
            return self.answer_again(&task);
        }
        self.newest = task.version;
        let mut reports = vec![self.accepted(&task)];
        if let Some(overtaken) = self.wanted.replace(task) {
            let ended = if overtaken.begun { self.leaving.replace(overtaken) } else { Some(overtaken) };
            reports.extend(ended.map(|task| self.outdated(&task)));
        }
        reports
    }

    /// The answer to a task that is not newer than what is known.
    fn answer_again(&self, task: &Task) -> Vec<TagReport> {
        let is_same = |known: &Task| (&known.task, known.version) == (&task.task, task.version);
        if self.wanted.as_ref().is_some_and(|wanted| is_same(wanted) && wanted.face == task.face) {
            return vec![self.accepted(task)];
        }
        if self.leaving.as_ref().is_some_and(is_same) {
            return vec![];
        }
        if let Some(shown) = &self.shown
            && (shown.version, shown.face) == (task.version, Some(task.face))
        {
            return vec![self.displayed(task, shown)];
        }
        match &self.failed {
            Some(failed) if is_same(&failed.task) => vec![self.failure(task, failed.reason)],
            Some(_) | None => vec![self.outdated(task)],
        }
    }

    /// Forgets a task that the tag has not begun to fetch; whether there was one.
    pub fn cancel(&mut self, task: &str, version: u64) -> bool {
        let cancelled =
            self.wanted.take_if(|wanted| wanted.task == task && wanted.version == version && !wanted.begun);
        cancelled.is_some()
    }

    /// The tag is ours no longer: its tasks end.
    pub fn leave_roster(&mut self) -> Vec<TagReport> {
        let ended: Vec<Task> = self.leaving.take().into_iter().chain(self.wanted.take()).collect();
        ended.iter().map(|task| self.failure(task, TaskFailure::UnknownTag)).collect()
    }

    /// The face cannot be sent to any tag: the tasks for it end.
    pub fn give_up_face(&mut self, face: FaceHash) -> Vec<TagReport> {
        let leaving = self.leaving.take_if(|task| task.face == face);
        let wanted = self.wanted.take_if(|task| task.face == face);
        let ended: Vec<Task> = leaving.into_iter().chain(wanted).collect();
        ended.into_iter().map(|task| self.fail(task, TaskFailure::FaceUnfit)).collect()
    }

    /// The tag woke and says what it shows.
    pub fn check_in(&mut self, said: Shown) -> CheckedIn {
        let mut shown = said;
        let mut reports = Vec::new();
        let mut is_explained = false;
        self.newest = self.newest.max(said.version);
        if let Some(task) = self.leaving.take() {
            is_explained = (task.version, Some(task.face)) == (said.version, said.face);
            reports.push(if is_explained { self.displayed(&task, &said) } else { self.outdated(&task) });
        }
        if let Some(task) = self.wanted.take() {
            if task.version >= said.version && Some(task.face) == said.face {
                // The same picture under an older number is the picture the task asked for.
                shown.version = task.version;
                is_explained = true;
                reports.push(self.displayed(&task, &said));
            } else if task.version <= said.version {
                reports.push(self.outdated(&task));
            } else {
                self.wanted = Some(task);
            }
        }
        // A tag that is blank when it is heard first may have lost a picture that the service believes in.
        let is_news =
            self.shown.is_none_or(|known| shown.face != known.face || shown.version > known.version);
        if is_news {
            self.shown = Some(shown);
        }
        CheckedIn {
            is_change: is_news || !reports.is_empty(),
            is_surprise: is_news && !is_explained,
            reports,
        }
    }

    /// The tag asks for parts of `version`. `None` when that is not what lies ready; otherwise tasks that ended.
    pub fn begin(&mut self, version: u64) -> Option<Vec<TagReport>> {
        let wanted = self.wanted.as_mut().filter(|wanted| wanted.version == version)?;
        wanted.begun = true;
        let left = self.leaving.take();
        Some(left.map(|task| self.outdated(&task)).into_iter().collect())
    }

    /// The tag says how drawing went.
    pub fn confirm(&mut self, drawn: Drawn, said: Shown) -> Confirmed {
        let is_it = |task: &mut Task| (task.version, Some(task.face)) == (said.version, said.face);
        let mut reports = Vec::new();
        let ended = if let Some(task) = self.leaving.take_if(is_it) {
            task
        } else if let Some(task) = self.wanted.take_if(is_it) {
            let left = self.leaving.take();
            reports.extend(left.map(|task| self.outdated(&task)));
            task
        } else if self.has_said(drawn, &said) {
            return Confirmed::Repeated;
        } else {
            return Confirmed::Unknown;
        };
        if let Some(reason) = failure_of(drawn) {
            reports.push(self.fail(ended, reason));
        } else {
            self.shown = Some(said);
            reports.push(self.displayed(&ended, &said));
        }
        Confirmed::Ended(reports)
    }

    fn has_said(&self, drawn: Drawn, said: &Shown) -> bool {
        match failure_of(drawn) {
            None => self.shown.is_some_and(|known| (known.version, known.face) == (said.version, said.face)),
            Some(reason) => self.failed.as_ref().is_some_and(|failed| {
                (failed.task.version, Some(failed.task.face), failed.reason)
                    == (said.version, said.face, reason)
            }),
        }
    }

    fn fail(&mut self, task: Task, reason: TaskFailure) -> TagReport {
        let report = self.failure(&task, reason);
        self.failed = Some(Failed { task, reason });
        report
    }

    fn accepted(&self, task: &Task) -> TagReport {
        TagReport::Accepted { task: task.task.clone(), tag: self.tag, version: task.version }
    }

    fn outdated(&self, task: &Task) -> TagReport {
        let newest = self.newest;
        TagReport::Outdated { task: task.task.clone(), tag: self.tag, version: task.version, newest }
    }

    fn failure(&self, task: &Task, reason: TaskFailure) -> TagReport {
        TagReport::Failed { task: task.task.clone(), tag: self.tag, version: task.version, reason }
    }

    fn displayed(&self, task: &Task, said: &Shown) -> TagReport {
        let Shown { at, battery_mv, .. } = *said;
        TagReport::Displayed { tag: self.tag, version: task.version, face: task.face, at, battery_mv }
    }
}

fn failure_of(drawn: Drawn) -> Option<TaskFailure> {
    match drawn {
        Drawn::Shown => None,
        Drawn::ScreenBroken => Some(TaskFailure::ScreenBroken),
        Drawn::FaceUnfit => Some(TaskFailure::FaceUnfit),
    }
}

#[cfg(test)]
mod tests;
