//! The flags of `zephr-sync simulate` that answer the open questions of bulk updates.

use super::behaviour::clamp;
use simulator::{
    BadEntry, Bulk, Details, DetailsId, EmptyValue, JobDate, Nothing, Readable, RowWords,
    StatusWords, Stored, UnknownSlug,
};

/// Answers to the open questions of bulk updates; each one not given is drawn from the seed.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Bulk updates (what is not given is drawn from the seed)")]
pub struct BulkArgs {
    /// The words of a job's status
    #[arg(long, value_enum)]
    pub bulk_status_words: Option<StatusWords>,
    /// The words of a row's outcome
    #[arg(long, value_enum)]
    pub bulk_row_words: Option<RowWords>,
    /// The form of jobDate
    #[arg(long, value_enum)]
    pub bulk_job_date: Option<JobDate>,
    /// What details of a job is
    #[arg(long, value_enum)]
    pub bulk_details: Option<Details>,
    /// How details names users
    #[arg(long, value_enum)]
    pub bulk_details_id: Option<DetailsId>,
    /// What the list of jobs answers when there is none
    #[arg(long = "empty-bulk-jobs", value_enum)]
    pub no_jobs: Option<Nothing>,
    /// Whether the list of jobs begins with the newest
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub bulk_newest_first: Option<bool>,
    /// For how long a new job is 404 by its id
    #[arg(long, value_name = "MS")]
    pub bulk_id_grace: Option<u64>,
    /// For how long a new job is missing in the list
    #[arg(long, value_name = "MS")]
    pub bulk_list_grace: Option<u64>,
    /// Where a job can be read at all [default: everywhere]
    #[arg(long, value_enum)]
    pub bulk_readable: Option<Readable>,
    /// Whether a job says total 0 until a row was carried out
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub bulk_total_late: Option<bool>,
    /// How long a job takes
    #[arg(long, value_name = "MS")]
    pub bulk_delay: Option<u64>,
    /// Whether half of the rows are carried out after half of that time
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub bulk_halfway: Option<bool>,
    /// More entries than this in a request are 413; 0 for no limit
    #[arg(long, value_name = "N")]
    pub bulk_most_updates: Option<u32>,
    /// More bytes than this in a request are 413; 0 for no limit
    #[arg(long, value_name = "BYTES")]
    pub bulk_most_bytes: Option<u32>,
    /// What an entry with an unknown attribute, an unknown user or a value that is no string does
    #[arg(long, value_enum)]
    pub bulk_bad_entry: Option<BadEntry>,
    /// What an attribute that is not in the schema does
    #[arg(long, value_enum)]
    pub bulk_unknown_slug: Option<UnknownSlug>,
    /// Whether a value that does not fit the schema fails its row
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub bulk_values_checked: Option<bool>,
    /// What the empty string does
    #[arg(long, value_enum)]
    pub bulk_empty_value: Option<EmptyValue>,
    /// How values are stored
    #[arg(long, value_enum)]
    pub bulk_stored: Option<Stored>,
    /// Whether a boolean or a number is taken as a value too, and stored as it came
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub bulk_any_type: Option<bool>,
}

impl BulkArgs {
    /// What was typed, and for the rest what `base` says.
    pub fn resolve(self, base: Bulk) -> Bulk {
        Bulk {
            status_words: self.bulk_status_words.unwrap_or(base.status_words),
            row_words: self.bulk_row_words.unwrap_or(base.row_words),
            job_date: self.bulk_job_date.unwrap_or(base.job_date),
            details: self.bulk_details.unwrap_or(base.details),
            details_id: self.bulk_details_id.unwrap_or(base.details_id),
            no_jobs: self.no_jobs.unwrap_or(base.no_jobs),
            newest_first: self.bulk_newest_first.unwrap_or(base.newest_first),
            id_grace_ms: self.bulk_id_grace.unwrap_or(base.id_grace_ms),
            list_grace_ms: self.bulk_list_grace.unwrap_or(base.list_grace_ms),
            readable: self.bulk_readable.unwrap_or(base.readable),
            total_late: self.bulk_total_late.unwrap_or(base.total_late),
            delay_ms: self.bulk_delay.unwrap_or(base.delay_ms),
            halfway: self.bulk_halfway.unwrap_or(base.halfway),
            most_updates: clamp(self.bulk_most_updates, base.most_updates),
            most_bytes: clamp(self.bulk_most_bytes, base.most_bytes),
            bad_entry: self.bulk_bad_entry.unwrap_or(base.bad_entry),
            unknown_slug: self.bulk_unknown_slug.unwrap_or(base.unknown_slug),
            values_checked: self.bulk_values_checked.unwrap_or(base.values_checked),
            empty_value: self.bulk_empty_value.unwrap_or(base.empty_value),
            stored: self.bulk_stored.unwrap_or(base.stored),
            any_type: self.bulk_any_type.unwrap_or(base.any_type),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        bulk: BulkArgs,
    }

    #[test]
    fn what_is_typed_wins_and_the_rest_stays() {
        let base = Bulk {
            most_updates: Some(100),
            halfway: true,
            ..Bulk::plain()
        };
        let typed = [
            "simulate",
            "--bulk-most-updates=0",
            "--bulk-most-bytes=4096",
            "--bulk-details=word-per-user",
            "--bulk-readable=in-list-only",
            "--bulk-delay=7",
            "--bulk-total-late",
            "--bulk-halfway=false",
        ];
        let expected = Bulk {
            most_updates: None,
            most_bytes: Some(4096),
            details: Details::WordPerUser,
            readable: Readable::InListOnly,
            delay_ms: 7,
            total_late: true,
            halfway: false,
            ..base
        };
        let resolve = |typed: &[&str]| Typed::parse_from(typed).bulk.resolve(base);
        assert_eq!(resolve(&typed), expected);
        assert_eq!(resolve(&typed[..1]), base);
    }
}
