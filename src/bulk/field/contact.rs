//! E-mail addresses, web addresses, telephone numbers, colours.
//!
//! These find slips (a missing `@`, two addresses in one cell, a number that a spreadsheet made
//! into `4.94E+11`), not addresses that do not exist: what is unusual but possible passes.

use reqwest::Url;

use super::unfit::Unfit;

/// RFC 5321 ends an address here.
const MAX_EMAIL_BYTES: usize = 254;

/// Emergency and service numbers have three.
const MIN_TEL_DIGITS: usize = 3;

/// An e-mail address, or why not.
pub(super) fn check_email(text: &str) -> Result<(), Unfit> {
    let unfit = |reason: &'static str| Err(Unfit::because(reason));
    if text.len() > MAX_EMAIL_BYTES {
        return unfit("is too long for an e-mail address");
    }
    let Some((local, domain)) = text.split_once('@') else {
        return unfit("is not an e-mail address: it has no @");
    };
    if domain.contains('@') {
        return unfit("is not one e-mail address: it has more than one @");
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return unfit("is not an e-mail address: it has a space or control character in it");
    }
    if text.contains(['<', '>', ',', ';', '(', ')', '"', '\\']) {
        return unfit("is not an e-mail address alone");
    }
    if local.is_empty() {
        return unfit("is not an e-mail address: nothing is before its @");
    }
    let mut labels = domain.split('.');
    let is_odd = |label: &str| label.is_empty() || label.starts_with('-') || label.ends_with('-');
    if !domain.contains('.') || labels.any(is_odd) {
        return unfit("is not an e-mail address: what is after its @ is not a domain");
    }
    Ok(())
}

/// An absolute web address, or why not.
pub(super) fn check_url(text: &str) -> Result<(), Unfit> {
    let reason = "is not a web address as https://example.com/";
    // The parser follows browsers, which forgive what others do not: spaces, backslashes, missing
    // slashes.
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(Unfit::because(
            "is not a web address: it has a space, control character or backslash in it",
        ));
    }
    let is_web = |text: &str| {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| {
            scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
        }) && Url::parse(text).is_ok_and(|url| url.has_host())
    };
    if is_web(text) {
        return Ok(());
    }
    let absolute = format!("https://{text}");
    let hint = (!text.contains(':')
        && text.contains('.')
        && !text.starts_with(['/', '.'])
        && is_web(&absolute))
    .then(|| format!("write {absolute}"));
    Err(Unfit::because(reason).hinting(hint))
}

/// A telephone number, or why not.
pub(super) fn check_tel(text: &str) -> Result<(), Unfit> {
    let mut digits = 0;
    let is_written = text.bytes().all(|byte| {
        digits += usize::from(byte.is_ascii_digit());
        byte.is_ascii_digit() || matches!(byte, b'+' | b'(' | b')' | b'-' | b'.' | b'/' | b' ')
    });
    if !is_written {
        return Err(Unfit::because(
            "is not a telephone number: it holds more than digits, spaces and + ( ) - . /",
        ));
    }
    if digits < MIN_TEL_DIGITS {
        return Err(Unfit::because(
            "is not a telephone number: it has too few digits",
        ));
    }
    Ok(())
}

/// A colour as #1a2b3c, or why not.
pub(super) fn check_color(text: &str) -> Result<(), Unfit> {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = text.strip_prefix('#').unwrap_or(text);
    match (digits.len(), is_hex(digits), digits.len() < text.len()) {
        (6, true, true) => Ok(()),
        (6, true, false) => Err(no_color(Some(format!("write #{digits}")))),
        (3, true, true) => {
            let twice: String = digits.chars().flat_map(|digit| [digit, digit]).collect();
            Err(no_color(Some(format!("write #{twice}"))))
        }
        (_, true | false, true | false) => Err(no_color(None)),
    }
}

fn no_color(hint: Option<String>) -> Unfit {
    Unfit::because("is not a colour as #1a2b3c").hinting(hint)
}
