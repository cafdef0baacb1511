"""Many things in one request: one transaction, and a word on each."""

from collections.abc import Sequence
from typing import Any, Final

from rest_framework import serializers
from rest_framework.response import Response

from staff import problems
from staff.api_schema import ProblemDocument
from staff.problems import Problem

MOST: Final = 1000

CREATED, REPEATED, REFUSED = OUTCOMES = ("created", "repeated", "refused")


class BatchCounts(serializers.Serializer[Any]):
    """How a batch went: an item was created, was there before with the same content (repeated), or was refused."""

    created = serializers.IntegerField()
    repeated = serializers.IntegerField()
    refused = serializers.IntegerField()


def results_of(row: type[serializers.Serializer[Any]]) -> type[serializers.Serializer[Any]]:
    """How the OpenAPI document describes the answer to a batch of such rows, in the order of the request."""
    result = type(
        f"{row.__name__}Result",
        (serializers.Serializer,),
        {
            "index": serializers.IntegerField(help_text="The place in the request, from 0."),
            "outcome": serializers.ChoiceField(choices=OUTCOMES),
            "item": row(allow_null=True),
            "problem": ProblemDocument(allow_null=True),
        },
    )
    return type(f"{row.__name__}Batch", (BatchCounts,), {"results": result(many=True)})


def answer(done: Sequence[tuple[Any, bool] | Problem]) -> Response:
    """The answer to a batch: of each what came of it and whether that is new, or why it was refused."""
    counts = dict.fromkeys(OUTCOMES, 0)
    results = []
    for index, one in enumerate(done):
        made, problem = None, None
        if isinstance(one, Problem):
            outcome, problem = REFUSED, problems.document(one)
        else:
            made, is_new = one
            outcome = CREATED if is_new else REPEATED
        counts[outcome] += 1
        results.append({"index": index, "outcome": outcome, "item": made, "problem": problem})
    return Response({**counts, "results": results})
