use std::time::Duration;

use futures_util::StreamExt;
use wire::call::PhoneMessage;

use crate::app::{TOKEN, TestApp, lines};

#[tokio::test]
async fn an_operator_ends_a_call() {
    let mut app = TestApp::with_people().await;
    let (call, _) = app.invite("alice-1", "carol").await;
    let unsigned = app.client.post(app.url(&format!("/api/v1/calls/{call}/end")));
    assert_eq!(app.send(unsigned).await.0, 401);
    let (status, ended) = app.end_call(&call).await;
    assert_eq!((status, ended["reason"].as_str()), (200, Some("host_ended")));
    insta::assert_snapshot!(lines(&app.wait(Duration::ZERO, 2).await), @r"
    alice-1 call.ended host_ended
    carol-1 call.stop host_ended
    ");
    assert_eq!(app.end_call(&call).await.0, 200);
    let (status, problem) = app.end_call(&"no-such".parse().unwrap()).await;
    assert_eq!((status, problem["type"].as_str()), (404, Some("urn:problem:call-not-found")));

    let browser =
        app.client.post(app.url(&format!("/api/v1/calls/{call}/end"))).header("accept", "text/html");
    let answer = browser.bearer_auth(TOKEN).send().await.unwrap();
    assert!(answer.url().path().starts_with("/calls/"), "{}", answer.url());
    app.stop().await;
}

#[tokio::test]
async fn a_bad_question_is_answered_with_what_is_allowed() {
    let app = TestApp::with_people().await;
    let detail = |(status, problem): (u16, serde_json::Value)| {
        format!("{status} {}", problem["detail"].as_str().unwrap_or("?"))
    };
    insta::assert_snapshot!(detail(app.get("/api/v1/calls?state=dancing").await), @"400 Failed to deserialize query string: state: unknown variant `dancing`, expected one of `live`, `inviting`, `alerting`, `active`, `ended`");
    insta::assert_snapshot!(detail(app.get("/api/v1/calls?state=").await), @"400 Failed to deserialize query string: state: unknown variant ``, expected one of `live`, `inviting`, `alerting`, `active`, `ended`");
    insta::assert_snapshot!(detail(app.get("/api/v1/calls?phase=bogus").await), @"400 Failed to deserialize query string: phase: unknown field `phase`, expected one of `state`, `user`, `limit`");
    insta::assert_snapshot!(detail(app.get("/api/v1/calls?limit=0").await), @"422 limit is 0, 1 to 1000 are allowed");
    insta::assert_snapshot!(detail(app.get("/api/v1/calls?limit=1001").await), @"422 limit is 1001, 1 to 1000 are allowed");
    insta::assert_snapshot!(detail(app.get("/api/v1/cdrs?limit=many").await), @"400 Failed to deserialize query string: limit: invalid digit found in string");
    insta::assert_snapshot!(detail(app.get("/api/v1/cdrs?caller=alice").await), @"400 Failed to deserialize query string: caller: unknown field `caller`, expected `user` or `limit`");
    insta::assert_snapshot!(detail(app.get("/api/v1/devices?user=alice&user=bob").await), @"400 Failed to deserialize query string: duplicate field `user`");
    insta::assert_snapshot!(detail(app.get("/api/v1/users?user=alice").await), @"400 this operation takes no query, so `user=alice` means nothing");
    insta::assert_snapshot!(detail(app.get("/api/v1/calls/none?full=1").await), @"400 this operation takes no query, so `full=1` means nothing");
    insta::assert_snapshot!(detail(app.get("/api/v1/events?call=none").await), @"400 this operation takes no query, so `call=none` means nothing");
    assert_eq!(app.get("/api/v1/calls?limit=1000&state=live&user=alice").await.0, 200);
    insta::assert_snapshot!(detail(app.put_user("dora?rotated=true").await), @"400 Failed to deserialize query string: rotated: unknown field `rotated`, expected `rotate`");
    insta::assert_snapshot!(detail(app.put_user("dora?rotate=yes").await), @"400 Failed to deserialize query string: rotate: provided string was not `true` or `false`");
    let chosen =
        app.client.put(app.url("/api/v1/users/dora")).bearer_auth(TOKEN).body(r#"{"secret":"mine"}"#);
    insta::assert_snapshot!(detail(app.send(chosen).await), @"400 this operation takes no body, and 17 octets came");
    assert_eq!(app.get("/api/v1/users").await.1.as_array().unwrap().len(), 3);
    insta::assert_snapshot!(detail(app.get("/api/v1/calls?user=a%20b").await), @"400 `a b` is not 1 to 64 of 0-9 A-Z a-z _ -");
    insta::assert_snapshot!(detail(app.get("/api/v1/calls/a%20b").await), @"400 `a b` is not 1 to 64 of 0-9 A-Z a-z _ -");
    insta::assert_snapshot!(detail(app.get("/api/v1/calls/none").await), @"404 there is no call `none`; GET /api/v1/calls lists those there are");
    insta::assert_snapshot!(detail(app.get("/nowhere").await), @"404 see /openapi.json for what there is");
    app.stop().await;
}

#[tokio::test]
async fn who_is_signed_in_ends_a_call_from_the_pages() {
    let mut app = TestApp::with_people().await;
    let (call, _) = app.invite("alice-1", "carol").await;
    let page = format!("/calls/{call}");
    let (list, detail) = (app.text("/").await, app.text(&page).await);
    assert!(list.contains(r#"<a class="sign" href="/login?next=/">Sign in</a>"#), "{list}");
    assert!(detail.contains(&format!(r#"href="/login?next={page}""#)), "{detail}");
    assert!(!list.contains("<button") && !detail.contains("<button"));

    let cookie = app.sign_in().await;
    for path in ["/", "/fragments/calls", &page, &format!("/fragments{page}")] {
        let answer = app.client.get(app.url(path)).header("cookie", &cookie).send().await.unwrap();
        let html = answer.text().await.unwrap();
        assert!(html.contains(&format!(r#"action="/api/v1/calls/{call}/end""#)), "{html}");
        assert_eq!(html.contains("Sign out"), !path.starts_with("/fragments"), "{html}");
        assert!(!html.contains("/login"), "{html}");
    }
    let pressed = app.client.post(app.url(&format!("/api/v1/calls/{call}/end")));
    let pressed =
        pressed.header("cookie", &cookie).header("origin", app.url("")).header("accept", "text/html");
    let answer = pressed.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.url().path()), (200, page.as_str()));
    assert!(answer.text().await.unwrap().contains("ended by an operator"));
    assert_eq!(
        lines(&app.wait(Duration::ZERO, 2).await),
        "alice-1 call.ended host_ended\ncarol-1 call.stop host_ended"
    );
    app.stop().await;
}

#[tokio::test]
async fn pages_put_times_and_missing_calls_for_people() {
    let mut app = TestApp::with_people().await;
    assert!(app.text("/").await.contains("<b>–</b><span>mean time to answer"));
    let (call, _) = app.invite("alice-1", "carol").await;
    app.accept("carol-1", &call).await;
    app.clock.advance(Duration::from_millis(4));
    app.say("carol-1", PhoneMessage::Hangup { call: call.clone() }).await;
    for path in ["/", &format!("/calls/{call}")] {
        let html = app.text(path).await;
        assert!(html.contains("&#60; 1 s") && html.contains("2026-08-07 14:00:00 UTC"), "{html}");
    }
    assert!(app.text("/users").await.contains("2026-08-07 14:00:00 UTC"));
    for path in ["/calls/none", "/calls/a%20b"] {
        let (status, problem) = app.get(path).await;
        let detail = problem["detail"].as_str().unwrap().to_owned();
        assert_eq!(status, 404, "{path}");
        assert!(detail.ends_with("perhaps it was deleted long after its end."), "{detail}");
    }
    app.stop().await;
}

/// Which errors each operation tells of, and that each of them is a problem.
#[tokio::test]
async fn the_description_lists_every_error_answer() {
    let app = TestApp::new(&[]).await;
    let (_, api) = app.get("/openapi.json").await;
    let mut lines = Vec::new();
    for (path, operations) in api["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let answers = operation["responses"].as_object().unwrap();
            let errors: Vec<&str> =
                answers.keys().map(String::as_str).filter(|code| *code >= "400").collect();
            for code in &errors {
                let schema = &answers[*code]["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{method} {path} {code}");
            }
            lines.push(format!("{method} {path}: {}", errors.join(" ")));
        }
    }
    assert!(api["components"]["schemas"]["Problem"]["properties"]["detail"].is_object());
    insta::assert_snapshot!(lines.join("\n"), @r"
    get /api/v1/calls: 400 422 500
    get /api/v1/calls/{call}: 400 404 500
    post /api/v1/calls/{call}/end: 400 401 404 413 500 503
    get /api/v1/cdrs: 400 422 500
    get /api/v1/devices: 400 500
    post /api/v1/devices: 400 401 404 409 413 415 422 429 500 503
    get /api/v1/events: 400 500
    get /api/v1/users: 400 500
    put /api/v1/users/{user}: 400 401 409 413 422 500 503
    ");
    app.stop().await;
}

#[tokio::test]
async fn news_come_as_events() {
    let mut app = TestApp::with_people().await;
    let mut news = app.client.get(app.url("/api/v1/events")).send().await.unwrap().bytes_stream();
    let (call, _) = app.invite("alice-1", "carol").await;
    let first = String::from_utf8(news.next().await.unwrap().unwrap().to_vec()).unwrap();
    insta::assert_snapshot!(first.replace(call.as_str(), "CALL").trim(), @r#"
    event: call
    data: {"event":"call","call":"CALL","rev":1,"phase":"inviting"}
    "#);
    drop(news);
    app.stop().await;
}

#[tokio::test]
async fn pages_show_calls_users_and_timelines() {
    let mut app = TestApp::with_people().await;
    let (first, _) = app.invite("alice-1", "bob").await;
    app.accept("bob-1", &first).await;
    app.say("carol-1", PhoneMessage::Hello { epoch: 3, calls: vec![] }).await;
    let live = app.text("/").await;
    assert!(live.contains("<b>1</b><span>in call</span>"), "{live}");
    let call = app.text(&format!("/calls/{first}")).await;
    assert!(call.contains("<svg class=\"timeline\"") && call.contains("call.accept · voice"), "{call}");
    let users = app.text("/users").await;
    assert!(users.contains("data-ago") && users.contains("bob-2") && users.contains("never seen"), "{users}");
    for page in ["/static/app.js", "/static/app.css", "/fragments/calls", "/fragments/users"] {
        assert_eq!(app.client.get(app.url(page)).send().await.unwrap().status(), 200, "{page}");
    }
    let (_, api) = app.get("/openapi.json").await;
    let paths = api["paths"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    insta::assert_snapshot!(paths.join("\n"), @r"
    /api/v1/calls
    /api/v1/calls/{call}
    /api/v1/calls/{call}/end
    /api/v1/cdrs
    /api/v1/devices
    /api/v1/events
    /api/v1/users
    /api/v1/users/{user}
    ");
    app.stop().await;
}
