-- The earliest outcome inside a window of seven days, as a careful analyst would write it.
select interactions.interaction_id, coalesce(found.value, 0) as reward
from interactions
left join (
    select interaction_id, value
    from (
        select outcomes.*, row_number() over (
            partition by outcomes.interaction_id order by outcomes.observed_at, outcomes.value
        ) as place
        from outcomes join interactions using (interaction_id)
        where channel = 'click'
          and outcomes.observed_at >= interactions.occurred_at
          and outcomes.observed_at <= interactions.occurred_at + interval 7 day
          and outcomes.observed_at <= $as_of::timestamptz
    )
    where place = 1
) as found using (interaction_id)
