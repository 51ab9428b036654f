//! Whole files: each way in which they differ, and what comes back from a rejects file.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::complaint::Complaint;

const PATH: &str = "users.csv";

/// What a file says: of each row its line, its cells and what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    header: Header,
    rows: Vec<(u64, Vec<String>, Vec<Complaint>)>,
    digest: Digest,
}

fn read_with(bytes: impl Read, reading: &Reading) -> Result<Said, Error> {
    let mut intake = Intake::new(bytes, Path::new(PATH), reading)?;
    let mut rows = Vec::new();
    let mut row = Row::default();
    while intake.next(&mut row)? {
        assert_eq!(row.number, rows.len() as u64 + 1);
        let cells = row.cells().map(str::to_owned).collect();
        rows.push((row.line, cells, row.faults.clone()));
    }
    Ok(Said {
        header: intake.header().clone(),
        rows,
        digest: intake.finish()?,
    })
}

fn read(bytes: impl AsRef<[u8]>) -> Said {
    let said = read_with(bytes.as_ref(), &Reading::default()).expect("a file");
    assert_eq!(
        said.digest,
        <[u8; 32]>::from(Sha256::digest(bytes.as_ref()))
    );
    said
}

fn refused(bytes: impl AsRef<[u8]>) -> String {
    let said = read_with(bytes.as_ref(), &Reading::default());
    said.expect_err("no file").to_string()
}

/// The cells of all rows, which have no faults.
fn cells(said: &Said) -> Vec<Vec<&str>> {
    let mut rows = Vec::new();
    for (_, cells, faults) in &said.rows {
        assert_eq!(*faults, []);
        rows.push(cells.iter().map(String::as_str).collect());
    }
    rows
}

/// The only complaint of the only row with any: its line, its column, its reason.
fn fault(said: &Said) -> (u64, Option<&str>, &str) {
    let mut all = said.rows.iter().flat_map(|(_, _, faults)| faults);
    let (Some(only), None) = (all.next(), all.next()) else {
        panic!("one complaint: {said:?}");
    };
    (only.line, only.column.as_deref(), &only.reason)
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    format!("\u{FEFF}{text}")
        .encode_utf16()
        .flat_map(unit)
        .collect()
}

/// Gives one byte at a time.
struct Drop<'a>(&'a [u8]);

impl Read for Drop<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let count = room.len().min(1);
        self.0.read(&mut room[..count])
    }
}

const ROWS: &str = "user_id,name,note\nu1,Müller,\"a, \"\"b\"\"\"\nu2,李,\"two\nlines\"\n";

fn expected() -> Vec<Vec<&'static str>> {
    vec![
        vec!["u1", "Müller", "a, \"b\""],
        vec!["u2", "李", "two\nlines"],
    ]
}

#[test]
fn a_file_says_the_same_in_each_encoding() {
    for bytes in [
        ROWS.as_bytes().to_vec(),
        format!("\u{FEFF}{ROWS}").into_bytes(),
        utf16(ROWS, u16::to_le_bytes),
        utf16(ROWS, u16::to_be_bytes),
    ] {
        let said = read(&bytes);
        assert_eq!(cells(&said), expected());
        let slowly = read_with(Drop(&bytes), &Reading::default()).expect("a file");
        assert_eq!(slowly, said);
    }
}

#[test]
fn a_file_says_the_same_with_each_delimiter() {
    for (sign, byte) in [(";", b';'), ("\t", b'\t'), (",", b',')] {
        let text = ROWS
            .replace("a, ", "a# ")
            .replace(',', sign)
            .replace("a# ", "a, ");
        let said = read(&text);
        assert_eq!(cells(&said), expected());
        assert_eq!(said.header.delimiter, byte);
    }
    let said = read(format!(
        "sep=|\r\n{}",
        ROWS.replace("a, ", "a. ").replace(',', "|")
    ));
    assert_eq!(cells(&said)[0], ["u1", "Müller", "a. \"b\""]);
    assert_eq!(said.header.line, 2);
}

#[test]
fn a_delimiter_that_is_given_is_used() {
    let reading = |delimiter| Reading {
        delimiter: Some(delimiter),
        ignore: vec![],
    };
    let text = "user_id;a,b,c\n1;2,3";
    let said = read_with(text.as_bytes(), &reading(b';')).expect("a file");
    assert_eq!(cells(&said), [["1", "2,3"]]);
    let error = read_with(text.as_bytes(), &reading(b'"')).expect_err("no delimiter");
    assert!(matches!(error, Error::Delimiter { given: b'"' }));
}

#[test]
fn lines_are_counted_whatever_ends_them() {
    let text = "user_id,a\n\nu1,x\nu2,\"p\nq\n\"\n,\n   \n\nu3,y\nu4,\"z\n\"";
    for end in ["\n", "\r\n", "\r"] {
        let said = read(text.replace('\n', end));
        let lines: Vec<_> = said.rows.iter().map(|(line, _, _)| *line).collect();
        assert_eq!(lines, [3, 4, 10, 11], "{end:?}");
        let second = format!("p{end}q{end}");
        assert_eq!(cells(&said)[1], ["u2", second.as_str()]);
        let slowly = read_with(
            Drop(text.replace('\n', end).as_bytes()),
            &Reading::default(),
        );
        assert_eq!(slowly.expect("a file"), said);
    }
}

#[test]
fn the_header_may_stand_below_blank_rows() {
    let said = read("\r\n;;;\r\n \r\n user_id ; \"a\" \r\n".replace(" \"a\" ", " a "));
    assert_eq!(said.header.line, 4);
    assert_eq!(said.header.names, ["user_id", "a"]);
    assert_eq!(said.rows, []);
}

#[test]
fn rows_all_of_whose_cells_are_empty_are_skipped() {
    let said = read("user_id;a;b;c\n;;;\n\"\";\"\";;\n;;;;;;\n ; ;\t;\nu1;;;\n");
    assert_eq!(cells(&said), [["u1", "", "", ""]]);
    assert_eq!(said.rows[0].0, 6);
}

#[test]
fn an_empty_file_and_one_with_only_a_header_are_told_apart() {
    for empty in ["", "\n\n", "\u{FEFF}", ",,,\n"] {
        assert!(refused(empty).contains("is empty"), "{empty:?}");
    }
    assert_eq!(read("user_id,a").rows, []);
}

#[test]
fn what_is_no_csv_is_named() {
    let utf16_bare: fn(&str) -> Vec<u8> = |text| utf16(text, u16::to_le_bytes)[2..].to_vec();
    for (bytes, seems) in [
        (b"PK\x03\x04rest".to_vec(), Seems::Workbook),
        (b"\xD0\xCF\x11\xE0rest".to_vec(), Seems::OldWorkbook),
        (b"\x1F\x8B\x08".to_vec(), Seems::Gzip),
        (b"%PDF-1.7".to_vec(), Seems::Pdf),
        (utf16_bare(ROWS), Seems::Utf16),
        (utf16_bare("\n\nuser_id"), Seems::Utf16),
        (utf16(ROWS, u16::to_be_bytes)[2..].to_vec(), Seems::Utf16),
        (b"\xFF\xFE\0\0u\0\0\0".to_vec(), Seems::Utf32),
        (b"\0\0\xFE\xFF\0\0\0u".to_vec(), Seems::Utf32),
        (b"user_id,a\0,b\n".to_vec(), Seems::Binary),
        (vec![0; 100], Seems::Binary),
    ] {
        let error = read_with(&bytes[..], &Reading::default()).expect_err("no CSV");
        let Error::NotCsv { seems: found, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(found, seems);
    }
}

#[test]
fn bytes_that_are_no_text_are_complained_about() {
    let said = read(b"user_id,name\nu1,M\xFCller\nu2,b\n");
    let (line, column, reason) = fault(&said);
    assert_eq!((line, column), (2, Some("name")));
    assert!(reason.contains("\"Müller\""), "{reason}");
    assert_eq!(said.rows[0].1[1], "M\u{FFFD}ller");
    assert_eq!(said.rows[0].2[0].value.as_deref(), Some("M\u{FFFD}ller"));
    assert_eq!(said.rows[1].2, []);
    // Valid only as long as nobody looks at the cells one by one.
    let said = read(b"user_id,a,b\nu1,\xC3,\xBC\n");
    assert_eq!(said.rows[0].2.len(), 2);
    // In a name of a column there is no row to complain about.
    let error = read_with(&b"user_id,gr\xFC\xDFe\n1,2"[..], &Reading::default());
    let text = error.expect_err("no header").to_string();
    assert!(
        text.contains("line 1, column `column 2`") && text.contains("grüße"),
        "{text}"
    );
}

#[test]
fn half_characters_of_utf_16_are_complained_about() {
    let mut bytes = utf16("user_id,a\nu1,x\nu2,y\n", u16::to_le_bytes);
    let x = bytes.iter().position(|&byte| byte == b'x').expect("an x");
    bytes[x + 1] = 0xD8;
    let said = read(&bytes);
    assert_eq!(fault(&said).0, 2);
    assert!(fault(&said).2.contains("UTF-16"));
    // An odd byte at the end.
    let mut bytes = utf16("user_id,a\nu1,x", u16::to_be_bytes);
    bytes.push(b'!');
    assert_eq!(fault(&read(&bytes)).0, 2);
}

#[test]
fn ragged_rows_are_complained_about_with_both_numbers() {
    let said = read("user_id,a,b\nu1,x\nu2,x,y\n");
    let (line, column, reason) = fault(&said);
    assert_eq!((line, column), (2, None));
    assert!(
        reason.starts_with("has 2 cells, and the header has 3"),
        "{reason}"
    );
    let said = read("user_id,a,b\nu1,x,y,\n");
    assert!(
        fault(&said)
            .2
            .starts_with("has 4 cells, and the header has 3")
    );
    let said = read("user_id,a,b\nu1\n");
    assert!(
        fault(&said)
            .2
            .starts_with("has 1 cell, and the header has 3")
    );
}

#[test]
fn a_column_without_a_name_may_only_be_empty() {
    let said = read("user_id,,a,,\nu1,,x,,\nu2,,x\nu3, ,x,,\nu4,!,x,,\n");
    let (line, column, _) = fault(&said);
    assert_eq!((line, column), (5, Some("column 2")));
    assert!(
        fault(&read("user_id,,a,,\nu1,\n"))
            .2
            .starts_with("has 2 cells")
    );
}

#[test]
fn a_nul_is_complained_about_and_other_controls_are_not() {
    let said = read("user_id,a\nu1,x\0\nu2,\u{1}\u{b}\u{7f}\u{1a}\n");
    let (line, column, _) = fault(&said);
    assert_eq!((line, column), (2, Some("a")));
    assert_eq!(said.rows[1].1[1], "\u{1}\u{b}\u{7f}\u{1a}");
    // A file that says it is UTF-8 is not taken for something else.
    assert!(refused("\u{FEFF}user_id,a\0b\n").contains("NUL character"));
}

#[test]
fn the_user_has_to_be_named_and_the_action_known() {
    let said = read("email,_action\na,set\nb,\nc,\" Delete \"\n ,set\n");
    assert_eq!(fault(&said).0, 5);
    assert_eq!(fault(&said).1, Some("email"));
    let said = read("email,_action\na,remove\n");
    assert_eq!(fault(&said).1, Some("_action"));
    let bytes = &b"email,_action\na,\nb,DELETE\nc,x\nd,Set\n"[..];
    let mut intake = Intake::new(bytes, Path::new(PATH), &Reading::default()).expect("a file");
    let mut row = Row::default();
    let mut actions = Vec::new();
    while intake.next(&mut row).expect("a row") {
        actions.push(row.action);
    }
    assert_eq!(
        actions,
        [Action::Set, Action::Delete, Action::Set, Action::Set]
    );
}

#[test]
fn text_after_a_closing_quote_is_complained_about_and_kept_as_it_is() {
    let said = read("user_id,a\nu1,\"x\"y\"\nu2, \"z\"\nu3,\"ok\"\n");
    assert_eq!(said.rows[0].1[1], "\"x\"y\"");
    assert!(said.rows[0].2[0].reason.contains("after its closing quote"));
    assert!(!said.rows[0].2[0].reason.contains("were taken for one row"));
    assert_eq!(said.rows[1].1[1], " \"z\"");
    assert!(said.rows[1].2[0].reason.contains("blanks before"));
    assert_eq!(said.rows[2].2, []);
}

#[test]
fn a_quote_that_is_closed_by_the_next_one_says_which_lines_it_took() {
    let said = read("user_id,a,b\nu1,\"x,1\nu2,\"y\",2\nu3,z,3\n");
    assert_eq!(said.rows[0].0, 2);
    let reason = &said.rows[0].2[0].reason;
    assert!(
        reason.contains("opens on line 2") && reason.contains("lines 2 to 3"),
        "{reason}"
    );
    assert_eq!(said.rows[1].0, 4);
    assert_eq!(said.rows[1].2, []);
}

#[test]
fn a_quote_that_is_never_closed_is_found_with_its_line() {
    for (text, wanted) in [
        ("user_id,a\nu1,x\nu2,\"y\nu3,z\n", (3, 2)),
        ("user_id,a,b\nu1,\"p\nq\",\"y\n", (3, 3)),
        ("user_id,\"a\n", (1, 2)),
        ("user_id,a\nu1,\"", (2, 2)),
    ] {
        let error = read_with(text.as_bytes(), &Reading::default()).expect_err("an open quote");
        let Error::OpenQuote { line, cell, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((line, cell), wanted, "{text:?}");
    }
}

/// A file without an end, that counts what was read of it.
struct Endless<'a> {
    start: &'a [u8],
    then: &'a [u8],
    read: usize,
}

impl Read for Endless<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let source = if self.start.is_empty() {
            self.then
        } else {
            self.start
        };
        let count = source.len().min(room.len());
        room[..count].copy_from_slice(&source[..count]);
        self.start = &self.start[self.start.len().min(count)..];
        self.read += count;
        Ok(count)
    }
}

#[test]
fn an_open_quote_and_a_row_without_an_end_stop_early() {
    let rows = "u2,y\n".repeat(1000);
    for (start, then, quote) in [
        ("user_id,a\nu1,\"x\n", rows.as_str(), true),
        ("user_id,a\nu1,", "xxxxxxxxxx", false),
        ("user_id,a\nu1", ",,,,,,,,,,", false),
    ] {
        let mut file = Endless {
            start: start.as_bytes(),
            then: then.as_bytes(),
            read: 0,
        };
        let error = read_with(&mut file, &Reading::default()).expect_err("no end");
        let is_expected = if quote {
            matches!(error, Error::OpenQuote { line: 2, .. })
        } else {
            matches!(error, Error::LongRow { line: 2, .. })
        };
        assert!(is_expected, "{error}");
        assert!(file.read < records::LONGEST * 2, "{} bytes", file.read);
    }
}

#[test]
fn a_million_blank_lines_are_no_long_row() {
    let said = read(format!("user_id,a\n{}u1,x\n", "\n".repeat(3 << 20)));
    assert_eq!(said.rows[0].0, (3 << 20) + 2);
}

#[test]
fn the_longest_row_is_read_and_no_longer_one() {
    let row = |length: usize| format!("user_id,a\nu1,{}\nu2,y\n", "x".repeat(length - 4));
    assert_eq!(read(row(records::LONGEST)).rows.len(), 2);
    assert!(refused(row(records::LONGEST + 1)).contains("line 2"));
}

#[test]
fn a_header_with_all_its_complaints_is_shown() {
    let text = refused("a;b;a;_line\n1;2;3;4\n");
    for part in [
        "the header of users.csv cannot be used:\n",
        "line 1, column `a`: is named twice, by columns 1 and 3",
        "column `_line`: is a name of ours",
        "no column names the user",
        "with `;` between them",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

/// Writes all rows to a rejects file and gives its text.
fn rejects_of(text: &str, complaints: &[Complaint]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let input = directory.path().join(PATH);
    fs::write(&input, text).expect("a file");
    let mut intake = Intake::open(&input, &Reading::default()).expect("a file");
    let target = default_rejects_path(&input);
    let mut rejects = Rejects::create(&target, &input, intake.header()).expect("rejects");
    let mut row = Row::default();
    let mut count = 0;
    while intake.next(&mut row).expect("a row") {
        let said = row.faults.iter().chain(complaints);
        let reasons: Vec<String> = said.map(Complaint::beside_its_row).collect();
        rejects.add(&row, &reasons.join("; ")).expect("room");
        count += 1;
        assert_eq!(rejects.count(), count);
    }
    assert!(!target.exists());
    assert_eq!(rejects.finish().expect("a file"), count);
    assert_eq!(fs::read_dir(directory.path()).expect("files").count(), 2);
    fs::read_to_string(target).expect("text")
}

#[test]
fn rejects_have_the_reasons_in_front_and_the_cells_as_they_were() {
    let text = "user_id;-x;;b\nu1;=1;;\"p\n;q\"\nu2;y\nu3;'z;;\"a\"\"b\"\n";
    let complaints = [
        Complaint::about_cell(9, "b", "", "is wrong"),
        Complaint::about_row(9, "is late"),
    ];
    let written = rejects_of(text, &complaints);
    assert_eq!(
        written,
        "\u{FEFF}_line;_reason;user_id;'-x;;b\r\n\
         2;b: is wrong; is late;u1;'=1;;\"p\n;q\"\r\n"
            .replace("b: is wrong; is late", "\"b: is wrong; is late\"")
            + "4;\"has 2 cells, and the header has 4; empty cells at the end need their delimiters too; b: is wrong; is late\";u2;y\r\n"
            + "5;\"b: is wrong; is late\";u3;''z;;\"a\"\"b\"\r\n"
    );
}

#[test]
fn a_rejects_file_that_comes_back_says_what_the_first_one_said() {
    let text = "user_id;-x;;b\nu1;=1;;\"p\n;q\"\nu2;y\nu3;'z;;\"a\"\"b\"\n";
    let once = rejects_of(text, &[]);
    let (first, back) = (read(text), read(&once));
    assert!(back.header.returned && !first.header.returned);
    assert_eq!(back.header.names, first.header.names);
    assert_eq!(back.header.attributes, first.header.attributes);
    for (one, other) in first.rows.iter().zip(&back.rows) {
        assert_eq!(one.1, other.1);
        assert_eq!(one.2.len(), other.2.len());
    }
    // The person counts the columns that are there.
    assert!(
        fault(&back)
            .2
            .starts_with("has 4 cells, and the header has 6")
    );
    // A second time ours are replaced and nothing is escaped twice.
    let twice = rejects_of(&once, &[]);
    assert!(
        twice.starts_with("\u{FEFF}_line;_reason;user_id;'-x;;b\r\n2;;u1;'=1;;"),
        "{twice}"
    );
    assert_eq!(twice.matches("_line").count(), 1);
}

#[test]
fn an_apostrophe_in_a_file_of_another_origin_is_kept() {
    assert_eq!(cells(&read("user_id,a\nu1,'=1\n")), [["u1", "'=1"]]);
    assert_eq!(
        cells(&read("_line,_reason,user_id,a\n1,,u1,'=1\n")),
        [["u1", "=1"]]
    );
    // Also in a row that goes to the rejects for another cell.
    assert_eq!(read("user_id,a,b\nu1,'=1,\"x\"y\n").rows[0].1[1], "'=1");
}

#[test]
fn a_rejects_file_is_never_the_input_and_gone_when_unfinished() {
    let directory = tempfile::tempdir().expect("a directory");
    let input = directory.path().join(PATH);
    let link = directory.path().join("link.csv");
    fs::write(&input, "user_id,a\n").expect("a file");
    std::os::unix::fs::symlink(&input, &link).expect("a link");
    let intake = Intake::open(&input, &Reading::default()).expect("a file");
    for target in [&input, &link] {
        let error = Rejects::create(target, &input, intake.header()).err();
        assert!(matches!(error, Some(Error::OverInput { .. })));
    }
    let target = directory.path().join("rejects.csv");
    fs::write(&target, "older").expect("a file");
    drop(Rejects::create(&target, &input, intake.header()).expect("rejects"));
    assert_eq!(fs::read_to_string(&target).expect("text"), "older");
    assert_eq!(fs::read_dir(directory.path()).expect("files").count(), 3);
    let nowhere = directory.path().join("nowhere/rejects.csv");
    let error = Rejects::create(&nowhere, &input, intake.header()).err();
    assert!(matches!(error, Some(Error::Unwritable { .. })));
}

#[test]
fn rejects_stand_beside_their_input() {
    for (input, rejects) in [
        ("users.csv", "users.rejects.csv"),
        ("/a/b.c/users.tar.txt", "/a/b.c/users.tar.rejects.csv"),
        ("users", "users.rejects.csv"),
    ] {
        assert_eq!(default_rejects_path(Path::new(input)), Path::new(rejects));
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Intake::open(Path::new("nowhere.csv"), &Reading::default()).err();
    assert_eq!(
        error.expect("an error").to_string(),
        "nowhere.csv cannot be read"
    );
}

/// What is awkward somewhere in a file, and other text.
fn cell() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\"".to_owned()),
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("\r\n".to_owned()),
        Just("'".to_owned()),
        Just("=".to_owned()),
        Just("＝".to_owned()),
        Just(",".to_owned()),
        Just(";".to_owned()),
        Just("\t".to_owned()),
        Just(" ".to_owned()),
        Just("\u{FEFF}".to_owned()),
        Just("é".to_owned()),
        "[a-z]{1,3}",
        any::<char>()
            .prop_filter("no value has NUL", |&one| one != '\0')
            .prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        rows in prop::collection::vec(prop::collection::vec(cell(), 3), 1..8),
        delimiter in prop::sample::select(vec![b',', b';', b'\t', b'|']),
        marked in any::<bool>(),
    ) {
        let mut bytes = Vec::new();
        if marked {
            bytes.extend("\u{FEFF}".as_bytes());
        }
        let mut writer = Writer::new(&mut bytes, delimiter);
        writer.row(["_line", "_reason", "user_id", "a", "b", "c"]).expect("memory");
        let mut lines = Vec::new();
        let mut line = 2;
        for (number, cells) in rows.iter().enumerate() {
            let user = format!("u{number}");
            let ours = ["7", "=why", user.as_str()];
            writer.row(ours.into_iter().chain(cells.iter().map(String::as_str))).expect("memory");
            lines.push(line);
            // The escape adds no line end.
            line += 1 + cells.iter().map(|cell| quotes::line_ends(cell.as_bytes())).sum::<u64>();
        }
        writer.finish().expect("memory");
        let reading = Reading { delimiter: Some(delimiter), ignore: vec![] };
        let said = read_with(&bytes[..], &reading).expect("a file");
        prop_assert_eq!(said.rows.len(), rows.len());
        for ((one, line), (found_line, cells, faults)) in rows.iter().zip(lines).zip(&said.rows) {
            prop_assert_eq!(faults, &vec![]);
            prop_assert_eq!(&cells[1..], &one[..]);
            prop_assert_eq!(*found_line, line);
        }
        prop_assert_eq!(read_with(Drop(&bytes), &reading).expect("a file"), said);
    }

    #[test]
    fn any_bytes_below_a_header_are_rows_or_a_clear_end(
        bytes in prop::collection::vec(
            prop_oneof![
                prop::sample::select(b"\"\"\"\n\r,,;' =\0\xFF\xC3\xBCab".to_vec()),
                any::<u8>(),
            ],
            0..200,
        ),
    ) {
        let mut file = b"user_id,a,b\n".to_vec();
        file.extend(&bytes);
        let said = read_with(&file[..], &Reading::default());
        let slowly = read_with(Drop(&file), &Reading::default());
        match (said, slowly) {
            (Ok(said), Ok(slowly)) => {
                prop_assert!(said.rows.is_sorted_by(|one, other| one.0 < other.0));
                let end = 1 + quotes::line_ends(&file);
                prop_assert!(said.rows.iter().all(|(line, _, _)| (2..=end).contains(line)));
                for (_, cells, faults) in &said.rows {
                    prop_assert!(!faults.is_empty() || cells.len() == 3);
                }
                prop_assert_eq!(said, slowly);
            }
            (Err(said), Err(slowly)) => {
                prop_assert!(matches!(said, Error::OpenQuote { .. }), "{}", said);
                prop_assert_eq!(said.to_string(), slowly.to_string());
            }
            (said, slowly) => prop_assert!(false, "{said:?} and {slowly:?}"),
        }
    }
}
