//! ● What access points say: hello, status, reports, questions.
//!
//! Who speaks is known from the topic, and an access point speaks for its own tags only. Everything here may come
//! twice, late or out of order: reports are numbered, and what they say is a fact that changes nothing when it is known.

use wire::face::FaceHash;
use wire::tag::{
    ApReports, ApStatus, Screen, ServiceMessage, TagHealth, TagId, TagReport, TagVersions, TaskFailure,
};
use wire::{DeviceId, Timestamp};

use super::VERSION_MAX;
use super::rows::{Confirmed, Figures, HealthRow, Shown, Write};
use super::turn::Turn;
use super::words::{Claim, Effect, FromAccessPoint, News, Part, Suspicion};
use crate::price_gate::Confirmation;
use crate::task::{Input, State, Task, Wait};

impl Turn<'_> {
    pub(super) fn message(&mut self, device: &DeviceId, message: FromAccessPoint) {
        if !self.shop.access_points.contains_key(device) {
            self.suspect(device, Suspicion::UnknownSender, "not enrolled".to_owned());
            return;
        }
        match message {
            FromAccessPoint::Status(ApStatus::Hello { epoch, roster_rev, part, parts, versions, .. }) => {
                self.heard(device);
                if part == 0 {
                    self.go_on_above(device, roster_rev);
                    self.answer_hello(device, epoch);
                }
                self.compare_all(device, Part { part, parts }, versions);
            }
            FromAccessPoint::Status(ApStatus::Status {
                clock,
                tasks_queued,
                reports_waiting,
                frames_refused,
                tags,
                ..
            }) => {
                let figures = Figures { tasks_queued, reports_waiting, frames_refused };
                self.status(device, clock, figures, &tags);
            }
            FromAccessPoint::Reports(ApReports::Reports { epoch, first, items }) => {
                self.heard_and_drive(device);
                self.reports(device, epoch, first, items);
            }
            FromAccessPoint::Reports(ApReports::FaceNeed { face }) => {
                self.heard_and_drive(device);
                self.face_need(device, face);
            }
        }
        self.write_access_point(device);
    }

    /// A sign of life; whether it was away.
    fn heard(&mut self, device: &DeviceId) -> bool {
        let Some(point) = self.shop.access_points.get_mut(device) else { return false };
        point.row.heard = Some(self.now);
        let was_away = std::mem::replace(&mut point.is_away, false);
        if was_away {
            self.tell(News::AccessPoint { device: device.clone(), is_online: true });
        }
        was_away
    }

    fn heard_and_drive(&mut self, device: &DeviceId) {
        if self.heard(device) {
            let tags = self.tags_at(device);
            for tag in &tags {
                self.consider(*tag);
            }
            self.consider_operations(&tags);
        }
    }

    fn tags_at(&self, device: &DeviceId) -> Vec<TagId> {
        let point = self.shop.access_points.get(device);
        point.map(|point| point.tags.iter().copied().collect()).unwrap_or_default()
    }

    fn serves(&self, device: &DeviceId, tag: TagId) -> bool {
        self.shop.access_points.get(device).is_some_and(|point| point.tags.contains(&tag))
    }

    /// An access point that has a newer roster than we know of had it from us before we were restored from a backup. It
    /// takes ours only under a revision above that one.
    fn go_on_above(&mut self, device: &DeviceId, roster_rev: u64) {
        if roster_rev > VERSION_MAX {
            self.suspect(device, Suspicion::AbsurdNumber, format!("revision {roster_rev} of the roster"));
            return;
        }
        if let Some(point) = self.shop.access_points.get_mut(device)
            && roster_rev > point.row.roster_rev
        {
            point.row.roster_rev = roster_rev + 1;
        }
    }

    fn compare_all(&mut self, device: &DeviceId, part: Part, versions: Vec<TagVersions>) {
        for claimed in versions {
            self.compare_versions(device, &claimed);
        }
        if part.is_last() {
            for tag in self.tags_at(device) {
                self.catch_up(tag);
            }
        }
    }

    fn answer_hello(&mut self, device: &DeviceId, epoch: u64) {
        for tag in self.tags_at(device) {
            if let Some(entry) = self.shop.tags.get_mut(&tag) {
                entry.queued = 0;
            }
        }
        if let Some(point) = self.shop.access_points.get_mut(device)
            && point.row.epoch != epoch
        {
            (point.row.epoch, point.row.next_report) = (epoch, None);
        }
        self.send_roster(device);
        self.send_receipt(device);
    }

    fn send_receipt(&mut self, device: &DeviceId) {
        let Some(point) = self.shop.access_points.get(device) else { return };
        let epoch = point.row.epoch;
        let Some(upto) = point.row.next_report.and_then(|next| next.checked_sub(1)) else { return };
        self.send(device.clone(), ServiceMessage::ReportReceived { epoch, upto });
    }

    fn compare_versions(&mut self, device: &DeviceId, claimed: &TagVersions) {
        let tag = claimed.tag;
        if !self.serves(device, tag) {
            self.suspect(device, Suspicion::ForeignTag, format!("hello speaks of {tag}"));
            return;
        }
        let newest = claimed.screen.version().max(claimed.queued);
        if newest > VERSION_MAX {
            self.suspect(device, Suspicion::AbsurdNumber, format!("version {newest} of {tag}"));
            return;
        }
        if let Some(entry) = self.shop.tags.get_mut(&tag) {
            entry.queued = claimed.queued;
        }
        self.learn_version(tag, newest);
        match claimed.screen {
            Screen::Unheard => {}
            Screen::Blank => self.screen_is_blank(tag),
            Screen::Shows { version, face } => {
                self.screen_is_back(tag, version);
                self.confirm(device, tag, Claim { version, face, at: self.now, battery_mv: None });
            }
        }
    }

    /// The tag lost what it confirmed; what it should show has to be sent under a new version. For the price gate it may
    /// still show any of its faces, until it confirms the new one.
    fn screen_is_blank(&mut self, tag: TagId) {
        let Some((version, face)) = self.shown(tag) else { return };
        let Some(entry) = self.shop.tags.get_mut(&tag).filter(|entry| entry.row.blank.is_none()) else {
            return;
        };
        entry.row.blank = Some(self.now);
        let product = entry.row.product.clone();
        let before = vec![("version", version.to_string()), ("face", face.to_string())];
        self.audit("tag.blank", &tag, before, vec![("shows", "nothing".to_owned())]);
        self.write_tag(tag);
        if let Some(key) = product {
            self.touch(key);
        }
    }

    /// A tag that was said to be blank shows again what it confirmed before.
    fn screen_is_back(&mut self, tag: TagId, version: u64) {
        if self.shown(tag).is_none_or(|(confirmed, _)| confirmed != version) {
            return;
        }
        let Some(entry) = self.shop.tags.get_mut(&tag).filter(|entry| entry.row.blank.is_some()) else {
            return;
        };
        entry.row.blank = None;
        self.write_tag(tag);
    }

    /// The next version of the tag has to be above this one.
    fn learn_version(&mut self, tag: TagId, version: u64) {
        let Some(entry) = self.shop.tags.get_mut(&tag) else { return };
        if version > entry.row.version.max(entry.row.reported) {
            entry.row.reported = version;
            self.write_tag(tag);
        }
    }

    /// After a hello: what is missing there is made or sent again.
    fn catch_up(&mut self, tag: TagId) {
        let on_its_way = |turn: &Self| {
            let task = turn.shop.tags.get(&tag).and_then(|entry| entry.task.as_ref());
            task.map(|task| task.order().id.clone())
        };
        let before = on_its_way(self);
        self.reconcile(tag);
        if on_its_way(self) == before {
            self.redrive(tag);
        }
        self.redrive_operations(tag);
    }

    fn status(&mut self, device: &DeviceId, clock: Timestamp, figures: Figures, tags: &[TagHealth]) {
        self.heard_and_drive(device);
        if let Some(point) = self.shop.access_points.get_mut(device) {
            point.row.figures = figures;
        }
        for health in tags {
            if !self.serves(device, health.tag) {
                self.suspect(device, Suspicion::ForeignTag, format!("status speaks of {}", health.tag));
                continue;
            }
            // Its clock may be wrong, the age of what it heard is not.
            let seen = self.now.minus(clock.since(health.seen));
            self.write(Write::Health(HealthRow {
                tag: health.tag,
                seen,
                battery_mv: health.battery_mv,
                air: Some((health.lqi, health.temperature_c)),
            }));
            self.heard_of_tag(health.tag, seen);
        }
    }

    fn reports(&mut self, device: &DeviceId, epoch: u64, first: u64, items: Vec<TagReport>) {
        let Some(point) = self.shop.access_points.get_mut(device) else { return };
        if first > VERSION_MAX || epoch > VERSION_MAX {
            self.suspect(device, Suspicion::AbsurdNumber, format!("report {first} of epoch {epoch}"));
            return;
        }
        if epoch > point.row.epoch {
            (point.row.epoch, point.row.next_report) = (epoch, None);
        }
        let is_current = epoch == point.row.epoch;
        let next = point.row.next_report.unwrap_or(first);
        let count = u64::try_from(items.len()).unwrap_or(0);
        // After a gap nothing is receipted until what is missing has come.
        if is_current && first <= next {
            point.row.next_report = Some(next.max(first + count));
        }
        for (number, report) in (first..).zip(items) {
            if is_current && number < next {
                self.tell(News::DuplicateReport);
            }
            self.report(device, &report);
        }
        if is_current {
            self.send_receipt(device);
        }
    }

    fn report(&mut self, device: &DeviceId, report: &TagReport) {
        let (tag, version) = match report {
            TagReport::Accepted { tag, version, .. }
            | TagReport::Outdated { tag, version, .. }
            | TagReport::Displayed { tag, version, .. }
            | TagReport::Failed { tag, version, .. } => (*tag, *version),
            TagReport::OperationAccepted { tag, .. }
            | TagReport::OperationDone { tag, .. }
            | TagReport::OperationFailed { tag, .. } => (*tag, 0),
        };
        if !self.serves(device, tag) {
            self.suspect(device, Suspicion::ForeignTag, format!("report speaks of {tag}"));
            return;
        }
        match report {
            TagReport::Accepted { .. } => self.step_version(device, tag, version, Input::Accepted),
            TagReport::Outdated { newest, .. } => self.outdated(device, tag, *newest),
            TagReport::Displayed { face, at, battery_mv, .. } => {
                let claim = Claim { version, face: *face, at: *at, battery_mv: Some(*battery_mv) };
                self.confirm(device, tag, claim);
            }
            TagReport::Failed { reason: TaskFailure::UnknownTag, .. } => {
                self.send_roster(device);
                self.step_version(device, tag, version, Input::Back(Wait::NotInRoster));
            }
            TagReport::Failed { reason, .. } => {
                self.step_version(device, tag, version, Input::Failed(*reason));
            }
            TagReport::OperationAccepted { .. }
            | TagReport::OperationDone { .. }
            | TagReport::OperationFailed { .. } => self.operation_report(device, report),
        }
    }

    /// An input for the task of this version; older tasks have ended, and newer versions nobody sent.
    fn step_version(&mut self, device: &DeviceId, tag: TagId, version: u64, input: Input) {
        let Some(entry) = self.shop.tags.get(&tag) else { return };
        if version > entry.row.version {
            self.suspect(device, Suspicion::NeverSent, format!("version {version} of {tag}"));
        } else if entry.task.as_ref().is_some_and(|task| task.order().version == version) {
            self.step(tag, input);
        }
    }

    fn outdated(&mut self, device: &DeviceId, tag: TagId, newest: u64) {
        if newest > VERSION_MAX {
            self.suspect(device, Suspicion::AbsurdNumber, format!("version {newest} of {tag}"));
            return;
        }
        self.learn_version(tag, newest);
        self.reconcile(tag);
    }

    /// A tag says, through its access point, what it shows.
    fn confirm(&mut self, device: &DeviceId, tag: TagId, claim: Claim) {
        let Claim { version, face, at, battery_mv } = claim;
        let touched = self.shop.gate.products_on(tag);
        match self.shop.gate.confirm(tag, version, face) {
            Confirmation::NeverSent => {
                let detail = format!("{tag} is said to show version {version}, face {}", face.short());
                self.suspect(device, Suspicion::NeverSent, detail);
                return;
            }
            Confirmation::Known => {}
            Confirmation::News => {
                for key in touched {
                    self.touch(key);
                }
                let before = self.shown(tag);
                let access_point = device.clone();
                self.write(Write::Confirmation { tag, version, face, access_point, at, before });
                self.show(tag, version, face);
                self.finish_task(tag, version);
                self.reconcile(tag);
            }
        }
        if let Some(battery_mv) = battery_mv {
            let seen = at.min(self.now);
            self.write(Write::Health(HealthRow { tag, seen, battery_mv, air: None }));
            self.heard_of_tag(tag, seen);
        }
    }

    /// The version and face the tag confirmed last.
    fn shown(&self, tag: TagId) -> Option<(u64, FaceHash)> {
        let shows = self.shop.tags.get(&tag)?.row.shows.as_ref()?;
        Some((shows.version, shows.shown.face))
    }

    fn show(&mut self, tag: TagId, version: u64, face: FaceHash) {
        let price = self.shop.gate.sent(tag, version).and_then(|sent| sent.prices.first()).cloned();
        let (product, price) = price.unzip();
        let Some(entry) = self.shop.tags.get_mut(&tag) else { return };
        entry.row.blank = None;
        entry.row.shows = Some(Confirmed { version, shown: Shown { face, price, product }, at: self.now });
        self.write_tag(tag);
        self.tell(News::TagShows { tag, version, face });
    }

    fn finish_task(&mut self, tag: TagId, version: u64) {
        let task = self.shop.tags.get(&tag).and_then(|entry| entry.task.as_ref());
        let Some(order) = task.map(Task::order).filter(|order| order.version == version) else { return };
        if order.change.is_some() {
            let asked = self.begun(order).unwrap_or(order.created);
            let waited = self.now.since(asked);
            self.tell(News::PriceDisplayed(waited));
        }
        self.step(tag, Input::Confirmed);
    }

    fn face_need(&mut self, device: &DeviceId, face: FaceHash) {
        if self.tags_at(device).into_iter().any(|tag| self.needs(tag, face)) {
            self.push(Effect::SendFace { device: device.clone(), face });
        } else {
            self.suspect(device, Suspicion::ForeignFace, format!("face {}", face.short()));
        }
    }

    fn needs(&self, tag: TagId, face: FaceHash) -> bool {
        let live = self.shop.tags.get(&tag).and_then(|entry| entry.task.as_ref());
        let is_wanted =
            live.is_some_and(|task| task.order().face == face && !matches!(task.state(), State::Held(_)));
        is_wanted || self.shop.gate.was_sent(tag, face)
    }
}
