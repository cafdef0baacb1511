"""One small language for "who": a JSON tree of all/any/none over facts.

::

    {"all": [
        {"fact": "member.last_purchase", "op": "gt", "value": 60},
        {"any": [
            {"fact": "member.spend", "days": 365, "op": "gte", "value": "2000"},
            {"fact": "member.purchases", "days": 90, "op": "gte", "value": 3}]},
        {"none": [{"fact": "member.status", "op": "in", "value": ["closed"]}]}]}

Facts are registered by the room that owns them (``facts.register`` in its ``apps.py``). ``{}`` is
everybody. A member of whom a fact is unknown fulfils no condition on it, and every negation of one, so
that a condition and its ``none`` always add up to all members.
"""

from members.conditions.counts import count
from members.conditions.sentences import sentence
from members.conditions.sql import members_sql
from members.conditions.tree import ConditionError, problems, validate

__all__ = ["ConditionError", "count", "members_sql", "problems", "sentence", "validate"]
