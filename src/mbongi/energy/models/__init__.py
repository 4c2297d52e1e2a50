"""Tables of energy. Private: other domains use services, selectors and values."""

from mbongi.energy.models.dispatch import DispatchPlan, DispatchState, SupplyVersion

__all__ = ["DispatchPlan", "DispatchState", "SupplyVersion"]
