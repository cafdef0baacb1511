"""What a browser posts of the builder of an earning rule, and reads on the pages of rules."""

import re
from typing import Any

from django.test import Client
from django.urls import reverse

from loyalty import rules
from loyalty.models import EarningRule, RuleVersion
from loyalty.rules import builder, editing, starters
from staff.models import User


def posted(definition: dict[str, Any]) -> dict[str, str]:
    """The fields of the form that shows this definition, with what stands in them."""
    drawn = builder.view(definition, {})
    tokens = [*drawn.event, *(token for row in drawn.caps for token in row)]
    tokens += [token for _label, row in drawn.settings for token in row]
    data = {"when": editing.trees.dump(editing.trees.whole(definition["when"]))}
    for effect in drawn.effects:
        tokens += [*effect.tokens, *(token for row in effect.rows for token in row)]
        data[effect.kind.name] = data[f"effects-{effect.place}-was"] = effect.kind.value
        if effect.lines and effect.lines.tree is not None:
            data[effect.lines.name] = editing.trees.dump(effect.lines.tree)
    return data | {token.field.name: token.field.value for token in tokens if token.field}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def a_draft(author: User, name: str = "Weekend", key: str = "member-day") -> RuleVersion:
    return rules.draft(EarningRule.objects.create(name=name), definition=starters.find(key).definition, user=author)


def problem_at(page: str, field: str) -> str:
    """What stands in the place of a field's problem."""
    found = re.search(rf'id="{field}_error"[^>]*>(.*?)</div>', page, re.DOTALL)
    assert found
    return " ".join(re.sub("<[^>]+>", "", found[1]).split())


def page(client: Client, name: str, *args: object, **query: str) -> str:
    response = client.get(reverse(name, args=args), query)
    assert response.status_code == 200
    return str(response.content.decode())
