"""Off-policy evaluation: what a policy would have earned, from the log of another one."""

from policies.ope.estimates import estimate_all
from policies.ope.records import Estimate

__all__ = ["Estimate", "estimate_all"]
