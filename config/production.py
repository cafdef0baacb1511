"""What production mode refuses to start without."""

from collections.abc import Mapping

SHORTEST_SECRET = 50


def problems(environment: Mapping[str, str]) -> list[str]:
    """Everything in the environment that is missing or unsafe, one line each; empty when all is well."""
    said = [
        f"{name} is not set."
        for name in ("SECRET_KEY", "DATABASE_URL", "REDIS_URL", "ALLOWED_HOSTS", "DEFAULT_FROM_EMAIL")
        if not environment.get(name, "").strip()
    ]
    secret = environment.get("SECRET_KEY", "")
    if secret and (
        len(secret) < SHORTEST_SECRET
        or len(set(secret)) < 10
        or secret.lower().startswith(("django-insecure", "change"))
    ):
        said.append(f"SECRET_KEY can be guessed. Use at least {SHORTEST_SECRET} random characters.")
    if environment.get("DEBUG", "").lower() not in {"", "0", "false", "no", "off"}:
        said.append("DEBUG is on. Unset it.")
    if "*" in [host.strip() for host in environment.get("ALLOWED_HOSTS", "").split(",")]:
        said.append("ALLOWED_HOSTS is *. Name the hosts that the desk is reached by.")
    if environment.get("DEFAULT_FROM_EMAIL", "").endswith("@localhost"):
        said.append("DEFAULT_FROM_EMAIL is an address at localhost. Use one that members may answer to.")
    if not (environment.get("EMAIL_HOST") or environment.get("EMAIL_PROVIDER")):
        said.append("Neither EMAIL_HOST (an SMTP server) nor EMAIL_PROVIDER is set.")
    return said
