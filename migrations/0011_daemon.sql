-- What several daemons have to agree on beside the runs themselves: since when a schedule is known, which slots were settled without a run, and what people asked for.

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

create table schedules (
    job         text primary key,
    schedule    text not null,
    known_since timestamptz not null default clock_timestamp(),
    settled_to  timestamptz,
    settled_why text,
    late_told   timestamptz
);
comment on table schedules is 'Since when daemons know the schedule of each job.';
comment on column schedules.job is 'Name of the job.';
comment on column schedules.schedule is 'The schedule as it reads; when it reads differently it is known anew.';
comment on column schedules.known_since is 'When a daemon first saw it: slots before that are nobody''s.';
comment on column schedules.settled_to is 'The latest slot that was settled without a run of its own: passed over, or skipped for a dependency.';
comment on column schedules.settled_why is 'Why that was.';

comment on column schedules.late_told is 'The latest slot that was told to be late: each is told once, by one daemon.';

create table triggers (
    trigger_id   uuid primary key,
    job          text not null,
    full_scan    boolean not null,
    requested_by text not null,
    requested_at timestamptz not null default clock_timestamp()
);
comment on table triggers is 'Runs that somebody asked a daemon for, until a run of the job begins that answers them.';
comment on column triggers.trigger_id is 'Identifier of the request.';
comment on column triggers.job is 'Name of the job.';
comment on column triggers.full_scan is 'Whether everything is to be read, whatever the job''s mode.';
comment on column triggers.requested_by is 'Who asked.';
comment on column triggers.requested_at is 'When.';

-- The latest slot of a job is looked up every second.
create index runs_slot on runs (job, scheduled_at desc, attempt desc) where scheduled_at is not null;

create table bulk_orders (
    plan_id       uuid primary key references bulk_plans on delete cascade,
    allow_changes boolean not null,
    allow_deletes boolean not null,
    ordered_by    text not null,
    ordered_at    timestamptz not null default clock_timestamp(),
    taken_by      text,
    taken_at      timestamptz,
    ended_at      timestamptz,
    error         text,
    remedy        text,
    check ((taken_at is null) = (taken_by is null)),
    check (error is null or ended_at is not null)
);
comment on table bulk_orders is 'Plans that somebody asked the daemons to apply. An order whose daemon is gone is taken up by another.';
comment on column bulk_orders.plan_id is 'The plan.';
comment on column bulk_orders.allow_changes is 'Whether the users may have changed since it was planned.';
comment on column bulk_orders.allow_deletes is 'Whether users may be deleted.';
comment on column bulk_orders.ordered_by is 'Who asked.';
comment on column bulk_orders.ordered_at is 'When.';
comment on column bulk_orders.taken_by is 'The daemon that last took it up.';
comment on column bulk_orders.taken_at is 'When that was.';
comment on column bulk_orders.ended_at is 'When the push ended, or was refused.';
comment on column bulk_orders.error is 'Why it was refused, or stopped; none when each row has an outcome.';
comment on column bulk_orders.remedy is 'What to do about that.';
create index bulk_orders_open on bulk_orders (ordered_at) where ended_at is null;

create table notices (
    notice_id    uuid primary key,
    noted_at     timestamptz not null default clock_timestamp(),
    occurred_at  timestamptz not null,
    run_id       uuid references runs on delete cascade,
    plan_id      uuid references bulk_plans on delete cascade,
    job          text,
    scheduled_at timestamptz,
    late_since   timestamptz,
    teller       uuid,
    check (num_nonnulls(run_id, plan_id, job) = 1),
    check (num_nonnulls(job, scheduled_at, late_since) in (0, 3))
);
comment on table notices is 'What is still to be told to the receivers of notifications. Gone when each has it or will not take it, and when it is no news any more.';
comment on column notices.notice_id is 'The event_id of what is sent, the same however often it is (UUID version 7, so ordered by time).';
comment on column notices.noted_at is 'When this was written down (Postgres''s clock).';
comment on column notices.occurred_at is 'When it happened.';
comment on column notices.run_id is 'The run of a daemon that ended. Whether there is something to tell about it, whoever tells it decides.';
comment on column notices.plan_id is 'The plan whose push has an outcome for each row.';
comment on column notices.job is 'The job of a slot that is late.';
comment on column notices.scheduled_at is 'That slot.';
comment on column notices.late_since is 'Since when it is late.';
comment on column notices.teller is 'The daemon that tells it; void when that one is gone.';
