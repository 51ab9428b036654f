-- Users named by their key in the system $3 ($1), with the attributes $2 as earlier pushes are known to have left them.
select k.ordinal as "ordinal!", u.user_id as "user_id!", u.email, u.registered_at, u._zephr_deleted_at as deleted_at,
       coalesce(pushed.away, false) as "pushed_away!",
       array(
           select coalesce(pushed.attributes -> slug, u.attributes -> slug)::text
           from (select slug from unnest($2::text[]) with ordinality as wanted (slug, place) order by place) wanted
       ) as "values!: Vec<Option<String>>"
from unnest($1::text[]) with ordinality as k (name, ordinal)
-- One key at a time, whatever the statistics say ("offset 0"): with none of them yet, reading all keys of the system looks as cheap.
cross join lateral (
    select user_id, _zephr_deleted_at
    from user_foreign_keys
    where system = $3 and key = k.name
    offset 0
) f
-- Of the keys that went, those that went with their user: so it can be said that there was one.
join users u on u.user_id = f.user_id and (f._zephr_deleted_at is null or u._zephr_deleted_at is not null)
left join lateral (
    -- Pushes that the mirror has not seen yet, the later ones over the earlier ones.
    select jsonb_object_agg(v.key, v.value order by r.settled_at, r.plan_id) filter (where v.key is not null) as attributes,
           bool_or(r.action = 'delete') as away
    from bulk_rows r
    left join lateral jsonb_each(r.new_values) v on true
    where r.user_id = u.user_id and r.state = 'succeeded' and r.confirmed_at is null and r.refuted_at is null
    group by r.user_id
) pushed on true
order by k.ordinal
