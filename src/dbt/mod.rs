//! A dbt project on top of the mirror: its tables as sources with their freshness, a staging model
//! per table, and tests of what should hold.
//!
//! ```text
//! docs/tables.md (the database's comments) ─► page ─┐
//! jobs/*.toml ─► freshness ─────────────────────────┼─► files
//! user_attributes, user_schema of a mirror ─► attributes
//! ```

pub mod attributes;
mod checks;
mod freshness;
mod page;
mod yaml;

use checks::{RELATIONSHIPS, Relationship, Severity, VALUES};
pub use page::Column;
use page::Relation;
use yaml::{Yaml, text};

use crate::job::Job;
use mirror::postgres::connect::Schemas;
use record::Resource;
use record::table::quoted;

/// A file of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path in the project.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// The view whose columns are the tenant's own. It has files of its own: they are written anew when
/// the tenant's schema has changed.
const ATTRIBUTES: &str = "user_attributes";

/// The files that are the same for everybody, but for the names of schemas in them.
const FIXED: [(&str, &str); 6] = [
    ("dbt_project.yml", include_str!("project/dbt_project.yml")),
    ("profiles.yml", include_str!("project/profiles.yml")),
    ("README.md", include_str!("project/README.md")),
    (".gitignore", include_str!("project/gitignore")),
    (
        "tests/generic/unique_together.sql",
        include_str!("project/unique_together.sql"),
    ),
    (
        "tests/last_runs_are_complete.sql",
        include_str!("project/last_runs_are_complete.sql"),
    ),
];

/// The project for a tenant: its schemas, its jobs, and the columns of its attributes as far as
/// they are known.
pub fn project(schemas: &Schemas, jobs: &[Job], attributes: &[Column]) -> Vec<File> {
    let mut relations = with_attributes(page::relations(), attributes);
    for job in jobs.iter().filter(|job| job.resource == Resource::List) {
        relations.extend(
            job.steps
                .iter()
                .map(|step| page::described(&job.name, step)),
        );
    }
    let mut files: Vec<File> = FIXED
        .iter()
        .map(|(path, text)| File {
            path: (*path).to_owned(),
            text: text
                .replace("ZEPHR_SCHEMA", schemas.data())
                .replace("ZEPHR_READER", &schemas.reader()),
        })
        .collect();
    let (own, fixed): (Vec<&Relation>, Vec<&Relation>) = relations
        .iter()
        .partition(|relation| relation.name == ATTRIBUTES);
    files.push(file("models/sources.yml", sources(&fixed, jobs)));
    let staged = |relation: &&&Relation| relation.keeps_the_dead() || relation.name == ATTRIBUTES;
    let models: Vec<&Relation> = fixed.iter().filter(staged).copied().collect();
    files.push(file("models/staging/staging.yml", staging(&models)));
    for relation in own {
        files.push(file(
            &format!("models/{ATTRIBUTES}.yml"),
            tenants(relation, jobs),
        ));
    }
    for relation in relations.iter().filter(|relation| staged(&relation)) {
        files.push(file(
            &format!("models/staging/{}.sql", model(&relation.name)),
            select(relation),
        ));
    }
    files
}

fn file(path: &str, text: String) -> File {
    File {
        path: path.to_owned(),
        text,
    }
}

fn model(table: &str) -> String {
    format!("stg_zephr__{table}")
}

/// The page knows the view's key; its other columns are the tenant's.
fn with_attributes(mut relations: Vec<Relation>, attributes: &[Column]) -> Vec<Relation> {
    for relation in &mut relations {
        if relation.name == ATTRIBUTES {
            relation.key = vec!["user_id".into()];
            relation.columns.extend_from_slice(attributes);
            relation.quoted = true;
        }
    }
    relations
}

const WRITTEN: &str = "Written by `zephr-sync init --dbt` from what the mirror says about itself. To have it written anew, remove it and run that again.";

fn sources(relations: &[&Relation], jobs: &[Job]) -> String {
    let mut yaml = head(WRITTEN);
    for relation in relations {
        source(&mut yaml, relation, jobs);
    }
    yaml.finish()
}

/// The beginning of a file of sources. Several files may hold tables of one source.
fn head(comment: &str) -> Yaml {
    let mut yaml = Yaml::commented(comment);
    for line in [
        "version: 2",
        "",
        "sources:",
        "  - name: zephr",
        "    description: The copy of the Zephr tenant that zephr-sync keeps. Rows with _zephr_deleted_at no longer exist there.",
        "    schema: \"{{ var('zephr_schema') }}\"",
        "    tables:",
    ] {
        yaml.line(0, line);
    }
    yaml
}

fn source(yaml: &mut Yaml, relation: &Relation, jobs: &[Job]) {
    yaml.line(3, format_args!("- name: {}", relation.name));
    yaml.line(4, format_args!("description: {}", text(&relation.about)));
    if let Some(expected) = freshness::expected(&relation.name, jobs) {
        let names: Vec<String> = expected.jobs.iter().map(|job| literal(job)).collect();
        // Runs that were only a sample, or that replayed rejects, have no verdict.
        let query = format!(
            "select max(finished_at) from {{{{ this.schema }}}}.sync_runs where job in ({}) and status = 'succeeded' and verdict in ('proven', 'agreed') and mode <> 'replay'",
            names.join(", ")
        );
        yaml.line(4, "config:");
        yaml.line(5, "freshness:");
        for (name, age) in [
            ("warn_after", expected.warn_after),
            ("error_after", expected.error_after),
        ] {
            yaml.line(
                6,
                format_args!("{name}: {{count: {}, period: {}}}", age.count, age.period),
            );
        }
        yaml.line(5, "loaded_at_query: >-");
        yaml.line(6, query);
    }
    columns(yaml, 4, relation.columns.iter(), relation.quoted, |_, _| {});
}

/// A text in SQL that dbt renders first; job names are file names and may hold anything.
fn literal(text: &str) -> String {
    let quoted = format!("'{}'", text.replace('\'', "''"));
    if text.contains(['{', '\n']) {
        // A template that yields the text instead of running it.
        format!(
            "{{{{ {} }}}}",
            serde_json::Value::from(quoted.replace('\n', " "))
        )
    } else {
        quoted
    }
}

fn columns<'a>(
    yaml: &mut Yaml,
    depth: usize,
    columns: impl Iterator<Item = &'a Column>,
    quoted: bool,
    tests: impl Fn(&mut Yaml, &Column),
) {
    yaml.line(depth, "columns:");
    for column in columns {
        yaml.line(depth + 1, format_args!("- name: {}", text(&column.name)));
        if quoted {
            yaml.line(depth + 2, "quote: true");
        }
        if !column.about.is_empty() {
            yaml.line(
                depth + 2,
                format_args!("description: {}", text(&column.about)),
            );
        }
        tests(yaml, column);
    }
}

fn staging(relations: &[&Relation]) -> String {
    let mut yaml = Yaml::commented(WRITTEN);
    yaml.line(0, "version: 2\n\nmodels:");
    for relation in relations {
        described(&mut yaml, relation);
    }
    yaml.finish()
}

/// A model with its tests.
fn described(yaml: &mut Yaml, relation: &Relation) {
    yaml.line(1, format_args!("- name: {}", model(&relation.name)));
    yaml.line(
        2,
        format_args!(
            "description: {}",
            if relation.keeps_the_dead() {
                text(&format!("{} Living rows only.", relation.about))
            } else {
                text(&relation.about)
            }
        ),
    );
    if relation.key.len() > 1 {
        yaml.line(2, "data_tests:");
        yaml.line(3, "- unique_together:");
        yaml.line(
            5,
            format_args!("arguments: {{columns: [{}]}}", relation.key.join(", ")),
        );
    }
    columns(
        yaml,
        2,
        relation.own_columns(),
        relation.quoted,
        |yaml, column| data_tests(yaml, relation, column),
    );
}

/// The tests of a column, if it has any.
fn data_tests(yaml: &mut Yaml, relation: &Relation, column: &Column) {
    let references = RELATIONSHIPS
        .iter()
        .filter(|r| r.from == (relation.name.as_str(), column.name.as_str()));
    let values = VALUES.iter().filter(|(table, name, _)| {
        (*table, *name) == (relation.name.as_str(), column.name.as_str())
    });
    let is_key = relation.key.contains(&column.name);
    let (references, values): (Vec<_>, Vec<_>) = (references.collect(), values.collect());
    if !is_key && references.is_empty() && values.is_empty() {
        return;
    }
    yaml.line(4, "data_tests:");
    if is_key {
        yaml.line(5, "- not_null");
    }
    if is_key && relation.key.len() == 1 {
        yaml.line(5, "- unique");
    }
    for reference in references {
        relationship(yaml, reference);
    }
    for (_, _, accepted) in values {
        let accepted: Vec<String> = accepted.iter().map(|value| text(value)).collect();
        let arguments = format!("arguments: {{values: [{}]}}", accepted.join(", "));
        yaml.line(5, "- accepted_values:");
        yaml.line(7, arguments);
        yaml.line(
            7,
            format!("config: {{severity: {}}}", Severity::Warn.name()),
        );
    }
}

fn relationship(yaml: &mut Yaml, reference: &Relationship) {
    let (table, field) = reference.to;
    let to = if reference.dead_too {
        format!("source('zephr', '{table}')")
    } else {
        format!("ref('{}')", model(table))
    };
    yaml.line(5, "- relationships:");
    yaml.line(
        7,
        format_args!("arguments: {{to: \"{to}\", field: {field}}}"),
    );
    let only = reference
        .only
        .map(|only| format!(", where: {}", text(only)))
        .unwrap_or_default();
    yaml.line(
        7,
        format_args!("config: {{severity: {}{only}}}", reference.severity.name()),
    );
}

/// The view of the tenant's own columns: source and model in one file.
fn tenants(relation: &Relation, jobs: &[Job]) -> String {
    let mut yaml = head(
        "Written by `zephr-sync init --dbt` from the tenant's user schema, as far as a mirror could be asked. To have it written anew, remove it and run that again.",
    );
    source(&mut yaml, relation, jobs);
    yaml.line(0, "\nmodels:");
    described(&mut yaml, relation);
    yaml.finish()
}

fn select(relation: &Relation) -> String {
    let source = format!("{{{{ source('zephr', '{}') }}}}", relation.name);
    if relation.name == ATTRIBUTES {
        // A view on the view would keep it from following the tenant's schema.
        return format!(
            "-- A table: a view built on {ATTRIBUTES} would keep that from changing the type of a column when the tenant's schema does.\n\
             {{{{ config(materialized='table') }}}}\n\nselect *\nfrom {source}\n"
        );
    }
    let columns: Vec<String> = relation
        .own_columns()
        .map(|column| {
            if relation.quoted {
                format!("    {}", quoted(&column.name))
            } else {
                format!("    {}", column.name)
            }
        })
        .collect();
    format!(
        "-- Living rows, without the mirror's own columns.\nselect\n{}\nfrom {source}\nwhere _zephr_deleted_at is null\n",
        columns.join(",\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job;

    fn text_of<'a>(files: &'a [File], path: &str) -> &'a str {
        &files
            .iter()
            .find(|file| file.path == path)
            .unwrap_or_else(|| panic!("{path}"))
            .text
    }

    #[test]
    fn the_schema_of_the_settings_is_the_project_s() {
        let schemas = Schemas::named("news").unwrap();
        let files = project(&schemas, &job::built_in().unwrap(), &[]);
        assert!(text_of(&files, "dbt_project.yml").contains("zephr_schema: news\n"));
        assert!(text_of(&files, "profiles.yml").contains("'news_staging'"));
        assert!(text_of(&files, "README.md").contains("news_reader"));
        for file in &files {
            assert!(!file.text.contains("ZEPHR_SCHEMA"), "{}", file.path);
            assert!(!file.text.contains("ZEPHR_READER"), "{}", file.path);
        }
    }

    #[test]
    fn the_tenant_s_texts_are_documentation_and_never_templates() {
        let column = Column {
            name: "odd".into(),
            about: "{{ env_var('SECRET') }}".into(),
        };
        let schemas = Schemas::named("zephr").unwrap();
        let files = project(&schemas, &job::built_in().unwrap(), &[column]);
        let shown = text_of(&files, "models/user_attributes.yml");
        assert!(shown.contains("{ { env_var('SECRET') }}"), "{shown}");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a{{b"), "{{ \"'a{{b'\" }}");
    }
}
