"""Figures of energy in templates."""

from django import template
from django.utils.safestring import SafeString

from mbongi.energy import wording
from mbongi.energy.rules.figures import Figure
from mbongi.energy.rules.tariffs import value_per_kwh
from mbongi.energy.values import MiningWritten
from mbongi.web.templatetags.mbongi import big, figure

register = template.Library()


@register.simple_tag
def kw(power_kw: float | None) -> SafeString:
    """A power given in kW, in the unit that reads best."""
    return big(None if power_kw is None else 1000 * power_kw, "W")


@register.filter
def status_words(status: str) -> str:
    """How a try to plan ended."""
    return wording.status_text(status)


@register.simple_tag
def earns(one: MiningWritten) -> SafeString:
    """What mining earns with a kWh."""
    value = value_per_kwh(
        btc_price=one.btc_price, btc_per_ths_day=one.btc_per_ths_day, efficiency_j_th=one.efficiency_j_th
    )
    return figure(value, "", 1)


@register.simple_tag
def covered(one: Figure) -> SafeString:
    """The share of the time that meters covered."""
    return figure(100 * one.coverage, "%", 1)
