//! What is sent to which reader.
#![forbid(unsafe_code)]

use super::*;
use crate::control::settings::LogLevel;
use crate::control::status::samples::{open, paused, THEN};
use crate::control::status::Time;
use crate::shared::word::Word;
use crate::time::Msec;
use crate::zone::Refusal;

const ORIGINAL: Manner = Manner { format: Format::Text, detail: Detail::Original };
const READER: Reader<'_> = Reader { method: Method::Get, manner: ORIGINAL, uri: b"/x/" };
const JSON_READER: Reader<'_> =
    Reader { manner: Manner { format: Format::Json, ..ORIGINAL }, ..READER };

/// What a reader gets while the app is paused.
fn sent(answer: Answer, reader: Reader<'_>) -> Response {
    answer.response(reader, Now::default(), paused).unwrap()
}

fn text(response: &Response) -> &str {
    &response.content.as_ref().unwrap().text
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let found = response.headers.iter().find(|(one, _)| *one == name);
    found.map(|(_, value)| value.as_ref())
}

#[test]
fn only_a_get_is_answered_304_where_all_is_as_it_was() {
    let status =
        |done: Done, method| (done.status(method, Format::Text), done.status(method, Format::Json));
    assert_eq!(status(Done::AsItWas, Method::Get), (304, 200));
    assert_eq!(status(Done::AsItWas, Method::Post), (200, 200));
    for done in [Done::Changed, Done::NotChanged] {
        assert_eq!(status(done, Method::Get), (200, 200));
        assert_eq!(status(done, Method::Post), (200, 200));
    }
}

fn in_place() -> Answer {
    Answer::state(Settings::new(None, LogLevel::Notice, vec![]), versions())
}

fn versions() -> Versions {
    Versions::new(b"nginx/1.28.3")
}

#[test]
fn a_call_without_parameters_gets_the_originals_words() {
    for (state, words) in [
        (Word::Open, "Pause disabled.\n"),
        (Word::Draining, "Pause disabled.\n"),
        (Word::Paused, "Pause enabled.\n"),
        (Word::Stopped, "Stopped.\n"),
    ] {
        let app = Status { state, ..paused() };
        for answer in [in_place(), Answer::done(Done::Changed)] {
            let response = sent(answer.about(app), READER);
            assert_eq!((response.status, text(&response)), (200, words));
            assert_eq!(response.content.unwrap().media_type, "text/plain");
        }
    }
}

#[test]
fn a_call_with_parameters_gets_further_lines() {
    let manner = Manner { detail: Detail::More, ..ORIGINAL };
    let reader = Reader { manner, ..READER };
    let response = sent(Answer::done(Done::Changed).between(open(), paused()), reader);
    assert!(text(&response).starts_with("Pause enabled.\napp \"shop\": pause 13 is active"));
}

#[test]
fn a_304_has_no_body() {
    let response = sent(Answer::done(Done::AsItWas), READER);
    assert_eq!((response.status, response.content), (304, None));
}

#[test]
fn every_answer_names_its_app_and_its_newest_pause_and_is_not_stored() {
    for answer in [
        in_place(),
        Answer::error(&Error::NoVerb),
        Answer::done(Done::AsItWas),
        Answer::file(dashboard::STYLE),
        Answer::apps(vec![], versions()),
    ] {
        let response = sent(answer, READER);
        assert_eq!(header(&response, "Cache-Control"), Some("no-store"));
        assert_eq!(header(&response, "Intermission-App"), Some("shop"));
        assert_eq!(header(&response, "Intermission-Pause"), Some("13"));
        assert_eq!(header(&response, "Retry-After"), None);
    }
}

#[test]
fn a_503_says_when_to_ask_again() {
    let refused = Answer::error(&Error::Refused(Refusal::Full, &open()));
    let response = sent(refused.clone(), READER);
    assert_eq!((response.status, header(&response, "Retry-After")), (503, Some("10")));
    let leased = Status { until: Some(Time(Msec(2001))), ..paused() };
    assert_eq!(header(&sent(refused.about(leased), READER), "Retry-After"), Some("3"));
}

#[test]
fn an_error_is_a_line_of_text_or_json() {
    let error = Error::Method("POST");
    let response = sent(Answer::error(&error), READER);
    assert_eq!((response.status, text(&response)), (405, "the method must be POST\n"));
    assert_eq!(header(&response, "Allow"), Some("POST"));
    let response = sent(Answer::error(&error), JSON_READER);
    assert_eq!(text(&response), "{\"error\":\"the method must be POST\"}\n");
    assert_eq!(response.content.unwrap().media_type, "application/json");
}

#[test]
fn json_says_whether_anything_changed() {
    let json = |answer| text(&sent(answer, JSON_READER)).to_string();
    assert!(json(Answer::done(Done::Changed)).ends_with(",\"changed\":true}\n"));
    assert!(json(Answer::done(Done::AsItWas)).ends_with(",\"changed\":false}\n"));
    assert!(!json(in_place()).contains("changed"));
    assert!(!json(Answer::done(Done::Changed)).contains("settings"));
    assert!(json(in_place()).contains(&format!("\"since\":\"{THEN}\"")));
}

#[test]
fn the_metrics_and_the_dashboard_are_also_there_as_json() {
    let slots = Slots { used: 0, total: 8 };
    let answers = [
        Answer::apps(vec![open()], versions()),
        Answer::metrics(vec![open()], slots, versions()),
        Answer::dashboard(vec![open()], versions()),
    ];
    let media_types = ["application/json", metrics::MEDIA_TYPE, "text/html; charset=utf-8"];
    for (answer, media_type) in answers.into_iter().zip(media_types) {
        assert_eq!(sent(answer.clone(), READER).content.unwrap().media_type, media_type);
        assert!(text(&sent(answer, JSON_READER)).contains("\"app_encoded\":\"shop\""));
    }
}

#[test]
fn the_dashboard_lets_nothing_else_run_in_it() {
    let page = sent(Answer::dashboard(vec![], versions()), READER);
    assert_eq!(header(&page, "Content-Security-Policy"), Some(dashboard::POLICY));
    let script = sent(Answer::file(dashboard::SCRIPT), READER);
    for response in [page, script] {
        assert_eq!(header(&response, "X-Content-Type-Options"), Some("nosniff"));
    }
}
