"""Phone numbers and e-mail addresses as they stand on a page until somebody reveals them."""

DOTS = "•••"


def phone(number: str) -> str:
    """``+8613800004471`` → ``+86 138 •••• 4471``: enough to check with the caller, not enough to call."""
    if len(number) < 8:
        return f"••••{number[-2:]}" if number else ""
    if number.startswith("+86") and len(number) == 14:
        return f"+86 {number[3:6]} •••• {number[-4:]}"
    return f"{number[:3]} •••• {number[-3:]}"


def grouped(number: str) -> str:
    """``+8613800004471`` → ``+86 138 0000 4471``: in full, in the groups of the masked one."""
    if number.startswith("+86") and len(number) == 14:
        return f"+86 {number[3:6]} {number[6:10]} {number[-4:]}"
    return number if len(number) < 8 else f"{number[:3]} {number[3:-3]} {number[-3:]}"


def email(address: str) -> str:
    """``w.xiaoyu@example.com`` → ``w•••@example.com``."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}{DOTS}{at}{domain}" if at else DOTS * bool(address)
