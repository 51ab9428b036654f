-- Plans that came to their end before ($1): each row has an outcome, or they were never applied. What takes a plan back goes together with it: the plan would else look as
-- if it could be taken back again.
with recursive family (plan_id, first) as (
    select plan_id, plan_id from bulk_plans where undo_of is null
    union all
    select p.plan_id, f.first from bulk_plans p join family f on p.undo_of = f.plan_id
)
delete from bulk_plans
where plan_id in (
    select plan_id from family
    where first in (
        select f.first
        from family f join bulk_plans p using (plan_id) left join bulk_orders o using (plan_id)
        group by f.first
        having bool_and(
            coalesce(p.finished_at, p.created_at) < $1
            and (p.finished_at is not null or p.applied_at is null)
            and (o.plan_id is null or o.ended_at is not null)
        )
    )
)
