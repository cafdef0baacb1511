"""What an A/B result says, in a sentence, and the checks that stand before it."""

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from analytics.measures.experiments import Arm, Result
from analytics.statistics import compare_proportions, p_text
from staff.figures import number, percent, signed

# An arm with fewer members is too small for the normal approximation of the p-value to be meant seriously.
FEW_MEMBERS = 30


@dataclass(frozen=True)
class Check:
    """One thing to look at before the numbers: fine, look, bad or unknown."""

    state: str
    title: str
    text: str


@dataclass(frozen=True)
class Conclusion:
    """One sentence, why, and its tone (accent, look, bad, idle)."""

    title: str
    text: str
    tone: str


def arm_name(arm: Arm) -> str:
    """What an arm is called: "Holdout", "B · double points", or its key."""
    if arm.is_control:
        return _("Holdout")
    return f"{arm.key} · {arm.name}" if arm.name and arm.name != arm.key else arm.key


def points(share: float, places: int = 2) -> str:
    """A difference of shares in percentage points, without its sign."""
    return number(abs(share) * 100, places)


def checks(result: Result) -> list[Check]:
    """Shares as planned, nobody in two arms, enough members, days to go."""
    return [_ratio(result), _overlap(result), _enough(result), _window(result)]


def _ratio(result: Result) -> Check:
    if not result.members:
        return Check("unknown", _("Shares not checked yet"), _("nobody was collected yet"))
    if result.ratio is None:
        return Check("unknown", _("Shares not checked"), _("no shares were planned for this campaign"))
    if result.ratio.is_mismatch:
        return Check("bad", _("Shares are not as planned"), _ratio_text(result))
    return Check("fine", _("Shares as planned"), _("χ² p = %(p)s") % {"p": p_text(result.ratio.p)})


def _ratio_text(result: Result) -> str:
    """``50.9 / 49.1 where 50 / 50 was planned (p = 0.0008)``."""
    assert result.ratio is not None  # noqa: S101 (asked before)
    p = p_text(result.ratio.p)
    return _("%(found)s%% where %(planned)s%% was planned (p %(p)s)") % {
        "found": " / ".join(number(100 * arm.members / result.members, 1) for arm in result.arms),
        "planned": " / ".join(str(arm.share) for arm in result.arms),
        "p": p if p.startswith("<") else f"= {p}",
    }


def _overlap(result: Result) -> Check:
    of_all = _("%(twice)s of %(members)s") % {"twice": number(result.elsewhere), "members": number(result.members)}
    if not result.members:
        return Check("unknown", _("Arms not compared yet"), _("nobody was collected yet"))
    if result.elsewhere:
        return Check("look", _("Members in two or more arms"), of_all)
    return Check("fine", _("Nobody in two arms"), of_all)


def _enough(result: Result) -> Check:
    if result.plans_holdout and not result.members:
        return Check("unknown", _("Members not counted yet"), _("they are collected every minute"))
    if result.control is None:
        title = _("The holdout is empty") if result.plans_holdout else _("No holdout")
        return Check("unknown", title, _("nobody to compare with: no lift can be claimed"))
    smallest = min(arm.members for arm in result.arms)
    if smallest < FEW_MEMBERS:
        return Check("look", _("Too few members"), _("the smallest arm has %(n)s") % {"n": number(smallest)})
    if result.detectable is None:
        return Check("look", _("Nobody bought yet"), _("nothing can be seen yet"))
    largest = max((abs(lift.conversion.difference or 0) for lift in result.lifts.values()), default=0)
    text = _("can see a change of %(points)s pt") % {"points": points(result.detectable)}
    if result.detectable > largest and not any(lift.conversion.is_significant for lift in result.lifts.values()):
        return Check("look", _("Not enough members for this"), text)
    return Check("fine", _("Enough members"), text)


def _window(result: Result) -> Check:
    days = result.campaign.goal_days
    if result.days_to_go and result.last_day:
        title = ngettext("%(left)s of %(days)s day to go", "%(left)s of %(days)s days to go", days) % {
            "left": result.days_to_go,
            "days": days,
        }
        return Check("look", title, _("intervals hold once the days are over"))
    if not result.last_day:
        return Check("unknown", _("Days to buy not counted yet"), _("they begin when the run starts"))
    return Check("fine", _("All days are over"), _("%(days)s days to buy for everyone") % {"days": days})


def conclude(result: Result) -> Conclusion:
    """The conclusion in words, above the numbers it comes from."""
    if not result.members:
        return Conclusion(
            _("Nobody was collected yet."),
            _("The worker collects every minute: results appear a minute after the run has started."),
            "idle",
        )
    if result.ratio is not None and result.ratio.is_mismatch:
        return Conclusion(
            _("Do not trust this result: the arms are not as large as planned."),
            _("Members: %(text)s. Find out who is missing from which arm before reading on.")
            % {"text": _ratio_text(result)},
            "bad",
        )
    if result.control is None:
        return _without_control(result)
    if min(arm.members for arm in result.arms) < FEW_MEMBERS:
        return Conclusion(_("Too few members to say anything."), _("Each arm needs at least 30."), "idle")
    conclusion = _against_control(result)
    if result.days_to_go:
        return Conclusion(
            _("Too early to decide. So far: %(sentence)s") % {"sentence": conclusion.title},
            _("Members have %(left)s more days to buy. %(text)s")
            % {"left": result.days_to_go, "text": conclusion.text},
            "look",
        )
    return conclusion


def _without_control(result: Result) -> Conclusion:
    """No lift, only what was seen."""
    best = max(result.variants, key=lambda arm: arm.conversion.rate or 0)
    words = {
        "arm": arm_name(best),
        "rate": percent(best.conversion.rate or 0),
        "bought": number(best.conversions),
        "members": number(best.members),
        "days": result.campaign.goal_days,
    }
    text = _(
        "Most bought after %(arm)s: %(bought)s of %(members)s members within %(days)s days (%(rate)s). They might have "
        "bought without it, and variants may have gone to different members."
    )
    title = _("The holdout is empty, so no lift can be claimed.")
    if not result.plans_holdout:
        title = _("There is no holdout, so no lift can be claimed.")
    return Conclusion(title, text % words, "idle")


def _against_control(result: Result) -> Conclusion:
    assert result.control is not None  # noqa: S101 (asked before)
    variants = [arm for arm in result.variants if arm.key in result.lifts]
    if not variants:
        return Conclusion(_("Only the holdout has members."), "", "idle")
    best = max(variants, key=lambda arm: arm.conversion.rate or 0)
    lift = result.lifts[best.key].conversion
    difference, interval = lift.difference or 0.0, lift.interval
    assert interval is not None  # noqa: S101 (both arms have members)
    words = {
        "arm": arm_name(best),
        "points": points(difference),
        "low": signed(interval.low * 100, 2),
        "high": signed(interval.high * 100, 2),
        "p": p_text(lift.p),
    }
    why = _("Against sending nothing: %(low)s to %(high)s percentage points with 95%% confidence, p = %(p)s.") % words
    why = why.replace("= <", "<")
    if lift.is_significant and difference > 0:
        return _winner(result, best, words, why)
    if all(_is_worse(result, arm) for arm in variants):
        title = _(
            "Send nothing. %(arm)s, the best, brings %(points)s percentage points fewer buyers than sending nothing."
        )
        return Conclusion(title % words, why, "bad")
    return Conclusion(
        _("No difference can be seen between sending and not sending."),
        _(
            "The best, %(arm)s, is %(points)s percentage points from the holdout; anything from %(low)s to %(high)s is "
            "plausible."
        )
        % words,
        "idle",
    )


def _is_worse(result: Result, arm: Arm) -> bool:
    lift = result.lifts[arm.key].conversion
    return lift.is_significant and (lift.difference or 0) < 0


def _winner(result: Result, best: Arm, words: dict[str, str], why: str) -> Conclusion:
    """The best variant beats the holdout; say whether it beats the next one too."""
    others = [arm for arm in result.variants if arm.key != best.key and arm.members]
    if not others:
        title = _("Send it to everyone. It brings %(points)s percentage points more buyers than sending nothing.")
        return Conclusion(title % words, why, "accent")
    second = max(others, key=lambda arm: arm.conversion.rate or 0)
    between = compare_proportions(best.conversion, second.conversion)
    more = {**words, "second": arm_name(second), "more": points(between.difference or 0)}
    if between.is_significant:
        title = _(
            "Send %(arm)s to everyone. It brings %(points)s percentage points more buyers than sending nothing, and "
            "%(more)s more than %(second)s."
        )
        return Conclusion(title % more, why, "accent")
    title = _(
        "Sending works: %(arm)s brings %(points)s percentage points more buyers than sending nothing. %(second)s "
        "cannot be told apart from it."
    )
    return Conclusion(title % more, why, "accent")
