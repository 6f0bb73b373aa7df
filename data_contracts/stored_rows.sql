-- Stored rows as they were known at a moment, when no outcome has to be joined: a matured row keeps the reward it
-- carries, else the declared default; one that has not matured has none (the same as outcomes.attach_rewards).
create or replace temp view interactions as
select * replace (case when matured then coalesce(reward, getvariable('fallback')::double) end as reward)
from (
    select *, occurred_at <= getvariable('matured_before')::timestamptz as matured
    from stored
    where occurred_at <= getvariable('as_of')::timestamptz
)
