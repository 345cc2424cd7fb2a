//! What a token is worth, and for how long.

use proptest::prelude::*;

use super::*;

const LIFE_MAX: Duration = Duration::from_hours(30 * 24);

const AT: fn(u64) -> Timestamp = |secs| Timestamp::EPOCH.plus(Duration::from_secs(secs));

fn token(access_key: &str, actions: Actions, expires: Timestamp) -> Token {
    Token {
        access_key: access_key.to_owned(),
        digest: digest("s"),
        actions,
        topics: vec!["up/#".parse().unwrap()],
        issued: Timestamp::EPOCH,
        expires,
        revoked: false,
    }
}

fn told(tokens: &Tokens, presented: &str, actions: Actions, at: Timestamp) -> String {
    let checked = tokens.check(presented, actions, "AK", at);
    checked.map_or_else(|fault| format!("{} {fault}", fault.code()), |(id, _)| format!("good: {id}"))
}

#[test]
fn every_fault_of_a_token_has_its_number() {
    let mut tokens = Tokens::default();
    tokens.insert("t".to_owned(), token("AK", Actions::R, AT(60)));
    tokens.insert("other".to_owned(), token("AK2", Actions::R, AT(60)));
    insta::assert_snapshot!(told(&tokens, "t.s", Actions::R, AT(59)), @"good: t");
    insta::assert_snapshot!(told(&tokens, "ts", Actions::R, AT(0)), @"1 token forged");
    insta::assert_snapshot!(told(&tokens, "u.s", Actions::R, AT(0)), @"1 token forged");
    insta::assert_snapshot!(told(&tokens, "t.x", Actions::R, AT(99)), @"8 token signature wrong");
    insta::assert_snapshot!(told(&tokens, "other.s", Actions::R, AT(0)), @"-1 token of another access key");
    insta::assert_snapshot!(told(&tokens, "t.s", Actions::R, AT(60)), @"2 token expired");
    insta::assert_snapshot!(told(&tokens, "t.s", Actions::RW, AT(0)), @"5 token type mismatch");
    assert!(tokens.revoke("t").unwrap().revoked);
    insta::assert_snapshot!(told(&tokens, "t.s", Actions::R, AT(0)), @"3 token revoked");
    assert_eq!(tokens.revoke("u"), None);
}

#[test]
fn a_token_is_forgotten_a_day_after_its_time_and_at_once_when_room_is_needed() {
    let mut tokens = Tokens::default();
    tokens.insert("old".to_owned(), token("AK", Actions::R, AT(60)));
    tokens.insert("new".to_owned(), token("AK", Actions::R, AT(1000)));
    tokens.insert("back".to_owned(), token("AK", Actions::R, AT(1000)));
    tokens.revoke("back");
    assert_eq!((tokens.count(None), tokens.count(Some("AK")), tokens.count(Some("AK2"))), (3, 3, 0));
    assert!(tokens.forget_old(AT(60)).is_empty());
    assert_eq!(tokens.forget_worthless(AT(60)), ["back", "old"]);
    assert!(tokens.forget_old(AT(1000 + 24 * 3600 - 1)).is_empty());
    assert_eq!(tokens.forget_old(AT(1000 + 24 * 3600)), ["new"]);
    assert_eq!((tokens.count(None), tokens.count(Some("AK"))), (0, 0));
}

#[test]
fn an_access_key_takes_its_tokens_along() {
    let mut tokens = Tokens::default();
    tokens.insert("a".to_owned(), token("AK", Actions::R, AT(60)));
    tokens.insert("b".to_owned(), token("AK2", Actions::R, AT(60)));
    assert_eq!(tokens.forget_signed_by("AK"), ["a"]);
    assert_eq!(tokens.after("").map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_token_lasts_a_minute_at_least_and_thirty_days_at_most() {
    let month = AT(30 * 24 * 3600);
    assert_eq!(granted_expiry(AT(59), AT(0), LIFE_MAX), None);
    assert_eq!(granted_expiry(AT(60), AT(0), LIFE_MAX), Some(AT(60)));
    assert_eq!(granted_expiry(month, AT(0), LIFE_MAX), Some(month));
    assert_eq!(granted_expiry(month.plus(LIFE_MIN), AT(0), LIFE_MAX), Some(month));
}

#[test]
fn a_password_is_pairs_of_type_and_token() {
    let read = |password| read_password(password);
    assert_eq!(read("RW|xyz"), Some(vec![(Actions::RW, "xyz")]));
    assert_eq!(read("W|abcd|R|123"), Some(vec![(Actions::W, "abcd"), (Actions::R, "123")]));
    for bad in ["", "R", "R|", "X|1", "R|1|", "R|1|W", "R|1|R|2", "r|1", "|R|1", "R|1|W|2|RW|3|R|4"] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn nothing_but_the_token_itself_is_good(presented in "[a-z.]{0,6}") {
        let mut tokens = Tokens::default();
        tokens.insert("t".to_owned(), token("AK", Actions::R, AT(60)));
        let good = tokens.check(&presented, Actions::R, "AK", AT(0)).is_ok();
        prop_assert_eq!(good, presented == text("t", "s"));
    }

    #[test]
    fn counts_are_those_of_what_is_there(ops in proptest::collection::vec((0..3_u8, 0..4_u8, 0..2_u8), 0..40)) {
        let mut tokens = Tokens::default();
        for (op, id, key) in ops {
            let (id, key) = (format!("t{id}"), format!("AK{key}"));
            match op {
                0 => tokens.insert(id, token(&key, Actions::R, AT(60))),
                1 => drop(tokens.revoke(&id)),
                _ => drop(tokens.forget_signed_by(&key)),
            }
            for key in ["AK0", "AK1"] {
                let there = tokens.after("").filter(|(_, token)| token.access_key == key).count();
                prop_assert_eq!(tokens.count(Some(key)), there);
            }
            prop_assert_eq!(tokens.count(None), tokens.after("").count());
        }
    }
}
