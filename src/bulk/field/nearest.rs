//! Which field was probably meant by a name that is no slug.

use super::Field;

/// Below this likeness two names have nothing to do with each other.
const ALIKE: f64 = 0.85;

/// The field that was probably meant: by slug without case and marks, then by likeness of slug or
/// label.
pub(super) fn nearest<'a>(name: &str, fields: &'a [Field]) -> Option<&'a Field> {
    let wanted = folded(name);
    if wanted.is_empty() {
        return None;
    }
    let by_slug = || fields.iter().find(|field| folded(field.slug()) == wanted);
    by_slug().or_else(|| most_alike(&wanted, fields))
}

fn most_alike<'a>(wanted: &str, fields: &'a [Field]) -> Option<&'a Field> {
    let likeness = |name: &str| strsim::jaro_winkler(wanted, &folded(name));
    fields
        .iter()
        .map(|field| {
            (
                likeness(field.slug()).max(field.label().map_or(0.0, likeness)),
                field,
            )
        })
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, field)| field)
}

/// Without what people overlook: case, hyphens, underscores, spaces.
fn folded(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}
