-- Attributes with types: `users.attributes` holds what the tenant's own schema describes, as whatever JSON was sent. What can be said once is here: the casts,
-- which never fail, what does not fit, and which attribute has which column. The view `user_attributes` itself follows the schema, so src/attributes/ makes it.
--
-- A cast is a pattern and, behind it, Postgres's own conversion, which cannot fail on what the pattern let through. Being single expressions, the functions
-- are inlined into the queries of analysts; one that catches errors would open a subtransaction per value. Patterns are compared under "C", so that a digit is
-- an ASCII digit whatever the database's locale, and long values are refused before they are looked at.
--
-- Postgres builds a regular expression's automaton anew for each value, so what nearly all values look like is told first by `like` and by character classes,
-- which cost a fifth of that.

select set_config('search_path', current_setting('zephr_sync.data_path'), true);

create function attribute_number(value text) returns numeric
    language sql immutable parallel safe
    return case
        when length(value) > 400 then null
        when value collate "C" ~ '^-?[0-9]+(\.[0-9]+)?$' then value::numeric
        when value collate "C" ~ '^ *[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})? *$' then value::numeric
    end;
comment on function attribute_number is 'The number that an attribute''s value spells; null when it spells none.';

create function attribute_boolean(value text) returns boolean
    language sql immutable parallel safe
    return case
        when value in ('true', 'false') then value = 'true'
        when length(value) > 64 then null
        else case lower(btrim(value) collate "C")
            when 'true' then true when 'yes' then true when 'on' then true when '1' then true
            when 'false' then false when 'no' then false when 'off' then false when '0' then false
        end
    end;
comment on function attribute_boolean is 'What an attribute''s value answers: true, yes, on, 1 or false, no, off, 0, in any case; null when it is none of them.';

-- The days that exist, from the year 1 to 9999. Midnight says nothing beyond the day, as long as it is nobody else's midnight.
create function attribute_date(value text) returns date
    language sql stable parallel safe
    return case
        when value like '____-__-__' and value not like '%-%-%-%' and value not like '0000%' and value collate "C" !~ '[^0-9-]'
            and right(value, 5) collate "C" between '01-01' and '12-28' and right(value, 2) collate "C" between '01' and '28'
            then value::date
        when length(value) > 64 then null
        when left(ltrim(value), 4) = '0000' then null
        when value collate "C" ~ '^ *([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)([Tt ]00:00(:00(\.0{1,9})?)?([Zz]|[-+]00:?00)?)? *$'
            then left(ltrim(value), 10)::date
    end;
comment on function attribute_date is 'The day that an attribute''s value spells as 2021-02-24, or as midnight of that day; null when it spells none.';

-- What is finer than a microsecond is cut off: rounded, the end of a day would become 24:00, which many programs cannot hold.
create function attribute_time(value text) returns time
    language sql stable parallel safe
    return case
        when length(value) > 64 then null
        when value collate "C" ~ '^ *([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)? *$'
            then left(ltrim(value), 15)::time
    end;
comment on function attribute_time is 'The time of day that an attribute''s value spells as 10:00 or 10:00:30.5; null when it spells none.';

-- Without a zone Postgres would take the reader's own, and two readers would see two instants.
create function attribute_instant(value text) returns timestamptz
    language sql stable parallel safe
    return case
        when value collate "C" ~ '[Zz] *$|:.*[-+]' then value::timestamptz
        else (rtrim(value) || '+00')::timestamptz
    end;
comment on function attribute_instant is 'For attribute_datetime: fails on what is not an instant.';

-- A zone may move the first and the last year into one that many programs cannot hold.
create function attribute_datetime(value text) returns timestamptz
    language sql stable parallel safe
    return case
        when (value like '____-__-__T__:__:__Z' and value not like '%.%' or value like '____-__-__T__:__:__.___Z' and value not like '%.%.%')
            and value not like '%-%-%-%' and value not like '%:%:%:%' and value not like '%T%T%' and value not like '%Z_%'
            and value collate "C" !~ '[^0-9TZ:.-]'
            and substr(value, 1, 4) collate "C" between '0002' and '9998'
            and substr(value, 6, 5) collate "C" between '01-01' and '12-28' and substr(value, 9, 2) collate "C" between '01' and '28'
            and substr(value, 12, 2) collate "C" <= '23' and substr(value, 15, 2) collate "C" <= '59' and substr(value, 18, 2) collate "C" <= '59'
            then value::timestamptz
        when length(value) > 64 then null
        when value collate "C" ~ '^ *([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)([Tt ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?([Zz]|[-+](0[0-9]|1[0-5])(:?[0-5][0-9])?)?)? *$'
            then case
                when left(ltrim(value), 4) = '0000' then null
                when left(ltrim(value), 4) not in ('0001', '9999') then attribute_instant(value)
                when attribute_instant(value) >= '0001-01-01T00:00:00Z' and attribute_instant(value) < '10000-01-01T00:00:00Z'
                    then attribute_instant(value)
            end
    end;
comment on function attribute_datetime is 'The instant that an attribute''s value spells as 2021-02-24T10:00:00Z; UTC where no zone is said, midnight where no time is; null when it spells none.';

create function attribute_misfit(type text, value text) returns text
    language sql stable parallel safe
    return case
        when value is null or btrim(value) = '' then null
        when type = 'numeric' then case when attribute_number(value) is null then 'not a number' end
        when type = 'boolean' then case when attribute_boolean(value) is null then 'neither true nor false' end
        when type = 'date' then case when attribute_date(value) is null then 'not a day as 2021-02-24, or one that never was' end
        when type = 'time' then case when attribute_time(value) is null then 'not a time of day as 10:00' end
        when type = 'timestamptz'
            then case when attribute_datetime(value) is null then 'not an instant as 2021-02-24T10:00:00Z, or on a day that never was' end
    end;
comment on function attribute_misfit is 'Why an attribute''s value cannot be of a type; null when it can.';

create table attribute_columns (
    slug        text primary key,
    column_name text unique,
    position    integer unique,
    type        text check (type in ('text', 'numeric', 'boolean', 'date', 'time', 'timestamptz')),
    input_type  text,
    label       text,
    gone_since  timestamptz,
    reason      text,
    check ((column_name is null) = (position is null)),
    check ((column_name is null) = (type is null))
);
comment on table attribute_columns is 'Which attribute is which column of user_attributes. Follows user_schema; a column keeps its name and its place.';
comment on column attribute_columns.slug is 'The attribute''s key in users.attributes.';
comment on column attribute_columns.column_name is 'Its column in user_attributes; null when there is no room for one.';
comment on column attribute_columns.position is 'The column''s place, from 1 after user_id; null when there is no room for one.';
comment on column attribute_columns.type is 'The column''s type.';
comment on column attribute_columns.input_type is 'What decides the type, as the schema says it.';
comment on column attribute_columns.label is 'What people call the attribute.';
comment on column attribute_columns.gone_since is 'When the schema was found without it: the column is null from then on, and is kept for what is built on it; null for a living attribute.';
comment on column attribute_columns.reason is 'Why the column''s name or type is not what one would expect; null when they are.';

-- Asked only when somebody asks: nothing here is kept. Values stay out, they are in users.attributes under the slug.
create view attribute_issues as
    select u.user_id, c.slug, c.column_name, c.type as wanted_type, attribute_misfit(c.type, u.attributes ->> c.slug) as reason, 1::bigint as users
    from users u
    cross join attribute_columns c
    where u._zephr_deleted_at is null and c.column_name is not null and c.type <> 'text' and c.gone_since is null
        and attribute_misfit(c.type, u.attributes ->> c.slug) is not null
    union all
    select null, s.slug, c.column_name, null, 'not in the schema', s.users
    from (
        select k.slug, count(*) as users
        from users u
        cross join lateral jsonb_object_keys(case jsonb_typeof(u.attributes) when 'object' then u.attributes else '{}' end) k (slug)
        where u._zephr_deleted_at is null
        group by k.slug
    ) s
    left join attribute_columns c on c.slug = s.slug
    where not exists (select from user_schema a where a.slug = s.slug and a._zephr_deleted_at is null)
        and exists (select from user_schema a where a._zephr_deleted_at is null);
comment on view attribute_issues is 'What keeps values out of user_attributes: a row per user and attribute whose value is not of the column''s type, and a row per slug that users have and the schema lacks. Reads all users.';
comment on column attribute_issues.user_id is 'The user; null where it is about a slug that the schema lacks.';
comment on column attribute_issues.slug is 'The attribute; users.attributes ->> slug is the value as sent.';
comment on column attribute_issues.column_name is 'Its column in user_attributes, if it has one.';
comment on column attribute_issues.wanted_type is 'The column''s type; null where it is about a slug that the schema lacks.';
comment on column attribute_issues.reason is 'Why the value is not there.';
comment on column attribute_issues.users is 'How many users it is about: 1, or all who have a slug that the schema lacks.';

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

create table attribute_view (
    one         boolean primary key default true check (one),
    fingerprint bytea,
    built_at    timestamptz
);
insert into attribute_view default values;
comment on table attribute_view is 'What user_attributes was last built from; its one row is locked while that is looked at.';
comment on column attribute_view.one is 'There is one row.';
comment on column attribute_view.fingerprint is 'Hash of the statements that built it; null when it was never built. Equal hash, nothing to build.';
comment on column attribute_view.built_at is 'When it was last built (Postgres''s clock).';
