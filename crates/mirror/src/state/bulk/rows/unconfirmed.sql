-- Rows done before $1 that no sync has seen, after user $3 and plan $4, $5 at most; with $2 only of users whom that run wrote.
select r.plan_id, r.row_number, r.user_id as "user_id!", r.action as "action: Action", r.registered_at,
       r.new_values as "new_values: Json<Values>", u.registered_at as present_registered_at, u.user_id is not null as "living!",
       (
           select jsonb_object_agg(v.key, u.attributes -> v.key)
           from jsonb_each(r.new_values) v
           where u.attributes ? v.key
       ) as "present: Json<Values>",
       array(
           select distinct v.key
           from bulk_rows l, jsonb_each(l.new_values) v
           where l.user_id = r.user_id and l.state = 'succeeded' and l.settled_at > r.settled_at
       ) as "set_later!",
       exists (
           select from bulk_rows l
           where l.user_id = r.user_id and l.action = 'delete' and l.state = 'succeeded' and l.settled_at > r.settled_at
       ) as "deleted_later!"
from bulk_rows r
left join users u on u.user_id = r.user_id and u._zephr_deleted_at is null
where r.state = 'succeeded' and r.confirmed_at is null and r.refuted_at is null
  and r.settled_at < $1
  and (r.user_id, r.plan_id) > ($3, $4)
  and ($2::uuid is null or exists (select from users w where w.user_id = r.user_id and w._zephr_run_id = $2))
order by r.user_id, r.plan_id
limit $5
