//! Reasons in words on acknowledgements that say no: MQTT 5 sections 3.4.2.2.2, 3.5.2.2.2, 3.6.2.2.2, 3.7.2.2.2,
//! 3.9.2.1.2 and 3.11.2.1.2.

use crate::harness::v5::{Connect5, property, publish5, subscribe5};
use crate::harness::{Connect, Octets, TestBroker, packet, publish, subscribe, text};

/// A reason string among properties.
fn words(text_of_them: &str) -> Vec<u8> {
    [&[31][..], &text(text_of_them)].concat()
}

async fn terse(broker: &TestBroker) -> Octets {
    broker.connect5(&Connect5::of("terse").with(&property::request_problem_info(0))).await
}

async fn takes(broker: &TestBroker, bytes: usize) -> Octets {
    let bytes = u32::try_from(bytes).unwrap();
    broker.connect5(&Connect5::of("small").with(&property::packet_bytes_max(bytes))).await
}

#[tokio::test]
async fn puback_and_pubrec_that_refuse_say_why_octet_by_octet() {
    let broker = TestBroker::start();
    let mut client = broker.client5("a").await;
    let cases = [
        (
            "nowhere/x",
            0x90,
            "parent topic `nowhere` does not exist in instance `mqtt-test`: an administrator creates it",
        ),
        ("up/b", 0x87, "no grant to publish to `up/b`: what the client signed in with needs W for it"),
        ("news/+", 0x90, "topic `news/+` has a wildcard: + and # are for filters only"),
        (
            "down/p2p/bob",
            0x90,
            "P2P topic `down/p2p/bob` does not name exactly one client: client ID `bob` is not <GroupID>@@@<DeviceID>",
        ),
        ("$SYS/x", 0x90, "`$SYS/x` is a system topic, which clients do not publish to"),
    ];
    for (topic, reason, why) in cases {
        let tail = [&[0, 7, reason][..], &property::block(&words(why))].concat();
        client.exchange(&publish5(2, topic, 7, &[], "x"), &packet(0x40, &tail)).await;
        client.exchange(&publish5(4, topic, 7, &[], "x"), &packet(0x50, &tail)).await;
    }
    let long = "ż".repeat(65);
    let said = client.refused(&publish5(2, &long, 7, &[], "x"), 0x40, 7, 0x90).await;
    assert_eq!(said, "topic has 65 characters, 3 to 64 are allowed");
}

#[tokio::test]
async fn pubrel_and_pubcomp_of_an_unknown_identifier_say_so() {
    let broker = TestBroker::start();
    let mut client = broker.client5("a").await;
    let why = "no message of QoS 2 is under way with packet identifier 7: nothing is left to do for it";
    let tail = [&[0, 7, 0x92][..], &property::block(&words(why))].concat();
    client.exchange(&packet(0x62, &[0, 7]), &packet(0x70, &tail)).await;
    client.exchange(&packet(0x50, &[0, 7]), &packet(0x62, &tail)).await;
}

#[tokio::test]
async fn suback_names_the_first_filter_that_is_refused_and_how_many_more_are() {
    let broker = TestBroker::start_with(&["--filters-per-client-max", "1"]);
    let mut client = broker.client5("a").await;
    client.send(&subscribe5(9, &[], &[("news/x", 0), ("news/#/b", 0), ("up/b", 0), ("nowhere/x", 0)])).await;
    let why = "filter 2, `news/#/b`: # must be the last level (2 more refused)";
    let expected = [&[0, 9][..], &property::block(&words(why)), &[0, 0x8F, 0x87, 0x8F]].concat();
    client.expect(&packet(0x90, &expected)).await;
    let cases = [
        ("up/b", 0x87, "no grant to subscribe to it: what the client signed in with needs R for it"),
        ("news/x#", 0x8F, "+ and # must each be a whole level"),
        (
            "nowhere/x",
            0x8F,
            "parent topic `nowhere` does not exist in instance `mqtt-test`: an administrator creates it",
        ),
        ("down/p2p/GID_TEST@@@b", 0x87, "the P2P filter of another client: one's own needs no subscription"),
        ("$share/g", 0x8F, "a shared subscription is $share/<name>/<filter>, and its name has no + # or /"),
        ("$SYS/#", 0x8F, "of system topics only $SYS/status/<GroupID> of a group that exists can be read"),
        ("news/y", 0x97, "the client has 1 filters, as many as it may: unsubscribe from one first"),
    ];
    for (filter, code, why) in cases {
        client.send(&subscribe5(9, &[], &[(filter, 0)])).await;
        let said = client.answer_in_words(0x90, 9, &[code]).await;
        assert_eq!(said, Some(format!("filter 1, `{filter}`: {why}")));
    }
    let mut kept = broker.connect5(&Connect5::of("kept").lasting(60)).await;
    kept.send(&subscribe5(9, &[], &[("news/y", 2)])).await;
    let said = kept.answer_in_words(0x90, 9, &[0x83]).await;
    let why = "filter 1, `news/y`: QoS 2 does not take effect for a session that is kept: ask for QoS 1";
    assert_eq!(said.as_deref(), Some(why));
}

#[tokio::test]
async fn who_wants_no_problem_information_gets_codes_only() {
    let broker = TestBroker::start();
    let mut client = terse(&broker).await;
    client.exchange(&publish5(2, "nowhere/x", 7, &[], "x"), &packet(0x40, &[0, 7, 0x90])).await;
    client.exchange(&publish5(4, "nowhere/x", 7, &[], "x"), &packet(0x50, &[0, 7, 0x90])).await;
    client.exchange(&packet(0x62, &[0, 7]), &packet(0x70, &[0, 7, 0x92])).await;
    client.exchange(&packet(0x50, &[0, 7]), &packet(0x62, &[0, 7, 0x92])).await;
    client.exchange(&subscribe5(9, &[], &[("up/b", 0)]), &packet(0x90, &[0, 9, 0, 0x87])).await;
    let mut older = broker.client("older").await;
    older.exchange(&subscribe(9, &[("up/b", 0)]), &packet(0x90, &[0, 9, 0x80])).await;
    older.exchange(&packet(0x62, &[0, 7]), &packet(0x70, &[0, 7])).await;
}

#[tokio::test]
async fn words_that_do_not_fit_the_clients_maximum_are_left_out() {
    let broker = TestBroker::start();
    let mut client = broker.client5("a").await;
    let mut sizes = Vec::new();
    let asked = [
        (publish5(2, "nowhere/x", 7, &[], "x"), packet(0x40, &[0, 7, 0x90])),
        (publish5(4, "nowhere/x", 7, &[], "x"), packet(0x50, &[0, 7, 0x90])),
        (packet(0x62, &[0, 7]), packet(0x70, &[0, 7, 0x92])),
        (packet(0x50, &[0, 7]), packet(0x62, &[0, 7, 0x92])),
        (subscribe5(9, &[], &[("up/b", 0)]), packet(0x90, &[0, 9, 0, 0x87])),
    ];
    for (sent, _) in &asked {
        client.send(sent).await;
        sizes.push(client.packet().await);
    }
    for ((sent, plain), whole) in asked.iter().zip(sizes) {
        takes(&broker, whole.len()).await.exchange(sent, &whole).await;
        takes(&broker, whole.len() - 1).await.exchange(sent, plain).await;
    }
}

#[tokio::test]
async fn words_are_short_and_hold_no_control_characters() {
    let broker = TestBroker::start();
    let mut client = broker.client5("a").await;
    client.send(&subscribe5(9, &[], &[("up/\u{1b}[31m\u{7f}\u{202e}", 0)])).await;
    let said = client.answer_in_words(0x90, 9, &[0x87]).await.unwrap();
    assert!(said.starts_with("filter 1, `up/\u{FFFD}[31m\u{FFFD}\u{FFFD}`: no grant"), "{said}");
    let standard = TestBroker::standard();
    let mut client = standard.anybody5("a").await;
    let topic = format!("$SYS/{}", "\u{1F600}".repeat(16_000));
    let said = client.refused(&publish5(2, &topic, 7, &[], "x"), 0x40, 7, 0x87).await;
    assert!(said.ends_with("is reserved: clients do not publish to $SYS and $share"), "{said}");
    let filter = format!("{}/#/", "\u{1F600}".repeat(16_000));
    client.send(&subscribe5(9, &[], &[(&filter, 0), (&filter, 0)])).await;
    let said = client.answer_in_words(0x90, 9, &[0x8F, 0x8F]).await.unwrap();
    assert!(said.len() <= 512 && said.ends_with("# must be the last level (1 more refused)"), "{said}");
}

#[tokio::test]
async fn success_has_no_words() {
    let broker = TestBroker::start();
    let mut client = broker.client5("a").await;
    client.exchange(&publish5(2, "news/x", 7, &[], "x"), &packet(0x40, &[0, 7, 0x10])).await;
    client.exchange(&publish5(4, "news/x", 7, &[], "x"), &packet(0x50, &[0, 7, 0x10])).await;
    client.exchange(&packet(0x62, &[0, 7]), &packet(0x70, &[0, 7])).await;
    client.exchange(&subscribe5(9, &[], &[("news/x", 1)]), &packet(0x90, &[0, 9, 0, 1])).await;
    let mut older = broker.connect(&Connect::of("b")).await;
    older.exchange(&publish("news/y", "x", 1, 7), &packet(0x40, &[0, 7])).await;
}
