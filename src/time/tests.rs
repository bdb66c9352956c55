//! What is a time and what is not, and how times are shown.
#![forbid(unsafe_code)]

use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Option<u64> {
    MaxTime::parse(text.as_bytes()).ok().map(|time| time.msec().0)
}

fn refused(texts: &[&str]) {
    for text in texts {
        assert_eq!(MaxTime::parse(text.as_bytes()), Err(NotATime), "{text:?}");
    }
}

#[test]
fn plain_numbers_are_seconds() {
    assert_eq!(parse("300"), Some(300_000));
    assert_eq!(parse("0"), Some(0));
    assert_eq!(parse("007"), Some(7_000));
    assert_eq!(parse(&"0".repeat(5000)), Some(0));
}

#[test]
fn seconds_may_have_decimals() {
    assert_eq!(parse("0.5"), Some(500));
    assert_eq!(parse(".5"), Some(500));
    assert_eq!(parse("5."), Some(5_000));
    assert_eq!(parse("0."), Some(0));
    assert_eq!(parse(".0"), Some(0));
    assert_eq!(parse("12.345"), Some(12_345));
    assert_eq!(parse("1.05"), Some(1_050));
}

#[test]
fn decimals_below_a_millisecond_are_cut_off_but_never_down_to_zero() {
    assert_eq!(parse("1.2349"), Some(1_234));
    assert_eq!(parse("1.0009"), Some(1_000));
    assert_eq!(parse("0.0009"), Some(1));
    assert_eq!(parse(&format!("0.{}1", "0".repeat(5000))), Some(1));
    assert_eq!(parse(&format!("0.{}", "9".repeat(5000))), Some(999));
}

#[test]
fn a_decimal_number_is_digits_and_one_point_only() {
    refused(&[".", "..", "1..5", "1.5.", "1.5s", "1.5ms", "1m0.5", "-0.5", "+0.5", "1.5e3"]);
    refused(&[" 0.5", "0.5 ", "0. 5", "0x.8", "1,5", "1.-5", "1.+5", "\u{664}.5"]);
}

#[test]
fn nginx_times_are_read_as_nginx_reads_them() {
    assert_eq!(parse("500ms"), Some(500));
    assert_eq!(parse("1m30s"), Some(90_000));
    assert_eq!(parse("1m 30s"), Some(90_000));
    assert_eq!(parse("1m30"), Some(90_000));
    assert_eq!(parse("1h"), Some(3_600_000));
    assert_eq!(parse("2d"), Some(172_800_000));
    assert_eq!(parse("1w2d3h4m5s6ms"), Some(788_645_006));
    assert_eq!(parse("1w  2d 3h   4m 5s 6ms"), Some(788_645_006));
    assert_eq!(parse("1s500ms"), Some(1_500));
    assert_eq!(parse("90m"), Some(5_400_000));
}

#[test]
fn the_leniencies_of_nginx_are_kept() {
    assert_eq!(parse("5ms 5"), Some(5_005));
    assert_eq!(parse("5 5"), Some(10_000));
    assert_eq!(parse(" 5"), Some(5_000));
    assert_eq!(parse("5 "), Some(5_000));
    assert_eq!(parse("1m "), Some(60_000));
    assert_eq!(parse("1m s"), Some(60_000));
    refused(&["1 m", "1s 5 ", "1 1 1"]);
}

#[test]
fn units_come_in_falling_order_each_at_most_once() {
    refused(&["1m1m", "1s1m", "1ms1s", "1ms1ms", "1s1s", "1d1w", "1h1d", "1m1h", "1h1h"]);
}

#[test]
fn bytes_without_a_digit_or_with_an_unknown_unit_are_no_time() {
    refused(&["", " ", "ms", "s", "m s", "abc", "inf", "nan", "1e3", "0x10", "-1", "+1"]);
    refused(&["1S", "1H", "5\t", "5\0", "5\u{a0}", "\u{0665}"]);
    assert_eq!(MaxTime::parse(b"\xff"), Err(NotATime));
}

#[test]
fn years_and_months_are_refused_as_nginx_refuses_them_in_milliseconds() {
    refused(&["1y", "1M", "1y1M", "0y5s"]);
}

#[test]
fn more_than_ten_years_are_refused() {
    assert_eq!(parse("3650d"), Some(315_360_000_000));
    assert_eq!(parse("315360000"), Some(315_360_000_000));
    assert_eq!(parse("315360000.0009"), Some(315_360_000_000));
    refused(&["3650d1ms", "3651d", "315360001", "315360000.001"]);
}

#[test]
fn numbers_too_large_for_any_integer_are_refused() {
    for digits in ["18446744073709551615", "18446744073709551616", "99999999999999999999999"] {
        for end in ["", ".", ".5", "ms", "s", "w", "w 1s", " "] {
            refused(&[&format!("{digits}{end}")]);
        }
    }
    refused(&["1s18446744073709551615ms", "18446744073709552s", "30500568904944w"]);
}

#[test]
fn the_error_finishes_a_sentence() {
    assert_eq!(NotATime.to_string(), "is not a time");
}

#[test]
fn the_default_is_what_the_original_had() {
    assert_eq!(MaxTime::default().msec(), Msec(300_000));
    assert_eq!(MaxTime::parse(b"300"), Ok(MaxTime::DEFAULT));
}

#[test]
fn sums_and_differences_stop_at_the_ends() {
    assert_eq!(Msec(1).after(Msec(2)), Msec(3));
    assert_eq!(Msec(u64::MAX).after(Msec(1)), Msec(u64::MAX));
    assert_eq!(Msec(5).since(Msec(3)), Msec(2));
    assert_eq!(Msec(3).since(Msec(5)), Msec(0));
}

#[test]
fn seconds_are_shown_with_three_decimals() {
    assert_eq!(Msec(12_345).seconds().to_string(), "12.345");
    assert_eq!(Msec(7).seconds().to_string(), "0.007");
    assert_eq!(Msec(0).seconds().to_string(), "0.000");
    assert_eq!(Msec(u64::MAX).seconds().to_string(), "18446744073709551.615");
}

#[test]
fn a_point_in_time_is_shown_as_rfc_3339_with_milliseconds() {
    assert_eq!(rfc3339(Msec(0)).to_string(), "1970-01-01T00:00:00.000Z");
    assert_eq!(rfc3339(Msec(1_335_864_600_007)).to_string(), "2012-05-01T09:30:00.007Z");
    assert_eq!(rfc3339(Msec(1_709_164_800_000)).to_string(), "2024-02-29T00:00:00.000Z");
}

#[test]
fn a_point_beyond_the_year_9999_is_shown_as_its_end() {
    let end = "9999-12-31T23:59:59.999Z";
    for msec in [253_402_300_799_999, 253_402_300_800_000, u64::MAX] {
        assert_eq!(rfc3339(Msec(msec)).to_string(), end);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..<_>::default() })]

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40), msec: u64) {
        let _ = MaxTime::parse(&bytes);
        let _ = rfc3339(Msec(msec)).to_string();
    }

    #[test]
    fn seconds_that_are_shown_can_be_read_back(msec in 0..=MaxTime::LONGEST.0) {
        prop_assert_eq!(parse(&Msec(msec).seconds().to_string()), Some(msec));
        prop_assert_eq!(parse(&format!("{msec}ms")), Some(msec));
    }
}
