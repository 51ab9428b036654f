-- What was done, by whom, and how far: the bookkeeping that makes a run resumable and believable.
-- It lives in the second schema of the pair, which analysts cannot read; `sync_runs` shows them what freshness tests need.

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

create table runs (
    run_id          uuid primary key,
    job             text not null,
    resource        text not null,
    mode            text not null check (mode in ('full', 'incremental', 'replay')),
    status          text not null check (status in ('running', 'succeeded', 'failed', 'interrupted', 'braked')),
    verdict         text check (verdict in ('proven', 'agreed', 'incomplete')),
    verdict_reason  text,
    scheduled_at    timestamptz,
    attempt         integer not null default 1 check (attempt > 0),
    scan_id         uuid,
    started_at      timestamptz not null default now(),
    finished_at     timestamptz,
    rows_read       bigint not null default 0,
    rows_inserted   bigint not null default 0,
    rows_updated    bigint not null default 0,
    rows_unchanged  bigint not null default 0,
    rows_tombstoned bigint not null default 0,
    rows_rejected   bigint not null default 0,
    requests        bigint not null default 0,
    retries         bigint not null default 0,
    throttled_ms    bigint not null default 0,
    error           text,
    remedy          text,
    unique (job, scheduled_at, attempt),
    check ((status = 'running') = (finished_at is null)),
    check (status <> 'failed' or error is not null)
);
create index runs_started_at on runs (started_at desc);

comment on table runs is 'One row per run of a job: what it did, how complete it was and why that may be believed.';
comment on column runs.run_id is 'Identifier of the run (UUID version 7, so ordered by time); rows carry it as _zephr_run_id.';
comment on column runs.job is 'Name of the job, which is the name of its file.';
comment on column runs.resource is 'What the job reads: users, accounts, …; one lease exists per resource.';
comment on column runs.mode is 'full reads everything, incremental what changed since the watermark, replay what was rejected.';
comment on column runs.status is 'running, succeeded, failed (see error and remedy), interrupted (stopped or killed; the next run continues) or braked (a safety brake stopped it).';
comment on column runs.verdict is 'How complete the scan was: proven (each part read whole), agreed (some part rests on two equal passes), incomplete.';
comment on column runs.verdict_reason is 'Why the verdict is what it is, in words.';
comment on column runs.scheduled_at is 'The slot of the schedule that this run served; null when a person started it.';
comment on column runs.attempt is 'Which attempt at that slot this was, from 1.';
comment on column runs.scan_id is 'The scan this run worked on; a scan that was interrupted is continued by the next run under the same identifier.';
comment on column runs.started_at is 'When the run began (Postgres''s clock).';
comment on column runs.finished_at is 'When the run ended (Postgres''s clock); null while it runs.';
comment on column runs.rows_read is 'Records received, counted once per window that owns them, and once per pass where a part had to be read by page.';
comment on column runs.rows_inserted is 'Records that were not in the mirror.';
comment on column runs.rows_updated is 'Records that differed from the mirror, or came back after a tombstone.';
comment on column runs.rows_unchanged is 'Records equal to the mirror; they were not written.';
comment on column runs.rows_tombstoned is 'Rows marked as deleted by this run.';
comment on column runs.rows_rejected is 'Records that could not be stored; see rejects.';
comment on column runs.requests is 'Requests sent to the API, retries included.';
comment on column runs.retries is 'Requests that were repeated after a failure worth repeating.';
comment on column runs.throttled_ms is 'Milliseconds during which the API had asked us to wait.';
comment on column runs.error is 'What went wrong, without secrets and without personal data.';
comment on column runs.remedy is 'What a person can do about it.';

create table checkpoints (
    job              text primary key,
    watermark        timestamptz,
    scan_id          uuid,
    scan_started_at  timestamptz,
    full_finished_at timestamptz,
    updated_at       timestamptz not null default now(),
    check ((scan_id is null) = (scan_started_at is null))
);

comment on table checkpoints is 'How far each job has come. Only moves forward.';
comment on column checkpoints.job is 'Name of the job.';
comment on column checkpoints.watermark is 'The API''s clock at the first request of the last finished scan: what changed later has yet to be read.';
comment on column checkpoints.scan_id is 'The full scan that was begun and has not finished; null when there is none.';
comment on column checkpoints.scan_started_at is 'The API''s clock at the first request of that scan.';
comment on column checkpoints.full_finished_at is 'When the last full scan finished (Postgres''s clock).';
comment on column checkpoints.updated_at is 'When this row last changed.';

create table windows (
    window_id   bigint generated always as identity primary key,
    scan_id     uuid not null,
    run_id      uuid not null references runs on delete cascade,
    lower_bound timestamptz,
    upper_bound timestamptz,
    part        text not null check (part in ('window', 'undated')),
    proof       text not null check (proof in ('whole', 'passes', 'none')),
    rows_read   bigint not null,
    done_at     timestamptz not null default now(),
    check (lower_bound < upper_bound)
);
create index windows_scan_id on windows (scan_id, lower_bound);

comment on table windows is 'The parts of a scan that are committed: the unit of progress. What is missing here is read by the next run.';
comment on column windows.window_id is 'Identifier of the window.';
comment on column windows.scan_id is 'The scan it belongs to.';
comment on column windows.run_id is 'The run that committed it.';
comment on column windows.lower_bound is 'Registrations at or after this instant belong to the window; null means from the beginning.';
comment on column windows.upper_bound is 'Registrations before this instant belong to the window; null means to the end.';
comment on column windows.part is 'window (a stretch of registration time) or undated (people without a registration date).';
comment on column windows.proof is 'whole (one response held all of it), passes (two equal passes by page) or none (passes that never agreed).';
comment on column windows.rows_read is 'Records read in it.';
comment on column windows.done_at is 'When it was committed (Postgres''s clock).';

create table leases (
    resource           text primary key,
    token              bigint not null,
    holder             text not null,
    session_pid        integer not null,
    session_started_at timestamptz not null,
    acquired_at        timestamptz not null default now(),
    expires_at         timestamptz not null,
    -- Writers hold the row for key share, renewals leave the key alone, and a takeover changes it: so a takeover, and only a takeover,
    -- waits for the transactions of the holder before it.
    unique (resource, token)
);

comment on table leases is 'Who works on a resource. Free when the recorded database session is gone or the time is over.';
comment on column leases.resource is 'What is leased.';
comment on column leases.token is 'The fencing token: grows with each holder, and every writing transaction checks it.';
comment on column leases.holder is 'Host and process of the holder, for people.';
comment on column leases.session_pid is 'Process id of the holder''s database session.';
comment on column leases.session_started_at is 'When that session began; a process id alone may be used again.';
comment on column leases.acquired_at is 'When the holder took the lease.';
comment on column leases.expires_at is 'When it ends unless renewed (Postgres''s clock).';

create table rejects (
    reject_id     bigint generated always as identity primary key,
    job           text not null,
    resource      text not null,
    content_hash  bytea not null,
    record_id     text,
    reason        text not null,
    record        text not null,
    times_seen    bigint not null default 1,
    first_seen_at timestamptz not null default now(),
    last_seen_at  timestamptz not null default now(),
    first_run_id  uuid not null,
    last_run_id   uuid not null,
    unique (resource, content_hash)
);

comment on table rejects is 'Records that could not be stored, once per content.';
comment on column rejects.reject_id is 'Identifier of the reject.';
comment on column rejects.job is 'The job that met it first.';
comment on column rejects.resource is 'What kind of record it is.';
comment on column rejects.content_hash is 'Hash of the canonical record without volatile fields.';
comment on column rejects.record_id is 'The key, where the record has one that can be shown.';
comment on column rejects.reason is 'Why it could not be stored, and where in the record the cause is.';
comment on column rejects.record is 'The record as it was received (JSON text; Postgres''s jsonb may be unable to hold it). Personal data.';
comment on column rejects.times_seen is 'How many runs met it.';
comment on column rejects.first_seen_at is 'When it was first met.';
comment on column rejects.last_seen_at is 'When it was last met.';
comment on column rejects.first_run_id is 'The run that first met it.';
comment on column rejects.last_run_id is 'The run that last met it.';
