//! Tables of texts per input type, and schemas that nobody would write.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::{Field, Fields};

fn fields(items: &[Value]) -> Fields {
    let items: Vec<_> = items
        .iter()
        .map(|item| to_raw_value(item).unwrap())
        .collect();
    Fields::parse(&items)
}

/// The one field that an item describes, its slug being `f`.
fn field(mut item: Value) -> Field {
    item["slug"] = json!("f");
    let mut fields = fields(&[item]);
    fields.fields.remove(0)
}

fn of_type(input_type: &str) -> Field {
    field(json!({ "input-type": input_type }))
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

/// What a check answers, as text: `= ` and the value, or the sentence.
fn answer(field: &Field, cell: &str) -> String {
    match field.check(cell) {
        Ok(value) => format!("= {value}"),
        Err(unfit) => unfit.to_string(),
    }
}

#[track_caller]
fn table(field: &Field, rows: &[(&str, &str)]) {
    for (cell, expected) in rows {
        assert_eq!(answer(field, cell), *expected, "{cell:?}");
    }
}

#[track_caller]
fn accepts(field: &Field, cells: &[&str]) {
    for cell in cells {
        assert_eq!(answer(field, cell), format!("= {cell}"));
    }
}

#[track_caller]
fn refuses(field: &Field, reason: &str, cells: &[&str]) {
    for cell in cells {
        assert_eq!(answer(field, cell), reason, "{cell:?}");
    }
}

const TYPED: [&str; 12] = [
    "color", "number", "range", "time", "datetime", "date", "week", "month", "email", "tel", "url",
    "checkbox",
];

#[test]
fn free_text_stays_as_it_is() {
    for input_type in ["text", "textarea", "hidden", "password", "hologram"] {
        let field = of_type(input_type);
        accepts(
            &field,
            &["", " ", " a ", "two\nlines", "=1+1", "ünï", "TRUE"],
        );
        refuses(
            &field,
            "holds a NUL character, which the mirror cannot store",
            &["a\0b"],
        );
    }
}

#[test]
fn typed_cells_lose_their_spaces_and_are_not_empty() {
    for input_type in TYPED {
        refuses(
            &of_type(input_type),
            "holds nothing but spaces",
            &["", " ", "\t\n", "\u{a0}"],
        );
    }
    table(&of_type("number"), &[(" 5 ", "= 5"), ("\u{a0}5\n", "= 5")]);
    table(&of_type("email"), &[(" a@b.ch ", "= a@b.ch")]);
}

#[test]
fn numbers() {
    for input_type in ["number", "range"] {
        let field = of_type(input_type);
        accepts(
            &field,
            &[
                "0",
                "-1",
                "1.50",
                "1e3",
                "-2.5E-3",
                "9007199254740993",
                "100",
            ],
        );
        table(
            &field,
            &[
                ("+5", "= 5"),
                (".5", "= 0.5"),
                ("-.5", "= -0.5"),
                ("5.", "= 5"),
                ("007", "= 7"),
                ("-007.10", "= -7.10"),
                ("00", "= 0"),
                ("abc", "is not a number"),
                ("NaN", "is not a number"),
                ("inf", "is not a number"),
                ("0x10", "is not a number"),
                ("1,5", "is not a number; write 1.5"),
                ("1,234", "is not a number; write 1.234 or 1234"),
                ("1.234,5", "is not a number; write 1234.5"),
                ("1,234.5", "is not a number; write 1234.5"),
                ("1'234.5", "is not a number; write 1234.5"),
                ("1 234,5", "is not a number; write 1234.5"),
                ("−5", "is not a number; write -5"),
                ("1,2,3", "is not a number"),
                ("1e400", "is beyond what programs can hold as a number"),
                ("1e-400", "is beyond what programs can hold as a number"),
                ("0e9999", "is beyond what programs can hold as a number"),
            ],
        );
        assert_eq!(answer(&field, &"1".repeat(401)), "is too long for a number");
    }
}

#[test]
fn ranges_and_precision_in_numbers_and_in_text() {
    for item in [
        json!({"input-type": "range", "range-start": 0, "range-end": 10, "range-step": 3, "value-precision": 1}),
        json!({"input-type": "number", "range-start": "0", "range-end": " 10 ", "value-precision": "1"}),
        json!({"input_type": "number", "range_start": 0, "range_end": 10, "value_precision": 1.0}),
    ] {
        table(
            &field(item),
            &[
                ("0", "= 0"),
                ("10.0", "= 10.0"),
                ("1e1", "= 1e1"),
                ("2.50", "= 2.5"),
                ("-0.1", "is below its range (0 to 10)"),
                ("10.1", "is above its range (0 to 10)"),
                ("1.25", "has more than 1 digit after the point"),
                ("125e-2", "has more than 1 digit after the point"),
            ],
        );
    }
    let from = field(json!({"input-type": "number", "range-start": 9_007_199_254_740_993_u64}));
    table(
        &from,
        &[(
            "9007199254740992",
            "is below its range (9007199254740993 or more)",
        )],
    );
    let to = field(json!({"input-type": "number", "range-end": -1.5, "value-precision": 0}));
    table(
        &to,
        &[
            ("-1", "is above its range (-1.5 or less)"),
            ("-2.00", "= -2"),
            ("-2.5", "is not a whole number"),
        ],
    );
}

#[test]
fn ranges_that_make_no_sense_are_named_and_not_checked() {
    for (item, warning) in [
        (
            json!({"range-start": 0, "range-end": 0}),
            "f: its range holds no numbers and is not checked",
        ),
        (
            json!({"range-start": 5, "range-end": 1}),
            "f: its range holds no numbers and is not checked",
        ),
        (
            json!({"range-start": "low"}),
            "f: its range-start is not a number and is not checked",
        ),
        (
            json!({"range-end": [1]}),
            "f: its range-end is not understood and is not checked",
        ),
        (
            json!({"value-precision": -1}),
            "f: its value-precision is not a count of digits and is not checked",
        ),
        (
            json!({"value-precision": 1.5}),
            "f: its value-precision is not a count of digits and is not checked",
        ),
    ] {
        let mut item = item;
        item["slug"] = json!("f");
        item["input-type"] = json!("number");
        let fields = fields(&[item]);
        assert_eq!(fields.warnings(), [warning]);
        accepts(fields.get("f").unwrap(), &["-3.25", "1000"]);
    }
}

#[test]
fn days() {
    let field = of_type("date");
    accepts(
        &field,
        &["2026-11-21", "2024-02-29", "0001-01-01", "9999-12-31"],
    );
    table(
        &field,
        &[
            ("2023-02-29", "is a day that never was"),
            ("0000-01-01", "is a day that never was"),
            ("2026-13-01", "is a day that never was"),
            ("2026-1-2", "is not a day as 2026-11-21; write 2026-01-02"),
            ("21.11.2026", "is not a day as 2026-11-21; write 2026-11-21"),
            ("1.2.2026", "is not a day as 2026-11-21; write 2026-02-01"),
            ("11/21/2026", "is not a day as 2026-11-21; write 2026-11-21"),
            ("21/11/2026", "is not a day as 2026-11-21; write 2026-11-21"),
            (
                "01/02/2026",
                "is not a day as 2026-11-21; write 2026-02-01 or 2026-01-02",
            ),
            ("2026/11/21", "is not a day as 2026-11-21; write 2026-11-21"),
            (
                "2026-11-21T00:00:00Z",
                "is not a day as 2026-11-21; write 2026-11-21",
            ),
            ("21.11.26", "is not a day as 2026-11-21"),
            ("31.02.2026", "is not a day as 2026-11-21"),
            ("20261121", "is not a day as 2026-11-21"),
            ("today", "is not a day as 2026-11-21"),
            ("２０２６-11-21", "is not a day as 2026-11-21"),
        ],
    );
}

#[test]
fn months_and_weeks() {
    accepts(&of_type("month"), &["2026-11", "0001-01"]);
    table(
        &of_type("month"),
        &[
            ("2026-13", "is not a month as 2026-11"),
            ("0000-01", "is not a month as 2026-11"),
            ("2026-11-21", "is not a month as 2026-11; write 2026-11"),
            ("11/2026", "is not a month as 2026-11; write 2026-11"),
            ("2026-1", "is not a month as 2026-11; write 2026-01"),
        ],
    );
    accepts(&of_type("week"), &["2026-W53", "2025-W01", "2025-W52"]);
    table(
        &of_type("week"),
        &[
            ("2025-W53", "is a week that its year does not have"),
            ("2025-W00", "is a week that its year does not have"),
            ("0000-W01", "is a week that its year does not have"),
            ("2025-W7", "is not a week as 2026-W07; write 2025-W07"),
            ("2025-w07", "is not a week as 2026-W07; write 2025-W07"),
            ("2025W07", "is not a week as 2026-W07; write 2025-W07"),
            ("7", "is not a week as 2026-W07"),
        ],
    );
}

#[test]
fn times_and_instants() {
    accepts(
        &of_type("time"),
        &["00:00", "23:59:59", "10:00:30.5", "10:00:30.123456789"],
    );
    table(
        &of_type("time"),
        &[(
            "9:30",
            "is not a time of day as 10:00 or 10:00:30; write 09:30",
        )],
    );
    refuses(
        &of_type("time"),
        "is not a time of day as 10:00 or 10:00:30",
        &[
            "24:00",
            "10:60",
            "10:00:60",
            "10",
            "10:00.5",
            "10:00:00.",
            "10:00:00.1234567890",
            "10:00 PM",
            "10:00Z",
        ],
    );
    let field = of_type("datetime");
    accepts(
        &field,
        &[
            "2026-11-21T10:00:00Z",
            "2026-11-21 10:00",
            "2026-11-21t10:00:00.25z",
            "2026-11-21T10:00:00+01:00",
            "2026-11-21 10:00:00-0530",
            "0001-01-01T00:00:00+15",
        ],
    );
    table(
        &field,
        &[
            (
                "2026-11-21",
                "is a day without a time; write 2026-11-21T00:00:00 for its midnight",
            ),
            ("2026-02-30T10:00:00Z", "is on a day that never was"),
        ],
    );
    refuses(
        &field,
        "is not an instant as 2026-11-21T10:00:00Z",
        &[
            "2026-11-21T25:00:00Z",
            "2026-11-21T10:00:00+16:00",
            "2026-11-21T10:00:00Zulu",
            "2026-11-21_10:00",
            "1700000000",
            "2026-11-2é10:00",
        ],
    );
}

#[test]
fn addresses() {
    let email = of_type("email");
    accepts(
        &email,
        &[
            "a@b.ch",
            "first.last+tag@sub.example.co.uk",
            "jürg@müller.ch",
            "o'neill@example.com",
        ],
    );
    table(
        &email,
        &[
            ("anna", "is not an e-mail address: it has no @"),
            (
                "a@b@c.ch",
                "is not one e-mail address: it has more than one @",
            ),
            (
                "a b@c.ch",
                "is not an e-mail address: it has a space or control character in it",
            ),
            ("Anna<a@b.ch>", "is not an e-mail address alone"),
            ("@b.ch", "is not an e-mail address: nothing is before its @"),
        ],
    );
    refuses(
        &email,
        "is not an e-mail address: what is after its @ is not a domain",
        &["a@", "a@gmail", "a@.ch", "a@b..ch", "a@b.ch.", "a@-b.ch"],
    );
    assert_eq!(
        answer(&email, &format!("{}@b.ch", "a".repeat(250))),
        "is too long for an e-mail address"
    );
    let url = of_type("url");
    accepts(
        &url,
        &[
            "https://example.com",
            "HTTP://example.com/a?b=c#d",
            "http://[::1]:80/",
            "https://müller.ch/ä",
        ],
    );
    table(
        &url,
        &[
            (
                "example.com/a",
                "is not a web address as https://example.com/; write https://example.com/a",
            ),
            (
                "https://a b.ch",
                "is not a web address: it has a space, control character or backslash in it",
            ),
        ],
    );
    refuses(
        &url,
        "is not a web address as https://example.com/",
        &[
            "ftp://example.com",
            "https:example.com",
            "javascript:alert(1)",
            "/path",
            "https://",
            "mailto:a@b.ch",
            "word",
        ],
    );
}

#[test]
fn telephones_and_colours() {
    let tel = of_type("tel");
    accepts(&tel, &["+44 1632 960000", "(030) 123-45.67/8", "112"]);
    refuses(
        &tel,
        "is not a telephone number: it holds more than digits, spaces and + ( ) - . /",
        &["4.94E+11", "call me", "+41\u{a0}44", "１２３"],
    );
    refuses(
        &tel,
        "is not a telephone number: it has too few digits",
        &["-", "12", "( )"],
    );
    let color = of_type("color");
    accepts(&color, &["#1a2B3c"]);
    table(
        &color,
        &[
            ("1a2b3c", "is not a colour as #1a2b3c; write #1a2b3c"),
            ("#abc", "is not a colour as #1a2b3c; write #aabbcc"),
            ("#12345g", "is not a colour as #1a2b3c"),
            ("##12345", "is not a colour as #1a2b3c"),
            ("red", "is not a colour as #1a2b3c"),
        ],
    );
}

#[test]
fn boxes() {
    for item in [
        json!({"input-type": "checkbox"}),
        json!({"input-type": "checkbox", "select-options": "[\"I agree\"]"}),
    ] {
        table(
            &field(item),
            &[
                ("true", "= true"),
                ("TRUE", "= true"),
                (" False ", "= false"),
                ("yes", "is neither true nor false; write true"),
                ("0", "is neither true nor false; write false"),
                ("perhaps", "is neither true nor false"),
            ],
        );
    }
    table(
        &field(json!({"input-type": "checkbox", "select-options": "[\"sport\",\"True\"]"})),
        &[
            ("sport", "= sport"),
            ("True", "= True"),
            ("TRUE", "= true"),
            (
                "Sport",
                "is not one of its options (sport, True); did you mean sport?",
            ),
            ("sport,True", "is not one of its options (sport, True)"),
        ],
    );
}

#[test]
fn options_in_every_shape() {
    let shapes = [
        json!(["gold", "silver", "basic"]),
        json!([{"value": "gold", "label": "Gold card"}, {"id": "silver", "name": "S"}, {"label": "basic"}]),
        json!([{"name": "gold"}, "silver", null, "basic"]),
        json!({"basic": "Basic", "gold": "Gold card", "silver": 2}),
    ];
    for (at, shape) in shapes.iter().enumerate() {
        for options in [shape.clone(), json!(shape.to_string())] {
            for input_type in ["select", "radio"] {
                let field = field(json!({"input-type": input_type, "select-options": options}));
                // An element that says nothing makes the list unclear, and nothing is refused for
                // it.
                if at == 2 {
                    accepts(&field, &["platinum"]);
                    continue;
                }
                accepts(&field, &["gold", "silver", "basic"]);
                let listed = if at == 3 {
                    "basic, gold, silver"
                } else {
                    "gold, silver, basic"
                };
                let reason = format!("is not one of its options ({listed})");
                refuses(&field, &reason, &["platinum", "", " "]);
                refuses(
                    &field,
                    &format!("{reason}; did you mean gold?"),
                    &["Gold", " gold", "GOLD "],
                );
                if at != 0 {
                    refuses(
                        &field,
                        &format!("{reason}; did you mean gold?"),
                        &["gold card"],
                    );
                }
            }
        }
    }
    let numbers = field(
        json!({"input-type": "select", "select-options": "[1, 2.50, 9007199254740993, true, 1]"}),
    );
    accepts(&numbers, &["1", "2.50", "9007199254740993", "true"]);
    refuses(
        &numbers,
        "is not one of its options (1, 2.50, 9007199254740993, true)",
        &["2.5", "9007199254740992"],
    );
    let many: Vec<u32> = (0..20).collect();
    let many = field(json!({"input-type": "select", "select-options": many}));
    refuses(
        &many,
        "is not one of its options (0, 1, 2, 3, 4, 5, 6, 7 and 12 more)",
        &["20"],
    );
}

#[test]
fn options_that_are_not_there_or_not_understood_are_not_checked() {
    let unclear = "f: its options are not understood and are not checked";
    let none = "f: it has no options to choose from and is not checked";
    for (options, warning) in [
        (json!("null"), none),
        (json!(null), none),
        (json!(""), none),
        (json!([]), none),
        (json!("{}"), none),
        (json!("a,b"), unclear),
        (json!("\"a\""), unclear),
        (json!(5), unclear),
        (json!([["a"]]), unclear),
        (json!([{"text": "a"}]), unclear),
        (json!({"options": ["a"]}), unclear),
    ] {
        let fields =
            fields(&[json!({"slug": "f", "input-type": "select", "select-options": options})]);
        assert_eq!(fields.warnings(), [warning], "{options}");
        accepts(fields.get("f").unwrap(), &["anything"]);
    }
}

fn expression(expression: &str) -> Field {
    field(json!({"input-type": "text", "validation-expression": expression}))
}

#[test]
fn expressions_match_the_whole_value() {
    for pattern in ["^[A-Z]{2}$", "[A-Z]{2}", "^[A-Z]{2}", "[A-Z]|[A-Z]{2}|x"] {
        let field = expression(pattern);
        accepts(&field, &["CH"]);
        refuses(
            &field,
            &format!("does not match its validation expression {pattern}"),
            &["CHF", "ch", "", "CH\n", " CH"],
        );
    }
    let strong = expression(r"(?=.*\d)(?=.*\p{Punct}).{8,}");
    accepts(&strong, &["passw0rd$"]);
    assert!(strong.check("password$").is_err());
    accepts(&expression(r"(?i)[\w-.]+@[\w-]+\.ch"), &["A.b-c@D-e.CH"]);
    accepts(&expression("a++b"), &["aab"]);
    accepts(&expression(r"(\d)\1"), &["11"]);
    assert!(expression(r"\d").check("٣").is_err());
    accepts(&expression("null"), &["anything"]);
    accepts(&expression(""), &["anything"]);
}

#[test]
fn expressions_apply_to_the_value_as_sent() {
    let item = |input_type: &str, expression: &str| json!({"input-type": input_type, "select-options": "[\"a\",\"b\"]", "validation-expression": expression});
    table(
        &field(item("number", "[0-9]")),
        &[
            ("+5", "= 5"),
            ("55", "does not match its validation expression [0-9]"),
        ],
    );
    table(
        &field(item("checkbox", "true")),
        &[
            ("TRUE", "= true"),
            ("false", "does not match its validation expression true"),
        ],
    );
    table(
        &field(item("select", "a")),
        &[
            ("a", "= a"),
            ("b", "does not match its validation expression a"),
        ],
    );
}

#[test]
fn expressions_that_are_not_understood_are_named_and_not_checked() {
    for pattern in [
        "[",
        "(",
        "a)|(b",
        "/^a$/",
        r"\h+",
        "(?x) a",
        r"\p{javaLowerCase}",
        "[a",
        "*",
        r"\p{Nonsense}",
        r"(?<=a)\K",
    ] {
        let fields =
            fields(&[json!({"slug": "f", "input-type": "text", "validation-expression": pattern})]);
        assert_eq!(fields.warnings().len(), 1, "{pattern}");
        let start =
            format!("f: its validation expression {pattern} is not checked: not understood here (");
        assert!(
            fields.warnings()[0].starts_with(&start),
            "{}",
            fields.warnings()[0]
        );
        accepts(fields.get("f").unwrap(), &["anything"]);
    }
}

#[test]
fn no_expression_hangs() {
    let start = Instant::now();
    let long = format!("{}!", "a".repeat(50_000));
    assert!(expression("(a+)+$").check(&long).is_err());
    // Look-around and back-references need backtracking, which is given up on: nothing is refused
    // for it, and after some times it is not tried again.
    let field = expression(r"(a|aa)+(?=(!))\2x|(?=y)y|b");
    for _ in 0..1_000 {
        assert!(field.check(&long[long.len() - 60..]).is_ok());
    }
    assert_eq!(field.given_up(), 50);
    accepts(&field, &["b"]);
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn what_is_stored_says_the_same_or_not() {
    for (input_type, stored, text, expected) in [
        ("text", r#""a""#, "a", true),
        ("text", r#""\u00e9""#, "é", true),
        ("text", r#""a ""#, "a", false),
        ("text", "5", "5", true),
        ("text", "5.0", "5", false),
        ("text", "true", "true", true),
        ("text", "true", "TRUE", false),
        ("text", "null", "null", false),
        ("text", r#"["a"]"#, "a", false),
        ("text", r#"["a"]"#, "", false),
        ("text", r#"" ""#, "", false),
        ("text", r#""\ud800""#, "\u{fffd}", false),
        ("number", "5", "5.0", true),
        ("number", r#"" 5 ""#, "5e0", true),
        ("number", "9007199254740993", "9007199254740992", false),
        (
            "number",
            "0.1",
            "0.1000000000000000055511151231257827",
            false,
        ),
        ("number", r#""many""#, "many", true),
        ("number", "true", "1", false),
        ("range", "1e2", "100", true),
        ("checkbox", "true", "true", true),
        ("checkbox", r#""TRUE""#, "true", true),
        ("checkbox", "false", "true", false),
        ("checkbox", "1", "true", false),
        ("checkbox", r#""sport""#, "sport", true),
        ("date", r#"" 2026-11-21 ""#, "2026-11-21", true),
        ("date", r#""2026-11-21T00:00:00Z""#, "2026-11-21", false),
        (
            "datetime",
            r#""2026-11-21T10:00:00Z""#,
            "2026-11-21 11:00:00.0+01:00",
            true,
        ),
        (
            "datetime",
            r#""2026-11-21T10:00:00Z""#,
            "2026-11-21T10:00:00",
            false,
        ),
        (
            "datetime",
            r#""2026-11-21T10:00:00""#,
            "2026-11-21T10:00:00",
            true,
        ),
        ("datetime", r#""soon""#, "soon", true),
        (
            "datetime",
            r#""2026-11-21T10:00:00Z""#,
            "2026-11-21T10:00:01Z",
            false,
        ),
        ("select", r#""gold""#, "Gold", false),
    ] {
        assert_eq!(
            of_type(input_type).says(Some(&raw(stored)), text),
            expected,
            "{input_type}: {stored} and {text:?}"
        );
    }
}

#[test]
fn no_value_is_no_value() {
    for input_type in TYPED.into_iter().chain(["text", "select"]) {
        let field = of_type(input_type);
        for stored in [None, Some(raw("null")), Some(raw(r#""""#))] {
            assert!(field.says(stored.as_deref(), ""), "{input_type}");
            assert!(!field.says(stored.as_deref(), "0"), "{input_type}");
            assert_eq!(field.text_of(stored.as_deref()), Ok(None));
        }
        assert!(!field.says(Some(&raw("0")), ""));
        assert!(!field.says(Some(&raw(r#"" ""#)), ""));
        assert!(!field.says(Some(&raw("false")), ""));
    }
}

#[test]
fn the_text_that_would_set_it_again() {
    let field = of_type("text");
    for (stored, text) in [
        (r#""a\n\"b\"""#, "a\n\"b\""),
        (r#"" ""#, " "),
        ("5.0", "5.0"),
        (
            "340282366920938463463374607431768211457",
            "340282366920938463463374607431768211457",
        ),
        ("true", "true"),
    ] {
        assert_eq!(field.text_of(Some(&raw(stored))), Ok(Some(text.to_owned())));
    }
    for (stored, reason) in [
        ("[]", "is an array, which no text can say"),
        (r#"{"a":1}"#, "is an object, which no text can say"),
        (
            r#""\ud800""#,
            "holds NUL or half a surrogate pair, which no text can say",
        ),
    ] {
        assert_eq!(
            field.text_of(Some(&raw(stored))).unwrap_err().to_string(),
            reason
        );
    }
}

#[test]
fn typed_values() {
    for (input_type, text, json) in [
        ("text", "true", r#""true""#),
        ("text", "a\"b", r#""a\"b""#),
        ("select", "1", r#""1""#),
        ("checkbox", "true", "true"),
        ("checkbox", "sport", r#""sport""#),
        ("number", "9007199254740993", "9007199254740993"),
        ("number", "1.50", "1.50"),
        ("range", "-2E+3", "-2E+3"),
        ("number", "many", r#""many""#),
        ("number", "null", r#""null""#),
        ("date", "2026-11-21", r#""2026-11-21""#),
    ] {
        assert_eq!(
            serde_json::to_string(&of_type(input_type).typed(text)).unwrap(),
            json
        );
    }
}

#[test]
fn the_slug_that_was_meant() {
    let fields = fields(&[
        json!({"slug": "first-name", "label": "Given name", "input-type": "text"}),
        json!({"slug": "reader_score", "label": "Score", "input-type": "text"}),
        json!({"slug": "country", "label": " ", "input-type": "text"}),
        json!({"slug": "Given name", "input-type": "text"}),
    ]);
    for (typed, meant) in [
        ("First-Name", Some("first-name")),
        ("first_name", Some("first-name")),
        ("firstname", Some("first-name")),
        ("Reader Score", Some("reader_score")),
        ("score", Some("reader_score")),
        ("given_name", Some("Given name")),
        ("contry", Some("country")),
        ("frist-name", Some("first-name")),
        ("newsletter", None),
        ("", None),
        ("--", None),
    ] {
        assert_eq!(fields.nearest(typed), meant, "{typed}");
    }
    assert_eq!(fields.get("country").and_then(Field::label), None);
    assert!(fields.get("Country").is_none());
}

#[test]
fn odd_schemas() {
    let fields = fields(&[
        json!(null),
        json!([1]),
        json!({}),
        json!({"slug": ""}),
        json!({"slug": null}),
        json!({"slug": {"a": 1}, "input-type": "text"}),
        json!({"slug": 12, "input-type": "date", "required": "true", "label": 5}),
        json!({"slug": "a", "input-type": "number", "required": true, "validation-expression": null}),
        json!({"slug": "a", "input-type": "text"}),
        json!({"slug": "b"}),
        json!({"slug": "c", "input-type": "hologram"}),
        json!({"slug": "d", "input-type": "text", "validation-expression": ["x"], "required": null, "label": null, "select-options": 7}),
        json!({"slug": "e", "input-type": ["text"]}),
    ]);
    let left_out = "an item of the schema has no slug and is left out";
    assert_eq!(
        fields.warnings(),
        [
            left_out,
            left_out,
            left_out,
            left_out,
            left_out,
            left_out,
            "a comes twice in the schema; the first one counts",
            "b: it has no input type and is not checked",
            "c: its input type hologram is not known here and is not checked",
            "d: its validation-expression is not understood and is not checked",
            "e: it has no input type and is not checked",
        ]
    );
    let slugs: Vec<_> = fields.iter().map(Field::slug).collect();
    assert_eq!(slugs, ["12", "a", "b", "c", "d", "e"]);
    assert!(fields.get("12").unwrap().required() && fields.get("a").unwrap().required());
    assert!(!fields.get("d").unwrap().required());
    assert_eq!(fields.get("12").unwrap().label(), Some("5"));
    assert!(fields.get("a").unwrap().check("x").is_err());
    assert!(Fields::parse(&[]).is_empty() && !fields.is_empty());
}

#[test]
fn common_cells_cost_no_memory() {
    for (input_type, cell) in [
        ("text", " a "),
        ("number", " -1.5e3 "),
        ("checkbox", "TRUE"),
        ("date", " 2026-11-21"),
        ("datetime", "2026-11-21 10:00:00Z"),
        ("email", "a@b.ch "),
        ("tel", "+41 44 1"),
    ] {
        assert!(
            matches!(of_type(input_type).check(cell), Ok(Cow::Borrowed(_))),
            "{input_type}"
        );
    }
}

/// One of each, with the rules that apply to it.
fn all() -> Vec<Field> {
    let types = TYPED
        .into_iter()
        .chain(["text", "textarea", "hidden", "password", "select", "radio"]);
    let with_rules = |input_type: &str| {
        field(json!({
            "input-type": input_type, "select-options": ["a", " b", "TRUE", "1"], "range-start": -5, "range-end": 1e6, "value-precision": 2,
        }))
    };
    types
        .flat_map(|input_type| [of_type(input_type), with_rules(input_type)])
        .collect()
}

/// Texts that are near to what some type takes.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "\\PC{0,12}",
        "[-+]?[0-9]{0,4}[.,]?[0-9]{0,4}([eE][-+]?[0-9]{1,4})?",
        "[0-9]{1,4}[-./][0-9W]{1,3}([-./][0-9]{1,4})?([T ][0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]{0,10})?)?(Z|[-+][0-9]{2}:?([0-9]{2})?)?)?",
        " ?(#[0-9a-g]{3,6}|[a-z.]{0,5}@[a-z.-]{0,8}|https?:/{0,2}[a-zé./ ]{0,8}|[tT][rR][uU][eE]|false| ?b|a) ?",
    ]
}

proptest! {
    #[test]
    fn any_text_gets_an_answer_that_stands(text in texts()) {
        for field in all() {
            let Ok(value) = field.check(&text) else { continue };
            // Once more, it is the same.
            prop_assert_eq!(field.check(&value), Ok(Cow::Borrowed(&*value)));
            let stored = to_raw_value(&*value).unwrap();
            prop_assert!(field.says(Some(&stored), &value), "{:?}", value);
            prop_assert!(value.is_empty() || field.text_of(Some(&stored)) == Ok(Some(value.to_string())));
            let typed = to_raw_value(&field.typed(&value)).unwrap();
            prop_assert!(field.says(Some(&typed), &value), "{}", typed);
        }
    }

    #[test]
    fn any_expression_gets_an_answer(expression in "([a-z]|\\\\[dwspQE<.]|[\\[\\]()|*+?{}^$&~-]|\\(\\?[=!<:i]){0,12}", text in texts()) {
        let _ = self::expression(&expression).check(&text);
    }

    #[test]
    fn any_property_gets_an_answer(text in texts(), input_type in prop::sample::select(&TYPED[..])) {
        let said: Value = serde_json::from_str(&text).unwrap_or(json!(text));
        let field = field(json!({
            "input-type": input_type, "label": said, "required": said, "range-start": said, "range-end": said, "value-precision": said, "select-options": said,
        }));
        let _ = field.check(&text);
    }
}
