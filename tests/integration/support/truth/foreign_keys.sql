-- Foreign keys that are only in the truth or only, and living, in the mirror.
with sent as (
    select user_id, item #> '{user,foreign_keys}' as keys from truth
),
expected as (
    select s.user_id, by_system.key as system, one.key
    from sent s
    cross join jsonb_each(case jsonb_typeof(s.keys) when 'object' then s.keys else '{}' end) by_system
    cross join jsonb_array_elements_text(
        case jsonb_typeof(by_system.value) when 'array' then by_system.value else jsonb_build_array(by_system.value) end
    ) one (key)
    union
    select s.user_id, coalesce(pair ->> 'system', pair ->> 'foreign_system'), coalesce(pair ->> 'key', pair ->> 'foreign_key')
    from sent s
    cross join jsonb_array_elements(case jsonb_typeof(s.keys) when 'array' then s.keys else '[]' end) pair
),
mirrored as (
    select user_id, system, key from user_foreign_keys where _zephr_deleted_at is null
)
select concat_ws(' ', d.user_id, d.system, d.key, d.what)
from (
    select *, 'is missing' as what from (select * from expected except select * from mirrored) missing
    union all
    select *, 'is only in the mirror' from (select * from mirrored except select * from expected) surplus
    where $2 or user_id in (select user_id from truth)
) d
order by 1
limit $1
