-- Several machines work on one tenant: who is there, how many of the tenant's requests each may have in flight, and which windows of a scan one reads for another.
-- Postgres is the only coordinator.

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

create table daemons (
    daemon_id          uuid primary key,
    holder             text not null,
    session_pid        integer not null,
    session_started_at timestamptz not null,
    started_at         timestamptz not null default clock_timestamp(),
    seen_at            timestamptz not null default clock_timestamp(),
    max_in_flight      integer not null check (max_in_flight > 0),
    places             integer not null check (places >= 0)
);

comment on table daemons is 'Who shares the tenant at present. A row whose owner was not seen for some seconds is void, and the next one who looks removes it.';
comment on column daemons.daemon_id is 'Identifier of the daemon, new with each start (UUID version 7, so ordered by time).';
comment on column daemons.holder is 'Host and process, for people.';
comment on column daemons.session_pid is 'Process id of its database session.';
comment on column daemons.session_started_at is 'When that session began; a process id alone may be used again.';
comment on column daemons.started_at is 'When it came: who came first has the places that cannot be divided.';
comment on column daemons.seen_at is 'Its last beat (Postgres''s clock).';
comment on column daemons.max_in_flight is 'The tenant''s ceiling as this daemon''s settings have it; the lowest of all counts.';
comment on column daemons.places is 'So many requests it may have in flight until its row is void. Together they are never more than the ceiling.';

create table shared_scans (
    run_id         uuid primary key references runs on delete cascade,
    token          bigint not null,
    leader         uuid,
    settings       bytea not null,
    rpp            bigint not null check (rpp > 0),
    notes_changes  boolean not null,
    page_asked     bigint,
    page_held      bigint,
    links_tell     boolean not null,
    count_is_total boolean not null
);

comment on table shared_scans is 'Full scans of users that others may help with. Gone when the run is.';
comment on column shared_scans.run_id is 'The run that leads the scan.';
comment on column shared_scans.token is 'The token of its lease: nothing is written under an older one.';
comment on column shared_scans.leader is 'The daemon that leads it; null for a command that is none.';
comment on column shared_scans.settings is 'Hash of all settings that decide what is stored of a record: only who has the same may help.';
comment on column shared_scans.rpp is 'Records per page that are asked for.';
comment on column shared_scans.notes_changes is 'Whether it is noted who changed.';
comment on column shared_scans.page_asked is 'What the leader had learned about the server''s answers when it began to share: records per page asked for.';
comment on column shared_scans.page_held is 'As page_asked: the largest page that came.';
comment on column shared_scans.links_tell is 'As page_asked: whether links to a next page tell that there is more.';
comment on column shared_scans.count_is_total is 'As page_asked: whether the count is a total.';

create table offers (
    offer_id       bigint generated always as identity primary key,
    run_id         uuid not null references shared_scans on delete cascade,
    lower_bound    timestamptz,
    upper_bound    timestamptz,
    state          text not null default 'offered' check (state in ('offered', 'claimed', 'whole', 'too_large', 'unfiltered', 'returned')),
    holder         uuid,
    expires_at     timestamptz,
    requests       bigint not null default 0,
    retries        bigint not null default 0,
    rows_read      bigint not null default 0,
    rows_inserted  bigint not null default 0,
    rows_updated   bigint not null default 0,
    rows_unchanged bigint not null default 0,
    rows_rejected  bigint not null default 0,
    found_dates    timestamptz[],
    found_count    bigint,
    answered_at    timestamptz,
    check (lower_bound < upper_bound),
    check ((state = 'claimed') = (expires_at is not null)),
    check (state = 'offered' or holder is not null)
);
create index offers_run_id on offers (run_id, state);

comment on table offers is 'Windows of a shared scan that somebody else than its leader may read. The leader removes each when it has learned what became of it.';
comment on column offers.offer_id is 'Identifier of the offer: a window that is offered again has another.';
comment on column offers.run_id is 'The shared scan.';
comment on column offers.lower_bound is 'The beginning of the window; null means from the beginning.';
comment on column offers.upper_bound is 'The end of the window, exclusive; null means to the end.';
comment on column offers.state is 'offered; claimed (being read by its holder); whole (read, and committed with this word); too_large (the leader has to cut it); unfiltered (the answer held somebody from elsewhere); returned (the leader has to read it itself).';
comment on column offers.holder is 'The daemon that claimed it.';
comment on column offers.expires_at is 'When the claim ends unless renewed (Postgres''s clock).';
comment on column offers.requests is 'Requests that its holder sent since its last word, retries included.';
comment on column offers.retries is 'Those of them that repeated another.';
comment on column offers.rows_read is 'Records in a window that was whole.';
comment on column offers.rows_inserted is 'Those of them that were new.';
comment on column offers.rows_updated is 'Those that differed.';
comment on column offers.rows_unchanged is 'Those that were equal.';
comment on column offers.rows_rejected is 'Those that could not be stored.';
comment on column offers.found_dates is 'Of a window that was too large: the registrations on its page, in the order of the page.';
comment on column offers.found_count is 'Of a window that was too large: how many records it holds, where that is known.';
comment on column offers.answered_at is 'The API''s clock when it answered.';
