"""The campaigns of the sample programme, and what they changed."""

from dataclasses import dataclass, field

from campaigns.runs import arms_by
from members.experiments import Arm


@dataclass(frozen=True, kw_only=True)
class Story:
    """One campaign that ran ``days_ago``; ``effect`` is the extra chance to buy, by arm.

    ``lost`` is the share of an arm's members that a fault kept from being recorded, so that one
    campaign of the sample shows a sample-ratio mismatch.
    """

    key: str
    name: str
    days_ago: int
    goal_days: int
    holdout: int
    shares: dict[str, int]
    subjects: dict[str, str]
    bodies: dict[str, str]
    effect: dict[str, float] = field(default_factory=dict)
    lost: dict[str, float] = field(default_factory=dict)


def body(text: str) -> str:
    """A short letter with the merge fields that every member has."""
    return (
        f"Dear {{{{ member.name }}}},\n\n{text}\n\n"
        "You have {{ member.points }} points.\n\n[See what they get you](https://shop.example/rewards)\n"
    )


def arms_of(story: Story) -> list[Arm]:
    """The arms of a story's experiment, as a run would have made them."""
    return arms_by(story.holdout, list(story.shares), list(story.shares.values()))


STORIES = [
    Story(
        key="autumn-offer",
        name="Autumn offer",
        days_ago=45,
        goal_days=14,
        holdout=20,
        shares={"A": 50, "B": 50},
        subjects={"A": "10% off until Sunday", "B": "Double points until Sunday"},
        bodies={
            "A": body("This week everything is 10% off for you."),
            "B": body("This week every purchase counts double."),
        },
        effect={"A": 0.05, "B": 0.17},
    ),
    Story(
        key="summer-beans",
        name="New beans from Yunnan",
        days_ago=130,
        goal_days=14,
        holdout=10,
        shares={"A": 50, "B": 50},
        subjects={"A": "New beans from Yunnan", "B": "Taste Yunnan: a cup on us"},
        bodies={"A": body("Our new beans have arrived."), "B": body("Your first cup of Yunnan is on us.")},
        effect={"A": 0.0, "B": 0.015},
        lost={"B": 0.14},
    ),
    Story(
        key="singles-day",
        name="Singles’ Day preview",
        days_ago=12,
        goal_days=14,
        holdout=20,
        shares={"A": 50, "B": 50},
        subjects={"A": "Shop before everyone else", "B": "Your Singles’ Day gift is ready"},
        bodies={
            "A": body("Our offers open for you one day early."),
            "B": body("A gift waits for you at the counter."),
        },
        effect={"A": 0.06, "B": 0.12},
    ),
]
