//! Transcripts and properties of the session core.

use proptest::prelude::*;
use std::collections::BTreeSet;
use wire::Timestamp;

use super::*;
use crate::codec::{ClientLimits, Packet, SubscriptionOptions, Version, frame, read, reason};
use crate::dialect::Dialect;
use crate::stored::GivenUp;

const LIMITS: SessionLimits = SessionLimits {
    inflight_max: 3,
    live_waiting_max: 4,
    live_bytes_max: 100,
    stored_max: 6,
    receiving_max: 2,
};

fn message(number: u64, qos: Qos) -> Arc<Message> {
    Arc::new(Message::new("a/b", number.to_string().as_bytes(), qos, Timestamp::EPOCH))
}

fn stored(seq: u64) -> Arc<Stored> {
    Arc::new(Stored::new(seq, message(seq, Qos::AtLeastOnce), 1))
}

fn mailbox(seq: u64) -> Outgoing {
    Outgoing {
        body: Body::Mailbox(stored(seq)),
        qos: Qos::AtLeastOnce,
        retain: false,
        ids: SubscriptionIds::none(),
    }
}

fn live(number: u64, qos: Qos) -> Outgoing {
    Outgoing { body: Body::Live(message(number, qos)), qos, retain: false, ids: SubscriptionIds::none() }
}

fn seq(body: Option<Body>) -> Option<u64> {
    body?.stored().map(|stored| stored.seq)
}

fn load(stored: &Arc<Stored>) -> Option<Arc<Message>> {
    stored.body()
}

fn deliver(session: &mut Session, outgoing: Outgoing, out: &mut Outbox) -> (Delivered, Option<Lost>) {
    session.deliver(outgoing, &mut Way { out, load: &mut load, tell: &mut |_| {}, now: Timestamp::EPOCH })
}

/// PUBREC, and PUBREL when one follows.
fn pubrec(session: &mut Session, id: u16, code: u8, out: &mut Outbox) -> bool {
    let reason = match session.on_pubrec(id, code).unwrap() {
        Release::Unknown => reason::PACKET_ID_NOT_FOUND,
        Release::Settling(_) => reason::SUCCESS,
        Release::Refused(_) => return false,
    };
    put_ack(Ack { reason, ..Ack::success(AckKind::PubRel, id) }, out);
    true
}

fn pump(session: &mut Session, out: &mut Outbox) -> Vec<Lost> {
    session.pump(&mut Way { out, load: &mut load, tell: &mut |_| {}, now: Timestamp::EPOCH })
}

/// What a client would read from the outbox: `payload#identifier` with `!` for DUP, `REL#identifier`.
fn drain(out: &mut Outbox) -> String {
    let octets = out.take();
    let mut rest = &octets[..];
    let mut read_packets = Vec::new();
    while let Some(found) = frame(rest, 70_000).unwrap() {
        let packet = read(&found, rest, out.dialect.version()).unwrap();
        read_packets.push(if let Packet::Publish(publish) = packet {
            let text = String::from_utf8_lossy(publish.payload).into_owned();
            let dup = if publish.dup { "!" } else { "" };
            if publish.packet_id == 0 { text } else { format!("{text}#{}{dup}", publish.packet_id) }
        } else if let Packet::PubRel(id, _) = packet {
            format!("REL#{id}")
        } else {
            format!("{packet:?}")
        });
        rest = &rest[found.total_bytes..];
    }
    read_packets.join(" ")
}

#[test]
fn the_window_holds_messages_back_and_acknowledgements_let_them_go() {
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::default());
    for number in 1..=5 {
        deliver(&mut session, live(number, Qos::AtLeastOnce), &mut out);
    }
    insta::assert_snapshot!(drain(&mut out), @"1#1 2#2 3#3");
    session.on_puback(2).unwrap();
    pump(&mut session, &mut out);
    insta::assert_snapshot!(drain(&mut out), @"4#4");
}

#[test]
fn what_is_stored_comes_again_with_dup_and_its_identifier_and_what_is_not_is_gone() {
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::default());
    deliver(&mut session, mailbox(1), &mut out);
    deliver(&mut session, live(2, Qos::AtLeastOnce), &mut out);
    deliver(&mut session, mailbox(3), &mut out);
    deliver(&mut session, mailbox(4), &mut out);
    insta::assert_snapshot!(drain(&mut out), @"1#1 2#2 3#3");
    assert_eq!(session.disconnected().len(), 1);
    session.keep(mailbox(5));
    pump(&mut session, &mut out);
    insta::assert_snapshot!(drain(&mut out), @"1#1! 3#3! 4#4");
    assert_eq!(seq(session.on_puback(1).unwrap()), Some(1));
    pump(&mut session, &mut out);
    insta::assert_snapshot!(drain(&mut out), @"5#5");
}

#[test]
fn qos_2_is_released_once_and_repeats_the_release_after_a_reconnect() {
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::default());
    deliver(&mut session, live(1, Qos::ExactlyOnce), &mut out);
    assert!(pubrec(&mut session, 1, reason::SUCCESS, &mut out));
    insta::assert_snapshot!(drain(&mut out), @"1#1 REL#1");
    session.disconnected();
    session.resume(&mut out);
    insta::assert_snapshot!(drain(&mut out), @"REL#1");
    session.on_pubcomp(1).unwrap();
    assert_eq!(session.inflight_count(), 0);
}

#[test]
fn a_new_session_keeps_the_mailbox_and_nothing_else() {
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::default());
    session.subscriptions.insert("a/#".to_owned(), SubscriptionOptions::of_qos(Qos::AtLeastOnce));
    let body = Body::Subscription(stored(1));
    session.keep(Outgoing { body, qos: Qos::AtLeastOnce, retain: false, ids: SubscriptionIds::none() });
    session.keep(mailbox(2));
    assert_eq!(session.forget().iter().map(|stored| stored.seq).collect::<Vec<_>>(), [1]);
    assert!(session.subscriptions.is_empty());
    pump(&mut session, &mut out);
    insta::assert_snapshot!(drain(&mut out), @"2#1");
}

#[test]
fn bounds() {
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::default());
    for number in 1..=7 {
        assert_eq!(deliver(&mut session, live(number, Qos::AtLeastOnce), &mut out).0, Delivered::Taken);
    }
    assert_eq!(deliver(&mut session, live(8, Qos::AtLeastOnce), &mut out).0, Delivered::Overflow);

    let limits = SessionLimits { inflight_max: 9, live_waiting_max: 9, live_bytes_max: 8, ..LIMITS };
    let (mut session, mut out) = (Session::new(limits), Outbox::default());
    // Four octets each: two fill the window, two more wait.
    for number in 1..=4 {
        assert_eq!(deliver(&mut session, live(number, Qos::AtLeastOnce), &mut out).0, Delivered::Taken);
    }
    assert_eq!(session.inflight_count(), 2);
    assert_eq!(deliver(&mut session, live(5, Qos::AtLeastOnce), &mut out).0, Delivered::Overflow);
    assert!(session.on_puback(1).unwrap().is_some());
    pump(&mut session, &mut out);
    assert_eq!(session.inflight_count(), 2);
    assert_eq!(deliver(&mut session, live(5, Qos::AtLeastOnce), &mut out).0, Delivered::Taken);
    session.disconnected();
    for number in 1..=4 {
        assert_eq!(deliver(&mut session, live(number, Qos::AtLeastOnce), &mut out).0, Delivered::Taken);
    }

    let mut absent = Session::new(LIMITS);
    let dropped: Vec<u64> =
        (1..=8).filter_map(|seq| absent.keep(mailbox(seq))).map(|lost| lost.stored.unwrap().seq).collect();
    assert_eq!(dropped, [1, 2], "the oldest go first");

    assert_eq!(absent.on_publish_qos2(7), Opening::New);
    assert_eq!(absent.on_publish_qos2(7), Opening::Again { receipts: 2 });
    assert_eq!(absent.on_publish_qos2(8), Opening::New);
    assert_eq!(absent.on_publish_qos2(9), Opening::TooMany);
    absent.disconnected();
    assert_eq!(absent.on_publish_qos2(7), Opening::Again { receipts: 1 });
    assert!(absent.on_pubrel(7));
    assert!(!absent.on_pubrel(7));
}

#[test]
fn a_full_outbox_drops_qos_0_only() {
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::default());
    let big = Arc::new(Message::new(
        "a/b",
        &vec![0; crate::outbox::OUTBOX_BYTES_MAX],
        Qos::AtMostOnce,
        Timestamp::EPOCH,
    ));
    let mut fat = live(0, Qos::AtMostOnce);
    fat.body = Body::Live(big);
    assert_eq!(deliver(&mut session, fat.clone(), &mut out).0, Delivered::Taken);
    assert_eq!(deliver(&mut session, fat, &mut out).0, Delivered::DroppedQos0);
    assert_eq!(deliver(&mut session, mailbox(1), &mut out).0, Delivered::Taken);
    assert_eq!(session.inflight_count(), 0, "it waits");
}

#[test]
fn a_client_of_version_5_gets_what_it_can_take() {
    let limits = ClientLimits { receive_max: 1, packet_bytes_max: 12, ..ClientLimits::default() };
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::new(Dialect::new(Version::V5, limits)));
    let mut large = live(0, Qos::AtLeastOnce);
    large.body = Body::Live(Arc::new(Message::new("a/b", b"too large", Qos::AtLeastOnce, Timestamp::EPOCH)));
    assert_eq!(deliver(&mut session, large, &mut out).1.unwrap().why, Loss::TooLarge);
    let mut late = live(0, Qos::AtLeastOnce);
    let expired = Message::new("a/b", b"x", Qos::AtLeastOnce, Timestamp::EPOCH).expiring(Some(0));
    late.body = Body::Live(Arc::new(expired));
    assert_eq!(deliver(&mut session, late, &mut out).1.unwrap().why, Loss::Expired);
    deliver(&mut session, live(1, Qos::AtLeastOnce), &mut out);
    deliver(&mut session, live(2, Qos::AtLeastOnce), &mut out);
    insta::assert_snapshot!(drain(&mut out), @"1#3");
    session.on_puback(3).unwrap();
    pump(&mut session, &mut out);
    insta::assert_snapshot!(drain(&mut out), @"2#4");
}

#[test]
fn an_acknowledgement_of_the_wrong_kind_changes_nothing() {
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::default());
    deliver(&mut session, live(1, Qos::AtLeastOnce), &mut out);
    deliver(&mut session, live(2, Qos::ExactlyOnce), &mut out);
    let (once, twice) = (WrongKind { qos: Qos::AtLeastOnce }, WrongKind { qos: Qos::ExactlyOnce });
    assert_eq!(session.on_pubrec(1, reason::SUCCESS).unwrap_err(), once);
    assert_eq!(session.on_pubrec(1, reason::QUOTA_EXCEEDED).unwrap_err(), once);
    assert_eq!(session.on_pubcomp(1), Err(once));
    assert_eq!(session.on_puback(2).unwrap_err(), twice);
    assert_eq!(session.on_pubcomp(2), Err(twice));
    assert!(pubrec(&mut session, 2, reason::SUCCESS, &mut out));
    assert_eq!(session.on_puback(2).unwrap_err(), twice);
    assert!(session.on_puback(9).unwrap().is_none() && !session.on_pubcomp(9).unwrap());
    assert_eq!(session.inflight_count(), 2);
    assert!(session.on_pubcomp(2).unwrap() && session.on_puback(1).unwrap().is_some());
    assert_eq!(session.inflight_count(), 0);
}

#[test]
fn a_refused_qos_2_message_is_done_and_an_unknown_one_is_answered() {
    let (mut session, mut out) =
        (Session::new(LIMITS), Outbox::new(Dialect::new(Version::V5, ClientLimits::default())));
    deliver(&mut session, live(1, Qos::ExactlyOnce), &mut out);
    drain(&mut out);
    assert!(!pubrec(&mut session, 1, reason::QUOTA_EXCEEDED, &mut out));
    assert_eq!((session.inflight_count(), out.is_empty()), (0, true));
    assert!(pubrec(&mut session, 1, reason::SUCCESS, &mut out));
    assert_eq!(out.take()[..], [0x62, 3, 0, 1, reason::PACKET_ID_NOT_FOUND]);
}

#[test]
fn after_a_restart_identifiers_are_those_of_the_subscriptions_that_match() {
    let limits = ClientLimits::default();
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::new(Dialect::new(Version::V5, limits)));
    for (filter, id) in [("a/#", 5), ("$share/x/a/+", 6), ("b", 7)] {
        let options = SubscriptionOptions { id, ..SubscriptionOptions::of_qos(Qos::AtLeastOnce) };
        session.subscriptions.insert(filter.to_owned(), options);
    }
    let body = Body::Subscription(stored(1));
    let ids = SubscriptionIds::Matching;
    session.restore_waiting(Outgoing { body, qos: Qos::AtLeastOnce, retain: false, ids }, None);
    pump(&mut session, &mut out);
    assert_eq!(out.take()[..], [0x32, 13, 0, 3, b'a', b'/', b'b', 0, 1, 4, 11, 6, 11, 5, b'1']);
}

#[test]
fn after_a_restart_what_was_under_way_comes_first_with_its_identifier_and_others_avoid_it() {
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::default());
    session.begin_packet_ids(u64::from(u16::MAX));
    session.restore_settling(2);
    session.restore_waiting(mailbox(1), None);
    session.restore_waiting(mailbox(2), Some(1));
    session.restore_waiting(mailbox(3), None);
    session.resume(&mut out);
    pump(&mut session, &mut out);
    insta::assert_snapshot!(drain(&mut out), @"REL#2 2#1! 1#3");
    assert_eq!(session.take_newly_sent(), [(1, 3)]);
    assert!(session.on_pubcomp(2).unwrap() && !session.on_pubcomp(2).unwrap());
    session.on_puback(1).unwrap();
    pump(&mut session, &mut out);
    insta::assert_snapshot!(drain(&mut out), @"3#4");
}

#[test]
fn what_is_given_up_leaves_the_queue_and_is_not_sent_again() {
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::default());
    let [first, second, third, fourth] = [1, 2, 3, 4].map(mailbox);
    let give_up = |outgoing: &Outgoing| outgoing.body.stored().unwrap().give_up(GivenUp::InstanceQuota);
    give_up(&fourth);
    assert_eq!(session.keep(fourth).unwrap().why, Loss::InstanceQuota);
    deliver(&mut session, first.clone(), &mut out);
    session.keep(second.clone());
    session.keep(third.clone());
    give_up(&first);
    give_up(&second);
    assert!(session.evict(2));
    assert!(!session.evict(1), "it is under way");
    session.disconnected();
    drain(&mut out);
    assert_eq!(pump(&mut session, &mut out)[0].why, Loss::InstanceQuota);
    insta::assert_snapshot!(drain(&mut out), @"3#2");
    assert_eq!(session.stored_count(), 1);
}

#[test]
fn an_identifier_that_is_in_use_is_passed_over_lap_after_lap() {
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::default());
    let mut send = |session: &mut Session, number: u64| {
        deliver(session, live(number, Qos::AtLeastOnce), &mut out);
        let sent = drain(&mut out);
        sent.split_once('#').unwrap().1.parse::<u16>().unwrap()
    };
    // Two that are never acknowledged, far from each other.
    let mut stuck = vec![send(&mut session, 0)];
    for number in 1..200_000 {
        let id = send(&mut session, number);
        assert!(id != 0 && !stuck.contains(&id), "message {number} got {id}, which is in use");
        if number == 40_000 {
            stuck.push(id);
        } else {
            session.on_puback(id).unwrap();
        }
    }
    assert_eq!(session.inflight_count(), 2);
}

#[test]
fn identifiers_go_round_while_the_window_is_full() {
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::default());
    let mut under_way = VecDeque::new();
    for number in 0..140_000 {
        deliver(&mut session, live(number, Qos::AtLeastOnce), &mut out);
        let sent = drain(&mut out);
        let id: u16 = sent.split_once('#').unwrap().1.parse().unwrap();
        assert!(id != 0 && !under_way.contains(&id), "message {number} got {id}, which is in use");
        under_way.push_back(id);
        if under_way.len() == LIMITS.inflight_max {
            session.on_puback(under_way.pop_front().unwrap()).unwrap();
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Deliver,
    AckOldest,
    AckNewest,
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Deliver),
        2 => Just(Step::AckOldest),
        1 => Just(Step::AckNewest),
        1 => Just(Step::Reconnect),
    ]
}

proptest! {
    /// Whatever happens, a stored message is sent until it is acknowledged, in order within a connection, and no
    /// packet identifier stands for two messages at once.
    #[test]
    fn a_stored_message_is_sent_until_it_is_acknowledged(steps in prop::collection::vec(step(), 1..200)) {
        let limits = SessionLimits { stored_max: usize::MAX, ..LIMITS };
        let (mut session, mut out) = (Session::new(limits), Outbox::default());
        let (mut next, mut acknowledged) = (1_u64, BTreeSet::new());
        let mut under_way: Vec<(u16, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Deliver => {
                    deliver(&mut session, mailbox(next), &mut out);
                    next += 1;
                }
                Step::AckOldest | Step::AckNewest if under_way.is_empty() => {}
                Step::AckOldest | Step::AckNewest => {
                    let index = if matches!(step, Step::AckOldest) { 0 } else { under_way.len() - 1 };
                    let (id, seq) = under_way.remove(index);
                    prop_assert_eq!(self::seq(session.on_puback(id).unwrap()), Some(seq));
                    acknowledged.insert(seq);
                }
                Step::Reconnect => {
                    session.disconnected();
                    under_way.clear();
                    session.resume(&mut out);
                }
            }
            pump(&mut session, &mut out);
            for sent in drain(&mut out).split_whitespace() {
                let (seq, id) = sent.trim_end_matches('!').split_once('#').unwrap();
                let (seq, id): (u64, u16) = (seq.parse().unwrap(), id.parse().unwrap());
                prop_assert!(!acknowledged.contains(&seq));
                prop_assert!(under_way.iter().all(|(other_id, other)| *other_id != id && *other < seq));
                under_way.push((id, seq));
            }
            prop_assert_eq!(session.stored_count() as u64, next - 1 - acknowledged.len() as u64);
        }
        while let Some((id, seq)) = under_way.pop() {
            session.on_puback(id).unwrap();
            acknowledged.insert(seq);
            pump(&mut session, &mut out);
            for sent in drain(&mut out).split_whitespace() {
                let (seq, id) = sent.trim_end_matches('!').split_once('#').unwrap();
                under_way.push((id.parse().unwrap(), seq.parse().unwrap()));
            }
        }
        prop_assert_eq!(acknowledged.len() as u64, next - 1);
    }
}
