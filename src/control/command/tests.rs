//! Good requests become commands, bad ones are told what is wrong.
#![forbid(unsafe_code)]

use super::*;
use crate::control::form::Said;
use crate::ids::PauseId;

fn verb(location: &str, exact: bool, uri: &str) -> Option<Verb> {
    Verb::at(Place { location: location.as_bytes(), exact }, uri.as_bytes())
}

fn command_in<'a>(verb: Verb, query: &'a str, form: &'a str) -> Result<Asked, BadParameter<'a>> {
    verb.command(Said { query: query.as_bytes(), form: form.as_bytes() }, None)
}

fn fault(verb: Verb, query: &str) -> String {
    verb.command(Said::in_query(query.as_bytes()), Some(Msec(60_000))).unwrap_err().to_string()
}

#[test]
fn the_verb_is_what_follows_the_locations_name() {
    assert_eq!(verb("/_intermission", false, "/_intermission/status"), Some(Verb::Status));
    assert_eq!(verb("/_intermission/", false, "/_intermission/enable"), Some(Verb::Enable));
    assert_eq!(verb("/", false, "/disable"), Some(Verb::Disable));
    assert_eq!(verb("/pause/enable", true, "/pause/enable"), Some(Verb::Enable));
    for uri in ["/_intermission", "/_intermission/"] {
        assert_eq!(verb("/_intermission", false, uri), Some(Verb::Dashboard));
    }
    assert_eq!(verb("/", false, "/"), Some(Verb::Dashboard));
    assert_eq!(verb("/pause/", true, "/pause/"), None, "no dashboard");
    assert_eq!(verb("/pause", true, "/pause"), None, "no dashboard");
    assert_eq!(verb("/_intermission", false, "/_intermission/dashboard.js"), Some(Verb::Script));
    assert_eq!(verb("/", false, "/dashboard.css"), Some(Verb::Style));
    assert_eq!(verb("/a/dashboard.js", true, "/a/dashboard.js"), None, "no dashboard");
    for uri in ["/_intermissionstatus", "/_intermission/status/", "/_intermission//status"] {
        assert_eq!(verb("/_intermission", false, uri), None, "{uri}");
    }
    assert_eq!(verb("/_intermission", false, "/_intermission/Status"), None);
}

#[test]
fn parameters_become_values() {
    let command = |verb: Verb, query: &'static str| command_in(verb, query, "").unwrap().command;
    let reason = Reason::new(b"db switch").ok();
    let by = Address::new(b"db team").ok();
    let args = PauseArgs { which: Expected::This(PauseId(7)), by, reason, lease: None };
    let enable = command(Verb::Enable, "id=7&reason=db%20switch&by=db%20team&format=json");
    assert_eq!(enable, Command::Change(Change::Enable(args, None)));
    let args = PauseArgs { which: Expected::New, by: None, reason: None, lease: None };
    let patience = Some(Patience { wait: Msec(10_000), keep: true });
    let enable = command(Verb::Enable, "new=1&wait=10s&keep=1&");
    assert_eq!(enable, Command::Change(Change::Enable(args, patience)));
    let disable = |args| Command::Change(Change::Disable(args));
    assert_eq!(command(Verb::Disable, ""), disable(DisableArgs::default()));
    let (which, by) = (Expected::Any, None);
    let stop = PauseArgs { which, by, reason: None, lease: Some(Msec(90_000)) };
    assert_eq!(command(Verb::Stop, "for=1m30s"), Command::Change(Change::Stop(stop)));
    let pace = PaceChange { spread: Some(Msec(500)), concurrency: Some(0) };
    let paced = DisableArgs { which, by, pace, wait: Some(Msec(2000)) };
    assert_eq!(command(Verb::Disable, "spread=0.5&concurrency=0&wait=2"), disable(paced));
    assert_eq!(command(Verb::Metrics, "format=json"), Command::Metrics);
}

#[test]
fn an_app_is_named_by_its_bytes() {
    let asked = Verb::Status.command(Said::in_query(b"app=a%20b%FF%00"), None).unwrap();
    assert_eq!(asked.app, AppName::new(b"a b\xff\0").ok());
    assert_eq!(
        Verb::Status.command(Said::in_query(b"app="), None).unwrap().app,
        Some(AppName::EMPTY)
    );
    assert_eq!(Verb::Status.command(Said::in_query(b""), None).unwrap().app, None);
}

#[test]
fn reading_verbs_take_get_and_head_changing_verbs_take_post() {
    let all = [Method::Get, Method::Head, Method::Post, Method::Other];
    let allowed = |verb: Verb, changes| all.map(|method| verb.allows(method, changes));
    for verb in [Verb::Status, Verb::Apps, Verb::Metrics, Verb::Dashboard] {
        for changes in [Changes::ByGetOrPost, Changes::ByPost] {
            assert_eq!(allowed(verb, changes), [true, true, false, false]);
            assert_eq!(verb.methods(changes), "GET, HEAD");
        }
    }
    for verb in [Verb::Enable, Verb::Disable, Verb::Stop] {
        assert_eq!(allowed(verb, Changes::ByGetOrPost), [true, false, true, false]);
        assert_eq!(verb.methods(Changes::ByGetOrPost), "GET, POST");
        assert_eq!(allowed(verb, Changes::ByPost), [false, false, true, false]);
        assert_eq!(verb.methods(Changes::ByPost), "POST");
    }
}

#[test]
fn a_wrong_parameter_is_named() {
    let says = |verb, query, part: &str| {
        let text = fault(verb, query);
        assert!(text.contains(part), "{query}: {text}");
    };
    says(Verb::Enable, "wiat=3s", "\"wiat\" is unknown");
    says(Verb::Disable, "reason=x", "\"reason\" is unknown");
    says(Verb::Enable, "reason=a&reason=b", "\"reason\" is given twice");
    says(Verb::Enable, "id=+1", "\"id\" is not the number of a pause");
    says(Verb::Enable, "id=", "\"id\" is not the number of a pause");
    says(Verb::Enable, "id=99999999999999999999", "\"id\" is not");
    says(Verb::Enable, "for=soon", "\"for\" is not a time");
    says(Verb::Stop, "for=0", "\"for\" is not a time above 0");
    says(Verb::Stop, "new=1", "\"new\" is unknown");
    says(Verb::Disable, "for=1s", "\"for\" is unknown");
    says(Verb::Disable, "concurrency=-1", "\"concurrency\" is not a number");
    says(Verb::Disable, "spread=x", "\"spread\" is not a time");
    says(Verb::Enable, "new=2", "\"new\" must be 1");
    says(Verb::Enable, "keep=1", "\"keep\" needs \"wait\"");
    says(Verb::Enable, "wait=5&keep=yes", "\"keep\" must be 1");
    says(Verb::Enable, "wait=5&for=5", "\"wait\" must be shorter than the pause's lease");
    says(Verb::Enable, "wait=60", "\"wait\" must be shorter than the pause's lease");
    says(Verb::Enable, "wait=0", "\"wait\" is not a time above 0");
    says(Verb::Disable, "wait=x", "\"wait\" is not a time");
    says(Verb::Disable, "keep=1", "\"keep\" is unknown");
    says(Verb::Stop, "wait=1", "\"wait\" is unknown");
    says(Verb::Metrics, "app=a", "\"app\" is unknown");
    let long = format!("app={}", "x".repeat(129));
    says(Verb::Enable, &long, "longer than 128 bytes");
    says(Verb::Enable, "paused=1", "\"paused\" needs \"id\"");
    says(Verb::Disable, "id=1&paused=0", "\"paused\" must be 1");
    says(Verb::Stop, "id=1&paused=1", "\"paused\" is unknown");
    says(Verb::Enable, "id=1&new=1", "\"new\" cannot be given with \"id\"");
    says(Verb::Enable, "reason=%zz", "\"reason\" is not correctly percent-encoded");
    says(Verb::Enable, "reason=100%", "\"reason\" is not correctly percent-encoded");
    says(Verb::Status, "format=xml", "\"format\" must be \"json\" or \"text\"");
    says(Verb::Status, "%22%0a", "\"%22%0a\" is unknown");
    let long = format!("by={}", "x".repeat(65));
    says(Verb::Disable, &long, "longer than 64 bytes");
    says(Verb::Status, "by=x", "\"by\" is unknown");
    let long = format!("reason={}", "x".repeat(257));
    says(Verb::Enable, &long, "longer than 256 bytes");
    assert!(fault(Verb::Enable, &"y".repeat(8192)).len() < 200);
}

#[test]
fn json_is_asked_for_by_parameter_or_header() {
    let format_of = |verb, query: &str, form: &str, accept: &str| {
        let said = Said { query: query.as_bytes(), form: form.as_bytes() };
        Manner::of(verb, said, [accept.as_bytes()].into_iter()).format
    };
    let (status, json) = (Some(Verb::Status), "application/json");
    assert_eq!(format_of(status, "a=b&format=json", "", ""), Format::Json);
    assert_eq!(format_of(status, "a=b", "format=%6Ason", ""), Format::Json);
    assert_eq!(format_of(status, "", "", json), Format::Json);
    assert_eq!(format_of(None, "", "", json), Format::Json);
    assert_eq!(format_of(status, "format=text", "", json), Format::Text);
    assert_eq!(format_of(status, "format=jsonx", "", "*/*"), Format::Text);
    for verb in [Verb::Metrics, Verb::Dashboard] {
        assert_eq!(format_of(Some(verb), "", "", json), Format::Text);
        assert_eq!(format_of(Some(verb), "format=json", "", ""), Format::Json);
    }
}

#[test]
fn parameters_in_a_form_count_as_those_in_the_query() {
    let form = "for=60s&reason=db+switch";
    assert_eq!(
        command_in(Verb::Enable, "", form),
        command_in(Verb::Enable, "for=60s&reason=db%20switch", "")
    );
    let said = Said { query: b"id=7", form: b"id=7" };
    let twice = Verb::Disable.command(said, None).unwrap_err().to_string();
    assert_eq!(twice, "parameter \"id\" is given twice");
    let detail = |said| Manner::of(None, said, [].into_iter()).detail;
    assert_eq!(detail(Said { query: b"", form: b"id=7" }), Detail::More);
    assert_eq!(detail(Said::in_query(b"format=json")), Detail::Original);
}

#[test]
fn all_values_are_percent_decoded() {
    assert_eq!(
        command_in(Verb::Enable, "for=6%30s&id=%37", ""),
        command_in(Verb::Enable, "for=60s&id=7", "")
    );
    assert_eq!(
        command_in(Verb::Enable, "by=", ""),
        command_in(Verb::Enable, "", ""),
        "an empty name says nothing"
    );
}

proptest::proptest! {
    #[test]
    fn no_query_panics(query: Vec<u8>, uri: Vec<u8>) {
        let said = Said { query: &query, form: &query };
        let _ = Verb::Enable.command(said, None).map_err(|bad| bad.to_string());
        let _ = Verb::at(Place { location: b"/", exact: false }, &uri);
    }
}
