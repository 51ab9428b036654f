//! Which type a column gets, by the attribute's `input-type`.

use serde::Serialize;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// Whatever was sent; lists and objects as JSON.
    Text,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A day.
    Date,
    /// A time of day.
    Time,
    /// An instant.
    DateTime,
}

/// All of them.
const ALL: [Kind; 6] = [
    Kind::Text,
    Kind::Number,
    Kind::Boolean,
    Kind::Date,
    Kind::Time,
    Kind::DateTime,
];

impl Kind {
    /// By `input-type`; none when the type is one that Zephr did not have when this was written.
    ///
    /// A month or a week is text: its first day would claim a precision that nobody gave, and a
    /// week's would need a convention. `2021-08` and `2021-W08` sort as they are. A choice is text
    /// whether one or several may be chosen, so that its column's type does not depend on what
    /// readers chose.
    pub fn of_input(input_type: &str) -> Option<Self> {
        match input_type {
            "number" | "range" => Some(Self::Number),
            "checkbox" => Some(Self::Boolean),
            "date" => Some(Self::Date),
            "time" => Some(Self::Time),
            "datetime" => Some(Self::DateTime),
            "text" | "color" | "month" | "week" | "email" | "tel" | "url" | "password"
            | "select" | "radio" | "textarea" | "hidden" => Some(Self::Text),
            _ => None,
        }
    }

    /// As an analyst types it.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "numeric",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Time => "time",
            Self::DateTime => "timestamptz",
        }
    }

    /// As Postgres's catalog spells it.
    pub fn catalog(self) -> &'static str {
        match self {
            Self::Text | Self::Number | Self::Boolean | Self::Date => self.sql(),
            Self::Time => "time without time zone",
            Self::DateTime => "timestamp with time zone",
        }
    }

    /// The reverse of [`Self::sql`].
    pub fn of_sql(name: &str) -> Option<Self> {
        ALL.into_iter().find(|kind| kind.sql() == name)
    }

    /// What turns text into it, and never fails.
    pub fn cast(self, text: &str) -> String {
        match self {
            Self::Text => format!("nullif({text}, '')"),
            Self::Number => format!("attribute_number({text})"),
            Self::Boolean => format!("attribute_boolean({text})"),
            Self::Date => format!("attribute_date({text})"),
            Self::Time => format!("attribute_time({text})"),
            Self::DateTime => format!("attribute_datetime({text})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_input_type_has_a_type_and_new_ones_are_told_apart() {
        assert_eq!(Kind::of_input("range"), Some(Kind::Number));
        assert_eq!(Kind::of_input("week"), Some(Kind::Text));
        assert_eq!(Kind::of_input("hologram"), None);
    }

    #[test]
    fn a_type_is_found_by_the_name_it_was_written_down_with() {
        for kind in ALL {
            assert_eq!(Kind::of_sql(kind.sql()), Some(kind));
        }
    }
}
