-- One line per row of an episode: does it fail to follow the row before it (a gap, a repeated step, no step at all, a
-- time that goes backwards, another unit)? The first logged step of an episode may be any.
select
    step is null
    or step <> lag(step) over steps + 1
    or occurred_at < lag(occurred_at) over steps
    or unit_id <> lag(unit_id) over steps as broken
from interactions
where episode_id is not null
window steps as (partition by episode_id order by step, occurred_at, interaction_id)
