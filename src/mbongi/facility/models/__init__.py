"""Tables of the plant. Private: other domains use services, selectors and values.

Django finds tables by importing this package, so every one is named here. All of them are the site's own: no tenant
sees a row of any.
"""

from mbongi.facility.models.inventory import Document, Element, Link, Place, Submission

__all__ = ["Document", "Element", "Link", "Place", "Submission"]
