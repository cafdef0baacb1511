"""The demo's accounts: one for each role, with a password that everybody knows."""

from django.conf import settings

from staff.models import User
from staff.permissions import Role

PASSWORD = "steadfast-demo"  # noqa: S105 (it is printed on the terminal)

ACCOUNTS = {
    Role.ADMINISTRATOR: ("admin@steadfast.example", "Ada Brandt"),
    Role.MARKETING_MANAGER: ("marketing@steadfast.example", "Lin Mei"),
    Role.CUSTOMER_SERVICE: ("service@steadfast.example", "Tomás Rey"),
    Role.EXECUTIVE: ("executive@steadfast.example", "Grace Osei"),
    Role.APPROVER: ("approver@steadfast.example", "Zhou Ning"),
}


def make_demo_accounts() -> list[User]:
    """Make those that are missing and return one per role, in the order of the roles."""
    if settings.PRODUCTION:
        raise RuntimeError("Accounts with a known password are for the demo.")
    made = []
    for role, (email, name) in ACCOUNTS.items():
        user = User.objects.filter(email=email).first()
        made.append(user or User.objects.create_user(email, PASSWORD, name=name, role=role))
    return made
