-- What must not be kept, and who must not come back: the key of the keyed hashes, the privacy settings that the stored rows follow, and who was erased.

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

create table hash_key (
    only_one    boolean primary key default true check (only_one),
    key         bytea,
    check_value bytea not null,
    created_at  timestamptz not null default now()
);
comment on table hash_key is 'The key of the keyed hashes, one row: made at random, or given by the setting hash_key and then not kept here. Secret.';
comment on column hash_key.only_one is 'There is one row at most.';
comment on column hash_key.key is 'The key; null when the setting hash_key gives it.';
comment on column hash_key.check_value is 'Keyed hash of a constant: tells whether a key that is given is the one that was used before.';
comment on column hash_key.created_at is 'When it was first used.';

create table privacy (
    only_one   boolean primary key default true check (only_one),
    choices    jsonb not null,
    applied_at timestamptz not null default now()
);
comment on table privacy is 'The privacy settings that everything stored follows, one row; a run with other settings first rewrites what they are about.';
comment on column privacy.only_one is 'There is one row at most.';
comment on column privacy.choices is 'What is hashed or dropped, by table and column or attribute.';
comment on column privacy.applied_at is 'When what is stored was last rewritten for them.';

create table erasures (
    keyed_hash  bytea primary key,
    erased_at   timestamptz not null default now(),
    erased_by   text not null,
    reason      text,
    removed     jsonb not null,
    last_run_id uuid
);
comment on table erasures is 'Who was erased, by the keyed hash of the identifier: no run takes them into the mirror again. No personal data.';
comment on column erasures.keyed_hash is 'Keyed hash (HMAC-SHA256) of the user''s identifier.';
comment on column erasures.erased_at is 'When the person was last erased.';
comment on column erasures.erased_by is 'The user of the operating system who asked for it.';
comment on column erasures.reason is 'Why, in the words of whoever asked.';
comment on column erasures.removed is 'How many rows were removed, by table.';
comment on column erasures.last_run_id is 'The run that last saw the person at the API, or, if none has since, the last run before they were erased; null for somebody whom the mirror did not know.';
