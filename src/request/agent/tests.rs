//! What patterns match, compared with Lua's own matcher.
#![forbid(unsafe_code)]

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const PINGDOM: &str = "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)";

fn matches(pattern: &[u8], user_agent: &[u8]) -> bool {
    privileged(pattern, user_agent) == Match::Yes
}

fn check(pattern: &str, privileged_ones: &[&str], others: &[&str]) {
    for ua in privileged_ones {
        assert_eq!(privileged(pattern.as_bytes(), ua.as_bytes()), Match::Yes, "{pattern} {ua}");
    }
    for ua in others {
        assert_eq!(privileged(pattern.as_bytes(), ua.as_bytes()), Match::No, "{pattern} {ua}");
    }
}

#[test]
fn a_user_agent_that_contains_the_pattern_literally_is_privileged() {
    check(PINGDOM, &[PINGDOM], &["Pingdom"]);
    check("Pingdom", &[PINGDOM, "Pingdom", "a Pingdom"], &["pingdom", "Pingdo"]);
    check("com/)", &[PINGDOM], &["com/"]);
    check("[ok", &["is [ok"], &["ok"]);
    check("100%", &["100%"], &["100"]);
    check("a*b^$", &["xa*b^$y"], &["ab"]);
}

#[test]
fn an_empty_pattern_or_user_agent_is_never_privileged() {
    check("", &[], &["", "curl"]);
    check("curl", &[], &[""]);
    check("^$", &[], &[""]);
    check(".*", &["curl"], &[""]);
}

#[test]
fn a_caret_first_and_a_dollar_last_are_anchors_and_else_ordinary() {
    check(r"^curl/%d+%.%d+", &["curl/7.88.1"], &["libcurl/7.88.1", "curl/7"]);
    check("^cu.l$", &["curl"], &["curl/7", "curl\n", "acurl"]);
    check("^", &["anyone"], &[]);
    check("$", &["anyone"], &[]);
    check("l$", &["curl"], &["curl/7"]);
    check("a^.", &["a^b"], &["ab"]);
    check("(^a.)", &["^ab"], &["ab"]);
    check("^^a.", &["^ab"], &["ab"]);
    check("a$.", &["a$b"], &["a", "ab"]);
    check("(.a$)", &["xa$"], &["xa"]);
    check(".%$", &["a$"], &["a"]);
    check("^*.a", &["*xa"], &["xa", "**xa"]);
}

#[test]
fn a_class_has_the_bytes_that_c_gives_it_and_in_upper_case_the_others() {
    fn class(name: u8, members: &[u8]) {
        for c in 0..=255 {
            let upper = name.to_ascii_uppercase();
            assert_eq!(matches(&[b'^', b'%', name, b'$'], &[c]), members.contains(&c));
            assert_eq!(matches(&[b'^', b'%', upper, b'$'], &[c]), !members.contains(&c));
        }
    }
    let lower = *b"abcdefghijklmnopqrstuvwxyz";
    let upper = lower.to_ascii_uppercase();
    let letters = [lower.as_slice(), &upper].concat();
    let punctuation = br##"!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~"##;
    let alphanumeric = [letters.as_slice(), b"0123456789"].concat();
    let control: Vec<u8> = (0..32).chain([127]).collect();
    class(b'a', &letters);
    class(b'c', &control);
    class(b'd', b"0123456789");
    class(b'g', &[alphanumeric.as_slice(), punctuation].concat());
    class(b'l', &lower);
    class(b'p', punctuation);
    class(b's', b" \t\n\x0b\x0c\r");
    class(b'u', &upper);
    class(b'w', &alphanumeric);
    class(b'x', b"0123456789abcdefABCDEF");
    class(b'z', b"\0");
}

#[test]
fn an_escaped_byte_that_is_no_class_stands_for_itself() {
    check("^%.%*%%%(%[%]%)$", &[".*%([])"], &["x*%([])"]);
    check("^%e%E%-$", &["eE-"], &["EE-", "ee-"]);
}

#[test]
fn sets_know_ranges_classes_complements_and_a_leading_bracket() {
    check("^[a-c]$", &["a", "b", "c"], &["d", "-"]);
    check("^[^a-c]$", &["d", "-", "^"], &["a", "b", "c"]);
    check("^[%d.]$", &["1", "."], &["%", "d", "x"]);
    check("^[^%d]$", &["a"], &["1"]);
    check("^[]]$", &["]"], &["["]);
    check("^[]x]$", &["x", "]"], &["["]);
    check("^[^]]$", &["x"], &["]"]);
    check("^[a-]$", &["a", "-"], &["b"]);
    check("^[-a]$", &["a", "-"], &["b"]);
    check("^[c-a]$", &[], &["a", "b", "c", "-"]);
    check("^[+--]$", &["+", ",", "-"], &["."]);
    check("^[%a-z]$", &["Q", "-", "z"], &["5"]);
    check("^[%]%-]$", &["]", "-"], &["%"]);
    check("^[a^]$", &["a", "^"], &["b"]);
    check("^[(.*$]$", &["(", ".", "*", "$"], &["x"]);
}

#[test]
fn quantifiers_repeat_one_byte_and_back_off_as_far_as_is_needed() {
    check("^ab*c$", &["ac", "abc", "abbbc"], &["abb", "ababc"]);
    check("^ab-c$", &["ac", "abc", "abbbc"], &["abb", "ababc"]);
    check("^ab+c$", &["abc", "abbbc"], &["ac"]);
    check("^ab?c$", &["ac", "abc"], &["abbc"]);
    check("^.*a.-b.+c$", &["xxaxxbaxbcxc"], &["abc"]);
    check("^a?a?a?aaa$", &["aaa", "aaaaaa"], &["aa", "aaaaaaa"]);
    check("^a+aaa$", &["aaaa"], &["aaa"]);
    check("^[ab]*b$", &["abab"], &["aba"]);
    check("^*+$", &["***"], &["+"]);
    check("^a**$", &["*", "aa*"], &["a", "a**"]);
}

#[test]
fn parentheses_group_nothing_and_a_quantifier_after_one_is_an_ordinary_byte() {
    check("^(cu)(r(l))/()%d", &["curl/7"], &["(cu)(r(l))/()7"]);
    check("^(a)+$", &["a+"], &["a", "aa"]);
    check("^(a)+*$", &["a", "a+++"], &["aa"]);
    check("^(*a)$", &["*a"], &["a"]);
    check("^()?$", &["?"], &["x"]);
}

#[test]
fn what_only_lua_has_is_taken_literally_with_a_warning() {
    for (pattern, c) in [("%bxy", b'b'), ("%f[a]", b'f'), ("(a)%1", b'1'), ("%0", b'0')] {
        assert_eq!(oddity(pattern.as_bytes()), Some(Oddity::TakenLiterally(c)));
    }
    check("^%bxy.$", &["%bxyz"], &["xyz", "bxyz"]);
    check("^%f[ab].$", &["%fbc"], &["bc"]);
    check("^(a)%1.$", &["a%1b"], &["aab"]);
    check("^%1+$", &["%1", "%11"], &["1", "%1%1"]);
}

#[test]
fn a_digit_or_letter_escaped_in_a_set_is_nothing_odd() {
    assert_eq!(oddity(b"[%1%b%f]"), None);
    check("^[%1%b%f]$", &["b", "1", "f"], &["%"]);
}

#[test]
fn a_malformed_pattern_is_searched_for_literally_with_a_warning() {
    for (pattern, what) in [
        ("...%", Oddity::BarePercent),
        ("%%%", Oddity::BarePercent),
        ("...[", Oddity::UnfinishedSet),
        ("..[]", Oddity::UnfinishedSet),
        (".[^]", Oddity::UnfinishedSet),
        ("[%]", Oddity::UnfinishedSet),
        ("[abc%", Oddity::UnfinishedSet),
        ("(.", Oddity::UnbalancedParentheses),
        ("(.$", Oddity::UnbalancedParentheses),
        (".)", Oddity::UnbalancedParentheses),
        (".)(", Oddity::UnbalancedParentheses),
        ("%b[", Oddity::UnfinishedSet),
    ] {
        assert_eq!(oddity(pattern.as_bytes()), Some(what), "{pattern}");
        check(pattern, &[&format!("abc{pattern}def")], &["abcdef]%"]);
    }
}

#[test]
fn a_pattern_that_is_too_long_is_searched_for_literally_with_a_warning() {
    let mut longest = [b'.'; MAX_PATTERN];
    longest[0] = b'^';
    assert_eq!((oddity(&longest), longest.len()), (None, 1023));
    assert!(matches(&longest, &[b'x'; 1022]));
    assert!(!matches(&longest, &[b'x'; 1021]));
    let longer = [b'.'; MAX_PATTERN + 1];
    assert_eq!(oddity(&longer), Some(Oddity::TooLong));
    assert!(!matches(&longer, &[b'x'; 1024]));
    assert!(matches(&longer, &longer));
}

#[test]
fn an_ordinary_pattern_is_not_odd() {
    for pattern in ["", "Pingdom", PINGDOM, r"^curl/%d+%.%d+", "[^%s]-$", "(a(b)())", "^", "%%"] {
        assert_eq!(oddity(pattern.as_bytes()), None, "{pattern}");
    }
}

#[test]
fn an_oddity_finishes_a_sentence() {
    let told = oddity(b"%bxy").map(|oddity| format!("the pattern {oddity}"));
    assert_eq!(told.unwrap(), "the pattern contains %b, which is taken literally");
    let told = format!("the pattern {}", Oddity::TooLong);
    assert_eq!(told, "the pattern is longer than 1023 bytes, so it is only searched for literally");
}

#[test]
fn nul_and_bytes_beyond_ascii_are_ordinary() {
    assert!(matches(b"^a\0b.$", b"a\0bc"));
    assert!(!matches(b"a\0b", b"ab"));
    assert!(!matches(b"\0", b"ab"));
    assert!(matches(b"^[\x80-\xff]+.$", b"\x80\xfe\xff."));
    assert!(!matches(b"[\x80-\xff]", b"\x7f"));
    assert!(matches("^J.rgen \u{fc}+$".as_bytes(), b"Jxrgen \xc3\xbc\xbc"));
}

#[test]
fn a_pattern_that_makes_backtracking_explode_is_matched_in_time() {
    assert_eq!(privileged(b"a-a-a-a-a-a-a-a-b", &[b'a'; 8000]), Match::No);
    assert_eq!(privileged(&b"a?".repeat(500), &[b'b'; 100]), Match::Yes);
    assert_eq!(privileged(b"^.*.*.*.*.*x$", &[b'a'; 8000]), Match::No);
}

#[test]
fn a_search_that_takes_too_long_is_given_up() {
    let costly = [b".*".repeat(100).as_slice(), b"x"].concat();
    assert_eq!(privileged(&costly, &[b'a'; 8000]), Match::TooCostly);
    let costly = [b"[".as_slice(), &[b'b'; 1000], b"]"].concat();
    assert_eq!(privileged(&costly, &[b'a'; 8000]), Match::TooCostly);
}

/// Lua 5.1's do_match, transcribed: recursive, with an index for each pointer.
struct Lua<'a> {
    p: &'a [u8],
    s: &'a [u8],
}

impl Lua<'_> {
    fn finds(p: &[u8], s: &[u8]) -> bool {
        let anchored = p.first() == Some(&b'^');
        let lua = Lua { p: &p[usize::from(anchored)..], s };
        let starts = if anchored { 0..=0 } else { 0..=s.len() };
        lua.is_well_formed() && starts.into_iter().any(|si| lua.do_match(si, 0))
    }

    fn is_well_formed(&self) -> bool {
        let (mut pi, mut open) = (0, 0);
        while pi < self.p.len() && open >= 0 {
            match self.p[pi] {
                b'(' => open += 1,
                b')' => open -= 1,
                _ => match self.class_end(pi) {
                    Some(end) => pi = end - 1,
                    None => return false,
                },
            }
            pi += 1;
        }
        open == 0
    }

    fn is_literal_percent(&self, pi: usize) -> bool {
        self.p[pi] == b'%' && self.p.get(pi + 1).is_some_and(|c| b"bf0123456789".contains(c))
    }

    fn class_end(&self, mut pi: usize) -> Option<usize> {
        let p = self.p;
        if self.is_literal_percent(pi) {
            return Some(pi + 1);
        }
        pi += 1;
        match p[pi - 1] {
            b'%' => p.get(pi).map(|_| pi + 1),
            b'[' => {
                pi += usize::from(p.get(pi) == Some(&b'^'));
                loop {
                    pi += 1 + usize::from(*p.get(pi)? == b'%');
                    if *p.get(pi)? == b']' {
                        return Some(pi + 1);
                    }
                }
            }
            _ => Some(pi),
        }
    }

    fn single(&self, si: usize, pi: usize, end: usize) -> bool {
        let Some(c) = self.s.get(si) else {
            return false;
        };
        match self.p[pi] {
            b'%' if self.is_literal_percent(pi) => *c == b'%',
            b'%' => self.class(pi + 1, *c),
            b'[' => self.set(pi, end - 1, *c),
            b'.' => true,
            byte => byte == *c,
        }
    }

    fn class(&self, pi: usize, c: u8) -> bool {
        match self.p[pi] {
            b'd' => c.is_ascii_digit(),
            b'D' => !c.is_ascii_digit(),
            byte => byte == c,
        }
    }

    fn set(&self, mut pi: usize, end: usize, c: u8) -> bool {
        let p = self.p;
        let complement = p[pi + 1] == b'^';
        pi += usize::from(complement) + 1;
        while pi < end {
            if p[pi] == b'%' {
                pi += 1;
                if self.class(pi, c) {
                    return !complement;
                }
            } else if p[pi + 1] == b'-' && pi + 2 < end {
                pi += 2;
                if p[pi - 2] <= c && c <= p[pi] {
                    return !complement;
                }
            } else if p[pi] == c {
                return !complement;
            }
            pi += 1;
        }
        complement
    }

    fn do_match(&self, si: usize, pi: usize) -> bool {
        match self.p.get(pi) {
            None => return true,
            Some(b'(' | b')') => return self.do_match(si, pi + 1),
            Some(b'$') if pi + 1 == self.p.len() => return si == self.s.len(),
            Some(_) => {}
        }
        let end = self.class_end(pi).unwrap();
        let quantifier = if self.is_literal_percent(pi) { None } else { self.p.get(end) };
        let hit = self.single(si, pi, end);
        let (min, max) = match quantifier {
            Some(b'?') => (0, usize::from(hit)),
            Some(b'*' | b'-') => (0, self.run(si, pi, end)),
            Some(b'+') => (1, self.run(si, pi, end)),
            _ => return hit && self.do_match(si + 1, end),
        };
        (min..=max).any(|times| self.do_match(si + times, end + 1))
    }

    fn run(&self, si: usize, pi: usize, end: usize) -> usize {
        (si..self.s.len()).take_while(|si| self.single(*si, pi, end)).count()
    }
}

fn patterns(len: usize) -> impl Strategy<Value = Vec<u8>> {
    let alphabet = b"aaabbcd1]]^[[%%%--...**++??$$()()dD\0\x80";
    prop_oneof![vec(select(alphabet.as_slice()), 0..len), vec(any::<u8>(), 0..len)]
}

fn texts(len: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(select(b"aaaabbbccdd11]%%-^$(+*\0\x80".as_slice()), 0..len)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..<_>::default() })]

    #[test]
    fn nothing_panics(pattern in patterns(1100), text in vec(any::<u8>(), 0..2000)) {
        privileged(&pattern, &text);
        let _ = oddity(&pattern).map(|oddity| oddity.to_string());
    }

    #[test]
    fn a_search_ends_within_its_steps_with_the_same_answer_or_none(
        pattern in patterns(12),
        text in texts(40),
        budget in 0_usize..400,
    ) {
        if let Ok(pattern) = Pattern::parse(&pattern) {
            let mut left = budget;
            let answer = pattern.search(&text, &mut left);
            let mut unbounded = usize::MAX;
            let whole = pattern.search(&text, &mut unbounded);
            let cost = usize::MAX - unbounded;
            prop_assert_ne!(whole, Match::TooCostly);
            prop_assert_eq!(answer, if cost > budget { Match::TooCostly } else { whole });
            prop_assert!(cost <= (text.len() + 1) * pattern.items.len().pow(2));
        }
    }

    #[test]
    fn it_agrees_with_a_transcription_of_lua(pattern in patterns(10), text in texts(9)) {
        // The transcription knows the classes d and D only.
        let classes = b"acglpsuwxzACGLPSUWXZ";
        let other = |pair: &[u8]| pair[0] == b'%' && classes.contains(&pair[1]);
        prop_assume!(!pattern.windows(2).any(other));
        let literally = !pattern.is_empty()
            && text.windows(pattern.len()).any(|part| part == pattern);
        let found = !pattern.is_empty() && !text.is_empty()
            && (literally || Lua::finds(&pattern, &text));
        prop_assert_eq!(privileged(&pattern, &text) == Match::Yes, found);
    }
}
