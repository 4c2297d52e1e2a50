"""What machines write, made fit for the database. Pure."""

import math
from typing import Any


def storable(value: Any) -> Any:
    """What a machine wrote, such that PostgreSQL can hold it: no NUL or half characters in texts, no NaN in JSON."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: storable(each) for key, each in value.items()}
    return [storable(each) for each in value] if isinstance(value, list) else value
