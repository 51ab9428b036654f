-- What a run claims must be what it rests on.
--
-- A round within a budget is not a whole list: its verdict is `partial`. And a row that cannot be asked for by its key is gone only when two runs in a row missed it, so
-- what one run missed is written down for the next; as is what a brake held, so that it counts as one incident however many runs come.

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

alter table runs drop constraint runs_verdict_check,
    add constraint runs_verdict_check check (verdict in ('proven', 'agreed', 'partial', 'incomplete'));
comment on column runs.verdict is 'How complete the scan was: proven (each part read whole), agreed (some part rests on two equal passes, or on what the API documents as none), partial (what was due within the budget was read, and a rest is left), incomplete.';

create table deletion_candidates (
    table_name   text not null,
    record_key   text[] not null,
    first_run_id uuid not null,
    last_run_id  uuid not null,
    missed_at    timestamptz not null default now(),
    primary key (table_name, record_key)
);
comment on table deletion_candidates is 'Living rows that the API did not show, of tables whose rows cannot be asked for by their key. One becomes a tombstone when two runs in a row missed it and no brake holds it; one that is shown again leaves.';
comment on column deletion_candidates.table_name is 'Table of the row, in the analysts'' schema.';
comment on column deletion_candidates.record_key is 'Key of the row, column by column.';
comment on column deletion_candidates.first_run_id is 'Run that missed it first.';
comment on column deletion_candidates.last_run_id is 'Run that missed it last.';
comment on column deletion_candidates.missed_at is 'When it was missed first.';
