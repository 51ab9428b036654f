//! The first row: which column names the user, and what the others are.

use super::Reading;
use super::rejects::OURS;
use crate::complaint::Complaint;
use record::By;

/// The column that says what is done with a user.
const ACTION: &str = "_action";

/// What the columns of a file are. Columns are counted from 0, without those that we put in front
/// of a rejects file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Where it stands in the file, from 1.
    pub line: u64,
    /// What stands between cells.
    pub delimiter: u8,
    /// The column that names the user.
    pub identifier: Identifier,
    /// The column that says what is done.
    pub action: Option<usize>,
    /// The columns that set something, in the order of the file.
    pub attributes: Vec<Attribute>,
    /// All columns in the order of the file, also the ignored ones; an unnamed column is an empty
    /// name.
    pub names: Vec<String>,
    /// Whether the file is one of our rejects files that came back.
    pub returned: bool,
    /// Unnamed columns, in which nothing may stand.
    pub(super) unnamed: Vec<usize>,
}

/// What names the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identifier {
    /// How.
    pub by: By,
    /// In which column.
    pub column: usize,
}

/// A column that sets an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its slug, as it was typed.
    pub slug: String,
    /// In which column.
    pub column: usize,
}

impl Header {
    /// The name of a column, or its number if it has none.
    #[must_use]
    pub fn name(&self, column: usize) -> String {
        name(&self.names, column)
    }

    /// How many cells a row has at least: a spreadsheet may leave out unnamed columns at the end.
    pub(super) fn fewest(&self) -> usize {
        self.names
            .iter()
            .rposition(|name| !name.is_empty())
            .map_or(0, |last| last + 1)
    }

    /// Reads the cells of the first row, ours in front left out.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(super) fn read(
        names: Vec<String>,
        line: u64,
        delimiter: u8,
        returned: bool,
        reading: &Reading,
    ) -> Result<Self, Vec<Complaint>> {
        let mut reader = Reader {
            line,
            names: &names,
            complaints: Vec::new(),
        };
        let used = reader.used(&reading.ignore);
        let roles = reader.roles(&used);
        let identifier = reader.identifier(roles.identifiers, delimiter);
        let complaints = reader.complaints;
        match identifier {
            Some(identifier) if complaints.is_empty() => Ok(Self {
                line,
                delimiter,
                identifier,
                action: roles.action,
                attributes: roles.attributes,
                unnamed: roles.unnamed,
                names,
                returned,
            }),
            Some(_) | None => Err(complaints),
        }
    }
}

/// Whether the first columns are those we put in front of a rejects file.
pub(super) fn is_returned(names: &[String]) -> bool {
    names.get(..OURS.len()).is_some_and(|first| first == OURS)
}

fn name(names: &[String], column: usize) -> String {
    match names.get(column).map(String::as_str) {
        Some("") | None => format!("column {}", column + 1),
        Some(name) => name.to_owned(),
    }
}

/// What the columns are for.
#[derive(Default)]
struct Roles {
    identifiers: Vec<Identifier>,
    action: Option<usize>,
    attributes: Vec<Attribute>,
    unnamed: Vec<usize>,
}

/// What one name says.
enum Role {
    Identifier(By),
    Action,
    Attribute,
    Unnamed,
    Refused(&'static str),
}

/// The words of ours are matched without case, as people write them; slugs are the tenant's.
fn role(name: &str) -> Role {
    const SYSTEM: &str = "foreign_key:";
    if let Some((word, system)) = name.split_at_checked(SYSTEM.len())
        && word.eq_ignore_ascii_case(SYSTEM)
    {
        return match system.trim() {
            "" => Role::Refused(
                "does not name the system: foreign_key:<system>, for example foreign_key:crm",
            ),
            system => Role::Identifier(By::ForeignKey(system.to_owned())),
        };
    }
    if name.contains('\0') {
        return Role::Refused("has a NUL character in it, which no name may have");
    }
    match name.to_ascii_lowercase().as_str() {
        "" => Role::Unnamed,
        "user_id" => Role::Identifier(By::UserId),
        "email" => Role::Identifier(By::Email),
        "username" => Role::Identifier(By::Username),
        ACTION => Role::Action,
        ours if OURS.contains(&ours) => Role::Refused(
            "is a name of ours, and stands only in front of a rejects file: `_line`, then `_reason`; remove the column or put both back",
        ),
        _ => Role::Attribute,
    }
}

struct Reader<'a> {
    line: u64,
    names: &'a [String],
    complaints: Vec<Complaint>,
}

impl Reader<'_> {
    fn complain(&mut self, column: Option<&str>, reason: impl Into<String>) {
        self.complaints.push(Complaint {
            line: self.line,
            column: column.map(str::to_owned),
            value: None,
            reason: reason.into(),
        });
    }

    /// The columns that are not ignored.
    fn used(&mut self, ignore: &[String]) -> Vec<usize> {
        let mut ignored = Vec::new();
        for wanted in ignore.iter().map(|name| name.trim()) {
            if wanted.is_empty() || !self.names.iter().any(|name| name == wanted) {
                let reason = format!(
                    "is to be ignored, but no column has this name; the columns are {}",
                    self.all()
                );
                self.complain(Some(wanted), reason);
            } else if wanted.eq_ignore_ascii_case(ACTION) {
                // Deletions would become changes.
                self.complain(
                    Some(wanted),
                    "cannot be ignored, because it says which rows delete; remove it from the file",
                );
            } else {
                ignored.push(wanted);
            }
        }
        (0..self.names.len())
            .filter(|&column| !ignored.contains(&self.names[column].as_str()))
            .collect()
    }

    fn roles(&mut self, used: &[usize]) -> Roles {
        let names = self.names;
        let mut roles = Roles::default();
        for (at, &column) in used.iter().enumerate() {
            let name = &names[column];
            let twice = |other: &usize| names[*other] == *name;
            match role(name) {
                Role::Unnamed => roles.unnamed.push(column),
                Role::Refused(reason) => self.complain(Some(name), reason),
                Role::Identifier(by) => roles.identifiers.push(Identifier { by, column }),
                Role::Action => match roles.action {
                    None => roles.action = Some(column),
                    Some(_) => self.complain(Some(name), "is named twice"),
                },
                Role::Attribute => match used[..at].iter().find(|other| twice(other)) {
                    None => roles.attributes.push(Attribute {
                        slug: name.clone(),
                        column,
                    }),
                    Some(first) => {
                        let reason = format!(
                            "is named twice, by columns {} and {}",
                            first + 1,
                            column + 1
                        );
                        self.complain(Some(name), reason);
                    }
                },
            }
        }
        roles
    }

    fn identifier(&mut self, mut found: Vec<Identifier>, delimiter: u8) -> Option<Identifier> {
        match (found.len(), found.pop()) {
            (1, Some(only)) => return Some(only),
            (0, _) | (_, None) => {
                let reason = format!(
                    "no column names the user: one has to be user_id, email, username or foreign_key:<system>; the columns are {}, with {} between them",
                    self.all(),
                    said(delimiter)
                );
                self.complain(None, reason);
            }
            (_, Some(last)) => {
                found.push(last);
                let names: Vec<_> = found.iter().map(|one| self.quoted(one.column)).collect();
                let reason = format!(
                    "names the user as other columns do: {}; keep one and ignore the others (--ignore-columns)",
                    names.join(", ")
                );
                for Identifier { column, .. } in found.into_iter().skip(1) {
                    let name = name(self.names, column);
                    self.complain(Some(&name), reason.clone());
                }
            }
        }
        None
    }

    /// All columns, for a complaint.
    fn all(&self) -> String {
        let all: Vec<_> = (0..self.names.len()).map(|one| self.quoted(one)).collect();
        all.join(", ")
    }

    fn quoted(&self, column: usize) -> String {
        format!("`{}`", name(self.names, column))
    }
}

fn said(delimiter: u8) -> String {
    match delimiter {
        b'\t' => "a tab".to_owned(),
        sign => format!("`{}`", sign as char),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(names: &str, ignore: &[&str]) -> Result<Header, Vec<Complaint>> {
        let names = names.split(',').map(str::to_owned).collect();
        let reading = Reading {
            delimiter: None,
            ignore: ignore.iter().map(|&name| name.to_owned()).collect(),
        };
        Header::read(names, 1, b',', false, &reading)
    }

    fn refused(names: &str, ignore: &[&str]) -> Vec<(Option<String>, String)> {
        let complaints = read(names, ignore).expect_err(names);
        complaints
            .into_iter()
            .map(|one| (one.column, one.reason))
            .collect()
    }

    #[test]
    fn one_column_names_the_user() {
        for (name, by) in [
            ("user_id", By::UserId),
            ("User_ID", By::UserId),
            ("EMAIL", By::Email),
            ("username", By::Username),
            ("foreign_key:CRM", By::ForeignKey("CRM".into())),
            ("Foreign_Key: crm", By::ForeignKey("crm".into())),
        ] {
            let header = read(&format!("a,{name}"), &[]).expect(name);
            assert_eq!(header.identifier, Identifier { by, column: 1 });
        }
    }

    #[test]
    fn the_others_are_attributes_as_typed_and_an_action() {
        let header = read("Plan,email,_ACTION,plan,note", &["note"]).expect("a header");
        assert_eq!(header.action, Some(2));
        let slugs: Vec<_> = header.attributes.iter().map(|one| &*one.slug).collect();
        assert_eq!(slugs, ["Plan", "plan"]);
        assert_eq!(header.attributes[1].column, 3);
        assert_eq!(header.names.len(), 5);
    }

    #[test]
    fn a_second_name_of_the_user_can_be_ignored() {
        let header = read("user_id,email,a", &["email"]).expect("a header");
        assert_eq!(header.identifier.by, By::UserId);
        assert_eq!(header.attributes.len(), 1);
    }

    #[test]
    fn none_or_several_names_of_the_user_are_refused() {
        let [(None, reason)] = &refused("a,,b", &[])[..] else {
            panic!("one complaint about the row");
        };
        assert!(
            reason.contains("`a`, `column 2`, `b`, with `,`"),
            "{reason}"
        );
        let several = refused("email,user_id,a,Email", &[]);
        assert_eq!(several.len(), 2);
        assert_eq!(several[0].0.as_deref(), Some("user_id"));
        assert_eq!(several[1].0.as_deref(), Some("Email"));
        assert!(several[0].1.contains("`email`, `user_id`, `Email`"));
    }

    #[test]
    fn all_complaints_are_collected() {
        let complaints = refused(
            "a,a,_action,_Action,_reason,foreign_key:",
            &["x", "_action"],
        );
        let columns: Vec<_> = complaints
            .iter()
            .map(|(column, _)| column.as_deref())
            .collect();
        assert_eq!(
            columns,
            [
                Some("x"),
                Some("_action"),
                Some("a"),
                Some("_Action"),
                Some("_reason"),
                Some("foreign_key:"),
                None
            ]
        );
        assert_eq!(complaints[2].1, "is named twice, by columns 1 and 2");
    }

    #[test]
    fn a_name_of_any_characters_is_only_a_name() {
        let header = read("user_id,äöüäöüäöü,ß", &[]).expect("a header");
        assert_eq!(header.attributes.len(), 2);
    }
}
