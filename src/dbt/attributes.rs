//! The tenant's own columns, asked of a mirror: what its schema calls them and says of them.

use sqlx::{PgConnection, Row};

use super::page::Column;

/// A view's column says what it means where it has a comment; the schema says the rest.
const QUERY: &str = "select a.attname::text, col_description(a.attrelid, a.attnum), s.label,
        coalesce(nullif(s.internal_description, ''), s.public_description)
    from pg_attribute a
    left join user_schema s on s.slug = a.attname and s._zephr_deleted_at is null
    where a.attrelid = to_regclass('user_attributes') and a.attnum > 0 and not a.attisdropped and a.attname <> 'user_id'
    order by a.attnum";

/// The columns of `user_attributes` beside the key; none while the schema was not read.
///
/// # Errors
/// As sqlx: there is no mirror yet, or it may not be read.
pub async fn read(connection: &mut PgConnection) -> Result<Vec<Column>, sqlx::Error> {
    let rows = sqlx::query(QUERY).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let (comment, label, description): (Option<String>, Option<String>, Option<String>) =
                (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            Ok(Column {
                name: row.try_get(0)?,
                about: about([label, description, comment]),
            })
        })
        .collect()
}

/// Each part that says something that those before it do not.
fn about(parts: [Option<String>; 3]) -> String {
    let parts: Vec<String> = parts
        .into_iter()
        .flatten()
        .map(|part| part.trim().trim_end_matches('.').to_owned())
        .filter(|part| !part.is_empty())
        .collect();
    let mut said: Vec<&String> = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        let again = said.iter().any(|other| other.contains(part.as_str()))
            || parts[place + 1..]
                .iter()
                .any(|other| other.contains(part.as_str()));
        if !again {
            said.push(part);
        }
    }
    let sentences: Vec<String> = said.iter().map(|part| format!("{part}.")).collect();
    sentences.join(" ")
}

#[cfg(test)]
mod tests {
    use super::about;

    #[test]
    fn nothing_is_said_twice() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            about([some("First name"), some("As on the card."), None]),
            "First name. As on the card."
        );
        assert_eq!(
            about([
                some("First name"),
                some("As on the card"),
                some("First name: As on the card. Attribute first-name (text).")
            ]),
            "First name: As on the card. Attribute first-name (text)."
        );
        assert_eq!(about([None, None, None]), "");
    }
}
