-- What a scan that proves itself leaves behind: who was missing from it, what each user was before, what it learned about the server, and what a
-- comparison with the API found.

select set_config('search_path', current_setting('zephr_sync.data_path'), true);

create table users_history (
    user_id             text not null,
    valid_from          timestamptz not null,
    valid_to            timestamptz not null,
    email               text,
    username            text,
    email_verified      boolean,
    tracking_id         text,
    registered_at       timestamptz,
    registration_tenant text,
    attributes          jsonb,
    extra               jsonb,
    _zephr_run_id       uuid not null,
    _zephr_extracted_at timestamptz not null,
    _zephr_hash         bytea not null,
    _zephr_issues       jsonb,
    primary key (user_id, valid_from),
    check (valid_from < valid_to)
);
comment on table users_history is 'What users were before: one row per superseded version (SCD type 2). The present version is in users; while a user is deleted there is none.';
comment on column users_history.user_id is 'The user.';
comment on column users_history.valid_from is 'When the mirror first held this version.';
comment on column users_history.valid_to is 'When the mirror replaced it, or found the user deleted.';
comment on column users_history.email is 'As in users, then.';
comment on column users_history.username is 'As in users, then.';
comment on column users_history.email_verified is 'As in users, then.';
comment on column users_history.tracking_id is 'As in users, then.';
comment on column users_history.registered_at is 'As in users, then.';
comment on column users_history.registration_tenant is 'As in users, then.';
comment on column users_history.attributes is 'As in users, then.';
comment on column users_history.extra is 'As in users, then.';
comment on column users_history._zephr_run_id is 'The run that brought this version.';
comment on column users_history._zephr_extracted_at is 'When the API answered with this version (the API''s clock).';
comment on column users_history._zephr_hash is 'Hash of this version''s content.';
comment on column users_history._zephr_issues is 'Values of this version that could not be kept as sent.';

create view users_versions as
    select user_id, valid_from, valid_to, email, username, email_verified, tracking_id, registered_at, registration_tenant, attributes, extra
    from users_history
    union all
    select user_id, _zephr_loaded_at, null, email, username, email_verified, tracking_id, registered_at, registration_tenant, attributes, extra
    from users
    where _zephr_deleted_at is null;
comment on view users_versions is 'All versions of all users: superseded ones and, with valid_to null, the present one. As of t: valid_from <= t and (valid_to > t or valid_to is null).';

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

create table scan_notes (
    scan_id   uuid not null,
    note      text not null check (note in ('missing', 'undated', 'changed')),
    record_id text not null,
    primary key (scan_id, note, record_id)
);
comment on table scan_notes is 'What a full scan noted about single records, kept until the next full scan of the job.';
comment on column scan_notes.scan_id is 'The scan.';
comment on column scan_notes.note is 'missing (in the mirror, but not in the part of the scan that would hold it: deleted, if a witness agrees), undated (sent without a registration date that can be read) or changed (new or different; a change that incremental runs should have seen).';
comment on column scan_notes.record_id is 'The key of the record.';

alter table runs
    add column rows_missed       bigint,
    add column requests_allowed  integer,
    add column throttled_until   timestamptz;
comment on column runs.rows_missed is 'Changes that a full scan found and that the incremental runs before it should have seen and did not; null when that could not be told.';
comment on column runs.requests_allowed is 'Requests that the governor last allowed in flight: it grows while answers are good and halves when the API refuses.';
comment on column runs.throttled_until is 'Until when the API last asked us to wait (Postgres''s clock).';

alter table checkpoints
    add column page_asked     bigint,
    add column page_held      bigint,
    add column links_tell     boolean not null default false,
    add column count_is_total boolean not null default false;
comment on column checkpoints.page_asked is 'Records per page that the last finished full scan asked for.';
comment on column checkpoints.page_held is 'The largest page it was given: an incremental answer with fewer records is whole.';
comment on column checkpoints.links_tell is 'Whether that scan saw a link to a next page, so that its absence means something.';
comment on column checkpoints.count_is_total is 'Whether that scan saw a count above the records on its page, so that the count is a total.';

alter table rejects add column extracted_at timestamptz not null default now();
comment on column rejects.extracted_at is 'When the API last answered with it (the API''s clock, or Postgres''s where the API does not tell its own).';

create table verifications (
    verification_id uuid primary key,
    job             text not null,
    started_at      timestamptz not null default now(),
    finished_at     timestamptz not null,
    rows_mirror     bigint not null,
    rows_api        bigint,
    rows_sampled    bigint not null,
    rows_equal      bigint not null,
    rows_different  bigint not null,
    rows_gone       bigint not null,
    differences     jsonb not null
);
create index verifications_job on verifications (job, started_at desc);
comment on table verifications is 'What comparing the mirror with the API found, one row per `zephr-sync verify`.';
comment on column verifications.verification_id is 'Identifier of the comparison (UUID version 7, so ordered by time).';
comment on column verifications.job is 'The job whose tables were compared.';
comment on column verifications.started_at is 'When it began (Postgres''s clock).';
comment on column verifications.finished_at is 'When it ended (Postgres''s clock).';
comment on column verifications.rows_mirror is 'Living rows in the mirror.';
comment on column verifications.rows_api is 'Records the API says it has; null where it does not say.';
comment on column verifications.rows_sampled is 'Records that were drawn and compared field by field.';
comment on column verifications.rows_equal is 'Of those, how many were equal.';
comment on column verifications.rows_different is 'Of those, how many differed.';
comment on column verifications.rows_gone is 'Of those, how many the API does not have any more.';
comment on column verifications.differences is 'Keys of the records that differ, each with the names of its fields that do; no values.';

select set_config('search_path', current_setting('zephr_sync.data_path'), true);

create or replace view sync_runs as
    select run_id, job, mode, status, verdict, verdict_reason, started_at, finished_at, rows_read, rows_inserted, rows_updated,
           rows_unchanged, rows_tombstoned, rows_rejected, rows_missed
    from runs;
